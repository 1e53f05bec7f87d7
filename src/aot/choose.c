/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions are worth it.  A profile tells; with those that are hot go
 * the small ones that they call, so that they can become part of them.
 * Without a profile it is a guess: time is spent in loops. */
#include "aot/aot.h"
#include "wasm/decode.h"
#include "wasm/validate.h"
#include <errno.h>
#include <stdlib.h>

enum { AOT_SMALL = 256 }; /* bytes of a body that may be inlined */

struct aot_choice {
	const struct wasm_module *module;
	enum aot_which which;
	struct wasm_validator *validator;
	uint8_t *wanted; /* [function]: by the profile; NULL: there is none */
};

/* ---- by the profile -------------------------------------------------------- */

static void aot_pass_locals(struct wasm_reader *reader)
{
	for (uint32_t i = wasm_read_u32(reader); i && !reader->failed; i--) {
		wasm_read_u32(reader);
		wasm_read_value_type(reader);
	}
}

static bool aot_is_small(const struct wasm_module *module, uint32_t function)
{
	return function >= module->imported_functions &&
	       function < module->function_count &&
	       module->functions[function].body_len <= AOT_SMALL;
}

/* The body is valid, but nothing here depends on it. */
static void aot_want_calls(struct aot_choice *choice, uint32_t function)
{
	const struct wasm_function_decl *decl =
		&choice->module->functions[function];
	struct wasm_reader reader = wasm_reader_of(decl->body, decl->body_len);
	struct wasm_immediates out;

	aot_pass_locals(&reader);
	while (!reader.failed && wasm_reader_left(&reader)) {
		enum wasm_operation op = wasm_read_operation(&reader);

		if (reader.failed ||
		    wasm_read_immediates(&reader, op, &out) < 0)
			return;
		if (op == WASM_OP_CALL &&
		    aot_is_small(choice->module, out.index[0]))
			choice->wanted[out.index[0]] = 1;
	}
}

static bool aot_want(struct aot_choice *choice,
		     const struct aot_profile *profile)
{
	const struct wasm_module *module = choice->module;

	choice->wanted = calloc(module->function_count + 1ull, 1);
	if (!choice->wanted)
		return false;
	for (uint32_t i = 0; i < profile->count; i++) {
		uint32_t function = profile->functions[i];

		if (function < module->imported_functions ||
		    function >= module->function_count)
			continue;
		choice->wanted[function] = 1;
		aot_want_calls(choice, function);
	}
	return true;
}

/* ---- without ---------------------------------------------------------------- */

static bool aot_has_loops(struct aot_choice *choice, uint32_t function)
{
	struct wasm_weights weights;
	struct wasm_error error = { 0 };

	return wasm_validate_body(choice->validator, function, &weights,
				  &error) == 0 &&
	       weights.loop_count > 0;
}

static bool aot_is_chosen(struct aot_choice *choice, uint32_t function)
{
	if (choice->which == AOT_ALL)
		return true;
	return choice->wanted ? choice->wanted[function]
			      : aot_has_loops(choice, function);
}

static void aot_choose_from(struct aot_choice *choice, uint32_t *functions,
			    uint32_t *count)
{
	const struct wasm_module *module = choice->module;

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		if (aot_is_chosen(choice, i))
			functions[(*count)++] = i;
}

int aot_choose(const struct wasm_module *module, enum aot_which which,
	       const struct aot_profile *profile, uint32_t **functions,
	       uint32_t *count, struct err *err)
{
	struct aot_choice choice = { .module = module,
				     .which = which,
				     .validator = wasm_validator_new(module) };
	bool is_fine =
		choice.validator && (!profile || aot_want(&choice, profile));

	*count = 0;
	*functions = calloc(module->function_count + 1ull, sizeof(**functions));
	is_fine = is_fine && *functions;
	if (is_fine)
		aot_choose_from(&choice, *functions, count);
	if (choice.validator)
		wasm_validator_free(choice.validator);
	free(choice.wanted);
	if (is_fine)
		return 0;
	free(*functions);
	*functions = NULL;
	return err_set(err, -ENOMEM, "choose functions");
}
