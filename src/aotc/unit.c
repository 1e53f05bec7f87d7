/* SPDX-License-Identifier: Apache-2.0 */
/* What LLVM is given: a unit that has the operations, the functions of the
 * request with our convention, and what they name; then passes, and an object
 * in which each function has a section. */
#include "aotc/aotc.h"
#include "aotc/passes.h"
#include <errno.h>
#include <llvm-c/BitReader.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Target.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char aotc_bitcode[], aotc_bitcode_end[];

/* ---- the machine ------------------------------------------------------------- */

static const struct {
	uint32_t feature;
	const char *names;
} unit_features[] = {
	{ CODE_AVX, ",+avx" },
	{ CODE_AVX2, ",+avx2" },
	{ CODE_BMI1, ",+bmi" },
	{ CODE_BMI2, ",+bmi2" },
	{ CODE_LZCNT, ",+lzcnt" },
	{ CODE_FMA, ",+fma" },
	{ CODE_AVX512, ",+avx512f,+avx512bw,+avx512dq,+avx512vl" },
};
enum { FEATURES = sizeof(unit_features) / sizeof(unit_features[0]) };
enum { UNIT_LARGE = 16 * 1024 }; /* bytes of a body */
static const char unit_cpu[] = "x86-64-v2";

static void unit_feature_names(uint32_t features, char names[200])
{
	strcpy(names, "+popcnt");
	for (unsigned i = 0; i < FEATURES; i++)
		if (features & unit_features[i].feature)
			strcat(names, unit_features[i].names);
}

static int unit_machine(struct aotc *aotc, struct err *err)
{
	LLVMTargetRef target;
	char *why = NULL, names[200];

	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	unit_feature_names(aotc->features, names);
	if (LLVMGetTargetFromTriple("x86_64-pc-linux-gnu", &target, &why)) {
		err_set(err, -EINVAL, "LLVM: %s", why);
		LLVMDisposeMessage(why);
		return err->code;
	}
	aotc->machine =
		LLVMCreateTargetMachine(target, "x86_64-pc-linux-gnu", unit_cpu,
					names, LLVMCodeGenLevelDefault,
					LLVMRelocPIC, LLVMCodeModelSmall);
	return aotc->machine ? 0
			     : err_set(err, -EINVAL, "LLVM: no such machine");
}

/* ---- types, attributes, tags -------------------------------------------------- */

static void unit_types(struct aotc *aotc)
{
	LLVMContextRef llvm = aotc->llvm;

	aotc->nothing = LLVMVoidTypeInContext(llvm);
	aotc->i1 = LLVMInt1TypeInContext(llvm);
	aotc->i8 = LLVMInt8TypeInContext(llvm);
	aotc->i32 = LLVMInt32TypeInContext(llvm);
	aotc->i64 = LLVMInt64TypeInContext(llvm);
	aotc->f32 = LLVMFloatTypeInContext(llvm);
	aotc->f64 = LLVMDoubleTypeInContext(llvm);
	aotc->v128 = LLVMVectorType(aotc->i8, 16);
	aotc->ptr = LLVMPointerTypeInContext(llvm, 0);
}

static unsigned unit_kind(const char *name)
{
	return LLVMGetEnumAttributeKindForName(name, strlen(name));
}

static LLVMAttributeRef unit_enum(const struct aotc *aotc, const char *name)
{
	return LLVMCreateEnumAttribute(aotc->llvm, unit_kind(name), 0);
}

static LLVMAttributeRef unit_text(const struct aotc *aotc, const char *name,
				  const char *value)
{
	return LLVMCreateStringAttribute(aotc->llvm, name,
					 (unsigned)strlen(name), value,
					 (unsigned)strlen(value));
}

/* Frames are a chain, and nothing is below the stack pointer, where a trap's
 * return address may be put; who calls without an end must come to one. */
static int unit_attributes(struct aotc *aotc)
{
	static const uint64_t low[1] = { 0 }, high[1] = { UINT64_C(1) << 32 };
	char names[200], frame[20];
	LLVMAttributeRef all[] = {
		unit_text(aotc, "frame-pointer", "all"),
		unit_text(aotc, "disable-tail-calls", "true"),
		unit_text(aotc, "target-cpu", unit_cpu),
		unit_enum(aotc, "noredzone"),
		unit_enum(aotc, "nounwind"),
		unit_text(aotc, "no-builtins", ""),
		NULL, /* features */
		NULL, /* frame */
	};
	unsigned count = sizeof(all) / sizeof(all[0]);

	unit_feature_names(aotc->features, names);
	snprintf(frame, sizeof(frame), "%d", AOTC_FRAME_MOST);
	all[count - 2] = unit_text(aotc, "target-features", names);
	all[count - 1] = unit_text(aotc, "warn-stack-size", frame);
	aotc->self = unit_enum(aotc, "swiftself");
	aotc->async = unit_enum(aotc, "swiftasync");
	aotc->nest = unit_enum(aotc, "nest");
	aotc->word = LLVMCreateConstantRangeAttribute(
		aotc->llvm, unit_kind("range"), 64, low, high);
	aotc->function = malloc(sizeof(all));
	if (!aotc->function)
		return -1;
	memcpy(aotc->function, all, sizeof(all));
	aotc->function_attributes = count;
	return 0;
}

static LLVMMetadataRef unit_md(const struct aotc *aotc, LLVMMetadataRef *items,
			       size_t count)
{
	return LLVMMDNodeInContext2(aotc->llvm, items, count);
}

static LLVMMetadataRef unit_word(const struct aotc *aotc, const char *text)
{
	return LLVMMDStringInContext2(aotc->llvm, text, strlen(text));
}

static LLVMMetadataRef unit_number(const struct aotc *aotc, uint64_t number)
{
	return LLVMValueAsMetadata(aotc_i64(aotc, number));
}

/* Memories, globals, tables and the store are apart. */
static void unit_tags(struct aotc *aotc)
{
	static const char *const names[AOTC_PLACES] = { "memory", "global",
							"table", "store" };
	LLVMMetadataRef word = unit_word(aotc, "brood"),
			root = unit_md(aotc, &word, 1);
	LLVMMetadataRef weights[] = {
		unit_word(aotc, "branch_weights"),
		LLVMValueAsMetadata(aotc_i32(aotc, 1)),
		LLVMValueAsMetadata(aotc_i32(aotc, 1 << 20)),
	};

	for (unsigned i = 0; i < AOTC_PLACES; i++) {
		LLVMMetadataRef type[] = { unit_word(aotc, names[i]), root,
					   unit_number(aotc, 0) };
		LLVMMetadataRef node = unit_md(aotc, type, 3);
		LLVMMetadataRef tag[] = { node, node, unit_number(aotc, 0) };

		aotc->places[i] =
			LLVMMetadataAsValue(aotc->llvm, unit_md(aotc, tag, 3));
	}
	aotc->fixed = LLVMMetadataAsValue(aotc->llvm, unit_md(aotc, NULL, 0));
	aotc->rarely =
		LLVMMetadataAsValue(aotc->llvm, unit_md(aotc, weights, 3));
	aotc->tbaa = LLVMGetMDKindIDInContext(aotc->llvm, "tbaa", 4);
	aotc->invariant =
		LLVMGetMDKindIDInContext(aotc->llvm, "invariant.load", 14);
	aotc->weights = LLVMGetMDKindIDInContext(aotc->llvm, "prof", 4);
	aotc->unknown = LLVMGetMDKindIDInContext(aotc->llvm, "unknown", 7);
}

/* ---- operations --------------------------------------------------------------- */

/* What an operation reads or writes is a memory's. */
static void unit_tag_accesses(const struct aotc *aotc, LLVMValueRef function)
{
	LLVMBasicBlockRef block = LLVMGetFirstBasicBlock(function);

	for (; block; block = LLVMGetNextBasicBlock(block))
		for (LLVMValueRef i = LLVMGetFirstInstruction(block); i;
		     i = LLVMGetNextInstruction(i))
			if ((LLVMIsALoadInst(i) || LLVMIsAStoreInst(i)) &&
			    LLVMGetVolatile(i))
				LLVMSetMetadata(i, aotc->tbaa,
						aotc->places[AOTC_MEMORY]);
}

static int unit_operations(struct aotc *aotc, struct err *err)
{
	LLVMMemoryBufferRef bytes = LLVMCreateMemoryBufferWithMemoryRange(
		aotc_bitcode, (size_t)(aotc_bitcode_end - aotc_bitcode),
		"operations", false);
	int rc = LLVMParseBitcodeInContext2(aotc->llvm, bytes, &aotc->unit);

	LLVMDisposeMemoryBuffer(bytes);
	if (rc)
		return err_set(err, -EINVAL,
			       "brood-aotc: its operations cannot be read");
	for (LLVMValueRef f = LLVMGetFirstFunction(aotc->unit); f;
	     f = LLVMGetNextFunction(f)) {
		if (LLVMIsDeclaration(f))
			continue;
		LLVMSetLinkage(f, LLVMInternalLinkage);
		unit_tag_accesses(aotc, f);
	}
	return 0;
}

static void unit_drop_unused(struct aotc *aotc)
{
	LLVMValueRef next;

	for (LLVMValueRef f = LLVMGetFirstFunction(aotc->unit); f; f = next) {
		next = LLVMGetNextFunction(f);
		if (!LLVMGetFirstUse(f) &&
		    (LLVMIsDeclaration(f) ||
		     LLVMGetLinkage(f) == LLVMInternalLinkage))
			LLVMDeleteFunction(f);
	}
}

/* ---- functions ----------------------------------------------------------------- */

LLVMTypeRef aotc_value_type(const struct aotc *aotc, wasm_type type)
{
	switch (type) {
	case WASM_I32: return aotc->i32;
	case WASM_F32: return aotc->f32;
	case WASM_F64: return aotc->f64;
	case WASM_V128: return aotc->v128;
	default: return aotc->i64;
	}
}

/* Between functions i32 are words whose upper half is zero. */
static LLVMTypeRef unit_passed_type(const struct aotc *aotc, wasm_type type)
{
	return type == WASM_I32 ? aotc->i64 : aotc_value_type(aotc, type);
}

LLVMTypeRef aotc_call_type(const struct aotc *aotc,
			   const struct wasm_deftype *type,
			   enum aotc_callee callee)
{
	LLVMTypeRef types[WASM_PARAMS_MOST + 2];
	LLVMTypeRef result = aotc->nothing;
	unsigned count = 0;

	types[count++] = aotc->ptr;
	if (callee != AOTC_HERE)
		types[count++] = aotc->ptr;
	for (uint32_t i = 0; i < type->param_count; i++)
		types[count++] = unit_passed_type(aotc, type->params[i]);
	if (type->result_count == 1)
		result = unit_passed_type(aotc, type->results[0]);
	return LLVMFunctionType(result, types, count, false);
}

/* The same for a call and for a function: index 0 is the result. */
static void unit_attribute(LLVMValueRef value, unsigned index,
			   LLVMAttributeRef attribute)
{
	if (LLVMIsAFunction(value))
		LLVMAddAttributeAtIndex(value, index, attribute);
	else
		LLVMAddCallSiteAttribute(value, index, attribute);
}

void aotc_call_attributes(const struct aotc *aotc, LLVMValueRef value,
			  const struct wasm_deftype *type,
			  enum aotc_callee callee)
{
	unsigned first = callee == AOTC_HERE ? 2 : 3;

	if (LLVMIsAFunction(value))
		LLVMSetFunctionCallConv(value, LLVMSwiftCallConv);
	else
		LLVMSetInstructionCallConv(value, LLVMSwiftCallConv);
	unit_attribute(value, 1, aotc->self);
	if (callee == AOTC_ELSEWHERE)
		unit_attribute(value, 2, aotc->async);
	if (callee == AOTC_OTHER)
		unit_attribute(value, 2, aotc->nest);
	for (uint32_t i = 0; type && i < type->param_count; i++)
		if (type->params[i] == WASM_I32)
			unit_attribute(value, first + i, aotc->word);
	if (type && type->result_count == 1 && type->results[0] == WASM_I32)
		unit_attribute(value, 0, aotc->word);
}

LLVMValueRef aotc_function(struct aotc *aotc, uint32_t function)
{
	const struct wasm_module *module = aotc->module;
	const struct wasm_deftype *type =
		module->type[module->functions[function].type_index];
	bool is_here = aotc->is_here[function];
	enum aotc_callee callee = is_here ? AOTC_HERE : AOTC_ELSEWHERE;
	LLVMValueRef value = aotc->functions[function];
	char name[20], section[24];

	if (value)
		return value;
	snprintf(name, sizeof(name), "f%u", function);
	value = LLVMAddFunction(aotc->unit, name,
				aotc_call_type(aotc, type, callee));
	aotc->functions[function] = value;
	aotc_call_attributes(aotc, value, type, callee);
	LLVMSetVisibility(value, LLVMHiddenVisibility);
	if (!is_here)
		return value;
	snprintf(section, sizeof(section), ".text.f%u", function);
	LLVMSetSection(value, section);
	for (unsigned i = 0; i < aotc->function_attributes; i++)
		LLVMAddAttributeAtIndex(value, LLVMAttributeFunctionIndex,
					aotc->function[i]);
	/* Looking for what could be vectors takes half of all time there. */
	if (module->functions[function].body_len > UNIT_LARGE)
		LLVMAddAttributeAtIndex(value, LLVMAttributeFunctionIndex,
					unit_enum(aotc, "noimplicitfloat"));
	return value;
}

/* ---- the object ------------------------------------------------------------------ */

/* Frames that are too large are told as a warning. */
static void unit_told(LLVMDiagnosticInfoRef info, void *context)
{
	struct aotc *aotc = context;
	char *words = LLVMGetDiagInfoDescription(info);
	const char *name = strstr(words, "function 'f");

	if (name) {
		aotc->is_large = true;
		aotc->large = (uint32_t)strtoul(name + 11, NULL, 10);
	}
	LLVMDisposeMessage(words);
}

int aotc_unit_open(struct aotc *aotc, struct err *err)
{
	int rc;

	aotc->llvm = LLVMContextCreate();
	LLVMContextSetDiagnosticHandler(aotc->llvm, unit_told, aotc);
	unit_types(aotc);
	unit_tags(aotc);
	rc = unit_machine(aotc, err);
	if (rc >= 0)
		rc = unit_operations(aotc, err);
	if (rc >= 0 && unit_attributes(aotc) < 0)
		rc = err_set(err, -ENOMEM, "brood-aotc");
	aotc->build = LLVMCreateBuilderInContext(aotc->llvm);
	return rc;
}

void aotc_unit_close(struct aotc *aotc)
{
	free(aotc->function);
	LLVMDisposeBuilder(aotc->build);
	if (aotc->unit)
		LLVMDisposeModule(aotc->unit);
	if (aotc->machine)
		LLVMDisposeTargetMachine(aotc->machine);
	LLVMContextDispose(aotc->llvm);
}

static int unit_fail(struct err *err, const char *what, char *why)
{
	err_set(err, -EINVAL, "%s: %s", what, why);
	LLVMDisposeMessage(why);
	return err->code;
}

/* Where it does not fault by itself it is looked at anyway; of one that threads
 * share each access is one. */
static bool unit_has_ranges(const struct aotc *aotc)
{
	const struct wasm_module *module = aotc->module;

	return module->memory_count && aotc_is_guarded(aotc, 0) &&
	       !module->memories[0].limits.is_shared;
}

/* In debug builds of ours, and by AOTC_CHECK, LLVM looks at what it is given. */
static int unit_passes(struct aotc *aotc, struct err *err)
{
	static const struct aotc_places places = {
		.base_at = offsetof(struct wasm_instance, memory_base),
		.memories_at = offsetof(struct wasm_instance, memories),
		.bytes_at = offsetof(struct wasm_memory, bytes),
	};
	LLVMErrorRef failed =
		aotc_passes(aotc->unit, aotc->machine,
			    "always-inline,globaldce,default<O2>",
			    unit_has_ranges(aotc) ? &places : NULL,
			    getenv("AOTC_CHECK") != NULL);

	if (!failed)
		return 0;
	return unit_fail(err, "LLVM's passes", LLVMGetErrorMessage(failed));
}

int aotc_unit_emit(struct aotc *aotc, LLVMMemoryBufferRef *object,
		   struct err *err)
{
	char *why = NULL;
	int rc;

	unit_drop_unused(aotc);
	if (getenv("AOTC_PRINT"))
		LLVMDumpModule(aotc->unit);
	rc = unit_passes(aotc, err);
	if (rc < 0)
		return rc;
	if (getenv("AOTC_PRINT"))
		LLVMDumpModule(aotc->unit);
	if (LLVMTargetMachineEmitToMemoryBuffer(aotc->machine, aotc->unit,
						LLVMObjectFile, &why, object))
		return unit_fail(err, "LLVM's code", why);
	return 0;
}
