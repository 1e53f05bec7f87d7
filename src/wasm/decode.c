/* SPDX-License-Identifier: Apache-2.0 */
/* The slow and rare parts of reading: long numbers, names, types, and the
 * immediates of each operation by the kinds that operations.tab tells. */
#include "wasm/decode.h"

int wasm_reader_fail(struct wasm_reader *reader, const uint8_t *at,
		     const char *format, ...)
{
	va_list list;

	if (reader->error && !reader->failed) {
		va_start(list, format);
		wasm_error_set_list(reader->error,
				    (uint64_t)(at - reader->base), format,
				    list);
		va_end(list);
	}
	reader->failed = true;
	reader->at = reader->end;
	return -1;
}

static const char too_short[] = "unexpected end of section or function";

int wasm_reader_end(struct wasm_reader *reader)
{
	return wasm_reader_fail(reader, reader->end, "%s", too_short);
}

bool wasm_reader_allows(struct wasm_reader *reader, enum wasm_feature feature,
			const char *name)
{
	if (__builtin_expect(!(reader->refused & feature), 1))
		return true;
	wasm_reader_fail(reader, reader->at, "%s: not allowed here", name);
	return false;
}

/* The last byte's bits above "bits" must be 0, or copies of the sign. */
static bool last_is_canonical(uint8_t byte, unsigned used, bool is_signed)
{
	uint8_t rest = (uint8_t)(0x7f & 0xff << used);

	if ((byte & rest) == 0)
		return !is_signed || !(byte >> (used - 1) & 1);
	return is_signed && (byte & rest) == rest && byte >> (used - 1) & 1;
}

static int64_t sign_extend(uint64_t value, unsigned bits)
{
	return bits < 64 ? (int64_t)(value << (64 - bits)) >> (64 - bits)
			 : (int64_t)value;
}

static const char *last_is_wrong(uint8_t byte, unsigned used, bool is_signed)
{
	if (byte & 0x80)
		return "integer representation too long";
	return last_is_canonical(byte, used, is_signed) ? NULL
							: "integer too large";
}

/* 0, or why it is none.  Passes over it. */
static const char *read_leb(const uint8_t **at, const uint8_t *end,
			    unsigned bits, bool is_signed, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; *at < end; shift += 7) {
		uint8_t byte = *(*at)++;
		const char *wrong = NULL;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (shift + 7 >= bits)
			wrong = last_is_wrong(byte, bits - shift, is_signed);
		if (wrong)
			return wrong;
		if (byte & 0x80)
			continue;
		if (is_signed)
			*value = (uint64_t)sign_extend(*value, shift + 7);
		return NULL;
	}
	return too_short;
}

/* A number that is cut off and wrong too is called wrong. */
uint64_t wasm_reader_leb(struct wasm_reader *reader, unsigned bits,
			 bool is_signed)
{
	const uint8_t *start = reader->at, *again = start;
	uint64_t value, ignored;
	const char *wrong =
		read_leb(&reader->at, reader->end, bits, is_signed, &value);

	if (!wrong)
		return value;
	if (wrong == too_short)
		wrong = read_leb(&again, reader->limit, bits, is_signed,
				 &ignored);
	if (wrong && wrong != too_short)
		wasm_reader_fail(reader, start, "%s", wrong);
	else
		wasm_reader_end(reader);
	return 0;
}

/* A length that cannot be, wherever its section ends, is called out of
 * bounds. */
static uint32_t wrong_length(struct wasm_reader *reader, const uint8_t *start)
{
	const uint8_t *at = start;
	uint64_t len;

	if (!reader->failed && !read_leb(&at, reader->limit, 32, false, &len) &&
	    len > (uint64_t)(reader->limit - start))
		wasm_reader_fail(reader, start, "length out of bounds");
	else
		wasm_reader_end(reader);
	return 0;
}

uint32_t wasm_read_length(struct wasm_reader *reader)
{
	const uint8_t *start = reader->at;
	uint32_t len;

	if (start == reader->end)
		return wrong_length(reader, start);
	len = wasm_read_u32(reader);
	if (len > wasm_reader_left(reader))
		return wrong_length(reader, start);
	return len;
}

/* The length of the letter that starts here, 0 when there is none. */
static unsigned utf8_letter(const uint8_t *at, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned len = *at < 0x80   ? 1
		       : *at < 0xc0 ? 0
		       : *at < 0xe0 ? 2
		       : *at < 0xf0 ? 3
		       : *at < 0xf8 ? 4
				    : 0;
	uint32_t letter = len == 1 ? *at : *at & 0x7fu >> len;

	if (!len || len > left)
		return 0;
	for (unsigned i = 1; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		letter = letter << 6 | (at[i] & 0x3f);
	}
	if (letter < least[len] || letter > 0x10ffff ||
	    (letter >= 0xd800 && letter < 0xe000))
		return 0;
	return len;
}

bool wasm_utf8_is_valid(const uint8_t *text, size_t len)
{
	while (len) {
		unsigned step = utf8_letter(text, len);

		if (!step)
			return false;
		text += step;
		len -= step;
	}
	return true;
}

struct wasm_name wasm_read_name(struct wasm_reader *reader)
{
	uint32_t len = wasm_read_length(reader);
	const uint8_t *text = wasm_read_bytes(reader, len);

	if (reader->failed)
		return (struct wasm_name){ "", 0 };
	if (!wasm_utf8_is_valid(text, len)) {
		wasm_reader_fail(reader, text, "malformed UTF-8 encoding");
		len = 0;
	}
	return (struct wasm_name){ (const char *)text, len };
}

static bool is_abstract(uint8_t byte)
{
	return byte >= WASM_EXN && byte <= WASM_NOEXN;
}

/* Those of before are func and extern. */
static wasm_type abstract_type(struct wasm_reader *reader, uint8_t byte)
{
	if (byte == WASM_EXN || byte == WASM_NOEXN)
		wasm_reader_allows(reader, WASM_FEATURE_EXCEPTIONS,
				   "exception references");
	else if (byte != WASM_FUNC && byte != WASM_EXTERN)
		wasm_reader_allows(reader, WASM_FEATURE_GC,
				   "reference types of GC");
	return WASM_REF | WASM_ABSTRACT | byte;
}

wasm_type wasm_read_heap_type(struct wasm_reader *reader)
{
	const uint8_t *start = reader->at;
	int64_t index;

	if (start < reader->end && is_abstract(*start))
		return abstract_type(reader, *reader->at++);
	if (start < reader->end && *start == 0x62) {
		wasm_reader_fail(reader, start,
				 "exact types are not supported");
		return WASM_NONE;
	}
	index = wasm_read_s33(reader);
	if (reader->failed)
		return WASM_NONE;
	if (index < 0) {
		wasm_reader_fail(reader, start, "malformed heap type");
		return WASM_NONE;
	}
	if (index >= WASM_TYPES_MOST) {
		wasm_reader_fail(reader, start, "unknown type %u",
				 (uint32_t)index);
		return WASM_NONE;
	}
	wasm_reader_allows(reader, WASM_FEATURE_GC, "typed references");
	return WASM_REF | (wasm_type)index;
}

static wasm_type read_type(struct wasm_reader *reader, const char *otherwise)
{
	const uint8_t *start = reader->at;
	uint8_t byte = wasm_read_byte(reader);

	if (is_abstract(byte))
		return abstract_type(reader, byte) | WASM_NULLABLE;
	if (byte == 0x63 || byte == 0x64) {
		wasm_type heap = wasm_read_heap_type(reader);

		return byte == 0x63 && heap ? heap | WASM_NULLABLE : heap;
	}
	wasm_reader_fail(reader, start, "malformed %s type", otherwise);
	return WASM_NONE;
}

wasm_type wasm_read_value_type(struct wasm_reader *reader)
{
	if (reader->at < reader->end && *reader->at >= WASM_V128 &&
	    *reader->at <= WASM_I32) {
		if (*reader->at == WASM_V128)
			wasm_reader_allows(reader, WASM_FEATURE_SIMD,
					   "vectors");
		return reader->failed ? WASM_NONE : *reader->at++;
	}
	return read_type(reader, "value");
}

wasm_type wasm_read_reference_type(struct wasm_reader *reader)
{
	return read_type(reader, "reference");
}

static const char *unknown_text(uint8_t prefix, uint32_t code)
{
	if (!prefix && (code == 0x06 || code == 0x07 || code == 0x09 ||
			code == 0x18 || code == 0x19))
		return "legacy exceptions are not supported";
	if (prefix == 0xfb && code >= 0x20 && code <= 0x26)
		return "custom descriptors are not supported";
	return NULL;
}

static enum wasm_operation no_operation(struct wasm_reader *reader,
					const uint8_t *start, uint8_t prefix,
					uint32_t code)
{
	const char *text = unknown_text(prefix, code);

	if (text)
		wasm_reader_fail(reader, start, "%s", text);
	else if (prefix)
		wasm_reader_fail(reader, start, "illegal opcode %x %x",
				 (uint32_t)prefix, code);
	else
		wasm_reader_fail(reader, start, "illegal opcode %x", code);
	return WASM_OPERATIONS;
}

static enum wasm_operation find_prefixed(uint8_t prefix, uint32_t code)
{
	switch (prefix) {
	case 0xfb:
		if (code < sizeof wasm_opcodes_fb / sizeof *wasm_opcodes_fb)
			return wasm_opcodes_fb[code];
		break;
	case 0xfc:
		if (code < sizeof wasm_opcodes_fc / sizeof *wasm_opcodes_fc)
			return wasm_opcodes_fc[code];
		break;
	case 0xfd:
		if (code < sizeof wasm_opcodes_fd / sizeof *wasm_opcodes_fd)
			return wasm_opcodes_fd[code];
		break;
	case 0xfe:
		if (code < sizeof wasm_opcodes_fe / sizeof *wasm_opcodes_fe)
			return wasm_opcodes_fe[code];
		break;
	}
	return WASM_OPERATIONS;
}

static bool prefix_is_allowed(struct wasm_reader *reader, uint8_t prefix,
			      uint32_t code)
{
	if (!reader->refused)
		return true;
	if (prefix == 0xfb)
		return wasm_reader_allows(reader, WASM_FEATURE_GC,
					  "operations of GC");
	if (prefix == 0xfc && code > 0x11)
		return wasm_reader_allows(reader, WASM_FEATURE_WIDE_ARITHMETIC,
					  "wide arithmetic");
	if (prefix == 0xfd)
		return wasm_reader_allows(reader, WASM_FEATURE_SIMD,
					  "vectors") &&
		       (code < 0x100 ||
			wasm_reader_allows(reader, WASM_FEATURE_RELAXED_SIMD,
					   "relaxed vectors"));
	return prefix != 0xfe ||
	       wasm_reader_allows(reader, WASM_FEATURE_THREADS,
				  "atomic operations");
}

static bool plain_is_allowed(struct wasm_reader *reader, uint8_t code)
{
	if (!reader->refused)
		return true;
	switch (code) {
	case 0x08:
	case 0x0a:
	case 0x1f:
		return wasm_reader_allows(reader, WASM_FEATURE_EXCEPTIONS,
					  "exceptions");
	case 0x12:
	case 0x13:
	case 0x15:
		return wasm_reader_allows(reader, WASM_FEATURE_TAIL_CALLS,
					  "tail calls");
	case 0x14:
	case 0xd3:
	case 0xd4:
	case 0xd5:
	case 0xd6:
		return wasm_reader_allows(reader, WASM_FEATURE_GC,
					  "typed references");
	}
	return true;
}

enum wasm_operation wasm_read_operation(struct wasm_reader *reader)
{
	const uint8_t *start = reader->at;
	uint8_t byte = wasm_read_byte(reader);
	enum wasm_operation op = wasm_opcodes_plain[byte];
	uint32_t code = byte;

	if (reader->failed)
		return WASM_OPERATIONS;
	if (byte >= 0xfb && byte <= 0xfe) {
		code = wasm_read_u32(reader);
		op = find_prefixed(byte, code);
		if (reader->failed || !prefix_is_allowed(reader, byte, code))
			return WASM_OPERATIONS;
	} else if (!plain_is_allowed(reader, byte)) {
		return WASM_OPERATIONS;
	}
	if (op == WASM_OPERATIONS)
		return no_operation(reader, start, byte == code ? 0 : byte,
				    code);
	return op;
}

static void read_block(struct wasm_reader *reader, struct wasm_immediates *out)
{
	const uint8_t *start = reader->at;
	int64_t index;

	out->types[0] = WASM_NONE;
	out->block_type = WASM_NO_TYPE;
	if (start < reader->end && *start == 0x40) {
		reader->at++;
	} else if (start < reader->end && (*start & 0xc0) == 0x40) {
		out->types[0] = wasm_read_value_type(reader);
	} else {
		index = wasm_read_s33(reader);
		if (index < 0)
			wasm_reader_fail(reader, start, "malformed block type");
		else if (index >= WASM_TYPES_MOST)
			wasm_reader_fail(reader, start, "unknown type %u",
					 (uint32_t)index);
		out->block_type = (uint32_t)index;
	}
}

static void read_labels(struct wasm_reader *reader, struct wasm_immediates *out)
{
	out->count = wasm_read_length(reader);
	out->bytes = reader->at;
	for (uint32_t i = 0; i <= out->count && !reader->failed; i++)
		wasm_read_u32(reader);
}

static void read_types(struct wasm_reader *reader, struct wasm_immediates *out)
{
	out->count = wasm_read_length(reader);
	out->bytes = reader->at;
	out->types[0] = WASM_NONE;
	for (uint32_t i = 0; i < out->count && !reader->failed; i++) {
		wasm_type type = wasm_read_value_type(reader);

		if (!i)
			out->types[0] = type;
	}
}

static void read_catches(struct wasm_reader *reader,
			 struct wasm_immediates *out)
{
	out->count = wasm_read_length(reader);
	out->bytes = reader->at;
	for (uint32_t i = 0; i < out->count && !reader->failed; i++) {
		const uint8_t *start = reader->at;
		uint8_t kind = wasm_read_byte(reader);

		if (kind > 3)
			wasm_reader_fail(reader, start,
					 "malformed catch clause");
		if (!(kind & 2))
			wasm_read_u32(reader);
		wasm_read_u32(reader);
	}
}

static void read_memarg(struct wasm_reader *reader, struct wasm_immediates *out)
{
	const uint8_t *start = reader->at;

	out->align = wasm_read_u32(reader);
	out->memory = 0;
	if (out->align >= 0x80)
		wasm_reader_fail(reader, start, "malformed memop flags");
	if (out->align & 0x40) {
		out->align &= 0x3f;
		out->memory = wasm_read_u32(reader);
	}
	out->value = wasm_read_u64(reader);
}

static void read_cast(struct wasm_reader *reader, struct wasm_immediates *out)
{
	const uint8_t *start = reader->at;
	uint8_t flags = wasm_read_byte(reader);

	if (flags > 3)
		wasm_reader_fail(reader, start, "malformed cast flags");
	out->index[0] = wasm_read_u32(reader);
	out->types[0] =
		wasm_read_heap_type(reader) | (flags & 1 ? WASM_NULLABLE : 0);
	out->types[1] =
		wasm_read_heap_type(reader) | (flags & 2 ? WASM_NULLABLE : 0);
}

static uint64_t read_fixed(struct wasm_reader *reader, unsigned len)
{
	const uint8_t *at = wasm_read_bytes(reader, len);
	uint64_t value = 0;

	for (unsigned i = 0; at && i < len; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static void read_fence(struct wasm_reader *reader)
{
	const uint8_t *start = reader->at;

	if (wasm_read_byte(reader))
		wasm_reader_fail(reader, start, "zero byte expected");
}

static void read_immediate(struct wasm_reader *reader, enum wasm_immediate kind,
			   unsigned number, struct wasm_immediates *out)
{
	switch (kind) {
	case WASM_IMM_NONE: break;
	case WASM_IMM_BLOCK: read_block(reader, out); break;
	case WASM_IMM_LABELS: read_labels(reader, out); break;
	case WASM_IMM_MEMARG:
	case WASM_IMM_ATOMIC: read_memarg(reader, out); break;
	case WASM_IMM_LANE: out->lane = wasm_read_byte(reader); break;
	case WASM_IMM_LANES:
	case WASM_IMM_V128: out->bytes = wasm_read_bytes(reader, 16); break;
	case WASM_IMM_I32: out->value = (uint64_t)wasm_read_s32(reader); break;
	case WASM_IMM_I64: out->value = (uint64_t)wasm_read_s64(reader); break;
	case WASM_IMM_F32: out->value = read_fixed(reader, 4); break;
	case WASM_IMM_F64: out->value = read_fixed(reader, 8); break;
	case WASM_IMM_HEAP: out->types[0] = wasm_read_heap_type(reader); break;
	case WASM_IMM_TYPES: read_types(reader, out); break;
	case WASM_IMM_CATCHES: read_catches(reader, out); break;
	case WASM_IMM_CAST: read_cast(reader, out); break;
	case WASM_IMM_FENCE: read_fence(reader); break;
	case WASM_IMM_LABEL:
	case WASM_IMM_FUNC:
	case WASM_IMM_TYPE:
	case WASM_IMM_LOCAL:
	case WASM_IMM_GLOBAL:
	case WASM_IMM_TABLE:
	case WASM_IMM_MEM:
	case WASM_IMM_DATA:
	case WASM_IMM_ELEM:
	case WASM_IMM_TAG:
	case WASM_IMM_FIELD:
	case WASM_IMM_COUNT: out->index[number] = wasm_read_u32(reader); break;
	}
}

int wasm_read_immediates(struct wasm_reader *reader, enum wasm_operation op,
			 struct wasm_immediates *out)
{
	const struct wasm_operation_info *info = &wasm_operations[op];

	read_immediate(reader, info->immediates[0], 0, out);
	read_immediate(reader, info->immediates[1], 1, out);
	return reader->failed ? -1 : 0;
}

int wasm_skip_immediates(struct wasm_reader *reader, enum wasm_operation op)
{
	struct wasm_immediates out;

	return wasm_read_immediates(reader, op, &out);
}
