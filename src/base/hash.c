/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3, compiled into this file alone. */
#include "base/hash.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

static const char hash_digits[] = "0123456789abcdef";

void hash_bytes_hex(const uint8_t *bytes, size_t len, char *hex)
{
	for (size_t i = 0; i < len; i++) {
		*hex++ = hash_digits[bytes[i] >> 4];
		*hex++ = hash_digits[bytes[i] & 15];
	}
	*hex = 0;
}

void hash_hex(uint64_t hash, char hex[17])
{
	for (int i = 0; i < 16; i++)
		hex[i] = hash_digits[hash >> (60 - 4 * i) & 15];
	hex[16] = 0;
}
