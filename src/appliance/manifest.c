/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/manifest.h"
#include "appliance/lines.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_VERSION = 1 };
static const char manifest_format[] = "brood-appliance";

/* ---- read -------------------------------------------------------------------- */

struct manifest_reader {
	const char *text;
	struct buf *out;
	struct err *err;
	int rc;
};

static void manifest_put(struct manifest_reader *reader, const char *key,
			 const char *value)
{
	if (reader->rc >= 0)
		reader->rc =
			lines_put(reader->out, reader->err, key, "%s", value);
}

/* malloced; NULL: it is not there, or (an error) no text. */
static char *manifest_get(struct manifest_reader *reader, const char *path)
{
	size_t len = 0;
	const char *value = json_get_value(reader->text, path, &len);
	char *text = value ? json_get_text(reader->text, path) : NULL;

	/* A 0 would end the text before its end. */
	if (value && (!text || memmem(value, len, "\\u0000", 6)) &&
	    reader->rc >= 0)
		reader->rc =
			err_set(reader->err, -EINVAL, "%s is no text", path);
	return text;
}

/* 1: it was there. */
static int manifest_text(struct manifest_reader *reader, const char *path,
			 const char *key)
{
	auto_free char *value = manifest_get(reader, path);

	if (value)
		manifest_put(reader, key, value);
	return value != NULL;
}

static void manifest_texts(struct manifest_reader *reader, const char *list,
			   const char *key)
{
	char path[160];

	for (int i = 0; i <= RECORD_WORDS && reader->rc >= 0; i++) {
		snprintf(path, sizeof path, "%s.%d", list, i);
		if (!manifest_text(reader, path, key))
			return;
	}
}

static void manifest_libraries(struct manifest_reader *reader, const char *list)
{
	auto_buf struct buf all = { 0 };
	char path[160];

	for (int i = 0; i <= RECORD_WORDS; i++) {
		auto_free char *value = NULL;

		snprintf(path, sizeof path, "%s.%d", list, i);
		value = manifest_get(reader, path);
		if (!value)
			break;
		buf_format(&all, "%s%s", all.len ? ":" : "", value);
	}
	if (all.len)
		manifest_put(reader, "libraries", buf_string(&all));
}

static bool manifest_is_true(struct manifest_reader *reader, const char *path)
{
	size_t len = 0;
	const char *value = json_get_value(reader->text, path, &len);
	bool is_true = value && len == 4 && memcmp(value, "true", 4) == 0;

	if (value && !is_true && (len != 5 || memcmp(value, "false", 5) != 0) &&
	    reader->rc >= 0)
		reader->rc = err_set(reader->err, -EINVAL,
				     "%s is neither true nor false", path);
	return is_true;
}

/* Behind the last one nothing may be. */
static void manifest_no_entry(struct manifest_reader *reader, int number)
{
	char path[128];
	size_t len;

	snprintf(path, sizeof path, "entries.%d", number);
	if (reader->rc >= 0 && json_get_value(reader->text, path, &len))
		reader->rc =
			err_set(reader->err, -EINVAL, "%s has no name", path);
}

static bool manifest_entry(struct manifest_reader *reader, int number)
{
	static const char *const texts[] = { "kind", "path", "loader" };
	char path[128];

	snprintf(path, sizeof path, "entries.%d.name", number);
	if (!manifest_text(reader, path, "entry")) {
		manifest_no_entry(reader, number);
		return false;
	}
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "entries.%d.%s", number, texts[i]);
		manifest_text(reader, path, texts[i]);
	}
	snprintf(path, sizeof path, "entries.%d.libraries", number);
	manifest_libraries(reader, path);
	snprintf(path, sizeof path, "entries.%d.arguments", number);
	manifest_texts(reader, path, "argument");
	snprintf(path, sizeof path, "entries.%d.warm", number);
	if (manifest_is_true(reader, path))
		manifest_put(reader, "warm", "yes");
	return true;
}

static void manifest_ports(struct manifest_reader *reader)
{
	char path[128];

	for (int i = 0; i <= RECORD_WORDS && reader->rc >= 0; i++) {
		auto_free char *text = NULL;
		const char *value;
		size_t len = 0;

		snprintf(path, sizeof path, "ports.%d", i);
		value = json_get_value(reader->text, path, &len);
		if (!value)
			return;
		text = strndup(value, len);
		if (text)
			manifest_put(reader, "port", text);
	}
}

static int manifest_head(const char *text, struct err *err)
{
	auto_free char *format = json_get_text(text, "format");
	int64_t version = json_get_number(text, "version", -1);

	if (!format || strcmp(format, manifest_format) != 0)
		return err_set(err, -EINVAL, "is no manifest of an appliance");
	if (version != MANIFEST_VERSION)
		return err_set(err, -EINVAL, "has version %ld, not %d",
			       (long)version, MANIFEST_VERSION);
	return 0;
}

static int manifest_lines(struct manifest_reader *reader, const char *payload,
			  uint64_t bytes)
{
	char words[RECORD_HEX + 32];
	int number = 0;

	lines_start(reader->out, RECORD_HEAD);
	manifest_text(reader, "name", "name");
	manifest_text(reader, "release", "release");
	snprintf(words, sizeof words, "%s %lu", payload, (unsigned long)bytes);
	manifest_put(reader, "payload", words);
	while (number <= RECORD_ENTRIES && manifest_entry(reader, number))
		number++;
	if (reader->rc >= 0 && number > RECORD_ENTRIES)
		return err_set(reader->err, -EINVAL, "more than %d entries",
			       RECORD_ENTRIES);
	manifest_texts(reader, "environment", "environment");
	manifest_texts(reader, "writable", "writable");
	manifest_ports(reader);
	return reader->rc < 0 ? reader->rc
			      : lines_end(reader->out, reader->err);
}

int manifest_record(const char *text, size_t len, const char *payload,
		    uint64_t bytes, struct buf *record, struct err *err)
{
	auto_free char *copy = len <= MANIFEST_MOST ? strndup(text, len) : NULL;
	struct manifest_reader reader = { copy, record, err, 0 };
	auto_record struct record trial = { 0 };
	int rc;

	if (!copy)
		return err_set(err, -EINVAL, "is longer than %d bytes",
			       MANIFEST_MOST);
	rc = json_check(text, len, err);
	if (rc >= 0)
		rc = manifest_head(copy, err);
	if (rc >= 0)
		rc = manifest_lines(&reader, payload, bytes);
	return rc < 0 ? rc
		      : record_read(buf_string(record), record->len, &trial,
				    err);
}

/* ---- written ------------------------------------------------------------------ */

static void manifest_list(struct json *json, const char *key,
			  const char *const *item, int count)
{
	if (!count)
		return;
	json_list_open(json, key);
	for (int i = 0; i < count; i++)
		json_text(json, NULL, item[i]);
	json_list_close(json);
}

static void manifest_split(struct json *json, const char *key, const char *list)
{
	json_list_open(json, key);
	while (*list) {
		size_t len = strcspn(list, ":");
		auto_free char *part = strndup(list, len);

		if (part)
			json_text(json, NULL, part);
		list += len + (list[len] == ':');
	}
	json_list_close(json);
}

static void manifest_write_entry(struct json *json,
				 const struct manifest_entry *entry)
{
	json_open(json, NULL);
	json_text(json, "name", entry->name);
	json_text(json, "kind", entry->kind);
	json_text(json, "path", entry->path);
	if (entry->loader)
		json_text(json, "loader", entry->loader);
	if (entry->libraries && *entry->libraries)
		manifest_split(json, "libraries", entry->libraries);
	manifest_list(json, "arguments", entry->arguments,
		      entry->argument_count);
	if (entry->warm)
		json_bool(json, "warm", true);
	json_close(json);
}

void manifest_write(const struct manifest *manifest, struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "format", manifest_format);
	json_number(&json, "version", MANIFEST_VERSION);
	json_text(&json, "name", manifest->name);
	json_text(&json, "release", manifest->release);
	json_list_open(&json, "entries");
	for (int i = 0; i < manifest->entry_count; i++)
		manifest_write_entry(&json, &manifest->entry[i]);
	json_list_close(&json);
	manifest_list(&json, "environment", manifest->environment,
		      manifest->environment_count);
	manifest_list(&json, "writable", manifest->writable,
		      manifest->writable_count);
	if (manifest->port_count) {
		json_list_open(&json, "ports");
		for (int i = 0; i < manifest->port_count; i++)
			json_number(&json, NULL, manifest->port[i]);
		json_list_close(&json);
	}
	json_close(&json);
	buf_text(out, "\n");
}
