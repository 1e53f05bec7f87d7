/* SPDX-License-Identifier: Apache-2.0 */
/* The index of a layout: index.json, which gives manifests their names
 * (annotation org.opencontainers.image.ref.name).  What others wrote there
 * stays as it is. */
#pragma once
#include "layout/layout.h"
#include <stdbool.h>

enum { INDEX_ENTRIES_MOST = 1024, INDEX_NAME_MOST = 255 };
#define LAYOUT_MANIFEST "application/vnd.oci.image.manifest.v1+json"

/* As image-spec has them: words of letters and digits, with one of -._:@+ or
 * / between two. */
bool index_is_name(const char *name);
/* What had the name before has it no more. */
int index_set(const struct layout *layout, const char *name,
	      const struct layout_blob *manifest, struct err *err);
/* name: NULL for the one that there is.  -ENOENT. */
int index_find(const struct layout *layout, const char *name,
	       struct layout_blob *manifest, struct err *err);
