/* SPDX-License-Identifier: Apache-2.0 */
/* Images that come from outside: header and tables are looked at before any
 * of it is used. */
#include "cache/code_header.h"
#include "jit/jit.h"

static int refuse(struct wasm_error *error, const char *why)
{
	return wasm_error_set(error, 0, "code object: %s", why);
}

/* What only the module can tell of the landings. */
static const char *tags_fault(const struct jit_code *code)
{
	for (uint32_t i = 0; i < code->header->landing_count; i++)
		if (code->landings[i].tag != CODE_CATCH_ALL &&
		    code->landings[i].tag >= code->module->tag_count)
			return "a landing catches what there is not";
	return NULL;
}

static int make_type_ids(struct jit_code *code)
{
	const struct wasm_module *module = code->module;
	const struct wasm_host *host = module->host;

	code->type_ids = host->allocate(host->env, (module->type_count + 1ull) *
							   sizeof(uint32_t));
	if (!code->type_ids)
		return -1;
	for (uint32_t i = 0; i < module->type_count; i++)
		code->type_ids[i] = module->type[i]->id;
	return 0;
}

int jit_code_open(struct jit_code *code, const struct wasm_module *module,
		  const void *image, uint64_t len, struct wasm_error *error)
{
	const struct code_header *header = image;
	const char *fault = code_header_check(image, len, len);
	const uint8_t *bytes = image;

	*code = (struct jit_code){ .module = module, .header = header };
	if (fault)
		return refuse(error, fault);
	if (!header->text_bytes)
		return refuse(error, "it has no code");
	if (header->function_count !=
	    module->function_count - module->imported_functions)
		return refuse(error, "it is of another module");
	if (header->features & ~jit_features())
		return refuse(error, "it is for another CPU");
	code->functions =
		(const struct code_function *)(bytes + header->functions_at);
	code->landings =
		(const struct code_landing *)(bytes + header->landings_at);
	code->text = bytes + header->text_at;
	if (header->optimised_at)
		code->optimised = bytes + header->optimised_at;
	fault = code_header_check_tables(header);
	if (!fault)
		fault = tags_fault(code);
	if (fault)
		return refuse(error, fault);
	if (make_type_ids(code) < 0)
		return wasm_error_set(error, 0, "no memory for code");
	return 0;
}

void jit_code_close(struct jit_code *code)
{
	const struct wasm_host *host = code->module->host;

	if (code->type_ids)
		host->release(host->env, code->type_ids,
			      (code->module->type_count + 1ull) *
				      sizeof(uint32_t));
	code->type_ids = NULL;
}
