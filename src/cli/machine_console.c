/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's console on this terminal. */
#include "base/fd.h"
#include "cli/machine.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum {
	CONSOLE_LEAVE = 0x1d, /* Ctrl-] */
	CONSOLE_PART = 16384,
	CONSOLE_QUIET_MS = 2000, /* behind the end of what is said to it */
};

struct console {
	int socket, in;
	bool raw;
	struct termios before;
};

static void console_set_raw(struct console *console)
{
	struct termios raw;

	if (!isatty(0) || tcgetattr(0, &console->before) < 0)
		return;
	raw = console->before;
	cfmakeraw(&raw);
	console->raw = tcsetattr(0, TCSANOW, &raw) == 0;
	if (console->raw)
		fprintf(stderr, "brood: this is the machine's console; Ctrl-] "
				"leaves it\r\n");
}

/* 0: go on, 1: over. */
static int console_to_machine(struct console *console, struct err *err)
{
	char data[CONSOLE_PART];
	ssize_t len = read(console->in, data, sizeof(data));
	ssize_t used = 0;

	if (len < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (len <= 0) { /* the machine may have more to say */
		console->in = -1;
		return console->raw;
	}
	while (used < len && !(console->raw && data[used] == CONSOLE_LEAVE))
		used++;
	if (fd_write_all(console->socket, data, (size_t)used, err) < 0)
		return err_wrap(err, "the machine's console");
	return used < len;
}

static int console_from_machine(struct console *console, struct err *err)
{
	char data[CONSOLE_PART];
	ssize_t len = read(console->socket, data, sizeof(data));

	if (len < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (len <= 0)
		return 1;
	return fd_write_all(1, data, (size_t)len, err) < 0
		       ? err_wrap(err, "what the machine says")
		       : 0;
}

static int console_turn(struct console *console, struct err *err)
{
	struct pollfd fds[2] = { { .fd = console->in, .events = POLLIN },
				 { .fd = console->socket, .events = POLLIN } };
	int rc = poll(fds, 2, console->in < 0 ? CONSOLE_QUIET_MS : -1);

	if (rc < 0)
		return errno == EINTR ? 0 : err_set(err, -errno, "wait");
	if (rc == 0)
		return 1;
	rc = 0;
	if (fds[1].revents)
		rc = console_from_machine(console, err);
	if (rc == 0 && fds[0].revents)
		rc = console_to_machine(console, err);
	return rc;
}

int machine_console(const struct place *place, struct err *err)
{
	auto_free char *path = place_path(place, "console");
	struct console console = { .socket = -1 };
	int rc = 0;

	if (!path)
		return err_set(err, -ENOMEM, "name of a socket");
	console.socket = fd_connect_stream(path, 5000, err);
	if (console.socket < 0)
		return console.socket;
	signal(SIGPIPE, SIG_IGN);
	console_set_raw(&console);
	while (rc == 0)
		rc = console_turn(&console, err);
	if (console.raw)
		tcsetattr(0, TCSANOW, &console.before);
	fd_close(&console.socket);
	return rc < 0 ? rc : 0;
}
