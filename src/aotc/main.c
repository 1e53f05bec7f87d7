/* SPDX-License-Identifier: Apache-2.0 */
/* brood-aotc: a request on descriptor 0, an object on descriptor 1.
 *
 * A function that cannot be made, or whose frame turns out too large, is left
 * out, and all is done again without it: the others call the baseline's code
 * then, in another way. */
#include "aotc/aotc.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AOTC_OK, AOTC_FAILED = 111, AOTC_USE = 100 };
#define REQUEST_MOST (UINT64_C(1) << 31)

struct aotc_task {
	struct buf bytes;
	const struct aot_request *request;
	const uint32_t *functions;
	struct wasm_types *types;
	struct wasm_module *module;
};

/* ---- a place for the engine ------------------------------------------------------ */

static void *main_allocate(void *env, size_t len)
{
	(void)env;
	return calloc(1, len ? len : 1);
}

static void main_release(void *env, void *block, size_t len)
{
	(void)env;
	(void)len;
	free(block);
}

static void main_lock(void *env)
{
	(void)env;
}

static const struct wasm_host main_host = {
	.allocate = main_allocate,
	.release = main_release,
	.lock = main_lock,
	.unlock = main_lock,
};

/* ---- the request ------------------------------------------------------------------- */

static int main_check(const struct aotc_task *task, struct err *err)
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

static int main_load(struct aotc_task *task, const uint8_t *bytes,
		     struct err *err)
{
	const struct wasm_load_options options = { .bodies_known = true };
	struct wasm_error error;

	task->types = wasm_types_new(&main_host);
	if (!task->types)
		return err_set(err, -ENOMEM, "brood-aotc");
	if (wasm_module_load(&task->module, &main_host, task->types, bytes,
			     task->request->module_bytes, &options, &error) < 0)
		return err_set(err, -EINVAL, "the request's module: %s",
			       error.text);
	return main_check(task, err);
}

static int main_read(struct aotc_task *task, struct err *err)
{
	const struct aot_request *request;
	uint64_t list;
	int rc = file_read("/dev/stdin", &task->bytes, REQUEST_MOST, err);

	if (rc < 0)
		return rc;
	request = task->request = (const void *)task->bytes.data;
	if (task->bytes.len < sizeof(*request) ||
	    memcmp(request->magic, AOT_MAGIC, sizeof(request->magic)) != 0 ||
	    request->version != AOT_VERSION)
		return err_set(err, -EINVAL, "this is no request");
	list = 4ull * request->function_count;
	if (request->module_bytes > REQUEST_MOST ||
	    task->bytes.len != sizeof(*request) + list + request->module_bytes)
		return err_set(err, -EINVAL, "the request is cut");
	task->functions = (const uint32_t *)(request + 1);
	return main_load(task, (const uint8_t *)(request + 1) + list, err);
}

/* ---- the work ----------------------------------------------------------------------- */

static void main_leave(struct aotc *aotc, uint32_t function, const char *why)
{
	fprintf(stderr, "f%u: %s\n", function, why);
	aotc->is_here[function] = false;
}

/* 0: all are in; 1: one was left out. */
static int main_bodies(struct aotc *aotc, const struct aotc_task *task,
		       struct err *err)
{
	for (uint32_t i = 0; i < task->request->function_count; i++) {
		uint32_t function = task->functions[i];
		const char *why;
		int rc = aotc->is_here[function]
				 ? aotc_body(aotc, function, &why, err)
				 : 0;

		if (rc > 0)
			main_leave(aotc, function, why);
		if (rc)
			return rc;
	}
	return 0;
}

static int main_try(struct aotc *aotc, const struct aotc_task *task,
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
		rc = main_bodies(aotc, task, err);
	if (rc == 0)
		rc = aotc_unit_emit(aotc, object, err);
	if (rc == 0 && aotc->is_large) {
		LLVMDisposeMemoryBuffer(*object);
		main_leave(aotc, aotc->large, "its frame is too large");
		rc = 1;
	}
	aotc_unit_close(aotc);
	return rc;
}

static int main_make(const struct aotc_task *task, LLVMMemoryBufferRef *object,
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
		rc = main_try(&aotc, task, object, err);
	wasm_validator_free(aotc.validator);
	free(aotc.is_here);
	free(aotc.functions);
	return rc;
}

static int main_run(struct err *err)
{
	struct aotc_task task = { 0 };
	LLVMMemoryBufferRef object;
	int rc = main_read(&task, err);

	if (rc >= 0)
		rc = main_make(&task, &object, err);
	if (rc >= 0)
		rc = fd_write_all(STDOUT_FILENO, LLVMGetBufferStart(object),
				  LLVMGetBufferSize(object), err);
	return rc;
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	unsigned major, minor, patch;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		LLVMGetVersion(&major, &minor, &patch);
		printf("brood-aotc (LLVM %u.%u.%u)\n", major, minor, patch);
		return AOTC_OK;
	}
	if (argc != 1) {
		fprintf(stderr, "usage: brood-aotc [--version]; it is started "
				"by \"brood compile --optimise\"\n");
		return AOTC_USE;
	}
	if (main_run(&err) < 0) {
		fprintf(stderr, "brood-aotc: %s\n", err.text);
		return AOTC_FAILED;
	}
	return AOTC_OK;
}
