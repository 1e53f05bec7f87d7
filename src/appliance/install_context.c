/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/install_context.h"
#include "appliance/expand.h"
#include "appliance/manifest.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/sha256.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	INSTALL_START_MOST = 32 << 20,
	INSTALL_EXCHANGE = 2, /* RENAME_EXCHANGE */
};

/* In a folder that nobody knows yet: synced with all of it. */
static int install_write_file(const char *folder, const char *name,
			      const struct buf *text, struct err *err)
{
	auto_free char *path = file_join(folder, name);

	return path ? file_replace(path, buf_string(text), text->len, 0644, err)
		    : install_no_memory(err);
}

/* ---- the startup binary ------------------------------------------------------------ */

static int install_start_bytes(const struct install *install, struct buf *bytes,
			       struct err *err)
{
	if (install->wish->start)
		return file_read(install->wish->start, bytes,
				 INSTALL_START_MOST, err);
	return appliance_read(&install->appliance, MANIFEST_START,
			      INSTALL_START_MOST, bytes, err);
}

/* Once for all applications of this host; named by what it is, so that an
 * other one never takes its place under a program that runs. */
static int install_start(struct install *install, char **start, struct err *err)
{
	auto_free char *folder = file_join(install->root, ".start");
	auto_buf struct buf bytes = { 0 };
	uint8_t sum[SHA256_BYTES];
	char hex[17];
	int rc = install_start_bytes(install, &bytes, err);

	if (rc < 0)
		return rc;
	sha256_of(bytes.data, bytes.len, sum);
	hash_bytes_hex(sum, 8, hex);
	*start = folder ? file_join(folder, hex) : NULL;
	if (!*start)
		return install_no_memory(err);
	install->installed->start_bytes = bytes.len;
	if (access(*start, X_OK) == 0)
		return 0;
	rc = file_make_dirs(folder, 0755, err);
	return rc < 0 ? rc
		      : file_publish(*start, bytes.data, bytes.len, 0755, err);
}

static int install_entries(const struct install *install, const char *folder,
			   const char *start, struct err *err)
{
	auto_free char *bin = file_join(folder, "bin");
	auto_free char *target =
		file_format("../../.start/%s", file_base(start));

	if (!bin || !target)
		return install_no_memory(err);
	if (mkdir(bin, 0755) < 0)
		return err_set(err, -errno, "make %s", bin);
	for (int i = 0; i < install->record.entry_count; i++) {
		auto_free char *path =
			file_join(bin, install->record.entry[i].name);

		if (!path || symlink(target, path) < 0)
			return err_set(err, -errno, "make %s", path);
	}
	return 0;
}

/* ---- the context's file --------------------------------------------------------------- */

static void install_fill(const struct install *install, struct context *context)
{
	const struct install_wish *wish = install->wish;

	*context = (struct context){
		.name = install->record.name,
		.share = install->share,
		.share_id = install->published.share_id,
		.host = install->host,
		.mounts = install->mounts,
		.brood = wish->brood,
		.hatch = wish->hatch,
		.appliance = install->appliance.is_folder
				     ? NULL
				     : install->appliance.path,
		.wait_ms = wish->wait_ms,
		.answer_ms = wish->answer_ms,
		.deadline_ms = wish->deadline_ms,
		.rejoin_ms = wish->rejoin_ms,
		.path_count = install->record.entry_count,
	};
	for (int i = 0; i < context->path_count; i++)
		context->path[i] =
			(struct context_path){ install->record.entry[i].name,
					       install->path[i],
					       install->saved[i] };
}

static int install_lines(const struct install *install, const char *folder,
			 const char *copy, struct err *err)
{
	auto_buf struct buf text = { 0 };
	struct context context;
	int rc;

	install_fill(install, &context);
	context.copy = copy;
	rc = context_write(&context, &text, err);
	if (rc >= 0)
		rc = install_write_file(folder, "context", &text, err);
	if (rc >= 0)
		rc = install_write_file(folder, "record",
					&install->published.record, err);
	return rc;
}

/* ---- settings and data ------------------------------------------------------------------ */

/* ${name}, ${host}, ${data} and ${settings}, as they are on this host. */
static void install_expand(const struct install *install, const char *text,
			   struct buf *out)
{
	const struct expand_word known[] = {
		{ "${name}", install->record.name, "" },
		{ "${host}", install->host, "" },
		{ "${data}", install->folder, "/data" },
		{ "${settings}", install->folder, "/settings" },
		{ NULL, NULL, NULL },
	};

	expand_text(known, text, out);
}

struct install_settings {
	struct install *install;
	const char *folder;
	struct err *err;
	size_t bytes;
	int rc;
};

static int install_setting(void *context, const struct erofs_entry *entry)
{
	struct install_settings *settings = context;
	struct install *install = settings->install;
	auto_buf struct buf text = { 0 }, out = { 0 };
	auto_free char *from = NULL;

	if (*entry->name == '.')
		return 0;
	from = file_format(MANIFEST_SETTINGS "/%s", entry->name);
	settings->rc = from ? appliance_read(&install->appliance, from,
					     MANIFEST_SETTINGS_MOST, &text,
					     settings->err)
			    : install_no_memory(settings->err);
	if (settings->rc < 0)
		return 1;
	install_expand(install, buf_string(&text), &out);
	settings->bytes += out.len;
	if (settings->bytes > MANIFEST_SETTINGS_MOST)
		settings->rc = err_set(settings->err, -EINVAL,
				       "settings of more than %d bytes",
				       MANIFEST_SETTINGS_MOST);
	else
		settings->rc = install_write_file(settings->folder, entry->name,
						  &out, settings->err);
	return settings->rc < 0;
}

static int install_settings(struct install *install, const char *folder,
			    struct err *err)
{
	auto_free char *path = file_join(folder, "settings");
	struct install_settings settings = { install, path, err, 0, 0 };
	struct erofs_node node;

	if (erofs_path(&install->appliance.erofs, MANIFEST_SETTINGS, &node,
		       NULL) < 0)
		return 0;
	if (!path || mkdir(path, 0755) < 0)
		return err_set(err, path ? -errno : -ENOMEM,
			       "make the settings");
	if (erofs_list(&install->appliance.erofs, &node, install_setting,
		       &settings, NULL) < 0)
		return err_set(err, -EINVAL, MANIFEST_SETTINGS " is no folder");
	return settings.rc;
}

/* Beside the context, and a link in it: an install, an upgrade and an
 * uninstall leave alone what was written. */
static char *install_data_folder(const char *folder)
{
	const char *name = file_base(folder);

	return file_format("%.*s.data.%s", (int)(name - folder), folder, name);
}

static int install_data(const struct install *install, const char *folder,
			struct err *err)
{
	auto_free char *data = install_data_folder(install->folder);
	auto_free char *link = file_join(folder, "data");
	auto_free char *target = NULL;

	if (!data || !link)
		return install_no_memory(err);
	if (!install->record.writable_count && access(data, F_OK) < 0)
		return 0;
	if (mkdir(data, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s", data);
	for (int i = 0; i < install->record.writable_count; i++) {
		auto_free char *path =
			file_join(data, install->record.writable[i]);

		if (!path || (mkdir(path, 0755) < 0 && errno != EEXIST))
			return err_set(err, -errno, "make %s", path);
	}
	target = file_format("../%s", file_base(data));
	if (!target || symlink(target, link) < 0)
		return err_set(err, target ? -errno : -ENOMEM, "make %s", link);
	return 0;
}

/* Empty folders are not worth keeping; false: there is more. */
static bool install_data_is_empty(const char *data)
{
	DIR *list = opendir(data);
	struct dirent *entry;

	while (list && (entry = readdir(list)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(list), entry->d_name, AT_REMOVEDIR);
	if (list)
		closedir(list);
	return rmdir(data) == 0 || errno == ENOENT;
}

/* ---- a copy to go on from ------------------------------------------------------------- */

struct install_copy {
	struct helper *helper;
	const char *from, *to;
	const struct record *record;
};

static bool install_copy_goes_on(void *context)
{
	struct install_copy *copy = context;

	return helper_tick(copy->helper, "copying the payload");
}

static int install_copy_work(struct helper *helper, void *context,
			     struct buf *answer, struct err *err)
{
	struct install_copy *copy = context;
	const struct record *record = copy->record;
	auto_close int from =
		payload_open(copy->from, record->payload_bytes, err);
	struct file_draft draft;
	int rc;

	(void)answer;
	copy->helper = helper;
	if (from < 0)
		return from;
	rc = file_draft_open(&draft, copy->to, 0444, err);
	if (rc >= 0)
		rc = payload_copy(from, draft.fd, record->payload,
				  record->payload_bytes, install_copy_goes_on,
				  copy, err);
	if (rc >= 0)
		rc = file_draft_publish(&draft, err);
	else
		err_wrap(err, "keep %s", copy->to);
	file_draft_close(&draft);
	return rc;
}

/* From the share: it may have another version than the appliance. */
static int install_copy(const char *share, const struct record *record,
			const char *to, int answer_ms, struct err *err)
{
	auto_free char *from =
		file_format("%s/payloads/%s.erofs", share, record->payload);
	struct install_copy copy = { .from = from, .to = to, .record = record };
	const struct helper_limits limits = { .total_ms = -1,
					      .silent_ms = answer_ms };

	return from ? helper_run(&limits, install_copy_work, &copy, NULL, err)
		    : install_no_memory(err);
}

static int install_keep(const struct install *install, const char *folder,
			char **copy, struct err *err)
{
	auto_free char *path = file_format("%s/copy.%.16s.erofs", folder,
					   install->record.payload);

	if (!install->wish->keep)
		return 0;
	*copy = file_join(install->folder, "copy");
	if (!path || !*copy)
		return install_no_memory(err);
	return install_copy(install->share, &install->record, path,
			    install->wish->answer_ms, err);
}

/* ---- whole ------------------------------------------------------------------------------ */

static int install_write(struct install *install, const char *folder,
			 struct err *err)
{
	auto_free char *start = NULL;
	auto_free char *copy = NULL;
	int rc = install_start(install, &start, err);

	if (rc >= 0)
		rc = install_entries(install, folder, start, err);
	if (rc >= 0)
		rc = install_keep(install, folder, &copy, err);
	if (rc >= 0)
		rc = install_settings(install, folder, err);
	if (rc >= 0)
		rc = install_lines(install, folder, copy, err);
	if (rc >= 0)
		rc = install_data(install, folder, err);
	return rc;
}

/* Each file, and the folder when all are: with a sync of the folder for each
 * name it took a third longer. */
static int install_sync(const char *folder, struct err *err)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	int rc = list ? 0 : err_set(err, -errno, "open %s", folder);

	while (rc >= 0 && (entry = readdir(list))) {
		auto_close int fd =
			entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN
				? openat(dirfd(list), entry->d_name,
					 O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
				: -1;

		if (fd >= 0 && fsync(fd) < 0)
			rc = err_set(err, -errno, "sync %s/%s", folder,
				     entry->d_name);
	}
	if (rc >= 0 && fsync(dirfd(list)) < 0)
		rc = err_set(err, -errno, "sync %s", folder);
	if (list)
		closedir(list);
	return rc;
}

static int install_sync_all(const char *folder, struct err *err)
{
	auto_free char *settings = file_join(folder, "settings");
	int rc = settings ? 0 : install_no_memory(err);

	if (rc >= 0 && access(settings, F_OK) == 0)
		rc = install_sync(settings, err);
	return rc < 0 ? rc : install_sync(folder, err);
}

/* In one step where there was one before: each start finds one of them. */
static int install_swap(const char *fresh, const char *folder, struct err *err)
{
	if (rename(fresh, folder) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return err_set(err, -errno, "make %s", folder);
	if (syscall(SYS_renameat2, AT_FDCWD, fresh, AT_FDCWD, folder,
		    INSTALL_EXCHANGE) < 0)
		return err_set(err, -errno, "replace %s", folder);
	return file_remove_tree(fresh, err);
}

int install_context(struct install *install, struct err *err)
{
	const char *name = install->record.name;
	auto_free char *fresh = file_format("%s/.new.%s", install->root, name);
	int rc = fresh ? install_sweep(install->root, name, err)
		       : install_no_memory(err);

	if (rc < 0)
		return rc;
	if (mkdir(fresh, 0755) < 0)
		return err_set(err, -errno, "make %s", fresh);
	rc = install_write(install, fresh, err);
	if (rc >= 0)
		rc = install_sync_all(fresh, err);
	if (rc >= 0)
		rc = install_swap(fresh, install->folder, err);
	if (rc < 0)
		file_remove_tree(fresh, NULL);
	return rc;
}

int install_drop_context(const struct context *context, bool purge,
			 struct buf *notes, struct err *err)
{
	const char *name = file_base(context->folder);
	int root = (int)(name - context->folder);
	auto_free char *gone =
		file_format("%.*s.old.%s", root, context->folder, name);
	auto_free char *data = install_data_folder(context->folder);

	if (!gone || !data)
		return install_no_memory(err);
	file_remove_tree(gone, NULL);
	/* First: an uninstall that is cut off behind it finds it no more. */
	if (purge)
		file_remove_tree(data, NULL);
	if (rename(context->folder, gone) < 0)
		return err_set(err, -errno, "remove %s", context->folder);
	if (!purge && !install_data_is_empty(data))
		buf_format(notes, "what it has written is kept in %s\n", data);
	return file_remove_tree(gone, err);
}

int install_sweep(const char *root, const char *name, struct err *err)
{
	auto_free char *gone = file_format("%s/.old.%s", root, name);
	auto_free char *fresh = file_format("%s/.new.%s", root, name);
	auto_free char *folder = file_join(root, name);
	auto_free char *start = file_join(root, ".start");
	bool was;

	if (!gone || !fresh || !folder || !start)
		return install_no_memory(err);
	file_sweep_drafts(root);
	file_sweep_drafts(start);
	file_sweep_drafts(folder);
	file_remove_tree(fresh, NULL);
	was = access(gone, F_OK) == 0;
	return was && file_remove_tree(gone, err) < 0 ? err->code : was;
}

/* ---- renewed ------------------------------------------------------------------------------ */

/* Copies of versions that do not count any more. */
static void install_drop_copies(const char *folder, const char *kept)
{
	DIR *list = opendir(folder);
	struct dirent *entry;

	while (list && (entry = readdir(list)))
		if (strncmp(entry->d_name, "copy.", 5) == 0 &&
		    strcmp(entry->d_name, kept) != 0)
			unlinkat(dirfd(list), entry->d_name, 0);
	if (list)
		closedir(list);
}

/* The record is what makes a copy the one that counts. */
static int install_renew(const struct context *context,
			 const struct loaded *loaded, struct err *err)
{
	auto_free char *copy = context_copy(context, &loaded->record);
	auto_free char *path = file_join(context->folder, "record");
	int rc = path ? 0 : install_no_memory(err);

	file_sweep_drafts(context->folder);
	if (rc >= 0 && copy && access(copy, F_OK) < 0)
		rc = install_copy(context->share, &loaded->record, copy,
				  context->answer_ms, err);
	if (rc >= 0)
		rc = file_publish(path, buf_string(&loaded->text),
				  loaded->text.len, 0644, err);
	if (rc >= 0 && copy)
		install_drop_copies(context->folder, file_base(copy));
	return rc;
}

int install_refresh(const struct context *context, const struct loaded *loaded,
		    struct err *err)
{
	const char *name = file_base(context->folder);
	auto_free char *root =
		strndup(context->folder, (size_t)(name - context->folder - 1));
	auto_close int lock = root ? install_lock(root, err) : -ENOMEM;

	return lock < 0 ? lock : install_renew(context, loaded, err);
}

/* ---- measured ----------------------------------------------------------------------------- */

uint64_t install_bytes(const char *folder)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	uint64_t bytes = 0;

	while (list && (entry = readdir(list))) {
		auto_free char *path = file_join(folder, entry->d_name);
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0 || !path ||
		    lstat(path, &st) < 0)
			continue;
		bytes += S_ISDIR(st.st_mode) ? install_bytes(path)
					     : (uint64_t)st.st_size;
	}
	if (list)
		closedir(list);
	return bytes;
}
