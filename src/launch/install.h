/* SPDX-License-Identifier: Apache-2.0 */
/* Where the other products of Brood lie, seen from the running program. */
#pragma once
#include "base/err.h"

/* "brood-shim.so", "brood-hatch": beside the running program (a build
 * folder), in ../lib/brood of it (an installation), or where BROOD_SHIM_PATH
 * says (a folder, or the file itself).  Malloced; NULL with an err that
 * names what was tried. */
char *install_find(const char *name, struct err *err);
