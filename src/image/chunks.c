/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of data in pieces, so that a reader can tell which one is wrong, and
 * an id that needs no more than the tables. */
#include "image/chunks.h"
#include "bare/crc.h"
#include <string.h>

void chunks_start(struct chunks *chunks, uint8_t (*hashes)[SHA256_BYTES],
		  uint64_t most)
{
	*chunks = (struct chunks){ .hashes = hashes, .most = most };
	sha256_start(&chunks->sha);
}

static void chunks_finish(struct chunks *chunks)
{
	uint8_t lost[SHA256_BYTES];

	sha256_end(&chunks->sha, chunks->count < chunks->most
					 ? chunks->hashes[chunks->count]
					 : lost);
	chunks->count++;
	chunks->filled = 0;
	sha256_start(&chunks->sha);
}

void chunks_add(struct chunks *chunks, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	while (len) {
		size_t part = LAYER_CHUNK - chunks->filled;

		part = part < len ? part : len;
		sha256_add(&chunks->sha, bytes, part);
		chunks->filled += part;
		bytes += part;
		len -= part;
		if (chunks->filled == LAYER_CHUNK)
			chunks_finish(chunks);
	}
}

void chunks_end(struct chunks *chunks)
{
	if (chunks->filled)
		chunks_finish(chunks);
}

uint64_t chunks_of(uint64_t bytes)
{
	return bytes / LAYER_CHUNK + (bytes % LAYER_CHUNK != 0);
}

void chunks_id(const void *page, const struct layer_extent *extents,
	       const uint8_t (*hashes)[SHA256_BYTES], uint8_t id[LAYER_ID])
{
	union {
		struct layer_header head;
		uint8_t bytes[LAYER_PAGE];
	} copy;
	struct sha256 sha;

	memcpy(copy.bytes, page, LAYER_PAGE);
	memset(copy.head.id, 0, sizeof(copy.head.id));
	copy.head.sum = 0;
	sha256_start(&sha);
	sha256_add(&sha, copy.bytes, LAYER_PAGE);
	sha256_add(&sha, extents, copy.head.extent_count * sizeof(*extents));
	sha256_add(&sha, hashes, copy.head.hash_count * sizeof(*hashes));
	sha256_end(&sha, id);
}

uint32_t chunks_header_sum(const void *page)
{
	uint8_t copy[LAYER_PAGE];

	memcpy(copy, page, LAYER_PAGE);
	memset(copy + offsetof(struct layer_header, sum), 0, sizeof(uint32_t));
	return crc_of(0, copy, LAYER_PAGE);
}
