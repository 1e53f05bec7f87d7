/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules into an image: found by the lists that depmod wrote, with
 * those that they need, uncompressed, in the order in which they have to be
 * loaded. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "tree/tree.h"

struct image_modules {
	char release[65]; /* of the kernel: "6.1.0-56-cloud-amd64" */
	char *folder;	  /* of its modules, NULL while none was wanted */
	struct buf list;  /* their files in the machine, a line each */
	int count;
	struct buf dep, builtin; /* the lists */
};

void image_modules_fini(struct image_modules *modules);
/* kernel: its file (bzImage); NULL: the newest in /boot.  Needed before any
 * module. */
int image_modules_open(struct image_modules *modules, const char *kernel,
		       struct err *err);
bool image_modules_has(const struct image_modules *modules, const char *name);
int image_modules_add(struct image_modules *modules, struct tree *tree,
		      const char *name, struct err *err);
/* The release that a bzImage says it is; -EINVAL for what is none. */
int image_modules_release(const char *kernel, char release[65],
			  struct err *err);
