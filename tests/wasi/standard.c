/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams that are pipes and files: no terminals.
 * input: a line\nand another */
#include "tell.h"
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	char line[64];

	for (int fd = 0; fd < 3; fd++)
		printf("%d is %sterminal\n", fd, isatty(fd) ? "a " : "no ");
	while (fgets(line, sizeof line, stdin))
		printf("< %s%s", line, strchr(line, '\n') ? "" : "|\n");
	printf("end %d\n", feof(stdin));
	fputs("to the error stream\n", stderr);
	TELL(write(0, "x", 1));
	TELL(read(1, line, 1));
	TELL(lseek(0, 0, SEEK_CUR) < 0 ? -1 : 0);
	return 0;
}
