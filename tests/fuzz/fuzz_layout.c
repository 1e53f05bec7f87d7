/* SPDX-License-Identifier: Apache-2.0 */
/* A layout of a stranger: its index, and a manifest that the index names as
 * it is.  The first half of the input is one, the rest the other. */
#include "base/fd.h"
#include "base/file.h"
#include "layout/index.h"
#include "layout/package.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sync costs nothing there. */
static char dir[] = "/dev/shm/brood-fuzz-layout-XXXXXX";
static struct layout layout;

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void clean_up(void)
{
	layout_close(&layout);
	file_remove_tree(dir, NULL);
}

static void begin(void)
{
	struct buf none = { 0 };

	must(mkdtemp(dir) && layout_make(dir, &layout, NULL) >= 0);
	buf_text(&none, "{}");
	must(layout_publish(&layout, "index.json", &none, NULL) >= 0);
	buf_fini(&none);
	atexit(clean_up);
}

static void put_index(const void *data, size_t len)
{
	auto_free char *path = file_join(dir, "index.json");

	must(path && file_replace(path, data, len, 0600, NULL) >= 0);
}

static void look(const char *name)
{
	struct package package = { .config_kind = "c",
				   .layer_kind = "l",
				   .layer_count = 1 };
	struct err err = { 0 };

	if (package_find(&layout, name, &package, &err) < 0) {
		must(err.text[0] && err.code < 0);
		return;
	}
	must(strlen(package.config.hex) == LAYOUT_HEX);
	must(strlen(package.layers[0].hex) == LAYOUT_HEX);
	must(strspn(package.layers[0].hex, "0123456789abcdef") == LAYOUT_HEX);
}

/* What is added to an index that can be read can be found. */
static void look_added(const struct layout_blob *blob)
{
	struct layout_blob found;

	if (index_set(&layout, "n", blob, NULL) >= 0)
		must(index_find(&layout, "n", &found, NULL) >= 0 &&
		     strcmp(found.hex, blob->hex) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *path = NULL;
	struct layout_blob blob;

	if (!layout.path)
		begin();
	must(layout_put(&layout, data + size / 2, size - size / 2, &blob,
			NULL) >= 0);
	put_index(data, size / 2);
	look(NULL);
	look("n");
	put_index("{\"schemaVersion\":2,\"manifests\":[]}", 34);
	must(index_set(&layout, "n", &blob, NULL) >= 0);
	look("n");
	put_index(data, size / 2);
	look_added(&blob);
	path = file_format("%s/blobs/sha256/%s", dir, blob.hex);
	unlink(path);
	return 0;
}
