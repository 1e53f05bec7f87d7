/* SPDX-License-Identifier: Apache-2.0 */
/* What machine a memory belongs to.  A state of devices fits one shape of
 * machine only: another QEMU, another CPU model, other devices or other disks
 * would read it wrongly, or run on as something else.  So a tip holds its
 * shape in words, and a hash over it binds each of its layers. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "brood/layer_format.h"
#include <stdbool.h>
#include <stdint.h>

enum { SHAPE_DISKS_MOST = 8, SHAPE_FOLDERS_MOST = 8, SHAPE_DIGEST = 64 };

struct shape_disk {
	char *path; /* where it is; what counts is its digest */
	char digest[SHAPE_DIGEST + 1];
};
struct shape {
	uint64_t ram_bytes;
	long cpus;
	char machine[64]; /* for -M */
	char accel[8], cpu[64];
	char host_cpu[96]; /* with KVM; else "" */
	char qemu[96];	   /* its version */
	char qemu_digest[SHAPE_DIGEST + 1];
	bool network;
	struct shape_disk disk[SHAPE_DISKS_MOST];
	int disk_count;
	long folders; /* places for folders that a start is lent (lent.h) */
};
void shape_fini(struct shape *shape);
#define auto_shape __attribute__((cleanup(shape_fini)))

struct shape_wish {
	uint64_t ram_bytes; /* 0: 256 MiB */
	long cpus;	    /* 0: 1 */
	const char *accel, *cpu;
	bool network;
	const char *const *disks;
	int disk_count;
	long folders;
};
struct qemu;
/* The shape that the wish comes to here. */
int shape_make(const struct shape_wish *wish, const struct qemu *qemu,
	       struct shape *shape, struct err *err);
void shape_id(const struct shape *shape, uint8_t id[LAYER_ID]);
void shape_words(const struct shape *shape, struct json *json, const char *key);
/* text: the JSON object that shape_words wrote. */
int shape_read(const char *text, struct shape *shape, struct err *err);
/* Its disks are these files here, in their order; none: they are where they
 * were.  Whether they are the same is for shape_fits to say. */
int shape_move(struct shape *shape, const char *const *paths, int count,
	       const char *what, struct err *err);
/* Can a machine of that shape go on here?  Fails with what is different. */
int shape_fits(const struct shape *shape, const struct qemu *qemu,
	       const char *what, struct err *err);
/* Can memory of the one be that of the other?  Fails with what is different;
 * a, b: what they are of. */
int shape_same(const struct shape *one, const char *a,
	       const struct shape *other, const char *b, struct err *err);
/* A disk's name says how it is read. */
bool shape_is_qcow2(const char *path);
/* What shape_fits has found out need not be found out again by who has
 * $XDG_CACHE_HOME = folder. */
int shape_hand_on(const struct shape *shape, const struct qemu *qemu,
		  const char *folder, struct err *err);
/* SHA-256 of a file, remembered as long as it is the same, whatever its
 * name. */
int shape_digest(const char *path, char digest[SHAPE_DIGEST + 1],
		 struct err *err);
