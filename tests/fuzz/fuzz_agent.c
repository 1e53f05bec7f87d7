/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes on the line to an agent, in pieces whose length the first byte
 * says: what is taken for a frame is one, and all bytes are used up. */
#include "agent/frames.h"
#include "bare/crc.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

/* How many bytes were in frames. */
static uint64_t take_all(struct frames *frames)
{
	struct agent_frame head;
	uint64_t taken = 0;
	uint8_t *payload;
	void *at;

	while (frames_next(frames, &head, &at)) {
		payload = at;
		require(head.magic == AGENT_MAGIC && head.bytes <= AGENT_MOST);
		require(payload >= frames->bytes + sizeof head &&
			payload + head.bytes <= frames->bytes + frames->to);
		require(crc_of(0, payload, head.bytes) == head.payload_sum);
		memset(payload, 0, head.bytes); /* the agent wipes keys */
		taken += sizeof head + head.bytes;
	}
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frames *frames = malloc(sizeof *frames);
	uint64_t taken = 0;
	size_t step, at, room;

	if (!frames || size == 0) {
		free(frames);
		return 0;
	}
	frames_init(frames);
	step = data[0] + 1;
	for (at = 1; at < size;) {
		void *to = frames_room(frames, &room);
		size_t n = size - at < step ? size - at : step;

		require(room >= FRAMES_MOST);
		n = n < room ? n : room;
		memcpy(to, data + at, n);
		frames_used(frames, n);
		at += n;
		taken += take_all(frames);
	}
	while (frames_pass(frames))
		taken += take_all(frames);
	require(taken + frames->passed == size - 1);
	free(frames);
	return 0;
}
