/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of agent_wire.h out of a line whose bytes may be lost, doubled or
 * somebody else's.  Used by both ends.
 *
 *	bytes	[ ..passed over.. | from: what may be a frame | to: free ]
 *
 * Whatever is no frame is passed over byte by byte, so that one that begins
 * inside of a broken one is found. */
#pragma once
#include "brood/agent_wire.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FRAMES_MOST = sizeof(struct agent_frame) + AGENT_MOST,
	FRAMES_ROOM = 2 * FRAMES_MOST
};

struct frames {
	uint32_t from, to;
	uint64_t passed; /* bytes that were in no frame */
	uint8_t bytes[FRAMES_ROOM];
};

void frames_init(struct frames *frames);
/* Where the next bytes of the line go, at least FRAMES_MOST of them once
 * frames_next has said that there is no more; then how many came. */
void *frames_room(struct frames *frames, size_t *room);
void frames_used(struct frames *frames, size_t len);
/* The next whole frame; its payload stays until frames_room. */
bool frames_next(struct frames *frames, struct agent_frame *head,
		 void **payload);
/* The line has been quiet: what has begun is no frame.  There may be a whole
 * one behind its beginning.  false: nothing has begun. */
bool frames_pass(struct frames *frames);
/* Fills the head of a frame; bytes <= AGENT_MOST. */
void frames_head(struct agent_frame *head, enum agent_kind kind, uint32_t id,
		 const void *payload, uint32_t bytes);
