/* SPDX-License-Identifier: Apache-2.0 */
/* brood-start, the startup binary: start paths of installed applications lead
 * here.  It finds out of which by the path it was executed by, loads the
 * shared application, and becomes it; when that fails it goes on from what
 * this host has alone, and when there is nothing, says so in one line and
 * ends with 75.				CLAIM 4.7 4.8 4.12 4.13 4.14 */
#include "appliance/independent.h"
#include "appliance/plan.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { START_NOT_AVAILABLE = 75, START_SYSTEM = 111 };

struct start {
	struct context context;
	struct context_state state;
	char *folder, *entry;
	char *const *argv;
	uint64_t began_ns;
};

static int start_fail(const char *name, const char *words, const char *rest,
		      int code)
{
	fprintf(stderr, "brood: %s: %s%s\n", name, words, rest);
	return code;
}

/* A line in the report file, if there is one; nothing is lost without it. */
static void start_report(const struct start *start, const char *way,
			 const char *source, const char *facts,
			 const char *reason)
{
	const char *path = getenv("BROOD_REPORT");
	auto_buf struct buf line = { 0 };
	auto_close int fd = -1;
	struct json json;

	if (!path || !*path)
		return;
	json_start(&json, &line);
	json_open(&json, NULL);
	json_text(&json, "app", start->context.name);
	json_text(&json, "entry", start->entry);
	json_text(&json, "way", way);
	json_text(&json, "source", source);
	json_text(&json, "reason", reason);
	json_number(&json, "pid", getpid());
	json_number(&json, "us",
		    (int64_t)(clock_ns() - start->began_ns) / 1000);
	if (facts)
		json_value(&json, "load", facts);
	json_close(&json);
	buf_text(&line, "\n");
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd >= 0 && !line.failed)
		fd_write_all(fd, line.data, line.len, NULL);
}

/* ---- shared -------------------------------------------------------------------- */

/* Independent ones try the share again after a while. */
static bool start_tries_share(const struct start *start)
{
	int64_t now_s = (int64_t)(clock_wall_ns() / 1000000000u);
	int64_t since_s = start->state.since_s;

	if (!start->state.independent)
		return true;
	/* A clock that went back is no reason to wait for it. */
	return start->context.rejoin_ms &&
	       (now_s < since_s ||
		(now_s - since_s) * 1000 >= start->context.rejoin_ms);
}

static void start_shared(struct start *start, struct err *err)
{
	auto_loaded struct loaded loaded = { 0 };
	const struct record_entry *entry;

	if (load_shared(&start->context, start->entry, &loaded, err) < 0)
		return;
	entry = record_find(&loaded.record, start->entry);
	if (start->state.independent)
		context_set_state(&start->context, NULL, NULL);
	start_report(start, "shared", "share", loaded.facts, "");
	plan_become(&start->context, &loaded.record, entry, loaded.root,
		    start->argv, err);
}

/* What is left of the time that a start may take. */
static int start_left_ms(const struct start *start)
{
	int64_t passed_ms = (int64_t)(clock_ns() - start->began_ns) / 1000000;
	int64_t left_ms = start->context.deadline_ms - passed_ms;

	return left_ms > 0 ? (int)left_ms : 0;
}

/* ---- independent --------------------------------------------------------------- */

static void start_full(const struct start *start, const char *program,
		       struct err *err)
{
	execv(program, start->argv);
	err_set(err, -errno, "start %s", program);
}

/* Told as late as can be, for it may yet become that there is nothing. */
static void start_tell(const struct start *start, const struct err *failed)
{
	if (failed->code)
		start_fail(start->context.name, failed->text,
			   "; goes on without the share", 0);
}

/* Becomes what that source has; comes back when it has nothing, or nothing
 * that can be executed. */
static void start_from(struct start *start, enum independent_source source,
		       struct err *failed, const char *reason, struct err *err)
{
	auto_loaded struct loaded loaded = { 0 };
	const char *full;

	if (independent_look(&start->context, source, start->entry,
			     start_left_ms(start), &loaded, &full, err) < 0)
		return;
	start_report(start, "independent", independent_sources[source],
		     loaded.facts, reason);
	start_tell(start, failed);
	failed->code = 0; /* is told once */
	if (full)
		start_full(start, full, err);
	else
		plan_become(&start->context, &loaded.record,
			    record_find(&loaded.record, start->entry),
			    loaded.root, start->argv, err);
}

/* The share has failed, now or at an earlier start. */
static int start_independent(struct start *start, struct err *failed)
{
	const char *reason = failed->code ? failed->text : start->state.reason;
	auto_free char *words = NULL;
	struct err first = { 0 };

	if (failed->code)
		context_set_state(&start->context, reason, NULL);
	for (int i = 0; i < INDEPENDENT_SOURCES; i++)
		start_from(start, (enum independent_source)i, failed, reason,
			   first.code ? NULL : &first);
	if (!first.code)
		err_set(&first, -EINVAL, "nothing is here to go on from");
	words = file_format("%s; without the share: %s", reason, first.text);
	start_report(start, "none", "", NULL, first.text);
	return start_fail(start->context.name,
			  words && *reason ? words : first.text,
			  "; \"brood app rejoin\" tries the share again",
			  START_NOT_AVAILABLE);
}

/* ---- the start on one screen ----------------------------------------------------- */

static int start_run(struct start *start)
{
	const char *executed = (const char *)getauxval(AT_EXECFN);
	struct err err = { 0 };

	/* Of a script that names a start path behind #! the system tells the
	 * script; its first word is the start path then. */
	if ((!executed ||
	     context_of(executed, &start->folder, &start->entry, NULL) < 0) &&
	    context_of(start->argv[0], &start->folder, &start->entry, &err) < 0)
		return start_fail("start", err.text, "", START_SYSTEM);
	if (context_read(start->folder, &start->context, &err) < 0)
		return start_fail("start", err.text, "", START_SYSTEM);
	context_state(&start->context, &start->state);
	if (start_tries_share(start))
		start_shared(start, &err);
	/* The caller's words, and those of the entry: no share can help. */
	if (err.code == -E2BIG)
		return start_fail(start->context.name, err.text, "",
				  START_SYSTEM);
	return start_independent(start, &err);
}

int main(int argc, char **argv)
{
	struct start start = { .argv = argv, .began_ns = clock_ns() };

	int code = argc < 1 ? START_SYSTEM : start_run(&start);

	context_fini(&start.context);
	free(start.folder);
	free(start.entry);
	return code;
}
