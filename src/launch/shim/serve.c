/* SPDX-License-Identifier: Apache-2.0 */
/* The template serves.  It has its own socket, waits in one poll without
 * using the CPU, and forks: pool copies ahead of time, or, without a pool, a
 * copy for each launch.  Of all that happens here only a copy returns.
 *						CLAIM 0.2 0.4 0.6 */
#include "bare/identity.h"
#include "launch/shim/shim.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum serve_slot {
	SLOT_CONTROL,
	SLOT_SIGNALS,
	SLOT_TOLD,
	SLOT_LISTENER,
	SLOT_COPIES,
};

uint64_t serve_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

_Noreturn void serve_fail(const char *what, long error)
{
	struct control_failed failed = {
		.head = { CONTROL_FAILED, sizeof failed },
	};

	snprintf(failed.reason, sizeof failed.reason, "%s: %s", what,
		 strerror((int)-error));
	packet_send(shim.control, &failed, sizeof failed, NULL, 0, 0);
	for (;;)
		raw_1(exit_group, 1);
}

/* Our descriptors lie above those of a program, where the limit allows. */
static int serve_fd_base(void)
{
	uint64_t most = shim.serving.limits[RLIMIT_NOFILE].soft;

	if (most >= SHIM_FD_BASE + 64)
		return SHIM_FD_BASE;
	return most > 128 ? (int)most - 64 : (int)most / 2;
}

static int serve_raise(long fd, const char *what)
{
	long raised;

	if (fd < 0)
		serve_fail(what, fd);
	raised = raw_3(fcntl, fd, F_DUPFD_CLOEXEC, serve_fd_base());
	if (raised < 0)
		serve_fail(what, raised);
	raw_1(close, fd);
	return (int)raised;
}

/* Its own socket, made and held by this process.	CLAIM 0.2 0.11 */
static void serve_listen(const struct control_serve *order)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int socket = serve_raise(raw_3(socket, AF_UNIX,
				       SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
				 "a socket to listen on");
	uint32_t mask = (uint32_t)raw_1(umask, 077);
	long error;

	_Static_assert(sizeof name.sun_path >= sizeof order->path, "path");
	memcpy(name.sun_path, order->path, sizeof order->path);
	raw_1(unlink, order->path);
	error = raw_3(bind, socket, &name, sizeof name);
	raw_1(umask, mask);
	if (error < 0)
		serve_fail(order->path, error);
	error = raw_2(listen, socket, 4096);
	if (error < 0)
		serve_fail(order->path, error);
	shim.serving.listener = socket;
}

/* All signals wait: those of the template come through a descriptor, those
 * of a copy until it has the mask of its launch. */
static void serve_take_signals(void)
{
	struct shim_action action = { 0 };
	uint64_t all = ~0ull;
	uint64_t ours = 1ull << (SIGCHLD - 1) | 1ull << (SIGTERM - 1) |
			1ull << (SIGINT - 1) | 1ull << (SIGHUP - 1);

	raw_4(rt_sigprocmask, SIG_SETMASK, &all, &shim.serving.blocked, 8);
	/* Ignored by the program: its end must still be told to us. */
	raw_4(rt_sigaction, SIGCHLD, NULL, &action, 8);
	if (action.handler == (uint64_t)SIG_IGN) {
		action.handler = (uint64_t)SIG_DFL;
		raw_4(rt_sigaction, SIGCHLD, &action, NULL, 8);
	}
	shim.serving.signals = serve_raise(raw_4(signalfd4, -1, &ours, 8,
						 SFD_CLOEXEC | SFD_NONBLOCK),
					   "signalfd");
}

/* The file is one for all generations: what the last one said is void.  A
 * template that cannot tell serves nevertheless. */
static void serve_hint(const struct control_serve *order)
{
	struct shim_serving *serving = &shim.serving;
	struct flock all = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	long fd;

	if (!memchr(order->waiting, 0, sizeof order->waiting))
		serve_fail("the path of the hint", -ENAMETOOLONG);
	fd = raw_4(openat, AT_FDCWD, order->waiting,
		   O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		   0600);
	serving->hint = fd < 0 ? -1 : serve_raise(fd, order->waiting);
	raw_3(fcntl, serving->hint, F_OFD_SETLK, &all);
	serving->hinted = (struct pool_hint){ ~0u, order->pool };
	pool_hint();
}

static void serve_open(const struct control_serve *order)
{
	struct shim_serving *serving = &shim.serving;
	int pair[2];
	long error;

	if (!memchr(order->path, 0, sizeof order->path))
		serve_fail("the path of the socket", -ENAMETOOLONG);
	serving->pid = (pid_t)raw_0(getpid);
	serving->generation = order->generation;
	serving->pool = order->pool;
	serving->hold = order->hold;
	serving->hatch = order->hatch;
	figures_read(serving);
	identity_say(&serving->said);
	if (!identity_see(serving->pid, &serving->seen))
		serve_fail("/proc/PID of the template itself", -ENOENT);
	learn_prepare();
	shim.control = serve_raise(shim.control, "the control pair");
	serve_take_signals();
	error = raw_4(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
		      pair);
	if (error < 0)
		serve_fail("a pair for the pool", error);
	serving->tell = serve_raise(pair[0], "a pair for the pool");
	serving->told = serve_raise(pair[1], "a pair for the pool");
	error = copies_init();
	if (error < 0)
		serve_fail("memory for the table of copies", error);
	serve_hint(order);
	serve_listen(order);
}

/* The keeper is told a moment later: on a busy machine its waking up would
 * be in the way of the very launch that it is about. */
void serve_counts_change(void)
{
	if (!shim.serving.counts_changed)
		shim.serving.counted_ms = serve_now_ms();
	shim.serving.counts_changed = true;
}

void serve_count(bool last)
{
	struct shim_serving *serving = &shim.serving;
	struct control_counts counts = {
		.head = { CONTROL_COUNTS, sizeof counts },
		.launches = serving->launches,
		.live = serving->live,
		.waiting = serving->waiting,
	};
	uint64_t now = serve_now_ms();

	if (!serving->counts_changed || serving->alone)
		return;
	if (!last && now - serving->counted_ms < 100)
		return;
	if (packet_send(shim.control, &counts, sizeof counts, NULL, 0,
			MSG_DONTWAIT) > 0)
		serving->counts_changed = false;
}

/* The template accepts itself when there is no pool, and while the pool
 * cannot be filled. */
static bool serve_accepts(void)
{
	return !shim.serving.draining && shim.serving.waiting == 0 &&
	       shim.serving.copy_count < SHIM_COPIES_MOST;
}

bool serve_accept(void)
{
	long connection =
		raw_4(accept4, shim.serving.listener, NULL, NULL, SOCK_CLOEXEC);

	if (connection < 0)
		return false;
	if (!receive_is_ours((int)connection) ||
	    !copies_add(COPY_TALKING, 0, (int)connection))
		raw_1(close, connection);
	shim.serving.wanted = true;
	return true;
}

/* true in the copy */
static bool serve_talk(struct shim_copy *copy)
{
	int connection = copy->connection;
	int kind = receive_peek(connection);
	pid_t pid;

	if (kind == 0 || kind == WIRE_ASK)
		return false;
	if (kind == WIRE_LAUNCH) {
		pid = pool_fork();
		if (pid == 0) {
			receive_prepare();
			if (!receive(connection))
				raw_1(exit_group, 0);
			learn_hide();
			if (shim.serving.hold)
				hold_memory();
			become();
			return true;
		}
		if (pid > 0) {
			copies_set_live(copy, pid, connection);
			return false;
		}
		receive_refuse(connection, "the template cannot fork");
	}
	copies_remove(copy);
	return false;
}

static int serve_timeout(void)
{
	const struct shim_serving *serving = &shim.serving;
	uint64_t wait = ~0ull, now = serve_now_ms();

	if (serving->counts_changed && !serving->alone)
		wait = 100;
	if (!serving->draining && serving->waiting < serving->pool)
		wait = serving->rest_ms > now ? serving->rest_ms - now : 10;
	if (serving->talking && wait > 1000)
		wait = 1000;
	return wait == ~0ull ? -1 : (int)wait;
}

static int serve_poll(struct pollfd *slot)
{
	const struct shim_serving *serving = &shim.serving;
	int count = serving->copy_count;

	pool_hint();
	slot[SLOT_CONTROL].fd = serving->alone ? -1 : shim.control;
	slot[SLOT_SIGNALS].fd = serving->signals;
	slot[SLOT_TOLD].fd = serving->told;
	slot[SLOT_LISTENER].fd = serve_accepts() ? serving->listener : -1;
	for (int i = 0; i < SLOT_COPIES; i++)
		slot[i].events = POLLIN;
	for (int i = 0; i < count; i++) {
		const struct shim_copy *copy = &serving->copy[i];

		slot[SLOT_COPIES + i].fd = copy->connection;
		slot[SLOT_COPIES + i].events =
			copy->state == COPY_TALKING ? POLLIN : 0;
	}
	raw_3(poll, slot, SLOT_COPIES + count, serve_timeout());
	return count;
}

/* From the last one on: removing one moves the last into its place.  true
 * in a copy. */
static bool serve_clients(const struct pollfd *slot, int count)
{
	uint64_t now = serve_now_ms();

	for (int i = count - 1; i >= 0; i--) {
		struct shim_copy *copy = &shim.serving.copy[i];
		short seen = slot[SLOT_COPIES + i].revents;

		if (copy->state == COPY_LIVE && seen & (POLLHUP | POLLERR))
			copies_hang_up(copy);
		else if (copy->state == COPY_TALKING && seen) {
			if (serve_talk(copy))
				return true;
		} else if (copy->state == COPY_TALKING &&
			   now - copy->since_ms > SHIM_CLIENT_WAIT_MS)
			copies_remove(copy);
	}
	return false;
}

static void serve_signals(void)
{
	struct signalfd_siginfo came[16];
	long got;

	while ((got = raw_3(read, shim.serving.signals, came, sizeof came)) >
	       0) {
		for (size_t i = 0; i < (size_t)got / sizeof *came; i++) {
			if (came[i].ssi_signo != SIGCHLD)
				drain_begin();
		}
	}
	copies_reap();
	learn_report();
}

static void serve_control(void)
{
	struct control_head head = { 0, 0 };
	long got = raw_6(recvfrom, shim.control, &head, sizeof head, 0, 0, 0);

	if (got == -EINTR || got == -EAGAIN)
		return;
	if (got <= 0)
		shim.serving.alone = true;
	if (got <= 0 || head.type == CONTROL_DRAIN)
		drain_begin();
	else if (head.type == CONTROL_END)
		raw_1(exit_group, 0);
}

/* One round; true in a copy. */
static bool serve_once(struct pollfd *slot)
{
	int count = serve_poll(slot);

	if (serve_clients(slot, count))
		return true;
	if (slot[SLOT_TOLD].revents)
		pool_heard();
	if (slot[SLOT_SIGNALS].revents)
		serve_signals();
	if (slot[SLOT_CONTROL].revents)
		serve_control();
	if (slot[SLOT_LISTENER].revents)
		serve_accept();
	serve_count(false);
	return false;
}

void serve(const struct control_serve *order)
{
	struct control_head serving = { CONTROL_SERVING, sizeof serving };
	size_t len = sizeof(struct pollfd) * (SLOT_COPIES + SHIM_COPIES_MOST);
	long slots = raw_6(mmap, NULL, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slots < 0 && slots > -4096)
		serve_fail("memory for poll", slots);
	raw_3(madvise, slots, len, MADV_DONTFORK);
	serve_open(order);
	/* A template that serves outlives its keeper. */
	raw_5(prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
	packet_send(shim.control, &serving, sizeof serving, NULL, 0, 0);
	for (;;) {
		if (pool_fill() || serve_once((struct pollfd *)slots))
			return;
		drain_look();
	}
}
