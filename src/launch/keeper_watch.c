/* SPDX-License-Identifier: Apache-2.0 */
/* Files that a template is made of: the ones that it has mapped, and the
 * ones that its start depended on.  A starter compares them itself, so this
 * is not what keeps launches right; it brings the next generation early.
 *
 * A mapped file that changes makes image and template useless: both are
 * withdrawn at once.  A fact that changes only makes starters go cold; the
 * next generation is made for it, but not in a row for a file that changes
 * all the time.					       CLAIM 0.17 */
#include "bare/fact.h"
#include "bare/image_check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "launch/keeper_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCH_FILE \
	(IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF)
#define WATCH_FOLDER (IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR)
/* Of a folder in which a file is missing that was looked for. */
#define WATCH_MISSING (WATCH_FOLDER | IN_CREATE | IN_MOVED_TO)
/* Of a folder that the program itself looked at. */
#define WATCH_LISTED (WATCH_MISSING | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB)
#define WATCH_STATE \
	(IN_DELETE | IN_MOVED_FROM | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR)

/* ---- what an image depends on ------------------------------------------ */

static struct program_image *watch_check_header(struct program_image *image,
						size_t len, uint64_t file_bytes,
						const char *path,
						struct err *err)
{
	const char *wrong = image_check(image, len, file_bytes);

	if (!wrong)
		return image;
	err_set(err, -EINVAL, "image %s: %s", path, wrong);
	free(image);
	return NULL;
}

struct program_image *keeper_image_header(const char *path, struct err *err)
{
	auto_close int fd = file_open_trusted(path, err);
	struct program_image *image;
	struct stat st;
	size_t len;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(*image)) {
		err_set(err, -EINVAL, "image %s is too short", path);
		return NULL;
	}
	len = st.st_size < IMAGE_HEADER_MOST ? (size_t)st.st_size
					     : (size_t)IMAGE_HEADER_MOST;
	image = malloc(len);
	if (!image || fd_pread_all(fd, image, len, 0, err) < 0) {
		free(image);
		err_wrap(err, "image %s", path);
		return NULL;
	}
	return watch_check_header(image, len, (uint64_t)st.st_size, path, err);
}

static uint64_t watch_stamp_value(const char *path)
{
	struct file_stamp stamp;
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	file_stamp_of(&st, &stamp);
	return hash64(&stamp, sizeof(stamp)) | 1;
}

static uint64_t watch_value_now(const struct keeper_file *file)
{
	if (!file->fact)
		return watch_stamp_value(file->path);
	return fact_now(file->fact, 0, file->path);
}

/* The stamp as the image has it, so that a change between its writing and
 * our first look is seen. */
static uint64_t watch_image_value(const struct image_file *file)
{
	struct file_stamp stamp = { file->dev, file->ino, file->size,
				    file->mtime_ns, file->ctime_ns };

	return hash64(&stamp, sizeof(stamp)) | 1;
}

static bool watch_can_be_watched(const char *path)
{
	return path[0] == '/' && strncmp(path, "/proc/", 6) != 0 &&
	       strncmp(path, "/sys/", 5) != 0 && strncmp(path, "/dev/", 5) != 0;
}

/* A fact's value is taken now, not from the image: a fact that never holds
 * must not bring one generation after the other. */
static int watch_add_file(struct keeper_watch *watch, const char *path,
			  uint32_t fact, uint64_t value)
{
	struct keeper_file file = { strdup(path), fact, value };

	if (watch->count == watch->room) {
		size_t room = watch->room ? watch->room * 2 : 64;
		struct keeper_file *grown =
			realloc(watch->file, room * sizeof(*grown));

		if (grown) {
			watch->file = grown;
			watch->room = room;
		}
	}
	if (!file.path || watch->count == watch->room) {
		free(file.path);
		return -ENOMEM;
	}
	if (fact)
		file.value = watch_value_now(&file);
	watch->file[watch->count++] = file;
	return 0;
}

static bool watch_is_file_fact(uint32_t kind)
{
	return kind == FACT_FILE || kind == FACT_LINK_FILE ||
	       kind == FACT_CONTENT || kind == FACT_LINK;
}

static int watch_collect(struct keeper_watch *watch,
			 const struct program_image *image)
{
	const struct image_file *file = image_files(image);
	const struct image_fact *fact = image_facts(image);
	int rc = 0;

	for (uint32_t i = 0; i < image->file_count && rc >= 0; i++)
		rc = watch_add_file(watch, image_string(image, file[i].path), 0,
				    watch_image_value(&file[i]));
	for (uint32_t i = 0; i < image->fact_count && rc >= 0; i++) {
		const char *name = image_string(image, fact[i].name);

		if (watch_is_file_fact(fact[i].kind) &&
		    watch_can_be_watched(name))
			rc = watch_add_file(watch, name, fact[i].kind, 0);
	}
	return rc;
}

static void watch_forget_files(struct keeper_watch *watch)
{
	for (size_t i = 0; i < watch->count; i++)
		free(watch->file[i].path);
	watch->count = 0;
}

/* ---- inotify ----------------------------------------------------------- */

static bool watch_one(struct keeper_watch *watch, const char *path,
		      uint32_t events)
{
	return inotify_add_watch(watch->inotify, path, events | IN_MASK_ADD) >=
	       0;
}

/* The folder that a path lies in, or the nearest one that exists. */
static bool watch_above(struct keeper_watch *watch, const char *path,
			uint32_t events)
{
	auto_free char *above = strdup(path);
	char *slash;

	while (above && (slash = strrchr(above, '/'))) {
		slash[slash == above] = 0;
		if (watch_one(watch, above, events))
			return true;
		if (errno != ENOENT || slash == above)
			return false;
	}
	return false;
}

static bool watch_is_folder(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void watch_file(struct keeper_watch *watch,
		       const struct keeper_file *file)
{
	uint32_t events =
		watch_is_folder(file->path) ? WATCH_LISTED : WATCH_FILE;

	if (file->fact == FACT_LINK || file->fact == FACT_LINK_FILE)
		events |= IN_DONT_FOLLOW;
	if (watch_one(watch, file->path, events)) {
		if (!watch_above(watch, file->path, WATCH_FOLDER))
			watch->blind = true;
	} else if (errno != ENOENT && errno != ENOTDIR) {
		watch->blind = true;
	} else if (!watch_above(watch, file->path, WATCH_MISSING)) {
		watch->blind = true;
	}
}

static void watch_all(struct keeper *keeper)
{
	struct keeper_watch *watch = &keeper->watch;

	watch->blind = !watch_one(watch, keeper->place->state, WATCH_STATE);
	for (size_t i = 0; i < watch->count; i++)
		watch_file(watch, &watch->file[i]);
}

static void watch_set_timer(struct keeper_watch *watch)
{
	watch->look_at =
		watch->blind ? clock_deadline(KEEPER_BLIND_MS) : KEEPER_NEVER;
}

int keeper_watch_open(struct keeper *keeper, struct err *err)
{
	struct keeper_watch *watch = &keeper->watch;

	watch->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->inotify < 0)
		return err_set(err, -errno, "inotify");
	watch_all(keeper);
	watch_set_timer(watch);
	return 0;
}

void keeper_watch_image(struct keeper *keeper)
{
	auto_free struct program_image *image =
		keeper_image_header(keeper->place->image, NULL);
	struct keeper_watch *watch = &keeper->watch;

	/* Watches of older generations stay: at worst they cause a look, and
	 * to take them away costs more than all the rest. */
	watch_forget_files(watch);
	if (!image || watch_collect(watch, image) < 0)
		log_say("brood: %s: not all files are watched",
			keeper->spec->program);
	watch_all(keeper);
	/* Once more: what changed before it was watched gave no event. */
	watch->look_at = clock_deadline(0);
}

void keeper_watch_close(struct keeper *keeper)
{
	struct keeper_watch *watch = &keeper->watch;

	watch_forget_files(watch);
	free(watch->file);
	fd_close(&watch->inotify);
	*watch =
		(struct keeper_watch){ .inotify = -1, .look_at = KEEPER_NEVER };
}

/* ---- changes ----------------------------------------------------------- */

static const struct keeper_file *
watch_find_change(const struct keeper_watch *watch, bool fact)
{
	for (size_t i = 0; i < watch->count; i++)
		if (!watch->file[i].fact != fact &&
		    watch_value_now(&watch->file[i]) != watch->file[i].value)
			return &watch->file[i];
	return NULL;
}

/* CLAIM 0.17: a removed entry ends its template, also where a launch has made
 * a new one in its place before we could look. */
static bool watch_is_removed(struct keeper *keeper)
{
	bool lost = !lock_is_at(keeper->lock, keeper->place->lock);

	if (!lost &&
	    (access(keeper->place->entry, F_OK) == 0 || errno != ENOENT))
		return false;
	if (lost)
		keeper_disown(keeper);
	keeper->removed = true;
	keeper_stop(keeper, "its entry was removed");
	return true;
}

/* CLAIM 0.17: a changed program or library ends what was made of it. */
static bool watch_has_changed_file(struct keeper *keeper)
{
	const struct keeper_file *file =
		watch_find_change(&keeper->watch, false);
	char what[200];

	if (!file)
		return false;
	snprintf(what, sizeof(what), "%.160s has changed", file->path);
	keeper->changes++;
	log_event("serve.change", "\"withdrawn\":true");
	watch_forget_files(&keeper->watch);
	keeper_withdraw(keeper, "change", what);
	return true;
}

static bool watch_has_lost_image(struct keeper *keeper)
{
	if (access(keeper->place->image, F_OK) == 0 || errno != ENOENT)
		return false;
	keeper_renew_soon(keeper, "image lost");
	return true;
}

static void watch_look_for_changed_fact(struct keeper *keeper)
{
	struct keeper_watch *watch = &keeper->watch;
	const struct keeper_file *file = watch_find_change(watch, true);
	uint64_t pause_ns = (uint64_t)KEEPER_FACT_MS * 1000000;
	uint64_t now = clock_ns();

	if (!file)
		return;
	if (watch->fact_at_ns && now - watch->fact_at_ns < pause_ns) {
		watch->look_at = watch->fact_at_ns + pause_ns;
		return;
	}
	watch->fact_at_ns = now;
	keeper->changes++;
	log_event("serve.change", "\"withdrawn\":false");
	keeper_renew_soon(keeper, "change");
}

void keeper_watch_look(struct keeper *keeper)
{
	struct keeper_watch *watch = &keeper->watch;

	watch->looked_ns = clock_ns();
	watch_set_timer(watch);
	if (keeper->stopping || watch_is_removed(keeper) || !keeper->current)
		return;
	if (watch_has_changed_file(keeper) ||
	    keeper->retry_at != KEEPER_NEVER || watch_has_lost_image(keeper))
		return;
	watch_look_for_changed_fact(keeper);
}

/* Was one of the files itself touched?  What happens in a folder is less
 * urgent and may come often. */
static bool watch_read_events(int inotify)
{
	char room[8192] __attribute__((aligned(8)));
	bool touched = false;
	ssize_t len;

	while ((len = read(inotify, room, sizeof(room))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *event =
				(const void *)(room + at);

			touched |= !event->len && event->mask & WATCH_FILE;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	return touched;
}

static void watch_look_soon(struct keeper *keeper)
{
	struct keeper_watch *watch = &keeper->watch;
	uint64_t next =
		watch->looked_ns + (uint64_t)KEEPER_DEBOUNCE_MS * 1000000;

	if (clock_ns() >= next)
		keeper_watch_look(keeper);
	else if (next < watch->look_at)
		watch->look_at = next;
}

void keeper_watch_read(struct keeper *keeper)
{
	if (watch_read_events(keeper->watch.inotify) && keeper->current)
		watch_has_changed_file(keeper);
	if (!keeper->stopping)
		watch_look_soon(keeper);
}

/* CLAIM 0.17: a launch that found nothing warm may bring a generation. */
void keeper_watch_demand(struct keeper *keeper)
{
	if (keeper->stopping)
		return;
	if (keeper->current)
		watch_look_soon(keeper);
	else if (keeper->retry_at == KEEPER_NEVER)
		keeper_renew_soon(keeper, "demand");
}
