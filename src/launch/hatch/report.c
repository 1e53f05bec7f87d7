/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON line for the instance, and words for people who asked for them. */
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <fcntl.h>
#include <string.h>

static void report_step(struct words *line, const char *name, uint64_t from,
			uint64_t to)
{
	if (!to)
		return;
	words_add(line, name);
	words_number(line, (to - from) / 1000);
}

static void report_line(const struct starter *starter, const char *way, int pid,
			uint64_t generation)
{
	char room[4096];
	struct words line = { room, room + sizeof room - 1 };
	uint64_t from = starter->started_ns;
	long fd;

	words_add(&line, "{\"program\":\"");
	text_json(&line, starter->entry.program);
	words_add(&line, "\",\"way\":\"");
	words_add(&line, way);
	words_add(&line, "\",\"reason\":\"");
	text_json(&line, starter->reason);
	words_add(&line, "\",\"mode\":\"");
	words_add(&line, strcmp(way, "exec") == 0 ? "cold" : "active");
	words_add(&line, "\",\"pid\":");
	words_number(&line, pid);
	words_add(&line, ",\"generation\":");
	words_number(&line, generation);
	words_add(&line, ",\"us\":{\"total\":");
	words_number(&line, (text_now_ns() - from) / 1000);
	report_step(&line, ",\"check\":", from, starter->checked_ns);
	report_step(&line, ",\"connect\":", from, starter->connected_ns);
	report_step(&line, ",\"map\":", from, starter->mapped_ns);
	words_add(&line, "}}");
	*line.at++ = '\n';
	fd = raw_4(openat, AT_FDCWD, starter->report,
		   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	raw_3(write, fd, room, line.at - room);
	raw_1(close, fd);
}

static void report_words(const struct starter *starter, const char *way,
			 int pid)
{
	char room[512];
	struct words line = { room, room + sizeof room };

	if (strcmp(way, "exec") == 0) {
		words_add(&line, "started cold: ");
		words_add(&line, starter->reason);
	} else {
		words_add(&line, "started by ");
		words_add(&line, way);
		words_add(&line, ", process ");
		words_number(&line, pid);
	}
	text_say(starter, room);
}

void report_way(const struct starter *starter, const char *way, int pid,
		uint64_t generation)
{
	if (starter->report)
		report_line(starter, way, pid, generation);
	if (starter->verbose)
		report_words(starter, way, pid);
}
