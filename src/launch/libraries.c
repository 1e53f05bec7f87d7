/* SPDX-License-Identifier: Apache-2.0 */
/* A library is a file that is mapped with code; its base is its lowest
 * mapping.  The list is text, so that it can be kept, compared and shown
 * without the process that it was read from. */
#include "launch/libraries.h"
#include "base/buf.h"
#include "base/maps.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

static bool libraries_same_file(const struct map *a, const struct map *b)
{
	return a->ino == b->ino && a->dev == b->dev;
}

static bool libraries_is_first_of_file(const struct maps *maps, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (libraries_same_file(&maps->map[i], &maps->map[at]))
			return false;
	return true;
}

static bool libraries_has_code(const struct maps *maps, const struct map *file)
{
	for (size_t i = 0; i < maps->count; i++)
		if (libraries_same_file(&maps->map[i], file) &&
		    maps->map[i].prot & PROT_EXEC)
			return true;
	return false;
}

char *libraries_list(pid_t pid, const char *without, struct err *err)
{
	auto_maps struct maps maps = { 0 };
	struct buf list = { 0 };
	char *text;

	if (maps_read(pid, &maps, err) < 0)
		return NULL;
	buf_text(&list, "");
	for (size_t i = 0; i < maps.count; i++) {
		const struct map *map = &maps.map[i];

		if (!map->ino || !libraries_is_first_of_file(&maps, i) ||
		    !libraries_has_code(&maps, map) ||
		    (without && !strcmp(map->name, without)))
			continue;
		buf_format(&list, "%" PRIx64 " %" PRIu64 " %s\n", map->start,
			   map->ino, map->name);
	}
	text = buf_steal(&list);
	if (!text)
		err_set(err, -ENOMEM, "list of libraries");
	return text;
}

/* One line of a list. */
struct library {
	const char *base, *name;
	size_t base_len, name_len;
};

/* The line at text; returns the next one, NULL at the end. */
static const char *libraries_line_at(const char *text, struct library *library)
{
	const char *end = text ? strchr(text, '\n') : NULL;
	const char *space, *name;

	if (!end)
		return NULL;
	space = memchr(text, ' ', (size_t)(end - text));
	name = space ? memchr(space + 1, ' ', (size_t)(end - space - 1)) : NULL;
	if (!name)
		return NULL;
	*library = (struct library){ text, name + 1, (size_t)(space - text),
				     (size_t)(end - name - 1) };
	return end + 1;
}

static bool libraries_find_name(const char *list, const struct library *wanted,
				struct library *found)
{
	while ((list = libraries_line_at(list, found)))
		if (found->name_len == wanted->name_len &&
		    !memcmp(found->name, wanted->name, wanted->name_len))
			return true;
	return false;
}

int libraries_compare(const char *before, const char *now, int *moved)
{
	struct library one, other;
	int same = 0;

	*moved = 0;
	while ((now = libraries_line_at(now, &one))) {
		if (!libraries_find_name(before, &one, &other))
			continue;
		if (one.base_len == other.base_len &&
		    !memcmp(one.base, other.base, one.base_len))
			same++;
		else
			(*moved)++;
	}
	return same;
}
