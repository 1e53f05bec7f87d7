/* SPDX-License-Identifier: Apache-2.0 */
/* The lock where nothing but link(2) excludes other hosts: a chain of epochs,
 * lock/lease/e.<N>, of which the last one tells whether there is a holder.
 *
 * 1. To take: the last one, e.<N>, is free, or was seen unchanged for the TTL.
 *    Then e.<N+1> is added.  Of all who try that, one succeeds; breaking a
 *    dead holder and taking its place are one step.
 * 2. To release: the state in e.<N> is overwritten, in place.  A rename would
 *    bring back a file that was trimmed, if its holder slept long enough.
 * 3. Epochs are trimmed from below, and who has added e.<N+1> looks whether
 *    the very e.<N> that it saw is there still.  If it is, e.<N+1> had never
 *    been there before, so nobody had it.  If not, the chain has gone on
 *    while the taker slept: it takes e.<N+1> back and begins anew.
 * 4. A live entry is never removed by its holder, whatever fails: a gap would
 *    let another one take the same number. */
#include "base/clock.h"
#include "base/fd.h"
#include "share/chain.h"
#include "share/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nobody but who slept meets an epoch that was trimmed. */
enum { LEASE_KEPT = 16 };
static const char lease_prefix[] = "e";

/* ---- made ------------------------------------------------------------------ */

/* A hint is what the first holder leaves. */
static bool lease_is_used(int root)
{
	return faccessat(root, "lock/lease/e.hint", F_OK,
			 AT_SYMLINK_NOFOLLOW) == 0;
}

/* The number of milliseconds since 1970: more than any epoch of a chain that
 * was here before, so that none is ever used twice. */
static int lease_first(int folder, struct err *err)
{
	struct share_lock first = { .epoch = clock_wall_ns() / 1000000 };
	struct lock_record record;
	struct chain_draft draft;
	int rc = share_new_id(first.nonce, err);

	if (rc < 0)
		return rc;
	lock_record_make(NULL, &first, false, &record);
	rc = chain_draft_open(folder, lease_prefix, first.nonce, record.text,
			      record.len, true, &draft, err);
	if (rc < 0)
		return rc;
	rc = chain_draft_link(folder, &draft, lease_prefix, first.epoch, err);
	chain_draft_close(folder, &draft);
	return rc;
}

static bool lease_has_epochs(int locks)
{
	auto_close int folder =
		openat(locks, "lease",
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	uint64_t last = 0;

	return folder >= 0 &&
	       chain_last(folder, lease_prefix, &last, NULL) >= 0 && last != 0;
}

static void lease_empty(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (list && (entry = readdir(list)))
		unlinkat(folder, entry->d_name, 0);
	if (list)
		closedir(list);
	else
		fd_close(&fd);
}

/* The folder appears with its first epoch in it; one that is in use is not
 * empty, and is not replaced. */
static int lease_place(int locks, const char *name, struct err *err)
{
	if (renameat(locks, name, locks, "lease") == 0 ||
	    lease_has_epochs(locks))
		return 0;
	/* Somebody has removed the epochs, and left what is beside them. */
	auto_close int old =
		openat(locks, "lease",
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	uint64_t least, most;

	if (old < 0 || chain_list(old, lease_prefix, &least, &most, err) < 0 ||
	    most != 0)
		return err_set(err, -EPROTO, "lock/lease is none of a share");
	lease_empty(old); /* by its descriptor: the name may have a new one */
	if (renameat(locks, name, locks, "lease") == 0 ||
	    lease_has_epochs(locks))
		return 0;
	return err_set(err, -errno, "make lock/lease");
}

static int lease_make_in(int locks, struct err *err)
{
	char name[8 + SHARE_ID_CHARS], id[SHARE_ID_CHARS + 1];
	auto_close int folder = -1;
	int rc = share_new_id(id, err);

	if (rc < 0)
		return rc;
	snprintf(name, sizeof name, "new.%s", id);
	if (mkdirat(locks, name, 0777) < 0)
		return err_set(err, -errno, "make lock/%s", name);
	folder = openat(locks, name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	rc = folder < 0 ? err_set(err, -errno, "open lock/%s", name)
			: lease_first(folder, err);
	if (rc >= 0)
		rc = lease_place(locks, name, err);
	if (unlinkat(locks, name, AT_REMOVEDIR) < 0 &&
	    (errno == ENOTEMPTY || errno == EEXIST) && folder >= 0) {
		lease_empty(folder);
		unlinkat(locks, name, AT_REMOVEDIR);
	}
	return rc;
}

static int lease_make(int root, struct err *err)
{
	auto_close int locks = openat(
		root, "lock", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (locks < 0)
		return err_set(err, -errno, "open lock");
	return lease_has_epochs(locks) ? 0 : lease_make_in(locks, err);
}

/* ---- looked at --------------------------------------------------------------- */

/* The last epoch, open, and what is in it. */
struct lease_seen {
	uint64_t epoch;
	int fd;
	struct chain_seen file;
	struct lock_record record;
};

/* 0: it moved while we looked. */
static int lease_last(int folder, struct lease_seen *seen, struct err *err)
{
	int rc;

	seen->fd = chain_last_open(folder, lease_prefix, &seen->epoch,
				   &seen->file, err);
	/* By an NFS client, of a folder that another one has removed. */
	if (seen->fd == -ENOENT || seen->fd == -ESTALE)
		return lock_is_removed("lock/lease/e.*", err);
	if (seen->fd < 0)
		return seen->fd == -EAGAIN ? 0 : seen->fd;
	rc = lock_record_load(seen->fd, &seen->record);
	if (rc == -ESTALE || rc == -ENOENT)
		return 0;
	return rc < 0 ? err_set(err, rc, "read lock/lease/e.%lu",
				(unsigned long)seen->epoch)
		      : 1;
}

static bool lease_parse(const struct lease_seen *seen,
			struct share_holder *holder)
{
	return lock_record_parse(seen->record.text, seen->record.len,
				 seen->epoch, holder);
}

static int lease_look(int folder, struct share_holder *holder, struct err *err)
{
	enum { TRIES = 8 };
	struct lease_seen seen;

	for (int i = 0; i < TRIES; i++) {
		int rc = lease_last(folder, &seen, err);

		fd_close(&seen.fd);
		if (rc > 0)
			lease_parse(&seen, holder);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	return err_set(err, -EAGAIN, "look at lock/lease");
}

/* ---- taken ------------------------------------------------------------------- */

/* 1: e.<n> is ours, and nobody's before.  -EEXIST: it is another one's; 0: it
 * was. */
static int lease_add(struct share_lock *lock, const struct lease_seen *before,
		     const struct chain_draft *draft, struct err *err)
{
	int rc = chain_draft_link(lock->folder, draft, lease_prefix,
				  lock->epoch, err);

	if (rc < 0)
		return rc;
	rc = chain_is_there(lock->folder, lease_prefix, before->epoch,
			    &before->file, err);
	if (rc == 0)
		chain_drop(lock->folder, lease_prefix, lock->epoch);
	return rc;
}

/* Who needed so long that it may have been broken already does not begin. */
static int lease_claim(struct share_lock *lock, const struct lease_seen *before,
		       uint64_t began_ns, struct err *err)
{
	struct lock_record record;
	struct chain_draft draft;
	int rc = share_new_id(lock->nonce, err);

	if (rc < 0)
		return rc;
	lock->epoch = before->epoch + 1;
	lock->beat = 0;
	lock_record_make(lock->share, lock, true, &record);
	rc = chain_draft_open(lock->folder, lease_prefix, lock->nonce,
			      record.text, record.len, false, &draft, err);
	if (rc < 0)
		return rc;
	lock->beat_ns = clock_ns();
	rc = lease_add(lock, before, &draft, err);
	if (rc > 0 && clock_ns() - began_ns >
			      (uint64_t)lock->share->ttl_ms * 1000000 / 2) {
		lock_record_write_state(draft.fd, false, 0);
		rc = 0;
	}
	/* It may be there all the same: nobody has to wait for its TTL. */
	if (rc < 0)
		lock_record_write_state(draft.fd, false, 0);
	if (rc > 0)
		lock->fd = steal_fd(&draft.fd);
	chain_draft_close(lock->folder, &draft);
	return rc;
}

/* A late taker may have left an entry where the chain is no more, and have
 * died; before it is taken for a dead holder, the folder is asked. */
static int lease_is_behind(int folder, uint64_t last, struct err *err)
{
	uint64_t least, most;
	int rc = chain_list(folder, lease_prefix, &least, &most, err);

	if (rc < 0 || most <= last)
		return rc;
	chain_hint(folder, lease_prefix, most);
	return 1;
}

/* A chain grows.  One that ends before what was seen in it is just being
 * removed, file by file, and has taken its last holder.  1: it has grown, or
 * not; 0: look again. */
static int lease_see_growth(int folder, struct lock_watch *watch, uint64_t last,
			    struct err *err)
{
	int rc;

	if (last >= watch->most) {
		watch->most = last;
		return 1;
	}
	rc = lease_is_behind(folder, last, err);
	if (rc == 0)
		return lock_is_removed("lock/lease/e.*", err);
	return rc < 0 ? rc : 0;
}

static int lease_try_behind(struct share_lock *lock, struct lock_watch *watch,
			    const struct lease_seen *seen, uint64_t began_ns,
			    struct err *err)
{
	int rc = lease_see_growth(lock->folder, watch, seen->epoch, err);

	if (rc <= 0)
		return rc;
	lease_parse(seen, &watch->holder);
	lock_watch_see(watch, seen->epoch, &seen->record, lock->share->ttl_ms);
	if (watch->holder.held && !watch->is_dead)
		return 0;
	rc = watch->holder.held
		     ? lease_is_behind(lock->folder, seen->epoch, err)
		     : 0;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = lease_claim(lock, seen, began_ns, err);
	if (rc != -EEXIST)
		return rc;
	watch->most = lock->epoch;
	err_clear(err);
	return 0;
}

/* What was seen stays open, so that its number of inode stays its own. */
static int lease_try(struct share_lock *lock, struct lock_watch *watch,
		     struct err *err)
{
	uint64_t began_ns = clock_ns();
	struct lease_seen seen;
	int rc = lease_last(lock->folder, &seen, err);

	if (rc > 0)
		rc = lease_try_behind(lock, watch, &seen, began_ns, err);
	fd_close(&seen.fd);
	if (rc > 0) {
		chain_hint(lock->folder, lease_prefix, lock->epoch);
		chain_trim(lock->folder, lease_prefix, lock->epoch, LEASE_KEPT,
			   NULL);
	}
	return rc;
}

/* ---- held -------------------------------------------------------------------- */

/* Nobody has added the next one, and ours was not trimmed behind it. */
static int lease_check(const struct share_lock *lock, struct err *err)
{
	struct chain_seen own;
	int rc = chain_is_there(lock->folder, lease_prefix, lock->epoch + 1,
				NULL, err);

	if (rc != 0)
		return rc < 0 ? rc : -ESTALE;
	rc = chain_see(lock->fd, &own);
	if (rc == -ENOENT || (rc == 0 && own.links == 0))
		return -ESTALE;
	return rc < 0 ? err_set(err, rc, "look at lock/lease/e.%lu",
				(unsigned long)lock->epoch)
		      : 0;
}

static int lease_beat(struct share_lock *lock)
{
	int rc = lock_record_write_state(lock->fd, true, lock->beat);

	if (rc >= 0)
		rc = chain_flush(lock->fd);
	return rc == -ENOENT ? -ESTALE : rc;
}

/* Closed here: that is what writes it to the server. */
static int lease_release(struct share_lock *lock)
{
	int rc = lock_record_write_state(lock->fd, false, lock->beat);
	int closed = close(steal_fd(&lock->fd)) < 0 ? -errno : 0;

	if (rc >= 0)
		rc = closed;
	return rc == -ENOENT ? -ESTALE : rc;
}

const struct lock_kind lock_lease = {
	.folder = "lock/lease",
	.is_used = lease_is_used,
	.make = lease_make,
	.try = lease_try,
	.look = lease_look,
	.beat = lease_beat,
	.check = lease_check,
	.release = lease_release,
};
