/* SPDX-License-Identifier: Apache-2.0 */
/* Frames are found in whatever a line brings: in pieces of any size, behind
 * noise, behind broken ones, inside of them. */
#include "agent/frames.h"
#include "bare/crc.h"
#include "test.h"

enum { WIRE_MOST = 65536 };

struct wire { /* bytes as they come over the line */
	uint8_t bytes[WIRE_MOST];
	size_t len;
};

static void wire_bytes(struct wire *wire, const void *bytes, size_t len)
{
	if (len)
		memcpy(wire->bytes + wire->len, bytes, len);
	wire->len += len;
}

static void wire_frame(struct wire *wire, enum agent_kind kind, uint32_t id,
		       const void *payload, uint32_t bytes)
{
	struct agent_frame head;

	frames_head(&head, kind, id, payload, bytes);
	wire_bytes(wire, &head, sizeof head);
	wire_bytes(wire, payload, bytes);
}

/* Feeds the line in steps of so many bytes; writes the ids that were found
 * behind one another into text: "1 2 ". */
static void wire_read(const struct wire *wire, size_t step,
		      struct frames *frames, char text[256])
{
	struct agent_frame head;
	void *payload, *to;
	size_t at = 0, room, n;

	text[0] = 0;
	while (at < wire->len) {
		to = frames_room(frames, &room);
		n = wire->len - at < step ? wire->len - at : step;
		n = n < room ? n : room;
		CHECK(n > 0);
		if (!n)
			return;
		memcpy(to, wire->bytes + at, n);
		frames_used(frames, n);
		at += n;
		while (frames_next(frames, &head, &payload)) {
			CHECK(crc_of(0, payload, head.bytes) ==
			      head.payload_sum);
			snprintf(text + strlen(text), 256 - strlen(text), "%u ",
				 head.id);
		}
	}
}

static void check_ids(const struct wire *wire, const char *ids)
{
	static const size_t steps[] = {
		1, 2, 3, 5, 23, 24, 25, 700, WIRE_MOST
	};
	struct frames frames;
	char text[256];

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		frames_init(&frames);
		wire_read(wire, steps[i], &frames, text);
		CHECK_TEXT(text, ids);
	}
}

static uint8_t big[AGENT_MOST];

TEST(one_after_another)
{
	struct wire wire = { .len = 0 };

	wire_frame(&wire, AGENT_HELLO, 1, NULL, 0);
	wire_frame(&wire, AGENT_INPUT, 2, "abc", 3);
	wire_frame(&wire, AGENT_INPUT, 3, big, sizeof big);
	wire_frame(&wire, AGENT_SIGNAL, 4, "\1\0\0", 4);
	check_ids(&wire, "1 2 3 4 ");
}

TEST(noise_between_them)
{
	static const uint8_t magic[] = { 0xa1, 0xb3, 0xd4, 0x67 };
	struct wire wire = { .len = 0 };

	wire_bytes(&wire, "login: ", 7);
	wire_frame(&wire, AGENT_HELLO, 1, NULL, 0);
	for (int i = 1; i <= 4; i++)
		wire_bytes(&wire, magic, i);
	wire_frame(&wire, AGENT_HELLO, 2, NULL, 0);
	wire_bytes(&wire, magic, 4);
	wire_bytes(&wire, magic, 4);
	wire_bytes(&wire, big, 24);
	wire_frame(&wire, AGENT_HELLO, 3, NULL, 0);
	check_ids(&wire, "1 2 3 ");
}

/* Any byte of a frame that is another makes it none, and hides no other. */
TEST(a_flipped_byte)
{
	struct wire wire = { .len = 0 };
	size_t from, to;

	wire_frame(&wire, AGENT_HELLO, 1, NULL, 0);
	from = wire.len;
	wire_frame(&wire, AGENT_INPUT, 2, "some input", 10);
	to = wire.len;
	wire_frame(&wire, AGENT_HELLO, 3, NULL, 0);
	wire_frame(&wire, AGENT_HELLO, 4, NULL, 0);
	for (size_t at = from; at < to; at++) {
		wire.bytes[at] ^= 0x10;
		check_ids(&wire, "1 3 4 ");
		wire.bytes[at] ^= 0x10;
	}
	check_ids(&wire, "1 2 3 4 ");
}

/* Of a frame that lost bytes the next ones are taken for its payload, but
 * only until the sum has shown that they are not. */
TEST(lost_bytes)
{
	struct wire wire = { .len = 0 }, lost = { .len = 0 };

	wire_frame(&wire, AGENT_INPUT, 1, big, 500);
	for (int i = 2; i < 40; i++)
		wire_frame(&wire, AGENT_HELLO, i, NULL, 0);
	wire_bytes(&lost, wire.bytes, 400);
	wire_bytes(&lost, wire.bytes + 430, wire.len - 430);
	check_ids(&lost, "2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
			 "22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 "
			 "39 ");
}

static void check_refused(const struct agent_frame *good)
{
	struct wire wire = { .len = 0 };
	struct agent_frame head = *good;

	head.sum = crc_of(0, &head, offsetof(struct agent_frame, sum));
	wire_bytes(&wire, &head, sizeof head);
	wire_frame(&wire, AGENT_HELLO, 7, NULL, 0);
	check_ids(&wire, "7 ");
}

TEST(heads_that_are_none)
{
	struct agent_frame good, bad;

	frames_head(&good, AGENT_HELLO, 1, NULL, 0);
	bad = good;
	bad.bytes = AGENT_MOST + 1;
	check_refused(&bad);
	bad.bytes = ~0u;
	check_refused(&bad);
	bad = good;
	bad.flags = 1;
	check_refused(&bad);
	bad = good;
	bad.magic++;
	check_refused(&bad);
	bad = good;
	bad.payload_sum++;
	check_refused(&bad);
}

/* A head whose payload never comes holds up what is behind it only until the
 * line is quiet. */
TEST(a_frame_without_its_end)
{
	struct wire wire = { .len = 0 };
	struct agent_frame head;
	struct frames frames;
	void *payload;
	char text[256];

	frames_head(&head, AGENT_INPUT, 1, big, sizeof big);
	wire_bytes(&wire, &head, sizeof head);
	wire_bytes(&wire, "abc", 3);
	wire_frame(&wire, AGENT_HELLO, 2, NULL, 0);
	frames_init(&frames);
	wire_read(&wire, 7, &frames, text);
	CHECK_TEXT(text, "");
	CHECK(frames_pass(&frames));
	CHECK(frames_next(&frames, &head, &payload));
	CHECK_INT(head.id, 2);
	CHECK(!frames_next(&frames, &head, &payload));
	CHECK(!frames_pass(&frames));
	CHECK_INT(frames.passed, 24 + 3);
}

TEST(there_is_room_for_the_longest_frame)
{
	struct frames frames;
	struct agent_frame head;
	void *payload;
	size_t room, total = 0;

	frames_init(&frames);
	for (int i = 0; i < 10000; i++) {
		uint8_t *to = frames_room(&frames, &room);
		size_t n = room < 1000 ? room : 1000;

		CHECK(room >= FRAMES_MOST);
		memset(to, 0xa1, n);
		frames_used(&frames, n);
		total += n;
		CHECK(!frames_next(&frames, &head, &payload));
	}
	CHECK(frames.passed >= total - 1);
}

/* Bytes that are frames of all lengths and kinds, each broken somewhere: no
 * read outside (the sanitized build sees it), and few are taken. */
TEST(hostile_bytes)
{
	struct frames frames;
	struct agent_frame head;
	uint64_t seed = 88172645463325252ull;
	unsigned found = 0;
	void *payload;
	size_t room;

	frames_init(&frames);
	for (int i = 0; i < 20000; i++) {
		uint8_t *to = frames_room(&frames, &room);
		uint8_t bytes[256];

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		for (size_t k = 0; k < sizeof bytes; k++)
			bytes[k] = seed >> (k & 56);
		frames_head(&head, seed & 63, i, bytes, seed >> 8 & 127);
		head.bytes = seed >> 20 & (seed & 1 ? 0xffff : 0xff);
		if (seed & 2)
			head.sum = crc_of(0, &head,
					  offsetof(struct agent_frame, sum));
		memcpy(bytes, &head, sizeof head);
		memcpy(to, bytes, 1 + (seed >> 40) % sizeof bytes);
		frames_used(&frames, 1 + (seed >> 40) % sizeof bytes);
		while (frames_next(&frames, &head, &payload)) {
			CHECK((uint8_t *)payload + head.bytes <=
			      frames.bytes + FRAMES_ROOM);
			found++;
		}
	}
	CHECK(found < 300); /* those whose length was left as it was */
}

TEST_MAIN
