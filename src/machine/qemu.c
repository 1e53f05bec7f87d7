/* SPDX-License-Identifier: Apache-2.0 */
/* Finds QEMU, and which one it is. */
#include "machine/qemu.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/memo.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { QEMU_ANSWER_MS = 5000, QEMU_ANSWER_MOST = 4096 };

static int qemu_locate(struct qemu *qemu, struct err *err)
{
	const char *told = getenv("BROOD_QEMU");
	bool is_told = told && *told;
	auto_free char *found = process_find_in_path(
		is_told ? told : "qemu-system-x86_64", getenv("PATH"));
	struct stat st;

	if (!found && is_told)
		return err_set(err, -ENOENT, "BROOD_QEMU: %s", told);
	if (!found)
		return err_set(err, -ENOENT, "qemu-system-x86_64 in PATH");
	qemu->path = realpath(found, NULL);
	if (!qemu->path || stat(qemu->path, &st) < 0)
		return err_set(err, -errno, "%s", found);
	file_stamp_of(&st, &qemu->stamp);
	return 0;
}

void qemu_identity(const struct qemu *qemu, struct buf *to)
{
	const struct file_stamp *stamp = &qemu->stamp;

	buf_format(to, "%s %lx.%lx.%lx.%lx.%lx", qemu->path, stamp->dev,
		   stamp->ino, stamp->size, stamp->mtime_ns, stamp->ctime_ns);
}

/* ---- the version ---------------------------------------------------------- */

static pid_t qemu_start_version(const char *path, int *answer, struct err *err)
{
	const char *argv[] = { path, "--version", NULL };
	struct process_plan plan = { .path = path,
				     .argv = (char *const *)(uintptr_t)argv,
				     .new_group = true,
				     .dies_with_us = true };
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe");
	plan.fds[0] = plan.fds[2] = -1;
	plan.fds[1] = ends[1];
	pid = process_start(&plan, err);
	close(ends[1]);
	*answer = ends[0];
	return pid;
}

/* To the end, the limit of time or that of length. */
static int qemu_hear(int from, uint64_t deadline, struct buf *text)
{
	while (text->len < QEMU_ANSWER_MOST) {
		char part[512];
		int r = fd_wait(from, POLLIN, clock_left_ms(deadline));
		ssize_t n = r > 0 ? read(from, part, sizeof(part)) : 0;

		if (r == 0)
			return -ETIME;
		if ((r < 0 && r != -EINTR) || (n < 0 && errno != EINTR))
			return r < 0 ? r : -errno;
		if (r > 0 && n == 0)
			return 0;
		buf_add(text, part, n > 0 ? n : 0);
	}
	return -EFBIG;
}

static int qemu_run_version(const char *path, struct buf *text, struct err *err)
{
	uint64_t deadline = clock_deadline(QEMU_ANSWER_MS);
	auto_close int answer = -1;
	int status = 0, r;
	pid_t pid = qemu_start_version(path, &answer, err);

	if (pid < 0)
		return pid;
	r = qemu_hear(answer, deadline, text);
	if (r >= 0)
		r = process_wait(pid, clock_left_ms(deadline), &status);
	if (r < 0) {
		kill(pid, SIGKILL);
		process_wait(pid, -1, NULL);
		return err_set(err, r, "%s --version", path);
	}
	return 0;
}

static int qemu_take_version(struct qemu *qemu, const char *text,
			     struct err *err)
{
	static const char before[] = "QEMU emulator version ";
	const char *at = strstr(text, before);
	size_t len = 0;

	at = at ? at + sizeof(before) - 1 : text;
	len = strcspn(at, "\r\n");
	if (sscanf(at, "%6d.%6d.%6d", &qemu->major, &qemu->minor,
		   &qemu->micro) != 3)
		return err_set(err, -EPROTO, "%s does not tell its version",
			       qemu->path);
	len = len < sizeof(qemu->version) ? len : sizeof(qemu->version) - 1;
	memcpy(qemu->version, at, len);
	qemu->version[len] = 0;
	for (char *c = qemu->version; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return 0;
}

static int qemu_ask_version(struct qemu *qemu, struct err *err)
{
	auto_buf struct buf key = { 0 }, known = { 0 }, text = { 0 };
	int r;

	qemu_identity(qemu, &key);
	if (memo_get(QEMU_MEMO, buf_string(&key), &known) &&
	    qemu_take_version(qemu, buf_string(&known), NULL) >= 0)
		return 0;
	r = qemu_run_version(qemu->path, &text, err);
	if (r >= 0)
		r = qemu_take_version(qemu, buf_string(&text), err);
	if (r >= 0)
		memo_put(QEMU_MEMO, buf_string(&key), qemu->version, NULL);
	return r;
}

int qemu_find(struct qemu *qemu, struct err *err)
{
	int r;

	*qemu = (struct qemu){ 0 };
	r = qemu_locate(qemu, err);
	if (r >= 0)
		r = qemu_ask_version(qemu, err);
	if (r < 0)
		qemu_fini(qemu);
	return r;
}

void qemu_fini(struct qemu *qemu)
{
	free(qemu->path);
	qemu->path = NULL;
}
