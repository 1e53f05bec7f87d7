/* SPDX-License-Identifier: Apache-2.0 */
/* Failures in one line: the source says what was tried, each caller on the
 * way up may put its own words in front. */
#include "base/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int err_is_told_by_words(int code)
{
	return code == -EINVAL || code == -EPROTO || code == -EBADMSG;
}

/* Without the locale's words, where there are two kinds. */
static const char *err_words(int number)
{
#ifdef __GLIBC__
	const char *words = strerrordesc_np(number);

	return words ? words : "unknown error";
#else
	return strerror(number);
#endif
}

/* Names and words of others may have what moves a terminal's cursor, or ends
 * the line. */
static void err_plain(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list list;
	int len;

	if (!err)
		return code;
	err->code = code;
	va_start(list, format);
	len = vsnprintf(err->text, sizeof err->text, format, list);
	va_end(list);
	if (len < 0)
		err->text[0] = len = 0;
	err_plain(err->text);
	if (!err_is_told_by_words(code) && (size_t)len < sizeof err->text)
		snprintf(err->text + len, sizeof err->text - len, ": %s",
			 err_words(-code));
	return code;
}

int err_wrap(struct err *err, const char *format, ...)
{
	char words[sizeof err->text];
	va_list list;
	size_t len, rest;

	if (!err)
		return -EIO;
	va_start(list, format);
	vsnprintf(words, sizeof words, format, list);
	va_end(list);
	err_plain(words);
	len = strlen(words);
	rest = strlen(err->text);
	if (len + 2 >= sizeof words)
		return err->code;
	if (rest > sizeof words - len - 3)
		rest = sizeof words - len - 3;
	memcpy(words + len, ": ", 2);
	memcpy(words + len + 2, err->text, rest);
	words[len + 2 + rest] = 0;
	memcpy(err->text, words, len + 3 + rest);
	return err->code;
}

void err_clear(struct err *err)
{
	if (!err)
		return;
	err->code = 0;
	err->text[0] = 0;
}
