/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of machines that live. */
#include "machine/place.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "image/images.h"
#include "launch/registry.h"
#include "machine/half.h"
#include "machine/virtiofsd.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
	PLACE_NUMBERS = 10000,
	PLACE_LOOK_MS = 5,
	PLACE_GUARD_MS = 10000,
	PLACE_AGAIN = 3,
};

void place_fini(struct place *place)
{
	fd_close(&place->lock);
	mem_free(&place->folder);
}

char *place_path(const struct place *place, const char *file)
{
	return file_join(place->folder, file);
}

static int place_root(char **root, bool make, struct err *err)
{
	auto_free char *above = NULL;
	int rc = registry_runtime(&above, make, err);

	if (rc < 0)
		return rc;
	*root = file_join(above, "machines");
	if (!*root)
		return err_set(err, -ENOMEM, "name of a folder");
	return make ? file_private_dir(*root, err) : 0;
}

static int place_at(const char *root, const char *name, struct place *place,
		    struct err *err)
{
	*place = (struct place){ .lock = -1 };
	if (!images_is_name(name))
		return err_set(err, -EINVAL,
			       "%.64s is no name of a machine: letters, "
			       "digits, \"._-\", at most 64",
			       name);
	snprintf(place->name, sizeof(place->name), "%s", name);
	place->folder = file_join(root, name);
	return place->folder ? 0 : err_set(err, -ENOMEM, "name of a folder");
}

/* 1: locked by us now, 0: somebody holds it. */
static int place_try(struct place *place, bool make, struct err *err)
{
	auto_free char *path = place_path(place, "lock");
	auto_close int fd = -1;

	if (!path)
		return err_set(err, -ENOMEM, "name of a file");
	fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? 0
			       : err_set(err, -errno, "lock %s", path);
	place->lock = steal_fd(&fd);
	return 1;
}

/* Folders are made, looked into and removed by one at a time: else who finds
 * a dead one would remove what another has just made in its place. */
static int place_guard(const char *root, struct err *err)
{
	auto_free char *path = file_join(root, ".lock");

	return path ? lock_take(path, PLACE_GUARD_MS, err)
		    : err_set(err, -ENOMEM, "name of a file");
}

/* The guard is held. */
static void place_clear(struct place *place)
{
	virtiofsd_end_all(place->folder);
	file_remove_tree(place->folder, NULL);
	fd_close(&place->lock);
}

/* Who works on one that is gone, and does not know it yet, may make a file in
 * it while it goes. */
static int place_make_anew(struct place *place, struct err *err)
{
	for (int again = 0; again < PLACE_AGAIN; again++) {
		place_clear(place);
		if (mkdir(place->folder, 0700) == 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	return err_set(err, -errno, "make %s", place->folder);
}

/* 1: it is ours; 0: a machine lives there.  What is left of one that is gone
 * goes first. */
static int place_take_now(const char *root, struct place *place,
			  struct err *err)
{
	auto_close int guard = place_guard(root, err);
	int rc = 0;

	if (guard < 0)
		return guard;
	if (mkdir(place->folder, 0700) < 0) {
		if (errno != EEXIST)
			return err_set(err, -errno, "make %s", place->folder);
		rc = place_try(place, false, err);
		if (rc == 0 || (rc < 0 && rc != -ENOENT))
			return rc;
		rc = place_make_anew(place, err);
	}
	return rc < 0 ? rc : place_try(place, true, err);
}

static int place_take(const char *root, struct place *place, struct err *err)
{
	int rc = 0;

	for (int again = 0; rc == 0 && again < PLACE_AGAIN; again++) {
		rc = place_take_now(root, place, err);
		if (rc == 0 && !half_mend(place))
			break;
	}
	if (rc != 0)
		return rc < 0 ? rc : 0;
	err_set(err, -EINVAL,
		"a machine %s runs already; \"brood machine stop %s\" ends it",
		place->name, place->name);
	return -EEXIST;
}

static int place_take_number(const char *root, const char *stem,
			     struct place *place, struct err *err)
{
	int rc = -EEXIST;

	for (int i = 1; rc == -EEXIST && i < PLACE_NUMBERS; i++) {
		char name[sizeof(place->name)];

		if (snprintf(name, sizeof(name), "%.56s%d", stem, i) < 0)
			return -EINVAL;
		rc = place_at(root, name, place, err);
		if (rc >= 0)
			rc = place_take(root, place, err);
		if (rc < 0)
			place_fini(place);
	}
	return rc;
}

int place_make(const char *name, struct place *place, struct err *err)
{
	auto_free char *root = NULL;
	int rc = place_root(&root, true, err);

	*place = (struct place){ .lock = -1 };
	if (rc < 0)
		return rc;
	if (!name || !*name || name[strlen(name) - 1] == '-')
		return place_take_number(root, name && *name ? name : "vm-",
					 place, err);
	rc = place_at(root, name, place, err);
	if (rc >= 0)
		rc = place_take(root, place, err);
	if (rc < 0)
		place_fini(place);
	return rc;
}

/* 0: it lives; 1: it does not, and its folder is gone now.  A folder without a
 * lock is of one who was killed between making the two, or removing them. */
static int place_look(const char *root, struct place *place)
{
	auto_close int guard = place_guard(root, NULL);
	int rc;

	if (guard < 0) /* where there is no root, nothing is in it */
		return guard == -ENOENT ? 1 : guard;
	rc = place_try(place, false, NULL);
	if (rc != 1 && rc != -ENOENT)
		return rc;
	place_clear(place);
	return 1;
}

int place_find(const char *name, struct place *place, struct err *err)
{
	auto_free char *root = NULL;
	int rc = place_root(&root, false, err);

	*place = (struct place){ .lock = -1 };
	if (rc >= 0)
		rc = place_at(root, name, place, err);
	if (rc < 0)
		return rc;
	rc = place_look(root, place);
	if (rc == 0 && half_mend(place))
		rc = place_look(root, place);
	if (rc == 0)
		return 0;
	place_fini(place);
	if (rc != 1)
		return err_set(err, rc, "look for machine %s", name);
	err_set(err, -EINVAL,
		"no machine %.64s runs; \"brood machine ps\" lists those that "
		"do",
		name);
	return -ENOENT;
}

/* Where the guard cannot be had, who comes by does it. */
void place_remove(struct place *place)
{
	auto_free char *root = NULL;
	auto_close int guard = -1;

	if (place_root(&root, false, NULL) >= 0)
		guard = place_guard(root, NULL);
	if (guard >= 0)
		place_clear(place);
	fd_close(&place->lock);
}

int place_wait_gone(const struct place *place, int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000;
	const struct timespec look = { .tv_nsec = PLACE_LOOK_MS * 1000000 };
	struct place again = { .folder = place->folder, .lock = -1 };

	for (;;) {
		int rc = place_try(&again, false, NULL);

		fd_close(&again.lock);
		if (rc != 0)
			return 0;
		if (clock_ns() > end)
			return -ETIME;
		nanosleep(&look, NULL);
	}
}

static int place_is_shown(const struct dirent *entry)
{
	return images_is_name(entry->d_name);
}

int place_each(place_visit *visit, void *context, struct err *err)
{
	auto_free char *root = NULL;
	struct dirent **entries;
	int rc = place_root(&root, false, err), count;

	if (rc < 0)
		return rc;
	count = scandir(root, &entries, place_is_shown, alphasort);
	if (count < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "look into %s", root);
	for (int i = 0; i < count; i++) {
		struct place place;

		if (rc == 0 &&
		    place_find(entries[i]->d_name, &place, NULL) == 0) {
			rc = visit(&place, context);
			place_fini(&place);
		}
		free(entries[i]);
	}
	free(entries);
	return rc;
}
