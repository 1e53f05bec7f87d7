/* SPDX-License-Identifier: Apache-2.0 */
/* A module's instance, kept for domains where the node's cache is, so that a
 * container maps it and boots, decodes and links nothing.
 *
 *	ready/KEY	a folder of images (domain/ready.h) with this module
 *			alone, for what is of another is not its business; KEY
 *			is its code's
 *
 *  1. No guest's code runs for it: a module that has a start function is none
 *     of these, for it would run outside of all walls that its bundle has.
 *  2. Such a folder is made, used and removed as one; its time is that of its
 *     last use.  A container whose folder goes meanwhile boots. */
#pragma once
#include "domain/ground.h"
#include "vm/vm.h"

/* The folder, as it is mounted, readable for all: malloced; NULL: there is
 * none, and domains boot.  "code" is the path of the module's object, "place"
 * the cache's folder. */
char *oci_ready_make(struct vm *vm, struct wasm_module *module,
		     struct ground *ground, const char *place,
		     const char *code);
