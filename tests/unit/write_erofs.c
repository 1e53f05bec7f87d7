/* SPDX-License-Identifier: Apache-2.0 */
/* Images for tests of commands.
 *
 *	write_erofs pack FOLDER IMAGE [TO [MTIME]]
 *	write_erofs check IMAGE
 *	write_erofs unpack IMAGE FOLDER
 *
 * With ABSOLUTE=1 links may be absolute. */
#include "base/fd.h"
#include "base/file.h"
#include "erofs/check.h"
#include "erofs/source.h"
#include "tree/erofs_unpack.h"
#include "tree/erofs_write.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what, const char *text)
{
	fprintf(stderr, "write_erofs: %s: %s\n", what, text);
	return 1;
}

static int pack(const char *folder, const char *image, const char *to,
		const char *mtime)
{
	auto_close int fd =
		open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct timespec time = { .tv_sec = mtime ? atol(mtime) : 0 };
	struct erofs_write_plan plan = { .mtime = mtime ? &time : NULL };
	struct erofs_written written = { 0 };
	auto_buf struct buf notes = { 0 };
	struct progress progress;
	struct tree tree = { 0 };
	struct err err = { 0 };
	int r;

	progress_start(&progress, "pack");
	r = fd < 0 ? err_set(&err, -errno, "open %s", image)
		   : tree_add_folder(&tree, folder, to ? to : "/", &notes,
				     &err);
	if (r >= 0)
		r = tree_close(&tree, &err);
	if (r >= 0)
		r = erofs_write(fd, &tree, &plan, &written, &progress, &err);
	progress_end(&progress);
	tree_fini(&tree);
	fputs(buf_string(&notes), stderr);
	if (r < 0)
		return fail("pack", err.text);
	printf("%llu bytes: %llu files, %llu folders, %llu links of %llu "
	       "bytes, %llu shared\n",
	       (unsigned long long)written.image_bytes,
	       (unsigned long long)written.files,
	       (unsigned long long)written.folders,
	       (unsigned long long)written.links,
	       (unsigned long long)written.bytes,
	       (unsigned long long)written.shared);
	return 0;
}

static int check(struct erofs *erofs)
{
	struct erofs_limits limits = { .allow_absolute = getenv("ABSOLUTE") };
	struct erofs_totals totals;
	char why[EROFS_WHY];

	if (erofs_check(erofs, &limits, &totals, why) < 0)
		return fail("check", why);
	printf("%llu files, %llu folders, %llu links, %llu bytes\n",
	       (unsigned long long)totals.files,
	       (unsigned long long)totals.folders,
	       (unsigned long long)totals.links,
	       (unsigned long long)totals.bytes);
	return 0;
}

static int unpack(struct erofs *erofs, const char *path)
{
	auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };

	if (check(erofs) != 0)
		return 1;
	if (dir < 0)
		return fail(path, strerror(errno));
	return erofs_unpack(erofs, dir, NULL, NULL, &err) < 0
		       ? fail("unpack", err.text)
		       : 0;
}

int main(int argc, char **argv)
{
	auto_close int fd = -1;
	const char *why = "it cannot be opened";
	struct erofs_source source;
	struct erofs erofs;

	if (argc >= 4 && strcmp(argv[1], "pack") == 0)
		return pack(argv[2], argv[3], argv[4],
			    argv[4] ? argv[5] : NULL);
	if (argc < 3)
		return fail("words", "pack, check or unpack");
	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || erofs_source_file(fd, &source) < 0 ||
	    erofs_open(&source, &erofs, &why) < 0)
		return fail(argv[2], why);
	return argc == 4 ? unpack(&erofs, argv[3]) : check(&erofs);
}
