/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/record.h"
#include "appliance/kind.h"
#include "appliance/lines.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_PAYLOAD_MOST_SHIFT = 44 }; /* 16 TiB */

/* ---- words ------------------------------------------------------------------- */

bool record_is_name(const char *name)
{
	static const char inside[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789._+-";
	size_t len = strlen(name);

	return len > 0 && len <= RECORD_NAME_MOST && *name != '.' &&
	       *name != '-' && strspn(name, inside) == len;
}

bool record_is_inside(const char *path)
{
	if (!*path || *path == '/')
		return false;
	for (;;) {
		size_t len = strcspn(path, "/");

		if (len == 0 || (len == 1 && *path == '.') ||
		    (len == 2 && memcmp(path, "..", 2) == 0))
			return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

bool record_is_payload(const char *hex)
{
	return strlen(hex) == RECORD_HEX &&
	       strspn(hex, "0123456789abcdef") == RECORD_HEX;
}

/* Folders with a : between. */
static bool record_is_list(char *value)
{
	bool fine = true;

	for (char *part = value; part && fine;) {
		char *colon = strchr(part, ':');

		if (colon)
			*colon = 0;
		fine = record_is_inside(part);
		if (colon)
			*colon = ':';
		part = colon ? colon + 1 : NULL;
	}
	return fine;
}

static bool record_is_variable(const char *value)
{
	size_t len = strcspn(value, "=");

	return len > 0 && value[len] == '=' && (*value < '0' || *value > '9') &&
	       strspn(value, "abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == len;
}

/* ---- lines of the whole ------------------------------------------------------- */

static bool record_take_name(struct record *record, char *value)
{
	bool fine = !record->name && record_is_name(value);

	record->name = value;
	return fine;
}

static bool record_take_release(struct record *record, char *value)
{
	record->release = value;
	return strlen(value) <= RECORD_NAME_MOST;
}

static bool record_take_payload(struct record *record, char *value)
{
	char *space = strchr(value, ' ');

	if (!space || *record->payload)
		return false;
	*space = 0;
	if (!record_is_payload(value) ||
	    !lines_number(space + 1, (uint64_t)1 << RECORD_PAYLOAD_MOST_SHIFT,
			  &record->payload_bytes))
		return false;
	memcpy(record->payload, value, RECORD_HEX + 1);
	return record->payload_bytes > 0;
}

static bool record_take_entry(struct record *record, char *value)
{
	struct record_entry *entry;

	if (record->entry_count == RECORD_ENTRIES || !record_is_name(value) ||
	    (record->entry_count && record_find(record, value)))
		return false;
	entry = realloc(record->entry,
			((size_t)record->entry_count + 1) * sizeof *entry);
	if (!entry)
		return false;
	record->entry = entry;
	entry[record->entry_count++] = (struct record_entry){ .name = value };
	return true;
}

static bool record_take_environment(struct record *record, char *value)
{
	if (record->environment_count == RECORD_WORDS ||
	    !record_is_variable(value))
		return false;
	record->environment[record->environment_count++] = value;
	return true;
}

static bool record_take_writable(struct record *record, char *value)
{
	if (record->writable_count == RECORD_WORDS || !record_is_name(value))
		return false;
	record->writable[record->writable_count++] = value;
	return true;
}

static bool record_take_port(struct record *record, char *value)
{
	uint64_t port;

	if (record->port_count == RECORD_WORDS ||
	    !lines_number(value, 65535, &port) || port == 0)
		return false;
	record->port[record->port_count++] = (uint16_t)port;
	return true;
}

/* ---- lines of an entry --------------------------------------------------------- */

static struct record_entry *record_last(struct record *record)
{
	return record->entry_count ? &record->entry[record->entry_count - 1]
				   : NULL;
}

static bool record_take_kind(struct record *record, char *value)
{
	struct record_entry *entry = record_last(record);

	for (int i = 0; entry && i < RECORD_KINDS; i++)
		if (strcmp(value, kinds[i].name) == 0) {
			entry->kind = (enum record_kind)i;
			return true;
		}
	return false;
}

static bool record_take_path(struct record *record, char *value)
{
	struct record_entry *entry = record_last(record);

	if (!entry || entry->path || !record_is_inside(value))
		return false;
	entry->path = value;
	return true;
}

static bool record_take_loader(struct record *record, char *value)
{
	struct record_entry *entry = record_last(record);

	if (!entry || entry->loader || !record_is_inside(value))
		return false;
	entry->loader = value;
	return true;
}

static bool record_take_libraries(struct record *record, char *value)
{
	struct record_entry *entry = record_last(record);

	if (!entry || entry->libraries || !record_is_list(value))
		return false;
	entry->libraries = value;
	return true;
}

static bool record_take_argument(struct record *record, char *value)
{
	struct record_entry *entry = record_last(record);

	if (!entry || entry->argument_count == RECORD_WORDS)
		return false;
	entry->argument[entry->argument_count++] = value;
	return true;
}

static bool record_take_warm(struct record *record, char *value)
{
	struct record_entry *entry = record_last(record);

	if (!entry || strcmp(value, "yes") != 0)
		return false;
	entry->warm = true;
	return true;
}

/* ---- read -------------------------------------------------------------------- */

static const struct record_key {
	const char *key;
	bool (*take)(struct record *record, char *value);
} record_keys[] = {
	{ "name", record_take_name },
	{ "release", record_take_release },
	{ "payload", record_take_payload },
	{ "entry", record_take_entry },
	{ "kind", record_take_kind },
	{ "path", record_take_path },
	{ "loader", record_take_loader },
	{ "libraries", record_take_libraries },
	{ "argument", record_take_argument },
	{ "warm", record_take_warm },
	{ "environment", record_take_environment },
	{ "writable", record_take_writable },
	{ "port", record_take_port },
};

static int record_visit(const char *key, char *value, void *context,
			struct err *err)
{
	const size_t count = sizeof record_keys / sizeof *record_keys;

	for (size_t i = 0; i < count; i++)
		if (strcmp(key, record_keys[i].key) == 0) {
			if (record_keys[i].take(context, value))
				return 0;
			return err_set(err, -EINVAL, "\"%s %.60s\" is wrong",
				       key, value);
		}
	return err_set(err, -EINVAL, "\"%.30s\" is not known", key);
}

static int record_complete(const struct record *record, struct err *err)
{
	if (!record->name || !*record->payload || !record->entry_count)
		return err_set(err, -EINVAL,
			       "name, payload or entry is missing");
	for (int i = 0; i < record->entry_count; i++)
		if (!record->entry[i].path)
			return err_set(err, -EINVAL, "entry %s has no path",
				       record->entry[i].name);
	return 0;
}

int record_read(const char *text, size_t len, struct record *record,
		struct err *err)
{
	int rc;

	*record = (struct record){ .release = "" };
	record->text = malloc(len + 1);
	if (!record->text)
		return err_set(err, -ENOMEM, "read a record");
	memcpy(record->text, text, len);
	record->text[len] = 0;
	rc = lines_read(record->text, len, RECORD_HEAD, record_visit, record,
			err);
	if (rc >= 0)
		rc = record_complete(record, err);
	if (rc < 0)
		record_fini(record);
	return rc;
}

void record_fini(struct record *record)
{
	free(record->text);
	free(record->entry);
	*record = (struct record){ .release = "" };
}

const struct record_entry *record_find(const struct record *record,
				       const char *entry)
{
	for (int i = 0; i < record->entry_count; i++)
		if (!entry || strcmp(record->entry[i].name, entry) == 0)
			return &record->entry[i];
	return NULL;
}
