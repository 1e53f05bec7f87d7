/* SPDX-License-Identifier: Apache-2.0 */
/* Small images of applications in a folder of the test's own. */
#pragma once
#include "appliance/payload.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "test.h"
#include "tree/erofs_write.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static char apps_folder[64];

static inline void apps_start(void)
{
	const char *at = getenv("TMPDIR");

	snprintf(apps_folder, sizeof apps_folder, "%s/apps.XXXXXX",
		 at ? at : "/tmp");
	CHECK(mkdtemp(apps_folder) != NULL);
}

static inline void apps_end(void)
{
	struct err err = { 0 };

	CHECK_INT(file_remove_tree(apps_folder, &err), 0);
	CHECK_TEXT(err.text, "");
}

/* One of the last eight stays. */
static inline __attribute__((format(printf, 1, 2))) char *
apps_in(const char *format, ...)
{
	static char paths[8][512];
	static int next;
	char name[400];
	va_list list;

	va_start(list, format);
	vsnprintf(name, sizeof name, format, list);
	va_end(list);
	next = (next + 1) % 8;
	snprintf(paths[next], sizeof paths[next], "%s/%s", apps_folder, name);
	return paths[next];
}

static inline void apps_put(const char *path, const char *text, mode_t mode)
{
	CHECK_INT(file_replace(path, text, strlen(text), mode, NULL), 0);
	CHECK_INT(chmod(path, mode), 0);
}

static inline void apps_has(const char *path, const char *text)
{
	auto_buf struct buf is = { 0 };

	CHECK(file_read(path, &is, 4096, NULL) >= 0);
	CHECK_TEXT(buf_string(&is), text);
}

static inline bool apps_is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

struct apps_image {
	char path[512], hex[RECORD_HEX + 1];
	uint64_t bytes;
};

/* Of bin/tool, which has that text, a link to it, and an empty folder. */
static inline void apps_tree(struct tree *tree, const char *text)
{
	CHECK_INT(tree_data(tree, "bin/tool", 0755, text, strlen(text), NULL),
		  0);
	CHECK_INT(tree_data(tree, "share/words", 0644, "words\n", 6, NULL), 0);
	CHECK_INT(tree_link(tree, "bin/link", "tool", NULL), 0);
	CHECK_INT(tree_folder(tree, "empty", 0755, NULL), 0);
}

static inline void apps_write(struct tree *tree, struct apps_image *image)
{
	const struct erofs_write_plan plan = { 0 };
	auto_close int fd = open(apps_in("image"),
				 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct erofs_written written = { 0 };

	CHECK_INT(tree_close(tree, NULL), 0);
	CHECK_INT(erofs_write(fd, tree, &plan, &written, NULL, NULL), 0);
	image->bytes = written.image_bytes;
	CHECK_INT(payload_digest(fd, "image", image->bytes, NULL, NULL,
				 image->hex, NULL),
		  0);
	snprintf(image->path, sizeof image->path, "%s/%s.erofs", apps_folder,
		 image->hex);
	CHECK_INT(rename(apps_in("image"), image->path), 0);
}

static inline void apps_image(const char *text, struct apps_image *image)
{
	struct tree tree = { 0 };

	apps_tree(&tree, text);
	apps_write(&tree, image);
	tree_fini(&tree);
}
