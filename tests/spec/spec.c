/* SPDX-License-Identifier: Apache-2.0 */
/* Runs scripts of the standard's test suite and tells for each file whether
 * every command did what it says.
 *
 *	spec [--domain] [--unguarded] [--stress] [--strict-messages]
 *	     [--verbose] [--optimise=SEED] FILE...
 *
 *	ok - FILE: 120 assertions, 12 other commands
 *	not ok - FILE: 3 of 120 assertions, 0 of 12 other commands failed
 *
 * --domain runs each script in a domain of its own; --unguarded runs the code that checks each address; --stress collects the
 * heap whenever an object is made.  Words of refusals are compared too; a
 * difference counts, and fails with --strict-messages.
 * --optimise makes optimised code for each module, of all functions or of half
 * of them, and puts it into the cache that --cache names (spec_optimised).
 * Assertions of old proposals that the standard has since made untrue, and
 * ones on custom sections in bytes, which the engine does not look into, are
 * set aside: neither passed nor failed. */
#include "spec.h"
#include "base/file.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRIPT_MOST = 64 << 20 };

static bool spec_fail(const struct spec *spec, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static bool spec_fail(const struct spec *spec, const char *format, ...)
{
	va_list list;

	printf("# %s:%u: ", spec->file, spec->line);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
	return false;
}

static void spec_keep(struct spec_thing **list, const char *name, void *thing)
{
	struct spec_thing *kept = calloc(1, sizeof *kept);

	if (!kept || (name && !(kept->name = strdup(name))))
		abort();
	kept->thing = thing;
	kept->next = *list;
	*list = kept;
}

static void *spec_find(const struct spec_thing *list, const char *name)
{
	for (; list; list = list->next)
		if (!name || (list->name && strcmp(list->name, name) == 0))
			return list->thing;
	return NULL;
}

static void spec_forget(struct spec_thing **list)
{
	struct spec_thing *at = *list, *next;

	for (; at; at = next) {
		next = at->next;
		free(at->name);
		free(at);
	}
	*list = NULL;
}

/* The suite's words against ours: ours may say more before and behind, and
 * the suite's may end with a number that ours does not tell. */
static bool spec_words_fit(const char *wanted, const char *given)
{
	size_t len = strlen(wanted);
	char *cut;
	bool fits;

	if (strstr(given, wanted))
		return true;
	while (len && strchr("0123456789 ", wanted[len - 1]))
		len--;
	cut = strndup(wanted, len);
	fits = cut && len && strstr(given, cut);
	free(cut);
	return fits;
}

/* A refusal happened, as it should; is it for the reason that it should? */
static bool spec_words(struct spec *spec, const char *wanted, const char *given)
{
	if (!wanted || spec_words_fit(wanted, given))
		return true;
	spec->words++;
	if (!spec->strict && !spec->verbose)
		return true;
	spec_fail(spec, "other words: \"%s\" wanted, \"%s\" given", wanted,
		  given);
	return !spec->strict;
}

/* A trap of another kind is another result. */
static bool spec_trap_words(struct spec *spec, const char *wanted,
			    const char *given)
{
	return spec_words_fit(wanted, given) ||
	       spec_fail(spec, "trap \"%s\" wanted, \"%s\" given", wanted,
			 given);
}

/* Comparing values. */

static bool spec_lane_f32(uint32_t wanted, uint32_t given, bool canonical,
			  bool arithmetic)
{
	if (canonical)
		return (given & 0x7fffffff) == 0x7fc00000;
	if (arithmetic)
		return (given & 0x7fc00000) == 0x7fc00000;
	return wanted == given;
}

static bool spec_lane_f64(uint64_t wanted, uint64_t given, bool canonical,
			  bool arithmetic)
{
	if (canonical)
		return (given & INT64_MAX) == 0x7ff8000000000000;
	if (arithmetic)
		return (given & 0x7ff8000000000000) == 0x7ff8000000000000;
	return wanted == given;
}

static bool spec_vector(const struct wat_value *wanted,
			const union wasm_value *given)
{
	for (int i = 0; i < wanted->lanes; i++) {
		bool canonical = wanted->nan_canonical >> i & 1;
		bool arithmetic = wanted->nan_arithmetic >> i & 1;
		uint32_t wanted32[4], given32[4];

		memcpy(wanted32, wanted->value.words, 16);
		memcpy(given32, given->words, 16);
		if (wanted->lanes == 4 &&
		    !spec_lane_f32(wanted32[i], given32[i], canonical,
				   arithmetic))
			return false;
		if (wanted->lanes == 2 &&
		    !spec_lane_f64(wanted->value.words[i], given->words[i],
				   canonical, arithmetic))
			return false;
	}
	return true;
}

/* The bit that a kind's objects have. */
static uint32_t spec_kind(wasm_type kind)
{
	switch (kind & 0xff) {
	case WASM_FUNC: return GUEST_REFERENCE_FUNCTION;
	case WASM_EXTERN: return GUEST_REFERENCE_EXTERN;
	case WASM_ANY: return GUEST_REFERENCE_ANY;
	case WASM_EQ: return GUEST_REFERENCE_EQ;
	case WASM_I31: return GUEST_REFERENCE_I31;
	case WASM_STRUCT: return GUEST_REFERENCE_STRUCT;
	case WASM_ARRAY: return GUEST_REFERENCE_ARRAY;
	case WASM_EXN: return GUEST_REFERENCE_EXCEPTION;
	}
	return 0;
}

static bool spec_reference(const struct wat_value *wanted, wasm_type type,
			   wasm_ref ref, uint32_t matches)
{
	bool is_host = wasm_ref_is_host(ref) &&
		       wasm_ref_host(ref) == wanted->value.i64;
	uint32_t is_below = matches >> GUEST_REFERENCE_TYPE;

	if (!wasm_type_is_ref(type))
		return false;
	switch (wanted->ref) {
	case WAT_REF_NULL: return ref == 0;
	case WAT_REF_HOST: return is_host && is_below & GUEST_REFERENCE_ANY;
	case WAT_REF_EXTERN:
		return is_below & GUEST_REFERENCE_EXTERN &&
		       (wanted->any_value ? ref != 0 : is_host);
	case WAT_REF_FUNC: return matches & GUEST_REFERENCE_FUNCTION;
	case WAT_REF_KIND: return matches & spec_kind(wanted->type);
	case WAT_REF_NONE: break;
	}
	return false;
}

static bool spec_value(const struct wat_value *wanted, wasm_type type,
		       const union wasm_value *given, uint32_t matches)
{
	bool canonical = wanted->nan_canonical & 1;
	bool arithmetic = wanted->nan_arithmetic & 1;

	if (wanted->ref != WAT_REF_NONE)
		return spec_reference(wanted, type, given->ref, matches);
	if (wanted->type != type)
		return false;
	switch (type) {
	case WASM_I32: return wanted->value.i32 == given->i32;
	case WASM_I64: return wanted->value.i64 == given->i64;
	case WASM_F32:
		return spec_lane_f32(wanted->value.i32, given->i32, canonical,
				     arithmetic);
	case WASM_F64:
		return spec_lane_f64(wanted->value.i64, given->i64, canonical,
				     arithmetic);
	case WASM_V128:
		if (wanted->lane_float)
			return spec_vector(wanted, given);
		return memcmp(wanted->value.words, given->words, 16) == 0;
	}
	return false;
}

static bool spec_any_value(const struct wat_value *wanted,
			   const struct spec_results *results, uint32_t i)
{
	for (; wanted; wanted = wanted->either)
		if (spec_value(wanted, results->types[i], &results->values[i],
			       results->matches[i]))
			return true;
	return false;
}

/* Actions. */

static bool spec_results_fit(struct spec *spec,
			     const struct wat_command *command,
			     const struct spec_results *results)
{
	if (results->count != command->expected_count)
		return spec_fail(spec, "%zu results wanted, %u given",
				 command->expected_count, results->count);
	for (uint32_t i = 0; i < results->count; i++)
		if (!spec_any_value(&command->expected[i], results, i))
			return spec_fail(
				spec,
				"result %u: %016llx %016llx wanted, "
				"%016llx %016llx given",
				i,
				(unsigned long long)command->expected[i]
					.value.words[0],
				(unsigned long long)command->expected[i]
					.value.words[1],
				(unsigned long long)results->values[i].words[0],
				(unsigned long long)results->values[i]
					.words[1]);
	return true;
}

static void spec_arguments(const struct wat_action *action,
			   union wasm_value *values)
{
	for (size_t i = 0; i < action->argument_count; i++) {
		const struct wat_value *given = &action->arguments[i];

		values[i] = given->value;
		if (given->ref == WAT_REF_NULL)
			values[i].ref = 0;
		else if (given->ref != WAT_REF_NONE)
			values[i].ref = wasm_ref_of_host(given->value.i64);
	}
}

/* false: it could not be done; *trap tells how it ended. */
static bool spec_act(struct spec *spec, const struct wat_action *action,
		     struct spec_results *results, enum wasm_trap *trap)
{
	void *instance = spec_find(spec->instances, action->instance);
	union wasm_value arguments[SPEC_VALUES] = { 0 };
	struct err err = { 0 };

	*trap = WASM_OK;
	if (!instance)
		return spec_fail(spec, "there is no instance %s",
				 action->instance ? action->instance : "");
	if (action->argument_count > SPEC_VALUES)
		return spec_fail(spec, "%zu arguments", action->argument_count);
	spec_arguments(action, arguments);
	return spec->way->act(spec, instance, action, arguments, results, trap,
			      &err) >= 0 ||
	       spec_fail(spec, "%s: %s", action->name, err.text);
}

/* How it ended against how it should; WASM_OK: without a trap. */
static bool spec_ended(struct spec *spec, const struct wat_command *command,
		       enum wasm_trap trap)
{
	switch (command->kind) {
	case WAT_ASSERT_EXCEPTION:
		if (trap == WASM_TRAP_thrown)
			return true;
		break;
	case WAT_ASSERT_EXHAUSTION:
		if (trap == WASM_TRAP_stack)
			return true;
		break;
	case WAT_ASSERT_TRAP:
	case WAT_ASSERT_TRAP_MODULE:
		if (trap != WASM_OK && trap != WASM_TRAP_thrown &&
		    trap != WASM_TRAP_deadline && trap != WASM_TRAP_host)
			return spec_trap_words(spec, command->message,
					       wasm_trap_text(trap));
		break;
	default:
		if (trap == WASM_OK)
			return true;
	}
	return spec_fail(spec, "%s",
			 trap == WASM_OK ? "no trap" : wasm_trap_text(trap));
}

static bool spec_action(struct spec *spec, const struct wat_command *command)
{
	struct spec_results results = { 0 };
	enum wasm_trap trap;

	if (!spec_act(spec, &command->action, &results, &trap) ||
	    !spec_ended(spec, command, trap))
		return false;
	if (command->kind == WAT_ASSERT_RETURN)
		return spec_results_fit(spec, command, &results);
	return true;
}

/* Modules. */

/* NULL: it is refused. */
static void *spec_load(struct spec *spec, const struct wat_command *command,
		       struct err *err)
{
	void *module = NULL;

	if (command->malformed.code) {
		*err = command->malformed;
		return NULL;
	}
	spec->made = 0;
	if (spec->optimised && spec_optimise(spec, &command->binary, err) < 0)
		return NULL;
	if (spec->way->load(spec, &command->binary, &module, err) < 0)
		return NULL;
	return module;
}

static bool spec_instantiate(struct spec *spec,
			     const struct wat_command *command, void *module)
{
	void *instance = NULL;
	enum wasm_trap trap;
	struct err err = { 0 };

	if (spec->way->instantiate(spec, module, &instance, &trap, &err) < 0)
		return spec_fail(spec, "%s", err.text);
	if (trap)
		return spec_fail(spec, "trap: %s", wasm_trap_text(trap));
	spec_keep(&spec->instances, command->name, instance);
	return true;
}

static bool spec_module(struct spec *spec, const struct wat_command *command)
{
	struct err err = { 0 };
	void *module = spec_load(spec, command, &err);

	if (!module)
		return spec_fail(spec, "%s", err.text);
	if (command->kind == WAT_MODULE)
		return spec_instantiate(spec, command, module);
	spec_keep(&spec->definitions, command->name, module);
	return true;
}

static bool spec_instance(struct spec *spec, const struct wat_command *command)
{
	void *module = spec_find(spec->definitions, command->definition);

	if (!module)
		return spec_fail(spec, "there is no such definition");
	return spec_instantiate(spec, command, module);
}

static bool spec_register(struct spec *spec, const struct wat_command *command)
{
	void *instance = spec_find(spec->instances, command->name);
	struct wasm_name as = { command->as, (uint32_t)command->as_len };
	struct err err = { 0 };

	if (!instance)
		return spec_fail(spec, "there is no such instance");
	return spec->way->name(spec, as, instance, &err) >= 0 ||
	       spec_fail(spec, "%s", err.text);
}

/* Scripts of proposals that were written before several memories and tables
 * were allowed; custom sections that nobody has to understand. */
static bool spec_set_aside(struct spec *spec, const struct wat_command *command)
{
	bool is_custom = command->kind == WAT_ASSERT_MALFORMED_CUSTOM ||
			 command->kind == WAT_ASSERT_INVALID_CUSTOM;

	if (!(is_custom && !command->is_text) &&
	    strcmp(command->message, "multiple memories") != 0 &&
	    strcmp(command->message, "multiple tables") != 0)
		return false;
	spec->set_aside++;
	return true;
}

static bool spec_assert_malformed(struct spec *spec,
				  const struct wat_command *command)
{
	struct err err = { 0 };

	if (spec_load(spec, command, &err))
		return spec_set_aside(spec, command) ||
		       spec_fail(spec, "is taken (%s)", command->message);
	return spec_words(spec, command->message, err.text);
}

static bool spec_assert_invalid(struct spec *spec,
				const struct wat_command *command)
{
	/* What an annotation says wrongly is refused with the text. */
	if (command->malformed.code &&
	    command->kind != WAT_ASSERT_INVALID_CUSTOM)
		return spec_fail(spec, "malformed, not invalid: %s",
				 command->malformed.text);
	return spec_assert_malformed(spec, command);
}

/* The module that is to be linked, or one that was defined before. */
static void *spec_to_link(struct spec *spec, const struct wat_command *command,
			  struct err *err)
{
	void *module;

	if (command->malformed.code || command->binary.len)
		return spec_load(spec, command, err);
	module = spec_find(spec->definitions, command->definition);
	if (!module)
		err_set(err, -EINVAL, "there is no such definition");
	return module;
}

static bool spec_assert_link(struct spec *spec,
			     const struct wat_command *command)
{
	void *instance = NULL;
	enum wasm_trap trap;
	struct err err = { 0 };
	void *module = spec_to_link(spec, command, &err);
	int result;

	if (!module)
		return spec_fail(spec, "%s", err.text);
	result = spec->way->instantiate(spec, module, &instance, &trap, &err);
	if (command->kind == WAT_ASSERT_TRAP_MODULE)
		return result < 0 ? spec_fail(spec, "%s", err.text)
				  : spec_ended(spec, command, trap);
	if (result >= 0)
		return spec_fail(spec, "is linked (%s)", command->message);
	return spec_words(spec, command->message, err.text);
}

static bool spec_command(struct spec *spec, const struct wat_command *command)
{
	switch (command->kind) {
	case WAT_MODULE:
	case WAT_MODULE_DEFINITION: return spec_module(spec, command);
	case WAT_MODULE_INSTANCE: return spec_instance(spec, command);
	case WAT_REGISTER: return spec_register(spec, command);
	case WAT_ACTION:
	case WAT_ASSERT_RETURN:
	case WAT_ASSERT_TRAP:
	case WAT_ASSERT_EXHAUSTION:
	case WAT_ASSERT_EXCEPTION: return spec_action(spec, command);
	case WAT_ASSERT_MALFORMED:
	case WAT_ASSERT_MALFORMED_CUSTOM:
		return spec_assert_malformed(spec, command);
	case WAT_ASSERT_INVALID:
	case WAT_ASSERT_INVALID_CUSTOM:
		return spec_assert_invalid(spec, command);
	case WAT_ASSERT_UNLINKABLE:
	case WAT_ASSERT_TRAP_MODULE: return spec_assert_link(spec, command);
	case WAT_THREAD:
	case WAT_WAIT: break;
	}
	return spec_fail(spec, "this command is not supported");
}

static void spec_one(struct spec *spec, const struct wat_command *command)
{
	bool is_assert = command->kind >= WAT_ASSERT_RETURN &&
			 command->kind <= WAT_ASSERT_INVALID_CUSTOM;
	unsigned set_aside = spec->set_aside;
	bool fine;

	spec->line = command->line;
	fine = spec_command(spec, command);
	if (is_assert && spec->set_aside != set_aside) {
		return;
	} else if (is_assert) {
		spec->asserts++;
		spec->asserts_failed += !fine;
	} else {
		spec->others++;
		spec->others_failed += !fine;
	}
}

static void spec_read(struct spec *spec, const struct buf *text)
{
	struct wat_script *script = NULL;
	struct wat_command *command;
	struct err err = { 0 };
	int result = wat_script_open(&script, spec->file, buf_string(text),
				     text->len, &err);

	while (result >= 0 &&
	       (result = wat_script_next(script, &command, &err)) > 0)
		spec_one(spec, command);
	if (result < 0) {
		spec->others_failed++;
		spec->others++;
		spec_fail(spec, "the script: %s", err.text);
	}
	wat_script_close(script);
}

static bool spec_report(const struct spec *spec)
{
	bool fine = !spec->asserts_failed && !spec->others_failed;

	if (fine)
		printf("ok - %s: %u assertions, %u other commands", spec->file,
		       spec->asserts, spec->others);
	else
		printf("not ok - %s: %u of %u assertions, %u of %u other "
		       "commands failed",
		       spec->file, spec->asserts_failed, spec->asserts,
		       spec->others_failed, spec->others);
	if (spec->optimised_functions)
		printf(", %u optimised", spec->optimised_functions);
	if (spec->words)
		printf(", %u with other words", spec->words);
	if (spec->set_aside)
		printf(", %u set aside", spec->set_aside);
	putchar('\n');
	fflush(stdout);
	return fine;
}

int spec_check_optimised(struct spec *spec, const struct wasm_module *module,
			 struct err *err)
{
	const struct code_header *header;
	struct cache_object *object;

	if (!spec->vm.options.code.cache)
		return 0;
	if (vm_compile(&spec->vm, module, &object, err) < 0)
		return err->code;
	header = (const struct code_header *)object->image;
	spec->optimised_functions += header->optimised_count;
	if (!spec->optimised || (uint32_t)spec->made == header->optimised_count)
		return 0;
	return err_set(err, -EPROTO, "%u functions are optimised, %d were made",
		       header->optimised_count, spec->made);
}

static uint64_t spec_misses(const struct spec *spec)
{
	const struct cache *cache = spec->vm.options.code.cache;
	struct cache_counts counts;
	uint64_t misses = 0;

	if (!cache)
		return 0;
	cache_counts(cache, &counts);
	for (int i = CACHE_HIT + 1; i < CACHE_RESULTS; i++)
		misses += counts.results[i];
	return misses;
}

/* With --cached all code has to come from the cache, but for what the way has
 * loaded for itself. */
static bool spec_check_cached(const struct spec *spec, uint64_t before)
{
	uint64_t misses = spec_misses(spec) - before;

	return !spec->cached || !misses ||
	       spec_fail(spec, "%lu modules were compiled",
			 (unsigned long)misses);
}

static bool spec_file(struct spec *spec)
{
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };
	uint64_t misses;

	if (file_read(spec->file, &text, SCRIPT_MOST, &err) < 0 ||
	    spec->way->open(spec, &err) < 0 ||
	    (spec->optimised && spec_optimise_open(spec, &err) < 0)) {
		printf("not ok - %s: %s\n", spec->file, err.text);
		return false;
	}
	misses = spec_misses(spec);
	spec_read(spec, &text);
	spec_forget(&spec->instances);
	spec_forget(&spec->definitions);
	spec->others_failed += !spec_check_cached(spec, misses);
	spec->way->close(spec);
	if (spec->optimised)
		spec_optimise_close(spec);
	return spec_report(spec);
}

int main(int argc, char **argv)
{
	struct spec options = { .way = &spec_in_process };
	bool fine = argc > 1;

	for (int i = 1; i < argc; i++) {
		struct spec spec = options;

		spec.file = argv[i];
		if (strcmp(argv[i], "--unguarded") == 0)
			options.unguarded = true;
		else if (strcmp(argv[i], "--stress") == 0)
			options.stress = true;
		else if (strcmp(argv[i], "--domain") == 0)
			options.way = &spec_in_domain;
		else if (strcmp(argv[i], "--compiled") == 0)
			options.code.via = VM_COMPILED;
		else if (strcmp(argv[i], "--interpreted") == 0)
			options.code.via = VM_INTERPRETED;
		else if (strncmp(argv[i], "--without=", 10) == 0)
			options.code.without =
				(uint32_t)strtoul(argv[i] + 10, NULL, 0);
		else if (strncmp(argv[i], "--without-features=", 19) == 0)
			options.code.without_features =
				(uint32_t)strtoul(argv[i] + 19, NULL, 0);
		else if (strncmp(argv[i], "--cache=", 8) == 0)
			options.cache.place = argv[i] + 8;
		else if (strncmp(argv[i], "--optimise=", 11) == 0)
			fine = spec_optimise_option(&options, argv[i] + 11) &&
			       fine;
		else if (strcmp(argv[i], "--cached") == 0)
			options.cached = true;
		else if (strcmp(argv[i], "--strict-messages") == 0)
			options.strict = true;
		else if (strcmp(argv[i], "--verbose") == 0)
			options.verbose = true;
		else
			fine = spec_file(&spec) && fine;
	}
	return fine ? 0 : 1;
}
