/* SPDX-License-Identifier: Apache-2.0 */
/* Writes over all memory that it shares with somebody, and tells how many
 * places that were: in a plain start there are none. */
#include <stdio.h>
#include <string.h>

int main(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[4352], rights[5];
	int count = 0;

	while (maps && fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 &&
		    !strcmp(rights, "rw-s")) {
			memset((void *)start, 0xff, end - start);
			count++;
		}
	printf("%d\n", count);
	return 0;
}
