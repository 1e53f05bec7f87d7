/* SPDX-License-Identifier: Apache-2.0 */
/* An image of files, which lies in memory at GUEST_FILES_VA, as a folder of
 * WASI: no host is asked.  poll_oneoff alone, which may wait for other things
 * too, is the host's: it is shown a clock that has come in the place of each
 * descriptor of the image's, by whose number its event is known. */
#include "brood/wasi_abi.h"
#include "guest.h"
#include "wasifs/wasifs.h"
#include <string.h>

enum { FILES_POLLS = 4096 };

static struct wasifs files;

int guest_files_copy(void *to, const void *from, size_t len);
extern const uint8_t guest_files_copying[], guest_files_lost[];

static int files_read(void *context, uint64_t at, void *to, uint64_t len)
{
	(void)context;
	return guest_files_copy(to, (const uint8_t *)GUEST_FILES_VA + at, len) <
			       0
		       ? EROFS_IO
		       : 0;
}

bool guest_files_fault(struct guest_trap *at)
{
	if (at->rip != (uint64_t)guest_files_copying ||
	    at->address < GUEST_FILES_VA ||
	    at->address - GUEST_FILES_VA >= GUEST_FILES_MOST)
		return false;
	at->rip = (uint64_t)guest_files_lost;
	return true;
}

/* Words: bytes, the folder's number, its name's length; the name is in the
 * data. */
int guest_files_open(void)
{
	const uint64_t *words = guest_page()->command_words;
	struct erofs_source source = { .read = files_read, .len = words[0] };
	const char *why = "it makes no sense";

	if (guest.files_bytes || !words[0] || words[0] > GUEST_FILES_MOST ||
	    words[1] >= WASIFS_FIRST || words[2] >= WASIFS_NAME ||
	    wasifs_open(&files, &source, (uint32_t)words[1],
			(const char *)guest_data(), words[2], &why) < 0)
		return guest_fail(why);
	guest.files_bytes = words[0];
	return 0;
}

int guest_files(uint32_t number, bool unstable,
		const struct wasm_memory *memory, const union wasm_value *slots)
{
	const struct wasifs_caller caller = { .base = memory->base,
					      .bytes = memory->bytes,
					      .unstable = unstable };

	return guest.files_bytes ? wasifs_call(&files, &caller, number, slots)
				 : WASIFS_NOT_MINE;
}

/* ---- poll_oneoff ------------------------------------------------------------ */

/* Both forms of a subscription, as far as they are the same. */
struct poll_head {
	uint64_t userdata;
	uint8_t type;
	uint8_t zero[7];
	uint32_t fd;
};

struct polls {
	uint8_t *in;	 /* the subscriptions, in the guest's memory */
	uint8_t *before; /* as they were */
	uint8_t *events; /* a copy of those, made after the bell */
	uint32_t count, each;
	uint64_t bytes;
};

static bool poll_reads(const struct polls *polls, uint32_t i,
		       struct poll_head *head)
{
	memcpy(head, polls->before + (size_t)i * polls->each, sizeof *head);
	return head->type == WASI_FD_READ || head->type == WASI_FD_WRITE;
}

static bool poll_is_mine(const struct polls *polls, uint32_t i,
			 struct poll_head *head, int *error, uint64_t *left)
{
	if (!poll_reads(polls, i, head))
		return false;
	*error = wasifs_poll(&files, head->fd, head->type == WASI_FD_WRITE,
			     left);
	return *error != WASIFS_NOT_MINE;
}

/* A clock that has come; in the older form it has a name in front. */
static void poll_put_clock(const struct polls *polls, uint32_t i)
{
	struct wasi_subscription_unstable old = { .type = WASI_CLOCK };
	struct wasi_subscription new = { .type = WASI_CLOCK };

	old.clock.id = new.clock.id = WASI_MONOTONIC;
	if (polls->each == sizeof new)
		memcpy(polls->in + (size_t)i * polls->each, &new, sizeof new);
	else
		memcpy(polls->in + (size_t)i * polls->each, &old, sizeof old);
}

/* Each subscription's userdata is its number meanwhile. */
static bool poll_change(const struct polls *polls)
{
	struct poll_head head;
	bool any = false;
	uint64_t left;
	int error;

	for (uint32_t i = 0; i < polls->count && !any; i++)
		any = poll_is_mine(polls, i, &head, &error, &left);
	for (uint32_t i = 0; any && i < polls->count; i++) {
		uint64_t number = i;

		if (poll_is_mine(polls, i, &head, &error, &left))
			poll_put_clock(polls, i);
		memcpy(polls->in + (size_t)i * polls->each, &number,
		       sizeof number);
	}
	return any;
}

static void poll_fix_event(const struct polls *polls, struct wasi_event *event)
{
	struct poll_head head;
	uint64_t left;
	int error;

	if (event->userdata >= polls->count)
		return;
	if (poll_is_mine(polls, (uint32_t)event->userdata, &head, &error,
			 &left))
		*event = (struct wasi_event){
			.error = (uint16_t)error,
			.type = head.type,
			.byte_count = head.type == WASI_FD_READ ? left : 0,
		};
	event->userdata = head.userdata;
}

/* Both may lie over each other: the events are put last, as the host does. */
static void poll_fix(const struct polls *polls, uint8_t *out, uint32_t events)
{
	struct wasi_event event;

	if (events > polls->count)
		events = polls->count;
	memcpy(polls->events, out, events * sizeof event);
	memcpy(polls->in, polls->before, polls->bytes);
	for (uint32_t i = 0; i < events; i++) {
		memcpy(&event, polls->events + i * sizeof event, sizeof event);
		poll_fix_event(polls, &event);
		memcpy(out + i * sizeof event, &event, sizeof event);
	}
}

static bool polls_open(struct polls *polls, const struct wasm_memory *memory,
		       bool unstable, const union wasm_value *slots)
{
	uint32_t in = slots[0].i32, out = slots[1].i32, count = slots[2].i32,
		 put = slots[3].i32;
	uint64_t end = memory->bytes;

	polls->each = unstable ? sizeof(struct wasi_subscription_unstable)
			       : sizeof(struct wasi_subscription);
	polls->count = count;
	polls->bytes = (uint64_t)count * polls->each;
	if (!guest.files_bytes || !count || count > FILES_POLLS || in > end ||
	    polls->bytes > end - in || out > end ||
	    count * sizeof(struct wasi_event) > end - out || put > end ||
	    sizeof(uint32_t) > end - put)
		return false;
	polls->in = memory->base + in;
	polls->before = guest_allocate(NULL, polls->bytes);
	polls->events = guest_allocate(NULL, count * sizeof(struct wasi_event));
	if (!polls->before || !polls->events)
		return false;
	memcpy(polls->before, polls->in, polls->bytes);
	return true;
}

static void polls_close(const struct polls *polls)
{
	guest_release(NULL, polls->before, polls->bytes);
	guest_release(NULL, polls->events,
		      polls->count * sizeof(struct wasi_event));
}

int64_t guest_files_poll(bool unstable, const struct wasm_memory *memory,
			 const union wasm_value *slots)
{
	struct polls polls = { 0 };
	bool changed = polls_open(&polls, memory, unstable, slots) &&
		       poll_change(&polls);
	int64_t answer = guest_bell(GUEST_BELL_WASI);
	uint32_t events = 0;

	if (changed && answer == 0)
		memcpy(&events, memory->base + slots[3].i32, sizeof events);
	if (changed)
		poll_fix(&polls, memory->base + slots[1].i32, events);
	if (changed && answer == 0)
		memcpy(memory->base + slots[3].i32, &events, sizeof events);
	polls_close(&polls);
	return answer;
}
