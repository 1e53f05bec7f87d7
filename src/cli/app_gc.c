/* SPDX-License-Identifier: Apache-2.0 */
/* brood app gc: what nobody starts any more goes, there and here. */
#include "appliance/collect.h"
#include "appliance/site.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/app.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GC_DAY_MS = 24 * 3600 * 1000, GC_DAYS = 7 };

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
