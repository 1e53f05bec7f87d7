/* SPDX-License-Identifier: Apache-2.0 */
/* Some KVMs run ring 3 at full speed and emulate ring 0 instruction by
 * instruction, some lose one way to trap or another, some know no vector
 * registers before they are told of them: a guest of our own
 * (kvm_selftest.S) tries all that a domain relies on. */
#pragma once
#include "base/err.h"
#include "domain/kvm_facts.h"
#include <stdbool.h>
#include <stdint.h>

/* Tries, in a child of its own that is killed when it takes too long.  0 when
 * the outcome is worth being remembered, usable or not; else what kept it
 * from being tried, or -ETIME. */
int kvm_selftest_run(struct kvm_facts *facts, struct err *err);
/* The same with CPUID set, or without, whatever is better. */
int kvm_selftest_run_with(bool cpuid, struct kvm_facts *facts, struct err *err);
uint64_t kvm_selftest_hash(void); /* of the guest */
