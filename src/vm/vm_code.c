/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled code of modules.  A module is compiled when its first instance is
 * made, once for each kind of code that its instances need (code_option), by
 * as many threads as there are CPUs and as pays.  The code belongs to the
 * module and is shared by its instances.
 *
 * Code is written into memory of this process, which becomes executable only
 * when it can be written no more. */
#include "base/log.h"
#include "jit/jit.h"
#include "vm/vm_internal.h"
#include "vm/vm_profile.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
	THREADS_MOST = 16,
	BYTES_OF_THREAD = 256 * 1024, /* of code, that a thread pays for */
	CHUNK = 32 /* functions that a thread takes at once */
};

struct vm_code {
	struct vm_code *next;
	struct jit_code code;
	struct jit_options options;
	uint8_t *image;
	uint64_t image_bytes;
	struct cache_object *object; /* whose the image is; NULL: its own */
	bool is_entered, is_made;    /* made: else it cannot be */
	const char *why;	     /* it cannot */
};

/* Compiling */

struct vm_compile {
	const struct wasm_module *module;
	const struct vm_code_options *wanted;
	const struct jit_link *made; /* by another compiler */
	struct jit_compiler *compilers[THREADS_MOST];
	unsigned count;
	uint32_t next; /* function; atomic */
	int failed;    /* atomic */
};
struct vm_compile_thread {
	struct vm_compile *compile;
	struct jit_compiler *compiler;
	bool shows; /* its work is looked at */
};

static uint32_t vm_code_take(struct vm_compile *compile, uint32_t *end)
{
	uint32_t count = compile->module->function_count;
	uint32_t first =
		__atomic_fetch_add(&compile->next, CHUNK, __ATOMIC_RELAXED);

	if (first > count)
		first = count;
	*end = count - first < CHUNK ? count : first + CHUNK;
	return first;
}

/* The first one made that is this function or comes behind it. */
static const struct jit_made *vm_code_find_made(const struct jit_link *link,
						uint32_t function)
{
	uint32_t low = 0, high = link->made_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (link->made[middle].function < function)
			low = middle + 1;
		else
			high = middle;
	}
	return link->made + low;
}

static bool vm_code_some(struct vm_compile *compile,
			 struct jit_compiler *compiler, uint32_t first,
			 uint32_t end)
{
	const struct jit_link *link = compile->made;
	const struct jit_made *made = vm_code_find_made(link, first);
	const struct jit_made *last = link->made + link->made_count;
	struct wasm_error error;

	for (uint32_t i = first; i < end; i++) {
		if (made < last && made->function == i) {
			made++;
		} else if (jit_compile(compiler, i, &error) < 0) {
			__atomic_store_n(&compile->failed, 1, __ATOMIC_RELAXED);
			return false;
		}
	}
	return true;
}

static void *vm_code_work(void *data)
{
	struct vm_compile_thread *thread = data;
	struct vm_compile *compile = thread->compile;
	uint32_t i, end;

	for (i = vm_code_take(compile, &end); i < end;
	     i = vm_code_take(compile, &end)) {
		if (!vm_code_some(compile, thread->compiler, i, end))
			return NULL;
		if (thread->shows)
			compile->wanted->progress(
				compile->wanted->progress_env);
	}
	return NULL;
}

static unsigned vm_code_threads(const struct wasm_module *module)
{
	cpu_set_t set;
	uint64_t bytes = 0, most;
	unsigned cpus = 1;

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		bytes += module->functions[i].body_len;
	most = bytes / BYTES_OF_THREAD + 1;
	if (most > 1 && sched_getaffinity(0, sizeof(set), &set) == 0)
		cpus = (unsigned)CPU_COUNT(&set);
	if (cpus > THREADS_MOST)
		cpus = THREADS_MOST;
	return most < cpus ? (unsigned)most : cpus;
}

/* The calling thread works too; a thread that cannot be had is missed. */
static void vm_code_run_threads(struct vm_compile *compile)
{
	struct vm_compile_thread work[THREADS_MOST];
	pthread_t threads[THREADS_MOST];
	bool runs[THREADS_MOST] = { false };

	for (unsigned i = 0; i < compile->count; i++) {
		work[i] = (struct vm_compile_thread){
			compile, compile->compilers[i],
			i == 0 && compile->wanted->progress
		};
		if (i > 0)
			runs[i] = pthread_create(&threads[i], NULL,
						 vm_code_work, &work[i]) == 0;
	}
	vm_code_work(&work[0]);
	for (unsigned i = 1; i < compile->count; i++)
		if (runs[i])
			pthread_join(threads[i], NULL);
}

static bool vm_code_compile(struct vm_compile *compile,
			    const struct jit_options *options)
{
	unsigned threads = vm_code_threads(compile->module);

	compile->next = compile->module->imported_functions;
	for (unsigned i = 0; i < threads; i++) {
		struct jit_compiler *compiler =
			jit_compiler_new(compile->module, options);

		if (!compiler)
			return false;
		compile->compilers[compile->count++] = compiler;
	}
	vm_code_run_threads(compile);
	return !compile->failed;
}

/* The image: in the cache's range, or in memory of its own. */

static bool vm_code_seal(struct vm_code *code)
{
	const struct code_header *header =
		(const struct code_header *)code->image;
	uint64_t text_at = header->text_at;

	if (mprotect(code->image, text_at, PROT_READ) == 0 &&
	    mprotect(code->image + text_at, code->image_bytes - text_at,
		     PROT_READ | PROT_EXEC) == 0)
		return true;
	code->why = "the system lets it make no memory executable";
	return false;
}

static bool vm_code_write_own(struct vm_code *code, const struct jit_link *link)
{
	code->image_bytes = jit_image_bytes(link);
	if (!code->image_bytes)
		return false;
	code->image = mmap(NULL, code->image_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code->image == MAP_FAILED) {
		code->image = NULL;
		return false;
	}
	return jit_image_write(link, code->image) == 0 && vm_code_seal(code);
}

/* What was reserved is zero. */
static bool vm_code_write_parts(struct vm_code *code,
				const struct jit_link *link)
{
	uint64_t bytes = jit_image_bytes(link);
	const struct code_header *header;

	if (!bytes || cache_reserve(code->object, bytes, NULL) < 0 ||
	    jit_image_write(link, code->object->image) < 0)
		return false;
	header = (const struct code_header *)code->object->image;
	vm_image_put(code->code.module, link->runs, link->run_count,
		     code->object->image + header->pages_at);
	return cache_seal(code->object, NULL) == 0;
}

/* CLAIM 1.6 1.7 */
static bool vm_code_write_object(struct vm_code *code,
				 const struct jit_link *parts)
{
	const struct wasm_module *module = code->code.module;
	struct jit_link link = *parts;
	struct vm_pages pages;
	bool is_written;

	vm_image_pages(module, &pages);
	link.has_module = true;
	link.runs = pages.runs;
	link.run_count = pages.count;
	link.page_count = pages.page_count;
	is_written = vm_code_write_parts(code, &link);
	vm_pages_fini(&pages);
	if (is_written)
		cache_publish(code->object);
	return is_written;
}

static void vm_code_drop_image(struct vm_code *code)
{
	if (code->object)
		cache_drop(code->object);
	else if (code->image)
		munmap(code->image, code->image_bytes);
	code->object = NULL;
	code->image = NULL;
}

/* Where the cache's range is full, the code has its own memory. */
static bool vm_code_write(struct vm_code *code, const struct jit_link *link)
{
	if (!code->object)
		return vm_code_write_own(code, link);
	if (vm_code_write_object(code, link))
		return true;
	vm_code_drop_image(code);
	return vm_code_write_own(code, link);
}

static bool vm_code_open(struct vm_code *code, const struct wasm_module *module)
{
	struct wasm_error error;

	if (code->object) {
		code->image = code->object->image;
		code->image_bytes = code->object->len;
	}
	code->is_made = jit_code_open(&code->code, module, code->image,
				      code->image_bytes, &error) == 0;
	return code->is_made;
}

/* CLAIM 1.5 */
static void vm_code_make(struct vm_code *code, const struct wasm_module *module,
			 const struct vm_code_options *wanted,
			 const struct jit_link *made)
{
	struct vm_compile compile = { .module = module,
				      .wanted = wanted,
				      .made = made };

	code->why = "there is not enough memory to compile it";

	if (vm_code_compile(&compile, &code->options)) {
		struct jit_link link = *made;

		link.compilers = compile.compilers;
		link.count = compile.count;
		if (vm_code_write(code, &link))
			vm_code_open(code, module);
	}
	log_event("code.compile", "\"functions\":%u,\"threads\":%u",
		  module->function_count - module->imported_functions -
			  made->made_count,
		  compile.count);
	for (unsigned i = 0; i < compile.count; i++)
		jit_compiler_free(compile.compilers[i]);
	if (!code->is_made)
		vm_code_drop_image(code);
	else if (wanted->told)
		wanted->told->compiled += module->function_count -
					  module->imported_functions -
					  made->made_count;
}

/* CLAIM 1.9 1.12 */
static bool vm_code_find_object(struct vm_code *code,
				const struct wasm_module *module,
				const struct vm_code_options *wanted)
{
	struct cache_request request = { .fd = -1 };

	if (!wanted->cache || code->options.without)
		return false;
	if (wanted->source.bytes == module->bytes &&
	    wanted->source.len == module->len)
		request = wanted->source;
	request.given = NULL; /* it is of the module that it holds */
	request.bytes = module->bytes;
	request.len = module->len;
	request.options = code->options.options;
	request.features = code->options.features;
	if (cache_get(wanted->cache, &request, &code->object) != CACHE_HIT)
		return false;
	if (vm_code_open(code, module))
		return true;
	vm_code_drop_image(code);
	return false;
}

static void vm_code_fill(struct vm_code *code, const struct wasm_module *module,
			 const struct vm_code_options *wanted)
{
	static const struct jit_link none = { 0 };

	if (!vm_code_find_object(code, module, wanted))
		vm_code_make(code, module, wanted, &none);
}

/* Of modules */

static void vm_code_drop(struct wasm_module *module)
{
	struct vm_code *code = module->code_data;

	while (code) {
		struct vm_code *next = code->next;

		jit_code_close(&code->code);
		vm_code_drop_image(code);
		free(code);
		code = next;
	}
	module->code_data = NULL;
}

static struct vm_code *vm_code_find(struct vm_code *code,
				    const struct jit_options *options)
{
	while (code && (code->options.options != options->options ||
			code->options.features != options->features ||
			code->options.without != options->without))
		code = code->next;
	return code;
}

/* Modules do not change but for what hosts attach, under the lock. */
static struct vm_code *vm_code_of(const struct wasm_module *of,
				  const struct jit_options *options,
				  const struct vm_code_options *wanted)
{
	struct wasm_module *module = (struct wasm_module *)of;
	struct vm_code *code;

	vm_lock(NULL);
	code = vm_code_find(module->code_data, options);
	if (!code)
		code = calloc(1, sizeof(*code));
	if (code && !code->is_entered) {
		code->is_entered = true;
		code->options = *options;
		code->code.module = module;
		vm_code_fill(code, module, wanted);
		code->next = module->code_data;
		module->code_data = code;
		module->code_drop = vm_code_drop;
	}
	vm_unlock(NULL);
	return code;
}

struct cache_object *vm_code_object(const struct wasm_module *module)
{
	struct vm_code *code = module->code_data;

	while (code &&
	       (!code->is_made || !code->object || code->object->fd < 0))
		code = code->next;
	return code ? code->object : NULL;
}

/* Known modules */

static const struct code_header *vm_code_header(const struct vm_code *code)
{
	return (const struct code_header *)code->image;
}

/* As an instance with a guarded memory will want it. */
struct vm_code *vm_code_find_known(struct vm *vm)
{
	const struct vm_code_options *wanted = &vm->options.code;
	struct cache_request request = wanted->source;
	struct vm_code *code;

	if (!wanted->cache || wanted->via == VM_INTERPRETED ||
	    wanted->without || (request.fd < 0 && !request.given))
		return NULL;
	code = calloc(1, sizeof(*code));
	if (!code)
		return NULL;
	code->options.options = vm->options.store.fuel ? CODE_FUEL : 0;
	code->options.features = jit_features() & ~wanted->without_features;
	request.bytes = NULL;
	request.len = request.stamp.size;
	request.options = code->options.options;
	request.features = code->options.features;
	if (cache_get(wanted->cache, &request, &code->object) == CACHE_HIT) {
		code->image = code->object->image;
		code->image_bytes = code->object->len;
		if (vm_code_header(code)->module_bytes)
			return code;
	}
	vm_code_forget(code);
	return NULL;
}

const void *vm_code_module_bytes(const struct vm_code *code, uint64_t *len)
{
	const struct code_header *header = vm_code_header(code);

	*len = header->module_bytes;
	return code->image + header->module_at;
}

void vm_code_attach(struct vm_code *code, struct wasm_module *module)
{
	module->has_tail_calls = vm_code_header(code)->options & CODE_TAILS;
	code->options.options |= vm_code_header(code)->options & CODE_TAILS;
	code->is_entered = true;
	code->code.module = module;
	vm_code_open(code, module);
	code->next = module->code_data;
	module->code_data = code;
	module->code_drop = vm_code_drop;
}

void vm_code_forget(struct vm_code *code)
{
	vm_code_drop_image(code);
	free(code);
}

void vm_code_kind(const struct vm *vm, const struct wasm_module *module,
		  struct jit_options *kind)
{
	const struct vm_code_options *wanted = &vm->options.code;

	*kind = (struct jit_options){
		.options = (vm->options.store.fuel ? CODE_FUEL : 0) |
			   (module->has_tail_calls ? CODE_TAILS : 0),
		.features = jit_features() & ~wanted->without_features,
		.without = wanted->without
	};
}

bool vm_code_prepare(struct vm *vm, const struct wasm_module *module)
{
	const struct vm_code_options *wanted = &vm->options.code;
	const struct vm_code *code;
	struct jit_options options;

	vm_code_kind(vm, module, &options);
	code = vm_code_of(module, &options, wanted);
	return code && code->is_made;
}

static void vm_code_tell(const struct vm_code_options *wanted, enum vm_way way,
			 const char *why)
{
	if (!wanted->told)
		return;
	wanted->told->way = way;
	wanted->told->why = why;
}

static bool vm_code_try(struct wasm_instance *instance,
			const struct vm_code_options *wanted)
{
	struct jit_options options = { .options = jit_options_of(instance),
				       .features = jit_features() &
						   ~wanted->without_features,
				       .without = wanted->without };
	const struct vm_code *code =
		vm_code_of(instance->module, &options, wanted);
	const char *why = "there is no memory for a stack";

	if (code && !code->is_made)
		why = code->why;
	else if (code && jit_bind(instance, &code->code))
		why = NULL;
	if (!why && wanted->profile)
		vm_profile_add(wanted->profile, &code->code, code->object);
	if (why)
		vm_code_tell(wanted, VM_BY_INTERPRETER, why);
	else
		vm_code_tell(wanted,
			     code->object && code->object->result == CACHE_HIT
				     ? VM_BY_MAPPED
				     : VM_BY_COMPILED,
			     NULL);
	return !why;
}

int vm_code_bind(void *env, struct wasm_instance *instance)
{
	static const struct vm_code_options usual = { .via = VM_AUTO };
	const struct vm_code_options *wanted = instance->store->code_data;

	(void)env;
	if (!wanted)
		wanted = &usual;
	if (wanted->via == VM_INTERPRETED) {
		vm_code_tell(wanted, VM_BY_INTERPRETER, "told so");
		return 0;
	}
	if (vm_code_try(instance, wanted) || wanted->via == VM_AUTO)
		return 0;
	return -1;
}

int vm_compile(struct vm *vm, const struct wasm_module *module,
	       struct cache_object **object, struct err *err)
{
	const struct vm_code_options *wanted = &vm->options.code;
	const struct vm_code *code;
	struct jit_options options;

	vm_code_kind(vm, module, &options);
	code = vm_code_of(module, &options, wanted);
	*object = NULL;
	if (!code || !code->is_made)
		return err_set(err, -ENOMEM, "compile a module");
	if (!code->object)
		return err_set(err, -ENOMEM, "place for code");
	*object = code->object;
	return 0;
}

/* The code that the module has here stays what it is: it may run. */
int vm_optimise(struct vm *vm, const struct wasm_module *module,
		const struct jit_link *made, struct cache_object *object,
		struct err *err)
{
	struct vm_code code = { .code.module = module, .object = object };

	vm_code_kind(vm, module, &code.options);
	vm_code_make(&code, module, &vm->options.code, made);
	jit_code_close(&code.code);
	if (!code.is_made)
		return err_set(err, -EPROTO,
			       "what was made cannot be linked, or there is "
			       "not enough memory");
	if (code.object)
		return 0;
	vm_code_drop_image(&code);
	return err_set(err, -ENOMEM, "place for code");
}
