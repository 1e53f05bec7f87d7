/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that attract each other: double precision in structures, a square
 * root and a division for each pair. */
#include "kernel.h"

enum { COUNT = 6 };
struct body {
	double x, y, z, vx, vy, vz, mass;
};
static struct body body[COUNT];

static double between(uint32_t *state, double low, double high)
{
	return low + (high - low) * (random_next(state) * 0x1p-32);
}

static void place(void)
{
	uint32_t state = 7;

	for (int i = 0; i < COUNT; i++) {
		body[i] = (struct body){
			.x = between(&state, -20, 20) + 10 * i,
			.y = between(&state, -20, 20) - 10 * i,
			.z = between(&state, -20, 20),
			.vx = between(&state, -0.5, 0.5),
			.vy = between(&state, -0.5, 0.5),
			.vz = between(&state, -0.5, 0.5),
			.mass = between(&state, 0.1, 10),
		};
	}
}

static void attract(struct body *a, struct body *b, double step)
{
	double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
	double d2 = dx * dx + dy * dy + dz * dz + 0.01;
	double pull = step / (d2 * __builtin_sqrt(d2));

	a->vx -= dx * b->mass * pull;
	a->vy -= dy * b->mass * pull;
	a->vz -= dz * b->mass * pull;
	b->vx += dx * a->mass * pull;
	b->vy += dy * a->mass * pull;
	b->vz += dz * a->mass * pull;
}

static void advance(double step)
{
	for (int i = 0; i < COUNT; i++)
		for (int k = i + 1; k < COUNT; k++)
			attract(&body[i], &body[k], step);
	for (int i = 0; i < COUNT; i++) {
		body[i].x += step * body[i].vx;
		body[i].y += step * body[i].vy;
		body[i].z += step * body[i].vz;
	}
}

static double energy(void)
{
	double sum = 0;

	for (int i = 0; i < COUNT; i++) {
		struct body *b = &body[i];

		sum += 0.5 * b->mass *
		       (b->vx * b->vx + b->vy * b->vy + b->vz * b->vz);
	}
	return sum;
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	place();
	for (uint32_t round = SCALED(70); round > 0; round--) {
		for (int i = 0; i < 10000; i++)
			advance(0.001);
		sum = mix_f64(sum, energy());
	}
	return sum;
}
