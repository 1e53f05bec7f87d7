/* SPDX-License-Identifier: Apache-2.0 */
/* Copies that are forked before anybody asks.  Each waits in accept on the
 * template's listener, so that a launch is one process waking up, and says
 * so.  One that got a launch hands the connection to the template as well,
 * which from then on waits for the copy's end and fills the pool up again.
 *
 * A waiting copy dies with its template.  One that has a launch does not:
 * the tie is cut before the client hears of it, and after that the template
 * ends only when it has passed the copy on. */
#include "launch/shim/shim.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POOL_REST_MS = 10, POOL_BUSY_MS = 50 };

/* Starters look here before they choose a way: only a copy that is ready is
 * faster than a hatch. */
void pool_hint(void)
{
	struct shim_serving *serving = &shim.serving;

	if (serving->draining || serving->hinted.ready == serving->ready)
		return;
	serving->hinted.ready = serving->ready;
	raw_4(pwrite64, serving->hint, &serving->hinted, sizeof serving->hinted,
	      0);
}

/* Threads that fork handlers ask for belong to the child alone. */
pid_t pool_fork(void)
{
	int threads = shim.thread_count;
	pid_t pid;

	shim.forks++;
	pid = fork();
	if (pid != 0) {
		shim.forks--;
		shim.thread_count = threads;
	}
	return pid;
}

static bool pool_is_orphan(void)
{
	return raw_0(getppid) != shim.serving.pid;
}

/* Accepts until a client brings a launch. */
static int pool_accept(void)
{
	for (;;) {
		long connection = raw_4(accept4, shim.serving.listener, NULL,
					NULL, SOCK_CLOEXEC);

		if (connection < 0 && connection != -ECONNABORTED &&
		    connection != -EINTR)
			raw_1(exit_group, 0); /* EINVAL: the end */
		if (connection < 0)
			continue;
		if (receive((int)connection))
			return (int)connection;
		raw_1(close, connection);
	}
}

/* In the new copy, until it has become an instance. */
static void pool_wait(void)
{
	int keep[2] = { shim.serving.listener, shim.serving.tell };
	int32_t pid = (int32_t)raw_0(getpid);
	int connection;

	raw_5(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (pool_is_orphan())
		raw_1(exit_group, 0);
	close_all_but(3, keep, 2);
	receive_prepare();
	learn_prefault();
	learn_hide();
	if (shim.serving.hold)
		hold_memory();
	packet_send(shim.serving.tell, &pid, sizeof pid, NULL, 0, 0);
	connection = pool_accept();
	raw_5(prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
	if (pool_is_orphan() || packet_send(shim.serving.tell, &pid, sizeof pid,
					    &connection, 1, 0) < 0)
		raw_1(exit_group, 0);
	become();
}

/* Making copies takes a CPU, and the page tables of those that were just
 * launched: it waits for a moment after the latest launch.  Where there is an
 * image, launches go on by it meanwhile, and the pool can wait until a CPU
 * has nothing to do; where there is none, or somebody wants a clone all the
 * same, at most half of the pool may lack. */
static bool pool_rests(void)
{
	struct shim_serving *serving = &shim.serving;
	bool patient = serving->hatch && !serving->wanted;
	uint64_t now = serve_now_ms();

	if (serving->refill_ms > now || serving->copy_count == SHIM_COPIES_MOST)
		return true;
	if (serving->rest_ms > now)
		return patient || serving->waiting * 2 >= serving->pool;
	if (!patient || !figures_cpus_are_busy())
		return false;
	serving->rest_ms = now + POOL_BUSY_MS;
	return true;
}

/* true in a copy that was launched */
bool pool_fill(void)
{
	struct shim_serving *serving = &shim.serving;

	while (!serving->draining && serving->waiting < serving->pool &&
	       !pool_rests()) {
		pid_t pid;

		serving->wanted = false;
		pid = pool_fork();
		if (pid == 0) {
			pool_wait();
			return true;
		}
		if (pid < 0)
			serving->refill_ms = serve_now_ms() + 100;
		else
			copies_add(COPY_WAITING, pid, -1);
	}
	return false;
}

/* Copies that say that they are ready, or have a launch. */
void pool_heard(void)
{
	for (;;) {
		int connection, fd_count;
		int32_t pid = 0;
		long got =
			packet_receive(shim.serving.told, &pid, sizeof pid,
				       &connection, 1, &fd_count, MSG_DONTWAIT);
		struct shim_copy *copy;

		if (got == -EMSGSIZE)
			continue;
		if (got <= 0)
			return;
		copy = copies_find(pid);
		if (got == sizeof pid && fd_count == 0 && copy &&
		    copy->state == COPY_WAITING) {
			copies_set_ready(copy);
		} else if (got == sizeof pid && fd_count == 1 && copy &&
			   copy->state == COPY_WAITING) {
			copies_set_live(copy, pid, connection);
			shim.serving.rest_ms = serve_now_ms() + POOL_REST_MS;
		} else if (fd_count == 1) {
			raw_1(close, connection);
		}
	}
}
