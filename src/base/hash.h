/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of names and contents (XXH3, not for secrets) as numbers and as
 * lower-case hex. */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t len);
void hash_hex(uint64_t hash, char hex[17]);
void hash_bytes_hex(const uint8_t *bytes, size_t len,
		    char *hex); /* 2 * len + 1 */
