/* SPDX-License-Identifier: Apache-2.0 */
/* Words put together without a libc. */
#include "agent/agent.h"
#include <errno.h>
#include <string.h>
#include <time.h>

struct words_of_error {
	int error;
	const char *text;
};

static const struct words_of_error words_of_errors[] = {
	{ EPERM, "not permitted" },
	{ ENOENT, "no such file" },
	{ EIO, "input or output error" },
	{ E2BIG, "too many words" },
	{ ENOEXEC, "not a program" },
	{ EAGAIN, "no more processes" },
	{ ENOMEM, "no memory" },
	{ EACCES, "not allowed" },
	{ EBUSY, "busy" },
	{ ENOTDIR, "not a folder" },
	{ EINVAL, "not valid" },
	{ ENFILE, "too many open files" },
	{ EMFILE, "too many open files" },
	{ ENOSPC, "no space" },
	{ EROFS, "cannot be written here" },
	{ ELOOP, "too many links" },
	{ ENAMETOOLONG, "too long a name" },
	{ EADDRNOTAVAIL, "no such address" },
	{ EOPNOTSUPP, "the device cannot do it" },
};

void words_error(struct words *words, long error)
{
	const struct words_of_error *known = words_of_errors;
	unsigned count = sizeof words_of_errors / sizeof *known;

	for (unsigned i = 0; i < count; i++)
		if (known[i].error == -error) {
			words_add(words, known[i].text);
			return;
		}
	words_add(words, "error ");
	words_number(words, -error);
}

void words_say(const char *a, const char *b, const char *c)
{
	char room[400];
	struct words line = { room, room + sizeof room - 1 };

	words_add(&line, "brood-agent: ");
	words_add(&line, a);
	words_add(&line, b);
	words_add(&line, c);
	*line.at++ = '\n';
	raw_3(write, 2, room, line.at - room);
}

uint64_t words_now_ns(void)
{
	struct timespec t;

	raw_2(clock_gettime, CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}
