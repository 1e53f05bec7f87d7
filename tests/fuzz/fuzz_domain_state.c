/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a domain's state, and any changes of a right one: what is taken
 * has regions, parts and codes that lie where they may.  Input: a byte that
 * says what it is (bytes, changes), then the bytes, or changes of three bytes
 * each: a place of two, and a value. */
#include "domain/internal.h"
#include "domain/snapshot.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WASI_BYTES = 24 };

static const struct right {
	struct domain_state head;
	struct domain_state_region regions[3];
	struct domain_state_part parts[4];
	struct domain_state_code codes[1];
	uint8_t wasi[WASI_BYTES];
} right = {
	.head = { .version = DOMAIN_STATE_VERSION,
		  .header_bytes = sizeof(struct domain_state),
		  .point = DOMAIN_POINT_CALL,
		  .region_count = 3,
		  .part_count = 4,
		  .code_count = 1,
		  .tables = 20,
		  .wasi_bytes = WASI_BYTES,
		  .physical = 5 * GUEST_LARGE + GUEST_SYSTEM_BYTES +
			      GUEST_HEAP_FIRST,
		  .code_bytes = GUEST_LARGE,
		  .file_bytes = sizeof(struct right) },
	.regions = { { .reserve = GUEST_SYSTEM_BYTES + GUEST_HEAP_MOST,
		       .open = GUEST_SYSTEM_BYTES + GUEST_PAGE,
		       .bytes = GUEST_SYSTEM_BYTES,
		       .backed = GUEST_SYSTEM_BYTES + GUEST_HEAP_FIRST },
		     { .reserve = UINT64_C(1) << 32,
		       .open = 3 * GUEST_PAGE,
		       .bytes = 2 * GUEST_PAGE + 1,
		       .backed = 4 * GUEST_LARGE },
		     { .reserve = GUEST_PAGE,
		       .backed = GUEST_PAGE,
		       .is_dropped = 1 } },
	.parts = { { .physical = 0,
		     .bytes = GUEST_SYSTEM_BYTES + GUEST_HEAP_FIRST },
		   { .physical = GUEST_SYSTEM_BYTES + GUEST_HEAP_FIRST,
		     .bytes = 2 * GUEST_LARGE,
		     .region = 1 },
		   { .physical = GUEST_SYSTEM_BYTES + GUEST_HEAP_FIRST +
				 2 * GUEST_LARGE,
		     .bytes = GUEST_PAGE,
		     .region = 2 },
		   { .physical = GUEST_SYSTEM_BYTES + GUEST_HEAP_FIRST +
				 3 * GUEST_LARGE,
		     .bytes = 2 * GUEST_LARGE,
		     .offset = 2 * GUEST_LARGE,
		     .region = 1 } },
	.codes = { { .virtual = GUEST_CODE_VA,
		     .bytes = 3 * GUEST_PAGE,
		     .module_at = GUEST_PAGE,
		     .module_bytes = 5,
		     .has_code = 1 } },
};

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* Of one that is taken: each sum and each end, by other words than the
 * check's. */
static void look(const struct domain_state *state, size_t len)
{
	const struct domain_state_region *regions = (const void *)(state + 1);
	const struct domain_state_part *parts =
		(const void *)(regions + state->region_count);
	const struct domain_state_code *codes =
		(const void *)(parts + state->part_count);
	const uint8_t *end = (const uint8_t *)state + len;
	uint64_t total = 0;

	require((const uint8_t *)(codes + state->code_count) +
			state->wasi_bytes ==
		end);
	for (uint32_t i = 0; i < state->part_count; i++) {
		require(parts[i].region < state->region_count);
		require(parts[i].offset + parts[i].bytes <=
			regions[parts[i].region].reserve);
		require(parts[i].physical >= total);
		total = parts[i].physical + parts[i].bytes;
		require(total <= GUEST_CODE_AT);
	}
	for (uint32_t i = 0; i < state->region_count; i++)
		require(regions[i].bytes <= regions[i].open &&
			regions[i].open <= regions[i].backed &&
			regions[i].backed <= regions[i].reserve);
	for (uint32_t i = 0; i < state->code_count; i++)
		require(codes[i].module_at + codes[i].module_bytes <=
				codes[i].bytes &&
			codes[i].virtual >= GUEST_CODE_VA &&
			codes[i].virtual + codes[i].bytes <=
				GUEST_CODE_VA + GUEST_CODE_MOST);
}

/* The bytes are exactly as long as they are. */
static const char *try_state(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	const char *why;

	require(copy != NULL);
	memcpy(copy, bytes, len);
	why = snapshot_check(copy, len);
	if (!why)
		look((const struct domain_state *)copy, len);
	free(copy);
	return why;
}

static void begin(struct right *state)
{
	memcpy(state, &right, sizeof(right));
	memcpy(state->head.magic, DOMAIN_STATE_MAGIC,
	       sizeof(state->head.magic));
	domain_image_hash(state->head.guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct right state;

	begin(&state);
	require(!try_state((const uint8_t *)&state, sizeof(state)));
	for (size_t len = 0; size == 0 && len < sizeof(state); len++)
		require(try_state((const uint8_t *)&state, len) != NULL);
	if (size && data[0] % 2 == 0)
		try_state(data + 1, size - 1);
	for (size_t at = 1; size && data[0] % 2 && at + 3 <= size; at += 3) {
		size_t place =
			(data[at] | (size_t)data[at + 1] << 8) % sizeof(state);

		((uint8_t *)&state)[place] = data[at + 2];
		try_state((const uint8_t *)&state, sizeof(state));
	}
	return 0;
}
