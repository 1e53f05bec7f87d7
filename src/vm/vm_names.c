/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with chains; names may hold any bytes.  Names come from
 * modules, which may have been made to collide: the hash is SipHash-1-3 with
 * a key of the table's own. */
#include "vm/vm_names.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct vm_name {
	struct vm_name *next;
	struct wasm_extern what;
	uint32_t hash, module_len, name_len;
	char text[]; /* the module's name, then its own */
};

struct vm_names {
	uint32_t count, room; /* room: a power of 2 */
	uint64_t key[2];
	struct vm_name **chains;
};

enum { NAMES_ROOM = 64 };

static uint64_t vm_names_turn(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static void vm_names_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = vm_names_turn(v[1], 13) ^ v[0];
	v[3] = vm_names_turn(v[3], 16) ^ v[2];
	v[0] = vm_names_turn(v[0], 32) + v[3];
	v[2] += v[1];
	v[1] = vm_names_turn(v[1], 17) ^ v[2];
	v[3] = vm_names_turn(v[3], 21) ^ v[0];
	v[2] = vm_names_turn(v[2], 32);
}

/* The length goes first, so that no two texts give the same words. */
static void vm_names_mix(uint64_t v[4], const char *text, uint32_t len)
{
	uint64_t word = len;

	for (uint32_t at = 0;; at += sizeof word) {
		v[3] ^= word;
		vm_names_round(v);
		v[0] ^= word;
		if (at >= len)
			return;
		word = 0;
		memcpy(&word, text + at,
		       len - at < sizeof word ? len - at : sizeof word);
	}
}

static uint32_t vm_names_hash(const struct vm_names *names,
			      struct wasm_name module, struct wasm_name name)
{
	uint64_t v[4] = { names->key[0] ^ 0x736f6d6570736575,
			  names->key[1] ^ 0x646f72616e646f6d,
			  names->key[0] ^ 0x6c7967656e657261,
			  names->key[1] ^ 0x7465646279746573 };

	vm_names_mix(v, module.text, module.len);
	vm_names_mix(v, name.text, name.len);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		vm_names_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* Early in a boot it fails: then an address is better than nothing. */
static void vm_names_seed(struct vm_names *names)
{
	if (getrandom(names->key, sizeof names->key, GRND_NONBLOCK) ==
	    sizeof names->key)
		return;
	names->key[0] = (uintptr_t)names;
	names->key[1] = (uintptr_t)&names;
}

struct vm_names *vm_names_new(void)
{
	struct vm_names *names = calloc(1, sizeof *names);

	if (!names)
		return NULL;
	vm_names_seed(names);
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
	uint32_t hash = vm_names_hash(names, module, name);
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
				   .hash = vm_names_hash(names, module, name),
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
