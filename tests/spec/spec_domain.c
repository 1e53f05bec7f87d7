/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts in domains: each has one, in which all of its modules live.  They
 * are read and compiled here; what is refused here, the domain is shown too,
 * and has to refuse it with the same words.  The suite's own module is one of
 * byte code. */
#include "base/clock.h"
#include "domain/ground.h"
#include "domain/program.h"
#include "jit/jit.h"
#include "spec.h"
#include "wat/wat.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RUN_NS INT64_C(60000000000)

static const char spectest[] =
	"(module"
	" (func (export \"print\"))"
	" (func (export \"print_i32\") (param i32))"
	" (func (export \"print_i64\") (param i64))"
	" (func (export \"print_f32\") (param f32))"
	" (func (export \"print_f64\") (param f64))"
	" (func (export \"print_i32_f32\") (param i32 f32))"
	" (func (export \"print_f64_f64\") (param f64 f64))"
	" (global (export \"global_i32\") i32 (i32.const 666))"
	" (global (export \"global_i64\") i64 (i64.const 666))"
	" (global (export \"global_f32\") f32 (f32.const 666.6))"
	" (global (export \"global_f64\") f64 (f64.const 666.6))"
	" (table (export \"table\") 10 20 funcref)"
	" (table (export \"table64\") i64 10 20 funcref)"
	" (memory (export \"memory\") 1 2)"
	" (memory (export \"shared_memory\") 1 2 shared))";

/* Bytes that the domain was shown. */
struct shown {
	uint8_t *pages;
	size_t bytes;
	struct shown *next;
};
struct loaded {
	struct program program;
	uint32_t number;
	struct loaded *next;
};
struct instance {
	uint32_t number;
	struct instance *next;
};

struct spec_domain {
	struct ground ground;
	struct domain *domain;
	struct shown *shown;
	struct loaded *loaded;
	struct instance *instances;
};

static void in_domain_close(struct spec *spec)
{
	struct spec_domain *in = spec->domain;

	domain_close(in->domain);
	for (struct loaded *at = in->loaded, *next; at; at = next) {
		next = at->next;
		program_close(&at->program);
		free(at);
	}
	for (struct shown *at = in->shown, *next; at; at = next) {
		next = at->next;
		munmap(at->pages, at->bytes);
		free(at);
	}
	for (struct instance *at = in->instances, *next; at; at = next) {
		next = at->next;
		free(at);
	}
	vm_fini(&spec->vm);
	ground_close(&in->ground);
	free(in);
	spec->domain = NULL;
}

/* ---- modules -------------------------------------------------------------- */

/* In pages that stay. */
static struct shown *in_domain_keep(struct spec_domain *in,
				    const struct buf *bytes)
{
	struct shown *shown = calloc(1, sizeof *shown);

	if (!shown)
		abort();
	shown->bytes = (bytes->len / GUEST_PAGE + 1) * GUEST_PAGE;
	shown->pages = mmap(NULL, shown->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shown->pages == MAP_FAILED)
		abort();
	if (bytes->len)
		memcpy(shown->pages, bytes->data, bytes->len);
	shown->next = in->shown;
	in->shown = shown;
	return shown;
}

/* The domain's refusal of what was refused here. */
static int in_domain_refuse(struct spec_domain *in, const struct buf *bytes,
			    struct err *err)
{
	const struct shown *shown = in_domain_keep(in, bytes);
	const struct domain_code code = { .image = shown->pages,
					  .len = shown->bytes,
					  .module_bytes = bytes->len };
	struct err refused = { 0 };
	uint32_t number;
	int result = domain_load(in->domain, &code, &number, &refused);

	if (result == -EINVAL && strcmp(refused.text, err->text) == 0)
		return err->code;
	return err_set(err, -EINVAL, "the domain says otherwise: %s",
		       result < 0 ? refused.text : "it is fine");
}

static int in_domain_load(struct spec *spec, const struct buf *bytes,
			  void **module, struct err *err)
{
	struct loaded *loaded = calloc(1, sizeof *loaded);
	struct wasm_module *read = NULL;
	int result;

	if (!loaded)
		abort();
	loaded->next = spec->domain->loaded;
	spec->domain->loaded = loaded;
	result = vm_load(&spec->vm, bytes->data, bytes->len, &read, err);
	if (result < 0)
		return in_domain_refuse(spec->domain, bytes, err);
	result = spec_check_optimised(spec, read, err);
	if (result >= 0)
		result = program_open(&loaded->program, &spec->vm, read, err);
	if (result >= 0)
		result =
			domain_load(spec->domain->domain, &loaded->program.code,
				    &loaded->number, err);
	*module = loaded;
	return result;
}

static int in_domain_instantiate(struct spec *spec, void *module, void **made,
				 enum wasm_trap *trap, struct err *err)
{
	const struct loaded *loaded = module;
	struct domain *domain = spec->domain->domain;
	struct instance *instance = calloc(1, sizeof *instance);
	struct domain_outcome outcome = { 0 };
	int result;

	if (!instance)
		abort();
	instance->next = spec->domain->instances;
	spec->domain->instances = instance;
	domain_set_deadline(domain, (int64_t)clock_ns() + RUN_NS);
	result = domain_instantiate(domain, loaded->number, &instance->number,
				    &outcome, err);
	*made = instance;
	*trap = outcome.trap;
	return result;
}

static int in_domain_name(struct spec *spec, struct wasm_name name, void *of,
			  struct err *err)
{
	const struct instance *instance = of;

	return domain_register(spec->domain->domain, instance->number,
			       name.text, name.len, err);
}

/* ---- actions -------------------------------------------------------------- */

static int in_domain_call(struct domain *domain, uint32_t instance,
			  const struct wat_action *action,
			  const union wasm_value *arguments,
			  struct domain_values *values, enum wasm_trap *trap,
			  struct err *err)
{
	struct domain_outcome outcome = { 0 };
	int result;

	domain_set_deadline(domain, (int64_t)clock_ns() + RUN_NS);
	result = domain_call(domain, instance, action->name, action->name_len,
			     arguments, (uint32_t)action->argument_count,
			     values, &outcome, err);
	*trap = outcome.trap;
	return result;
}

static int in_domain_take(const struct domain_values *values,
			  struct spec_results *results, struct err *err)
{
	if (values->count != results->count)
		return err_set(err, -EPROTO, "%u results of %u", values->count,
			       results->count);
	memcpy(results->values, values->values,
	       values->count * sizeof *values->values);
	memcpy(results->matches, values->matches,
	       values->count * sizeof *values->matches);
	return 0;
}

/* What the export is, and its types, which stay until the next command. */
static int in_domain_find(struct domain *domain, uint32_t instance,
			  const struct wat_action *action,
			  struct spec_results *results, struct err *err)
{
	struct domain_item item;
	int result = domain_find(domain, instance, action->name,
				 action->name_len, &item, err);

	if (result < 0)
		return result;
	if (item.kind !=
	    (action->is_get ? WASM_EXTERN_GLOBAL : WASM_EXTERN_FUNCTION))
		return err_set(err, -EINVAL, "an export of another kind");
	if (item.result_count > SPEC_VALUES)
		return err_set(err, -EINVAL, "%u results", item.result_count);
	results->count = action->is_get ? 1 : item.result_count;
	if (action->is_get)
		results->types[0] = item.type;
	else
		memcpy(results->types, item.types + item.param_count,
		       item.result_count * sizeof *item.types);
	return 0;
}

static int in_domain_act(struct spec *spec, void *of,
			 const struct wat_action *action,
			 union wasm_value *arguments,
			 struct spec_results *results, enum wasm_trap *trap,
			 struct err *err)
{
	struct domain *domain = spec->domain->domain;
	uint32_t instance = ((const struct instance *)of)->number;
	struct domain_values values = { 0 };
	int result = in_domain_find(domain, instance, action, results, err);

	if (result < 0)
		return result;
	if (action->is_get)
		result = domain_global(domain, instance, action->name,
				       action->name_len, &values, err);
	else
		result = in_domain_call(domain, instance, action, arguments,
					&values, trap, err);
	return result < 0 || *trap ? result
				   : in_domain_take(&values, results, err);
}

/* ---- a script's domain ---------------------------------------------------- */

static int in_domain_spectest(struct spec *spec, struct err *err)
{
	auto_buf struct buf bytes = { 0 };
	const struct wasm_name name = { "spectest", 8 };
	void *module, *instance;
	enum wasm_trap trap;
	int result = wat_to_binary("spectest", spectest, strlen(spectest),
				   &bytes, err);

	if (result >= 0)
		result = in_domain_load(spec, &bytes, &module, err);
	if (result >= 0)
		result = in_domain_instantiate(spec, module, &instance, &trap,
					       err);
	return result < 0 ? result : in_domain_name(spec, name, instance, err);
}

static int in_domain_make(struct spec *spec, struct err *err)
{
	struct ground *ground = &spec->domain->ground;
	static const struct cache_options off = { .place = "off" };
	struct vm_options vm = { .code = spec->code,
				 .cache = spec->cache.place ? &spec->cache
							    : &off };
	const struct domain_options options = { .ground = ground };
	int result;

	vm.code.without_features |= jit_features() & ~ground->features;
	result = vm_init(&spec->vm, &vm, err);
	if (result >= 0)
		result = domain_open(&spec->domain->domain, &options, err);
	return result < 0 ? result : in_domain_spectest(spec, err);
}

static int in_domain_open(struct spec *spec, struct err *err)
{
	int result;

	spec->domain = calloc(1, sizeof *spec->domain);
	if (!spec->domain)
		abort();
	result = ground_open(&spec->domain->ground, false, err);
	return result < 0 ? result : in_domain_make(spec, err);
}

const struct spec_way spec_in_domain = {
	.open = in_domain_open,
	.close = in_domain_close,
	.load = in_domain_load,
	.instantiate = in_domain_instantiate,
	.name = in_domain_name,
	.act = in_domain_act,
};
