/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/lines.h"
#include "base/hash.h"
#include "base/sha256.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINES_HEX = 2 * SHA256_BYTES };
static const char lines_last[] = "end ";

static void lines_sum(const void *data, size_t len, char hex[LINES_HEX + 1])
{
	uint8_t sum[SHA256_BYTES];

	sha256_of(data, len, sum);
	hash_bytes_hex(sum, SHA256_BYTES, hex);
}

static bool lines_is_plain(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
			return false;
	return len <= LINES_VALUE_MOST;
}

/* ---- written ----------------------------------------------------------------- */

void lines_start(struct buf *out, const char *head)
{
	buf_format(out, "%s\n", head);
}

int lines_put(struct buf *out, struct err *err, const char *key,
	      const char *format, ...)
{
	char value[LINES_VALUE_MOST + 2];
	va_list list;
	int len;

	va_start(list, format);
	len = vsnprintf(value, sizeof value, format, list);
	va_end(list);
	if (len < 0 || len > LINES_VALUE_MOST || !lines_is_plain(value, len))
		return err_set(err, -EINVAL,
			       "%s: too long, or with characters that are none",
			       key);
	buf_format(out, "%s %s\n", key, value);
	return 0;
}

int lines_end(struct buf *out, struct err *err)
{
	char hex[LINES_HEX + 1];

	lines_sum(buf_string(out), out->len, hex);
	buf_format(out, "%s%s\n", lines_last, hex);
	if (out->failed)
		return err_set(err, -ENOMEM, "write lines");
	if (out->len > LINES_BYTES_MOST)
		return err_set(err, -EINVAL, "more than %d bytes",
			       LINES_BYTES_MOST);
	return 0;
}

/* ---- read -------------------------------------------------------------------- */

/* Where the last line begins; 0: it is not there, or not right. */
static size_t lines_check(const char *text, size_t len)
{
	const size_t last = sizeof lines_last - 1 + LINES_HEX + 1;
	char hex[LINES_HEX + 1];
	size_t at;

	if (len <= last || len > LINES_BYTES_MOST || text[len - 1] != '\n')
		return 0;
	at = len - last;
	if (text[at - 1] != '\n' ||
	    memcmp(text + at, lines_last, sizeof lines_last - 1) != 0)
		return 0;
	lines_sum(text, at, hex);
	return memcmp(text + len - LINES_HEX - 1, hex, LINES_HEX) == 0 ? at : 0;
}

static int lines_one(char *line, size_t len, lines_visit *visit, void *context,
		     struct err *err)
{
	char *space = memchr(line, ' ', len);

	if (!space || space == line || !lines_is_plain(line, len))
		return err_set(err, -EINVAL, "a line without key and value");
	line[len] = 0;
	*space = 0;
	return visit(line, space + 1, context, err);
}

int lines_read(char *text, size_t len, const char *head, lines_visit *visit,
	       void *context, struct err *err)
{
	const size_t first = strlen(head);
	size_t end;

	if (len <= first || memcmp(text, head, first) != 0 ||
	    text[first] != '\n')
		return err_set(err, -EINVAL, "does not begin with \"%s\"",
			       head);
	end = lines_check(text, len);
	if (!end)
		return err_set(err, -EINVAL,
			       "is damaged: its checksum is not "
			       "that of its lines");
	for (size_t at = first + 1; at < end;) {
		char *stop = memchr(text + at, '\n', end - at);
		size_t count = (size_t)(stop - (text + at));
		int rc = lines_one(text + at, count, visit, context, err);

		if (rc < 0)
			return rc;
		at += count + 1;
	}
	return 0;
}

bool lines_number(const char *value, uint64_t most, uint64_t *number)
{
	uint64_t sum = 0;

	if (!*value || strspn(value, "0123456789") != strlen(value))
		return false;
	for (; *value; value++) {
		uint64_t digit = (uint64_t)(*value - '0');

		if (digit > most || sum > (most - digit) / 10)
			return false;
		sum = 10 * sum + digit;
	}
	*number = sum;
	return true;
}
