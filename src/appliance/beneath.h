/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in a payload, for who looks at it from outside, with more rights
 * than it may have: links are followed within it, and none leads out of it,
 * nor does one that begins with "/", which means another file in a container
 * than here.  Nothing but files and folders is opened. */
#pragma once
#include "base/err.h"

int beneath_root(const char *root, struct err *err); /* for those below */
/* The descriptor of a file, for reading. */
int beneath_open(int root, const char *path, struct err *err);
/* *real: where that folder is, below the root and without links, malloced: who
 * mounts it needs to know no more of links.  -errno: it is none.  The root
 * itself is none, either. */
int beneath_folder(int root, const char *path, char **real);
