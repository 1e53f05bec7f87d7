/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor makes memory that forks share. */
#include <stdio.h>
#include <sys/mman.h>

static int *counter;

static void __attribute__((constructor)) before(void)
{
	counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int main(void)
{
	printf("%d\n", ++*counter);
	return 0;
}
