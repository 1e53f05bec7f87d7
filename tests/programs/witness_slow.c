/* SPDX-License-Identifier: Apache-2.0 */
/* link: greeting */
/* Its constructor keeps what a library says, and takes its time. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *greeting(void);

static char *kept;

static void __attribute__((constructor)) before(void)
{
	kept = strdup(greeting());
	usleep(700 * 1000);
}

int main(void)
{
	printf("%s\n", kept ? kept : "none");
	return 0;
}
