/* SPDX-License-Identifier: Apache-2.0 */
/* The lock where open-file-description locks exclude other hosts: one file,
 * lock/ofd, that is never removed.  The lock says that there is a holder, and
 * what is written in the file says who: a holder that died leaves its words,
 * and no lock.
 *
 * Polled for: to wait in the kernel fails at once on virtiofs. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/lock.h"
#include "share/chain.h"
#include "share/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ofd_name[] = "ofd";
static const char ofd_nobody[] = "00000000000000000000000000000000";

static int ofd_open(int folder, struct err *err)
{
	struct stat st;
	auto_close int fd = openat(
		folder, ofd_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && (errno == ENOENT || errno == ESTALE))
		return lock_is_removed("lock/ofd", err);
	if (fd < 0)
		return err_set(err, -errno, "open lock/ofd");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EPROTO, "lock/ofd is not a file");
	return steal_fd(&fd);
}

static bool ofd_is_there(int root)
{
	struct stat st;

	return fstatat(root, "lock/ofd", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Nobody has the nonce of the record that the file is made with. */
static bool ofd_is_used(int root)
{
	auto_close int fd =
		openat(root, "lock/ofd",
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct lock_record record;
	struct share_holder holder;

	return fd >= 0 &&
	       (lock_record_load(fd, &record) < 0 ||
		!lock_record_parse(record.text, record.len, 0, &holder) ||
		strcmp(holder.nonce, ofd_nobody) != 0);
}

/* The epoch is the time, as that of a lease: more than any before. */
static int ofd_make(int root, struct err *err)
{
	struct share_lock none = { .epoch = clock_wall_ns() / 1000000 };
	struct lock_record record;
	auto_close int folder = -1;
	int rc;

	if (ofd_is_there(root))
		return 0;
	memcpy(none.nonce, ofd_nobody, sizeof none.nonce);
	folder = openat(root, "lock",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (folder < 0)
		return err_set(err, -errno, "open lock");
	lock_record_make(NULL, &none, false, &record);
	rc = chain_put(folder, ofd_name, record.text, record.len, err);
	return rc == -EEXIST ? 0 : rc;
}

/* Is the file that is locked still the one that others lock? */
static int ofd_is_at(int fd, int folder)
{
	struct stat ours, there;

	if (fstat(fd, &ours) < 0 ||
	    fstatat(folder, ofd_name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ESTALE ? 0 : -errno;
	return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static int ofd_set(int fd, int type)
{
	struct flock all = { .l_type = type, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &all) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES || errno == EINTR ? 0
								    : -errno;
}

/* Whoever it was before, the next epoch is one higher. */
static int ofd_sign(struct share_lock *lock, int fd, struct err *err)
{
	struct lock_record record;
	struct share_holder before;
	int rc = lock_record_load(fd, &record);

	if (rc < 0)
		return err_set(err, rc, "read lock/ofd");
	lock_record_parse(record.text, record.len, 0, &before);
	lock->epoch = before.epoch + 1;
	lock->beat = 0;
	if ((rc = share_new_id(lock->nonce, err)) < 0)
		return rc;
	lock_record_make(lock->share, lock, true, &record);
	rc = fd_pwrite_all(fd, record.text, record.len, 0, err);
	if (rc >= 0 && ftruncate(fd, record.len) < 0)
		rc = err_set(err, -errno, "write");
	if (rc >= 0 && (rc = chain_flush(fd)) < 0)
		err_set(err, rc, "write");
	return rc < 0 ? (err_wrap(err, "lock/ofd"), rc) : 0;
}

static int ofd_try(struct share_lock *lock, struct lock_watch *watch,
		   struct err *err)
{
	auto_close int fd = ofd_open(lock->folder, err);
	struct lock_record record;
	int rc = fd < 0 ? fd : ofd_set(fd, F_WRLCK);

	if (fd < 0)
		return fd;
	if (rc < 0)
		return err_set(err, rc, "lock lock/ofd");
	if (rc == 0) {
		if (lock_record_load(fd, &record) >= 0)
			lock_record_parse(record.text, record.len, 0,
					  &watch->holder);
		watch->holder.held = true;
		return 0;
	}
	if ((rc = ofd_is_at(fd, lock->folder)) <= 0)
		return rc < 0 ? err_set(err, rc, "look at lock/ofd") : 0;
	if ((rc = ofd_sign(lock, fd, err)) < 0) {
		ofd_set(fd, F_UNLCK);
		return rc;
	}
	lock->beat_ns = clock_ns();
	lock->fd = steal_fd(&fd);
	return 1;
}

static int ofd_look(int folder, struct share_holder *holder, struct err *err)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = ofd_open(folder, err);
	struct lock_record record;
	int rc;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_GETLK, &all) < 0)
		return err_set(err, -errno, "look at lock/ofd");
	if ((rc = lock_record_load(fd, &record)) < 0)
		return err_set(err, rc, "read lock/ofd");
	lock_record_parse(record.text, record.len, 0, holder);
	holder->held = all.l_type != F_UNLCK;
	return 0;
}

static int ofd_beat(struct share_lock *lock)
{
	int rc = lock_record_write_state(lock->fd, true, lock->beat);

	return rc < 0 ? rc : chain_flush(lock->fd);
}

/* An NFS server gives the locks of a client away that it did not hear of for
 * its lease time.  So it counts who has signed last: by a descriptor of its
 * own, for what the client knows of a file that it believes to have locked may
 * be old. */
static int ofd_check(const struct share_lock *lock, struct err *err)
{
	struct err why = { 0 };
	auto_close int fd = ofd_open(lock->folder, &why);
	struct lock_record record;
	struct share_holder last;
	int rc = fd < 0 ? fd : ofd_is_at(lock->fd, lock->folder);

	if (rc == -ENOENT)
		return -ESTALE;
	if (rc > 0 && (rc = lock_record_load(fd, &record)) >= 0)
		rc = lock_record_parse(record.text, record.len, lock->epoch,
				       &last) &&
		     strcmp(last.nonce, lock->nonce) == 0;
	if (rc < 0)
		return err_set(err, rc, "look at lock/ofd");
	return rc > 0 ? 0 : -ESTALE;
}

static int ofd_release(struct share_lock *lock)
{
	int rc = lock_record_write_state(lock->fd, false, lock->beat);
	int flushed = chain_flush(lock->fd);
	int done = ofd_set(lock->fd, F_UNLCK);

	if (done < 0)
		return done;
	return rc < 0 ? rc : flushed;
}

const struct lock_kind lock_ofd = {
	.folder = "lock",
	.is_used = ofd_is_used,
	.make = ofd_make,
	.try = ofd_try,
	.look = ofd_look,
	.beat = ofd_beat,
	.check = ofd_check,
	.release = ofd_release,
};
