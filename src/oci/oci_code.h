/* SPDX-License-Identifier: Apache-2.0 */
/* A module's code, made where the node's cache is, so that inside of the
 * container it is only mapped. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "oci/oci_kind.h"

struct oci_code {
	char *path;	/* the object's; NULL: there is no cache for it */
	int lease;	/* while it is held, nobody removes the object */
	char *ready;	/* of a domain: oci_ready.h; NULL: it boots */
	struct buf kvm; /* what KVM can do, of a domain; empty: not told */
};
/* Where the node's cache is, NULL: as everybody's. */
const char *oci_code_place(void);
/* Validates the module, and compiles it where its code is not known yet.  Of
 * a domain, whose KVM has to be there, the code is what that can run. */
int oci_code_make(struct oci_code *code, const struct oci_decision *decision,
		  struct err *err);
void oci_code_close(struct oci_code *code);
#define auto_code __attribute__((cleanup(oci_code_close)))
