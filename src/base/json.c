/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: a writer that cannot write a malformed text, and a strict reader
 * without a tree: it walks the text to the one value that is asked for. */
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH_MOST = 64 };

/* ---- writing ------------------------------------------------------------ */

void json_start(struct json *json, struct buf *out)
{
	*json = (struct json){ .out = out };
}

static void json_quote(struct buf *out, const char *text)
{
	buf_text(out, "\"");
	for (const unsigned char *p = (const void *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_format(out, "\\%c", *p);
		else if (*p == '\n')
			buf_text(out, "\\n");
		else if (*p < 0x20 || *p == 0x7f)
			buf_format(out, "\\u%04x", *p);
		else
			buf_add(out, p, 1);
	}
	buf_text(out, "\"");
}

static void json_before(struct json *json, const char *key)
{
	if (json->comma[json->depth])
		buf_text(json->out, ",");
	json->comma[json->depth] = true;
	if (!key)
		return;
	json_quote(json->out, key);
	buf_text(json->out, ":");
}

static void json_enter(struct json *json, const char *key, const char *mark)
{
	json_before(json, key);
	buf_text(json->out, mark);
	if (json->depth + 1 >= (int)(sizeof json->comma))
		json->out->failed = true;
	else
		json->comma[++json->depth] = false;
}

static void json_leave(struct json *json, const char *mark)
{
	buf_text(json->out, mark);
	if (json->depth > 0)
		json->depth--;
}

void json_open(struct json *json, const char *key)
{
	json_enter(json, key, "{");
}

void json_close(struct json *json)
{
	json_leave(json, "}");
}

void json_list_open(struct json *json, const char *key)
{
	json_enter(json, key, "[");
}

void json_list_close(struct json *json)
{
	json_leave(json, "]");
}

void json_text(struct json *json, const char *key, const char *value)
{
	json_before(json, key);
	if (value)
		json_quote(json->out, value);
	else
		buf_text(json->out, "null");
}

void json_number(struct json *json, const char *key, int64_t value)
{
	json_before(json, key);
	buf_format(json->out, "%ld", (long)value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	json_before(json, key);
	buf_text(json->out, value ? "true" : "false");
}

void json_value(struct json *json, const char *key, const char *text)
{
	json_before(json, key);
	if (json_check(text, strlen(text), NULL) < 0)
		json->out->failed = true;
	else
		buf_text(json->out, text);
}

/* ---- reading -------------------------------------------------------------- */

/* All skip functions take a position and give the one behind what they
 * skipped, NULL when it is malformed. */
struct json_text {
	const char *at, *end;
};

static void json_blank(struct json_text *t)
{
	while (t->at < t->end && strchr(" \t\r\n", *t->at) && *t->at)
		t->at++;
}

static bool json_word(struct json_text *t, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0)
		return false;
	t->at += len;
	return true;
}

static int json_hex(const char *at)
{
	int value = 0;

	for (int i = 0; i < 4; i++) {
		unsigned char c = at[i];
		int digit = c >= '0' && c <= '9' ? c - '0'
			    : (c | 32) >= 'a' && (c | 32) <= 'f'
				    ? (c | 32) - 'a' + 10
				    : -1;

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static void json_utf8(struct buf *out, int code)
{
	static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	int len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	char c[4];

	for (int i = len - 1; i > 0; i--, code >>= 6)
		c[i] = 0x80 | (code & 63);
	c[0] = first[len] | code;
	buf_add(out, c, len);
}

/* At the 4 digits behind a \u; a pair of surrogates is one character. */
static bool json_unicode(struct json_text *t, struct buf *out)
{
	int code, low = -1;

	if (t->end - t->at < 4 || (code = json_hex(t->at)) < 0)
		return false;
	t->at += 4;
	if (code >> 10 == 0xd800 >> 10 && t->end - t->at >= 6 &&
	    t->at[0] == '\\' && t->at[1] == 'u')
		low = json_hex(t->at + 2);
	if (low >> 10 == 0xdc00 >> 10) {
		code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
		t->at += 6;
	} else if (code >> 11 == 0xd800 >> 11) {
		code = 0xfffd;
	}
	if (out)
		json_utf8(out, code);
	return true;
}

static bool json_escape(struct json_text *t, struct buf *out)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (t->at >= t->end)
		return false;
	if (*t->at == 'u') {
		t->at++;
		return json_unicode(t, out);
	}
	found = *t->at ? strchr(names, *t->at) : NULL;
	if (!found)
		return false;
	if (out)
		buf_add(out, &bytes[found - names], 1);
	t->at++;
	return true;
}

static bool json_string(struct json_text *t, struct buf *out)
{
	if (t->at >= t->end || *t->at != '"')
		return false;
	for (t->at++; t->at < t->end;) {
		unsigned char c = *t->at++;

		if (c == '"')
			return true;
		if (c < 0x20)
			return false;
		if (c == '\\') {
			if (!json_escape(t, out))
				return false;
		} else if (out) {
			buf_add(out, &c, 1);
		}
	}
	return false;
}

static bool json_digits(struct json_text *t)
{
	const char *first = t->at;

	while (t->at < t->end && *t->at >= '0' && *t->at <= '9')
		t->at++;
	return t->at > first;
}

static bool json_skip_number(struct json_text *t)
{
	if (t->at < t->end && *t->at == '-')
		t->at++;
	if (t->at < t->end && *t->at == '0')
		t->at++;
	else if (!json_digits(t))
		return false;
	if (t->at < t->end && *t->at == '.') {
		t->at++;
		if (!json_digits(t))
			return false;
	}
	if (t->at < t->end && (*t->at == 'e' || *t->at == 'E')) {
		t->at++;
		if (t->at < t->end && (*t->at == '+' || *t->at == '-'))
			t->at++;
		return json_digits(t);
	}
	return true;
}

static bool json_skip(struct json_text *t, int depth);

/* One member of an object or one item of a list; at the text behind it. */
static bool json_member(struct json_text *t, bool keyed, int depth)
{
	json_blank(t);
	if (keyed) {
		if (!json_string(t, NULL))
			return false;
		json_blank(t);
		if (!json_word(t, ":"))
			return false;
	}
	return json_skip(t, depth + 1);
}

static bool json_skip_group(struct json_text *t, bool keyed, int depth)
{
	const char *close = keyed ? "}" : "]";

	t->at++;
	json_blank(t);
	if (json_word(t, close))
		return true;
	do {
		if (!json_member(t, keyed, depth))
			return false;
		json_blank(t);
	} while (json_word(t, ","));
	return json_word(t, close);
}

static bool json_skip(struct json_text *t, int depth)
{
	if (depth > JSON_DEPTH_MOST)
		return false;
	json_blank(t);
	if (t->at >= t->end)
		return false;
	switch (*t->at) {
	case '{': return json_skip_group(t, true, depth);
	case '[': return json_skip_group(t, false, depth);
	case '"': return json_string(t, NULL);
	case 't': return json_word(t, "true");
	case 'f': return json_word(t, "false");
	case 'n': return json_word(t, "null");
	}
	return json_skip_number(t);
}

int json_check(const char *text, size_t len, struct err *err)
{
	struct json_text t = { text, text + len };

	if (json_skip(&t, 0)) {
		json_blank(&t);
		if (t.at == t.end)
			return 0;
	}
	return err_set(err, -EPROTO, "JSON: malformed at byte %zu",
		       (size_t)(t.at - text));
}

/* From the start of a group to its member "name" (len bytes). */
static bool json_find(struct json_text *t, const char *name, size_t len)
{
	bool keyed;
	long wanted = strtol(name, NULL, 10);

	json_blank(t);
	if (t->at >= t->end || (*t->at != '{' && *t->at != '['))
		return false;
	keyed = *t->at++ == '{';
	if (!keyed && strspn(name, "0123456789") < len)
		return false;
	for (long i = 0;; i++) {
		auto_buf struct buf key = { 0 };

		json_blank(t);
		if (keyed) {
			if (!json_string(t, &key))
				return false;
			json_blank(t);
			if (!json_word(t, ":"))
				return false;
			if (key.len == len &&
			    memcmp(buf_string(&key), name, len) == 0)
				return true;
		} else if (i == wanted) {
			json_blank(t);
			return t->at < t->end && *t->at != ']';
		}
		if (!json_skip(t, 0))
			return false;
		json_blank(t);
		if (!json_word(t, ","))
			return false;
	}
}

static bool json_walk(struct json_text *t, const char *path)
{
	while (*path) {
		size_t len = strcspn(path, ".");

		if (!json_find(t, path, len))
			return false;
		path += len + (path[len] == '.');
	}
	json_blank(t);
	return t->at < t->end;
}

char *json_get_text(const char *text, const char *path)
{
	struct json_text t = { text, text + strlen(text) };
	struct buf out = { 0 };

	if (json_walk(&t, path) && json_string(&t, &out) && !out.failed)
		return buf_steal(&out);
	buf_fini(&out);
	return NULL;
}

int64_t json_get_number(const char *text, const char *path, int64_t absent)
{
	struct json_text t = { text, text + strlen(text) };
	struct json_text probe;

	if (!json_walk(&t, path))
		return absent;
	if (json_word(&t, "true"))
		return 1;
	if (json_word(&t, "false"))
		return 0;
	probe = t;
	return json_skip_number(&probe) ? strtoll(t.at, NULL, 10) : absent;
}

const char *json_get_value(const char *text, const char *path, size_t *len)
{
	struct json_text t = { text, text + strlen(text) };
	const char *start;

	if (!json_walk(&t, path))
		return NULL;
	start = t.at;
	if (!json_skip(&t, 0))
		return NULL;
	*len = t.at - start;
	return start;
}

const char *json_get_member(const char *text, const char *path,
			    const char *name, size_t *len)
{
	struct json_text t = { text, text + strlen(text) };
	const char *start;

	if (!json_walk(&t, path) || !json_find(&t, name, strlen(name)))
		return NULL;
	json_blank(&t);
	start = t.at;
	if (!json_skip(&t, 0))
		return NULL;
	*len = t.at - start;
	return start;
}

static const char *json_item(const char *at, size_t *len)
{
	struct json_text t = { at, at + strlen(at) };
	const char *start;

	json_blank(&t);
	start = t.at;
	if (t.at >= t.end || *t.at == ']' || !json_skip(&t, 0))
		return NULL;
	*len = t.at - start;
	return start;
}

const char *json_first(const char *list, size_t *len)
{
	return *list == '[' ? json_item(list + 1, len) : NULL;
}

const char *json_next(const char *item, size_t *len)
{
	struct json_text t = { item + *len, item + strlen(item) };

	json_blank(&t);
	return json_word(&t, ",") ? json_item(t.at, len) : NULL;
}
