/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the rights that it runs with, and which program /proc says it is. */
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

/* What the kernel laid on the stack, not what libc remembers of it. */
static unsigned long secure(void)
{
	char **end = environ;
	Elf64_auxv_t *auxv;

	while (*end++)
		;
	for (auxv = (Elf64_auxv_t *)end; auxv->a_type != AT_NULL; auxv++)
		if (auxv->a_type == AT_SECURE)
			return auxv->a_un.a_val;
	return ~0ul;
}

int main(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[512];
	ssize_t len = readlink("/proc/self/exe", line, sizeof line);

	printf("exe %.*s\n", len > 0 ? (int)len : 0, line);
	printf("secure %lu dumpable %d\n", secure(), prctl(PR_GET_DUMPABLE));
	while (status && fgets(line, sizeof line, status))
		if (strncmp(line, "Cap", 3) == 0)
			fputs(line, stdout);
	return 0;
}
