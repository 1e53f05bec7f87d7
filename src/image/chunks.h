/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of a layer: of its data, piece by piece, and of all. */
#pragma once
#include "base/sha256.h"
#include "brood/layer_format.h"
#include <stdbool.h>
#include <stddef.h>

/* Takes the stream of data as it comes. */
struct chunks {
	struct sha256 sha;
	size_t filled; /* of the piece at hand */
	uint64_t count, most;
	uint8_t (*hashes)[SHA256_BYTES]; /* room for "most" */
};
void chunks_start(struct chunks *chunks, uint8_t (*hashes)[SHA256_BYTES],
		  uint64_t most);
void chunks_add(struct chunks *chunks, const void *data, size_t len);
void chunks_end(struct chunks *chunks);
uint64_t chunks_of(uint64_t bytes); /* how many they are */

/* "page" is a header with what follows it up to LAYER_PAGE. */
void chunks_id(const void *page, const struct layer_extent *extents,
	       const uint8_t (*hashes)[SHA256_BYTES], uint8_t id[LAYER_ID]);
uint32_t chunks_header_sum(const void *page);
