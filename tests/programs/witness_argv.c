/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor keeps argv. */
#include <stdio.h>

static int kept_argc;
static char **kept_argv;

static void __attribute__((constructor)) before(int argc, char **argv)
{
	kept_argc = argc;
	kept_argv = argv;
}

int main(void)
{
	for (int i = 1; i < kept_argc; i++)
		puts(kept_argv[i]);
	return 0;
}
