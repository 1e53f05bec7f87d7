/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as choices for a valid module (generate.h): it loads, and gives
 * the same with guarded memories and with checked ones, with fuel and
 * without, with a collection at each object, linked to the host or to another
 * instance, and when its text is read again. */
#include "base/buf.h"
#include "fuzz/generate.h"
#include "fuzz/play.h"
#include "jit/jit.h"
#include "vm/vm.h"
#include "wat/wat.h"
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what, const struct buf *a, const struct buf *b)
{
	fprintf(stderr, "%s:\n%s--\n%s", what, buf_string(a), buf_string(b));
	__builtin_trap();
}

static void compare(const struct buf *binary, const struct play *play,
		    const char *what, const struct buf *expected)
{
	auto_buf struct buf text = { 0 };

	play_module(binary->data, binary->len, play, &text);
	if (strcmp(buf_string(&text), buf_string(expected)) != 0)
		fail(what, expected, &text);
}

static bool print(const struct buf *binary, struct buf *text)
{
	struct wasm_module *module;
	struct err err = { 0 };
	struct vm vm;
	bool printed;

	if (vm_init(&vm, NULL, &err) < 0)
		return false;
	printed = vm_load(&vm, binary->data, binary->len, &module, &err) >= 0 &&
		  wat_from_binary(module, text, &err) >= 0;
	vm_fini(&vm);
	return printed;
}

static void compare_text(const struct buf *binary, const struct buf *expected)
{
	auto_buf struct buf text = { 0 }, again = { 0 }, words = { 0 };
	struct err err = { 0 };

	if (!print(binary, &text))
		fail("no text", expected, &text);
	if (wat_to_binary("generated", text.data, text.len, &again, &err) < 0) {
		buf_text(&words, err.text);
		fail("the text is not read again", &words, &text);
	}
	compare(&again, &(struct play){ 0 }, "the text's module", expected);
}

/* The compiler in all that it may do or leave. */
static void compare_compiled(const struct buf *binary, uint32_t features,
			     uint8_t choice, const struct buf *expected)
{
	struct play play = { .compiled = true };

	compare(binary, &play, "compiled", expected);
	play.checked = choice & 1;
	play.counted = choice & 2;
	play.stressed =
		choice & 4 && features & (GENERATE_GC | GENERATE_EXCEPTIONS);
	play.linked = choice & 8 && features & GENERATE_IMPORTS;
	compare(binary, &play, "compiled, in another way", expected);
	play.without = JIT_WITHOUT_POOL;
	play.without_features = choice & 16 ? UINT32_MAX : 0;
	compare(binary, &play, "compiled with few registers", expected);
	play.without = choice;
	compare(binary, &play, "compiled without some of it", expected);
	play.without = JIT_WITHOUT_HAND;
	compare(binary, &play, "compiled, all out of line", expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf binary = { 0 }, expected = { 0 };
	uint32_t features;

	if (size < 2)
		return 0;
	features = (data[0] | (uint32_t)data[1] << 8) & GENERATE_ALL;
	generate_module(data + 2, size - 2, features, &binary, NULL);
	if (!play_module(binary.data, binary.len, &(struct play){ 0 },
			 &expected))
		fail("a generated module", &expected, &expected);
	compare(&binary, &(struct play){ .checked = true }, "checked",
		&expected);
	compare(&binary, &(struct play){ .counted = true }, "with fuel",
		&expected);
	if (features & (GENERATE_GC | GENERATE_EXCEPTIONS))
		compare(&binary, &(struct play){ .stressed = true },
			"a collection at each object", &expected);
	if (features & GENERATE_IMPORTS)
		compare(&binary, &(struct play){ .linked = true }, "linked",
			&expected);
	compare_compiled(&binary, features, data[size - 1], &expected);
	compare_text(&binary, &expected);
	return 0;
}
