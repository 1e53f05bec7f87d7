/* SPDX-License-Identifier: Apache-2.0 */
/* A domain's warm tip, that this user has kept (brood run --save), in a folder
 * of its own where the node's cache is, for containers that go on from it.
 *
 *	tip/NAME.ID	a folder of images (image/images.h) with this tip alone:
 *			its layers, its state and its code, which are links to
 *			the files of the user's own, or copies where those are
 *			in another file system; ID is the tip's
 *	tip/.new	one that is being made, or removed
 *	tip/.lock	held while there is a .new
 *
 *  1. A folder appears whole and goes whole, by rename under the lock.  What is
 *     kept anew under the name has another ID, and another folder.
 *  2. The tip is looked at outside, at each create, as "brood run --from" does;
 *     inside it is believed.
 *  3. A container has no other tip's folder, and its own stays where the tip
 *     is removed.  Those that nobody uses go (oci_kept.h). */
#pragma once
#include "base/buf.h"
#include "machine/qemu.h"
#include "machine/shape.h"
#include "oci/oci_bundle.h"

struct oci_tip {
	char *folder;
	struct buf kvm;	    /* what KVM can do; empty: not told */
	struct buf folders; /* that it was granted, each with a 0 behind it */
	/* Of a machine: what it is, with the disks that it goes on from, and
	 * what runs it. */
	struct shape shape;
	struct qemu qemu;
};
/* -ENOENT: there is none of the name; -EINVAL: it is none that this container
 * can go on from, with the reason. */
int oci_tip_make(struct oci_tip *tip, const struct oci_bundle *bundle,
		 const char *name, struct err *err);
/* The same of a machine's.  In its folder is "known", too: what was found out
 * here about QEMU and the disks (base/memo.h). */
int oci_tip_make_machine(struct oci_tip *tip, const char *name,
			 struct err *err);
void oci_tip_close(struct oci_tip *tip);
