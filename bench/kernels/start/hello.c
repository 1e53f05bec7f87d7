/* SPDX-License-Identifier: Apache-2.0 */
/* The least program that says something: what it takes is its start.  It is
 * linked with several sizes of memory too, to see what those cost. */
#include "../kernel.h"

static uint64_t data[512] = { 1, 2, 3 };

uint64_t kernel(void)
{
	return data[2];
}
