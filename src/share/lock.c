/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a share: the record of its holder, the queue of a host, and the
 * waiting, which both kinds of lock have in common.
 *
 * Many starters of one host queue on a lock of that host first: one of them
 * alone looks at the share, so that a server sees as many waiters as there
 * are hosts. */
#include "share/lock.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "share/chain.h"
#include "share/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	/* So many looks at least make a TTL. */
	LOCK_LOOKS = 8,
	LOCK_POLL_LEAST_US = 200,
	LOCK_POLL_MOST_US = 20 * 1000,
	LOCK_QUEUE_POLL_MOST_US = 4 * 1000,
};

const struct lock_kind *lock_kind_of(enum share_backend backend)
{
	return backend == SHARE_OFD ? &lock_ofd : &lock_lease;
}

/* ---- records -------------------------------------------------------------- */

static const char lock_magic[] = "brood-lock 1 ";

/* Others print it: it must stay one line. */
static void lock_words(char to[SHARE_WORDS_MOST + 1], const char *words,
		       size_t len)
{
	if (len > SHARE_WORDS_MOST)
		len = SHARE_WORDS_MOST;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = words[i];

		to[i] = c < ' ' || c == 0x7f ? '?' : c;
	}
	to[len] = 0;
}

void lock_record_make(const struct share *share, const struct share_lock *lock,
		      bool held, struct lock_record *record)
{
	const char *said = share && share->words ? share->words : "";
	char words[SHARE_WORDS_MOST + 1];

	lock_words(words, said, strlen(said));
	record->len = snprintf(
		record->text, sizeof record->text,
		"%s%c %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %s %s %s\n",
		lock_magic, held ? 'H' : 'F', lock->beat, lock->epoch,
		clock_wall_ns() / 1000000, lock->nonce,
		share ? share->host : "00000000000000000000000000000000",
		words);
}

static bool lock_hex(const char *at, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strchr("0123456789abcdef", at[i]) || !at[i])
			return false;
	return at[count] == ' ';
}

static uint64_t lock_hex_value(const char *at)
{
	char digits[17];

	memcpy(digits, at, 16);
	digits[16] = 0;
	return strtoull(digits, NULL, 16);
}

bool lock_record_parse(const char *data, size_t len, uint64_t epoch,
		       struct share_holder *holder)
{
	*holder = (struct share_holder){ .held = true, .epoch = epoch };
	if (len < 133 || len > LOCK_RECORD_MOST || data[len - 1] != '\n' ||
	    memcmp(data, lock_magic, LOCK_STATE_AT) != 0 ||
	    (data[13] != 'H' && data[13] != 'F') || data[14] != ' ' ||
	    !lock_hex(data + 15, 16) || !lock_hex(data + 32, 16) ||
	    !lock_hex(data + 49, 16) || !lock_hex(data + 66, 32) ||
	    !lock_hex(data + 99, 32))
		return false;
	if (epoch && lock_hex_value(data + 32) != epoch)
		return false;
	holder->held = data[LOCK_STATE_AT] == 'H';
	holder->beat = lock_hex_value(data + 15);
	holder->epoch = lock_hex_value(data + 32);
	holder->since = lock_hex_value(data + 49);
	memcpy(holder->nonce, data + 66, 32);
	memcpy(holder->host, data + 99, 32);
	lock_words(holder->words, data + 132, len - 133);
	return true;
}

int lock_record_load(int fd, struct lock_record *record)
{
	ssize_t n;

	do
		n = pread(fd, record->text, LOCK_RECORD_MOST, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	record->len = n;
	record->text[n] = 0;
	return 0;
}

int lock_record_write_state(int fd, bool held, uint64_t beat)
{
	char text[LOCK_STATE_LEN + 1];
	ssize_t n;

	snprintf(text, sizeof text, "%c %016" PRIx64, held ? 'H' : 'F', beat);
	do
		n = pwrite(fd, text, LOCK_STATE_LEN, LOCK_STATE_AT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == LOCK_STATE_LEN ? 0 : -EIO;
}

/* ---- waiting -------------------------------------------------------------- */

/* One look counts for an eighth of the TTL at most: who was paused himself,
 * with the holder, has not seen it unmoved meanwhile. */
void lock_watch_see(struct lock_watch *watch, uint64_t epoch,
		    const struct lock_record *record, long ttl_ms)
{
	uint64_t now = clock_ns(), ttl = (uint64_t)ttl_ms * 1000000;
	uint64_t passed = now - watch->seen_ns;

	if (watch->epoch != epoch || watch->record.len != record->len ||
	    memcmp(watch->record.text, record->text, record->len) != 0) {
		watch->epoch = epoch;
		watch->record = *record;
		watch->still_ns = 0;
	} else {
		watch->still_ns +=
			passed < ttl / LOCK_LOOKS ? passed : ttl / LOCK_LOOKS;
		if (watch->still_ns > ttl)
			watch->still_ns = ttl;
	}
	watch->seen_ns = now;
	watch->is_dead = watch->still_ns >= ttl;
}

struct lock_wait {
	uint64_t deadline;
	share_lock_tick *tick;
	void *ctx;
	uint64_t poll_us, poll_most_us;
	uint32_t chance;
};

static void lock_wait_start(struct lock_wait *wait, uint64_t most_us)
{
	wait->poll_us = LOCK_POLL_LEAST_US;
	wait->poll_most_us = most_us;
	wait->chance = (uint32_t)clock_ns() * 2654435761u ^
		       (uint32_t)getpid() * 40503u;
}

/* From half to three halves of the pause, so that those who began together do
 * not go on together. */
static uint64_t lock_wait_jitter(struct lock_wait *wait)
{
	wait->chance = wait->chance * 1664525u + 1013904223u;
	return wait->poll_us / 2 + (wait->chance >> 8) % (wait->poll_us + 1);
}

/* Until the next look.  -EWOULDBLOCK: there is none any more. */
static int lock_wait_more(struct lock_wait *wait)
{
	uint64_t us = lock_wait_jitter(wait), now = clock_ns(), left;
	struct timespec pause;

	if (wait->tick && !wait->tick(wait->ctx))
		return -ECANCELED;
	if (now >= wait->deadline)
		return -EWOULDBLOCK;
	left = (wait->deadline - now) / 1000 + 1;
	if (us > left)
		us = left;
	pause = (struct timespec){ us / 1000000, us % 1000000 * 1000 };
	nanosleep(&pause, NULL);
	wait->poll_us += wait->poll_us / 2;
	if (wait->poll_us > wait->poll_most_us)
		wait->poll_us = wait->poll_most_us;
	return 0;
}

/* ---- the queue of a host ---------------------------------------------------- */

static int lock_queue_open(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_set(err, -errno, "open the queue %s", path) : fd;
}

/* A queue spares the server some looks; where this user can have none, the
 * share's lock alone will do. */
static bool lock_queue_is_closed(int rc)
{
	return rc == -EROFS || rc == -EACCES || rc == -EPERM || rc == -ENOENT ||
	       rc == -ENOTDIR;
}

static int lock_queue_wait(int fd, const char *path, struct lock_wait *wait,
			   bool *was_held, struct err *err)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int rc;

	while (fcntl(fd, F_OFD_SETLK, &all) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_set(err, -errno, "lock the queue %s", path);
		*was_held = true;
		if ((rc = lock_wait_more(wait)) < 0)
			return rc;
	}
	return 0;
}

/* The lock of a file that was removed meanwhile excludes nobody. */
static int lock_queue(const struct share *share, struct lock_wait *wait,
		      struct share_lock *lock, struct err *err)
{
	auto_free char *path = NULL;

	if (!share->local)
		return 0;
	path = file_format("%s/share-%s.lock", share->local, share->id);
	if (!path)
		return err_set(err, -ENOMEM, "queue");
	lock_wait_start(wait, LOCK_QUEUE_POLL_MOST_US);
	for (;;) {
		auto_close int fd = lock_queue_open(path, err);
		int rc = fd < 0 ? fd
				: lock_queue_wait(fd, path, wait,
						  &lock->was_held, err);

		if (fd < 0 && lock_queue_is_closed(fd))
			return 0;
		if (rc < 0)
			return rc;
		if (lock_is_at(fd, path)) {
			lock->queue = steal_fd(&fd);
			return 0;
		}
	}
}

/* Unlocked in words: a child may have the descriptor too. */
static void lock_queue_leave(int *queue)
{
	struct flock none = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (*queue >= 0)
		fcntl(*queue, F_OFD_SETLK, &none);
	fd_close(queue);
}

/* ---- what a host has seen --------------------------------------------------- */

/* A wait may be shorter than the TTL: then it could be repeated for ever, and
 * none would follow a dead holder.  So what it saw stays in the queue's file,
 * whose lock one waiter of the host has, and the next wait goes on from there.
 * A file that is half written tells of a record that nobody has; one that
 * another user can have written tells nothing. */
#define LOCK_SEEN "brood-watch 1 %016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n"
enum { LOCK_SEEN_LEN = 14 + 3 * 17 };

static bool lock_watch_is_ours(int queue)
{
	struct stat st;

	return queue >= 0 && fstat(queue, &st) == 0 && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static void lock_watch_keep(int queue, const struct lock_watch *watch)
{
	auto_buf struct buf text = { 0 };

	if (!lock_watch_is_ours(queue) || !watch->record.len)
		return;
	buf_format(&text, LOCK_SEEN, watch->epoch, watch->still_ns,
		   watch->seen_ns);
	buf_add(&text, watch->record.text, watch->record.len);
	if (!text.failed && ftruncate(queue, 0) == 0 &&
	    pwrite(queue, text.data, text.len, 0) != (ssize_t)text.len)
		(void)!ftruncate(queue, 0);
}

static void lock_watch_recall(int queue, struct lock_watch *watch)
{
	char text[LOCK_SEEN_LEN + LOCK_RECORD_MOST + 1];
	struct lock_watch seen = { 0 };
	ssize_t n = lock_watch_is_ours(queue)
			    ? pread(queue, text, sizeof text - 1, 0)
			    : 0;

	if (n <= LOCK_SEEN_LEN)
		return;
	text[n] = 0;
	if (sscanf(text, "brood-watch 1 %16" SCNx64 " %16" SCNx64 " %16" SCNx64,
		   &seen.epoch, &seen.still_ns, &seen.seen_ns) != 3)
		return;
	seen.record.len = (size_t)n - LOCK_SEEN_LEN;
	memcpy(seen.record.text, text + LOCK_SEEN_LEN, seen.record.len);
	*watch = seen;
}

/* ---- the lock ---------------------------------------------------------------- */

int lock_is_removed(const char *name, struct err *err)
{
	return err_set(err, -ENOENT,
		       "its lock (%s) has been removed, make the share again",
		       name);
}

int lock_folder(const struct share *share, struct err *err)
{
	const char *name = lock_kind_of(share->backend)->folder;
	int fd = openat(share->root, name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return lock_is_removed(name, err);
	return fd < 0 ? err_set(err, -errno, "open %s", name) : fd;
}

/* A client knows for a while what a name led to: who looks at the folder that
 * it is in, anew, makes it ask. */
static int lock_open_anew(int folder, const char *name)
{
	struct chain_seen seen;
	int rc = chain_see(folder, &seen);
	int fd = rc < 0 ? rc
			: openat(folder, name,
				 O_RDONLY | O_DIRECTORY | O_CLOEXEC |
					 O_NOFOLLOW);

	return rc >= 0 && fd < 0 ? -errno : fd;
}

/* A lock in a folder that somebody has moved away excludes nobody: 0. */
static int lock_is_in_share(const struct share_lock *lock)
{
	const struct share *share = lock->share;
	const char *name = lock_kind_of(share->backend)->folder;
	const char *below = strchr(name, '/');
	auto_close int top = lock_open_anew(share->root, "lock");
	auto_close int inner =
		top >= 0 && below ? lock_open_anew(top, below + 1) : -1;
	int fd = below && top >= 0 ? inner : top;
	struct chain_seen ours, there;
	int rc = fd < 0 ? fd : chain_see(fd, &there);

	if (rc >= 0)
		rc = chain_see(lock->folder, &ours);
	if (rc == -ENOENT || rc == -ESTALE)
		return 0;
	return rc < 0 ? rc : ours.dev == there.dev && ours.ino == there.ino;
}

static void lock_age(const struct share_holder *holder, char *text, size_t room)
{
	uint64_t now = clock_wall_ns() / 1000000;

	text[0] = 0;
	if (holder->since && holder->since <= now)
		snprintf(text, room, ", for %" PRIu64 ".%" PRIu64 " s",
			 (now - holder->since) / 1000,
			 (now - holder->since) % 1000 / 100);
}

static int lock_is_held(const struct share *share,
			const struct share_holder *holder, struct err *err)
{
	char age[64];

	lock_age(holder, age, sizeof age);
	if (!holder->host[0])
		return err_set(err, -EWOULDBLOCK,
			       "share %s is locked by somebody unknown",
			       share->path);
	return err_set(err, -EWOULDBLOCK,
		       "share %s is locked by host %s%s%s (epoch %" PRIu64
		       "%s)",
		       share->path, holder->host, holder->words[0] ? ", " : "",
		       holder->words, holder->epoch, age);
}

/* What was seen last may be the moment between two holders. */
static int lock_gave_up(const struct share *share, int code,
			const struct share_holder *seen, struct err *err)
{
	struct share_holder holder = { 0 };
	int rc = 0;

	if (code == -ECANCELED)
		return err_set(err, code, "wait for the lock of share %s",
			       share->path);
	if (seen && seen->held && seen->host[0])
		return lock_is_held(share, seen, err);
	rc = share_lock_look(share, &holder, err);
	if (rc < 0)
		return rc;
	if (holder.held)
		return lock_is_held(share, &holder, err);
	return err_set(err, -EWOULDBLOCK,
		       "others wait for the lock of share %s", share->path);
}

static int lock_poll(struct share_lock *lock, struct lock_wait *wait,
		     struct err *err)
{
	const struct share *share = lock->share;
	const struct lock_kind *kind = lock_kind_of(share->backend);
	struct lock_watch watch = { 0 };
	uint64_t most_us = (uint64_t)share->ttl_ms * 1000 / (2 * LOCK_LOOKS);
	int rc;

	lock_watch_recall(lock->queue, &watch);
	lock_wait_start(wait, most_us < LOCK_POLL_MOST_US ? most_us
							  : LOCK_POLL_MOST_US);
	for (;;) {
		rc = kind->try(lock, &watch, err);
		if (rc != 0)
			break;
		lock->was_held |= watch.holder.held;
		if ((rc = lock_wait_more(wait)) < 0) {
			lock_watch_keep(lock->queue, &watch);
			return lock_gave_up(share, rc, &watch.holder, err);
		}
	}
	if (rc > 0 && (rc = lock_is_in_share(lock)) <= 0) {
		kind->release(lock);
		rc = rc == 0 ? lock_is_removed(kind->folder, err)
			     : err_set(err, rc, "look at %s", kind->folder);
	}
	if (rc < 0)
		err_wrap(err, "lock share %s", share->path);
	return rc < 0 ? rc : 0;
}

static void lock_leave(struct share_lock *lock)
{
	fd_close(&lock->fd);
	fd_close(&lock->folder);
	lock_queue_leave(&lock->queue);
	*lock = SHARE_LOCK_NONE;
}

int share_lock_take(const struct share *share, int wait_ms,
		    share_lock_tick *tick, void *ctx, struct share_lock *lock,
		    struct err *err)
{
	struct lock_wait wait = { .deadline = clock_deadline(wait_ms),
				  .tick = tick,
				  .ctx = ctx };
	int rc;

	*lock = SHARE_LOCK_NONE;
	lock->share = share;
	rc = lock_queue(share, &wait, lock, err);
	if (rc < 0) {
		*lock = SHARE_LOCK_NONE;
		return rc == -EWOULDBLOCK || rc == -ECANCELED
			       ? lock_gave_up(share, rc, NULL, err)
			       : rc;
	}
	lock->folder = rc = lock_folder(share, err);
	if (rc < 0)
		err_wrap(err, "lock share %s", share->path);
	else
		rc = lock_poll(lock, &wait, err);
	if (rc < 0)
		lock_leave(lock);
	else
		err_clear(err);
	return rc;
}

int share_lock_look(const struct share *share, struct share_holder *holder,
		    struct err *err)
{
	auto_close int folder = lock_folder(share, err);
	int rc = folder;

	*holder = (struct share_holder){ 0 };
	if (rc >= 0)
		rc = lock_kind_of(share->backend)->look(folder, holder, err);
	if (rc < 0)
		err_wrap(err, "look at the lock of share %s", share->path);
	return rc < 0 ? rc : 0;
}

static int lock_was_lost(const struct share_lock *lock, struct err *err)
{
	return err_set(err, -ESTALE,
		       "the lock of share %s (epoch %" PRIu64
		       ") was broken by another host",
		       lock->share->path, lock->epoch);
}

int share_lock_check(const struct share_lock *lock, struct err *err)
{
	const struct lock_kind *kind = lock_kind_of(lock->share->backend);
	int rc = kind->check(lock, err), there;

	if (rc >= 0 && (there = lock_is_in_share(lock)) == 0) {
		lock_is_removed(kind->folder, err);
		err_wrap(err, "share %s", lock->share->path);
		return -ESTALE;
	}
	if (rc >= 0 && there < 0)
		rc = err_set(err, there, "look at %s", kind->folder);
	if (rc == -ESTALE)
		return lock_was_lost(lock, err);
	if (rc < 0)
		err_wrap(err, "check the lock of share %s", lock->share->path);
	return rc;
}

/* Written first, so that a slow server does not make the beat later. */
int share_lock_beat(struct share_lock *lock, struct err *err)
{
	uint64_t third = (uint64_t)lock->share->ttl_ms * 1000000 / 3;
	int rc;

	if (clock_ns() - lock->beat_ns < third)
		return 0;
	lock->beat_ns = clock_ns();
	lock->beat++;
	rc = lock_kind_of(lock->share->backend)->beat(lock);
	if (rc == -ESTALE)
		return lock_was_lost(lock, err);
	if (rc < 0)
		return err_set(err, rc, "keep the lock of share %s",
			       lock->share->path);
	return share_lock_check(lock, err);
}

int share_lock_release(struct share_lock *lock, struct err *err)
{
	int rc = 0;

	if (lock->fd < 0)
		return 0;
	rc = lock_kind_of(lock->share->backend)->release(lock);
	if (rc == -ESTALE)
		lock_was_lost(lock, err);
	else if (rc < 0)
		err_set(err, rc, "release the lock of share %s",
			lock->share->path);
	lock_leave(lock);
	return rc;
}
