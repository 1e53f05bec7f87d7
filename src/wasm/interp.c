/* SPDX-License-Identifier: Apache-2.0 */
/* The code of a module: stubs at first, then what translate.c makes of each
 * function when it is called.  It goes into chunks that live as long as the
 * module:
 *
 *	| header | code of a function, its places | ... | free | codes |
 *
 * The pointers at the end are those of the functions in the chunk, the first
 * one last, so that a place in the code finds its function by bisection.
 * Chunks are added and filled under the host's lock, by one thread at a time;
 * what is published is never moved. */
#include "wasm/interp_internal.h"
#include "wasm/translate.h"
#include <string.h>

enum { CHUNK_FIRST = 64 << 10, CHUNK_MOST = 8 << 20 };

struct chunk {
	struct chunk *next; /* older */
	uint64_t room;	    /* bytes, header included */
	uint64_t used;
	uint32_t count; /* functions */
};

struct code_store {
	struct translator *translator;
	struct chunk *chunks; /* newest first */
	uint64_t next_room;
	struct wasm_code *checked; /* the second set, or NULL */
};

static uint32_t defined_count(const struct wasm_module *module)
{
	return module->function_count - module->imported_functions;
}

/* Preparation */

static uint64_t count_locals(const struct wasm_function_decl *decl)
{
	struct wasm_reader reader = wasm_reader_of(decl->body, decl->body_len);
	uint32_t groups = wasm_read_u32(&reader);
	uint64_t count = 0;

	for (; groups; groups--) {
		count += wasm_read_u32(&reader);
		wasm_read_value_type(&reader);
	}
	return count;
}

static void prepare_code(struct wasm_module *module, struct wasm_code *code,
			 uint32_t index, bool checked)
{
	const struct wasm_function_decl *decl = &module->functions[index];
	const struct wasm_deftype *type = module->type[decl->type_index];
	uint64_t slots = type->param_count + count_locals(decl);

	if (slots < type->result_count)
		slots = type->result_count;
	code->entry = (const uint8_t *)&code->stub;
	code->save_bytes = (uint32_t)(slots * SLOT_BYTES);
	code->function = index;
	code->module = module;
	code->checked = checked;
	code->stub_frame_bytes = code->save_bytes + SLOT_BYTES;
	code->stub = wasm_exec_handler(WASM_H_translate, 0);
}

static struct wasm_code *make_codes(struct wasm_module *module, bool checked)
{
	const struct wasm_host *host = module->host;
	uint32_t count = defined_count(module);
	struct wasm_code *codes =
		host->allocate(host->env, ((size_t)count + 1) * sizeof(*codes));

	for (uint32_t i = 0; codes && i < count; i++)
		prepare_code(module, &codes[i], module->imported_functions + i,
			     checked);
	return codes;
}

int wasm_interp_prepare(struct wasm_module *module)
{
	const struct wasm_host *host = module->host;
	struct code_store *codes = host->allocate(host->env, sizeof(*codes));

	if (!codes)
		return -1;
	codes->next_room = CHUNK_FIRST;
	module->interp = codes;
	return 0;
}

struct wasm_code *wasm_interp_codes(const struct wasm_module *module,
				    bool checked)
{
	struct code_store *store = module->interp;
	const struct wasm_host *host = module->host;
	/* Modules do not change but for their codes, under the lock. */
	struct wasm_module *of = (struct wasm_module *)module;
	struct wasm_code **codes = checked ? &store->checked : &of->codes;

	host->lock(host->env);
	if (!*codes)
		*codes = make_codes(of, checked);
	host->unlock(host->env);
	return *codes;
}

static void release_codes(const struct wasm_module *module,
			  struct wasm_code *codes)
{
	if (codes)
		module->host->release(module->host->env, codes,
				      ((size_t)defined_count(module) + 1) *
					      sizeof(*codes));
}

void wasm_interp_drop(struct wasm_module *module)
{
	const struct wasm_host *host = module->host;
	struct code_store *store = module->interp;

	if (!store)
		return;
	while (store->chunks) {
		struct chunk *chunk = store->chunks;

		store->chunks = chunk->next;
		host->release(host->env, chunk, chunk->room);
	}
	translator_free(store->translator);
	release_codes(module, store->checked);
	release_codes(module, module->codes);
	host->release(host->env, store, sizeof(*store));
	module->interp = NULL;
	module->codes = NULL;
}

/* Chunks */

static struct chunk *new_chunk(const struct wasm_module *module, uint64_t least)
{
	struct code_store *store = module->interp;
	const struct wasm_host *host = module->host;
	struct chunk *chunk;
	uint64_t room = store->next_room;

	if (room < CHUNK_MOST)
		store->next_room *= 2;
	if (room < least + sizeof(*chunk))
		room = (least + sizeof(*chunk) + 15) & ~UINT64_C(15);
	chunk = host->allocate(host->env, room);
	if (!chunk)
		return NULL;
	chunk->room = room;
	chunk->used = sizeof(*chunk);
	chunk->next = store->chunks;
	__atomic_store_n(&store->chunks, chunk, __ATOMIC_RELEASE);
	return chunk;
}

static uint64_t chunk_left(const struct chunk *chunk)
{
	return chunk->room - chunk->used - chunk->count * sizeof(void *);
}

static struct wasm_code **code_slot_of(struct chunk *chunk, uint32_t number)
{
	return (struct wasm_code **)((uint8_t *)chunk + chunk->room) - 1 -
	       number;
}

/* Space for a function's code, known as its; aligned to 16. */
static uint8_t *chunk_take(const struct wasm_module *module, uint64_t bytes,
			   struct wasm_code *code)
{
	struct code_store *store = module->interp;
	struct chunk *chunk = store->chunks;
	uint64_t need = bytes + sizeof(void *) + 64;
	uint8_t *taken;

	if (!chunk || chunk_left(chunk) < need)
		chunk = new_chunk(module, need);
	if (!chunk)
		return NULL;
	chunk->used = (chunk->used + 15) & ~UINT64_C(15);
	taken = (uint8_t *)chunk + chunk->used;
	chunk->used += bytes;
	*code_slot_of(chunk, chunk->count++) = code;
	return taken;
}

/* The chunk that an address is in; any thread, no lock. */
static struct chunk *chunk_of(const struct wasm_module *module,
			      const uint8_t *ip)
{
	struct code_store *store = module->interp;
	struct chunk *chunk = __atomic_load_n(&store->chunks, __ATOMIC_ACQUIRE);

	while (chunk && ((const uint8_t *)chunk > ip ||
			 (const uint8_t *)chunk + chunk->room <= ip))
		chunk = chunk->next;
	return chunk;
}

/* Publishing */

static unsigned put_leb(uint8_t *at, uint64_t value)
{
	unsigned len = 0;

	for (; value >= 0x80; value >>= 7)
		at[len++] = (uint8_t)(value | 0x80);
	at[len++] = (uint8_t)value;
	return len;
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

/* At most 10 bytes for each instruction. */
static uint32_t put_origins(const struct translator *t, uint8_t *at)
{
	const struct origin *origins = t->origins.items;
	uint32_t code = 0, len = 0;
	uint32_t module = (uint32_t)(t->reader.base - t->module->bytes);

	for (uint32_t i = 0; i < t->origin_count; i++) {
		len += put_leb(at + len, origins[i].code - code);
		len += put_leb(at + len,
			       zigzag((int64_t)origins[i].module - module));
		code = origins[i].code;
		module = origins[i].module;
	}
	return len;
}

static uint64_t places_most(const struct translator *t)
{
	return sizeof(struct places) +
	       (uint64_t)t->catch_count * sizeof(struct landing) +
	       (uint64_t)t->origin_count * 10;
}

static void put_places(const struct translator *t, struct places *places)
{
	const struct landing *landings = t->landings.items;
	const uint32_t *order = t->catches.items;

	places->landing_count = t->catch_count;
	for (uint32_t i = 0; i < t->catch_count; i++)
		places->landings[i] = landings[order[i]];
	places->bytes =
		put_origins(t, (uint8_t *)&places->landings[t->catch_count]);
}

static int publish(struct translator *t, struct wasm_code *code)
{
	uint64_t code_bytes = ((uint64_t)t->used + 7) & ~UINT64_C(7);
	uint64_t most = 16 + code_bytes + places_most(t);
	struct code_store *store = t->module->interp;
	uint8_t *taken = chunk_take(t->module, most, code), *entry;
	uint32_t frame_bytes = own_slot(t, t->highest + 1) * SLOT_BYTES;
	struct places *places;

	if (!taken)
		return -1;
	entry = taken + 16;
	memcpy(entry - CODE_HEADER, &frame_bytes, sizeof(frame_bytes));
	memcpy(entry, t->code.items, t->used);
	places = (struct places *)(entry + code_bytes);
	put_places(t, places);
	store->chunks->used -=
		most - (16 + code_bytes + sizeof(*places) +
			(uint64_t)t->catch_count * sizeof(struct landing) +
			places->bytes);
	code->code_bytes = t->used;
	code->places = places;
	__atomic_store_n(&code->entry, entry, __ATOMIC_RELEASE);
	return 0;
}

static int translate_locked(struct wasm_module *module, struct wasm_code *code)
{
	struct code_store *store = module->interp;

	if (code->entry != (const uint8_t *)&code->stub)
		return 0; /* another thread was faster */
	if (!store->translator)
		store->translator = translator_new(module);
	if (!store->translator || translator_run(store->translator, code) < 0)
		return -1;
	return publish(store->translator, code);
}

int wasm_interp_translate(struct wasm_code *code)
{
	const struct wasm_host *host = code->module->host;
	int result;

	host->lock(host->env);
	result = translate_locked(code->module, code);
	host->unlock(host->env);
	return result;
}

/* Places */

static const struct wasm_code *stub_of(const struct wasm_module *module,
				       const struct wasm_code *codes,
				       const uint8_t *ip)
{
	const struct wasm_code *end = codes + defined_count(module);

	if (!codes || ip < (const uint8_t *)codes || ip >= (const uint8_t *)end)
		return NULL;
	return codes + (size_t)(ip - (const uint8_t *)codes) / sizeof(*codes);
}

/* Bisection: the last function that begins at or before ip. */
static const struct wasm_code *code_in(struct chunk *chunk, const uint8_t *ip)
{
	uint32_t low = 0, high = chunk->count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if ((*code_slot_of(chunk, middle))->entry <= ip)
			low = middle;
		else
			high = middle;
	}
	return *code_slot_of(chunk, low);
}

const struct wasm_code *wasm_interp_find(const struct wasm_module *module,
					 const uint8_t *ip)
{
	const struct wasm_host *host = module->host;
	struct code_store *store = module->interp;
	struct chunk *chunk = chunk_of(module, ip);
	const struct wasm_code *code;

	host->lock(host->env);
	if (chunk) {
		code = code_in(chunk, ip);
	} else {
		code = stub_of(module, module->codes, ip);
		if (!code)
			code = stub_of(module, store->checked, ip);
	}
	host->unlock(host->env);
	return code;
}

bool wasm_interp_is_code(const struct wasm_module *module, const uint8_t *ip)
{
	return chunk_of(module, ip) != NULL;
}

static uint64_t get_leb(const uint8_t **at)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		uint8_t byte = *(*at)++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
}

uint32_t wasm_interp_offset(const struct wasm_code *code, const uint8_t *ip)
{
	const struct wasm_module *module = code->module;
	const struct places *places = code->places;
	const uint8_t *at, *end;
	uint32_t offset = (uint32_t)(module->functions[code->function].body -
				     module->bytes);
	uint64_t code_at = 0, wanted;

	if (!places)
		return offset;
	wanted = (uint64_t)(ip - code->entry);
	at = (const uint8_t *)&places->landings[places->landing_count];
	end = at + places->bytes;
	while (at < end) {
		uint64_t step = get_leb(&at), delta = get_leb(&at);

		code_at += step;
		if (code_at > wanted)
			break;
		offset += (uint32_t)((int64_t)(delta >> 1) ^
				     -(int64_t)(delta & 1));
	}
	return offset;
}
