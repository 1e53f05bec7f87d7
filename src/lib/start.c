/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what a word means: first among the templates, then among the
 * programs, which get an entry at their first start so that the starter can
 * ask for a keeper.			      CLAIM 0.17
 *
 * Invariant: whatever fails on the warm way ends at the program itself; only
 * a program that does not exist is an error. */
#include "lib/start.h"
#include "base/fd.h"
#include "launch/elf.h"
#include "launch/entry.h"
#include "lib/stub.h"
#include "lib/where.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { START_WORDS_BEFORE = 10 };

void start_fini(struct start *start)
{
	free(start->path);
	free(start->argv);
	free(start->entry);
	free(start->program);
	*start = (struct start){ 0 };
}

int start_find_place(const char *word, struct registry_place *place,
		     struct err *err)
{
	int result = registry_find(word, place, err);
	auto_free char *real = NULL;

	if (result != 0 || strchr(word, '/'))
		return result;
	real = stub_real_program(word, NULL);
	return real ? registry_find(real, place, err) : 0;
}

static int start_check_program(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, -errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EACCES, "%s is not a file", path);
	if (access(path, X_OK) < 0)
		return err_set(err, -errno, "%s", path);
	return 0;
}

/* The first start of a program: it becomes known. */
static int start_enter(const char *program, struct registry_place *place,
		       struct err *err)
{
	auto_spec struct spec spec = { 0 };
	auto_free char *brood = NULL;
	struct elf_facts facts;
	int result;

	spec_init(&spec);
	result = spec_set_program(&spec, program, err);
	if (result >= 0)
		result = elf_check(spec.program, &facts, err);
	if (result < 0)
		return result;
	brood = where_is("brood", err);
	if (!brood)
		return -ENOENT;
	return registry_enter(&spec, brood, place, err);
}

/* An entry that is damaged is written anew, from its spec or as for a first
 * start. */
static int start_mend_entry(const struct start *start,
			    struct registry_place *place, struct err *err)
{
	auto_spec struct spec spec = { 0 };
	auto_free char *brood = NULL;
	struct start_entry *entry = entry_read(place->entry, err);

	if (entry) {
		free(entry);
		return 0;
	}
	brood = where_is("brood", err);
	if (brood && registry_read_spec(place, &spec, err) >= 0)
		return entry_write(&spec, brood, place, err);
	if (!start->program)
		return -EBADMSG;
	registry_place_fini(place);
	return start_enter(start->program, place, err);
}

/* Has the program's own template been found, and not one that a name means,
 * with words of its own? */
static bool start_is_plain(const struct start *start,
			   const struct registry_place *place)
{
	auto_spec struct spec own = { 0 };
	char key[20];

	spec_init(&own);
	return start->program &&
	       spec_set_program(&own, start->program, NULL) >= 0 &&
	       registry_key(&own, key) >= 0 && !strcmp(key, place->key);
}

static int start_find_entry(const struct start_wish *wish, struct start *start,
			    struct err *err)
{
	auto_place struct registry_place place = { 0 };
	int result = start_find_place(wish->word, &place, err);

	if (result == 0)
		result = start_enter(start->program, &place, err);
	else if (result > 0)
		result = start_mend_entry(start, &place, err);
	if (result < 0)
		return result;
	start->plain = start_is_plain(start, &place);
	start->entry = strdup(place.entry);
	return start->entry ? 0 : err_set(err, -ENOMEM, "launch");
}

static int start_count(char *const *argv)
{
	int count = 0;

	while (argv[count])
		count++;
	return count;
}

/* STARTER --entry ENTRY [--program PROGRAM] [--via WAY] [--report FILE]
 * [--verbose] -- ARGV */
static int start_words(const struct start_wish *wish, struct start *start,
		       struct err *err)
{
	int argc = start_count(wish->argv);
	int n = 0;
	char **to = calloc((size_t)argc + START_WORDS_BEFORE + 3, sizeof(*to));

	if (!to)
		return err_set(err, -ENOMEM, "launch %s", wish->word);
	start->argv = to;
	if (start->warm) {
		to[n++] = start->path;
		to[n++] = (char *)"--entry";
		to[n++] = start->entry;
		if (start->plain) {
			to[n++] = (char *)"--program";
			to[n++] = start->program;
		}
		if (wish->via) {
			to[n++] = (char *)"--via";
			to[n++] = (char *)wish->via;
		}
		if (wish->report) {
			to[n++] = (char *)"--report";
			to[n++] = (char *)wish->report;
		}
		if (wish->verbose)
			to[n++] = (char *)"--verbose";
		to[n++] = (char *)"--";
	}
	memcpy(to + n, wish->argv, (size_t)argc * sizeof(*to));
	return 0;
}

/* A template's name need not be a program's: then the program is the one
 * that its entry tells, and the starter knows it. */
static int start_find_program(const struct start_wish *wish,
			      struct start *start, struct err *err)
{
	int result;

	start->program = stub_real_program(wish->word, err);
	if (!start->program)
		return -ENOENT;
	result = start_check_program(start->program, err);
	if (result < 0) {
		free(start->program);
		start->program = NULL;
	}
	return result;
}

int start_find(const struct start_wish *wish, struct start *start,
	       struct err *err)
{
	auto_place struct registry_place place = { 0 };
	struct err why = { 0 };
	int result;

	*start = (struct start){ 0 };
	result = start_find_program(wish, start, err);
	if (result < 0 && start_find_place(wish->word, &place, NULL) <= 0)
		return result;
	start->path = where_is("brood-hatch", &why);
	start->warm = start->path && start_find_entry(wish, start, &why) >= 0;
	if (!start->warm) {
		snprintf(start->why, sizeof(start->why), "%s", why.text);
		if (!start->program)
			return err_set(err, -EPROTO, "%s", why.text);
		free(start->path);
		start->path = strdup(start->program);
	}
	err_clear(err);
	return start_words(wish, start, err);
}
