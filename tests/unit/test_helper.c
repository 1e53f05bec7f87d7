/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/helper.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct helper_limits quick = { .total_ms = 3000,
					    .silent_ms = 150 };

static int answers(struct helper *helper, void *context, struct buf *answer,
		   struct err *err)
{
	(void)err;
	helper_tick(helper, "counting");
	for (int i = 0; i < *(int *)context; i++)
		buf_format(answer, "%d ", i);
	return 0;
}

TEST(an_answer_comes_back_whole)
{
	auto_buf struct buf answer = { 0 };
	struct err err = { 0 };
	int count = 20000;

	CHECK_INT(helper_run(&quick, answers, &count, &answer, &err), 0);
	CHECK(answer.len > 100000);
	CHECK_TEXT(buf_string(&answer) + answer.len - 6, "19999 ");
}

TEST(without_limits_the_work_is_done_here)
{
	auto_buf struct buf answer = { 0 };
	int count = 3;

	CHECK_INT(helper_run(NULL, answers, &count, &answer, NULL), 0);
	CHECK_TEXT(buf_string(&answer), "0 1 2 ");
}

static int fails(struct helper *helper, void *context, struct buf *answer,
		 struct err *err)
{
	(void)helper, (void)context, (void)answer;
	return err_set(err, -ENOSPC, "write /x");
}

TEST(an_error_keeps_its_words)
{
	struct err err = { 0 };

	CHECK_INT(helper_run(&quick, fails, NULL, NULL, &err), -ENOSPC);
	CHECK_TEXT(err.text, "write /x: No space left on device");
}

static int hangs(struct helper *helper, void *context, struct buf *answer,
		 struct err *err)
{
	int *pid = context;

	(void)answer, (void)err;
	*pid = getpid();
	helper_tick(helper, "reading /share/x");
	while (*pid)
		pause();
	return 0;
}

/* The pid is told through shared memory: the work is another process's. */
TEST(who_falls_silent_is_left_behind_and_ended)
{
	int *pid = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct err err = { 0 };

	CHECK_INT(helper_run(&quick, hangs, pid, NULL, &err), -ETIME);
	CHECK_TEXT(err.text, "no answer: reading /share/x");
	CHECK(*pid > 0 && *pid != getpid());
	for (int i = 0; i < 500 && kill(*pid, 0) == 0; i++)
		clock_sleep_ms(10);
	CHECK_INT(kill(*pid, 0), -1);
}

static int works_on(struct helper *helper, void *context, struct buf *answer,
		    struct err *err)
{
	(void)context, (void)answer, (void)err;
	for (int i = 0; i < 40 && helper_tick(helper, "hashing"); i++)
		clock_sleep_ms(20);
	return 0;
}

TEST(who_ticks_is_waited_for)
{
	CHECK_INT(helper_run(&quick, works_on, NULL, NULL, NULL), 0);
}

TEST(but_not_for_ever)
{
	static const struct helper_limits short_ = { .total_ms = 100,
						     .silent_ms = 1000 };
	struct err err = { 0 };

	CHECK_INT(helper_run(&short_, works_on, NULL, NULL, &err), -ETIME);
	CHECK_TEXT(err.text, "not done in time: hashing");
}

static int is_killed(struct helper *helper, void *context, struct buf *answer,
		     struct err *err)
{
	(void)context, (void)answer, (void)err;
	helper_tick(helper, "loading");
	return raise(SIGKILL);
}

TEST(a_killed_one_is_told)
{
	struct err err = { 0 };

	CHECK_INT(helper_run(&quick, is_killed, NULL, NULL, &err), -EPIPE);
	CHECK(strstr(err.text, "loading"));
}

static int reads_what_is_gone(struct helper *helper, void *context,
			      struct buf *answer, struct err *err)
{
	char name[] = "/tmp/brood-test-helper.XXXXXX";
	int fd = mkstemp(name);
	volatile char *at;

	(void)helper, (void)context, (void)err;
	unlink(name);
	if (ftruncate(fd, 8192) < 0)
		return -errno;
	at = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED || ftruncate(fd, 0) < 0)
		return -errno;
	buf_format(answer, "%d", at[4096]);
	return 0;
}

TEST(a_mapped_file_that_ends_is_an_error)
{
	struct err err = { 0 };

	CHECK_INT(helper_run(&quick, reads_what_is_gone, NULL, NULL, &err),
		  -EIO);
	CHECK(strstr(err.text, "cannot be read"));
}

static int lists_descriptors(struct helper *helper, void *context,
			     struct buf *answer, struct err *err)
{
	(void)helper, (void)context, (void)err;
	for (int fd = 3; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			buf_format(answer, "%d ", fd);
	return 0;
}

TEST(it_holds_no_descriptor_of_the_caller)
{
	auto_buf struct buf answer = { 0 };
	int kept = open("/dev/null", O_RDONLY);

	CHECK_INT(helper_run(&quick, lists_descriptors, NULL, &answer, NULL),
		  0);
	CHECK_TEXT(buf_string(&answer), "");
	close(kept);
}

static int tells_its_session(struct helper *helper, void *context,
			     struct buf *answer, struct err *err)
{
	(void)helper, (void)context, (void)err;
	buf_format(answer, "%d", getsid(0) == getpid());
	return 0;
}

/* What is typed at the caller's terminal is not for it. */
TEST(it_has_a_session_of_its_own)
{
	auto_buf struct buf answer = { 0 };

	CHECK_INT(helper_run(&quick, tells_its_session, NULL, &answer, NULL),
		  0);
	CHECK_TEXT(buf_string(&answer), "1");
}

TEST(it_is_no_child_of_the_caller)
{
	auto_buf struct buf answer = { 0 };
	int count = 1, status;

	CHECK_INT(helper_run(&quick, answers, &count, &answer, NULL), 0);
	CHECK_INT(waitpid(-1, &status, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
}

TEST_MAIN
