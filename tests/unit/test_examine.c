/* SPDX-License-Identifier: Apache-2.0 */
/* What is seen of a process from outside.  It is a child of the test that
 * prepares one thing, says so and waits. */
#include "base/maps.h"
#include "launch/examine.h"
#include "test.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

typedef void work(void);

static char *fake_argv[4] = { "program", NULL };
static void *volatile kept; /* where one child keeps argv */

static void nothing(void)
{
}

static pid_t start(work *before)
{
	char byte;
	int ready[2];

	CHECK(pipe(ready) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ready[1], 2);
		close_range(3, ~0u, 0);
		before();
		(void)!write(2, "r", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/* The real argv array is out of the way; what counts lies in the test's own
 * data, where the address of nothing else is looked for. */
static struct control_stopped stopped_of(void)
{
	return (struct control_stopped){
		.resume = 1,
		.argv = (uint64_t)(uintptr_t)fake_argv,
		.argc = 1,
		.vdso = getauxval(AT_SYSINFO_EHDR),
		.deep = SANITIZED, /* shadow memory is not to be scanned */
	};
}

static void look(work *before, const struct control_stopped *stopped,
		 const struct witness *witness, struct verdict *verdict)
{
	struct err err = { 0 };
	pid_t pid = start(before);

	CHECK_INT(examine(pid, stopped, witness, verdict, &err), 0);
	CHECK_TEXT(err.text, "");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void expect(work *before, const char *clone, const char *hatch)
{
	struct control_stopped stopped = stopped_of();
	struct witness witness = { 0 };
	struct verdict verdict;

	look(before, &stopped, &witness, &verdict);
	if (!strstr(verdict.no_clone, clone) || (!*clone && !verdict.clone))
		CHECK_TEXT(verdict.no_clone, clone);
	CHECK(verdict.clone == !*clone);
	if (SANITIZED)
		return;
	if (!strstr(verdict.no_hatch, hatch) || (!*hatch && !verdict.hatch))
		CHECK_TEXT(verdict.no_hatch, hatch);
	CHECK(verdict.hatch == !*hatch);
}

TEST(plain)
{
	expect(nothing, "", "");
}

static void keeps_descriptor(void)
{
	dup2(open("/etc/passwd", O_RDONLY), 5);
	close(3);
}
static void keeps_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}
TEST(descriptors)
{
	expect(keeps_descriptor, "keeps descriptor 5 open: /etc/passwd",
	       "keeps descriptor 5 open: /etc/passwd");
	expect(keeps_socket, "keeps descriptor 3 open: socket:",
	       "keeps descriptor 3 open: socket:");
}

TEST(the_control_pair_is_known)
{
	struct control_stopped stopped = stopped_of();
	struct witness witness = { 0 };
	struct verdict verdict;
	struct err err = { 0 };
	int pair[2], ready[2];
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	CHECK(pipe(ready) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ready[1], 2);
		dup2(pair[1], 77); /* whatever number it has by now */
		close_range(3, 76, 0);
		close_range(78, ~0u, 0);
		(void)!write(2, "r", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &byte, 1), 1);
	CHECK_INT(examine(pid, &stopped, &witness, &verdict, &err), 0);
	CHECK_TEXT(verdict.no_clone, "");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(pair[0]);
	close(pair[1]);
}

static void *wait_forever(void *unused)
{
	for (;;)
		pause();
	return unused;
}
static void starts_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, wait_forever, NULL);
}
static void runs_timer(void)
{
	timer_t timer;

	syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &timer);
}
static void locks_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	syscall(SYS_mlock, page, 4096); /* sanitizers have their own */
}
static void limits_itself(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
static void has_pending(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
}
TEST(state)
{
	expect(starts_thread, "has 2 threads", "has 2 threads");
	if (access("/proc/self/timers", R_OK) == 0)
		expect(runs_timer, "timer", "timer");
	expect(locks_memory, "locked memory", "locked memory");
	expect(limits_itself, "no_new_privs", "no_new_privs");
	expect(has_pending, "signal waiting", "signal waiting");
}

static void *map(int flags)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  flags | MAP_ANONYMOUS, -1, 0);

	*page = 1;
	return page;
}
static void shares(void)
{
	map(MAP_SHARED);
}
static void wipes(void)
{
	madvise(map(MAP_PRIVATE), 4096, MADV_WIPEONFORK);
}
static void holds_back(void)
{
	madvise(map(MAP_PRIVATE), 4096, MADV_DONTFORK);
}
static void maps_deleted(void)
{
	int fd = open("/tmp", O_RDWR | O_TMPFILE, 0600);

	if (ftruncate(fd, 4096) < 0)
		_exit(1);
	mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
}
static void maps_file(void)
{
	int fd = open("/etc/passwd", O_RDONLY);

	mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
}
TEST(memory)
{
	expect(shares, "shares memory", "shares memory");
	expect(wipes, "", "each fork wipes");
	expect(holds_back, "no fork copies", "no fork copies");
	expect(maps_deleted, "", "deleted");
	expect(maps_file, "", "");
}

/* Beside it argc, as those do that keep it. */
static struct {
	long argc;
	char **argv;
} arguments;

static void keeps_arguments(void)
{
	arguments.argc = 1;
	arguments.argv = fake_argv;
	kept = &arguments;
}
static void keeps_on_heap(void)
{
	uint64_t *room = malloc(64);

	room[3] = (uint64_t)(uintptr_t)fake_argv;
	kept = room;
}
TEST(arguments_that_are_kept)
{
	struct control_stopped stopped = stopped_of();
	struct witness witness = { 0 };
	struct verdict verdict;

	if (SANITIZED)
		SKIP("shadow memory");
	expect(keeps_arguments, "keeps its arguments (argv) at test_examine",
	       "keeps its arguments");
	expect(keeps_on_heap, "keeps its arguments (argv) at [heap]",
	       "keeps its arguments");
	stopped.deep = 1;
	look(keeps_arguments, &stopped, &witness, &verdict);
	CHECK_TEXT(verdict.no_clone, "");
	CHECK_TEXT(verdict.no_hatch, "is stopped inside main");
}

TEST(what_others_found_comes_first)
{
	struct control_stopped stopped = stopped_of();
	struct witness witness = { 0 };
	struct verdict verdict;

	strcpy(witness.no_hatch, "has its reason");
	look(shares, &stopped, &witness, &verdict);
	CHECK_TEXT(verdict.no_hatch, "has its reason");
	CHECK(strstr(verdict.no_clone, "shares memory"));
	strcpy(stopped.refused, "the shim's own");
	look(nothing, &stopped, &witness, &verdict);
	CHECK_TEXT(verdict.no_clone, "the shim's own");
	CHECK_TEXT(verdict.no_hatch, "the shim's own");
	CHECK(!verdict.clone && !verdict.hatch);
}

TEST(a_process_that_is_gone)
{
	struct control_stopped stopped = stopped_of();
	struct witness witness = { 0 };
	struct verdict verdict;
	struct err err = { 0 };
	pid_t pid = start(nothing);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK(examine(pid, &stopped, &witness, &verdict, &err) < 0);
	CHECK(!verdict.clone && !verdict.hatch);
	CHECK(err.text[0]);
}

TEST_MAIN
