/* SPDX-License-Identifier: Apache-2.0 */
/* A large program that does little: 1024 functions, each of which runs once,
 * so that its time is that of reading and translating it. */
#include "../kernel.h"

struct state {
	uint32_t word[64];
	double real[8];
};

#define FUNCTION(n)                                                       \
	static uint32_t f##n(struct state *s, uint32_t x)                 \
	{                                                                 \
		for (uint32_t i = x & 3; i < 4; i++) {                    \
			uint32_t *w = &s->word[(x + i) & 63];             \
                                                                          \
			switch ((x ^ i ^ 1##n##u) & 7) {                  \
			case 0: x += *w * 3; break;                       \
			case 1: x ^= *w >> 5; break;                      \
			case 2: *w = x + 1##n##u; break;                  \
			case 3: x = x << 7 | x >> 25; break;              \
			case 4: s->real[i] += x * 0.5 + 1##n##.0; break;  \
			case 5: x -= (uint32_t)(s->real[i] > x); break;   \
			case 6: *w += s->word[(1##n##u + i) & 63]; break; \
			default: x *= 1##n##u | 1; break;                 \
			}                                                 \
			if (*w % 11 == 3)                                 \
				x += 1##n##u;                             \
		}                                                         \
		return x;                                                 \
	}
#define NAME(n)	    f##n,
#define F1(F, n)    F(n##0) F(n##1) F(n##2) F(n##3)
#define F2(F, n)    F1(F, n##0) F1(F, n##1) F1(F, n##2) F1(F, n##3)
#define F3(F, n)    F2(F, n##0) F2(F, n##1) F2(F, n##2) F2(F, n##3)
#define F4(F, n)    F3(F, n##0) F3(F, n##1) F3(F, n##2) F3(F, n##3)
#define EVERYONE(F) F4(F, 0) F4(F, 1) F4(F, 2) F4(F, 3)

EVERYONE(FUNCTION)

static uint32_t (*const table[])(struct state *, uint32_t) = { EVERYONE(NAME) };

uint64_t kernel(void)
{
	struct state state = { { 0 }, { 0 } };
	uint32_t x = 1;
	uint64_t sum = 1;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		x = table[i](&state, x);
	for (int i = 0; i < 8; i++)
		sum = mix_f64(sum, state.real[i]);
	return mix(sum, x);
}
