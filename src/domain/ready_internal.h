/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of "ready" share. */
#pragma once
#include "domain/ready.h"

/* ready_sweep.c: after one more was kept */
void ready_sweep(const struct images *images);
