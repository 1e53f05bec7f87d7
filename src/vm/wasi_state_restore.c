/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest had open, made again from bytes that nobody has to believe:
 * they give no right that the guest's grants do not.  What was granted is
 * granted anew by who restores; what the guest has opened is opened again
 * beneath the granted folder, and has to be the same file, unchanged.  The new
 * table takes the old one's place when all of it is there. */
#include "base/buf.h"
#include "vm/wasi_internal.h"
#include "vm/wasi_state.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wasi_restore {
	struct wasi *wasi;
	struct wasi_state head;
	const uint8_t *grants, *fds, *text; /* of the bytes */
	uint64_t text_left;
	struct wasi_fd *made; /* the table to be */
	uint32_t made_room;
};

static int wasi_restore_bad(const char *why, struct err *err)
{
	return err_set(err, -EBADMSG, "warm state of WASI: %s", why);
}

/* The parts, within the bytes; not what they say. */
static int wasi_restore_parts(struct wasi_restore *restoring, const void *bytes,
			      size_t len, struct err *err)
{
	struct wasi_state *head = &restoring->head;
	uint64_t grants, fds;

	if (len < sizeof *head)
		return wasi_restore_bad("it is cut off", err);
	memcpy(head, bytes, sizeof *head);
	if (memcmp(head->magic, WASI_STATE_MAGIC, sizeof head->magic) != 0)
		return wasi_restore_bad("it is none", err);
	if (head->version != WASI_STATE_VERSION ||
	    head->header_bytes != sizeof *head)
		return wasi_restore_bad("it is of another version", err);
	if (head->grant_count > WASI_FDS_MOST || head->fd_count > WASI_FDS_MOST)
		return wasi_restore_bad("it has too many descriptors", err);
	grants = head->grant_count * sizeof(struct wasi_state_grant);
	fds = head->fd_count * sizeof(struct wasi_state_fd);
	if (len - sizeof *head < grants + fds ||
	    len - sizeof *head - grants - fds != head->text_bytes)
		return wasi_restore_bad("it is cut off", err);
	if (wasi_state_sum(bytes, len) != head->sum)
		return wasi_restore_bad("its sum is wrong", err);
	restoring->grants = (const uint8_t *)bytes + sizeof *head;
	restoring->fds = restoring->grants + grants;
	restoring->text = restoring->fds + fds;
	restoring->text_left = head->text_bytes;
	return 0;
}

/* The next text; NULL: there is none, or one with a 0 in it. */
static const char *wasi_restore_text(struct wasi_restore *restoring,
				     uint32_t len)
{
	const char *text = (const char *)restoring->text;

	if (len > restoring->text_left || memchr(text, 0, len))
		return NULL;
	restoring->text += len;
	restoring->text_left -= len;
	return text;
}

/* ---- what was granted, then and now */

static const char *wasi_restore_thing(uint32_t kind)
{
	return kind == WASI_GRANT_STREAM   ? "a standard stream"
	       : kind == WASI_GRANT_FOLDER ? "the folder"
	       : kind == WASI_GRANT_IMAGE  ? "the image"
					   : "a socket";
}

static int wasi_restore_grant(struct wasi_restore *restoring,
			      const struct wasi_state_grant *was,
			      struct err *err)
{
	const struct wasi *wasi = restoring->wasi;
	auto_buf struct buf name = { 0 };
	const struct wasi_grant *is;
	const char *text;

	text = wasi_restore_text(restoring, was->text_bytes);
	if (!text || was->reserved || was->kind == WASI_NOT_GRANTED ||
	    was->kind >= WASI_GRANT_KINDS ||
	    (was->kind != WASI_GRANT_FOLDER && was->kind != WASI_GRANT_IMAGE &&
	     was->text_bytes))
		return wasi_restore_bad("what was granted makes no sense", err);
	is = was->fd < wasi->grant_room ? &wasi->grants[was->fd] : NULL;
	if (is && is->kind == was->kind &&
	    (!is->folder || (strlen(is->folder) == was->text_bytes &&
			     memcmp(is->folder, text, was->text_bytes) == 0)))
		return 0;
	if (was->text_bytes)
		buf_text(&name, " ");
	vm_describe_name((struct wasm_name){ text, was->text_bytes }, &name);
	return err_set(err, -EINVAL,
		       "descriptor %u was %s%.150s when the warm state was "
		       "made, and is not now",
		       was->fd, wasi_restore_thing(was->kind),
		       buf_string(&name));
}

/* All that was granted is, and nothing more. */
static int wasi_restore_grants(struct wasi_restore *restoring, struct err *err)
{
	uint32_t least = 0, count = restoring->head.grant_count;
	struct wasi_state_grant was;
	int r;

	for (uint32_t i = 0; i < count; i++) {
		memcpy(&was, restoring->grants + i * sizeof was, sizeof was);
		if (was.fd < least || was.fd >= WASI_FDS_MOST)
			return wasi_restore_bad("grants are out of order", err);
		least = was.fd + 1;
		r = wasi_restore_grant(restoring, &was, err);
		if (r < 0)
			return r;
	}
	if (count != restoring->wasi->grant_count)
		return err_set(err, -EINVAL,
			       "%u descriptors were granted when the warm "
			       "state was made, and %u are now",
			       count, restoring->wasi->grant_count);
	return 0;
}

static bool wasi_restore_is_fresh(const struct wasi *wasi)
{
	for (uint32_t i = 0; i < wasi->fd_room; i++)
		if (wasi->fds[i].host >= 0
			    ? wasi->fds[i].grant != i + 1
			    : !wasi_is_image(wasi, i) && i < wasi->grant_room &&
				      wasi->grants[i].kind)
			return false;
	return true;
}

/* ---- what was open */

static int wasi_restore_granted(struct wasi_restore *restoring,
				const struct wasi_state_fd *was,
				struct wasi_fd *to, struct err *err)
{
	const struct wasi *wasi = restoring->wasi;
	const struct wasi_fd *from;

	if (was->grant >= wasi->grant_room || !wasi->grants[was->grant].kind ||
	    wasi->grants[was->grant].kind == WASI_GRANT_IMAGE ||
	    was->text_bytes || was->changed & ~WASI_FDFLAGS ||
	    was->flags & ~was->changed)
		return wasi_restore_bad("a grant in use makes no sense", err);
	for (uint32_t i = 0; i < restoring->made_room; i++)
		if (restoring->made[i].grant == was->grant + 1)
			return wasi_restore_bad("a grant is used twice", err);
	from = &wasi->fds[was->grant];
	*to = *from;
	to->flags = (from->flags & ~was->changed) | was->flags;
	to->rights &= ~was->rights;
	to->inheriting &= ~was->inheriting;
	return 0;
}

static int wasi_restore_changed(const char *path, struct err *err)
{
	auto_buf struct buf text = { 0 };

	return err_set(err, -EINVAL,
		       "%.150s has changed since the warm state was made: "
		       "make it again",
		       wasi_state_name(path, &text));
}

/* The position in a folder is good as long as its entries are the same. */
static bool wasi_restore_is_same(const struct wasi_state_fd *was, int host)
{
	struct wasi_state_fd is = *was;
	struct stat stat;

	if (fstat(host, &stat) < 0 ||
	    !(was->kind == WASI_STATE_FILE ? S_ISREG(stat.st_mode)
					   : S_ISDIR(stat.st_mode)))
		return false;
	wasi_state_stat(&is, &stat);
	if (is.dev != was->dev || is.ino != was->ino)
		return false;
	return (was->kind == WASI_STATE_FOLDER && !was->offset) ||
	       (is.bytes == was->bytes && is.mtime_s == was->mtime_s &&
		is.mtime_ns == was->mtime_ns);
}

/* What has nothing to do with which file it is. */
static const char *wasi_restore_why(int e)
{
	switch (e) {
	case WASI_EACCES:
	case WASI_EPERM: return "it may not be read";
	case WASI_EMFILE:
	case WASI_ENFILE: return "there are no descriptors left";
	case WASI_ENOMEM: return "there is no memory";
	}
	return NULL;
}

static int wasi_restore_open(struct wasi_restore *restoring,
			     const struct wasi_state_fd *was, const char *path,
			     int *host, struct err *err)
{
	const struct wasi *wasi = restoring->wasi;
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
	auto_buf struct buf text = { 0 };
	const char *why;
	int e;

	if (was->kind == WASI_STATE_FOLDER)
		flags |= O_DIRECTORY;
	e = wasi_beneath_open(wasi, wasi->fds[was->grant].host, path, flags, 0,
			      host);
	if (!e)
		return 0;
	why = wasi_restore_why(e);
	if (why)
		return err_set(err, -EINVAL,
			       "%.150s, open in the warm state, cannot be "
			       "opened: %s",
			       wasi_state_name(path, &text), why);
	return wasi_restore_changed(path, err);
}

/* It has the kind's rights, those that its folder hands on, and no other. */
static int wasi_restore_describe(const struct wasi_restore *restoring,
				 const struct wasi_state_fd *was,
				 struct wasi_fd *to, struct err *err)
{
	const struct wasi_grant *from = &restoring->wasi->grants[was->grant];
	int r = wasi_table_describe(to);

	if (r < 0)
		return err_set(err, r, "a warm state's descriptor %u", was->fd);
	if (was->rights & ~(to->rights & from->inheriting) ||
	    was->inheriting & ~(to->inheriting & from->inheriting))
		return err_set(err, -EINVAL,
			       "descriptor %u had more rights when the warm "
			       "state was made than its folder gives now",
			       was->fd);
	to->flags = was->flags;
	to->rights = was->rights;
	to->inheriting = was->inheriting;
	if (was->offset && lseek(to->host, (off_t)was->offset, SEEK_SET) < 0)
		return err_set(err, -EINVAL,
			       "descriptor %u cannot stand where it stood "
			       "when the warm state was made",
			       was->fd);
	return 0;
}

static int wasi_restore_opened(struct wasi_restore *restoring,
			       const struct wasi_state_fd *was,
			       struct wasi_fd *to, struct err *err)
{
	const struct wasi *wasi = restoring->wasi;
	const char *text = wasi_restore_text(restoring, was->text_bytes);
	char path[PATH_MAX];
	int r;

	if (!text || !was->text_bytes || was->text_bytes >= PATH_MAX ||
	    was->grant >= wasi->grant_room ||
	    wasi->grants[was->grant].kind != WASI_GRANT_FOLDER ||
	    was->flags & ~WASI_FDFLAGS || was->changed)
		return wasi_restore_bad("an open file makes no sense", err);
	memcpy(path, text, was->text_bytes);
	path[was->text_bytes] = 0;
	r = wasi_restore_open(restoring, was, path, &to->host, err);
	if (r < 0)
		return r;
	if (!wasi_restore_is_same(was, to->host))
		return wasi_restore_changed(path, err);
	return wasi_restore_describe(restoring, was, to, err);
}

static int wasi_restore_fd(struct wasi_restore *restoring,
			   const struct wasi_state_fd *was, struct err *err)
{
	struct wasi_fd *to = &restoring->made[was->fd];

	if (was->reserved || was->kind >= WASI_STATE_KINDS ||
	    wasi_is_image(restoring->wasi, was->fd))
		return wasi_restore_bad("a descriptor makes no sense", err);
	return was->kind == WASI_STATE_GRANTED
		       ? wasi_restore_granted(restoring, was, to, err)
		       : wasi_restore_opened(restoring, was, to, err);
}

/* A table for all numbers, as long as those that grow. */
static int wasi_restore_room(struct wasi_restore *restoring, struct err *err)
{
	struct wasi_state_fd last = { 0 };
	uint32_t count = restoring->head.fd_count, room = 16;

	if (count)
		memcpy(&last, restoring->fds + (count - 1) * sizeof last,
		       sizeof last);
	if (last.fd >= WASI_FDS_MOST)
		return wasi_restore_bad("a number is too large", err);
	while (room <= last.fd)
		room *= 2;
	restoring->made = calloc(room, sizeof *restoring->made);
	if (!restoring->made)
		return err_set(err, -ENOMEM, "a warm state of WASI");
	restoring->made_room = room;
	for (uint32_t i = 0; i < room; i++)
		restoring->made[i].host = -1;
	return 0;
}

static int wasi_restore_fds(struct wasi_restore *restoring, struct err *err)
{
	int r = wasi_restore_room(restoring, err);
	struct wasi_state_fd was;
	uint32_t least = 0;

	for (uint32_t i = 0; r >= 0 && i < restoring->head.fd_count; i++) {
		memcpy(&was, restoring->fds + i * sizeof was, sizeof was);
		if (was.fd < least || was.fd >= restoring->made_room)
			return wasi_restore_bad("numbers are out of order",
						err);
		least = was.fd + 1;
		r = wasi_restore_fd(restoring, &was, err);
	}
	if (r >= 0 && restoring->text_left)
		return wasi_restore_bad("it has text too much", err);
	return r;
}

/* The granted descriptors in the new table are the old one's still. */
static void wasi_restore_drop(struct wasi_restore *restoring)
{
	for (uint32_t i = 0; i < restoring->made_room; i++)
		if (!restoring->made[i].grant)
			wasi_table_drop(&restoring->made[i]);
	free(restoring->made);
}

/* What was granted and then closed is closed. */
static void wasi_restore_install(struct wasi_restore *restoring)
{
	struct wasi *wasi = restoring->wasi;

	for (uint32_t i = 0; i < restoring->made_room; i++)
		if (restoring->made[i].grant)
			wasi->fds[restoring->made[i].grant - 1].host = -1;
	for (uint32_t i = 0; i < wasi->fd_room; i++)
		wasi_table_drop(&wasi->fds[i]);
	free(wasi->fds);
	wasi->fds = restoring->made;
	wasi->fd_room = restoring->made_room;
}

int wasi_state_restore(struct wasi *wasi, const void *bytes, size_t len,
		       struct err *err)
{
	struct wasi_restore restoring = { .wasi = wasi };
	int r = wasi_restore_parts(&restoring, bytes, len, err);

	if (r >= 0 && !wasi_restore_is_fresh(wasi))
		r = err_set(err, -EINVAL,
			    "a warm state of WASI is for a guest that has "
			    "done nothing yet");
	if (r >= 0)
		r = wasi_restore_grants(&restoring, err);
	if (r >= 0)
		r = wasi_restore_fds(&restoring, err);
	if (r < 0)
		wasi_restore_drop(&restoring);
	else
		wasi_restore_install(&restoring);
	return r;
}

/* ---- what a guest has to be granted */

static int wasi_folders_add(struct wasi_restore *state,
			    const struct wasi_state_grant *was,
			    struct buf *names, struct err *err)
{
	const char *text = wasi_restore_text(state, was->text_bytes);

	if (!text || was->kind == WASI_NOT_GRANTED ||
	    was->kind >= WASI_GRANT_KINDS)
		return wasi_restore_bad("what was granted makes no sense", err);
	if (was->kind == WASI_GRANT_STREAM)
		return 0;
	if (was->kind != WASI_GRANT_FOLDER)
		return err_set(err, -EINVAL, "it was made with %s",
			       was->kind == WASI_GRANT_IMAGE
				       ? "an image of files"
				       : "a socket");
	buf_add(names, text, was->text_bytes);
	buf_add(names, "", 1);
	return 0;
}

int wasi_state_folders(const void *bytes, size_t len, struct buf *names,
		       struct err *err)
{
	struct wasi_restore state = { 0 };
	int r = wasi_restore_parts(&state, bytes, len, err);
	struct wasi_state_grant was;

	for (uint32_t i = 0; r >= 0 && i < state.head.grant_count; i++) {
		memcpy(&was, state.grants + i * sizeof was, sizeof was);
		r = wasi_folders_add(&state, &was, names, err);
	}
	return r < 0 || !names->failed
		       ? r
		       : err_set(err, -ENOMEM, "folders of a warm state");
}
