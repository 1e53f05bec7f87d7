/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C, eight bytes at a time by the SSE 4.2 instruction where the CPU
 * has it, by a table where not.  And a 64-bit mix for facts. */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint32_t crc_of(uint32_t crc, const void *data, size_t len);	/* start: 0 */
uint64_t crc_hash(uint64_t seed, const void *data, size_t len); /* FNV-like */
