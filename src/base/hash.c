/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3, compiled into this file alone. */
#include "base/hash.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

void hash_hex(uint64_t hash, char hex[17])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++)
		hex[i] = digits[hash >> (60 - 4 * i) & 15];
	hex[16] = 0;
}
