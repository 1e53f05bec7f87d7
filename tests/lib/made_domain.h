/* SPDX-License-Identifier: Apache-2.0 */
/* A domain with one module, from its text, in a virtual machine or in this
 * process.  Everything here is "static", for one test each. */
#pragma once
#include "domain/ground.h"
#include "domain/internal.h"
#include "domain/program.h"
#include "jit/jit.h"
#include "test.h"
#include "wat/wat.h"
#include <stdlib.h>
#include <string.h>

static struct ground grounds[2], *ground;
static struct err failure;
/* Where modules' code is kept. */
static struct cache_options made_cache = { .place = "off" };

/* What domains stand on from now on; false: there is no KVM. */
static bool ground_use(bool kvm)
{
	ground = &grounds[kvm];
	if (ground->features || ground->facts.code)
		return !kvm || ground->has_kvm;
	if (!kvm)
		setenv("BROOD_WITHOUT", "kvm", 1);
	if (ground_open(ground, kvm, &failure) < 0)
		*ground = (struct ground){ 0 };
	unsetenv("BROOD_WITHOUT");
	return !kvm || ground->has_kvm;
}

struct run {
	struct vm vm;
	struct program program;
	struct domain *domain;
	struct domain_outcome outcome;
	struct domain_values values;
	uint32_t instance;
};

static bool run_open(struct run *run, const char *text, enum vm_via via,
		     struct domain_options options)
{
	auto_buf struct buf bytes = { 0 };
	struct vm_options vm = { .code.via = via,
				 .code.without_features =
					 jit_features() & ~ground->features,
				 .cache = &made_cache,
				 .store.fuel = (int64_t)options.fuel };
	struct wasm_module *loaded;
	uint32_t module;

	*run = (struct run){ 0 };
	failure = (struct err){ 0 };
	options.ground = ground;
	if (wat_to_binary("test", text, strlen(text), &bytes, &failure) < 0 ||
	    vm_init(&run->vm, &vm, &failure) < 0 ||
	    vm_load(&run->vm, bytes.data, bytes.len, &loaded, &failure) < 0 ||
	    program_open(&run->program, &run->vm, loaded, &failure) < 0 ||
	    domain_open(&run->domain, &options, &failure) < 0 ||
	    domain_load(run->domain, &run->program.code, &module, &failure) <
		    0 ||
	    domain_instantiate(run->domain, module, &run->instance,
			       &run->outcome, &failure) < 0) {
		printf("# %s\n", failure.text);
		return false;
	}
	return true;
}

static void run_close(struct run *run)
{
	domain_close(run->domain);
	program_close(&run->program);
	vm_fini(&run->vm);
}

/* Up to two i32; the result as i32. */
static int run_call(struct run *run, const char *name, uint32_t count,
		    uint32_t a, uint32_t b)
{
	union wasm_value arguments[2] = { { .i64 = a }, { .i64 = b } };
	int r = domain_call(run->domain, run->instance, name, strlen(name),
			    arguments, count, &run->values, &run->outcome,
			    &failure);

	if (r < 0)
		printf("# %s: %s\n", name, failure.text);
	return r;
}

static inline bool run_is(struct run *run, const char *name, uint32_t count,
			  uint32_t a, uint32_t b, uint32_t wanted)
{
	return run_call(run, name, count, a, b) == 0 && !run->outcome.trap &&
	       run->values.count == 1 && run->values.values[0].i32 == wanted;
}

static inline bool run_traps(struct run *run, const char *name, uint32_t count,
			     uint32_t a, uint32_t b, enum wasm_trap trap)
{
	if (run_call(run, name, count, a, b) == 0 && run->outcome.trap == trap)
		return true;
	printf("# %s: trap %d\n", name, run->outcome.trap);
	return false;
}
