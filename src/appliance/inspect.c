/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/inspect.h"
#include "appliance/kind.h"
#include "appliance/paths.h"
#include "appliance/versions.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "share/lock.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INSPECT_VERSIONS = 16 };

/* What a helper has found on the share. */
struct inspect_version {
	uint64_t number, payload_bytes;
	char payload[RECORD_HEX + 1], release[RECORD_NAME_MOST + 1];
	bool is_there;
};
struct inspect_share {
	enum share_backend backend;
	long ttl_ms;
	struct share_holder holder;
	struct inspect_version version[INSPECT_VERSIONS];
	uint32_t count;
};
struct inspect {
	const struct context *context;
	struct helper *helper;
	struct share share;
	struct inspect_share found;
	bool hash;
};

/* ---- on the share ---------------------------------------------------------------- */

static int inspect_version(struct inspect *inspect, const struct buf *text,
			   uint64_t number, struct err *err)
{
	struct inspect_share *found = &inspect->found;
	struct inspect_version *version = &found->version[found->count];
	auto_record struct record record = { 0 };
	auto_free char *path = NULL;
	int rc = record_read(buf_string(text), text->len, &record, err);

	if (rc < 0)
		return err_wrap(err, "version %lu", (unsigned long)number);
	version->number = number;
	version->payload_bytes = record.payload_bytes;
	memcpy(version->payload, record.payload, sizeof version->payload);
	snprintf(version->release, sizeof version->release, "%s",
		 record.release);
	path = versions_payload(&inspect->share, record.payload, err);
	version->is_there = path && access(path, R_OK) == 0;
	found->count++;
	return 0;
}

/* The last ones, newest first; trimmed ones are the end. */
static int inspect_versions(struct inspect *inspect, struct err *err)
{
	const char *name = inspect->context->name;
	auto_buf struct buf text = { 0 };
	uint64_t number;
	int rc = versions_last(&inspect->share, name, &text, &number, err);

	while (rc >= 0 && number && inspect->found.count < INSPECT_VERSIONS) {
		if (!helper_tick(inspect->helper, "reading versions"))
			return -ECANCELED;
		rc = inspect_version(inspect, &text, number, err);
		if (rc < 0 || --number == 0)
			break;
		buf_clear(&text);
		if (versions_get(&inspect->share, name, number, &text, NULL) <
		    0)
			break;
	}
	return rc < 0 ? rc : 0;
}

static bool inspect_goes_on(void *context)
{
	struct inspect *inspect = context;

	return helper_tick(inspect->helper, "hashing the payload");
}

static int inspect_hash(struct inspect *inspect, struct err *err)
{
	const struct inspect_version *version = &inspect->found.version[0];
	auto_free char *path = NULL;

	if (!inspect->found.count)
		return err_set(err, -ENOENT, "%s has no application %s",
			       inspect->share.path, inspect->context->name);
	path = versions_payload(&inspect->share, version->payload, err);
	return path ? payload_verify(path, version->payload,
				     version->payload_bytes, NULL,
				     inspect_goes_on, inspect, err)
		    : -ENOMEM;
}

static int inspect_work(struct helper *helper, void *context,
			struct buf *answer, struct err *err)
{
	struct inspect *inspect = context;
	const struct context *wanted = inspect->context;
	int rc;

	inspect->helper = helper;
	helper_tick(helper, "opening the share");
	rc = versions_open(wanted->share, wanted->share_id, wanted->host,
			   wanted->mounts, wanted->name, &inspect->share, err);
	inspect->found.backend = inspect->share.backend;
	inspect->found.ttl_ms = inspect->share.ttl_ms;
	if (rc >= 0)
		rc = share_lock_look(&inspect->share, &inspect->found.holder,
				     err);
	if (rc >= 0)
		rc = inspect_versions(inspect, err);
	if (rc >= 0 && inspect->hash)
		rc = inspect_hash(inspect, err);
	share_close(&inspect->share);
	buf_add(answer, &inspect->found, sizeof inspect->found);
	return rc < 0 ? rc : 0;
}

static int inspect_ask(const struct context *context, bool hash,
		       struct inspect_share *found, struct err *err)
{
	struct inspect inspect = { .context = context,
				   .share = SHARE_NONE,
				   .hash = hash };
	const struct helper_limits limits = { .total_ms = -1,
					      .silent_ms = context->answer_ms };
	auto_buf struct buf answer = { 0 };
	int rc = helper_run(&limits, inspect_work, &inspect, &answer, err);

	*found = (struct inspect_share){ 0 };
	if (rc >= 0 && answer.len == sizeof *found)
		memcpy(found, answer.data, sizeof *found);
	return rc;
}

/* ---- here --------------------------------------------------------------------------- */

/* Does the path start the application? */
static bool inspect_leads(const struct context *context,
			  const struct context_path *path)
{
	auto_free char *target =
		file_format("%s/bin/%s", context->folder, path->entry);
	auto_free char *saved = NULL;
	bool is_ours = false;

	if (target)
		saved = paths_saved(path->path, target, &is_ours, NULL);
	return is_ours;
}

static void inspect_put_paths(const struct context *context, struct json *json)
{
	json_list_open(json, "paths");
	for (int i = 0; i < context->path_count; i++) {
		const struct context_path *path = &context->path[i];

		json_open(json, NULL);
		json_text(json, "entry", path->entry);
		json_text(json, "path", path->path);
		json_bool(json, "leads_here", inspect_leads(context, path));
		if (path->saved)
			json_text(json, "saved", path->saved);
		json_close(json);
	}
	json_list_close(json);
}

static void inspect_put_share(const struct inspect_share *found,
			      struct json *json)
{
	json_text(json, "lock", share_backend_name(found->backend));
	json_number(json, "ttl_ms", found->ttl_ms);
	json_bool(json, "lock_is_held", found->holder.held);
	if (found->holder.held) {
		json_text(json, "holder", found->holder.host);
		json_text(json, "holder_words", found->holder.words);
	}
	json_list_open(json, "versions");
	for (uint32_t i = 0; i < found->count; i++) {
		const struct inspect_version *version = &found->version[i];

		json_open(json, NULL);
		json_number(json, "number", (int64_t)version->number);
		json_text(json, "release", version->release);
		json_text(json, "payload", version->payload);
		json_number(json, "payload_bytes",
			    (int64_t)version->payload_bytes);
		json_bool(json, "is_there", version->is_there);
		json_close(json);
	}
	json_list_close(json);
}

static void inspect_put_limits(const struct context *context, struct json *json)
{
	json_open(json, "limits_ms");
	json_number(json, "wait", context->wait_ms);
	json_number(json, "answer", context->answer_ms);
	json_number(json, "deadline", context->deadline_ms);
	json_number(json, "rejoin", context->rejoin_ms);
	json_close(json);
}

static void inspect_put_entries(const struct record *record, struct json *json)
{
	json_list_open(json, "entries");
	for (int i = 0; i < record->entry_count; i++) {
		const struct record_entry *entry = &record->entry[i];

		json_open(json, NULL);
		json_text(json, "name", entry->name);
		json_text(json, "kind", kinds[entry->kind].name);
		json_text(json, "path", entry->path);
		json_bool(json, "warm", entry->warm);
		json_close(json);
	}
	json_list_close(json);
	json_list_open(json, "ports");
	for (int i = 0; i < record->port_count; i++)
		json_number(json, NULL, record->port[i]);
	json_list_close(json);
}

static void inspect_put(const struct context *context,
			const struct record *record,
			const struct inspect_share *found, const char *silent,
			struct json *json)
{
	auto_free char *copy = context_copy(context, record);
	struct context_state state;

	context_state(context, &state);
	json_open(json, NULL);
	json_text(json, "name", context->name);
	json_text(json, "release", record->release);
	json_text(json, "state", state.independent ? "independent" : "shared");
	json_text(json, "reason", state.reason);
	json_text(json, "context", context->folder);
	json_text(json, "share", context->share);
	json_text(json, "mounts", context->mounts);
	json_text(json, "copy", copy ? copy : "");
	json_text(json, "appliance",
		  context->appliance ? context->appliance : "");
	inspect_put_limits(context, json);
	inspect_put_entries(record, json);
	inspect_put_paths(context, json);
	json_text(json, "share_error", silent);
	if (!*silent)
		inspect_put_share(found, json);
	json_close(json);
}

/* ---- for people ------------------------------------------------------------------------ */

static void inspect_tell_here(const struct context *context,
			      const struct record *record, struct buf *out)
{
	auto_free char *copy = context_copy(context, record);
	struct context_state state;

	context_state(context, &state);
	buf_format(out, "%s %s: %s%s\n", context->name, record->release,
		   state.independent ? "independent, " : "shared",
		   state.reason);
	buf_format(out, "  context    %s\n  share      %s\n", context->folder,
		   context->share);
	for (int i = 0; i < context->path_count; i++) {
		const struct context_path *path = &context->path[i];

		buf_format(out, "  start path %s%s%s%s\n", path->path,
			   inspect_leads(context, path) ? ""
							: " (changed since)",
			   path->saved ? ", before: " : "",
			   path->saved ? path->saved : "");
	}
	buf_format(out, "  alone from %s%s%s\n", copy ? copy : "",
		   copy && context->appliance ? ", " : "",
		   context->appliance ? context->appliance : "");
}

static void inspect_tell_share(const struct inspect_share *found,
			       struct buf *out)
{
	buf_format(out, "  lock       %s, %s%s\n",
		   share_backend_name(found->backend),
		   found->holder.held ? "held by " : "free",
		   found->holder.held ? found->holder.words : "");
	for (uint32_t i = 0; i < found->count; i++) {
		const struct inspect_version *version = &found->version[i];

		buf_format(out, "  version    %lu  %s  %.12s%s\n",
			   (unsigned long)version->number, version->release,
			   version->payload,
			   version->is_there ? "" : " (payload is gone)");
	}
}

int inspect_show(const struct context *context, bool as_json, struct buf *out,
		 struct err *err)
{
	auto_record struct record record = { 0 };
	struct inspect_share found;
	struct err silent = { 0 };
	struct json json;
	int rc = context_record(context, &record, err);

	if (rc < 0)
		return rc;
	inspect_ask(context, false, &found, &silent);
	if (as_json) {
		json_start(&json, out);
		inspect_put(context, &record, &found, silent.text, &json);
		buf_text(out, "\n");
		return 0;
	}
	inspect_tell_here(context, &record, out);
	if (silent.code)
		buf_format(out, "  the share cannot be asked: %s\n",
			   silent.text);
	else
		inspect_tell_share(&found, out);
	return 0;
}

/* ---- verify ---------------------------------------------------------------------------- */

static int inspect_paths(const struct context *context, struct err *err)
{
	for (int i = 0; i < context->path_count; i++)
		if (!inspect_leads(context, &context->path[i]))
			return err_set(err, -EINVAL,
				       "%s leads to something else; \"brood "
				       "app install\" makes it lead here again",
				       context->path[i].path);
	return 0;
}

int inspect_verify(const struct context *context, bool as_json, struct buf *out,
		   struct err *err)
{
	auto_record struct record record = { 0 };
	struct inspect_share found;
	auto_free char *copy = NULL;
	struct err wrong = { 0 };
	struct json json;
	int rc = context_record(context, &record, &wrong);

	if (rc >= 0)
		rc = inspect_paths(context, &wrong);
	if (rc >= 0 && context->copy) {
		copy = context_copy(context, &record);
		rc = copy ? payload_verify(copy, record.payload,
					   record.payload_bytes, NULL, NULL,
					   NULL, &wrong)
			  : -ENOMEM;
	}
	if (rc >= 0)
		rc = inspect_ask(context, true, &found, &wrong);
	if (as_json) {
		json_start(&json, out);
		json_open(&json, NULL);
		json_text(&json, "name", context->name);
		json_bool(&json, "right", rc >= 0);
		json_text(&json, "wrong", wrong.text);
		json_close(&json);
		buf_text(out, "\n");
	} else if (rc >= 0) {
		buf_format(out, "%s: all right\n", context->name);
	}
	if (rc < 0 && err) {
		*err = wrong;
		err_wrap(err, "%s", context->name);
	}
	return rc < 0 ? rc : 0;
}
