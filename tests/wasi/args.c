/* SPDX-License-Identifier: Apache-2.0 */
/* The words that a guest is given.
 * arguments: one "two words" '' ünï */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	printf("%d\n%s\n", argc, name ? name + 1 : argv[0]);
	for (int i = 1; i < argc; i++)
		printf("[%s]\n", argv[i]);
	printf("%s\n", argv[argc] ? "more" : "end");
	return 0;
}
