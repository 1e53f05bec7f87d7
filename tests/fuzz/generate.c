/* SPDX-License-Identifier: Apache-2.0 */
/* A module from its parts: what there is of types, functions, globals, tables
 * and memories is chosen first, then the bodies are made, then all is written
 * section by section, the types last known first. */
#include "fuzz/generate_internal.h"
#include <string.h>

/* Choices */

bool used_up(const struct generator *g)
{
	return g->at >= g->end;
}

static uint32_t next_byte(struct generator *g)
{
	return used_up(g) ? 0 : *g->at++;
}

uint32_t pick(struct generator *g, uint32_t count)
{
	uint32_t number = next_byte(g);

	if (count > 256)
		number |= next_byte(g) << 8;
	return count ? number % count : 0;
}

/* Never when all is used up. */
bool one_in(struct generator *g, uint32_t count)
{
	return pick(g, count) == count - 1;
}

uint32_t pick_u32(struct generator *g)
{
	uint32_t number = 0;

	for (int i = 0; i < 4; i++)
		number |= next_byte(g) << 8 * i;
	return number;
}

uint64_t pick_u64(struct generator *g)
{
	uint64_t low = pick_u32(g);

	return low | (uint64_t)pick_u32(g) << 32;
}

char pick_letter(struct generator *g)
{
	uint32_t numbers = has(g, GENERATE_SIMD) ? 5 : 4;

	if (pick(g, 8) < 6)
		return "ilfdv"[pick(g, numbers)];
	return g->letters[pick(g, (uint32_t)strlen(g->letters))];
}

void pick_letters(struct generator *g, char *letters, uint32_t most)
{
	uint32_t count = pick(g, most + 1);

	for (uint32_t i = 0; i < count; i++)
		letters[i] = pick_letter(g);
	letters[count] = 0;
}

bool has(const struct generator *g, uint32_t feature)
{
	return g->features & feature;
}

void generate_entropy(uint64_t seed, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t mixed = seed * 0x9e3779b97f4a7c15 + i / 8;

		mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
		mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
		mixed ^= mixed >> 31;
		bytes[i] = (uint8_t)(mixed >> i % 8 * 8);
	}
}

/* Bytes */

void put_byte(struct buf *buf, uint32_t byte)
{
	char one = (char)byte;

	buf_add(buf, &one, 1);
}

void put_u(struct buf *buf, uint64_t value)
{
	for (; value > 127; value >>= 7)
		put_byte(buf, (value & 127) | 128);
	put_byte(buf, (uint32_t)value);
}

void put_s(struct buf *buf, int64_t value)
{
	for (; value > 63 || value < -64; value >>= 7)
		put_byte(buf, (value & 127) | 128);
	put_byte(buf, value & 127);
}

bool is_reference(char letter)
{
	return !strchr("ilfdv", letter);
}

void put_type(struct buf *buf, char letter)
{
	switch (letter) {
	case 'i': put_byte(buf, 0x7f); break;
	case 'l': put_byte(buf, 0x7e); break;
	case 'f': put_byte(buf, 0x7d); break;
	case 'd': put_byte(buf, 0x7c); break;
	case 'v': put_byte(buf, 0x7b); break;
	case 'b': put_byte(buf, 0x78); break;
	case 'h': put_byte(buf, 0x77); break;
	case 'r': put_byte(buf, 0x70); break;
	case 'x': put_byte(buf, 0x6f); break;
	case 'q': put_byte(buf, 0x6d); break;
	case 'j': put_byte(buf, 0x6c); break;
	case 'n': put_byte(buf, 0x69); break;
	default: /* s t k: (ref null 0), 1, 2 */
		put_byte(buf, 0x63);
		put_byte(buf, (uint32_t)(strchr("stk", letter) - "stk"));
	}
}

static void put_types(struct buf *buf, const char *letters)
{
	put_u(buf, strlen(letters));
	for (; *letters; letters++)
		put_type(buf, *letters);
}

static uint32_t type_count_before(const struct generator *g)
{
	return has(g, GENERATE_GC) ? 3 : 0;
}

/* As a signed number, which reads as an unsigned one too. */
void put_signature(struct generator *g, uint32_t signature)
{
	put_s(g->code, type_count_before(g) + signature);
}

static uint32_t import_count(const struct generator *g)
{
	return has(g, GENERATE_IMPORTS) ? IMPORTS : 0;
}

void put_function(struct generator *g, uint32_t index)
{
	put_u(g->code, import_count(g) + index);
}

/* The same numbers for the same types; UINT32_MAX: there is no more room. */
uint32_t intern(struct generator *g, const char *params, const char *results)
{
	struct signature *at = g->signatures;
	uint32_t i;

	for (i = 0; i < g->signature_count; i++, at++)
		if (!strcmp(at->params, params) &&
		    !strcmp(at->results, results))
			return i;
	if (i == SIGNATURES_MOST)
		return UINT32_MAX;
	strcpy(at->params, params);
	strcpy(at->results, results);
	return g->signature_count++;
}

/* What there is */

static void choose_fields(struct generator *g)
{
	g->subfield_count = 1 + pick(g, FIELDS_MOST);
	g->field_count = 1 + pick(g, g->subfield_count);
	for (uint32_t i = 0; i < g->subfield_count; i++) {
		g->fields[i].type = pick_letter(g);
		if (one_in(g, 4))
			g->fields[i].type = "bh"[pick(g, 2)];
		g->fields[i].is_mutable = !one_in(g, 4);
	}
	g->element.type = g->letters[pick(g, (uint32_t)strlen(g->letters))];
	if (one_in(g, 3))
		g->element.type = "bh"[pick(g, 2)];
	g->element.is_mutable = true;
}

static void choose_memories(struct generator *g)
{
	g->memory_count =
		has(g, GENERATE_MULTI_MEMORY) ? 1 + pick(g, MEMORIES_MOST) : 1;
	for (uint32_t i = 0; i < g->memory_count; i++)
		g->memory_is64[i] = has(g, GENERATE_MEMORY64) && pick(g, 2);
}

static void choose_parts(struct generator *g)
{
	char params[VALUES_MOST + 1], results[VALUES_MOST + 1];

	g->function_count = 2 + pick(g, FUNCTIONS_MOST - 8);
	for (uint32_t i = 0; i < g->function_count; i++) {
		pick_letters(g, params, VALUES_MOST - 1);
		pick_letters(g, results, one_in(g, 3) ? VALUES_MOST - 1 : 1);
		g->functions[i].type = intern(g, params, results);
	}
	g->global_count = 1 + pick(g, GLOBALS_MOST);
	g->globals[FUEL_GLOBAL] = 'i';
	for (uint32_t i = 1; i < g->global_count; i++) {
		g->globals[i] = pick_letter(g);
		g->global_is_constant[i] = one_in(g, 6);
	}
	g->table_length = g->function_count + pick(g, 8);
	g->elem_length = 1 + pick(g, g->function_count);
	g->data_length = pick(g, 200);
	choose_memories(g);
	if (has(g, GENERATE_EXCEPTIONS))
		g->tag_count = 1 + pick(g, TAGS_MOST);
	for (uint32_t i = 0; i < g->tag_count; i++) {
		pick_letters(g, g->tags[i], 3);
		intern(g, g->tags[i], "");
	}
}

/* What there is to choose from: the table's rows */

static bool is_offered(const struct generator *g, enum wasm_operation operation)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	const char *name = info->name;

	if (info->special || strncmp(name, "memory.atomic.wait", 18) == 0)
		return false;
	if (strstr(name, "relaxed"))
		return has(g, GENERATE_RELAXED) && has(g, GENERATE_SIMD);
	if (info->prefix == 0xfd)
		return has(g, GENERATE_SIMD);
	if (info->prefix == 0xfe)
		return has(g, GENERATE_ATOMICS);
	if (info->prefix == 0xfc && info->code >= 0x13)
		return has(g, GENERATE_WIDE);
	return true;
}

/* "f32.add": f, 'add'; "f64x2.ceil": 2, 'ceil'. */
static char shape_of(const char *name, const char **verb)
{
	static const char *const shapes[] = { "f32.", "f64.", "f32x4.",
					      "f64x2." };

	for (int i = 0; i < 4; i++)
		if (strncmp(name, shapes[i], strlen(shapes[i])) == 0) {
			*verb = name + strlen(shapes[i]);
			return "fd42"[i];
		}
	return 0;
}

static bool is_word(const char *word, const char *const *words)
{
	while (*words && strcmp(word, *words) != 0)
		words++;
	return *words;
}

/* Where a NaN is made, and where its bits do not matter. */
static void look_at_nans(struct generator *g, enum wasm_operation operation)
{
	static const char *const makers[] = { "ceil",
					      "floor",
					      "trunc",
					      "nearest",
					      "sqrt",
					      "add",
					      "sub",
					      "mul",
					      "div",
					      "min",
					      "max",
					      "demote_f64",
					      "promote_f32",
					      "demote_f64x2_zero",
					      "promote_low_f32x4",
					      "relaxed_madd",
					      "relaxed_nmadd",
					      "relaxed_min",
					      "relaxed_max",
					      NULL };
	static const char *const takers[] = { "eq", "ne", "lt", "gt",
					      "le", "ge", NULL };
	const char *name = wasm_operations[operation].name, *verb;
	char shape = shape_of(name, &verb);

	if (shape && is_word(verb, makers)) {
		g->nan_shape[operation] = shape;
		g->nan_taker[operation] = shape;
	}
	if (shape && is_word(verb, takers))
		g->nan_taker[operation] = shape;
	if (strstr(name, "demote_f64") || strstr(name, "_f64x2"))
		g->nan_taker[operation] = shape == 'f' ? 'd' : '2';
	if (strstr(name, "promote_f32") || strstr(name, "_f32x4"))
		g->nan_taker[operation] = shape == 'd' ? 'f' : '4';
	if (strstr(name, "trunc_") && strstr(name, "_f32_"))
		g->nan_taker[operation] = 'f';
	if (strstr(name, "trunc_") && strstr(name, "_f64_"))
		g->nan_taker[operation] = 'd';
}

static void list_operations(struct generator *g)
{
	for (int i = 0; i < WASM_OPERATIONS; i++) {
		const struct wasm_operation_info *info = &wasm_operations[i];
		struct operations *list =
			info->results[0]
				? &g->with_result[(int)info->results[0]]
				: &g->without_result;

		if (!is_offered(g, (enum wasm_operation)i))
			continue;
		if (info->results[0] && info->results[1])
			list = &g->with_result[0]; /* two results */
		list->list[list->count++] = (uint16_t)i;
		look_at_nans(g, (enum wasm_operation)i);
	}
}

static void list_letters(struct generator *g, char *letters)
{
	strcpy(letters, "ilfd");
	if (has(g, GENERATE_SIMD))
		strcat(letters, "v");
	strcat(letters, "rx");
	if (has(g, GENERATE_GC))
		strcat(letters, "stkqj");
	if (has(g, GENERATE_EXCEPTIONS))
		strcat(letters, "n");
	g->letters = letters;
}

/* Sections */

static void put_section(struct buf *out, uint32_t id, struct buf *content)
{
	put_byte(out, id);
	put_u(out, content->len);
	buf_add(out, content->data, content->len);
	buf_clear(content);
}

static void put_field(struct buf *buf, const struct field *field)
{
	put_type(buf, field->type);
	put_byte(buf, field->is_mutable);
}

static void put_struct(struct buf *buf, const struct field *fields,
		       uint32_t count)
{
	put_byte(buf, 0x5f);
	put_u(buf, count);
	for (uint32_t i = 0; i < count; i++)
		put_field(buf, &fields[i]);
}

/* One recursive group of s, t and k, since fields may name any of them. */
static void put_objects(const struct generator *g, struct buf *buf)
{
	put_byte(buf, 0x4e);
	put_u(buf, 3);
	put_byte(buf, 0x50);
	put_u(buf, 0);
	put_struct(buf, g->fields, g->field_count);
	put_byte(buf, 0x50);
	put_u(buf, 1);
	put_u(buf, 0);
	put_struct(buf, g->fields, g->subfield_count);
	put_byte(buf, 0x5e);
	put_field(buf, &g->element);
}

static void put_signatures(const struct generator *g, struct buf *buf)
{
	bool objects = has(g, GENERATE_GC);

	put_u(buf, g->signature_count + objects);
	if (objects)
		put_objects(g, buf);
	for (uint32_t i = 0; i < g->signature_count; i++) {
		put_byte(buf, 0x60);
		put_types(buf, g->signatures[i].params);
		put_types(buf, g->signatures[i].results);
	}
}

static void put_memories(const struct generator *g, struct buf *buf)
{
	put_u(buf, g->memory_count);
	for (uint32_t i = 0; i < g->memory_count; i++) {
		put_byte(buf, g->memory_is64[i] ? 5 : 1);
		put_u(buf, 1);
		put_u(buf, 3);
	}
}

static void put_zero(struct buf *buf, char letter)
{
	static const char zeros[16];

	switch (letter) {
	case 'i':
	case 'l':
		put_byte(buf, letter == 'i' ? 0x41 : 0x42);
		put_byte(buf, 0);
		return;
	case 'f':
	case 'd':
		put_byte(buf, letter == 'f' ? 0x43 : 0x44);
		buf_add(buf, zeros, letter == 'f' ? 4 : 8);
		return;
	case 'v':
		put_byte(buf, 0xfd);
		put_byte(buf, 0x0c);
		buf_add(buf, zeros, 16);
		return;
	}
	put_byte(buf, 0xd0);
	if (strchr("stk", letter))
		put_byte(buf, (uint32_t)(strchr("stk", letter) - "stk"));
	else
		put_type(buf, letter);
}

static void put_globals(const struct generator *g, struct buf *buf)
{
	put_u(buf, g->global_count);
	for (uint32_t i = 0; i < g->global_count; i++) {
		put_type(buf, g->globals[i]);
		put_byte(buf, !g->global_is_constant[i]);
		if (i == FUEL_GLOBAL) {
			put_byte(buf, 0x41);
			put_s(buf, RUN_FUEL);
		} else {
			put_zero(buf, g->globals[i]);
		}
		put_byte(buf, 0x0b);
	}
}

static void put_exports(const struct generator *g, struct buf *buf,
			uint32_t first, uint32_t count)
{
	put_u(buf, count);
	for (uint32_t i = 0; i < count; i++) {
		put_u(buf, 2);
		put_byte(buf, 'r');
		put_byte(buf, '0' + i);
		put_byte(buf, 0);
		put_u(buf, import_count(g) + first + i);
	}
}

static void put_text(struct buf *buf, const char *text)
{
	put_u(buf, strlen(text));
	buf_text(buf, text);
}

static const struct {
	const char *name, *params, *results;
} imports[IMPORTS] = {
	[COLLECT] = { "collect", "", "" },
	[MIX] = { "mix", "l", "l" },
	[SWAP] = { "swap", "idl", "ldi" },
	[APPLY] = { "apply", "r", "" },
};

static void put_imports(struct generator *g, struct buf *buf)
{
	put_u(buf, IMPORTS);
	for (int i = 0; i < IMPORTS; i++) {
		put_text(buf, "host");
		put_text(buf, imports[i].name);
		put_byte(buf, 0);
		put_u(buf, type_count_before(g) + intern(g, imports[i].params,
							 imports[i].results));
	}
}

/* 0: active, all functions; 1: expressions; 2: indices. */
static void put_elems(struct generator *g, struct buf *buf)
{
	put_u(buf, ELEMS);
	put_byte(buf, 0);
	put_zero(buf, 'i');
	put_byte(buf, 0x0b);
	put_u(buf, g->function_count);
	for (uint32_t i = 0; i < g->function_count; i++)
		put_u(buf, import_count(g) + i);
	put_byte(buf, 5);
	put_byte(buf, 0x70);
	put_u(buf, g->elem_length);
	for (uint32_t i = 0; i < g->elem_length; i++) {
		if (one_in(g, 5)) {
			put_zero(buf, 'r');
		} else {
			put_byte(buf, 0xd2);
			put_u(buf,
			      import_count(g) + pick(g, g->function_count));
		}
		put_byte(buf, 0x0b);
	}
	put_byte(buf, 1);
	put_byte(buf, 0);
	put_u(buf, g->elem_length);
	for (uint32_t i = 0; i < g->elem_length; i++)
		put_u(buf, import_count(g) + pick(g, g->function_count));
}

static void put_data(struct generator *g, struct buf *buf, uint32_t memory,
		     bool is_active)
{
	put_byte(buf, is_active ? memory ? 2 : 0 : 1);
	if (is_active) {
		if (memory)
			put_u(buf, memory);
		put_byte(buf, g->memory_is64[memory] ? 0x42 : 0x41);
		put_s(buf, pick(g, 60000));
		put_byte(buf, 0x0b);
	}
	put_u(buf, g->data_length);
	for (uint32_t i = 0; i < g->data_length; i++)
		put_byte(buf, pick(g, 256));
}

static void put_datas(struct generator *g, struct buf *buf)
{
	put_u(buf, DATAS);
	put_data(g, buf, 0, true);
	put_data(g, buf, 0, false);
	put_data(g, buf, g->memory_count - 1, true);
}

static void put_tags(struct generator *g, struct buf *buf)
{
	put_u(buf, g->tag_count);
	for (uint32_t i = 0; i < g->tag_count; i++) {
		put_byte(buf, 0);
		put_u(buf, type_count_before(g) + intern(g, g->tags[i], ""));
	}
}

static void put_codes(const struct generator *g, struct buf *buf)
{
	put_u(buf, g->function_count);
	for (uint32_t i = 0; i < g->function_count; i++) {
		put_u(buf, g->functions[i].code.len);
		buf_add(buf, g->functions[i].code.data,
			g->functions[i].code.len);
	}
}

static void put_function_types(const struct generator *g, struct buf *buf)
{
	put_u(buf, g->function_count);
	for (uint32_t i = 0; i < g->function_count; i++)
		put_u(buf, type_count_before(g) + g->functions[i].type);
}

static void put_table(const struct generator *g, struct buf *buf)
{
	put_u(buf, 1);
	put_byte(buf, 0x70);
	put_byte(buf, 1);
	put_u(buf, g->table_length);
	put_u(buf, g->table_length + 20);
}

static void put_module(struct generator *g, struct buf *out, uint32_t own,
		       int64_t start)
{
	auto_buf struct buf part = { 0 };
	uint32_t all = g->function_count;

	buf_add(out, "\0asm\1\0\0\0", 8);
	put_signatures(g, &part);
	put_section(out, 1, &part);
	if (has(g, GENERATE_IMPORTS)) {
		put_imports(g, &part);
		put_section(out, 2, &part);
	}
	put_function_types(g, &part);
	put_section(out, 3, &part);
	put_table(g, &part);
	put_section(out, 4, &part);
	put_memories(g, &part);
	put_section(out, 5, &part);
	if (g->tag_count) {
		put_tags(g, &part);
		put_section(out, 13, &part);
	}
	put_globals(g, &part);
	put_section(out, 6, &part);
	put_exports(g, &part, own + 1, all - own - 1);
	put_section(out, 7, &part);
	if (start >= 0) {
		put_u(&part, import_count(g) + (uint64_t)start);
		put_section(out, 8, &part);
	}
	g->function_count = own;
	put_elems(g, &part);
	g->function_count = all;
	put_section(out, 9, &part);
	put_u(&part, DATAS);
	put_section(out, 12, &part);
	put_codes(g, &part);
	put_section(out, 10, &part);
	put_datas(g, &part);
	put_section(out, 11, &part);
}

/* One of the functions that may start, or -1. */
static int64_t choose_start(struct generator *g)
{
	uint32_t type = intern(g, "", "");

	for (uint32_t i = 0; i < g->function_count && one_in(g, 3); i++)
		if (g->functions[i].type == type)
			return i;
	return -1;
}

static void make_bodies(struct generator *g)
{
	uint32_t own = g->function_count, runners = 2 + pick(g, 3);
	uint32_t type;

	for (uint32_t i = 0; i < own; i++)
		function_body(g, i);
	type = intern(g, "", "l");
	for (uint32_t i = own; i <= own + runners; i++)
		g->functions[i].type = type;
	g->code = &g->functions[own].code;
	hasher_body(g);
	for (uint32_t i = 1; i <= runners; i++) {
		g->code = &g->functions[own + i].code;
		runner_body(g, own);
	}
	g->function_count = own + 1 + runners;
}

void generate_module(const uint8_t *entropy, size_t len, uint32_t features,
		     struct buf *binary, uint32_t *counts)
{
	struct generator g = {
		.at = entropy,
		.end = entropy + len,
		.features = features,
		.counts = counts,
	};
	char letters[20];
	uint32_t own;
	int64_t start;

	list_letters(&g, letters);
	list_operations(&g);
	intern(&g, "", "l"); /* there has to be room for the runners' */
	intern(&g, "", "");
	for (int i = 0; i < IMPORTS; i++)
		intern(&g, imports[i].params, imports[i].results);
	choose_fields(&g);
	choose_parts(&g);
	own = g.function_count;
	start = choose_start(&g);
	make_bodies(&g);
	put_module(&g, binary, own, start);
	for (uint32_t i = 0; i < g.function_count; i++)
		buf_fini(&g.functions[i].code);
}
