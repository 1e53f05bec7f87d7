/* SPDX-License-Identifier: Apache-2.0 */
/* Puts stubs into a folder, tells them from other files, and takes them
 * away again.  Each step is a rename over a finished file, so that a shell
 * that looks a name up meanwhile finds the old file or the new one. */
#include "lib/stub.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STUB_STARTER_MOST = 16 * 1024 * 1024 };

char *stub_default_dir(struct err *err)
{
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");

	if (data && *data == '/')
		return file_format("%s/brood/bin", data);
	if (home && *home == '/')
		return file_format("%s/.local/share/brood/bin", home);
	err_set(err, -EINVAL, "HOME is not set; name a folder with --dir");
	return NULL;
}

static char *stub_link_path(const char *dir, const char *name)
{
	return file_format("%s/.brood/%s", dir, name);
}

/* Tells the path under which the program sees itself: many look for their
 * parts beside it, and would find the stub by the bare name. */
static char *stub_program_path(const char *dir, const char *name)
{
	return file_format("%s/.brood/.%s", dir, name);
}

bool stub_is(const char *dir, const char *name)
{
	auto_free char *link = stub_link_path(dir, name);
	struct stat st;

	return link && lstat(link, &st) == 0 && S_ISLNK(st.st_mode);
}

/* Is dir/name a program that is not a stub of ours? */
static bool stub_is_other_program(const char *dir, const char *name)
{
	auto_free char *path = file_join(dir, name);
	struct stat st;

	return path && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, X_OK) == 0 && !stub_is(dir, name);
}

static char *stub_search(const char *name, const char *path)
{
	while (path) {
		const char *end = strchrnul(path, ':');
		auto_free char *dir =
			end == path ? strdup(".")
				    : strndup(path, (size_t)(end - path));

		if (dir && stub_is_other_program(dir, name))
			return file_join(dir, name);
		path = *end ? end + 1 : NULL;
	}
	return NULL;
}

char *stub_real_program(const char *word, struct err *err)
{
	const char *path = getenv("PATH");
	char *found;

	if (strchr(word, '/'))
		return strdup(word);
	found = *word ? stub_search(word, path ? path : "/bin:/usr/bin") : NULL;
	if (!found)
		err_set(err, -ENOENT, "%s is not in PATH", word);
	return found;
}

static int stub_copy(const char *from, const char *to, struct err *err)
{
	auto_buf struct buf bytes = { 0 };
	auto_close int fd = -1;
	int result = file_read(from, &bytes, STUB_STARTER_MOST, err);

	if (result < 0)
		return result;
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return err_set(err, -errno, "make %s", to);
	return fd_write_all(fd, bytes.data, bytes.len, err);
}

/* One inode for all stubs where that can be: their pages are shared too. */
static int stub_put_starter(const char *starter, const char *path,
			    struct err *err)
{
	auto_free char *fresh = file_format("%s.%d~", path, (int)getpid());
	int result = 0;

	if (!fresh)
		return err_set(err, -ENOMEM, "put %s", path);
	unlink(fresh);
	if (link(starter, fresh) < 0)
		result = stub_copy(starter, fresh, err);
	if (result >= 0 && rename(fresh, path) < 0)
		result = err_set(err, -errno, "rename to %s", path);
	/* Also after a rename: of two links to one inode it removes none. */
	unlink(fresh);
	return result;
}

static int stub_put_link(const char *entry, const char *link, struct err *err)
{
	auto_free char *fresh = file_format("%s.%d~", link, (int)getpid());

	if (!fresh)
		return err_set(err, -ENOMEM, "put %s", link);
	unlink(fresh);
	if (symlink(entry, fresh) < 0)
		return err_set(err, -errno, "make %s", fresh);
	if (rename(fresh, link) < 0) {
		int code = -errno;

		unlink(fresh);
		return err_set(err, code, "rename to %s", link);
	}
	return 0;
}

static int stub_may_put(const char *dir, const char *name, const char *path,
			struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0 || stub_is(dir, name))
		return 0;
	return err_set(err, -EEXIST, "%s is not a stub and is left alone",
		       path);
}

int stub_put(const char *dir, const char *name, const char *starter,
	     const char *entry, const char *program, struct err *err)
{
	auto_free char *path = file_join(dir, name);
	auto_free char *links = file_join(dir, ".brood");
	auto_free char *link = stub_link_path(dir, name);
	auto_free char *itself = stub_program_path(dir, name);
	int result;

	if (!path || !links || !link || !itself)
		return err_set(err, -ENOMEM, "wrap %s", name);
	result = stub_may_put(dir, name, path, err);
	if (result >= 0)
		result = file_make_dirs(links, 0700, err);
	if (result >= 0)
		result = stub_put_link(program, itself, err);
	if (result >= 0)
		result = stub_put_link(entry, link, err);
	if (result >= 0)
		result = stub_put_starter(starter, path, err);
	return result;
}

int stub_remove(const char *dir, const char *name, struct err *err)
{
	auto_free char *path = file_join(dir, name);
	auto_free char *link = stub_link_path(dir, name);
	auto_free char *itself = stub_program_path(dir, name);

	if (!path || !link || !itself)
		return err_set(err, -ENOMEM, "unwrap %s", name);
	if (!stub_is(dir, name))
		return err_set(err, -ENOENT, "%s is not a stub", path);
	/* The program first: a stub without its link could start nothing. */
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s", path);
	if (unlink(link) < 0)
		return err_set(err, -errno, "remove %s", link);
	if (unlink(itself) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s", itself);
	return 0;
}

int stub_each(const char *dir,
	      int (*visit)(const char *dir, const char *name, void *context),
	      void *context, struct err *err)
{
	auto_free char *links = file_join(dir, ".brood");
	struct dirent *found;
	int result = 0;
	DIR *list = links ? opendir(links) : NULL;

	if (!list)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "open %s/.brood", dir);
	while (result == 0 && (found = readdir(list)))
		if (found->d_name[0] != '.' && stub_is(dir, found->d_name))
			result = visit(dir, found->d_name, context);
	closedir(list);
	return result;
}
