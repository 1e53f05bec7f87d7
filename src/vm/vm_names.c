/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with chains; names may hold any bytes. */
#include "vm/vm_names.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct vm_name {
	struct vm_name *next;
	struct wasm_extern what;
	uint32_t hash, module_len, name_len;
	char text[]; /* the module's name, then its own */
};

struct vm_names {
	uint32_t count, room; /* room: a power of 2 */
	struct vm_name **chains;
};

enum { NAMES_ROOM = 64 };

static uint32_t vm_names_mix(uint32_t hash, const char *text, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619;
	return hash;
}

static uint32_t vm_names_hash(struct wasm_name module, struct wasm_name name)
{
	uint32_t hash = vm_names_mix(2166136261, module.text, module.len);

	return vm_names_mix(hash + 1, name.text, name.len);
}

struct vm_names *vm_names_new(void)
{
	struct vm_names *names = calloc(1, sizeof *names);

	if (!names)
		return NULL;
	names->room = NAMES_ROOM;
	names->chains = calloc(names->room, sizeof *names->chains);
	if (names->chains)
		return names;
	free(names);
	return NULL;
}

void vm_names_free(struct vm_names *names)
{
	for (uint32_t i = 0; names && i < names->room; i++) {
		struct vm_name *at = names->chains[i], *next;

		for (; at; at = next) {
			next = at->next;
			free(at);
		}
	}
	if (names)
		free(names->chains);
	free(names);
}

/* memcmp with NULL for an empty name is not allowed. */
static bool vm_names_equal(const char *a, struct wasm_name b)
{
	return b.len == 0 || memcmp(a, b.text, b.len) == 0;
}

static struct vm_name *vm_names_find(const struct vm_names *names,
				     struct wasm_name module,
				     struct wasm_name name)
{
	uint32_t hash = vm_names_hash(module, name);
	struct vm_name *at = names->chains[hash & (names->room - 1)];

	for (; at; at = at->next)
		if (at->hash == hash && at->module_len == module.len &&
		    at->name_len == name.len &&
		    vm_names_equal(at->text, module) &&
		    vm_names_equal(at->text + module.len, name))
			return at;
	return NULL;
}

const struct wasm_extern *vm_names_get(const struct vm_names *names,
				       struct wasm_name module,
				       struct wasm_name name)
{
	struct vm_name *found = vm_names_find(names, module, name);

	return found ? &found->what : NULL;
}

/* Without memory it stays as it is, only slower. */
static void vm_names_widen(struct vm_names *names)
{
	uint32_t room = names->room * 2;
	struct vm_name **chains = calloc(room, sizeof *chains);

	if (!chains)
		return;
	for (uint32_t i = 0; i < names->room; i++) {
		struct vm_name *at = names->chains[i], *next;

		for (; at; at = next) {
			next = at->next;
			at->next = chains[at->hash & (room - 1)];
			chains[at->hash & (room - 1)] = at;
		}
	}
	free(names->chains);
	names->chains = chains;
	names->room = room;
}

static int vm_names_add(struct vm_names *names, struct wasm_name module,
			struct wasm_name name, struct wasm_extern what)
{
	size_t len = (size_t)module.len + name.len;
	struct vm_name *added = malloc(sizeof *added + len), **chain;

	if (!added)
		return -ENOMEM;
	*added = (struct vm_name){ .what = what,
				   .hash = vm_names_hash(module, name),
				   .module_len = module.len,
				   .name_len = name.len };
	if (module.len)
		memcpy(added->text, module.text, module.len);
	if (name.len)
		memcpy(added->text + module.len, name.text, name.len);
	if (names->count >= names->room && names->room <= UINT32_MAX / 4)
		vm_names_widen(names);
	chain = &names->chains[added->hash & (names->room - 1)];
	added->next = *chain;
	*chain = added;
	names->count++;
	return 0;
}

int vm_names_set(struct vm_names *names, struct wasm_name module,
		 struct wasm_name name, struct wasm_extern what)
{
	struct vm_name *found = vm_names_find(names, module, name);

	if (!found)
		return vm_names_add(names, module, name, what);
	found->what = what;
	return 0;
}
