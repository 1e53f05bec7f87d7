/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C and a hash.  A starter computes the CRC of a header on each
 * launch, so it takes the CPU's instruction where there is one. */
#include "bare/crc.h"
#include <cpuid.h>
#include <string.h>

static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
	crc ^= byte;
	for (int i = 0; i < 8; i++)
		crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	return crc;
}

static uint32_t crc_slow(uint32_t crc, const uint8_t *at, size_t len)
{
	while (len--)
		crc = crc_byte(crc, *at++);
	return crc;
}

__attribute__((target("sse4.2"))) static uint32_t
crc_fast(uint32_t crc, const uint8_t *at, size_t len)
{
	uint64_t sum = crc, word;

	for (; len >= 8; at += 8, len -= 8) {
		memcpy(&word, at, 8);
		sum = __builtin_ia32_crc32di(sum, word);
	}
	crc = sum;
	while (len--)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return crc;
}

/* Under a hypervisor CPUID is a trap, of microseconds: who has a libc asks
 * what that found at its start. */
static int crc_has_instruction(void)
{
#if defined(BROOD_HATCH) || defined(BROOD_SHIM)
	unsigned a, b, c = 0, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2);
#else
	return __builtin_cpu_supports("sse4.2");
#endif
}

uint32_t crc_of(uint32_t crc, const void *data, size_t len)
{
	crc = ~crc;
	crc = crc_has_instruction() ? crc_fast(crc, data, len)
				    : crc_slow(crc, data, len);
	return ~crc;
}

uint64_t crc_hash(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *at = data;
	uint64_t sum = seed ^ 0xcbf29ce484222325u, word;

	for (; len >= 8; at += 8, len -= 8) {
		memcpy(&word, at, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	for (; len; len--)
		sum = (sum ^ *at++) * 0x100000001b3u;
	sum ^= sum >> 32;
	sum *= 0xd6e8feb86659fd93u;
	return sum ^ sum >> 32;
}
