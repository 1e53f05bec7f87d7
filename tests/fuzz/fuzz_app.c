/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a manifest, a record, a context or their lines: the first byte
 * chooses.  The checksum of lines is made right first, so that what is behind
 * it is reached.  What is let pass is written again, and is the same. */
#include "appliance/context.h"
#include "appliance/lines.h"
#include "appliance/manifest.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char hex[] =
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void must(bool held)
{
	if (!held)
		__builtin_trap();
}

/* ---- records -------------------------------------------------------------------- */

static void look_entry(const struct record_entry *entry)
{
	must(record_is_name(entry->name));
	must(record_is_inside(entry->path));
	must(!entry->loader || record_is_inside(entry->loader));
	must(entry->kind < RECORD_KINDS);
	must(entry->argument_count <= RECORD_WORDS);
	for (int i = 0; i < entry->argument_count; i++)
		must(strlen(entry->argument[i]) <= LINES_VALUE_MOST);
}

static void look_record(const struct record *record)
{
	must(record_is_name(record->name));
	must(record_is_payload(record->payload));
	must(record->payload_bytes > 0);
	must(strlen(record->release) <= RECORD_NAME_MOST);
	must(record->entry_count > 0 && record->entry_count <= RECORD_ENTRIES);
	for (int i = 0; i < record->entry_count; i++) {
		look_entry(&record->entry[i]);
		must(record_find(record, record->entry[i].name) ==
		     &record->entry[i]);
	}
	for (int i = 0; i < record->environment_count; i++)
		must(strchr(record->environment[i], '=') != NULL);
	for (int i = 0; i < record->writable_count; i++)
		must(record_is_name(record->writable[i]));
	for (int i = 0; i < record->port_count; i++)
		must(record->port[i] > 0);
}

static void use_record(const char *text, size_t len)
{
	auto_record struct record record = { 0 };
	struct err err = { 0 };

	if (record_read(text, len, &record, &err) >= 0)
		look_record(&record);
	else
		must(err.text[0] && !record.text);
}

/* ---- manifests --------------------------------------------------------------------- */

static void use_manifest(const char *text, size_t len)
{
	auto_buf struct buf lines = { 0 };
	struct err err = { 0 };

	if (manifest_record(text, len, hex, 1, &lines, &err) < 0) {
		must(err.text[0] != 0);
		return;
	}
	auto_record struct record record = { 0 };

	must(record_read(lines.data, lines.len, &record, NULL) >= 0);
	look_record(&record);
}

/* ---- contexts ------------------------------------------------------------------------- */

/* Written, read, and written again, it has the same bytes. */
static void look_context(const struct context *context, const char *folder,
			 const char *path)
{
	auto_context struct context again = { 0 };
	auto_buf struct buf one = { 0 }, two = { 0 };
	struct err err = { 0 };

	must(record_is_name(context->name) && *context->share == '/');
	must(context->path_count <= CONTEXT_PATHS);
	if (context_write(context, &one, &err) < 0) {
		must(one.len > LINES_BYTES_MOST || err.text[0]);
		return;
	}
	must(file_replace(path, one.data, one.len, 0644, NULL) >= 0);
	must(context_read(folder, &again, NULL) >= 0);
	must(context_write(&again, &two, NULL) >= 0);
	must(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
}

static void use_context(const char *text, size_t len)
{
	static char folder[] = "/tmp/fuzz-app.XXXXXX";
	auto_context struct context context = { 0 };
	auto_free char *path = NULL;
	struct err err = { 0 };

	must(mkdtemp(folder) != NULL);
	path = file_join(folder, "context");
	must(path && file_replace(path, text, len, 0644, NULL) >= 0);
	if (context_read(folder, &context, &err) >= 0)
		look_context(&context, folder, path);
	else
		must(err.text[0] && !context.text);
	unlink(path);
	rmdir(folder);
	strcpy(folder, "/tmp/fuzz-app.XXXXXX");
}

/* ---- lines ---------------------------------------------------------------------------- */

static int see(const char *key, char *value, void *context, struct err *err)
{
	size_t *left = context;
	size_t len = strlen(key) + 1 + strlen(value) + 1;

	(void)err;
	must(*key && !strchr(key, ' ') && len <= *left);
	*left -= len;
	return 0;
}

static void use_lines(const char *text, size_t len)
{
	char *copy = malloc(len + 1);
	struct err err = { 0 };
	size_t left = len;
	uint64_t number;

	must(copy != NULL);
	memcpy(copy, text, len);
	copy[len] = 0;
	if (lines_number(copy, 1000, &number))
		must(number <= 1000);
	if (lines_read(copy, len, CONTEXT_HEAD, see, &left, &err) < 0)
		must(err.text[0] != 0);
	free(copy);
}

/* The last line anew; the text behind a head is the fuzzer's. */
static void use_lines_of(void (*use)(const char *text, size_t len),
			 const uint8_t *data, size_t size)
{
	auto_buf struct buf text = { 0 };

	use((const char *)data, size);
	buf_add(&text, data, size);
	if (text.len && text.data[text.len - 1] != '\n')
		buf_text(&text, "\n");
	if (lines_end(&text, NULL) >= 0)
		use(text.data, text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (*data % 4) {
	case 0: use_manifest((const char *)data + 1, size - 1); break;
	case 1: use_lines_of(use_record, data + 1, size - 1); break;
	case 2: use_lines_of(use_context, data + 1, size - 1); break;
	case 3: use_lines_of(use_lines, data + 1, size - 1); break;
	}
	return 0;
}
