/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept in a cache goes again: instances that nobody has kept anew for
 * long, the oldest of very many, and those of other builds of the guest, which
 * this one cannot use - not at once, since two builds may take turns. */
#include "base/clock.h"
#include "domain/ready_internal.h"
#include "image/sweep.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SWEEP_DAY_S = 86400 };

const struct ready_sweep ready_sweep_usual = {
	.age_s = INT64_C(30) * SWEEP_DAY_S,
	.most = 256,
};

struct kept {
	char name[65];
	int64_t age_s;
	bool is_other; /* of another build */
};
struct kept_list {
	const struct images *images;
	struct kept *kept;
	size_t count, room;
	uint8_t shape[LAYER_ID];
};

static int sweep_note(const char *name, void *context)
{
	struct kept_list *list = context;
	struct kept *kept;
	struct tip_ids ids;
	struct tip tip;
	struct stat st;

	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;

		kept = reallocarray(list->kept, room, sizeof(*kept));
		if (!kept)
			return -ENOMEM;
		list->kept = kept;
		list->room = room;
	}
	if (fstatat(list->images->tips, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	kept = &list->kept[list->count++];
	*kept = (struct kept){ .age_s =
				       (int64_t)(clock_wall_ns() / 1000000000) -
				       st.st_mtim.tv_sec };
	strncpy(kept->name, name, sizeof(kept->name) - 1);
	if (tip_read(list->images, name, &tip, &ids, NULL) < 0)
		return 0;
	kept->is_other = memcmp(tip.shape, list->shape, LAYER_ID) != 0;
	tip_close(&tip);
	return 0;
}

static int sweep_younger(const void *a, const void *b)
{
	const struct kept *left = a, *right = b;

	return (left->age_s > right->age_s) - (left->age_s < right->age_s);
}

static bool sweep_goes(const struct ready_sweep *options,
		       const struct kept *kept, size_t younger)
{
	return younger >= options->most || kept->age_s > options->age_s ||
	       (kept->is_other && kept->age_s > SWEEP_DAY_S);
}

int ready_sweep_images(const struct images *images,
		       const struct ready_sweep *options)
{
	struct kept_list list = { .images = images };
	const struct sweep_options usual = { 0 };
	struct sweep_counts counts;
	int gone = 0;

	snapshot_shape(list.shape);
	tip_each(images, sweep_note, &list, NULL);
	if (list.count)
		qsort(list.kept, list.count, sizeof(*list.kept), sweep_younger);
	for (size_t i = 0; i < list.count; i++)
		if (sweep_goes(options, &list.kept[i], i))
			gone += options->dry ||
				tip_remove(images, list.kept[i].name, NULL) >=
					0;
	free(list.kept);
	if (gone && !options->dry)
		sweep_images(images, &usual, &counts, NULL);
	return gone;
}

int ready_sweep(const char *folder, const struct ready_sweep *options,
		struct err *err)
{
	auto_images struct images images = IMAGES_NONE;
	int r = images_open(&images, folder, false, err);

	if (r == -ENOENT) {
		if (err)
			err_clear(err);
		return 0;
	}
	return r < 0 ? r : ready_sweep_images(&images, options);
}
