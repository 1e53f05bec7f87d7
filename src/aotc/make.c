/* SPDX-License-Identifier: Apache-2.0 */
/* A request's functions are made, in one unit.
 *
 * A function that cannot be made, or whose frame turns out too large, is left
 * out, and all is done again without it: the others call the baseline's code
 * then, in another way. */
#include "aotc/aotc.h"
#include <errno.h>
#include <llvm-c/Support.h>
#include <stdlib.h>
#include <string.h>

struct aotc_task {
	FILE *words;
	const struct aot_request *request;
	const uint32_t *functions;
	struct wasm_types *types;
	struct wasm_module *module;
};

/* ---- a place for the engine ------------------------------------------------------ */

static void *make_allocate(void *env, size_t len)
{
	(void)env;
	return calloc(1, len ? len : 1);
}

static void make_release(void *env, void *block, size_t len)
{
	(void)env;
	(void)len;
	free(block);
}

static void make_lock(void *env)
{
	(void)env;
}

static const struct wasm_host make_host = {
	.allocate = make_allocate,
	.release = make_release,
	.lock = make_lock,
	.unlock = make_lock,
};

/* ---- the request ------------------------------------------------------------------- */

static int make_check(const struct aotc_task *task, struct err *err)
{
	const struct wasm_module *module = task->module;

	for (uint32_t i = 0; i < task->request->function_count; i++)
		if (task->functions[i] < module->imported_functions ||
		    task->functions[i] >= module->function_count)
			return err_set(err, -EINVAL,
				       "the request has no function %u",
				       task->functions[i]);
	return 0;
}

static int make_load(struct aotc_task *task, const uint8_t *bytes,
		     struct err *err)
{
	const struct wasm_load_options options = { .bodies_known = true };
	struct wasm_error error;

	task->types = wasm_types_new(&make_host);
	if (!task->types)
		return err_set(err, -ENOMEM, "brood-aotc");
	if (wasm_module_load(&task->module, &make_host, task->types, bytes,
			     task->request->module_bytes, &options, &error) < 0)
		return err_set(err, -EINVAL, "the request's module: %s",
			       error.text);
	return make_check(task, err);
}

static int make_read(struct aotc_task *task, const void *bytes, size_t len,
		     struct err *err)
{
	const struct aot_request *request = task->request = bytes;
	uint64_t list;

	if (len < sizeof(*request) ||
	    memcmp(request->magic, AOT_MAGIC, sizeof(request->magic)) != 0 ||
	    request->version != AOT_VERSION)
		return err_set(err, -EINVAL, "this is no request");
	list = 4ull * request->function_count;
	if (request->module_bytes > AOTC_REQUEST_MOST ||
	    len != sizeof(*request) + list + request->module_bytes)
		return err_set(err, -EINVAL, "the request is cut");
	task->functions = (const uint32_t *)(request + 1);
	return make_load(task, (const uint8_t *)(request + 1) + list, err);
}

static void make_forget(struct aotc_task *task)
{
	if (task->module)
		wasm_module_free(task->module);
	if (task->types)
		wasm_types_free(task->types);
}

/* ---- the work ----------------------------------------------------------------------- */

static void make_leave(struct aotc *aotc, const struct aotc_task *task,
		       uint32_t function, const char *why)
{
	fprintf(task->words, "f%u: %s\n", function, why);
	aotc->is_here[function] = false;
}

/* 0: all are in; 1: some were left out. */
static int make_bodies(struct aotc *aotc, const struct aotc_task *task,
		       struct err *err)
{
	int result = 0;

	for (uint32_t i = 0; i < task->request->function_count; i++) {
		uint32_t function = task->functions[i];
		const char *why;
		int rc = aotc->is_here[function]
				 ? aotc_body(aotc, function, &why, err)
				 : 0;

		if (rc < 0)
			return rc;
		if (rc > 0) {
			make_leave(aotc, task, function, why);
			result = 1;
		}
	}
	return result;
}

static int make_try(struct aotc *aotc, const struct aotc_task *task,
		    LLVMMemoryBufferRef *object, struct err *err)
{
	int rc;

	memset(aotc->functions, 0,
	       aotc->module->function_count * sizeof(*aotc->functions));
	memset(aotc->operations, 0, sizeof(aotc->operations));
	memset(aotc->stubs, 0, sizeof(aotc->stubs));
	aotc->is_large = false;
	rc = aotc_unit_open(aotc, err);
	if (rc >= 0)
		rc = make_bodies(aotc, task, err);
	if (rc == 0)
		rc = aotc_unit_emit(aotc, object, err);
	if (rc == 0 && aotc->is_large) {
		LLVMDisposeMemoryBuffer(*object);
		make_leave(aotc, task, aotc->large, "its frame is too large");
		rc = 1;
	}
	aotc_unit_close(aotc);
	return rc;
}

static int make_all(const struct aotc_task *task, LLVMMemoryBufferRef *object,
		    struct err *err)
{
	struct aotc aotc = { .module = task->module,
			     .options = task->request->options,
			     .features = task->request->features };
	uint32_t count = task->module->function_count;
	int rc = 1;

	aotc.functions = calloc(count + 1ull, sizeof(*aotc.functions));
	aotc.is_here = calloc(count + 1ull, 1);
	aotc.validator = wasm_validator_new(task->module);
	if (!aotc.functions || !aotc.is_here || !aotc.validator)
		return err_set(err, -ENOMEM, "brood-aotc");
	for (uint32_t i = 0; i < task->request->function_count; i++)
		aotc.is_here[task->functions[i]] = true;
	while (rc == 1)
		rc = make_try(&aotc, task, object, err);
	wasm_validator_free(aotc.validator);
	free(aotc.is_here);
	free(aotc.functions);
	return rc;
}

/* Without shrink-wrap, because a fault before the frame is made would lose who
 * called.  Registers with very many values, those of interpreters' loops, are
 * joined as often as pays: each time costs what they have values.  A switch in
 * a loop, with what comes right before it, is repeated where it is gone to, so
 * that each jump is foreseen by itself.  What the module has as a choice between
 * values becomes a branch only where that is sure to gain a lot: its own
 * compiler has seen to it. */
static void make_set_options(void)
{
	static const char *const options[] = {
		"brood-aotc",
		"-enable-shrink-wrap=false",
		"-large-interval-size-threshold=50",
		"-large-interval-freq-threshold=32",
		"-cgpp-huge-func=50", /* of blocks: looks only at new ones */
		"-tail-dup-size=4",
		"-tail-dup-succ-size=66",
		"-x86-cmov-converter-threshold=100",
	};
	static bool is_set;

	if (!is_set)
		LLVMParseCommandLineOptions(
			sizeof(options) / sizeof(options[0]), options, NULL);
	is_set = true;
}

int aotc_make(const void *request, size_t len, FILE *words,
	      LLVMMemoryBufferRef *object, struct err *err)
{
	struct aotc_task task = { .words = words };
	int rc = make_read(&task, request, len, err);

	make_set_options();
	if (rc >= 0)
		rc = make_all(&task, object, err);
	make_forget(&task);
	return rc;
}
