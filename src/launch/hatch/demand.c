/* SPDX-License-Identifier: Apache-2.0 */
/* A launch that found nothing warm asks for it: the first run of a program
 * makes its template, later ones find it.		      CLAIM 0.17 */
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* 0, or why there is no connection; -EAGAIN: its queue is full. */
static long demand_connect(const struct starter *starter, long *fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*fd = raw_3(socket, AF_UNIX,
		    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return *fd;
	memcpy(address.sun_path, starter->entry.control,
	       sizeof address.sun_path);
	return raw_3(connect, *fd, &address, sizeof address);
}

bool demand_is_kept(const struct starter *starter)
{
	long fd, r = demand_connect(starter, &fd);

	if (fd >= 0)
		raw_1(close, fd);
	return r == 0 || r == -EAGAIN;
}

/* A living keeper is told; false when there is none.  One whose queue is
 * full has been told often enough. */
static bool demand_tell(const struct starter *starter)
{
	long fd, r = demand_connect(starter, &fd);
	bool told = r == -EAGAIN;

	if (r == 0)
		told = raw_6(sendto, fd, "demand", 6,
			     MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0) == 6;
	if (fd >= 0)
		raw_1(close, fd);
	return told;
}

/* The template's folder, where its status lies.  By the caller's environment
 * the keeper might look for it elsewhere. */
static void demand_folder(const struct starter *starter, char *folder)
{
	size_t len = strlen(starter->entry.status);

	memcpy(folder, starter->entry.status, len + 1);
	while (len > 0 && folder[len] != '/')
		len--;
	folder[len] = 0;
}

static _Noreturn void demand_become_keeper(const struct starter *starter)
{
	char folder[sizeof starter->entry.status];
	char *argv[] = { (char *)(size_t)starter->entry.keeper, "keep", folder,
			 NULL };
	uint64_t none = 0;

	demand_folder(starter, folder);
	raw_0(setsid);
	raw_3(close_range, 0, ~0u, 0);
	raw_4(openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	raw_1(dup, 0);
	raw_1(dup, 0);
	raw_1(chdir, "/");
	raw_1(umask, 022);
	raw_4(rt_sigprocmask, 2, &none, 0, 8);
	raw_3(execve, starter->entry.keeper, argv, starter->envp);
	raw_1(exit_group, 127);
	__builtin_unreachable();
}

/* A program that was replaced since it was refused may be another. */
static bool demand_is_refused(const struct starter *starter)
{
	const struct start_entry *entry = &starter->entry;

	return (entry->flags & ENTRY_NO_DEMAND) &&
	       entry_file_is_same(AT_FDCWD, entry->program, &entry->refused);
}

void demand_keeper(const struct starter *starter)
{
	long child;
	int status;

	if (demand_is_refused(starter) ||
	    !text_feature(starter->envp, "demand") || demand_tell(starter))
		return;
	/* Twice, so that the program to come gets no child that it did not
	 * make. */
	child = raw_0(fork);
	if (child == 0) {
		if (raw_0(fork) == 0)
			demand_become_keeper(starter);
		raw_1(exit_group, 0);
	}
	if (child > 0)
		raw_4(wait4, child, &status, 0, 0);
}
