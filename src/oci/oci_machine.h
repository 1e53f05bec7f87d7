/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's config.json for a machine's tip: its process is "brood machine
 * exec", which begins a machine there and has the agent run the bundle's words
 * in it.  QEMU and what it is linked with are the host's.
 *
 *	PLACE/brood	and brood-shim.so, read-only
 *	PLACE/tip	the tip's folder (oci_tip.h), read-only
 *	PLACE/disk0 ..	its disks, the node's own files, read-only
 *	PLACE/run	a tmpfs of the process's user: the machine's folder
 *	/usr, /lib ..	the host's, read-only, over those of the root
 */
#pragma once
#include "oci/oci_rewrite.h"

int oci_machine_rewrite(struct oci_bundle *bundle,
			const struct oci_start *start, struct err *err);
