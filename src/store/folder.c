/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of objects and their names: whom to trust, and how things are
 * called. */
#include "base/fd.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void store_hex(const uint8_t *bytes, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*hex++ = digits[bytes[i] >> 4];
		*hex++ = digits[bytes[i] & 15];
	}
	*hex = 0;
}

bool store_is_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == STORE_HEX &&
	       !name[STORE_HEX];
}

static uint8_t store_digit(char c)
{
	return (uint8_t)(c >= '0' && c <= '9' ? c - '0' : c - 'a' + 10);
}

void store_from_hex(const char *hex, uint8_t id[STORE_ID_BYTES])
{
	for (int i = 0; i < STORE_ID_BYTES; i++)
		id[i] = (uint8_t)(store_digit(hex[2 * i]) << 4 |
				  store_digit(hex[2 * i + 1]));
}

bool store_trusts(const struct stat *st, bool system)
{
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return false;
	return st->st_uid == 0 || (!system && st->st_uid == geteuid());
}

int store_folder_open(const char *folder, bool system, struct err *err)
{
	auto_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", folder);
	if (!store_trusts(&st, system))
		return err_set(err, -EPERM,
			       "%s can be written by others (user %u, mode %o)",
			       folder, st.st_uid, st.st_mode & 07777);
	return steal_fd(&fd);
}

int store_folder_make(const char *folder, mode_t mode, struct err *err)
{
	int fd = store_folder_open(folder, false, err), rc;

	if (fd >= 0 || fd != -ENOENT)
		return fd;
	rc = file_make_dirs(folder, mode, err);
	return rc < 0 ? rc : store_folder_open(folder, false, err);
}

DIR *store_folder_list(int root, const char *name)
{
	int fd = openat(root, name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !dir)
		close(fd);
	return dir;
}
