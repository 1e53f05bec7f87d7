/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/plan.h"
#include "appliance/expand.h"
#include "appliance/kind.h"
#include "base/fd.h"
#include "base/file.h"
#include "launch/key.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PLAN_WORDS = 16 + RECORD_WORDS };

/* The words in front of the caller's; the caller's own are from argv[1] on. */
struct plan {
	const struct context *context;
	const struct record_entry *entry;
	const char *root;
	char *path;   /* of the entry */
	char *helper; /* the loader, or the template's entry */
	const char *program;
	const char *word[PLAN_WORDS];
	int count;
	struct buf libraries;
};

static void plan_fini(struct plan *plan)
{
	free(plan->path);
	free(plan->helper);
	buf_fini(&plan->libraries);
}

static void plan_word(struct plan *plan, const char *word)
{
	plan->word[plan->count++] = word;
}

static void plan_arguments(struct plan *plan)
{
	for (int i = 0; i < plan->entry->argument_count; i++)
		plan_word(plan, plan->entry->argument[i]);
}

/* ---- environment --------------------------------------------------------------- */

static int plan_environment(const struct plan *plan,
			    const struct record *record, struct err *err)
{
	const struct expand_word known[] = {
		{ "${app}", plan->root, "" },
		{ "${data}", plan->context->folder, "/data" },
		{ "${settings}", plan->context->folder, "/settings" },
		{ NULL, NULL, NULL },
	};

	for (int i = 0; i < record->environment_count; i++) {
		auto_buf struct buf text = { 0 };
		char *name, *value;

		expand_text(known, record->environment[i], &text);
		name = buf_steal(&text);
		value = name ? strchr(name, '=') : NULL;
		if (value)
			*value++ = 0;
		if (!value || setenv(name, value, 1) < 0) {
			free(name);
			return err_set(err, -ENOMEM, "the environment");
		}
		free(name);
	}
	return 0;
}

/* Each of the payload's library folders, as a path. */
static void plan_library_path(struct plan *plan)
{
	const char *part = plan->entry->libraries;

	while (part && *part) {
		size_t len = strcspn(part, ":");

		buf_format(&plan->libraries, "%s%s/%.*s",
			   plan->libraries.len ? ":" : "", plan->root, (int)len,
			   part);
		part += len + (part[len] == ':');
	}
}

static int plan_add_libraries(struct plan *plan, struct err *err)
{
	const char *before = getenv("LD_LIBRARY_PATH");

	if (before && *before)
		buf_format(&plan->libraries, ":%s", before);
	if (plan->libraries.failed ||
	    setenv("LD_LIBRARY_PATH", buf_string(&plan->libraries), 1) < 0)
		return err_set(err, -ENOMEM, "the library path");
	return 0;
}

/* ---- kinds ------------------------------------------------------------------- */

/* Its own loader keeps the libraries to itself: children of the program find
 * the host's. */
static int plan_loader(struct plan *plan, struct err *err)
{
	plan->helper = file_join(plan->root, plan->entry->loader);
	if (!plan->helper)
		return err_set(err, -ENOMEM, "start %s", plan->path);
	plan->program = plan->helper;
	plan_word(plan, plan->helper);
	plan_word(plan, "--argv0");
	plan_word(plan, plan->path);
	if (plan->libraries.len) {
		plan_word(plan, "--library-path");
		plan_word(plan, buf_string(&plan->libraries));
	}
	plan_word(plan, plan->path);
	plan_arguments(plan);
	return 0;
}

/* The template's entry, where this user has one for the program. */
static char *plan_template(const char *program)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	const char *below = cache && *cache == '/' ? "" : "/.cache";
	const char *base = *below ? home : cache;
	const struct key_parts parts = { .program = program };
	char key[17];

	if (!base || *base != '/' || key_make(&parts, key) < 0)
		return NULL;
	return file_format("%s%s/brood/programs/%s/entry", base, below, key);
}

/* What makes the template is nobody's child, and says nothing. */
static void plan_serve(const struct plan *plan)
{
	const char *path = getenv("LD_LIBRARY_PATH");
	auto_free char *variable =
		file_format("LD_LIBRARY_PATH=%s", path ? path : "");
	char *words[] = { (char *)"brood", (char *)"serve", (char *)"--env",
			  variable,	   plan->path,	    NULL };
	pid_t child = variable ? fork() : -1;
	int null;

	if (child > 0)
		waitpid(child, NULL, 0);
	if (child != 0)
		return;
	if (fork() != 0)
		_exit(0);
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	execve(plan->context->brood, words, environ);
	_exit(127);
}

/* The first warm start is "brood launch", which makes the template; but one
 * that needs the payload's libraries has to be told of them. */
static void plan_cold(struct plan *plan)
{
	plan->program = plan->path;
	if (plan->libraries.len) {
		plan_serve(plan);
	} else {
		plan->program = plan->context->brood;
		plan_word(plan, "brood");
		plan_word(plan, "launch");
	}
	plan_word(plan, plan->path);
}

static int plan_warm(struct plan *plan, struct err *err)
{
	plan->helper = plan_template(plan->path);
	if (!plan->helper)
		return err_set(err, -ENOENT, "find the templates of programs");
	if (access(plan->helper, R_OK) < 0) {
		plan_cold(plan);
	} else {
		plan->program = plan->context->hatch;
		plan_word(plan, "brood-hatch");
		plan_word(plan, "--entry");
		plan_word(plan, plan->helper);
		plan_word(plan, "--program");
		plan_word(plan, plan->path);
		plan_word(plan, "--");
		plan_word(plan, plan->path);
	}
	plan_arguments(plan);
	return 0;
}

int plan_program(struct plan *plan, struct err *err)
{
	const struct context *context = plan->context;

	plan_library_path(plan);
	if (plan->entry->loader)
		return plan_loader(plan, err);
	if (plan->libraries.len && plan_add_libraries(plan, err) < 0)
		return -ENOMEM;
	if (plan->entry->warm && context->brood && context->hatch)
		return plan_warm(plan, err);
	plan->program = plan->path;
	plan_word(plan, plan->path);
	plan_arguments(plan);
	return 0;
}

static int plan_needs_brood(const struct plan *plan, struct err *err)
{
	if (plan->context->brood)
		return 0;
	return err_set(err, -EINVAL,
		       "entry %s needs the command \"brood\", which this host "
		       "did not have at the install",
		       plan->entry->name);
}

static int plan_module(struct plan *plan, const char *in, struct err *err)
{
	int rc = plan_needs_brood(plan, err);

	plan->program = plan->context->brood;
	plan_word(plan, "brood");
	plan_word(plan, "run");
	plan_word(plan, "--in");
	plan_word(plan, in);
	plan_arguments(plan);
	plan_word(plan, plan->path);
	return rc;
}

int plan_wasm(struct plan *plan, struct err *err)
{
	return plan_module(plan, "process", err);
}

int plan_domain(struct plan *plan, struct err *err)
{
	return plan_module(plan, "domain", err);
}

/* The entry's path is a folder of images; its last argument is the tip. */
int plan_machine(struct plan *plan, struct err *err)
{
	int rc = plan_needs_brood(plan, err);

	plan->program = plan->context->brood;
	plan_word(plan, "brood");
	plan_word(plan, "machine");
	plan_word(plan, "start");
	plan_word(plan, "--store");
	plan_word(plan, plan->path);
	plan_arguments(plan);
	return rc;
}

static int plan_exec(const struct plan *plan, char *const *argv,
		     struct err *err)
{
	size_t given = 0;
	char **words;
	int rc;

	while (argv[given])
		given++;
	words = calloc((size_t)plan->count + given + 1, sizeof *words);
	if (!words)
		return err_set(err, -ENOMEM, "start %s", plan->program);
	for (int i = 0; i < plan->count; i++)
		words[i] = (char *)plan->word[i];
	for (size_t i = 1; i < given; i++)
		words[(size_t)plan->count + i - 1] = argv[i];
	execve(plan->program, words, environ);
	rc = -errno;
	free(words);
	return err_set(err, rc, "start %s", plan->program);
}

static char **plan_keep_environment(void)
{
	size_t count = 0;
	char **copy;

	while (environ[count])
		count++;
	copy = calloc(count + 1, sizeof *copy);
	if (copy)
		memcpy(copy, environ, count * sizeof *copy);
	return copy;
}

/* Words and variables, the latter in environ. */
static int plan_make(struct plan *plan, const struct context *context,
		     const struct record *record,
		     const struct record_entry *entry, const char *root,
		     struct err *err)
{
	int rc;

	*plan = (struct plan){ .context = context,
			       .entry = entry,
			       .root = root,
			       .path = file_join(root, entry->path) };
	if (!plan->path)
		return err_set(err, -ENOMEM, "start %s", entry->name);
	rc = plan_environment(plan, record, err);
	return rc < 0 ? rc : kinds[entry->kind].plan(plan, err);
}

int plan_become(const struct context *context, const struct record *record,
		const struct record_entry *entry, const char *root,
		char *const *argv, struct err *err)
{
	char **before = plan_keep_environment();
	struct plan plan;
	int rc;

	if (!before)
		return err_set(err, -ENOMEM, "start %s", entry->name);
	rc = plan_make(&plan, context, record, entry, root, err);
	if (rc >= 0)
		rc = plan_exec(&plan, argv, err);
	/* What is started instead is another program. */
	environ = before;
	plan_fini(&plan);
	return rc;
}

/* ---- told ---------------------------------------------------------------------- */

void plan_told_fini(struct plan_told *told)
{
	for (char **at = told->word; at && *at; at++)
		free(*at);
	for (char **at = told->variable; at && *at; at++)
		free(*at);
	free(told->word);
	free(told->variable);
	*told = (struct plan_told){ NULL, NULL };
}

static char **plan_copy(const char *const *list, size_t count)
{
	char **copy = calloc(count + 1, sizeof *copy);

	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = strdup(list[i]);
		if (!copy[i]) {
			while (i)
				free(copy[--i]);
			free(copy);
			return NULL;
		}
	}
	return copy;
}

static int plan_told_take(struct plan_told *told, const struct plan *plan,
			  struct err *err)
{
	size_t count = 0;

	while (environ[count])
		count++;
	told->word = plan_copy(plan->word, (size_t)plan->count);
	told->variable = plan_copy((const char *const *)environ, count);
	return told->word && told->variable
		       ? 0
		       : err_set(err, -ENOMEM, "start %s", plan->entry->name);
}

int plan_tell(const struct context *inside, const struct record *record,
	      const struct record_entry *entry, const char *root,
	      const char *libraries, struct plan_told *told, struct err *err)
{
	char *none[1] = { NULL };
	char **before = plan_keep_environment();
	struct plan plan = { .context = inside };
	int rc = 0;

	*told = (struct plan_told){ NULL, NULL };
	if (!before)
		return err_set(err, -ENOMEM, "start %s", entry->name);
	environ = none;
	if (libraries && setenv("LD_LIBRARY_PATH", libraries, 1) < 0)
		rc = err_set(err, -ENOMEM, "the library path");
	if (rc >= 0)
		rc = plan_make(&plan, inside, record, entry, root, err);
	if (rc >= 0)
		rc = plan_told_take(told, &plan, err);
	environ = before;
	plan_fini(&plan);
	if (rc < 0)
		plan_told_fini(told);
	return rc;
}
