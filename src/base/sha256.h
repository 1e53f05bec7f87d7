/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4): the hash of contents that have to be told apart from
 * all others, whoever made them.  By the CPU's own instructions where it has
 * them. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_BLOCK = 64 };

struct sha256 {
	uint32_t state[8];
	uint64_t len;
	uint8_t block[SHA256_BLOCK];
	/* Takes whole blocks. */
	void (*blocks)(uint32_t state[8], const uint8_t *data, size_t count);
};
void sha256_start(struct sha256 *sha);
void sha256_start_plain(struct sha256 *sha); /* for tests: in C alone */
void sha256_add(struct sha256 *sha, const void *data, size_t len);
void sha256_end(struct sha256 *sha, uint8_t sum[SHA256_BYTES]);
void sha256_of(const void *data, size_t len, uint8_t sum[SHA256_BYTES]);
