/* SPDX-License-Identifier: Apache-2.0 */
/* A status of its own, after what is done at the end.
 * status: 7 */
#include <stdio.h>
#include <stdlib.h>

static void last(void)
{
	puts("last");
}

int main(void)
{
	atexit(last);
	printf("first, ");
	exit(7);
}
