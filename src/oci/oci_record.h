/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a container of ours, in the folder ROOT.brood beside the
 * runtime's own ROOT, where it looks for nothing:
 *
 *	ID/config.json	the rewritten one: ID is the bundle that the runtime
 *			is given
 *	ID/kvm		of a domain: what KVM can do (domain/kvm_facts.h)
 *	ID/settings/	of an application: its settings (oci_app.h)
 *	ID/record	one JSON object: the engine's bundle, and which
 *			runtime has the container
 *	.draft		an ID that is being written or removed
 *	.lock		held while there is a .draft
 *
 *  1. An ID appears whole, by rename, and goes whole, by rename: killed at
 *     any point there is an ID or there is none.
 *  2. Under the lock nobody else has a .draft: one that is there was left by
 *     who was killed, and is removed first.
 *  3. Who makes a container has its ID's folder locked until the runtime is
 *     done.  An ID that is not locked, and whose container the runtime does
 *     not know, was left by who was killed: a new one takes its place.
 *
 * Nothing is synced: no container outlives the machine's power, and what that
 * tears is an ID whose container nobody knows.  The container itself is the
 * runtime's matter. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "oci/oci_words.h"
#include <stdbool.h>

struct oci_file {
	char *name;
	struct buf text;
};
struct oci_files {
	struct oci_file *item;
	size_t count;
};
void oci_files_fini(struct oci_files *files);

struct oci_record {
	char *bundle;  /* the engine's */
	char *runtime; /* that has the container */
	char *module;  /* inside */
	char *place;   /* of the starter, inside */
	bool in_domain, has_code, has_kvm, has_ready, is_machine;
	bool has_no_starter;		  /* a program is in it, no module */
	const struct oci_files *settings; /* to be published; NULL: none */
};
void oci_record_fini(struct oci_record *record);
#define auto_record_oci __attribute__((cleanup(oci_record_fini)))

/* ROOT, as runc chooses it where it is not told: malloced, or NULL. */
char *oci_record_root(const struct oci_words *words);
/* ROOT.brood: malloced; NULL and err. */
char *oci_record_folder(const struct oci_words *words, struct err *err);
/* ROOT.brood/ID */
char *oci_record_path(const struct oci_words *words, struct err *err);
/* 1, or 0: it is none of ours. */
int oci_record_read(const struct oci_words *words, struct oci_record *record,
		    struct err *err);
/* -EEXIST where the ID is there.  *lock holds it. */
int oci_record_publish(const struct oci_words *words,
		       const struct oci_record *record,
		       const struct buf *config, const struct buf *kvm,
		       int *lock, struct err *err);
/* Nobody is making it: *lock holds it.  -EWOULDBLOCK: somebody is. */
int oci_record_lock(const struct oci_words *words, int *lock, struct err *err);
/* And what others have left.  It needs not be there. */
int oci_record_remove(const struct oci_words *words, struct err *err);
