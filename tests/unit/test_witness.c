/* SPDX-License-Identifier: Apache-2.0 */
/* What a traced program asks of the kernel, and what becomes of it.  The
 * program is a child of the test that does one thing and says MAIN, STOP. */
#include "bare/fact.h"
#include "launch/shim_control.h"
#include "launch/witness.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

typedef void work(void);

static void nothing(void)
{
}

static pid_t start(work *before, work *inside)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	signal(SIGALRM, SIG_DFL);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	before();
	prctl(SHIM_MARK, SHIM_MARK_MAIN, 0, 0, 0);
	inside();
	prctl(SHIM_MARK, SHIM_MARK_STOP, 0, 0, 0);
	syscall(SYS_setpriority, 0, 0, 1); /* let go: nobody sees this */
	for (;;)
		pause();
}

static int see(work *before, work *inside, struct witness *witness,
	       struct err *err)
{
	pid_t pid = start(before, inside);
	int rc;

	err_clear(err);
	rc = witness_run(pid, 5000, witness, err);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return rc;
}

static const struct witness_fact *find(const struct witness *witness,
				       uint32_t kind, uint32_t number,
				       const char *name)
{
	for (size_t i = 0; i < witness->count; i++)
		if (witness->fact[i].kind == kind &&
		    witness->fact[i].number == number &&
		    strcmp(witness->fact[i].name ? witness->fact[i].name : "",
			   name) == 0)
			return &witness->fact[i];
	return NULL;
}

/* Both ways refused with these words, or only the image, or none. */
static void expect(work *before, const char *clone, const char *hatch)
{
	auto_witness struct witness witness;
	struct err err;

	CHECK_INT(see(before, nothing, &witness, &err), 0);
	CHECK_TEXT(err.text, "");
	if (!strstr(witness.no_clone, clone) || (!*clone && *witness.no_clone))
		CHECK_TEXT(witness.no_clone, clone);
	if (!strstr(witness.no_hatch, hatch) || (!*hatch && *witness.no_hatch))
		CHECK_TEXT(witness.no_hatch, hatch);
}

/* ---- without consequence -------------------------------------------------- */

static void harmless(void)
{
	char bytes[8];
	struct timespec now;
	void *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(memory, 4096, PROT_READ);
	munmap(memory, 8192);
	syscall(SYS_getrandom, bytes, sizeof bytes, 0);
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	close(open("/dev/urandom", O_RDONLY));
	close(open("/dev/null", O_RDWR));
}
TEST(harmless_calls)
{
	expect(nothing, "", "");
	expect(harmless, "", "");
}

/* ---- facts ---------------------------------------------------------------- */

static void looks(void)
{
	struct stat st;
	char text[64];
	struct utsname names;
	cpu_set_t cpus;

	close(open("/etc/passwd", O_RDONLY));
	stat("/no/such/file", &st);
	lstat("/etc/hosts", &st);
	access("/usr/lib/no-such.so.1", R_OK);
	access("/usr/lib/glibc-hwcaps/x86-64-v3/no-such.so", R_OK);
	access("/usr/share/libno-such.so.1", R_OK);
	access("/no/such/libx.so.1", R_OK);
	access("/no/such/liby.so", R_OK);
	access("libno-such.so", R_OK);
	access("not-here", R_OK);
	close(open("/proc/sys/kernel/ostype", O_RDONLY));
	close(open("/proc//cpuinfo", O_RDONLY));
	(void)!readlink("/proc/self/exe", text, sizeof text);
	(void)!readlink("/no/such/link", text, sizeof text);
	uname(&names);
	syscall(SYS_sched_getaffinity, 0, sizeof cpus, &cpus);
}
TEST(paths_become_facts)
{
	auto_witness struct witness witness;
	struct err err;

	CHECK_INT(see(looks, nothing, &witness, &err), 0);
	CHECK_TEXT(witness.no_clone, "");
	const struct witness_fact *fact =
		find(&witness, FACT_FILE, 0, "/etc/passwd");
	CHECK(fact && fact->value == fact_now(FACT_FILE, 0, "/etc/passwd"));
	fact = find(&witness, FACT_FILE, 0, "/no/such/file");
	CHECK(fact && fact->value == 0);
	CHECK(find(&witness, FACT_LINK_FILE, 0, "/etc/hosts"));
	CHECK(!find(&witness, FACT_FILE, 0, "/usr/lib/no-such.so.1"));
	CHECK(!find(&witness, FACT_FILE, 0,
		    "/usr/lib/glibc-hwcaps/x86-64-v3/no-such.so"));
	CHECK(!find(&witness, FACT_FILE, 0, "/usr/lib/glibc-hwcaps/x86-64-v3"));
	CHECK(find(&witness, FACT_FILE, 0, "/usr/share/libno-such.so.1"));
	CHECK(find(&witness, FACT_FILE, 0, "libno-such.so"));
	fact = find(&witness, FACT_FILE, 0, "/no/such");
	CHECK(fact && fact->value == 0);
	CHECK(!find(&witness, FACT_FILE, 0, "/no/such/libx.so.1"));
	CHECK(!find(&witness, FACT_FILE, 0, "/no/such/liby.so"));
	CHECK(find(&witness, FACT_FILE, 0, "not-here"));
	CHECK(find(&witness, FACT_CONTENT, 0, "/proc/sys/kernel/ostype"));
	CHECK(find(&witness, FACT_MACHINE, FACT_CPU_COUNT, ""));
	CHECK(!find(&witness, FACT_CONTENT, 0, "/proc/cpuinfo"));
	CHECK(find(&witness, FACT_LINK, 0, "/no/such/link"));
	CHECK(!find(&witness, FACT_LINK, 0, "/proc/self/exe"));
	CHECK(find(&witness, FACT_MACHINE, FACT_UNAME, ""));
	CHECK(find(&witness, FACT_MACHINE, FACT_AFFINITY, ""));
}

static void asks_terminal(void)
{
	struct termios attributes;
	struct stat st;

	ioctl(1, TCGETS, &attributes);
	fstat(2, &st);
	lseek(2, 0, SEEK_CUR);
}
TEST(descriptors_are_the_programs_own)
{
	auto_witness struct witness witness;
	struct err err;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	CHECK_INT(see(asks_terminal, nothing, &witness, &err), 0);
	CHECK_TEXT(witness.no_clone, "");
	const struct witness_fact *fact = find(
		&witness, FACT_DESCRIPTOR, 1 | FACT_DESCRIPTOR_TERMINAL, "");
	CHECK(fact &&
	      fact->value == fact_now(FACT_DESCRIPTOR,
				      null | FACT_DESCRIPTOR_TERMINAL, NULL));
	CHECK(!find(&witness, FACT_DESCRIPTOR, 1, ""));
	fact = find(&witness, FACT_DESCRIPTOR, 2 | FACT_DESCRIPTOR_FORM, "");
	CHECK(fact &&
	      fact->value == fact_now(FACT_DESCRIPTOR,
				      null | FACT_DESCRIPTOR_FORM, NULL));
	CHECK(!find(&witness, FACT_DESCRIPTOR, 2, ""));
	close(null);
	CHECK_INT(fact_now(FACT_DESCRIPTOR, null | FACT_DESCRIPTOR_TERMINAL,
			   NULL),
		  0);
}

static void asks_folder(void)
{
	char path[4096];

	if (chdir("/usr") < 0)
		_exit(1);
	access("include", R_OK);
	if (chdir("/") < 0)
		_exit(1);
	(void)!syscall(SYS_getcwd, path, sizeof path);
}
static void asks_folder_at_root(void)
{
	struct utsname names;

	uname(&names);
	asks_folder();
}
TEST(folders)
{
	auto_witness struct witness witness;
	char before[4096];
	struct err err;

	CHECK(getcwd(before, sizeof before) != NULL);
	CHECK(chdir("/") == 0);
	CHECK_INT(see(asks_folder_at_root, nothing, &witness, &err), 0);
	CHECK_TEXT(witness.no_clone, "");
	CHECK(find(&witness, FACT_FILE, 0, "/usr/include"));
	const struct witness_fact *fact =
		find(&witness, FACT_MACHINE, FACT_CWD, "");
	CHECK(fact && fact->value == fact_now(FACT_MACHINE, FACT_CWD, NULL));
	CHECK(chdir(before) == 0);
}

static void reads_umask(void)
{
	umask(umask(0));
}
static void sets_umask(void)
{
	umask(027);
}
TEST(umask_is_a_fact_or_a_reason)
{
	auto_witness struct witness witness;
	struct err err;
	mode_t before = umask(0741);

	CHECK_INT(see(reads_umask, nothing, &witness, &err), 0);
	CHECK_TEXT(witness.no_clone, "");
	const struct witness_fact *fact =
		find(&witness, FACT_MACHINE, FACT_UMASK, "");
	CHECK(fact && fact->value == fact_now(FACT_MACHINE, FACT_UMASK, NULL));
	umask(022);
	expect(sets_umask, "umask", "umask");
	umask(before);
}

static void on_signal(int number)
{
	(void)number;
}
static void handles(void)
{
	signal(SIGUSR2, on_signal);
	signal(SIGPIPE, SIG_IGN);
}
TEST(handlers_are_counted)
{
	auto_witness struct witness witness;
	struct err err;

	CHECK_INT(see(handles, nothing, &witness, &err), 0);
	CHECK_TEXT(witness.no_clone, "");
	CHECK(witness.signals_handled ==
	      (1ull << (SIGUSR2 - 1) | 1ull << (SIGPIPE - 1)));
}

static void asks_limits(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_STACK, &limit);
}
static void asks_files(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
}
TEST(limits)
{
	auto_witness struct witness witness, other;
	struct err err;

	CHECK_INT(see(asks_limits, nothing, &witness, &err), 0);
	CHECK_INT(witness.count, 0);
	CHECK_INT(see(asks_files, nothing, &other, &err), 0);
	CHECK(find(&other, FACT_MACHINE, FACT_LIMITS, ""));
}

/* ---- reasons -------------------------------------------------------------- */

static void forks(void)
{
	if (fork() == 0)
		_exit(0);
}
static void sets_timer(void)
{
	alarm(100);
}
static void asks_pid(void)
{
	(void)getpid();
}
static void says(void)
{
	(void)!write(2, "x", 1);
}
static void listens(void)
{
	char byte;

	(void)!read(0, &byte, 1);
}
static void writes_file(void)
{
	close(open("/tmp", O_RDWR | O_TMPFILE, 0600));
}
static void lists_itself(void)
{
	close(open("/proc/self/stat", O_RDONLY));
}
static void reads_maps(void)
{
	close(open("/proc/self/maps", O_RDONLY));
}
static void moves(void)
{
	(void)!chdir("/usr");
}
static void limits(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur--;
	setrlimit(RLIMIT_NOFILE, &limit);
}
static void blocks(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
}
static void alternates(void)
{
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };

	sigaltstack(&stack, NULL);
}
static void new_call(void)
{
	/* not on any list: only ENOSYS makes it harmless */
	syscall(1999);
}
static void closes_input(void)
{
	close(0);
}
static void opens_terminal(void)
{
	close(open("/dev/tty", O_RDWR));
}
static void renames_itself(void)
{
	prctl(PR_SET_NAME, "other");
}
TEST(reasons)
{
	expect(forks, "starts a thread or process", "starts a thread");
	expect(sets_timer, "timer", "timer");
	expect(asks_pid, "process id (getpid)", "process id (getpid)");
	expect(says, "writes output", "writes output");
	expect(listens, "reads its input", "reads its input");
	expect(writes_file, "for writing", "for writing");
	expect(lists_itself, "/proc/self/stat", "/proc/self/stat");
	expect(reads_maps, "", "/proc/self/maps");
	expect(moves, "changes its folder", "changes its folder");
	expect(limits, "changes a limit", "changes a limit");
	expect(blocks, "signals blocked", "signals blocked");
	expect(alternates, "", "stack for signals");
	expect(new_call, "", "");
	expect(closes_input, "closes descriptor 0", "closes descriptor 0");
	expect(opens_terminal, "terminal", "terminal");
	expect(renames_itself, "", "changes its name");
}

static void asks_nscd(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
				       .sun_path = "/no/such/socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)!connect(fd, (void *)&address, sizeof address);
	close(fd);
}
TEST(a_missing_server_is_a_fact)
{
	auto_witness struct witness witness;
	struct err err;

	CHECK_INT(see(asks_nscd, nothing, &witness, &err), 0);
	CHECK_TEXT(witness.no_clone, "");
	CHECK(find(&witness, FACT_FILE, 0, "/no/such/socket"));
}

/* ---- inside main ---------------------------------------------------------- */

static void inside(void)
{
	(void)getpid();
	close(open("/etc/passwd", O_RDONLY));
	close(open("/proc/self/stat", O_RDONLY));
	(void)!chdir("/usr");
	(void)!fchdir(3);
	umask(umask(0));
}
static void opens_folder(void)
{
	dup2(open(".", O_PATH | O_DIRECTORY), 3);
}
TEST(main_may_do_more)
{
	auto_witness struct witness witness, other;
	struct err err;

	CHECK_INT(see(opens_folder, inside, &witness, &err), 0);
	CHECK_TEXT(witness.no_clone, "");
	CHECK(find(&witness, FACT_FILE, 0, "/etc/passwd"));
	CHECK_INT(see(nothing, forks, &other, &err), 0);
	CHECK(strstr(other.no_clone, "starts a thread or process"));
}

/* What a launch would set back to its caller's. */
static void is_nice(void)
{
	syscall(SYS_setpriority, 0, 0, 1);
}
TEST(main_may_not_move)
{
	static const struct {
		work *inside;
		const char *words;
	} cases[] = {
		{ moves, "changes its folder before the stop" },
		{ sets_umask, "changes its umask before the stop" },
		{ limits, "changes a limit before the stop" },
		{ is_nice, "changes its priority before the stop" },
	};
	mode_t mask = umask(022);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		auto_witness struct witness witness;
		struct err err;

		CHECK_INT(see(nothing, cases[i].inside, &witness, &err), 0);
		CHECK_TEXT(witness.no_clone, cases[i].words);
	}
	umask(mask);
}

/* ---- ends ----------------------------------------------------------------- */

static void leaves(void)
{
	_exit(7);
}
static void crashes(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}
static void hangs(void)
{
	for (;;)
		pause();
}
static void is_signalled(void)
{
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
}
TEST(ends_before_its_stop)
{
	auto_witness struct witness witness, other, passed;
	struct err err;

	CHECK_INT(see(leaves, nothing, &witness, &err), -ECHILD);
	CHECK_TEXT(err.text, "ended with status 7 before its stop");
	CHECK_INT(see(crashes, nothing, &other, &err), -ECHILD);
	CHECK(strstr(err.text, "signal 6"));
	/* a signal reaches its handler, else the program would have ended */
	CHECK_INT(see(is_signalled, nothing, &passed, &err), 0);
}

TEST(deadline)
{
	auto_witness struct witness witness;
	struct err err = { 0 };
	pid_t pid = start(hangs, nothing);

	CHECK_INT(witness_run(pid, 200, &witness, &err), -ETIME);
	CHECK_TEXT(err.text, "did not reach its stop in time: waits in pause");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_MAIN
