/* SPDX-License-Identifier: Apache-2.0 */
/* A tip: what a memory is made of, opened for use, and published.  The order
 * of its layers is the order in which they are applied: a later one covers
 * those before it. */
#pragma once
#include "base/err.h"
#include "image/layer.h"

struct tip {
	char name[65]; /* "": it has none */
	uint64_t ram_bytes;
	uint8_t shape[LAYER_ID], id[LAYER_ID];
	struct layer layers[LAYER_DEPTH_MOST];
	uint32_t layer_count;
	bool has_working;		    /* the last one */
	struct layer state;		    /* fd -1: none */
	struct layer disks[TIP_DISKS_MOST]; /* in an order of the machine's */
	uint32_t disk_count;
	struct tip_run *runs;
	uint32_t run_count;
	char *words; /* JSON */
};
#define TIP_EMPTY ((struct tip){ .state = { .fd = -1 } })
void tip_close(struct tip *tip);
#define auto_tip __attribute__((cleanup(tip_close)))

/* Everything it is made of is opened, leased, and was found right once. */
int tip_open(const struct images *images, const char *name, struct tip *tip,
	     struct err *err);
/* What it names. */
struct tip_ids {
	uint8_t layers[LAYER_DEPTH_MOST][LAYER_ID];
	uint8_t disks[TIP_DISKS_MOST][LAYER_ID];
	uint8_t state[LAYER_ID]; /* zeros: none */
	uint32_t layer_count, disk_count;
};
/* Without looking at its layers: name, runs and words alone are set. */
int tip_read(const struct images *images, const char *name, struct tip *tip,
	     struct tip_ids *ids, struct err *err);
/* A chain of layers that no tip names: base first. */
int tip_compose(const struct images *images, const uint8_t (*ids)[LAYER_ID],
		uint32_t count, struct tip *tip, struct err *err);
/* The same layers with one more on top, which is taken over.  When that fails
 * both are as before. */
int tip_push(struct tip *tip, struct layer *layer, struct err *err);
/* Without the last one. */
int tip_pop(struct tip *tip, struct err *err);
/* Gives it that name, in place of what had it; all of its layers and its
 * state are leased by the caller. */
int tip_publish(const struct images *images, struct tip *tip, const char *name,
		struct err *err);
/* Only as long as the name is still that of the tip with this id: what was
 * made of one that another has replaced would take the other's place. */
int tip_publish_over(const struct images *images, struct tip *tip,
		     const char *name, const uint8_t *was, struct err *err);
int tip_remove(const struct images *images, const char *name, struct err *err);

typedef int tip_visit(const char *name, void *context);
/* In the order of names; stops at a result that is not 0. */
int tip_each(const struct images *images, tip_visit *visit, void *context,
	     struct err *err);

const char *tip_check(const void *data, uint64_t len); /* its form */
