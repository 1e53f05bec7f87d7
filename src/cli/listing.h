/* SPDX-License-Identifier: Apache-2.0 */
/* How each template stands, gathered for ps, top and serve: the spec, the
 * lock and what the keeper says. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "launch/registry.h"
#include <stdbool.h>
#include <stdint.h>

struct listing_row {
	char *key, *name, *program; /* name: NULL when keyed by program */
	char *state;  /* "serving", "image only", "refused", "cold" ... */
	char *reason; /* why something is not there, "" */
	char *socket; /* of the serving copy, NULL: none */
	bool kept, clone, hatch;
	int64_t generation, launches, live, waiting, draining, pid, keeper;
	/* listing_weigh: KiB */
	int64_t template_kib, copies, copies_private_kib, copies_shared_kib;
	/* Of what is served in domains: */
	bool is_domain, is_shared; /* one VM for all launches */
	char *isolation, *walls;   /* "kvm" or "process"; names of walls */
	int64_t vms, workers, resets, discarded, workers_lost;
};
struct listing {
	struct listing_row *row;
	int count, room;
};
int listing_read(struct listing *listing, struct err *err);
int listing_read_row(const struct registry_place *place,
		     struct listing_row *row, struct err *err);
void listing_row_fini(struct listing_row *row);
void listing_fini(struct listing *listing);
#define auto_listing __attribute__((cleanup(listing_fini)))
#define auto_row     __attribute__((cleanup(listing_row_fini)))
/* "clone and hatch", "clone", "hatch", "no way"; "domain (kvm)" */
const char *listing_ways(const struct listing_row *row);
/* Fills the memory of a template and of its living copies. */
void listing_weigh(struct listing_row *row);
void listing_json(const struct listing *listing, bool memory, struct buf *out);
void listing_row_json(const struct listing_row *row, bool memory,
		      struct json *json, const char *key);
