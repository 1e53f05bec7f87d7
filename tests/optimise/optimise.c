/* SPDX-License-Identifier: Apache-2.0 */
#include "optimise/optimise.h"
#include "aot/aot.h"
#include "aot/join.h"
#include "aotc/aotc.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct optimise {
	struct vm vm; /* of the module that is being compiled */
	struct vm_options options;
	struct cache_options cache;
	uint64_t seed;
};

int optimise_open(struct optimise **made, const char *place, uint64_t seed,
		  const struct vm_code_options *code, struct err *err)
{
	struct optimise *optimise = *made = calloc(1, sizeof(*optimise));

	if (!optimise)
		return err_set(err, -ENOMEM, "optimise");
	optimise->seed = seed;
	optimise->cache.place = place;
	optimise->options.cache = &optimise->cache;
	optimise->options.code = *code;
	optimise->options.code.cache = NULL;
	return 0;
}

void optimise_close(struct optimise *optimise)
{
	free(optimise);
}

/* ---- which functions --------------------------------------------------------- */

static uint64_t optimise_mix(uint64_t number)
{
	number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
	return number ^ number >> 31;
}

static uint32_t optimise_choose(const struct optimise *optimise,
				const struct wasm_module *module,
				uint32_t *functions)
{
	uint64_t seed = optimise_mix(optimise->seed * 257 + module->len);
	uint32_t count = 0;

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		if (!optimise->seed || optimise_mix(seed + i) & 1)
			functions[count++] = i;
	return count;
}

/* ---- a unit ------------------------------------------------------------------ */

static int optimise_request(const struct wasm_module *module,
			    const struct jit_options *kind,
			    const uint32_t *functions, uint32_t count,
			    struct buf *bytes)
{
	const struct aot_request request = {
		.magic = AOT_MAGIC,
		.version = AOT_VERSION,
		.options = kind->options,
		.features = kind->features,
		.function_count = count,
		.module_bytes = module->len,
	};

	buf_add(bytes, &request, sizeof(request));
	buf_add(bytes, functions, count * sizeof(*functions));
	buf_add(bytes, module->bytes, module->len);
	return 0;
}

static void optimise_words(const char *words, struct optimise_sum *sum)
{
	size_t len = strlen(words), room = sizeof(sum->left) - 1;

	len = len < room - sum->why_left ? len : room - sum->why_left;
	memcpy(sum->left + sum->why_left, words, len);
	sum->why_left += len;
}

static int optimise_compile(const struct buf *request, struct buf *object,
			    struct optimise_sum *sum, struct err *err)
{
	char *words = NULL;
	size_t len = 0;
	FILE *file = open_memstream(&words, &len);
	LLVMMemoryBufferRef made;
	int rc;

	if (!file)
		return err_set(err, -ENOMEM, "optimise");
	rc = aotc_make(request->data, request->len, file, &made, err);
	fclose(file);
	if (rc >= 0) {
		buf_add(object, LLVMGetBufferStart(made),
			LLVMGetBufferSize(made));
		LLVMDisposeMemoryBuffer(made);
		optimise_words(words, sum);
	}
	free(words);
	return rc;
}

/* As src/aot reads one chunk, and lays it out. */
static int optimise_link(const struct wasm_module *module,
			 const uint32_t *functions, uint32_t count,
			 const struct buf *object, struct aot_made *made,
			 struct err *err)
{
	const struct aot_wanted wanted = {
		.imported = module->imported_functions,
		.function_count = module->function_count,
		.functions = functions,
		.count = count,
	};
	int rc;

	made->objects = calloc(1, sizeof(*made->objects));
	if (!made->objects)
		return err_set(err, -ENOMEM, "optimise");
	rc = aot_object_read(made->objects, object->data, object->len, &wanted,
			     err);
	if (rc < 0)
		return rc;
	if (made->objects[0].made_count)
		made->object_count = 1;
	else
		aot_object_fini(&made->objects[0]);
	return aot_join(made, err);
}

static int optimise_functions(const struct optimise *optimise,
			      const struct wasm_module *module,
			      struct aot_made *made, struct optimise_sum *sum,
			      struct err *err)
{
	auto_buf struct buf request = { 0 }, object = { 0 };
	uint32_t *functions = calloc(module->function_count + 1ull,
				     sizeof(*functions)),
		 count;
	struct jit_options kind;
	int rc = 0;

	if (!functions)
		return err_set(err, -ENOMEM, "optimise");
	count = optimise_choose(optimise, module, functions);
	sum->functions += count;
	vm_code_kind(&optimise->vm, module, &kind);
	optimise_request(module, &kind, functions, count, &request);
	if (kind.options & CODE_TAILS && count)
		optimise_words("f0: a module with tail calls\n", sum);
	else if (count)
		rc = optimise_compile(&request, &object, sum, err);
	if (rc >= 0 && object.len)
		rc = optimise_link(module, functions, count, &object, made,
				   err);
	free(functions);
	return rc;
}

/* ---- into the cache ---------------------------------------------------------- */

static int optimise_replace(struct optimise *optimise,
			    const struct wasm_module *module,
			    const struct aot_made *made, struct err *err)
{
	struct cache_object *object, *next;
	int rc = vm_compile(&optimise->vm, module, &object, err);

	if (rc >= 0)
		rc = cache_published(object, err);
	if (rc < 0 || !made->link.made_count)
		return rc;
	while ((rc = cache_replace(object, &next, err)) == -EWOULDBLOCK)
		;
	if (rc < 0)
		return rc;
	if (next->result == CACHE_HIT) /* another has just done it */
		return 0;
	rc = vm_optimise(&optimise->vm, module, &made->link, next, err);
	return rc < 0 ? rc : cache_published(next, err);
}

static int optimise_loaded(struct optimise *optimise,
			   const struct wasm_module *module,
			   struct optimise_sum *sum, struct err *err)
{
	struct aot_made made = { 0 };
	uint32_t count;
	int rc = optimise_functions(optimise, module, &made, sum, err);

	if (rc >= 0)
		rc = optimise_replace(optimise, module, &made, err);
	count = made.link.made_count;
	sum->made += count;
	aot_made_fini(&made);
	return rc < 0 ? rc : (int)count;
}

int optimise_module(struct optimise *optimise, const void *bytes, size_t len,
		    struct optimise_sum *sum, struct err *err)
{
	struct wasm_module *module;
	int rc = vm_init(&optimise->vm, &optimise->options, err);

	if (rc >= 0)
		rc = vm_load_in_place(&optimise->vm, bytes, len, &module, err);
	if (rc >= 0)
		rc = optimise_loaded(optimise, module, sum, err);
	vm_fini(&optimise->vm);
	return rc;
}

int optimise_count(struct vm *vm, const struct wasm_module *module)
{
	struct cache_object *object;

	if (vm_compile(vm, module, &object, NULL) < 0 ||
	    object->result != CACHE_HIT)
		return -1;
	return (int)((const struct code_header *)object->image)
		->optimised_count;
}
