/* SPDX-License-Identifier: Apache-2.0 */
#include "aot/join.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sites of constants have 32 bits. */
#define AOT_CONSTANTS_MOST (UINT64_C(1) << 30)

struct aot_sum {
	uint64_t functions, constants, constant_sites;
};

static uint64_t aot_rounded(uint64_t bytes)
{
	return (bytes + AOT_ALIGNED - 1) & ~(uint64_t)(AOT_ALIGNED - 1);
}

static int aot_object_order(const void *a, const void *b)
{
	const struct aot_object *left = a, *right = b;

	return left->made[0].function < right->made[0].function ? -1 : 1;
}

static struct aot_sum aot_sum_of(const struct aot_made *made)
{
	struct aot_sum sum = { 0 };

	for (uint32_t i = 0; i < made->object_count; i++) {
		const struct aot_object *object = &made->objects[i];

		sum.functions += object->made_count;
		sum.constants += aot_rounded(object->constant_bytes);
		sum.constant_sites += object->constant_site_count;
	}
	return sum;
}

static void aot_move_sites(struct jit_made_site *sites, uint64_t count,
			   uint32_t by)
{
	for (uint64_t i = 0; i < count; i++)
		if (sites[i].kind == JIT_MADE_CONSTANT)
			sites[i].target += by;
}

static uint64_t aot_site_count(const struct aot_object *object)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < object->made_count; i++)
		count += object->made[i].site_count;
	return count;
}

/* "functions" and so on: what was laid down before. */
static void aot_lay(struct aot_object *object, struct jit_made *functions,
		    uint8_t *constants, uint32_t constants_at,
		    struct jit_made_site *sites)
{
	aot_move_sites(object->sites, aot_site_count(object), constants_at);
	memcpy(functions, object->made,
	       object->made_count * sizeof(*functions));
	memcpy(constants + constants_at, object->constants,
	       object->constant_bytes);
	for (uint32_t i = 0; i < object->constant_site_count; i++) {
		sites[i] = object->constant_sites[i];
		sites[i].at += constants_at;
	}
}

int aot_join(struct aot_made *made, struct err *err)
{
	struct aot_sum sum = aot_sum_of(made), at = { 0 };
	struct jit_made *functions =
		calloc(sum.functions + 1, sizeof(*functions));
	struct jit_made_site *sites =
		calloc(sum.constant_sites + 1, sizeof(*sites));
	uint8_t *constants = sum.constants <= AOT_CONSTANTS_MOST
				     ? calloc(1, sum.constants + 1)
				     : NULL;

	made->link.made = functions;
	made->link.constants = constants;
	made->link.constant_sites = sites;
	if (!functions || !sites || !constants)
		return err_set(err, -ENOMEM, "lay optimised code together");
	if (made->object_count)
		qsort(made->objects, made->object_count, sizeof(*made->objects),
		      aot_object_order);
	for (uint32_t i = 0; i < made->object_count; i++) {
		struct aot_object *object = &made->objects[i];

		aot_lay(object, functions + at.functions, constants,
			(uint32_t)at.constants, sites + at.constant_sites);
		at.functions += object->made_count;
		at.constants += aot_rounded(object->constant_bytes);
		at.constant_sites += object->constant_site_count;
	}
	made->link.made_count = (uint32_t)sum.functions;
	made->link.constant_bytes = sum.constants;
	made->link.constant_site_count = (uint32_t)sum.constant_sites;
	return 0;
}
