/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest knows of itself as a process: words, clocks, chance, its
 * end. */
#include "vm/wasi_internal.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ---- arguments and environment -------------------------------------------- */

static int wasi_words_get(const struct wasi_call *call,
			  const struct wasi_words *words, uint32_t pointers,
			  uint32_t bytes)
{
	const char *at = words->bytes;
	int e = wasi_guest_put(call, bytes, words->bytes, words->len);

	if (!e && !wasi_guest(call, pointers, 4ull * words->count))
		e = WASI_EFAULT;
	for (uint32_t i = 0; !e && i < words->count; i++) {
		e = wasi_guest_put_u32(call, pointers + 4 * i,
				       bytes + (at - words->bytes));
		at += strlen(at) + 1;
	}
	return e;
}

static int wasi_words_sizes(const struct wasi_call *call,
			    const struct wasi_words *words, uint32_t count,
			    uint32_t len)
{
	int e = wasi_guest_put_u32(call, count, words->count);

	return e ? e : wasi_guest_put_u32(call, len, words->len);
}

int wasi_args_get(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_words_get(call, &call->wasi->arguments, a[0].i32, a[1].i32);
}

int wasi_args_sizes_get(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_words_sizes(call, &call->wasi->arguments, a[0].i32,
				a[1].i32);
}

int wasi_environ_get(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_words_get(call, &call->wasi->environment, a[0].i32,
			      a[1].i32);
}

int wasi_environ_sizes_get(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_words_sizes(call, &call->wasi->environment, a[0].i32,
				a[1].i32);
}

/* ---- clocks --------------------------------------------------------------- */

typedef int wasi_clock_read(clockid_t id, struct timespec *time);

static int wasi_clock_put(const struct wasi_call *call, uint32_t id,
			  uint32_t at, wasi_clock_read *read)
{
	static const clockid_t clocks[] = {
		[WASI_REALTIME] = CLOCK_REALTIME,
		[WASI_MONOTONIC] = CLOCK_MONOTONIC,
		[WASI_PROCESS_CPUTIME] = CLOCK_PROCESS_CPUTIME_ID,
		[WASI_THREAD_CPUTIME] = CLOCK_THREAD_CPUTIME_ID,
	};
	struct timespec time;

	if (id > WASI_THREAD_CPUTIME)
		return WASI_EINVAL;
	if (read(clocks[id], &time) < 0)
		return wasi_errno(errno);
	return wasi_guest_put_u64(call, at,
				  time.tv_sec * 1000000000ull + time.tv_nsec);
}

int wasi_clock_res_get(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_clock_put(call, a[0].i32, a[1].i32, clock_getres);
}

int wasi_clock_time_get(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_clock_put(call, a[0].i32, a[2].i32, clock_gettime);
}

/* ---- the rest --------------------------------------------------------------- */

enum { WASI_RANDOM_BYTES = 1 << 16 };

int wasi_random_get(struct wasi_call *call, const union wasm_value *a)
{
	uint32_t len = a[1].i32, done = 0;
	uint8_t *to = wasi_guest(call, a[0].i32, len);
	int e = to ? 0 : WASI_EFAULT;

	while (!e && done < len) {
		size_t want = len - done < WASI_RANDOM_BYTES
				      ? len - done
				      : WASI_RANDOM_BYTES;
		ssize_t got = getrandom(to + done, want, 0);

		if (got > 0)
			done += got;
		else if (got < 0 && errno != EINTR)
			e = wasi_errno(errno);
		if (!e)
			e = wasi_poll_ended(call);
	}
	return e;
}

int wasi_sched_yield(struct wasi_call *call, const union wasm_value *a)
{
	(void)a;
	sched_yield();
	return wasi_poll_ended(call);
}

int wasi_proc_exit(struct wasi_call *call, const union wasm_value *a)
{
	call->caller->exit_code = (int)a[0].i32;
	return -WASM_TRAP_exit;
}

/* A guest has no handlers, so that a signal does what it does by default.
 * One that ends the guest gives the exit code that a shell would tell, by the
 * host's number. */
int wasi_proc_raise(struct wasi_call *call, const union wasm_value *a)
{
	uint32_t number = a[0].i32;

	switch (number) {
	case 0:
	case WASI_SIGCHLD:
	case WASI_SIGCONT:
	case WASI_SIGURG:
	case WASI_SIGWINCH: return WASI_SUCCESS;
	case WASI_SIGSTOP:
	case WASI_SIGTSTP:
	case WASI_SIGTTIN:
	case WASI_SIGTTOU: return WASI_ENOTSUP;
	}
	if (number > WASI_SIGSYS)
		return WASI_EINVAL;
	call->caller->exit_code =
		128 + (int)number + (number >= WASI_SIGCHLD ? 1 : 0);
	return -WASM_TRAP_exit;
}
