/* SPDX-License-Identifier: Apache-2.0 */
/* brood wasm export: a module becomes an image that engines run with
 * brood-oci: its config names it as what is started, its one layer has it. */
#include "cli/wasm_oci.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "layout/index.h"
#include "layout/package.h"
#include "layout/tar.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT_CONFIG "application/vnd.oci.image.config.v1+json"
#define EXPORT_LAYER  "application/vnd.oci.image.layer.v1.tar"

/* The file's name without what tells its form; "module" where that is no
 * plain word. */
static char *wasm_oci_stem(const char *file)
{
	const char *base = file_base(file);
	size_t len = strlen(base);
	auto_free char *stem = NULL;

	if (len > 5 && strcmp(base + len - 5, ".wasm") == 0)
		len -= 5;
	else if (len > 4 && strcmp(base + len - 4, ".wat") == 0)
		len -= 4;
	stem = strndup(base, len);
	if (stem && len + strlen(".wasm") <= TAR_NAME_MOST &&
	    index_is_name(stem))
		return steal_ptr(&stem);
	return strdup("module");
}

/* amd64 and linux: engines take an image of their own platform, and what
 * Brood compiles the module to is just that. */
static int wasm_oci_config(const char *entry, const struct layout_blob *layer,
			   struct buf *out, struct err *err)
{
	auto_free char *path = file_format("/%s", entry);
	auto_free char *digest = file_format("sha256:%s", layer->hex);
	struct json json;

	if (!path || !digest)
		return err_set(err, -ENOMEM, "write a config");
	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "architecture", "amd64");
	json_text(&json, "os", "linux");
	json_open(&json, "config");
	json_list_open(&json, "Entrypoint");
	json_text(&json, NULL, path);
	json_list_close(&json);
	json_close(&json);
	json_open(&json, "rootfs");
	json_text(&json, "type", "layers");
	json_list_open(&json, "diff_ids");
	json_text(&json, NULL, digest);
	json_list_close(&json);
	json_close(&json);
	json_close(&json);
	return out->failed ? err_set(err, -ENOMEM, "write a config") : 0;
}

static int wasm_oci_blobs(const struct layout *layout, const char *entry,
			  const struct buf *module, struct package *package,
			  struct err *err)
{
	auto_buf struct buf tar = { 0 };
	auto_buf struct buf config = { 0 };
	int rc = tar_one(entry, module->data, module->len, &tar, err);

	if (rc >= 0)
		rc = layout_put(layout, tar.data, tar.len, &package->layers[0],
				err);
	if (rc >= 0)
		rc = wasm_oci_config(entry, &package->layers[0], &config, err);
	if (rc >= 0)
		rc = layout_put(layout, config.data, config.len,
				&package->config, err);
	return rc;
}

static int wasm_oci_image(const struct wasm_oci *wish, const char *name,
			  const char *entry, const struct buf *module,
			  struct err *err)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct package package = { .config_kind = EXPORT_CONFIG,
				   .layer_kind = EXPORT_LAYER,
				   .layer_count = 1 };
	int rc = layout_make(wish->layout, &layout, err);

	if (rc >= 0)
		rc = wasm_oci_blobs(&layout, entry, module, &package, err);
	if (rc >= 0)
		rc = package_set(&layout, name, &package,
				 wish->annotations->item,
				 wish->annotations->count, err);
	return rc;
}

int wasm_oci_export(const struct wasm_oci *wish, const struct buf *module)
{
	auto_free char *stem = wasm_oci_stem(wish->file);
	auto_free char *entry = stem ? file_format("%s.wasm", stem) : NULL;
	auto_free char *own =
		stem ? file_format("localhost/%s:latest", stem) : NULL;
	const char *name = wish->name ? wish->name : own;
	auto_free char *told = NULL;
	struct err err = { 0 };

	if (!entry || !own)
		return CLI_SYSTEM;
	if (!index_is_name(name))
		return cli_wrong("--name %s: such as localhost/hello:1", name);
	if (package_check_annotations(wish->annotations->item,
				      wish->annotations->count, &err) < 0)
		return cli_wrong("%s", err.text);
	if (wasm_oci_image(wish, name, entry, module, &err) < 0)
		return cli_fail(&err, NULL);
	told = file_format("oci:%s:%s\n", wish->layout, name);
	return told ? cli_print(told) : CLI_SYSTEM;
}
