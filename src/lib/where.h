/* SPDX-License-Identifier: Apache-2.0 */
/* Where the parts of Brood lie: the program "brood", the starter
 * "brood-hatch" and the shim "brood-shim.so".  They are one set: a build
 * folder has them side by side, an installed one has the program in bin and
 * the rest in lib/brood.  Nothing has to be configured for either. */
#pragma once
#include "base/err.h"

/* The file's path (malloced), or NULL and an err that tells where it was
 * looked for: where launch/install.h looks, around the "brood" in PATH, and
 * in the folders of an install.  The latter two are for programs that use
 * the library and lie anywhere. */
char *where_is(const char *tool, struct err *err);

/* The optimiser's compiler, "brood-aotc": what BROOD_AOTC names, else where
 * the others are. */
char *where_is_compiler(struct err *err);
