/* SPDX-License-Identifier: Apache-2.0 */
/* How long does a point of the plane stay near?  Double precision that lives
 * in locals, one branch a turn. */
#include "kernel.h"

enum { WIDTH = 240, HEIGHT = 160, MOST = 400 };

static uint32_t turns(double cr, double ci)
{
	double r = 0, i = 0;
	uint32_t n = 0;

	while (n < MOST) {
		double rr = r * r, ii = i * i;

		if (rr + ii > 4)
			break;
		i = 2 * r * i + ci;
		r = rr - ii + cr;
		n++;
	}
	return n;
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(18); round > 0; round--) {
		double shift = (double)(sum & 255) * 1e-5;

		for (int y = 0; y < HEIGHT; y++)
			for (int x = 0; x < WIDTH; x++)
				sum += (uint64_t)x *
				       turns(3.0 * x / WIDTH - 2.2 + shift,
					     2.0 * y / HEIGHT - 1.0);
		sum = mix(sum, round);
	}
	return sum;
}
