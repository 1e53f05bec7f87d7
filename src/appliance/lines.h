/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of keywords and values, for records and contexts:
 *
 *	brood-record 1			what it is, and of which version
 *	KEY VALUE			as many as there are
 *	end HEX				SHA-256 of all bytes before
 *
 * Values are one line of printable text, without an end of their own.  A file
 * that was cut, changed or is of another version is refused as a whole. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

enum { LINES_BYTES_MOST = 64 * 1024, LINES_VALUE_MOST = 4095 };

void lines_start(struct buf *out, const char *head);
/* -EINVAL: a value that is no line. */
int lines_put(struct buf *out, struct err *err, const char *key,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));
int lines_end(struct buf *out, struct err *err);

/* value: of the text, ends with a 0; lasts as long as the text does. */
typedef int lines_visit(const char *key, char *value, void *context,
			struct err *err);
/* text is written to: its lines get their ends. */
int lines_read(char *text, size_t len, const char *head, lines_visit *visit,
	       void *context, struct err *err);
/* A decimal number of at most that much; false: it is none. */
bool lines_number(const char *value, uint64_t most, uint64_t *number);
