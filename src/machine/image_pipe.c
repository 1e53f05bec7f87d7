/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs at the end of a pipe. */
#include "machine/image_pipe.h"
#include "base/fd.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IMAGE_PIPE_MOST = 256 << 20 };

char *image_pipe_find(const char *program)
{
	return process_find_in_path(program, getenv("PATH"));
}

static pid_t image_pipe_run(const char *const *argv, int in, int out,
			    struct err *err)
{
	auto_free char *path = image_pipe_find(argv[0]);
	const struct process_plan plan = {
		.path = path,
		.argv = (char *const *)argv,
		.fds = { in, out, STDERR_FILENO },
	};

	if (!path)
		return err_set(err, -ENOENT, "there is no program %s", argv[0]);
	return process_start(&plan, err);
}

int image_pipe_end(pid_t pid, const char *program, struct err *err)
{
	int status, r = process_wait(pid, -1, &status);

	if (r < 0)
		return err_set(err, r, "wait for %s", program);
	if (WIFSIGNALED(status))
		return err_set(err, -EINVAL, "%s was ended by signal %d",
			       program, WTERMSIG(status));
	if (WEXITSTATUS(status))
		return err_set(err, -EINVAL, "%s has failed, status %d",
			       program, WEXITSTATUS(status));
	return 0;
}

static int image_pipe_read(int fd, struct buf *to, struct err *err)
{
	char part[65536];

	for (;;) {
		ssize_t n = read(fd, part, sizeof part);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read a pipe");
		if (n == 0)
			return 0;
		if (to->len + n > IMAGE_PIPE_MOST)
			return err_set(err, -EFBIG, "unpack");
		buf_add(to, part, n);
		if (to->failed)
			return err_set(err, -ENOMEM, "unpack");
	}
}

int image_pipe_unpack(const char *program, const char *path, struct buf *to,
		      struct err *err)
{
	const char *const argv[] = { program, "-dc", NULL };
	auto_close int file = open(path, O_RDONLY | O_CLOEXEC);
	auto_close int out = -1;
	int ends[2], r, ended;
	pid_t pid;

	if (file < 0)
		return err_set(err, -errno, "open %s", path);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe");
	out = ends[0];
	pid = image_pipe_run(argv, file, ends[1], err);
	close(ends[1]);
	if (pid < 0)
		return err_wrap(err, "unpack %s", path);
	r = image_pipe_read(out, to, err);
	fd_close(&out); /* what is not read shall not be waited for */
	ended = image_pipe_end(pid, program, r < 0 ? NULL : err);
	if (r >= 0)
		r = ended;
	return r < 0 ? err_wrap(err, "unpack %s", path) : 0;
}

pid_t image_pipe_start(const char *const *argv, int out, int *in,
		       struct err *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe");
	pid = image_pipe_run(argv, ends[0], out, err);
	close(ends[0]);
	if (pid < 0)
		close(ends[1]);
	else
		*in = ends[1];
	return pid;
}
