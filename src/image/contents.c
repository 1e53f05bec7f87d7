/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of tips, written and read. */
#include "image/contents.h"
#include "base/fd.h"
#include "base/json.h"
#include "image/layer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONTENTS_VERSION = 1 };

/* ---- written ------------------------------------------------------------- */

static void contents_put_id(struct json *json, const char *key,
			    const uint8_t id[LAYER_ID])
{
	char hex[STORE_HEX + 1];

	store_hex(id, LAYER_ID, hex);
	json_text(json, key, hex);
}

static void contents_put_numbers(struct json *json, const char *key,
				 const uint32_t *numbers, uint32_t count)
{
	json_list_open(json, key);
	for (uint32_t i = 0; i < count; i++)
		json_number(json, NULL, numbers[i]);
	json_list_close(json);
}

void contents_write(const struct bundle_contents *contents, struct buf *out)
{
	const struct bundle_told *tip = &contents->tip;
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_number(&json, "version", CONTENTS_VERSION);
	json_text(&json, "name", tip->head.name);
	json_number(&json, "memory", (int64_t)contents->head.ram_bytes);
	contents_put_id(&json, "shape", contents->shape);
	json_list_open(&json, "objects");
	for (uint32_t i = 0; i < contents->head.object_count; i++) {
		const struct bundle_object *object = &contents->objects[i];

		json_open(&json, NULL);
		json_text(&json, "kind", layer_kind_name(object->kind));
		contents_put_id(&json, "id", object->id);
		json_number(&json, "table_bytes", (int64_t)object->table_bytes);
		json_number(&json, "data_bytes", (int64_t)object->data_bytes);
		json_close(&json);
	}
	json_list_close(&json);
	contents_put_numbers(&json, "layers", tip->layers,
			     tip->head.layer_count);
	contents_put_numbers(&json, "disks", tip->disks, tip->head.disk_count);
	if (tip->head.state != BUNDLE_NONE)
		json_number(&json, "state", tip->head.state);
	json_value(&json, "words", tip->words);
	json_close(&json);
}

/* ---- read ---------------------------------------------------------------- */

static int contents_wrong(const char *why, struct err *err)
{
	return err_set(err, -EINVAL, "its config: %s", why);
}

static bool contents_get_id(const char *text, const char *key,
			    uint8_t id[LAYER_ID])
{
	auto_free char *hex = json_get_text(text, key);

	if (!hex || !store_is_name(hex))
		return false;
	store_from_hex(hex, id);
	return true;
}

/* Negative ones and none become too large. */
static uint64_t contents_get_number(const char *text, const char *key)
{
	return (uint64_t)json_get_number(text, key, -1);
}

static uint32_t contents_get_kind(const char *text)
{
	auto_free char *name = json_get_text(text, "kind");
	uint32_t kind = LAYER_BASE;

	while (kind <= LAYER_DISK &&
	       (!name || strcmp(name, layer_kind_name(kind)) != 0))
		kind++;
	return kind;
}

/* Calls visit for each item of a list, as a text of its own. */
typedef int contents_visit(const char *item, uint32_t number,
			   struct bundle_contents *contents, struct err *err);

static int contents_each(const char *text, const char *key, uint32_t most,
			 contents_visit *visit,
			 struct bundle_contents *contents, uint32_t *count,
			 struct err *err)
{
	size_t len;
	const char *list = json_get_value(text, key, &len);
	const char *at = list ? json_first(list, &len) : NULL;
	int rc = 0;

	if (!list || *list != '[')
		return contents_wrong("a list is missing", err);
	for (*count = 0; rc >= 0 && at; at = json_next(at, &len)) {
		auto_free char *item = strndup(at, len);

		if (!item)
			return err_set(err, -ENOMEM, "read a config");
		if (*count == most)
			return contents_wrong("it has more than a tip can have",
					      err);
		rc = visit(item, (*count)++, contents, err);
	}
	return rc;
}

static int contents_read_object(const char *item, uint32_t number,
				struct bundle_contents *contents,
				struct err *err)
{
	struct bundle_object *object = &contents->objects[number];

	*object = (struct bundle_object){
		.kind = contents_get_kind(item),
		.table_bytes = contents_get_number(item, "table_bytes"),
		.data_bytes = contents_get_number(item, "data_bytes"),
	};
	contents->head.data_bytes += object->table_bytes + object->data_bytes;
	return contents_get_id(item, "id", object->id)
		       ? 0
		       : contents_wrong("an object has no id", err);
}

static int contents_read_number(const char *item, uint32_t *to, struct err *err)
{
	uint64_t number = contents_get_number(item, "");

	*to = (uint32_t)number;
	return number < BUNDLE_PARTS_MOST
		       ? 0
		       : contents_wrong("it names an object that is none", err);
}

static int contents_read_layer(const char *item, uint32_t number,
			       struct bundle_contents *contents,
			       struct err *err)
{
	return contents_read_number(item, &contents->tip.layers[number], err);
}

static int contents_read_disk(const char *item, uint32_t number,
			      struct bundle_contents *contents, struct err *err)
{
	return contents_read_number(item, &contents->tip.disks[number], err);
}

static int contents_read_lists(const char *text,
			       struct bundle_contents *contents,
			       struct err *err)
{
	struct bundle_tip *tip = &contents->tip.head;
	int rc = contents_each(text, "objects", BUNDLE_PARTS_MOST,
			       contents_read_object, contents,
			       &contents->head.object_count, err);

	if (rc >= 0)
		rc = contents_each(text, "layers", LAYER_DEPTH_MOST,
				   contents_read_layer, contents,
				   &tip->layer_count, err);
	if (rc >= 0)
		rc = contents_each(text, "disks", TIP_DISKS_MOST,
				   contents_read_disk, contents,
				   &tip->disk_count, err);
	return rc;
}

static int contents_read_tip(const char *text, struct bundle_contents *contents,
			     struct err *err)
{
	struct bundle_told *tip = &contents->tip;
	auto_free char *name = json_get_text(text, "name");
	size_t len;
	const char *state = json_get_value(text, "state", &len);
	const char *words = json_get_value(text, "words", &len);

	if (!name || !images_is_name(name))
		return contents_wrong("it has no name of a tip", err);
	if (!words || len > TIP_WORDS_MOST)
		return contents_wrong("it has no words, or too many", err);
	memcpy(tip->head.name, name, strlen(name));
	tip->head.words_bytes = (uint32_t)len;
	tip->head.state = BUNDLE_NONE;
	tip->words = strndup(words, len);
	if (!tip->words)
		return err_set(err, -ENOMEM, "read a config");
	return state ? contents_read_number(state, &tip->head.state, err) : 0;
}

int contents_read(const char *text, struct bundle_contents *contents,
		  struct err *err)
{
	int rc;

	*contents = (struct bundle_contents){
		.head = { .magic = BUNDLE_MAGIC,
			  .version = BUNDLE_VERSION,
			  .header_bytes = sizeof(struct bundle_header),
			  .ram_bytes = contents_get_number(text, "memory"),
			  .tip_count = 1 },
	};
	if (json_get_number(text, "version", 0) != CONTENTS_VERSION)
		return contents_wrong("it is of another version", err);
	if (!contents_get_id(text, "shape", contents->shape))
		return contents_wrong("it tells of no machine", err);
	rc = contents_read_lists(text, contents, err);
	if (rc >= 0)
		rc = contents_read_tip(text, contents, err);
	if (rc < 0)
		bundle_contents_fini(contents);
	return rc;
}
