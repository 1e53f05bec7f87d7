/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_kept.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { KEPT_MOST = 256, KEPT_AGE_S = 30 * 86400 };

struct kept {
	char *name; /* owned */
	time_t used;
};
struct kept_list {
	struct kept *item;
	size_t count, room;
};

static bool kept_add(struct kept_list *list, const char *name, time_t used)
{
	char *own = strdup(name);

	if (own && list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		void *more =
			reallocarray(list->item, room, sizeof(*list->item));

		if (!more) {
			free(own);
			return false;
		}
		list->item = more;
		list->room = room;
	}
	if (own)
		list->item[list->count++] =
			(struct kept){ .name = own, .used = used };
	return own;
}

static void kept_read(struct kept_list *list, const char *parent,
		      bool (*is_one)(const char *name))
{
	DIR *dir = opendir(parent);
	struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (is_one(entry->d_name) &&
		    fstatat(dirfd(dir), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    !kept_add(list, entry->d_name, st.st_mtime))
			break;
	if (dir)
		closedir(dir);
}

static int kept_by_age(const void *a, const void *b)
{
	time_t left = ((const struct kept *)a)->used;
	time_t right = ((const struct kept *)b)->used;

	return (left < right) - (left > right);
}

void oci_kept_sweep(const char *parent, bool (*is_one)(const char *name),
		    void (*remove)(const char *path))
{
	time_t now = (time_t)(clock_wall_ns() / 1000000000);
	struct kept_list list = { 0 };

	kept_read(&list, parent, is_one);
	if (list.count)
		qsort(list.item, list.count, sizeof(*list.item), kept_by_age);
	for (size_t i = 0; i < list.count; i++) {
		auto_free char *path = file_join(parent, list.item[i].name);

		if (path &&
		    (i >= KEPT_MOST || now - list.item[i].used > KEPT_AGE_S))
			remove(path);
		free(list.item[i].name);
	}
	free(list.item);
}

void oci_kept_use(const char *path)
{
	utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
}
