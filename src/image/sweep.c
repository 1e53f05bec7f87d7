/* SPDX-License-Identifier: Apache-2.0 */
/* First everything that tips name is written down, then what is not among it
 * is removed.  The lock of publishers is held alone: nothing becomes named in
 * between, and what is on its way to be named is leased. */
#include "image/sweep.h"
#include "base/fd.h"
#include "base/log.h"
#include "image/tip.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sweep {
	const struct images *images;
	const struct sweep_options *options;
	struct sweep_counts *counts;
	uint8_t (*named)[LAYER_ID];
	size_t count, room;
	struct err *err;
	int failed; /* the first of the failures that are told at the end */
};

static void sweep_say(const struct sweep *sweep, enum sweep_what what,
		      const char *name, uint64_t bytes, const char *why)
{
	const struct sweep_options *options = sweep->options;

	if (options->tell)
		options->tell(what, name, bytes, why, options->context);
}

/* ---- what is named ------------------------------------------------------- */

static int sweep_add(struct sweep *sweep, const uint8_t id[LAYER_ID])
{
	if (sweep->count == sweep->room) {
		size_t room = sweep->room ? 2 * sweep->room : 64;
		void *more =
			reallocarray(sweep->named, room, sizeof(*sweep->named));

		if (!more)
			return -ENOMEM;
		sweep->named = more;
		sweep->room = room;
	}
	memcpy(sweep->named[sweep->count++], id, LAYER_ID);
	return 0;
}

static int sweep_add_tip(struct sweep *sweep, const struct tip_ids *ids)
{
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < ids->layer_count; i++)
		rc = sweep_add(sweep, ids->layers[i]);
	for (uint32_t i = 0; rc >= 0 && i < ids->disk_count; i++)
		rc = sweep_add(sweep, ids->disks[i]);
	return rc < 0 ? rc : sweep_add(sweep, ids->state);
}

static int sweep_tip(const char *name, void *context)
{
	struct sweep *sweep = context;
	struct err err = { 0 };
	struct tip_ids ids;
	struct tip tip;
	int rc = tip_read(sweep->images, name, &tip, &ids, &err);

	tip_close(&tip);
	if (rc == -ENOENT) /* removed meanwhile */
		return 0;
	if (rc >= 0) {
		sweep->counts->tips++;
		return sweep_add_tip(sweep, &ids);
	}
	if (!sweep->counts->unreadable++ && sweep->err)
		*sweep->err = err;
	sweep_say(sweep, SWEEP_UNREADABLE, name, 0, err.text);
	return 0;
}

/* A file with no name of a tip can be one that was renamed. */
static void sweep_strangers(struct sweep *sweep)
{
	DIR *dir = store_folder_list(sweep->images->root, "tips");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (name[0] == '.' || images_is_name(name))
			continue;
		if (!sweep->counts->unreadable++)
			err_set(sweep->err, -EINVAL,
				"%s/tips/%.64s has no name of a tip",
				sweep->images->folder, name);
		sweep_say(sweep, SWEEP_UNREADABLE, name, 0,
			  "it has no name of a tip");
	}
	if (dir)
		closedir(dir);
}

static int sweep_order(const void *a, const void *b)
{
	return memcmp(a, b, LAYER_ID);
}

static bool sweep_is_named(const struct sweep *sweep, const char *hex)
{
	uint8_t id[LAYER_ID];

	store_from_hex(hex, id);
	return sweep->count && bsearch(id, sweep->named, sweep->count,
				       sizeof(*sweep->named), sweep_order);
}

/* ---- what goes ----------------------------------------------------------- */

static void sweep_object(struct sweep *sweep, const char *hex)
{
	struct sweep_counts *counts = sweep->counts;
	int root = sweep->images->root, rc = 0;
	struct stat st;
	uint64_t bytes;

	if (fstatat(root, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	bytes = (uint64_t)st.st_blocks * 512;
	if (sweep_is_named(sweep, hex)) {
		counts->kept++;
		counts->kept_bytes += bytes;
		return;
	}
	if (!sweep->options->dry)
		rc = store_object_remove(root, hex);
	if (rc == -EBUSY) {
		counts->used++;
		counts->used_bytes += bytes;
		sweep_say(sweep, SWEEP_USED, hex, bytes, NULL);
	} else if (rc >= 0) {
		counts->gone++;
		counts->gone_bytes += bytes;
		sweep_say(sweep, SWEEP_GONE, hex, bytes, NULL);
	} else if (rc != -ENOENT && !sweep->failed) {
		sweep->failed = err_set(sweep->err, rc, "remove %s/%s",
					sweep->images->folder, hex);
	}
}

static int sweep_objects(struct sweep *sweep)
{
	const struct images *images = sweep->images;
	DIR *dir = store_folder_list(images->root, ".");
	struct dirent *entry;

	if (!dir)
		return err_set(sweep->err, -errno, "look into %s",
			       images->folder);
	while ((entry = readdir(dir)))
		if (store_is_name(entry->d_name))
			sweep_object(sweep, entry->d_name);
		else if (!sweep->options->dry)
			store_draft_sweep(images->root, entry->d_name);
	closedir(dir);
	return sweep->failed;
}

static void sweep_records(struct sweep *sweep)
{
	DIR *dir = store_folder_list(sweep->images->root, "seen");
	struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    fstatat(sweep->images->root, entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		sweep->counts->records++;
		if (!sweep->options->dry)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static void sweep_tip_drafts(const struct images *images)
{
	DIR *dir = store_folder_list(images->root, "tips");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		store_draft_sweep(dirfd(dir), entry->d_name);
	if (dir)
		closedir(dir);
}

static int sweep_all(struct sweep *sweep)
{
	struct err *err = sweep->err;
	int rc = tip_each(sweep->images, sweep_tip, sweep, err);

	if (rc == -ENOMEM)
		return err_set(err, rc, "write down what tips name");
	if (rc < 0)
		return rc;
	sweep_strangers(sweep);
	if (sweep->counts->unreadable && !sweep->options->force) {
		if (err)
			err->code = -EBUSY;
		err_wrap(err, "nothing was removed");
		return -EBUSY;
	}
	if (sweep->counts->unreadable && err)
		err_clear(err);
	if (sweep->count)
		qsort(sweep->named, sweep->count, sizeof(*sweep->named),
		      sweep_order);
	rc = sweep_objects(sweep);
	sweep_records(sweep);
	if (!sweep->options->dry)
		sweep_tip_drafts(sweep->images);
	return rc;
}

int sweep_images(const struct images *images,
		 const struct sweep_options *options,
		 struct sweep_counts *counts, struct err *err)
{
	struct sweep sweep = { .images = images,
			       .options = options,
			       .counts = counts,
			       .err = err };
	auto_close int lock = images_lock(images, false, err);
	int rc;

	*counts = (struct sweep_counts){ 0 };
	if (lock < 0)
		return lock;
	rc = sweep_all(&sweep);
	free(sweep.named);
	if (rc >= 0 && !options->dry)
		log_event("image.sweep", "\"gone\":%lu,\"bytes\":%lu",
			  (unsigned long)counts->gone,
			  (unsigned long)counts->gone_bytes);
	return rc;
}
