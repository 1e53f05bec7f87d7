/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/check.h"
#include "appliance/kind.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "tree/needed.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CHECK_LIST_MS = 10000,
	CHECK_TICK_MS = 200,
	CHECK_LIST_MOST = 64 * 1024,
};

/* Who waits is told that the loader works. */
struct check_waits {
	check_tick *tick;
	void *context;
};

/* ---- its first bytes -------------------------------------------------------------- */

static bool check_head(int fd, const char *want, size_t len)
{
	char head[4];

	return pread(fd, head, sizeof head, 0) == sizeof head &&
	       memcmp(head, want, len) == 0;
}

int check_program(int fd, const char *path, const struct stat *st,
		  struct err *err)
{
	if (!(st->st_mode & 0111))
		return err_set(err, -EINVAL, "%s cannot be executed", path);
	if (!check_head(fd, "\177ELF", 4) && !check_head(fd, "#!", 2))
		return err_set(err, -EINVAL, "%s is no program", path);
	return 0;
}

int check_module(int fd, const char *path, const struct stat *st,
		 struct err *err)
{
	(void)st;
	if (!check_head(fd, "\0asm", 4))
		return err_set(err, -EINVAL, "%s is no byte code", path);
	return 0;
}

int check_images(int fd, const char *path, const struct stat *st,
		 struct err *err)
{
	(void)fd;
	if (!S_ISDIR(st->st_mode))
		return err_set(err, -EINVAL, "%s is no folder of images", path);
	return 0;
}

/* ---- its libraries ----------------------------------------------------------------- */

/* 1: there is more to read; 0: the time is over, or nobody waits. */
static int check_wait(int fd, const struct check_waits *waits)
{
	uint64_t deadline = clock_deadline(CHECK_LIST_MS);
	int rc;

	do {
		rc = fd_wait(fd, POLLIN, CHECK_TICK_MS);
	} while (rc == 0 && clock_left_ms(deadline) > 0 &&
		 (!waits->tick || waits->tick(waits->context)));
	return rc;
}

/* The loader's list, without running anything of the program. */
static int check_list(const char *loader, char *const *argv, char *const *envp,
		      const struct check_waits *waits, struct buf *list,
		      struct err *err)
{
	int ends[2], status = 0;
	struct process_plan plan = {
		.path = loader, .argv = argv, .envp = envp, .dies_with_us = true
	};
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "make a pipe");
	plan.fds[0] = -1;
	plan.fds[1] = plan.fds[2] = ends[1];
	pid = process_start(&plan, err);
	close(ends[1]);
	while (pid > 0 && list->len < CHECK_LIST_MOST &&
	       check_wait(ends[0], waits) > 0) {
		char *room = buf_room(list, 4096);
		ssize_t len = room ? read(ends[0], room, 4096) : -1;

		if (len <= 0)
			break;
		buf_used(list, (size_t)len);
	}
	close(ends[0]);
	if (pid < 0)
		return pid;
	if (process_wait(pid, CHECK_LIST_MS, &status) < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return status;
}

/* The line that tells what is missing. */
static int check_missing(const char *path, const struct buf *list,
			 struct err *err)
{
	const char *text = buf_string(list);
	const char *lost = strstr(text, "not found");
	const char *line = lost;

	if (!lost)
		return err_set(err, -EINVAL, "%s cannot be loaded: %.*s", path,
			       (int)strcspn(text, "\n"), text);
	while (line > text && line[-1] != '\n')
		line--;
	line += strspn(line, " \t");
	return err_set(err, -EINVAL, "%s needs %.*s, which is not here", path,
		       (int)strcspn(line, " \n"), line);
}

static int check_ask(const char *root, const struct record_entry *entry,
		     const char *path, const char *loader,
		     const struct check_waits *waits, struct err *err)
{
	auto_free char *libraries = NULL;
	auto_buf struct buf list = { 0 }, folders = { 0 };
	const char *part = entry->libraries;
	char *envp[2] = { NULL, NULL };
	int rc;

	for (; part && *part; part += part[strcspn(part, ":")] == ':') {
		size_t len = strcspn(part, ":");

		buf_format(&folders, "%s%s/%.*s",
			   folders.len ? ":" : "LD_LIBRARY_PATH=", root,
			   (int)len, part);
		part += len;
	}
	if (folders.len)
		envp[0] = folders.data;
	char *argv[] = { (char *)loader, (char *)"--list", (char *)path, NULL };

	rc = check_list(loader, argv, envp, waits, &list, err);
	if (rc < 0)
		return rc;
	if (rc != 0 || strstr(buf_string(&list), "not found"))
		return check_missing(path, &list, err);
	return 0;
}

static int check_libraries(const char *root, const struct record_entry *entry,
			   const char *path, int fd, const struct stat *st,
			   const struct check_waits *waits, struct err *err)
{
	auto_free char *own = NULL;
	struct needed_elf elf = { 0 };
	char loader[4096] = "";
	void *at;

	at = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err_set(err, -errno, "map %s", path);
	if (needed_elf_read(at, (size_t)st->st_size, &elf) && elf.interpreter)
		snprintf(loader, sizeof loader, "%s", elf.interpreter);
	munmap(at, (size_t)st->st_size);
	if (!*loader)
		return 0; /* a script, or static */
	if (entry->loader) {
		own = file_join(root, entry->loader);
		return own ? check_ask(root, entry, path, own, waits, err)
			   : -ENOMEM;
	}
	if (access(loader, X_OK) < 0)
		return err_set(err, -errno, "%s needs %s", path, loader);
	return check_ask(root, entry, path, loader, waits, err);
}

int check_entry(const char *root, const struct record_entry *entry,
		bool thorough, check_tick *tick, void *context, struct err *err)
{
	const struct check_waits waits = { tick, context };
	const struct kind *kind = &kinds[entry->kind];
	auto_free char *path = file_join(root, entry->path);
	auto_close int fd = -1;
	struct stat st;
	int rc;

	if (!path)
		return err_set(err, -ENOMEM, "look at %s", entry->name);
	if (stat(path, &st) < 0)
		return err_set(err, -errno, "open %s", path);
	/* To open it may do things where it is a device. */
	if (!kind->is_folder && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no file", path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", path);
	rc = kind->check(fd, path, &st, err);
	if (rc >= 0 && thorough && kind->is_listed)
		rc = check_libraries(root, entry, path, fd, &st, &waits, err);
	return rc;
}
