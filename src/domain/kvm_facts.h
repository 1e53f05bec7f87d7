/* SPDX-License-Identifier: Apache-2.0 */
/* What KVM can do here.  The first time after a boot it is tried
 * (kvm_selftest.h), in a few milliseconds; then a memo (base/memo.h) knows. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct kvm_facts {
	bool usable;	  /* a domain's walls are as they have to be */
	char why[120];	  /* if not */
	int code;	  /* and kvm_open's code, if it was that */
	bool bell_port;	  /* ring 3 reaches us by "out" to its one port, */
	bool bell_store;  /* by a store to where there is no memory */
	bool needs_cpuid; /* for the features: kvm_use_cpuid */
	bool native_ring0;
	uint32_t features; /* of enum code_feature: right, kept */
	uint32_t vm_ns, cpu_ns, first_ns; /* made, and its first run */
	uint32_t port_ns, store_ns;	  /* there and back, by either bell */
	uint32_t page_ns;		  /* a page of memory, new to all */
	uint32_t ring0_ns;		  /* an instruction in ring 0 */
};

/* As remembered, or tried now.  Never fails: what cannot be tried is not
 * usable. */
void kvm_facts_find(struct kvm_facts *facts);
/* The same where a file tells them, made of kvm_facts_text by somebody who is
 * believed.  What does not fit this machine is not used. */
void kvm_facts_find_told(struct kvm_facts *facts, const char *path);
/* false where they cannot be told of this machine alone. */
struct buf;
bool kvm_facts_text(const struct kvm_facts *facts, struct buf *text);
