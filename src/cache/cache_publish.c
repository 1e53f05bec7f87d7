/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed object becomes a file.				CLAIM 1.7
 *
 *  1. The key's lock was taken when it was missed: nobody else writes it.
 *  2. An unnamed file is written and synced.
 *  3. What was found wrong under the key goes, if it is still that file.
 *  4. The file is linked to its name: from then on it is complete.  Where
 *     the name is taken, somebody's file is there, and ours is dropped.
 *     What replaces another takes its name by rename instead.  It has a lock
 *     of its own from its begin on, for making it may take minutes, and takes
 *     the key's when it is written.
 *  5. The lock is let go; then the folder is looked over for what is old.
 *
 * Killed before 4 it leaves nothing, or, where the system has no unnamed
 * files, one ".new." that the next look removes.  It is done by a thread
 * that takes no signals, so that a file size limit is an error too. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "cache/cache_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static off_t cache_publish_place(const struct cache_item *item)
{
	return cache_lock_place(item->object.key) +
	       (item->replaces ? CACHE_LOCK_PLACES : 0);
}

int cache_publish_lock(struct cache_item *item)
{
	auto_close int fd = -1;
	int rc;

	if (item->lock >= 0)
		return 0;
	rc = cache_place_use(item->cache, true, &item->err);
	if (rc >= 0)
		rc = fd = store_lock_open(item->cache->root, &item->err);
	if (rc >= 0)
		rc = store_lock_byte(fd, cache_publish_place(item));
	if (rc == -EWOULDBLOCK || rc == -EAGAIN || rc == -EACCES)
		return fd >= 0 ? -EWOULDBLOCK : rc;
	if (rc < 0)
		return rc;
	item->lock = steal_fd(&fd);
	return 0;
}

static int cache_publish_write(const struct cache_item *item,
			       struct store_draft *draft, struct err *err)
{
	const struct cache_object *object = &item->object;
	struct code_header head;
	int rc;

	memcpy(&head, object->image, sizeof(head));
	sha256_of(object->image, object->len, head.sum);
	rc = fd_write_all(draft->fd, &head, sizeof(head), err);
	if (rc >= 0)
		rc = fd_write_all(draft->fd, object->image + sizeof(head),
				  object->len - sizeof(head), err);
	return rc < 0 ? rc : store_draft_sync(draft, err);
}

/* The file that was found wrong, not one that has replaced it. */
static void cache_publish_clear(const struct cache_item *item)
{
	int root = item->cache->root;
	struct stat st;

	if (fstatat(root, item->hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISREG(st.st_mode) && store_trusts(&st, false) &&
	    (st.st_dev != item->found.dev || st.st_ino != item->found.ino))
		return;
	unlinkat(root, item->hex, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

/* Who has it publishes soon, or has been stopped. */
static int cache_publish_wait(const struct cache_item *item, struct err *err)
{
	uint64_t deadline = clock_deadline(CACHE_PATIENCE_MS);
	int rc;

	while ((rc = store_lock_byte(item->lock,
				     cache_lock_place(item->object.key))) < 0) {
		if (clock_left_ms(deadline) == 0)
			return err_set(err, rc,
				       "another compiles the same module");
		clock_sleep_ms(8);
	}
	return 0;
}

static int cache_publish_name(const struct cache_item *item,
			      struct store_draft *draft, struct err *err)
{
	int root = item->cache->root, rc;

	if (!item->replaces) {
		cache_publish_clear(item);
		return store_draft_link(root, draft, item->hex, err);
	}
	rc = cache_publish_wait(item, err);
	return rc < 0 ? rc : store_draft_replace(root, draft, item->hex, err);
}

static int cache_publish_file(struct cache_item *item)
{
	int root = item->cache->root, rc;
	struct err *err = &item->err;
	struct store_draft draft;
	struct stat st;

	rc = store_draft_open(root, &draft, err);
	if (rc >= 0)
		rc = cache_publish_write(item, &draft, err);
	if (rc >= 0)
		rc = cache_publish_name(item, &draft, err);
	/* A link, or the end of one, changes the stamp. */
	if (rc == 0 && fstat(draft.fd, &st) == 0) {
		file_stamp_of(&st, &item->found);
		item->found_system = false;
		cache_seen_note(item);
	}
	store_draft_close(root, &draft);
	return rc == -EEXIST ? 0 : rc;
}

void cache_publish_run(struct cache_item *item)
{
	int rc;

	err_clear(&item->err);
	rc = cache_publish_file(item);
	fd_close(&item->lock);
	item->published = rc;
	log_event(rc < 0	   ? "cache.unpublished"
		  : item->replaces ? "cache.replace"
				   : "cache.publish",
		  "\"key\":\"%s\",\"bytes\":%lu,\"why\":\"%s\"", item->hex,
		  (unsigned long)item->object.len, item->err.text);
	if (rc < 0)
		return;
	cache_key_remember(item);
	cache_key_note_small(item);
	cache_sweep(item->cache, item->hex, item->object.len);
}

static void *cache_publish_thread(void *item)
{
	cache_publish_run(item);
	return NULL;
}

void cache_publish(struct cache_object *object)
{
	struct cache_item *item = (struct cache_item *)object;
	sigset_t all, before;

	if (item->state != CACHE_SEALED || item->lock < 0 || item->running ||
	    item->done)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	item->running = pthread_create(&item->thread, NULL,
				       cache_publish_thread, item) == 0;
	if (!item->running) {
		cache_publish_run(item);
		item->cache->counts.published += item->published == 0;
	}
	item->done = true;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int cache_published(struct cache_object *object, struct err *err)
{
	struct cache_item *item = (struct cache_item *)object;

	if (item->running) {
		pthread_join(item->thread, NULL);
		item->running = false;
		item->cache->counts.published += item->published == 0;
	}
	if (err)
		*err = item->err;
	if (object->result == CACHE_HIT)
		return 0;
	if (!item->done)
		return item->err.code
			       ? item->err.code
			       : err_set(err, -EWOULDBLOCK,
					 "another compiles the same module");
	return item->published;
}
