/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/load.h"
#include "appliance/check.h"
#include "appliance/site.h"
#include "appliance/versions.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "share/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOAD_LOCAL_PATIENCE = 4, LOAD_ALONE_PART = 4 };

/* What the helper works on. */
struct load {
	const struct context *context;
	const char *entry;
	struct helper *helper;
	const char *doing; /* what is told when it falls silent */
	struct share share;
	struct share_lock lock;
	struct buf text; /* of the record */
	struct record record;
	uint64_t version, epoch;
	struct site site;
	const char *image; /* of this host alone; NULL: on the share */
	const char *source;
	bool unlocked; /* only what root has loaded */
	bool lock_was_held;
	uint64_t began_ns, locked_ns, placed_ns, checked_ns;
};

/* ---- alive --------------------------------------------------------------------- */

/* Those who wait for the lock are told as the caller is. */
static bool load_goes_on(void *context)
{
	struct load *load = context;

	if (load->lock.fd >= 0 && share_lock_beat(&load->lock, NULL) == -ESTALE)
		return false;
	return helper_tick(load->helper, load->doing);
}

static int load_says(struct load *load, const char *doing, struct err *err)
{
	load->doing = doing;
	return helper_tick(load->helper, doing)
		       ? 0
		       : err_set(err, -ECANCELED, "%s", doing);
}

/* ---- steps --------------------------------------------------------------------- */

static int load_open_share(struct load *load, struct err *err)
{
	const struct context *context = load->context;
	int rc = load_says(load, "opening the share", err);

	return rc < 0 ? rc
		      : versions_open(context->share, context->share_id,
				      context->host, context->mounts,
				      context->name, &load->share, err);
}

/* CLAIM 4.9: the first look tells whether there is a lock.  CLAIM 4.10: it is
 * waited for.  CLAIM 4.11: it is made in one step. */
static int load_take_lock(struct load *load, struct err *err)
{
	int rc = load_says(load, "waiting for the share's lock", err);

	if (rc >= 0)
		rc = share_lock_take(&load->share, load->context->wait_ms,
				     load_goes_on, load, &load->lock, err);
	load->lock_was_held = load->lock.was_held;
	load->epoch = load->lock.epoch;
	load->locked_ns = clock_ns();
	return rc;
}

static int load_version(struct load *load, struct err *err)
{
	const char *name = load->context->name;
	int rc = load_says(load, "reading the version", err);

	if (rc >= 0)
		rc = versions_last(&load->share, name, &load->text,
				   &load->version, err);
	if (rc >= 0 && !load->version)
		rc = err_set(err, -ENOENT, "%s has no application %s",
			     load->share.path, name);
	if (rc >= 0)
		rc = record_read(buf_string(&load->text), load->text.len,
				 &load->record, err);
	if (rc >= 0 && strcmp(load->record.name, name) != 0)
		rc = err_set(err, -EINVAL, "version %lu of %s is one of %s",
			     (unsigned long)load->version, name,
			     load->record.name);
	return rc;
}

/* CLAIM 4.12: verified, and a folder of this host. */
static int load_place(struct load *load, struct err *err)
{
	auto_free char *shared = NULL;
	const struct site_wish wish = {
		.mounts = load->context->mounts,
		.hex = load->record.payload,
		.bytes = load->record.payload_bytes,
		.source = load->source,
		.tick = load_goes_on,
		.context = load,
		.shared = !load->image,
		.found_only = load->unlocked,
	};
	int rc = load_says(load, "reading the payload", err);

	if (!load->image)
		shared = versions_payload(&load->share, load->record.payload,
					  err);
	if (rc >= 0 && !load->image && !shared)
		rc = -ENOMEM;
	if (rc >= 0)
		rc = site_find(&wish, load->image ? load->image : shared,
			       &load->site, err);
	load->placed_ns = clock_ns();
	return rc;
}

/* Asked once for each payload, entry and boot; until it is answered well. */
static int load_check_entry(struct load *load, const struct record_entry *entry,
			    struct err *err)
{
	auto_free char *fits =
		file_format("%s/%.32s-%s.fits.%s", load->context->mounts,
			    load->record.payload, load->source, entry->name);
	bool thorough = !fits || load->site.is_new || access(fits, F_OK) < 0;
	int rc;

	if (thorough && fits)
		unlink(fits);
	rc = check_entry(load->site.root, entry, thorough, load_goes_on, load,
			 err);
	if (rc >= 0 && thorough && fits)
		file_replace(fits, "", 0, 0644, NULL);
	return rc;
}

/* CLAIM 4.13: can its program be loaded? */
static int load_check(struct load *load, struct err *err)
{
	const struct record_entry *entry =
		record_find(&load->record, load->entry);
	int rc = load_says(load, "looking at the program", err);

	if (rc >= 0 && !entry)
		rc = err_set(err, -ENOENT, "version %s of %s has no entry %s",
			     load->record.release, load->record.name,
			     load->entry);
	if (rc >= 0)
		rc = load_check_entry(load, entry, err);
	load->checked_ns = clock_ns();
	return rc;
}

/* ---- told ---------------------------------------------------------------------- */

static void load_facts(const struct load *load, struct buf *out)
{
	uint64_t end_ns = clock_ns();
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_number(&json, "version", (int64_t)load->version);
	json_text(&json, "payload", load->record.payload);
	json_bool(&json, "locked", !load->unlocked);
	json_bool(&json, "lock_was_held", load->lock_was_held);
	json_number(&json, "epoch", (int64_t)load->epoch);
	json_text(&json, "verified", load->site.verified);
	json_text(&json, "placed", load->site.way);
	json_open(&json, "us");
	if (load->locked_ns)
		json_number(&json, "lock",
			    (int64_t)(load->locked_ns - load->began_ns) / 1000);
	json_number(&json, "place",
		    (int64_t)(load->placed_ns - (load->locked_ns
							 ? load->locked_ns
							 : load->began_ns)) /
			    1000);
	json_number(&json, "check",
		    (int64_t)(load->checked_ns - load->placed_ns) / 1000);
	json_number(&json, "load", (int64_t)(end_ns - load->began_ns) / 1000);
	json_close(&json);
	json_close(&json);
}

/* Three texts, each with its 0: root, facts, record. */
static void load_answer(const struct load *load, struct buf *answer)
{
	auto_buf struct buf facts = { 0 };

	load_facts(load, &facts);
	buf_add(answer, load->site.root, strlen(load->site.root) + 1);
	buf_add(answer, buf_string(&facts), facts.len + 1);
	buf_add(answer, buf_string(&load->text), load->text.len);
}

static void load_fini(struct load *load)
{
	site_fini(&load->site);
	record_fini(&load->record);
	buf_fini(&load->text);
	share_close(&load->share);
}

/* ---- the claim on one screen ----------------------------------------------------- */

/* Users whom root has installed an application for may not write to the share,
 * and so take no lock.  They mount nothing either: what root has loaded on this
 * host is there for them, or the same unpacked. */
static bool load_may_lock(const struct load *load)
{
	return faccessat(load->share.root, "lock", W_OK, AT_EACCESS) == 0;
}

static int load_found(struct load *load, struct err *err)
{
	int rc;

	load->unlocked = true;
	load->locked_ns = clock_ns();
	rc = load_version(load, err);
	if (rc >= 0)
		rc = load_place(load, err);
	return rc < 0 ? rc : load_check(load, err);
}

static int load_under_lock(struct load *load, struct err *err)
{
	int rc = load_version(load, err);

	if (rc >= 0)
		rc = load_place(load, err);
	if (rc >= 0)
		rc = load_check(load, err);
	if (rc >= 0)
		rc = versions_use(&load->share, load->record.payload, err);
	return rc;
}

static int load_locked(struct load *load, struct err *err)
{
	int rc = load_take_lock(load, err);
	int released;

	if (rc < 0)
		return rc;
	rc = load_under_lock(load, err);
	released = share_lock_release(&load->lock, rc < 0 ? NULL : err);
	return rc < 0 ? rc : released;
}

static int load_work(struct helper *helper, void *context, struct buf *answer,
		     struct err *err)
{
	struct load *load = context;
	int rc;

	load->helper = helper;
	load->began_ns = clock_ns();
	rc = load_open_share(load, err);
	if (rc >= 0)
		rc = load_may_lock(load) ? load_locked(load, err)
					 : load_found(load, err);
	if (rc >= 0)
		load_answer(load, answer);
	load_fini(load);
	return rc;
}

static int load_take_answer(const struct buf *answer, struct loaded *loaded,
			    struct err *err)
{
	const char *root = buf_string(answer);
	size_t root_len = strnlen(root, answer->len) + 1;
	const char *facts = root + root_len;
	size_t facts_len;

	if (root_len >= answer->len)
		return err_set(err, -EPROTO, "the helper's answer");
	facts_len = strnlen(facts, answer->len - root_len) + 1;
	if (root_len + facts_len > answer->len)
		return err_set(err, -EPROTO, "the helper's answer");
	loaded->root = strdup(root);
	loaded->facts = strdup(facts);
	if (!loaded->root || !loaded->facts)
		return err_set(err, -ENOMEM, "the helper's answer");
	buf_add(&loaded->text, facts + facts_len,
		answer->len - root_len - facts_len);
	return record_read(buf_string(&loaded->text), loaded->text.len,
			   &loaded->record, err);
}

/* Of which the helper's work is the only difference. */
static struct load load_of(const struct context *context, const char *entry,
			   const char *source)
{
	return (struct load){ .context = context,
			      .entry = entry,
			      .source = source,
			      .share = SHARE_NONE,
			      .lock = SHARE_LOCK_NONE };
}

static int load_run(struct load *load, const struct helper_limits *limits,
		    helper_work *work, struct loaded *loaded, struct err *err)
{
	auto_buf struct buf answer = { 0 };
	int rc = helper_run(limits, work, load, &answer, err);

	return rc < 0 ? rc : load_take_answer(&answer, loaded, err);
}

int load_shared(const struct context *context, const char *entry,
		struct loaded *loaded, struct err *err)
{
	struct load load = load_of(context, entry, "share");
	struct helper_limits limits;

	*loaded = (struct loaded){ 0 };
	context_limits(context, &limits);
	/* The rest is for going on without the share. */
	limits.total_ms -= limits.total_ms / LOAD_ALONE_PART;
	return load_run(&load, &limits, load_work, loaded, err);
}

/* ---- without the share ------------------------------------------------------------ */

static int load_local_work(struct helper *helper, void *context,
			   struct buf *answer, struct err *err)
{
	struct load *load = context;
	int rc;

	load->helper = helper;
	load->began_ns = clock_ns();
	rc = load_place(load, err);
	if (rc >= 0)
		rc = load_check(load, err);
	if (rc >= 0)
		load_answer(load, answer);
	site_fini(&load->site);
	return rc;
}

int load_local(const struct context *context, const char *entry,
	       const char *image, const char *source, int left_ms,
	       struct loaded *loaded, struct err *err)
{
	struct load load = load_of(context, entry, source);
	struct helper_limits limits;
	int rc;

	*loaded = (struct loaded){ 0 };
	load.image = image;
	context_limits(context, &limits);
	/* A disk that was asleep is no share that is gone, and behind this
	 * there is nothing. */
	if (limits.silent_ms < INT_MAX / LOAD_LOCAL_PATIENCE)
		limits.silent_ms *= LOAD_LOCAL_PATIENCE;
	limits.total_ms = left_ms;
	rc = context_record_text(context, &load.text, err);
	if (rc >= 0)
		rc = record_read(buf_string(&load.text), load.text.len,
				 &load.record, err);
	if (rc >= 0)
		rc = load_run(&load, &limits, load_local_work, loaded, err);
	load_fini(&load);
	return rc;
}

void loaded_fini(struct loaded *loaded)
{
	record_fini(&loaded->record);
	buf_fini(&loaded->text);
	free(loaded->root);
	free(loaded->facts);
	*loaded = (struct loaded){ 0 };
}
