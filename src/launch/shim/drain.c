/* SPDX-License-Identifier: Apache-2.0 */
/* The template's end.  The listener takes no more connections; those in its
 * backlog are still served, by waiting copies and by the template itself.
 * Then the keeper gets each copy that still runs, with its client, and the
 * template is gone.  Where the keeper is gone, the template stays until the
 * last of its copies has ended.			      CLAIM 0.16 */
#include "launch/shim/shim.h"
#include <errno.h>
#include <sys/socket.h>

void drain_begin(void)
{
	struct shim_serving *serving = &shim.serving;

	if (serving->draining)
		return;
	serving->draining = true;
	raw_2(shutdown, serving->listener, SHUT_RD);
	/* Blocks no more: an empty backlog is EINVAL now. */
	while (serving->copy_count < SHIM_COPIES_MOST) {
		if (!serve_accept())
			break;
	}
}

static bool drain_pass_on(const struct shim_copy *copy)
{
	struct control_adopt adopt = {
		.head = { CONTROL_ADOPT, sizeof adopt },
		.pid = copy->pid,
	};
	int fds[2] = { copy->connection, copy->pidfd };

	/* Without a client there is nobody to tell, without a pidfd no way
	 * to know. */
	if (copy->connection < 0 || copy->pidfd < 0)
		return true;
	return packet_send(shim.control, &adopt, sizeof adopt, fds, 2, 0) >= 0;
}

static void drain_leave(void)
{
	struct control_head drained = { CONTROL_DRAINED, sizeof drained };

	copies_reap();
	serve_count(true);
	while (shim.serving.copy_count > 0) {
		if (!drain_pass_on(shim.serving.copy)) {
			shim.serving.alone = true;
			return;
		}
		copies_remove(shim.serving.copy);
	}
	packet_send(shim.control, &drained, sizeof drained, NULL, 0, 0);
	raw_1(exit_group, 0);
}

/* Ends the process when all is done. */
void drain_look(void)
{
	const struct shim_serving *serving = &shim.serving;

	if (!serving->draining || serving->waiting || serving->talking)
		return;
	if (!serving->alone)
		drain_leave();
	else if (serving->live == 0)
		raw_1(exit_group, 0);
}
