/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed object becomes a file.				CLAIM 1.7
 *
 *  1. The key's lock was taken when it was missed: nobody else writes it.
 *  2. An unnamed file is written and synced.
 *  3. What was found wrong under the key goes, if it is still that file.
 *  4. The file is linked to its name: from then on it is complete.  Where
 *     the name is taken, somebody's file is there, and ours is dropped.
 *  5. The lock is let go; then the folder is looked over for what is old.
 *
 * Killed before 4 it leaves nothing, or, where the system has no unnamed
 * files, one ".new." that the next look removes.  It is done by a thread
 * that takes no signals, so that a file size limit is an error too. */
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

struct cache_draft {
	int fd;
	char name[64]; /* "": it has none */
};

int cache_publish_lock(struct cache_item *item)
{
	auto_close int fd = -1;
	int rc;

	if (item->lock >= 0)
		return 0;
	rc = cache_place_use(item->cache, true, &item->err);
	if (rc >= 0)
		rc = fd = cache_lock_open(item->cache->root, &item->err);
	if (rc >= 0)
		rc = cache_lock_byte(fd, cache_lock_place(item->object.key));
	if (rc == -EWOULDBLOCK || rc == -EAGAIN || rc == -EACCES)
		return fd >= 0 ? -EWOULDBLOCK : rc;
	if (rc < 0)
		return rc;
	item->lock = steal_fd(&fd);
	return 0;
}

static int cache_publish_named(int root, struct cache_draft *draft,
			       struct err *err)
{
	snprintf(draft->name, sizeof(draft->name), ".new.%d.%lx", getpid(),
		 (unsigned long)(uintptr_t)draft);
	unlinkat(root, draft->name, 0);
	draft->fd = openat(root, draft->name,
			   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			   0400);
	if (draft->fd < 0)
		return err_set(err, -errno, "make a file of code");
	cache_lock_byte(draft->fd, 0);
	return 0;
}

static int cache_publish_open(int root, struct cache_draft *draft,
			      struct err *err)
{
	*draft = (struct cache_draft){ .fd = -1 };
	if (process_feature("o_tmpfile"))
		draft->fd =
			openat(root, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0400);
	return draft->fd >= 0 ? 0 : cache_publish_named(root, draft, err);
}

static int cache_publish_write(const struct cache_item *item, int fd,
			       struct err *err)
{
	const struct cache_object *object = &item->object;
	struct code_header head;
	int rc;

	memcpy(&head, object->image, sizeof(head));
	sha256_of(object->image, object->len, head.sum);
	rc = fd_write_all(fd, &head, sizeof(head), err);
	if (rc >= 0)
		rc = fd_write_all(fd, object->image + sizeof(head),
				  object->len - sizeof(head), err);
	if (rc < 0)
		return rc;
	if (fchmod(fd, 0444) < 0 || fsync(fd) < 0)
		return err_set(err, -errno, "sync a file of code");
	return 0;
}

/* The file that was found wrong, not one that has replaced it. */
static void cache_publish_clear(const struct cache_item *item)
{
	int root = item->cache->root;
	struct stat st;

	if (fstatat(root, item->hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISREG(st.st_mode) && cache_place_trusts(&st, false) &&
	    (st.st_dev != item->found.dev || st.st_ino != item->found.ino))
		return;
	unlinkat(root, item->hex, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

static int cache_publish_link_fd(int root, int fd, const char *hex)
{
	char from[64];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, from, root, hex, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	/* Without /proc this is for those who may open any file. */
	return linkat(fd, "", root, hex, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

static int cache_publish_link(const struct cache_item *item,
			      const struct cache_draft *draft, struct err *err)
{
	int root = item->cache->root, rc;

	if (!draft->name[0])
		rc = cache_publish_link_fd(root, draft->fd, item->hex);
	else
		rc = linkat(root, draft->name, root, item->hex, 0) == 0
			     ? 0
			     : -errno;
	if (rc < 0 && rc != -EEXIST)
		return err_set(err, rc, "name a file of code");
	return rc;
}

static void cache_publish_close(int root, struct cache_draft *draft)
{
	if (draft->name[0])
		unlinkat(root, draft->name, 0);
	fd_close(&draft->fd);
}

/* Where there are unnamed files that cannot be named. */
static bool cache_publish_wants_name(const struct cache_draft *draft, int rc)
{
	return !draft->name[0] && (rc == -ENOENT || rc == -EOPNOTSUPP);
}

static int cache_publish_file(struct cache_item *item, bool named)
{
	int root = item->cache->root, rc;
	struct err *err = &item->err;
	struct cache_draft draft = { .fd = -1 };
	struct stat st;

	rc = named ? cache_publish_named(root, &draft, err)
		   : cache_publish_open(root, &draft, err);
	if (rc >= 0)
		rc = cache_publish_write(item, draft.fd, err);
	if (rc >= 0) {
		cache_publish_clear(item);
		rc = cache_publish_link(item, &draft, err);
	}
	/* Its last change: a link, or the end of one, changes the stamp. */
	if (draft.name[0]) {
		unlinkat(root, draft.name, 0);
		draft.name[0] = 0;
		named = true;
	}
	if (rc == 0 && fstat(draft.fd, &st) == 0) {
		file_stamp_of(&st, &item->found);
		item->found_system = false;
		cache_seen_note(item);
	}
	if (!named && cache_publish_wants_name(&draft, rc)) {
		cache_publish_close(root, &draft);
		return cache_publish_file(item, true);
	}
	cache_publish_close(root, &draft);
	return rc == -EEXIST ? 0 : rc;
}

void cache_publish_run(struct cache_item *item)
{
	int rc;

	err_clear(&item->err);
	rc = cache_publish_file(item, false);
	fd_close(&item->lock);
	item->published = rc;
	log_event(rc < 0 ? "cache.unpublished" : "cache.publish",
		  "\"key\":\"%s\",\"bytes\":%lu,\"why\":\"%s\"", item->hex,
		  (unsigned long)item->object.len, item->err.text);
	if (rc < 0)
		return;
	cache_key_remember(item);
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
