/* SPDX-License-Identifier: Apache-2.0 */
/* Life and loop of a keeper.
 *
 * Invariants:
 *  1. It holds the lock from before it touches any file of the template
 *     until it has removed its sockets.
 *  2. What starters find (image, live) is replaced only by a generation that
 *     was seen to serve, and the older one is told to end only after that.
 *  3. A generation serves by itself.  The keeper may be busy with the start
 *     of the next one, or be dead, without a launch noticing.
 *  4. A failed start changes nothing but the status. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/process.h"
#include "launch/age.h"
#include "launch/entry.h"
#include "launch/image_write.h"
#include "launch/keeper_internal.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { KEEPER_LOCK_MS = 200 };

/* ---- end --------------------------------------------------------------- */

void keeper_stop(struct keeper *keeper, const char *why)
{
	if (keeper->stopping)
		return;
	keeper->stopping = true;
	keeper->retry_at = KEEPER_NEVER;
	if (!keeper->lost)
		unlink(keeper->place->live);
	keeper_retire(keeper);
	if (keeper->state == KEEPER_SERVING ||
	    keeper->state == KEEPER_IMAGE_ONLY ||
	    keeper->state == KEEPER_STARTING)
		keeper_set_state(keeper, KEEPER_STOPPED, why);
}

static bool keeper_has_old(const struct keeper *keeper)
{
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i])
			return true;
	return false;
}

/* From here on another keeper may take the place.  What waits for an answer
 * gets it after the lock is free. */
static void keeper_release(struct keeper *keeper)
{
	if (keeper->released)
		return;
	keeper->released = true;
	keeper_watch_close(keeper);
	fd_close(&keeper->listener);
	if (!keeper->lost)
		unlink(keeper->place->control);
	if (!keeper->removed)
		keeper_status_write(keeper);
	fd_close(&keeper->lock);
	keeper_control_answer_stop(keeper);
}

/* ---- loop -------------------------------------------------------------- */

static uint64_t keeper_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t keeper_timer_from(uint64_t start_ns, long ms)
{
	return ms > 0 ? start_ns + (uint64_t)ms * 1000000 : KEEPER_NEVER;
}

static uint64_t keeper_next_timer(const struct keeper *keeper)
{
	const struct spec *spec = keeper->spec;
	uint64_t next = keeper->retry_at;

	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i])
			next = keeper_earlier(next, keeper->old[i]->drain_by);
	if (keeper->stopping)
		return next;
	next = keeper_earlier(next, keeper->watch.look_at);
	if (keeper->current)
		next = keeper_earlier(next,
				      keeper_timer_from(keeper->stood_ns,
							spec->refresh_ms));
	return keeper_earlier(next, keeper_timer_from(keeper->used_ns,
						      spec->idle_ms));
}

static bool keeper_is_due(uint64_t timer)
{
	return timer != KEEPER_NEVER && clock_ns() >= timer;
}

static void keeper_kill_late(struct keeper *keeper)
{
	for (int i = 0; i < KEEPER_OLD_MOST; i++) {
		struct template *template = keeper->old[i];

		if (!template || !keeper_is_due(template->drain_by))
			continue;
		keeper_hear(keeper, template);
		template_kill(template);
		keeper_ended(keeper, template, "killed, it did not drain");
	}
}

/* A renewal by timer or count that fails is tried again a period later. */
static void keeper_renew_by(struct keeper *keeper, const char *why)
{
	struct err err = { 0 };

	if (keeper_renew(keeper, why, &err) >= 0)
		return;
	keeper->stood_ns = clock_ns();
	if (keeper->current)
		keeper->current->launches_at_refresh =
			keeper->current->launches;
}

static bool keeper_has_served_enough(const struct keeper *keeper)
{
	long most = keeper->spec->refresh_launches;

	return most > 0 &&
	       keeper->current->launches -
			       keeper->current->launches_at_refresh >=
		       (uint64_t)most;
}

static void keeper_run_timers(struct keeper *keeper)
{
	const struct spec *spec = keeper->spec;

	keeper_kill_late(keeper);
	if (keeper->stopping)
		return;
	if (keeper_is_due(keeper->watch.look_at))
		keeper_watch_look(keeper);
	if (keeper_is_due(keeper->retry_at))
		keeper_renew_due(keeper);
	if (keeper->current && keeper_is_due(keeper_timer_from(
				       keeper->stood_ns, spec->refresh_ms)))
		keeper_renew_by(keeper, "timer");
	else if (keeper->current && keeper_has_served_enough(keeper))
		keeper_renew_by(keeper, "count");
	if (keeper_live(keeper))
		keeper->used_ns = clock_ns();
	else if (keeper_is_due(
			 keeper_timer_from(keeper->used_ns, spec->idle_ms)))
		keeper_stop(keeper, "idle");
}

static void keeper_read_signals(struct keeper *keeper)
{
	struct signalfd_siginfo info;
	struct err err = { 0 };

	while (read(keeper->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP && !keeper->stopping)
			keeper_renew(keeper, "hand", &err);
		else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGHUP)
			keeper_stop(keeper, "signal");
	}
	keeper_reap(keeper);
}

/* What poll() looks at: first three of the keeper's own, the clients, the
 * shims, then the connections of copies. */
struct keeper_polls {
	struct pollfd *item;
	size_t count;
	size_t copies_at;
};

static void keeper_polls_add(struct keeper_polls *polls, int fd, short events)
{
	polls->item[polls->count++] = (struct pollfd){ fd, events, 0 };
}

static int keeper_polls_make(const struct keeper *keeper,
			     struct keeper_polls *polls)
{
	polls->count = 0;
	polls->item = malloc(
		(4 + KEEPER_CLIENTS_MOST + KEEPER_OLD_MOST + keeper->copies) *
		sizeof(*polls->item));
	if (!polls->item)
		return -ENOMEM;
	keeper_polls_add(polls, keeper->signals, POLLIN);
	keeper_polls_add(polls, keeper->listener, POLLIN);
	keeper_polls_add(polls, keeper->watch.inotify, POLLIN);
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		keeper_polls_add(polls, keeper->client[i].fd,
				 keeper->client[i].wish ? POLLRDHUP : POLLIN);
	if (keeper->current)
		keeper_polls_add(polls, keeper->current->control, POLLIN);
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i])
			keeper_polls_add(polls, keeper->old[i]->control,
					 POLLIN);
	polls->copies_at = polls->count;
	for (size_t i = 0; i < keeper->copies; i++)
		keeper_polls_add(polls,
				 keeper->copy[i].killed
					 ? -1
					 : keeper->copy[i].connection,
				 POLLRDHUP);
	return 0;
}

/* In an order that keeps the numbers in polls valid: copies are only killed
 * here and leave the table when they are reaped. */
static void keeper_dispatch(struct keeper *keeper,
			    const struct keeper_polls *polls)
{
	const struct pollfd *item = polls->item;

	for (size_t i = polls->copies_at; i < polls->count; i++)
		if (item[i].revents)
			keeper_hang_up(keeper, i - polls->copies_at);
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		if (item[3 + i].revents)
			keeper_control_read(keeper, &keeper->client[i]);
	if (item[1].revents)
		keeper_control_accept(keeper);
	if (keeper->current)
		keeper_hear(keeper, keeper->current);
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i])
			keeper_hear(keeper, keeper->old[i]);
	keeper_control_refresh(keeper);
	if (item[0].revents)
		keeper_read_signals(keeper);
	if (item[2].revents && !keeper->stopping)
		keeper_watch_read(keeper);
}

static void keeper_loop(struct keeper *keeper)
{
	for (;;) {
		struct keeper_polls polls = { 0 };

		keeper_run_timers(keeper);
		if (keeper->stopping && !keeper_has_old(keeper)) {
			keeper_release(keeper);
			if (!keeper->copies)
				return;
		}
		if (keeper_polls_make(keeper, &polls) < 0) {
			clock_sleep_ms(KEEPER_BACKOFF_MS);
			continue;
		}
		if (poll(polls.item, polls.count,
			 clock_left_ms(keeper_next_timer(keeper))) >= 0)
			keeper_dispatch(keeper, &polls);
		free(polls.item);
	}
}

/* ---- life -------------------------------------------------------------- */

/* One that a launch has asked for does not wait: it would come back behind a
 * stop. */
static int keeper_take_lock(struct keeper *keeper, struct err *err)
{
	keeper->lock =
		lock_take(keeper->place->lock,
			  keeper->ready_fd >= 0 ? KEEPER_LOCK_MS : 0, err);
	if (keeper->lock == -EWOULDBLOCK)
		return err_set(err, -EALREADY, "keeper of %s",
			       keeper->spec->program);
	return keeper->lock < 0 ? keeper->lock : 0;
}

static int keeper_open_signals(struct keeper *keeper, struct err *err)
{
	sigset_t set;

	process_reset_signals();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigdelset(&set, SIGPIPE);
	keeper->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (keeper->signals < 0)
		return err_set(err, -errno, "signalfd");
	/* Instances become children of ours when their template ends. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	return 0;
}

static bool keeper_is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == 0;
}

static bool keeper_is_gone(pid_t pid)
{
	return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

/* "image.7.draft.PID.x", killed between write and rename.  Only who holds the
 * lock writes images; other files may be another process's at this moment. */
static bool keeper_is_stale_draft(const char *name)
{
	const char *draft = file_draft_mark(name);

	if (!draft)
		return false;
	return !strncmp(name, "image.", 6) || keeper_is_gone(atoi(draft));
}

/* What a keeper that was killed has left: "g7", "image.7", drafts. */
static void keeper_remove_stale(const char *dir, const char *prefix)
{
	DIR *folder = opendir(dir);
	struct dirent *item;

	while (folder && (item = readdir(folder)))
		if ((!strncmp(item->d_name, prefix, strlen(prefix)) &&
		     keeper_is_number(item->d_name + strlen(prefix))) ||
		    keeper_is_stale_draft(item->d_name))
			unlinkat(dirfd(folder), item->d_name, 0);
	if (folder)
		closedir(folder);
}

static void keeper_clean_up_after_others(struct keeper *keeper)
{
	unlink(keeper->place->live);
	unlink(keeper->place->control);
	keeper_remove_stale(keeper->place->sockets, "g");
	keeper_remove_stale(keeper->place->state, "image.");
}

/* What a starter does not check: the saved pages. */
static void keeper_check_image(struct keeper *keeper)
{
	const char *image = keeper->place->image;
	struct err err = { 0 };

	if (access(image, F_OK) < 0 || image_verify(image, &err) >= 0)
		return;
	log_say("brood: %s", err.text);
	log_event("image.damaged", "\"code\":%d", err.code);
	unlink(image);
}

static int keeper_open(struct keeper *keeper, struct err *err)
{
	int rc;

	if ((rc = keeper_take_lock(keeper, err)) < 0 ||
	    (rc = keeper_open_signals(keeper, err)) < 0)
		return rc;
	keeper_clean_up_after_others(keeper);
	keeper_check_image(keeper);
	keeper->generation = keeper_status_generation(keeper->place);
	if ((rc = entry_update(keeper->place, NULL, err)) < 0 ||
	    (rc = keeper_control_open(keeper, err)) < 0)
		return rc;
	keeper_status_write(keeper);
	return keeper_watch_open(keeper, err);
}

static void keeper_init(struct keeper *keeper,
			const struct registry_place *place,
			const struct spec *spec, int ready_fd)
{
	*keeper = (struct keeper){
		.place = place,
		.spec = spec,
		.lock = -1,
		.signals = -1,
		.listener = -1,
		.ready_fd = ready_fd,
		.watch = { .inotify = -1, .look_at = KEEPER_NEVER },
		.refreshed_by = "",
		.retry_at = KEEPER_NEVER,
		.retry_why = "",
		.backoff_ms = KEEPER_BACKOFF_MS,
	};
	for (int i = 0; i < KEEPER_CLIENTS_MOST; i++)
		keeper->client[i].fd = -1;
}

static void keeper_close(struct keeper *keeper)
{
	if (keeper->lock >= 0)
		keeper_release(keeper);
	keeper_control_close(keeper);
	keeper_copies_fini(keeper);
	fd_close(&keeper->signals);
	free(keeper->libraries);
}

int keeper_run(const struct registry_place *place, const struct spec *spec,
	       int ready_fd, struct err *err)
{
	struct err own = { 0 };
	struct keeper keeper;
	int rc;

	if (!err)
		err = &own;
	keeper_init(&keeper, place, spec, ready_fd);
	rc = keeper_open(&keeper, err);
	if (rc >= 0) {
		rc = keeper_first(&keeper, err);
		keeper_control_answer_all(&keeper);
	}
	if (rc >= 0) {
		age_out(place);
		keeper_loop(&keeper);
	}
	keeper_close(&keeper);
	/* Now, so that who reads it may start a keeper again. */
	if (rc < 0 && rc != -EALREADY)
		keeper_tell_ready(&keeper, err->text);
	fd_close(&keeper.ready_fd);
	return rc;
}
