/* SPDX-License-Identifier: Apache-2.0 */
/* brood app ls, show, verify, gc and start. */
#include "appliance/collect.h"
#include "appliance/inspect.h"
#include "appliance/site.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/app.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { GC_DAY_MS = 24 * 3600 * 1000, GC_DAYS = 7 };

struct list_words {
	bool json;
};
static const struct args_option list_options[] = {
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct list_words, json),
	  .help = "tell it as JSON" },
	{ .name = NULL }
};

/* ---- ls ------------------------------------------------------------------------- */

const struct args_verb app_ls_args = {
	.name = "app ls",
	.synopsis = "[--json]",
	.summary = "list the installed applications",
	.text = "One line for each: its name and release, whether it is shared "
		"or independent (and why), what its context takes here and "
		"its payload there. It does not ask the share.",
	.options = list_options,
};

struct list_row {
	struct json *json;
	struct buf *out;
	uint64_t count;
};

static void list_damaged(struct list_row *row, const char *folder,
			 const struct err *damaged)
{
	if (!row->json) {
		buf_format(row->out, "%-20s damaged: %s\n", file_base(folder),
			   damaged->text);
		return;
	}
	json_open(row->json, NULL);
	json_text(row->json, "name", file_base(folder));
	json_text(row->json, "state", "damaged");
	json_text(row->json, "reason", damaged->text);
	json_close(row->json);
}

static void list_json(struct json *json, const struct context *context,
		      const struct record *record,
		      const struct context_state *state)
{
	json_open(json, NULL);
	json_text(json, "name", context->name);
	json_text(json, "release", record->release);
	json_text(json, "state", state->independent ? "independent" : "shared");
	if (state->independent) {
		json_text(json, "reason", state->reason);
		json_number(json, "since", state->since_s);
	}
	json_text(json, "share", context->share);
	json_text(json, "payload", record->payload);
	json_number(json, "payload_bytes", (int64_t)record->payload_bytes);
	json_number(json, "context_bytes",
		    (int64_t)install_bytes(context->folder));
	json_close(json);
}

static void list_line(struct buf *out, const struct context *context,
		      const struct record *record,
		      const struct context_state *state)
{
	char here[16], there[16];

	cli_size(install_bytes(context->folder), here);
	cli_size(record->payload_bytes, there);
	buf_format(out, "%-20s %-12s %-11s %6s here, %6s on %s%s%s\n",
		   context->name, record->release,
		   state->independent ? "independent" : "shared", here, there,
		   context->share, state->independent ? ": " : "",
		   state->reason);
}

static int list_visit(const struct context *context, const char *folder,
		      const struct err *damaged, void *more)
{
	auto_record struct record record = { 0 };
	struct context_state state;
	struct list_row *row = more;
	struct err err = { 0 };

	row->count++;
	if (damaged->code || context_record(context, &record, &err) < 0) {
		list_damaged(row, folder, damaged->code ? damaged : &err);
		return 0;
	}
	context_state(context, &state);
	if (row->json)
		list_json(row->json, context, &record, &state);
	else
		list_line(row->out, context, &record, &state);
	return 0;
}

int app_ls_run(int argc, char **argv)
{
	struct list_words words = { 0 };
	auto_buf struct buf out = { 0 };
	struct list_row row = { .out = &out };
	struct json json;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_ls_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (words.json) {
		json_start(&json, &out);
		json_open(&json, NULL);
		json_list_open(&json, "apps");
		row.json = &json;
	}
	if (app_each(list_visit, &row, &err) < 0)
		return cli_fail(&err, NULL);
	if (words.json) {
		json_list_close(&json);
		json_close(&json);
		buf_text(&out, "\n");
	} else if (!row.count) {
		buf_text(&out, "nothing is installed; \"brood app pack\" makes "
			       "an appliance, \"brood app install\" installs "
			       "it\n");
	}
	return cli_print(buf_string(&out));
}

/* ---- show and verify -------------------------------------------------------------- */

const struct args_verb app_show_args = {
	.name = "app show",
	.synopsis = "[--json] NAME",
	.summary = "tell all of an installed application",
	.text = "Its context, start paths, limits, versions on the share, who "
		"holds the share's lock, and from what it could go on without "
		"the share.",
	.options = list_options,
	.least = 1,
	.most = 1,
};

const struct args_verb app_verify_args = {
	.name = "app verify",
	.synopsis = "[--json] NAME...",
	.summary = "read every byte of an application",
	.text = "Hashes the payload on the share, and the copy that is kept "
		"here, whatever was found before; looks whether start paths "
		"still lead to the startup binary. Exits with 111 and tells "
		"what is wrong.",
	.options = list_options,
	.least = 1,
	.most = -1,
};

int app_show_run(int argc, char **argv)
{
	auto_context struct context context = { 0 };
	struct list_words words = { 0 };
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_show_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (app_context(operands[0], &context, &err) < 0 ||
	    inspect_show(&context, words.json, &out, &err) < 0)
		return cli_fail(&err, "\"brood app ls\" lists what is "
				      "installed");
	return cli_print(buf_string(&out));
}

int app_verify_run(int argc, char **argv)
{
	struct list_words words = { 0 };
	char **operands;
	int count, code, worst = 0;

	if (cli_parse(&app_verify_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	for (int i = 0; i < count; i++) {
		auto_context struct context context = { 0 };
		auto_buf struct buf out = { 0 };
		struct err err = { 0 };
		int rc = app_context(operands[i], &context, &err);

		if (rc >= 0)
			rc = inspect_verify(&context, words.json, &out, &err);
		if (rc < 0)
			worst = cli_fail(&err, NULL);
		cli_print(buf_string(&out));
	}
	return worst;
}

/* ---- gc ---------------------------------------------------------------------------- */

struct gc_words {
	const char *share;
	long grace_ms;
	bool json;
};

static const struct args_option gc_options[] = {
	{ .name = "--share",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct gc_words, share),
	  .help = "which share (those of all installed applications)" },
	{ .name = "--grace",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct gc_words, grace_ms),
	  .help = "how long a payload stays after its last use (7 days)" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct gc_words, json),
	  .help = "tell it as JSON" },
	{ .name = NULL }
};

const struct args_verb app_gc_args = {
	.name = "app gc",
	.synopsis = "[OPTIONS]",
	.summary = "remove what nobody starts any more",
	.text = "On the share: payloads that are in none of the last two "
		"versions of an application, that no host has used within the "
		"grace, and that are not new themselves; and what was left by "
		"an install that was cut off. All of it is found out and done "
		"under the share's lock.\n\n"
		"Here: mounts that no program uses and no context names.",
	.options = gc_options,
};

struct gc_share {
	char *given;	 /* resolved; NULL: all */
	struct buf done; /* shares, a line each behind a first one */
	bool found;	 /* the given one */
	struct buf *out;
	const struct gc_words *words;
	const char *kept[256]; /* payloads of this host's contexts */
	struct buf kept_text;
	size_t kept_count;
	struct err err;
};

static void gc_json(const char *share, const struct collected *collected,
		    struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "share", share);
	json_number(&json, "payloads", (int64_t)collected->payloads);
	json_number(&json, "bytes", (int64_t)collected->bytes);
	json_number(&json, "drafts", (int64_t)collected->drafts);
	json_close(&json);
	buf_text(out, "\n");
}

static void gc_one(struct gc_share *gc, const struct context *context)
{
	struct collected collected;
	struct publish_wish wish;
	char size[16];
	struct err err = { 0 };

	app_publish_wish(context, &wish);
	if (collect_share(&wish, gc->words->grace_ms, &collected, &err) < 0) {
		/* No reason not to collect the others. */
		if (!gc->err.code)
			gc->err = err;
		return;
	}
	cli_size(collected.bytes, size);
	if (gc->words->json)
		gc_json(context->share, &collected, gc->out);
	else
		buf_format(gc->out, "%s: %lu payloads of %s, %lu drafts\n",
			   context->share, (unsigned long)collected.payloads,
			   size, (unsigned long)collected.drafts);
}

static int gc_visit(const struct context *context, const char *folder,
		    const struct err *damaged, void *more)
{
	auto_record struct record record = { 0 };
	struct gc_share *gc = more;
	auto_free char *line = NULL;

	(void)folder;
	if (damaged->code)
		return 0;
	if (context_record(context, &record, NULL) >= 0)
		buf_format(&gc->kept_text, "%s\n", record.payload);
	line = file_format("\n%s\n", context->share);
	if (!line || strstr(buf_string(&gc->done), line))
		return 0;
	buf_text(&gc->done, line);
	if (gc->given && strcmp(gc->given, context->share) != 0)
		return 0;
	gc->found = true;
	gc_one(gc, context);
	return 0;
}

/* What a context names stays mounted, for its next start. */
static int gc_mounts(struct gc_share *gc, struct err *err)
{
	auto_free char *root = context_root(err);
	auto_free char *mounts = root ? context_mounts(root, err) : NULL;
	auto_free char *text = buf_steal(&gc->kept_text);

	for (char *line = text; line && *line && gc->kept_count < 255;) {
		char *end = strchr(line, '\n');

		*end = 0;
		gc->kept[gc->kept_count++] = line;
		line = end + 1;
	}
	gc->kept[gc->kept_count] = NULL;
	return mounts ? site_sweep(mounts, gc->kept, err) : -ENOMEM;
}

int app_gc_run(int argc, char **argv)
{
	struct gc_words words = { .grace_ms = (long)GC_DAYS * GC_DAY_MS };
	auto_buf struct buf out = { 0 };
	struct gc_share gc = { .words = &words, .out = &out };
	char **operands;
	int count, code, rc;

	if (cli_parse(&app_gc_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (words.share) {
		gc.given = realpath(words.share, NULL);
		if (!gc.given)
			gc.given = strdup(words.share);
	}
	rc = app_each(gc_visit, &gc, &gc.err);
	if (rc >= 0)
		rc = gc_mounts(&gc, gc.err.code ? NULL : &gc.err);
	if (rc >= 0 && gc.given && !gc.found)
		rc = err_set(&gc.err, -EINVAL,
			     "no application here is of the share %s",
			     gc.given);
	buf_fini(&gc.done);
	buf_fini(&gc.kept_text);
	free(gc.given);
	cli_print(buf_string(&out));
	return rc < 0 || gc.err.code ? cli_fail(&gc.err, NULL) : 0;
}

/* ---- start -------------------------------------------------------------------------- */

static const struct args_option start_options[] = { { .name = NULL } };

const struct args_verb app_start_args = {
	.name = "app start",
	.synopsis = "NAME[/ENTRY] [ARG...]",
	.summary = "start an installed application",
	.text = "The same as its start path does: the startup binary loads the "
		"shared application and becomes it.",
	.options = start_options,
	.least = 1,
	.most = -1,
	.stop_early = true,
};

int app_start_run(int argc, char **argv)
{
	auto_context struct context context = { 0 };
	auto_record struct record record = { 0 };
	auto_free char *name = NULL;
	auto_free char *path = NULL;
	const char *entry;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_start_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	entry = strchr(operands[0], '/');
	name = strndup(operands[0], strcspn(operands[0], "/"));
	if (!name || app_context(name, &context, &err) < 0 ||
	    context_record(&context, &record, &err) < 0)
		return cli_fail(&err, "\"brood app ls\" lists what is "
				      "installed");
	path = file_format("%s/bin/%s", context.folder,
			   entry ? entry + 1 : record.entry[0].name);
	if (!path)
		return CLI_SYSTEM;
	execve(path, operands, environ);
	err_set(&err, -errno, "start %s", path);
	return cli_fail(&err, NULL);
}
