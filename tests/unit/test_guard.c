/* SPDX-License-Identifier: Apache-2.0 */
/* What a killed process was making is ended by its guard, with nobody else
 * coming by. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/guard.h"
#include "machine/half.h"
#include "test.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUARD_PATIENCE_MS = 5000 };

static char folder[] = "/tmp/brood-guard-XXXXXX";

TEST(begin)
{
	CHECK(mkdtemp(folder) != NULL);
	setenv("XDG_RUNTIME_DIR", folder, 1);
}

TEST(ends_with_its_work)
{
	struct guard guard;
	pid_t pid;

	guard_begin(&guard);
	pid = guard.pid;
	CHECK(pid > 0);
	guard_end(&guard);
	CHECK(kill(pid, 0) < 0 && errno == ESRCH);
	CHECK_INT(guard.pid, 0);
}

/* It has begun a machine, whose hypervisor holds its lock, and is killed. */
static void work_and_die(int tell)
{
	struct guard guard;
	struct place place;
	struct half half;
	pid_t pid;

	guard_begin(&guard);
	if (place_make("m", &place, NULL) < 0)
		_exit(1);
	pid = fork();
	if (pid == 0) {
		fd_close(&guard.word);
		close(tell);
		for (;;)
			pause();
	}
	if (half_begin(&place, HALF_END, pid, &half, NULL) < 0 ||
	    fd_write_all(tell, &pid, sizeof(pid), NULL) < 0)
		_exit(1);
	kill(getpid(), SIGKILL);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

TEST(mends_what_was_left)
{
	auto_free char *place = file_join(folder, "brood/machines/m");
	uint64_t end = clock_deadline(GUARD_PATIENCE_MS);
	pid_t worker, hypervisor = 0;
	int ends[2], status = 0;

	/* Whoever loses its parent is ours. */
	CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	CHECK_INT(pipe(ends), 0);
	worker = fork();
	if (worker == 0) {
		close(ends[0]);
		work_and_die(ends[1]);
	}
	close(ends[1]);
	CHECK_INT(fd_read_all(ends[0], &hypervisor, sizeof(hypervisor), NULL),
		  0);
	close(ends[0]);
	waitpid(worker, NULL, 0);
	CHECK(hypervisor > 1);
	while (is_there(place) && clock_left_ms(end) > 0)
		clock_sleep_ms(10);
	CHECK(!is_there(place));
	CHECK(waitpid(hypervisor, &status, 0) == hypervisor &&
	      WIFSIGNALED(status));
	while (waitpid(-1, NULL, 0) > 0) /* the guard */
		;
}

TEST(end)
{
	file_remove_tree(folder, NULL);
}

TEST_MAIN
