/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting: poll_oneoff, and calls that wait for a stream.  All of it ends at
 * the run's deadline, and soon after an interruption: nobody can wake the
 * thread for that one, so it looks from time to time. */
#include "base/clock.h"
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define WASI_SECOND_NS 1000000000ll
#define WASI_SLICE_NS  (WASI_SECOND_NS / 20)
#define WASI_NEVER_NS  (-1)

int wasi_poll_ended(const struct wasi_call *call)
{
	const struct wasi_caller *caller = call->caller;

	return caller->ended ? -caller->ended(caller->env) : 0;
}

static int64_t wasi_poll_slice(const struct wasi_call *call, int64_t until_ns)
{
	int64_t now = clock_ns(), deadline = call->caller->deadline_ns;
	int64_t left = WASI_SLICE_NS;

	if (until_ns != WASI_NEVER_NS && until_ns - now < left)
		left = until_ns - now;
	if (deadline && deadline - now < left)
		left = deadline - now;
	return left < 0 ? 0 : left;
}

/* One turn: sets how many are ready, 0 after a slice. */
static int wasi_poll_turn(const struct wasi_call *call, struct pollfd *polls,
			  nfds_t count, int64_t until_ns, int *ready)
{
	int64_t left = wasi_poll_slice(call, until_ns);
	struct timespec time = { left / WASI_SECOND_NS, left % WASI_SECOND_NS };

	*ready = ppoll(polls, count, &time, NULL);
	if (*ready < 0 && errno != EINTR)
		return wasi_errno(errno);
	if (*ready < 0)
		*ready = 0;
	return wasi_poll_ended(call);
}

int wasi_poll_ready(const struct wasi_call *call, const struct wasi_fd *fd,
		    short events)
{
	int64_t until = fd->flags & WASI_NONBLOCK ? 0 : WASI_NEVER_NS;
	struct pollfd poll = { .fd = fd->host, .events = events };
	int ready = 0, e = 0;

	if (!wasi_table_waits(fd))
		return 0;
	do
		e = wasi_poll_turn(call, &poll, 1, until, &ready);
	while (!e && !ready && until == WASI_NEVER_NS);
	return !e && !ready ? WASI_EAGAIN : e;
}

static bool poll_can_wait(const struct wasi_fd *entry)
{
	struct stat st;

	if (entry->host < 0 || entry->flags ||
	    !(entry->rights & WASI_RIGHT_FD_WRITE) ||
	    fstat(entry->host, &st) < 0)
		return false;
	return S_ISREG(st.st_mode) ||
	       (S_ISFIFO(st.st_mode) &&
		!(fcntl(entry->host, F_GETFL) & O_NONBLOCK));
}

uint32_t wasi_can_wait(const struct wasi *wasi)
{
	uint32_t bits = 0;

	for (uint32_t fd = 1; fd < 3 && fd < wasi->fd_room; fd++)
		if (poll_can_wait(&wasi->fds[fd]))
			bits |= 1u << fd;
	return bits;
}

bool wasi_has_input(struct wasi *wasi, struct wasi_caller *caller)
{
	const struct wasi_call call = { wasi, caller, false };
	struct pollfd poll_fd = { .events = POLLIN };
	int bytes = 0, ready = 0;
	struct stat st;

	if (!wasi->fd_room || wasi->fds[0].host < 0 ||
	    isatty(wasi->fds[0].host))
		return false;
	poll_fd.fd = wasi->fds[0].host;
	if (fstat(poll_fd.fd, &st) == 0 && S_ISREG(st.st_mode))
		return lseek(poll_fd.fd, 0, SEEK_CUR) < st.st_size;
	while (!ready)
		if (wasi_poll_turn(&call, &poll_fd, 1, WASI_NEVER_NS, &ready))
			return true;
	return ioctl(poll_fd.fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* ---- poll_oneoff ----------------------------------------------------------- */

struct wasi_wait { /* one subscription */
	struct wasi_subscription what;
	uint64_t target_ns; /* of a clock, on that clock */
	int error;	    /* for the event */
	uint64_t bytes;	    /* that an image's file has left */
	bool ready;
	bool polls;
	uint32_t poll; /* if so: which of the waits' polls */
};
struct wasi_waits {
	struct wasi_wait *items;
	/* Clocks have none: the host takes as many polls as a process may
	 * have descriptors. */
	struct pollfd *polls;
	uint32_t count, poll_count;
	bool any_ready;
};

static void wasi_waits_fini(struct wasi_waits *waits)
{
	free(waits->items);
	free(waits->polls);
}

static int wasi_waits_read(const struct wasi_call *call, uint32_t at,
			   struct wasi_subscription *what)
{
	struct wasi_subscription_unstable old;
	int e;

	if (!call->unstable)
		return wasi_guest_get(call, at, what, sizeof *what);
	e = wasi_guest_get(call, at, &old, sizeof old);
	what->userdata = old.userdata;
	what->type = old.type;
	if (old.type == WASI_CLOCK)
		what->clock = old.clock;
	else
		what->fd = old.fd;
	return e;
}

static int wasi_waits_get(const struct wasi_call *call, uint32_t at,
			  uint32_t count, struct wasi_waits *waits)
{
	uint32_t each = call->unstable
				? sizeof(struct wasi_subscription_unstable)
				: sizeof(struct wasi_subscription);
	int e = 0;

	if (count == 0 || count > WASI_POLL_MOST)
		return WASI_EINVAL;
	if (!wasi_guest(call, at, (uint64_t)each * count))
		return WASI_EFAULT;
	waits->items = calloc(count, sizeof *waits->items);
	waits->polls = calloc(count, sizeof *waits->polls);
	if (!waits->items || !waits->polls)
		return WASI_ENOMEM;
	waits->count = count;
	for (uint32_t i = 0; !e && i < count; i++)
		e = wasi_waits_read(call, at + i * each, &waits->items[i].what);
	return e;
}

static uint64_t wasi_waits_now(const struct wasi_wait *wait)
{
	return wait->what.clock.id == WASI_REALTIME ? clock_wall_ns()
						    : clock_ns();
}

static int wasi_waits_start_clock(struct wasi_wait *wait)
{
	const struct wasi_subscription_clock *clock = &wait->what.clock;

	if (clock->id > WASI_THREAD_CPUTIME || clock->flags & ~WASI_ABSTIME)
		return WASI_EINVAL;
	if (clock->id > WASI_MONOTONIC)
		return WASI_ENOTSUP; /* it stands still while we wait */
	wait->target_ns = clock->timeout;
	if (!(clock->flags & WASI_ABSTIME) &&
	    __builtin_add_overflow(wasi_waits_now(wait), clock->timeout,
				   &wait->target_ns))
		wait->target_ns = UINT64_MAX;
	return 0;
}

static int wasi_waits_start_fd(const struct wasi_call *call,
			       struct wasi_waits *waits, struct wasi_wait *wait)
{
	bool reads = wait->what.type == WASI_FD_READ;
	uint64_t rights = WASI_RIGHT_POLL_FD_READWRITE |
			  (reads ? WASI_RIGHT_FD_READ : WASI_RIGHT_FD_WRITE);
	struct wasi_fd *fd;
	int e = wasi_image_poll(call, wait->what.fd, !reads, &wait->bytes);

	wait->ready = e == 0;
	if (e != WASIFS_NOT_MINE)
		return e;
	e = wasi_table_get(call->wasi, wait->what.fd, rights, &fd);
	if (e)
		return e;
	if (wasi_table_waits(fd)) {
		wait->polls = true;
		wait->poll = waits->poll_count++;
		waits->polls[wait->poll] =
			(struct pollfd){ .fd = fd->host,
					 .events = reads ? POLLIN : POLLOUT };
	} else {
		wait->ready = true;
	}
	return 0;
}

static void wasi_waits_start(const struct wasi_call *call,
			     struct wasi_waits *waits)
{
	for (uint32_t i = 0; i < waits->count; i++) {
		struct wasi_wait *wait = &waits->items[i];

		switch (wait->what.type) {
		case WASI_CLOCK:
			wait->error = wasi_waits_start_clock(wait);
			break;
		case WASI_FD_READ:
		case WASI_FD_WRITE:
			wait->error = wasi_waits_start_fd(call, waits, wait);
			break;
		default: wait->error = WASI_EINVAL;
		}
		if (wait->error)
			wait->ready = true;
		waits->any_ready |= wait->ready;
	}
}

/* The clocks that have come; the time when the next one will, as far as can
 * be told now. */
static int64_t wasi_waits_look(struct wasi_waits *waits)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < waits->count; i++) {
		struct wasi_wait *wait = &waits->items[i];
		uint64_t now;

		if (wait->what.type != WASI_CLOCK || wait->error)
			continue;
		now = wasi_waits_now(wait);
		if (now >= wait->target_ns)
			waits->any_ready = wait->ready = true;
		else if (wait->target_ns - now < next)
			next = wait->target_ns - now;
	}
	return next > INT64_MAX / 2 ? WASI_NEVER_NS
				    : (int64_t)(clock_ns() + next);
}

static int wasi_waits_wait(const struct wasi_call *call,
			   struct wasi_waits *waits)
{
	int64_t next;
	int ready, e;

	do {
		next = wasi_waits_look(waits);
		e = wasi_poll_turn(call, waits->polls, waits->poll_count,
				   waits->any_ready ? 0 : next, &ready);
	} while (!e && !ready && !waits->any_ready);
	return e;
}

static uint64_t wasi_waits_bytes(const struct wasi_fd *fd)
{
	struct stat stat;
	off_t at;
	int bytes = 0;

	if (wasi_table_waits(fd))
		return ioctl(fd->host, FIONREAD, &bytes) < 0 ? 0 : bytes;
	at = lseek(fd->host, 0, SEEK_CUR);
	if (at < 0 || fstat(fd->host, &stat) < 0 || stat.st_size < at)
		return 0;
	return stat.st_size - at;
}

static void wasi_waits_event(const struct wasi_call *call,
			     const struct wasi_wait *wait, short revents,
			     struct wasi_event *event)
{
	struct wasi_fd *fd;

	*event = (struct wasi_event){
		.userdata = wait->what.userdata,
		.type = wait->what.type,
		.error = wait->error,
		.byte_count = wait->what.type == WASI_FD_READ ? wait->bytes : 0,
	};
	if (wait->what.type == WASI_CLOCK || wait->error)
		return;
	if (wait->what.type == WASI_FD_READ &&
	    !wasi_table_get(call->wasi, wait->what.fd, 0, &fd))
		event->byte_count = wasi_waits_bytes(fd);
	if (revents & POLLHUP)
		event->flags = WASI_READWRITE_HANGUP;
}

static int wasi_waits_put(const struct wasi_call *call,
			  const struct wasi_waits *waits, uint32_t at,
			  uint32_t *put)
{
	struct wasi_event event;
	int e = 0;

	*put = 0;
	for (uint32_t i = 0; !e && i < waits->count; i++) {
		const struct wasi_wait *wait = &waits->items[i];
		short revents =
			wait->polls ? waits->polls[wait->poll].revents : 0;

		if (!wait->ready && !revents)
			continue;
		wasi_waits_event(call, wait, revents, &event);
		e = wasi_guest_put(call, at + *put * sizeof event, &event,
				   sizeof event);
		++*put;
	}
	return e;
}

int wasi_poll_oneoff(struct wasi_call *call, const union wasm_value *a)
{
	uint32_t in = a[0].i32, out = a[1].i32, count = a[2].i32, put;
	struct wasi_waits waits = { 0 };
	int e = wasi_waits_get(call, in, count, &waits);

	if (!e &&
	    !wasi_guest(call, out, (uint64_t)count * sizeof(struct wasi_event)))
		e = WASI_EFAULT;
	if (!e) {
		wasi_waits_start(call, &waits);
		e = wasi_waits_wait(call, &waits);
	}
	if (!e)
		e = wasi_waits_put(call, &waits, out, &put);
	if (!e)
		e = wasi_guest_put_u32(call, a[3].i32, put);
	wasi_waits_fini(&waits);
	return e;
}

/* ---- for those who look on -------------------------------------------------- */

bool wasi_asks_input(struct wasi *wasi, struct wasi_caller *caller,
		     unsigned number, bool unstable,
		     const union wasm_value *arguments)
{
	const struct wasi_call call = { wasi, caller, unstable };
	struct wasi_subscription what;
	uint32_t at = arguments[0].i32, count = arguments[2].i32;
	uint32_t step = unstable ? sizeof(struct wasi_subscription_unstable)
				 : sizeof(struct wasi_subscription);

	if (number == WASI_NUMBER_fd_read)
		return at == 0;
	if (number != WASI_NUMBER_poll_oneoff || count > WASI_POLL_MOST)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (wasi_waits_read(&call, at + i * step, &what))
			return false;
		if (what.type == WASI_FD_READ && what.fd == 0)
			return true;
	}
	return false;
}
