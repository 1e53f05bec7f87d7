/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that are kept beside the node's code, one for each thing that was made
 * for containers: what nobody uses goes.  A folder's time is that of its last
 * use. */
#pragma once
#include <stdbool.h>

/* Of those in "parent" that is_one knows by their names: what was not used for
 * long, and the oldest of very many. */
void oci_kept_sweep(const char *parent, bool (*is_one)(const char *name),
		    void (*remove)(const char *path));
void oci_kept_use(const char *path);
