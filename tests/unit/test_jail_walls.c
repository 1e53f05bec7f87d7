/* SPDX-License-Identifier: Apache-2.0 */
/* The jail's walls: which stand, what is said of them, what they cost.
 * CLAIM 3.12 */
#include "base/clock.h"
#include "domain/jail_internal.h"
#include "lib/jailed.h"
#include "test.h"
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#ifdef __SANITIZE_ADDRESS__
enum { IS_SANITISED = 1 };
#else
enum { IS_SANITISED = 0 };
#endif

/* ---- what is told --------------------------------------------------------- */

enum {
	WALLS_QUICK = JAIL_LEAST | JAIL_FILES,
	WALLS_FULL = WALLS_QUICK | JAIL_SPACES | JAIL_ROOT,
};

static int nothing(void)
{
	return 0;
}

TEST(walls_that_stand)
{
	char text[JAIL_TEXT];

	make_outside();
	for (size_t k = 0; k < KINDS; k++) {
		uint32_t all = kinds[k].strength == JAIL_FULL ? WALLS_FULL
							      : WALLS_QUICK;
		uint32_t walls;

		if (!can(&kinds[k]))
			continue;
		CHECK_INT(start(&kinds[k], nothing), 0);
		walls = told->told.walls;
		if (walls & JAIL_CHROOT)
			all ^= JAIL_ROOT | JAIL_CHROOT;
		if (walls != all)
			printf("# total: %s: without %s\n", kinds[k].name,
			       jail_walls_text(all & ~walls, text));
		CHECK_INT(walls & ~all, 0);
		CHECK((walls & JAIL_LEAST) == JAIL_LEAST);
		CHECK((walls & all) == all || told->told.why < 0);
	}
	CHECK_TEXT(jail_walls_text(JAIL_USER | JAIL_SECCOMP, text),
		   "user seccomp");
	CHECK(strlen(jail_walls_text(~0u, text)) < JAIL_TEXT - 1);
}

static int waits(void)
{
	char byte;

	write(outside.socket, "r", 1);
	read(outside.socket, &byte, 1);
	return 0;
}

static bool status_says(const char *status, const char *line)
{
	if (strstr(status, line))
		return true;
	printf("# it does not say%s", line);
	return false;
}

/* What the kernel says of a worker, to who looks from outside. */
TEST(a_worker_as_seen_from_outside)
{
	struct jail_options options = { .kvm = true, .sockets = true };
	struct jail_told mine = { 0 };
	char path[64], status[8192] = "", byte;
	struct err err;
	pid_t pid;
	int fd;

	make_outside();
	pid = jail_fork(&options, &mine, &err);
	if (pid == 0) {
		told->told = mine;
		be_worker(&options, waits);
	}
	CHECK(pid > 0);
	CHECK_INT(read(outside.spare, &byte, 1), 1);
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, status, sizeof status - 1) > 0);
	close(fd);
	CHECK(status_says(status, "\nNoNewPrivs:\t1\n"));
	CHECK(status_says(status, "\nSeccomp:\t2\n"));
	CHECK(status_says(status, "\nCapInh:\t0000000000000000\n"));
	CHECK(status_says(status, "\nCapPrm:\t0000000000000000\n"));
	CHECK(status_says(status, "\nCapEff:\t0000000000000000\n"));
	CHECK(status_says(status, "\nCapAmb:\t0000000000000000\n"));
	if (told->told.walls & JAIL_USER)
		CHECK(status_says(status, "\nCapBnd:\t0000000000000000\n"));
	if (told->told.walls & JAIL_PID)
		CHECK(status_says(status, "\t1\nNSpgid:"));
	/* Nothing but its end is done to it by a signal. */
	kill(pid, SIGKILL);
	CHECK(WIFSIGNALED(wait_for(pid)));
}

/* As many containers have it. */
static void refuse_spaces(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		_exit(113);
}

static int one_folder(void)
{
	return mkdirat(outside.folder, "one", 0777) < 0 ||
	       unlinkat(outside.folder, "one", AT_REMOVEDIR) < 0;
}

static int in_container(const struct kind *kind)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		refuse_spaces();
		status = start(kind, one_folder);
		_exit(status == 0 ? 0 : WEXITSTATUS(status));
	}
	status = wait_for(pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(a_container_without_name_spaces)
{
	struct kind full = { "full", JAIL_FULL, .nobody = false };

	make_outside();
	CHECK_INT(in_container(&full), 0);
	CHECK_INT(told->told.walls & (JAIL_SPACES | JAIL_ROOT), 0);
	CHECK_INT(told->told.walls & JAIL_LEAST, JAIL_LEAST);
	CHECK_INT(told->told.why, -EPERM);
	full.require = JAIL_NET;
	CHECK_INT(in_container(&full), 111);
	CHECK_INT(told->error, -EPERM);
}

static void *sleeper(void *unused)
{
	(void)unused;
	clock_sleep_ms(200);
	return NULL;
}

TEST(a_second_thread_is_refused)
{
	struct jail_options options = { .strength = JAIL_QUICK };
	struct jail_told mine = { 0 };
	struct err err = { 0 };
	pthread_t thread;
	int status;
	pid_t pid;

	make_outside();
	pid = fork();
	if (pid == 0) {
		pthread_create(&thread, NULL, sleeper, NULL);
		_exit(jail_enter(&options, &mine, &err) == -EBUSY ? 0 : 1);
	}
	status = wait_for(pid);
	CHECK_INT(status, 0);
}

/* ---- what it costs -------------------------------------------------------- */

enum { COSTS = 200, REQUESTS = 200000 };

static int compare_times(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static uint64_t requests_ns(void)
{
	uint64_t from = clock_ns();

	for (int i = 0; i < REQUESTS; i++)
		ioctl(outside.file, KVM_RUN, 0);
	return clock_ns() - from;
}

static int time_requests(void)
{
	told->times[0] = requests_ns();
	return 0;
}

/* No bound: a busy machine would break it.  Bounds are what benchmarks
 * have. */
TEST(a_request_costs_little)
{
	uint64_t bare;

	make_outside();
	bare = requests_ns();
	CHECK_INT(start(&kinds[1], time_requests), 0);
	printf("# total: a request %.0f ns, jailed %.0f ns\n",
	       (double)bare / REQUESTS, (double)told->times[0] / REQUESTS);
}

#define STEP(expr)                              \
	do {                                    \
		expr;                           \
		now = clock_ns();               \
		told->times[at++] = now - last; \
		last = clock_ns();              \
	} while (0)

/* The same steps as jail_enter's; a name space at a time. */
static void time_steps(bool full)
{
	static const uint32_t spaces[] = { JAIL_USER, JAIL_MOUNT, JAIL_IPC,
					   JAIL_UTS,  JAIL_NET,	  JAIL_CGROUP };
	struct jail_options options = { .kvm = true, .folders = true };
	struct jail_told mine = { 0 };
	uint64_t now, last;
	int keep[16], at = 0;

	outside.pagemap = outside.file;
	options.keep = keep;
	options.keep_count = make_keep(keep);
	last = clock_ns();
	for (int i = 0; full && i < 6; i++)
		STEP(jail_spaces(spaces[i], &mine));
	if (full)
		STEP(jail_root(&mine));
	STEP(jail_close_others(&options, &mine, NULL));
	STEP(jail_no_new_privs(&mine, NULL));
	STEP(jail_files(&options, &mine));
	STEP(jail_no_caps(&mine, NULL));
	STEP(jail_limits(&options, &mine, NULL));
	STEP(jail_hide(&mine, NULL));
	STEP(jail_filter(&options, &mine, NULL));
}

static uint64_t middle(uint64_t *times)
{
	qsort(times, COSTS, sizeof *times, compare_times);
	return times[COSTS / 2];
}

static uint64_t one_fork(enum jail_strength strength)
{
	struct jail_options options = { .strength = strength };
	struct jail_told mine = { 0 };
	uint64_t from = clock_ns();
	pid_t pid = jail_fork(&options, &mine, NULL);

	if (pid == 0) {
		told->times[15] = clock_ns();
		_exit(0);
	}
	wait_for(pid);
	return told->times[15] - from;
}

static void print_costs(bool nobody)
{
	static const char *const names[] = {
		"user",	  "mount",  "ipc",	   "uts",     "net",
		"cgroup", "root",   "descriptors", "nnp",     "files",
		"caps",	  "limits", "hidden",	   "seccomp",
	};
	static uint64_t times[14][COSTS], forks[2][COSTS];

	for (int i = 0; i < COSTS; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (nobody)
				be_nobody();
			time_steps(true);
			_exit(0);
		}
		wait_for(pid);
		for (int step = 0; step < 14; step++)
			times[step][i] = told->times[step];
		forks[0][i] = one_fork(JAIL_QUICK);
		forks[1][i] = one_fork(JAIL_FULL);
	}
	printf("# %s:", nobody ? "nobody" : "caller");
	for (int step = 0; step < 14; step++)
		printf(" %s %.1f", names[step], middle(times[step]) / 1e3);
	printf("\n# fork %.0f, jail_fork full %.0f us\n",
	       middle(forks[0]) / 1e3, middle(forks[1]) / 1e3);
}

TEST(costs_of_the_steps)
{
	make_outside();
	if (IS_SANITISED)
		SKIP("costs of a sanitised build mean nothing");
	print_costs(false);
	if (can(&kinds[3]))
		print_costs(true);
}

TEST_MAIN
