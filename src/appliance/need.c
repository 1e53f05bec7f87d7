/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/need.h"
#include "appliance/beneath.h"
#include "base/fd.h"
#include "base/file.h"
#include "tree/needed.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NEED_LINE = 256, NEED_PART = 1 << 20, NEED_FOLDERS = 64 };

/* What the helper works on. */
struct need_task {
	const char *root, *path;
	const struct record_entry *entry;
};

void need_fini(struct need *need)
{
	free(need->interpreter);
	free(need->folders);
	*need = (struct need){ NULL, false, NULL };
}

/* ---- its interpreter ----------------------------------------------------------- */

/* "#! /bin/sh -e": the first word. */
static void need_of_script(const char *line, size_t len, struct buf *answer)
{
	size_t at = 2;

	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	for (; at < len && line[at] && !strchr(" \t\r\n", line[at]); at++)
		buf_add(answer, line + at, 1);
}

static int need_of_elf(int fd, const char *path, struct buf *answer,
		       struct err *err)
{
	struct needed_elf elf = { 0 };
	struct stat st;
	void *at;

	if (fstat(fd, &st) < 0 || st.st_size <= 0)
		return err_set(err, -EINVAL, "%s is no program", path);
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err_set(err, -errno, "map %s", path);
	if (needed_elf_read(at, (size_t)st.st_size, &elf) && elf.interpreter)
		buf_text(answer, elf.interpreter);
	munmap(at, (size_t)st.st_size);
	return 0;
}

static int need_of_program(int fd, const struct need_task *task,
			   struct buf *answer, struct err *err)
{
	char line[NEED_LINE];
	ssize_t len;

	len = pread(fd, line, sizeof line, 0);
	if (len < 0)
		return err_set(err, -errno, "read %s", task->path);
	if (len < 2 || memcmp(line, "#!", 2) != 0)
		return need_of_elf(fd, task->path, answer, err);
	need_of_script(line, (size_t)len, answer);
	return 0;
}

static int need_all(struct helper *helper, int fd, const struct need_task *task,
		    struct err *err)
{
	auto_free char *part = malloc(NEED_PART);
	ssize_t len = part ? 1 : 0;

	while (len > 0) {
		if (!helper_tick(helper, "reading the module"))
			return err_set(err, -ECANCELED, "%s", task->path);
		len = read(fd, part, NEED_PART);
	}
	if (!part)
		return err_set(err, -ENOMEM, "read %s", task->path);
	return len < 0 ? err_set(err, -errno, "read %s", task->path) : 0;
}

/* ---- its folders --------------------------------------------------------------- */

/* Where the host has links to them an appliance has those below usr alone. */
static const char *const need_merged[] = { "lib", "lib64", "bin", "sbin" };

static int need_merged_place(int root, const char *name, char **place)
{
	auto_free char *path = file_join("usr", name);

	return path ? beneath_folder(root, path, place) : -ENOMEM;
}

/* Where the payload has what /NAME will be. */
static int need_place(int root, const char *name, char **place)
{
	int rc = beneath_folder(root, name, place);

	for (size_t i = 0;
	     rc < 0 && i < sizeof need_merged / sizeof *need_merged; i++)
		if (strcmp(need_merged[i], name) == 0)
			return need_merged_place(root, name, place);
	return rc;
}

/* As a process sees it whose root has the payload's folders. */
static bool need_is_file(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	auto_close int fd =
		(int)syscall(SYS_openat2, root, path, &how, sizeof how);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool need_has(int root, const char *path)
{
	size_t len = *path == '/' ? strcspn(path + 1, "/") : 0;
	auto_free char *name = strndup(path + 1, len);
	auto_free char *place = NULL, *there = NULL;

	if (!len || !name || need_place(root, name, &place) < 0)
		return false;
	there = file_format("%s%s", place, path + 1 + len);
	return there && need_is_file(root, there);
}

static void need_add(const char *name, const char *place, struct buf *answer)
{
	buf_add(answer, name, strlen(name) + 1);
	buf_add(answer, place, strlen(place) + 1);
}

static int need_list_merged(int root, struct buf *answer, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof need_merged / sizeof *need_merged; i++) {
		auto_free char *own = NULL, *place = NULL;

		rc = beneath_folder(root, need_merged[i], &own);
		if (rc < 0 && rc != -ENOMEM)
			rc = need_merged_place(root, need_merged[i], &place);
		if (rc == -ENOMEM)
			return err_set(err, rc, "list folders");
		if (place)
			need_add(need_merged[i], place, answer);
	}
	return 0;
}

static int need_list(int root, DIR *folder, struct buf *answer, struct err *err)
{
	struct dirent *entry;
	int count = 0;

	while (count < NEED_FOLDERS && (entry = readdir(folder))) {
		auto_free char *place = NULL;
		int rc = *entry->d_name == '.'
				 ? -EINVAL
				 : beneath_folder(root, entry->d_name, &place);

		if (rc == -ENOMEM)
			return err_set(err, rc, "list folders");
		if (rc < 0)
			continue;
		need_add(entry->d_name, place, answer);
		count++;
	}
	return need_list_merged(root, answer, err);
}

static int need_folders(int root, const char *path, struct buf *answer,
			struct err *err)
{
	DIR *folder = opendir(path);
	int rc = folder ? need_list(root, folder, answer, err)
			: err_set(err, -errno, "open %s", path);

	if (folder)
		closedir(folder);
	buf_add(answer, "", 1);
	return rc;
}

/* Three answers: "y" or "n", the interpreter with its 0, the folders. */
static int need_program(const struct need_task *task, int root, int fd,
			struct buf *answer, struct err *err)
{
	auto_buf struct buf interpreter = { 0 };
	int rc = task->entry->loader
			 ? 0
			 : need_of_program(fd, task, &interpreter, err);
	const char *path = buf_string(&interpreter);

	if (rc < 0)
		return rc;
	buf_text(answer, need_has(root, path) ? "y" : "n");
	buf_add(answer, path, strlen(path) + 1);
	return need_folders(root, task->root, answer, err);
}

static int need_work(struct helper *helper, void *context, struct buf *answer,
		     struct err *err)
{
	const struct need_task *task = context;
	auto_close int root = -1, fd = -1;

	helper_tick(helper, "reading the program");
	root = beneath_root(task->root, err);
	if (root < 0)
		return root;
	fd = beneath_open(root, task->entry->path, err);
	if (fd < 0)
		return fd;
	return task->entry->kind == RECORD_PROGRAM
		       ? need_program(task, root, fd, answer, err)
		       : need_all(helper, fd, task, err);
}

static int need_take(struct need *need, const struct buf *answer,
		     struct err *err)
{
	const char *path = answer->data + 1, *folders;
	size_t len;

	if (!answer->len)
		return 0;
	folders = memchr(path, 0, answer->len - 1);
	if (!folders || answer->data[answer->len - 1])
		return err_set(err, -EPROTO, "the helper's answer");
	folders++;
	len = (size_t)(answer->data + answer->len - folders);
	need->has_it = *answer->data == 'y';
	need->interpreter = *path ? strdup(path) : NULL;
	need->folders = len ? malloc(len) : NULL;
	if ((*path && !need->interpreter) || !need->folders)
		return err_set(err, -ENOMEM, "the helper's answer");
	memcpy(need->folders, folders, len);
	return 0;
}

int need_read(const struct context *context, const char *root,
	      const struct record_entry *entry, int left_ms, struct need *need,
	      struct err *err)
{
	auto_free char *path = file_join(root, entry->path);
	auto_buf struct buf answer = { 0 };
	struct need_task task = { root, path, entry };
	struct helper_limits limits;
	int rc;

	*need = (struct need){ NULL, false, NULL };
	if (!path)
		return err_set(err, -ENOMEM, "read %s", entry->name);
	context_limits(context, &limits);
	limits.total_ms = left_ms;
	rc = helper_run(&limits, need_work, &task, &answer, err);
	return rc < 0 ? rc : need_take(need, &answer, err);
}
