/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a module: they are accepted or refused with words, within
 * memory in proportion to their number, of which nothing stays.  What was
 * accepted can be read again.
 *
 * Bytes behind a 'B' are a function's body in a module that has something of
 * all: the validator's fast way must say what its slow way says. */
#include "wasm/decode.h"
#include "wasm/validate_internal.h"
#include "wasm_bytes.h"
#include "wasm_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void read_expression(const struct wasm_expression *expression)
{
	struct wasm_reader reader =
		wasm_reader_of(expression->at, expression->len);
	enum wasm_operation op = WASM_OP_NOP;

	if (!expression->at)
		return;
	while (wasm_reader_left(&reader)) {
		op = wasm_read_operation(&reader);
		require(op != WASM_OPERATIONS);
		require(wasm_skip_immediates(&reader, op) == 0);
	}
	require(op == WASM_OP_END);
}

static void read_body(const struct wasm_function_decl *function)
{
	struct wasm_reader reader =
		wasm_reader_of(function->body, function->body_len);
	uint32_t locals = wasm_read_u32(&reader);
	struct wasm_expression code;

	while (locals--) {
		wasm_read_u32(&reader);
		wasm_read_value_type(&reader);
	}
	require(!reader.failed);
	code.at = reader.at;
	code.len = (uint32_t)wasm_reader_left(&reader);
	read_expression(&code);
}

static void read_again(const struct wasm_module *module)
{
	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		read_body(&module->functions[i]);
	for (uint32_t i = 0; i < module->global_count; i++)
		read_expression(&module->globals[i].init);
	for (uint32_t i = 0; i < module->table_count; i++)
		read_expression(&module->tables[i].init);
	for (uint32_t i = 0; i < module->elem_count; i++)
		read_expression(&module->elems[i].offset);
	for (uint32_t i = 0; i < module->data_count; i++)
		read_expression(&module->datas[i].offset);
	for (uint32_t i = 0; i < module->export_count; i++)
		require(wasm_module_find_export(
				module, module->exports[i].name.text,
				module->exports[i].name.len) == i);
	for (uint32_t i = 0; i < module->function_count && i < 8; i++)
		require(wasm_module_function_name(module, i).text != NULL);
}

/* Are the weights the same?  A loser has none. */
static void compare(struct wasm_validator *fast, struct wasm_validator *slow,
		    uint32_t function)
{
	struct wasm_weights a = { 0 }, b = { 0 };
	struct wasm_error error_a = { .text = "" }, error_b = { .text = "" };
	int result = wasm_validate_body(fast, function, &a, &error_a);

	slow->is_careful = true;
	require(wasm_validate_body(slow, function, &b, &error_b) == result);
	if (result < 0) {
		require(error_a.text[0] && error_b.text[0]);
		return;
	}
	require(a.local_count == b.local_count &&
		a.call_weight == b.call_weight &&
		a.call_count == b.call_count && a.loop_count == b.loop_count &&
		a.deepest_stack == b.deepest_stack && a.has_try == b.has_try &&
		a.has_simd == b.has_simd);
	if (!a.local_count)
		return;
	require(!memcmp(a.uses, b.uses, a.local_count * 4ull));
	require(!memcmp(a.needs_zero, b.needs_zero, a.local_count));
}

static void compare_all(const struct wasm_module *module)
{
	struct wasm_validator *fast = wasm_validator_new(module);
	struct wasm_validator *slow = wasm_validator_new(module);

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		compare(fast, slow, i);
	wasm_validator_free(fast);
	wasm_validator_free(slow);
}

static void use_module(const uint8_t *data, size_t size)
{
	struct wasm_module *module;
	struct wasm_types *types;
	struct wasm_error error;
	struct test_host host;

	test_host_init(&host);
	types = wasm_types_new(&host.hooks);
	if (wasm_module_load(&module, &host.hooks, types, data, size, NULL,
			     &error) < 0) {
		require(!module && error.text[0]);
	} else {
		read_again(module);
		compare_all(module);
	}
	/* 50,000 locals are what a few bytes can ask for. */
	require(host.most_bytes < (int64_t)(8 << 20) + 400 * (int64_t)size);
	wasm_module_free(module);
	wasm_types_free(types);
	require(host.blocks == 0 && host.bytes == 0);
}

/* Types 0 to 8, imports, tables, memories, globals, a tag, segments, and a
 * function of [i32 i64] -> [i32], number 2. */
static struct bytes body_module(void)
{
	struct bytes bytes = bytes_module(), body = { 0 };

	SECTION(&bytes, 1, 9, 0x60, 0, 0, 0x60, 2, 0x7f, 0x7e, 1, 0x7f, 0x60, 1,
		0x7d, 2, 0x7c, 0x7b, 0x50, 0, 0x5f, 2, 0x7f, 1, 0x78, 1, 0x50,
		1, 3, 0x5f, 3, 0x7f, 1, 0x78, 1, 0x64, 3, 0, 0x5e, 0x63, 3, 1,
		0x5e, 0x77, 1, 0x60, 1, 0x64, 3, 1, 0x63, 0x6e, 0x60, 1, 0x7f,
		0);
	SECTION(&bytes, 2, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3, 0x7f, 0);
	SECTION(&bytes, 3, 1, 1);
	SECTION(&bytes, 4, 2, 0x70, 0, 8, 0x6e, 4, 8);
	SECTION(&bytes, 5, 3, 0, 1, 4, 1, 3, 1, 1);
	SECTION(&bytes, 13, 2, 0, 8, 0, 0);
	SECTION(&bytes, 6, 3, 0x7f, 1, 0x41, 0, 0x0b, 0x7e, 1, 0x42, 0, 0x0b,
		0x63, 3, 1, 0xd0, 3, 0x0b);
	SECTION(&bytes, 9, 2, 3, 0, 3, 0, 1, 2, 5, 0x6e, 0);
	SECTION(&bytes, 12, 1);
	PUT(&body, 0, 0x00, 0x0b);
	put_code(&bytes, &body);
	SECTION(&bytes, 11, 1, 1, 1, 'd');
	return bytes;
}

/* The validator sees the body as the last of its module, so that each length
 * of what lies behind it can be tried. */
static void use_body(const uint8_t *data, size_t size)
{
	struct bytes bytes = body_module(), body = { 0 };
	struct wasm_function_decl *function;
	struct wasm_module *module;
	struct wasm_types *types;
	struct wasm_error error;
	struct test_host host;

	test_host_init(&host);
	types = wasm_types_new(&host.hooks);
	require(wasm_module_load(&module, &host.hooks, types, bytes.at,
				 bytes.len, NULL, &error) == 0);
	put(&body, data, size);
	PUT(&body, 0, 0x0b, 0x80, 0, 0x0b, 0x0b, 0x41, 0x7f, 0, 0, 0, 0, 0, 0,
	    0, 0, 0, 0, 0, 0, 0, 0x0b, 0x0b, 0x0b);
	function = &module->functions[2];
	function->body = body.at;
	function->body_len = (uint32_t)size;
	module->bytes = body.at;
	module->len = body.len;
	compare_all(module);
	wasm_module_free(module);
	wasm_types_free(types);
	require(host.blocks == 0 && host.bytes == 0);
	free(bytes.at);
	free(body.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && *data == 'B')
		use_body(data + 1, size - 1);
	else
		use_module(data, size);
	return 0;
}
