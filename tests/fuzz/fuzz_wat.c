/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a module and as a script: what is refused says why, and what is
 * a module is printed as a text that gives the same bytes again. */
#include "base/buf.h"
#include "wasm_host.h"
#include "wat/script.h"
#include "wat/wat.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Printed and read once more it must be the same; only a custom section that
 * calls itself "name" may be told in other words. */
static void print_again(const struct wasm_module *module,
			const struct buf *binary)
{
	static const char name[] = "\4name";
	struct buf text = { 0 }, again = { 0 };
	struct err err = { 0 };

	if (wat_from_binary(module, &text, &err) < 0 ||
	    wat_to_binary("printed", text.data, text.len, &again, &err) < 0)
		__builtin_trap();
	if ((again.len != binary->len ||
	     memcmp(again.data, binary->data, again.len)) &&
	    !memmem(binary->data, binary->len, name, sizeof name - 1))
		__builtin_trap();
	buf_fini(&text);
	buf_fini(&again);
}

static void load(const struct buf *binary)
{
	struct wasm_error error = { 0 };
	struct wasm_module *module;
	struct wasm_types *types;
	struct test_host host;

	test_host_init(&host);
	types = wasm_types_new(&host.hooks);
	if (types && wasm_module_load(&module, &host.hooks, types, binary->data,
				      binary->len, NULL, &error) == 0) {
		print_again(module, binary);
		wasm_module_free(module);
	}
	if (types)
		wasm_types_free(types);
}

static void as_module(const char *text, size_t size)
{
	struct buf binary = { 0 };
	struct err err = { 0 };
	int r = wat_to_binary("fuzz", text, size, &binary, &err);

	if (r < 0 && (!err.text[0] || err.code != r || strchr(err.text, '\n')))
		__builtin_trap();
	if (r == 0 && memmem(text, size, "binary", 6) == NULL)
		load(&binary);
	buf_fini(&binary);
}

static void as_script(const char *text, size_t size)
{
	struct wat_command *command;
	struct wat_script *script;
	struct err err = { 0 };
	int r;

	if (wat_script_open(&script, "fuzz", text, size, &err) < 0)
		__builtin_trap();
	do {
		r = wat_script_next(script, &command, &err);
		if (r > 0 && command->thread)
			wat_script_next(command->thread,
					&(struct wat_command *){ 0 }, NULL);
	} while (r > 0);
	if (r < 0 && !err.text[0])
		__builtin_trap();
	wat_script_close(script);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_module((const char *)data, size);
	as_script((const char *)data, size);
	return 0;
}
