/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_record.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "oci/oci_bundle.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_WAIT_MS = 10000, RECORD_MAP_MOST = 65536 };

void oci_record_fini(struct oci_record *record)
{
	free(record->bundle);
	free(record->runtime);
	free(record->module);
	free(record->place);
	*record = (struct oci_record){ 0 };
}

void oci_files_fini(struct oci_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->item[i].name);
		buf_fini(&files->item[i].text);
	}
	free(files->item);
	*files = (struct oci_files){ NULL, 0 };
}

/* ---- names -------------------------------------------------------------------- */

/* Who is root in a name space of users only has no right to /run. */
static bool record_is_root(void)
{
	auto_buf struct buf map = { 0 };
	unsigned inside, outside, count;

	if (geteuid() != 0)
		return false;
	return file_read("/proc/self/uid_map", &map, RECORD_MAP_MOST, NULL) <
		       0 ||
	       (sscanf(buf_string(&map), "%u %u %u", &inside, &outside,
		       &count) == 3 &&
		inside == 0 && outside == 0 && count == UINT32_MAX);
}

char *oci_record_root(const struct oci_words *words)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (words->root && words->root[0] == '/')
		return strdup(words->root);
	if (words->root) {
		auto_free char *here = realpath(".", NULL);

		return here ? file_join(here, words->root) : NULL;
	}
	if (run && run[0] == '/' && !record_is_root())
		return file_join(run, "runc");
	return strdup("/run/runc");
}

char *oci_record_folder(const struct oci_words *words, struct err *err)
{
	auto_free char *root = oci_record_root(words);
	size_t len = root ? strlen(root) : 0;
	char *folder;

	while (len > 1 && root[len - 1] == '/')
		len--;
	folder = root ? file_format("%.*s.brood", (int)len, root) : NULL;
	if (!folder)
		err_set(err, -ENOMEM, "the folder of containers");
	return folder;
}

static char *record_name(const struct oci_words *words, const char *name,
			 struct err *err)
{
	auto_free char *folder = oci_record_folder(words, err);
	char *path = folder ? file_join(folder, name) : NULL;

	if (!path)
		err_set(err, -ENOMEM, "the folder of containers");
	return path;
}

char *oci_record_path(const struct oci_words *words, struct err *err)
{
	return oci_words_check_id(words->id, err) < 0
		       ? NULL
		       : record_name(words, words->id, err);
}

/* ---- reading -------------------------------------------------------------------- */

/* Who can write a record names the program that is started as its runtime. */
static int record_check_owner(const struct oci_words *words, struct err *err)
{
	auto_free char *folder = oci_record_folder(words, err);
	struct stat st;

	if (!folder)
		return err ? err->code : -ENOMEM;
	if (lstat(folder, &st) < 0)
		return err_set(err, -errno, "look at %s", folder);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(err, -EPERM, "%s is another user's", folder);
	return 0;
}

int oci_record_read(const struct oci_words *words, struct oci_record *record,
		    struct err *err)
{
	auto_free char *folder = NULL, *path = NULL;
	auto_buf struct buf text = { 0 };
	const char *json;
	int rc;

	*record = (struct oci_record){ 0 };
	/* What is no name of ours is none of ours. */
	if (oci_words_check_id(words->id, NULL) < 0)
		return 0;
	folder = oci_record_path(words, err);
	path = folder ? file_join(folder, "record") : NULL;
	if (!path)
		return -ENOMEM;
	if (access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	rc = record_check_owner(words, err);
	if (rc >= 0)
		rc = oci_json_read(path, &text, err);
	if (rc < 0)
		return rc;
	json = buf_string(&text);
	record->bundle = json_get_text(json, "bundle");
	record->runtime = json_get_text(json, "runtime");
	record->module = json_get_text(json, "module");
	record->place = json_get_text(json, "place");
	record->in_domain = json_get_number(json, "domain", 0);
	record->has_code = json_get_number(json, "code", 0);
	record->has_kvm = json_get_number(json, "kvm", 0);
	record->has_ready = json_get_number(json, "ready", 0);
	record->is_machine = json_get_number(json, "machine", 0);
	record->has_no_starter = json_get_number(json, "no_starter", 0);
	if (record->bundle && record->runtime && record->module &&
	    record->place)
		return 1;
	oci_record_fini(record);
	return err_set(err, -EPROTO, "%s is incomplete", path);
}

/* ---- changing ------------------------------------------------------------------- */

static int record_lock_folder(const char *folder, struct err *err)
{
	auto_free char *path = file_join(folder, ".lock");

	return path ? lock_take(path, RECORD_WAIT_MS, err)
		    : err_set(err, -ENOMEM, "%s", folder);
}

static int record_remove_draft(const char *draft, struct err *err)
{
	if (access(draft, F_OK) < 0 && errno == ENOENT)
		return 0;
	return file_remove_tree(draft, err);
}

static void record_text(const struct oci_record *record, struct buf *text)
{
	struct json json;

	json_start(&json, text);
	json_open(&json, NULL);
	json_text(&json, "bundle", record->bundle);
	json_text(&json, "runtime", record->runtime);
	json_text(&json, "module", record->module);
	json_text(&json, "place", record->place);
	json_bool(&json, "domain", record->in_domain);
	json_bool(&json, "code", record->has_code);
	json_bool(&json, "kvm", record->has_kvm);
	json_bool(&json, "ready", record->has_ready);
	json_bool(&json, "machine", record->is_machine);
	json_bool(&json, "no_starter", record->has_no_starter);
	json_close(&json);
	buf_text(text, "\n");
}

/* Nobody looks into a draft: it is the folder that gets its name at once. */
static int record_put(const char *draft, const char *name,
		      const struct buf *text, mode_t mode, struct err *err)
{
	auto_free char *path = file_join(draft, name);
	auto_close int fd = -1;

	if (!path || text->failed)
		return err_set(err, -ENOMEM, "write %s", draft);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		  0600);
	if (fd < 0 || fchmod(fd, mode) < 0)
		return err_set(err, -errno, "write %s", path);
	return fd_write_all(fd, text->data, text->len, err);
}

/* For any user of the container, as what KVM can do is. */
static int record_put_settings(const char *draft, const struct oci_files *files,
			       struct err *err)
{
	auto_free char *folder = file_join(draft, "settings");
	int rc = 0;

	if (!folder)
		return err_set(err, -ENOMEM, "write %s", draft);
	if (mkdir(folder, 0755) < 0 || chmod(folder, 0755) < 0)
		return err_set(err, -errno, "make %s", folder);
	for (size_t i = 0; rc >= 0 && i < files->count; i++)
		rc = record_put(folder, files->item[i].name,
				&files->item[i].text, 0444, err);
	return rc;
}

/* Who reads what KVM can do may be any user of the container. */
static int record_write(const char *draft, const struct oci_record *record,
			const struct buf *config, const struct buf *kvm,
			struct err *err)
{
	auto_buf struct buf text = { 0 };
	int rc;

	record_text(record, &text);
	if (mkdir(draft, 0700) < 0)
		return err_set(err, -errno, "make %s", draft);
	rc = record_put(draft, "config.json", config, 0600, err);
	if (rc >= 0 && kvm->len)
		rc = record_put(draft, "kvm", kvm, 0444, err);
	if (rc >= 0 && record->settings)
		rc = record_put_settings(draft, record->settings, err);
	return rc < 0 ? rc : record_put(draft, "record", &text, 0600, err);
}

static int record_hold(const char *path, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -errno, "%s is being made", path);
	return steal_fd(&fd);
}

/* The draft is locked before it has its name. */
static int record_name_draft(const char *draft, const char *path, int *lock,
			     struct err *err)
{
	struct stat st;
	int rc = *lock = record_hold(draft, err);

	if (rc < 0)
		return rc;
	if (lstat(path, &st) == 0)
		return err_set(err, -EEXIST, "%s is there", path);
	if (rename(draft, path) < 0)
		return err_set(err, -errno, "name %s", path);
	return 0;
}

static int record_make_folder(const char *folder, struct err *err)
{
	auto_free char *above = strdup(folder);
	int rc;

	if (!above)
		return err_set(err, -ENOMEM, "make %s", folder);
	*strrchr(above, '/') = 0;
	rc = *above ? file_make_dirs(above, 0711, err) : 0;
	return rc < 0 ? rc : file_private_dir(folder, err);
}

int oci_record_publish(const struct oci_words *words,
		       const struct oci_record *record,
		       const struct buf *config, const struct buf *kvm,
		       int *lock, struct err *err)
{
	auto_free char *folder = oci_record_folder(words, err);
	auto_free char *draft = record_name(words, ".draft", err);
	auto_free char *path = oci_record_path(words, err);
	auto_close int whole = -1;
	int rc;

	*lock = -1;
	if (!folder || !draft || !path)
		return err ? err->code : -ENOMEM;
	rc = record_make_folder(folder, err);
	if (rc >= 0)
		rc = whole = record_lock_folder(folder, err);
	if (rc >= 0)
		rc = record_remove_draft(draft, err);
	if (rc >= 0)
		rc = record_write(draft, record, config, kvm, err);
	if (rc >= 0)
		rc = record_name_draft(draft, path, lock, err);
	if (rc < 0 && whole >= 0)
		record_remove_draft(draft, NULL);
	if (rc < 0)
		fd_close(lock);
	return rc;
}

int oci_record_lock(const struct oci_words *words, int *lock, struct err *err)
{
	auto_free char *path = oci_record_path(words, err);

	*lock = -1;
	if (!path)
		return err ? err->code : -ENOMEM;
	*lock = record_hold(path, err);
	return *lock < 0 ? *lock : 0;
}

int oci_record_remove(const struct oci_words *words, struct err *err)
{
	auto_free char *folder = oci_record_folder(words, err);
	auto_free char *draft = record_name(words, ".draft", err);
	auto_free char *path = oci_record_path(words, err);
	auto_close int whole = -1;
	int rc;

	if (!folder || !draft || !path)
		return err ? err->code : -ENOMEM;
	if (access(folder, F_OK) < 0 && errno == ENOENT)
		return 0;
	rc = whole = record_lock_folder(folder, err);
	if (rc >= 0)
		rc = record_remove_draft(draft, err);
	if (rc < 0)
		return rc;
	if (rename(path, draft) < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "remove %s", path);
	return record_remove_draft(draft, err);
}
