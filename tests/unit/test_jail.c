/* SPDX-License-Identifier: Apache-2.0 */
/* The jail, by trying: what is forbidden kills or is refused, what a worker
 * needs works; at both strengths, as who runs this and as nobody. CLAIM 3.12 */
#include "base/clock.h"
#include "base/fd.h"
#include "domain/jail.h"
#include "domain/jail_internal.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { IS_SANITISED = 1 };
#else
enum { IS_SANITISED = 0 };
#endif
#define NOBODY 65534

/* ---- a worker ----------------------------------------------------------- */

/* What stands open in every worker here. */
static struct outside {
	int folder, shown, file, outer, memory, pagemap, kvm, socket, spare;
	pid_t parent;
	char path[64];
} outside = { .kvm = -1 };

static struct told { /* shared with the workers */
	int status, error;
	struct jail_told told;
	uint64_t times[16];
} *told;

static void make_outside(void)
{
	int ends[2];

	if (told)
		return;
	told = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(outside.path, sizeof outside.path, "/tmp/brood-jail.XXXXXX");
	if (!mkdtemp(outside.path))
		exit(1);
	chmod(outside.path, 0777);
	outside.outer = open(outside.path, O_DIRECTORY | O_CLOEXEC);
	mkdirat(outside.outer, "in", 0777);
	fchmodat(outside.outer, "in", 0777, 0);
	close(openat(outside.outer, "secret", O_CREAT | O_CLOEXEC, 0666));
	outside.folder = openat(outside.outer, "in", O_DIRECTORY | O_CLOEXEC);
	mkdirat(outside.outer, "shown", 0777);
	fchmodat(outside.outer, "shown", 0777, 0);
	outside.shown = openat(outside.outer, "shown", O_DIRECTORY | O_CLOEXEC);
	close(openat(outside.shown, "file", O_CREAT | O_CLOEXEC, 0666));
	outside.file = openat(outside.folder, "file",
			      O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	fchmod(outside.file, 0666);
	outside.memory = memfd_create("jail", MFD_CLOEXEC);
	if (ftruncate(outside.memory, 1 << 16) < 0)
		exit(1);
	outside.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
	outside.socket = ends[0];
	outside.spare = ends[1];
	outside.parent = getpid();
}

static void __attribute__((destructor)) drop_outside(void)
{
	char path[80];

	if (!told || getpid() != outside.parent)
		return;
	snprintf(path, sizeof path, "%s/in/file", outside.path);
	unlink(path);
	snprintf(path, sizeof path, "%s/in", outside.path);
	rmdir(path);
	snprintf(path, sizeof path, "%s/shown/file", outside.path);
	unlink(path);
	snprintf(path, sizeof path, "%s/shown", outside.path);
	rmdir(path);
	snprintf(path, sizeof path, "%s/secret", outside.path);
	unlink(path);
	rmdir(outside.path);
}

struct kind {
	const char *name;
	enum jail_strength strength;
	bool nobody, bare;
	uint32_t require;
};
static const struct kind kinds[] = {
	{ "full", JAIL_FULL, .nobody = false },
	{ "quick", JAIL_QUICK, .nobody = false },
	{ "full, nobody", JAIL_FULL, .nobody = true },
	{ "quick, nobody", JAIL_QUICK, .nobody = true },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

typedef int work(void); /* 0, or what is the exit status */

static int make_keep(int *keep)
{
	int count = 0;

	keep[count++] = 2;
	keep[count++] = outside.socket;
	keep[count++] = 0;
	keep[count++] = 1;
	keep[count++] = outside.folder;
	keep[count++] = outside.shown;
	keep[count++] = outside.file;
	keep[count++] = outside.memory;
	keep[count++] = outside.pagemap;
	if (outside.kvm >= 0)
		keep[count++] = outside.kvm;
	return count;
}

static _Noreturn void be_worker(struct jail_options *options, work *does)
{
	struct err err = { 0 };
	int keep[16];

	/* Each process has its own, hidden from who has changed user. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	outside.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	/* A sanitizer's report would die of the calls that it makes. */
	signal(SIGSEGV, SIG_DFL);
	options->keep = keep;
	options->keep_count = make_keep(keep);
	if (jail_enter(options, &told->told, &err) < 0) {
		fprintf(stderr, "# %s\n", err.text);
		told->error = err.code;
		_exit(111);
	}
	_exit(does());
}

static void be_nobody(void)
{
	if ((setgroups(0, NULL) < 0 && errno != EPERM) ||
	    setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(112);
}

static int wait_for(pid_t pid)
{
	int status = -1;

	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

/* Who starts a worker as nobody is a process of its own. */
static int start(const struct kind *kind, work *does)
{
	struct jail_options options = {
		.strength = kind->strength,
		.kvm = !kind->bare,
		.sockets = !kind->bare,
		.folders = !kind->bare,
		.nofile = 64,
		.fsize = 1 << 20,
		.read_only = &outside.shown,
		.read_only_count = 1,
		.require = kind->require,
	};
	struct err err = { 0 };
	struct jail_told mine = { 0 };
	pid_t starter = kind->nobody ? fork() : 0;
	pid_t pid;

	if (starter > 0) {
		wait_for(starter);
		return told->status;
	}
	told->error = 0;
	told->status = -1;
	if (kind->nobody)
		be_nobody();
	pid = jail_fork(&options, &mine, &err);
	if (pid == 0) {
		told->told = mine;
		be_worker(&options, does);
	}
	if (pid < 0)
		fprintf(stderr, "# %s\n", err.text);
	told->status = wait_for(pid);
	if (kind->nobody)
		_exit(0);
	return told->status;
}

/* A user name space may have no nobody. */
static bool can(const struct kind *kind)
{
	static int may = -1;
	pid_t pid;

	if (!kind->nobody)
		return true;
	if (may < 0) {
		pid = fork();
		if (pid == 0) {
			be_nobody();
			_exit(0);
		}
		may = wait_for(pid) == 0;
	}
	return may;
}

/* ---- what kills ----------------------------------------------------------- */

static long call_0(long number)
{
	return syscall(number, 0, 0, 0, 0, 0, 0);
}

#define DIES(name, ...)                 \
	static int name(void)           \
	{                               \
		__VA_ARGS__;            \
		return errno ? 50 : 51; \
	}

static _Alignas(4096) char page[4096];
static char *const words[] = { NULL };

DIES(die_execve, execve("/proc/self/exe", words, words))
DIES(die_execveat, syscall(SYS_execveat, 0, "", words, words, 0x1000))
DIES(die_ptrace, ptrace(PTRACE_ATTACH, outside.parent, 0, 0))
DIES(die_ptrace_me, ptrace(PTRACE_TRACEME, 0, 0, 0))
DIES(die_socket, socket(AF_INET, SOCK_STREAM, 0))
DIES(die_mmap, mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
DIES(die_mprotect, mprotect(page, 4096, PROT_READ | PROT_EXEC))
DIES(die_pkey_mprotect, syscall(SYS_pkey_mprotect, page, 4096, PROT_READ, -1))
DIES(die_mount, mount("none", "/", "tmpfs", 0, NULL))
DIES(die_umount, umount2("/", MNT_DETACH))
DIES(die_unshare, unshare(CLONE_NEWUSER))
DIES(die_setns, setns(0, 0))
DIES(die_chroot, chroot("."))
DIES(die_chdir, chdir("/"))
DIES(die_pivot, syscall(SYS_pivot_root, ".", "."))
DIES(die_kill, kill(outside.parent, SIGTERM))
DIES(die_kill_all, kill(-1, SIGTERM))
DIES(die_tgkill, syscall(SYS_tgkill, outside.parent, outside.parent, 9))
DIES(die_tkill, syscall(SYS_tkill, outside.parent, SIGTERM))
DIES(die_pidfd, syscall(SYS_pidfd_open, outside.parent, 0))
DIES(die_tiocsti, ioctl(0, TIOCSTI, "x"))
DIES(die_ioctl, ioctl(0, 0xdead, 0))
DIES(die_ioctl_owner, ioctl(0, FIOSETOWN, page))
DIES(die_kvm_other, ioctl(outside.kvm, KVM_SET_IDENTITY_MAP_ADDR, page))
DIES(die_prctl, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
DIES(die_prctl_seccomp, prctl(PR_SET_SECCOMP, 2, page, 0, 0))
DIES(die_setuid, syscall(SYS_setuid, 0))
DIES(die_setresgid, syscall(SYS_setresgid, 0, 0, 0))
DIES(die_clone, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
DIES(die_clone_space, syscall(SYS_clone, 0x3d0f00 | CLONE_NEWUSER, page, 0, 0))
DIES(die_personality, syscall(SYS_personality, 0x400000))
DIES(die_owner, fcntl(0, F_SETOWN, outside.parent))
DIES(die_lease, fcntl(0, F_NOTIFY, 1))
DIES(die_setfl, fcntl(0, F_SETFL, O_NONBLOCK))
DIES(die_open, syscall(SYS_open, "/etc/passwd", O_RDONLY))
DIES(die_prlimit, syscall(SYS_prlimit64, 0, RLIMIT_CORE, page, 0))
DIES(die_prlimit_of, syscall(SYS_prlimit64, outside.parent, 0, 0, page))
DIES(die_affinity_of, syscall(SYS_sched_setaffinity, outside.parent, 8, page))
DIES(die_x32, call_0(0x40000000 | SYS_getpid))
DIES(die_unknown, call_0(4000))
DIES(die_i386, __asm__ volatile("int $0x80" ::"a"(20) : "memory"))

#define ENTRY(name) { #name, name }
static const struct named {
	const char *name;
	work *does;
} deaths[] = {
	ENTRY(die_execve),	ENTRY(die_execveat),
	ENTRY(die_ptrace),	ENTRY(die_ptrace_me),
	ENTRY(die_socket),	ENTRY(die_mmap),
	ENTRY(die_mprotect),	ENTRY(die_pkey_mprotect),
	ENTRY(die_mount),	ENTRY(die_umount),
	ENTRY(die_unshare),	ENTRY(die_setns),
	ENTRY(die_chroot),	ENTRY(die_chdir),
	ENTRY(die_pivot),	ENTRY(die_kill),
	ENTRY(die_kill_all),	ENTRY(die_tgkill),
	ENTRY(die_tkill),	ENTRY(die_pidfd),
	ENTRY(die_tiocsti),	ENTRY(die_ioctl),
	ENTRY(die_ioctl_owner), ENTRY(die_kvm_other),
	ENTRY(die_prctl),	ENTRY(die_prctl_seccomp),
	ENTRY(die_setuid),	ENTRY(die_setresgid),
	ENTRY(die_clone),	ENTRY(die_clone_space),
	ENTRY(die_personality), ENTRY(die_owner),
	ENTRY(die_lease),	ENTRY(die_setfl),
	ENTRY(die_open),	ENTRY(die_prlimit),
	ENTRY(die_prlimit_of),	ENTRY(die_affinity_of),
	ENTRY(die_x32),		ENTRY(die_unknown),
};

static void check_death(const struct kind *kind, const char *name, work *does)
{
	int status = start(kind, does);

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return;
	test_fail(__FILE__, __LINE__, name);
	printf("#   %s: status %x, error %d\n", kind->name, status,
	       told->error);
}

TEST(forbidden_calls_kill)
{
	make_outside();
	for (size_t k = 0; k < KINDS; k++)
		for (size_t i = 0;
		     can(&kinds[k]) && i < sizeof deaths / sizeof *deaths; i++)
			check_death(&kinds[k], deaths[i].name, deaths[i].does);
}

/* Where the kernel has no such calls at all, it is a fault. */
TEST(calls_of_i386_kill)
{
	int status;

	make_outside();
	for (size_t k = 0; k < KINDS; k++) {
		if (!can(&kinds[k]))
			continue;
		status = start(&kinds[k], die_i386);
		CHECK(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS ||
					      WTERMSIG(status) == SIGSEGV));
	}
}

static int die_openat2(void)
{
	struct open_how how = { .flags = O_RDONLY };

	syscall(SYS_openat2, outside.folder, "file", &how, sizeof how);
	return 50;
}
DIES(die_kvm_run, ioctl(0, KVM_RUN, 0))
DIES(die_accept, accept4(outside.socket, NULL, NULL, 0))
DIES(die_sendmsg, call_0(SYS_sendmsg))
DIES(die_unlink, call_0(SYS_unlinkat))

TEST(what_is_not_asked_for_kills)
{
	static const struct named others[] = {
		ENTRY(die_openat2), ENTRY(die_kvm_run), ENTRY(die_accept),
		ENTRY(die_sendmsg), ENTRY(die_unlink),
	};
	struct kind bare = { "bare", JAIL_QUICK, .bare = true };

	make_outside();
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		check_death(&bare, others[i].name, others[i].does);
}

/* All calls there are, with arguments that none can do anything with: those
 * that do not kill are these, whatever the tree of the filter looks like. */
static const uint16_t survivors[] = {
	SYS_read,
	SYS_write,
	SYS_fstat,
	SYS_poll,
	SYS_lseek,
	SYS_munmap,
	SYS_close,
	SYS_brk,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_pread64,
	SYS_pwrite64,
	SYS_readv,
	SYS_writev,
	SYS_sched_yield,
	SYS_mremap,
	SYS_msync,
	SYS_madvise,
	SYS_nanosleep,
	SYS_getpid,
	SYS_sendmsg,
	SYS_recvmsg,
	SYS_shutdown,
	SYS_getsockopt,
	SYS_exit,
	SYS_fsync,
	SYS_fdatasync,
	SYS_ftruncate,
	SYS_readlink,
	SYS_gettimeofday,
	SYS_getrusage,
	SYS_sysinfo,
	SYS_getuid,
	SYS_getgid,
	SYS_geteuid,
	SYS_getegid,
	SYS_rt_sigtimedwait,
	SYS_sigaltstack,
	SYS_gettid,
	SYS_time,
	SYS_futex,
	SYS_sched_getaffinity,
	SYS_getdents64,
	SYS_restart_syscall,
	SYS_fadvise64,
	SYS_timer_create,
	SYS_timer_settime,
	SYS_timer_gettime,
	SYS_timer_getoverrun,
	SYS_timer_delete,
	SYS_clock_gettime,
	SYS_clock_getres,
	SYS_clock_nanosleep,
	SYS_exit_group,
	SYS_openat,
	SYS_mkdirat,
	SYS_newfstatat,
	SYS_unlinkat,
	SYS_renameat,
	SYS_linkat,
	SYS_symlinkat,
	SYS_readlinkat,
	SYS_ppoll,
	SYS_set_robust_list,
	SYS_utimensat,
	SYS_fallocate,
	SYS_accept4,
	SYS_preadv,
	SYS_pwritev,
	SYS_getcpu,
	SYS_getrandom,
	SYS_memfd_create,
	SYS_preadv2,
	SYS_pwritev2,
	SYS_rseq,
	SYS_clone3,
	SYS_close_range,
	SYS_openat2,
};

static bool survives(long call)
{
	for (size_t i = 0; i < sizeof survivors / sizeof *survivors; i++)
		if (survivors[i] == call)
			return true;
	return false;
}

static long call_tried;

static int try_call(void)
{
	syscall(call_tried, -1l, -1l, -1l, -1l, -1l, -1l);
	return 0;
}

/* Of programs that are probed.  Linux from 6.14 on takes them past every
 * filter; elsewhere than in a probe they do nothing. */
static bool is_past_filters(long call)
{
	return call == 335 || call == 336;
}

TEST(no_other_call_survives)
{
	make_outside();
	for (call_tried = 0; call_tried < 600; call_tried++) {
		int status = start(&kinds[1], try_call);
		bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;

		if (died == !survives(call_tried) ||
		    is_past_filters(call_tried))
			continue;
		printf("# call %ld: status %x\n", call_tried, status);
		CHECK_INT(died, !survives(call_tried));
	}
}

/* ---- what is refused ------------------------------------------------------ */

static int open_2(int folder, const char *path, int flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC };

	return syscall(SYS_openat2, folder, path, &how, sizeof how);
}

#define REFUSED(expr)    \
	if ((expr) >= 0) \
	return __LINE__ % 100 + 1

static int refused(void)
{
	struct stat stat;
	char bytes[512];
	bool has_files = told->told.walls & JAIL_FILES;

	REFUSED(open("/etc/passwd", O_RDONLY));
	REFUSED(openat(outside.folder, "file", O_RDONLY));
	REFUSED(open("/proc/self/maps", O_RDONLY));
	REFUSED(readlink("/proc/self/exe", bytes, sizeof bytes));
	REFUSED(fcntl(outside.spare, F_GETFD));
	REFUSED(fcntl(outside.outer, F_GETFD));
	REFUSED(syscall(SYS_clone3, page, 64));
	if (told->told.walls & (JAIL_ROOT | JAIL_CHROOT) || has_files) {
		REFUSED(open_2(AT_FDCWD, "/etc/passwd", O_RDONLY));
		REFUSED(open_2(AT_FDCWD, "/proc/self/maps", O_RDONLY));
		REFUSED(open_2(AT_FDCWD, "/dev/null", O_RDONLY));
		REFUSED(open_2(AT_FDCWD, "x", O_CREAT | O_RDWR));
		REFUSED(open_2(AT_FDCWD, "/", O_RDONLY));
	}
	if (has_files) {
		REFUSED(open_2(outside.shown, "file", O_RDWR));
		REFUSED(open_2(outside.shown, "file", O_RDONLY | O_TRUNC));
		REFUSED(open_2(outside.shown, "new", O_RDONLY | O_CREAT));
		REFUSED(unlinkat(outside.shown, "file", 0));
		REFUSED(open_2(outside.folder, "..", O_RDONLY));
		REFUSED(open_2(outside.folder, "../secret", O_RDONLY));
		REFUSED(open_2(outside.folder, "../more", O_CREAT | O_RDWR));
		REFUSED(mkdirat(outside.folder, "../more", 0777));
		REFUSED(unlinkat(outside.folder, "../secret", 0));
		REFUSED(linkat(outside.folder, "../secret", outside.folder,
			       "secret", 0));
		REFUSED(renameat(outside.folder, "../secret", outside.folder,
				 "secret"));
	}
	if (told->told.walls & (JAIL_ROOT | JAIL_CHROOT)) {
		REFUSED(fstatat(AT_FDCWD, "/proc", &stat, 0));
		REFUSED(fstatat(AT_FDCWD, "/etc", &stat, 0));
	}
	if (told->told.walls & JAIL_PID && getpid() != 1)
		return 1;
	return 0;
}

static void check_works(const char *name, work *does)
{
	for (size_t k = 0; k < KINDS; k++) {
		int status;

		if (!can(&kinds[k]))
			continue;
		status = start(&kinds[k], does);
		if (status == 0)
			continue;
		test_fail(__FILE__, __LINE__, name);
		printf("#   %s: status %x, error %d\n", kinds[k].name, status,
		       told->error);
	}
}

TEST(nothing_to_open)
{
	make_outside();
	check_works("refused", refused);
}

/* ---- what works ----------------------------------------------------------- */

#define NEEDED(expr) \
	if (!(expr)) \
	return __LINE__ % 100 + 1

static int files(void)
{
	char bytes[8192] = "hello";
	struct iovec item = { bytes, 5 };
	struct timespec times[2] = { { 1, 0 }, { 2, 0 } };
	struct stat stat;
	struct open_how how = {
		.flags = O_RDWR | O_CREAT | O_CLOEXEC,
		.mode = 0666,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd, folder;

	fd = open_2(outside.shown, "file", O_RDONLY);
	NEEDED(fd >= 0 && close(fd) == 0);
	NEEDED(mkdirat(outside.folder, "a", 0777) == 0);
	fd = syscall(SYS_openat2, outside.folder, "a/b", &how, sizeof how);
	NEEDED(fd >= 0);
	NEEDED(writev(fd, &item, 1) == 5);
	NEEDED(pwrite(fd, "x", 1, 5) == 1);
	NEEDED(pwritev2(fd, &item, 1, 6, 0) == 5);
	NEEDED(preadv2(fd, &item, 1, 0, 0) == 5);
	NEEDED(pread(fd, bytes, 5, 0) == 5);
	NEEDED(lseek(fd, 0, SEEK_END) == 11);
	NEEDED(ftruncate(fd, 4096) == 0);
	NEEDED(fallocate(fd, 0, 0, 4096) == 0);
	NEEDED(posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL) == 0);
	NEEDED(fsync(fd) == 0 && fdatasync(fd) == 0);
	NEEDED(futimens(fd, times) == 0);
	NEEDED(fstat(fd, &stat) == 0 && stat.st_mtim.tv_sec == 2);
	NEEDED((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	NEEDED(isatty(fd) == 0);
	NEEDED(symlinkat("b", outside.folder, "a/l") == 0);
	NEEDED(readlinkat(outside.folder, "a/l", bytes, 9) == 1);
	NEEDED(linkat(outside.folder, "a/b", outside.folder, "c", 0) == 0);
	NEEDED(renameat(outside.folder, "c", outside.folder, "a/d") == 0);
	folder = open_2(outside.folder, "a", O_RDONLY | O_DIRECTORY);
	NEEDED(folder >= 0);
	NEEDED(getdents64(folder, bytes, sizeof bytes) > 0);
	NEEDED(fstatat(folder, "l", &stat, AT_SYMLINK_NOFOLLOW) == 0);
	NEEDED(unlinkat(folder, "b", 0) == 0 && unlinkat(folder, "l", 0) == 0);
	NEEDED(unlinkat(folder, "d", 0) == 0);
	NEEDED(unlinkat(outside.folder, "a", AT_REMOVEDIR) == 0);
	errno = 0;
	NEEDED(ftruncate(fd, 2 << 20) < 0 && errno == EFBIG);
	NEEDED(close(fd) == 0 && close(folder) == 0);
	return 0;
}

TEST(files_below_a_folder)
{
	make_outside();
	check_works("files", files);
}

static volatile sig_atomic_t rung;
static pid_t rung_in;

static void ring(int number)
{
	(void)number;
	rung_in = gettid();
	rung = 1;
}

static void *be_thread(void *main_thread)
{
	pthread_setname_np(pthread_self(), "jailed");
	if (pthread_kill(*(pthread_t *)main_thread, SIGURG) != 0)
		return "kill";
	return NULL;
}

static int threads(void)
{
	struct sigaction action = { .sa_handler = ring };
	pthread_t thread, me = pthread_self();
	void *result = NULL;

	NEEDED(sigaction(SIGURG, &action, NULL) == 0);
	for (int i = 0; i < 4; i++) {
		rung = 0;
		NEEDED(pthread_create(&thread, NULL, be_thread, &me) == 0);
		NEEDED(pthread_join(thread, &result) == 0);
		NEEDED(!result && rung && rung_in == gettid());
	}
	NEEDED(sched_yield() == 0);
	return 0;
}

TEST(threads_and_their_signals)
{
	make_outside();
	check_works("threads", threads);
}

static int timers(void)
{
	struct sigaction action = { .sa_handler = ring };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGALRM };
	struct itimerspec time = { .it_value.tv_nsec = 1000000 };
	struct timespec now;
	timer_t timer;

	event._sigev_un._tid = gettid();
	NEEDED(sigaction(SIGALRM, &action, NULL) == 0);
	NEEDED(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	NEEDED(timer_settime(timer, 0, &time, NULL) == 0);
	for (int i = 0; !rung && i < 1000; i++)
		clock_sleep_ms(1);
	NEEDED(rung);
	NEEDED(timer_delete(timer) == 0);
	for (clockid_t clock = 0; clock < 4; clock++)
		NEEDED(clock_gettime(clock, &now) == 0 &&
		       clock_getres(clock, &now) == 0);
	return 0;
}

TEST(timers_and_clocks)
{
	make_outside();
	check_works("timers", timers);
}

static int memory(void)
{
	char *stack, *at, bytes[16];
	stack_t alternate = { 0 };
	int fd;

	at = malloc(1 << 20);
	NEEDED(at);
	memset(at, 1, 1 << 20);
	at = realloc(at, 4 << 20);
	NEEDED(at);
	free(at);
	at = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED,
		  outside.memory, 0);
	NEEDED(at != MAP_FAILED);
	at[5] = 5;
	NEEDED(pread(outside.memory, bytes, 6, 0) == 6 && bytes[5] == 5);
	NEEDED(mprotect(at, 4096, PROT_READ) == 0);
	NEEDED(madvise(at, 4096, MADV_DONTNEED) == 0);
	NEEDED(munmap(at, 1 << 16) == 0);
	fd = memfd_create("more", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	NEEDED(fd >= 0 && ftruncate(fd, 4096) == 0);
	NEEDED(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	stack = malloc(1 << 16);
	alternate.ss_sp = stack;
	alternate.ss_size = 1 << 16;
	NEEDED(stack && sigaltstack(&alternate, NULL) == 0);
	NEEDED(getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
	alternate.ss_flags = SS_DISABLE;
	sigaltstack(&alternate, NULL);
	free(stack);
	return 0;
}

TEST(memory_of_all_kinds)
{
	make_outside();
	check_works("memory", memory);
}

struct scan { /* struct pm_scan_arg of Linux 6.7 */
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages,
		inverted, mask, any, result;
};

/* An older kernel has no such request; asking must not kill. */
static int scans(void)
{
	uint64_t regions[3 * 4], word;
	struct scan ask = {
		.size = sizeof ask,
		.start = (uintptr_t)page,
		.end = (uintptr_t)page + 4096,
		.vec = (uintptr_t)regions,
		.vec_len = 4,
		.any = 1 << 3,
		.result = 1 << 3,
	};

	page[0] = 1;
	NEEDED(ioctl(outside.pagemap, _IOWR('f', 16, struct scan), &ask) >= 0 ||
	       errno == ENOTTY);
	NEEDED(pread(outside.pagemap, &word, 8, (uintptr_t)page / 4096 * 8) ==
	       8);
	return 0;
}

TEST(scans_of_page_tables)
{
	make_outside();
	check_works("scans", scans);
}

static int sockets(void)
{
	struct pollfd poll = { outside.socket, POLLOUT, 0 };
	struct timespec time = { 1, 0 };
	int type = 0;
	socklen_t len = sizeof type;
	struct err err;

	NEEDED(ppoll(&poll, 1, &time, NULL) == 1);
	NEEDED(fd_send(outside.socket, "x", 1, &outside.file, 1, &err) == 0 ||
	       err.code >= 0);
	NEEDED(getsockopt(outside.socket, SOL_SOCKET, SO_TYPE, &type, &len) ==
	       0);
	return 0;
}

TEST(sockets_that_are_there)
{
	char bytes[8];
	int fds[2], count = 0;

	make_outside();
	check_works("sockets", sockets);
	for (size_t k = 0; k < KINDS; k++) {
		if (!can(&kinds[k]))
			continue;
		CHECK_INT(fd_receive(outside.spare, bytes, sizeof bytes, fds, 2,
				     &count, NULL),
			  1);
		CHECK_INT(count, 1);
		while (count > 0)
			close(fds[--count]);
	}
}

/* A VM in real mode: out, then hlt. */
static int kvm(void)
{
	static const uint8_t code[] = { 0xb0, 0x2a, 0xe6, 0x10, 0xf4 };
	struct kvm_userspace_memory_region region = { .memory_size = 65536 };
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *run;
	char *at = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED,
			outside.memory, 0);
	int vm = ioctl(outside.kvm, KVM_CREATE_VM, 0), vcpu;
	int size = ioctl(outside.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	NEEDED(at != MAP_FAILED);
	NEEDED(vm >= 0 && size > 0);
	memcpy(at + 0x1000, code, sizeof code);
	region.userspace_addr = (uintptr_t)at;
	NEEDED(ioctl(outside.kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) >= 0);
	NEEDED(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	NEEDED(vcpu >= 0);
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	NEEDED(run != MAP_FAILED);
	NEEDED(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0);
	sregs.cs.base = sregs.cs.selector = 0;
	NEEDED(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0);
	NEEDED(ioctl(vcpu, KVM_SET_REGS, &regs) == 0);
	NEEDED(ioctl(vcpu, KVM_RUN, 0) == 0);
	NEEDED(run->exit_reason == KVM_EXIT_IO && run->io.port == 0x10);
	NEEDED(*((uint8_t *)run + run->io.data_offset) == 0x2a);
	NEEDED(ioctl(vcpu, KVM_RUN, 0) == 0);
	NEEDED(run->exit_reason == KVM_EXIT_HLT);
	close(vcpu);
	close(vm);
	return 0;
}

TEST(virtual_machines)
{
	make_outside();
	if (outside.kvm < 0)
		SKIP("/dev/kvm cannot be opened here");
	check_works("kvm", kvm);
}

/* An assertion that fails ends the worker, as process 1 too. */
static int aborts(void)
{
	abort();
	return 0;
}

/* Process 1 does not take its own SIGABRT: there it is the next thing that
 * abort tries. */
static void check_end(int status)
{
	CHECK(WIFSIGNALED(status));
	CHECK(WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV);
}

TEST(an_abort_ends_it)
{
	make_outside();
	for (size_t k = 0; k < KINDS; k++)
		if (can(&kinds[k]))
			check_end(start(&kinds[k], aborts));
}

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

static int in_container(const struct kind *kind)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		refuse_spaces();
		status = start(kind, files);
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
