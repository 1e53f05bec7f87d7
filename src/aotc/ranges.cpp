/* SPDX-License-Identifier: Apache-2.0 */
#include "aotc/ranges.h"
#include <llvm/Analysis/AssumptionCache.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/Analysis/ScalarEvolutionExpressions.h>
#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Passes/StandardInstrumentations.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <llvm/Transforms/Utils/LoopSimplify.h>
#include <llvm/Transforms/Utils/LoopUtils.h>
#include <llvm/Transforms/Utils/ScalarEvolutionExpander.h>

using namespace llvm;

namespace
{

constexpr unsigned loop_most = 200; /* instructions: it will be there twice */
constexpr unsigned turns_least = 4;
constexpr unsigned cost_most = 24; /* of the number of turns */

/* What a function has. */
struct Known {
	const aotc_ranges &places;
	Function &function;
	LoopInfo &loops;
	DominatorTree &tree;
	ScalarEvolution &scev;
	AssumptionCache &assumed;
	const TargetTransformInfo &target;
};

/* An access; "at" is how far from the memory's begin in each turn, in 64
 * bits. */
struct Access {
	Instruction *instruction;
	const SCEV *at;
	uint64_t width;
};

/* An index of 32 bits that must not wrap. */
struct Index {
	const SCEV *first; /* in 64 bits */
	int64_t step;
};

/* Accesses that only differ in a constant. */
struct Range {
	const SCEV *first; /* of one of them, in 64 bits */
	int64_t step;
	int64_t low, high; /* from it: the lowest byte, and behind the last */
};

/* ---- what is where ----------------------------------------------------------- */

bool is_at(const Value *pointer, const Value *base, uint64_t offset)
{
	const DataLayout &layout =
		cast<Argument>(base)->getParent()->getDataLayout();
	APInt distance(64, 0);

	return pointer->stripAndAccumulateConstantOffsets(layout, distance,
							  true) == base &&
	       distance == offset;
}

/* The base of memory 0, as body.c loads it. */
bool is_memory(const Known &known, const Value *value)
{
	const auto *load = dyn_cast<LoadInst>(value);

	return load && load->hasMetadata(LLVMContext::MD_invariant_load) &&
	       is_at(load->getPointerOperand(), known.function.getArg(0),
		     known.places.base_at);
}

class Ranged
{
      public:
	Ranged(Known &known, Loop &innermost) : k(known), loop(innermost)
	{
	}
	bool find();
	void split();

      private:
	bool see(Instruction &instruction);
	bool see_access(Instruction &instruction);
	const SCEV *widen(const SCEV *value);
	const SCEV *widen_index(const SCEV *index);
	bool add_range(const Access &access);
	Value *check(SCEVExpander &expand, IRBuilder<> &build);
	Value *memory_bytes(IRBuilder<> &build);
	Value *check_index(SCEVExpander &expand, IRBuilder<> &build,
			   const Index &index);
	Value *check_range(SCEVExpander &expand, IRBuilder<> &build,
			   const Range &range, Value *bytes);
	Value *span(IRBuilder<> &build, int64_t step);
	void make_plain();
	void make_slow(BasicBlock *check, Value *is_within);

	Known &k;
	Loop &loop;
	Value *memory = nullptr;
	const SCEV *turns = nullptr; /* less one */
	Value *turns_value = nullptr;
	SmallVector<Access, 8> accesses;
	SmallVector<Index, 8> indices;
	SmallVector<Range, 8> ranges;
	bool stores_words = false, loads_reals = false;
};

/* ---- is it one ------------------------------------------------------------------ */

/* An index that grows by a constant is one that does not wrap, which is looked
 * at before the loop. */
const SCEV *Ranged::widen_index(const SCEV *index)
{
	const auto *recurrence = dyn_cast<SCEVAddRecExpr>(index);
	const SCEVConstant *step;
	const SCEV *first;

	if (!recurrence || recurrence->getLoop() != &loop ||
	    !recurrence->isAffine() || !recurrence->getType()->isIntegerTy(32))
		return nullptr;
	step = dyn_cast<SCEVConstant>(recurrence->getStepRecurrence(k.scev));
	if (!step)
		return nullptr;
	Type *wide = Type::getInt64Ty(k.function.getContext());
	Index found = { k.scev.getZeroExtendExpr(recurrence->getStart(), wide),
			step->getAPInt().getSExtValue() };

	first = found.first;
	if (none_of(indices, [&](const Index &other) {
		    return other.first == found.first &&
			   other.step == found.step;
	    }))
		indices.push_back(found);
	return k.scev.getAddRecExpr(
		first, k.scev.getConstant(wide, (uint64_t)found.step, true),
		&loop, SCEV::FlagNSW);
}

/* The same in 64 bits, straight through all turns; or null. */
const SCEV *Ranged::widen(const SCEV *value)
{
	if (k.scev.isLoopInvariant(value, &loop) || isa<SCEVAddRecExpr>(value))
		return value;
	if (const auto *extended = dyn_cast<SCEVZeroExtendExpr>(value))
		return widen_index(extended->getOperand());
	if (const auto *sum = dyn_cast<SCEVAddExpr>(value)) {
		SmallVector<const SCEV *, 4> parts;

		for (const SCEV *part : sum->operands()) {
			const SCEV *wide = widen(part);

			if (!wide)
				return nullptr;
			parts.push_back(wide);
		}
		return k.scev.getAddExpr(parts);
	}
	return nullptr;
}

bool Ranged::add_range(const Access &access)
{
	const auto *recurrence = dyn_cast<SCEVAddRecExpr>(access.at);
	Range range = { access.at, 0, 0, (int64_t)access.width };

	if (recurrence) {
		const auto *step = dyn_cast<SCEVConstant>(
			recurrence->getStepRecurrence(k.scev));

		if (recurrence->getLoop() != &loop || !recurrence->isAffine() ||
		    !step || !step->getAPInt().isSignedIntN(32))
			return false;
		range.first = recurrence->getStart();
		range.step = step->getAPInt().getSExtValue();
	}
	/* No sum of what is looked at then can overflow. */
	ConstantRange bounds = k.scev.getSignedRange(range.first);
	if (!bounds.getSignedMin().isSignedIntN(62) ||
	    !bounds.getSignedMax().isSignedIntN(62))
		return false;
	for (Range &other : ranges) {
		const auto *distance = dyn_cast<SCEVConstant>(
			k.scev.getMinusSCEV(range.first, other.first));

		if (!distance || other.step != range.step ||
		    !distance->getAPInt().isSignedIntN(34))
			continue;
		int64_t low = distance->getAPInt().getSExtValue();

		other.low = std::min(other.low, low);
		other.high = std::max(other.high, low + range.high);
		return true;
	}
	ranges.push_back(range);
	return true;
}

bool Ranged::see_access(Instruction &instruction)
{
	Value *pointer = getLoadStorePointerOperand(&instruction);
	Type *type = getLoadStoreType(&instruction);
	const SCEV *at = k.scev.getSCEV(pointer);
	const auto *base = dyn_cast<SCEVUnknown>(k.scev.getPointerBase(at));

	if (!base || !is_memory(k, base->getValue()) ||
	    !loop.isLoopInvariant(base->getValue()) ||
	    (memory && memory != base->getValue()))
		return false;
	memory = base->getValue();
	at = widen(k.scev.removePointerBase(at));
	if (!at)
		return false;
	Access access = { &instruction, at,
			  k.function.getDataLayout()
				  .getTypeStoreSize(type)
				  .getFixedValue() };

	accesses.push_back(access);
	/* A number that is stored and loaded as another kind of number would be
	 * known to LLVM, that of a neutral constant too. */
	if (const auto *store = dyn_cast<StoreInst>(&instruction))
		stores_words |= isa<Constant>(store->getValueOperand());
	else
		loads_reals |= type->getScalarType()->isFloatingPointTy();
	return add_range(access);
}

bool Ranged::see(Instruction &instruction)
{
	if (const auto *call = dyn_cast<CallBase>(&instruction))
		return isa<IntrinsicInst>(call) &&
		       call->doesNotAccessMemory() &&
		       !call->mayHaveSideEffects();
	if (const auto *load = dyn_cast<LoadInst>(&instruction))
		return load->isVolatile()
			       ? !load->isAtomic() && see_access(instruction)
			       : load->isUnordered();
	if (const auto *store = dyn_cast<StoreInst>(&instruction))
		return store->isVolatile() && !store->isAtomic() &&
		       see_access(instruction);
	return !instruction.mayHaveSideEffects();
}

bool Ranged::find()
{
	unsigned count = 0, constant = k.scev.getSmallConstantTripCount(&loop);

	if (!loop.getExitingBlock() || !loop.getUniqueExitBlock() ||
	    loop.getExitingBlock() != loop.getLoopLatch() ||
	    (constant && constant < turns_least))
		return false;
	turns = k.scev.getBackedgeTakenCount(&loop);
	if (isa<SCEVCouldNotCompute>(turns) ||
	    turns->getType()->getIntegerBitWidth() > 64)
		return false;
	for (BasicBlock *block : loop.blocks())
		for (Instruction &instruction : *block)
			if (++count > loop_most || !see(instruction))
				return false;
	return !accesses.empty() && !(stores_words && loads_reals);
}

/* ---- the check -------------------------------------------------------------------- */

/* From the first turn to the last: turns have 32 bits, and steps. */
Value *Ranged::span(IRBuilder<> &build, int64_t step)
{
	return build.CreateNSWMul(turns_value, build.getInt64((uint64_t)step));
}

Value *Ranged::check_index(SCEVExpander &expand, IRBuilder<> &build,
			   const Index &index)
{
	Value *first = expand.expandCodeFor(index.first, build.getInt64Ty(),
					    &*build.GetInsertPoint());
	Value *last = build.CreateNSWAdd(first, span(build, index.step));

	/* Of one that falls the last one would be negative. */
	return build.CreateICmpULT(last, build.getInt64(UINT64_C(1) << 32));
}

Value *Ranged::check_range(SCEVExpander &expand, IRBuilder<> &build,
			   const Range &range, Value *bytes)
{
	Value *first = expand.expandCodeFor(range.first, build.getInt64Ty(),
					    &*build.GetInsertPoint());
	Value *last = build.CreateNSWAdd(first, span(build, range.step));
	Value *low = range.step < 0 ? last : first;
	Value *high = range.step < 0 ? first : last;

	low = build.CreateAdd(low, build.getInt64((uint64_t)range.low));
	high = build.CreateAdd(high, build.getInt64((uint64_t)range.high));
	return build.CreateAnd(build.CreateICmpSGE(low, build.getInt64(0)),
			       build.CreateICmpSLE(high, bytes));
}

Value *Ranged::memory_bytes(IRBuilder<> &build)
{
	LLVMContext &context = k.function.getContext();
	Type *pointer = PointerType::get(context, 0);
	Value *at = build.CreateConstGEP1_64(
		build.getInt8Ty(), k.function.getArg(0), k.places.memories_at);
	LoadInst *all = build.CreateLoad(pointer, at);
	LoadInst *first = build.CreateLoad(pointer, all);

	for (LoadInst *load : { all, first })
		load->setMetadata(LLVMContext::MD_invariant_load,
				  MDNode::get(context, {}));
	at = build.CreateConstGEP1_64(build.getInt8Ty(), first,
				      k.places.bytes_at);
	return build.CreateLoad(build.getInt64Ty(), at);
}

Value *Ranged::check(SCEVExpander &expand, IRBuilder<> &build)
{
	Value *all = nullptr, *bytes = memory_bytes(build);
	auto add = [&](Value *one) {
		all = all ? build.CreateAnd(all, one) : one;
	};

	turns_value = expand.expandCodeFor(turns, turns->getType(),
					   &*build.GetInsertPoint());
	turns_value = build.CreateZExt(turns_value, build.getInt64Ty());
	if (turns->getType()->getIntegerBitWidth() > 32)
		add(build.CreateICmpULT(turns_value,
					build.getInt64(UINT64_C(1) << 32)));
	for (const Index &index : indices)
		add(check_index(expand, build, index));
	for (const Range &range : ranges)
		add(check_range(expand, build, range, bytes));
	return all;
}

/* ---- the two loops ------------------------------------------------------------------ */

/* What is known to be within is an access like any other, by an address that
 * does not wrap. */
void Ranged::make_plain()
{
	SCEVExpander expand(k.scev, k.function.getDataLayout(), "range");

	for (const Access &access : accesses) {
		IRBuilder<> build(access.instruction);
		bool is_load = isa<LoadInst>(access.instruction);
		Value *at = expand.expandCodeFor(access.at, build.getInt64Ty(),
						 access.instruction);

		access.instruction->setOperand(
			is_load ? 0 : 1,
			build.CreateInBoundsGEP(build.getInt8Ty(), memory, at));
		if (is_load)
			cast<LoadInst>(access.instruction)->setVolatile(false);
		else
			cast<StoreInst>(access.instruction)->setVolatile(false);
	}
}

/* The loop as it was, for all that the check refuses. */
void Ranged::make_slow(BasicBlock *check, Value *is_within)
{
	BasicBlock *exit = loop.getUniqueExitBlock();
	BasicBlock *before = SplitBlock(check, check->getTerminator(), &k.tree,
					&k.loops, nullptr, "within");
	SmallVector<BasicBlock *, 8> blocks;
	ValueToValueMapTy map;
	Loop *slow = cloneLoopWithPreheader(before, check, &loop, map, ".slow",
					    &k.loops, &k.tree, blocks);
	MDBuilder weights(k.function.getContext());

	remapInstructionsInBlocks(blocks, map);
	ReplaceInstWithInst(check->getTerminator(),
			    BranchInst::Create(loop.getLoopPreheader(),
					       slow->getLoopPreheader(),
					       is_within));
	check->getTerminator()->setMetadata(
		LLVMContext::MD_prof, weights.createBranchWeights(1 << 20, 1));
	for (PHINode &phi : exit->phis()) {
		Value *value =
			phi.getIncomingValueForBlock(loop.getExitingBlock());
		auto copy = map.find(value);

		phi.addIncoming(copy == map.end() ? value : &*copy->second,
				slow->getExitingBlock());
	}
	k.tree.changeImmediateDominator(exit, check);
	addStringMetadataToLoop(slow, "llvm.loop.unroll.disable");
	formDedicatedExitBlocks(&loop, &k.tree, &k.loops, nullptr, true);
	formDedicatedExitBlocks(slow, &k.tree, &k.loops, nullptr, true);
}

void Ranged::split()
{
	BasicBlock *before = loop.getLoopPreheader();
	SCEVExpander expand(k.scev, k.function.getDataLayout(), "range");
	IRBuilder<> build(before->getTerminator());

	if (expand.isHighCostExpansion(turns, &loop, cost_most, &k.target,
				       before->getTerminator()) ||
	    !expand.isSafeToExpandAt(turns, before->getTerminator()))
		return;
	Value *is_within = check(expand, build);

	make_slow(before, is_within);
	make_plain();
	k.scev.forgetAllLoops();
}

/* ---- the pass ------------------------------------------------------------------------ */

class RangesPass : public PassInfoMixin<RangesPass>
{
      public:
	explicit RangesPass(const aotc_ranges &from) : places(from)
	{
	}
	PreservedAnalyses run(Function &function, FunctionAnalysisManager &of);
	static bool isRequired()
	{
		return true;
	}

      private:
	aotc_ranges places;
};

void ranges_loop(Known &known, Loop &loop)
{
	simplifyLoop(&loop, &known.tree, &known.loops, &known.scev,
		     &known.assumed, nullptr, false);
	if (!loop.isLoopSimplifyForm())
		return;
	formLCSSARecursively(loop, known.tree, &known.loops, &known.scev);
	Ranged ranged(known, loop);

	if (ranged.find())
		ranged.split();
}

PreservedAnalyses RangesPass::run(Function &function,
				  FunctionAnalysisManager &of)
{
	if (function.arg_empty() ||
	    !function.hasParamAttribute(0, Attribute::SwiftSelf))
		return PreservedAnalyses::all();
	Known known = { places,
			function,
			of.getResult<LoopAnalysis>(function),
			of.getResult<DominatorTreeAnalysis>(function),
			of.getResult<ScalarEvolutionAnalysis>(function),
			of.getResult<AssumptionAnalysis>(function),
			of.getResult<TargetIRAnalysis>(function) };
	SmallVector<Loop *, 8> innermost;

	for (Loop *loop : known.loops.getLoopsInPreorder())
		if (loop->isInnermost())
			innermost.push_back(loop);
	for (Loop *loop : innermost)
		ranges_loop(known, *loop);
	return innermost.empty() ? PreservedAnalyses::all()
				 : PreservedAnalyses::none();
}

} // namespace

LLVMErrorRef aotc_passes(LLVMModuleRef unit, LLVMTargetMachineRef machine,
			 const char *passes, const aotc_ranges *ranges,
			 bool is_checked)
{
	auto *target = reinterpret_cast<TargetMachine *>(machine);
	Module &module = *unwrap(unit);
	LoopAnalysisManager of_loops;
	FunctionAnalysisManager of_functions;
	CGSCCAnalysisManager of_components;
	ModuleAnalysisManager of_modules;
	PassInstrumentationCallbacks calls;
	PipelineTuningOptions tuning;
	StandardInstrumentations standard(module.getContext(), false,
					  is_checked);

	tuning.LoopVectorization = tuning.SLPVectorization = true;
	tuning.LoopInterleaving = true;
	PassBuilder builder(target, tuning, {}, &calls);
	builder.registerModuleAnalyses(of_modules);
	builder.registerCGSCCAnalyses(of_components);
	builder.registerFunctionAnalyses(of_functions);
	builder.registerLoopAnalyses(of_loops);
	builder.crossRegisterProxies(of_loops, of_functions, of_components,
				     of_modules);
	standard.registerCallbacks(calls, &of_modules);
	if (ranges->is_wanted)
		builder.registerVectorizerStartEPCallback(
			[ranges](FunctionPassManager &manager,
				 OptimizationLevel) {
				manager.addPass(RangesPass(*ranges));
			});
	ModulePassManager manager;
	if (Error failed = builder.parsePassPipeline(manager, passes))
		return wrap(std::move(failed));
	manager.run(module, of_modules);
	return nullptr;
}
