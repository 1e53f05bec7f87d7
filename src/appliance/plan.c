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

/* Variables are those of the record, and that of the libraries. */
enum { PLAN_WORDS = 16 + RECORD_WORDS, PLAN_VARIABLES = RECORD_WORDS + 1 };

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
	struct plan_told *told; /* its variables, all along */
	bool is_elsewhere;	/* where variables are not ours: */
	const char *before;	/* LD_LIBRARY_PATH there */
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

/* ---- environment --------------------------------------------------------------- */

/* Where the variable of that name is, or can be. */
static char **plan_find(const struct plan_told *told, const char *name)
{
	size_t len = strlen(name);
	char **at = told->variable;

	while (*at && (strncmp(*at, name, len) != 0 || (*at)[len] != '='))
		at++;
	return at;
}

static int plan_set(struct plan *plan, const char *name, const char *value)
{
	char **at = plan_find(plan->told, name);
	char *text = file_format("%s=%s", name, value);

	if (!text)
		return -1;
	free(*at);
	*at = text;
	return 0;
}

static const char *plan_get(const struct plan *plan, const char *name)
{
	const char *set = *plan_find(plan->told, name);

	return set ? set + strlen(name) + 1 : getenv(name);
}

static const char *plan_get_libraries(const struct plan *plan)
{
	const char *set = *plan_find(plan->told, "LD_LIBRARY_PATH");

	return plan->is_elsewhere && !set ? plan->before
					  : plan_get(plan, "LD_LIBRARY_PATH");
}

/* Ours, but for those that are set, and these: malloced, the texts are others'.
 */
static char **plan_merge(const struct plan *plan)
{
	size_t count = 0, at = 0;
	char **merged;

	while (environ[count])
		count++;
	merged = calloc(count + PLAN_VARIABLES + 1, sizeof *merged);
	for (size_t i = 0; merged && i < count; i++) {
		auto_free char *name =
			strndup(environ[i], strcspn(environ[i], "="));

		if (name && !*plan_find(plan->told, name))
			merged[at++] = environ[i];
	}
	for (char **set = plan->told->variable; merged && *set; set++)
		merged[at++] = *set;
	return merged;
}

static int plan_environment(struct plan *plan, const struct record *record,
			    struct err *err)
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
		if (!value || plan_set(plan, name, value) < 0) {
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
	const char *before = plan_get_libraries(plan);

	if (before && *before)
		buf_format(&plan->libraries, ":%s", before);
	if (plan->libraries.failed ||
	    plan_set(plan, "LD_LIBRARY_PATH", buf_string(&plan->libraries)) < 0)
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
static char *plan_template(const struct plan *plan)
{
	const char *cache = plan_get(plan, "XDG_CACHE_HOME");
	const char *home = plan_get(plan, "HOME");
	const char *below = cache && *cache == '/' ? "" : "/.cache";
	const char *base = *below ? home : cache;
	const struct key_parts parts = { .program = plan->path };
	char key[17];

	if (!base || *base != '/' || key_make(&parts, key) < 0)
		return NULL;
	return file_format("%s%s/brood/programs/%s/entry", base, below, key);
}

/* What makes the template is nobody's child, and says nothing. */
static void plan_serve(const struct plan *plan)
{
	const char *path = plan_get_libraries(plan);
	auto_free char **merged = plan_merge(plan);
	auto_free char *variable =
		file_format("LD_LIBRARY_PATH=%s", path ? path : "");
	char *words[] = { (char *)"brood", (char *)"serve", (char *)"--env",
			  variable,	   plan->path,	    NULL };
	pid_t child = variable && merged ? fork() : -1;
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
	execve(plan->context->brood, words, merged);
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
	plan->helper = plan_template(plan);
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
	auto_free char **merged = plan_merge(plan);
	auto_free char **words = NULL;
	size_t given = 0;

	while (argv[given])
		given++;
	words = calloc((size_t)plan->count + given + 1, sizeof *words);
	if (!words || !merged)
		return err_set(err, -ENOMEM, "start %s", plan->program);
	for (int i = 0; i < plan->count; i++)
		words[i] = (char *)plan->word[i];
	for (size_t i = 1; i < given; i++)
		words[(size_t)plan->count + i - 1] = argv[i];
	execve(plan->program, words, merged);
	return err_set(err, -errno, "start %s", plan->program);
}

/* Words and variables. */
static int plan_make(struct plan *plan, const struct record *record,
		     struct err *err)
{
	const struct record_entry *entry = plan->entry;
	int rc;

	plan->path = file_join(plan->root, entry->path);
	plan->told->variable =
		calloc(PLAN_VARIABLES + 1, sizeof *plan->told->variable);
	if (!plan->path || !plan->told->variable)
		return err_set(err, -ENOMEM, "start %s", entry->name);
	rc = plan_environment(plan, record, err);
	return rc < 0 ? rc : kinds[entry->kind].plan(plan, err);
}

int plan_become(const struct context *context, const struct record *record,
		const struct record_entry *entry, const char *root,
		char *const *argv, struct err *err)
{
	auto_told struct plan_told told = { NULL, NULL };
	struct plan plan = {
		.context = context, .entry = entry, .root = root, .told = &told
	};
	int rc = plan_make(&plan, record, err);

	if (rc >= 0)
		rc = plan_exec(&plan, argv, err);
	plan_fini(&plan);
	return rc;
}

/* ---- told ---------------------------------------------------------------------- */

static int plan_tell_words(struct plan *plan, const struct record *record,
			   struct err *err)
{
	struct plan_told *told = plan->told;
	int rc = plan_make(plan, record, err);

	for (int i = 0; rc >= 0 && i < plan->count; i++) {
		told->word[i] = strdup(plan->word[i]);
		if (!told->word[i])
			rc = err_set(err, -ENOMEM, "start %s",
				     plan->entry->name);
	}
	return rc;
}

int plan_tell(const struct context *inside, const struct record *record,
	      const struct record_entry *entry, const char *root,
	      const char *libraries, struct plan_told *told, struct err *err)
{
	struct plan plan = { .context = inside,
			     .entry = entry,
			     .root = root,
			     .told = told,
			     .is_elsewhere = true,
			     .before = libraries };
	int rc;

	*told = (struct plan_told){ NULL, NULL };
	told->word = calloc(PLAN_WORDS + 1, sizeof *told->word);
	rc = told->word ? plan_tell_words(&plan, record, err)
			: err_set(err, -ENOMEM, "start %s", entry->name);
	plan_fini(&plan);
	if (rc < 0)
		plan_told_fini(told);
	return rc;
}
