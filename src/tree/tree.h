/* SPDX-License-Identifier: Apache-2.0 */
/* What will be in a file system: a set of names, each with where its data
 * comes from.  Names are those that they will have there, without a / in
 * front.  With "usr_links" bin, sbin, lib and lib64 are links into usr, as
 * most systems have it now, and names under them become names under usr.
 *
 * A name that is given twice is what it was given as last; folders above a
 * name need not be given. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct tree_node {
	char *name;
	mode_t mode; /* kind and rights */
	dev_t device;
	struct timespec mtime; /* 0 where none was told */
	char *source;	       /* a file here, or NULL: "data" has it */
	struct buf data;
	uint32_t order; /* 0: a folder that is there for what is in it */
};

struct tree {
	bool usr_links; /* set before anything is added */
	struct tree_node *node;
	size_t count, room;
	uint32_t order;
	/* of the root, which is no node; 0755 where it was not given */
	mode_t root_mode;
	struct timespec root_mtime;
};

void tree_fini(struct tree *tree);
/* The name that a path here has in the tree, malloced; NULL with -EINVAL
 * for ".." and names that are too long. */
char *tree_name(const struct tree *tree, const char *path, struct err *err);
/* path: as for tree_name. */
int tree_folder(struct tree *tree, const char *path, mode_t rights,
		struct err *err);
int tree_file(struct tree *tree, const char *path, mode_t rights,
	      const char *source, struct err *err);
int tree_data(struct tree *tree, const char *path, mode_t rights,
	      const void *data, size_t len, struct err *err);
int tree_link(struct tree *tree, const char *path, const char *target,
	      struct err *err);
int tree_node(struct tree *tree, const char *path, mode_t mode, dev_t device,
	      struct err *err);
/* Of what was added last. */
void tree_set_mtime(struct tree *tree, struct timespec mtime);
/* A folder of this system with all that is in it, as "to"; links are kept as
 * they are.  -EINVAL names a device, a fifo or a socket.  What else files
 * have (capabilities, lists of rights) is not kept: notes, which may be
 * NULL, gets a line when there is such a thing. */
int tree_add_folder(struct tree *tree, const char *path, const char *to,
		    struct buf *notes, struct err *err);
/* Sorts, adds folders, drops what was given again: folders come before what
 * is in them.  -EINVAL when something lies in what is no folder. */
int tree_close(struct tree *tree, struct err *err);
/* A node of a tree that is closed, or NULL. */
const struct tree_node *tree_find(const struct tree *tree, const char *name,
				  size_t len);
