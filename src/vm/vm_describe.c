/* SPDX-License-Identifier: Apache-2.0 */
/* For people: types of functions and of externs, and how a run ended. */
#include "base/buf.h"
#include "jit/jit.h"
#include "vm/vm_internal.h"
#include <errno.h>
#include <string.h>

static void vm_describe_types(const wasm_type *types, uint32_t count,
			      struct buf *text)
{
	for (uint32_t i = 0; i < count; i++) {
		char word[64];

		wasm_type_format(types[i], word, sizeof word);
		buf_format(text, "%s%s", i ? ", " : "", word);
	}
}

void vm_describe_function(const struct wasm_deftype *type, struct buf *text)
{
	buf_text(text, "(");
	vm_describe_types(type->params, type->param_count, text);
	buf_text(text, ") -> ");
	if (type->result_count != 1)
		buf_text(text, "(");
	vm_describe_types(type->results, type->result_count, text);
	if (type->result_count != 1)
		buf_text(text, ")");
}

/* A name comes from a module, and so may a message: what a terminal might obey
 * is shown, not sent. */
static void vm_describe_text(struct wasm_name name, bool is_quoted,
			     struct buf *text)
{
	for (uint32_t i = 0; i < name.len; i++) {
		uint8_t byte = (uint8_t)name.text[i];
		bool c1 = byte == 0xc2 && i + 1 < name.len &&
			  (uint8_t)name.text[i + 1] < 0xa0;
		bool quote = is_quoted && (byte == '"' || byte == '\\');

		if (byte < 0x20 || byte == 0x7f || quote || c1)
			buf_format(text, "\\%02x", byte);
		else
			buf_add(text, &name.text[i], 1);
	}
}

void vm_describe_name(struct wasm_name name, struct buf *text)
{
	vm_describe_text(name, true, text);
}

static void vm_describe_limits(const struct wasm_limits *limits,
			       struct buf *text)
{
	buf_format(text, "%s%llu", limits->is64 ? "i64 " : "",
		   (unsigned long long)limits->least);
	if (limits->has_most)
		buf_format(text, " %llu", (unsigned long long)limits->most);
	if (limits->is_shared)
		buf_text(text, " shared");
}

static void vm_describe_table(const struct wasm_limits *limits, wasm_type type,
			      struct buf *text)
{
	char word[64];

	wasm_type_format(type, word, sizeof word);
	vm_describe_limits(limits, text);
	buf_format(text, " %s", word);
}

static void vm_describe_memory(const struct wasm_limits *limits,
			       struct buf *text)
{
	vm_describe_limits(limits, text);
	if (limits->page_log2 != 16)
		buf_format(text, " (pagesize %u)", 1u << limits->page_log2);
}

static void vm_describe_global(wasm_type type, bool is_mutable,
			       struct buf *text)
{
	char word[64];

	wasm_type_format(type, word, sizeof word);
	buf_format(text, is_mutable ? "(mut %s)" : "%s", word);
}

const char *vm_describe_kind(enum wasm_extern_kind kind)
{
	static const char *const words[] = { "function", "table", "memory",
					     "global", "tag" };

	return words[kind];
}

void vm_describe_decl(const struct wasm_module *module,
		      enum wasm_extern_kind kind, uint32_t index,
		      struct buf *text)
{
	switch (kind) {
	case WASM_EXTERN_FUNCTION:
		vm_describe_function(
			wasm_types_get(module->types,
				       module->functions[index].type),
			text);
		break;
	case WASM_EXTERN_TABLE:
		vm_describe_table(&module->tables[index].limits,
				  module->tables[index].type, text);
		break;
	case WASM_EXTERN_MEMORY:
		vm_describe_memory(&module->memories[index].limits, text);
		break;
	case WASM_EXTERN_GLOBAL:
		vm_describe_global(module->globals[index].type,
				   module->globals[index].is_mutable, text);
		break;
	case WASM_EXTERN_TAG:
		vm_describe_function(wasm_types_get(module->types,
						    module->tags[index].type),
				     text);
		break;
	}
}

static uint64_t vm_describe_pages(const struct wasm_memory *memory)
{
	return memory->bytes >> memory->limits.page_log2;
}

void vm_describe_extern(const struct wasm_types *types,
			const struct wasm_extern *what, struct buf *text)
{
	struct wasm_limits limits;

	switch (what->kind) {
	case WASM_EXTERN_FUNCTION:
		vm_describe_function(
			wasm_types_get(types, what->function->type), text);
		break;
	case WASM_EXTERN_TABLE:
		limits = what->table->limits;
		limits.least = what->table->length;
		vm_describe_table(&limits, what->table->type, text);
		break;
	case WASM_EXTERN_MEMORY:
		limits = what->memory->limits;
		limits.least = vm_describe_pages(what->memory);
		vm_describe_memory(&limits, text);
		break;
	case WASM_EXTERN_GLOBAL:
		vm_describe_global(what->global->type, what->global->is_mutable,
				   text);
		break;
	case WASM_EXTERN_TAG:
		vm_describe_function(wasm_types_get(types, what->tag->type),
				     text);
		break;
	}
}

/* ---- how a run ended -------------------------------------------------------- */

static void vm_describe_frame(const struct vm_frame *frame, uint32_t number,
			      struct buf *text)
{
	struct wasm_name name;

	buf_format(text, "  %u: ", number);
	if (!frame->module) {
		buf_text(text, "a function of the host\n");
		return;
	}
	name = wasm_module_function_name(frame->module, frame->function);
	buf_format(text, "function %u", frame->function);
	if (name.len) {
		buf_text(text, " \"");
		vm_describe_name(name, text);
		buf_text(text, "\"");
	}
	buf_format(text, " at 0x%x\n", frame->is_in_text ? 0 : frame->offset);
}

void vm_describe_run(enum wasm_trap trap, const char *message,
		     const struct vm_frame *frames, uint32_t count,
		     uint32_t total, struct buf *text)
{
	struct wasm_name what = { .text = wasm_trap_text(trap) };

	if (trap == WASM_TRAP_host && message && message[0])
		what.text = message;
	what.len = (uint32_t)strlen(what.text);
	buf_text(text, "trap: ");
	vm_describe_text(what, false, text);
	buf_text(text, "\n");
	for (uint32_t i = 0; i < count; i++)
		vm_describe_frame(&frames[i], i, text);
	if (total > count)
		buf_format(text, "  ... and %u more\n", total - count);
}

void vm_describe_trap(struct vm *vm, enum wasm_trap trap, struct buf *text)
{
	const struct wasm_store *store = vm->store;
	struct vm_frame frames[WASM_TRACE_MOST];

	for (uint32_t i = 0; i < store->trace_count; i++) {
		const struct wasm_frame *from = &store->trace[i];

		frames[i] = (struct vm_frame){
			.module =
				from->instance ? from->instance->module : NULL,
			.function = from->function,
			.offset = from->offset,
		};
	}
	vm_describe_run(trap, store->message, frames, store->trace_count,
			store->trace_total, text);
}

/* Is there such a function, and is it where the frame is? */
static bool vm_describe_is_place(const struct jit_code *code,
				 const struct vm_frame *frame)
{
	const struct wasm_module *module = code->module;
	uint32_t own = frame->function - module->imported_functions;

	return frame->module == module && frame->is_in_text &&
	       frame->function >= module->imported_functions &&
	       own < code->header->function_count &&
	       frame->offset >= code->functions[own].at &&
	       frame->offset < code->functions[own + 1].at;
}

/* The frames of one function, from the first on: it is compiled once for all
 * of them. */
static void vm_describe_function_places(const struct jit_code *code,
					struct vm_frame *frames, uint32_t count)
{
	struct jit_place places[WASM_TRACE_MOST];
	uint32_t which[WASM_TRACE_MOST], found = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (frames[i].function != frames[0].function ||
		    !vm_describe_is_place(code, &frames[i]))
			continue;
		which[found] = i;
		places[found++].at = frames[i].offset;
	}
	jit_places(code, frames[0].function, places, found);
	for (uint32_t i = 0; i < found; i++) {
		frames[which[i]].offset = places[i].origin;
		frames[which[i]].is_in_text = false;
	}
}

int vm_describe_places(const struct wasm_module *module, const void *image,
		       uint64_t len, struct vm_frame *frames, uint32_t count,
		       struct err *err)
{
	struct wasm_error error = { 0 };
	struct jit_code code;

	if (count > WASM_TRACE_MOST)
		return err_set(err, -E2BIG, "a trace of %u frames", count);
	if (jit_code_open(&code, module, image, len, &error) < 0)
		return err_set(err, -EINVAL, "%s", error.text);
	for (uint32_t i = 0; i < count; i++)
		if (vm_describe_is_place(&code, &frames[i]))
			vm_describe_function_places(&code, frames + i,
						    count - i);
	jit_code_close(&code);
	return 0;
}
