/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a profile: refused, or one that can be merged, cut and written,
 * and is the same when it is read once more.  The checksum is made right, so
 * that what lies behind it is reached; an odd first byte leaves it.  The same
 * bytes as the optimiser's state. */
#include "base/buf.h"
#include "base/sha256.h"
#include "cache/optimiser.h"
#include "cache/profile.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[CODE_KEY_BYTES];

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

static void make_right(uint8_t *bytes, size_t size)
{
	const size_t at = offsetof(struct profile_header, sum);

	if (size < sizeof(struct profile_header))
		return;
	memset(bytes + at, 0, SHA256_BYTES);
	sha256_of(bytes, size, bytes + at);
}

static void use_hot(const struct cache_profile *profile)
{
	struct cache_hot hot;

	require(cache_profile_tell(profile, NULL, &hot, NULL) == 0);
	require(hot.left == hot.ticks && hot.ticks <= hot.total &&
		hot.ticks * 100 >= hot.total * CACHE_PROFILE_HOT);
}

static void use(struct cache_profile *profile)
{
	struct buf bytes = { 0 };
	struct cache_profile again;
	uint32_t count = profile->function_count;
	uint32_t *ticks = count && count < 65536 ? calloc(count, 4) : NULL;

	use_hot(profile);
	cache_profile_write(profile, key, &bytes);
	require(!cache_profile_read(&again, bytes.data, bytes.len, key) &&
		again.total == profile->total && again.count == profile->count);
	cache_profile_fini(&again);
	buf_fini(&bytes);
	if (ticks) {
		ticks[count - 1] = UINT32_MAX;
		require(!cache_profile_merge(profile, ticks, count, NULL));
		require(profile->total <= CACHE_PROFILE_MOST);
		use_hot(profile);
	}
	free(ticks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size + 1);
	struct optimiser_state state;
	struct cache_profile profile = { 0 };

	require(bytes != NULL);
	if (size)
		memcpy(bytes, data + 1, size - 1);
	if (size && !(data[0] & 1))
		make_right(bytes, size - 1);
	if (size && !cache_profile_read(&profile, bytes, size - 1, key))
		use(&profile);
	cache_profile_fini(&profile);
	cache_optimiser_check(&state, data, size);
	free(bytes);
	return 0;
}
