/* SPDX-License-Identifier: Apache-2.0 */
/* A tip's memory as a source: read from the layers' files, so that a disk
 * that fails is an error and no signal, and nothing of the size of the memory
 * is mapped. */
#pragma once
#include "image/tip.h"

/* Of a tip that stays open. */
struct source source_of_tip(const struct tip *tip);
/* Where it can be anything but zero. */
int source_ranges(const struct tip *tip, struct ranges *ranges);
