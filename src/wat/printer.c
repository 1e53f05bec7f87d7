/* SPDX-License-Identifier: Apache-2.0 */
/* A module's text, section by section from its bytes, so that it says just
 * what they say and gives the same bytes again. */
#include "wat/internal.h"
#include "wat/wat.h"
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = { "func", "table", "memory", "global",
				     "tag" };

static void text(struct wat_printer *printer, const char *words)
{
	buf_text(printer->out, words);
}

/* "  (word $name" of the next one of a space. */
static void define(struct wat_printer *printer, const char *word,
		   uint32_t space)
{
	text(printer, "  (");
	text(printer, word);
	wat_given_define_in(printer, space, printer->next[space]++);
}

static void name_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	struct wasm_name name = wasm_read_name(reader);

	text(printer, " ");
	wat_print_string(printer->out, name.text, name.len, true);
}

/* A table's type: the text's order is the other one. */
static void table_type_print(struct wat_printer *printer,
			     struct wasm_reader *reader)
{
	wasm_type type = wasm_read_reference_type(reader);

	wat_print_limits(printer, reader);
	wat_print_type(printer, type);
}

static void global_type_print(struct wat_printer *printer,
			      struct wasm_reader *reader)
{
	wasm_type type = wasm_read_value_type(reader);
	bool is_mutable = wasm_read_byte(reader);

	if (is_mutable)
		text(printer, " (mut");
	wat_print_type(printer, type);
	if (is_mutable)
		text(printer, ")");
}

static void use_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	uint32_t index = wasm_read_u32(reader);

	if (index < printer->module->type_count)
		wat_print_use(printer, index, NULL);
}

static void import_print(struct wat_printer *printer,
			 struct wasm_reader *reader)
{
	uint8_t kind;

	text(printer, "  (import");
	name_print(printer, reader);
	name_print(printer, reader);
	kind = wasm_read_byte(reader);
	if (kind > WAT_SPACE_TAG)
		return;
	text(printer, " (");
	text(printer, kinds[kind]);
	wat_given_define_in(printer, kind, printer->next[kind]++);
	switch (kind) {
	case WAT_SPACE_TABLE: table_type_print(printer, reader); break;
	case WAT_SPACE_MEMORY: wat_print_limits(printer, reader); break;
	case WAT_SPACE_GLOBAL: global_type_print(printer, reader); break;
	case WAT_SPACE_TAG:
		wasm_read_byte(reader);
		use_print(printer, reader);
		break;
	default: use_print(printer, reader);
	}
	text(printer, "))\n");
}

static void table_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	bool has_init = wasm_reader_left(reader) && *reader->at == 0x40;

	if (has_init)
		wasm_read_bytes(reader, 2);
	define(printer, "table", WAT_SPACE_TABLE);
	table_type_print(printer, reader);
	if (has_init)
		wat_print_expression(printer, reader, NULL);
	text(printer, ")\n");
}

static void memory_print(struct wat_printer *printer,
			 struct wasm_reader *reader)
{
	define(printer, "memory", WAT_SPACE_MEMORY);
	wat_print_limits(printer, reader);
	text(printer, ")\n");
}

static void tag_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	define(printer, "tag", WAT_SPACE_TAG);
	wasm_read_byte(reader);
	use_print(printer, reader);
	text(printer, ")\n");
}

static void global_print(struct wat_printer *printer,
			 struct wasm_reader *reader)
{
	define(printer, "global", WAT_SPACE_GLOBAL);
	global_type_print(printer, reader);
	wat_print_expression(printer, reader, NULL);
	text(printer, ")\n");
}

static void export_print(struct wat_printer *printer,
			 struct wasm_reader *reader)
{
	uint8_t kind;

	text(printer, "  (export");
	name_print(printer, reader);
	kind = wasm_read_byte(reader);
	if (kind > WAT_SPACE_TAG)
		return;
	text(printer, " (");
	text(printer, kinds[kind]);
	wat_given_use_in(printer, kind, wasm_read_u32(reader));
	text(printer, "))\n");
}

static void start_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	text(printer, "  (start");
	wat_given_use_in(printer, WAT_SPACE_FUNC, wasm_read_u32(reader));
	text(printer, ")\n");
}

/* Segments */

static void place_print(struct wat_printer *printer, struct wasm_reader *reader,
			uint32_t space, bool has_index)
{
	uint32_t index = has_index ? wasm_read_u32(reader) : 0;

	if (has_index) {
		text(printer, " (");
		text(printer, kinds[space]);
		wat_given_use_in(printer, space, index);
		text(printer, ")");
	}
	wat_print_expression(printer, reader, "offset");
}

static void elem_type_print(struct wat_printer *printer,
			    struct wasm_reader *reader, uint32_t flags)
{
	if (flags & 3 && flags & 4) {
		wat_print_type(printer, wasm_read_reference_type(reader));
		return;
	}
	if (flags & 3)
		wasm_read_byte(reader);
	text(printer, flags & 4 ? " funcref" : " func");
}

static void elem_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	uint32_t flags = wasm_read_u32(reader), count;

	define(printer, "elem", WAT_SPACE_ELEM);
	if ((flags & 3) == 3)
		text(printer, " declare");
	if (!(flags & 1))
		place_print(printer, reader, WAT_SPACE_TABLE, flags & 2);
	elem_type_print(printer, reader, flags);
	count = wasm_read_length(reader);
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		if (count > 8 && i % 8 == 0)
			text(printer, "\n   ");
		if (flags & 4)
			wat_print_expression(printer, reader, "item");
		else
			wat_given_use_in(printer, WAT_SPACE_FUNC,
					 wasm_read_u32(reader));
	}
	text(printer, ")\n");
}

static void bytes_print(struct wat_printer *printer, const uint8_t *bytes,
			uint32_t len)
{
	enum { LINE = 64 };

	for (uint32_t at = 0; at < len; at += LINE) {
		uint32_t part = len - at < LINE ? len - at : LINE;

		text(printer, len > LINE ? "\n    " : " ");
		wat_print_string(printer->out, bytes + at, part, false);
	}
}

static void data_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	uint32_t flags = wasm_read_u32(reader), len;
	const uint8_t *bytes;

	define(printer, "data", WAT_SPACE_DATA);
	if (!(flags & 1))
		place_print(printer, reader, WAT_SPACE_MEMORY, flags & 2);
	len = wasm_read_length(reader);
	bytes = wasm_read_bytes(reader, len);
	if (bytes)
		bytes_print(printer, bytes, len);
	text(printer, ")\n");
}

/* Sections */

typedef void print_item(struct wat_printer *printer,
			struct wasm_reader *reader);

static void items_print(struct wat_printer *printer, struct wasm_reader *reader,
			print_item *print)
{
	uint32_t count = wasm_read_length(reader);

	for (; count && !reader->failed; count--)
		print(printer, reader);
}

/* By the number of the section; what has none is printed elsewhere. */
static const struct section {
	const char *word; /* in "(before word)" */
	print_item *item;
} sections[] = {
	[1] = { "type", NULL },		  [2] = { "import", import_print },
	[3] = { "func", NULL },		  [4] = { "table", table_print },
	[5] = { "memory", memory_print }, [6] = { "global", global_print },
	[7] = { "export", export_print }, [8] = { "start", NULL },
	[9] = { "elem", elem_print },	  [10] = { "code", NULL },
	[11] = { "data", data_print },	  [12] = { "datacount", NULL },
	[13] = { "tag", tag_print },
};

static int code_print(struct wat_printer *printer)
{
	const struct wasm_module *module = printer->module;
	int r = 0;

	for (uint32_t i = module->imported_functions;
	     r == 0 && i < module->function_count; i++)
		r = wat_print_body(printer, i);
	return r;
}

static bool is_named(struct wasm_name name, const char *words)
{
	return name.len == strlen(words) && !memcmp(name.text, words, name.len);
}

/* Behind the section "place", at first behind none. */
static void custom_print(struct wat_printer *printer,
			 struct wasm_reader *reader, const char **place)
{
	struct wasm_name name = wasm_read_name(reader);

	if (is_named(name, "name")) {
		*place = "last"; /* names are written behind all others */
		return;
	}
	if (is_named(name, "metadata.code.branch_hint") && printer->hints.count)
		return;
	text(printer, "  (@custom ");
	wat_print_string(printer->out, name.text, name.len, true);
	text(printer, *place ? " (after " : " (before first");
	if (*place)
		text(printer, *place);
	text(printer, ")");
	bytes_print(printer, reader->at, wasm_reader_left(reader));
	text(printer, ")\n");
}

static int section_print(struct wat_printer *printer, uint8_t id,
			 struct wasm_reader *reader)
{
	if (id == 1)
		wat_print_types(printer, reader);
	else if (id == 8)
		start_print(printer, reader);
	else if (id == 10)
		return code_print(printer);
	else if (id < sizeof sections / sizeof *sections && sections[id].item)
		items_print(printer, reader, sections[id].item);
	return 0;
}

static int sections_print(struct wat_printer *printer)
{
	const struct wasm_module *module = printer->module;
	struct wasm_reader reader =
		wasm_reader_of(module->bytes + 8, module->len - 8);
	const char *place = NULL;
	int r = 0;

	while (r == 0 && wasm_reader_left(&reader)) {
		uint8_t id = wasm_read_byte(&reader);
		uint32_t len = wasm_read_length(&reader);
		const uint8_t *at = wasm_read_bytes(&reader, len);
		struct wasm_reader part;

		if (!at || id >= sizeof sections / sizeof *sections)
			return -EBADMSG;
		part = wasm_reader_of(at, len);
		if (!id) {
			custom_print(printer, &part, &place);
			continue;
		}
		place = sections[id].word;
		r = section_print(printer, id, &part);
		if (part.failed)
			r = -EBADMSG;
	}
	return r;
}

/* Branch hints */

static int hints_of_function(struct wat_printer *printer,
			     struct wasm_reader *reader)
{
	uint32_t function = wasm_read_u32(reader);
	uint32_t count = wasm_read_length(reader);

	for (; count && !reader->failed; count--) {
		uint32_t offset = wasm_read_u32(reader);
		uint32_t len = wasm_read_length(reader);
		const uint8_t *value = wasm_read_bytes(reader, len);

		if (!value || len != 1 || *value > 1)
			return wasm_reader_end(reader);
		if (wat_map_add(&printer->hints,
				(uint64_t)(function + 1) << 32 | offset,
				*value) == WAT_MAP_FULL)
			return -ENOMEM;
	}
	return 0;
}

/* A section that is not as it should be stays a custom section. */
static int hints_read(struct wat_printer *printer)
{
	const struct wasm_module *module = printer->module;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < module->custom_count; i++) {
		const struct wasm_custom *custom = &module->customs[i];
		struct wasm_reader reader;

		if (!is_named(custom->name, "metadata.code.branch_hint"))
			continue;
		reader = wasm_reader_of(custom->bytes, custom->len);
		for (uint32_t count = wasm_read_length(&reader);
		     r == 0 && count && !reader.failed; count--)
			r = hints_of_function(printer, &reader);
		if (reader.failed) {
			wat_map_clear(&printer->hints);
			r = 0;
		}
		break;
	}
	return r;
}

/* All */

static void counts_take(struct wat_printer *printer)
{
	const struct wasm_module *module = printer->module;
	const uint32_t counts[WAT_SPACES] = {
		[WAT_SPACE_FUNC] = module->function_count,
		[WAT_SPACE_TABLE] = module->table_count,
		[WAT_SPACE_MEMORY] = module->memory_count,
		[WAT_SPACE_GLOBAL] = module->global_count,
		[WAT_SPACE_TAG] = module->tag_count,
		[WAT_SPACE_TYPE] = module->type_count,
		[WAT_SPACE_ELEM] = module->elem_count,
		[WAT_SPACE_DATA] = module->data_count,
	};

	memcpy(printer->count, counts, sizeof counts);
}

static int print(struct wat_printer *printer)
{
	size_t types = (size_t)printer->module->type_count + 1;
	int r;

	counts_take(printer);
	printer->signatures = calloc(types, sizeof *printer->signatures);
	if (!printer->signatures)
		return -ENOMEM;
	r = wat_given_read(printer);
	if (r == 0)
		r = hints_read(printer);
	if (r < 0)
		return r;
	text(printer, "(module");
	if (printer->module_name.text)
		wat_given_use(printer, &printer->module_name, 0);
	text(printer, "\n");
	r = sections_print(printer);
	text(printer, ")\n");
	return r;
}

static void printer_fini(struct wat_printer *printer)
{
	wat_given_fini(printer);
	wat_map_clear(&printer->hints);
	free(printer->signatures);
	free(printer->local_names);
	free(printer->label_names);
	free(printer->open);
	free(printer->open_numbers);
}

enum { TEXT_TIMES = 64, TEXT_MORE = 1 << 20 };

int wat_from_binary(const struct wasm_module *module, struct buf *out,
		    struct err *err)
{
	struct wat_printer printer = { .module = module, .out = out };
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old;
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "text of a module");
	out->most = out->len + TEXT_MORE + module->len * TEXT_TIMES;
	old = uselocale(c); /* of this thread: a float's point */
	r = print(&printer);
	uselocale(old);
	freelocale(c);
	printer_fini(&printer);
	out->most = 0;
	if (out->is_full)
		return err_set(err, -EFBIG,
			       "text of more than %d times the module",
			       TEXT_TIMES);
	if (r == 0 && out->failed)
		r = -ENOMEM;
	return r < 0 ? err_set(err, r, "text of a module") : 0;
}
