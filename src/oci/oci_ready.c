/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_ready.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "domain/program.h"
#include "domain/ready.h"
#include "store/store.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READY_MOST = 256, READY_AGE_S = 30 * 86400 };

/* ---- what nobody uses goes -------------------------------------------------- */

struct ready_aged {
	char name[STORE_HEX + 1];
	time_t used;
};
struct ready_list {
	struct ready_aged *item;
	size_t count, room;
};

static bool ready_list_add(struct ready_list *list, const char *name,
			   time_t used)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		void *more =
			reallocarray(list->item, room, sizeof(*list->item));

		if (!more)
			return false;
		list->item = more;
		list->room = room;
	}
	memcpy(list->item[list->count].name, name, STORE_HEX + 1);
	list->item[list->count++].used = used;
	return true;
}

static void ready_list_read(struct ready_list *list, const char *parent)
{
	DIR *dir = opendir(parent);
	struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (store_is_name(entry->d_name) &&
		    fstatat(dirfd(dir), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    !ready_list_add(list, entry->d_name, st.st_mtime))
			break;
	if (dir)
		closedir(dir);
}

static int ready_by_age(const void *a, const void *b)
{
	time_t left = ((const struct ready_aged *)a)->used;
	time_t right = ((const struct ready_aged *)b)->used;

	return (left < right) - (left > right);
}

static void ready_sweep_folders(const char *parent)
{
	time_t now = (time_t)(clock_wall_ns() / 1000000000);
	struct ready_list list = { 0 };

	ready_list_read(&list, parent);
	if (list.count)
		qsort(list.item, list.count, sizeof(*list.item), ready_by_age);
	for (size_t i = 0; i < list.count; i++) {
		auto_free char *path = file_join(parent, list.item[i].name);

		if (path &&
		    (i >= READY_MOST || now - list.item[i].used > READY_AGE_S))
			file_remove_tree(path, NULL);
	}
	free(list.item);
}

/* ---- made --------------------------------------------------------------------- */

/* Above them is a folder that is closed to others; a container's user, who may
 * be anybody, sees this one alone. */
static bool ready_open_to_all(const char *folder)
{
	static const char *const names[] = { "tips", "seen" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		auto_free char *path = file_join(folder, names[i]);

		if (!path || chmod(path, 0755) < 0)
			return false;
	}
	return chmod(folder, 0755) == 0;
}

static bool ready_make_in(struct ready *ready)
{
	struct domain_outcome outcome;
	struct domain *domain;

	if (ready->has_snapshot)
		return true;
	if (ready_start(ready, NULL, 0, &domain, &outcome, NULL) < 0)
		return false;
	domain_close(domain);
	return ready->has_snapshot;
}

static bool ready_fill(const char *folder, struct program *program,
		       struct ground *ground)
{
	const struct domain_options options = { .ground = ground };
	struct ready ready;
	bool is_there;

	if (ready_open(&ready, &options, program, folder, NULL) < 0)
		return false;
	/* Who made it may have been killed before it was open. */
	is_there = ready_make_in(&ready) && ready_open_to_all(folder);
	ready_close(&ready);
	return is_there;
}

static bool ready_make_folder(const char *parent, const char *folder,
			      struct program *program, struct ground *ground)
{
	bool is_new = access(folder, F_OK) < 0;

	if (file_private_dir(parent, NULL) < 0 ||
	    !ready_fill(folder, program, ground))
		return false;
	utimensat(AT_FDCWD, folder, NULL, AT_SYMLINK_NOFOLLOW);
	if (is_new)
		ready_sweep_folders(parent);
	return true;
}

char *oci_ready_make(struct vm *vm, struct wasm_module *module,
		     struct ground *ground, const char *place, const char *code)
{
	const char *key = strrchr(code, '/');
	auto_free char *parent = file_join(place, "ready");
	auto_free char *folder =
		parent && key ? file_join(parent, key + 1) : NULL;
	struct program program = { 0 };
	bool is_made;

	if (!folder || module->start != WASM_NO_FUNCTION ||
	    program_open(&program, vm, module, NULL) < 0)
		return NULL;
	is_made = program.code.has_code &&
		  ready_make_folder(parent, folder, &program, ground);
	program_close(&program);
	return is_made ? steal_ptr(&folder) : NULL;
}
