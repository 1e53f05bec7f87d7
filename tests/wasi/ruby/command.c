/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a command of CRuby's module for the web, which is a library that asks
 * a page for 24 functions: merged with it, this one has _start and answers
 * in the page's place.  "ruby.wasm -e CODE" evaluates CODE.
 *
 * It shares CRuby's memory and has none of its own: no constant string, no
 * variable in memory but what cabi_realloc gives. */
#define IMPORT(module, name) \
	__attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define RUBY(name)   IMPORT("ruby", name)
#define WASI(name)   IMPORT("wasi_snapshot_preview1", name)

typedef int word;

RUBY("_initialize") void initialize(void);
RUBY("cabi_realloc") word reallocate(word at, word old, word align, word len);
RUBY("ruby-init: func(args: list<string>) -> ()")
void ruby_init(word list, word count);
RUBY("rb-eval-string-protect: func(str: string) -> "
     "tuple<handle<rb-abi-value>, s32>")
word evaluate(word text, word len);
WASI("args_sizes_get") word sizes_get(word count, word len);
WASI("args_get") word args_get(word pointers, word bytes);
WASI("proc_exit") _Noreturn void leave(word status);

#define WORD(at) (*(volatile word *)(at))
#define BYTE(at) (*(volatile unsigned char *)(at))

static word allocate(word len)
{
	return reallocate(0, 0, 8, len);
}

static word length(word text)
{
	word len = 0;

	while (BYTE(text + len))
		len++;
	return len;
}

/* The words "ruby", "-EUTF-8", "-e_=0", each with its 0. */
static void start_ruby(void)
{
	word list = allocate(24), text = allocate(32);

	WORD(text) = 0x79627572;
	WORD(text + 4) = 0;
	WORD(text + 8) = 0x5455452d;
	WORD(text + 12) = 0x00382d46;
	WORD(text + 16) = 0x3d5f652d;
	WORD(text + 20) = 0x30;
	WORD(list) = text;
	WORD(list + 4) = 5;
	WORD(list + 8) = text + 8;
	WORD(list + 12) = 8;
	WORD(list + 16) = text + 16;
	WORD(list + 20) = 6;
	ruby_init(list, 3);
}

/* "$stdout.flush" */
static void flush(void)
{
	word text = allocate(16);

	WORD(text) = 0x64747324;
	WORD(text + 4) = 0x2e74756f;
	WORD(text + 8) = 0x73756c66;
	WORD(text + 12) = 0x68;
	evaluate(text, 13);
}

EXPORT("_start") void start(void)
{
	word sizes, pointers, code, failed;

	initialize();
	sizes = allocate(8);
	sizes_get(sizes, sizes + 4);
	if (WORD(sizes) < 3)
		leave(100);
	pointers = allocate(4 * WORD(sizes));
	args_get(pointers, allocate(WORD(sizes + 4)));
	start_ruby();
	code = WORD(pointers + 8);
	failed = WORD(evaluate(code, length(code)) + 4);
	flush();
	leave(failed ? 1 : 0);
}

/* What a page would do: nothing here comes that far. */
#define PAGE(number, type, name, ...)                 \
	EXPORT(name) type page_##number(__VA_ARGS__); \
	EXPORT(name) type page_##number(__VA_ARGS__)  \
	{                                             \
		__builtin_trap();                     \
	}
#define VALUE "handle<js-abi-value>"
PAGE(0, void, "rb_wasm_throw_prohibit_rewind_exception", word a, word b)
PAGE(1, void,
     "eval-js: func(code: string) -> variant { success(" VALUE
     "), failure(" VALUE ") }",
     word a, word b, word c)
PAGE(2, word, "is-js: func(value: " VALUE ") -> bool", word a)
PAGE(3, word, "instance-of: func(value: " VALUE ", klass: " VALUE ") -> bool",
     word a, word b)
PAGE(4, word, "global-this: func() -> " VALUE, void)
PAGE(5, word, "int-to-js-number: func(value: s32) -> " VALUE, word a)
PAGE(6, word, "float-to-js-number: func(value: float64) -> " VALUE, double a)
PAGE(7, word, "string-to-js-string: func(value: string) -> " VALUE, word a,
     word b)
PAGE(8, word, "bool-to-js-bool: func(value: bool) -> " VALUE, word a)
PAGE(9, word, "proc-to-js-function: func(value: u32) -> " VALUE, word a)
PAGE(10, word,
     "rb-object-to-js-rb-value: func(raw-rb-abi-value: u32) -> " VALUE, word a)
PAGE(11, void, "js-value-to-string: func(value: " VALUE ") -> string", word a,
     word b)
PAGE(12, void,
     "js-value-to-integer: func(value: " VALUE
     ") -> variant { as-float(float64), bignum(string) }",
     word a, word b)
PAGE(13, void, "export-js-value-to-host: func(value: " VALUE ") -> ()", word a)
PAGE(14, word, "import-js-value-from-host: func() -> " VALUE, void)
PAGE(15, void, "js-value-typeof: func(value: " VALUE ") -> string", word a,
     word b)
PAGE(16, word, "js-value-equal: func(lhs: " VALUE ", rhs: " VALUE ") -> bool",
     word a, word b)
PAGE(17, word,
     "js-value-strictly-equal: func(lhs: " VALUE ", rhs: " VALUE ") -> bool",
     word a, word b)
PAGE(18, void,
     "reflect-apply: func(target: " VALUE ", this-argument: " VALUE
     ", arguments: list<" VALUE ">) -> variant { success(" VALUE
     "), failure(" VALUE ") }",
     word a, word b, word c, word d, word e)
PAGE(19, void,
     "reflect-get: func(target: " VALUE
     ", property-key: string) -> variant { success(" VALUE "), failure(" VALUE
     ") }",
     word a, word b, word c, word d)
PAGE(20, void,
     "reflect-set: func(target: " VALUE ", property-key: string, value: " VALUE
     ") -> variant { success(" VALUE "), failure(" VALUE ") }",
     word a, word b, word c, word d, word e)
