/* SPDX-License-Identifier: Apache-2.0 */
/* Many objects as one: functions in the module's order, and all constants in
 * one block. */
#pragma once
#include "aot/aot.h"

/* Fills in the link of the objects that "made" has, and orders them.  Each
 * has functions that no other one has, nor any between its own. */
int aot_join(struct aot_made *made, struct err *err);
