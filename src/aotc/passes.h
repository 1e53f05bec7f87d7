/* SPDX-License-Identifier: Apache-2.0 */
/* LLVM's passes in their order, with ours in front of its vectoriser: loops
 * whose accesses are all seen to be within the memory before the first of
 * them.  These cannot trap, so they need no order, and LLVM may do several
 * turns at once.
 *
 *	passes.cpp	the order
 *	ranges.cpp	such a loop, and the check
 *	reroll.cpp	one turn of it of several that were written out
 *
 * In C++, the only language in which LLVM tells what it knows of loops. */
#pragma once
#include <llvm-c/Error.h>
#include <llvm-c/TargetMachine.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a context says what memory 0 is. */
struct aotc_places {
	uint64_t base_at;     /* in the context: where the memory begins */
	uint64_t memories_at; /* in the context: pointers to all memories, */
	uint64_t bytes_at;    /* and in one its size */
};

/* "places" NULL: accesses of memory 0 do not fault by themselves.  Checked:
 * LLVM looks at the unit after each pass. */
LLVMErrorRef aotc_passes(LLVMModuleRef unit, LLVMTargetMachineRef machine,
			 const char *passes, const struct aotc_places *places,
			 bool is_checked);

#ifdef __cplusplus
}
#endif
