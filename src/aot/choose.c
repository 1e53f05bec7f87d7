/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions are worth it.  Without a profile that is a guess: time is
 * spent in loops. */
#include "aot/aot.h"
#include "wasm/validate.h"
#include <errno.h>
#include <stdlib.h>

struct aot_choice {
	const struct wasm_module *module;
	enum aot_which which;
	const struct aot_profile *profile;
	uint32_t profiled; /* of the profile, that were passed */
	struct wasm_validator *validator;
};

static bool aot_is_profiled(struct aot_choice *choice, uint32_t function)
{
	const struct aot_profile *profile = choice->profile;

	while (profile && choice->profiled < profile->count &&
	       profile->functions[choice->profiled] < function)
		choice->profiled++;
	return profile && choice->profiled < profile->count &&
	       profile->functions[choice->profiled] == function;
}

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
	return choice->which == AOT_ALL || aot_is_profiled(choice, function) ||
	       aot_has_loops(choice, function);
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
				     .profile = profile,
				     .validator = wasm_validator_new(module) };

	*count = 0;
	*functions = calloc(module->function_count + 1ull, sizeof(**functions));
	if (*functions && choice.validator)
		aot_choose_from(&choice, *functions, count);
	if (choice.validator)
		wasm_validator_free(choice.validator);
	if (*functions && choice.validator)
		return 0;
	free(*functions);
	*functions = NULL;
	return err_set(err, -ENOMEM, "choose functions");
}
