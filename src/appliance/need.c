/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/need.h"
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

static bool need_has(const char *root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	auto_close int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = -1;

	if (folder >= 0 && *path)
		fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
	return fd >= 0;
}

static void need_add(const char *name, struct buf *answer)
{
	buf_add(answer, name, strlen(name) + 1);
}

/* Where the host has links to them an appliance has these alone. */
static void need_list_merged(const char *root, struct buf *answer)
{
	static const char *const merged[] = { "usr/lib", "usr/lib64", "usr/bin",
					      "usr/sbin" };

	for (size_t i = 0; i < sizeof merged / sizeof *merged; i++)
		if (need_has(root, merged[i]) &&
		    !need_has(root, file_base(merged[i])))
			need_add(merged[i], answer);
}

static int need_list(const char *root, struct buf *answer, struct err *err)
{
	DIR *folder = opendir(root);
	struct dirent *entry;
	struct stat st;
	int count = 0;

	if (!folder)
		return err_set(err, -errno, "open %s", root);
	while (count < NEED_FOLDERS && (entry = readdir(folder)))
		if (entry->d_name[0] != '.' &&
		    fstatat(dirfd(folder), entry->d_name, &st, 0) == 0 &&
		    S_ISDIR(st.st_mode)) {
			need_add(entry->d_name, answer);
			count++;
		}
	closedir(folder);
	need_list_merged(root, answer);
	need_add("", answer);
	return 0;
}

/* Three answers: "y" or "n", the interpreter with its 0, the folders. */
static int need_program(const struct need_task *task, int fd,
			struct buf *answer, struct err *err)
{
	auto_buf struct buf interpreter = { 0 };
	int rc = task->entry->loader
			 ? 0
			 : need_of_program(fd, task, &interpreter, err);
	const char *path = buf_string(&interpreter);
	auto_free char *merged = NULL;

	if (rc < 0)
		return rc;
	merged = file_format("usr%s", path);
	buf_text(answer,
		 need_has(task->root, path) || (merged && *path &&
						need_has(task->root, merged))
			 ? "y"
			 : "n");
	buf_add(answer, path, strlen(path) + 1);
	return need_list(task->root, answer, err);
}

static int need_work(struct helper *helper, void *context, struct buf *answer,
		     struct err *err)
{
	const struct need_task *task = context;
	auto_close int fd = -1;

	helper_tick(helper, "reading the program");
	fd = open(task->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, -errno, "open %s", task->path);
	return task->entry->kind == RECORD_PROGRAM
		       ? need_program(task, fd, answer, err)
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
