/* SPDX-License-Identifier: Apache-2.0 */
/* Ways out of the folder that was granted.  Around it lies:
 *	secret, folder "outside" with a file "file"
 *	in it: links up -> .., abs -> /etc/passwd, out -> ../outside,
 *	in/deep/high -> ../../../secret, in/deep/fine -> ../../ours
 * fixture: escape
 * node: looks at the text of a path only */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

static const char *const paths[] = {
	"../secret",
	"/etc/passwd",
	"/",
	"..",
	"up",
	"up/",
	"up/secret",
	"abs",
	"out",
	"out/file",
	"out/../ours",
	"in/../../secret",
	"in/deep/../../../secret",
	"in/deep/../../ours",
	"in/deep/high",
	"in/deep/fine",
	"in/deep/fine/",
	".",
	"./",
	"./ours",
	"in//deep///fine",
	"in/deep/.././../ours",
	"",
	"ours/..",
	"in/..",
	"in/../..",
	"none/../ours",
	"none/../../secret",
};

static void look(int folder, const char *path)
{
	__wasi_fd_t fd;
	__wasi_filestat_t stat;
	int open, follow, link;

	open = __wasi_path_open(folder, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, path,
				0, __WASI_RIGHTS_FD_READ, 0, 0, &fd);
	if (!open && __wasi_fd_close(fd))
		puts("close");
	follow = __wasi_path_filestat_get(
		folder, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, path, &stat);
	link = __wasi_path_filestat_get(folder, 0, path, &stat);
	printf("\"%s\": open %s, stat %s, lstat %s\n", path, tell_name(open),
	       tell_name(follow), tell_name(link));
}

static void act(int folder)
{
	__wasi_fd_t fd;

	TELL_WASI(__wasi_path_unlink_file(folder, "../secret"));
	TELL_WASI(__wasi_path_unlink_file(folder, "up/secret"));
	TELL_WASI(__wasi_path_unlink_file(folder, "out/file"));
	TELL_WASI(__wasi_path_remove_directory(folder, "../outside"));
	TELL_WASI(__wasi_path_remove_directory(folder, ".."));
	TELL_WASI(__wasi_path_create_directory(folder, "../made"));
	TELL_WASI(__wasi_path_create_directory(folder, "/tmp/brood-made"));
	TELL_WASI(__wasi_path_create_directory(folder, "out/made"));
	TELL_WASI(__wasi_path_rename(folder, "ours", folder, "../ours"));
	TELL_WASI(__wasi_path_rename(folder, "ours", folder, "up/ours"));
	TELL_WASI(__wasi_path_rename(folder, "../secret", folder, "got"));
	TELL_WASI(__wasi_path_link(folder, 0, "../secret", folder, "got"));
	TELL_WASI(__wasi_path_link(folder, 0, "up/secret", folder, "got"));
	TELL_WASI(__wasi_path_link(folder, 0, "ours", folder, "../got"));
	TELL_WASI(__wasi_path_symlink("ours", folder, "../got"));
	TELL_WASI(__wasi_path_open(folder, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW,
				   "up/made", __WASI_OFLAGS_CREAT,
				   __WASI_RIGHTS_FD_WRITE, 0, 0, &fd));
	TELL_WASI(__wasi_path_filestat_set_times(
		folder, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "up/secret", 0, 0,
		__WASI_FSTFLAGS_MTIM_NOW));
}

int main(void)
{
	int folder = 3; /* the first one granted */

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		look(folder, paths[i]);
	act(folder);
	return 0;
}
