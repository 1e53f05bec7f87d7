/* SPDX-License-Identifier: Apache-2.0 */
/* brood image: what its sub-verbs share.  Each is a function of the work,
 * which has the store open and its words counted. */
#pragma once
#include "base/args.h"
#include "base/buf.h"
#include "base/json.h"
#include "image/bundle.h"
#include "image/tip.h"
#include <stdbool.h>

enum { IMAGE_DIFFERS = 1, IMAGE_WRONG = 1, IMAGE_SHOWN = 12 };

struct image_words {
	const char *store, *svg, *oci, *name;
	struct args_list annotations;
	bool json, all, list, replace, dry, force;
};
struct image_work {
	const struct image_words *words;
	struct images images;
	bool none; /* there is no store */
	char **names;
	int name_count;
};
typedef int image_run_task(struct image_work *work); /* the exit code */
image_run_task image_ls, image_show, image_diff, image_fold, image_verify_run,
	image_export, image_import, image_export_oci, image_import_oci,
	image_rm, image_gc;

/* The file's bytes that are no holes by its own tables. */
uint64_t image_bytes(const struct layer *layer);
uint64_t image_tip_bytes(const struct tip *tip);
/* Opens a tip or tells why not: 0, or an exit code. */
int image_open(const struct image_work *work, const char *name,
	       struct tip *tip);
/* How much was carried; and what was imported, of names one a line. */
void image_carry_json(const struct bundle_counts *counts, struct json *json);
int image_carry_imported(const struct image_work *work, struct buf *names,
			 const struct bundle_counts *counts);
/* What was built is printed whole. */
int image_print(struct buf *out);

/* Which layer each part of a memory comes from. */
struct image_map {
	uint64_t cell_bytes;
	uint32_t columns, rows;
	uint8_t *cell; /* 0: zeros, else 1 + the layer */
};
int image_map_make(const struct tip *tip, uint32_t columns, uint32_t most_rows,
		   struct image_map *map);
void image_map_svg(const struct tip *tip, struct buf *out);
