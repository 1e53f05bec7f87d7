/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that are granted, by their names; closed like any other.
 * folder: /second
 * node: looks at the text of a path only */
#include "tell.h"
#include <fcntl.h>
#include <unistd.h>
#include <wasi/api.h>

int main(void)
{
	__wasi_prestat_t stat;
	uint8_t name[64] = { 0 };
	__wasi_fd_t fd = 3;
	int e;

	for (; !(e = __wasi_fd_prestat_get(fd, &stat)); fd++) {
		memset(name, 0, sizeof name);
		TELL_WASI(__wasi_fd_prestat_dir_name(fd, name,
						     stat.u.dir.pr_name_len));
		printf("%d: type %d, %zu bytes, %s\n", fd, stat.tag,
		       stat.u.dir.pr_name_len, name);
	}
	printf("%d: %s\n", fd, tell_name(e));
	TELL_WASI(__wasi_fd_prestat_get(0, &stat));
	make_file("/first", "1");
	make_file("/second/file", "2");
	show_file("/first");
	show_file("/second/file");
	show_file("/second/../second/file");
	TELL(open("/third", O_RDONLY));
	TELL_WASI(__wasi_fd_close(4));
	show_file("/second/file");
	TELL_WASI(__wasi_fd_prestat_get(4, &stat));
	return 0;
}
