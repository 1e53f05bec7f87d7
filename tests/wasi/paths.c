/* SPDX-License-Identifier: Apache-2.0 */
/* Odd names: long, deep, not ASCII, with bytes that end strings. */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

__wasi_errno_t open_bytes(int folder, int lookup, const char *path, size_t len,
			  int oflags, uint64_t base, uint64_t inheriting,
			  int flags, __wasi_fd_t *fd)
	__attribute__((import_module("wasi_snapshot_preview1"),
		       import_name("path_open")));

static int deep(int folders)
{
	static char path[8192];
	size_t len = 0;

	for (int i = 0; i < folders; i++) {
		len += snprintf(path + len, sizeof path - len, "/n");
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -1;
	}
	make_file(strcat(path, "/f"), "deep");
	strcat(path, "/");
	return open(path, O_RDONLY);
}

int main(void)
{
	static char name[5000];
	__wasi_fd_t fd;

	make_file("/a b", "1");
	make_file("/ünïcödé 猫", "2");
	make_file("/..hidden", "3");
	make_file("/...", "4");
	show_file("/a b");
	show_file("/ünïcödé 猫");
	show_file("/..hidden");
	show_file("/...");
	memset(name, 'x', 256);
	TELL(open(name, O_CREAT | O_WRONLY, 0644));
	name[255] = 0;
	TELL(open(name, O_CREAT | O_WRONLY, 0644));
	memset(name, '/', 4999);
	memcpy(name + 4990, "a b", 4);
	TELL(open(name, O_RDONLY));
	printf("0 within: %s\n",
	       tell_name(open_bytes(3, 1, "a b\0c", 5, 0, 2, 0, 0, &fd)));
	TELL(deep(100));
	return 0;
}
