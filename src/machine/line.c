/* SPDX-License-Identifier: Apache-2.0 */
/* The line to a machine's agent has one end on the host, and who has that holds
 * the lock NAME/line.  Commands of many go over it by one who passes them on
 * (relay.h): who has started the machine for a command of his own, or else a
 * process that is there for this, as long as there are any.  It is no child of
 * a command's, so that each may end, or be killed, without the others. */
#include "agent/frames.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/process.h"
#include "machine/machine.h"
#include "machine/relay.h"
#include "machine/talk.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { LINE_LOOK_MS = 2, LINE_OVER_MS = 1000 };

static int line_path(const struct place *place, const char *name, char **path,
		     struct err *err)
{
	*path = place_path(place, name);
	return *path ? 0 : err_set(err, -ENOMEM, "name of a file");
}

/* ---- whose it is ----------------------------------------------------------- */

static int line_lock(const struct place *place, int timeout_ms, struct err *err)
{
	auto_free char *path = NULL;
	int rc = line_path(place, "line", &path, err);

	if (rc >= 0)
		rc = lock_take(path, timeout_ms, err);
	if (rc == -ENOENT) {
		err_set(err, -EPROTO, "machine %s has ended", place->name);
		return -EPIPE;
	}
	if (rc == -EWOULDBLOCK) {
		err_set(err, -EPROTO, "machine %s speaks with somebody else",
			place->name);
		return -EBUSY;
	}
	return rc;
}

static int line_talk(const struct place *place, const char *name,
		     int timeout_ms, struct talk **talk, struct err *err)
{
	auto_free char *path = NULL;
	int rc = line_path(place, name, &path, err);

	if (rc >= 0)
		rc = talk_open(talk, path, timeout_ms, NULL, err);
	if (rc < 0 && err)
		err_wrap(err, "machine %s", place->name);
	return rc < 0 ? rc : 0;
}

static int line_take(const struct place *place, int wait_ms, int timeout_ms,
		     struct talk **talk, struct err *err)
{
	auto_close int lock = line_lock(place, wait_ms, err);
	int rc;

	*talk = NULL;
	if (lock < 0)
		return lock;
	rc = line_talk(place, "agent", timeout_ms, talk, err);
	if (rc >= 0)
		talk_own(*talk, &lock);
	return rc;
}

int machine_talk(const struct place *place, int timeout_ms, struct talk **talk,
		 struct err *err)
{
	return line_take(place, timeout_ms, timeout_ms, talk, err);
}

/* ---- others' --------------------------------------------------------------- */

int machine_relay(const struct place *place, struct relay **relay,
		  struct err *err)
{
	auto_free char *path = NULL;
	int rc = line_path(place, "beside", &path, err);

	*relay = NULL;
	if (rc < 0)
		return rc;
	unlink(path); /* of one who had the line, and was killed */
	return relay_open(relay, path, err);
}

int machine_talk_beside(const struct place *place, int timeout_ms,
			struct talk **talk, struct err *err)
{
	return line_talk(place, "beside", timeout_ms, talk, err);
}

/* Nothing of the command's is kept: who waits for an end of its pipes is not to
 * wait for others' commands. */
static void line_settle(const struct talk *talk, const struct relay *relay)
{
	int keep[6] = { 0, 1, 2, relay_descriptor(relay) };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	process_reset_signals();
	prctl(PR_SET_NAME, "brood-line");
	for (int fd = 0; fd < 3; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			_exit(1);
	talk_descriptors(talk, keep + 4);
	if (fd_close_others(keep, 6) < 0 || chdir("/") < 0)
		_exit(1);
}

/* Where it listens goes before the line: who comes between finds nobody, and
 * takes that. */
static _Noreturn void line_keep(const char *path, struct talk *talk,
				struct relay *relay)
{
	line_settle(talk, relay);
	talk_pass(talk, relay);
	unlink(path);
	relay_close(relay);
	talk_close(talk);
	_exit(0);
}

/* -EBUSY: somebody has the line.  The one who passes on has its first client
 * when it begins, and ends when that does. */
static int line_begin(const struct place *place, int timeout_ms,
		      struct talk **talk, struct err *err)
{
	auto_free char *path = NULL;
	auto_talk struct talk *line = NULL;
	auto_relay struct relay *relay = NULL;
	auto_close int socket = -1;
	int rc = line_path(place, "beside", &path, err);
	pid_t pid;

	if (rc >= 0)
		rc = line_take(place, 0, timeout_ms, &line, err);
	if (rc >= 0)
		rc = machine_relay(place, &relay, err);
	if (rc >= 0)
		rc = socket = fd_connect_stream(path, timeout_ms, err);
	if (rc < 0)
		return rc;
	pid = fork();
	if (pid < 0)
		return err_set(err, -errno, "pass on commands to machine %s",
			       place->name);
	if (pid == 0)
		line_keep(path, line, relay);
	return talk_over(talk, &socket, timeout_ms, NULL, err);
}

/* -EBUSY: somebody begins or ends this very moment; or the time is over. */
static int line_join(const struct place *place, int timeout_ms,
		     struct talk **talk, struct err *err)
{
	int rc = machine_talk_beside(place, timeout_ms, talk, err);

	if (rc == -EPIPE) {
		err_clear(err);
		rc = line_begin(place, timeout_ms, talk, err);
	} else if (rc == -ETIME) {
		err_set(err, -EPROTO,
			"machine %s has no place for a command (it has %d)",
			place->name, RELAY_CLIENTS);
		rc = -EBUSY;
	}
	return rc;
}

int machine_talk_shared(const struct place *place, int timeout_ms,
			struct talk **talk, struct err *err)
{
	uint64_t end = clock_deadline(timeout_ms);

	for (;;) {
		struct err why = { 0 };
		int rc = line_join(place, timeout_ms, talk, &why);

		if (rc != -EBUSY || !clock_left_ms(end)) {
			if (rc < 0 && err)
				*err = why;
			return rc;
		}
		clock_sleep_ms(LINE_LOOK_MS);
	}
}

/* Who hears that answers. */
void machine_talk_over(const struct place *place)
{
	auto_free char *path = NULL;
	auto_close int socket = -1;
	struct agent_frame head;

	if (line_path(place, "beside", &path, NULL) >= 0)
		socket = fd_connect_stream(path, LINE_OVER_MS, NULL);
	if (socket < 0)
		return;
	frames_head(&head, (enum agent_kind)RELAY_LEAVE, 0, NULL, 0);
	if (fd_send_all(socket, &head, sizeof(head), NULL) >= 0)
		fd_wait(socket, POLLIN, LINE_OVER_MS);
}
