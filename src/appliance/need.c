/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/need.h"
#include "base/fd.h"
#include "base/file.h"
#include "tree/needed.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEED_LINE = 256, NEED_PART = 1 << 20 };

struct need {
	const char *path;
	const struct record_entry *entry;
};

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

static int need_of_program(int fd, const struct need *need, struct buf *answer,
			   struct err *err)
{
	char line[NEED_LINE];
	ssize_t len;

	if (need->entry->loader)
		return 0;
	len = pread(fd, line, sizeof line, 0);
	if (len < 0)
		return err_set(err, -errno, "read %s", need->path);
	if (len < 2 || memcmp(line, "#!", 2) != 0)
		return need_of_elf(fd, need->path, answer, err);
	need_of_script(line, (size_t)len, answer);
	return 0;
}

static int need_all(struct helper *helper, int fd, const struct need *need,
		    struct err *err)
{
	auto_free char *part = malloc(NEED_PART);
	ssize_t len = part ? 1 : 0;

	while (len > 0) {
		if (!helper_tick(helper, "reading the module"))
			return err_set(err, -ECANCELED, "%s", need->path);
		len = read(fd, part, NEED_PART);
	}
	if (!part)
		return err_set(err, -ENOMEM, "read %s", need->path);
	return len < 0 ? err_set(err, -errno, "read %s", need->path) : 0;
}

static int need_work(struct helper *helper, void *context, struct buf *answer,
		     struct err *err)
{
	const struct need *need = context;
	auto_close int fd = -1;

	helper_tick(helper, "reading the program");
	fd = open(need->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, -errno, "open %s", need->path);
	return need->entry->kind == RECORD_PROGRAM
		       ? need_of_program(fd, need, answer, err)
		       : need_all(helper, fd, need, err);
}

int need_read(const struct context *context, const char *root,
	      const struct record_entry *entry, int left_ms, char **interpreter,
	      struct err *err)
{
	auto_free char *path = file_join(root, entry->path);
	auto_buf struct buf answer = { 0 };
	struct need need = { path, entry };
	struct helper_limits limits;
	int rc;

	*interpreter = NULL;
	if (!path)
		return err_set(err, -ENOMEM, "read %s", entry->name);
	context_limits(context, &limits);
	limits.total_ms = left_ms;
	rc = helper_run(&limits, need_work, &need, &answer, err);
	if (rc < 0 || !answer.len)
		return rc;
	*interpreter = buf_steal(&answer);
	return *interpreter ? 0 : err_set(err, -ENOMEM, "read %s", path);
}
