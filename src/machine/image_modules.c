/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules, by modules.dep: "kernel/a.ko: kernel/b.ko kernel/c.ko",
 * where all that a needs is named, and what is named later is loaded
 * earlier. */
#include "machine/image_modules.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/image_pipe.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	IMAGE_MODULES_LIST = 16 << 20,
	IMAGE_MODULES_FILE = 256 << 20,
	IMAGE_MODULES_HEAD = 0x202,    /* of a bzImage: "HdrS" */
	IMAGE_MODULES_VERSION = 0x20e, /* 512 less than where its words lie */
};

void image_modules_fini(struct image_modules *modules)
{
	mem_free(&modules->folder);
	buf_fini(&modules->list);
	buf_fini(&modules->dep);
	buf_fini(&modules->builtin);
}

/* ---- which kernel ----------------------------------------------------------- */

/* A name that is safe as a part of a path. */
static bool image_modules_is_release(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] == '/' || text[i] > '~')
			return false;
	return len > 0 && len < 65 && text[0] != '.';
}

int image_modules_release(const char *kernel, char release[65], struct err *err)
{
	auto_close int fd = open(kernel, O_RDONLY | O_CLOEXEC);
	char head[32768];
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head - 1, 0);
	uint16_t at;
	size_t len;

	if (n < 0)
		return err_set(err, -errno, "read %s", kernel);
	head[n] = 0;
	if (n < 1024 || memcmp(head + IMAGE_MODULES_HEAD, "HdrS", 4) != 0)
		return err_set(err, -EINVAL, "%s is no Linux kernel", kernel);
	memcpy(&at, head + IMAGE_MODULES_VERSION, sizeof at);
	if (at == 0 || at + 512 >= n)
		return err_set(err, -EINVAL, "%s does not tell its release",
			       kernel);
	len = strcspn(head + at + 512, " ");
	if (!image_modules_is_release(head + at + 512, len))
		return err_set(err, -EINVAL, "%s does not tell its release",
			       kernel);
	memcpy(release, head + at + 512, len);
	release[len] = 0;
	return 0;
}

/* Malloced; by the order of versions. */
static char *image_modules_newest(struct err *err)
{
	const char *best = NULL;
	char *copy = NULL;
	glob_t found;

	if (glob("/boot/vmlinuz-*", 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (!best || strverscmp(best, found.gl_pathv[i]) < 0)
				best = found.gl_pathv[i];
		copy = best ? strdup(best) : NULL;
		globfree(&found);
	}
	if (!copy)
		err_set(err, -EINVAL,
			"there is no /boot/vmlinuz-*; --kernel names one");
	return copy;
}

/* Also of a kernel that was unpacked somewhere: X/boot/vmlinuz has
 * X/lib/modules. */
static char *image_modules_place(const char *kernel, const char *release)
{
	int len = (int)(file_base(kernel) - kernel);
	char *const tries[] = {
		file_format("%.*s../lib/modules/%s", len, kernel, release),
		file_format("/lib/modules/%s", release),
	};
	char *found = NULL;

	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
		if (!found && tries[i] && access(tries[i], R_OK) == 0)
			found = tries[i];
		else
			free(tries[i]);
	}
	return found;
}

static int image_modules_read(const struct image_modules *modules,
			      const char *name, struct buf *to, struct err *err)
{
	auto_free char *path = file_join(modules->folder, name);

	if (!path)
		return err_set(err, -ENOMEM, "read %s", name);
	return file_read(path, to, IMAGE_MODULES_LIST, err);
}

int image_modules_open(struct image_modules *modules, const char *kernel,
		       struct err *err)
{
	auto_free char *newest = kernel ? NULL : image_modules_newest(err);
	int r;

	kernel = kernel ? kernel : newest;
	if (!kernel)
		return -EINVAL;
	r = image_modules_release(kernel, modules->release, err);
	if (r < 0)
		return r;
	modules->folder = image_modules_place(kernel, modules->release);
	if (!modules->folder)
		return err_set(err, -EINVAL,
			       "%s is %s, and there is no /lib/modules/%s",
			       kernel, modules->release, modules->release);
	r = image_modules_read(modules, "modules.dep", &modules->dep, err);
	if (r >= 0) /* may be missing */
		image_modules_read(modules, "modules.builtin",
				   &modules->builtin, NULL);
	return r;
}

/* ---- names ------------------------------------------------------------------ */

static char image_modules_letter(char c)
{
	return c == '-' ? '_' : c;
}

/* Is "kernel/x/some-name.ko.xz" the module some_name? */
static bool image_modules_is_named(const char *path, size_t len,
				   const char *name)
{
	const char *end = path + len, *base = end;

	while (base > path && base[-1] != '/')
		base--;
	while (base < end && *name &&
	       image_modules_letter(*base) == image_modules_letter(*name))
		base++, name++;
	return !*name && end - base >= 3 && strncmp(base, ".ko", 3) == 0 &&
	       (end - base == 3 || base[3] == '.');
}

/* The line of a list that begins with the module's path; its length without
 * the newline. */
static const char *image_modules_line(const struct buf *list, const char *name,
				      size_t *len)
{
	const char *line = buf_string(list);

	while (*line) {
		*len = strcspn(line, "\n");
		size_t path = strcspn(line, ":\n");

		if (image_modules_is_named(line, path, name))
			return line;
		line += *len + (line[*len] == '\n');
	}
	return NULL;
}

/* ---- files ------------------------------------------------------------------ */

static const char *image_modules_unpacker(const char *path)
{
	const char *dot = strrchr(path, '.');

	if (strcmp(dot, ".xz") == 0)
		return "xz";
	if (strcmp(dot, ".zst") == 0)
		return "zstd";
	return strcmp(dot, ".gz") == 0 ? "gzip" : NULL;
}

static bool image_modules_has_line(const struct buf *list, const char *text)
{
	size_t len = strlen(text);

	for (const char *line = buf_string(list); *line;) {
		size_t n = strcspn(line, "\n");

		if (n == len && strncmp(line, text, n) == 0)
			return true;
		line += n + (line[n] == '\n');
	}
	return false;
}

static int image_modules_put(struct tree *tree, const char *place,
			     const char *file, struct err *err)
{
	auto_buf struct buf bytes = { 0 };
	const char *unpacker = image_modules_unpacker(file);
	int r;

	if (!unpacker)
		return tree_file(tree, place, 0644, file, err);
	r = image_pipe_unpack(unpacker, file, &bytes, err);
	if (r < 0)
		return r;
	return tree_data(tree, place, 0644, buf_string(&bytes), bytes.len, err);
}

/* path: in the folder of modules, as its list has it. */
static int image_modules_take(struct image_modules *modules, struct tree *tree,
			      const char *path, size_t len, struct err *err)
{
	const char *ko = memmem(path, len, ".ko", 3);
	auto_free char *file =
		file_format("%s/%.*s", modules->folder, (int)len, path);
	auto_free char *place =
		file_format("/lib/modules/%s/%.*s", modules->release,
			    ko ? (int)(ko - path) + 3 : (int)len, path);
	int r;

	if (!file || !place)
		return err_set(err, -ENOMEM, "module %.*s", (int)len, path);
	if (!ko)
		return err_set(err, -EINVAL, "%s is no module", file);
	if (image_modules_has_line(&modules->list, place))
		return 0;
	if (access(file, R_OK) < 0)
		return err_set(err, -errno, "module %s", file);
	r = image_modules_put(tree, place, file, err);
	if (r < 0)
		return r;
	buf_format(&modules->list, "%s\n", place);
	modules->count++;
	return modules->list.failed ? err_set(err, -ENOMEM, "modules") : 0;
}

/* What is named last is loaded first, and what is before the colon at the
 * end. */
static int image_modules_take_line(struct image_modules *modules,
				   struct tree *tree, const char *line,
				   size_t len, struct err *err)
{
	size_t own = strcspn(line, ":\n"), end = len;
	int r = 0;

	while (end > own && r >= 0) {
		size_t at = end;

		while (at > own && !strchr(" :", line[at - 1]))
			at--;
		if (at < end)
			r = image_modules_take(modules, tree, line + at,
					       end - at, err);
		end = at > own ? at - 1 : own;
	}
	return r < 0 ? r : image_modules_take(modules, tree, line, own, err);
}

bool image_modules_has(const struct image_modules *modules, const char *name)
{
	size_t len;

	return image_modules_line(&modules->dep, name, &len) ||
	       image_modules_line(&modules->builtin, name, &len);
}

int image_modules_add(struct image_modules *modules, struct tree *tree,
		      const char *name, struct err *err)
{
	size_t len;
	const char *line = image_modules_line(&modules->dep, name, &len);

	if (line)
		return image_modules_take_line(modules, tree, line, len, err);
	if (image_modules_line(&modules->builtin, name, &len))
		return 0; /* in the kernel itself */
	return err_set(err, -EINVAL, "%s has no module %s", modules->release,
		       name);
}
