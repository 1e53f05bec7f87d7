/* SPDX-License-Identifier: Apache-2.0 */
/* A tip's memory, seen at an address. */
#pragma once
#include "base/err.h"
#include "image/tip.h"

enum view_mode {
	VIEW_MAP,  /* private pages of the layers' files, copied when written */
	VIEW_COPY, /* all of it is read into memory of its own */
};
struct view {
	uint8_t *at;
	uint64_t bytes;
};
int view_open(const struct tip *tip, enum view_mode mode, struct view *view,
	      struct err *err);
void view_close(struct view *view);
#define auto_view __attribute__((cleanup(view_close)))
/* The mappings of one run at an address that is reserved: for those who map
 * a tip elsewhere. */
int view_map_run(const struct tip *tip, const struct tip_run *run, uint8_t *at,
		 int protection, struct err *err);
