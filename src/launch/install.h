/* SPDX-License-Identifier: Apache-2.0 */
/* Where the other products of Brood lie, seen from the running program. */
#pragma once
#include "base/err.h"

/* "brood", "brood-shim.so", "brood-hatch": near the running program, or where
 * BROOD_SHIM_PATH says (a folder, or the file itself).  Malloced; NULL with
 * an err that names what was tried. */
char *install_find(const char *name, struct err *err);
/* Near any program: beside it (a build folder) or where an installation has
 * the parts, one in bin and the rest in lib/brood.  Malloced, or NULL. */
char *install_find_near(const char *program, const char *name);
