/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor leaves a descriptor open. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int kept = -1;

static void __attribute__((constructor)) before(void)
{
	kept = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

int main(void)
{
	char byte;

	puts(read(kept, &byte, 1) == 1 ? "open" : "closed");
	return 0;
}
