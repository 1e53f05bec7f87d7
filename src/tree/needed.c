/* SPDX-License-Identifier: Apache-2.0 */
/* Follows links and the needs of programs.  Where a library lies is asked in
 * the order of the system's loader: the paths in the file itself, those of
 * ld.so.conf, the usual folders. */
#include "tree/needed.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEEDED_DEPTH = 64, NEEDED_FOLDERS = 256 };

/* Those that a loader knows without any list. */
static const char *const needed_usual[] = {
	"/lib/x86_64-linux-gnu",
	"/usr/lib/x86_64-linux-gnu",
	"/lib64",
	"/usr/lib64",
	"/lib",
	"/usr/lib",
	NULL,
};

struct needed_file {
	const char *path;
	bool wanted; /* named by the user: it has to work */
	int depth;
};

static int needed_path(struct needed *needed, const char *path,
		       const struct needed_file *by, struct err *err);

/* ---- lists ------------------------------------------------------------------ */

static void needed_free(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

static int needed_append(char ***list, size_t *count, size_t *room, char *text)
{
	char **more;

	if (*count == *room) {
		*room = *room ? 2 * *room : 32;
		more = reallocarray(*list, *room, sizeof *more);
		if (more)
			*list = more;
		if (!more || !text) {
			*room = *count;
			free(text);
			return -ENOMEM;
		}
	}
	(*list)[(*count)++] = text;
	return text ? 0 : -ENOMEM;
}

/* 1: it is new, 0: it was there. */
static int needed_see(struct needed *needed, const char *path)
{
	size_t low = 0, high = needed->seen_count;
	char *text;

	while (low < high) {
		size_t at = low + (high - low) / 2;
		int order = strcmp(path, needed->seen[at]);

		if (order == 0)
			return 0;
		if (order < 0)
			high = at;
		else
			low = at + 1;
	}
	text = strdup(path);
	if (!text || needed_append(&needed->seen, &needed->seen_count,
				   &needed->seen_room, text) < 0)
		return -ENOMEM;
	memmove(needed->seen + low + 1, needed->seen + low,
		(needed->seen_count - 1 - low) * sizeof *needed->seen);
	needed->seen[low] = text;
	return 1;
}

/* ---- the system's folders of libraries ------------------------------------------ */

static void needed_read_list(struct needed *needed, const char *path,
			     int depth);

static void needed_include(struct needed *needed, const char *pattern,
			   int depth)
{
	auto_free char *full = pattern[0] == '/' ? strdup(pattern)
						 : file_join("/etc", pattern);
	glob_t found;

	if (!full || glob(full, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		needed_read_list(needed, found.gl_pathv[i], depth + 1);
	globfree(&found);
}

static void needed_read_line(struct needed *needed, char *line, int depth)
{
	line += strspn(line, " \t");
	line[strcspn(line, "#\r")] = 0;
	for (size_t len = strlen(line); len && strchr(" \t", line[len - 1]);)
		line[--len] = 0;
	if (strncmp(line, "include", 7) == 0 && strchr(" \t", line[7]))
		needed_include(needed, line + 7 + strspn(line + 7, " \t"),
			       depth);
	else if (line[0] == '/' && needed->folder_count < NEEDED_FOLDERS)
		needed_append(&needed->folder, &needed->folder_count,
			      &needed->folder_room, strdup(line));
}

static void needed_read_list(struct needed *needed, const char *path, int depth)
{
	auto_buf struct buf text = { 0 };
	char *line, *rest;

	if (depth > 4 || file_read(path, &text, 1 << 20, NULL) < 0 ||
	    !text.data)
		return;
	for (line = strtok_r(text.data, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		needed_read_line(needed, line, depth);
}

void needed_init(struct needed *needed, struct tree *tree)
{
	*needed = (struct needed){ .tree = tree };
	needed_read_list(needed, "/etc/ld.so.conf", 0);
}

void needed_fini(struct needed *needed)
{
	needed_free(needed->seen, needed->seen_count);
	needed_free(needed->folder, needed->folder_count);
	buf_fini(&needed->notes);
}

/* ---- libraries -------------------------------------------------------------- */

struct needed_bytes {
	void *data;
	size_t len;
};

static void needed_unmap(struct needed_bytes *bytes)
{
	if (bytes->data)
		munmap(bytes->data, bytes->len);
}

/* Only the first bytes of most files are looked at. */
static int needed_map(const char *path, struct needed_bytes *bytes)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char magic[4];
	void *data;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 64 ||
	    pread(fd, magic, sizeof magic, 0) != sizeof magic ||
	    memcmp(magic, "\177ELF", sizeof magic) != 0)
		return 0;
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	bytes->data = data;
	bytes->len = st.st_size;
	return 1;
}

static bool needed_is_library(const char *path)
{
	__attribute__((
		cleanup(needed_unmap))) struct needed_bytes bytes = { 0 };
	struct needed_elf elf;

	return needed_map(path, &bytes) > 0 &&
	       needed_elf_read(bytes.data, bytes.len, &elf);
}

static char *needed_try(const char *folder, size_t len, const char *name)
{
	char *path = file_format("%.*s/%s", (int)len, folder, name);

	if (path && needed_is_library(path))
		return path;
	free(path);
	return NULL;
}

/* One folder of a run path, with $ORIGIN in it. */
static char *needed_origin(const char *part, size_t len, const char *origin,
			   const char *name)
{
	static const char *const words[] = { "${ORIGIN}", "$ORIGIN" };
	auto_free char *folder = NULL;

	for (int i = 0; i < 2; i++) {
		size_t n = strlen(words[i]);

		if (len < n || strncmp(part, words[i], n) != 0)
			continue;
		folder =
			file_format("%s%.*s", origin, (int)(len - n), part + n);
		return folder ? needed_try(folder, strlen(folder), name) : NULL;
	}
	return len ? needed_try(part, len, name) : NULL;
}

static char *needed_run_path(const char *run_path, const char *user,
			     const char *name)
{
	auto_free char *origin = strndup(user, file_base(user) - user);
	char *found = NULL;

	while (origin && run_path && *run_path && !found) {
		size_t len = strcspn(run_path, ":");

		found = needed_origin(run_path, len, origin, name);
		run_path += len + (run_path[len] == ':');
	}
	return found;
}

/* Of a library that only the system's list leads to: the machine has no such
 * list, but looks into /usr/lib. */
static int needed_make_known(struct needed *needed, const char *folder,
			     const char *name, struct err *err)
{
	auto_free char *link = file_join("/usr/lib", name);
	auto_free char *target = file_join(folder, name);

	if (!link || !target)
		return err_set(err, -ENOMEM, "library %s", name);
	for (int i = 0; needed_usual[i]; i++)
		if (strcmp(needed_usual[i], folder) == 0)
			return 0;
	return tree_link(needed->tree, link, target, err);
}

/* Whether it is NAME, NAME.so.6 or NAME-2.36.so. */
static bool needed_is_named(const char *file, const char *name)
{
	size_t len = strlen(name);

	return strncmp(file, name, len) == 0 &&
	       (strncmp(file + len, ".so", 3) == 0 ||
		(file[len] == '-' && file[len + 1] >= '0' &&
		 file[len + 1] <= '9'));
}

bool needed_is_libc(const char *path)
{
	static const char *const names[] = {
		"libc",	     "libm",	"libpthread", "libdl",	 "librt",
		"libresolv", "libutil", "libanl",     "libmvec", "ld",
	};
	const char *file = file_base(path);

	if (strncmp(file, "ld-linux", 8) == 0 ||
	    strncmp(file, "libnss_", 7) == 0)
		return true;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (needed_is_named(file, names[i]))
			return true;
	return false;
}

/* *found: the path, malloced, or NULL. */
static int needed_find(struct needed *needed, const char *name,
		       const char *run_path, const char *user, char **found,
		       struct err *err)
{
	*found = strchr(name, '/') ? strdup(name)
				   : needed_run_path(run_path, user, name);
	for (size_t i = 0; i < needed->folder_count && !*found; i++) {
		const char *folder = needed->folder[i];

		*found = needed_try(folder, strlen(folder), name);
		if (*found)
			return needed_make_known(needed, folder, name, err);
	}
	for (int i = 0; needed_usual[i] && !*found; i++)
		*found = needed_try(needed_usual[i], strlen(needed_usual[i]),
				    name);
	return 0;
}

static int needed_library(struct needed *needed, const char *name,
			  const char *run_path, const struct needed_file *by,
			  struct err *err)
{
	auto_free char *found = NULL;
	int r;

	if (needed->without_libc && needed_is_libc(name))
		return 0;
	r = needed_find(needed, name, run_path, by->path, &found, err);

	if (r < 0)
		return r;
	if (found)
		return needed_path(needed, found, by, err);
	if (by->wanted)
		return err_set(err, -EINVAL,
			       "%s needs %s, which this system does not have",
			       by->path, name);
	buf_format(&needed->notes, "%s needs %s, which is not there\n",
		   by->path, name);
	return 0;
}

/* A program's or a library's needs. */
static int needed_of(struct needed *needed, const struct needed_file *file,
		     struct err *err)
{
	__attribute__((
		cleanup(needed_unmap))) struct needed_bytes bytes = { 0 };
	struct needed_elf elf;
	int r = needed_map(file->path, &bytes);

	if (r < 0)
		return err_set(err, r, "read %s", file->path);
	if (r == 0 || !needed_elf_read(bytes.data, bytes.len, &elf))
		return 0;
	if (elf.interpreter && !needed->without_libc)
		r = needed_path(needed, elf.interpreter, file, err);
	for (int i = 0; i < elf.count && r >= 0; i++)
		r = needed_library(needed, elf.needs[i], elf.run_path, file,
				   err);
	return r;
}

/* ---- files and links ---------------------------------------------------------- */

/* FOLDER/NAME with the folder's own links resolved; malloced. */
static char *needed_real(const char *path)
{
	const char *base = file_base(path);
	auto_free char *folder =
		base == path ? strdup(".") : strndup(path, base - path);
	auto_free char *real = folder ? realpath(folder, NULL) : NULL;

	if (!real)
		return NULL;
	return file_join(strcmp(real, "/") == 0 ? "" : real, base);
}

static char *needed_target(const char *link, const char *text)
{
	if (text[0] == '/')
		return strdup(text);
	return file_format("%.*s%s", (int)(file_base(link) - link), link, text);
}

/* place: in the tree. */
static int needed_regular(struct needed *needed, const struct needed_file *file,
			  const char *place, const struct stat *st,
			  struct err *err)
{
	int r = tree_file(needed->tree, place, st->st_mode, file->path, err);

	if (r < 0)
		return r;
	tree_set_mtime(needed->tree, st->st_mtim);
	return needed_of(needed, file, err);
}

static int needed_read_link(const char *path, char *text, size_t room,
			    struct err *err)
{
	ssize_t n = readlink(path, text, room);

	if (n < 0)
		return err_set(err, -errno, "read the link %s", path);
	if ((size_t)n == room)
		return err_set(err, -ENAMETOOLONG, "read the link %s", path);
	text[n] = 0;
	return 0;
}

static int needed_link(struct needed *needed, const struct needed_file *file,
		       const struct stat *st, struct err *err)
{
	auto_free char *target = NULL;
	char text[4096];
	int r = needed_read_link(file->path, text, sizeof text, err);

	if (r >= 0)
		r = tree_link(needed->tree, file->path, text, err);
	if (r < 0)
		return r;
	tree_set_mtime(needed->tree, st->st_mtim);
	target = needed_target(file->path, text);
	return target ? needed_path(needed, target, file, err)
		      : err_set(err, -ENOMEM, "link %s", file->path);
}

/* A file or a link that something else leads to, by whatever path. */
static int needed_path(struct needed *needed, const char *path,
		       const struct needed_file *by, struct err *err)
{
	auto_free char *real = needed_real(path);
	struct needed_file file = { real, by->wanted, by->depth + 1 };
	struct stat st;
	int r;

	if (!real || lstat(real, &st) < 0) {
		if (by->wanted)
			return err_set(err, -ENOENT, "%s leads to %s", by->path,
				       path);
		return 0;
	}
	r = needed_see(needed, real);
	if (r <= 0)
		return r < 0 ? err_set(err, r, "look at %s", real) : 0;
	if (file.depth > NEEDED_DEPTH)
		return err_set(err, -ELOOP, "%s", real);
	if (S_ISLNK(st.st_mode))
		return needed_link(needed, &file, &st, err);
	if (S_ISREG(st.st_mode))
		return needed_regular(needed, &file, real, &st, err);
	return 0; /* a link to a folder, or a device */
}

/* ---- folders ---------------------------------------------------------------- */

static int needed_walked_link(struct needed *needed,
			      const struct needed_file *file,
			      const struct stat *st, const char *place,
			      bool moved, struct err *err)
{
	char text[4096];
	int r;

	if (!moved)
		return needed_path(needed, file->path, file, err);
	r = needed_read_link(file->path, text, sizeof text, err);
	if (r >= 0)
		r = tree_link(needed->tree, place, text, err);
	if (r >= 0)
		tree_set_mtime(needed->tree, st->st_mtim);
	return r;
}

static int needed_walked_folder(struct needed *needed, const struct stat *st,
				const char *place, struct err *err)
{
	int r = tree_folder(needed->tree, place, st->st_mode, err);

	if (r >= 0)
		tree_set_mtime(needed->tree, st->st_mtim);
	return r;
}

static int needed_walked(struct needed *needed, const FTSENT *entry,
			 const char *place, bool moved, struct err *err)
{
	const struct needed_file file = { entry->fts_path, false, 0 };
	const struct stat *st = entry->fts_statp;

	switch (entry->fts_info) {
	case FTS_D: return needed_walked_folder(needed, st, place, err);
	case FTS_F: return needed_regular(needed, &file, place, st, err);
	case FTS_SL:
	case FTS_SLNONE:
		return needed_walked_link(needed, &file, st, place, moved, err);
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return err_set(err, -entry->fts_errno, "read %s",
			       entry->fts_path);
	case FTS_DEFAULT:
		buf_format(&needed->notes, "%s is left out: no file\n",
			   entry->fts_path);
		return 0;
	default: return 0;
	}
}

static int needed_folder(struct needed *needed, const char *path,
			 const char *to, struct err *err)
{
	auto_free char *root = strdup(path);
	char *const roots[] = { root, NULL };
	FTS *walk =
		root ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
	FTSENT *entry;
	int r = 0;

	if (!walk)
		return err_set(err, -errno, "read %s", path);
	while (r >= 0 && (entry = fts_read(walk))) {
		auto_free char *place =
			file_format("%s%s", to, entry->fts_path + strlen(path));

		r = place ? needed_walked(needed, entry, place,
					  strcmp(path, to) != 0, err)
			  : err_set(err, -ENOMEM, "read %s", path);
	}
	fts_close(walk);
	return r;
}

/* The link itself, and all that is in the folder behind it. */
static int needed_linked_folder(struct needed *needed,
				const struct needed_file *link, struct err *err)
{
	auto_free char *folder = realpath(link->path, NULL);
	int r = needed_path(needed, link->path, link, err);

	if (r < 0 || !folder)
		return r;
	return needed_folder(needed, folder, folder, err);
}

int needed_add(struct needed *needed, const char *path, const char *to,
	       struct err *err)
{
	auto_free char *real = to ? realpath(path, NULL) : needed_real(path);
	struct needed_file file = { real, true, 0 };
	struct stat st, target;

	if (!real || lstat(real, &st) < 0 || stat(real, &target) < 0)
		return err_set(err, -errno, "%s", path);
	if (S_ISDIR(st.st_mode))
		return needed_folder(needed, real, to ? to : real, err);
	if (S_ISDIR(target.st_mode))
		return needed_linked_folder(needed, &file, err);
	if (!S_ISREG(target.st_mode))
		return err_set(err, -EINVAL,
			       "%s is neither a file nor a "
			       "folder",
			       path);
	if (!to)
		return needed_path(needed, real, &file, err);
	return needed_regular(needed, &file, to, &st, err);
}
