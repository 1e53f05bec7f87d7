/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions are worth it.  What each is worth, a profile tells; where
 * there is none it is guessed: time is spent in loops.  What it costs is
 * guessed from its size.  Those that are worth most for what they cost come
 * first, until they have nearly all of the time, or would cost more than may be
 * spent; with those that are hot go the small ones that they call, so that
 * these can become part of them. */
#include "aot/aot.h"
#include "cache/profile.h"
#include "wasm/decode.h"
#include "wasm/validate.h"
#include <errno.h>
#include <stdlib.h>

enum {
	AOT_SMALL = 256, /* bytes of a body that may be inlined */
	/* Of a second's work for the compiler: so many bytes of small bodies;
	 * one of AOT_BEND bytes costs twice as much for each, and so on. */
	AOT_BYTES_S = 10000,
	AOT_BEND = 24 * 1024,
	AOT_EACH = 64,	  /* what a body costs beside its bytes */
	AOT_GUESS_S = 25, /* for what is guessed */
};

struct aot_candidate {
	uint32_t function;
	uint64_t worth, cost;
};
struct aot_choice {
	const struct wasm_module *module;
	uint8_t *wanted; /* [function] */
	struct aot_candidate *candidates;
	uint32_t count;
};

/* ---- worth and cost -------------------------------------------------------- */

static uint64_t aot_cost(const struct wasm_module *module, uint32_t function)
{
	uint64_t bytes = module->functions[function].body_len;

	return bytes + bytes * bytes / AOT_BEND + AOT_EACH;
}

/* The better one first. */
static int aot_by_density(const void *a, const void *b)
{
	const struct aot_candidate *left = a, *right = b;
	double l = (double)left->worth / (double)left->cost;
	double r = (double)right->worth / (double)right->cost;

	if (l != r)
		return l < r ? 1 : -1;
	return left->function < right->function
		       ? -1
		       : left->function > right->function;
}

/* "worth": of all that are taken, at least, if there are as many. */
static void aot_cut_off(struct aot_choice *choice, uint64_t worth,
			uint64_t cost)
{
	uint64_t had = 0, spent = 0;

	qsort(choice->candidates, choice->count, sizeof(*choice->candidates),
	      aot_by_density);
	for (uint32_t i = 0; i < choice->count && had < worth; i++) {
		const struct aot_candidate *it = &choice->candidates[i];

		if (it->cost > cost - spent)
			continue;
		spent += it->cost;
		had += it->worth;
		choice->wanted[it->function] = 1;
	}
}

static void aot_add(struct aot_choice *choice, uint32_t function,
		    uint64_t worth)
{
	choice->candidates[choice->count++] =
		(struct aot_candidate){ function, worth,
					aot_cost(choice->module, function) };
}

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
			choice->wanted[out.index[0]] |= 2;
	}
}

static void aot_choose_profiled(struct aot_choice *choice,
				const struct aot_profile *profile,
				uint64_t cost)
{
	const struct wasm_module *module = choice->module;
	uint32_t own = module->function_count - module->imported_functions;
	uint64_t total = 0;

	for (uint32_t i = 0; i < profile->count; i++) {
		const struct profile_row *row = &profile->rows[i];

		total += row->ticks;
		if (row->function < own)
			aot_add(choice,
				module->imported_functions + row->function,
				row->ticks);
	}
	aot_cut_off(choice, (total * CACHE_PROFILE_HOT + 99) / 100, cost);
	for (uint32_t i = 0; i < choice->count; i++)
		if (choice->wanted[choice->candidates[i].function] & 1)
			aot_want_calls(choice, choice->candidates[i].function);
}

/* ---- without ---------------------------------------------------------------- */

/* How often its locals are used, if each loop goes round eight times. */
static uint64_t aot_weight(const struct wasm_weights *weights)
{
	uint64_t sum = weights->call_weight;

	for (uint32_t i = 0; i < weights->first_count; i++)
		sum += weights->uses[i];
	for (uint32_t i = 0; i < weights->other_count; i++)
		sum += weights->uses[weights->others[i]];
	return sum;
}

static void aot_guess(struct aot_choice *choice,
		      struct wasm_validator *validator)
{
	const struct wasm_module *module = choice->module;

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++) {
		struct wasm_weights weights;
		struct wasm_error error = { 0 };

		if (wasm_validate_body(validator, i, &weights, &error) == 0 &&
		    weights.loop_count)
			aot_add(choice, i, aot_weight(&weights));
	}
}

static bool aot_choose_guessed(struct aot_choice *choice, uint64_t cost)
{
	const uint64_t most = (uint64_t)AOT_GUESS_S * AOT_BYTES_S;
	struct wasm_validator *validator = wasm_validator_new(choice->module);

	if (!validator)
		return false;
	aot_guess(choice, validator);
	aot_cut_off(choice, UINT64_MAX, cost < most ? cost : most);
	wasm_validator_free(validator);
	return true;
}

/* ---- both ------------------------------------------------------------------ */

static bool aot_choose_hot(struct aot_choice *choice,
			   const struct aot_profile *profile, uint64_t cpu_ms)
{
	uint32_t room = choice->module->function_count;
	uint64_t cost =
		cpu_ms > UINT32_MAX ? UINT64_MAX : cpu_ms * AOT_BYTES_S / 1000;
	bool is_fine = true;

	if (profile && profile->count > room)
		room = profile->count;
	choice->candidates = calloc(room + 1ull, sizeof(*choice->candidates));
	if (!choice->candidates)
		return false;
	if (profile)
		aot_choose_profiled(choice, profile, cost);
	else
		is_fine = aot_choose_guessed(choice, cost);
	free(choice->candidates);
	return is_fine;
}

int aot_choose(const struct wasm_module *module, enum aot_which which,
	       const struct aot_profile *profile, uint64_t cpu_ms,
	       uint32_t **functions, uint32_t *count, struct err *err)
{
	struct aot_choice choice = {
		.module = module,
		.wanted = calloc(module->function_count + 1ull, 1),
	};
	bool is_fine = choice.wanted;

	*count = 0;
	*functions = calloc(module->function_count + 1ull, sizeof(**functions));
	is_fine =
		is_fine && *functions &&
		(which == AOT_ALL || aot_choose_hot(&choice, profile, cpu_ms));
	for (uint32_t i = module->imported_functions;
	     is_fine && i < module->function_count; i++)
		if (which == AOT_ALL || choice.wanted[i])
			(*functions)[(*count)++] = i;
	free(choice.wanted);
	if (is_fine)
		return 0;
	free(*functions);
	*functions = NULL;
	return err_set(err, -ENOMEM, "choose functions");
}
