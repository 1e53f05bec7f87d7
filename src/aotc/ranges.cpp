/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the loops whose accesses grow by constants, looks at the whole range
 * of each in front of the loop, and makes two of it: one in which nothing can
 * trap, and one as it was. */
#include "aotc/ranges.hpp"
#include <llvm/Analysis/ValueTracking.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <llvm/Transforms/Utils/LoopSimplify.h>
#include <llvm/Transforms/Utils/LoopUtils.h>
#include <llvm/Transforms/Utils/ScalarEvolutionExpander.h>
#include <map>

using namespace llvm;
using namespace aotc;

const Access *Ranged::access(const Value *instruction) const
{
	for (const Access &one : accesses)
		if (one.instruction == instruction)
			return &one;
	return nullptr;
}

void Ranged::set_places(function_ref<Value *(const Line &)> place) const
{
	std::map<std::pair<const SCEV *, int64_t>, Value *> known;

	for (const Access &one : accesses) {
		Value *&at = known[{ one.at.first, one.at.step }];

		if (!at)
			at = place(one.at);
		one.instruction->setOperand(
			isa<LoadInst>(one.instruction) ? 0 : 1, at);
	}
}

std::optional<int64_t> Ranged::distance(const Line &from, const Line &to) const
{
	const auto *constant = dyn_cast<SCEVConstant>(
		k.scev.getMinusSCEV(to.first, from.first));

	if (!constant || from.step != to.step ||
	    !constant->getAPInt().isSignedIntN(34))
		return std::nullopt;
	return constant->getAPInt().getSExtValue();
}

/* In front of the loop nothing may be divided that the loop would not. */
bool Ranged::is_computable(const SCEV *value) const
{
	SCEVExpander expand(k.scev, k.function.getDataLayout(), "range");

	return expand.isSafeToExpandAt(
		value, loop.getLoopPreheader()->getTerminator());
}

namespace
{

constexpr unsigned loop_most = 400; /* instructions: it will be there twice */
constexpr unsigned turns_least = 8;
constexpr unsigned cost_most = 24;	/* of the number of turns */
constexpr int64_t turns_together = 256; /* that LLVM may unroll */

/* ---- is it one ------------------------------------------------------------------ */

/* The base of memory 0, as body.c loads it. */
bool is_memory(const Known &known, const Value *value)
{
	const auto *load = dyn_cast<LoadInst>(value);
	APInt distance(64, 0);

	return load && load->hasMetadata(LLVMContext::MD_invariant_load) &&
	       load->getPointerOperand()->stripAndAccumulateConstantOffsets(
		       known.function.getDataLayout(), distance, true) ==
		       known.function.getArg(0) &&
	       distance == known.places.base_at;
}

/* What is looked at before the loop must not overflow itself. */
bool is_small(Known &k, const Line &line)
{
	ConstantRange bounds = k.scev.getSignedRange(line.first);

	return bounds.getSignedMin().isSignedIntN(60) &&
	       bounds.getSignedMax().isSignedIntN(60) && isInt<30>(line.step);
}

bool add_bundle(Ranged &of, SmallVectorImpl<Bundle> &bundles, const Line &line,
		int64_t width)
{
	for (Bundle &bundle : bundles)
		if (auto low = of.distance(bundle.line, line)) {
			bundle.low = std::min(bundle.low, *low);
			bundle.high = std::max(bundle.high, *low + width);
			return true;
		}
	if (!is_small(of.k, line))
		return false;
	bundles.push_back({ line, 0, width });
	return true;
}

/* An i32 that is so far from another one that is known already. */
const SCEV *add_base(Ranged &of, const SCEV *start)
{
	ScalarEvolution &scev = of.k.scev;
	Type *wide = Type::getInt64Ty(start->getType()->getContext());

	for (const SCEV *base : of.bases)
		if (const auto *distance = dyn_cast<SCEVConstant>(
			    scev.getMinusSCEV(start, base)))
			return scev.getAddExpr(
				scev.getZeroExtendExpr(base, wide),
				scev.getSignExtendExpr(distance, wide));
	of.bases.push_back(start);
	return scev.getZeroExtendExpr(start, wide);
}

/* An index of 32 bits that grows by a constant: as long as this line does not
 * leave them, which is looked at before the loop. */
bool widen_index(Ranged &of, const SCEV *index, Line &line)
{
	const auto *grown = dyn_cast<SCEVAddRecExpr>(index);
	const SCEVConstant *step;

	if (!grown || grown->getLoop() != &of.loop || !grown->isAffine() ||
	    !grown->getType()->isIntegerTy(32))
		return false;
	step = dyn_cast<SCEVConstant>(grown->getStepRecurrence(of.k.scev));
	if (!step)
		return false;
	line = { add_base(of, grown->getStart()),
		 step->getAPInt().getSExtValue() };
	return add_bundle(of, of.indices, line, 0);
}

/* The same number in 64 bits on a line, if it is on one. */
bool widen(Ranged &of, const SCEV *value, Line &line)
{
	ScalarEvolution &scev = of.k.scev;

	if (scev.isLoopInvariant(value, &of.loop)) {
		line = { value, 0 };
		return true;
	}
	if (const auto *extended = dyn_cast<SCEVZeroExtendExpr>(value))
		return widen_index(of, extended->getOperand(), line);
	if (const auto *grown = dyn_cast<SCEVAddRecExpr>(value)) {
		const auto *step =
			dyn_cast<SCEVConstant>(grown->getStepRecurrence(scev));

		if (grown->getLoop() != &of.loop || !grown->isAffine() ||
		    !step || !step->getAPInt().isSignedIntN(30))
			return false;
		line = { grown->getStart(), step->getAPInt().getSExtValue() };
		return true;
	}
	const auto *sum = dyn_cast<SCEVAddExpr>(value);

	if (!sum)
		return false;
	line = { scev.getZero(value->getType()), 0 };
	for (const SCEV *part : sum->operands()) {
		Line wide;

		if (!widen(of, part, wide))
			return false;
		line.first = scev.getAddExpr(line.first, wide.first);
		line.step += wide.step;
	}
	return true;
}

bool see_access(Ranged &of, Instruction &instruction)
{
	Known &k = of.k;
	Value *pointer = getLoadStorePointerOperand(&instruction);
	const SCEV *at = k.scev.getSCEV(pointer);
	const auto *base = dyn_cast<SCEVUnknown>(k.scev.getPointerBase(at));
	Access access = { &instruction, {}, 0 };

	if (!base || !is_memory(k, base->getValue()) ||
	    !of.loop.isLoopInvariant(base->getValue()) ||
	    (of.memory && of.memory != base->getValue()))
		return false;
	of.memory = base->getValue();
	access.width = (int64_t)k.function.getDataLayout()
			       .getTypeStoreSize(getLoadStoreType(&instruction))
			       .getFixedValue();
	if (!widen(of, k.scev.removePointerBase(at), access.at))
		return false;
	of.accesses.push_back(access);
	return add_bundle(of, of.ranges, access.at, access.width);
}

bool see(Ranged &of, Instruction &instruction)
{
	if (const auto *call = dyn_cast<CallBase>(&instruction))
		return isa<IntrinsicInst>(call) &&
		       call->doesNotAccessMemory() &&
		       !call->mayHaveSideEffects();
	if (const auto *load = dyn_cast<LoadInst>(&instruction))
		return load->isVolatile() ? !load->isAtomic() &&
						    see_access(of, instruction)
					  : load->isUnordered();
	if (const auto *store = dyn_cast<StoreInst>(&instruction))
		return store->isVolatile() && !store->isAtomic() &&
		       see_access(of, instruction);
	return !instruction.mayHaveSideEffects();
}

bool is_real(const Type *type)
{
	return type->getScalarType()->isFloatingPointTy();
}

bool is_of_reals(const Instruction &instruction)
{
	if (is_real(instruction.getType()) && !isa<LoadInst>(instruction))
		return true;
	return any_of(instruction.operands(),
		      [](const Use &use) { return is_real(use->getType()); }) &&
	       !isa<StoreInst>(instruction);
}

/* May one turn load what it, or one not far from it, has stored?  Further ones
 * are not looked at together. */
bool is_near(const Ranged &of, const Access &store, const Access &load)
{
	auto distance = of.distance(store.at, load.at);

	return distance && std::abs(*distance) <=
				   std::abs(load.at.step) * turns_together + 64;
}

/* A load of what was stored as the same type of float tells LLVM nothing. */
bool is_told(const Access &store, const Access &load)
{
	const Type *type = load.instruction->getType();

	return is_real(type) && !type->isVectorTy() &&
	       type == getLoadStoreType(store.instruction);
}

/* Arithmetic on what is stored and loaded as another kind of number, or that
 * is promoted and demoted on the way: LLVM would know what it must not
 * (body.c). */
bool knows_reals(const Ranged &of)
{
	bool has_reals = false, has_demotion = false;

	for (BasicBlock *block : of.loop.blocks())
		for (Instruction &instruction : *block) {
			has_reals |= is_of_reals(instruction);
			has_demotion |= isa<FPTruncInst>(instruction);
		}
	if (!has_reals)
		return false;
	for (const Access &store : of.accesses)
		for (const Access &load : of.accesses)
			if (isa<StoreInst>(store.instruction) &&
			    isa<LoadInst>(load.instruction) &&
			    (has_demotion || !is_told(store, load)) &&
			    is_near(of, store, load))
				return true;
	return false;
}

bool is_counted(Ranged &of)
{
	ScalarEvolution &scev = of.k.scev;
	unsigned most = scev.getSmallConstantMaxTripCount(&of.loop);

	if (!of.loop.getExitingBlock() || !of.loop.getUniqueExitBlock() ||
	    of.loop.getExitingBlock() != of.loop.getLoopLatch() ||
	    !isa<BranchInst>(of.loop.getLoopLatch()->getTerminator()) ||
	    (most && most < turns_least))
		return false;
	of.turns = scev.getBackedgeTakenCount(&of.loop);
	return !isa<SCEVCouldNotCompute>(of.turns) &&
	       of.turns->getType()->getIntegerBitWidth() <= 64;
}

bool is_all_computable(const Ranged &of)
{
	return of.is_computable(of.turns) &&
	       all_of(of.accesses,
		      [&](const Access &access) {
			      return of.is_computable(access.at.first);
		      }) &&
	       all_of(of.indices, [&](const Bundle &bundle) {
		       return of.is_computable(bundle.line.first);
	       });
}

bool find(Ranged &of)
{
	unsigned count = 0;

	if (!is_counted(of))
		return false;
	for (BasicBlock *block : of.loop.blocks())
		for (Instruction &instruction : *block)
			if (++count > loop_most || !see(of, instruction))
				return false;
	return !of.accesses.empty() && !knows_reals(of) &&
	       is_all_computable(of);
}

/* ---- the check -------------------------------------------------------------------- */

struct Check {
	Ranged &of;
	SCEVExpander expand;
	IRBuilder<> build;
	Value *all = nullptr;

	Check(Ranged &ranged, BasicBlock &before)
	    : of(ranged),
	      expand(ranged.k.scev, ranged.k.function.getDataLayout(), "range"),
	      build(before.getTerminator())
	{
	}
	Value *value(const SCEV *of_scev)
	{
		return expand.expandCodeFor(of_scev, of_scev->getType(),
					    &*build.GetInsertPoint());
	}
	void add(Value *one)
	{
		all = all ? build.CreateAnd(all, one) : one;
	}
};

/* From the first turn to the last one all is between "low" and "high".  Turns
 * have 32 bits, steps 30. */
void check_bundle(Check &check, const Bundle &bundle, Value *most)
{
	IRBuilder<> &build = check.build;
	Value *first = check.value(bundle.line.first);
	Value *step = build.getInt64((uint64_t)bundle.line.step);
	Value *last = build.CreateAdd(
		first, build.CreateMul(check.of.turns_value, step));
	Value *low = bundle.line.step < 0 ? last : first;
	Value *high = bundle.line.step < 0 ? first : last;

	low = build.CreateAdd(low, build.getInt64((uint64_t)bundle.low));
	high = build.CreateAdd(high, build.getInt64((uint64_t)bundle.high));
	check.add(build.CreateICmpSGE(low, build.getInt64(0)));
	check.add(build.CreateICmpSLE(high, most));
}

Value *memory_bytes(const Ranged &of, IRBuilder<> &build)
{
	LLVMContext &context = of.k.function.getContext();
	Type *pointer = PointerType::get(context, 0);
	Value *at = build.CreateConstGEP1_64(build.getInt8Ty(),
					     of.k.function.getArg(0),
					     of.k.places.memories_at);
	LoadInst *all = build.CreateLoad(pointer, at);
	LoadInst *first = build.CreateLoad(pointer, all);

	for (LoadInst *load : { all, first })
		load->setMetadata(LLVMContext::MD_invariant_load,
				  MDNode::get(context, {}));
	at = build.CreateConstGEP1_64(build.getInt8Ty(), first,
				      of.k.places.bytes_at);
	return build.CreateLoad(build.getInt64Ty(), at);
}

void check_all(Check &check)
{
	Ranged &of = check.of;
	IRBuilder<> &build = check.build;
	Value *word_most = build.getInt64(UINT32_MAX);
	Value *bytes = memory_bytes(of, build);

	of.turns_value =
		build.CreateZExt(check.value(of.turns), build.getInt64Ty());
	if (of.turns->getType()->getIntegerBitWidth() > 32)
		check.add(build.CreateICmpULE(of.turns_value, word_most));
	for (const Bundle &bundle : of.indices)
		check_bundle(check, bundle, word_most);
	for (const Bundle &bundle : of.ranges)
		check_bundle(check, bundle, bytes);
}

/* ---- the two loops ------------------------------------------------------------------ */

/* By addresses that do not wrap. */
void make_plain(Ranged &of)
{
	SCEVExpander expand(of.k.scev, of.k.function.getDataLayout(), "range");
	BasicBlock *header = of.loop.getHeader();

	of.set_places([&](const Line &line) {
		Instruction *before = &*header->getFirstInsertionPt();
		IRBuilder<> build(before);
		const SCEV *step = of.k.scev.getConstant(
			build.getInt64Ty(), (uint64_t)line.step, true);
		const SCEV *at =
			line.step ? of.k.scev.getAddRecExpr(line.first, step,
							    &of.loop,
							    SCEV::FlagNSW)
				  : line.first;

		return build.CreateInBoundsGEP(
			build.getInt8Ty(), of.memory,
			expand.expandCodeFor(at, build.getInt64Ty(), before));
	});
}

void make_unordered(Ranged &of)
{
	for (const Access &access : of.accesses)
		if (auto *load = dyn_cast<LoadInst>(access.instruction))
			load->setVolatile(false);
		else
			cast<StoreInst>(access.instruction)->setVolatile(false);
}

/* The loop as it was, for all that the check refuses. */
void make_slow(Ranged &of, BasicBlock *check, Value *is_within)
{
	Known &k = of.k;
	BasicBlock *exit = of.loop.getUniqueExitBlock();
	BasicBlock *before = SplitBlock(check, check->getTerminator(), &k.tree,
					&k.loops, nullptr, "within");
	SmallVector<BasicBlock *, 8> blocks;
	ValueToValueMapTy map;
	Loop *slow = cloneLoopWithPreheader(before, check, &of.loop, map,
					    ".slow", &k.loops, &k.tree, blocks);
	MDBuilder weights(k.function.getContext());

	remapInstructionsInBlocks(blocks, map);
	ReplaceInstWithInst(check->getTerminator(),
			    BranchInst::Create(before, slow->getLoopPreheader(),
					       is_within));
	check->getTerminator()->setMetadata(
		LLVMContext::MD_prof, weights.createBranchWeights(1 << 20, 1));
	for (PHINode &phi : exit->phis()) {
		Value *value =
			phi.getIncomingValueForBlock(of.loop.getExitingBlock());
		auto copy = map.find(value);

		phi.addIncoming(copy == map.end() ? value : &*copy->second,
				slow->getExitingBlock());
	}
	k.tree.changeImmediateDominator(exit, check);
	addStringMetadataToLoop(slow, "llvm.loop.unroll.disable");
	formDedicatedExitBlocks(&of.loop, &k.tree, &k.loops, nullptr, true);
	formDedicatedExitBlocks(slow, &k.tree, &k.loops, nullptr, true);
}

void split(Ranged &of)
{
	BasicBlock *before = of.loop.getLoopPreheader();
	Check check(of, *before);

	if (check.expand.isHighCostExpansion(of.turns, &of.loop, cost_most,
					     &of.k.target,
					     before->getTerminator()))
		return;
	check_all(check);
	make_slow(of, before, check.all);
	make_unordered(of);
	if (!reroll(of))
		make_plain(of);
	of.k.scev.forgetAllLoops();
}

/* A number of 32 bits that LLVM has made 64 wide, and masks where it matters,
 * often but for bits that are zero anyway; then it does not see any more what
 * it is.  Returns it, or null. */
Value *find_narrow(Known &k, Value *value)
{
	auto *masked = dyn_cast<BinaryOperator>(value);
	ConstantInt *mask;

	if (!masked || masked->getOpcode() != Instruction::And ||
	    !masked->getType()->isIntegerTy(64))
		return nullptr;
	mask = dyn_cast<ConstantInt>(masked->getOperand(1));
	if (!mask || mask->getZExtValue() > UINT32_MAX)
		return nullptr;
	KnownBits bits = computeKnownBits(masked->getOperand(0),
					  k.function.getDataLayout());
	uint64_t needed = ~bits.Zero.getZExtValue() & UINT32_MAX;

	return needed & ~mask->getZExtValue() ? nullptr : masked->getOperand(0);
}

void narrow_compared(Known &k, ICmpInst &compared)
{
	auto *with = dyn_cast<ConstantInt>(compared.getOperand(1));
	Value *narrow = find_narrow(k, compared.getOperand(0));
	Type *word = Type::getInt32Ty(compared.getContext());

	if (!narrow || !with || !compared.isEquality() ||
	    with->getZExtValue() > UINT32_MAX)
		return;
	IRBuilder<> build(&compared);

	compared.replaceAllUsesWith(build.CreateICmp(
		compared.getPredicate(), build.CreateTrunc(narrow, word),
		ConstantInt::get(word, with->getZExtValue())));
}

void narrow_all(Known &k, Loop &loop)
{
	for (BasicBlock *block : loop.blocks())
		for (Instruction &one : *block)
			if (auto *compared = dyn_cast<ICmpInst>(&one))
				narrow_compared(k, *compared);
			else if (find_narrow(k, &one))
				one.setOperand(1,
					       ConstantInt::get(one.getType(),
								UINT32_MAX));
	k.scev.forgetLoop(&loop);
}

void ranges_loop(Known &known, Loop &loop)
{
	Ranged ranged = { known, loop };

	simplifyLoop(&loop, &known.tree, &known.loops, &known.scev,
		     &known.assumed, nullptr, false);
	if (!loop.isLoopSimplifyForm())
		return;
	formLCSSARecursively(loop, known.tree, &known.loops, &known.scev);
	narrow_all(known, loop);
	if (find(ranged))
		split(ranged);
}

} // namespace

void aotc::find_ranges(Known &known)
{
	SmallVector<Loop *, 8> innermost;

	for (Loop *loop : known.loops.getLoopsInPreorder())
		if (loop->isInnermost())
			innermost.push_back(loop);
	for (Loop *loop : innermost)
		ranges_loop(known, *loop);
}
