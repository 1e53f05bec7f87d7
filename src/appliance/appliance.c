/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/appliance.h"
#include "appliance/kind.h"
#include "appliance/manifest.h"
#include "base/fd.h"
#include "base/file.h"
#include "tree/erofs_write.h"
#include "tree/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLIANCE_PART_MOST = 32 << 20 };

int appliance_scratch(struct err *err)
{
	const char *folder = getenv("TMPDIR");
	int fd = open(folder && *folder ? folder : "/tmp",
		      O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	if (fd < 0)
		fd = memfd_create("appliance", MFD_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "make a file for an image") : fd;
}

/* The same bytes as "pack" would write. */
static int appliance_of_folder(const char *path, struct progress *progress,
			       struct err *err)
{
	const struct erofs_write_plan plan = { 0 };
	auto_close int fd = appliance_scratch(err);
	struct erofs_written written;
	struct tree tree = { 0 };
	int rc = fd;

	if (rc >= 0)
		rc = tree_add_folder(&tree, path, "", NULL, err);
	if (rc >= 0)
		rc = tree_close(&tree, err);
	if (rc >= 0)
		rc = erofs_write(fd, &tree, &plan, &written, progress, err);
	tree_fini(&tree);
	return rc < 0 ? rc : steal_fd(&fd);
}

/* A helper keeps it, and has its pipe and nothing else in the places of the
 * first three: who is called without them would get it there. */
static int appliance_raise(struct appliance *appliance, struct err *err)
{
	int rc = appliance->fd > 2 ? 0 : fd_raise(&appliance->fd, 3);

	return rc < 0 ? err_set(err, rc, "open %s", appliance->path) : 0;
}

static int appliance_fd(struct appliance *appliance, struct progress *progress,
			struct err *err)
{
	struct stat st;

	if (stat(appliance->path, &st) < 0)
		return err_set(err, -errno, "open %s", appliance->path);
	appliance->is_folder = S_ISDIR(st.st_mode);
	appliance->fd =
		appliance->is_folder
			? appliance_of_folder(appliance->path, progress, err)
			: payload_open(appliance->path, 1, err);
	return appliance->fd < 0 ? appliance->fd : 0;
}

static int appliance_check(struct appliance *appliance, struct err *err)
{
	static const struct erofs_limits limits = { 0 };
	struct erofs_source source;
	char why[EROFS_WHY] = "";
	const char *words = "";

	if (erofs_source_file(appliance->fd, &source) < 0)
		return err_set(err, -EINVAL, "%s has no length",
			       appliance->path);
	if (erofs_open(&source, &appliance->erofs, &words) < 0)
		return err_set(err, -EINVAL, "%s is no appliance: %s",
			       appliance->path, words);
	if (erofs_check(&appliance->erofs, &limits, &appliance->totals, why) <
	    0)
		return err_set(err, -EINVAL, "%s is refused: %s",
			       appliance->path, why);
	appliance->bytes = appliance->erofs.len;
	return 0;
}

int appliance_read(const struct appliance *appliance, const char *path,
		   size_t most, struct buf *out, struct err *err)
{
	const char *why = "";
	struct erofs_node node;
	char *room;
	int rc = erofs_path(&appliance->erofs, path, &node, &why);

	if (rc == EROFS_MISSING)
		return err_set(err, -ENOENT, "%s in %s", path, appliance->path);
	if (rc < 0 || (node.mode & EROFS_S_KIND) != EROFS_S_FILE ||
	    node.size > most)
		return err_set(err, -EINVAL, "%s in %s: %s", path,
			       appliance->path,
			       rc < 0 ? why : "no file, or too long a one");
	room = buf_room(out, node.size);
	if (!room)
		return err_set(err, -ENOMEM, "read %s", path);
	if (erofs_read(&appliance->erofs, &node, 0, room, node.size) !=
	    (int64_t)node.size)
		return err_set(err, -EIO, "read %s in %s", path,
			       appliance->path);
	buf_used(out, node.size);
	return 0;
}

static bool appliance_tick(void *context)
{
	progress_tick(context);
	return true;
}

static int appliance_manifest(struct appliance *appliance, struct err *err)
{
	auto_buf struct buf text = { 0 };
	int rc = appliance_read(appliance, MANIFEST_PATH, MANIFEST_MOST, &text,
				err);

	if (rc < 0)
		return rc;
	rc = manifest_record(buf_string(&text), text.len, appliance->hex,
			     appliance->bytes, &appliance->record_text, err);
	if (rc < 0)
		return err_wrap(err, "%s: " MANIFEST_PATH, appliance->path);
	return record_read(buf_string(&appliance->record_text),
			   appliance->record_text.len, &appliance->record, err);
}

/* Or the first link on the way: where it leads is seen when it is started, and
 * it stays within. */
static int appliance_find(const struct appliance *appliance, const char *path,
			  struct erofs_node *node)
{
	for (size_t len = 0;; len++) {
		auto_free char *part = NULL;
		int rc;

		len += strcspn(path + len, "/");
		part = strndup(path, len);
		rc = part ? erofs_path(&appliance->erofs, part, node, NULL)
			  : -ENOMEM;
		if (rc < 0 || !path[len] ||
		    (node->mode & EROFS_S_KIND) == EROFS_S_LINK)
			return rc;
	}
}

static bool appliance_is_kind(const struct record_entry *entry, uint32_t mode)
{
	uint32_t want =
		kinds[entry->kind].is_folder ? EROFS_S_FOLDER : EROFS_S_FILE;

	return (mode & EROFS_S_KIND) == want ||
	       (mode & EROFS_S_KIND) == EROFS_S_LINK;
}

/* What is started has to be there. */
static int appliance_entries(const struct appliance *appliance, struct err *err)
{
	const struct record *record = &appliance->record;

	for (int i = 0; i < record->entry_count; i++) {
		const struct record_entry *entry = &record->entry[i];
		struct erofs_node node, loader;

		if (appliance_find(appliance, entry->path, &node) < 0)
			return err_set(err, -EINVAL,
				       "%s: entry %s: %s is not in it",
				       appliance->path, entry->name,
				       entry->path);
		if (entry->loader &&
		    appliance_find(appliance, entry->loader, &loader) < 0)
			return err_set(err, -EINVAL,
				       "%s: entry %s: its loader %s is not in "
				       "it",
				       appliance->path, entry->name,
				       entry->loader);
		if (!appliance_is_kind(entry, node.mode))
			return err_set(err, -EINVAL,
				       "%s: entry %s: %s is no %s",
				       appliance->path, entry->name,
				       entry->path,
				       kinds[entry->kind].is_folder ? "folder"
								    : "file");
	}
	return 0;
}

/* What an install takes from it besides the payload. */
static int appliance_has_part(const struct appliance *appliance,
			      const char *path, struct err *err)
{
	const char *why = "";
	struct erofs_node node;
	int rc = erofs_path(&appliance->erofs, path, &node, &why);

	if (rc == EROFS_MISSING)
		return err_set(err, -EINVAL, "%s: %s is not in it",
			       appliance->path, path);
	if (rc < 0)
		return err_set(err, -EINVAL, "%s: %s: %s", appliance->path,
			       path, why);
	if ((node.mode & EROFS_S_KIND) != EROFS_S_FILE || !node.size ||
	    node.size > APPLIANCE_PART_MOST)
		return err_set(err, -EINVAL, "%s: %s is no program",
			       appliance->path, path);
	return 0;
}

struct appliance_settings {
	const struct appliance *appliance;
	uint64_t bytes;
	char wrong[EROFS_NAME_MOST + 1];
};

static int appliance_setting(void *context, const struct erofs_entry *entry)
{
	struct appliance_settings *settings = context;
	struct erofs_node node;

	if (*entry->name == '.')
		return 0;
	if (erofs_node(&settings->appliance->erofs, entry->nid, &node, NULL) >=
		    0 &&
	    (node.mode & EROFS_S_KIND) == EROFS_S_FILE) {
		settings->bytes += node.size;
		if (settings->bytes <= MANIFEST_SETTINGS_MOST)
			return 0;
	}
	snprintf(settings->wrong, sizeof settings->wrong, "%s", entry->name);
	return 1;
}

static int appliance_settings(const struct appliance *appliance,
			      struct err *err)
{
	struct appliance_settings settings = { .appliance = appliance };
	struct erofs_node node;

	if (erofs_path(&appliance->erofs, MANIFEST_SETTINGS, &node, NULL) < 0)
		return 0;
	if (erofs_list(&appliance->erofs, &node, appliance_setting, &settings,
		       NULL) < 0)
		return err_set(err, -EINVAL,
			       "%s: " MANIFEST_SETTINGS " is no folder",
			       appliance->path);
	return *settings.wrong
		       ? err_set(err, -EINVAL,
				 "%s: " MANIFEST_SETTINGS "/%s is no file, or "
				 "there is more than %d bytes of settings",
				 appliance->path, settings.wrong,
				 MANIFEST_SETTINGS_MOST)
		       : 0;
}

static int appliance_parts(const struct appliance *appliance, struct err *err)
{
	int rc = appliance_has_part(appliance, MANIFEST_INSTALLER, err);

	if (rc >= 0)
		rc = appliance_has_part(appliance, MANIFEST_START, err);
	return rc < 0 ? rc : appliance_settings(appliance, err);
}

static int appliance_look(struct appliance *appliance,
			  struct progress *progress, struct err *err)
{
	int rc = appliance_raise(appliance, err);

	if (rc >= 0)
		rc = appliance_check(appliance, err);
	if (rc >= 0)
		rc = payload_digest(appliance->fd, appliance->path,
				    appliance->bytes, appliance_tick, progress,
				    appliance->hex, err);
	if (rc >= 0)
		rc = appliance_manifest(appliance, err);
	if (rc >= 0)
		rc = appliance_entries(appliance, err);
	if (rc >= 0)
		rc = appliance_parts(appliance, err);
	if (rc < 0)
		appliance_close(appliance);
	return rc;
}

int appliance_open(const char *path, struct progress *progress,
		   struct appliance *appliance, struct err *err)
{
	int rc;

	*appliance = APPLIANCE_NONE;
	appliance->path = realpath(path, NULL);
	if (!appliance->path)
		return err_set(err, -errno, "open %s", path);
	rc = appliance_fd(appliance, progress, err);
	if (rc < 0) {
		appliance_close(appliance);
		return rc;
	}
	return appliance_look(appliance, progress, err);
}

int appliance_adopt(int fd, const char *name, struct progress *progress,
		    struct appliance *appliance, struct err *err)
{
	*appliance = APPLIANCE_NONE;
	appliance->fd = fd;
	appliance->path = strdup(name);
	if (appliance->path)
		return appliance_look(appliance, progress, err);
	appliance_close(appliance);
	return err_set(err, -ENOMEM, "open %s", name);
}

void appliance_close(struct appliance *appliance)
{
	record_fini(&appliance->record);
	buf_fini(&appliance->record_text);
	fd_close(&appliance->fd);
	mem_free(&appliance->path);
}
