/* SPDX-License-Identifier: Apache-2.0 */
/* The template's table of copies: those that wait in the pool, clients that
 * have connected and not yet spoken (without a pool), and copies that run,
 * each with its client's connection.  The table is dense; an entry's place
 * changes when another is removed.  Its memory is not copied by fork. */
#include "bare/wire_check.h"
#include "launch/shim/shim.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

int copies_init(void)
{
	size_t len = sizeof(struct shim_copy) * SHIM_COPIES_MOST;
	long at = raw_6(mmap, NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at < 0 && at > -4096)
		return (int)at;
	raw_3(madvise, at, len, MADV_DONTFORK);
	shim.serving.copy = (struct shim_copy *)at;
	return 0;
}

static uint32_t *copies_counter(enum shim_copy_state state)
{
	if (state == COPY_WAITING)
		return &shim.serving.waiting;
	return state == COPY_LIVE ? &shim.serving.live : &shim.serving.talking;
}

struct shim_copy *copies_add(enum shim_copy_state state, pid_t pid,
			     int connection)
{
	struct shim_copy *copy;

	if (shim.serving.copy_count == SHIM_COPIES_MOST)
		return NULL;
	copy = &shim.serving.copy[shim.serving.copy_count++];
	*copy = (struct shim_copy){ .state = state,
				    .pid = pid,
				    .pidfd = -1,
				    .connection = connection,
				    .since_ms = serve_now_ms() };
	++*copies_counter(state);
	serve_counts_change();
	return copy;
}

struct shim_copy *copies_find(pid_t pid)
{
	for (int i = 0; i < shim.serving.copy_count; i++) {
		if (shim.serving.copy[i].pid == pid)
			return &shim.serving.copy[i];
	}
	return NULL;
}

void copies_set_ready(struct shim_copy *copy)
{
	shim.serving.ready += !copy->ready;
	copy->ready = true;
}

static void copies_leave_state(struct shim_copy *copy)
{
	--*copies_counter(copy->state);
	shim.serving.ready -= copy->ready;
	copy->ready = false;
}

void copies_set_live(struct shim_copy *copy, pid_t pid, int connection)
{
	copies_leave_state(copy);
	copy->state = COPY_LIVE;
	copy->pid = pid;
	copy->connection = connection;
	/* Our child, not yet waited for: the number is still its own. */
	copy->pidfd = (int)raw_2(pidfd_open, pid, 0);
	shim.serving.live++;
	shim.serving.launches++;
	serve_counts_change();
}

void copies_remove(struct shim_copy *copy)
{
	copies_leave_state(copy);
	if (copy->connection >= 0)
		raw_1(close, copy->connection);
	if (copy->pidfd >= 0)
		raw_1(close, copy->pidfd);
	*copy = shim.serving.copy[--shim.serving.copy_count];
	serve_counts_change();
}

/* The client is gone while its program runs: nobody would take the result,
 * and a terminal's user has taken Ctrl-\ or kill -9 to mean the program. */
void copies_hang_up(struct shim_copy *copy)
{
	if (copy->pidfd >= 0)
		raw_4(pidfd_send_signal, copy->pidfd, SIGKILL, NULL, 0);
	/* The exit is told to nobody, but the process is waited for. */
	raw_1(close, copy->connection);
	copy->connection = -1;
}

static void copies_ended(pid_t pid, int status)
{
	struct shim_copy *copy = copies_find(pid);
	struct wire_exited exited = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_EXITED, sizeof exited,
			  0 },
		.pid = pid,
		.status = status,
	};

	/* It may have been launched since we last listened. */
	if (copy && copy->state == COPY_WAITING) {
		pool_heard();
		copy = copies_find(pid);
	}
	if (!copy)
		return;
	if (copy->state == COPY_LIVE && copy->connection >= 0)
		packet_send(copy->connection, &exited, sizeof exited, NULL, 0,
			    MSG_DONTWAIT);
	if (copy->state == COPY_WAITING && !shim.serving.draining)
		shim.serving.refill_ms = serve_now_ms() + 100;
	copies_remove(copy);
}

void copies_reap(void)
{
	int status;
	long pid;

	/* __WALL: the helpers of hold.c end without a signal. */
	while ((pid = raw_4(wait4, -1, &status, WNOHANG | __WALL, NULL)) > 0)
		copies_ended((pid_t)pid, status);
}
