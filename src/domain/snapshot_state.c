/* SPDX-License-Identifier: Apache-2.0 */
/* The state's bytes: each invariant of the format is checked here, before
 * any of it is used. */
#include "base/sha256.h"
#include "domain/internal.h"
#include "domain/snapshot.h"
#include <string.h>

static uint64_t state_bytes(const struct domain_state *state)
{
	return sizeof(*state) +
	       state->region_count * sizeof(struct domain_state_region) +
	       state->part_count * sizeof(struct domain_state_part) +
	       state->code_count * sizeof(struct domain_state_code);
}

static const char *check_head(const struct domain_state *state, uint64_t len)
{
	uint8_t guest[SHA256_BYTES];

	if (len < sizeof(*state) ||
	    memcmp(state->magic, DOMAIN_STATE_MAGIC, sizeof(state->magic)) != 0)
		return "it is no domain's";
	if (state->version != DOMAIN_STATE_VERSION ||
	    state->header_bytes != sizeof(*state))
		return "it is of another version";
	domain_image_hash(guest);
	if (memcmp(state->guest, guest, sizeof(guest)) != 0)
		return "it is of another build of the guest";
	if (state->point < DOMAIN_POINT_FRESH ||
	    state->point > DOMAIN_POINT_CALL)
		return "it stopped nowhere";
	if (state->region_count < SPACE_WINDOWS ||
	    state->region_count > DOMAIN_REGIONS_MOST ||
	    state->part_count < 1 || state->part_count > DOMAIN_PARTS_MOST ||
	    state->code_count > DOMAIN_CODES_MOST)
		return "its counts are absurd";
	if (state->tables < 1 ||
	    state->tables > GUEST_TABLES_BYTES / GUEST_PAGE ||
	    state->reserved || state->has_fuel > 1)
		return "its numbers are absurd";
	if (state->files_bytes > GUEST_FILES_MOST ||
	    state->files_bytes % GUEST_PAGE)
		return "its image of files is absurd";
	if (state->file_bytes != len || state_bytes(state) > len ||
	    state->wasi_bytes != len - state_bytes(state))
		return "its length is wrong";
	return NULL;
}

static bool is_paged(uint64_t bytes)
{
	return bytes % GUEST_PAGE == 0;
}

static const char *check_region(const struct domain_state_region *region,
				uint32_t number)
{
	uint64_t most = number == SPACE_SYSTEM
				? GUEST_SYSTEM_BYTES + GUEST_HEAP_MOST
				: GUEST_MEMORY_STRIDE - GUEST_MEMORY_GUARD;

	if (!region->reserve || region->reserve > most ||
	    !is_paged(region->reserve) || !is_paged(region->open) ||
	    !is_paged(region->backed) || region->open > region->backed ||
	    region->backed > region->reserve || region->bytes > region->open ||
	    region->is_dropped > 1 || region->reserved)
		return "a region of it is absurd";
	if (number == SPACE_SYSTEM &&
	    (region->reserve != most || region->open < GUEST_SYSTEM_BYTES))
		return "its system has another size";
	return NULL;
}

/* In the order of addresses without gaps but to a large page, and in each
 * region one behind the other. */
static const char *check_parts(const struct domain_state *state,
			       const struct domain_state_region *regions,
			       const struct domain_state_part *parts)
{
	uint64_t physical = 0, backed[DOMAIN_REGIONS_MOST] = { 0 };

	for (uint32_t i = 0; i < state->part_count; i++) {
		const struct domain_state_part *part = &parts[i];

		if (part->region >= state->region_count || part->reserved ||
		    part->physical != physical || !part->bytes ||
		    !is_paged(part->bytes) ||
		    part->bytes > GUEST_CODE_AT - physical ||
		    part->offset != backed[part->region] ||
		    part->bytes > regions[part->region].backed - part->offset)
			return "a part of it is absurd";
		backed[part->region] += part->bytes;
		physical +=
			(part->bytes + GUEST_LARGE - 1) & ~(GUEST_LARGE - 1);
	}
	for (uint32_t i = 0; i < state->region_count; i++)
		if (backed[i] != regions[i].backed)
			return "its parts do not make up its regions";
	if (parts[0].region != SPACE_SYSTEM || state->physical != physical)
		return "its parts do not make up a memory";
	return NULL;
}

static const char *check_codes(const struct domain_state *state,
			       const struct domain_state_code *codes)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < state->code_count; i++) {
		const struct domain_state_code *code = &codes[i];

		if (code->virtual != GUEST_CODE_VA + bytes || !code->bytes ||
		    code->bytes > GUEST_CODE_MOST - bytes ||
		    code->module_at > code->bytes ||
		    code->module_bytes > code->bytes - code->module_at ||
		    code->has_code > 1)
			return "a code of it is absurd";
		bytes += (code->bytes + GUEST_LARGE - 1) & ~(GUEST_LARGE - 1);
	}
	return bytes == state->code_bytes ? NULL : "its codes have a gap";
}

const char *snapshot_check(const void *data, uint64_t len)
{
	const struct domain_state *state = data;
	const char *why = check_head(state, len);
	const struct domain_state_region *regions = (const void *)(state + 1);
	const struct domain_state_part *parts;

	if (why)
		return why;
	parts = (const void *)(regions + state->region_count);
	for (uint32_t i = 0; !why && i < state->region_count; i++)
		why = check_region(&regions[i], i);
	if (!why)
		why = check_parts(state, regions, parts);
	if (!why)
		why = check_codes(state,
				  (const void *)(parts + state->part_count));
	return why;
}

void snapshot_shape(uint8_t shape[LAYER_ID])
{
	static const char words[] = "domain 1 ";
	struct sha256 sha;
	uint8_t guest[SHA256_BYTES];

	domain_image_hash(guest);
	sha256_start(&sha);
	sha256_add(&sha, words, sizeof(words));
	sha256_add(&sha, guest, sizeof(guest));
	sha256_end(&sha, shape);
}
