/* SPDX-License-Identifier: Apache-2.0 */
/* Runs scripts of the standard's test suite and tells for each file whether
 * every command did what it says.
 *
 *	spec [--unguarded] [--stress] [--strict-messages] [--verbose] FILE...
 *
 *	ok - FILE: 120 assertions, 12 other commands
 *	not ok - FILE: 3 of 120 assertions, 0 of 12 other commands failed
 *
 * --unguarded runs the code that checks each address; --stress collects the
 * heap whenever an object is made.  Words of refusals are compared too; a
 * difference counts, and fails with --strict-messages.
 * Assertions of old proposals that the standard has since made untrue, and
 * ones on custom sections in bytes, which the engine does not look into, are
 * set aside: neither passed nor failed. */
#include "base/file.h"
#include "vm/vm.h"
#include "wat/script.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MOST = 32, SCRIPT_MOST = 64 << 20 };

/* What "$name" stands for, or the last one where name is NULL. */
struct spec_thing {
	char *name;
	void *thing;
	struct spec_thing *next;
};

struct spec {
	const char *file;
	struct vm_code_options code;
	struct cache_options cache; /* place: NULL, none */
	bool unguarded, stress, strict, verbose, cached;
	struct wasm_host host;
	struct vm vm;
	struct spec_thing *instances, *definitions;
	unsigned line;
	unsigned asserts, asserts_failed, others, others_failed, words;
	unsigned set_aside;
};

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

static bool spec_is_below(struct spec *spec, wasm_type type, wasm_type top)
{
	return wasm_type_matches(spec->vm.types, type, top);
}

/* A reference to a kind of object; what may be asked of a word depends on
 * its declared type. */
static bool spec_kind(struct spec *spec, wasm_type kind, wasm_type type,
		      wasm_ref ref)
{
	wasm_type top = spec_is_below(spec, kind, WASM_FUNCREF)	 ? WASM_FUNCREF
			: spec_is_below(spec, kind, WASM_EXNREF) ? WASM_EXNREF
			: spec_is_below(spec, kind, WASM_EXTERNREF)
				? WASM_EXTERNREF
				: WASM_ANYREF;

	return ref && spec_is_below(spec, type, top) &&
	       wasm_ref_matches(spec->vm.store, ref, kind & ~WASM_NULLABLE);
}

static bool spec_reference(struct spec *spec, const struct wat_value *wanted,
			   wasm_type type, wasm_ref ref)
{
	bool is_host = wasm_ref_is_host(ref) &&
		       wasm_ref_host(ref) == wanted->value.i64;

	if (!wasm_type_is_ref(type))
		return false;
	switch (wanted->ref) {
	case WAT_REF_NULL: return ref == 0;
	case WAT_REF_HOST:
		return is_host && spec_is_below(spec, type, WASM_ANYREF);
	case WAT_REF_EXTERN:
		return spec_is_below(spec, type, WASM_EXTERNREF) &&
		       (wanted->any_value ? ref != 0 : is_host);
	case WAT_REF_FUNC: return spec_kind(spec, WASM_FUNCREF, type, ref);
	case WAT_REF_KIND: return spec_kind(spec, wanted->type, type, ref);
	case WAT_REF_NONE: break;
	}
	return false;
}

static bool spec_value(struct spec *spec, const struct wat_value *wanted,
		       wasm_type type, const union wasm_value *given)
{
	bool canonical = wanted->nan_canonical & 1;
	bool arithmetic = wanted->nan_arithmetic & 1;

	if (wanted->ref != WAT_REF_NONE)
		return spec_reference(spec, wanted, type, given->ref);
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

static bool spec_any_value(struct spec *spec, const struct wat_value *wanted,
			   wasm_type type, const union wasm_value *given)
{
	for (; wanted; wanted = wanted->either)
		if (spec_value(spec, wanted, type, given))
			return true;
	return false;
}

/* Actions. */

struct spec_results {
	uint32_t count;
	const wasm_type *types;
	wasm_type type; /* of a global */
	union wasm_value values[VALUES_MOST];
};

static bool spec_results_fit(struct spec *spec,
			     const struct wat_command *command,
			     const struct spec_results *results)
{
	if (results->count != command->expected_count)
		return spec_fail(spec, "%zu results wanted, %u given",
				 command->expected_count, results->count);
	for (uint32_t i = 0; i < results->count; i++)
		if (!spec_any_value(spec, &command->expected[i],
				    results->types[i], &results->values[i]))
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

static bool spec_arguments(struct spec *spec, const struct wat_action *action,
			   const struct wasm_deftype *type,
			   union wasm_value *values)
{
	if (action->argument_count != type->param_count ||
	    type->param_count > VALUES_MOST || type->result_count > VALUES_MOST)
		return spec_fail(spec, "%zu arguments for %u parameters",
				 action->argument_count, type->param_count);
	for (size_t i = 0; i < action->argument_count; i++) {
		const struct wat_value *given = &action->arguments[i];

		values[i] = given->value;
		if (given->ref == WAT_REF_NULL)
			values[i].ref = 0;
		else if (given->ref != WAT_REF_NONE)
			values[i].ref = wasm_ref_of_host(given->value.i64);
	}
	return true;
}

/* false: it could not be done; *trap tells how it ended. */
static bool spec_act(struct spec *spec, const struct wat_action *action,
		     struct spec_results *results, enum wasm_trap *trap)
{
	struct wasm_instance *instance =
		spec_find(spec->instances, action->instance);
	union wasm_value arguments[VALUES_MOST] = { 0 };
	const struct wasm_deftype *type;
	struct wasm_extern found;

	*trap = WASM_OK;
	if (!instance)
		return spec_fail(spec, "there is no instance %s",
				 action->instance ? action->instance : "");
	if (!wasm_instance_export(instance, action->name,
				  (uint32_t)action->name_len, &found))
		return spec_fail(spec, "there is no export %s", action->name);
	if (action->is_get) {
		if (found.kind != WASM_EXTERN_GLOBAL)
			return spec_fail(spec, "%s is no global", action->name);
		results->count = 1;
		results->type = found.global->type;
		results->types = &results->type;
		results->values[0] = found.global->value;
		return true;
	}
	if (found.kind != WASM_EXTERN_FUNCTION || !found.function)
		return spec_fail(spec, "%s is no function", action->name);
	type = wasm_types_get(spec->vm.types, found.function->type);
	if (!spec_arguments(spec, action, type, arguments))
		return false;
	results->count = type->result_count;
	results->types = type->results;
	*trap = vm_call(&spec->vm, found.function, arguments, results->values);
	return true;
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

static struct wasm_module *
spec_load(struct spec *spec, const struct wat_command *command, struct err *err)
{
	struct wasm_module *module = NULL;

	if (command->malformed.code) {
		*err = command->malformed;
		return NULL;
	}
	if (vm_load(&spec->vm, command->binary.data, command->binary.len,
		    &module, err) < 0)
		return NULL;
	return module;
}

static bool spec_instantiate(struct spec *spec,
			     const struct wat_command *command,
			     const struct wasm_module *module)
{
	struct wasm_instance *instance = NULL;
	struct err err = { 0 };
	int result = vm_instantiate(&spec->vm, module, &instance, &err);

	if (result < 0)
		return spec_fail(spec, "%s", err.text);
	if (result > 0)
		return spec_fail(spec, "trap: %s", wasm_trap_text(result));
	spec_keep(&spec->instances, command->name, instance);
	return true;
}

static bool spec_module(struct spec *spec, const struct wat_command *command)
{
	struct err err = { 0 };
	struct wasm_module *module = spec_load(spec, command, &err);

	if (!module)
		return spec_fail(spec, "%s", err.text);
	if (command->kind == WAT_MODULE)
		return spec_instantiate(spec, command, module);
	spec_keep(&spec->definitions, command->name, module);
	return true;
}

static bool spec_instance(struct spec *spec, const struct wat_command *command)
{
	struct wasm_module *module =
		spec_find(spec->definitions, command->definition);

	if (!module)
		return spec_fail(spec, "there is no such definition");
	return spec_instantiate(spec, command, module);
}

static bool spec_register(struct spec *spec, const struct wat_command *command)
{
	struct wasm_instance *instance =
		spec_find(spec->instances, command->name);
	struct wasm_name as = { command->as, (uint32_t)command->as_len };
	struct err err = { 0 };

	if (!instance)
		return spec_fail(spec, "there is no such instance");
	if (vm_define_instance_named(&spec->vm, as, instance, &err) < 0)
		return spec_fail(spec, "%s", err.text);
	return true;
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
static struct wasm_module *spec_to_link(struct spec *spec,
					const struct wat_command *command,
					struct err *err)
{
	struct wasm_module *module;

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
	struct wasm_instance *instance = NULL;
	struct err err = { 0 };
	struct wasm_module *module = spec_to_link(spec, command, &err);
	int result;

	if (!module)
		return spec_fail(spec, "%s", err.text);
	result = vm_instantiate(&spec->vm, module, &instance, &err);
	if (command->kind == WAT_ASSERT_TRAP_MODULE) {
		if (result < 0)
			return spec_fail(spec, "%s", err.text);
		return spec_ended(spec, command, result);
	}
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

/* The module that the suite's modules import from. */

static enum wasm_trap spec_print(struct wasm_store *store,
				 struct wasm_function *self,
				 struct wasm_instance *caller,
				 union wasm_value *slots)
{
	(void)store;
	(void)self;
	(void)caller;
	(void)slots;
	return WASM_OK;
}

static int spec_define_functions(struct vm *vm, struct err *err)
{
	static const char *const functions[][2] = {
		{ "print", "" },	   { "print_i32", "i" },
		{ "print_i64", "l" },	   { "print_f32", "f" },
		{ "print_f64", "d" },	   { "print_i32_f32", "if" },
		{ "print_f64_f64", "dd" },
	};
	int result = 0;

	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (result >= 0)
			result = vm_define_function(vm, "spectest",
						    functions[i][0],
						    functions[i][1], spec_print,
						    NULL, err);
	return result;
}

static int spec_define_globals(struct vm *vm, struct err *err)
{
	static const struct {
		const char *name;
		wasm_type type;
		union wasm_value value;
	} globals[] = {
		{ "global_i32", WASM_I32, { .i64 = 666 } },
		{ "global_i64", WASM_I64, { .i64 = 666 } },
		{ "global_f32", WASM_F32, { .f32 = 666.6f } },
		{ "global_f64", WASM_F64, { .f64 = 666.6 } },
	};
	int result = 0;

	for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
		struct wasm_extern what = { .kind = WASM_EXTERN_GLOBAL,
					    .global = wasm_global_make(
						    vm->store, globals[i].type,
						    false, globals[i].value) };

		if (result >= 0)
			result = vm_define(vm, "spectest", globals[i].name,
					   what, err);
	}
	return result;
}

static int spec_define_stores(struct vm *vm, struct err *err)
{
	struct wasm_limits table = { .least = 10,
				     .most = 20,
				     .has_most = true };
	struct wasm_limits table64 = table, memory = {
		.least = 1, .most = 2, .has_most = true, .page_log2 = 16
	};
	struct wasm_limits shared = memory;
	int result;

	table64.is64 = shared.is_shared = true;
	struct wasm_extern made[] = {
		{ .kind = WASM_EXTERN_TABLE,
		  .table =
			  wasm_table_make(vm->store, WASM_FUNCREF, &table, 0) },
		{ .kind = WASM_EXTERN_TABLE,
		  .table = wasm_table_make(vm->store, WASM_FUNCREF, &table64,
					   0) },
		{ .kind = WASM_EXTERN_MEMORY,
		  .memory = wasm_memory_make(vm->store, &memory) },
		{ .kind = WASM_EXTERN_MEMORY,
		  .memory = wasm_memory_make(vm->store, &shared) },
	};

	result = vm_define(vm, "spectest", "table", made[0], err);
	if (result >= 0)
		result = vm_define(vm, "spectest", "table64", made[1], err);
	if (result >= 0)
		result = vm_define(vm, "spectest", "memory", made[2], err);
	if (result >= 0)
		result = vm_define(vm, "spectest", "shared_memory", made[3],
				   err);
	return result;
}

static int spec_memory_unguarded(void *env, struct wasm_memory *memory,
				 const struct wasm_module *module,
				 uint32_t index)
{
	int result = vm_host.memory_make(env, memory, module, index);

	memory->guarded = false;
	return result;
}

static int spec_open(struct spec *spec, struct err *err)
{
	struct vm_options options = { .timeout_ns = 60000000000,
				      .code = spec->code,
				      .host = &spec->host };
	int result;

	if (spec->cache.place)
		options.cache = &spec->cache;
	spec->host = vm_host;
	if (spec->unguarded)
		spec->host.memory_make = spec_memory_unguarded;
	result = vm_init(&spec->vm, &options, err);
	if (result >= 0)
		result = spec_define_functions(&spec->vm, err);
	if (result >= 0)
		result = spec_define_globals(&spec->vm, err);
	if (result >= 0)
		result = spec_define_stores(&spec->vm, err);
	if (result >= 0 && spec->stress)
		wasm_heap_stress(spec->vm.store);
	return result;
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
	if (spec->words)
		printf(", %u with other words", spec->words);
	if (spec->set_aside)
		printf(", %u set aside", spec->set_aside);
	putchar('\n');
	fflush(stdout);
	return fine;
}

/* With --cached all code has to come from the cache. */
static bool spec_check_cached(const struct spec *spec)
{
	const struct cache *cache = spec->vm.options.code.cache;
	struct cache_counts counts;
	uint64_t misses = 0;

	if (!cache || !spec->cached)
		return true;
	cache_counts(cache, &counts);
	for (int i = CACHE_HIT + 1; i < CACHE_RESULTS; i++)
		misses += counts.results[i];
	return !misses || spec_fail(spec, "%lu modules were compiled",
				    (unsigned long)misses);
}

static bool spec_file(struct spec *spec)
{
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };

	if (file_read(spec->file, &text, SCRIPT_MOST, &err) < 0 ||
	    spec_open(spec, &err) < 0) {
		printf("not ok - %s: %s\n", spec->file, err.text);
		return false;
	}
	spec_read(spec, &text);
	spec_forget(&spec->instances);
	spec_forget(&spec->definitions);
	spec->others_failed += !spec_check_cached(spec);
	vm_fini(&spec->vm);
	return spec_report(spec);
}

int main(int argc, char **argv)
{
	struct spec options = { 0 };
	bool fine = argc > 1;

	for (int i = 1; i < argc; i++) {
		struct spec spec = options;

		spec.file = argv[i];
		if (strcmp(argv[i], "--unguarded") == 0)
			options.unguarded = true;
		else if (strcmp(argv[i], "--stress") == 0)
			options.stress = true;
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
