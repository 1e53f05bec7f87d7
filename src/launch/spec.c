/* SPDX-License-Identifier: Apache-2.0 */
/* The words of "brood serve" and the file that keeps them.
 *
 * The file is a run of strings "member=value", each with its 0 byte, the
 * format's version first.  It lies in a folder of the user's own, but it is
 * read as if a stranger had written it: every member is known, given once
 * (but for the lists), in bounds, and none that is needed is missing. */
#include "launch/spec.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SPEC_ARGUMENTS_MOST = 1024,
	SPEC_ENVIRONMENT_MOST = 256,
	SPEC_NAME_MOST = 64,
	SPEC_PATH_MOST = 1000, /* it must fit in an entry */
	SPEC_POOL_MOST = 64,
	SPEC_IDLE_MS = 10 * 60 * 1000,
	SPEC_READY_MS = 20 * 1000,
};

/* A number of the file, by member. */
struct spec_number {
	const char *name;
	size_t offset;
	long least, most;
};
#define NUMBER(member, low, high) \
	{ #member, offsetof(struct spec, member), low, high }
static const struct spec_number spec_numbers[] = {
	NUMBER(pool, -1, SPEC_POOL_MOST),
	NUMBER(refresh_ms, 0, LONG_MAX / 1000000),
	NUMBER(refresh_launches, 0, LONG_MAX),
	NUMBER(idle_ms, 0, LONG_MAX / 1000000),
	NUMBER(ready_ms, 1, INT_MAX),
	NUMBER(asked, 0, 1),
};
enum { SPEC_NUMBERS = sizeof(spec_numbers) / sizeof(spec_numbers[0]) };

void spec_init(struct spec *spec)
{
	*spec = (struct spec){
		.stop = SPEC_STOP_MAIN,
		.pool = -1,
		.hold = -1,
		.idle_ms = SPEC_IDLE_MS,
		.ready_ms = SPEC_READY_MS,
	};
}

static void spec_list_free(char ***list, int *count)
{
	for (int i = 0; i < *count; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*count = 0;
}

void spec_fini(struct spec *spec)
{
	free(spec->name);
	free(spec->program);
	free(spec->stop_path);
	free(spec->folder);
	spec_list_free(&spec->argv, &spec->argc);
	spec_list_free(&spec->environment, &spec->environment_count);
	*spec = (struct spec){ 0 };
}

/* Adds a copy of text; the list keeps a NULL behind its last string. */
static int spec_list_add(char ***list, int *count, int most, const char *what,
			 const char *text, struct err *err)
{
	char **grown;

	if (*count >= most)
		return err_set(err, -E2BIG, "%s: more than %d", what, most);
	grown = realloc(*list, (size_t)(*count + 2) * sizeof(*grown));
	if (!grown)
		return err_set(err, -ENOMEM, "%s", what);
	*list = grown;
	grown[*count] = strdup(text);
	grown[*count + 1] = NULL;
	if (!grown[*count])
		return err_set(err, -ENOMEM, "%s", what);
	(*count)++;
	return 0;
}

static int spec_add_argument(struct spec *spec, const char *text,
			     struct err *err)
{
	return spec_list_add(&spec->argv, &spec->argc, SPEC_ARGUMENTS_MOST,
			     "arguments of a template", text, err);
}

static int spec_text_put(char **to, const char *text, struct err *err)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(err, -ENOMEM, "copy a text");
	free(*to);
	*to = copy;
	return 0;
}

static int spec_check_program_path(const char *path, struct err *err)
{
	if (path[0] != '/')
		return err_set(err, -EINVAL, "program %s: not a whole path",
			       path);
	if (strlen(path) > SPEC_PATH_MOST)
		return err_set(err, -ENAMETOOLONG, "program %.60s...", path);
	return 0;
}

int spec_set_program(struct spec *spec, const char *word, struct err *err)
{
	auto_free char *found = NULL;
	auto_free char *whole = NULL;
	int rc;

	if (!word[0])
		return err_set(err, -EINVAL, "the program's name is empty");
	found = strchr(word, '/') ? strdup(word)
				  : process_find_in_path(word, getenv("PATH"));
	if (!found)
		return err_set(err, -ENOENT, "%s in PATH", word);
	whole = realpath(found, NULL);
	if (!whole)
		return err_set(err, -errno, "program %s", found);
	if ((rc = spec_check_program_path(whole, err)) < 0)
		return rc;
	free(spec->program);
	spec->program = steal_ptr(&whole);
	spec_list_free(&spec->argv, &spec->argc);
	return spec_add_argument(spec, word, err);
}

int spec_set_arguments(struct spec *spec, int count, char *const *words,
		       struct err *err)
{
	int rc = 0;

	for (int i = 0; i < count && rc >= 0; i++)
		rc = spec_add_argument(spec, words[i], err);
	return rc;
}

/* Links stay: the program opens the name that it was given. */
static int spec_set_stop_path(struct spec *spec, const char *path,
			      struct err *err)
{
	auto_free char *here = NULL;
	char *whole;

	if (!path[0])
		return err_set(err, -EINVAL, "open: names no file");
	if (path[0] == '/') {
		whole = strdup(path);
	} else {
		here = getcwd(NULL, 0);
		if (!here)
			return err_set(err, -errno, "current folder");
		whole = file_join(here, path);
	}
	if (!whole)
		return err_set(err, -ENOMEM, "open:%s", path);
	if (strlen(whole) > SPEC_PATH_MOST) {
		free(whole);
		return err_set(err, -ENAMETOOLONG, "open:%.60s...", path);
	}
	free(spec->stop_path);
	spec->stop_path = whole;
	spec->stop = SPEC_STOP_OPEN;
	return 0;
}

/* Inside main a program may have looked at its folder. */
int spec_set_folder(struct spec *spec, struct err *err)
{
	free(spec->folder);
	spec->folder = spec_is_deep(spec) ? getcwd(NULL, 0) : NULL;
	if (spec_is_deep(spec) && !spec->folder)
		return err_set(err, -errno, "current folder");
	return 0;
}

int spec_set_stop(struct spec *spec, const char *words, struct err *err)
{
	if (!strncmp(words, "open:", 5))
		return spec_set_stop_path(spec, words + 5, err);
	if (!strcmp(words, "main"))
		spec->stop = SPEC_STOP_MAIN;
	else if (!strcmp(words, "stdin"))
		spec->stop = SPEC_STOP_STDIN;
	else if (!strcmp(words, "ready"))
		spec->stop = SPEC_STOP_READY;
	else
		return err_set(err, -EINVAL,
			       "stop \"%.60s\": main, stdin, ready or "
			       "open:PATH",
			       words);
	return 0;
}

const char *spec_stop_words(const struct spec *spec, struct buf *room)
{
	switch (spec->stop) {
	case SPEC_STOP_MAIN: return "main";
	case SPEC_STOP_STDIN: return "stdin";
	case SPEC_STOP_READY: return "ready";
	case SPEC_STOP_OPEN: break;
	}
	buf_clear(room);
	buf_format(room, "open:%s", spec->stop_path);
	return buf_string(room);
}

bool spec_is_deep(const struct spec *spec)
{
	return spec->stop != SPEC_STOP_MAIN;
}

bool spec_has_base(const struct spec *spec)
{
	return spec->name || spec_is_deep(spec);
}

/* A launch gives no name and no words. */
bool spec_is_asked_for(const struct spec *spec)
{
	return spec->asked || spec_has_base(spec);
}

static void spec_write_member(struct buf *out, const char *name,
			      const char *value)
{
	buf_format(out, "%s=%s", name, value);
	buf_add(out, "", 1);
}

static void spec_write_number(struct buf *out, const struct spec_number *number,
			      const struct spec *spec)
{
	const long *value = (const void *)((const char *)spec + number->offset);

	buf_format(out, "%s=%ld", number->name, *value);
	buf_add(out, "", 1);
}

int spec_write(const struct spec *spec, struct buf *out)
{
	auto_buf struct buf room = { 0 };

	spec_write_member(out, "brood-spec", "1");
	if (spec->name)
		spec_write_member(out, "name", spec->name);
	spec_write_member(out, "program", spec->program);
	for (int i = 0; i < spec->argc; i++)
		spec_write_member(out, "argument", spec->argv[i]);
	spec_write_member(out, "stop", spec_stop_words(spec, &room));
	if (spec->folder)
		spec_write_member(out, "folder", spec->folder);
	for (int i = 0; i < SPEC_NUMBERS; i++)
		spec_write_number(out, &spec_numbers[i], spec);
	buf_format(out, "hold=%d", spec->hold);
	buf_add(out, "", 1);
	for (int i = 0; i < spec->environment_count; i++)
		spec_write_member(out, "environment", spec->environment[i]);
	return out->failed || room.failed ? -ENOMEM : 0;
}

int spec_check_name(const char *name, struct err *err)
{
	size_t len = strlen(name);

	if (!len || len > SPEC_NAME_MOST)
		return err_set(err, -EINVAL, "name \"%.80s\": 1 to %d letters",
			       name, SPEC_NAME_MOST);
	if (name[0] == '.' || name[0] == '-')
		return err_set(err, -EINVAL, "name \"%s\" begins with '%c'",
			       name, name[0]);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '/')
			return err_set(err, -EINVAL, "name \"%s\" is a path",
				       name);
		if (c <= ' ' || c == 127)
			return err_set(err, -EINVAL,
				       "a name with a space or a control "
				       "character");
	}
	return 0;
}

/* What the keeper itself sets cannot be given. */
static int spec_check_variable(const char *text, struct err *err)
{
	static const char *const ours[] = { "LD_PRELOAD=", "LD_BIND_NOW=",
					    "BROOD_SHIM=" };
	const char *sign = strchr(text, '=');

	if (!sign || sign == text)
		return err_set(err, -EINVAL, "variable \"%.60s\": NAME=VALUE",
			       text);
	for (int i = 0; i < 3; i++)
		if (!strncmp(text, ours[i], strlen(ours[i])))
			return err_set(err, -EINVAL,
				       "variable %.*s is set by the keeper",
				       (int)(sign - text), text);
	return 0;
}

static int spec_parse_number(struct spec *spec,
			     const struct spec_number *number,
			     const char *value, struct err *err)
{
	long *to = (void *)((char *)spec + number->offset);
	char *end;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno || end == value || *end || isspace((unsigned char)*value) ||
	    n < number->least || n > number->most)
		return err_set(err, -EINVAL, "%s \"%.40s\": not in %ld .. %ld",
			       number->name, value, number->least,
			       number->most);
	*to = n;
	return 0;
}

/* Members that may stand once have a bit each in "seen". */
static int spec_seen_once(unsigned *seen, int bit, const char *name,
			  struct err *err)
{
	if (*seen & 1u << bit)
		return err_set(err, -EINVAL, "%s stands twice", name);
	*seen |= 1u << bit;
	return 0;
}

enum {
	SEEN_NAME = SPEC_NUMBERS,
	SEEN_PROGRAM,
	SEEN_STOP,
	SEEN_HOLD,
	SEEN_FOLDER
};

static int spec_parse_name(struct spec *spec, const char *value,
			   struct err *err)
{
	int rc = spec_check_name(value, err);

	return rc < 0 ? rc : spec_text_put(&spec->name, value, err);
}

static int spec_parse_program(struct spec *spec, const char *value,
			      struct err *err)
{
	int rc = spec_check_program_path(value, err);

	return rc < 0 ? rc : spec_text_put(&spec->program, value, err);
}

static int spec_parse_hold(struct spec *spec, const char *value,
			   struct err *err)
{
	if (strcmp(value, "-1") && strcmp(value, "0") && strcmp(value, "1"))
		return err_set(err, -EINVAL, "hold \"%.40s\": -1, 0 or 1",
			       value);
	spec->hold = atoi(value);
	return 0;
}

static int spec_parse_folder(struct spec *spec, const char *value,
			     struct err *err)
{
	if (value[0] != '/')
		return err_set(err, -EINVAL,
			       "folder \"%.60s\": not a whole "
			       "path",
			       value);
	return spec_text_put(&spec->folder, value, err);
}

static int spec_parse_stop(struct spec *spec, const char *value,
			   struct err *err)
{
	if (!strncmp(value, "open:", 5) && value[5] != '/')
		return err_set(err, -EINVAL, "stop \"%.60s\": not a whole path",
			       value);
	return spec_set_stop(spec, value, err);
}

static int spec_parse_environment(struct spec *spec, const char *value,
				  struct err *err)
{
	int rc = spec_check_variable(value, err);

	return rc < 0 ? rc
		      : spec_list_add(&spec->environment,
				      &spec->environment_count,
				      SPEC_ENVIRONMENT_MOST, "variables", value,
				      err);
}

int spec_add_variable(struct spec *spec, const char *text, struct err *err)
{
	return spec_parse_environment(spec, text, err);
}

static const struct spec_member {
	const char *name;
	int seen; /* bit, -1: a list */
	int (*parse)(struct spec *spec, const char *value, struct err *err);
} spec_members[] = {
	{ "name", SEEN_NAME, spec_parse_name },
	{ "program", SEEN_PROGRAM, spec_parse_program },
	{ "stop", SEEN_STOP, spec_parse_stop },
	{ "hold", SEEN_HOLD, spec_parse_hold },
	{ "folder", SEEN_FOLDER, spec_parse_folder },
	{ "argument", -1, spec_add_argument },
	{ "environment", -1, spec_parse_environment },
};
enum { SPEC_MEMBERS = sizeof(spec_members) / sizeof(spec_members[0]) };

static bool spec_is_member(const char *text, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(text, name, len);
}

static int spec_parse_member(struct spec *spec, const char *text,
			     unsigned *seen, struct err *err)
{
	const char *sign = strchr(text, '=');
	size_t len = sign ? (size_t)(sign - text) : 0;
	int rc;

	for (int i = 0; sign && i < SPEC_MEMBERS; i++) {
		const struct spec_member *member = &spec_members[i];

		if (!spec_is_member(text, len, member->name))
			continue;
		if (member->seen >= 0 &&
		    (rc = spec_seen_once(seen, member->seen, member->name,
					 err)) < 0)
			return rc;
		return member->parse(spec, sign + 1, err);
	}
	for (int i = 0; sign && i < SPEC_NUMBERS; i++) {
		if (!spec_is_member(text, len, spec_numbers[i].name))
			continue;
		if ((rc = spec_seen_once(seen, i, spec_numbers[i].name, err)) <
		    0)
			return rc;
		return spec_parse_number(spec, &spec_numbers[i], sign + 1, err);
	}
	return err_set(err, -EINVAL, "unknown member \"%.40s\"", text);
}

static int spec_check_whole(const struct spec *spec, struct err *err)
{
	if (!spec->program)
		return err_set(err, -EINVAL, "no program");
	if (!spec->argc)
		return err_set(err, -EINVAL, "no argument for its name");
	return 0;
}

/* spec was made by spec_init; after a failure it holds what was read so far
 * and is only good for spec_fini. */
int spec_parse(struct spec *spec, const char *data, size_t len, struct err *err)
{
	static const char version[] = "brood-spec=1";
	unsigned seen = 0;
	int rc = 0;

	if (len < sizeof(version) || memcmp(data, version, sizeof(version)))
		return err_set(err, -EINVAL, "spec: not of version 1");
	if (data[len - 1] != 0)
		return err_set(err, -EINVAL, "spec: its end is missing");
	for (size_t at = sizeof(version); at < len && rc >= 0;
	     at += strlen(data + at) + 1)
		rc = spec_parse_member(spec, data + at, &seen, err);
	if (rc >= 0)
		rc = spec_check_whole(spec, err);
	return rc < 0 ? err_wrap(err, "spec") : 0;
}

int spec_check(const struct spec *spec, struct err *err)
{
	auto_buf struct buf text = { 0 };
	auto_spec struct spec again;
	int rc;

	spec_init(&again);
	rc = spec_write(spec, &text);
	if (rc < 0)
		return err_set(err, rc, "spec of %s", spec->program);
	return spec_parse(&again, text.data, text.len, err);
}
