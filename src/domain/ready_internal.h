/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of "ready" share. */
#pragma once
#include "domain/ready.h"

/* ready_sweep.c: of an open folder */
int ready_sweep_images(const struct images *images,
		       const struct ready_sweep *options);
