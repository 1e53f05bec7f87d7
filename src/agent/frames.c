/* SPDX-License-Identifier: Apache-2.0 */
/* Finds frames among bytes.  Nothing in a head is used before its sum is
 * right, and no length before it is in bounds. */
#include "agent/frames.h"
#include "bare/crc.h"
#include <string.h>

enum { FRAMES_SUMMED = offsetof(struct agent_frame, sum) };

void frames_init(struct frames *frames)
{
	frames->from = frames->to = 0;
	frames->passed = 0;
}

void *frames_room(struct frames *frames, size_t *room)
{
	if (frames->from) {
		memmove(frames->bytes, frames->bytes + frames->from,
			frames->to - frames->from);
		frames->to -= frames->from;
		/* a secret that came in pieces shall be here once */
		memset(frames->bytes + frames->to, 0, frames->from);
		frames->from = 0;
	}
	*room = FRAMES_ROOM - frames->to;
	return frames->bytes + frames->to;
}

void frames_used(struct frames *frames, size_t len)
{
	frames->to += len;
}

static void frames_skip(struct frames *frames)
{
	frames->from++;
	frames->passed++;
}

/* As many bytes of the magic as have come. */
static bool frames_may_begin(const uint8_t *at, uint32_t len)
{
	const uint32_t magic = AGENT_MAGIC;

	return memcmp(at, &magic, len < sizeof magic ? len : sizeof magic) == 0;
}

static bool frames_is_head(const struct agent_frame *head)
{
	return head->sum == crc_of(0, head, FRAMES_SUMMED) &&
	       head->bytes <= AGENT_MOST && head->flags == 0;
}

bool frames_next(struct frames *frames, struct agent_frame *head,
		 void **payload)
{
	while (frames->from < frames->to) {
		uint8_t *at = frames->bytes + frames->from;
		uint32_t len = frames->to - frames->from;

		if (!frames_may_begin(at, len)) {
			frames_skip(frames);
			continue;
		}
		if (len < sizeof *head)
			return false;
		memcpy(head, at, sizeof *head);
		if (!frames_is_head(head)) {
			frames_skip(frames);
			continue;
		}
		if (len - sizeof *head < head->bytes)
			return false;
		*payload = at + sizeof *head;
		if (head->payload_sum != crc_of(0, *payload, head->bytes)) {
			frames_skip(frames);
			continue;
		}
		frames->from += sizeof *head + head->bytes;
		return true;
	}
	return false;
}

bool frames_pass(struct frames *frames)
{
	if (frames->from == frames->to)
		return false;
	frames_skip(frames);
	return true;
}

void frames_head(struct agent_frame *head, enum agent_kind kind, uint32_t id,
		 const void *payload, uint32_t bytes)
{
	*head = (struct agent_frame){
		.magic = AGENT_MAGIC,
		.kind = kind,
		.id = id,
		.bytes = bytes,
		.payload_sum = crc_of(0, payload, bytes),
	};
	head->sum = crc_of(0, head, FRAMES_SUMMED);
}
