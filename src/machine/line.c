/* SPDX-License-Identifier: Apache-2.0 */
/* The line to a machine's agent has one end on the host, and who has that holds
 * the lock NAME/line.  Commands of many go over it by one who passes them on
 * (relay.h): who has started the machine for a command of his own, or else a
 * process that is there for this, as long as there are any ("brood-line").
 * That one is nobody's child, so that each command may end, or be killed,
 * without the others; its number is in the file of the lock, for who ends the
 * machine or makes it another: he need not wait for them. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/process.h"
#include "machine/machine.h"
#include "machine/relay.h"
#include "machine/talk.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LINE_LOOK_MS = 2,
	LINE_GONE_MS = 1000,
	LINE_GONE_LOOK_MS = 50,
	LINE_TEXT = 16
};
#define LINE_NAME "brood-line"

static int line_path(const struct place *place, const char *name, char **path,
		     struct err *err)
{
	*path = place_path(place, name);
	return *path ? 0 : err_set(err, -ENOMEM, "name of a file");
}

/* ---- whose it is ----------------------------------------------------------- */

/* Whose number was there is gone. */
int machine_line(const struct place *place, int wait_ms, struct err *err)
{
	auto_free char *path = NULL;
	auto_close int lock = -1;
	int rc = line_path(place, "line", &path, err);

	if (rc < 0)
		return rc;
	lock = lock_take(path, wait_ms, err);
	if (lock == -ENOENT) {
		err_set(err, -EPROTO, "machine %s has ended", place->name);
		return -EPIPE;
	}
	if (lock == -EWOULDBLOCK) {
		err_set(err, -EPROTO, "machine %s speaks with somebody else",
			place->name);
		return -EBUSY;
	}
	if (lock >= 0 && ftruncate(lock, 0) < 0)
		return err_set(err, -errno, "write %s", path);
	return steal_fd(&lock);
}

/* Who has it, where that is one who passes on; 0. */
static pid_t line_keeper(const struct place *place)
{
	auto_free char *path = place_path(place, "line");
	auto_free char *comm = NULL;
	auto_buf struct buf text = { 0 };
	auto_buf struct buf name = { 0 };
	pid_t pid;

	if (!path || file_read(path, &text, LINE_TEXT, NULL) < 0)
		return 0;
	pid = atoi(buf_string(&text));
	comm = file_format("/proc/%d/comm", (int)pid);
	return pid > 1 && comm && file_read(comm, &name, 64, NULL) >= 0 &&
			       strcmp(buf_string(&name), LINE_NAME "\n") == 0
		       ? pid
		       : 0;
}

/* Only who has it writes a number there, and that is a process of ours. */
int machine_line_seize(const struct place *place, int wait_ms, struct err *err)
{
	uint64_t end = clock_deadline(wait_ms);

	for (;;) {
		struct err why = { 0 };
		int lock = machine_line(place, 0, &why);
		pid_t pid;

		if (lock != -EBUSY || !clock_left_ms(end)) {
			if (lock < 0 && err)
				*err = why;
			return lock;
		}
		pid = line_keeper(place);
		if (pid)
			kill(pid, SIGTERM);
		clock_sleep_ms(LINE_LOOK_MS);
	}
}

static int line_talk(const struct place *place, const char *name,
		     int timeout_ms, struct talk **talk, struct err *err)
{
	auto_free char *path = NULL;
	int rc = line_path(place, name, &path, err);

	*talk = NULL;
	if (rc >= 0)
		rc = talk_open(talk, path, timeout_ms, NULL, err);
	if (rc < 0 && err)
		err_wrap(err, "machine %s", place->name);
	return rc < 0 ? rc : 0;
}

int machine_talk(const struct place *place, int *lock, int timeout_ms,
		 struct talk **talk, struct err *err)
{
	int rc = line_talk(place, "agent", timeout_ms, talk, err);

	if (rc >= 0)
		talk_own(*talk, lock);
	return rc;
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
	unlink(path); /* of one who had the line */
	return relay_open(relay, path, err);
}

int machine_talk_beside(const struct place *place, int timeout_ms,
			struct talk **talk, struct err *err)
{
	int rc = line_talk(place, "beside", timeout_ms, talk, err);

	if (rc != -ETIME)
		return rc;
	err_set(err, -EPROTO,
		"machine %s has no place for a command (it has %d)",
		place->name, RELAY_CLIENTS);
	return -EBUSY;
}

/* Nothing of the command's is kept: who waits for an end of its pipes is not to
 * wait for others' commands. */
static int line_settle(const struct talk *talk, const struct relay *relay)
{
	int keep[3] = { relay_descriptor(relay) };
	char text[LINE_TEXT];
	int null, len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	talk_descriptors(talk, keep + 1);
	process_reset_signals();
	prctl(PR_SET_NAME, LINE_NAME);
	if (fd_close_others(keep, 3) < 0)
		return -1;
	/* What is said by mistake is not to go to anybody. */
	while ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && null < 2)
		;
	return chdir("/") < 0 || fd_pwrite_all(keep[2], text, (size_t)len, 0,
					       NULL) < 0
		       ? -1
		       : 0;
}

/* It listens no more before the line is free: who comes between finds nobody,
 * and takes that. */
static _Noreturn void line_keep(struct talk *talk, struct relay *relay)
{
	if (line_settle(talk, relay) < 0)
		_exit(1);
	talk_pass(talk, relay);
	relay_close(relay);
	talk_close(talk);
	_exit(0);
}

/* Nobody's child. */
static int line_fork(struct talk *line, struct relay *relay, struct err *err)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid == 0)
			line_keep(line, relay);
		_exit(pid < 0);
	}
	if (pid < 0)
		return err_set(err, -errno, "pass commands on");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? err_set(err, -EAGAIN, "pass commands on") : 0;
}

/* One who passes on, with its first client: who ends when that does.  -EBUSY:
 * somebody has the line. */
static int line_begin(const struct place *place, int timeout_ms, int *socket,
		      struct err *err)
{
	auto_close int lock = machine_line(place, 0, err);
	auto_free char *path = NULL;
	auto_talk struct talk *line = NULL;
	auto_relay struct relay *relay = NULL;
	int rc = lock;

	if (rc >= 0)
		rc = line_path(place, "beside", &path, err);
	if (rc >= 0)
		rc = machine_talk(place, &lock, timeout_ms, &line, err);
	if (rc >= 0)
		rc = machine_relay(place, &relay, err);
	if (rc >= 0)
		rc = *socket = fd_connect_stream(path, timeout_ms, err);
	return rc < 0 ? rc : line_fork(line, relay, err);
}

/* -EBUSY: somebody begins or ends this very moment; or there is no place. */
static int line_join(const struct place *place, int timeout_ms,
		     struct talk **talk, struct err *err)
{
	auto_close int socket = -1;
	int rc = machine_talk_beside(place, timeout_ms, talk, err);

	if (rc != -EPIPE)
		return rc;
	err_clear(err);
	rc = line_begin(place, timeout_ms, &socket, err);
	if (rc >= 0)
		rc = talk_over(talk, &socket, timeout_ms, NULL, err);
	/* Who was to pass on is gone already: that says nothing of the
	 * machine. */
	if (rc == -EPIPE && socket < 0 && !machine_has_ended(place, 0))
		rc = -EBUSY;
	return rc;
}

int machine_talk_shared(const struct place *place, int timeout_ms,
			struct talk **talk, struct err *err)
{
	uint64_t end = clock_deadline(timeout_ms);

	for (;;) {
		struct err why = { 0 };
		int left_ms = clock_left_ms(end);
		int rc = line_join(place, left_ms, talk, &why);

		if (rc != -EBUSY || !clock_left_ms(end)) {
			if (rc < 0 && err)
				*err = why;
			return rc;
		}
		clock_sleep_ms(LINE_LOOK_MS);
	}
}

/* Its sockets go first, and only when its memory has gone its lock. */
bool machine_has_ended(const struct place *place, int wait_ms)
{
	uint64_t end = clock_deadline(wait_ms);
	auto_free char *path = place_path(place, "agent");

	for (;;) {
		auto_close int fd =
			path ? fd_connect_stream(path, 1, NULL) : -ENOMEM;

		if (fd == -ENOENT || fd == -ECONNREFUSED)
			return true;
		if (!clock_left_ms(end))
			return false;
		clock_sleep_ms(LINE_GONE_LOOK_MS);
	}
}

int machine_command(const struct place *place, struct talk *talk,
		    const struct talk_exec *exec, int *status, struct err *err)
{
	int rc = talk_exec(talk, exec, status, err);

	if (rc == -EPIPE && !machine_has_ended(place, LINE_GONE_MS))
		err_set(err, -EPROTO,
			"the command was cut off: the machine is ended or "
			"becomes another, or who passes its commands on was "
			"killed");
	if (rc < 0 && err)
		err_wrap(err, "machine %s", place->name);
	return rc;
}
