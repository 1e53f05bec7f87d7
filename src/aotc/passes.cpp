/* SPDX-License-Identifier: Apache-2.0 */
/* LLVM's pipeline, by its own language, because there alone a pass can be put
 * into the middle of it. */
#include "aotc/passes.h"
#include "aotc/ranges.hpp"
#include <llvm/IR/Module.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Passes/StandardInstrumentations.h>
#include <llvm/Target/TargetMachine.h>

using namespace llvm;

namespace
{

class RangesPass : public PassInfoMixin<RangesPass>
{
      public:
	explicit RangesPass(const aotc_places &of) : places(of)
	{
	}
	PreservedAnalyses run(Function &function, FunctionAnalysisManager &of);
	static bool isRequired()
	{
		return true;
	}

      private:
	aotc_places places;
};

/* Those of the module have the context first; in large ones LLVM looks for no
 * vectors (unit.c). */
PreservedAnalyses RangesPass::run(Function &function,
				  FunctionAnalysisManager &of)
{
	if (function.arg_empty() ||
	    function.hasFnAttribute(Attribute::NoImplicitFloat) ||
	    !function.hasParamAttribute(0, Attribute::SwiftSelf) ||
	    of.getResult<LoopAnalysis>(function).empty())
		return PreservedAnalyses::all();
	aotc::Known known = { places,
			      function,
			      of.getResult<LoopAnalysis>(function),
			      of.getResult<DominatorTreeAnalysis>(function),
			      of.getResult<ScalarEvolutionAnalysis>(function),
			      of.getResult<AssumptionAnalysis>(function),
			      of.getResult<TargetIRAnalysis>(function) };

	aotc::find_ranges(known);
	return PreservedAnalyses::none();
}

struct Analyses {
	LoopAnalysisManager loops;
	FunctionAnalysisManager functions;
	CGSCCAnalysisManager components;
	ModuleAnalysisManager modules;
};

void analyses_register(Analyses &all, PassBuilder &builder)
{
	builder.registerModuleAnalyses(all.modules);
	builder.registerCGSCCAnalyses(all.components);
	builder.registerFunctionAnalyses(all.functions);
	builder.registerLoopAnalyses(all.loops);
	builder.crossRegisterProxies(all.loops, all.functions, all.components,
				     all.modules);
}

} // namespace

LLVMErrorRef aotc_passes(LLVMModuleRef unit, LLVMTargetMachineRef machine,
			 const char *passes, const aotc_places *places,
			 bool is_checked)
{
	auto *target = reinterpret_cast<TargetMachine *>(machine);
	Module &module = *unwrap(unit);
	PassInstrumentationCallbacks calls;
	StandardInstrumentations standard(module.getContext(), false,
					  is_checked);
	PipelineTuningOptions tuning;
	Analyses all;
	ModulePassManager manager;

	tuning.LoopVectorization = tuning.SLPVectorization = true;
	PassBuilder builder(target, tuning, {}, &calls);
	analyses_register(all, builder);
	standard.registerCallbacks(calls, &all.modules);
	if (places)
		builder.registerVectorizerStartEPCallback(
			[places](FunctionPassManager &before,
				 OptimizationLevel) {
				before.addPass(RangesPass(*places));
			});
	if (Error failed = builder.parsePassPipeline(manager, passes))
		return wrap(std::move(failed));
	manager.run(module, all.modules);
	return nullptr;
}
