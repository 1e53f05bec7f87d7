/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled or mapped by src/vm; where that is not to be, the bytes in pages of
 * their own, since a guest is shown pages. */
#include "domain/program.h"
#include "base/buf.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static int program_compile(struct program *program, struct err *err)
{
	const struct code_header *header;
	struct cache_object *object;
	int r = vm_compile(program->vm, program->module, &object, err);

	if (r < 0)
		return r;
	header = (const struct code_header *)object->image;
	program->code = (struct domain_code){
		.image = object->image,
		.len = object->len,
		.module_at = header->module_at,
		.module_bytes = header->module_bytes,
		.has_code = true,
	};
	program->way =
		object->result == CACHE_HIT ? VM_BY_MAPPED : VM_BY_COMPILED;
	program->why = NULL;
	return header->module_bytes
		       ? 0
		       : err_set(err, -EINVAL, "code without its module");
}

static int program_copy(struct program *program, struct err *err)
{
	const struct wasm_module *module = program->module;
	uint64_t bytes =
		(module->len + GUEST_PAGE - 1) & ~(uint64_t)(GUEST_PAGE - 1);
	uint8_t *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return err_set(err, -errno, "a module of %zu bytes",
			       module->len);
	memcpy(pages, module->bytes, module->len);
	program->pages = pages;
	program->pages_bytes = bytes;
	program->code = (struct domain_code){ .image = pages,
					      .len = bytes,
					      .module_bytes = module->len };
	program->way = VM_BY_INTERPRETER;
	return 0;
}

int program_open(struct program *program, struct vm *vm,
		 struct wasm_module *module, struct err *err)
{
	enum vm_via via = vm->options.code.via;
	struct err failed = { 0 };

	*program = (struct program){ .vm = vm,
				     .module = module,
				     .why = "told so" };
	if (via == VM_INTERPRETED)
		return program_copy(program, err);
	if (program_compile(program, &failed) >= 0)
		return 0;
	if (via == VM_COMPILED)
		return err_set(err, failed.code, "%s", failed.text);
	program->why = "it cannot be compiled here";
	return program_copy(program, err);
}

void program_close(struct program *program)
{
	if (program->pages)
		munmap(program->pages, program->pages_bytes);
	*program = (struct program){ 0 };
}

void program_describe(struct program *program, uint32_t number,
		      const struct domain_outcome *outcome, struct buf *text)
{
	struct vm_frame frames[GUEST_TRACE] = { 0 };

	if (!program->module && outcome->trace_count)
		vm_load_in_place(program->vm,
				 program->code.image + program->code.module_at,
				 program->code.module_bytes, &program->module,
				 NULL);
	for (uint32_t i = 0; i < outcome->trace_count; i++) {
		const struct guest_frame *from = &outcome->trace[i];

		if (from->module != number)
			continue;
		frames[i] = (struct vm_frame){
			.module = program->module,
			.function = from->function,
			.offset = from->offset,
			.is_in_text = from->is_native != 0,
		};
	}
	if (program->code.has_code && program->module)
		vm_describe_places(program->module, program->code.image,
				   program->code.len, frames,
				   outcome->trace_count, NULL);
	vm_describe_run(outcome->trap, outcome->message, frames,
			outcome->trace_count, outcome->trace_total, text);
}

/* Nothing runs here. */
static enum wasm_trap program_stub(struct wasm_store *store,
				   struct wasm_function *self,
				   struct wasm_instance *caller,
				   union wasm_value *slots)
{
	(void)store, (void)self, (void)caller, (void)slots;
	return WASM_TRAP_unreachable;
}

int program_define(struct vm *vm, struct err *err)
{
	static const struct {
		const char *name, *signature;
	} services[] = { { "ready", ">" },
#define SERVICE(name, signature) { #name, signature },
			 GUEST_SERVICES(SERVICE)
#undef SERVICE
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sizeof(services) / sizeof(*services);
	     i++)
		r = vm_define_function(vm, "brood", services[i].name,
				       services[i].signature, program_stub,
				       NULL, err);
	return r;
}
