/* SPDX-License-Identifier: Apache-2.0 */
/* Between ranges.cpp and reroll.cpp. */
#pragma once
#include "aotc/passes.h"
#include <llvm/Analysis/AssumptionCache.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/Analysis/ScalarEvolutionExpressions.h>
#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>

namespace aotc
{

/* What a function has. */
struct Known {
	const aotc_places &places;
	llvm::Function &function;
	llvm::LoopInfo &loops;
	llvm::DominatorTree &tree;
	llvm::ScalarEvolution &scev;
	llvm::AssumptionCache &assumed;
	const llvm::TargetTransformInfo &target;
};

/* A number of 64 bits that grows by a constant with each turn. */
struct Line {
	const llvm::SCEV *first = nullptr;
	int64_t step = 0;
};

/* An access, and how far it is from the memory's begin. */
struct Access {
	llvm::Instruction *instruction;
	Line at;
	int64_t width; /* bytes */
};

/* Lines that only differ in a constant: "line" is one of them, and the others
 * are between so much below and above it. */
struct Bundle {
	Line line;
	int64_t low, high;
};

/* A loop whose accesses of memory 0 are all on such lines. */
struct Ranged {
	Known &k;
	llvm::Loop &loop;
	llvm::Value *memory = nullptr;
	const llvm::SCEV *turns = nullptr;  /* less one */
	llvm::Value *turns_value = nullptr; /* in 64 bits, in front of it */
	llvm::SmallVector<Access, 8> accesses = {};
	llvm::SmallVector<const llvm::SCEV *, 4> bases = {}; /* of indices */
	llvm::SmallVector<Bundle, 8> indices = {};	     /* below 2^32 */
	llvm::SmallVector<Bundle, 8> ranges = {}; /* below the memory's size */

	const Access *access(const llvm::Value *instruction) const;
	/* Each access goes to where "place" says, once for each line: LLVM tells
	 * what is the same place by the value. */
	void
	set_places(llvm::function_ref<llvm::Value *(const Line &)> place) const;
	/* In front of the loop, without a trap. */
	bool is_computable(const llvm::SCEV *value) const;
	/* From one to the other, where that is the same in each turn. */
	std::optional<int64_t> distance(const Line &from, const Line &to) const;
};

/* All innermost loops that can be. */
void find_ranges(Known &known);

/* Does a loop of one block do one thing several times in a turn?  Then it is
 * done once, and the turns are more.  All that it accesses is within. */
bool reroll(Ranged &ranged);

} // namespace aotc
