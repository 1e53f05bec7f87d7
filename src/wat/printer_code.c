/* SPDX-License-Identifier: Apache-2.0 */
/* Code to text: one instruction a line, indented by its blocks. */
#include "wat/internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT_MOST = 40 }; /* deeper blocks do not move on */

static void indent(struct wat_printer *printer)
{
	static const char blanks[INDENT_MOST + 1] =
		"                                        ";
	uint32_t len = 4 + 2 * printer->open_count;

	buf_text(printer->out, "\n");
	buf_add(printer->out, blanks, len < INDENT_MOST ? len : INDENT_MOST);
}

/* Floats: the shortest digits that are read as the same bits. */

static void float_special(struct buf *out, bool is_negative, uint64_t payload,
			  uint64_t quiet)
{
	char text[32];

	buf_text(out, is_negative ? " -" : " ");
	if (!payload) {
		buf_text(out, "inf");
	} else if (payload == quiet) {
		buf_text(out, "nan");
	} else {
		snprintf(text, sizeof text, "nan:0x%llx",
			 (unsigned long long)payload);
		buf_text(out, text);
	}
}

static void f32_print(struct buf *out, uint32_t bits)
{
	char text[48];
	float value;

	if ((bits & 0x7f800000) == 0x7f800000) {
		float_special(out, bits >> 31, bits & 0x7fffff, 0x400000);
		return;
	}
	memcpy(&value, &bits, sizeof value);
	for (int digits = 6; digits <= 9; digits++) {
		uint32_t again;

		snprintf(text, sizeof text, "%.*g", digits, (double)value);
		if (wat_number_f32(text, strlen(text), &again) == 0 &&
		    again == bits)
			break;
	}
	buf_text(out, " ");
	buf_text(out, text);
}

static void f64_print(struct buf *out, uint64_t bits)
{
	char text[48];
	double value;

	if ((bits & 0x7ff0000000000000) == 0x7ff0000000000000) {
		float_special(out, bits >> 63, bits & 0xfffffffffffff,
			      0x8000000000000);
		return;
	}
	memcpy(&value, &bits, sizeof value);
	for (int digits = 15; digits <= 17; digits++) {
		uint64_t again;

		snprintf(text, sizeof text, "%.*g", digits, value);
		if (wat_number_f64(text, strlen(text), &again) == 0 &&
		    again == bits)
			break;
	}
	buf_text(out, " ");
	buf_text(out, text);
}

static void signed_print(struct buf *out, int64_t value)
{
	buf_text(out, value < 0 ? " -" : " ");
	wat_print_number(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void vector_print(struct buf *out, const uint8_t *bytes)
{
	uint32_t lanes[4];

	memcpy(lanes, bytes, sizeof lanes);
	buf_format(out, " i32x4 0x%08x 0x%08x 0x%08x 0x%08x", lanes[0],
		   lanes[1], lanes[2], lanes[3]);
}

/* Labels */

static int label_open(struct wat_printer *printer,
		      const struct wat_given *given)
{
	uint32_t count = printer->open_count;

	if (!wat_room_grow((void **)&printer->open, &printer->open_room,
			   count + 1, sizeof *printer->open) ||
	    !wat_room_grow((void **)&printer->open_numbers,
			   &printer->open_number_room, count + 1,
			   sizeof *printer->open_numbers))
		return -ENOMEM;
	printer->open[count] = given ? *given : (struct wat_given){ 0 };
	printer->open_numbers[count] = printer->label_next;
	printer->open_count++;
	return 0;
}

/* Names of labels are each one's own in a function, so that no inner label
 * hides an outer one. */
static void label_print(struct wat_printer *printer, uint32_t label)
{
	const struct wat_given *given;

	if (label >= printer->open_count) {
		wat_given_use(printer, NULL, label);
		return;
	}
	given = &printer->open[printer->open_count - 1 - label];
	wat_given_use(printer, given, label);
	if (!given->is_id)
		buf_format(
			printer->out, " (;@%u;)",
			printer->open_numbers[printer->open_count - 1 - label]);
}

static int block_print(struct wat_printer *printer,
		       const struct wasm_immediates *immediates)
{
	const struct wat_given *given = NULL;
	uint32_t number = printer->label_next;

	if (number < printer->label_name_count)
		given = &printer->label_names[number];
	if (given && given->text)
		wat_given_define(printer, given, number);
	else
		buf_format(printer->out, " (;@%u;)", number);
	if (immediates->block_type != WASM_NO_TYPE) {
		wat_print_use(printer, immediates->block_type, NULL);
	} else if (immediates->types[0] != WASM_NONE) {
		buf_text(printer->out, " (result");
		wat_print_type(printer, immediates->types[0]);
		buf_text(printer->out, ")");
	}
	return 0;
}

/* Immediates */

static struct wasm_reader bytes_reader(const struct wat_printer *printer,
				       const uint8_t *at)
{
	const struct wasm_module *module = printer->module;

	return wasm_reader_of(at, module->bytes + module->len - at);
}

static void labels_print(struct wat_printer *printer,
			 const struct wasm_immediates *immediates)
{
	struct wasm_reader reader = bytes_reader(printer, immediates->bytes);

	for (uint32_t i = 0; i <= immediates->count; i++)
		label_print(printer, wasm_read_u32(&reader));
}

static void types_print(struct wat_printer *printer,
			const struct wasm_immediates *immediates)
{
	struct wasm_reader reader = bytes_reader(printer, immediates->bytes);

	buf_text(printer->out, " (result");
	for (uint32_t i = 0; i < immediates->count; i++)
		wat_print_type(printer, wasm_read_value_type(&reader));
	buf_text(printer->out, ")");
}

static void catches_print(struct wat_printer *printer,
			  const struct wasm_immediates *immediates)
{
	static const char *const words[] = { " (catch", " (catch_ref",
					     " (catch_all", " (catch_all_ref" };
	struct wasm_reader reader = bytes_reader(printer, immediates->bytes);

	for (uint32_t i = 0; i < immediates->count; i++) {
		uint8_t kind = wasm_read_byte(&reader) & 3;

		buf_text(printer->out, words[kind]);
		if (!(kind & 2))
			wat_given_use_in(printer, WAT_SPACE_TAG,
					 wasm_read_u32(&reader));
		label_print(printer, wasm_read_u32(&reader));
		buf_text(printer->out, ")");
	}
}

static void memarg_print(struct wat_printer *printer,
			 const struct wasm_operation_info *info,
			 const struct wasm_immediates *immediates)
{
	struct buf *out = printer->out;

	if (immediates->memory)
		wat_given_use_in(printer, WAT_SPACE_MEMORY, immediates->memory);
	if (immediates->value) {
		buf_text(out, " offset=");
		wat_print_number(out, immediates->value);
	}
	if (immediates->align != info->values[0]) {
		buf_text(out, " align=");
		wat_print_number(out, 1ull << (immediates->align & 63));
	}
}

static void lanes_print(struct buf *out, const uint8_t *bytes)
{
	for (int i = 0; i < 16; i++) {
		buf_text(out, " ");
		wat_print_number(out, bytes[i]);
	}
}

static void cast_print(struct wat_printer *printer,
		       const struct wasm_immediates *immediates)
{
	label_print(printer, immediates->index[0]);
	wat_print_type(printer, immediates->types[0]);
	wat_print_type(printer, immediates->types[1]);
}

static void local_print(struct wat_printer *printer, uint32_t index)
{
	bool is_known =
		printer->has_local_names && index < printer->local_count;

	wat_given_use(printer, is_known ? &printer->local_names[index] : NULL,
		      index);
}

/* The name of a field, of the type that stands before it. */
static void field_print(struct wat_printer *printer, uint32_t type,
			uint32_t index)
{
	const struct wasm_module *module = printer->module;
	bool is_known = printer->field_names && type < module->type_count &&
			printer->field_names[type] &&
			index < module->type[type]->field_count;

	wat_given_use(printer,
		      is_known ? &printer->field_names[type][index] : NULL,
		      index);
}

/* A space's index, left out where it is 0 and may be. */
static void index_print(struct wat_printer *printer, uint32_t space,
			uint32_t index, bool may_lack)
{
	if (index || !may_lack)
		wat_given_use_in(printer, space, index);
}

static void one_print(struct wat_printer *printer,
		      const struct wasm_operation_info *info,
		      const struct wasm_immediates *immediates, int at)
{
	uint32_t index = immediates->index[at];

	switch (info->immediates[at]) {
	case WASM_IMM_LABEL: label_print(printer, index); break;
	case WASM_IMM_FUNC:
		wat_given_use_in(printer, WAT_SPACE_FUNC, index);
		break;
	case WASM_IMM_TYPE:
		wat_given_use_in(printer, WAT_SPACE_TYPE, index);
		break;
	case WASM_IMM_LOCAL: local_print(printer, index); break;
	case WASM_IMM_GLOBAL:
		wat_given_use_in(printer, WAT_SPACE_GLOBAL, index);
		break;
	case WASM_IMM_TAG:
		wat_given_use_in(printer, WAT_SPACE_TAG, index);
		break;
	case WASM_IMM_DATA:
		wat_given_use_in(printer, WAT_SPACE_DATA, index);
		break;
	case WASM_IMM_ELEM:
		wat_given_use_in(printer, WAT_SPACE_ELEM, index);
		break;
	case WASM_IMM_TABLE:
		index_print(printer, WAT_SPACE_TABLE, index, true);
		break;
	case WASM_IMM_MEM:
		index_print(printer, WAT_SPACE_MEMORY, index, true);
		break;
	case WASM_IMM_FIELD:
		field_print(printer, immediates->index[0], index);
		break;
	case WASM_IMM_COUNT: wat_given_use(printer, NULL, index); break;
	case WASM_IMM_LANE:
		wat_given_use(printer, NULL, immediates->lane);
		break;
	case WASM_IMM_LABELS: labels_print(printer, immediates); break;
	case WASM_IMM_TYPES: types_print(printer, immediates); break;
	case WASM_IMM_CATCHES: catches_print(printer, immediates); break;
	case WASM_IMM_MEMARG:
	case WASM_IMM_ATOMIC: memarg_print(printer, info, immediates); break;
	case WASM_IMM_LANES:
		lanes_print(printer->out, immediates->bytes);
		break;
	case WASM_IMM_V128:
		vector_print(printer->out, immediates->bytes);
		break;
	case WASM_IMM_I32:
		signed_print(printer->out, (int32_t)immediates->value);
		break;
	case WASM_IMM_I64:
		signed_print(printer->out, (int64_t)immediates->value);
		break;
	case WASM_IMM_F32: f32_print(printer->out, immediates->value); break;
	case WASM_IMM_F64: f64_print(printer->out, immediates->value); break;
	case WASM_IMM_CAST: cast_print(printer, immediates); break;
	case WASM_IMM_BLOCK: block_print(printer, immediates); break;
	}
}

/* Where the text's order is not that of the bytes. */
static bool turned_print(struct wat_printer *printer, enum wasm_operation op,
			 const struct wasm_immediates *immediates)
{
	const uint32_t *index = immediates->index;

	switch (op) {
	case WASM_OP_CALL_INDIRECT:
	case WASM_OP_RETURN_CALL_INDIRECT:
		index_print(printer, WAT_SPACE_TABLE, index[1], true);
		wat_print_use(printer, index[0], NULL);
		return true;
	case WASM_OP_MEMORY_INIT:
		index_print(printer, WAT_SPACE_MEMORY, index[1], true);
		wat_given_use_in(printer, WAT_SPACE_DATA, index[0]);
		return true;
	case WASM_OP_TABLE_INIT:
		index_print(printer, WAT_SPACE_TABLE, index[1], true);
		wat_given_use_in(printer, WAT_SPACE_ELEM, index[0]);
		return true;
	case WASM_OP_MEMORY_COPY:
	case WASM_OP_TABLE_COPY: {
		uint32_t space = op == WASM_OP_MEMORY_COPY ? WAT_SPACE_MEMORY
							   : WAT_SPACE_TABLE;
		bool are_zero = !index[0] && !index[1];

		index_print(printer, space, index[0], are_zero);
		index_print(printer, space, index[1], are_zero);
		return true;
	}
	case WASM_OP_REF_NULL:
		wat_print_heap(printer, immediates->types[0]);
		return true;
	case WASM_OP_REF_TEST:
	case WASM_OP_REF_CAST:
		wat_print_type(printer, immediates->types[0]);
		return true;
	case WASM_OP_REF_TEST_NULL:
	case WASM_OP_REF_CAST_NULL:
		wat_print_type(printer, immediates->types[0] | WASM_NULLABLE);
		return true;
	default: return false;
	}
}

static void operation_print(struct wat_printer *printer, enum wasm_operation op,
			    const struct wasm_immediates *immediates)
{
	const struct wasm_operation_info *info = &wasm_operations[op];
	const char *blank = strchr(info->name, ' '); /* "ref.test null" */

	buf_add(printer->out, info->name,
		blank ? (size_t)(blank - info->name) : strlen(info->name));
	if (turned_print(printer, op, immediates))
		return;
	one_print(printer, info, immediates, 0);
	one_print(printer, info, immediates, 1);
}

static bool is_block(enum wasm_operation op)
{
	return op == WASM_OP_BLOCK || op == WASM_OP_LOOP || op == WASM_OP_IF ||
	       op == WASM_OP_TRY_TABLE;
}

/* Is the expression one instruction? */
static bool is_one(struct wasm_reader look)
{
	enum wasm_operation op = wasm_read_operation(&look);
	struct wasm_immediates immediates;

	return op != WASM_OP_END && !look.failed &&
	       wasm_read_immediates(&look, op, &immediates) == 0 &&
	       wasm_read_operation(&look) == WASM_OP_END && !look.failed;
}

void wat_print_expression(struct wat_printer *printer,
			  struct wasm_reader *reader, const char *word)
{
	bool one = is_one(*reader), has_brackets = one || word;
	struct wasm_immediates immediates;
	enum wasm_operation op;

	if (has_brackets)
		buf_text(printer->out, " (");
	if (!one && word)
		buf_text(printer->out, word);
	for (;;) {
		op = wasm_read_operation(reader);
		if (op == WASM_OP_END || reader->failed ||
		    wasm_read_immediates(reader, op, &immediates) < 0)
			break;
		if (!one)
			buf_text(printer->out, " ");
		operation_print(printer, op, &immediates);
	}
	if (has_brackets)
		buf_text(printer->out, ")");
}

/* Functions */

static void hint_print(struct wat_printer *printer, uint32_t function,
		       uint32_t offset)
{
	int64_t value = wat_map_find(&printer->hints,
				     (uint64_t)(function + 1) << 32 | offset);

	if (value >= 0)
		buf_format(printer->out,
			   "(@metadata.code.branch_hint \"\\%02x\") ",
			   (unsigned)value);
}

static int instruction_print(struct wat_printer *printer, uint32_t function,
			     struct wasm_reader *reader)
{
	uint32_t offset = reader->at - reader->base;
	enum wasm_operation op = wasm_read_operation(reader);
	struct wasm_immediates immediates;

	if (reader->failed || wasm_read_immediates(reader, op, &immediates) < 0)
		return -EBADMSG;
	if (op == WASM_OP_END && !printer->open_count)
		return 0; /* the function's own */
	if (op == WASM_OP_END || op == WASM_OP_ELSE)
		printer->open_count--;
	indent(printer);
	if (op == WASM_OP_IF || op == WASM_OP_BR_IF)
		hint_print(printer, function, offset);
	operation_print(printer, op, &immediates);
	if (op == WASM_OP_ELSE)
		printer->open_count++;
	if (!is_block(op))
		return 0;
	if (label_open(printer,
		       printer->label_next < printer->label_name_count
			       ? &printer->label_names[printer->label_next]
			       : NULL) < 0)
		return -ENOMEM;
	printer->label_next++;
	return 0;
}

static void named_locals_print(struct wat_printer *printer, wasm_type type,
			       uint32_t index, uint32_t count)
{
	for (; count; count--, index++) {
		buf_text(printer->out, "\n    (local");
		wat_given_define(printer, &printer->local_names[index], index);
		wat_print_type(printer, type);
		buf_text(printer->out, ")");
	}
}

static void locals_print(struct wat_printer *printer, uint32_t first,
			 struct wasm_reader *reader)
{
	uint32_t runs = wasm_read_length(reader), index = first;

	if (runs && !printer->has_local_names)
		buf_text(printer->out, "\n    (local");
	for (uint32_t run = 0; run < runs && !reader->failed; run++) {
		uint32_t count = wasm_read_u32(reader);
		wasm_type type = wasm_read_value_type(reader);

		if (printer->has_local_names) {
			named_locals_print(printer, type, index, count);
			index += count;
			continue;
		}
		for (; count; count--)
			wat_print_type(printer, type);
	}
	if (runs && !printer->has_local_names)
		buf_text(printer->out, ")");
}

/* How many locals, parameters included. */
static uint32_t locals_count(struct wasm_reader reader, uint32_t params)
{
	uint32_t runs = wasm_read_length(&reader), count = params;

	for (; runs && !reader.failed; runs--) {
		count += wasm_read_u32(&reader);
		wasm_read_value_type(&reader);
	}
	return count;
}

/* How many labels, at most: each block has two bytes at least. */
static uint32_t labels_most(const struct wasm_function_decl *decl)
{
	return decl->body_len / 2;
}

static int names_prepare(struct wat_printer *printer, uint32_t function,
			 const struct wasm_function_decl *decl)
{
	const struct wat_given_map *locals =
		printer->locals ? &printer->locals[function] : NULL;
	const struct wat_given_map *labels =
		printer->labels ? &printer->labels[function] : NULL;
	int r = 0;

	printer->has_local_names = locals && locals->at && printer->local_count;
	printer->label_name_count =
		labels && labels->at ? labels_most(decl) : 0;
	if (printer->has_local_names)
		r = wat_given_inner(locals, &printer->local_names,
				    &printer->local_room, printer->local_count);
	if (r == 0 && printer->label_name_count)
		r = wat_given_inner(labels, &printer->label_names,
				    &printer->label_room,
				    printer->label_name_count);
	return r;
}

int wat_print_body(struct wat_printer *printer, uint32_t function)
{
	const struct wasm_module *module = printer->module;
	const struct wasm_function_decl *decl = &module->functions[function];
	const struct wasm_deftype *type = module->type[decl->type_index];
	struct wasm_reader reader = wasm_reader_of(decl->body, decl->body_len);
	int r;

	if (printer->out->failed)
		return 0;
	printer->local_count = locals_count(reader, type->param_count);
	printer->open_count = printer->label_next = 0;
	r = names_prepare(printer, function, decl);
	if (r < 0)
		return r;
	buf_text(printer->out, "\n  (func");
	wat_given_define_in(printer, WAT_SPACE_FUNC, function);
	wat_print_use(printer, decl->type_index,
		      printer->has_local_names ? printer->local_names : NULL);
	locals_print(printer, type->param_count, &reader);
	while (r == 0 && wasm_reader_left(&reader) && !printer->out->failed)
		r = instruction_print(printer, function, &reader);
	buf_text(printer->out, ")\n");
	return r;
}
