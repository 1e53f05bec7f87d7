/* SPDX-License-Identifier: Apache-2.0 */
/* What lets a guest do without bells (guest/local.c): random bytes, a clock,
 * and writes that are done a little later.
 *
 *  1. Writes are done in the order in which the guest made them, and before
 *     anything else that it asks for; and at its next stop whatever that is.
 *  2. A guest may put writes off only while a timer runs that makes it stop
 *     each 5 ms; and only those to the standard streams which are files or
 *     pipes.  One that writes now and then has no use for that.
 *  3. What a write fails with that was put off, the next one to the same
 *     descriptor is told. */
#include "base/clock.h"
#include "brood/wasi_abi.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define LOCAL_BURST_NS	INT64_C(1000000) /* between writes, at the most */
#define LOCAL_WAIT_NS	INT64_C(5000000)
#define CLOCK_LEAST_NS	INT64_C(1000000) /* to know how fast counts are */
#define CLOCK_MOST_NS	INT64_C(100000000)
#define CLOCK_REBASE_NS INT64_C(1000000000)
#define CLOCK_GAP_NS	INT64_C(5000) /* between two looks, at the most */

/* ---- random bytes ---------------------------------------------------------- */

void domain_put_random(struct domain *domain, uint32_t bytes)
{
	struct guest_call *page = space_call(&domain->space);
	uint8_t *at = page->random + sizeof(page->random) - bytes;

	memset(page->random, 0, sizeof(page->random) - bytes);
	page->random_used = getrandom(at, bytes, 0) == (ssize_t)bytes
				    ? (uint32_t)sizeof(page->random) - bytes
				    : (uint32_t)sizeof(page->random);
}

/* ---- clock ----------------------------------------------------------------- */

static int64_t clock_of(clockid_t which)
{
	struct timespec at;

	clock_gettime(which, &at);
	return at.tv_sec * INT64_C(1000000000) + at.tv_nsec;
}

/* All at one time; false: something came between. */
static bool clock_look(struct guest_clock *clock)
{
	for (int i = 0; i < 3; i++) {
		clock->monotonic_ns = (uint64_t)clock_of(CLOCK_MONOTONIC);
		clock->count = __builtin_ia32_rdtsc();
		clock->realtime_ns = (uint64_t)clock_of(CLOCK_REALTIME);
		if (clock_of(CLOCK_MONOTONIC) - (int64_t)clock->monotonic_ns <
		    CLOCK_GAP_NS)
			return true;
	}
	return false;
}

/* How fast counts are is measured from an earlier look on: what it may be
 * wrong by is a part of that time, and it is used no longer than that. */
void domain_put_clock(struct domain *domain)
{
	struct guest_call *page = space_call(&domain->space);
	struct guest_clock now = { 0 }, *since = &domain->clock;
	uint64_t ns, counts, most;

	page->clock.scale = 0;
	if (!domain->options.ground->has_counts || !clock_look(&now))
		return;
	ns = now.monotonic_ns - since->monotonic_ns;
	counts = now.count - since->count;
	if (!since->count || now.count <= since->count) {
		*since = now;
		return;
	}
	if (ns < CLOCK_LEAST_NS)
		return;
	now.scale = (uint64_t)(((unsigned __int128)ns << 32) / counts);
	most = ns * 16 < CLOCK_MOST_NS ? ns * 16 : CLOCK_MOST_NS;
	now.count_most = (uint64_t)((unsigned __int128)most * counts / ns);
	page->clock = now;
	if (ns > CLOCK_REBASE_NS)
		*since = now;
}

/* ---- writes ---------------------------------------------------------------- */

/* One record, at an offset in the ring, where its head becomes the call's
 * arguments in the "guest's" memory. */
static void ring_write(struct domain *domain, uint32_t at,
		       const struct guest_record *record)
{
	uint8_t *ring = space_system(&domain->space) + GUEST_RING_AT;
	struct wasi_caller caller = { .base = ring,
				      .bytes = GUEST_RING_BYTES,
				      .deadline_ns = domain->deadline_ns,
				      .ended = domain_ended,
				      .env = domain };
	union wasm_value arguments[4] = { { .i64 = record->fd },
					  { .i64 = at },
					  { .i64 = 1 },
					  { .i64 = at + 8 } };
	uint32_t words[3] = { at + (uint32_t)sizeof(*record), record->len, 0 };
	int r = 0;

	while (!r && words[1]) {
		memcpy(ring + at, words, sizeof(words));
		r = wasi_call_number(domain->wasi, &caller,
				     WASI_NUMBER_fd_write, false, arguments);
		memcpy(&words[2], ring + at + 8, sizeof(words[2]));
		if (!r && (!words[2] || words[2] > words[1]))
			r = WASI_EIO;
		words[0] += words[2];
		words[1] -= r ? 0 : words[2];
	}
	if (r <= 0)
		return;
	domain->deferred[record->fd] = (uint16_t)r;
	space_call(&domain->space)->buffered &= ~(1u << record->fd);
}

int domain_drain(struct domain *domain, bool is_bell, struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	const uint8_t *ring = space_system(&domain->space) + GUEST_RING_AT;
	uint32_t used = *(volatile uint32_t *)&page->ring_used,
		 at = domain->ring_done;

	if (used == at && !used)
		return 0;
	if (used < at || used > GUEST_RING_BYTES)
		return domain_break(domain, err, "its ring has no such length");
	while (at < used) {
		struct guest_record record;
		uint64_t bytes;

		if (used - at < sizeof(record))
			return domain_break(domain, err,
					    "its ring ends in a record");
		memcpy(&record, ring + at, sizeof(record));
		bytes = sizeof(record) +
			(((uint64_t)record.len + 7) & ~UINT64_C(7));
		if (bytes > used - at || record.fd >= DOMAIN_STREAMS)
			return domain_break(domain, err,
					    "a record of its ring is absurd");
		if (domain->wasi && !domain->deferred[record.fd])
			ring_write(domain, at, &record);
		at += (uint32_t)bytes;
	}
	domain->has_drained = true;
	/* Between bells the guest may be about to add something. */
	domain->ring_done = is_bell ? 0 : at;
	if (is_bell)
		page->ring_used = 0;
	return 0;
}

int domain_deferred(struct domain *domain, uint64_t fd)
{
	int error = fd < DOMAIN_STREAMS ? domain->deferred[fd] : 0;

	if (error)
		domain->deferred[fd] = 0;
	return error;
}

void domain_hold_no_writes(struct domain *domain)
{
	space_call(&domain->space)->buffered = 0;
	if (domain->holds_writes)
		domain_timer_set(domain, DOMAIN_TIMER_WRITES, 0, NULL);
	domain->holds_writes = false;
}

void domain_note_write(struct domain *domain)
{
	int64_t now = (int64_t)clock_ns();
	bool is_burst = now - domain->written_ns < LOCAL_BURST_NS;
	uint32_t streams;

	domain->written_ns = now;
	if (domain->holds_writes || !is_burst || !domain->wasi)
		return;
	streams = wasi_can_wait(domain->wasi);
	if (!streams || domain_timer_set(domain, DOMAIN_TIMER_WRITES,
					 now + LOCAL_WAIT_NS, NULL) < 0)
		return;
	domain->holds_writes = true;
	domain->has_drained = false;
	space_call(&domain->space)->buffered = streams;
}

/* The timer, or another one. */
void domain_note_kick(struct domain *domain)
{
	if (domain->holds_writes && !domain->has_drained)
		domain_hold_no_writes(domain);
	domain->has_drained = false;
}
