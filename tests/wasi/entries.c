/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of folders: all of them, whatever the buffer's size, and again
 * from any cookie.
 * node: has no "." and ".." */
#include "tell.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

enum { FILES = 60 };

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
	char *names[80];
	int count = 0;
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir) {
		printf("%s: %s\n", path, tell_name(errno));
		return;
	}
	while (count < 80 && (entry = readdir(dir))) {
		char text[300];

		snprintf(text, sizeof text, "%s %s", entry->d_name,
			 entry->d_type == DT_DIR   ? "folder"
			 : entry->d_type == DT_LNK ? "link"
			 : entry->d_type == DT_REG ? "file"
						   : "?");
		names[count++] = strdup(text);
	}
	closedir(dir);
	qsort(names, count, sizeof *names, by_text);
	for (int i = 0; i < count; i++)
		puts(names[i]);
}

/* With a buffer of this size: how many whole entries come. */
static void count(int fd, size_t room)
{
	uint8_t bytes[4096];
	__wasi_dircookie_t cookie = __WASI_DIRCOOKIE_START;
	size_t used, at, seen = 0, turns = 0;
	__wasi_dirent_t entry;

	do {
		int e = __wasi_fd_readdir(fd, bytes, room, cookie, &used);

		if (e || turns++ > 1000) {
			printf("room %zu: %s\n", room, tell_name(e));
			return;
		}
		for (at = 0; at + sizeof entry <= used; seen++) {
			memcpy(&entry, bytes + at, sizeof entry);
			at += sizeof entry + entry.d_namlen;
			if (at > used)
				break;
			cookie = entry.d_next;
		}
	} while (used == room);
	printf("room %zu: %zu entries\n", room, seen);
}

static void inodes(int fd)
{
	uint8_t bytes[4096];
	size_t used, at = 0, right = 0;
	__wasi_dirent_t entry;
	struct stat stat;

	if (__wasi_fd_readdir(fd, bytes, sizeof bytes, 0, &used))
		return;
	while (at + sizeof entry <= used) {
		char name[64] = { 0 };

		memcpy(&entry, bytes + at, sizeof entry);
		if (at + sizeof entry + entry.d_namlen > used)
			break;
		memcpy(name, bytes + at + sizeof entry, entry.d_namlen);
		at += sizeof entry + entry.d_namlen;
		if (strcmp(name, "..") && fstatat(fd, name, &stat, 0) == 0)
			right += stat.st_ino == entry.d_ino;
	}
	printf("%zu inodes\n", right);
}

int main(void)
{
	char name[32];
	int fd;

	list("/");
	mkdir("/some", 0755);
	mkdir("/some/folder", 0755);
	make_file("/some/file", "");
	symlink("file", "/some/link");
	list("/some");
	list("/some/file");
	list("/none");
	mkdir("/many", 0755);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "/many/%0*d", 1 + i % 9, i);
		make_file(name, "");
	}
	fd = open("/many", O_RDONLY | O_DIRECTORY);
	count(fd, 40);
	count(fd, 64);
	count(fd, 100);
	count(fd, 4096);
	inodes(fd);
	return 0;
}
