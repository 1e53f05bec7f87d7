/* SPDX-License-Identifier: Apache-2.0 */
/* A small program with a C library, as most have one. */
#include <unistd.h>

int main(void)
{
	return write(1, "hello\n", 6) != 6;
}
