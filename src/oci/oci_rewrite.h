/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's config.json for a module: its process becomes our starter, which
 * runs the module, and what that needs is mounted.  All walls stay as they
 * were written.
 *
 *	PLACE/brood	the starter, static, read-only
 *	PLACE/code	the module's compiled code, read-only
 *	PLACE/kvm	of a domain: what KVM can do on this machine
 *	PLACE/ready	of a domain: the module's instance, read-only
 *	PLACE/tip	of a warm tip, which has no module and no code beside
 *			it: all that it is made of, read-only
 *
 * PLACE is /dev/.brood where the bundle mounts a tmpfs on /dev, as engines
 * do, so that nothing is made in the root file system; else /.brood, for
 * which the runtime makes a folder there. */
#pragma once
#include "oci/oci_bundle.h"
#include <stdbool.h>

struct shape;
struct qemu;
struct oci_start {
	const char *module;  /* its path inside; of a tip, its name */
	const char *starter; /* "brood", outside */
	const char *code;    /* the object, outside; NULL: none */
	const char *kvm;     /* what KVM can do, outside; NULL: it is tried */
	const char *ready;   /* the instance, outside; NULL: it boots */
	const char *tip;     /* the tip's folder, outside; NULL: it is none */
	/* Of a machine's: with the disks' paths outside, and what runs it. */
	const struct shape *shape;
	const struct qemu *qemu;
	/* Of a tip: the folders that its program has, each name with a 0 behind
	 * it. */
	const struct buf *folders;
	const char *place; /* PLACE */
	bool in_domain;
	const char *const *option; /* more words for the starter */
	int options;
};
const char *oci_place(const char *config);
/* The starter's words, up to where the program's arguments begin. */
enum { OCI_FOLDERS_MOST = 64, OCI_OPTIONS_MOST = 32 };
struct oci_starter {
	const char *word[20 + OCI_OPTIONS_MOST + 2 * OCI_FOLDERS_MOST];
	int count;
	char *own[5];
	char *folder[OCI_FOLDERS_MOST];
	int folder_count;
};
int oci_starter_words(const struct oci_start *start,
		      struct oci_starter *starter, struct err *err);
void oci_starter_fini(struct oci_starter *starter);
#define auto_starter __attribute__((cleanup(oci_starter_fini)))
/* These words come in the place of the first one at "path", a list. */
int oci_rewrite_words(struct buf *json, const char *path,
		      const char *const *word, int count, struct err *err);
/* The process at "path" ("process", "" where it stands alone) starts the
 * module; behind its first word, its words stay. */
int oci_rewrite_process(struct buf *json, const char *path,
			const struct oci_start *start, struct err *err);
/* One bind mount more, read-only: of source, as PLACE/name. */
int oci_rewrite_bind(struct buf *text, const char *source, const char *place,
		     const char *name, struct err *err);
/* Is it a variable of the name that "variable", NAME or NAME=VALUE, has? */
bool oci_is_variable(const char *text, const char *variable);
/* These take the place of all of their names in the environment of the process
 * at "path". */
int oci_rewrite_variables(struct buf *json, const char *path,
			  char *const *variable, struct err *err);
/* /dev/kvm.  Which user the process is does not matter: the device is for all
 * in the container. */
int oci_rewrite_kvm(struct buf *text, struct err *err);
/* What is told by where config.json lies is told by whole paths. */
int oci_rewrite_paths(struct oci_bundle *bundle, struct err *err);
/* bundle->text becomes the config.json of a bundle anywhere. */
int oci_rewrite(struct oci_bundle *bundle, const struct oci_start *start,
		struct err *err);
