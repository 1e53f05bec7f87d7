/* SPDX-License-Identifier: Apache-2.0 */
/* Which file the line is, and how it is set up: a virtio port that has our
 * name, else the second serial port. */
#include "agent/agent.h"
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <string.h>

#define PORT_FOLDER "/sys/class/virtio-ports/"
#define PORT_NAME   "org.brood.agent"

enum { PORT_SEARCHES = 4 };

struct port_entry { /* of getdents64 */
	uint64_t ino, off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* Is PORT_FOLDER/NAME/name ours? */
static bool port_is_ours(const char *name)
{
	char room[sizeof PORT_FOLDER + 64 + 8], text[sizeof PORT_NAME];
	struct words path = { room, room + sizeof room };
	long fd, len;

	if (name[0] == '.' || strlen(name) > 32)
		return false;
	words_add(&path, PORT_FOLDER);
	words_add(&path, name);
	words_add(&path, "/name");
	fd = raw_4(openat, AT_FDCWD, room, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	len = raw_3(read, fd, text, sizeof text);
	raw_1(close, fd);
	return len == sizeof text && text[len - 1] == '\n' &&
	       memcmp(text, PORT_NAME, len - 1) == 0;
}

static void port_name(struct line *line, const char *name)
{
	struct words path = { line->found, line->found + sizeof line->found };

	words_add(&path, "/dev/");
	words_add(&path, name);
}

/* Names in one run of entries of a folder. */
static bool port_search(struct line *line, const char *entries, long len)
{
	for (long at = 0; at < len;) {
		const struct port_entry *entry = (const void *)(entries + at);

		if (port_is_ours(entry->name)) {
			port_name(line, entry->name);
			return true;
		}
		at += entry->len;
	}
	return false;
}

/* false: not yet.  The host tells the names of virtio ports a moment after
 * the driver is there. */
static bool port_find(struct line *line)
{
	_Alignas(8) char entries[2048];
	bool found = false;
	long len, fd;

	fd = raw_4(openat, AT_FDCWD, PORT_FOLDER,
		   O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	while (fd >= 0 && !found) {
		len = raw_3(getdents64, fd, entries, sizeof entries);
		if (len <= 0)
			break;
		found = port_search(line, entries, len);
	}
	if (fd >= 0)
		raw_1(close, fd);
	if (!found && fd >= 0 && ++line->searched < PORT_SEARCHES)
		return false;
	if (!found)
		port_name(line, "ttyS1");
	return true;
}

/* Bytes as they are, whatever the modem lines say.  A break is no byte. */
static bool port_set_up(int fd)
{
	struct termios how;

	if (raw_3(ioctl, fd, TCGETS, &how) < 0)
		return false;
	how.c_iflag = IGNBRK;
	how.c_oflag = 0;
	how.c_lflag = 0;
	how.c_cflag = B115200 | CS8 | CREAD | CLOCAL;
	how.c_cc[VMIN] = 1;
	how.c_cc[VTIME] = 0;
	return raw_3(ioctl, fd, TCSETS, &how) >= 0;
}

/* A virtio port signals when the host comes or goes; that a terminal does
 * not is why it is tried again by and by. */
static void port_ask_for_signals(int fd)
{
	raw_3(fcntl, fd, F_SETOWN, raw_0(getpid));
	raw_3(fcntl, fd, F_SETFL, O_NONBLOCK | O_ASYNC);
}

int port_open(struct line *line)
{
	const char *path = line->path;
	long fd;

	if (!path) {
		if (!port_find(line))
			return -EAGAIN;
		path = line->found;
	}
	fd = raw_4(openat, AT_FDCWD, path,
		   O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	line->is_terminal = port_set_up(fd);
	if (!line->is_terminal)
		port_ask_for_signals(fd);
	return fd;
}
