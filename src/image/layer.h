/* SPDX-License-Identifier: Apache-2.0 */
/* One layer: opened when all of it holds, and written.  The format and its
 * words are in brood/layer_format.h. */
#pragma once
#include "base/err.h"
#include "brood/layer_format.h"
#include "image/images.h"
#include "image/pages.h"
#include <stdint.h>

struct layer {
	int fd; /* leased */
	char hex[STORE_HEX + 1];
	struct layer_header head;
	const struct layer_extent *extents;
	void *table; /* the mapping that they are in */
	uint64_t table_bytes;
};
#define LAYER_NONE ((struct layer){ .fd = -1 })

/* Trusted, leased, and right: in form each time, wholly when this user meets
 * its file for the first time. */
int layer_open(const struct images *images, const uint8_t id[LAYER_ID],
	       struct layer *layer, struct err *err);
void layer_close(struct layer *layer);
/* The same for a file that has no name yet, all of whose bytes are looked at
 * as the layer "id".  -EBADMSG and why, or another failure. */
int layer_check_draft(int fd, const uint8_t id[LAYER_ID], const char **why);
/* All of its bytes are looked at, whether it was seen or not. */
int layer_verify(const struct images *images, const char *hex, struct err *err);
/* Is the header, of a file of so many bytes, one whose parts can be looked
 * for?  NULL: yes; else why not. */
const char *layer_check_header(const struct layer_header *head,
			       uint64_t file_bytes);
const char *layer_check_extents(const struct layer_header *head,
				const struct layer_extent *extents);
bool layer_is_id(const uint8_t id[LAYER_ID]); /* not all zero */
const char *layer_kind_name(uint32_t kind);   /* "?": there is none such */

/* A layer's making. */
struct layer_plan {
	enum layer_kind kind;
	uint64_t ram_bytes;
	const uint8_t *parent; /* NULL: none */
	const uint8_t *shape;
	const struct layer_region *regions;
	uint32_t region_count;
	uint32_t flags; /* of all extents */
};
/* Writes what "pages" tells, taken from "source", and publishes it.  *layer
 * is then open, leased, and seen to be right. */
int layer_write(const struct images *images, const struct layer_plan *plan,
		const struct pages *pages, const struct source *source,
		struct layer *layer, struct err *err);
/* Data of a hypervisor's, from the begin of fd on. */
int layer_write_state(const struct images *images, const uint8_t *shape, int fd,
		      struct layer *layer, struct err *err);
/* What a machine wrote over a disk. */
int layer_write_disk(const struct images *images, const uint8_t *shape, int fd,
		     struct layer *layer, struct err *err);
/* A draft that was written and found right gets its name; *layer is then
 * open, leased, and seen to be right.  What has the name stays if it is
 * right, and is replaced if it is not. */
int layer_publish(const struct images *images, struct store_draft *draft,
		  const uint8_t id[LAYER_ID], struct layer *layer,
		  struct err *err);
