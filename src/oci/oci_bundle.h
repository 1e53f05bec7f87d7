/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle as an engine has made it: config.json and what is asked of it.
 * Whoever wrote the image has had a hand in it: it is checked whole, and a
 * text with a 0 in it is refused. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { OCI_CONFIG_MOST = 10 << 20 };

struct oci_bundle {
	char *path;	 /* the folder, absolute */
	char *root;	 /* the root file system's, absolute */
	struct buf text; /* of config.json */
};
int oci_bundle_open(struct oci_bundle *bundle, const char *path,
		    struct err *err);
void oci_bundle_close(struct oci_bundle *bundle);
#define auto_bundle __attribute__((cleanup(oci_bundle_close)))

/* A file with one JSON object. */
int oci_json_read(const char *path, struct buf *text, struct err *err);
/* Texts in checked JSON: malloced, or NULL where there is none.  "path" is
 * json_get_value's. */
int oci_text(const char *json, const char *path, char **text, struct err *err);
int oci_annotation(const struct oci_bundle *bundle, const char *name,
		   char **text, struct err *err);
/* What a process of OCI's form is to run, at "path" ("process", or "" where
 * it stands alone). */
struct oci_process {
	char *program; /* args[0], NULL: none */
	char *cwd;     /* "/" where none is told */
	char *search;  /* of its PATH; NULL: it has none */
};
int oci_process_read(const char *json, const char *path,
		     struct oci_process *process, struct err *err);
void oci_process_fini(struct oci_process *process);
#define auto_process __attribute__((cleanup(oci_process_fini)))
