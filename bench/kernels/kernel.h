/* SPDX-License-Identifier: Apache-2.0 */
/* What all kernels share: the entry, the checksum's way out and a source of
 * numbers.  A kernel is one file that defines kernel(); it is built for this
 * machine and as a module that imports nothing but WASI's fd_write, so that
 * what is measured is the engine and not a C library.  All of a kernel's work
 * flows into its checksum, which it prints and which must be the same in both.
 *
 * BENCH_SCALE is the work in per cent; what repeats does so SCALED(n) times,
 * and each time on what the one before left: nothing can be lifted out. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifndef BENCH_SCALE
#define BENCH_SCALE 100
#endif
#define SCALED(n) ((uint32_t)(((n) * (uint64_t)(BENCH_SCALE) + 99) / 100))

uint64_t kernel(void);

static inline uint32_t random_next(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static inline uint64_t mix(uint64_t sum, uint64_t value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
	return sum ^ (sum >> 29);
}

static inline uint64_t mix_f64(uint64_t sum, double value)
{
	union {
		double f;
		uint64_t bits;
	} u = { .f = value };

	return mix(sum, u.bits);
}

static inline uint64_t mix_f32(uint64_t sum, float value)
{
	union {
		float f;
		uint32_t bits;
	} u = { .f = value };

	return mix(sum, u.bits);
}

static inline void hex_line(char line[17], uint64_t sum)
{
	for (int i = 0; i < 16; i++)
		line[i] = "0123456789abcdef"[sum >> (60 - 4 * i) & 15];
	line[16] = '\n';
}

#ifdef __wasm__
struct piece {
	const char *text;
	size_t size;
};
__attribute__((import_module("wasi_snapshot_preview1"),
	       import_name("fd_write"))) int
fd_write(int fd, const struct piece *pieces, size_t count, size_t *written);
void _start(void);

void _start(void)
{
	char line[17];
	struct piece piece = { line, sizeof(line) };
	size_t written;

	hex_line(line, kernel());
	if (fd_write(1, &piece, 1, &written) != 0)
		__builtin_trap();
}
#else
#include <unistd.h>

int main(void)
{
	char line[17];

	hex_line(line, kernel());
	return write(1, line, sizeof(line)) != sizeof(line);
}
#endif

#endif
