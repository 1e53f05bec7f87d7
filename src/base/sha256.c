/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 in C and with the SHA instructions. */
#include "base/sha256.h"
#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

/* Done before the CPU has said what it can. */
enum { SHA256_SMALL = 1024 };

static const uint32_t sha256_k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t sha256_turn(uint32_t x, int by)
{
	return x >> by | x << (32 - by);
}

static uint32_t sha256_big(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

static void sha256_schedule(const uint8_t *data, uint32_t w[64])
{
	for (int i = 0; i < 16; i++)
		w[i] = sha256_big(data + 4 * i);
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		a = sha256_turn(a, 7) ^ sha256_turn(a, 18) ^ a >> 3;
		b = sha256_turn(b, 17) ^ sha256_turn(b, 19) ^ b >> 10;
		w[i] = w[i - 16] + a + w[i - 7] + b;
	}
}

/* Round i of eight: the variables stay where they are, their roles move. */
static inline __attribute__((always_inline)) void
sha256_round(uint32_t v[8], int i, uint32_t word)
{
	uint32_t a = v[-i & 7], b = v[(1 - i) & 7], c = v[(2 - i) & 7];
	uint32_t e = v[(4 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
	uint32_t *d = &v[(3 - i) & 7], *h = &v[(7 - i) & 7];

	*h += word + (g ^ (e & (f ^ g))) +
	      (sha256_turn(e, 6) ^ sha256_turn(e, 11) ^ sha256_turn(e, 25));
	*d += *h;
	*h += ((a & b) ^ (c & (a ^ b))) +
	      (sha256_turn(a, 2) ^ sha256_turn(a, 13) ^ sha256_turn(a, 22));
}

static void sha256_blocks_plain(uint32_t state[8], const uint8_t *data,
				size_t count)
{
	uint32_t w[64], v[8];

	for (; count; count--, data += SHA256_BLOCK) {
		sha256_schedule(data, w);
		memcpy(v, state, sizeof(v));
		for (int i = 0; i < 64; i += 8)
#pragma GCC unroll 8
			for (int j = 0; j < 8; j++)
				sha256_round(v, j, w[i + j] + sha256_k[i + j]);
		for (int i = 0; i < 8; i++)
			state[i] += v[i];
	}
}

#define SHA256_NI __attribute__((target("sha,sse4.1")))

/* Four rounds; x holds ABEF, y CDGH. */
SHA256_NI static inline void sha256_ni_four(__m128i *x, __m128i *y, __m128i w,
					    const uint32_t *k)
{
	w = _mm_add_epi32(w, _mm_load_si128((const __m128i *)k));
	*y = _mm_sha256rnds2_epu32(*y, *x, w);
	*x = _mm_sha256rnds2_epu32(*x, *y, _mm_shuffle_epi32(w, 0x0e));
}

/* The next four words out of the last sixteen. */
SHA256_NI static inline __m128i sha256_ni_words(__m128i a, __m128i b, __m128i c,
						__m128i d)
{
	a = _mm_sha256msg1_epu32(a, b);
	a = _mm_add_epi32(a, _mm_alignr_epi8(d, c, 4));
	return _mm_sha256msg2_epu32(a, d);
}

SHA256_NI static inline void sha256_ni_block(__m128i *x, __m128i *y,
					     const uint8_t *data)
{
	const __m128i big = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6,
					 7, 0, 1, 2, 3);
	__m128i w[4];

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		w[i] = _mm_loadu_si128((const __m128i *)data + i);
		w[i] = _mm_shuffle_epi8(w[i], big);
		sha256_ni_four(x, y, w[i], sha256_k + 4 * i);
	}
#pragma GCC unroll 12
	for (int i = 4; i < 16; i++) {
		w[i & 3] = sha256_ni_words(w[i & 3], w[(i + 1) & 3],
					   w[(i + 2) & 3], w[(i + 3) & 3]);
		sha256_ni_four(x, y, w[i & 3], sha256_k + 4 * i);
	}
}

/* state is ABCD EFGH, the instructions want ABEF CDGH. */
SHA256_NI static void sha256_blocks_ni(uint32_t state[8], const uint8_t *data,
				       size_t count)
{
	__m128i x = _mm_set_epi32(state[0], state[1], state[4], state[5]);
	__m128i y = _mm_set_epi32(state[2], state[3], state[6], state[7]);
	uint32_t out[8] __attribute__((aligned(16)));

	for (; count; count--, data += SHA256_BLOCK) {
		__m128i x0 = x, y0 = y;

		sha256_ni_block(&x, &y, data);
		x = _mm_add_epi32(x, x0);
		y = _mm_add_epi32(y, y0);
	}
	_mm_store_si128((__m128i *)out, x);
	_mm_store_si128((__m128i *)out + 1, y);
	for (int i = 0; i < 2; i++) {
		state[i] = out[3 - i];
		state[2 + i] = out[7 - i];
		state[4 + i] = out[1 - i];
		state[6 + i] = out[5 - i];
	}
}

void sha256_start_plain(struct sha256 *sha)
{
	static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372,
					   0xa54ff53a, 0x510e527f, 0x9b05688c,
					   0x1f83d9ab, 0x5be0cd19 };

	memcpy(sha->state, first, sizeof(first));
	sha->len = 0;
	sha->blocks = sha256_blocks_plain;
}

/* The compiler's way asks for all that a CPU has whenever a program begins,
 * which takes a virtual machine longer than a small program runs; to ask each
 * time is slower for who hashes many things. */
static bool sha256_has_ni(void)
{
#ifdef BROOD_ALONE
	unsigned a, b = 0, c = 0, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_1 &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
#else
	return __builtin_cpu_supports("sha") &&
	       __builtin_cpu_supports("sse4.1");
#endif
}

void sha256_start(struct sha256 *sha)
{
	sha256_start_plain(sha);
	if (sha256_has_ni())
		sha->blocks = sha256_blocks_ni;
}

void sha256_add(struct sha256 *sha, const void *data, size_t len)
{
	const uint8_t *at = data;
	size_t held = sha->len % SHA256_BLOCK, part;

	sha->len += len;
	if (held) {
		part = SHA256_BLOCK - held < len ? SHA256_BLOCK - held : len;
		memcpy(sha->block + held, at, part);
		if (held + part < SHA256_BLOCK)
			return;
		sha->blocks(sha->state, sha->block, 1);
		at += part;
		len -= part;
	}
	if (len >= SHA256_BLOCK)
		sha->blocks(sha->state, at, len / SHA256_BLOCK);
	part = len % SHA256_BLOCK;
	if (part)
		memcpy(sha->block, at + len - part, part);
}

void sha256_end(struct sha256 *sha, uint8_t sum[SHA256_BYTES])
{
	uint64_t bits = sha->len * 8;
	size_t held = sha->len % SHA256_BLOCK;
	uint8_t tail[2 * SHA256_BLOCK] = { 0x80 };
	size_t len = (held < 56 ? 64 : 128) - held;

	for (int i = 0; i < 8; i++)
		tail[len - 1 - i] = (uint8_t)(bits >> 8 * i);
	sha256_add(sha, tail, len);
	for (int i = 0; i < 32; i++)
		sum[i] = (uint8_t)(sha->state[i / 4] >> (24 - i % 4 * 8));
}

void sha256_of(const void *data, size_t len, uint8_t sum[SHA256_BYTES])
{
	struct sha256 sha;

	if (len < SHA256_SMALL)
		sha256_start_plain(&sha);
	else
		sha256_start(&sha);
	sha256_add(&sha, data, len);
	sha256_end(&sha, sum);
}
