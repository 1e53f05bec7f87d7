/* SPDX-License-Identifier: Apache-2.0 */
/* What will be in an image: a set of names, each with where its data comes
 * from.  Names are those of the machine, without a / in front; bin, sbin,
 * lib and lib64 are links into usr, as most systems have it now, and names
 * under them become names under usr.
 *
 * A name that is given twice is what it was given as last; folders above a
 * name need not be given. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>
#include <sys/types.h>

struct image_node {
	char *name;
	mode_t mode; /* kind and rights */
	dev_t device;
	char *source; /* a file here, or NULL: "data" has it */
	struct buf data;
	uint32_t order; /* 0: a folder that is there for what is in it */
};

struct image_tree {
	struct image_node *node;
	size_t count, room;
	uint32_t order;
};

void image_tree_fini(struct image_tree *tree);
/* The name that a path here has in the machine, malloced; NULL with -EINVAL
 * for ".." and names that are too long. */
char *image_tree_name(const char *path, struct err *err);
/* path: as for image_tree_name. */
int image_tree_folder(struct image_tree *tree, const char *path, mode_t rights,
		      struct err *err);
int image_tree_file(struct image_tree *tree, const char *path, mode_t rights,
		    const char *source, struct err *err);
int image_tree_data(struct image_tree *tree, const char *path, mode_t rights,
		    const void *data, size_t len, struct err *err);
int image_tree_link(struct image_tree *tree, const char *path,
		    const char *target, struct err *err);
int image_tree_node(struct image_tree *tree, const char *path, mode_t mode,
		    dev_t device, struct err *err);
/* Sorts, adds folders, drops what was given again: folders come before what
 * is in them.  -EINVAL when something lies in what is no folder. */
int image_tree_close(struct image_tree *tree, struct err *err);
