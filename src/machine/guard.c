/* SPDX-License-Identifier: Apache-2.0 */
/* Guards. */
#include "machine/guard.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "machine/place.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUARD_LOOKS = 10, GUARD_LOOK_MS = 100 };

static int guard_visit(const struct place *place, void *context)
{
	(void)place;
	(void)context;
	return 0;
}

/* The locks of who was killed go one after the other, so it looks more than
 * once. */
static void guard_wait(int word)
{
	char byte;

	if (read(word, &byte, 1) == 1)
		return;
	for (int i = 0; i < GUARD_LOOKS; i++) {
		place_each(guard_visit, NULL, NULL);
		clock_sleep_ms(GUARD_LOOK_MS);
	}
}

/* Nobody's terminal, nobody's pipe. */
static void guard_run(int word)
{
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	process_reset_signals();
	if (none < 0 || dup2(word, 0) < 0 || dup2(none, 1) < 0 ||
	    dup2(none, 2) < 0 || close_range(3, ~0u, 0) < 0)
		_exit(1);
	guard_wait(0);
	_exit(0);
}

void guard_begin(struct guard *guard)
{
	int ends[2];

	*guard = (struct guard){ .word = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return;
	guard->pid = fork();
	if (guard->pid == 0) {
		close(ends[1]);
		guard_run(ends[0]);
	}
	close(ends[0]);
	guard->word = ends[1];
	if (guard->pid < 0) {
		guard->pid = 0;
		fd_close(&guard->word);
	}
}

void guard_end(struct guard *guard)
{
	if (!guard->pid)
		return;
	(void)!send(guard->word, "", 1, MSG_NOSIGNAL);
	fd_close(&guard->word);
	waitpid(guard->pid, NULL, 0);
	guard->pid = 0;
}
