/* SPDX-License-Identifier: Apache-2.0 */
/* What a launch carries over to the copy: everything of the caller's state
 * that an exec would have kept, but what the copy can see for itself. */
#include "bare/identity.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>

enum { COLLECT_POLLED = 1024, COLLECT_ENTRIES = 8192 };

/* An exec would close the ones that close on exec, so they stay here. */
static bool collect_fd(struct wire_launch *launch, int *fds, int *count, int fd)
{
	if (raw_2(fcntl, fd, F_GETFD) & FD_CLOEXEC)
		return true;
	if (launch->fd_count == WIRE_FD_MOST)
		return false;
	launch->fd_number[launch->fd_count++] = fd;
	fds[(*count)++] = fd;
	return true;
}

/* One call tells which of the first numbers are open. */
static bool collect_by_poll(struct wire_launch *launch, int *fds, int *count,
			    uint64_t most)
{
	struct pollfd polled[COLLECT_POLLED];

	for (uint64_t i = 0; i < most; i++)
		polled[i] = (struct pollfd){ (int)i, 0, 0 };
	raw_3(poll, polled, most, 0);
	for (uint64_t i = 0; i < most; i++)
		if (!(polled[i].revents & POLLNVAL) &&
		    !collect_fd(launch, fds, count, (int)i))
			return false;
	return true;
}

struct collect_entry {
	uint64_t ino, off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static int collect_number(const char *name)
{
	int value = 0;

	if (*name < '0' || *name > '9')
		return -1;
	while (*name >= '0' && *name <= '9')
		value = value * 10 + *name++ - '0';
	return value;
}

/* The kernel lists them in ascending order, as the wire wants them. */
static bool collect_by_folder(struct wire_launch *launch, int *fds, int *count)
{
	char room[COLLECT_ENTRIES] __attribute__((aligned(8)));
	long folder = raw_4(openat, AT_FDCWD, "/proc/self/fd",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	bool fits = folder >= 0;
	long n;

	while (fits && (n = raw_3(getdents64, folder, room, sizeof room)) > 0)
		for (long at = 0; fits && at < n;) {
			struct collect_entry *entry = (void *)(room + at);
			int fd = collect_number(entry->name);

			if (fd >= 0 && fd != folder)
				fits = collect_fd(launch, fds, count, fd);
			at += entry->len;
		}
	if (folder >= 0)
		raw_1(close, folder);
	return fits;
}

static bool collect_descriptors(struct starter *starter,
				struct wire_launch *launch, int *fds,
				int *count)
{
	uint64_t soft = launch->limits[7].soft; /* RLIMIT_NOFILE */
	bool fits = soft <= COLLECT_POLLED
			    ? collect_by_poll(launch, fds, count, soft)
			    : collect_by_folder(launch, fds, count);

	if (!fits)
		text_reason(starter, "too many descriptors are open", "", "");
	return fits;
}

bool collect_launch(struct starter *starter, struct wire_launch *launch,
		    int *fds, int *fd_count)
{
	long mask = raw_1(umask, 0);

	raw_1(umask, mask);
	memset(launch, 0, sizeof *launch);
	launch->umask = mask;
	launch->nice = 20 - (int32_t)raw_2(getpriority, 0, 0);
	for (int i = 0; i < WIRE_LIMITS; i++)
		raw_4(prlimit64, 0, i, 0, &launch->limits[i]);
	raw_4(rt_sigprocmask, 0, NULL, &launch->signals_blocked, 8);
	identity_say(&launch->identity);
	fds[0] = raw_4(openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC,
		       0);
	if (fds[0] < 0) {
		text_reason(starter, "the working directory cannot be opened",
			    "", "");
		return false;
	}
	*fd_count = 1;
	if (collect_descriptors(starter, launch, fds, fd_count))
		return true;
	raw_1(close, fds[0]);
	return false;
}
