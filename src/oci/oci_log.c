/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_log.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* What a stranger wrote does not begin a line of its own, or steer a terminal:
 * the JSON writer would keep its bytes as they are. */
static void log_plain(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++)
		if (*at < ' ' || *at == 127)
			*at = '?';
}

static void log_line(const struct oci_words *words, const char *level,
		     const char *text, struct buf *line)
{
	time_t now = time(NULL);
	char when[32] = "";
	struct json json;
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_start(&json, line);
	if (words->json) {
		json_open(&json, NULL);
		json_text(&json, "level", level);
		json_text(&json, "msg", text);
		json_text(&json, "time", when);
		json_close(&json);
	} else {
		buf_format(line, "time=\"%s\" level=%s msg=", when, level);
		json_text(&json, NULL, text);
	}
	buf_text(line, "\n");
}

static void log_write(const struct oci_words *words, const char *level,
		      const struct err *err)
{
	struct err plain = *err;
	auto_buf struct buf line = { 0 };
	auto_close int fd = -1;

	log_plain(plain.text);
	fprintf(stderr, "brood-oci: %s\n", plain.text);
	if (!words->log || !*words->log)
		return;
	fd = open(words->log,
		  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
	log_line(words, level, plain.text, &line);
	if (fd >= 0 && !line.failed)
		fd_write_all(fd, line.data, line.len, NULL);
}

void oci_log_error(const struct oci_words *words, const struct err *err)
{
	log_write(words, "error", err);
}

void oci_log_warning(const struct oci_words *words, const struct err *err)
{
	log_write(words, "warning", err);
}
