/* SPDX-License-Identifier: Apache-2.0 */
/* What has a name in a layout: a manifest, with one config and its layers. */
#pragma once
#include "layout/layout.h"
#include <stdbool.h>

enum { PACKAGE_LAYERS_MOST = 128 };
struct package {
	const char *config_kind, *layer_kind; /* media types */
	const char *title; /* of the first layer, as a file; NULL */
	uint32_t layer_count;
	struct layout_blob config, layers[PACKAGE_LAYERS_MOST];
};
/* KEY=VALUE, and not one key twice. */
int package_check_annotations(const char *const *words, int count,
			      struct err *err);
/* Writes the manifest, and then the index.  All blobs are there. */
int package_set(const struct layout *layout, const char *name,
		const struct package *package, const char *const *annotations,
		int count, struct err *err);
/* The blobs, where the kinds are these.  layer_count: the most, and then how
 * many there are, at least one.  name: NULL for the only one. */
int package_find(const struct layout *layout, const char *name,
		 struct package *package, struct err *err);
