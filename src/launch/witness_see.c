/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of system calls, one case each in see_exit(); which call is in
 * which class stands in witness_calls.def.
 *
 * Facts are values as the traced program had them.  The keeper is another
 * process with a folder, umask, descriptors and ignored signals of its own:
 * see_as_program() takes on the program's for those. */
#include "launch/witness_see.h"
#include "bare/fact.h"
#include "base/fd.h"
#include "base/process.h"
#include "launch/shim_control.h"
#include "launch/witness_caller.h"
#include "launch/witness_path.h"
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum call_class {
	CALL_UNKNOWN,
	CALL_FREE,
	CALL_READ,
	CALL_SEEK,
	CALL_MAP,
	CALL_FSTAT,
	CALL_FCNTL,
	CALL_IOCTL,
	CALL_CLOSE,
	CALL_CLOSE_RANGE,
	CALL_DUP,
	CALL_POLL,
	CALL_WRITE,
	CALL_OPEN,
	CALL_OPENAT,
	CALL_OPENAT2,
	CALL_STAT,
	CALL_LSTAT,
	CALL_LIST,
	CALL_CHDIR,
	CALL_STATAT,
	CALL_STATX,
	CALL_ACCESSAT,
	CALL_LINK,
	CALL_LINKAT,
	CALL_UNAME,
	CALL_AFFINITY,
	CALL_MEMORY,
	CALL_CREDENTIALS,
	CALL_CWD,
	CALL_UMASK,
	CALL_PRIORITY,
	CALL_SCHEDULER,
	CALL_CAPABILITIES,
	CALL_PERSONALITY,
	CALL_GETLIMIT,
	CALL_PRLIMIT,
	CALL_SIGACTION,
	CALL_PRCTL,
	CALL_ARCH_PRCTL,
	CALL_CONNECT,
	CALL_ALARM,
	CALL_SELF_VM,
	CALL_STACK,
	CALL_MEMBARRIER,
	CALL_POLICY,
	CALL_KEEPS,
	CALL_IDENTITY,
	CALL_CLONE,
	CALL_EXEC,
	CALL_TIMER,
	CALL_KILL,
	CALL_CHANGES,
	CALL_END,
};

static const struct {
	const char *name;
	enum call_class class;
} calls[] = {
#define CALL(number, name, class) [number] = { #name, CALL_##class },
#include "launch/witness_calls.def"
#undef CALL
};

/* As many as leave room in an image for the names of variables. */
enum { SEE_FACTS_MOST = IMAGE_FACTS_MOST - 1024 };

const char *see_name(uint64_t number)
{
	return number < sizeof calls / sizeof *calls ? calls[number].name
						     : NULL;
}

static enum call_class see_class(uint64_t number)
{
	return number < sizeof calls / sizeof *calls ? calls[number].class
						     : CALL_UNKNOWN;
}

/* ---- reasons -------------------------------------------------------------- */

static void see_reason(char *reason, const char *format, va_list list)
{
	if (!reason[0])
		vsnprintf(reason, sizeof((struct witness *)0)->no_clone, format,
			  list);
}

void see_refuse_always(struct sight *sight, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	see_reason(sight->witness->no_clone, format, list);
	va_end(list);
	va_start(list, format);
	see_reason(sight->witness->no_hatch, format, list);
	va_end(list);
}

void see_refuse(struct sight *sight, const char *format, ...)
{
	va_list list;

	if (sight->deep)
		return;
	va_start(list, format);
	see_reason(sight->witness->no_clone, format, list);
	va_end(list);
	va_start(list, format);
	see_reason(sight->witness->no_hatch, format, list);
	va_end(list);
}

void see_refuse_hatch(struct sight *sight, const char *format, ...)
{
	va_list list;

	if (sight->deep)
		return;
	va_start(list, format);
	see_reason(sight->witness->no_hatch, format, list);
	va_end(list);
}

/* ---- facts ---------------------------------------------------------------- */

static bool see_has(const struct witness *witness, uint32_t kind,
		    uint32_t number, const char *name)
{
	for (size_t i = 0; i < witness->count; i++) {
		const struct witness_fact *fact = &witness->fact[i];

		if (fact->kind == kind && fact->number == number &&
		    strcmp(fact->name ? fact->name : "", name ? name : "") == 0)
			return true;
	}
	return false;
}

bool see_is_known(const struct sight *sight, uint32_t kind, const char *name)
{
	return see_has(sight->witness, kind, 0, name);
}

static bool see_room(struct witness *witness)
{
	if (witness->count < witness->room)
		return true;
	if (witness->count >= SEE_FACTS_MOST)
		return false;
	size_t room = witness->room ? witness->room * 2 : 64;
	void *fact = realloc(witness->fact, room * sizeof *witness->fact);
	if (!fact)
		return false;
	witness->fact = fact;
	witness->room = room;
	return true;
}

void see_fact(struct sight *sight, uint32_t kind, uint32_t number,
	      const char *name, uint64_t value)
{
	struct witness *witness = sight->witness;
	char *copy = NULL;

	if (see_has(witness, kind, number, name))
		return;
	if (!see_room(witness) || (name && !(copy = strdup(name)))) {
		see_refuse_always(sight, "looks at more than %d files",
				  SEE_FACTS_MOST);
		return;
	}
	witness->fact[witness->count++] = (struct witness_fact){
		.kind = kind, .number = number, .name = copy, .value = value
	};
}

static void see_take_descriptors(pid_t pid)
{
	auto_close int process = (int)syscall(SYS_pidfd_open, pid, 0);

	for (int fd = 0; fd <= 2; fd++) {
		int theirs = (int)syscall(SYS_pidfd_getfd, process, fd, 0);

		if (theirs >= 0)
			dup2(theirs, fd);
		else
			close(fd);
	}
}

static void see_be_like(const struct sight *sight)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/cwd", sight->pid);
	if (chdir(path) < 0)
		_exit(1);
	umask(sight->umask_seen ? sight->umask_first : 022);
	process_reset_signals();
	see_take_descriptors(sight->pid);
}

/* A fact about the program's own side, found out by a child that has taken
 * on the same.  1 is no fact's value: a start where that fails is cold. */
static uint64_t see_as_program(const struct sight *sight, uint32_t kind,
			       uint32_t number)
{
	uint64_t value = 1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return 1;
	pid_t child = fork();
	if (child == 0) {
		/* out of the reach of what takes 0 to 2 */
		fd_raise(&ends[1], 10);
		see_be_like(sight);
		value = fact_now(kind, number, NULL);
		_exit(write(ends[1], &value, sizeof value) != sizeof value);
	}
	close(ends[1]);
	if (child < 0 || fd_read_all(ends[0], &value, sizeof value, NULL) < 0)
		value = 1;
	close(ends[0]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return value;
}

void see_machine(struct sight *sight, uint32_t machine)
{
	bool own = machine == FACT_CWD || machine == FACT_UMASK ||
		   machine == FACT_SIGNALS;

	if (see_has(sight->witness, FACT_MACHINE, machine, NULL))
		return;
	see_fact(sight, FACT_MACHINE, machine, NULL,
		 own ? see_as_program(sight, FACT_MACHINE, machine)
		     : fact_now(FACT_MACHINE, machine, NULL));
}

static void see_descriptor_fact(struct sight *sight, uint32_t fd)
{
	if (see_has(sight->witness, FACT_DESCRIPTOR, fd, NULL))
		return;
	see_fact(sight, FACT_DESCRIPTOR, fd, NULL,
		 see_as_program(sight, FACT_DESCRIPTOR, fd));
}

static void see_terminal(struct sight *sight, int fd)
{
	see_descriptor_fact(sight, fd | FACT_DESCRIPTOR_TERMINAL);
}

/* A program that was stopped on purpose deep inside main has looked at its
 * descriptors; what it keeps of that is how to buffer. */
void see_descriptor(struct sight *sight, int fd)
{
	if (sight->deep)
		see_terminal(sight, fd);
	else
		see_descriptor_fact(sight, fd);
}

/* Whoever wants to know a terminal asks by ioctl; for fstat and lseek it is
 * enough that it is a file, is none, or is closed. */
static void see_descriptor_form(struct sight *sight, int fd)
{
	if (sight->deep)
		see_terminal(sight, fd);
	else if (!caller_asks_idly(sight, fd))
		see_descriptor_fact(sight, fd | FACT_DESCRIPTOR_FORM);
}

/* ---- memory of the program ------------------------------------------------ */

bool see_bytes(const struct sight *sight, uint64_t at, void *to, size_t len)
{
	struct iovec here = { to, len };
	struct iovec there = { (void *)(uintptr_t)at, len };

	return process_vm_readv(sight->pid, &here, 1, &there, 1, 0) ==
	       (ssize_t)len;
}

bool see_string(const struct sight *sight, uint64_t at, char *to, size_t room)
{
	size_t len = 0;

	/* never over the end of a page at once: the next may not be there */
	while (len < room) {
		size_t part = 4096 - (at + len) % 4096;

		if (part > room - len)
			part = room - len;
		if (!see_bytes(sight, at + len, to + len, part))
			return false;
		if (memchr(to + len, 0, part))
			return true;
		len += part;
	}
	return false;
}

/* ---- calls on descriptors ------------------------------------------------- */

static bool see_is_stdio(uint64_t fd)
{
	return (uint32_t)fd <= 2;
}

static void see_read(struct sight *sight)
{
	if (!see_is_stdio(sight->arg[0]))
		return;
	if (sight->result > 0)
		see_refuse_always(sight, "reads its input before the stop");
	else
		see_refuse(sight, "reads its input before main");
}

static void see_seek(struct sight *sight)
{
	if (!see_is_stdio(sight->arg[0]))
		return;
	if (sight->arg[1] == 0 && sight->arg[2] == SEEK_CUR)
		see_descriptor_form(sight, (int)sight->arg[0]);
	else
		see_refuse(sight, "seeks in its input before main");
}

static void see_write(struct sight *sight)
{
	if (!see_is_stdio(sight->arg[0]))
		see_refuse(sight, "writes to descriptor %d before main",
			   (int)sight->arg[0]);
	else if (sight->result > 0)
		see_refuse_always(sight, "writes output before the stop");
	else
		see_refuse(sight, "writes output before main");
}

static void see_fcntl(struct sight *sight)
{
	switch ((int)sight->arg[1]) {
	case F_GETFD:
	case F_GETFL:
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
	case F_GET_SEALS:
		if (see_is_stdio(sight->arg[0]))
			see_descriptor(sight, (int)sight->arg[0]);
		return;
	case F_SETFD:
	case F_SETFL:
	case F_ADD_SEALS:
		if (see_is_stdio(sight->arg[0]))
			see_refuse(sight, "changes descriptor %d before main",
				   (int)sight->arg[0]);
		return;
	default:
		see_refuse(sight, "calls fcntl(%d) before main",
			   (int)sight->arg[1]);
	}
}

static void see_ioctl(struct sight *sight)
{
	uint32_t request = (uint32_t)sight->arg[1];
	bool asks = request == TCGETS || request == TIOCGWINSZ ||
		    request == TIOCGPGRP || request == FIONREAD;

	if (request == TCGETS && see_is_stdio(sight->arg[0]))
		see_terminal(sight, (int)sight->arg[0]);
	else if (asks && see_is_stdio(sight->arg[0]))
		see_descriptor(sight, (int)sight->arg[0]);
	else if (!asks && request != FIONBIO && request != FIOCLEX &&
		 sight->result != -ENOTTY)
		see_refuse(sight, "calls ioctl(%d, %#x) before main",
			   (int)sight->arg[0], request);
}

static void see_close(struct sight *sight, uint64_t first)
{
	if (see_is_stdio(first))
		see_refuse_always(sight, "closes descriptor %d before the stop",
				  (int)first);
}

static void see_dup(struct sight *sight)
{
	if (see_is_stdio(sight->arg[0]))
		see_descriptor(sight, (int)sight->arg[0]);
	if (sight->result >= 0 && see_is_stdio(sight->result))
		see_refuse_always(sight,
				  "replaces descriptor %d before the stop",
				  (int)sight->result);
}

static void see_map(struct sight *sight)
{
	if (!(sight->arg[3] & 0x20 /* MAP_ANONYMOUS */) &&
	    see_is_stdio(sight->arg[4]))
		see_refuse(sight, "maps its input before main");
}

static void see_poll(struct sight *sight)
{
	for (int fd = 0; fd <= 2; fd++)
		see_descriptor(sight, fd);
}

/* ---- calls on paths ------------------------------------------------------- */

static void see_openat2(struct sight *sight)
{
	uint64_t flags = 0;

	(void)see_bytes(sight, sight->arg[2], &flags, sizeof flags);
	path_seen(sight, (int)sight->arg[0], sight->arg[1], PATH_OPEN, flags);
}

/* An empty path with AT_EMPTY_PATH is the descriptor itself. */
static void see_at(struct sight *sight, uint64_t flags)
{
	char first = 1;

	if (sight->arg[1] == 0 ||
	    (see_bytes(sight, sight->arg[1], &first, 1) && !first)) {
		if (see_is_stdio(sight->arg[0]))
			see_descriptor_form(sight, (int)sight->arg[0]);
		return;
	}
	path_seen(sight, (int)sight->arg[0], sight->arg[1],
		  flags & AT_SYMLINK_NOFOLLOW ? PATH_ITSELF : PATH_FILE, 0);
}

/* The name service's daemon is asked for first and is mostly not there. */
static void see_connect(struct sight *sight)
{
	struct sockaddr_un address = { 0 };
	size_t len = sight->arg[2];
	size_t path = offsetof(struct sockaddr_un, sun_path);

	if (len > sizeof address)
		len = sizeof address;
	if (sight->result >= 0 || len <= path + 1 ||
	    !see_bytes(sight, sight->arg[1], &address, len) ||
	    address.sun_family != AF_UNIX || !address.sun_path[0])
		see_refuse(sight, "connects to a server before main");
	else
		path_seen(sight, AT_FDCWD, sight->arg[1] + path, PATH_FILE, 0);
}

/* ---- calls that arguments decide ------------------------------------------ */

static void see_umask(struct sight *sight)
{
	if (!sight->umask_seen)
		sight->umask_first = (uint32_t)sight->result;
	sight->umask_seen = true;
	sight->umask_now = (uint32_t)sight->arg[0] & 0777;
	see_machine(sight, FACT_UMASK);
}

static void see_personality(struct sight *sight)
{
	if ((uint32_t)sight->arg[0] == 0xffffffff)
		see_machine(sight, FACT_PERSONALITY);
	else
		see_refuse(sight, "changes its personality before main");
}

/* glibc itself asks for the stack's limit in every program. */
static void see_prlimit(struct sight *sight)
{
	if (sight->arg[0] && (pid_t)sight->arg[0] != sight->pid)
		see_refuse(sight, "asks for limits of process %d before main",
			   (int)sight->arg[0]);
	else if (sight->arg[2])
		see_refuse(sight, "changes a limit before main");
	else if (sight->arg[1] != RLIMIT_STACK)
		see_machine(sight, FACT_LIMITS);
}

static void see_sigaction(struct sight *sight)
{
	uint64_t signal = sight->arg[0];

	if (sight->result < 0 || signal < 1 || signal > 64)
		return;
	if (sight->arg[1])
		sight->witness->signals_handled |= 1ull << (signal - 1);
	else
		see_machine(sight, FACT_SIGNALS);
}

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static void see_prctl(struct sight *sight)
{
	switch ((int)sight->arg[0]) {
	case SHIM_MARK:
	case PR_GET_NAME:
	case PR_GET_DUMPABLE:
	case PR_GET_TSC:
	case PR_GET_THP_DISABLE:
	case PR_GET_PDEATHSIG:
	case PR_SET_VMA: return;
	case PR_CAPBSET_READ:
	case PR_GET_SECUREBITS:
	case PR_GET_KEEPCAPS:
	case PR_CAP_AMBIENT:
	case PR_GET_NO_NEW_PRIVS:
	case PR_GET_SECCOMP: see_machine(sight, FACT_CAPABILITIES); return;
	case PR_SET_NAME:
		see_refuse_hatch(sight, "changes its name before main");
		return;
	default:
		see_refuse(sight, "calls prctl(%d) before main",
			   (int)sight->arg[0]);
	}
}

/* 0x3000 on: questions about shadow stacks, asked by the loader. */
static void see_arch_prctl(struct sight *sight)
{
	uint64_t code = sight->arg[0];

	if (code == ARCH_SET_FS || code == ARCH_GET_FS || code == ARCH_GET_GS ||
	    sight->result < 0)
		return;
	if (code >= 0x3000 && code < 0x6000)
		return;
	see_refuse_hatch(sight, "calls arch_prctl(%#x) before main",
			 (unsigned)code);
}

static void see_self_vm(struct sight *sight)
{
	if ((pid_t)sight->arg[0] != sight->pid)
		see_refuse(sight, "reads another process before main");
}

/* ---- all ------------------------------------------------------------------ */

static void see_take_limits(pid_t pid, struct rlimit *limits)
{
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (prlimit(pid, i, NULL, &limits[i]) < 0)
			limits[i] = (struct rlimit){ 0 };
}

void see_begin(struct sight *sight)
{
	path_begin(sight);
	see_take_limits(sight->pid, sight->limits);
	sight->nice = getpriority(PRIO_PROCESS, sight->pid);
}

static const char *see_words(const struct sight *sight)
{
	const char *name = see_name(sight->number);

	return name ? name : "a call that is not known";
}

void see_entry(struct sight *sight)
{
	switch (see_class(sight->number)) {
	case CALL_CLONE:
		see_refuse_always(sight,
				  "starts a thread or process by itself (%s) "
				  "before the stop",
				  see_words(sight));
		return;
	case CALL_EXEC:
		see_refuse_always(sight, "replaces itself (%s) before the stop",
				  see_words(sight));
		return;
	default: return;
	}
}

static void see_changes(struct sight *sight)
{
	see_refuse(sight, "calls %s before main", see_words(sight));
}

static void see_unknown(struct sight *sight)
{
	if (sight->result != -ENOSYS)
		see_refuse_always(sight,
				  "makes the unknown system call %d "
				  "before the stop",
				  (int)sight->number);
}

void see_exit(struct sight *sight)
{
	const uint64_t *arg = sight->arg;

	switch (see_class(sight->number)) {
	case CALL_FREE:
	case CALL_CLONE:
	case CALL_EXEC:
	case CALL_END: return;
	case CALL_READ: see_read(sight); return;
	case CALL_WRITE: see_write(sight); return;
	case CALL_SEEK: see_seek(sight); return;
	case CALL_MAP: see_map(sight); return;
	case CALL_FSTAT:
		if (see_is_stdio(arg[0]))
			see_descriptor_form(sight, (int)arg[0]);
		return;
	case CALL_FCNTL: see_fcntl(sight); return;
	case CALL_IOCTL: see_ioctl(sight); return;
	case CALL_CLOSE:
	case CALL_CLOSE_RANGE: see_close(sight, arg[0]); return;
	case CALL_DUP: see_dup(sight); return;
	case CALL_POLL: see_poll(sight); return;
	case CALL_OPEN:
		path_seen(sight, AT_FDCWD, arg[0], PATH_OPEN, arg[1]);
		return;
	case CALL_OPENAT:
		path_seen(sight, (int)arg[0], arg[1], PATH_OPEN, arg[2]);
		return;
	case CALL_OPENAT2: see_openat2(sight); return;
	case CALL_STAT:
		path_seen(sight, AT_FDCWD, arg[0], PATH_FILE, 0);
		return;
	case CALL_LSTAT:
		path_seen(sight, AT_FDCWD, arg[0], PATH_ITSELF, 0);
		return;
	case CALL_LIST: path_listed(sight, (int)arg[0]); return;
	case CALL_CHDIR: sight->moved |= sight->result >= 0; return;
	case CALL_STATAT: see_at(sight, arg[3]); return;
	case CALL_STATX: see_at(sight, arg[2]); return;
	case CALL_ACCESSAT: see_at(sight, arg[3]); return;
	case CALL_LINK:
		path_seen(sight, AT_FDCWD, arg[0], PATH_READLINK, 0);
		return;
	case CALL_LINKAT:
		path_seen(sight, (int)arg[0], arg[1], PATH_READLINK, 0);
		return;
	case CALL_UNAME: see_machine(sight, FACT_UNAME); return;
	case CALL_AFFINITY: see_machine(sight, FACT_AFFINITY); return;
	case CALL_MEMORY: see_machine(sight, FACT_MEMORY_TOTAL); return;
	case CALL_CREDENTIALS: see_machine(sight, FACT_CREDENTIALS); return;
	case CALL_CWD: see_machine(sight, FACT_CWD); return;
	case CALL_UMASK: see_umask(sight); return;
	case CALL_PRIORITY: see_machine(sight, FACT_PRIORITY); return;
	case CALL_SCHEDULER: see_machine(sight, FACT_SCHEDULER); return;
	case CALL_CAPABILITIES: see_machine(sight, FACT_CAPABILITIES); return;
	case CALL_PERSONALITY: see_personality(sight); return;
	case CALL_GETLIMIT:
		if (arg[0] != RLIMIT_STACK)
			see_machine(sight, FACT_LIMITS);
		return;
	case CALL_PRLIMIT: see_prlimit(sight); return;
	case CALL_SIGACTION: see_sigaction(sight); return;
	case CALL_PRCTL: see_prctl(sight); return;
	case CALL_ARCH_PRCTL: see_arch_prctl(sight); return;
	case CALL_CONNECT: see_connect(sight); return;
	case CALL_ALARM:
		if (arg[0])
			see_refuse_always(sight,
					  "sets a timer before the stop");
		return;
	case CALL_TIMER:
		see_refuse_always(sight, "sets a timer (%s) before the stop",
				  see_words(sight));
		return;
	case CALL_SELF_VM: see_self_vm(sight); return;
	case CALL_STACK:
		if (arg[0])
			see_refuse_hatch(sight, "sets a stack for signals "
						"before main");
		return;
	case CALL_MEMBARRIER:
		if (arg[0])
			see_refuse_hatch(sight, "calls membarrier before main");
		return;
	case CALL_POLICY:
		if (sight->result >= 0)
			sight->memory_policy = (uint32_t)arg[0];
		return;
	case CALL_KEEPS:
		see_refuse_hatch(sight, "calls %s before main",
				 see_words(sight));
		return;
	case CALL_IDENTITY:
		see_refuse(sight, "asks for its process id (%s) before main",
			   see_words(sight));
		return;
	case CALL_KILL:
		see_refuse(sight, "sends a signal (%s) before main",
			   see_words(sight));
		return;
	case CALL_CHANGES: see_changes(sight); return;
	case CALL_UNKNOWN: see_unknown(sight); return;
	}
}

void see_end(struct sight *sight)
{
	if (sight->umask_seen && sight->umask_now != sight->umask_first)
		see_refuse(sight, "changes its umask before main");
	if (sight->moved && !path_is_at_start(sight))
		see_refuse(sight, "changes its folder before main");
	/* 4: MPOL_LOCAL, the default by another name */
	if (sight->memory_policy && sight->memory_policy != 4)
		see_refuse_hatch(sight,
				 "changes its memory policy before main");
}

static bool see_limits_changed(const struct sight *sight)
{
	struct rlimit now[RLIM_NLIMITS];

	see_take_limits(sight->pid, now);
	return memcmp(now, sight->limits, sizeof now) != 0;
}

/* A copy takes folder, umask, limits and nice value over from its launch, as
 * an exec would.  Where main has set one of them itself, up to a stop inside
 * it, that would be undone. */
void see_stop(struct sight *sight)
{
	if (sight->umask_seen && sight->umask_now != sight->umask_first)
		see_refuse_always(sight, "changes its umask before the stop");
	if (sight->moved && !path_is_at_start(sight))
		see_refuse_always(sight, "changes its folder before the stop");
	if (see_limits_changed(sight))
		see_refuse_always(sight, "changes a limit before the stop");
	if (getpriority(PRIO_PROCESS, sight->pid) != sight->nice)
		see_refuse_always(sight,
				  "changes its priority before the stop");
}
