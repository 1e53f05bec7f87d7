/* SPDX-License-Identifier: Apache-2.0 */
/* The text format: bytes of what is small enough to be told here, words of
 * errors, scripts, and texts that are printed from bytes.  The standard's
 * suite is for the runner of scripts. */
#include "base/buf.h"
#include "test.h"
#include "wasm_host.h"
#include "wat/script.h"
#include "wat/wat.h"
#include <errno.h>
#include <math.h>
#include <stdint.h>

/* Memory that fails at the n-th call.  Where the sanitizers have the
 * allocator it cannot be had. */
#if defined(__has_feature) && !defined(__SANITIZE_ADDRESS__)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
enum { CAN_FAIL = 0 };
static long fail_at, blocks;
#else
enum { CAN_FAIL = 1 };
static long fail_at, blocks; /* 0: none fails; blocks that are taken */

void *__libc_malloc(size_t len);
void *__libc_calloc(size_t count, size_t len);
void *__libc_realloc(void *block, size_t len);
void __libc_free(void *block);
void *malloc(size_t len);
void *calloc(size_t count, size_t len);
void *realloc(void *block, size_t len);
void free(void *block);

static int is_failing(void)
{
	if (fail_at && --fail_at == 0) {
		fail_at = 1; /* and all that follow */
		errno = ENOMEM;
		return 1;
	}
	return 0;
}

static void *taken(void *block)
{
	blocks += block != NULL;
	return block;
}

void *malloc(size_t len)
{
	return is_failing() ? NULL : taken(__libc_malloc(len));
}

void *calloc(size_t count, size_t len)
{
	return is_failing() ? NULL : taken(__libc_calloc(count, len));
}

void *realloc(void *block, size_t len)
{
	if (is_failing())
		return NULL;
	if (!block)
		return taken(__libc_malloc(len));
	return __libc_realloc(block, len);
}

void free(void *block)
{
	blocks -= block != NULL;
	__libc_free(block);
}
#endif

static char shown[4096];

/* The module's bytes behind its version, in hexadecimal, or the error. */
static const char *bytes_of(const char *text)
{
	struct buf binary = { 0 };
	struct err err = { 0 };
	size_t len = 0;

	if (wat_to_binary("t", text, strlen(text), &binary, &err) < 0) {
		snprintf(shown, sizeof shown, "%s", err.text);
	} else {
		shown[0] = 0;
		for (size_t i = 8; i < binary.len && len < 4000; i++)
			len += sprintf(shown + len, "%02x",
				       (unsigned char)binary.data[i]);
	}
	buf_fini(&binary);
	return shown;
}

/* The code of "(func TEXT)", its locals and end included; it is short. */
static const char *code_of(const char *text)
{
	struct buf module = { 0 };
	char *found;
	unsigned len;

	buf_format(&module, "(func %s)", text);
	bytes_of(module.data);
	buf_fini(&module);
	if (strncmp(shown, "t:", 2) == 0)
		return shown;
	found = strstr(shown, "0302010"); /* the section of functions */
	found = found ? strstr(found + 8, "0a") : NULL;
	if (!found || sscanf(found + 6, "%2x", &len) != 1)
		return shown;
	found[8 + 2 * len] = 0;
	return found + 8;
}

static const char *error_of(const char *text)
{
	const char *words = bytes_of(text), *found = strstr(words, ": ");

	return strncmp(words, "t:", 2) == 0 && found ? found + 2 : words;
}

static void check_same(const char *file, int line, const char *a, const char *b)
{
	char *first = strdup(bytes_of(a));

	test_text(file, line, a, first, bytes_of(b));
	free(first);
}
#define CHECK_SAME(a, b) check_same(__FILE__, __LINE__, a, b)

TEST(modules)
{
	CHECK_TEXT(bytes_of(""), "");
	CHECK_TEXT(bytes_of("(module)"), "");
	CHECK_TEXT(bytes_of(" ;; a\n(; b (; c ;) ;) (module (; d ;))"), "");
	CHECK_TEXT(
		bytes_of("(module binary \"\\00asm\" \"\\01\\00\\00\\00x\")"),
		"78");
	CHECK_TEXT(bytes_of("(module quote \"(func\" \")\")"),
		   "01040160000003020100"
		   "0a040102000b");
	CHECK_TEXT(bytes_of("(func)"), "010401600000030201000a040102000b");
	CHECK_TEXT(bytes_of("(module) (module)"),
		   "t:1:11: unexpected token module");
	CHECK_TEXT(bytes_of("(module quote \"(module quote)\")"),
		   "t:1:quote:1:9: unexpected token quote");
	CHECK_TEXT(bytes_of("(module\n\t(\xc3\xa4"),
		   "t:2:3: illegal character");
	CHECK_TEXT(bytes_of("(func\n  (nop)\n  (bogus))"),
		   "t:3:4: unknown operator bogus");
}

TEST(instructions)
{
	CHECK_TEXT(code_of("nop"), "00010b");
	CHECK_TEXT(code_of("i32.const -1 drop"), "00417f1a0b");
	CHECK_TEXT(code_of("i64.const 0x8000000000000000"),
		   "00428080808080808080807f0b");
	CHECK_TEXT(code_of("i32.load"), "002802000b");
	CHECK_TEXT(code_of("i32.load8_u 2 offset=300 align=1"),
		   "002d4002ac020b");
	CHECK_TEXT(code_of("v128.load8_lane 3"), "00fd540000030b");
	CHECK_TEXT(code_of("v128.load8_lane 1 3"), "00fd54400100030b");
	CHECK_TEXT(code_of("v128.load64_lane 1 offset=2 0"),
		   "00fd57430102000b");
	CHECK_TEXT(code_of("memory.copy"), "00fc0a00000b");
	CHECK_TEXT(code_of("memory.copy 1 2"), "00fc0a01020b");
	CHECK_TEXT(code_of("table.init 3"), "00fc0c03000b");
	CHECK_TEXT(code_of("table.init 1 3"), "00fc0c03010b");
	CHECK_TEXT(code_of("table.get 5 table.get"), "00250525000b");
	CHECK_TEXT(code_of("select select (result i32 i64)"), "001b1c027f7e0b");
	CHECK_TEXT(code_of("br_table 1 2 3"), "000e020102030b");
	CHECK_TEXT(code_of("ref.test i31ref ref.test (ref i31) ref.null 7"),
		   "00fb156cfb146cd0070b");
	CHECK_TEXT(code_of("br_on_cast 1 anyref (ref 3)"), "00fb1801016e030b");
	CHECK_TEXT(code_of("atomic.fence i32.atomic.rmw.add offset=1"),
		   "00fe0300fe1e02010b");
	CHECK_TEXT(code_of("i64.mul_wide_u"), "00fc160b");
	CHECK_TEXT(code_of("array.new_fixed 1 200 struct.get_u 2 3"),
		   "00fb0801c801fb0402030b");
	CHECK_TEXT(code_of("call_indirect (type 0)"), "001100000b");
	CHECK_TEXT(code_of("call_indirect 4 (type 0)"), "001100040b");
}

TEST(vectors)
{
	CHECK_TEXT(code_of("v128.const i16x8 1 -1 0xffff 4 5 6 7 -32768"),
		   "00fd0c0100ffffffff0400050006000700"
		   "00800b");
	CHECK_TEXT(code_of("v128.const f64x2 -1 nan:0x1"),
		   "00fd0c000000000000f0bf010000000000f07f0b");
	CHECK_TEXT(code_of("i8x16.extract_lane_s 255"), "00fd15ff0b");
	CHECK_TEXT(error_of("(func v128.const i32x4 1 2 3)"),
		   "wrong number of lane literals");
	CHECK_TEXT(error_of("(func v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 "
			    "13 14 15 256)"),
		   "i8 constant out of range");
	CHECK_TEXT(error_of("(func i8x16.shuffle 0)"), "invalid lane length");
	CHECK_TEXT(error_of("(func i8x16.extract_lane_s 256)"),
		   "i8 constant out of range");
}

TEST(blocks)
{
	CHECK_TEXT(code_of("block end loop (result i32) end"),
		   "0002400b037f0b0b");
	CHECK_TEXT(code_of("block $a block $b br $a br $b end end $a"),
		   "00024002400c010c000b0b0b");
	CHECK_TEXT(code_of("block $a block $a br $a end br $a end"),
		   "00024002400c000b0c000b0b");
	CHECK_TEXT(code_of("if else end if nop else nop end"),
		   "0004400b04400105010b0b");
	CHECK_TEXT(code_of("try_table $x (catch_all 0) br $x end"),
		   "001f4001020"
		   "00c000b0b");
	CHECK_SAME("(func (if (i32.const 1) (then nop) (else br 0)))",
		   "(func i32.const 1 if nop else br 0 end)");
	CHECK_SAME("(func (if $a (i32.eqz (i32.const 1)) (then br $a)))",
		   "(func i32.const 1 i32.eqz if $a br $a end)");
	CHECK_SAME("(func (drop (i32.add (i32.const 1) (i32.const 2))))",
		   "(func i32.const 1 i32.const 2 i32.add drop)");
	CHECK_SAME("(func (block $a (loop (br_if $a (i32.const 1)))))",
		   "(func block $a loop i32.const 1 br_if $a end end)");
	CHECK_TEXT(error_of("(func block $a end $b)"), "mismatching label $b");
	CHECK_TEXT(error_of("(func block end (br $a))"), "unknown label $a");
	CHECK_TEXT(error_of("(func block)"), "unexpected token )");
	CHECK_TEXT(error_of("(func end)"), "unexpected token end");
	CHECK_TEXT(error_of("(func (if (then) (i32.const 1)))"),
		   "unexpected token i32.const");
	CHECK_TEXT(error_of("(func (if (i32.const 1)))"), "unexpected token )");
	CHECK_TEXT(error_of("(func (i32.eqz i32.const 1))"),
		   "unexpected token i32.const");
	CHECK_TEXT(error_of("(func try_table $x (catch_all $x) end)"),
		   "unknown label $x");
}

TEST(types)
{
	/* A type that is there is used, the first of its kind; others come
	 * behind all that are named. */
	CHECK_TEXT(bytes_of("(func (param i64)) (type (func)) (func)"
			    "(type (func (param i64)))"),
		   "0108026000006001"
		   "7e00"
		   "030302010"
		   "00a070202000b02000b");
	CHECK_TEXT(bytes_of("(type (sub final (func))) (rec (type (func)))"
			    "(rec) (type (sub (struct (field i8 (mut f32)))))"
			    "(type (sub final 2 (array (mut (ref null 0)))))"),
		   "01180560000060"
		   "00004e0050005f0278007d014f01025e"
		   "630001");
	CHECK_SAME("(rec (type $a (struct (field $x (ref $b))))"
		   "(type $b (array anyref))) (func struct.get $a $x)",
		   "(rec (type $a (struct (field $x (ref 1))))"
		   "(type $b (array (ref null any)))) (func struct.get 0 0)");
	CHECK_TEXT(error_of("(type $t (func)) (func (type $t) (param i32))"),
		   "inline function type");
	CHECK_TEXT(error_of("(type $t (struct)) (func (type $t) (result i32))"),
		   "inline function type");
	CHECK_TEXT(error_of("(func (type 9) (result i32))"), "unknown type 9");
	CHECK_TEXT(error_of("(func (type $t))"), "unknown type $t");
	CHECK_TEXT(error_of("(func (result i32) (param i32))"),
		   "unexpected token param");
	CHECK_TEXT(error_of("(type (struct (field $a i32) (field $a i32)))"),
		   "duplicate field $a");
	CHECK_TEXT(error_of("(type $t (func)) (type $t (func))"),
		   "duplicate type $t");
	CHECK_TEXT(error_of("(type (descriptor 0 (struct)))"),
		   "descriptor: the proposal custom-descriptors is not "
		   "supported");
}

/* Type 1 comes by behind its first use, and has a parameter then. */
TEST(types_used_before_their_time)
{
	CHECK(strstr(bytes_of("(func (type 1) (local $x i32) local.get $x drop)"
			      "(func (param i32)) (type (func))"),
		     "01017f20011a0b") != NULL);
}

TEST(definitions)
{
	CHECK_TEXT(bytes_of("(memory 1) (memory i64 2 3) (memory 1 2 shared)"
			    "(memory 3 (pagesize 1))"),
		   "050c04000105020303"
		   "0102"
		   "080300");
	CHECK_TEXT(bytes_of("(memory (pagesize 65536) (data \"abc\" \"d\"))"),
		   "0504010101010b0a01"
		   "0041000b0461626364");
	CHECK_TEXT(bytes_of("(table 1 funcref) (table i64 1 2 externref)"),
		   "0408027000016f050102");
	CHECK_TEXT(bytes_of("(table 1 (ref func) (ref.func 0))"),
		   "040a01400064700001d2000b");
	CHECK_TEXT(bytes_of("(table 1 funcref (ref.null func))"),
		   "040401700001");
	CHECK_TEXT(bytes_of("(table funcref (elem 0 0))"),
		   "04050170010202090c010441000b02d2000bd2000b");
	CHECK_TEXT(bytes_of("(global (export \"a\") (import \"b\" \"c\") i64)"
			    "(global (mut i32) i32.const 1)"),
		   "0208010162016303"
		   "7e000606017f0141010b0705010161030"
		   "0");
	CHECK_TEXT(bytes_of("(tag (param i32)) (tag (import \"\" \"\"))"),
		   "t:1:19: import after tag");
	CHECK_TEXT(bytes_of("(func $f) (start $f) (export \"x\" (func $f))"),
		   "01040160000003020100070501017800000801000a040102000b"
		   "000b046e616d6501040100016"
		   "6");
	CHECK_TEXT(error_of("(start 0) (start 1)"), "multiple start sections");
	CHECK_TEXT(error_of("(func $f) (import \"\" \"\" (func))"),
		   "import after function");
	CHECK_TEXT(error_of("(func $f) (func $f)"), "duplicate func $f");
	CHECK_TEXT(error_of("(memory 0 (pagesize 3))"),
		   "invalid custom page size");
	CHECK_TEXT(error_of("(memory 0x1_0000_0000_0000_0000)"),
		   "i64 constant out of range");
	CHECK_TEXT(error_of("(export \"\\ff\" (func 0))"),
		   "malformed UTF-8 encoding");
}

TEST(segments)
{
	CHECK_TEXT(bytes_of("(elem 0 1)"), "t:1:7: unexpected token 0");
	CHECK_TEXT(bytes_of("(elem (i32.const 0) 0 1)"),
		   "0908010041000b020001");
	CHECK_TEXT(bytes_of("(elem func 0)"), "0905010100"
					      "0100");
	CHECK_TEXT(bytes_of("(elem (table 2) (offset i32.const 0) func 0)"),
		   "090901020241000b000100");
	CHECK_SAME("(elem (table 1) (i32.const 0) func 2)",
		   "(elem 1 (i32.const 0) 2)");
	CHECK_SAME("(data (memory 1) (i32.const 0))", "(data 1 (i32.const 0))");
	CHECK_TEXT(error_of("(elem (table 0) (i32.const 0) 0)"),
		   "unexpected token 0");
	CHECK_TEXT(bytes_of("(elem declare func 0)"), "09050103000100");
	CHECK_TEXT(bytes_of("(elem (i32.const 0) funcref (ref.func 0))"),
		   "0909010441000b01d2000b");
	CHECK_TEXT(bytes_of("(elem externref (item ref.null extern))"),
		   "09070105"
		   "6f01d06f0b");
	CHECK_TEXT(bytes_of("(elem (i32.const 0) externref)"),
		   "090801060041000b6f00");
	CHECK_TEXT(bytes_of("(elem (ref func) (ref.func 300))"), "0906010100"
								 "01ac02");
	CHECK_TEXT(bytes_of("(data \"a\") (data (i32.const 1) \"\")"
			    "(data (memory 1) (i32.const 1) \"b\")"),
		   "0b1003010161"
		   "0041010b0002"
		   "0141010b0162");
	/* Their number is told where code uses them by number. */
	CHECK_TEXT(bytes_of("(func data.drop 0) (data)"),
		   "010401600000030201000c01010a070105"
		   "00fc09000b0b03010100");
}

TEST(integers)
{
	CHECK_TEXT(code_of("i32.const 0xffff_ffff"), "00417f0b");
	CHECK_TEXT(code_of("i32.const -0x8000_0000"), "0041808080"
						      "80780b");
	CHECK_TEXT(code_of("i32.const +1_0"), "00410a0b");
	CHECK_TEXT(error_of("(func i32.const 4294967296)"),
		   "i32 constant out of range");
	CHECK_TEXT(error_of("(func i32.const -2147483649)"),
		   "i32 constant out of range");
	CHECK_TEXT(error_of("(func i64.const 0x1_0000_0000_0000_0000)"),
		   "i64 constant out of range");
	CHECK_TEXT(error_of("(func i32.const 1__0)"), "unknown operator 1__0");
	CHECK_TEXT(error_of("(func i32.const 0x)"), "unknown operator 0x");
	CHECK_TEXT(error_of("(func i32.const _1)"), "unknown operator _1");
	CHECK_TEXT(error_of("(func i32.const 1.5)"), "unexpected token 1.5");
	CHECK_TEXT(error_of("(func i32.const0)"),
		   "unknown operator i32.const0");
	CHECK_TEXT(error_of("(func i32.load align=3)"),
		   "alignment must be a power of two");
	CHECK_TEXT(error_of("(func i32.load align=1 offset=1)"),
		   "unexpected token offset=1");
	CHECK_TEXT(error_of("(func i32.load offset=18446744073709551616)"),
		   "offset out of range");
}

static const char *f32_of(const char *number)
{
	static char text[1200];

	snprintf(text, sizeof text, "f32.const %s", number);
	return code_of(text);
}

static const char *f64_of(const char *number)
{
	static char text[1200];

	snprintf(text, sizeof text, "f64.const %s", number);
	return code_of(text);
}

TEST(floats)
{
	CHECK_TEXT(f32_of("1"), "00430000803f0b");
	CHECK_TEXT(f32_of("-0"), "0043000000800b");
	CHECK_TEXT(f32_of("-0x0p-1"), "0043000000800b");
	/* Rounded once: by way of f64 these would go to the other side. */
	CHECK_TEXT(f32_of("1.000000178813934326171874999999999999999"),
		   "00430100803f0b");
	CHECK_TEXT(f32_of("1.000000178813934326171875000000000000001"),
		   "00430200803f0b");
	CHECK_TEXT(f32_of("0x1.000001000000000000000000000000000001p0"),
		   "00430100803f0b");
	CHECK_TEXT(f32_of("0x1.000001p0"), "00430000803f0b");
	CHECK_TEXT(f32_of("0x1.000003p0"), "00430200803f0b");
	CHECK_TEXT(f32_of("0x1p-149"), "0043010000000b");
	CHECK_TEXT(f32_of("0x1p-150"), "0043000000000b");
	CHECK_TEXT(f32_of("0x1.00001p-150"), "0043010000000b");
	CHECK_TEXT(f32_of("340282356779733661637539395458142568447"),
		   "0043ffff7f7f0b");
	CHECK_TEXT(f32_of("3_4.0_2e-0_1"), "00435eba59400b");
	CHECK_TEXT(f32_of("1."), "00430000803f0b");
	CHECK_TEXT(f32_of("0xA.Fp+1"), "00430000af410b");
	CHECK_TEXT(f32_of("inf"), "00430000807f0b");
	CHECK_TEXT(f32_of("-nan"), "00430000c0ff0b");
	CHECK_TEXT(f32_of("+nan:0x2_0"), "00432000807f0b");
	CHECK_TEXT(f64_of("0.1"), "00449a9999999999b93f0b");
	CHECK_TEXT(f64_of("4.9e-324"), "0044010000000000"
				       "00000b");
	CHECK_TEXT(f64_of("9007199254740993"), "00440000000000004043"
					       "0b");
	CHECK_TEXT(f64_of("0x1.00000000000008p0"), "0044000000000000f03f0b");
	CHECK_TEXT(f64_of("0x1.000000000000081p0"), "0044010000000000f03f0b");
	CHECK_TEXT(f64_of("nan:0xfffffffffffff"), "0044ffffffffffffff7f0b");
	CHECK_TEXT(error_of("(func f32.const 0x1p128)"),
		   "f32 constant out of range");
	CHECK_TEXT(error_of("(func f32.const "
			    "340282356779733661637539395458142568448)"),
		   "f32 constant out of range");
	CHECK_TEXT(error_of("(func f64.const 1e309)"),
		   "f64 constant out of range");
	CHECK_TEXT(error_of("(func f32.const nan:0x0)"),
		   "f32 constant out of range");
	CHECK_TEXT(error_of("(func f32.const nan:0x80_0000)"),
		   "f32 constant out of range");
	CHECK_TEXT(error_of("(func f32.const .5)"), "unknown operator .5");
	CHECK_TEXT(error_of("(func f32.const 1e)"), "unknown operator 1e");
	CHECK_TEXT(error_of("(func f32.const 0x1p0x1)"),
		   "unknown operator 0x1p0x1");
}

/* More digits than any buffer has. */
TEST(floats_of_many_digits)
{
	char number[1100] = "0.";

	memset(number + 2, '0', 1000);
	strcpy(number + 1002, "1e1001");
	CHECK_TEXT(f64_of(number), "0044000000000000f03f0b");
	memset(number, '9', 1000);
	strcpy(number + 1000, "e-1000");
	CHECK_TEXT(f32_of(number), "00430000803f0b");
}

TEST(strings)
{
	CHECK_TEXT(
		bytes_of("(data \"\\t\\n\\r\\\"\\'\\\\\\00\\fF\\u{20_AC}\")"),
		"0b0e01010b090a0d22275c00ffe282ac");
	CHECK_TEXT(bytes_of("(data \"\\u{10ffff}\" \"\xe2\x82\xac\")"),
		   "0b0a010107f48fbfbfe282ac");
	CHECK_TEXT(error_of("(data \"\\x\")"), "illegal escape");
	CHECK_TEXT(error_of("(data \"\\u{110000}\")"), "illegal escape");
	CHECK_TEXT(error_of("(data \"\\u{d800}\")"), "illegal escape");
	CHECK_TEXT(error_of("(data \"\\u{}\")"), "illegal escape");
	CHECK_TEXT(error_of("(data \"\\0\")"), "illegal escape");
	CHECK_TEXT(error_of("(data \"a\nb\")"), "unclosed string");
	CHECK_TEXT(error_of("(data \"a"), "unclosed string");
	CHECK_TEXT(error_of("(data \"\x01\")"),
		   "illegal character in a string");
	CHECK_TEXT(error_of("(data \"\xff\")"), "malformed UTF-8 encoding");
	CHECK_TEXT(error_of("(data \"\xed\xa0\x80\")"),
		   "malformed UTF-8 encoding");
	CHECK_TEXT(error_of("(data \"a\"\"b\")"),
		   "unknown operator \"a\"\"b\"");
	CHECK_TEXT(error_of("(data\"a\")"), "unknown operator data\"a\"");
}

TEST(identifiers)
{
	CHECK_SAME("(func $f) (func (call $f))", "(func $f) (func (call 0))");
	CHECK_SAME("(func $\"a b\\41\") (func (call $\"a bA\"))",
		   "(func $\"a bA\") (func (call 0))");
	CHECK_SAME("(func $\"f\") (func call $f)", "(func $f) (func call 0)");
	CHECK_TEXT(error_of("(func $)"), "empty identifier");
	CHECK_TEXT(error_of("(func $\"\")"), "empty identifier");
	CHECK_TEXT(error_of("(func $\"\\ff\")"), "malformed UTF-8 encoding");
	CHECK_TEXT(error_of("(func call $\"a\\n\")"), "unknown func $\"a\\n\"");
	CHECK_TEXT(error_of("(func (param $x i32) (local $x i32))"),
		   "duplicate local $x");
	CHECK_TEXT(error_of("(func (local $x i32)) (func local.get $x)"),
		   "unknown local $x");
	CHECK_TEXT(error_of("(func (local $x i32)) (global i32 local.get $x)"),
		   "unknown local $x");
}

TEST(annotations)
{
	CHECK_TEXT(
		bytes_of("(@a b (c \")\" ) ;; )\n (; ) ;) , ; [ ]) (module)"),
		"");
	CHECK_TEXT(bytes_of("((@a)module(@\"b\" 0x $ x\"y\"z))"), "");
	CHECK_TEXT(error_of("(@)"), "empty annotation id");
	CHECK_TEXT(error_of("(@a (b)"), "unclosed annotation");
	CHECK_TEXT(error_of("( @a)"), "unknown operator @a");
	CHECK_TEXT(bytes_of("(@custom \"c\" (before func) \"1\" \"2\")"
			    "(@custom \"d\") (func)"),
		   "010401600000"
		   "000401633132"
		   "03020100"
		   "0a040102000b"
		   "00020164");
	CHECK_TEXT(bytes_of("(module (@name \"m\") (func $f (@name \"g\") "
			    "(param $p (@name \"q\") i32)))"),
		   "0105016001"
		   "7f00030201000a040102000b"
		   "0017046e616d65"
		   "0002016d"
		   "010401000167"
		   "0206010001000171");
	CHECK_TEXT(error_of("(@custom)"),
		   "@custom annotation: missing section name");
	CHECK_TEXT(error_of("(@custom \"a\" (before types))"),
		   "@custom annotation: malformed section kind");
	CHECK_TEXT(error_of("(func (@custom \"a\"))"),
		   "misplaced @custom annotation");
	CHECK_TEXT(error_of("(func (@name \"a\") (@name \"b\"))"),
		   "misplaced @name annotation");
}

TEST(branch_hints)
{
	static const char name[] = "00"
				   "20" /* custom, its length */
				   "19"
				   "6d657461646174612e636f64652e"
				   "6272616e63685f68696e74";
	const char *text = "(func i32.const 1 (@metadata.code.branch_hint "
			   "\"\\01\") if end)";

	CHECK(strstr(bytes_of(text), name) != NULL);
	CHECK(strstr(bytes_of(text), "01"
				     "00"
				     "01"
				     "03"
				     "01"
				     "01"
				     "0a") != NULL);
	CHECK_SAME(text, "(func (@metadata.code.branch_hint \"\\01\") (if "
			 "(i32.const 1) (then)))");
	CHECK_TEXT(error_of("(func (@metadata.code.branch_hint \"\\01\") nop)"),
		   "@metadata.code.branch_hint annotation: invalid target");
	CHECK_TEXT(error_of("(@metadata.code.branch_hint \"\\01\") (func)"),
		   "@metadata.code.branch_hint annotation: not in a function");
	CHECK_TEXT(
		error_of("(func (@metadata.code.branch_hint \"\\02\") if end)"),
		"@metadata.code.branch_hint annotation: malformed hint");
}

/* "count" times first, then middle, then "count" times last. */
static char *nest(const char *begin, const char *first, size_t count,
		  const char *middle, const char *last, const char *end)
{
	struct buf text = { 0 };

	buf_text(&text, begin);
	for (size_t i = 0; i < count; i++)
		buf_text(&text, first);
	buf_text(&text, middle);
	for (size_t i = 0; i < count; i++)
		buf_text(&text, last);
	buf_text(&text, end);
	return buf_steal(&text);
}

static size_t nested_len(char *text)
{
	struct buf binary = { 0 };
	struct err err = { 0 };
	int r = wat_to_binary("t", text, strlen(text), &binary, &err);
	size_t len = r < 0 ? 0 : binary.len;

	if (r < 0)
		printf("# %s\n", err.text);
	buf_fini(&binary);
	free(text);
	return len;
}

TEST(depth)
{
	enum { DEEP = 200000 };

	CHECK(nested_len(nest("(func", "(i32.eqz ", DEEP, "(i32.const 1)", ")",
			      " drop)")) > DEEP);
	CHECK(nested_len(nest("(func", "(block ", DEEP, "", ")", ")")) >
	      3 * DEEP);
	CHECK(nested_len(nest("(func", " (if (i32.const 1) (then", DEEP, "",
			      "))", ")")) > 5 * DEEP);
	CHECK_INT(nested_len(nest("", "(;", DEEP, "", ";)", "")), 8);
	CHECK_INT(nested_len(nest("(@a ", "(", DEEP, "", ")", ")")), 8);
	CHECK_INT(nested_len(nest("", "(", DEEP, "", "", "")), 0);
}

/* Scripts */

static struct wat_script *script;
static struct wat_command *command;
static struct err script_err;

static void script_begin(const char *text)
{
	CHECK_INT(wat_script_open(&script, "s", text, strlen(text),
				  &script_err),
		  0);
}

static int step(void)
{
	script_err = (struct err){ 0 };
	return wat_script_next(script, &command, &script_err);
}

static void script_end(void)
{
	CHECK_INT(step(), 0);
	CHECK_INT(step(), 0);
	wat_script_close(script);
}

TEST(script_modules)
{
	script_begin("(module $m)\n(module definition $d (func))"
		     "(module instance $i $d)\n\n(module instance)"
		     "(register \"x\\00y\" $i)"
		     "(assert_malformed (module quote \"(fnc)\") \"why\")"
		     "(module (func) (oh))"
		     "(assert_unlinkable (module instance $a $b) \"no\")"
		     "(assert_trap (module) \"t\")"
		     "(module binary \"abc\")");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_MODULE);
	CHECK_TEXT(command->name, "$m");
	CHECK(command->is_text && command->binary.len > 8);
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_MODULE_DEFINITION);
	CHECK_INT(command->line, 2);
	CHECK_TEXT(command->name, "$d");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_MODULE_INSTANCE);
	CHECK_TEXT(command->name, "$i");
	CHECK_TEXT(command->definition, "$d");
	CHECK_INT(step(), 1);
	CHECK_INT(command->line, 4);
	CHECK(!command->name && !command->definition);
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_REGISTER);
	CHECK_INT(command->as_len, 3);
	CHECK(memcmp(command->as, "x\0y", 3) == 0);
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_ASSERT_MALFORMED);
	CHECK_INT(command->malformed.code, -EINVAL);
	CHECK_TEXT(command->malformed.text,
		   "s:4:quote:1:2: unknown operator fnc");
	CHECK_TEXT(command->message, "why");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_MODULE);
	CHECK_TEXT(command->malformed.text, "s:4:102: unknown operator oh");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_ASSERT_UNLINKABLE);
	CHECK(command->is_instance);
	CHECK_TEXT(command->definition, "$b");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_ASSERT_TRAP_MODULE);
	CHECK_INT(step(), 1);
	CHECK(!command->is_text);
	CHECK_TEXT(command->binary.data, "abc");
	script_end();
}

TEST(script_actions)
{
	const struct wat_value *v;

	script_begin("(invoke $i \"f\" (i32.const -1) (i64.const 2) "
		     "(f32.const -1.5) (f64.const nan:0x4) (ref.null extern) "
		     "(ref.extern 7) (ref.host 8) "
		     "(v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))"
		     "(get \"g\")");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_ACTION);
	CHECK_TEXT(command->action.instance, "$i");
	CHECK_TEXT(command->action.name, "f");
	CHECK_INT(command->action.argument_count, 8);
	v = command->action.arguments;
	CHECK(v[0].type == WASM_I32 && v[0].value.i64 == 0xffffffff);
	CHECK(v[1].type == WASM_I64 && v[1].value.i64 == 2);
	CHECK(v[2].type == WASM_F32 && v[2].value.f32 == -1.5f);
	CHECK(v[3].type == WASM_F64 && v[3].value.i64 == 0x7ff0000000000004);
	CHECK(v[4].ref == WAT_REF_NULL && v[4].type == WASM_EXTERNREF);
	CHECK(v[5].ref == WAT_REF_EXTERN && v[5].value.i64 == 7);
	CHECK(v[6].ref == WAT_REF_HOST && v[6].value.i64 == 8);
	CHECK(v[7].type == WASM_V128 && v[7].lanes == 16 &&
	      v[7].value.v128[15] == 15 && !v[7].lane_float);
	CHECK_INT(step(), 1);
	CHECK(command->action.is_get && !command->action.instance);
	script_end();
}

TEST(script_patterns)
{
	const struct wat_value *v;

	script_begin("(assert_return (invoke \"f\") (f32.const nan:canonical) "
		     "(f64.const nan:arithmetic) (v128.const f32x4 1 "
		     "nan:canonical 2 nan:arithmetic) (ref.null) (ref.func) "
		     "(ref.extern) (ref.i31) (ref.struct) (either (i32.const 1)"
		     " (i32.const 2) (ref.any)))"
		     "(assert_trap (invoke \"f\") \"unreachable\")"
		     "(assert_exception (get \"f\"))");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_ASSERT_RETURN);
	CHECK_INT(command->expected_count, 9);
	v = command->expected;
	CHECK(v[0].type == WASM_F32 && v[0].nan_canonical == 1);
	CHECK(v[1].type == WASM_F64 && v[1].nan_arithmetic == 1);
	CHECK(v[2].lane_float && v[2].lanes == 4 && v[2].nan_canonical == 2 &&
	      v[2].nan_arithmetic == 8 &&
	      (uint32_t)v[2].value.words[0] == 0x3f800000);
	CHECK(v[3].ref == WAT_REF_NULL && !v[3].type);
	CHECK(v[4].ref == WAT_REF_FUNC && v[4].any_value);
	CHECK(v[5].ref == WAT_REF_EXTERN && v[5].any_value);
	CHECK(v[6].ref == WAT_REF_KIND &&
	      v[6].type == (WASM_REF | WASM_ABSTRACT | WASM_I31));
	CHECK(v[7].ref == WAT_REF_KIND &&
	      v[7].type == (WASM_REF | WASM_ABSTRACT | WASM_STRUCT));
	CHECK(v[8].type == WASM_I32 && v[8].either &&
	      v[8].either->value.i32 == 2 && v[8].either->either &&
	      v[8].either->either->ref == WAT_REF_KIND &&
	      !v[8].either->either->either);
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_ASSERT_TRAP);
	CHECK_TEXT(command->message, "unreachable");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_ASSERT_EXCEPTION);
	script_end();
}

TEST(script_threads)
{
	struct wat_command *inner;

	script_begin("(module $m)\n(thread $t (shared (module $m))\n"
		     "(register \"x\" $m) (module))(wait $t)");
	CHECK_INT(step(), 1);
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_THREAD);
	CHECK_TEXT(command->name, "$t");
	CHECK_INT(command->shared_count, 1);
	CHECK_TEXT(command->shared[0], "$m");
	CHECK_INT(wat_script_next(command->thread, &inner, &script_err), 1);
	CHECK_INT(inner->kind, WAT_REGISTER);
	CHECK_INT(inner->line, 3);
	CHECK_INT(wat_script_next(command->thread, &inner, &script_err), 1);
	CHECK_INT(inner->kind, WAT_MODULE);
	CHECK_INT(wat_script_next(command->thread, &inner, &script_err), 0);
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_WAIT);
	CHECK_TEXT(command->name, "$t");
	script_end();
}

TEST(script_without_commands)
{
	script_begin("(func) (memory 0) (func (export \"f\"))");
	CHECK_INT(step(), 1);
	CHECK_INT(command->kind, WAT_MODULE);
	CHECK_INT(command->malformed.code, 0);
	script_end();
	script_begin(" ;; nothing");
	script_end();
}

TEST(script_errors)
{
	script_begin("(module)\n (oops)");
	CHECK_INT(step(), 1);
	CHECK_INT(step(), -EINVAL);
	CHECK_TEXT(script_err.text, "s:2:3: unknown operator oops");
	script_end();
	script_begin("(module) (module");
	CHECK_INT(step(), 1);
	CHECK_INT(step(), -EINVAL);
	CHECK_TEXT(script_err.text, "s:1:10: unexpected end: this bracket is "
				    "not closed");
	script_end();
	script_begin("(invoke \"f\" (f32.const nan:canonical))");
	CHECK_INT(step(), -EINVAL);
	script_end();
}

/* Printing */

static int print(const struct buf *binary, struct buf *text, struct err *err)
{
	struct wasm_error error = { 0 };
	struct wasm_module *module;
	struct wasm_types *types;
	struct test_host host;
	int r;

	test_host_init(&host);
	types = wasm_types_new(&host.hooks);
	if (!types)
		return -ENOMEM;
	r = wasm_module_load(&module, &host.hooks, types, binary->data,
			     binary->len, NULL, &error);
	if (r < 0) {
		err_set(err, -EINVAL, "%s", error.text);
	} else {
		r = wat_from_binary(module, text, err);
		wasm_module_free(module);
	}
	wasm_types_free(types);
	return r;
}

/* What the text is printed as; and that gives the same bytes. */
static const char *printed(const char *text)
{
	struct buf first = { 0 }, again = { 0 }, out = { 0 };
	struct err err = { 0 };

	if (wat_to_binary("t", text, strlen(text), &first, &err) < 0 ||
	    print(&first, &out, &err) < 0 ||
	    wat_to_binary("out", out.data, out.len, &again, &err) < 0) {
		snprintf(shown, sizeof shown, "%s", err.text);
	} else {
		CHECK_INT(first.len, again.len);
		CHECK(memcmp(first.data, again.data, first.len) == 0);
		snprintf(shown, sizeof shown, "%s", out.data);
	}
	buf_fini(&first);
	buf_fini(&again);
	buf_fini(&out);
	return shown;
}

TEST(print_function)
{
	CHECK_TEXT(
		printed("(module $m (func $f (export \"x\") (param $a i32) "
			"(param i64) (result i32) (local $b f32) (block $l "
			"(br_if $l (local.get $a))) (block (br 0)) "
			"(if (result i32) (local.get 0) (then (i32.const -1))"
			" (else (i32.load offset=4 align=2 (local.get $a))))"
			") (memory 1))"),
		"(module $m\n"
		"  (type (;0;) (func (param i32 i64) (result i32)))\n"
		"  (memory (;0;) 1)\n"
		"  (export \"x\" (func $f))\n"
		"\n"
		"  (func $f (;0;) (type 0) (param $a (;0;) i32) (param i64)"
		" (result i32)\n"
		"    (local $b (;2;) f32)\n"
		"    block $l (;0;)\n"
		"      local.get $a\n"
		"      br_if $l\n"
		"    end\n"
		"    block (;@1;)\n"
		"      br 0 (;@1;)\n"
		"    end\n"
		"    local.get $a\n"
		"    if (;@2;) (result i32)\n"
		"      i32.const -1\n"
		"    else\n"
		"      local.get $a\n"
		"      i32.load offset=4 align=2\n"
		"    end)\n"
		")\n");
}

TEST(print_definitions)
{
	CHECK_TEXT(
		printed("(rec (type $s (sub (struct (field $x (mut i8)) "
			"(field (ref null $s))))) (type (array f64)))"
			"(import \"a\\\"\" \"\\u{e9}\" (global $\"g h\" i32))"
			"(table i64 1 2 (ref null func)) (tag)"
			"(memory (data \"ab\\00\\ff\"))"
			"(elem declare func) (global (mut f32) (f32.const 0.1"
			")) (@custom \"c\" (after tag) \"\\01\")"),
		"(module\n"
		"  (rec\n"
		"    (type $s (;0;) (sub (struct\n"
		"      (field $x (;0;) (mut i8))\n"
		"      (field (ref null $s)))))\n"
		"    (type (;1;) (array f64))\n"
		"  )\n"
		"  (type (;2;) (func))\n"
		"  (import \"a\\\"\" \"\xc3\xa9\" (global $\"g h\" (;0;) i32))"
		"\n"
		"  (table (;0;) i64 1 2 funcref)\n"
		"  (memory (;0;) 1 1)\n"
		"  (tag (;0;) (type 2))\n"
		"  (@custom \"c\" (after tag) \"\\01\")\n"
		"  (global (;1;) (mut f32) (f32.const 0.1))\n"
		"  (elem (;0;) declare func)\n"
		"  (data (;0;) (i32.const 0) \"ab\\00\\ff\")\n"
		")\n");
}

/* Names that two have, or none can have as they are. */
TEST(print_names)
{
	const char *text = printed("(func (@name \"same\")) (func (@name "
				   "\"same\")) (func (@name \"\"))"
				   "(export \"e\" (func 1))");

	CHECK(strstr(text, "(func $same (;0;) (type 0))"));
	CHECK(strstr(text, "(func (;1;) (@name \"same\") (type 0))"));
	CHECK(strstr(text, "(func (;2;) (@name \"\") (type 0))"));
	CHECK(strstr(text, "(export \"e\" (func 1))"));
}

static void check_float(const char *number)
{
	char text[100], line[100];

	snprintf(text, sizeof text, "(func f32.const %s drop)", number);
	snprintf(line, sizeof line, "    f32.const %s\n", number);
	CHECK(strstr(printed(text), line));
	snprintf(text, sizeof text, "(func f64.const %s drop)", number);
	snprintf(line, sizeof line, "    f64.const %s\n", number);
	CHECK(strstr(printed(text), line));
}

TEST(print_floats)
{
	check_float("0");
	check_float("-0");
	check_float("0.1");
	check_float("-1.5");
	check_float("1e+20");
	check_float("inf");
	check_float("-nan");
	check_float("nan:0x200001");
	printed("(func f32.const 0x1p-149 f32.const 0x1.fffffep127 f64.const "
		"0x1p-1074 f64.const 0x1.fffffffffffffp1023 f32.const 0x1.8ce4p"
		"-3 unreachable)");
}

TEST(print_code)
{
	CHECK(strstr(
		printed("(tag $e) (memory 1) (memory $n 1) (table 1 funcref"
			") (data $d \"\") (func $f (block $o (try_table $t"
			" (catch $e $o) (catch_all $o) (br $t))) (v128.store"
			"16_lane $n offset=1 2 (i32.const 0) (v128.const "
			"i64x2 1 2)) (memory.copy $n 0 (i32.const 1) "
			"(i32.const 2) (i32.const 3)) (memory.init $n $d "
			"(i32.const 0) (i32.const 0) (i32.const 0)) "
			"(call_indirect (param i32) (i32.const 1) (i32.const"
			" 0)) (br_table 0 0 (i32.const 0)))"),
		"      try_table $t (;1;) (catch $e $o) (catch_all $o)\n"
		"        br $t\n"
		"      end\n"
		"    end\n"
		"    i32.const 0\n"
		"    v128.const i32x4 0x00000001 0x00000000 0x00000002 "
		"0x00000000\n"
		"    v128.store16_lane $n offset=1 2\n"
		"    i32.const 1\n"
		"    i32.const 2\n"
		"    i32.const 3\n"
		"    memory.copy $n 0\n"));
	CHECK(strstr(shown, "    memory.init $n $d\n"));
	CHECK(strstr(shown, "    call_indirect (type 1) (param i32)\n"));
	CHECK(strstr(shown, "    br_table 0 0)\n"));
}

/* Without memory */

static const char all[] =
	"(module $m (@name \"n\") (@custom \"c\" \"x\") (rec (type $s (sub "
	"(struct (field $a i32))))) (import \"a\" \"b\" (func $i (param i32)))"
	"(func $\"f g\" (export \"e\") (param $p i32) (result i32) (local $l "
	"i64) (block $b (result i32) (loop $c (br_if $c (i32.eqz (local.get $p)"
	"))) (@metadata.code.branch_hint \"\\01\") (if (local.get $p) (then nop)"
	"(else (drop (f64.const 123456789012345678901234567890123456789012345678"
	"901234567890123456789012345678901234567890.5)))) (br_table $b $b ("
	"i32.const 1) (i32.const 2)))) (table $t funcref (elem $\"f g\")) "
	"(memory (data \"abc\")) (global $g i32 (i32.const 1)) (tag $e)"
	"(elem declare func 0))";

static int make_all(void)
{
	struct buf binary = { 0 }, text = { 0 };
	struct err err = { 0 };
	int r = wat_to_binary("t", all, sizeof all - 1, &binary, &err);

	if (r == 0)
		r = print(&binary, &text, &err);
	if (r < 0 && r != -ENOMEM && err.code != -ENOMEM &&
	    !strstr(err.text, "memory"))
		printf("# %s\n", err.text);
	buf_fini(&binary);
	buf_fini(&text);
	return r;
}

static int run_script(void)
{
	static const char text[] =
		"(module $a (func $f)) (register \"a\" $a) (assert_return "
		"(invoke \"f\" (i32.const 1)) (either (i32.const 1) (i32.const "
		"2))) (assert_malformed (module quote \"(fn)\") \"x\")"
		"(thread $t (shared (module $a)) (module))";
	struct wat_script *made;
	struct wat_command *each;
	struct err err = { 0 };
	int r = wat_script_open(&made, "s", text, sizeof text - 1, &err);

	if (r < 0)
		return r;
	do {
		r = wat_script_next(made, &each, &err);
	} while (r > 0);
	wat_script_close(made);
	return r;
}

static void fail_each(int (*run)(void))
{
	long before, n = 0;
	int r;

	run(); /* what the C library keeps is taken */
	before = blocks;
	do {
		fail_at = ++n;
		r = run();
		fail_at = 0;
		CHECK_INT(blocks, before);
		if (r < 0 && r != -ENOMEM && r != -1)
			CHECK_INT(r, -ENOMEM);
	} while (r < 0 && n < 10000 && !test_failures);
	CHECK(n > 30);
	CHECK_INT(r, 0);
}

TEST(no_memory_for_module)
{
	if (!CAN_FAIL)
		SKIP("the sanitizer's allocator does not fail");
	fail_each(make_all);
}

TEST(no_memory_for_script)
{
	if (!CAN_FAIL)
		SKIP("the sanitizer's allocator does not fail");
	fail_each(run_script);
}

TEST_MAIN
