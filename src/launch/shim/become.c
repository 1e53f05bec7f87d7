/* SPDX-License-Identifier: Apache-2.0 */
/* A copy becomes what its launch says: place, descriptors, limits, signals.
 * All that can fail is done before the client hears STARTED; a client that
 * cannot hear it runs nothing.  What comes after cannot fail: names and
 * arguments.  Values are set only where the template has another, since each
 * system call here is time that somebody waits for.    CLAIM 0.6 0.7 0.8 0.9 */
#include "launch/shim/shim.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

extern char *program_invocation_name, *program_invocation_short_name;

static const char *become_refused(const char *what, long error)
{
	snprintf(shim.launch.reason, sizeof shim.launch.reason, "%s: %s", what,
		 strerror((int)-error));
	return shim.launch.reason;
}

static const char *become_limited(const struct wire_launch *packet)
{
	for (int i = 0; i < WIRE_LIMITS; i++) {
		const struct wire_limit *is = &shim.serving.limits[i];
		const struct wire_limit *wanted = &packet->limits[i];
		long error;

		if (is->soft == wanted->soft && is->hard == wanted->hard)
			continue;
		error = raw_4(prlimit64, 0, i, wanted, NULL);
		if (error < 0)
			return become_refused("a resource limit", error);
	}
	return NULL;
}

static const char *become_core_filter(uint32_t filter)
{
	char text[16];
	long fd, len, error;

	if (filter == ~0u || filter == shim.serving.seen.core_filter)
		return NULL;
	fd = raw_4(openat, AT_FDCWD, "/proc/self/coredump_filter",
		   O_WRONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return become_refused("the core filter", fd);
	len = snprintf(text, sizeof text, "0x%x", filter);
	error = raw_3(write, fd, text, len);
	raw_1(close, fd);
	return error < 0 ? become_refused("the core filter", error) : NULL;
}

/* Signals that the caller ignores, as after an exec: where constructors
 * have a wish of their own it has come later and stands. */
static void become_ignoring(uint64_t ignored)
{
	struct shim_action ignore = { .handler = (uint64_t)SIG_IGN };

	ignored &= ~shim.serving.dispositions;
	while (ignored) {
		int bit = __builtin_ctzll(ignored);

		raw_4(rt_sigaction, bit + 1, &ignore, NULL, 8);
		ignored &= ignored - 1;
	}
}

/* SIGCHLD, if the program ignores it: the template could not. */
static void become_restored(void)
{
	for (int i = 0; i < shim.handler_count; i++) {
		const struct shim_handler *handler = &shim.handler[i];

		if (handler->number == SIGCHLD)
			raw_4(rt_sigaction, SIGCHLD, &handler->action, NULL, 8);
	}
}

/* NULL, or why not. */
static const char *become_take_over(struct shim_launch *launch)
{
	const struct wire_launch *packet = launch->packet;
	const char *reason;
	long error;

	raw_2(setpgid, 0, 0);
	error = raw_1(fchdir, launch->fd[0]);
	if (error < 0)
		return become_refused("the working directory", error);
	error = descriptors_take(launch);
	if (error < 0)
		return become_refused("the descriptors", error);
	if (packet->umask != shim.serving.umask)
		raw_1(umask, packet->umask);
	if (packet->nice != shim.serving.nice) {
		error = raw_3(setpriority, PRIO_PROCESS, 0, packet->nice);
		if (error < 0)
			return become_refused("the nice value", error);
	}
	reason = become_core_filter(launch->seen.core_filter);
	if (reason)
		return reason;
	/* While the limit of descriptors is still high. */
	launch->pidfd = (int)raw_2(pidfd_open, launch->pid, 0);
	if (launch->pidfd < 0)
		return become_refused("a pidfd", launch->pidfd);
	become_ignoring(launch->seen.signals_ignored);
	become_restored();
	return become_limited(packet);
}

/* mode = active, with a pidfd of ours.			      CLAIM 0.7 */
static void become_tell_started(const struct shim_launch *launch)
{
	int connection = launch->connection;
	struct wire_started started = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_STARTED,
			  sizeof started, 0 },
		.mode = WIRE_MODE_ACTIVE,
		.pid = launch->pid,
		.generation = shim.serving.generation,
	};

	if (packet_send(connection, &started, sizeof started, &launch->pidfd, 1,
			0) < 0)
		raw_1(exit_group, 0);
	raw_1(close, launch->pidfd);
	raw_1(close, connection);
}

/* Room for argv, envp and a copy of the auxiliary vector behind them, as
 * the kernel lays them out; behind the packet where it fits. */
static char **become_pointers(struct shim_launch *launch)
{
	const struct wire_launch *packet = launch->packet;
	size_t need =
		sizeof(char *) * ((size_t)packet->argc + packet->envc + 2) +
		sizeof *shim.auxv * (size_t)shim.auxv_count;
	size_t used = (packet->head.size + 15) & ~15ul;
	long at;

	if (used + need <= launch->block_bytes)
		return (char **)((char *)packet + used);
	at = raw_6(mmap, NULL, need, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return NULL;
	return (char **)at;
}

static char *become_point(char **to, char *strings, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		to[i] = strings;
		strings += strlen(strings) + 1;
	}
	to[count] = NULL;
	return strings;
}

/* /proc/PID/cmdline and environ. */
static void become_shown(const char *arguments, const char *environment,
			 const char *end)
{
	struct prctl_mm_map mm = shim.serving.mm;
	uint64_t bounds[4] = { (uint64_t)arguments, (uint64_t)environment,
			       (uint64_t)environment, (uint64_t)end };
	int option = PR_SET_MM_ARG_START;

	mm.brk = (uint64_t)raw_1(brk, 0);
	mm.arg_start = bounds[0];
	mm.arg_end = bounds[1];
	mm.env_start = bounds[2];
	mm.env_end = bounds[3];
	if (raw_5(prctl, PR_SET_MM, PR_SET_MM_MAP, &mm, sizeof mm, 0) >= 0)
		return;
	/* The older way needs rights; without them the template's stay. */
	for (int i = 0; i < 4; i++)
		raw_5(prctl, PR_SET_MM, option++, bounds[i], 0, 0);
}

/* What glibc and the kernel call the program. */
void become_named(char **argv, char **envp, const char *comm)
{
	char *slash, *name;

	environ = envp;
	if (!argv[0])
		return;
	slash = strrchr(argv[0], '/');
	name = slash ? slash + 1 : argv[0];
	program_invocation_name = argv[0];
	program_invocation_short_name = name;
	/* A login shell's name has a dash in front, its file has not. */
	name += name[0] == '-';
	if (name[0] && (!comm || strncmp(name, comm, 15) != 0))
		raw_5(prctl, PR_SET_NAME, name, 0, 0, 0);
}

static void become_arguments(struct shim_launch *launch, char **pointers)
{
	uint32_t argc = launch->packet->argc;
	char **envp = pointers + argc + 1, *middle, *end;

	middle = become_point(pointers, launch->strings, argc);
	end = become_point(envp, middle, launch->packet->envc);
	memcpy(envp + launch->packet->envc + 1, shim.auxv,
	       sizeof *shim.auxv * (size_t)shim.auxv_count);
	shim.argc = (int)argc;
	shim.argv = pointers;
	shim.envp = envp;
	become_shown(launch->strings, middle, end);
	become_named(pointers, envp, shim.serving.comm);
}

void become(void)
{
	struct shim_launch *launch = &shim.launch;
	const char *reason = NULL;
	char **pointers = become_pointers(launch);
	uint64_t blocked =
		launch->packet->signals_blocked | shim.blocked_before;

	launch->pid = (pid_t)raw_0(getpid);
	if (!pointers)
		reason = "no memory for the arguments";
	if (!reason)
		reason = become_take_over(launch);
	if (reason) {
		receive_refuse(launch->connection, reason);
		raw_1(exit_group, 0);
	}
	become_tell_started(launch);
	if (!shim.stopped.deep)
		become_arguments(launch, pointers);
	raw_4(rt_sigprocmask, SIG_SETMASK, &blocked, NULL, 8);
}
