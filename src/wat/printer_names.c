/* SPDX-License-Identifier: Apache-2.0 */
/* Names that a module brings in its section "name".  What is wrong in it is
 * passed over.  A name that two things of a space have is the first one's. */
#include "wat/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* That hashes of two names are equal is next to impossible, and only costs the
 * second one its "$". */
static int given_take(struct wat_map *seen, struct wasm_name name,
		      struct wat_given *given)
{
	enum wat_map_added added = WAT_MAP_OLD;

	if (name.len)
		added = wat_map_add(seen,
				    wat_hash(seen, name.text, name.len) | 1, 0);
	if (added == WAT_MAP_FULL)
		return -ENOMEM;
	*given =
		(struct wat_given){ name.text, name.len, added == WAT_MAP_NEW };
	return 0;
}

/* A map of names: those of numbers below "count". */
static int map_read(struct wasm_reader *reader, struct wat_given *given,
		    uint32_t count)
{
	uint32_t left = wasm_read_length(reader);
	struct wat_map seen = { 0 };
	int r = 0;

	for (; r == 0 && left && !reader->failed; left--) {
		uint32_t index = wasm_read_u32(reader);
		struct wasm_name name = wasm_read_name(reader);

		if (!reader->failed && index < count && !given[index].text)
			r = given_take(&seen, name, &given[index]);
	}
	wat_map_clear(&seen);
	return r;
}

static int space_read(struct wat_printer *printer, struct wasm_reader *reader,
		      uint32_t space)
{
	uint32_t count = printer->count[space];

	if (printer->given[space] || !count)
		return 0;
	printer->given[space] = calloc(count, sizeof(struct wat_given));
	if (!printer->given[space])
		return -ENOMEM;
	return map_read(reader, printer->given[space], count);
}

/* Maps by number: each is looked at when it is wanted. */
static int maps_read(struct wasm_reader *reader, struct wat_given_map **maps,
		     uint32_t count)
{
	uint32_t left = wasm_read_length(reader);

	if (*maps || !count)
		return 0;
	*maps = calloc(count, sizeof **maps);
	if (!*maps)
		return -ENOMEM;
	for (; left && !reader->failed; left--) {
		uint32_t index = wasm_read_u32(reader);
		const uint8_t *at = reader->at;

		for (uint32_t names = wasm_read_length(reader);
		     names && !reader->failed; names--) {
			wasm_read_u32(reader);
			wasm_read_name(reader);
		}
		if (!reader->failed && index < count && !(*maps)[index].at)
			(*maps)[index] =
				(struct wat_given_map){ at, reader->at };
	}
	return 0;
}

static int fields_read(struct wat_printer *printer, struct wasm_reader *reader)
{
	uint32_t types = printer->count[WAT_SPACE_TYPE];

	if (printer->fields || !types)
		return 0;
	printer->field_names = calloc(types, sizeof *printer->field_names);
	if (!printer->field_names)
		return -ENOMEM;
	return maps_read(reader, &printer->fields, types);
}

static int subsection_read(struct wat_printer *printer, uint8_t id,
			   struct wasm_reader *reader)
{
	static const uint8_t spaces[WAT_NAMED_COUNT] = {
		[WAT_NAMED_FUNC] = WAT_SPACE_FUNC,
		[WAT_NAMED_TYPE] = WAT_SPACE_TYPE,
		[WAT_NAMED_TABLE] = WAT_SPACE_TABLE,
		[WAT_NAMED_MEMORY] = WAT_SPACE_MEMORY,
		[WAT_NAMED_GLOBAL] = WAT_SPACE_GLOBAL,
		[WAT_NAMED_ELEM] = WAT_SPACE_ELEM,
		[WAT_NAMED_DATA] = WAT_SPACE_DATA,
		[WAT_NAMED_TAG] = WAT_SPACE_TAG,
	};
	uint32_t functions = printer->count[WAT_SPACE_FUNC];
	struct wasm_name name;

	switch (id) {
	case WAT_NAMED_MODULE:
		name = wasm_read_name(reader);
		if (!reader->failed)
			printer->module_name =
				(struct wat_given){ name.text, name.len,
						    name.len != 0 };
		return 0;
	case WAT_NAMED_LOCAL:
		return maps_read(reader, &printer->locals, functions);
	case WAT_NAMED_LABEL:
		return maps_read(reader, &printer->labels, functions);
	case WAT_NAMED_FIELD: return fields_read(printer, reader);
	}
	return id < WAT_NAMED_COUNT ? space_read(printer, reader, spaces[id])
				    : 0;
}

int wat_given_read(struct wat_printer *printer)
{
	const struct wasm_name *names = &printer->module->names;
	struct wasm_reader reader;
	int r = 0;

	if (!names->len)
		return 0;
	reader = wasm_reader_of((const uint8_t *)names->text, names->len);
	while (r == 0 && !reader.failed && wasm_reader_left(&reader)) {
		uint8_t id = wasm_read_byte(&reader);
		uint32_t len = wasm_read_length(&reader);
		const uint8_t *at = wasm_read_bytes(&reader, len);
		struct wasm_reader part;

		if (!at || reader.failed)
			break;
		part = wasm_reader_of(at, len);
		r = subsection_read(printer, id, &part);
	}
	return r;
}

void wat_given_fini(struct wat_printer *printer)
{
	for (int i = 0; i < WAT_SPACES; i++)
		free(printer->given[i]);
	free(printer->locals);
	free(printer->labels);
	free(printer->fields);
	for (uint32_t i = 0;
	     printer->field_names && i < printer->count[WAT_SPACE_TYPE]; i++)
		free(printer->field_names[i]);
	free(printer->field_names);
}

int wat_given_inner(const struct wat_given_map *map, struct wat_given **names,
		    uint32_t *room, uint32_t count)
{
	struct wasm_reader reader;

	if (!count)
		return 0;
	if (!wat_room_grow((void **)names, room, count, sizeof **names))
		return -ENOMEM;
	memset(*names, 0, count * sizeof **names);
	reader = wasm_reader_of(map->at, map->end - map->at);
	return map_read(&reader, *names, count);
}

/* Printing */

static bool is_plain(const char *text, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' ||
		    strchr("\"(),;[]{}", text[i]))
			return false;
	return true;
}

static void id_put(struct buf *out, const struct wat_given *given)
{
	buf_text(out, " $");
	if (is_plain(given->text, given->len))
		buf_add(out, given->text, given->len);
	else
		wat_print_string(out, given->text, given->len, true);
}

void wat_given_define(struct wat_printer *printer,
		      const struct wat_given *given, uint32_t index)
{
	struct buf *out = printer->out;

	if (out->failed)
		return;
	if (given && given->is_id)
		id_put(out, given);
	buf_text(out, " (;");
	wat_print_number(out, index);
	buf_text(out, ";)");
	if (given && given->text && !given->is_id) {
		buf_text(out, " (@name ");
		wat_print_string(out, given->text, given->len, true);
		buf_text(out, ")");
	}
}

static const struct wat_given *given_in(const struct wat_printer *printer,
					uint32_t space, uint32_t index)
{
	if (!printer->given[space] || index >= printer->count[space])
		return NULL;
	return &printer->given[space][index];
}

void wat_given_define_in(struct wat_printer *printer, uint32_t space,
			 uint32_t index)
{
	wat_given_define(printer, given_in(printer, space, index), index);
}

void wat_given_use(struct wat_printer *printer, const struct wat_given *given,
		   uint32_t index)
{
	if (printer->out->failed)
		return;
	if (given && given->is_id) {
		id_put(printer->out, given);
		return;
	}
	buf_text(printer->out, " ");
	wat_print_number(printer->out, index);
}

void wat_given_use_in(struct wat_printer *printer, uint32_t space,
		      uint32_t index)
{
	wat_given_use(printer, given_in(printer, space, index), index);
}
