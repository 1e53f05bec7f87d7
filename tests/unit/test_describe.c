/* SPDX-License-Identifier: Apache-2.0 */
/* How a run ended, told from plain data: the same words as of a VM's own
 * trap, places in compiled code, and numbers that nobody may believe. */
#include "jit/jit.h"
#include "lib/made_vm.h"

static const char module_text[] =
	"(module (import \"h\" \"f\" (func $f (param i32)))"
	"(func $inner (param i32) (nop) (call $f (local.get 0)) (nop)"
	" (call $f (i32.add (local.get 0) (i32.const 1))) (nop))"
	"(func $outer (export \"g\") (param i32 i32) (result i32)"
	" (call $inner (local.get 0)) (i32.const 7)))";

/* What the host function saw: from where in the text it was called. */
static struct {
	struct wasm_instance *caller;
	uint32_t at;
} seen;

/* Traps when it gets a 3. */
static enum wasm_trap look(struct wasm_store *store, struct wasm_function *self,
			   struct wasm_instance *caller,
			   union wasm_value *slots)
{
	const struct jit_code *code = caller->native;

	(void)self;
	if (slots[0].i32 != 3)
		return WASM_OK;
	seen.caller = caller;
	seen.at = code ? (uint32_t)(store->native_pc - code->text) - 1 : 0;
	strcpy(store->message, "it had \"enough\"");
	return WASM_TRAP_host;
}

static bool begin(struct made *made, enum vm_via via)
{
	struct vm_options options = { .code.via = via };

	*made = (struct made){ 0 };
	seen.caller = NULL;
	if (vm_init(&made->vm, &options, &made_err) == 0 &&
	    vm_define_function(&made->vm, "h", "f", "i>", look, NULL,
			       &made_err) == 0 &&
	    made_load(made, module_text) == 0 && made_instantiate(made) == 0)
		return true;
	printf("# %s\n", made_err.text);
	return false;
}

TEST(plain_data_has_the_same_words)
{
	auto_buf struct buf own = { 0 }, told = { 0 };
	struct vm_frame frames[3] = { 0 };
	struct wasm_store *store;
	struct made made;

	CHECK(begin(&made, VM_INTERPRETED));
	CHECK_INT(made_call(&made, "g", 2, 0, NULL), WASM_TRAP_host);
	store = made.vm.store;
	CHECK_INT(store->trace_count, 3);
	vm_describe_trap(&made.vm, WASM_TRAP_host, &own);
	for (int i = 0; i < 3; i++)
		frames[i] = (struct vm_frame){
			i ? made.module : NULL,
			store->trace[i].function,
			store->trace[i].offset,
			false,
		};
	vm_describe_run(WASM_TRAP_host, store->message, frames, 3, 3, &told);
	CHECK_TEXT(buf_string(&told), buf_string(&own));
	CHECK(strncmp(buf_string(&own),
		      "trap: it had \"enough\"\n"
		      "  0: a function of the host\n"
		      "  1: function 1 \"inner\" at 0x",
		      79) == 0);
	made_close(&made);
}

TEST(no_number_is_believed)
{
	auto_buf struct buf text = { 0 };
	struct vm_frame frames[2] = { { .function = 9 } };
	struct made made;

	CHECK(begin(&made, VM_INTERPRETED));
	frames[1] = (struct vm_frame){ made.module, ~0u, ~0u, false };
	vm_describe_run((enum wasm_trap)1000, "no", frames, 2, 1, &text);
	CHECK_TEXT(buf_string(&text),
		   "trap: unknown trap\n"
		   "  0: a function of the host\n"
		   "  1: function 4294967295 at 0xffffffff\n");
	buf_clear(&text);
	vm_describe_run(WASM_TRAP_host, "\33[2J\n\\\"", NULL, 0, ~0u, &text);
	CHECK_TEXT(buf_string(&text), "trap: \\1b[2J\\0a\\\"\n"
				      "  ... and 4294967295 more\n");
	buf_clear(&text);
	vm_describe_run(WASM_TRAP_host, NULL, NULL, 0, 0, &text);
	CHECK_TEXT(buf_string(&text), "trap: host function failed\n");
	made_close(&made);
}

/* ---- places in compiled code ------------------------------------------------ */

TEST(a_place_in_the_text_is_one_in_the_module)
{
	struct made made;
	const struct jit_code *code;
	struct vm_frame frame;
	uint32_t offset;

	CHECK(begin(&made, VM_COMPILED));
	for (uint32_t given = 2; given < 4; given++) {
		CHECK_INT(made_call(&made, "g", given, 0, NULL),
			  WASM_TRAP_host);
		offset = made.vm.store->trace[1].offset;
		CHECK_INT(made.vm.store->trace[1].function, 1);
		code = seen.caller->native;
		frame = (struct vm_frame){ made.module, 1, seen.at, true };
		CHECK_INT(vm_describe_places(made.module, code->header,
					     code->header->file_bytes, &frame,
					     1, NULL),
			  0);
		CHECK_INT(frame.offset, offset);
		CHECK(!frame.is_in_text);
	}
	made_close(&made);
}

/* All places that there are, and some that there are not. */
TEST(each_place_is_in_its_function)
{
	struct made made;
	const struct jit_code *code;
	struct vm_frame frames[WASM_TRACE_MOST];
	uint32_t text_bytes, known = 0;

	CHECK(begin(&made, VM_COMPILED));
	CHECK_INT(made_call(&made, "g", 3, 0, NULL), WASM_TRAP_host);
	code = seen.caller->native;
	text_bytes = (uint32_t)code->header->text_bytes;
	for (uint32_t at = 0; at < text_bytes + 64; at += 32) {
		for (uint32_t i = 0; i < WASM_TRACE_MOST; i++)
			frames[i] = (struct vm_frame){ made.module, i / 2 % 4,
						       at + i / 2, true };
		CHECK_INT(vm_describe_places(made.module, code->header,
					     code->header->file_bytes, frames,
					     WASM_TRACE_MOST, NULL),
			  0);
		for (uint32_t i = 0; i < WASM_TRACE_MOST; i++) {
			if (frames[i].is_in_text)
				continue;
			known++;
			CHECK(frames[i].function == 1 ||
			      frames[i].function == 2);
			CHECK(frames[i].offset < 1000);
		}
	}
	CHECK(known > 50);
	made_close(&made);
}

static void check_refused(const struct wasm_module *module, const void *image,
			  uint64_t len, uint32_t count)
{
	struct vm_frame frames[WASM_TRACE_MOST + 1] = {
		{ module, 1, 0xffffffff, true },
		{ module, 0, 0, true },
		{ module, ~0u, 0, true },
		{ NULL, 1, 600, true },
	};
	struct err err = { 0 };

	CHECK(vm_describe_places(module, image, len, frames, count, &err) < 0);
	CHECK(err.text[0]);
	for (int i = 0; i < 4; i++)
		CHECK(frames[i].is_in_text);
}

TEST(code_of_another_module_tells_nothing)
{
	static const struct code_header no_image[2];
	struct made made, other;
	const struct jit_code *code;
	struct vm_frame frame;

	CHECK(begin(&made, VM_COMPILED));
	CHECK_INT(made_call(&made, "g", 3, 0, NULL), WASM_TRAP_host);
	CHECK(made_open(&other, NULL, "(module (func) (func) (func))"));
	code = seen.caller->native;
	check_refused(made.module, no_image, sizeof no_image, 4);
	check_refused(made.module, code->header, 100, 4);
	check_refused(other.module, code->header, code->header->file_bytes, 4);
	check_refused(made.module, code->header, code->header->file_bytes,
		      WASM_TRACE_MOST + 1);
	frame = (struct vm_frame){ other.module, 1, seen.at, true };
	CHECK_INT(vm_describe_places(made.module, code->header,
				     code->header->file_bytes, &frame, 1, NULL),
		  0);
	CHECK(frame.is_in_text);
	made_close(&other);
	made_close(&made);
}

TEST_MAIN
