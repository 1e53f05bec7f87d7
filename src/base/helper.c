/* SPDX-License-Identifier: Apache-2.0 */
/* A process beside the caller: forked by a child that ends at once, so that
 * whatever the caller becomes later never meets it in a wait.
 *
 * What comes over the pipe is messages of a kind, a length and bytes:
 *	DOING	words: what is done now
 *	ANSWER	the end: the answer
 *	FAILED	the end: a struct err
 * An end of the pipe without either is a helper that was killed. */
#include "base/helper.h"
#include "base/clock.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum helper_kind { HELPER_DOING, HELPER_ANSWER, HELPER_FAILED };
enum { HELPER_DOING_MOST = 120, HELPER_ANSWER_MOST = 1 << 20 };

struct helper {
	int pipe; /* -1: the work is done by the caller */
};
struct helper_head {
	uint32_t kind, len;
};

/* ---- inside ------------------------------------------------------------------ */

static bool helper_say(struct helper *helper, enum helper_kind kind,
		       const void *data, size_t len)
{
	const struct helper_head head = { kind, (uint32_t)len };
	char message[sizeof head + sizeof(struct err)];

	if (helper->pipe < 0)
		return true;
	/* Small ones in one write: a reader sees all of it or nothing. */
	if (sizeof head + len <= sizeof message) {
		memcpy(message, &head, sizeof head);
		memcpy(message + sizeof head, data, len);
		return fd_write_all(helper->pipe, message, sizeof head + len,
				    NULL) >= 0;
	}
	return fd_write_all(helper->pipe, &head, sizeof head, NULL) >= 0 &&
	       fd_write_all(helper->pipe, data, len, NULL) >= 0;
}

bool helper_tick(struct helper *helper, const char *doing)
{
	size_t len = strlen(doing);

	return helper_say(helper, HELPER_DOING, doing,
			  len < HELPER_DOING_MOST ? len : HELPER_DOING_MOST);
}

/* A mapped file that lost its end, or whose server has.  The alternative is a
 * helper that is just gone. */
static void helper_bus(int number)
{
	static const struct {
		struct helper_head head;
		struct err err;
	} lost = { { HELPER_FAILED, sizeof(struct err) },
		   { -EIO,
		     "a mapped file cannot be read: input/output error" } };

	(void)number;
	(void)!write(0, &lost, sizeof lost);
	_exit(1);
}

/* Descriptor 0 is the pipe, and there are no others: a pipe of the caller's
 * that a helper held would never end. */
static void helper_settle(struct helper *helper, int pipe, int kept)
{
	struct sigaction bus = { .sa_handler = helper_bus };

	setsid();
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGBUS, &bus, NULL);
	dup2(pipe, 0);
	if (kept > 1)
		syscall(SYS_close_range, 1, kept - 1, 0);
	syscall(SYS_close_range, kept + 1, ~0u, 0);
	for (int fd = 1; fd <= 2; fd++)
		if (fd != kept)
			(void)!open("/dev/null", O_RDWR);
	helper->pipe = 0;
}

static _Noreturn void helper_main(int pipe, int kept, helper_work *work,
				  void *context)
{
	struct helper helper;
	struct buf answer = { 0 };
	struct err err = { 0 };
	int rc;

	helper_settle(&helper, pipe, kept);
	rc = work(&helper, context, &answer, &err);
	if (rc >= 0 && answer.failed)
		rc = err_set(&err, -ENOMEM, "the helper's answer");
	if (rc < 0 && !err.code)
		err_set(&err, rc, "the helper");
	if (rc < 0)
		helper_say(&helper, HELPER_FAILED, &err, sizeof err);
	else
		helper_say(&helper, HELPER_ANSWER, buf_string(&answer),
			   answer.len);
	_exit(0);
}

/* ---- outside ----------------------------------------------------------------- */

struct helper_watch {
	int pipe, process, kept;
	uint64_t deadline;
	int silent_ms;
	struct buf got;
	char doing[HELPER_DOING_MOST + 1];
};

static int helper_start(struct helper_watch *watch, helper_work *work,
			void *context, struct err *err)
{
	volatile pid_t helper = 0; /* written by the child, in our memory */
	int ends[2], status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "make a pipe");
	child = vfork();
	if (child == 0) {
		/* Not by the library's fork: its locks are not ours to
		 * handle here. */
		long made = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (made == 0)
			helper_main(ends[1], watch->kept, work, context);
		helper = (pid_t)(made < 0 ? -errno : made);
		_exit(0);
	}
	watch->pipe = ends[0];
	close(ends[1]);
	if (child > 0)
		waitpid(child, &status, 0);
	if (child < 0 || helper < 0)
		return err_set(err, child < 0 ? -errno : helper,
			       "start a helper");
	watch->process = (int)syscall(SYS_pidfd_open, helper, 0);
	return 0;
}

/* The first message, if it is whole; *used: how long it is. */
static bool helper_message(const struct buf *got, struct helper_head *head,
			   const char **data)
{
	if (got->len < sizeof *head)
		return false;
	memcpy(head, got->data, sizeof *head);
	*data = got->data + sizeof *head;
	return got->len - sizeof *head >= head->len;
}

static void helper_drop_message(struct buf *got, const struct helper_head *head)
{
	size_t len = sizeof *head + head->len;

	memmove(got->data, got->data + len, got->len - len);
	got->len -= len;
}

static int helper_failed(const char *data, uint32_t len, struct err *err)
{
	struct err theirs;

	if (len != sizeof theirs)
		return err_set(err, -EPROTO, "the helper's error");
	memcpy(&theirs, data, sizeof theirs);
	theirs.text[sizeof theirs.text - 1] = 0;
	if (err)
		*err = theirs;
	return theirs.code < 0 ? theirs.code : -EPROTO;
}

/* 1: it has answered; 0: go on; < 0: it has failed. */
static int helper_take(struct helper_watch *watch, struct buf *answer,
		       struct err *err)
{
	struct helper_head head;
	const char *data;

	while (helper_message(&watch->got, &head, &data)) {
		if (head.kind == HELPER_FAILED)
			return helper_failed(data, head.len, err);
		if (head.kind == HELPER_ANSWER) {
			if (answer)
				buf_add(answer, data, head.len);
			return answer && answer->failed
				       ? err_set(err, -ENOMEM,
						 "the helper's answer")
				       : 1;
		}
		if (head.len > HELPER_DOING_MOST)
			return err_set(err, -EPROTO, "the helper's words");
		memcpy(watch->doing, data, head.len);
		watch->doing[head.len] = 0;
		helper_drop_message(&watch->got, &head);
	}
	return watch->got.len > HELPER_ANSWER_MOST
		       ? err_set(err, -EMSGSIZE, "the helper's answer")
		       : 0;
}

static int helper_silent(const struct helper_watch *watch, bool over,
			 struct err *err)
{
	const char *doing = *watch->doing ? watch->doing : "a start";

	err_set(err, -EINVAL, over ? "not done in time: %s" : "no answer: %s",
		doing);
	if (err)
		err->code = -ETIME;
	return -ETIME;
}

static int helper_listen(struct helper_watch *watch, struct buf *answer,
			 struct err *err)
{
	char part[4096];

	for (;;) {
		int left = clock_left_ms(watch->deadline);
		bool over = watch->silent_ms < 0 ||
			    (left >= 0 && left <= watch->silent_ms);
		int rc = fd_wait(watch->pipe, POLLIN,
				 over ? left : watch->silent_ms);
		ssize_t n;

		if (rc == 0)
			return helper_silent(watch, over, err);
		n = rc < 0 ? rc : read(watch->pipe, part, sizeof part);
		if (n < 0 && (rc == -EINTR || errno == EINTR))
			continue;
		if (n <= 0)
			return err_set(err, -EPIPE, "%s: the helper was ended",
				       watch->doing);
		buf_add(&watch->got, part, (size_t)n);
		rc = helper_take(watch, answer, err);
		if (rc)
			return rc < 0 ? rc : 0;
	}
}

int helper_run(const struct helper_limits *limits, helper_work *work,
	       void *context, struct buf *answer, struct err *err)
{
	struct helper_watch watch = { .pipe = -1, .process = -1 };
	struct helper here = { .pipe = -1 };
	int rc;

	if (!limits)
		return work(&here, context, answer, err);
	watch.deadline = clock_deadline(limits->total_ms);
	watch.silent_ms = limits->silent_ms;
	watch.kept = limits->keep_fd;
	rc = helper_start(&watch, work, context, err);
	if (rc >= 0)
		rc = helper_listen(&watch, answer, err);
	if (rc < 0 && watch.process >= 0)
		syscall(SYS_pidfd_send_signal, watch.process, SIGKILL, NULL, 0);
	fd_close(&watch.process);
	fd_close(&watch.pipe);
	buf_fini(&watch.got);
	return rc;
}
