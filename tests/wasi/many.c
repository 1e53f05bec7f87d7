/* SPDX-License-Identifier: Apache-2.0 */
/* More descriptors than there can be: it fails, and none is lost. */
#include "tell.h"
#include <fcntl.h>
#include <unistd.h>

int main(void)
{
	static int fds[100000];
	int count = 0, code;

	make_file("/file", "text");
	while (count < 100000 && (fds[count] = open("/file", O_RDONLY)) >= 0)
		count++;
	code = errno;
	printf("%s after %s\n", tell_name(code), count > 100 ? "many" : "few");
	for (int i = 0; i < count; i++)
		if (close(fds[i]) < 0)
			puts("close");
	TELL(open("/file", O_RDONLY) == fds[0] ? 0 : -1);
	return 0;
}
