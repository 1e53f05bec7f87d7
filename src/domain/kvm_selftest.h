/* SPDX-License-Identifier: Apache-2.0 */
/* What can KVM do here?  Some run ring 3 at full speed and emulate ring 0
 * instruction by instruction, some lose one way to trap or another, some do
 * not know vector registers before they are told of them: a guest of our own
 * (kvm_selftest.S) tries all that a domain relies on, once a boot, in a few
 * milliseconds; then $XDG_CACHE_HOME/brood/kvm knows. */
#pragma once
#include "base/err.h"
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
	uint32_t features; /* of enum code_feature: right, and kept */
	uint32_t vm_ns, cpu_ns, first_ns; /* made, and its first run */
	uint32_t port_ns, store_ns;	  /* there and back, by either bell */
	uint32_t page_ns;  /* a page of memory that is new to all */
	uint32_t ring0_ns; /* an instruction in ring 0 */
};

/* As remembered, or tried now.  Never fails: what cannot be tried is not
 * usable. */
void kvm_facts_find(struct kvm_facts *facts);

/* Tries, in a child of its own that is killed when it takes too long.  0 when
 * the outcome is worth being remembered, usable or not; else what kept it
 * from being tried, or -ETIME. */
int kvm_selftest_run(struct kvm_facts *facts, struct err *err);
/* The same for tests, and only with CPUID set or only without. */
int kvm_selftest_run_with(bool cpuid, struct kvm_facts *facts, struct err *err);
