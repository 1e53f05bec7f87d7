/* SPDX-License-Identifier: Apache-2.0 */
/* What the shims of the generations tell, and the instances that outlive
 * their template.  An instance is the child of its template; when that ends,
 * the kernel gives it to us (we are a subreaper), so its end is seen here
 * and told to its client over the connection that came with ADOPT.
 *
 * A template is the user's program: its packets are checked as a stranger's
 * would be. */
#include "bare/image_check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "brood/wire.h"
#include "launch/keeper_internal.h"
#include "launch/shim_control.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEEPER_HOT_MOST = 4096, KEEPER_PAGE = 4096 };

union keeper_packet {
	struct control_head head;
	struct control_counts counts;
	struct control_adopt adopt;
	struct control_failed failed;
};

static void keeper_signal_pidfd(int pidfd, int number)
{
	syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

/* ---- copies ------------------------------------------------------------ */

static void keeper_copy_close(struct keeper_copy *copy)
{
	fd_close(&copy->pidfd);
	fd_close(&copy->connection);
}

/* The last one takes the place of the one that goes. */
static void keeper_copy_remove(struct keeper *keeper, size_t at)
{
	keeper_copy_close(&keeper->copy[at]);
	keeper->copy[at] = keeper->copy[--keeper->copies];
}

static int keeper_copy_room(struct keeper *keeper)
{
	size_t room = keeper->copy_room ? keeper->copy_room * 2 : 16;
	struct keeper_copy *grown;

	if (keeper->copies < keeper->copy_room)
		return 0;
	grown = realloc(keeper->copy, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	keeper->copy = grown;
	keeper->copy_room = room;
	return 0;
}

/* CLAIM 0.16: an instance goes on when its template ends.  Takes fds. */
static void keeper_adopt(struct keeper *keeper, const struct template *template,
			 pid_t pid, int connection, int pidfd)
{
	struct keeper_copy copy = { .pid = pid,
				    .pidfd = pidfd,
				    .connection = connection,
				    .generation = template->generation };

	if (pid <= 0 || keeper_copy_room(keeper) < 0) {
		keeper_copy_close(&copy);
		return;
	}
	keeper->copy[keeper->copies++] = copy;
	log_event("serve.adopt", "\"generation\":%" PRIu64 ",\"pid\":%d",
		  template->generation, (int)pid);
}

/* The client is gone: what it started ends as if by its terminal's end. */
void keeper_hang_up(struct keeper *keeper, size_t copy)
{
	keeper_signal_pidfd(keeper->copy[copy].pidfd, SIGKILL);
	keeper->copy[copy].killed = true;
}

static void keeper_tell_exit(const struct keeper_copy *copy, int status)
{
	struct wire_exited exited = { .head = { .magic = WIRE_MAGIC,
						.version = WIRE_VERSION,
						.type = WIRE_EXITED,
						.size = sizeof(exited) },
				      .pid = copy->pid,
				      .status = status };

	(void)fd_send(copy->connection, &exited, sizeof(exited), NULL, 0, NULL);
}

static bool keeper_copy_ended(struct keeper *keeper, pid_t pid, int status)
{
	for (size_t i = 0; i < keeper->copies; i++) {
		if (keeper->copy[i].pid != pid)
			continue;
		keeper_tell_exit(&keeper->copy[i], status);
		keeper_copy_remove(keeper, i);
		keeper->used_ns = clock_ns();
		return true;
	}
	return false;
}

static bool keeper_is_child(pid_t pid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)pid, &info,
		      WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

/* A template that reaped its copy itself leaves us nothing to wait for. */
static void keeper_drop_strangers(struct keeper *keeper, uint64_t generation)
{
	for (size_t i = keeper->copies; i-- > 0;)
		if (keeper->copy[i].generation == generation &&
		    !keeper_is_child(keeper->copy[i].pid))
			keeper_copy_remove(keeper, i);
}

void keeper_copies_fini(struct keeper *keeper)
{
	while (keeper->copies)
		keeper_copy_remove(keeper, 0);
	free(keeper->copy);
	keeper->copy = NULL;
	keeper->copy_room = 0;
}

/* ---- what a shim tells ------------------------------------------------- */

/* A range may go over several maps without a gap. */
static bool keeper_lies_in_image(const struct program_image *image,
				 const struct image_hot *hot)
{
	const struct image_map *map = image_maps(image);
	uint64_t at = hot->addr;

	if (hot->addr % KEEPER_PAGE || hot->len % KEEPER_PAGE || !hot->len ||
	    hot->write > 1 || hot->len > UINT64_MAX - hot->addr)
		return false;
	for (uint32_t i = 0; i < image->map_count; i++)
		if (at >= map[i].addr && at - map[i].addr < map[i].len)
			at = map[i].addr + map[i].len;
	return at >= hot->addr + hot->len;
}

/* Leaves those that lie in the image; returns how many. */
static ssize_t keeper_keep_good(const struct keeper *keeper,
				struct image_hot *hot, size_t count,
				struct err *err)
{
	auto_free struct program_image *image =
		keeper_image_header(keeper->place->image, err);
	size_t good = 0;

	if (!image)
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		if (keeper_lies_in_image(image, &hot[i]))
			hot[good++] = hot[i];
	return (ssize_t)good;
}

/* The memory is copied before it is checked: the template has it too. */
static int keeper_publish_hot(const struct keeper *keeper, int memory,
			      struct err *err)
{
	auto_free char *path = file_format("%s.hot", keeper->place->image);
	auto_free struct image_hot *hot = NULL;
	struct stat st;
	ssize_t good;
	size_t count;
	int rc;

	if (!path || fstat(memory, &st) < 0)
		return err_set(err, -ENOMEM, "learned pages");
	count = (size_t)st.st_size / sizeof(*hot);
	if (st.st_size < 0 || !count || count > KEEPER_HOT_MOST ||
	    (size_t)st.st_size % sizeof(*hot))
		return err_set(err, -EINVAL, "%ld bytes of learned pages",
			       (long)st.st_size);
	hot = calloc(count, sizeof(*hot));
	if (!hot)
		return err_set(err, -ENOMEM, "learned pages");
	rc = fd_pread_all(memory, hot, count * sizeof(*hot), 0, err);
	good = rc < 0 ? rc : keeper_keep_good(keeper, hot, count, err);
	if (good <= 0)
		return (int)good;
	log_event("serve.learned", "\"ranges\":%zu,\"good\":%zd", count, good);
	return file_publish(path, hot, (size_t)good * sizeof(*hot), 0600, err);
}

static void keeper_hear_learned(struct keeper *keeper,
				const struct template *template, int memory)
{
	struct err err = { 0 };

	if (template != keeper->current)
		return;
	if (keeper_publish_hot(keeper, memory, &err) < 0)
		snprintf(keeper->last_error, sizeof(keeper->last_error),
			 "learned pages: %.200s", err.text);
}

static void keeper_hear_counts(struct keeper *keeper, struct template *template,
			       const struct control_counts *counts)
{
	if (counts->launches > template->launches ||
	    counts->live != template->live)
		keeper->used_ns = clock_ns();
	if (counts->launches >= template->launches)
		template->launches = counts->launches;
	template->live = counts->live;
	template->waiting = counts->waiting;
}

static void keeper_hear_failed(struct keeper *keeper,
			       struct control_failed *failed)
{
	failed->reason[sizeof(failed->reason) - 1] = 0;
	snprintf(keeper->last_error, sizeof(keeper->last_error), "shim: %s",
		 failed->reason);
}

static void keeper_hear_packet(struct keeper *keeper, struct template *template,
			       union keeper_packet *packet, size_t len,
			       int fds[2], int fd_count)
{
	if (len < sizeof(packet->head) || packet->head.size != len)
		return;
	switch (packet->head.type) {
	case CONTROL_COUNTS:
		if (len == sizeof(packet->counts))
			keeper_hear_counts(keeper, template, &packet->counts);
		break;
	case CONTROL_LEARNED:
		if (fd_count == 1)
			keeper_hear_learned(keeper, template, fds[0]);
		break;
	case CONTROL_ADOPT:
		if (len == sizeof(packet->adopt) && fd_count == 2)
			keeper_adopt(keeper, template, packet->adopt.pid,
				     steal_fd(&fds[0]), steal_fd(&fds[1]));
		break;
	case CONTROL_FAILED:
		if (len == sizeof(packet->failed))
			keeper_hear_failed(keeper, &packet->failed);
		break;
	}
}

/* The pair's end: an expected one has drained and ends by itself, any other
 * is of no use any more. */
static void keeper_hear_end(struct template *template)
{
	fd_close(&template->control);
	if (!template->draining)
		keeper_signal_pidfd(template->pidfd, SIGKILL);
}

void keeper_hear(struct keeper *keeper, struct template *template)
{
	while (template->control >= 0 &&
	       fd_wait(template->control, POLLIN, 0) == 1) {
		union keeper_packet packet = { 0 };
		int fds[2] = { -1, -1 };
		int fd_count = 0;
		ssize_t len =
			fd_receive(template->control, &packet, sizeof(packet),
				   fds, 2, &fd_count, NULL);

		if (len == 0 || (len < 0 && len != -EMSGSIZE)) {
			keeper_hear_end(template);
			return;
		}
		if (len > 0)
			keeper_hear_packet(keeper, template, &packet,
					   (size_t)len, fds, fd_count);
		fd_close(&fds[0]);
		fd_close(&fds[1]);
	}
}

static void keeper_hear_all(struct keeper *keeper)
{
	if (keeper->current)
		keeper_hear(keeper, keeper->current);
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i])
			keeper_hear(keeper, keeper->old[i]);
}

/* ---- ends -------------------------------------------------------------- */

static struct template *keeper_find_template(struct keeper *keeper, pid_t pid)
{
	if (keeper->current && keeper->current->pid == pid)
		return keeper->current;
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i] && keeper->old[i]->pid == pid)
			return keeper->old[i];
	return NULL;
}

static void keeper_template_ended(struct keeper *keeper,
				  struct template *template, int status)
{
	uint64_t generation = template->generation;
	char how[64];

	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "killed by signal %d",
			 WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "exit status %d",
			 WEXITSTATUS(status));
	template->pid = 0;
	keeper_ended(keeper, template, how);
	keeper_drop_strangers(keeper, generation);
}

static pid_t keeper_next_ended(void)
{
	siginfo_t info = { 0 };

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
		return 0;
	return info.si_pid;
}

/* A copy of which its template could not tell us any more.  Where the kernel
 * forgets how a process ended once it was waited for, its client looks now. */
static void keeper_leave_to_client(void)
{
	struct timespec while_it_looks = { 0, 20 * 1000000 };

	nanosleep(&while_it_looks, NULL);
}

static bool keeper_knows_copy(const struct keeper *keeper, pid_t pid)
{
	for (size_t i = 0; i < keeper->copies; i++)
		if (keeper->copy[i].pid == pid)
			return true;
	return false;
}

/* The end is looked at before it is taken: a template that has given up its
 * copies may be gone before we read what it said. */
void keeper_reap(struct keeper *keeper)
{
	struct template *template;
	int status = 0;
	pid_t pid;

	while ((pid = keeper_next_ended()) > 0) {
		keeper_hear_all(keeper);
		if (!keeper_find_template(keeper, pid) &&
		    !keeper_knows_copy(keeper, pid))
			keeper_leave_to_client();
		if (waitpid(pid, &status, WNOHANG | __WALL) != pid)
			return;
		template = keeper_find_template(keeper, pid);
		if (template)
			keeper_template_ended(keeper, template, status);
		else
			keeper_copy_ended(keeper, pid, status);
	}
}
