/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_edit.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <string.h>

static int edit_splice(struct buf *text, size_t at, size_t len,
		       const char *value, struct err *err)
{
	struct buf out = { 0 };

	buf_add(&out, text->data, at);
	buf_text(&out, value);
	buf_add(&out, text->data + at + len, text->len - at - len);
	buf_fini(text);
	*text = out;
	return out.failed ? err_set(err, -ENOMEM, "rewrite a text") : 0;
}

static const char *edit_find(const struct buf *text, const char *path,
			     size_t *len)
{
	const char *value = json_get_value(buf_string(text), path, len);
	bool is_null = value && *len == 4 && memcmp(value, "null", 4) == 0;

	return is_null ? NULL : value;
}

/* The object at the path, made where there is none. */
static int edit_need(struct buf *text, const char *path, struct err *err)
{
	const char *dot = strrchr(path, '.');
	auto_free char *above =
		file_format("%.*s", (int)(dot ? dot - path : 0), path);
	size_t len;

	if (edit_find(text, path, &len))
		return 0;
	if (!above)
		return err_set(err, -ENOMEM, "rewrite a text");
	if (!*path)
		return err_set(err, -EPROTO, "it is no object");
	return oci_edit_set(text, above, dot ? dot + 1 : path, "{}", err);
}

/* As the first member. */
static int edit_insert(struct buf *text, const char *path, const char *key,
		       const char *value, struct err *err)
{
	auto_buf struct buf member = { 0 };
	size_t len, at;
	const char *object;
	int rc = edit_need(text, path, err);

	object = rc < 0 ? NULL : edit_find(text, path, &len);
	if (!object)
		return rc;
	if (*object != '{')
		return err_set(err, -EPROTO, "%s is no object",
			       *path ? path : "it");
	at = (size_t)(object - text->data) + 1;
	buf_format(&member, "\"%s\":%s%s", key, value,
		   object[1 + strspn(object + 1, " \t\r\n")] == '}' ? "" : ",");
	return member.failed ? err_set(err, -ENOMEM, "rewrite a text")
			     : edit_splice(text, at, 0, member.data, err);
}

int oci_edit_set(struct buf *text, const char *path, const char *key,
		 const char *value, struct err *err)
{
	auto_free char *whole =
		file_format("%s%s%s", path, *path ? "." : "", key);
	const char *old;
	size_t len;

	if (!whole)
		return err_set(err, -ENOMEM, "rewrite a text");
	old = json_get_value(buf_string(text), whole, &len);
	if (!old)
		return edit_insert(text, path, key, value, err);
	return edit_splice(text, (size_t)(old - text->data), len, value, err);
}

int oci_edit_add(struct buf *text, const char *path, const char *key,
		 const char *item, struct err *err)
{
	auto_free char *whole =
		file_format("%s%s%s", path, *path ? "." : "", key);
	auto_free char *list = file_format("[%s]", item);
	auto_free char *more = file_format(",%s", item);
	const char *old;
	size_t len;

	if (!whole || !list || !more)
		return err_set(err, -ENOMEM, "rewrite a text");
	old = edit_find(text, whole, &len);
	if (!old)
		return oci_edit_set(text, path, key, list, err);
	if (*old != '[')
		return err_set(err, -EPROTO, "%s is no list", whole);
	if (old[1 + strspn(old + 1, " \t\r\n")] == ']')
		more[0] = ' ';
	return edit_splice(text, (size_t)(old - text->data) + len - 1, 0, more,
			   err);
}
