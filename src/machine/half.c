/* SPDX-License-Identifier: Apache-2.0 */
/* Work on machines that was cut off, told by a lock that nobody holds. */
#include "machine/half.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "machine/hypervisor.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HALF_WAIT_MS = 30000, HALF_MEND_MS = 5000, HALF_TEXT = 32 };

void half_tell(const struct half *half, enum half_way way, pid_t pid)
{
	char text[HALF_TEXT];
	int len = snprintf(text, sizeof(text), "%-16d%8d\n", way, pid);

	fd_pwrite_all(half->fd, text, (size_t)len, 0, NULL);
}

static int half_read(int fd, int *way, pid_t *pid)
{
	char text[HALF_TEXT];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = 0;
	return sscanf(text, "%d %d", way, pid) == 2 ? 0 : -ENODATA;
}

int half_begin(const struct place *place, enum half_way way, pid_t pid,
	       struct half *half, struct err *err)
{
	int was;
	pid_t other;

	*half = HALF_NONE;
	half->path = place_path(place, "half");
	if (!half->path)
		return err_set(err, -ENOMEM, "name of a file");
	half->fd = lock_take(half->path, HALF_WAIT_MS, err);
	if (half->fd < 0) {
		int rc = half->fd;

		half_drop(half);
		return err ? err_wrap(err, "somebody is at work on machine %s",
				      place->name)
			   : rc;
	}
	if (half_read(half->fd, &was, &other) >= 0 && was == HALF_END) {
		half_drop(half);
		return err_set(err, -EINVAL,
			       "machine %s is half of one, and about to end",
			       place->name);
	}
	half_tell(half, way, pid);
	return 0;
}

void half_end(struct half *half)
{
	if (half->fd >= 0)
		unlink(half->path);
	half_drop(half);
}

void half_drop(struct half *half)
{
	fd_close(&half->fd);
	mem_free(&half->path);
}

/* ---- mended ---------------------------------------------------------------- */

static int half_order(const struct place *place, enum half_way way)
{
	auto_free char *path = place_path(place, "qmp");
	auto_qmp struct qmp *qmp = NULL;
	int rc = path ? qmp_open(&qmp, path, HALF_MEND_MS, NULL) : -ENOMEM;

	if (rc < 0)
		return rc;
	return way == HALF_GO_ON ? hypervisor_resume(qmp, NULL)
				 : qmp_command(qmp, "quit", NULL, NULL, NULL);
}

int half_mend(const struct place *place)
{
	struct half half = { .fd = -1, .path = place_path(place, "half") };
	int way = HALF_END, ended = 0;
	pid_t pid = 0;

	/* Not made by looking for it. */
	if (half.path && access(half.path, F_OK) == 0)
		half.fd = lock_take(half.path, 0, NULL);
	if (half.fd < 0) {
		half_drop(&half);
		return 0;
	}
	/* What was made by looking for it is empty: its owner was faster. */
	if (half_read(half.fd, &way, &pid) < 0) {
		half_end(&half);
		return 0;
	}
	if (way == HALF_GO_ON) {
		if (half_order(place, HALF_GO_ON) >= 0)
			half_end(&half);
		half_drop(&half);
		return 0;
	}
	/* Its lock is held, so that is still its process. */
	if (pid > 1)
		kill(pid, SIGKILL);
	else
		half_order(place, HALF_END);
	ended = place_wait_gone(place, HALF_MEND_MS) >= 0;
	half_drop(&half);
	log_event("machine.half", "\"name\":\"%s\"", place->name);
	return ended;
}
