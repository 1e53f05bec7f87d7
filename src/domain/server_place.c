/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, the lock, and what is left behind. */
#include "domain/server_place.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PLACE_ANSWER_MOST = 64 * 1024, PLACE_TRIES = 8 };
static const char place_prefix[] = "domain-";

static int place_fill(char *folder, struct server_place *place, struct err *err)
{
	*place = (struct server_place){ .folder = folder };
	if (folder) {
		place->lock = file_join(folder, "lock");
		place->live = file_join(folder, "live");
		place->control = file_join(folder, "control");
	}
	if (place->lock && place->live && place->control)
		return 0;
	server_place_fini(place);
	return err_set(err, -ENOMEM, "names of sockets");
}

int server_place_find(const char *root, const char *name,
		      struct server_place *place, struct err *err)
{
	char hash[17];

	hash_hex(hash64(name, strlen(name)), hash);
	return place_fill(file_format("%s/%s%s", root, place_prefix, hash),
			  place, err);
}

void server_place_fini(struct server_place *place)
{
	free(place->folder);
	free(place->lock);
	free(place->live);
	free(place->control);
	*place = (struct server_place){ 0 };
}

bool server_place_is_kept(const struct server_place *place)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = open(place->lock, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return false;
	return lock.l_type != F_UNLCK;
}

/* ---- all of them ---------------------------------------------------------- */

static int each_one(const char *root, const char *name,
		    server_place_visit *visit, void *context)
{
	auto_server_place struct server_place place = { 0 };

	if (strncmp(name, place_prefix, sizeof(place_prefix) - 1) != 0 ||
	    place_fill(file_join(root, name), &place, NULL) < 0)
		return 0;
	return visit(&place, context);
}

static int each_any(const char *root, server_place_visit *visit, void *context)
{
	DIR *dir = opendir(root);
	struct dirent *item;
	int r = 0;

	while (dir && r == 0 && (item = readdir(dir)))
		r = each_one(root, item->d_name, visit, context);
	if (dir)
		closedir(dir);
	return r;
}

struct each_kept {
	server_place_visit *visit;
	void *context;
};

static int each_if_kept(const struct server_place *place, void *context)
{
	const struct each_kept *kept = context;

	return server_place_is_kept(place) ? kept->visit(place, kept->context)
					   : 0;
}

int server_place_each(const char *root, server_place_visit *visit,
		      void *context)
{
	struct each_kept kept = { visit, context };

	return each_any(root, each_if_kept, &kept);
}

/* ---- the server's own ----------------------------------------------------- */

/* The lock of the file that has the name now. */
static int place_lock(const struct server_place *place, struct err *err)
{
	for (int i = 0; i < PLACE_TRIES; i++) {
		int r = file_private_dir(place->folder, err);
		int fd = r < 0 ? r : lock_take(place->lock, 0, NULL);

		if (fd == -EWOULDBLOCK)
			return err_set(err, -EALREADY, "%s", place->folder);
		if (fd >= 0 || fd != -ENOENT)
			return fd >= 0 ? fd
				       : err_set(err, fd, "lock %s",
						 place->lock);
	}
	return err_set(err, -EBUSY, "lock %s", place->lock);
}

void server_place_leave(const struct server_place *place)
{
	unlink(place->live);
	unlink(place->control);
	unlink(place->lock);
	rmdir(place->folder);
}

static int place_sweep(const struct server_place *place, void *context)
{
	int fd;

	(void)context;
	if (access(place->lock, F_OK) < 0)
		return 0;
	fd = lock_take(place->lock, 0, NULL);
	if (fd < 0)
		return 0;
	server_place_leave(place);
	close(fd);
	return 0;
}

int server_place_take(const char *root, const struct server_place *place,
		      struct err *err)
{
	int fd;

	each_any(root, place_sweep, NULL);
	fd = place_lock(place, err);
	if (fd < 0)
		return fd;
	unlink(place->live);
	unlink(place->control);
	return fd;
}

/* ---- asked ---------------------------------------------------------------- */

int server_ask(const struct server_place *place, const char *word,
	       int timeout_ms, struct buf *answer, struct err *err)
{
	auto_close int fd = fd_connect(place->control, timeout_ms, err);
	char *room = buf_room(answer, PLACE_ANSWER_MOST);
	ssize_t len;
	int r;

	if (fd == -ENOENT)
		return -ECONNREFUSED;
	if (fd < 0)
		return fd;
	if (!room)
		return err_set(err, -ENOMEM, "a server's answer");
	r = fd_send(fd, word, strlen(word), NULL, 0, err);
	if (r >= 0)
		r = fd_wait(fd, POLLIN, timeout_ms);
	if (r <= 0)
		return err_set(err, r < 0 ? r : -ETIME, "a server's answer");
	len = fd_receive(fd, room, PLACE_ANSWER_MOST, NULL, 0, NULL, err);
	if (len <= 0)
		return len < 0 ? (int)len
			       : err_set(err, -EPROTO, "a server's answer");
	buf_used(answer, (size_t)len);
	return 0;
}
