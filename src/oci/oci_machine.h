/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's config.json for a machine's tip: its process is "brood machine
 * exec", which begins a machine there and has the agent run the bundle's words
 * in it.  QEMU and what it is linked with are the host's.
 *
 *	PLACE/brood	and brood-shim.so, read-only
 *	PLACE/tip	the tip's folder (oci_tip.h), read-only
 *	PLACE/disk0 ..	its disks (.qcow2), the node's own files, read-only
 *	PLACE/run	a tmpfs of the process's user: the machine's folder
 *	/usr, /lib ..	the host's, read-only, over those of the root
 *
 * Where the tip has places for folders, those that the bundle binds are in the
 * machine, too, by the same names.
 */
#pragma once
#include "machine/shape.h"
#include "oci/oci_rewrite.h"

/* "brood machine exec" in the container, up to the command's first word, whose
 * place they take. */
enum {
	OCI_MACHINE_WORDS = 26 + 2 * (SHAPE_DISKS_MOST + SHAPE_FOLDERS_MOST),
	OCI_MACHINE_OWN = 5 + SHAPE_DISKS_MOST + SHAPE_FOLDERS_MOST
};
struct oci_machine_words {
	const char *word[OCI_MACHINE_WORDS];
	int count;
	char *own[OCI_MACHINE_OWN];
	int own_count;
	long folders;
	bool is_there; /* in one of them the command begins */
	bool failed;
};
void oci_machine_words_fini(struct oci_machine_words *words);
#define auto_machine_words __attribute__((cleanup(oci_machine_words_fini)))

int oci_machine_rewrite(struct oci_bundle *bundle,
			const struct oci_start *start, struct err *err);
/* One command more in the machine that lives there.  process: its JSON, where it
 * is told by that and not by the container's own. */
int oci_machine_join(struct oci_machine_words *words, const char *place,
		     const char *first, struct buf *process, struct err *err);
