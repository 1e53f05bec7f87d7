/* SPDX-License-Identifier: Apache-2.0 */
/* The variables that a guest is given, and no others.
 * env: A=1
 * env: EMPTY=
 * env: LONG=a=b=c */
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

int main(void)
{
	int count = 0;

	for (char **at = environ; at && *at; at++, count++)
		puts(*at);
	printf("%d\n%s\n", count, getenv("PATH") ? "PATH is there" : "no PATH");
	return 0;
}
