/* SPDX-License-Identifier: Apache-2.0 */
/* A process beside the caller: forked by a child that ends at once, so that
 * whatever the caller becomes later never meets it in a wait.
 *
 * What it does, and when it last did something, stands in a page that both
 * have: to tell it takes no system call, and wakes nobody.  The end comes over
 * a pipe, a kind, a length and bytes:
 *	ANSWER	the answer
 *	FAILED	a struct err
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
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum helper_kind { HELPER_ANSWER, HELPER_FAILED };
enum {
	HELPER_DOING_MOST = 120,
	HELPER_ANSWER_MOST = 1 << 20,
	HELPER_AT_ONCE = 4096,
	HELPER_LOOK_NS = 10 * 1000 * 1000,
};

/* Written by the helper alone. */
struct helper_news {
	uint64_t when_ns; /* 0: it has not begun */
	char doing[HELPER_DOING_MOST + 1];
};

struct helper {
	int pipe;
	uint64_t looked_ns;
	struct helper_news *news; /* NULL: the work is done by the caller */
};
struct helper_head {
	uint32_t kind, len;
};
/* Of the caller. */
struct helper_watch {
	int pipe, process, kept;
	uint64_t deadline, heard_ns;
	int silent_ms;
	struct helper_news *news;
	struct buf got;
};

/* ---- inside ------------------------------------------------------------------ */

static void helper_say(struct helper *helper, enum helper_kind kind,
		       const void *data, size_t len)
{
	const struct helper_head head = { kind, (uint32_t)len };
	char message[HELPER_AT_ONCE];

	/* Small ones in one write: the reader wakes once. */
	if (sizeof head + len <= sizeof message) {
		memcpy(message, &head, sizeof head);
		memcpy(message + sizeof head, data, len);
		fd_write_all(helper->pipe, message, sizeof head + len, NULL);
	} else if (fd_write_all(helper->pipe, &head, sizeof head, NULL) >= 0) {
		fd_write_all(helper->pipe, data, len, NULL);
	}
}

/* The other end of the pipe is closed by who gives up, or ends. */
static bool helper_is_heard(struct helper *helper, uint64_t now_ns)
{
	struct pollfd pipe = { helper->pipe, 0, 0 };

	if (now_ns - helper->looked_ns < HELPER_LOOK_NS)
		return true;
	helper->looked_ns = now_ns;
	return poll(&pipe, 1, 0) == 0;
}

bool helper_tick(struct helper *helper, const char *doing)
{
	struct helper_news *news = helper->news;
	uint64_t now_ns;

	if (!news)
		return true;
	now_ns = clock_ns();
	snprintf(news->doing, sizeof news->doing, "%s", doing);
	__atomic_store_n(&news->when_ns, now_ns, __ATOMIC_RELEASE);
	return helper_is_heard(helper, now_ns);
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

static _Noreturn void helper_main(const struct helper_watch *watch, int pipe,
				  helper_work *work, void *context)
{
	struct helper helper = { .news = watch->news,
				 .looked_ns = watch->heard_ns };
	struct buf answer = { 0 };
	struct err err = { 0 };
	int rc;

	helper_settle(&helper, pipe, watch->kept);
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
			helper_main(watch, ends[1], work, context);
		helper = (pid_t)(made < 0 ? -errno : made);
		_exit(0);
	}
	watch->pipe = ends[0];
	close(ends[1]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child < 0 || helper < 0)
		return err_set(err, child < 0 ? -errno : helper,
			       "start a helper");
	watch->process = (int)syscall(SYS_pidfd_open, helper, 0);
	return 0;
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

/* 1: it has answered; 0: that is not all; < 0: it has failed. */
static int helper_take(const struct buf *got, struct buf *answer,
		       struct err *err)
{
	struct helper_head head;
	const char *data;

	if (got->failed || got->len > HELPER_ANSWER_MOST)
		return err_set(err, -EMSGSIZE, "the helper's answer");
	if (got->len < sizeof head)
		return 0;
	memcpy(&head, got->data, sizeof head);
	if (got->len - sizeof head < head.len)
		return 0;
	data = got->data + sizeof head;
	if (head.kind == HELPER_FAILED)
		return helper_failed(data, head.len, err);
	if (answer)
		buf_add(answer, data, head.len);
	return answer && answer->failed
		       ? err_set(err, -ENOMEM, "the helper's answer")
		       : 1;
}

/* One that writes at this moment is not silent: whole words or a part. */
static void helper_doing(const struct helper_watch *watch,
			 char doing[HELPER_DOING_MOST + 1])
{
	memcpy(doing, watch->news->doing, HELPER_DOING_MOST);
	doing[HELPER_DOING_MOST] = 0;
}

static int helper_silent(const struct helper_watch *watch, bool over,
			 struct err *err)
{
	char doing[HELPER_DOING_MOST + 1];

	helper_doing(watch, doing);
	err_set(err, -EINVAL, over ? "not done in time: %s" : "no answer: %s",
		*doing ? doing : "a start");
	if (err)
		err->code = -ETIME;
	return -ETIME;
}

/* Until it has been silent for too long; -1: that is never. */
static int helper_left_ms(const struct helper_watch *watch)
{
	uint64_t silent_ns = (uint64_t)watch->silent_ms * 1000000;

	return watch->silent_ms < 0
		       ? -1
		       : clock_left_ms(watch->heard_ns + silent_ns);
}

/* The page is looked at only when it is late: most end before. */
static bool helper_was_silent(struct helper_watch *watch)
{
	uint64_t when_ns =
		__atomic_load_n(&watch->news->when_ns, __ATOMIC_ACQUIRE);

	if (when_ns > watch->heard_ns)
		watch->heard_ns = when_ns;
	return helper_left_ms(watch) == 0;
}

/* 1: there is something to read. */
static int helper_wait(struct helper_watch *watch, struct err *err)
{
	for (;;) {
		int all = clock_left_ms(watch->deadline);
		int left = helper_left_ms(watch);
		bool over = left < 0 || (all >= 0 && all <= left);
		int rc = fd_wait(watch->pipe, POLLIN, over ? all : left);

		if (rc < 0 && rc != -EINTR)
			return err_set(err, rc, "wait for the helper");
		if (rc > 0)
			return 1;
		if (rc == 0 && (over || helper_was_silent(watch)))
			return helper_silent(watch, over, err);
	}
}

static int helper_ended(const struct helper_watch *watch, struct err *err)
{
	char doing[HELPER_DOING_MOST + 1];

	helper_doing(watch, doing);
	return err_set(err, -EPIPE, "%s: the helper was ended", doing);
}

static int helper_listen(struct helper_watch *watch, struct buf *answer,
			 struct err *err)
{
	char part[HELPER_AT_ONCE];
	int rc;

	while ((rc = helper_wait(watch, err)) > 0) {
		ssize_t n = read(watch->pipe, part, sizeof part);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return helper_ended(watch, err);
		buf_add(&watch->got, part, (size_t)n);
		rc = helper_take(&watch->got, answer, err);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	return rc;
}

static int helper_share_news(struct helper_watch *watch, struct err *err)
{
	watch->news = mmap(NULL, sizeof *watch->news, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (watch->news == MAP_FAILED) {
		watch->news = NULL;
		return err_set(err, -errno, "map a page for a helper");
	}
	watch->heard_ns = clock_ns();
	return 0;
}

/* Where the caller is the one to whom orphans go - the first process of a
 * container - the helper is its child after all. */
static void helper_leave(const struct helper_watch *watch, bool kill)
{
	siginfo_t info;

	if (watch->process < 0)
		return;
	if (kill)
		syscall(SYS_pidfd_send_signal, watch->process, SIGKILL, NULL,
			0);
	waitid(P_PIDFD, (id_t)watch->process, &info,
	       WEXITED | (kill ? WNOHANG : 0));
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
	rc = helper_share_news(&watch, err);
	if (rc >= 0)
		rc = helper_start(&watch, work, context, err);
	if (rc >= 0)
		rc = helper_listen(&watch, answer, err);
	helper_leave(&watch, rc < 0);
	if (watch.news)
		munmap(watch.news, sizeof *watch.news);
	fd_close(&watch.process);
	fd_close(&watch.pipe);
	buf_fini(&watch.got);
	return rc;
}
