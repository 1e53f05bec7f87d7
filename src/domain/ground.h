/* SPDX-License-Identifier: Apache-2.0 */
/* What domains stand on: KVM, as the self-test found it, or this process
 * where there is none.  Opened once a process. */
#pragma once
#include "domain/kvm.h"
#include "domain/kvm_selftest.h"

struct ground {
	bool has_kvm;
	struct kvm kvm;
	struct kvm_facts facts;
	char why[252];	   /* there is no KVM */
	uint32_t features; /* of enum code_feature that domains have */
	bool bell_is_store;
	bool has_counts; /* the CPU's count of time is the kernel's clock */
};
/* require_kvm: fails where there is none, with what to do about it. */
int ground_open(struct ground *ground, bool require_kvm, struct err *err);
/* What KVM can do is told by that file (kvm_facts.h); NULL: by none. */
int ground_open_told(struct ground *ground, bool require_kvm, const char *facts,
		     struct err *err);
void ground_close(struct ground *ground);
