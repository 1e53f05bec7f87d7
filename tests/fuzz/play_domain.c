/* SPDX-License-Identifier: Apache-2.0 */
/* The module in a domain of its own.  Its imports are of an instance of byte
 * code; nobody collects the heap. */
#include "base/clock.h"
#include "domain/ground.h"
#include "domain/program.h"
#include "fuzz/play.h"
#include "fuzz/play_internal.h"
#include "jit/jit.h"
#include "wat/wat.h"
#include <string.h>

#define PLAY_NS INT64_C(20000000000)

static const char host[] = "(module (type $none (func)) (table 1 funcref)"
			   " (func (export \"collect\"))" PLAY_FUNCTIONS ")";

struct stage {
	struct ground ground;
	struct vm vm;
	struct domain *domain;
	struct program host, program;
	uint32_t instance;
};

static int stage_open(struct stage *stage, const struct play *play,
		      struct err *err)
{
	const struct cache_options cache = { .place = play->cache ?: "off" };
	struct vm_options vm = {
		.cache = &cache,
		.code = { .via = play->compiled ? VM_COMPILED : VM_INTERPRETED,
			  .without = play->without,
			  .without_features = play->without_features },
		.store.fuel = play->counted ? INT64_MAX / 2 : 0,
	};
	struct domain_options options = { .ground = &stage->ground,
					  .fuel = (uint64_t)vm.store.fuel };
	int result = ground_open(&stage->ground, false, err);

	if (result < 0)
		return result;
	vm.code.without_features |= jit_features() & ~stage->ground.features;
	result = vm_init(&stage->vm, &vm, err);
	if (result >= 0)
		result = domain_open(&stage->domain, &options, err);
	if (result >= 0)
		domain_set_deadline(stage->domain,
				    (int64_t)clock_ns() + PLAY_NS);
	return result;
}

static void stage_close(struct stage *stage)
{
	domain_close(stage->domain);
	program_close(&stage->program);
	program_close(&stage->host);
	if (stage->vm.store)
		vm_fini(&stage->vm);
	ground_close(&stage->ground);
}

static int stage_add(struct stage *stage, struct program *program,
		     struct wasm_module *module, struct domain_outcome *outcome,
		     struct err *err)
{
	uint32_t number;
	int result = program_open(program, &stage->vm, module, err);

	if (result >= 0)
		result = domain_load(stage->domain, &program->code, &number,
				     err);
	return result < 0 ? result
			  : domain_instantiate(stage->domain, number,
					       &stage->instance, outcome, err);
}

static int stage_add_host(struct stage *stage, struct err *err)
{
	auto_buf struct buf binary = { 0 };
	struct domain_outcome outcome;
	struct wasm_module *module;
	int result = wat_to_binary("host", host, sizeof host - 1, &binary, err);

	if (result >= 0)
		result = vm_load(&stage->vm, binary.data, binary.len, &module,
				 err);
	if (result >= 0)
		result = stage_add(stage, &stage->host, module, &outcome, err);
	return result < 0 ? result
			  : domain_register(stage->domain, stage->instance,
					    "host", 4, err);
}

static void stage_play_export(struct stage *stage, struct wasm_name name,
			      struct buf *text)
{
	struct domain_values values = { 0 };
	struct domain_outcome outcome = { 0 };
	struct err err = { 0 };

	buf_add(text, name.text, name.len);
	if (domain_call(stage->domain, stage->instance, name.text, name.len,
			NULL, 0, &values, &outcome, &err) < 0)
		buf_format(text, " %s\n", err.text);
	else if (outcome.trap)
		buf_format(text, " trap: %s\n", wasm_trap_text(outcome.trap));
	else
		buf_format(text, " %llu\n",
			   (unsigned long long)values.values[0].i64);
}

static bool stage_play(struct stage *stage, const void *bytes, size_t len,
		       struct buf *text)
{
	struct domain_outcome outcome = { 0 };
	struct wasm_module *module;
	struct err err = { 0 };

	if (vm_load(&stage->vm, bytes, len, &module, &err) < 0) {
		buf_format(text, "not valid: %s\n", err.text);
		return false;
	}
	if (stage_add(stage, &stage->program, module, &outcome, &err) < 0) {
		buf_format(text, "no instance: %s\n", err.text);
		return false;
	}
	if (outcome.trap) {
		buf_format(text, "start trap: %s\n",
			   wasm_trap_text(outcome.trap));
		return true;
	}
	for (uint32_t i = 0; i < module->export_count; i++)
		stage_play_export(stage, module->exports[i].name, text);
	return true;
}

bool play_in_domain(const void *bytes, size_t len, const struct play *play,
		    struct buf *text)
{
	struct stage stage = { .ground.kvm.device = -1 };
	struct err err = { 0 };
	bool valid = false;

	if (stage_open(&stage, play, &err) < 0 ||
	    stage_add_host(&stage, &err) < 0)
		buf_format(text, "%s\n", err.text);
	else
		valid = stage_play(&stage, bytes, len, text);
	stage_close(&stage);
	return valid;
}
