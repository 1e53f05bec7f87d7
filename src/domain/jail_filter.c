/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that a jailed worker makes, and the filter made of them.
 *
 * The list has a rule a line: a call, what its arguments must be, and what
 * then happens: it is done, or fails with an errno.  Rules of one call are
 * tried in their order; what none of them takes ends the process.  Arguments
 * are looked at by their lower half where the kernel takes no more of them.
 *
 *	another machine's calls?	kill
 *	ioctl?				its rules, the most frequent first
 *	else				a tree of calls, each leaf its rules
 *
 * Calls that are allowed whatever their arguments are never reach the filter:
 * Linux looks them up in a map that it makes of it (from 5.11 on).  x32 calls
 * have a bit in their number that none in the list has. */
#include "domain/jail_internal.h"
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the list --------------------------------------------------------------- */

enum jail_how {
	JAIL_ANY,
	JAIL_IS, /* its lower half */
	JAIL_IS_NOT,
	JAIL_LACKS, /* none of these bits */
	JAIL_NULL,  /* the whole of it */
	JAIL_SELF,  /* this process' number */
};
struct jail_check {
	uint8_t how, argument;
	uint32_t value;
};
enum jail_when {
	JAIL_ALWAYS,
	JAIL_WITH_KVM,
	JAIL_WITH_SOCKETS,
	JAIL_WITH_FOLDERS,
	JAIL_WITH_WALK,
};
struct jail_rule {
	uint16_t call, error; /* 0: done */
	uint8_t when;
	struct jail_check checks[2];
};

#define ALWAYS(name)                        \
	{                                   \
		SYS_##name, 0, JAIL_ALWAYS, \
		{ { 0 } }                   \
	}
#define WITH(what, name)                         \
	{                                        \
		SYS_##name, 0, JAIL_WITH_##what, \
		{ { 0 } }                        \
	}
#define WHERE(name, ...)                    \
	{                                   \
		SYS_##name, 0, JAIL_ALWAYS, \
		{                           \
			__VA_ARGS__         \
		}                           \
	}
#define FAILS(name, error)                      \
	{                                       \
		SYS_##name, error, JAIL_ALWAYS, \
		{ { 0 } }                       \
	}
#define ARGUMENT(n, how, v) { JAIL_##how, n, v }
#define REQUEST(when, number)                   \
	{                                       \
		SYS_ioctl, 0, JAIL_##when,      \
		{                               \
			ARGUMENT(1, IS, number) \
		}                               \
	}

#define JAIL_PAGEMAP_SCAN 0xc0606610u /* struct pm_scan_arg, Linux 6.7 */
#define JAIL_TCGETS2	  0x802c542au
#define JAIL_SET_VMA	  0x53564d41u
#define JAIL_THREAD                                                         \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | \
	 CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |               \
	 CLONE_CHILD_CLEARTID)

static const struct jail_rule jail_rules[] = {
	/* ---- requests to devices ---- */
	REQUEST(WITH_KVM, KVM_RUN),
	REQUEST(ALWAYS, JAIL_PAGEMAP_SCAN),
	REQUEST(WITH_KVM, KVM_SET_USER_MEMORY_REGION),
	REQUEST(WITH_KVM, KVM_GET_REGS),
	REQUEST(WITH_KVM, KVM_SET_REGS),
	REQUEST(WITH_KVM, KVM_GET_SREGS),
	REQUEST(WITH_KVM, KVM_SET_SREGS),
	REQUEST(WITH_KVM, KVM_CREATE_VM),
	REQUEST(WITH_KVM, KVM_CREATE_VCPU),
	REQUEST(WITH_KVM, KVM_SET_CPUID2),
	REQUEST(WITH_KVM, KVM_SET_XCRS),
	REQUEST(WITH_KVM, KVM_GET_SUPPORTED_CPUID),
	REQUEST(WITH_KVM, KVM_GET_VCPU_MMAP_SIZE),
	REQUEST(WITH_KVM, KVM_CHECK_EXTENSION),
	REQUEST(WITH_KVM, KVM_GET_API_VERSION),
	REQUEST(ALWAYS, TCGETS),
	REQUEST(ALWAYS, JAIL_TCGETS2),
	REQUEST(ALWAYS, TIOCGWINSZ),
	REQUEST(ALWAYS, FIONREAD),
	/* ---- memory: nothing becomes code ---- */
	WHERE(mmap, ARGUMENT(2, LACKS, PROT_EXEC)),
	WHERE(mprotect, ARGUMENT(2, LACKS, PROT_EXEC)),
	ALWAYS(munmap),
	ALWAYS(mremap),
	ALWAYS(madvise),
	ALWAYS(msync),
	ALWAYS(brk),
	ALWAYS(memfd_create),
	/* ---- descriptors ---- */
	ALWAYS(read),
	ALWAYS(write),
	ALWAYS(readv),
	ALWAYS(writev),
	ALWAYS(pread64),
	ALWAYS(pwrite64),
	ALWAYS(preadv),
	ALWAYS(pwritev),
	ALWAYS(preadv2),
	ALWAYS(pwritev2),
	ALWAYS(close),
	ALWAYS(close_range),
	ALWAYS(lseek),
	ALWAYS(fstat),
	ALWAYS(newfstatat),
	ALWAYS(ftruncate),
	ALWAYS(fallocate),
	ALWAYS(fadvise64),
	ALWAYS(fsync),
	ALWAYS(fdatasync),
	ALWAYS(utimensat),
	ALWAYS(poll),
	ALWAYS(ppoll),
	/* None that sends signals, and no status flags, which others share. */
	WHERE(fcntl, ARGUMENT(1, IS, F_GETFL)),
	WHERE(fcntl, ARGUMENT(1, IS, F_GETFD)),
	WHERE(fcntl, ARGUMENT(1, IS, F_SETFD)),
	WHERE(fcntl, ARGUMENT(1, IS, F_DUPFD_CLOEXEC)),
	WHERE(fcntl, ARGUMENT(1, IS, F_ADD_SEALS)),
	WHERE(fcntl, ARGUMENT(1, IS, F_GET_SEALS)),
	/* ---- names ---- */
	WITH(FOLDERS, openat2),
	WITH(FOLDERS, fstatfs),
	WITH(FOLDERS, getdents64),
	WITH(FOLDERS, readlinkat),
	WITH(FOLDERS, mkdirat),
	WITH(FOLDERS, unlinkat),
	WITH(FOLDERS, symlinkat),
	WITH(FOLDERS, linkat),
	WITH(FOLDERS, renameat),
	{ SYS_openat,
	  0,
	  JAIL_WITH_WALK,
	  { ARGUMENT(0, IS_NOT, (uint32_t)AT_FDCWD) } },
	/* The C library, and who opens a terminal anew, can do without. */
	FAILS(openat, ENOENT),
	FAILS(readlink, ENOENT),
	/* ---- sockets: those that are there ---- */
	WITH(SOCKETS, accept4),
	WITH(SOCKETS, recvmsg),
	WITH(SOCKETS, sendmsg),
	WITH(SOCKETS, shutdown),
	WITH(SOCKETS, getsockopt),
	WITH(SOCKETS, epoll_ctl),
	WITH(SOCKETS, epoll_wait),
	/* ---- threads and time ---- */
	WHERE(clone, ARGUMENT(0, IS, JAIL_THREAD)),
	FAILS(clone3, ENOSYS),
	WHERE(tgkill, ARGUMENT(0, SELF, 0)),
	WHERE(sched_setaffinity, ARGUMENT(0, IS, 0)),
	WHERE(prlimit64, ARGUMENT(0, IS, 0), ARGUMENT(2, NULL, 0)),
	WHERE(prctl, ARGUMENT(0, IS, PR_SET_NAME)),
	WHERE(prctl, ARGUMENT(0, IS, JAIL_SET_VMA)),
	ALWAYS(futex),
	ALWAYS(set_robust_list),
	ALWAYS(rseq),
	ALWAYS(exit),
	ALWAYS(exit_group),
	ALWAYS(rt_sigaction),
	ALWAYS(rt_sigprocmask),
	ALWAYS(rt_sigreturn),
	ALWAYS(rt_sigtimedwait),
	ALWAYS(sigaltstack),
	ALWAYS(restart_syscall),
	ALWAYS(timer_create),
	ALWAYS(timer_settime),
	ALWAYS(timer_gettime),
	ALWAYS(timer_getoverrun),
	ALWAYS(timer_delete),
	ALWAYS(clock_gettime),
	ALWAYS(clock_getres),
	ALWAYS(clock_nanosleep),
	ALWAYS(nanosleep),
	ALWAYS(gettimeofday),
	ALWAYS(time),
	ALWAYS(getrandom),
	ALWAYS(sched_yield),
	ALWAYS(sched_getaffinity),
	ALWAYS(getcpu),
	ALWAYS(getpid),
	ALWAYS(gettid),
	ALWAYS(getuid),
	ALWAYS(geteuid),
	ALWAYS(getgid),
	ALWAYS(getegid),
	ALWAYS(getrusage),
	ALWAYS(sysinfo),
};
enum { JAIL_RULES = sizeof(jail_rules) / sizeof(*jail_rules) };

/* ---- instructions ----------------------------------------------------------- */

struct jail_maker {
	struct sock_filter *code;
	size_t count;
	const struct jail_rule *rules[JAIL_RULES]; /* sorted by call */
	size_t rule_count;
	size_t groups[JAIL_RULES + 1]; /* where a call's rules begin */
	size_t group_count;
};

/* What does not fit is not there, and the filter is refused. */
static size_t jail_put(struct jail_maker *maker, uint16_t code, uint32_t value)
{
	if (maker->count < JAIL_CODE)
		maker->code[maker->count] =
			(struct sock_filter){ .code = code, .k = value };
	return maker->count++;
}

static void jail_load(struct jail_maker *maker, size_t at)
{
	jail_put(maker, BPF_LD | BPF_W | BPF_ABS, at);
}

static void jail_kill(struct jail_maker *maker)
{
	jail_put(maker, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
}

/* A jump that is taken (or not) to a place told later. */
struct jail_jump {
	size_t at;
	bool if_not;
};

static void jail_land(struct jail_maker *maker, struct jail_jump jump)
{
	struct sock_filter *code = &maker->code[jump.at];
	size_t over = maker->count - jump.at - 1;

	if (jump.at >= JAIL_CODE)
		return;
	if (over > UINT8_MAX)
		maker->count = JAIL_CODE + 1;
	else if (jump.if_not)
		code->jf = over;
	else
		code->jt = over;
}

static struct jail_jump jail_unless(struct jail_maker *maker, uint16_t how,
				    uint32_t value)
{
	return (struct jail_jump){
		jail_put(maker, BPF_JMP | how | BPF_K, value), true
	};
}

static struct jail_jump jail_if(struct jail_maker *maker, uint16_t how,
				uint32_t value)
{
	return (struct jail_jump){
		jail_put(maker, BPF_JMP | how | BPF_K, value), false
	};
}

/* ---- rules ------------------------------------------------------------------ */

/* Jumps of a check that fails; how many. */
static size_t jail_check(struct jail_maker *maker,
			 const struct jail_check *check, bool loaded,
			 struct jail_jump *fails)
{
	size_t low = offsetof(struct seccomp_data, args[check->argument]);
	size_t count = 0;

	if (check->how == JAIL_ANY)
		return 0;
	if (check->how == JAIL_NULL) {
		jail_load(maker, low + 4);
		fails[count++] = jail_unless(maker, BPF_JEQ, 0);
	}
	if (!loaded)
		jail_load(maker, low);
	switch (check->how) {
	case JAIL_IS:
	case JAIL_NULL:
		fails[count++] = jail_unless(maker, BPF_JEQ, check->value);
		break;
	case JAIL_SELF:
		fails[count++] = jail_unless(maker, BPF_JEQ, getpid());
		break;
	case JAIL_IS_NOT:
		fails[count++] = jail_if(maker, BPF_JEQ, check->value);
		break;
	case JAIL_LACKS:
		fails[count++] = jail_if(maker, BPF_JSET, check->value);
		break;
	}
	return count;
}

static void jail_rule(struct jail_maker *maker, const struct jail_rule *rule,
		      bool loaded)
{
	struct jail_jump fails[4];
	size_t count = jail_check(maker, &rule->checks[0], loaded, fails);

	count += jail_check(maker, &rule->checks[1], false, fails + count);
	jail_put(maker, BPF_RET | BPF_K,
		 rule->error ? SECCOMP_RET_ERRNO | rule->error
			     : SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < count; i++)
		jail_land(maker, fails[i]);
}

/* Rules that ask one and the same argument load it once. */
static bool jail_is_loaded(const struct jail_rule *last,
			   const struct jail_rule *rule)
{
	return last->checks[0].how == JAIL_IS &&
	       rule->checks[0].how != JAIL_NULL &&
	       last->checks[1].how == JAIL_ANY &&
	       last->checks[0].argument == rule->checks[0].argument;
}

/* Falls out at its end where no rule takes the call. */
static void jail_group(struct jail_maker *maker, size_t group)
{
	size_t first = maker->groups[group], end = maker->groups[group + 1];

	for (size_t i = first; i < end; i++)
		jail_rule(maker, maker->rules[i],
			  i > first && jail_is_loaded(maker->rules[i - 1],
						      maker->rules[i]));
}

/* The number is loaded. */
static void jail_leaf(struct jail_maker *maker, size_t group)
{
	uint32_t low = maker->rules[maker->groups[group]]->call;
	uint32_t high = maker->rules[maker->groups[group + 1] - 1]->call;
	struct jail_jump jumps[2];

	if (low == high) {
		jumps[0] = jail_unless(maker, BPF_JEQ, low);
		jail_group(maker, group);
	} else {
		jumps[0] = jail_unless(maker, BPF_JGE, low);
		jumps[1] = jail_if(maker, BPF_JGT, high);
		jail_put(maker, BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		jail_land(maker, jumps[1]);
	}
	jail_land(maker, jumps[0]);
	jail_kill(maker);
}

/* Of the groups first up to end.  A conditional jump reaches 255 over; where
 * that is not enough, half of the tree is made once more, behind one that
 * reaches all. */
static void jail_tree(struct jail_maker *maker, size_t first, size_t end)
{
	size_t middle = first + (end - first) / 2, start, over;
	struct jail_jump jump;

	if (end - first == 1) {
		jail_leaf(maker, first);
		return;
	}
	jump = jail_if(maker, BPF_JGE,
		       maker->rules[maker->groups[middle]]->call);
	start = maker->count;
	jail_tree(maker, first, middle);
	if (maker->count - start <= UINT8_MAX) {
		jail_land(maker, jump);
	} else {
		maker->count = start;
		jump.if_not = true;
		over = jail_put(maker, BPF_JMP | BPF_JA, 0);
		jail_land(maker, jump);
		jail_tree(maker, first, middle);
		if (over < JAIL_CODE)
			maker->code[over].k = maker->count - over - 1;
	}
	jail_tree(maker, middle, end);
}

/* ---- the filter ----------------------------------------------------------- */

static bool jail_applies(const struct jail_options *options,
			 const struct jail_rule *rule)
{
	switch (rule->when) {
	case JAIL_WITH_KVM: return options->kvm;
	case JAIL_WITH_SOCKETS: return options->sockets;
	case JAIL_WITH_FOLDERS: return options->folders;
	case JAIL_WITH_WALK: return options->folders && options->walk;
	}
	return true;
}

static bool jail_is_free(const struct jail_rule *rule)
{
	return !rule->error && rule->checks[0].how == JAIL_ANY;
}

/* Rules of one call, and calls in a row that are free. */
static bool jail_joins(const struct jail_rule *last,
		       const struct jail_rule *rule)
{
	return last->call == rule->call ||
	       (last->call + 1 == rule->call && jail_is_free(last) &&
		jail_is_free(rule));
}

/* A call's rules keep their order. */
static void jail_sort(struct jail_maker *maker,
		      const struct jail_options *options)
{
	for (size_t i = 0; i < JAIL_RULES; i++) {
		const struct jail_rule *rule = &jail_rules[i];
		size_t at = maker->rule_count;

		if (!jail_applies(options, rule))
			continue;
		for (; at > 0 && maker->rules[at - 1]->call > rule->call; at--)
			maker->rules[at] = maker->rules[at - 1];
		maker->rules[at] = rule;
		maker->rule_count++;
	}
	for (size_t i = 0; i < maker->rule_count; i++)
		if (i == 0 || !jail_joins(maker->rules[i - 1], maker->rules[i]))
			maker->groups[maker->group_count++] = i;
	maker->groups[maker->group_count] = maker->rule_count;
}

static void jail_requests(struct jail_maker *maker)
{
	struct jail_jump jump = jail_unless(maker, BPF_JEQ, SYS_ioctl);

	for (size_t i = 0; i < maker->group_count; i++)
		if (maker->rules[maker->groups[i]]->call == SYS_ioctl)
			jail_group(maker, i);
	jail_kill(maker);
	jail_land(maker, jump);
}

size_t jail_filter_make(const struct jail_options *options,
			struct sock_filter code[JAIL_CODE])
{
	struct jail_maker maker = { .code = code };
	struct jail_jump jump;

	jail_sort(&maker, options);
	jail_load(&maker, offsetof(struct seccomp_data, arch));
	jump = jail_if(&maker, BPF_JEQ, AUDIT_ARCH_X86_64);
	jail_kill(&maker);
	jail_land(&maker, jump);
	jail_load(&maker, offsetof(struct seccomp_data, nr));
	jail_requests(&maker);
	jail_tree(&maker, 0, maker.group_count);
	return maker.count;
}

int jail_filter(const struct jail_options *options, struct jail_told *told,
		struct err *err)
{
	struct sock_filter code[JAIL_CODE];
	size_t count = jail_filter_make(options, code);
	struct sock_fprog program = { .len = count, .filter = code };

	if (count > JAIL_CODE)
		return err_set(err, -E2BIG, "filter calls");
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return err_set(err, -errno, "filter calls");
	told->walls |= JAIL_SECCOMP;
	return 0;
}
