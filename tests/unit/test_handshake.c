/* SPDX-License-Identifier: Apache-2.0 */
/* CLAIM 0.12: only a server that says so over its socket is one.  The
 * servers here are children that answer in all the wrong ways. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "launch/handshake.h"
#include "test.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum way {
	WAY_RIGHT,
	WAY_SILENT,
	WAY_CLOSES,
	WAY_ACTIVE,
	WAY_OTHER_PID,
	WAY_NO_PID,
	WAY_SHORT,
	WAY_LONG,
	WAY_OTHER_TYPE,
	WAY_OTHER_MAGIC,
	WAY_DESCRIPTOR,
	WAY_NEVER_ACCEPTS,
};

static void reply(int socket, enum way way)
{
	struct {
		struct wire_state state;
		char more[64];
	} packet = { .state = { .head = { .magic = WIRE_MAGIC,
					  .version = WIRE_VERSION,
					  .type = WIRE_STATE,
					  .size = sizeof(packet.state) },
				.mode = WIRE_MODE_SERVER,
				.pid = getpid(),
				.generation = 7 } };
	size_t len = sizeof(packet.state);
	int zero = 0;

	if (way == WAY_ACTIVE)
		packet.state.mode = WIRE_MODE_ACTIVE;
	if (way == WAY_OTHER_PID)
		packet.state.pid = getppid();
	if (way == WAY_NO_PID)
		packet.state.pid = -1;
	if (way == WAY_SHORT)
		len = 8;
	if (way == WAY_LONG)
		len = sizeof(packet);
	if (way == WAY_OTHER_TYPE)
		packet.state.head.type = WIRE_REFUSED;
	if (way == WAY_OTHER_MAGIC)
		packet.state.head.magic++;
	fd_send(socket, &packet, len, &zero, way == WAY_DESCRIPTOR, NULL);
}

static void serve(int listener, enum way way)
{
	struct wire_ask ask;
	int fd_count = 0;
	int socket;

	if (way == WAY_NEVER_ACCEPTS)
		pause();
	socket = accept(listener, NULL, NULL);
	if (fd_receive(socket, &ask, sizeof(ask), NULL, 0, &fd_count, NULL) !=
	    sizeof(ask))
		_exit(1);
	if (way == WAY_SILENT)
		pause();
	if (way != WAY_CLOSES)
		reply(socket, way);
	_exit(0);
}

/* The child listens itself, so that the kernel names it as the peer. */
static pid_t start_server(const char *path, enum way way)
{
	int ready[2];
	pid_t pid;
	char byte;

	CHECK(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		int listener = fd_listen(path, 0, NULL);

		if (listener < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		serve(listener, way);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static int ask(enum way way, int timeout_ms, struct wire_state *state,
	       struct err *err)
{
	auto_free char *path =
		file_format("/tmp/brood-test-%d.socket", (int)getpid());
	pid_t pid = start_server(path, way);
	int rc = handshake_ask(path, timeout_ms, state, err);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
	if (rc >= 0)
		CHECK_INT(state->pid, pid);
	return rc;
}

static void check_refused(enum way way, int code)
{
	struct wire_state state;
	struct err err = { 0 };

	CHECK_INT(ask(way, 2000, &state, &err), code);
	CHECK(strstr(err.text, "handshake over /tmp/brood-test-") != NULL);
}

TEST(right)
{
	struct wire_state state;
	struct err err = { 0 };

	CHECK_INT(ask(WAY_RIGHT, 2000, &state, &err), 0);
	CHECK_INT(state.mode, WIRE_MODE_SERVER);
	CHECK_INT(state.generation, 7);
}

TEST(wrong_answers)
{
	check_refused(WAY_CLOSES, -EPROTO);
	check_refused(WAY_ACTIVE, -EPROTO);
	check_refused(WAY_OTHER_PID, -EPROTO);
	check_refused(WAY_NO_PID, -EPROTO);
	check_refused(WAY_SHORT, -EPROTO);
	check_refused(WAY_LONG, -EMSGSIZE);
	check_refused(WAY_OTHER_TYPE, -EPROTO);
	check_refused(WAY_OTHER_MAGIC, -EPROTO);
	check_refused(WAY_DESCRIPTOR, -EMSGSIZE);
}

TEST(silence_has_a_deadline)
{
	struct wire_state state;
	struct err err = { 0 };
	uint64_t start = clock_ns();

	CHECK_INT(ask(WAY_SILENT, 100, &state, &err), -ETIME);
	CHECK(clock_ns() - start < 2000000000u);
	CHECK(clock_ns() - start >= 100000000u);
}

TEST(full_queue_has_a_deadline)
{
	auto_free char *path =
		file_format("/tmp/brood-test-%d.socket", (int)getpid());
	pid_t pid = start_server(path, WAY_NEVER_ACCEPTS);
	struct wire_state state;
	struct err err = { 0 };
	uint64_t start = clock_ns();
	int fill = fd_connect(path, -1, &err);

	CHECK(fill >= 0);
	CHECK_INT(handshake_ask(path, 150, &state, &err), -ETIME);
	CHECK(clock_ns() - start < 2000000000u);
	close(fill);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

TEST(nobody)
{
	struct wire_state state;
	struct err err = { 0 };

	CHECK_INT(handshake_ask("/tmp/brood-test-none/g1", 100, &state, &err),
		  -ENOENT);
	CHECK(strstr(err.text, "/tmp/brood-test-none/g1") != NULL);
}

TEST_MAIN
