/* SPDX-License-Identifier: Apache-2.0 */
/* Names: what is defined under a module's and an item's name, and the imports
 * that find it.  What had a name before has it no more. */
#include "guest.h"
#include <string.h>

enum { LINK_BUCKETS = 256 };

struct named {
	struct named *next;
	uint32_t module_len, name_len;
	struct wasm_extern what;
	char text[]; /* the module's name, the item's */
};

static struct named *buckets[LINK_BUCKETS];

static uint32_t hash_more(uint32_t hash, struct wasm_name name)
{
	for (uint32_t i = 0; i < name.len; i++)
		hash = (hash ^ (uint8_t)name.text[i]) * 16777619u;
	return hash;
}

static struct named **find(struct wasm_name module, struct wasm_name name)
{
	uint32_t hash = hash_more(hash_more(2166136261u, module), name);
	struct named **link = &buckets[hash % LINK_BUCKETS];

	while (*link &&
	       ((*link)->module_len != module.len ||
		(*link)->name_len != name.len ||
		memcmp((*link)->text, module.text, module.len) != 0 ||
		memcmp((*link)->text + module.len, name.text, name.len) != 0))
		link = &(*link)->next;
	return link;
}

int guest_define(struct wasm_name module, struct wasm_name name,
		 struct wasm_extern what)
{
	struct named **link = find(module, name), *new = *link;

	if (!new) {
		new = guest_allocate(NULL, sizeof(*new) + module.len +
						   (size_t)name.len);
		if (!new)
			return -1;
		new->module_len = module.len;
		new->name_len = name.len;
		memcpy(new->text, module.text, module.len);
		memcpy(new->text + module.len, name.text, name.len);
		*link = new;
	}
	new->what = what;
	return 0;
}

int guest_define_instance(struct wasm_name module,
			  struct wasm_instance *instance)
{
	const struct wasm_module *from = instance->module;

	for (uint32_t i = 0; i < from->export_count; i++) {
		const struct wasm_export *item = &from->exports[i];
		struct wasm_extern what =
			wasm_instance_extern(instance, item->kind, item->index);

		if (what.kind == WASM_EXTERN_FUNCTION && !what.function)
			return -1;
		if (guest_define(module, item->name, what) < 0)
			return -1;
	}
	return 0;
}

/* The host knows the words for what does not fit (domain_link). */
int guest_link(const struct wasm_module *module, struct wasm_extern *imports)
{
	for (uint32_t i = 0; i < module->import_count; i++) {
		const struct wasm_import *import = &module->imports[i];
		const struct named *given = *find(import->module, import->name);

		if (!given)
			return guest_fail("unknown import");
		if (!wasm_import_matches(module, i, &given->what))
			return guest_fail("incompatible import type");
		imports[i] = given->what;
	}
	return 0;
}
