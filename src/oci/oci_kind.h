/* SPDX-License-Identifier: Apache-2.0 */
/* What a bundle is: by the file that its process begins with, and by what its
 * annotations say.
 *
 *	brood.kind		module, domain, machine, program or app
 *	brood.app		NAME or NAME/ENTRY: an application of this
 *				node (oci_app.h), whatever the file is
 *	brood.isolation		process or domain, for a module
 *	brood.tip		the name of a domain's warm tip, that the node
 *				has, or with kind machine of a machine's;
 *				whatever the process is
 *	module.wasm.image/variant	compat: a module, as other runtimes are
 *				told; compat-smart: it may be one
 *
 * These are not read where io.kubernetes.cri.container-type, or
 * io.kubernetes.cri-o.ContainerType, is sandbox: that is no container of a
 * user's, and an ordinary one.
 *
 * Without annotations a module is known by its first bytes.  All else, and a
 * "program", is an ordinary container. */
#pragma once
#include "oci/oci_bundle.h"
#include <stdbool.h>

enum oci_kind {
	OCI_ORDINARY,
	OCI_MODULE,
	OCI_DOMAIN,
	OCI_TIP,
	OCI_APP,
	OCI_MACHINE
};

/* A virtual machine: it needs KVM. */
static inline bool oci_kind_is_domain(enum oci_kind kind)
{
	return kind == OCI_DOMAIN || kind == OCI_TIP;
}

struct oci_decision {
	enum oci_kind kind;
	int module; /* opened for reading, -1: none */
	char *name; /* its absolute path inside; of a tip, its name */
	char *app;  /* of OCI_APP: NAME or NAME/ENTRY, as it was told */
	bool wants_domain, wants_process; /* of OCI_APP, as it was told */
};
int oci_decide(const struct oci_bundle *bundle, struct oci_decision *decision,
	       struct err *err);
void oci_decision_close(struct oci_decision *decision);
#define auto_decision __attribute__((cleanup(oci_decision_close)))

/* The annotations alone, for what is in them and for tests. */
struct oci_wish {
	bool is_told; /* a kind is */
	enum oci_kind kind;
	bool is_domain, is_process; /* as the isolation says */
	char *app;		    /* NULL: none is named */
};
int oci_wish_read(const struct oci_bundle *bundle, struct oci_wish *wish,
		  struct err *err);
void oci_wish_fini(struct oci_wish *wish);
#define auto_wish __attribute__((cleanup(oci_wish_fini)))
