/* SPDX-License-Identifier: Apache-2.0 */
/* What the template is, read once when it begins to serve: a copy changes
 * only what its launch has otherwise. */
#include "launch/shim/shim.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static long figures_read_file(const char *path, char *to, size_t room)
{
	int fd = (int)raw_4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	long got;

	if (fd < 0)
		return fd;
	got = raw_3(read, fd, to, room - 1);
	raw_1(close, fd);
	to[got > 0 ? got : 0] = 0;
	return got;
}

/* Fields of /proc/PID/stat by their number in proc(5); 1 and 2 are not
 * here. */
static void figures_stat(uint64_t *field, int most)
{
	char text[2048], *at;

	memset(field, 0, sizeof *field * most);
	if (figures_read_file("/proc/self/stat", text, sizeof text) <= 0)
		return;
	at = strrchr(text, ')');
	if (!at)
		return;
	at += 4; /* past the state, field 3 */
	for (int i = 4; i < most && *at; i++)
		field[i] = strtoull(at, &at, 10);
}

/* For PR_SET_MM_MAP: all that is there now, for a copy to change a part. */
static void figures_memory(struct prctl_mm_map *mm)
{
	uint64_t field[53];

	figures_stat(field, 53);
	memset(mm, 0, sizeof *mm);
	mm->start_code = field[26];
	mm->end_code = field[27];
	mm->start_stack = field[28];
	mm->start_data = field[45];
	mm->end_data = field[46];
	mm->start_brk = field[47];
	mm->exe_fd = ~0u;
}

static void figures_limits(struct wire_limit *limits)
{
	struct wire_limit *open_files = &limits[RLIMIT_NOFILE];

	for (int i = 0; i < WIRE_LIMITS; i++)
		raw_4(prlimit64, 0, i, NULL, &limits[i]);
	/* Room for many clients, and for descriptors of a launch while they
	 * are moved; a copy sets the launch's own limit at the end. */
	if (open_files->soft != open_files->hard) {
		struct wire_limit raised = { open_files->hard,
					     open_files->hard };

		if (raw_4(prlimit64, 0, RLIMIT_NOFILE, &raised, NULL) == 0)
			*open_files = raised;
	}
}

/* "0.61 0.52 0.41 3/112 4711": three are running or would like to, one of
 * them is us. */
bool figures_cpus_are_busy(void)
{
	char text[128], *at = text;
	uint64_t mask[128];
	long bytes = raw_3(sched_getaffinity, 0, sizeof mask, mask), cpus = 0;

	if (bytes <= 0 ||
	    figures_read_file("/proc/loadavg", text, sizeof text) <= 0)
		return false;
	for (long i = 0; i < bytes / (long)sizeof *mask; i++)
		cpus += __builtin_popcountll(mask[i]);
	for (int i = 0; i < 3 && (at = strchr(at, ' ')); i++)
		at++;
	return at && strtol(at, NULL, 10) > cpus;
}

void figures_read(struct shim_serving *serving)
{
	figures_limits(serving->limits);
	figures_memory(&serving->mm);
	serving->umask = (uint32_t)raw_1(umask, 077);
	raw_1(umask, serving->umask);
	serving->nice = 20 - (int)raw_2(getpriority, PRIO_PROCESS, 0);
	raw_5(prctl, PR_GET_NAME, serving->comm, 0, 0, 0);
	for (int i = 0; i < shim.handler_count; i++)
		serving->dispositions |= 1ull << (shim.handler[i].number - 1);
}
