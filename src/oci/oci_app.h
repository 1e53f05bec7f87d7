/* SPDX-License-Identifier: Apache-2.0 */
/* An application that root has installed on this node (appliance/context.h),
 * for a container whose annotation brood.app names it.  What its start path
 * does up to the program is done here, outside of the container: the share's
 * version, its lock, the payload verified and mounted once for the node, or
 * what the node has alone when the share fails.
 *
 *	PLACE/app		the payload, read-only
 *	PLACE/settings		the node's, in which the container's places
 *				stand for the node's
 *	PLACE/data/NAME		what it may write: a tmpfs, where the bundle
 *				mounts nothing there
 *	/usr, /lib64, ...	the payload's folders, read-only, for children
 *				of a program, which look for them there: where
 *				the container has no system of its own
 *
 *  1. Nothing of the bundle but that name is believed, and that only names
 *     what the context has: a wrong one changes no state of the node.
 *  2. Who takes away what is not used leaves the payload at its place until the
 *     runtime is done with "create", for its folder is held open; from then on
 *     the container has a mount of its own, and who takes the node's away takes
 *     nothing from it.  A start that finds the payload's file changed mounts it
 *     anew (appliance/site.h): a container that is made meanwhile has the one,
 *     the other, or an empty folder, in which its program is not found. */
#pragma once
#include "appliance/context.h"
#include "appliance/load.h"
#include "appliance/need.h"
#include "oci/oci_kind.h"
#include "oci/oci_record.h"
#include "oci/oci_rewrite.h"

struct oci_app {
	struct context context;
	struct loaded loaded;
	char *name;			  /* of the entry */
	const struct record_entry *entry; /* of the record that was loaded */
	struct need need;
	int hold;
	struct oci_files settings;
	const struct oci_words *words;
};
#define OCI_APP_NONE { .hold = -1 }
/* The decision becomes that of the entry's kind: of a module its file is
 * opened. */
int oci_app_obtain(struct oci_app *app, struct oci_decision *decision,
		   const struct oci_words *words, const char *place,
		   struct err *err);
void oci_app_close(struct oci_app *app);
/* bundle->text becomes the config.json of a bundle anywhere, whose own folder
 * will be "folder".  start: of a module. */
int oci_app_rewrite(struct oci_bundle *bundle, const struct oci_app *app,
		    const struct oci_start *start, const char *folder,
		    struct err *err);
