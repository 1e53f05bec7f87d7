/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for people, events for tests. */
#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void log_say(const char *format, ...)
{
	char line[1024];
	va_list list;
	int len;

	va_start(list, format);
	len = vsnprintf(line, sizeof line - 1, format, list);
	va_end(list);
	if (len < 0)
		return;
	if (len > (int)sizeof line - 2)
		len = sizeof line - 2;
	line[len++] = '\n';
	fd_write_all(2, line, len, NULL);
}

void log_event(const char *event, const char *format, ...)
{
	const char *path = getenv("BROOD_EVENTS");
	auto_buf struct buf line = { 0 };
	char members[2048];
	va_list list;

	if (!path || !*path)
		return;
	va_start(list, format);
	vsnprintf(members, sizeof members, format, list);
	va_end(list);
	buf_format(&line, "{\"event\":\"%s\",\"ns\":%lu,\"by\":%d%s%s}\n",
		   event, clock_ns(), getpid(), *members ? "," : "", members);
	auto_close int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0 && !line.failed)
		fd_write_all(fd, line.data, line.len, NULL);
}
