/* SPDX-License-Identifier: Apache-2.0 */
/* The loader and the validator: what they say of a module, what they refuse
 * and with which words, and that nothing stays behind. */
#include "test.h"
#include "wasm/decode.h"
#include "wasm/validate.h"
#include "wasm_bytes.h"
#include "wasm_host.h"
#include <time.h>

static struct test_host host;
static struct wasm_types *types;
static struct wasm_module *module;
static struct wasm_error error;

/* Loads and ends the bytes; the module's own copy lives until unload(). */
static uint8_t *loaded_bytes;

static int load_with(struct bytes bytes, uint32_t refused)
{
	struct wasm_load_options options = { .refused = refused };

	test_host_init(&host);
	types = wasm_types_new(&host.hooks);
	loaded_bytes = bytes.at;
	return wasm_module_load(&module, &host.hooks, types, bytes.at,
				bytes.len, &options, &error);
}

static int load(struct bytes bytes)
{
	return load_with(bytes, 0);
}

static void unload(void)
{
	wasm_module_free(module);
	module = NULL;
	wasm_types_free(types);
	free(loaded_bytes);
	CHECK_INT(host.blocks, 0);
	CHECK_INT(host.bytes, 0);
}

static void accepts(struct bytes bytes)
{
	CHECK_INT(load(bytes), 0);
	CHECK_TEXT(error.text, "");
	unload();
}

static void refuses(struct bytes bytes, const char *text)
{
	CHECK_INT(load(bytes), -1);
	CHECK(!module);
	CHECK_TEXT(error.text, text);
	unload();
}

#define BODY(...)                                         \
	body_of(sizeof((const uint8_t[]){ __VA_ARGS__ }), \
		(const uint8_t[]){ __VA_ARGS__ })

static struct bytes body_of(size_t len, const uint8_t *from)
{
	struct bytes body = { 0 };

	put(&body, from, len);
	return bytes_function(&body);
}

TEST(the_smallest_module)
{
	CHECK_INT(load(bytes_module()), 0);
	CHECK_INT(module->function_count, 0);
	CHECK_INT(module->start, WASM_NO_FUNCTION);
	CHECK_INT(wasm_module_find_export(module, "a", 1), -1);
	unload();
}

TEST(headers)
{
	struct bytes bytes = bytes_module();

	bytes.len = 3;
	refuses(bytes, "unexpected end");
	bytes = bytes_module();
	bytes.at[0] = 1;
	refuses(bytes, "magic header not detected");
	bytes = bytes_module();
	bytes.at[4] = 2;
	refuses(bytes, "at 0x4: unknown binary version");
	bytes = bytes_module();
	PUT(&bytes, 14, 0);
	refuses(bytes, "at 0x8: malformed section id");
	bytes = bytes_module();
	SECTION(&bytes, 3, 0);
	SECTION(&bytes, 1, 0);
	refuses(bytes, "at 0xb: unexpected content after last section");
}

/* (func (drop (i32.add (i32.const 0) (f64.const 0)))) */
#define BAD_ADD	     0, 0x41, 0, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x6a, 0x1a, 0x0b
#define BAD_ADD_TEXT "type mismatch: i32 expected, f64 found"

static void put_name_section(struct bytes *bytes, const char *name)
{
	struct bytes custom = { 0 }, map = { 0 };

	put_name(&custom, "name");
	PUT(&map, 1, 0);
	put_name(&map, name);
	PUT(&custom, 1);
	put_sized(&custom, &map);
	put_section(bytes, 0, &custom);
}

TEST(an_error_names_the_function)
{
	struct bytes bytes = BODY(BAD_ADD);

	refuses(bytes, "function 0 at 0x22: " BAD_ADD_TEXT);
	CHECK_TEXT(error.text + error.reason, BAD_ADD_TEXT);
	CHECK_INT(error.offset, 0x22);
	CHECK_INT(error.function, 0);
	bytes = BODY(BAD_ADD);
	put_name_section(&bytes, "main");
	refuses(bytes, "function 0 \"main\" at 0x22: " BAD_ADD_TEXT);
	bytes = BODY(BAD_ADD);
	put_name_section(&bytes, "two\nlines\x7f");
	refuses(bytes, "function 0 \"two?lines?\" at 0x22: " BAD_ADD_TEXT);
	bytes = BODY(BAD_ADD);
	put_name_section(&bytes, "nobody can read a name as long as this one "
				 "is, which is cut \xc3\xa4\xc3\xa4\xc3\xa4");
	refuses(bytes,
		"function 0 \"nobody can read a name as long as this "
		"one is, which is cut \xc3\xa4\" at 0x22: " BAD_ADD_TEXT);
}

TEST(errors_are_one_line_that_fits)
{
	static const char row[] = "ten bytes ten bytes ten bytes ten bytes ";
	struct wasm_error one = { .text = "" };
	char text[8];

	CHECK_INT(wasm_error_set(&one, 0, "%s%s%s%s%s%s%s", row, row, row, row,
				 row, row, row),
		  -1);
	CHECK_INT(strlen(one.text), sizeof one.text - 1);
	wasm_error_in_function(&one, 7, "f", 1);
	CHECK_INT(strncmp(one.text, "function 7 \"f\" at 0x0: ten", 26), 0);
	CHECK_INT(strlen(one.text), sizeof one.text - 1);
	wasm_error_set(&one, 1, "another");
	CHECK_INT(strncmp(one.text, "function 7", 10), 0);
	CHECK_INT(wasm_format(text, 8, "%d %u %x", -2147483647 - 1, 1u, 2u), 7);
	CHECK_TEXT(text, "-214748");
	CHECK_INT(wasm_format(text, 8, "%X %U", 0xabull, 12ull), 5);
	CHECK_TEXT(text, "ab 12");
	CHECK_INT(wasm_format(text, 1, "%s", "a"), 0);
	CHECK_INT(wasm_format(text, 0, "a"), 0);
}

TEST(what_is_not_supported_is_named)
{
	static const char legacy[] =
		"function 0 at 0x17: legacy exceptions are not supported";
	struct bytes bytes;

	refuses(BODY(0, 0x06, 0x40, 0x0b, 0x0b), legacy);
	refuses(BODY(0, 0x07, 0x00, 0x0b), legacy);
	refuses(BODY(0, 0x09, 0x00, 0x0b), legacy);
	refuses(BODY(0, 0x18, 0x00, 0x0b), legacy);
	refuses(BODY(0, 0x19, 0x0b), legacy);
	refuses(BODY(0, 0xfb, 0x20, 0x00, 0x0b),
		"function 0 at 0x17: custom descriptors are not supported");
	bytes = bytes_module();
	SECTION(&bytes, 1, 1, 0x4d, 0, 0x5f, 0);
	refuses(bytes, "at 0xb: custom descriptors are not supported");
	refuses(BODY(0, 0xff, 0x0b), "function 0 at 0x17: illegal opcode ff");
	refuses(BODY(0, 0xfc, 0x17, 0x0b),
		"function 0 at 0x17: illegal opcode fc 17");
	refuses(BODY(0, 0xfe, 0xff, 0x7f, 0x0b),
		"function 0 at 0x17: illegal opcode fe 3fff");
}

TEST(features_can_be_refused)
{
	/* an operation that needs the feature, in a function */
	static const struct {
		uint32_t feature;
		uint8_t len, code[12];
	} cases[] = {
		{ WASM_FEATURE_SIMD, 4, { 0x00, 0xfd, 0x4d, 0x1a } },
		{ WASM_FEATURE_RELAXED_SIMD, 5, { 0, 0xfd, 0x80, 2, 0x1a } },
		{ WASM_FEATURE_THREADS, 3, { 0xfe, 3, 0 } },
		{ WASM_FEATURE_EXCEPTIONS, 4, { 0x1f, 0x40, 0, 0x0b } },
		{ WASM_FEATURE_TAIL_CALLS, 2, { 0x12, 0 } },
		{ WASM_FEATURE_GC, 3, { 0xd0, 0x6e, 0x1a } },
		{ WASM_FEATURE_GC, 3, { 0x00, 0xfb, 0x1c } },
		{ WASM_FEATURE_WIDE_ARITHMETIC, 3, { 0, 0xfc, 0x13 } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bytes body[2] = { { 0 }, { 0 } };

		for (int k = 0; k < 2; k++) {
			PUT(&body[k], 0);
			put(&body[k], cases[i].code, cases[i].len);
			PUT(&body[k], 0x00, 0x0b);
		}
		accepts(bytes_function(&body[0]));
		CHECK_INT(load_with(bytes_function(&body[1]), cases[i].feature),
			  -1);
		CHECK(strstr(error.text, ": not allowed here"));
		unload();
	}
}

static void refuses_section(uint8_t id, size_t len, const uint8_t *content,
			    uint32_t feature)
{
	for (int k = 0; k < 2; k++) {
		struct bytes bytes = bytes_module(), section = { 0 };

		put(&section, content, len);
		put_section(&bytes, id, &section);
		CHECK_INT(load_with(bytes, k ? feature : 0), -k);
		if (k)
			CHECK(strstr(error.text, ": not allowed here"));
		unload();
	}
}

#define REFUSES_SECTION(feature, id, ...)                             \
	refuses_section(id, sizeof((const uint8_t[]){ __VA_ARGS__ }), \
			(const uint8_t[]){ __VA_ARGS__ }, feature)

TEST(features_of_declarations_can_be_refused)
{
	REFUSES_SECTION(WASM_FEATURE_MULTI_MEMORY, 5, 2, 0, 1, 0, 1);
	REFUSES_SECTION(WASM_FEATURE_MEMORY64, 5, 1, 4, 1);
	REFUSES_SECTION(WASM_FEATURE_MEMORY64, 4, 1, 0x70, 4, 1);
	REFUSES_SECTION(WASM_FEATURE_THREADS, 5, 1, 3, 1, 1);
	REFUSES_SECTION(WASM_FEATURE_CUSTOM_PAGES, 5, 1, 8, 1, 0);
	REFUSES_SECTION(WASM_FEATURE_GC, 1, 1, 0x5f, 0);
	REFUSES_SECTION(WASM_FEATURE_GC, 1, 1, 0x4e, 1, 0x60, 0, 0);
	REFUSES_SECTION(WASM_FEATURE_GC, 1, 1, 0x50, 0, 0x60, 0, 0);
	REFUSES_SECTION(WASM_FEATURE_SIMD, 1, 1, 0x60, 1, 0x7b, 0);
	REFUSES_SECTION(WASM_FEATURE_EXCEPTIONS, 1, 1, 0x60, 1, 0x69, 0);
}

static void put_export(struct bytes *section, const char *name, uint8_t kind,
		       uint8_t index)
{
	put_name(section, name);
	PUT(section, kind, index);
}

TEST(exports_are_found_by_name)
{
	struct bytes bytes = bytes_module(), section = { 0 };
	char name[8];

	SECTION(&bytes, 5, 1, 0, 1);
	put_number(&section, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		wasm_format(name, sizeof name, "e%u", i);
		put_export(&section, name, WASM_EXTERN_MEMORY, 0);
	}
	put_section(&bytes, 7, &section);
	CHECK_INT(load(bytes), 0);
	CHECK_INT(module->export_count, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t len = wasm_format(name, sizeof name, "e%u", i);

		CHECK_INT(wasm_module_find_export(module, name, len), i);
	}
	CHECK_INT(wasm_module_find_export(module, "e1000", 5), -1);
	CHECK_INT(wasm_module_find_export(module, "", 0), -1);
	unload();
	bytes = bytes_module();
	SECTION(&bytes, 5, 1, 0, 1);
	SECTION(&bytes, 7, 2, 1, 'a', 2, 0, 1, 'a', 2, 0);
	refuses(bytes, "at 0x14: duplicate export name");
}

TEST(functions_have_names)
{
	struct bytes bytes = bytes_module(), body = { 0 };
	struct wasm_name name;

	SECTION(&bytes, 1, 1, 0x60, 0, 0);
	SECTION(&bytes, 2, 1, 1, 'm', 1, 'i', 0, 0);
	SECTION(&bytes, 3, 1, 0);
	SECTION(&bytes, 7, 1, 3, 'o', 'u', 't', 0, 1);
	PUT(&body, 0, 0x0b);
	put_code(&bytes, &body);
	put_name_section(&bytes, "from the section");
	CHECK_INT(load(bytes), 0);
	name = wasm_module_function_name(module, 0);
	CHECK_INT(name.len, 16);
	CHECK_INT(memcmp(name.text, "from the section", 16), 0);
	name = wasm_module_function_name(module, 1);
	CHECK(name.len == 3 && memcmp(name.text, "out", 3) == 0);
	module->names.len = 5; /* as if it were cut off */
	name = wasm_module_function_name(module, 0);
	CHECK(name.len == 1 && *name.text == 'i');
	CHECK_INT(wasm_module_function_name(module, 2).len, 0);
	CHECK_INT(module->custom_count, 1);
	CHECK(module->customs[0].name.len == 4);
	unload();
}

TEST(constant_expressions_are_kept)
{
	struct bytes bytes = bytes_module();

	SECTION(&bytes, 6, 3, 0x7f, 0, 0x41, 0xe4, 0, 0x0b, /* i32.const 100 */
		0x7f, 0, 0x23, 0, 0x41, 1, 0x6a, 0x0b,	    /* global 0 + 1 */
		0x7e, 1, 0x42, 0, 0x0b);
	CHECK_INT(load(bytes), 0);
	CHECK_INT(module->globals[0].init.len, 4);
	CHECK_INT(module->globals[1].init.len, 6);
	CHECK_INT(*module->globals[1].init.at, 0x23);
	CHECK(!module->globals[1].is_mutable && module->globals[2].is_mutable);
	unload();
	bytes = bytes_module();
	SECTION(&bytes, 6, 1, 0x7f, 0, 0x23, 0, 0x0b);
	refuses(bytes, "at 0xd: unknown global 0");
	bytes = bytes_module();
	SECTION(&bytes, 6, 2, 0x7f, 1, 0x41, 0, 0x0b, 0x7f, 0, 0x23, 0, 0x0b);
	refuses(bytes, "at 0x12: constant expression required");
	bytes = bytes_module();
	SECTION(&bytes, 6, 1, 0x7f, 0, 0x41, 0, 0x45, 0x0b);
	refuses(bytes, "at 0xf: constant expression required");
	bytes = bytes_module();
	SECTION(&bytes, 6, 1, 0x7f, 0, 0x41, 0, 0x41, 0, 0x0b);
	refuses(bytes, "at 0x11: type mismatch: 1 operands too many at the end "
		       "of a block");
}

/* Numbers that promise more than there is cost nothing. */
TEST(counts_are_believed_only_with_bytes)
{
	for (uint8_t id = 1; id <= 13; id++) {
		struct bytes bytes = bytes_module();

		SECTION(&bytes, id, 0xff, 0xff, 0xff, 0xff, 0x0f);
		CHECK_INT(load(bytes), -1);
		CHECK(host.most_bytes < 64 * 1024);
		unload();
	}
	refuses(BODY(2, 0xd0, 0x86, 3, 0x7f, 0xd1, 0x86, 3, 0x7f, 0x0b),
		"function 0 at 0x1b: too many locals");
	accepts(BODY(2, 0xc8, 0x86, 1, 0x7f, 0x88, 0x80, 2, 0x7f, 0x0b));
}

/* A call's two bytes may leave a thousand operands. */
TEST(operands_have_a_limit)
{
	struct bytes bytes = bytes_module(), content = { 0 }, body = { 0 };

	PUT(&content, 2, 0x60, 0, 0, 0x60, 0, 0xe8, 7);
	put_times(&content, 1000, "\x7f", 1);
	put_section(&bytes, 1, &content);
	SECTION(&bytes, 3, 2, 1, 0);
	PUT(&content, 2, 3, 0, 0, 0x0b);
	PUT(&body, 0);
	put_times(&body, 150000, "\x10\x00", 2);
	PUT(&body, 0, 0x0b);
	put_sized(&content, &body);
	put_section(&bytes, 10, &content);
	refuses(bytes, "function 1 at 0xc3d: too many operands");
	CHECK(host.most_bytes < 16 * 1024 * 1024);
}

TEST(nesting_has_no_limit_but_memory)
{
	enum { DEEP = 300000 };
	struct bytes body = { 0 };

	PUT(&body, 0);
	put_times(&body, DEEP, "\x02\x40", 2);
	put_times(&body, DEEP, "\x03\x40\x0b", 3);
	put_times(&body, DEEP, "\x0b", 1);
	PUT(&body, 0x0b);
	accepts(bytes_function(&body));
	PUT(&body, 0);
	put_times(&body, DEEP, "\x41\x2a", 2);
	put_times(&body, DEEP, "\x1a", 1);
	PUT(&body, 0x0b);
	accepts(bytes_function(&body));
	PUT(&body, 0);
	put_times(&body, DEEP, "\x41\x2a\x04\x7f", 4);
	refuses(bytes_function(&body),
		"function 0 at 0x124f9b: unexpected end of section or function");
}

/* Operations may not reach behind their body into the next one. */
TEST(bodies_end_where_they_say)
{
	static const uint8_t more[] = { 2, 0, 0x0b, 2, 0, 0x0b, 2, 0, 0x0b,
					2, 0, 0x0b, 2, 0, 0x0b, 2, 0, 0x0b };
	static const struct {
		uint8_t len, body[6];
		const char *text;
	} cases[] = {
		{ 3, { 0, 0x41, 0x80 }, "unexpected end of section" },
		{ 2, { 0, 0x41 }, "unexpected end of section" },
		{ 3, { 0, 0x41, 0 }, "END opcode expected" },
		{ 4, { 0, 0x0b, 0x0b, 0x0b }, "section size mismatch" },
		{ 4, { 0, 0x44, 0, 0 }, "unexpected end of section" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bytes bytes = bytes_module(), code = { 0 };

		SECTION(&bytes, 1, 1, 0x60, 0, 0);
		SECTION(&bytes, 3, 7, 0, 0, 0, 0, 0, 0, 0);
		PUT(&code, 7, cases[i].len);
		put(&code, cases[i].body, cases[i].len);
		put(&code, more, sizeof more);
		put_section(&bytes, 10, &code);
		CHECK_INT(load(bytes), -1);
		CHECK_INT(strncmp(error.text + error.reason, cases[i].text,
				  strlen(cases[i].text)),
			  0);
		unload();
	}
}

/* Weights */

static void weigh(struct bytes bytes, struct wasm_weights *weights)
{
	static uint32_t uses[8];
	static uint8_t needs_zero[8];
	struct wasm_validator *validator;

	CHECK_INT(load(bytes), 0);
	validator = wasm_validator_new(module);
	CHECK_INT(wasm_validate_body(validator, 0, weights, &error), 0);
	for (uint32_t i = 0; i < weights->local_count && i < 8; i++) {
		uses[i] = weights->uses[i];
		needs_zero[i] = weights->needs_zero[i];
	}
	weights->uses = uses;
	weights->needs_zero = needs_zero;
	wasm_validator_free(validator);
	unload();
}

TEST(uses_and_calls_are_weighted_by_loops)
{
	struct wasm_weights weights;

	weigh(BODY(1, 3, 0x7f, 0x20, 0, 0x1a, /* get 0 */
		   0x10, 0, 0x03, 0x40,	      /* call, loop */
		   0x41, 1, 0x21, 1, 0x20, 1, 0x1a, 0x10, 0, 0x03, 0x40, 0x41,
		   1, 0x22, 2, 0x1a, 0x0b, 0x0b, 0x20, 0, 0x1a, 0x0b),
	      &weights);
	CHECK_INT(weights.local_count, 3);
	CHECK_INT(weights.uses[0], 2);
	CHECK_INT(weights.uses[1], 16);
	CHECK_INT(weights.uses[2], 64);
	CHECK_INT(weights.call_count, 2);
	CHECK_INT(weights.call_weight, 9);
	CHECK_INT(weights.loop_count, 2);
	CHECK_INT(weights.deepest_stack, 1);
	CHECK(!weights.has_try && !weights.has_simd);
}

TEST(weights_have_an_end)
{
	struct wasm_weights weights;
	struct bytes body = { 0 };

	PUT(&body, 1, 1, 0x7f);
	put_times(&body, 20, "\x03\x40", 2);
	put_times(&body, 20000, "\x20\x00\x1a", 3);
	put_times(&body, 21, "\x0b", 1);
	weigh(bytes_function(&body), &weights);
	CHECK_INT(weights.uses[0], UINT32_MAX);
}

static unsigned zeroes(struct bytes bytes)
{
	struct wasm_weights weights;
	unsigned bits = 0;

	weigh(bytes, &weights);
	for (uint32_t i = 0; i < weights.local_count && i < 8; i++)
		bits |= weights.needs_zero[i] ? 1u << i : 0;
	return bits;
}

#define SET(n)	 0x41, 1, 0x21, n
#define GET(n)	 0x20, n, 0x1a
#define BR_IF(n) 0x41, 1, 0x0d, n

TEST(locals_that_are_read_first_need_a_zero)
{
	/* straight on */
	CHECK_INT(
		zeroes(BODY(1, 2, 0x7f, SET(0), GET(0), GET(1), SET(1), 0x0b)),
		2);
	/* a block that is left before and after */
	CHECK_INT(zeroes(BODY(1, 3, 0x7f, 0x02, 0x40, SET(0), BR_IF(0), SET(1),
			      0x0b, GET(0), GET(1), 0x0b)),
		  2);
	/* both ways set it, one way does */
	CHECK_INT(zeroes(BODY(1, 2, 0x7f, 0x41, 1, 0x04, 0x40, SET(0), SET(1),
			      0x05, SET(0), 0x0b, GET(0), GET(1), 0x0b)),
		  2);
	CHECK_INT(zeroes(BODY(1, 1, 0x7f, 0x41, 1, 0x04, 0x40, SET(0), 0x0b,
			      GET(0), 0x0b)),
		  1);
	/* the way that does not set it does not come here */
	CHECK_INT(zeroes(BODY(1, 1, 0x7f, 0x41, 1, 0x04, 0x40, SET(0), 0x05,
			      0x00, 0x0b, GET(0), 0x0b)),
		  0);
	/* a loop reads what its last turn set */
	CHECK_INT(zeroes(BODY(1, 2, 0x7f, 0x03, 0x40, GET(0), SET(0), SET(1),
			      BR_IF(0), 0x0b, GET(1), 0x0b)),
		  1);
	/* br_table leaves two blocks, the inner one's set comes after */
	CHECK_INT(zeroes(BODY(1, 2, 0x7f, 0x02, 0x40, 0x02, 0x40, SET(0), 0x41,
			      0, 0x0e, 1, 0, 1, 0x0b, SET(1), 0x0b, GET(0),
			      GET(1), 0x0b)),
		  2);
	/* code that is never reached says nothing */
	CHECK_INT(zeroes(BODY(1, 1, 0x7f, 0x00, GET(0), 0x0b)), 0);
	/* an exception may come before the set */
	CHECK_INT(zeroes(BODY(1, 2, 0x7f, 0x02, 0x40, SET(1), 0x1f, 0x40, 1, 2,
			      0, SET(0), 0x0b, 0x0b, GET(0), GET(1), 0x0b)),
		  1);
}

/* More than have a bit each. */
TEST(many_locals_are_weighed_too)
{
	struct wasm_weights weights;
	struct wasm_validator *validator;

	CHECK_INT(load(BODY(1, 0xc8, 1, 0x7f, SET(62), GET(62), SET(63),
			    GET(63), 0x41, 0, 0x21, 0xc7, 1, 0x20, 0xc7, 1,
			    0x1a, 0x0b)),
		  0);
	validator = wasm_validator_new(module);
	CHECK_INT(wasm_validate_body(validator, 0, &weights, &error), 0);
	CHECK_INT(weights.local_count, 200);
	CHECK_INT(weights.uses[199], 2);
	CHECK(!weights.needs_zero[62]);
	CHECK(weights.needs_zero[63] && weights.needs_zero[199]);
	CHECK(!weights.needs_zero[100]);
	wasm_validator_free(validator);
	unload();
}

/* (func (local i32 x ints) (local i64 x 40000) (local f32 x 2) ...) */
static void put_long_body(struct bytes *code, uint32_t ints)
{
	struct bytes body = { 0 };

	PUT(&body, 3);
	put_number(&body, ints);
	PUT(&body, 0x7f);
	put_number(&body, 40000);
	PUT(&body, 0x7e, 2, 0x7d, 0x20);
	put_number(&body, ints + 39999);
	PUT(&body, 0x22); /* local.tee */
	put_number(&body, ints);
	PUT(&body, 0x1a, 0x20);
	put_number(&body, ints + 40001);
	PUT(&body, 0x21);
	put_number(&body, ints + 40000);
	PUT(&body, 0x0b);
	put_sized(code, &body);
}

static struct bytes long_bodies(uint32_t count)
{
	struct bytes bytes = bytes_module(), kinds = { 0 }, functions = { 0 },
		     code = { 0 };

	PUT(&kinds, 1, 0x60, 0, 0);
	put_number(&functions, count);
	put_times(&functions, count, "", 1);
	put_number(&code, count);
	for (uint32_t i = 0; i < count; i++)
		put_long_body(&code, i % 3 * 60);
	put_section(&bytes, 1, &kinds);
	put_section(&bytes, 3, &functions);
	put_section(&bytes, 10, &code);
	return bytes;
}

static void check_long_weights(struct wasm_validator *validator,
			       uint32_t function, uint32_t ints)
{
	struct wasm_weights weights;
	uint32_t sum = 0, zeroes = 0;

	CHECK_INT(wasm_validate_body(validator, function, &weights, &error), 0);
	CHECK_INT(weights.local_count, ints + 40002);
	CHECK_INT(weights.uses[ints], 1);
	CHECK_INT(weights.uses[ints + 40000], 1);
	CHECK_INT(weights.needs_zero[ints + 39999], 1);
	CHECK_INT(weights.needs_zero[ints + 40001], 1);
	for (uint32_t i = 0; i < weights.local_count; i++) {
		sum += weights.uses[i];
		zeroes += weights.needs_zero[i];
	}
	CHECK_INT(sum, 4);
	CHECK_INT(zeroes, ints > 62 ? 4 : 3); /* 63 have a bit */
}

/* What one body named is nothing to the next, whose locals lie elsewhere. */
TEST(long_runs_of_locals_are_found)
{
	struct wasm_validator *validator;

	CHECK_INT(load(long_bodies(6)), 0);
	validator = wasm_validator_new(module);
	for (uint32_t i = 0; i < 18; i++)
		check_long_weights(validator, i * 5 % 6, i * 5 % 6 % 3 * 60);
	wasm_validator_free(validator);
	unload();
}

TEST(a_local_of_a_long_run_has_its_type)
{
	CHECK_INT(load(BODY(2, 0xf4, 3, 0x7f, 0xf4, 3, 0x7e, 0x20, 0xf3, 3,
			    0x45, 0x1a, 0x20, 0xf4, 3, 0x50, 0x1a, 0x0b)),
		  0);
	unload();
	CHECK_INT(load(BODY(2, 0xf4, 3, 0x7f, 0xf4, 3, 0x7e, 0x20, 0xf4, 3,
			    0x45, 0x1a, 0x0b)),
		  -1);
	unload();
	CHECK_INT(load(BODY(2, 0xf4, 3, 0x7f, 0xf4, 3, 0x7e, 0x20, 0xe8, 7,
			    0x1a, 0x0b)),
		  -1);
	unload();
}

/* 2 MB that declare 2,000,000,000 locals: what they cost is their bytes. */
TEST(locals_cost_no_more_than_their_bytes)
{
	clock_t start = clock();

	CHECK_INT(load(long_bodies(50000)), 0);
	CHECK(clock() - start < CLOCKS_PER_SEC);
	unload();
}

/* Function 0 may be named, since it is exported. */
static struct bytes exported_function(struct bytes *body)
{
	struct bytes bytes = bytes_module();

	SECTION(&bytes, 1, 1, 0x60, 0, 0);
	SECTION(&bytes, 3, 1, 0);
	SECTION(&bytes, 7, 1, 1, 'f', 0, 0);
	put_code(&bytes, body);
	return bytes;
}

TEST(locals_without_default_must_be_set)
{
	struct bytes body = { 0 };

	/* A local of (ref func), set before a block and read in it. */
	PUT(&body, 1, 1, 0x64, 0x70, 0xd2, 0, 0x21, 0, 0x20, 0, 0x1a, 0x02,
	    0x40, 0x20, 0, 0x1a, 0x0b, 0x0b);
	accepts(exported_function(&body));
	/* Set in a block and read behind it. */
	PUT(&body, 1, 1, 0x64, 0x70, 0x02, 0x40, 0xd2, 0, 0x21, 0, 0x20, 0,
	    0x1a, 0x0b, 0x20, 0, 0x1a, 0x0b);
	refuses(exported_function(&body),
		"function 0 \"f\" at 0x2b: uninitialized local 0");
	/* What is never reached sets it too, from an unknown operand. */
	PUT(&body, 1, 1, 0x64, 0x70, 0x00, 0x1b, 0x21, 0, 0x20, 0, 0x1a);
	put_times(&body, 40, "\x01", 1);
	PUT(&body, 0x0b);
	accepts(exported_function(&body));
}

/* Reading of code that was accepted */

TEST(immediates_are_read_by_kind)
{
	static const uint8_t code[] = {
		0x0e, 2,    0, 1,    0x81, 0, /* br_table 0 1 1 */
		0x28, 0x42, 3, 0x80, 1,	      /* i32.load memory 3 offset 128 */
		0x42, 0x7f,		      /* i64.const -1 */
		0xfb, 0x18, 3, 1,    0x6e, 5, /* br_on_cast 1 anyref (ref null 5) */
		0x1f, 0x7f, 2, 1,    4,	   5, 2, 6, /* try_table, two catches */
	};
	struct wasm_reader reader = wasm_reader_of(code, sizeof code);
	struct wasm_immediates imm;

	CHECK_INT(wasm_read_operation(&reader), WASM_OP_BR_TABLE);
	CHECK_INT(wasm_read_immediates(&reader, WASM_OP_BR_TABLE, &imm), 0);
	CHECK(imm.count == 2 && imm.bytes == code + 2);
	CHECK_INT(wasm_read_operation(&reader), WASM_OP_I32_LOAD);
	CHECK_INT(wasm_read_immediates(&reader, WASM_OP_I32_LOAD, &imm), 0);
	CHECK(imm.align == 2 && imm.memory == 3 && imm.value == 128);
	CHECK_INT(wasm_read_operation(&reader), WASM_OP_I64_CONST);
	CHECK_INT(wasm_read_immediates(&reader, WASM_OP_I64_CONST, &imm), 0);
	CHECK(imm.value == UINT64_MAX);
	CHECK_INT(wasm_read_operation(&reader), WASM_OP_BR_ON_CAST);
	CHECK_INT(wasm_read_immediates(&reader, WASM_OP_BR_ON_CAST, &imm), 0);
	CHECK_INT(imm.index[0], 1);
	CHECK_INT(imm.types[0], WASM_ANYREF);
	CHECK_INT(imm.types[1], WASM_REF | WASM_NULLABLE | 5);
	CHECK_INT(wasm_read_operation(&reader), WASM_OP_TRY_TABLE);
	CHECK_INT(wasm_read_immediates(&reader, WASM_OP_TRY_TABLE, &imm), 0);
	CHECK(imm.types[0] == WASM_I32 && imm.block_type == WASM_NO_TYPE);
	CHECK(imm.count == 2 && imm.bytes == code + sizeof code - 5);
	CHECK(!wasm_reader_left(&reader) && !reader.failed);
	CHECK_INT(wasm_read_byte(&reader), 0);
	CHECK(reader.failed);
}

TEST(numbers_are_read_to_the_letter)
{
	static const struct {
		const char *bytes;
		unsigned bits;
		bool is_signed;
		int64_t value; /* of those that are right */
		const char *text;
	} cases[] = {
		{ "\xff\xff\xff\xff\x0f", 32, false, 0xffffffff, "" },
		{ "\xff\xff\xff\xff\x1f", 32, false, 0, "integer too large" },
		{ "\x80\x80\x80\x80\x80\x01", 32, false, 0,
		  "integer representation too long" },
		{ "\x80\x80\x80\x80\x78", 32, true, INT32_MIN, "" },
		{ "\x80\x80\x80\x80\x70", 32, true, 0, "integer too large" },
		{ "\xff\xff\xff\xff\x07", 32, true, INT32_MAX, "" },
		{ "\xff\xff\xff\xff\x0f", 32, true, 0, "integer too large" },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 64, false, -1,
		  "" },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 64, true, -1,
		  "" },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 64, false, 0,
		  "integer too large" },
		{ "\xff\xff\xff\xff\x0f", 33, true, 0xffffffff, "" },
		{ "\x80\x80\x80\x80\x70", 33, true, -4294967296, "" },
		{ "\xff\xff\x7f", 64, true, -1, "" },
		{ "\x80\x80", 32, false, 0,
		  "unexpected end of section or function" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wasm_error one = { .text = "" };
		struct wasm_reader reader =
			wasm_reader_of((const uint8_t *)cases[i].bytes,
				       strlen(cases[i].bytes));

		reader.error = &one;
		CHECK_INT((int64_t)wasm_reader_leb(&reader, cases[i].bits,
						   cases[i].is_signed),
			  cases[i].value);
		CHECK_TEXT(one.text + one.reason, cases[i].text);
	}
}

/* A module with something of all, that makes each of the loader's and the
 * validator's stores grow. */
static struct bytes everything(void)
{
	struct bytes bytes = bytes_module(), code = { 0 }, body = { 0 };

	SECTION(&bytes, 1, 5, 0x60, 0, 0, 0x60, 1, 0x7f, 0, 0x4e, 2, 0x50, 0,
		0x5f, 1, 0x63, 3, 1, 0x50, 1, 2, 0x5f, 2, 0x63, 3, 1, 0x78, 0,
		0x5e, 0x63, 2, 1, 0x60, 1, 0x7f, 2, 0x7f, 0x7f);
	SECTION(&bytes, 2, 3, 1, 'm', 1, 'f', 0, 0, 1, 'm', 1, 'g', 3, 0x7f, 0,
		1, 'm', 1, 't', 4, 0, 1);
	SECTION(&bytes, 3, 2, 0, 0);
	SECTION(&bytes, 4, 2, 0x70, 0, 4, 0x40, 0, 0x70, 0, 1, 0xd2, 0, 0x0b);
	SECTION(&bytes, 5, 2, 0, 1, 4, 1);
	SECTION(&bytes, 13, 1, 0, 1);
	SECTION(&bytes, 6, 2, 0x7f, 1, 0x41, 0, 0x0b, 0x63, 2, 0, 0xfb, 1, 2,
		0x0b);
	SECTION(&bytes, 7, 2, 1, 'a', 0, 1, 1, 'b', 2, 0);
	SECTION(&bytes, 8, 1);
	SECTION(&bytes, 9, 2, 0, 0x41, 0, 0x0b, 2, 0, 1, 5, 0x70, 1, 0xd0, 0x70,
		0x0b);
	SECTION(&bytes, 12, 1);
	PUT(&body, 1, 100, 0x7f);
	put_times(&body, 100, "\x02\x40", 2);
	put_times(&body, 2000, "\x41\x00", 2);
	put_times(&body, 2000, "\x1a", 1);
	put_times(&body, 101, "\x0b", 1);
	PUT(&code, 2);
	put_sized(&code, &body);
	PUT(&body, 0, 0x0b);
	put_sized(&code, &body);
	put_section(&bytes, 10, &code);
	SECTION(&bytes, 11, 1, 0, 0x41, 0, 0x0b, 2, 'h', 'i');
	put_name_section(&bytes, "imported");
	return bytes;
}

TEST(all_that_a_module_has)
{
	CHECK_INT(load(everything()), 0);
	CHECK_INT(module->type_count, 6);
	CHECK_INT(module->function_count, 3);
	CHECK_INT(module->imported_functions, 1);
	CHECK_INT(module->table_count, 2);
	CHECK_INT(module->tables[1].init.len, 3);
	CHECK_INT(module->memory_count, 2);
	CHECK(module->memories[1].limits.is64);
	CHECK_INT(module->global_count, 3);
	CHECK_INT(module->imported_globals, 1);
	CHECK_INT(module->tag_count, 2);
	CHECK_INT(module->import_count, 3);
	CHECK_INT(module->imports[1].kind, WASM_EXTERN_GLOBAL);
	CHECK_INT(module->imports[2].index, 0);
	CHECK_INT(module->start, 1);
	CHECK_INT(module->elem_count, 2);
	CHECK(module->elems[1].is_expressions);
	CHECK_INT(module->elems[0].count, 2);
	CHECK_INT(module->data_count, 1);
	CHECK_INT(module->datas[0].len, 2);
	CHECK(module->functions[0].is_declared);
	CHECK(module->functions[1].is_declared);
	CHECK(!module->functions[2].is_declared);
	CHECK_INT(module->functions[2].body_len, 2);
	CHECK_INT(module->type[3]->fields[1].offset, 8);
	CHECK_INT(module->type[3]->super, module->type[2]->id);
	unload();
}

/* Each request for memory fails once: an error, and nothing stays. */
TEST(memory_may_be_short_at_any_time)
{
	struct bytes bytes = everything();
	int result = -1;
	int64_t n = 0;

	while (result < 0 && ++n < 1000) {
		test_host_init(&host);
		types = wasm_types_new(&host.hooks);
		host.fail_at = n;
		result = wasm_module_load(&module, &host.hooks, types, bytes.at,
					  bytes.len, NULL, &error);
		host.fail_at = 0;
		if (result < 0)
			CHECK_TEXT(error.text + error.reason, "out of memory");
		wasm_module_free(module);
		wasm_types_free(types);
		CHECK_INT(host.blocks, 0);
	}
	CHECK(n > 15 && n < 1000);
	free(bytes.at);
}

/* Cut at each place: never more than refused. */
TEST(a_module_may_be_cut_anywhere)
{
	struct bytes whole = everything();

	for (size_t len = 0; len < whole.len; len++) {
		struct bytes bytes = { 0 };

		if (len > 500 && len < whole.len - 500)
			continue;
		put(&bytes, whole.at, len);
		if (load(bytes) < 0)
			CHECK(error.text[0]);
		unload();
	}
	free(whole.at);
}

TEST_MAIN
