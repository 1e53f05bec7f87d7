/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of spheres by rays, in single precision: small vectors passed by
 * value, square roots, and branches on what was hit. */
#include "kernel.h"

enum { WIDTH = 160, HEIGHT = 120, SPHERES = 12, DEPTH = 3 };
struct vec {
	float x, y, z;
};
struct sphere {
	struct vec middle;
	float radius, shine;
};
static struct sphere sphere[SPHERES];

static inline struct vec add(struct vec a, struct vec b, float times)
{
	return (struct vec){ a.x + b.x * times, a.y + b.y * times,
			     a.z + b.z * times };
}

static inline float dot(struct vec a, struct vec b)
{
	return a.x * b.x + a.y * b.y + a.z * b.z;
}

static inline struct vec unit(struct vec a)
{
	float by = 1.0f / __builtin_sqrtf(dot(a, a));

	return (struct vec){ a.x * by, a.y * by, a.z * by };
}

/* The distance along the ray, or a negative number. */
static float meet(const struct sphere *s, struct vec from, struct vec way)
{
	struct vec to = add(s->middle, from, -1);
	float along = dot(to, way);
	float d2 = dot(to, to) - along * along;
	float r2 = s->radius * s->radius;

	if (along < 0 || d2 > r2)
		return -1;
	return along - __builtin_sqrtf(r2 - d2);
}

static const struct sphere *nearest(struct vec from, struct vec way,
				    float *distance)
{
	const struct sphere *found = NULL;

	*distance = 1e30f;
	for (int i = 0; i < SPHERES; i++) {
		float d = meet(&sphere[i], from, way);

		if (d > 1e-3f && d < *distance) {
			*distance = d;
			found = &sphere[i];
		}
	}
	return found;
}

static float trace(struct vec from, struct vec way, int depth)
{
	static const struct vec sun = { 0.36f, 0.8f, -0.48f };
	float distance, unused, light;
	const struct sphere *s = nearest(from, way, &distance);
	struct vec at, out;

	if (!s)
		return 0.5f + 0.5f * way.y;
	at = add(from, way, distance);
	out = unit(add(at, s->middle, -1));
	light = dot(out, sun);
	if (light < 0 || nearest(at, sun, &unused))
		light = 0.1f;
	if (depth == 0)
		return light;
	return light * (1 - s->shine) +
	       s->shine *
		       trace(at, add(way, out, -2 * dot(way, out)), depth - 1);
}

static void place(uint32_t state)
{
	for (int i = 0; i < SPHERES; i++) {
		float part[5];

		for (int k = 0; k < 5; k++)
			part[k] = (float)(random_next(&state) >> 8) * 0x1p-24f;
		sphere[i] = (struct sphere){
			.middle = { part[0] * 8 - 4, part[1] * 6 - 3,
				    part[2] * 6 + 4 },
			.radius = 0.5f + part[3],
			.shine = 0.2f + 0.6f * part[4],
		};
	}
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(50); round > 0; round--) {
		place((uint32_t)sum | 1);
		for (int y = 0; y < HEIGHT; y++)
			for (int x = 0; x < WIDTH; x++) {
				struct vec way = { (float)(x - WIDTH / 2) / 80,
						   (float)(HEIGHT / 2 - y) / 80,
						   1 };

				sum = mix_f32(sum, trace((struct vec){ 0 },
							 unit(way), DEPTH));
			}
	}
	return sum;
}
