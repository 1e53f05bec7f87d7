/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/obtain.h"
#include "appliance/independent.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A line in the report file, if there is one; nothing is lost without it. */
static void obtain_report(const struct obtain *obtain, const char *way,
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
	json_text(&json, "app", obtain->context->name);
	json_text(&json, "entry", obtain->entry);
	json_text(&json, "way", way);
	json_text(&json, "source", source);
	json_text(&json, "reason", reason);
	json_number(&json, "pid", getpid());
	json_number(&json, "us",
		    (int64_t)(clock_ns() - obtain->began_ns) / 1000);
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
static bool obtain_tries_share(const struct obtain *obtain)
{
	int64_t now_s = (int64_t)(clock_wall_ns() / 1000000000u);
	int64_t since_s = obtain->state.since_s;

	if (!obtain->state.independent)
		return true;
	/* A clock that went back is no reason to wait for it. */
	return obtain->context->rejoin_ms &&
	       (now_s < since_s ||
		(now_s - since_s) * 1000 >= obtain->context->rejoin_ms);
}

static int obtain_shared(const struct obtain *obtain, struct err *err)
{
	auto_loaded struct loaded loaded = { 0 };
	int rc = load_shared(obtain->context, obtain->entry, &loaded, err);

	if (rc < 0)
		return rc;
	if (obtain->state.independent)
		context_set_state(obtain->context, NULL, NULL);
	obtain_report(obtain, "shared", "share", loaded.facts, "");
	return obtain->use(obtain->user, &loaded, NULL, err);
}

/* ---- independent --------------------------------------------------------------- */

/* What is left of the time that a start may take. */
static int obtain_left_ms(const struct obtain *obtain)
{
	int64_t passed_ms = (int64_t)(clock_ns() - obtain->began_ns) / 1000000;
	int64_t left_ms = obtain->context->deadline_ms - passed_ms;

	return left_ms > 0 ? (int)left_ms : 0;
}

/* -ENOENT and no words: there is no such source. */
static int obtain_from(const struct obtain *obtain,
		       enum independent_source source, struct err *failed,
		       const char *reason, struct err *err)
{
	auto_loaded struct loaded loaded = { 0 };
	const char *full;
	int rc;

	if (source == INDEPENDENT_FULL && obtain->payload_only)
		return -ENOENT;
	rc = independent_look(obtain->context, source, obtain->entry,
			      obtain_left_ms(obtain), &loaded, &full, err);
	if (rc < 0)
		return rc;
	obtain_report(obtain, "independent", independent_sources[source],
		      loaded.facts, reason);
	if (failed->code)
		obtain->tell(obtain->user, failed);
	failed->code = 0; /* is told once */
	return obtain->use(obtain->user, &loaded, full, err);
}

static int obtain_nothing(const struct obtain *obtain, const char *reason,
			  const struct err *first, struct err *err)
{
	obtain_report(obtain, "none", "", NULL, first->text);
	return *reason ? err_set(err, -EINVAL, "%s; without the share: %s",
				 reason, first->text)
		       : err_set(err, -EINVAL, "%s", first->text);
}

/* The share has failed, now or at an earlier start. */
static int obtain_independent(const struct obtain *obtain, struct err *failed,
			      struct err *err)
{
	const char *reason = failed->code ? failed->text : obtain->state.reason;
	struct err first = { 0 };

	if (failed->code)
		context_set_state(obtain->context, reason, NULL);
	for (int i = 0; i < INDEPENDENT_SOURCES; i++) {
		struct err why = { 0 };
		int rc = obtain_from(obtain, (enum independent_source)i, failed,
				     reason, &why);

		if (rc == -E2BIG && err)
			*err = why;
		if (rc == -E2BIG || rc >= 0)
			return rc;
		if (!first.code)
			first = why;
	}
	if (!first.code)
		err_set(&first, -EINVAL, "nothing is here to go on from");
	return obtain_nothing(obtain, reason, &first, err);
}

int obtain(struct obtain *obtain, struct err *err)
{
	struct err failed = { 0 };

	context_state(obtain->context, &obtain->state);
	if (obtain_tries_share(obtain)) {
		int rc = obtain_shared(obtain, &failed);

		if (rc == -E2BIG && err)
			*err = failed;
		if (rc == -E2BIG || rc >= 0)
			return rc;
	}
	return obtain_independent(obtain, &failed, err);
}
