/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through pointers: objects of several kinds with tables of methods,
 * in an order that changes, and a chain of functions from one table. */
#include "kernel.h"

enum { OBJECTS = 2048, CHAIN = 64 };
struct shape;
struct kind {
	int32_t (*area)(const struct shape *shape);
	void (*grow)(struct shape *shape, int32_t by);
};
struct shape {
	const struct kind *kind;
	int32_t a, b;
};

static int32_t box_area(const struct shape *s)
{
	return s->a * s->b;
}

static void box_grow(struct shape *s, int32_t by)
{
	s->a = (s->a + by) & 1023;
	s->b = (s->b + 1) & 1023;
}

static int32_t square_area(const struct shape *s)
{
	return s->a * s->a;
}

static void square_grow(struct shape *s, int32_t by)
{
	s->a = (s->a ^ by) & 511;
}

static int32_t triangle_area(const struct shape *s)
{
	return s->a * s->b / 2;
}

static void triangle_grow(struct shape *s, int32_t by)
{
	s->b = (s->b + (by >> 1) + 1) & 1023;
}

static int32_t point_area(const struct shape *s)
{
	(void)s;
	return 0;
}

static void point_grow(struct shape *s, int32_t by)
{
	s->a = by;
}

static const struct kind kinds[] = {
	{ box_area, box_grow },
	{ square_area, square_grow },
	{ triangle_area, triangle_grow },
	{ point_area, point_grow },
};

static uint32_t step_add(uint32_t x, uint32_t y)
{
	return x + y;
}

static uint32_t step_turn(uint32_t x, uint32_t y)
{
	return x << (y & 15) | x >> (31 - (y & 15));
}

static uint32_t step_times(uint32_t x, uint32_t y)
{
	return x * (y | 1);
}

static uint32_t step_mix(uint32_t x, uint32_t y)
{
	return x ^ (x >> 7) ^ y;
}

static uint32_t (*const steps[])(uint32_t, uint32_t) = { step_add, step_turn,
							 step_times, step_mix };
static struct shape shape[OBJECTS];
static uint8_t chain[CHAIN];

static uint32_t walk(uint32_t x)
{
	for (int i = 0; i < CHAIN; i++)
		x = steps[chain[i]](x, (uint32_t)i);
	return x;
}

uint64_t kernel(void)
{
	uint32_t state = 11;
	uint64_t sum = 1;

	for (int i = 0; i < OBJECTS; i++) {
		uint32_t x = random_next(&state);

		shape[i] = (struct shape){ &kinds[x >> 30], (int32_t)(x & 255),
					   (int32_t)(x >> 8 & 255) };
		chain[i % CHAIN] = x >> 10 & 3;
	}
	for (uint32_t round = SCALED(6000); round > 0; round--) {
		for (int i = 0; i < OBJECTS; i++) {
			struct shape *s = &shape[i];

			s->kind->grow(s, (int32_t)(sum & 15));
			sum += (uint64_t)s->kind->area(s);
		}
		for (int i = 0; i < 16; i++)
			sum = mix(sum, walk((uint32_t)sum));
		shape[sum % OBJECTS].kind = &kinds[sum >> 20 & 3];
		chain[sum % CHAIN] = sum >> 30 & 3;
	}
	return sum;
}
