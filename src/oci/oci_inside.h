/* SPDX-License-Identifier: Apache-2.0 */
/* What a container's process would find under a name: the kernel resolves it
 * as if the folder were the root, so that no link and no ".." leads out. */
#pragma once
#include "base/err.h"
#include "oci/oci_bundle.h"
#include <stdbool.h>

/* The regular file that the process would execute, opened for reading.  *name
 * is its absolute path inside (malloced).  -ENOENT: there is none; bind mounts
 * of the bundle are looked into where json is not NULL. */
int oci_inside_open(int root, const char *json,
		    const struct oci_process *process, char **name,
		    struct err *err);
/* Will the process find a folder there, as far as that can be told before the
 * runtime has mounted what the bundle names? */
bool oci_inside_has_folder(int root, const char *json,
			   const struct oci_process *process, const char *name);
/* Does the bundle mount anything there, or below it?  The runtime makes folders
 * for what it mounts. */
bool oci_inside_is_above_mount(const char *json, const char *path);
/* Does it begin as a module does, with "\0asm"? */
int oci_inside_is_module(int fd);
