/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons of virtiofs: QEMU's own, written in C, or the one in Rust; both
 * know these words. */
#include "machine/virtiofsd.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
	VIRTIOFSD_END_MS = 2000,
	VIRTIOFSD_LOOK_MS = 5,
	VIRTIOFSD_CONNECT_MS = 1000,
	VIRTIOFSD_TEXT = 32,
};

/* ---- which one ------------------------------------------------------------------ */

int virtiofsd_find(char **path, struct err *err)
{
	static const char usual[] = "/usr/libexec:/usr/lib/qemu:/usr/lib";
	const char *told = getenv("BROOD_VIRTIOFSD");

	if (told && *told) {
		*path = process_find_in_path(told, getenv("PATH"));
		return *path ? 0
			     : err_set(err, -ENOENT, "BROOD_VIRTIOFSD: %s",
				       told);
	}
	*path = process_find_in_path("virtiofsd", getenv("PATH"));
	if (!*path)
		*path = process_find_in_path("virtiofsd", usual);
	return *path ? 0
		     : err_set(err, -EINVAL,
			       "there is no virtiofsd here; the package "
			       "qemu-system-common or virtiofsd has it");
}

/* ---- its files in the machine's folder -------------------------------------------- */

static char *virtiofsd_path(const char *folder, int number, const char *end)
{
	return file_format("%s/daemon%d%s", folder, number, end);
}

/* Its lock is the daemon's as soon as that is started: a lock of flock goes
 * with the open file. */
static int virtiofsd_lock(const char *folder, int number, struct err *err)
{
	auto_free char *path = virtiofsd_path(folder, number, "");
	auto_close int fd = -1;

	if (!path)
		return err_set(err, -ENOMEM, "name of a file");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -errno, "lock %s", path);
	return steal_fd(&fd);
}

/* 1: it lives, 0: it does not, < 0: there is no such daemon. */
static int virtiofsd_look(const char *folder, int number, pid_t *pid)
{
	auto_free char *path = virtiofsd_path(folder, number, "");
	auto_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[VIRTIOFSD_TEXT] = "";

	if (fd < 0)
		return -ENOENT;
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	*pid = pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
	return 1;
}

bool virtiofsd_lives(const char *folder, int number)
{
	pid_t pid;

	return virtiofsd_look(folder, number, &pid) > 0;
}

/* ---- started ----------------------------------------------------------------------- */

/* Both ends of the line: the one to listen at, which has ours in its queue. */
static int virtiofsd_line(const char *folder, int number, int *listener,
			  int *line, struct err *err)
{
	auto_free char *path = virtiofsd_path(folder, number, ".socket");

	if (!path)
		return err_set(err, -ENOMEM, "name of a socket");
	*listener = fd_listen_stream(path, 1, err);
	if (*listener < 0)
		return *listener;
	*line = fd_connect_stream(path, VIRTIOFSD_CONNECT_MS, err);
	unlink(path);
	return *line < 0 ? *line : 0;
}

/* A comma ends an option. */
static char *virtiofsd_value(const char *text)
{
	auto_buf struct buf value = { 0 };

	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			buf_text(&value, "\\");
		buf_add(&value, text, 1);
	}
	return buf_steal(&value);
}

struct virtiofsd_work {
	const char *path, *folder;
	int number;
	bool dies_with_us;
	int lock, log, listener;
};

/* The C library counts processors when a ninth thread asks for memory, and the
 * daemon's seccomp filter kills it for that: so all share one arena. */
static char **virtiofsd_environment(void)
{
	static char one_arena[] = "MALLOC_ARENA_MAX=1";
	const size_t name = sizeof("MALLOC_ARENA_MAX=") - 1;
	int count = 0, to = 0;
	char **all;

	while (environ[count])
		count++;
	all = calloc((size_t)count + 2, sizeof(*all));
	for (int i = 0; all && i < count; i++)
		if (strncmp(environ[i], one_arena, name) != 0)
			all[to++] = environ[i];
	if (all)
		all[to] = one_arena;
	return all;
}

/* Nothing is cached: what one side has written is there for the next read of
 * another.  A lock that waits keeps a thread. */
static pid_t virtiofsd_exec(const struct virtiofsd_work *work,
			    const struct lent_item *item, struct err *err)
{
	auto_free char *source = virtiofsd_value(item->path);
	auto_free char *fd = file_format("--fd=%d", work->listener);
	auto_free char **envp = virtiofsd_environment();
	auto_free char *options = file_format(
		"source=%s,cache=none%s", source ? source : "",
		item->how == LENT_VIRTIOFS_LOCKS ? ",flock,posix_lock" : "");
	char *argv[] = { "virtiofsd", fd,      "--thread-pool-size=64",
			 "-o",	      options, NULL };
	const int keep[] = { work->lock, work->listener };
	const struct process_plan plan = {
		.path = work->path,
		.argv = argv,
		.envp = envp,
		.fds = { -1, work->log, work->log },
		.keep = keep,
		.keep_count = 2,
		.new_session = !work->dies_with_us,
		.new_group = true,
		.dies_with_us = work->dies_with_us,
	};

	return source && fd && options && envp
		       ? process_start(&plan, err)
		       : err_set(err, -ENOMEM, "start %s", work->path);
}

static int virtiofsd_launch(struct virtiofsd_work *work, struct lent_item *item,
			    struct err *err)
{
	auto_free char *log =
		virtiofsd_path(work->folder, work->number, ".log");
	char text[VIRTIOFSD_TEXT];
	int rc;

	work->lock = virtiofsd_lock(work->folder, work->number, err);
	if (work->lock < 0)
		return work->lock;
	work->log =
		log ? open(log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
		    : -1;
	if (work->log < 0)
		return err_set(err, -errno, "make virtiofsd's log");
	rc = virtiofsd_line(work->folder, work->number, &work->listener,
			    &item->fd, err);
	if (rc < 0)
		return rc;
	item->pid = virtiofsd_exec(work, item, err);
	if (item->pid < 0) {
		rc = item->pid;
		item->pid = 0;
		return rc;
	}
	rc = snprintf(text, sizeof(text), "%d\n", item->pid);
	return fd_pwrite_all(work->lock, text, (size_t)rc, 0, err);
}

int virtiofsd_start(const char *folder, struct lent *lent, bool dies_with_us,
		    struct err *err)
{
	auto_free char *path = NULL;
	int rc = lent_has_virtiofs(lent) ? virtiofsd_find(&path, err) : 0;

	for (int i = 0; rc >= 0 && i < lent->count; i++) {
		struct virtiofsd_work work = { path, folder, i, dies_with_us,
					       -1,   -1,     -1 };

		if (!lent_is_virtiofs(&lent->item[i]))
			continue;
		rc = virtiofsd_launch(&work, &lent->item[i], err);
		fd_close(&work.lock);
		fd_close(&work.log);
		fd_close(&work.listener);
	}
	return rc;
}

/* ---- looked after ------------------------------------------------------------------ */

static bool virtiofsd_has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
		       0 &&
	       info.si_pid == pid;
}

/* What it says while it works is no reason for its end. */
static bool virtiofsd_is_news(const char *line)
{
	return strncmp(line, "virtio_", 7) == 0 || strncmp(line, "fv_", 3) == 0;
}

static int virtiofsd_said(const char *folder, int number,
			  const struct lent_item *item, struct err *err)
{
	auto_free char *path = virtiofsd_path(folder, number, ".log");
	char text[2048] = "", *rest = text, *line, *last = NULL;
	auto_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0 && pread(fd, text, sizeof(text) - 1, 0) < 0)
		*text = 0;
	while ((line = strsep(&rest, "\n")))
		if (*line && !virtiofsd_is_news(line))
			last = line;
	return err_set(err, -EINVAL, "share %s: virtiofsd: %.120s", item->tag,
		       last ? last : "it has ended");
}

int virtiofsd_check(const char *folder, const struct lent *lent,
		    struct err *err)
{
	for (int i = 0; i < lent->count; i++)
		if (lent->item[i].pid && virtiofsd_has_ended(lent->item[i].pid))
			return virtiofsd_said(folder, i, &lent->item[i], err);
	return 0;
}

void virtiofsd_reap(struct lent *lent)
{
	for (int i = 0; i < lent->count; i++) {
		struct lent_item *item = &lent->item[i];

		if (!item->pid)
			continue;
		fd_close(&item->fd);
		if (process_wait(item->pid, VIRTIOFSD_END_MS, NULL) == -ETIME) {
			kill(-item->pid, SIGKILL);
			process_wait(item->pid, -1, NULL);
		}
		item->pid = 0;
	}
}

/* It is two processes of one group: the one that serves is alone in its own
 * namespaces, the other waits for it. */
static void virtiofsd_end(const char *folder, int number)
{
	uint64_t deadline = clock_deadline(VIRTIOFSD_END_MS);
	bool killed = false;
	pid_t pid = 0;

	while (virtiofsd_look(folder, number, &pid) > 0) {
		if (clock_left_ms(deadline) == 0) {
			if (killed)
				break;
			if (pid > 1)
				kill(-pid, SIGKILL);
			killed = true;
			deadline = clock_deadline(VIRTIOFSD_END_MS);
		}
		clock_sleep_ms(VIRTIOFSD_LOOK_MS);
	}
}

void virtiofsd_end_all(const char *folder)
{
	for (int i = 0; i < LENT_MOST; i++)
		virtiofsd_end(folder, i);
}
