/* SPDX-License-Identifier: Apache-2.0 */
/* A growing run of bytes, always with a 0 byte behind its last one.  The
 * first failed allocation makes it "failed" and later additions do nothing,
 * so that a builder checks once, at its end.  So does what would make it
 * longer than "most". */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NULL while empty */
	size_t len, room;
	size_t most;	      /* 0: any length */
	bool failed, is_full; /* is_full: failed for "most" */
};
void buf_fini(struct buf *buf);
#define auto_buf __attribute__((cleanup(buf_fini)))
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_text(struct buf *buf, const char *text);
void buf_format(struct buf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Room for len bytes at the end, to be written there and then taken in by
 * buf_used; NULL without memory. */
char *buf_room(struct buf *buf, size_t len);
void buf_used(struct buf *buf, size_t len);
void buf_clear(struct buf *buf);	       /* keeps the room */
const char *buf_string(const struct buf *buf); /* "" while empty */
char *buf_steal(struct buf *buf); /* malloced, the buf is empty afterwards */
