/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_app.h"
#include "appliance/beneath.h"
#include "appliance/mount.h"
#include "appliance/obtain.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "oci/oci_inside.h"
#include "oci/oci_log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APP_SETTINGS_MOST = 1 << 20, APP_SETTINGS_FILES = 256 };

void oci_app_close(struct oci_app *app)
{
	context_fini(&app->context);
	loaded_fini(&app->loaded);
	free(app->name);
	need_fini(&app->need);
	fd_close(&app->hold);
	oci_files_fini(&app->settings);
	app->name = NULL;
}

/* ---- which ------------------------------------------------------------------- */

/* Of a user who has none of that name it is root's. */
static int app_read_context(struct oci_app *app, const char *name,
			    struct err *err)
{
	auto_free char *root = context_root(err);
	auto_free char *folder = root ? context_folder(root, name, err) : NULL;
	int rc;

	if (!folder)
		return err && err->code ? err->code : -ENOMEM;
	rc = context_read(folder, &app->context, err);
	if (rc == -ENOENT && geteuid() != 0 && !getenv("BROOD_APPS")) {
		free(folder);
		folder = context_folder("/var/lib/brood/apps", name, err);
		err_clear(err);
		rc = folder ? context_read(folder, &app->context, err)
			    : -ENOMEM;
	}
	return rc == -ENOENT
		       ? err_set(err, -EINVAL,
				 "application %s is not installed on this node",
				 name)
		       : rc;
}

/* A wrong one is found out before the share is asked, for that would seem to
 * have failed. */
static int app_find_entry(struct oci_app *app, const char *entry,
			  struct err *err)
{
	auto_record struct record record = { 0 };
	auto_free char *path = NULL;
	int rc = entry ? 0 : context_record(&app->context, &record, err);

	if (rc < 0)
		return rc;
	app->name = strdup(entry ? entry : record.entry[0].name);
	path = app->name ? file_format("%s/bin/%s", app->context.folder,
				       app->name)
			 : NULL;
	if (!path)
		return err_set(err, -ENOMEM, "find an application");
	return access(path, X_OK) < 0
		       ? err_set(err, -EINVAL,
				 "application %s has no entry %s on this node",
				 app->context.name, app->name)
		       : 0;
}

static int app_find(struct oci_app *app, const char *wish, struct err *err)
{
	const char *slash = strchr(wish, '/');
	const char *entry = slash ? slash + 1 : NULL;
	auto_free char *name = strndup(wish, strcspn(wish, "/"));
	int rc;

	if (!name)
		return err_set(err, -ENOMEM, "find an application");
	if (!record_is_name(name) || (entry && !record_is_name(entry)))
		return err_set(err, -EINVAL,
			       "annotation brood.app: \"%.60s\" is no name of "
			       "an application, or of one and its entry",
			       wish);
	rc = app_read_context(app, name, err);
	return rc < 0 ? rc : app_find_entry(app, entry, err);
}

/* ---- loaded ------------------------------------------------------------------- */

static int app_take(void *user, struct loaded *loaded, const char *full,
		    struct err *err)
{
	struct oci_app *app = user;

	if (full)
		return err_set(err, -EINVAL, "%s is no payload", full);
	app->loaded = *loaded;
	*loaded = (struct loaded){ 0 };
	return 0;
}

static void app_tell(void *user, const struct err *failed)
{
	const struct oci_app *app = user;
	struct err line = { 0 };

	err_set(&line, -EINVAL, "%s: %s; goes on without the share",
		app->context.name, failed->text);
	oci_log_warning(app->words, &line);
}

/* What it has of this node is for all of its users, whatever the engine's
 * files are. */
static int app_load(struct oci_app *app, struct err *err)
{
	struct obtain wish = { .context = &app->context,
			       .entry = app->name,
			       .began_ns = clock_ns(),
			       .payload_only = true,
			       .use = app_take,
			       .tell = app_tell,
			       .user = app };
	mode_t before = umask(022);
	int rc = obtain(&wish, err);

	umask(before);
	if (rc < 0)
		return err_wrap(err, "%s", app->context.name);
	app->entry = record_find(&app->loaded.record, app->name);
	return app->entry ? 0
			  : err_set(err, -EINVAL, "%s has no entry %s",
				    app->context.name, app->name);
}

/* Who takes it away meanwhile finds it in use, or was before us. */
static int app_hold(struct oci_app *app, struct err *err)
{
	const char *root = app->loaded.root, *mounts = app->context.mounts;
	size_t len = strlen(mounts);
	bool is_mount = strncmp(root, mounts, len) == 0 && root[len] == '/';
	char path[48];

	app->hold = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (app->hold < 0)
		return err_set(err, -errno, "open %s", root);
	snprintf(path, sizeof path, "/proc/self/fd/%d", app->hold);
	return is_mount && !mount_is(path)
		       ? err_set(err, -EINVAL, "%s was taken away meanwhile",
				 root)
		       : 0;
}

/* ---- its kind ----------------------------------------------------------------- */

static int app_kind(const struct oci_app *app, struct oci_decision *decision,
		    struct err *err)
{
	const char *name = app->context.name;

	switch (app->entry->kind) {
	case RECORD_WASM:
		decision->kind =
			decision->wants_domain ? OCI_DOMAIN : OCI_MODULE;
		return 0;
	case RECORD_DOMAIN:
		decision->kind = OCI_DOMAIN;
		return decision->wants_process
			       ? err_set(err, -EINVAL,
					 "annotation brood.isolation says a "
					 "process, %s of %s is a domain",
					 app->name, name)
			       : 0;
	case RECORD_PROGRAM:
		return decision->wants_domain
			       ? err_set(err, -EINVAL,
					 "annotation brood.isolation says a "
					 "domain, %s of %s is a program",
					 app->name, name)
			       : 0;
	default:
		return err_set(err, -EINVAL,
			       "%s of %s is a machine, and no container's "
			       "process",
			       app->name, name);
	}
}

static int app_open_module(const struct oci_app *app, const char *place,
			   struct oci_decision *decision, struct err *err)
{
	decision->name = file_format("%s/app/%s", place, app->entry->path);
	if (!decision->name)
		return err_set(err, -ENOMEM, "open a module");
	if (app->entry->kind == RECORD_PROGRAM)
		return 0;
	decision->module = beneath_open(app->hold, app->entry->path, err);
	return decision->module < 0 ? decision->module : 0;
}

static int app_left_ms(const struct oci_app *app, uint64_t began_ns)
{
	int64_t left = app->context.deadline_ms -
		       (int64_t)(clock_ns() - began_ns) / 1000000;

	return left > 0 ? (int)left : 0;
}

/* ---- settings ------------------------------------------------------------------- */

/* The node's folder of the application reads as the container's. */
static void app_translate(const char *text, const char *folder,
			  const char *place, struct buf *to)
{
	size_t len = strlen(folder);

	while (*text) {
		const char *at = strstr(text, folder);
		size_t before = at ? (size_t)(at - text) : strlen(text);

		buf_add(to, text, before);
		text += before;
		if (at && (text[len] == '/')) {
			buf_text(to, place);
			text += len;
		} else if (at) {
			buf_add(to, text++, 1);
		}
	}
}

static int app_read_setting(struct oci_app *app, int dir, const char *name,
			    const char *place, struct err *err)
{
	struct oci_file *file;
	auto_buf struct buf text = { 0 };
	auto_close int fd = openat(
		dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open the setting %s", name);
	if (!S_ISREG(st.st_mode))
		return 0;
	rc = file_read_fd(fd, name, &text, APP_SETTINGS_MOST, err);
	if (rc < 0)
		return rc;
	if (app->settings.count == APP_SETTINGS_FILES)
		return err_set(err, -EINVAL, "%s has more than %d settings",
			       app->context.name, APP_SETTINGS_FILES);
	file = &app->settings.item[app->settings.count];
	*file = (struct oci_file){ .name = strdup(name) };
	app->settings.count++;
	/* What is no text stays as it is. */
	if (strlen(buf_string(&text)) == text.len)
		app_translate(buf_string(&text), app->context.folder, place,
			      &file->text);
	else
		buf_add(&file->text, text.data, text.len);
	return file->name && !file->text.failed
		       ? 0
		       : err_set(err, -ENOMEM, "read the setting %s", name);
}

static int app_read_settings(struct oci_app *app, const char *place,
			     struct err *err)
{
	auto_free char *path = file_join(app->context.folder, "settings");
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *entry;
	int rc = 0;

	if (!path)
		return err_set(err, -ENOMEM, "open the settings");
	if (!dir)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "open %s", path);
	app->settings.item =
		calloc(APP_SETTINGS_FILES, sizeof *app->settings.item);
	if (!app->settings.item)
		rc = err_set(err, -ENOMEM, "read the settings");
	while (rc >= 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			rc = app_read_setting(app, dirfd(dir), entry->d_name,
					      place, err);
	closedir(dir);
	return rc;
}

/* ---- all of it ------------------------------------------------------------------- */

int oci_app_obtain(struct oci_app *app, struct oci_decision *decision,
		   const struct oci_words *words, const char *place,
		   struct err *err)
{
	uint64_t began_ns = clock_ns();
	int rc;

	*app = (struct oci_app)OCI_APP_NONE;
	app->words = words;
	rc = app_find(app, decision->app, err);
	if (rc >= 0)
		rc = app_load(app, err);
	if (rc >= 0)
		rc = app_hold(app, err);
	if (rc >= 0)
		rc = app_kind(app, decision, err);
	if (rc >= 0)
		rc = need_read(&app->context, app->loaded.root, app->entry,
			       app_left_ms(app, began_ns), &app->need, err);
	if (rc >= 0)
		rc = app_open_module(app, place, decision, err);
	return rc < 0 ? rc : app_read_settings(app, place, err);
}
