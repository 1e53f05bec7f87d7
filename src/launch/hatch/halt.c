/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the copy has stopped, or will by a signal, and how it ended where
 * nobody is left who knows.  It is not our child, so nobody tells us; what
 * /proc shows has to do. */
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <fcntl.h>
#include <string.h>

enum { HALT_TEXT = 4096 };

static const char *halt_read(int pid, const char *file, char *text)
{
	char path[32];
	struct words name = { path, path + sizeof path };
	long fd, n;

	words_add(&name, "/proc/");
	words_number(&name, pid);
	words_add(&name, file);
	fd = raw_4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	n = fd < 0 ? 0 : raw_3(read, fd, text, HALT_TEXT - 1);
	if (fd >= 0)
		raw_1(close, fd);
	text[n > 0 ? n : 0] = 0;
	return text;
}

/* What stands behind the name of a line and its tab. */
static const char *halt_line(const char *text, const char *name)
{
	size_t len = strlen(name);

	while (text && strncmp(text, name, len) != 0) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return text ? text + len : "";
}

static uint64_t halt_mask(const char *text, const char *name)
{
	uint64_t mask = 0;

	for (const char *at = halt_line(text, name);; at++) {
		if (*at >= '0' && *at <= '9')
			mask = mask << 4 | (uint64_t)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			mask = mask << 4 | (uint64_t)(*at - 'a' + 10);
		else
			return mask;
	}
}

bool halt_has_come(int pid)
{
	char text[HALT_TEXT];

	return *halt_line(halt_read(pid, "/status", text), "State:\t") == 'T';
}

/* False where the program blocks, ignores or handles the signal: what comes
 * of it is its own affair. */
bool halt_is_default(int pid, int number)
{
	char text[HALT_TEXT];

	halt_read(pid, "/status", text);
	return !((halt_mask(text, "SigBlk:\t") | halt_mask(text, "SigIgn:\t") |
		  halt_mask(text, "SigCgt:\t")) >>
			 (number - 1) &
		 1);
}

/* The last field is the status, as wait() gives it.  Who may not see it reads
 * a 0 there, but then "io" cannot be read either. */
static bool halt_find_status(int pid, int *status)
{
	char text[HALT_TEXT];
	const char *at, *end;

	if (!*halt_read(pid, "/io", text))
		return false;
	at = strrchr(halt_read(pid, "/stat", text), ')');
	if (!at || at[1] != ' ' || at[2] != 'Z')
		return false;
	end = strrchr(at, ' ');
	*status = 0;
	for (at = end + 1; *at >= '0' && *at <= '9'; at++)
		*status = *status * 10 + (*at - '0');
	return true;
}

/* Was nobody waiting for it yet when we had looked, then the number was its
 * own until then. */
bool halt_status(int pid, int pidfd, int *status)
{
	return halt_find_status(pid, status) &&
	       raw_4(pidfd_send_signal, pidfd, 0, 0, 0) == 0;
}
