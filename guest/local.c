/* SPDX-License-Identifier: Apache-2.0 */
/* WASI without a bell: the time from a count of the CPU's, random bytes from
 * a pool, and writes that the host may do a little later.  What is not as
 * usual here in any way is asked of the host, which has all the rules. */
#include "guest.h"
#include <string.h>

enum guest_local_number {
#define WASI_CALL(name, signature) LOCAL_##name,
#include "brood/wasi_calls.def"
#undef WASI_CALL
};
enum {
	LOCAL_CLOCKS = 2, /* the real time, and since some time */
	LOCAL_PIECES = 16,
	LOCAL_WRITE = 16384, /* bytes of one write */
};
/* So far a clock that is set anew may seem to go back. */
#define LOCAL_BACK_NS 1000000u

struct local_piece {
	uint32_t at, len;
};

static bool is_there(const struct wasm_memory *memory, uint32_t at,
		     uint64_t len)
{
	return at <= memory->bytes && len <= memory->bytes - at;
}

static uint64_t count_now(void)
{
	return __builtin_ia32_rdtsc();
}

/* ---- clock ---------------------------------------------------------------- */

static int local_clock(const struct wasm_memory *memory,
		       const union wasm_value *slots)
{
	const struct guest_clock *clock = &guest_page()->clock;
	uint32_t which = slots[0].i32, at = slots[2].i32;
	uint64_t count = count_now() - clock->count, ns;

	if (which >= LOCAL_CLOCKS || !clock->scale ||
	    count > clock->count_most || !is_there(memory, at, sizeof ns))
		return -1;
	ns = (which ? clock->monotonic_ns : clock->realtime_ns) +
	     (uint64_t)((unsigned __int128)count * clock->scale >> 32);
	if (ns < guest.clock_ns[which] &&
	    guest.clock_ns[which] - ns < LOCAL_BACK_NS)
		ns = guest.clock_ns[which];
	guest.clock_ns[which] = ns;
	memcpy(memory->base + at, &ns, sizeof ns);
	return 0;
}

/* The host's count has to be one of between the guest's: else the guest has
 * counts of its own, and no use of the host's. */
static void note_clock(const struct wasm_memory *memory,
		       const union wasm_value *slots, uint64_t before)
{
	struct guest_clock *clock = &guest_page()->clock;
	uint32_t which = slots[0].i32, at = slots[2].i32;

	if (clock->count < before || clock->count > count_now())
		clock->scale = 0;
	if (which < LOCAL_CLOCKS && is_there(memory, at, 8))
		memcpy(&guest.clock_ns[which], memory->base + at, 8);
}

/* ---- random bytes ---------------------------------------------------------- */

static bool has_random(const struct guest_call *page, uint32_t len)
{
	return page->random_used <= GUEST_RANDOM &&
	       len <= GUEST_RANDOM - page->random_used;
}

/* What was given out is nowhere else. */
static int local_random(const struct wasm_memory *memory,
			const union wasm_value *slots)
{
	struct guest_call *page = guest_page();
	uint32_t at = slots[0].i32, len = slots[1].i32;
	uint8_t *from;

	if (!len || len > GUEST_RANDOM || !is_there(memory, at, len))
		return -1;
	if (!has_random(page, len)) {
		guest_bell(GUEST_BELL_RANDOM);
		if (!has_random(page, len))
			return -1;
	}
	from = page->random + page->random_used;
	memcpy(memory->base + at, from, len);
	memset(from, 0, len);
	page->random_used += len;
	return 0;
}

/* ---- writes ---------------------------------------------------------------- */

/* Their bytes in all, 0: not as usual. */
static uint64_t take_pieces(const struct wasm_memory *memory, uint32_t at,
			    uint32_t count, struct local_piece *pieces)
{
	uint64_t bytes = 0;

	if (count > LOCAL_PIECES ||
	    !is_there(memory, at, (uint64_t)count * sizeof *pieces))
		return 0;
	memcpy(pieces, memory->base + at, count * sizeof *pieces);
	for (uint32_t i = 0; i < count; i++) {
		if (!is_there(memory, pieces[i].at, pieces[i].len))
			return 0;
		bytes += pieces[i].len;
	}
	return bytes > LOCAL_WRITE ? 0 : bytes;
}

static uint64_t record_bytes(uint64_t len)
{
	return sizeof(struct guest_record) + ((len + 7) & ~UINT64_C(7));
}

static bool may_wait(const struct guest_call *page, uint32_t fd)
{
	return fd < 32 && page->buffered >> fd & 1;
}

static bool has_room(uint64_t len)
{
	const struct guest_call *page = guest_page();

	return page->ring_used <= GUEST_RING_BYTES &&
	       record_bytes(len) <= GUEST_RING_BYTES - page->ring_used;
}

/* The host may look at any time: a record is there when it is whole. */
static void put_record(const struct wasm_memory *memory, uint32_t fd,
		       const struct local_piece *pieces, uint32_t count,
		       uint32_t len)
{
	struct guest_call *page = guest_page();
	uint8_t *to = (uint8_t *)GUEST_RING_VA + page->ring_used;
	const struct guest_record record = { .fd = fd, .len = len };

	memcpy(to, &record, sizeof record);
	to += sizeof record;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(to, memory->base + pieces[i].at, pieces[i].len);
		to += pieces[i].len;
	}
	__asm__ volatile("" ::: "memory");
	page->ring_used += (uint32_t)record_bytes(len);
}

static int local_write(const struct wasm_memory *memory,
		       const union wasm_value *slots)
{
	struct local_piece pieces[LOCAL_PIECES];
	uint32_t fd = slots[0].i32, count = slots[2].i32, at = slots[3].i32,
		 len;

	if (!may_wait(guest_page(), fd) || !is_there(memory, at, sizeof len))
		return -1;
	len = (uint32_t)take_pieces(memory, slots[1].i32, count, pieces);
	if (!len)
		return -1;
	if (!has_room(len)) {
		guest_bell(GUEST_BELL_FLUSH);
		if (!has_room(len) || !may_wait(guest_page(), fd))
			return -1;
	}
	put_record(memory, fd, pieces, count, len);
	memcpy(memory->base + at, &len, sizeof len);
	return 0;
}

int guest_local(uint32_t number, bool unstable,
		const struct wasm_memory *memory, const union wasm_value *slots)
{
	int e = guest_files(number, unstable, memory, slots);

	if (e >= 0)
		return e;
	switch (number) {
	case LOCAL_clock_time_get: return local_clock(memory, slots);
	case LOCAL_random_get: return local_random(memory, slots);
	case LOCAL_fd_write: return local_write(memory, slots);
	}
	return -1;
}

int64_t guest_local_ring(uint32_t number, bool unstable,
			 const struct wasm_memory *memory,
			 const union wasm_value *slots)
{
	uint64_t before = count_now();
	int64_t answer = number == LOCAL_poll_oneoff
				 ? guest_files_poll(unstable, memory, slots)
				 : guest_bell(GUEST_BELL_WASI);

	if (number == LOCAL_clock_time_get && answer == 0)
		note_clock(memory, slots, before);
	return answer;
}
