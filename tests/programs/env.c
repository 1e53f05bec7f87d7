/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose constructor reads a variable, and that tells its value. */
#include <stdio.h>
#include <stdlib.h>

static const char *colour;

static void __attribute__((constructor)) read_colour(void)
{
	colour = getenv("WARM_COLOUR");
}

int main(void)
{
	const char *now = getenv("WARM_COLOUR");

	printf("%s %s\n", colour ? colour : "none", now ? now : "none");
	return 0;
}
