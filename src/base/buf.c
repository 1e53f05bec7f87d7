/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes.  Room doubles, so that building is linear. */
#include "base/buf.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ 0 };
}

/* Makes room for len bytes more and the 0 byte behind them. */
static bool buf_grow(struct buf *buf, size_t len)
{
	size_t need, room = buf->room ? buf->room : 64;
	char *data;

	if (buf->failed || len >= SIZE_MAX / 4 || buf->len >= SIZE_MAX / 4) {
		buf->failed = true;
		return false;
	}
	if (buf->most && buf->len + len > buf->most) {
		buf->failed = buf->is_full = true;
		return false;
	}
	need = buf->len + len + 1;
	if (need <= buf->room)
		return true;
	while (room < need)
		room *= 2;
	data = realloc(buf->data, room);
	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->room = room;
	return true;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
	if (!buf_grow(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = 0;
}

char *buf_room(struct buf *buf, size_t len)
{
	return buf_grow(buf, len) ? buf->data + buf->len : NULL;
}

void buf_used(struct buf *buf, size_t len)
{
	buf->len += len;
	buf->data[buf->len] = 0;
}

void buf_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_format(struct buf *buf, const char *format, ...)
{
	va_list list;
	int len;

	va_start(list, format);
	len = vsnprintf(NULL, 0, format, list);
	va_end(list);
	if (len < 0 || !buf_grow(buf, len)) {
		buf->failed = true;
		return;
	}
	va_start(list, format);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, format, list);
	va_end(list);
	buf->len += len;
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	if (buf->data)
		buf->data[0] = 0;
}

const char *buf_string(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

char *buf_steal(struct buf *buf)
{
	char *data = buf->data ? buf->data : calloc(1, 1);

	buf->data = NULL;
	buf_fini(buf);
	return data;
}
