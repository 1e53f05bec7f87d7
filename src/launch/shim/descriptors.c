/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors of a launch get the numbers that they have in its caller,
 * and no others stay open but the connection. */
#include "launch/shim/shim.h"
#include <errno.h>
#include <fcntl.h>

static void close_between(unsigned first, unsigned last)
{
	if (first <= last)
		raw_3(close_range, first, last, 0);
}

/* Closes all from first on but the few in keep (-1: none). */
void close_all_but(int first, const int *keep, int count)
{
	for (;;) {
		int next = -1;

		for (int i = 0; i < count; i++) {
			if (keep[i] >= first && (next < 0 || keep[i] < next))
				next = keep[i];
		}
		if (next < 0)
			break;
		close_between((unsigned)first, (unsigned)next - 1);
		first = next + 1;
	}
	close_between((unsigned)first, ~0u);
}

/* One of ours whose number a launch may want. */
static long move_up(int *fd, int least)
{
	long moved;

	if (*fd < 0 || *fd >= least)
		return 0;
	moved = raw_3(fcntl, *fd, F_DUPFD_CLOEXEC, least);
	if (moved < 0)
		return moved;
	*fd = (int)moved; /* the old number is closed with the others */
	return 0;
}

/* After it the numbers of the launch are taken; what was there is gone. */
long descriptors_take(struct shim_launch *launch)
{
	const struct wire_launch *packet = launch->packet;
	int count = (int)packet->fd_count;
	int *fd = launch->fd + launch->fd_count - count;
	int least = count ? packet->fd_number[count - 1] + 1 : 0;
	int next = 0;
	long error = move_up(&launch->connection, least);

	for (int i = 0; i < count && error >= 0; i++)
		error = move_up(&fd[i], least);
	for (int i = 0; i < count && error >= 0; i++) {
		int number = packet->fd_number[i];

		if (number > next)
			close_between((unsigned)next, (unsigned)number - 1);
		error = raw_2(dup2, fd[i], number);
		next = number + 1;
	}
	if (error < 0)
		return error;
	close_all_but(least, &launch->connection, 1);
	return 0;
}
