/* SPDX-License-Identifier: Apache-2.0 */
/* Types as a module writes them: the type section's groups become words for
 * the registry (type.h), and then their subtyping is checked. */
#include "wasm/module_internal.h"
#include <string.h>

/* A group while it is read: types "first" to "first" + "count" - 1. */
struct span {
	uint32_t first, count;
};

static bool add_word(struct wasm_loader *loader, uint32_t word)
{
	const struct wasm_host *host = loader->module->host;

	if (loader->word_count == loader->word_room) {
		uint32_t room = loader->word_room ? loader->word_room * 2 : 256;
		uint32_t *words = host->allocate(host->env, room * 4ull);

		if (!words) {
			wasm_reader_fail(&loader->reader, loader->reader.at,
					 "out of memory");
			return false;
		}
		if (loader->words) {
			memcpy(words, loader->words, loader->word_room * 4ull);
			host->release(host->env, loader->words,
				      loader->word_room * 4ull);
		}
		loader->words = words;
		loader->word_room = room;
	}
	loader->words[loader->word_count++] = word;
	return true;
}

/* A number for the registry of an index in the module: of a type before the
 * group, or a place in it. */
static uint32_t group_number(struct wasm_loader *loader, const uint8_t *at,
			     const struct span *span, uint32_t index)
{
	if (index < span->first)
		return loader->module->type[index]->id;
	if (index - span->first < span->count)
		return (index - span->first) | WASM_IN_GROUP;
	wasm_reader_fail(&loader->reader, at, "unknown type %u", index);
	return 0;
}

static void add_type(struct wasm_loader *loader, const uint8_t *at,
		     const struct span *span, wasm_type raw)
{
	if (wasm_type_is_ref(raw) && !(raw & WASM_ABSTRACT))
		raw = (raw & ~(wasm_type)WASM_REF_HEAP) |
		      group_number(loader, at, span, raw & WASM_REF_HEAP);
	add_word(loader, raw);
}

static void read_values(struct wasm_loader *loader, const struct span *span,
			uint32_t most, uint32_t count_word, const char *what)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *start = reader->at;
	uint32_t count = wasm_read_length(reader);

	if (count > most)
		wasm_reader_fail(reader, start, "too many %s", what);
	if (!reader->failed)
		loader->words[count_word] = count;
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		const uint8_t *at = reader->at;
		wasm_type type = wasm_read_value_type(reader);

		if (!reader->failed)
			add_type(loader, at, span, type);
	}
}

static void read_field(struct wasm_loader *loader, const struct span *span)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;
	uint8_t is_mutable;
	wasm_type type;

	if (at < reader->end && (*at == WASM_I8 || *at == WASM_I16))
		type = *reader->at++;
	else
		type = wasm_read_value_type(reader);
	if (reader->failed)
		return;
	add_type(loader, at, span, type);
	at = reader->at;
	is_mutable = wasm_read_byte(reader);
	if (is_mutable > 1)
		wasm_reader_fail(reader, at, "malformed mutability");
	add_word(loader, is_mutable);
}

static void read_fields(struct wasm_loader *loader, const struct span *span,
			uint32_t count_word)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *start = reader->at;
	uint32_t count = wasm_read_length(reader);

	if (count > WASM_FIELDS_MOST)
		wasm_reader_fail(reader, start, "too many fields");
	if (!reader->failed)
		loader->words[count_word] = count;
	for (uint32_t i = 0; i < count && !reader->failed; i++)
		read_field(loader, span);
}

/* Forms are numbers of 33 bits, which have one byte. */
static const char *wrong_form(uint8_t form)
{
	if (form & 0x80)
		return "integer representation too long";
	if (form == 0x4c || form == 0x4d)
		return "custom descriptors are not supported";
	return "malformed definition type";
}

/* Words 0 and 1 are there: "at" is the first's place. */
static void read_composite(struct wasm_loader *loader, const struct span *span,
			   uint32_t at, uint8_t form)
{
	static const char *const forms[] = { "array", "struct", "func" };
	struct wasm_reader *reader = &loader->reader;

	if (form < 0x5e || form > 0x60) {
		wasm_reader_fail(reader, reader->at - 1, "%s",
				 wrong_form(form));
		return;
	}
	if (form != 0x60 &&
	    !wasm_reader_allows(reader, WASM_FEATURE_GC, forms[form - 0x5e]))
		return;
	loader->words[at] |= form == 0x60   ? WASM_KIND_FUNCTION
			     : form == 0x5f ? WASM_KIND_STRUCT
					    : WASM_KIND_ARRAY;
	if (form == 0x60) {
		read_values(loader, span, WASM_PARAMS_MOST, at + 2,
			    "parameters");
		read_values(loader, span, WASM_RESULTS_MOST, at + 3, "results");
	} else if (form == 0x5f) {
		read_fields(loader, span, at + 2);
	} else {
		loader->words[at + 2] = 1;
		read_field(loader, span);
	}
}

/* The supertype of type number "own" in the module, or WASM_NO_TYPE. */
static uint32_t read_super(struct wasm_loader *loader, const struct span *span,
			   uint32_t own)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *start = reader->at;
	uint32_t count = wasm_read_length(reader), index;

	if (count > 1)
		wasm_reader_fail(reader, start,
				 "sub type %u has several super types", own);
	if (!count || reader->failed)
		return WASM_NO_TYPE;
	start = reader->at;
	index = wasm_read_u32(reader);
	if (index >= own && !reader->failed)
		wasm_reader_fail(reader, start, "unknown type %u", index);
	return reader->failed ? WASM_NO_TYPE
			      : group_number(loader, start, span, index);
}

static void read_subtype(struct wasm_loader *loader, const struct span *span,
			 uint32_t own)
{
	struct wasm_reader *reader = &loader->reader;
	uint8_t form = wasm_read_byte(reader);
	uint32_t super = WASM_NO_TYPE, at = loader->word_count;
	bool is_final = true;

	if (form == 0x50 || form == 0x4f) {
		if (!wasm_reader_allows(reader, WASM_FEATURE_GC, "subtypes"))
			return;
		is_final = form == 0x4f;
		super = read_super(loader, span, own);
		form = wasm_read_byte(reader);
	}
	if (reader->failed || !add_word(loader, (uint32_t)is_final << 8) ||
	    !add_word(loader, super) || !add_word(loader, 0) ||
	    !add_word(loader, 0))
		return;
	read_composite(loader, span, at, form);
}

static bool field_matches(const struct wasm_types *types,
			  const struct wasm_field *low,
			  const struct wasm_field *high)
{
	if (low->is_mutable != high->is_mutable)
		return false;
	return low->is_mutable
		       ? low->type == high->type
		       : wasm_type_matches(types, low->type, high->type);
}

static bool values_match(const struct wasm_types *types, const wasm_type *low,
			 const wasm_type *high, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!wasm_type_matches(types, low[i], high[i]))
			return false;
	return true;
}

static bool composite_matches(const struct wasm_types *types,
			      const struct wasm_deftype *low,
			      const struct wasm_deftype *high)
{
	if (low->kind != high->kind)
		return false;
	if (low->kind == WASM_KIND_FUNCTION)
		return low->param_count == high->param_count &&
		       low->result_count == high->result_count &&
		       values_match(types, high->params, low->params,
				    low->param_count) &&
		       values_match(types, low->results, high->results,
				    low->result_count);
	if (low->field_count < high->field_count)
		return false;
	for (uint32_t i = 0; i < high->field_count; i++)
		if (!field_matches(types, &low->fields[i], &high->fields[i]))
			return false;
	return true;
}

static uint32_t find_index(const struct wasm_module *module, uint32_t id)
{
	uint32_t index = 0;

	while (index < module->type_count && module->type[index]->id != id)
		index++;
	return index;
}

static void check_super(struct wasm_loader *loader, const uint8_t *at,
			const struct wasm_deftype *type)
{
	const struct wasm_module *module = loader->module;
	const struct wasm_deftype *super;

	if (type->super == WASM_NO_TYPE)
		return;
	super = wasm_types_get(module->types, type->super);
	if (super->is_final || !composite_matches(module->types, type, super))
		wasm_reader_fail(&loader->reader, at,
				 "sub type %u does not match super type %u",
				 find_index(module, type->id),
				 find_index(module, super->id));
}

/* The group's words are whole: its types get their numbers. */
static void add_group(struct wasm_loader *loader, const uint8_t *at,
		      const struct span *span)
{
	struct wasm_module *module = loader->module;
	struct wasm_loaded *loaded = loader->loaded;
	uint32_t first;
	int result;

	module->type =
		wasm_loader_grow(loader, module->type, span->first, span->count,
				 &loader->type_room, sizeof *module->type);
	loaded->groups =
		wasm_loader_grow(loader, loaded->groups, loaded->group_count, 1,
				 &loader->group_room, 4);
	if (loader->reader.failed)
		return;
	result = wasm_types_group(module->types, loader->words,
				  loader->word_count, span->count, &first);
	if (result < 0) {
		wasm_reader_fail(&loader->reader, at,
				 result == -1 ? "out of memory"
					      : "sub type has too many super "
						"types above it");
		return;
	}
	loaded->groups[loaded->group_count++] = first;
	for (uint32_t i = 0; i < span->count; i++)
		module->type[span->first + i] =
			wasm_types_get(module->types, first + i);
	module->type_count += span->count;
	for (uint32_t i = 0; i < span->count && !loader->reader.failed; i++)
		check_super(loader, at, module->type[span->first + i]);
}

static void read_group(struct wasm_loader *loader)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *start = reader->at;
	struct span span = { loader->module->type_count, 1 };

	if (start < reader->end && *start == 0x4e) {
		if (!wasm_reader_allows(reader, WASM_FEATURE_GC,
					"recursive types"))
			return;
		reader->at++;
		span.count = wasm_loader_count(loader, span.first,
					       WASM_TYPES_MOST, "types");
	}
	loader->word_count = 0;
	for (uint32_t i = 0; i < span.count && !reader->failed; i++)
		read_subtype(loader, &span, span.first + i);
	if (!reader->failed && span.count)
		add_group(loader, start, &span);
}

int wasm_load_types(struct wasm_loader *loader)
{
	const struct wasm_host *host = loader->module->host;
	uint32_t count = wasm_loader_count(loader, 0, WASM_TYPES_MOST, "types");

	host->lock(host->env);
	for (uint32_t i = 0; i < count && !loader->reader.failed; i++)
		read_group(loader);
	host->unlock(host->env);
	return loader->reader.failed ? -1 : 0;
}

static wasm_type settle(struct wasm_loader *loader, const uint8_t *at,
			wasm_type raw)
{
	uint32_t index = raw & WASM_REF_HEAP;

	if (loader->reader.failed)
		return WASM_NONE;
	if (wasm_type_is_ref(raw) && !(raw & WASM_ABSTRACT) &&
	    index >= loader->module->type_count) {
		wasm_reader_fail(&loader->reader, at, "unknown type %u", index);
		return WASM_NONE;
	}
	return wasm_type_resolve(loader->module, raw);
}

wasm_type wasm_load_value_type(struct wasm_loader *loader)
{
	const uint8_t *at = loader->reader.at;

	return settle(loader, at, wasm_read_value_type(&loader->reader));
}

wasm_type wasm_load_reference_type(struct wasm_loader *loader)
{
	const uint8_t *at = loader->reader.at;

	return settle(loader, at, wasm_read_reference_type(&loader->reader));
}

uint32_t wasm_load_function_type(struct wasm_loader *loader,
				 uint32_t *type_index)
{
	struct wasm_reader *reader = &loader->reader;
	const struct wasm_module *module = loader->module;
	const uint8_t *at = reader->at;
	uint32_t index = wasm_read_u32(reader);

	*type_index = index;
	if (reader->failed)
		return 0;
	if (index >= module->type_count)
		wasm_reader_fail(reader, at, "unknown type %u", index);
	else if (module->type[index]->kind != WASM_KIND_FUNCTION)
		wasm_reader_fail(reader, at,
				 "type mismatch: type %u is no function type",
				 index);
	return reader->failed ? 0 : module->type[index]->id;
}

/* Limits: flags are 1 has a maximum, 2 shared, 4 of 64 bits, 8 page size. */
static void read_limits(struct wasm_loader *loader, struct wasm_limits *limits,
			uint8_t allowed)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;
	uint8_t flags = wasm_read_byte(reader);
	uint32_t page;

	if (flags & ~allowed)
		wasm_reader_fail(reader, at, "malformed limits flags");
	if (flags & 2)
		wasm_reader_allows(reader, WASM_FEATURE_THREADS,
				   "shared memories");
	if (flags & 4)
		wasm_reader_allows(reader, WASM_FEATURE_MEMORY64,
				   "64-bit memories and tables");
	limits->has_most = flags & 1;
	limits->is_shared = flags & 2;
	limits->is64 = flags & 4;
	limits->page_log2 = 16;
	limits->least = wasm_read_u64(reader);
	limits->most = flags & 1 ? wasm_read_u64(reader) : UINT64_MAX;
	if (!(flags & 8) ||
	    !wasm_reader_allows(reader, WASM_FEATURE_CUSTOM_PAGES,
				"custom page sizes"))
		return;
	at = reader->at;
	page = wasm_read_u32(reader);
	if (page != 0 && page != 16)
		wasm_reader_fail(reader, at, "invalid custom page size");
	limits->page_log2 = (uint8_t)page;
}

static bool check_limits(struct wasm_loader *loader, const uint8_t *at,
			 const struct wasm_limits *limits, uint64_t most,
			 const char *text)
{
	if (loader->reader.failed)
		return false;
	if (limits->least > most || (limits->has_most && limits->most > most))
		wasm_reader_fail(&loader->reader, at, "%s", text);
	else if (limits->least > limits->most)
		wasm_reader_fail(
			&loader->reader, at,
			"size minimum must not be greater than maximum");
	return !loader->reader.failed;
}

bool wasm_load_memory_limits(struct wasm_loader *loader,
			     struct wasm_limits *limits)
{
	static const uint64_t most[2][2] = { { UINT32_MAX, 65536 },
					     { UINT64_MAX, 1ull << 48 } };
	static const char *const text[2][2] = {
		{ "memory size must be at most 2^32-1 pages",
		  "memory size must be at most 65536 pages (4GiB)" },
		{ "memory size must be at most 2^64-1 pages",
		  "memory size must be at most 2^48 pages" }
	};
	const uint8_t *at = loader->reader.at;
	bool is_large;

	read_limits(loader, limits, 0xf);
	is_large = limits->page_log2 == 16;
	if (!loader->reader.failed && limits->is_shared && !limits->has_most)
		wasm_reader_fail(&loader->reader, at,
				 "shared memory must have maximum");
	return check_limits(loader, at, limits, most[limits->is64][is_large],
			    text[limits->is64][is_large]);
}

bool wasm_load_table_limits(struct wasm_loader *loader,
			    struct wasm_limits *limits)
{
	const uint8_t *at = loader->reader.at;

	read_limits(loader, limits, 5);
	return check_limits(loader, at, limits,
			    limits->is64 ? UINT64_MAX : UINT32_MAX,
			    "table size must be at most 2^32-1");
}
