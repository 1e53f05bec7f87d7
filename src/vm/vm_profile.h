/* SPDX-License-Identifier: Apache-2.0 */
/* The profile of a VM's compiled code, for src/vm. */
#pragma once
#include "brood/profile_format.h"
#include "jit/jit.h"
#include "vm/vm.h"
#include <sys/types.h>

enum { VM_PROFILE_FIRST_MS = 20 };

struct vm_profile;
/* NULL without memory. */
struct vm_profile *vm_profile_open(const struct vm_options *options);
void vm_profile_close(struct vm_profile *profile);
/* Before an instance runs by this code; it stays until the profile goes. */
void vm_profile_add(struct vm_profile *profile, const struct jit_code *code,
		    struct cache_object *object);
/* This thread, which is in vm_enter, is to run the VM's code now. */
void vm_profile_begin(struct vm_profile *profile, pid_t thread);
