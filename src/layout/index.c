/* SPDX-License-Identifier: Apache-2.0 */
/* index.json: read item by item, and written anew with one item more. */
#include "layout/index.h"
#include "base/fd.h"
#include "base/json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_FILE  "index.json"
#define INDEX_KIND  "application/vnd.oci.image.index.v1+json"
#define INDEX_NAME  "org.opencontainers.image.ref.name"
#define INDEX_NAMED "io.containerd.image.name"

static bool index_is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

bool index_is_name(const char *name)
{
	bool after_word = false;

	if (strlen(name) > INDEX_NAME_MOST)
		return false;
	for (; *name; name++) {
		if (!index_is_word(*name) &&
		    (!after_word || !strchr("-._:@+/", *name)))
			return false;
		after_word = index_is_word(*name);
	}
	return after_word;
}

/* ---- reading ------------------------------------------------------------------ */

static int index_wrong(const struct layout *layout, const char *why,
		       struct err *err)
{
	return err_set(err, -EINVAL, "%s/" INDEX_FILE ": %s", layout->path,
		       why);
}

/* 1, or 0 where there is none yet. */
static int index_read(const struct layout *layout, struct buf *text,
		      const char **list, struct err *err)
{
	int rc = layout_json(layout, INDEX_FILE, text, err);
	size_t len;

	*list = NULL;
	if (rc == -ENOENT) {
		err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (json_get_number(buf_string(text), "schemaVersion", 0) != 2)
		return index_wrong(layout, "its schemaVersion is not 2", err);
	*list = json_get_value(buf_string(text), "manifests", &len);
	return *list && **list == '['
		       ? 1
		       : index_wrong(layout, "it has no list of manifests",
				     err);
}

static char *index_name_of(const char *item)
{
	size_t len;
	const char *value =
		json_get_member(item, "annotations", INDEX_NAME, &len);
	auto_free char *quoted = value ? strndup(value, len) : NULL;

	return quoted ? json_get_text(quoted, "") : NULL;
}

static bool index_has_name(const char *item, const char *name)
{
	auto_free char *own = index_name_of(item);

	return own && strcmp(own, name) == 0;
}

/* Calls visit for each item, as a text of its own, until it does not return
 * 0. */
typedef int index_visit(const char *item, void *context, struct err *err);

static int index_each(const struct layout *layout, const char *list,
		      index_visit *visit, void *context, struct err *err)
{
	const char *at;
	size_t len;
	int rc = 0, count = 0;

	for (at = json_first(list, &len); at && rc == 0;
	     at = json_next(at, &len)) {
		auto_free char *item = strndup(at, len);

		if (!item)
			return err_set(err, -ENOMEM, "read " INDEX_FILE);
		if (++count > INDEX_ENTRIES_MOST)
			return index_wrong(layout, "too many manifests", err);
		rc = visit(item, context, err);
	}
	return rc;
}

struct index_search {
	const char *name;
	char *found; /* the item */
	int count;
};

static int index_look(const char *item, void *context, struct err *err)
{
	struct index_search *search = context;

	if (search->name && !index_has_name(item, search->name))
		return 0;
	search->count++;
	if (search->found)
		return 0;
	search->found = strdup(item);
	return search->found ? 0 : err_set(err, -ENOMEM, "read " INDEX_FILE);
}

static int index_found(const struct layout *layout,
		       const struct index_search *search, struct err *err)
{
	if (search->count > 1)
		return err_set(err, -EINVAL, "%s has %d of %s: which one?",
			       layout->path, search->count,
			       search->name ? search->name : "them");
	if (!search->found)
		return err_set(err, -ENOENT, "%s in %s",
			       search->name ? search->name : "an artifact",
			       layout->path);
	return 0;
}

static int index_manifest(const struct layout *layout, const char *item,
			  struct layout_blob *manifest, struct err *err)
{
	auto_free char *kind = json_get_text(item, "mediaType");

	if (!kind || strcmp(kind, LAYOUT_MANIFEST) != 0)
		return index_wrong(layout,
				   kind && strcmp(kind, INDEX_KIND) == 0
					   ? "an index within an index is "
					     "not taken"
					   : "what is named is no manifest",
				   err);
	return layout_blob_read(item, "the manifest", manifest, err);
}

int index_find(const struct layout *layout, const char *name,
	       struct layout_blob *manifest, struct err *err)
{
	auto_buf struct buf text = { 0 };
	struct index_search search = { .name = name };
	const char *list;
	int rc = index_read(layout, &text, &list, err);

	if (rc > 0)
		rc = index_each(layout, list, index_look, &search, err);
	if (rc >= 0)
		rc = index_found(layout, &search, err);
	if (rc >= 0)
		rc = index_manifest(layout, search.found, manifest, err);
	free(search.found);
	return rc;
}

/* ---- writing ------------------------------------------------------------------ */

struct index_change {
	const char *name;
	const struct layout_blob *manifest;
	struct json *json;
	int kept;
	bool done;
};

static void index_put(struct index_change *change)
{
	auto_free char *digest = NULL;
	auto_buf struct buf text = { 0 };

	buf_format(&text, "sha256:%s", change->manifest->hex);
	if (text.failed)
		change->json->out->failed = true;
	digest = buf_steal(&text);
	json_open(change->json, NULL);
	json_text(change->json, "mediaType", LAYOUT_MANIFEST);
	json_text(change->json, "digest", digest);
	json_number(change->json, "size", (int64_t)change->manifest->bytes);
	json_open(change->json, "annotations");
	json_text(change->json, INDEX_NAMED, change->name);
	json_text(change->json, INDEX_NAME, change->name);
	json_close(change->json);
	json_close(change->json);
}

/* In the place of what had the name. */
static int index_keep(const char *item, void *context, struct err *err)
{
	struct index_change *change = context;

	(void)err;
	if (!index_has_name(item, change->name)) {
		json_value(change->json, NULL, item);
		change->kept++;
	} else if (!change->done)
		index_put(change);
	change->done = change->done || index_has_name(item, change->name);
	return 0;
}

static void index_keep_annotations(struct json *json, const char *text)
{
	size_t len;
	const char *value = json_get_value(text, "annotations", &len);
	auto_free char *own = value ? strndup(value, len) : NULL;

	if (own)
		json_value(json, "annotations", own);
}

int index_set(const struct layout *layout, const char *name,
	      const struct layout_blob *manifest, struct err *err)
{
	auto_buf struct buf text = { 0 };
	auto_buf struct buf out = { 0 };
	struct json json;
	struct index_change change = { .name = name,
				       .manifest = manifest,
				       .json = &json };
	const char *list;
	int rc = index_read(layout, &text, &list, err);

	if (rc < 0)
		return rc;
	json_start(&json, &out);
	json_open(&json, NULL);
	json_number(&json, "schemaVersion", 2);
	json_text(&json, "mediaType", INDEX_KIND);
	json_list_open(&json, "manifests");
	if (list)
		rc = index_each(layout, list, index_keep, &change, err);
	if (rc < 0)
		return rc;
	if (change.kept >= INDEX_ENTRIES_MOST)
		return index_wrong(layout, "too many manifests", err);
	if (!change.done)
		index_put(&change);
	json_list_close(&json);
	if (list)
		index_keep_annotations(&json, buf_string(&text));
	json_close(&json);
	buf_text(&out, "\n");
	return layout_publish(layout, INDEX_FILE, &out, err);
}
