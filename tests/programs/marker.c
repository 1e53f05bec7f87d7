/* SPDX-License-Identifier: Apache-2.0 */
/* marker FD BYTES: maps a file as a hypervisor maps its memory, and tells the
 * first byte of each page; then writes to the first one. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	int fd = argc == 3 ? atoi(argv[1]) : -1;
	size_t bytes = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned char *at = mmap(NULL, bytes, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED ||
	    mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 0) == MAP_FAILED)
		return 2;
	for (size_t i = 0; i < bytes; i += 4096)
		printf("%02x", at[i]);
	printf("%s\n", getenv("BROOD_RAM") ? " told" : "");
	fflush(stdout);
	at[0] = 0xee;
	return 0;
}
