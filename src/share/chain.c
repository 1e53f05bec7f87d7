/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered files that are added by link(2) and trimmed from below.
 *
 * What this may rely on was measured on ext4, tmpfs, 9p, virtiofs and NFS:
 * link is exclusive everywhere, locks are not, and a listing or an answer
 * "there is no such file" may be old (up to a minute on NFS) unless this host
 * has changed the folder since.  So whoever added an entry sees the truth
 * about its neighbours, and whoever only looks may see a chain that was. */
#include "share/chain.h"
#include "base/fd.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CHAIN_TRIES = 8,
	CHAIN_CLIMB_MOST = 1 << 20,
	CHAIN_TRIM_MOST = 64,
	CHAIN_SWEEP_EACH = 256,
	CHAIN_DRAFT_AGE_S = 3600,
	CHAIN_HINT_LEN = 21,
};

/* ---- names ------------------------------------------------------------------
 */

static void chain_name(char name[CHAIN_NAME_ROOM], const char *prefix,
		       uint64_t n)
{
	snprintf(name, CHAIN_NAME_ROOM, "%.*s.%" PRIu64, CHAIN_PREFIX_MOST,
		 prefix, n);
}

static int chain_prefix_check(const char *prefix, struct err *err)
{
	size_t len = strlen(prefix);

	if (len == 0 || len > CHAIN_PREFIX_MOST || strchr(prefix, '/'))
		return err_set(err, -EINVAL, "no name for a chain: %s", prefix);
	return 0;
}

/* What stands behind the prefix and its dot; NULL in other names. */
static const char *chain_rest(const char *prefix, const char *name)
{
	size_t len = strlen(prefix);

	if (strncmp(name, prefix, len) != 0 || name[len] != '.')
		return NULL;
	return name + len + 1;
}

/* Up to 18 digits, none of them a 0 in front. */
bool chain_number(const char *prefix, const char *name, uint64_t *n)
{
	const char *rest = chain_rest(prefix, name);
	size_t len = rest ? strspn(rest, "0123456789") : 0;

	if (len == 0 || len > 18 || rest[len] || rest[0] == '0')
		return false;
	*n = 0;
	for (size_t i = 0; i < len; i++)
		*n = *n * 10 + (rest[i] - '0');
	return true;
}

/* ---- what is there
 * -----------------------------------------------------------
 */

/* statx(2) as the kernel has it; musl has none. */
struct chain_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, spare;
	uint64_t ino, size, blocks, attributes_mask;
	uint64_t times[8];
	uint32_t rdev[2], dev[2];
	uint64_t rest[14];
};
_Static_assert(sizeof(struct chain_statx) == 256, "as the kernel has it");

/* As the server has it now: what was opened by a name that a client still
 * remembered may have no name any more. */
int chain_see(int fd, struct chain_seen *seen)
{
	enum { EMPTY_PATH = 0x1000, FORCE_SYNC = 0x2000 };
	enum { TYPE = 1, NLINK = 4, INO = 0x100 };
	struct chain_statx now = { 0 };
	struct stat st;

	if (syscall(SYS_statx, fd, "", EMPTY_PATH | FORCE_SYNC,
		    TYPE | NLINK | INO, &now) == 0) {
		*seen = (struct chain_seen){
			.dev = (uint64_t)now.dev[0] << 32 | now.dev[1],
			.ino = now.ino,
			.links = now.nlink,
			.is_file = S_ISREG(now.mode),
		};
		return 0;
	}
	if (errno != ENOSYS || fstat(fd, &st) < 0)
		return errno == ESTALE ? -ENOENT : -errno;
	*seen = (struct chain_seen){ st.st_dev, st.st_ino, st.st_nlink,
				     S_ISREG(st.st_mode) };
	return 0;
}

static int chain_open_named(int dir, const char *name, struct chain_seen *seen)
{
	auto_close int fd = openat(
		dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc;

	if (fd < 0)
		return errno == ESTALE ? -ENOENT : -errno;
	if ((rc = chain_see(fd, seen)) < 0)
		return rc;
	if (seen->links == 0)
		return -ENOENT;
	return seen->is_file ? steal_fd(&fd) : -EISDIR;
}

int chain_open(int dir, const char *prefix, uint64_t n, struct chain_seen *seen,
	       struct err *err)
{
	char name[CHAIN_NAME_ROOM];
	struct chain_seen any;
	int fd;

	chain_name(name, prefix, n);
	fd = n ? chain_open_named(dir, name, seen ? seen : &any) : -ENOENT;
	if (fd == -EISDIR)
		return err_set(err, -EPROTO, "%s is not a file", name);
	return fd < 0 ? err_set(err, fd, "open %s", name) : fd;
}

int chain_is_there(int dir, const char *prefix, uint64_t n,
		   const struct chain_seen *before, struct err *err)
{
	struct chain_seen now;
	struct err why = { 0 };
	auto_close int fd = chain_open(dir, prefix, n, &now, &why);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0 && err)
		*err = why;
	if (fd < 0)
		return fd;
	return !before || (before->dev == now.dev && before->ino == now.ino);
}

/* Calls it for each name of the chain, "." and ".." are none. */
static int chain_walk(int dir, const char *prefix,
		      void (*each)(int dir, const char *prefix,
				   const char *name, void *ctx),
		      void *ctx, struct err *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!list) {
		int code = -errno;

		fd_close(&fd);
		return err_set(err, code, "list the folder of %s", prefix);
	}
	errno = 0;
	while ((entry = readdir(list)))
		if (chain_rest(prefix, entry->d_name))
			each(dir, prefix, entry->d_name, ctx);
	int code = -errno;

	closedir(list);
	return code ? err_set(err, code, "list the folder of %s", prefix) : 0;
}

struct chain_span {
	uint64_t least, most;
};

static void chain_span_see(int dir, const char *prefix, const char *name,
			   void *ctx)
{
	struct chain_span *span = ctx;
	uint64_t n;

	(void)dir;
	if (!chain_number(prefix, name, &n))
		return;
	if (!span->least || n < span->least)
		span->least = n;
	if (n > span->most)
		span->most = n;
}

int chain_list(int dir, const char *prefix, uint64_t *least, uint64_t *most,
	       struct err *err)
{
	struct chain_span span = { 0 };
	int rc = chain_walk(dir, prefix, chain_span_see, &span, err);

	*least = span.least;
	*most = span.most;
	return rc;
}

/* ---- the last one
 * ------------------------------------------------------------
 */

static void chain_hint_name(char name[CHAIN_NAME_ROOM], const char *prefix)
{
	snprintf(name, CHAIN_NAME_ROOM, "%.*s.hint", CHAIN_PREFIX_MOST, prefix);
}

/* Written in place: one that is torn, or older than another, costs some looks
 * at files more and nothing else. */
void chain_hint(int dir, const char *prefix, uint64_t n)
{
	char name[CHAIN_NAME_ROOM], text[CHAIN_HINT_LEN + 1];
	auto_close int fd = -1;

	chain_hint_name(name, prefix);
	fd = openat(dir, name,
		    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0644);
	if (fd < 0)
		return;
	snprintf(text, sizeof text, "%020" PRIu64 "\n", n);
	(void)!pwrite(fd, text, CHAIN_HINT_LEN, 0);
}

/* 0 where there is none that could be one. */
static uint64_t chain_hint_read(int dir, const char *prefix)
{
	char name[CHAIN_NAME_ROOM], text[CHAIN_HINT_LEN];
	auto_close int fd = -1;
	uint64_t n = 0;

	chain_hint_name(name, prefix);
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || pread(fd, text, sizeof text, 0) != sizeof text)
		return 0;
	for (int i = 0; i < CHAIN_HINT_LEN - 1; i++) {
		if (text[i] < '0' || text[i] > '9' || n > UINT64_MAX / 100)
			return 0;
		n = n * 10 + (text[i] - '0');
	}
	return n;
}

/* A number to begin from; 0: the folder shows none.  One whose predecessor is
 * missing may be what a latecomer was about to take back. */
static int chain_begin(int dir, const char *prefix, bool by_hint, uint64_t *at,
		       struct err *err)
{
	uint64_t least;
	int rc;

	if (by_hint && (*at = chain_hint_read(dir, prefix)) > 1) {
		rc = chain_is_there(dir, prefix, *at - 1, NULL, err);
		if (rc != 0)
			return rc;
	}
	return chain_list(dir, prefix, &least, at, err);
}

/* Up to where there is no next one.  If the last one is there after that, the
 * next one was not trimmed: it never was. */
static int chain_climb(int dir, const char *prefix, uint64_t *at,
		       struct chain_seen *seen, struct err *err)
{
	for (int i = 0; i < CHAIN_CLIMB_MOST; i++) {
		int rc = chain_is_there(dir, prefix, *at + 1, NULL, err);

		if (rc < 0)
			return rc;
		if (rc == 0)
			return chain_open(dir, prefix, *at, seen, err);
		++*at;
	}
	return err_set(err, -EMFILE, "too many files %s.*", prefix);
}

int chain_last_open(int dir, const char *prefix, uint64_t *last,
		    struct chain_seen *seen, struct err *err)
{
	int rc = chain_prefix_check(prefix, err);

	if (rc < 0)
		return rc;
	for (int try = 0; try < CHAIN_TRIES; try++) {
		rc = chain_begin(dir, prefix, try == 0, last, err);
		if (rc < 0)
			return rc;
		if (*last == 0)
			return err_set(err, -ENOENT, "look for %s.*", prefix);
		rc = chain_climb(dir, prefix, last, seen, err);
		if (rc != -ENOENT)
			return rc;
	}
	return err_set(err, -EAGAIN, "find the last of %s.*", prefix);
}

int chain_last(int dir, const char *prefix, uint64_t *last, struct err *err)
{
	struct err why = { 0 };
	auto_close int fd = chain_last_open(dir, prefix, last, NULL, &why);

	if (fd >= 0 || (fd == -ENOENT && *last == 0))
		return 0;
	if (err)
		*err = why;
	return fd;
}

int chain_read(int dir, const char *prefix, uint64_t n, struct buf *to,
	       size_t most, struct err *err)
{
	auto_close int fd = chain_open(dir, prefix, n, NULL, err);
	char part[4096];
	ssize_t got;

	if (fd < 0)
		return fd;
	while ((got = read(fd, part, sizeof part)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, -errno, "read %s.%" PRIu64, prefix,
				       n);
		if ((size_t)got > most - to->len)
			return err_set(err, -EFBIG, "read %s.%" PRIu64, prefix,
				       n);
		buf_add(to, part, got);
	}
	buf_add(to, "", 0);
	return to->failed ? err_set(err, -ENOMEM, "read %s.%" PRIu64, prefix, n)
			  : 0;
}

/* ---- adding
 * ------------------------------------------------------------------
 */

/* A close writes what is in a client's cache to the server, and says whether
 * that worked; the disk of a local file is not waited for. */
int chain_flush(int fd)
{
	int twin = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return twin < 0 || close(twin) < 0 ? -errno : 0;
}

int chain_draft_open(int dir, const char *prefix, const char *tag,
		     const void *data, size_t len, bool synced,
		     struct chain_draft *draft, struct err *err)
{
	int rc;

	*draft = (struct chain_draft){ .fd = -1 };
	snprintf(draft->name, sizeof draft->name, "%.*s.new.%.40s",
		 CHAIN_PREFIX_MOST, prefix, tag);
	draft->fd = openat(dir, draft->name,
			   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			   0644);
	if (draft->fd < 0) {
		err_set(err, rc = -errno, "make %s", draft->name);
		chain_draft_close(dir, draft); /* it may have been made */
		return rc;
	}
	rc = fd_pwrite_all(draft->fd, data, len, 0, err);
	if (rc >= 0 && synced && fsync(draft->fd) < 0)
		rc = err_set(err, -errno, "sync");
	if (rc >= 0 && !synced && (rc = chain_flush(draft->fd)) < 0)
		err_set(err, rc, "write");
	if (rc >= 0)
		return 0;
	err_wrap(err, "%s", draft->name);
	chain_draft_close(dir, draft);
	return rc;
}

void chain_draft_close(int dir, struct chain_draft *draft)
{
	if (draft->name[0])
		unlinkat(dir, draft->name, 0);
	draft->name[0] = 0;
	fd_close(&draft->fd);
}

/* A server may have done it although the answer says otherwise. */
static int chain_link(int dir, const struct chain_draft *draft,
		      const char *name, struct err *err)
{
	struct chain_seen seen;
	int code;

	if (linkat(dir, draft->name, dir, name, 0) == 0)
		return 0;
	code = -errno;
	if (chain_see(draft->fd, &seen) == 0 && seen.links == 2)
		return 0;
	return err_set(err, code, "make %s", name);
}

int chain_draft_link(int dir, const struct chain_draft *draft,
		     const char *prefix, uint64_t n, struct err *err)
{
	char name[CHAIN_NAME_ROOM];

	chain_name(name, prefix, n);
	return chain_link(dir, draft, name, err);
}

void chain_drop(int dir, const char *prefix, uint64_t n)
{
	char name[CHAIN_NAME_ROOM];

	chain_name(name, prefix, n);
	unlinkat(dir, name, 0);
}

/* Has the chain not left number n behind?  The first one has no predecessor
 * to ask for: nothing may be behind it. */
static int chain_is_in_place(int dir, const char *prefix, uint64_t n,
			     struct err *err)
{
	uint64_t least, most;
	int rc;

	if (n > 1)
		return chain_is_there(dir, prefix, n - 1, NULL, err);
	rc = chain_list(dir, prefix, &least, &most, err);
	if (rc < 0)
		return rc;
	return most <= 1 && chain_hint_read(dir, prefix) <= 1;
}

static int chain_add_draft(int dir, const struct chain_draft *draft,
			   const char *prefix, uint64_t n, struct err *err)
{
	int rc = chain_draft_link(dir, draft, prefix, n, err);

	if (rc < 0)
		return rc;
	rc = chain_is_in_place(dir, prefix, n, err);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		chain_drop(dir, prefix, n);
		return err_set(err, -ESTALE, "add %s.%" PRIu64, prefix, n);
	}
	if (fsync(dir) < 0 && errno != EINVAL)
		return err_set(err, -errno, "sync the folder of %s.%" PRIu64,
			       prefix, n);
	chain_hint(dir, prefix, n);
	return 0;
}

/* Synced, under a name that nobody else has. */
static int chain_draft_any(int dir, const char *prefix, const void *data,
			   size_t len, struct chain_draft *draft,
			   struct err *err)
{
	uint64_t tag[2];
	char text[33];

	if (getrandom(tag, sizeof tag, 0) != sizeof tag)
		return err_set(err, -EIO, "get random bytes");
	snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, tag[0],
		 tag[1]);
	return chain_draft_open(dir, prefix, text, data, len, true, draft, err);
}

int chain_add(int dir, const char *prefix, uint64_t n, const void *data,
	      size_t len, struct err *err)
{
	struct chain_draft draft;
	int rc = chain_prefix_check(prefix, err);

	if (rc < 0)
		return rc;
	if (n == 0)
		return err_set(err, -EINVAL, "%s.0 is no number", prefix);
	rc = chain_draft_any(dir, prefix, data, len, &draft, err);
	if (rc < 0)
		return rc;
	rc = chain_add_draft(dir, &draft, prefix, n, err);
	chain_draft_close(dir, &draft);
	return rc;
}

int chain_put(int dir, const char *name, const void *data, size_t len,
	      struct err *err)
{
	struct chain_draft draft;
	int rc = chain_draft_any(dir, name, data, len, &draft, err);

	if (rc < 0)
		return rc;
	rc = chain_link(dir, &draft, name, err);
	chain_draft_close(dir, &draft);
	if (rc >= 0 && fsync(dir) < 0 && errno != EINVAL)
		rc = err_set(err, -errno, "sync the folder of %s", name);
	return rc;
}

/* ---- trimming
 * ----------------------------------------------------------------
 */

struct chain_sweep {
	struct stat of; /* its drafts go */
	bool by_age;	/* and those that are much older than it */
};

static void chain_sweep_one(int dir, const char *prefix, const char *name,
			    void *ctx)
{
	const struct chain_sweep *sweep = ctx;
	const char *rest = chain_rest(prefix, name);
	struct stat st;

	if (strncmp(rest, "new.", 4) != 0 ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if ((st.st_ino == sweep->of.st_ino && st.st_dev == sweep->of.st_dev) ||
	    (sweep->by_age &&
	     st.st_mtime + CHAIN_DRAFT_AGE_S < sweep->of.st_mtime))
		unlinkat(dir, name, 0);
}

/* Who was killed between link and unlink left a second name, by which the
 * entry would live on and seem to be there to who has it in its cache. */
static int chain_trim_one(int dir, const char *prefix, uint64_t n,
			  struct err *err)
{
	char name[CHAIN_NAME_ROOM];
	struct chain_sweep sweep = { 0 };

	chain_name(name, prefix, n);
	if (fstatat(dir, name, &sweep.of, AT_SYMLINK_NOFOLLOW) == 0 &&
	    sweep.of.st_nlink > 1)
		chain_walk(dir, prefix, chain_sweep_one, &sweep, NULL);
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT && errno != ESTALE)
		return err_set(err, -errno, "remove %s", name);
	return 0;
}

/* The lowest entry: the one above a number at or below top that is not there.
 * 0 when it was not found. */
static int chain_bottom(int dir, const char *prefix, uint64_t top,
			uint64_t *bottom, struct err *err)
{
	uint64_t least = top, most;
	int rc;

	for (int i = 0; i < CHAIN_TRIM_MOST; i++) {
		rc = chain_is_there(dir, prefix, top, NULL, err);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			*bottom = top + 1;
			return 0;
		}
		top--;
	}
	rc = chain_list(dir, prefix, &least, &most, err);
	*bottom = 0;
	if (rc < 0 || least == 0)
		return rc;
	rc = chain_is_there(dir, prefix, least - 1, NULL, err);
	if (rc == 0)
		*bottom = least;
	return rc < 0 ? rc : 0;
}

static void chain_sweep_old(int dir, const char *prefix, uint64_t last)
{
	char name[CHAIN_NAME_ROOM];
	struct chain_sweep sweep = { .by_age = true };

	chain_name(name, prefix, last);
	if (fstatat(dir, name, &sweep.of, AT_SYMLINK_NOFOLLOW) == 0)
		chain_walk(dir, prefix, chain_sweep_one, &sweep, NULL);
}

int chain_trim(int dir, const char *prefix, uint64_t last, uint64_t keep,
	       struct err *err)
{
	uint64_t bottom;
	int rc = chain_prefix_check(prefix, err);

	if (keep < 2)
		keep = 2;
	if (rc < 0 || last <= keep)
		return rc;
	if (last % CHAIN_SWEEP_EACH == 0)
		chain_sweep_old(dir, prefix, last);
	rc = chain_bottom(dir, prefix, last - keep, &bottom, err);
	if (rc < 0 || bottom == 0)
		return rc;
	for (int i = 0; i < CHAIN_TRIM_MOST && bottom <= last - keep; i++) {
		rc = chain_trim_one(dir, prefix, bottom++, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
