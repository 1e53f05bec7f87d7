/* SPDX-License-Identifier: Apache-2.0 */
/* What a hypervisor's memory is put together from.  It lies in a memfd that
 * who starts the hypervisor makes and passes on, with the files that are to
 * be mapped; BROOD_RAM is the memfd's number.  The shim in the hypervisor
 * takes the place of the one mapping of the marker file, and writes here how
 * it went.
 *
 *	struct ram_plan
 *	struct tip_run runs[run_count]	layer: which of the files */
#pragma once
#include "brood/layer_format.h"
#include <stdint.h>

#define RAM_PLAN_VARIABLE "BROOD_RAM"
#define RAM_PLAN_MAGIC	  UINT64_C(0x4e414c504d415242) /* "BRAMPLAN" */
enum { RAM_PLAN_VERSION = 2, RAM_PLAN_FILES = LAYER_DEPTH_MOST };

enum ram_plan_mode {
	RAM_MAP,  /* private mappings of the files */
	RAM_COPY, /* memory of its own that they are read into */
	RAM_FILE, /* the marker itself, for daemons that have it too; zeros */
};
enum ram_plan_state {
	RAM_WAITING,
	RAM_COMPOSED,
	RAM_FAILED, /* the hypervisor ends */
};

struct ram_plan {
	uint64_t magic;
	uint32_t version, mode;
	uint64_t ram_bytes;
	uint64_t marker_dev, marker_ino; /* of the file that is replaced */
	uint32_t file_count, run_count;
	int32_t files[RAM_PLAN_FILES]; /* descriptors */
	/* written by the shim */
	uint32_t state; /* last of all */
	int32_t error;	/* negative errno */
	uint32_t failed_run;
	int32_t pid;
	uint64_t at; /* address of the memory */
	uint64_t took_ns;
	uint32_t mappings, reserved;
};
_Static_assert(sizeof(struct ram_plan) == 344, "shared with the shim");
