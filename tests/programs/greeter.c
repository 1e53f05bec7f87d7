/* SPDX-License-Identifier: Apache-2.0 */
/* link: greeting */
#include <stdio.h>

const char *greeting(void);

int main(int argc, char **argv)
{
	printf("%s %s, %s\n", argv[0], greeting(), argc > 1 ? argv[1] : "");
	return 0;
}
