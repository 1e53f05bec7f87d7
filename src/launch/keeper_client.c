/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of a keeper: to ask one, and to start one.
 *
 * A keeper is nobody's child: it is started by a process in between that
 * ends at once.  That it serves is told by itself, over a pipe, as one line
 * "ready" or the reason why not; a pipe that ends without a line means that
 * another keeper was first, or that it died. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "launch/keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENT_ANSWER_MOST = 64 * 1024, CLIENT_POLL_MS = 10 };

/* ---- asking ------------------------------------------------------------ */

static int client_connect_to(const struct registry_place *place, int timeout_ms,
			     struct err *err)
{
	int socket = fd_connect(place->control, timeout_ms, err);

	if (socket == -ENOENT || socket == -ECONNREFUSED)
		return err_set(err, -ECONNREFUSED, "keeper of %s", place->key);
	return socket;
}

static int client_receive_answer(int socket, int timeout_ms, struct buf *answer,
				 struct err *err)
{
	auto_free char *packet = malloc(CLIENT_ANSWER_MOST);
	int fd_count = 0;
	ssize_t len;
	int rc;

	if (!packet)
		return err_set(err, -ENOMEM, "answer");
	rc = fd_wait(socket, POLLIN, timeout_ms);
	if (rc <= 0)
		return err_set(err, rc < 0 ? rc : -ETIME, "no answer");
	len = fd_receive(socket, packet, CLIENT_ANSWER_MOST, NULL, 0, &fd_count,
			 err);
	if (len < 0)
		return (int)len;
	if (len == 0)
		return err_set(err, -EPROTO, "ended without an answer");
	buf_clear(answer);
	buf_add(answer, packet, (size_t)len);
	if (answer->failed)
		return err_set(err, -ENOMEM, "answer");
	return json_check(buf_string(answer), answer->len, err);
}

int keeper_ask(const struct registry_place *place, const char *command,
	       int timeout_ms, struct buf *answer, struct err *err)
{
	uint64_t deadline = clock_deadline(timeout_ms);
	auto_close int socket = client_connect_to(place, timeout_ms, err);
	int rc;

	if (socket < 0)
		return socket;
	rc = fd_send(socket, command, strlen(command), NULL, 0, err);
	if (rc >= 0)
		rc = client_receive_answer(socket, clock_left_ms(deadline),
					   answer, err);
	return rc < 0 ? err_wrap(err, "keeper of %s: %s", place->key, command)
		      : 0;
}

/* ---- starting ---------------------------------------------------------- */

/* In the process in between. */
static int client_start_child(const struct registry_place *place,
			      const char *brood_path, int ready)
{
	char number[16];
	char *argv[] = { (char *)brood_path,   (char *)"keep",
			 (char *)"--ready-fd", number,
			 place->state,	       NULL };

	snprintf(number, sizeof(number), "%d", ready);
	umask(077);
	return process_start(&(struct process_plan){ .path = brood_path,
						     .argv = argv,
						     .cwd = "/",
						     .fds = { -1, -1, -1 },
						     .keep = &ready,
						     .keep_count = 1,
						     .new_session = true },
			     NULL);
}

/* The exit status of the process in between is the errno of the start. */
static int client_start_detached(const struct registry_place *place,
				 const char *brood_path, int ready,
				 struct err *err)
{
	int status = 0;
	pid_t pid = fork();
	int rc;

	if (pid < 0)
		return err_set(err, -errno, "fork");
	if (pid == 0) {
		rc = client_start_child(place, brood_path, ready);
		_exit(rc < 0 ? -rc & 0xff : 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0; /* somebody else waited for it */
	if (!WIFEXITED(status))
		return err_set(err, -EPROTO, "start %s", brood_path);
	if (WEXITSTATUS(status))
		return err_set(err, -WEXITSTATUS(status), "start %s",
			       brood_path);
	return 0;
}

/* As fd_wait(), in pieces where somebody looks on. */
static int client_wait(int fd, uint64_t deadline, struct progress *progress)
{
	for (;;) {
		int left = clock_left_ms(deadline);
		int part = progress_wait_ms(progress, left);
		int rc = fd_wait(fd, POLLIN, part);

		if (rc != 0 || part == left)
			return rc;
		progress_tick(progress);
	}
}

/* Reads until the end of the pipe: 0, or -ETIME. */
static int client_read_line(int pipe, uint64_t deadline,
			    struct progress *progress, char *line, size_t room,
			    struct err *err)
{
	size_t len = 0;

	for (;;) {
		int rc = client_wait(pipe, deadline, progress);
		ssize_t got;

		if (rc <= 0)
			return err_set(err, rc < 0 ? rc : -ETIME,
				       "keeper is not ready");
		got = read(pipe, line + len, room - 1 - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || len + (size_t)got == room - 1)
			break;
		len += (size_t)got;
	}
	line[len] = 0;
	line[strcspn(line, "\n")] = 0;
	return 0;
}

/* An answer of the keeper that was first tells that its template stands, or
 * why it does not. */
static int client_wait_for_other(const struct registry_place *place,
				 uint64_t deadline, struct err *err)
{
	auto_buf struct buf answer = { 0 };
	auto_free char *state = NULL;
	auto_free char *reason = NULL;
	int rc;

	while ((rc = keeper_ask(place, "status", clock_left_ms(deadline),
				&answer, err)) == -ECONNREFUSED) {
		if (!registry_is_kept(place) || !clock_left_ms(deadline))
			return err_set(err, -EPROTO,
				       "the keeper ended without a word");
		clock_sleep_ms(CLIENT_POLL_MS);
	}
	if (rc < 0)
		return rc;
	err_clear(err);
	state = json_get_text(buf_string(&answer), "state");
	reason = json_get_text(buf_string(&answer), "reason");
	if (state &&
	    (!strcmp(state, "serving") || !strcmp(state, "image only")))
		return -EALREADY;
	return err_set(err, -EPROTO, "%s", reason ? reason : "no state");
}

int keeper_start(const struct registry_place *place, const char *brood_path,
		 int timeout_ms, struct progress *progress, struct err *err)
{
	uint64_t deadline = clock_deadline(timeout_ms);
	char line[300] = "";
	auto_close int out = -1;
	int ends[2];
	int rc;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe");
	out = ends[0];
	rc = client_start_detached(place, brood_path, ends[1], err);
	fd_close(&ends[1]);
	if (rc < 0 || (rc = client_read_line(out, deadline, progress, line,
					     sizeof(line), err)) < 0)
		return err_wrap(err, "keeper of %s", place->key);
	if (!strcmp(line, "ready"))
		return 0;
	if (!line[0])
		return client_wait_for_other(place, deadline, err);
	return err_set(err, -EPROTO, "%s", line);
}
