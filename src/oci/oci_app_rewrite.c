/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's config.json for an application: what its payload needs is mounted,
 * its process is the entry's program. */
#include "appliance/plan.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "oci/oci_app.h"
#include "oci/oci_edit.h"
#include "oci/oci_inside.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char app_libraries[] = "LD_LIBRARY_PATH";

/* ---- variables ------------------------------------------------------------------ */

/* The last of them counts, as it does for runtimes. */
static int app_read_libraries(const char *json, char **value, struct err *err)
{
	const char *list, *at;
	size_t len;
	int rc = 0;

	*value = NULL;
	list = json_get_value(json, "process.env", &len);
	at = list ? json_first(list, &len) : NULL;
	for (; rc >= 0 && at; at = json_next(at, &len)) {
		auto_free char *text = NULL;

		rc = oci_text(at, "", &text, err);
		if (!text || !oci_is_variable(text, app_libraries))
			continue;
		free(*value);
		*value = strdup(text + sizeof app_libraries);
		if (!*value)
			rc = err_set(err, -ENOMEM, "the environment");
	}
	return rc;
}

/* ---- mounts --------------------------------------------------------------------- */

static bool app_is_mounted(const char *json, const char *at)
{
	const char *list, *mount;
	size_t len;

	list = json_get_value(json, "mounts", &len);
	mount = list ? json_first(list, &len) : NULL;
	for (; mount; mount = json_next(mount, &len)) {
		auto_free char *to = json_get_text(mount, "destination");
		size_t to_len = to ? strlen(to) : 0;

		while (to_len > 1 && to[to_len - 1] == '/')
			to_len--;
		if (to_len == strlen(at) && memcmp(to, at, to_len) == 0)
			return true;
	}
	return false;
}

/* What is written there goes with the container, whose memory it is. */
static int app_mount_data(struct buf *text, const char *place, const char *name,
			  struct err *err)
{
	static const char item[] =
		"{\"destination\":\"%s\",\"type\":\"tmpfs\","
		"\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"nodev\","
		"\"mode=1777\"]}";
	auto_free char *all = file_join(place, "data");
	auto_free char *at = all ? file_join(all, name) : NULL;
	auto_buf struct buf mount = { 0 };

	if (!at)
		return err_set(err, -ENOMEM, "mount %s", name);
	if (app_is_mounted(buf_string(text), all) ||
	    app_is_mounted(buf_string(text), at))
		return 0;
	buf_format(&mount, item, at);
	return mount.failed ? err_set(err, -ENOMEM, "mount %s", name)
			    : oci_edit_add(text, "", "mounts", mount.data, err);
}

static int app_mounts(struct buf *text, const struct oci_app *app,
		      const char *place, const char *folder, struct err *err)
{
	const struct record *record = &app->loaded.record;
	auto_free char *settings = file_join(folder, "settings");
	int rc = oci_rewrite_bind(text, app->loaded.root, place, "app", err);

	if (!settings)
		return err_set(err, -ENOMEM, "mount the settings");
	if (rc >= 0 && app->settings.count)
		rc = oci_rewrite_bind(text, settings, place, "settings", err);
	for (int i = 0; rc >= 0 && i < record->writable_count; i++)
		rc = app_mount_data(text, place, record->writable[i], err);
	return rc;
}

/* ---- what the container has itself -------------------------------------------------- */

/* The folder of that name in the root, or one below it. */
static bool app_is_mounted_below(const char *json, const char *name, size_t len)
{
	auto_free char *path = file_format("/%.*s", (int)len, name);

	return !path || oci_inside_is_above_mount(json, path);
}

/* One that is empty was made for a mount. */
static bool app_has_folder(int root, const char *name)
{
	int fd = openat(root, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC |
				O_NONBLOCK);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	int count = 0;

	if (fd < 0)
		return errno != ENOENT;
	while (folder && count < 3 && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return !folder || count > 2;
}

/* It is a system of its own, with which ours would not mix. */
static bool app_has_system(const struct oci_bundle *bundle, int root)
{
	static const char *const names[] = { "usr", "lib", "lib64", "bin",
					     "sbin" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (app_has_folder(root, names[i]) ||
		    app_is_mounted_below(buf_string(&bundle->text), names[i],
					 strlen(names[i])))
			return true;
	return false;
}

/* Those are the runtime's. */
static bool app_is_kept(const char *name)
{
	static const char *const names[] = { "dev", "proc", "sys", "run",
					     "tmp" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int app_show_one(struct oci_bundle *bundle, const struct oci_app *app,
			int root, const char *name, const char *place,
			struct err *err)
{
	auto_free char *source = file_join(app->loaded.root, place);

	if (!source)
		return err_set(err, -ENOMEM, "mount %s", name);
	if (app_is_kept(name) || app_has_folder(root, name) ||
	    app_is_mounted_below(buf_string(&bundle->text), name, strlen(name)))
		return 0;
	return oci_rewrite_bind(&bundle->text, source, "", name, err);
}

static int app_show(struct oci_bundle *bundle, const struct oci_app *app,
		    int root, struct err *err)
{
	const char *name = app->need.folders, *place;
	int rc = 0;

	if (app_has_system(bundle, root))
		return 0;
	for (; rc >= 0 && name && *name; name = place + strlen(place) + 1) {
		place = name + strlen(name) + 1;
		rc = app_show_one(bundle, app, root, name, place, err);
	}
	return rc;
}

/* Of links that lead from one mount into another only the kernel knows where
 * they end: what may come from a volume is not judged. */
static bool app_may_be_mounted(const char *json, const char *path)
{
	return app_is_mounted_below(json, path + 1, strcspn(path + 1, "/")) ||
	       app_is_mounted_below(json, "usr", 3) ||
	       app_is_mounted_below(json, "lib", 3);
}

/* Its C library is the container's, as it is the host's elsewhere. */
static int app_check_needs(const struct oci_bundle *bundle,
			   const struct oci_app *app, int root, struct err *err)
{
	const char *needs = app->need.interpreter;
	struct oci_process process = { .program = (char *)needs,
				       .cwd = (char *)"/" };
	auto_free char *name = NULL;
	auto_close int fd = -1;

	if (!needs || needs[0] != '/' ||
	    app_may_be_mounted(buf_string(&bundle->text), needs) ||
	    (app->need.has_it && !app_has_system(bundle, root)))
		return 0;
	fd = oci_inside_open(root, buf_string(&bundle->text), &process, &name,
			     NULL);
	return fd < 0 ? err_set(err, -EINVAL,
				"%s of %s needs %s, which the container does "
				"not have",
				app->name, app->context.name, needs)
		      : 0;
}

/* ---- the process ----------------------------------------------------------------- */

static int app_count(char *const *list)
{
	int count = 0;

	while (list[count])
		count++;
	return count;
}

static int app_program(struct oci_bundle *bundle, const struct oci_app *app,
		       const struct plan_told *told, struct err *err)
{
	auto_close int root =
		open(bundle->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = root < 0 ? err_set(err, -errno, "open %s", bundle->root)
			  : app_check_needs(bundle, app, root, err);

	if (rc >= 0)
		rc = app_show(bundle, app, root, err);
	if (rc >= 0)
		rc = oci_rewrite_words(&bundle->text, "process",
				       (const char *const *)told->word,
				       app_count(told->word), err);
	return rc < 0 ? rc : oci_rewrite_paths(bundle, err);
}

/* What the entry's own words are: options of "brood run". */
static int app_module(struct oci_bundle *bundle, const struct oci_app *app,
		      const struct oci_start *start, struct err *err)
{
	struct oci_start its = *start;

	its.option = app->entry->argument;
	its.options = app->entry->argument_count;
	return oci_rewrite(bundle, &its, err);
}

int oci_app_rewrite(struct oci_bundle *bundle, const struct oci_app *app,
		    const struct oci_start *start, const char *folder,
		    struct err *err)
{
	/* Modules are started by another, and these words are not used. */
	const struct context inside = { .folder = (char *)start->place,
					.name = app->context.name,
					.brood = start->starter };
	auto_free char *root = file_join(start->place, "app");
	auto_free char *libraries = NULL;
	auto_told struct plan_told told = { NULL, NULL };
	int rc = root ? app_read_libraries(buf_string(&bundle->text),
					   &libraries, err)
		      : err_set(err, -ENOMEM, "rewrite a bundle");

	if (rc >= 0)
		rc = plan_tell(&inside, &app->loaded.record, app->entry, root,
			       libraries, &told, err);
	if (rc >= 0)
		rc = oci_rewrite_variables(&bundle->text, "process",
					   told.variable, err);
	if (rc >= 0)
		rc = app->entry->kind == RECORD_PROGRAM
			     ? app_program(bundle, app, &told, err)
			     : app_module(bundle, app, start, err);
	return rc < 0 ? rc
		      : app_mounts(&bundle->text, app, start->place, folder,
				   err);
}
