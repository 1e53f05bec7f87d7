/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an object of the optimiser's compiler: what is accepted can be
 * linked, every place that it names is within what it has. */
#include "aot/object.h"
#include <stdint.h>
#include <stdlib.h>

enum { IMPORTED = 2, FUNCTIONS = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

static void use_site(const struct aot_object *object,
		     const struct jit_made_site *site)
{
	if (site->kind == JIT_MADE_FUNCTION)
		require(site->target >= IMPORTED && site->target < FUNCTIONS);
	else if (site->kind == JIT_MADE_TRAP)
		require(site->target > 0 && site->target <= WASM_TRAP_exit);
	else
		require(site->kind == JIT_MADE_CONSTANT &&
			site->target <= object->constant_bytes);
	require(site->addend > -(1 << 30) && site->addend < 1 << 30);
}

/* Each is written to, as the linker will. */
static void use_sites(const struct aot_object *object, uint8_t *in,
		      uint64_t len, const struct jit_made_site *sites,
		      uint32_t count)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < count; i++) {
		require(sites[i].at >= next &&
			sites[i].at + UINT64_C(4) <= len);
		next = sites[i].at + UINT64_C(4);
		for (int k = 0; k < 4; k++)
			in[sites[i].at + k] = 0x11;
		use_site(object, &sites[i]);
	}
}

static void use(struct aot_object *object)
{
	uint32_t last = IMPORTED - 1;

	for (uint32_t i = 0; i < object->made_count; i++) {
		const struct jit_made *made = &object->made[i];

		require(made->function > last && made->function < FUNCTIONS &&
			made->function % 2 == 0 && made->len);
		last = made->function;
		use_sites(object, (uint8_t *)made->code, made->len, made->sites,
			  made->site_count);
	}
	use_sites(object, object->constants, object->constant_bytes,
		  object->constant_sites, object->constant_site_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t functions[FUNCTIONS / 2 - 1];
	struct aot_wanted wanted = { .imported = IMPORTED,
				     .function_count = FUNCTIONS,
				     .functions = functions,
				     .count = FUNCTIONS / 2 - 1 };
	struct aot_object object;
	struct err err = { 0 };

	for (uint32_t i = 0; i < wanted.count; i++)
		functions[i] = IMPORTED + 2 * i;
	if (aot_object_read(&object, data, size, &wanted, &err) == 0) {
		use(&object);
		aot_object_fini(&object);
	} else {
		require(err.text[0] && !object.made);
	}
	return 0;
}
