/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests of OCI. */
#include "layout/package.h"
#include "base/fd.h"
#include "base/json.h"
#include "layout/index.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- annotations --------------------------------------------------------------- */

/* The bytes behind the first one of a character of UTF-8; -1: none begins
 * so. */
static int package_more(unsigned char c)
{
	if (c < 0x80)
		return c < 0x20 || c == 0x7f ? -1 : 0;
	if (c < 0xc2 || c > 0xf4)
		return -1;
	return c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
}

/* Surrogates, and what is longer than it has to be, or beyond Unicode. */
static bool package_is_wrong(unsigned char c, unsigned char next)
{
	return (c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) ||
	       (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f);
}

static bool package_is_text(const char *text)
{
	const unsigned char *at = (const void *)text;

	while (*at) {
		int more = package_more(*at);

		if (more < 0 || (more && package_is_wrong(at[0], at[1])))
			return false;
		for (at++; more > 0; more--, at++)
			if ((*at & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static bool package_is_twice(const char *const *words, int i)
{
	size_t len = strcspn(words[i], "=") + 1;

	for (int j = 0; j < i; j++)
		if (strncmp(words[i], words[j], len) == 0)
			return true;
	return false;
}

int package_check_annotations(const char *const *words, int count,
			      struct err *err)
{
	for (int i = 0; i < count; i++) {
		if (*words[i] == '=' || !strchr(words[i], '=') ||
		    !package_is_text(words[i]))
			return err_set(err, -EINVAL,
				       "annotation %.60s: KEY=VALUE is wanted",
				       words[i]);
		if (package_is_twice(words, i))
			return err_set(err, -EINVAL,
				       "annotation %.60s: its key is there "
				       "twice",
				       words[i]);
	}
	return 0;
}

static void package_annotations(struct json *json, const char *const *words,
				int count)
{
	if (!count)
		return;
	json_open(json, "annotations");
	for (int i = 0; i < count; i++) {
		size_t len = strcspn(words[i], "=");
		auto_free char *key = strndup(words[i], len);

		if (key)
			json_text(json, key, words[i] + len + 1);
		else
			json->out->failed = true;
	}
	json_close(json);
}

/* ---- writing ------------------------------------------------------------------- */

static void package_blob(struct json *json, const char *key, const char *kind,
			 const struct layout_blob *blob)
{
	char digest[sizeof "sha256:" + LAYOUT_HEX] = "sha256:";

	json_open(json, key);
	json_text(json, "mediaType", kind);
	json_text(json, "digest", strcat(digest, blob->hex));
	json_number(json, "size", (int64_t)blob->bytes);
}

static void package_layers(struct json *json, const struct package *package)
{
	json_list_open(json, "layers");
	for (uint32_t i = 0; i < package->layer_count; i++) {
		package_blob(json, NULL, package->layer_kind,
			     &package->layers[i]);
		if (i == 0 && package->title) {
			json_open(json, "annotations");
			json_text(json, "org.opencontainers.image.title",
				  package->title);
			json_close(json);
		}
		json_close(json);
	}
	json_list_close(json);
}

int package_set(const struct layout *layout, const char *name,
		const struct package *package, const char *const *annotations,
		int count, struct err *err)
{
	auto_buf struct buf out = { 0 };
	struct layout_blob manifest;
	struct json json;
	int rc;

	json_start(&json, &out);
	json_open(&json, NULL);
	json_number(&json, "schemaVersion", 2);
	json_text(&json, "mediaType", LAYOUT_MANIFEST);
	package_blob(&json, "config", package->config_kind, &package->config);
	json_close(&json);
	package_layers(&json, package);
	package_annotations(&json, annotations, count);
	json_close(&json);
	if (out.failed)
		return err_set(err, -ENOMEM, "write the manifest of %s", name);
	if (out.len > LAYOUT_JSON_MOST)
		return err_set(err, -EFBIG, "write the manifest of %s", name);
	rc = layout_put(layout, out.data, out.len, &manifest, err);
	return rc < 0 ? rc : index_set(layout, name, &manifest, err);
}

/* ---- reading ------------------------------------------------------------------- */

/* text: of a descriptor; NULL is none. */
static int package_blob_read(const char *text, const char *kind,
			     const char *what, struct layout_blob *blob,
			     struct err *err)
{
	auto_free char *own = text ? json_get_text(text, "mediaType") : NULL;

	if (!own || strcmp(own, kind) != 0)
		return err_set(err, -EINVAL, "%s is no %s", what, kind);
	return layout_blob_read(text, what, blob, err);
}

static char *package_part(const char *text, const char *path)
{
	size_t len;
	const char *at = json_get_value(text, path, &len);

	return at ? strndup(at, len) : NULL;
}

static int package_read_layers(const char *text, struct package *package,
			       struct err *err)
{
	size_t len;
	const char *list = json_get_value(text, "layers", &len);
	const char *at = list ? json_first(list, &len) : NULL;
	uint32_t count = 0;
	int rc = 0;

	for (; rc >= 0 && at; at = json_next(at, &len)) {
		auto_free char *layer = strndup(at, len);

		if (count == package->layer_count)
			return err_set(err, -EINVAL,
				       "the manifest has layers more");
		rc = package_blob_read(layer, package->layer_kind, "its layer",
				       &package->layers[count++], err);
	}
	package->layer_count = count;
	return rc < 0 || count ? rc
			       : err_set(err, -EINVAL, "its layer is no %s",
					 package->layer_kind);
}

static int package_read(const char *text, struct package *package,
			struct err *err)
{
	auto_free char *kind = json_get_text(text, "mediaType");
	auto_free char *config = package_part(text, "config");
	int rc;

	if (json_get_number(text, "schemaVersion", 0) != 2 ||
	    (kind && strcmp(kind, LAYOUT_MANIFEST) != 0))
		return err_set(err, -EINVAL, "the manifest is none of OCI");
	rc = package_blob_read(config, package->config_kind, "its config",
			       &package->config, err);
	return rc < 0 ? rc : package_read_layers(text, package, err);
}

int package_find(const struct layout *layout, const char *name,
		 struct package *package, struct err *err)
{
	auto_buf struct buf text = { 0 };
	struct layout_blob manifest;
	int rc = index_find(layout, name, &manifest, err);

	if (rc >= 0)
		rc = layout_get(layout, &manifest, "the manifest",
				LAYOUT_JSON_MOST, &text, err);
	if (rc >= 0)
		rc = layout_check_json(&text, "the manifest", err);
	return rc < 0 ? rc : package_read(buf_string(&text), package, err);
}
