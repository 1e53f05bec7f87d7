/* SPDX-License-Identifier: Apache-2.0 */
/* JSON written (never wrong: escapes, commas and nesting are kept by the
 * writer) and a small strict reader of single values. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
	struct buf *out;
	int depth;
	bool comma[16];
};
void json_start(struct json *json, struct buf *out);
/* key is NULL inside lists and at the top. */
void json_open(struct json *json, const char *key);	 /* { */
void json_close(struct json *json);			 /* } */
void json_list_open(struct json *json, const char *key); /* [ */
void json_list_close(struct json *json);		 /* ] */
void json_text(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, int64_t value);
void json_bool(struct json *json, const char *key, bool value);
/* A text that is JSON already; any other makes the buffer failed. */
void json_value(struct json *json, const char *key, const char *text);

/* Reads a value of a flat or nested object by a dotted path ("a.b.2.c").
 * The text must be one well-formed JSON value of at most 64 levels: what a
 * stranger wrote goes through json_check first.  Half a surrogate pair is
 * read as U+FFFD. */
int json_check(const char *text, size_t len, struct err *err);
char *json_get_text(const char *text, const char *path); /* malloced, NULL */
int64_t json_get_number(const char *text, const char *path, int64_t absent);
/* The value as it stands in the text; NULL where there is none. */
const char *json_get_value(const char *text, const char *path, size_t *len);
/* The items of a list that begins at "list", one after the other; NULL behind
 * the last one, and for what is no list. */
const char *json_first(const char *list, size_t *len);
const char *json_next(const char *item, size_t *len);
/* The same of a member, whose name may have dots, of the object at path. */
const char *json_get_member(const char *text, const char *path,
			    const char *name, size_t *len);
