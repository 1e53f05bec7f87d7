/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/publish.h"
#include "appliance/site.h"
#include "appliance/versions.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/helper.h"
#include "base/lock.h"
#include "share/lock.h"
#include "tree/erofs_unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct publish {
	const struct publish_wish *wish;
	const struct appliance *appliance;
	const char *name;
	uint64_t to;
	struct helper *helper;
	struct share share;
	struct share_lock lock;
	bool ahead; /* this one has just put the payload there */
	/* The answer, without its text. */
	struct publish_answer {
		uint64_t version;
		bool payload_was_there, version_was_there, share_was_made;
		char share_id[SHARE_ID_CHARS + 1];
	} answer;
};

static bool publish_waits(void *context)
{
	struct publish *publish = context;

	return helper_tick(publish->helper, "waiting for the share's lock");
}

static bool publish_goes_on(void *context)
{
	struct publish *publish = context;

	if (publish->lock.fd >= 0 &&
	    share_lock_beat(&publish->lock, NULL) == -ESTALE)
		return false;
	return helper_tick(publish->helper, "writing the payload");
}

/* ---- the share opened and locked ------------------------------------------------- */

static bool publish_is_share(const char *path)
{
	auto_free char *record = file_join(path, "brood.json");

	return record && access(record, F_OK) == 0;
}

static int publish_begin(struct publish *publish, struct err *err)
{
	const struct publish_wish *wish = publish->wish;
	int rc = helper_tick(publish->helper, "opening the share") ? 0
								   : -ECANCELED;

	if (rc >= 0 && wish->make) {
		publish->answer.share_was_made = !publish_is_share(wish->share);
		rc = share_make(wish->share, &wish->kind, err);
	}
	if (rc >= 0)
		rc = versions_open(wish->share, wish->share_id, wish->host,
				   wish->local, publish->name, &publish->share,
				   err);
	memcpy(publish->answer.share_id, publish->share.id,
	       sizeof publish->answer.share_id);
	return rc;
}

static int publish_lock(struct publish *publish, struct err *err)
{
	return share_lock_take(&publish->share, publish->wish->wait_ms,
			       publish_waits, publish, &publish->lock, err);
}

static int publish_end(struct publish *publish, int rc, struct err *err)
{
	int released = 0;

	if (publish->lock.fd >= 0)
		released =
			share_lock_release(&publish->lock, rc < 0 ? NULL : err);
	share_close(&publish->share);
	return rc < 0 ? rc : released;
}

/* Nothing of an other holder's is overwritten: the number is taken then. */
static int publish_add(struct publish *publish, uint64_t number,
		       const struct buf *text, struct err *err)
{
	int rc = share_lock_check(&publish->lock, err);

	if (rc >= 0)
		rc = versions_add(&publish->share, publish->name, number, text,
				  err);
	publish->answer.version = number;
	return rc;
}

/* ---- an appliance ------------------------------------------------------------------ */

/* The folder gets its name when it is complete. */
static int publish_unpacked(struct publish *publish, struct err *err)
{
	const struct appliance *appliance = publish->appliance;
	auto_free char *path = file_format("%s/payloads/%s.tree",
					   publish->share.path, appliance->hex);
	auto_free char *fresh =
		file_format("%s/payloads/.draft.%s.%s.%d", publish->share.path,
			    appliance->hex, publish->share.host, getpid());
	auto_close int dir = -1;
	int rc;

	if (!path || !fresh)
		return err_set(err, -ENOMEM, "unpack the payload");
	if (access(path, F_OK) == 0)
		return 0;
	file_remove_tree(fresh, NULL);
	if (mkdir(fresh, 0700) < 0)
		return err_set(err, -errno, "make %s", fresh);
	dir = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = dir < 0 ? err_set(err, -errno, "open %s", fresh)
		     : erofs_unpack(&appliance->erofs, dir, publish_goes_on,
				    publish, err);
	if (rc >= 0 && syncfs(dir) < 0)
		rc = err_set(err, -errno, "sync %s", fresh);
	if (rc >= 0 && rename(fresh, path) < 0)
		rc = errno == ENOTEMPTY || errno == EEXIST
			     ? 1 /* another host was faster */
			     : err_set(err, -errno, "publish %s", path);
	if (rc != 0)
		file_remove_tree(fresh, NULL);
	return rc < 0 ? rc : 0;
}

static int publish_payload(struct publish *publish, struct err *err)
{
	const struct appliance *appliance = publish->appliance;
	auto_free char *stamp =
		site_stamp(publish->wish->local, appliance->hex, "share");
	int rc = versions_use(&publish->share, appliance->hex, err);

	if (rc >= 0)
		rc = versions_publish(&publish->share, appliance->fd,
				      appliance->hex, appliance->bytes, stamp,
				      publish_goes_on, publish, err);
	publish->answer.payload_was_there = rc > 0 && !publish->ahead;
	if (rc >= 0 && publish->wish->unpacked)
		rc = publish_unpacked(publish, err);
	return rc < 0 ? rc : 0;
}

/* What the share has goes before what the appliance is, but for an upgrade. */
static int publish_version(struct publish *publish, struct buf *text,
			   struct err *err)
{
	const struct buf *ours = &publish->appliance->record_text;
	uint64_t last;
	int rc =
		versions_last(&publish->share, publish->name, text, &last, err);
	bool same = rc >= 0 && last && text->len == ours->len &&
		    memcmp(text->data, ours->data, ours->len) == 0;

	if (rc < 0)
		return rc;
	publish->answer.version = last;
	publish->answer.version_was_there = last > 0;
	if (last && !same && !publish->wish->upgrade)
		return 0;
	rc = publish_payload(publish, err);
	if (rc < 0 || same)
		return rc;
	buf_clear(text);
	buf_add(text, ours->data, ours->len);
	publish->answer.version_was_there = false;
	return publish_add(publish, last + 1, text, err);
}

/* Before the lock is taken: the copying, for which all starts would wait.  It
 * is new, or noted as in use, so that nobody collects it meanwhile. */
static int publish_ahead(struct publish *publish, struct err *err)
{
	auto_buf struct buf text = { 0 };
	uint64_t last;
	int rc = versions_last(&publish->share, publish->name, &text, &last,
			       err);

	if (rc < 0 || (last && !publish->wish->upgrade))
		return rc;
	rc = publish_payload(publish, err);
	publish->ahead = rc >= 0 && !publish->answer.payload_was_there;
	return rc;
}

static int publish_work(struct helper *helper, void *context,
			struct buf *answer, struct err *err)
{
	struct publish *publish = context;
	auto_buf struct buf text = { 0 };
	int rc;

	publish->helper = helper;
	rc = publish_begin(publish, err);
	if (rc >= 0)
		rc = publish_ahead(publish, err);
	if (rc >= 0)
		rc = publish_lock(publish, err);
	if (rc >= 0)
		rc = publish_version(publish, &text, err);
	rc = publish_end(publish, rc, err);
	buf_add(answer, &publish->answer, sizeof publish->answer);
	buf_add(answer, buf_string(&text), text.len);
	return rc;
}

/* ---- a version before ---------------------------------------------------------------- */

static int publish_find(struct publish *publish, uint64_t last,
			struct buf *text, struct err *err)
{
	auto_record struct record now = { 0 };
	int rc = record_read(buf_string(text), text->len, &now, err);
	uint64_t at = publish->to ? publish->to : last - 1;

	for (; rc >= 0 && at; at--) {
		auto_record struct record found = { 0 };

		buf_clear(text);
		rc = versions_get(&publish->share, publish->name, at, text,
				  err);
		if (rc >= 0)
			rc = record_read(buf_string(text), text->len, &found,
					 err);
		if (rc >= 0 &&
		    (publish->to || strcmp(found.payload, now.payload) != 0))
			return 0;
	}
	return rc < 0 ? rc
		      : err_set(err, -EINVAL,
				"%s has no version before this one",
				publish->name);
}

/* A version without its payload would start nowhere. */
static int publish_has_payload(struct publish *publish, const struct buf *text,
			       struct err *err)
{
	auto_record struct record record = { 0 };
	auto_free char *path = NULL;
	int rc = record_read(buf_string(text), text->len, &record, err);

	if (rc < 0)
		return rc;
	rc = versions_use(&publish->share, record.payload, err);
	path = versions_payload(&publish->share, record.payload, err);
	if (rc >= 0 && path && access(path, R_OK) < 0)
		rc = err_set(err, -errno,
			     "the payload of that version is gone: %s", path);
	return path ? rc : -ENOMEM;
}

static int rollback_work(struct helper *helper, void *context,
			 struct buf *answer, struct err *err)
{
	struct publish *publish = context;
	auto_buf struct buf text = { 0 };
	uint64_t last = 0;
	int rc;

	publish->helper = helper;
	rc = publish_begin(publish, err);
	if (rc >= 0)
		rc = publish_lock(publish, err);
	if (rc >= 0)
		rc = versions_last(&publish->share, publish->name, &text, &last,
				   err);
	if (rc >= 0 && !last)
		rc = err_set(err, -ENOENT, "the share has no application %s",
			     publish->name);
	if (rc >= 0)
		rc = publish_find(publish, last, &text, err);
	if (rc >= 0)
		rc = publish_has_payload(publish, &text, err);
	if (rc >= 0)
		rc = publish_add(publish, last + 1, &text, err);
	rc = publish_end(publish, rc, err);
	buf_add(answer, &publish->answer, sizeof publish->answer);
	buf_add(answer, buf_string(&text), text.len);
	return rc;
}

static int leave_work(struct helper *helper, void *context, struct buf *answer,
		      struct err *err)
{
	struct publish *publish = context;
	int rc;

	(void)answer;
	publish->helper = helper;
	rc = publish_begin(publish, err);
	if (rc >= 0)
		rc = publish_lock(publish, err);
	if (rc >= 0)
		versions_leave(&publish->share, publish->name);
	return publish_end(publish, rc, err);
}

/* ---- outside ------------------------------------------------------------------------- */

static int publish_run(struct publish *publish, helper_work *work,
		       struct published *published, struct err *err)
{
	const struct helper_limits limits = {
		.total_ms = -1,
		.silent_ms = publish->wish->answer_ms,
		.keep_fd = publish->appliance ? publish->appliance->fd : 0,
	};
	auto_buf struct buf answer = { 0 };
	struct publish_answer head;
	int rc;

	*published = (struct published){ 0 };
	publish->share = SHARE_NONE;
	publish->lock = SHARE_LOCK_NONE;
	rc = helper_run(&limits, work, publish, &answer, err);
	if (rc < 0 || answer.len < sizeof head)
		return rc;
	memcpy(&head, answer.data, sizeof head);
	published->version = head.version;
	published->payload_was_there = head.payload_was_there;
	published->version_was_there = head.version_was_there;
	published->share_was_made = head.share_was_made;
	memcpy(published->share_id, head.share_id, sizeof head.share_id);
	buf_add(&published->record, answer.data + sizeof head,
		answer.len - sizeof head);
	return published->record.failed ? err_set(err, -ENOMEM, "the record")
					: 0;
}

int publish_appliance(const struct publish_wish *wish,
		      const struct appliance *appliance,
		      struct published *published, struct err *err)
{
	struct publish publish = { .wish = wish,
				   .appliance = appliance,
				   .name = appliance->record.name };

	return publish_run(&publish, publish_work, published, err);
}

int publish_rollback(const struct publish_wish *wish, const char *name,
		     uint64_t to, struct published *published, struct err *err)
{
	struct publish publish = { .wish = wish, .name = name, .to = to };

	return publish_run(&publish, rollback_work, published, err);
}

int publish_leave(const struct publish_wish *wish, const char *hex,
		  struct err *err)
{
	struct publish publish = { .wish = wish, .name = hex };
	struct published published;

	return publish_run(&publish, leave_work, &published, err);
}

void published_fini(struct published *published)
{
	buf_fini(&published->record);
}
