/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of another compiler among those of the baseline one: written here
 * in assembler, by the convention of docs/jit.md, they call and are called,
 * call out, trap, are passed by exceptions and told in traces.  What does not
 * hold is not linked, and not opened. */
#include "jit/jit.h"
#include "jit/offsets.h"
#include "jit/out.h"
#include "lib/made_vm.h"
#include "wasm/heap.h"
#include "wasm/interp.h"
#include <sys/mman.h>

/* Functions of the module, by index. */
enum {
	COLLECT,
	INC,
	PAIR,
	TRAP,
	M_SUM,
	B_TWICE,
	M_CALLS,
	M_OTHER,
	M_GROW,
	M_TRAP,
	M_FAULT,
	M_PASS,
	B_THROW,
	B_CATCH,
	M_DEEP,
	B_DEEP,
	M_HOLD,
	M_SWITCH,
	M_PAIR,
	B_TOP,
	M_MID,
	B_LOW,
	M_SPIN,
	M_HOST,
	M_AROUND,
	FUNCTIONS
};

/* Bodies of what is made are never run: they would trap. */
#define MADE_BODY " unreachable)"
#define I_I	  " (param i32) (result i32)"
#define II_I	  " (param i32 i32) (result i32)"
static const char module_text[] =
	"(module"
	"(import \"h\" \"collect\" (func $collect" I_I "))"
	"(import \"o\" \"inc\" (func $inc" I_I "))"
	"(import \"o\" \"pair\" (func $pair (param i32 i32) (result i32 i32)))"
	"(import \"h\" \"trap\" (func $trap))"
	"(import \"o\" \"tag\" (tag $tag (param i32)))"
	"(memory (export \"memory\") 1 10) (data (i32.const 0) \"\\e8\\03\")"
	"(global $g (mut i32) (i32.const 10000))"
	"(func $m_sum (export \"sum\")" II_I MADE_BODY
	"(func $b_twice (export \"twice\")" I_I
	" (i32.add (call $m_sum (local.get 0) (local.get 0))"
	"  (i32.load (i32.const 0))))"
	"(func $m_calls (export \"calls\")" I_I MADE_BODY
	"(func $m_other (export \"other\")" I_I MADE_BODY
	"(func $m_grow (export \"grow\")" I_I MADE_BODY
	"(func $m_trap" I_I MADE_BODY
	"(func $m_fault (export \"fault\")" I_I MADE_BODY
	"(func $m_pass" I_I MADE_BODY "(func $b_throw" I_I
	" (if (i32.eq (local.get 0) (i32.const 1))"
	"  (then (throw $tag (i32.const 21))))"
	" (call $m_other (local.get 0)))"
	"(func $b_catch (export \"catch\")" I_I
	" (i32.add (i32.add (global.get $g) (i32.load (i32.const 0)))"
	"  (block $caught (result i32)"
	"   (try_table (catch $tag $caught)"
	"    (return (call $m_pass (local.get 0)))) (i32.const 0))))"
	"(func $m_deep (export \"deep\")" I_I MADE_BODY "(func $b_deep" I_I
	" (i32.add (i32.const 1) (call $m_deep (local.get 0))))"
	"(func $m_hold (export \"hold\") (param i64) (result i64)" MADE_BODY
	"(func $m_switch (export \"switch\")" I_I MADE_BODY
	"(func $m_pair (export \"pair\")" II_I MADE_BODY
	"(func $b_top (export \"top\")" I_I
	" (i32.add (i32.const 1) (call $m_mid (local.get 0))))"
	"(func $m_mid" I_I MADE_BODY "(func $b_low" I_I
	" (i32.add (i32.const 1) (call $m_trap (local.get 0))))"
	"(func $m_spin (export \"spin\")" MADE_BODY
	"(func $m_host (export \"host\")" I_I MADE_BODY
	"(func $m_around (export \"around\")" I_I MADE_BODY ")";

static const char other_text[] =
	"(module (memory 1) (data (i32.const 0) \"\\64\")"
	"(tag $tag (export \"tag\") (param i32))"
	"(func $many (param i64 i64 i64 i64 i64 i64 i64 i64) (result i32)"
	" (i32.wrap_i64 (i64.add (local.get 6) (local.get 7))))"
	"(func (export \"inc\")" I_I
	" (if (i32.eq (local.get 0) (i32.const 9)) (then (return_call $many"
	"  (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)"
	"  (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8))))"
	" (if (i32.eq (local.get 0) (i32.const 7)) (then unreachable))"
	" (if (i32.eq (local.get 0) (i32.const 8))"
	"  (then (throw $tag (i32.const 42))))"
	" (i32.add (local.get 0) (i32.load (i32.const 0))))"
	"(func (export \"pair\") (param i32 i32) (result i32 i32)"
	" (if (i32.eqz (local.get 0)) (then unreachable))"
	" (local.get 1) (local.get 0)))";

/* Constants */

enum { CASES = 3 };
struct constants {
	uint32_t words[4];
	uint32_t grow, value, unused[2];
	int32_t cases[CASES];
};
#define AT_WORDS "0"
#define AT_GROW	 "16"
#define AT_VALUE "20"
#define AT_CASES "32"
_Static_assert(offsetof(struct constants, grow) == 16, "");
_Static_assert(offsetof(struct constants, cases) == 32, "");
_Static_assert(OUT_OF_LINE_HEAD == 20, "");
_Static_assert(offsetof(struct wasm_instance, imported_functions) == 40, "");
_Static_assert(INSTANCE_NATIVE_LIMIT == 56 && INSTANCE_MEMORY_BASE == 64, "");
_Static_assert(offsetof(struct wasm_instance, native_out_at) == 96, "");
_Static_assert(offsetof(struct wasm_instance, native_call_other) == 104, "");
_Static_assert(offsetof(struct wasm_instance, native_call_block) == 112, "");
_Static_assert(FUNCTION_INSTANCE == 8 && FUNCTION_NATIVE == 32, "");
_Static_assert(BLOCK_GENERAL == 48 && BLOCK_STACK == 224, "");

static const struct constants constants = { .grow = WASM_OP_MEMORY_GROW,
					    .value = 5 };

/* A function, its sites in a section of their own. */
#define MADE(name, body)                                                   \
	__asm__(".pushsection .made_sites,\"a\"\n" #name                   \
		"_sites:\n.popsection\n.pushsection .rodata\n" #name ":\n" \
		"88:\n" body #name "_end:\n.popsection\n"                  \
		".pushsection .made_sites,\"a\"\n" #name                   \
		"_sites_end:\n.popsection\n");                             \
	extern const uint8_t name[] HIDDEN, name##_end[] HIDDEN;           \
	extern const struct jit_made_site name##_sites[] HIDDEN,           \
		name##_sites_end[] HIDDEN
#define HIDDEN __attribute__((visibility("hidden")))
#define SITE(addend, kind, target)                            \
	"77: .long 0\n.pushsection .made_sites,\"a\"\n"       \
	".long 77b - 88b, " addend ", " kind ", " target "\n" \
	".popsection\n"
#define CALL(index)  ".byte 0xe8\n" SITE("-4", "0", index)
#define STUB(number) ".byte 0xe8\n" SITE("-4", "1", number)
/* An instruction that ends in a constant's place. */
#define CONSTANT(bytes, at) ".byte " bytes "\n" SITE("-4", "2", at)

/* Only rbp is where others look; the context is far from it. */
#define BEGIN                                                            \
	"push %rbp\n mov %rsp, %rbp\n push %rbx\n push %r12\n"           \
	"push %r13\n push %r14\n push %r15\n sub $72, %rsp\n"            \
	"mov %r13, -56(%rbp)\n mov $0x1111, %ebx\n mov $0x2222, %r12d\n" \
	"mov $0x3333, %r15d\n mov $0x4444, %r14d\n"
#define END                                                      \
	"lea -40(%rbp), %rsp\n pop %r15\n pop %r14\n pop %r13\n" \
	"pop %r12\n pop %rbx\n pop %rbp\n ret\n"
/* All that a callee keeps; r14 as "base" says. */
#define KEPT(base)                                                      \
	"cmp $0x1111, %rbx\n jne 90f\n cmp $0x2222, %r12\n jne 90f\n"   \
	"cmp $0x3333, %r15\n jne 90f\n cmp -56(%rbp), %r13\n jne 90f\n" \
	"cmp " base ", %r14\n jne 90f\n"
/* Nobody may rely on them in between. */
#define LOSE "xor %r13d, %r13d\n mov $-1, %r14\n"
/* Traps as nothing else here does. */
#define WRONG	 "90: mov -56(%rbp), %r13\n" STUB("4")
#define OWN_BASE "64(%r13)"
#define OUT(at)                                                               \
	CONSTANT("0x8b, 0x3d", at) /* mov at(%rip), %edi */                   \
	".byte 0x48, 0x8d, 0x35\n" SITE("-24", "2", AT_WORDS) /* lea, %rsi */ \
		"mov %rsp, %rdx\n call *96(%r13)\n"

#define CALLS(name, index)                                                 \
	MADE(name, BEGIN "mov 64(%r13), %r14\n" CALL(index) KEPT(OWN_BASE) \
			   LOSE END WRONG)

MADE(m_sum, "lea (%rdi,%rsi), %eax\n ret\n");
/* addl at(%rip), %eax */
MADE(m_calls, BEGIN "mov 64(%r13), %r14\n" CALL("5") KEPT(OWN_BASE)
		      LOSE CONSTANT("0x03, 0x05", AT_VALUE) END WRONG);
MADE(m_other, BEGIN "mov 40(%r13), %rax\n mov 8(%rax), %r10\n"
		    "call *104(%r13)\n" KEPT("$0x4444") LOSE END WRONG);
MADE(m_grow, BEGIN "mov %edi, (%rsp)\n" OUT(AT_GROW)
		     KEPT("$0x4444") "mov (%rsp), %eax\n" LOSE END WRONG);
MADE(m_trap, BEGIN STUB("1"));
MADE(m_fault, BEGIN "mov 64(%r13), %rcx\n" LOSE
		    "mov %edi, %edi\n mov (%rcx,%rdi), %eax\n" END);
CALLS(m_pass, "12");
MADE(m_deep,
     BEGIN "cmp 56(%r13), %rsp\n jb 1f\n mov 64(%r13), %r14\n" CALL("15") END
     "1:" STUB("10"));
MADE(m_hold,
     BEGIN "mov %rdi, %r14\n not %r14\n mov $3, %edi\n mov 40(%r13), %rax\n"
	   "mov (%rax), %r10\n call *104(%r13)\n cmp $4, %eax\n jne 90f\n"
	   "mov %r14, %rax\n not %rax\n" END WRONG);
/* lea, %rcx */
MADE(m_switch,
     CONSTANT(
	     "0x48, 0x8d, 0x0d",
	     AT_CASES) "mov %edi, %edi\n movslq (%rcx,%rdi,4), %rax\n add %rcx, %rax\n"
		       "jmp *%rax\n"
		       "m_switch_0: mov $10, %eax\n ret\n m_switch_1: mov $11, %eax\n ret\n"
		       "m_switch_2: mov $12, %eax\n ret\n");
extern const uint8_t m_switch_0[] HIDDEN, m_switch_1[] HIDDEN,
	m_switch_2[] HIDDEN;
/* A struct jit_block with room for two results. */
MADE(m_pair, BEGIN
     "sub $256, %rsp\n mov 40(%r13), %rax\n mov 16(%rax), %rax\n"
     "mov 32(%rax), %rcx\n mov %rcx, (%rsp)\n mov %rax, 8(%rsp)\n"
     "mov 8(%rax), %rcx\n mov %rcx, 16(%rsp)\n movq $0, 24(%rsp)\n"
     "movq $32, 32(%rsp)\n mov %rdi, 48(%rsp)\n mov %rsi, 56(%rsp)\n"
     "mov %rsp, %rdi\n call *112(%r13)\n" KEPT(
	     "$0x4444") "mov 224(%rsp), %rax\n sub 240(%rsp), %rax\n mov %eax, %eax\n" END
	     WRONG);
CALLS(m_mid, "21");
MADE(m_spin, BEGIN LOSE "1: jmp 1b\n");
MADE(m_host, BEGIN "mov 40(%r13), %rax\n mov 24(%rax), %r10\n"
		   "call *104(%r13)\n" STUB("4"));
CALLS(m_around, "13");

#define ENTRY(index, name)                      \
	{ .function = (index),                  \
	  .code = name,                         \
	  .len = (uint32_t)(name##_end - name), \
	  .sites = name##_sites,                \
	  .site_count = (uint32_t)(name##_sites_end - name##_sites) }
enum { MADES = 15 };

struct parts {
	struct jit_made made[MADES];
	struct jit_made_site cases[CASES];
};

static void parts_make(struct parts *parts)
{
	const struct jit_made made[MADES] = {
		ENTRY(M_SUM, m_sum),	   ENTRY(M_CALLS, m_calls),
		ENTRY(M_OTHER, m_other),   ENTRY(M_GROW, m_grow),
		ENTRY(M_TRAP, m_trap),	   ENTRY(M_FAULT, m_fault),
		ENTRY(M_PASS, m_pass),	   ENTRY(M_DEEP, m_deep),
		ENTRY(M_HOLD, m_hold),	   ENTRY(M_SWITCH, m_switch),
		ENTRY(M_PAIR, m_pair),	   ENTRY(M_MID, m_mid),
		ENTRY(M_SPIN, m_spin),	   ENTRY(M_HOST, m_host),
		ENTRY(M_AROUND, m_around),
	};
	const uint8_t *const cases[CASES] = { m_switch_0, m_switch_1,
					      m_switch_2 };

	memcpy(parts->made, made, sizeof(made));
	for (uint32_t i = 0; i < CASES; i++)
		parts->cases[i] = (struct jit_made_site){
			.at = (uint32_t)offsetof(struct constants, cases[i]),
			.addend = (int32_t)(cases[i] - m_switch + 4 * i),
			.kind = JIT_MADE_FUNCTION,
			.target = M_SWITCH,
		};
}

static bool is_made(const struct parts *parts, uint32_t function)
{
	for (unsigned i = 0; parts && i < MADES; i++)
		if (parts->made[i].function == function)
			return true;
	return false;
}

/* A module's code; "parts" NULL: all of the baseline compiler. */
struct linked {
	struct jit_compiler *compiler;
	struct jit_link link;
	struct jit_code code;
	uint8_t *image;
	uint64_t len;
};

static struct jit_options options;

static void link_make(struct linked *linked, const struct wasm_module *module,
		      const struct parts *parts)
{
	struct wasm_error error;

	options = (struct jit_options){ .features = jit_features() };
	linked->compiler = jit_compiler_new(module, &options);
	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		if (!is_made(parts, i))
			CHECK_INT(jit_compile(linked->compiler, i, &error), 0);
	linked->link =
		(struct jit_link){ .compilers = &linked->compiler, .count = 1 };
	if (!parts)
		return;
	linked->link.made = parts->made;
	linked->link.made_count = MADES;
	linked->link.constants = (const uint8_t *)&constants;
	linked->link.constant_bytes = sizeof(constants);
	linked->link.constant_sites = parts->cases;
	linked->link.constant_site_count = CASES;
}

static void link_write(struct linked *linked)
{
	linked->len = jit_image_bytes(&linked->link);
	CHECK(linked->len > 0);
	linked->image = mmap(NULL, linked->len, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(linked->image != MAP_FAILED);
	/* Nothing of it may have been there before. */
	memset(linked->image, 0x5a, linked->len);
	CHECK_INT(jit_image_write(&linked->link, linked->image), 0);
}

static void link_drop(struct linked *linked)
{
	jit_compiler_free(linked->compiler);
	if (linked->image)
		munmap(linked->image, linked->len);
	*linked = (struct linked){ 0 };
}

/* A VM with both modules */

struct scene {
	struct made made; /* "instance": of the module that is loaded last */
	struct parts parts;
	struct linked other, linked;
	struct wasm_instance *first; /* of the module */
	uint64_t used;		     /* of the heap, in the host */
};

static struct scene *scene;

/* The module's parts are made, all else is baseline. */
static int bind(void *env, struct wasm_instance *instance)
{
	bool is_other = instance->module->imported_functions == 0;
	struct linked *linked = is_other ? &scene->other : &scene->linked;
	struct wasm_error error = { 0 };

	(void)env;
	if (!linked->image) {
		link_make(linked, instance->module,
			  is_other ? NULL : &scene->parts);
		link_write(linked);
		CHECK(mprotect(linked->image, linked->len,
			       PROT_READ | PROT_EXEC) == 0);
		CHECK_INT(jit_code_open(&linked->code, instance->module,
					linked->image, linked->len, &error),
			  0);
	}
	CHECK(jit_bind(instance, &linked->code));
	return 0;
}

static enum wasm_trap host_collect(struct wasm_store *store,
				   struct wasm_function *self,
				   struct wasm_instance *caller,
				   union wasm_value *slots)
{
	(void)self;
	CHECK(caller == scene->made.instance);
	wasm_heap_collect(store);
	scene->used = wasm_heap_used(store);
	slots[0].i64 = slots[0].i32 + 1;
	return WASM_OK;
}

static enum wasm_trap host_trap(struct wasm_store *store,
				struct wasm_function *self,
				struct wasm_instance *caller,
				union wasm_value *slots)
{
	(void)self;
	(void)slots;
	CHECK(caller == scene->made.instance);
	strcpy(store->message, "so it said");
	return WASM_TRAP_host;
}

/* "twice": the module has two instances with the same code, and the one that
 * is called is the second. */
static void scene_open(struct scene *opened, bool twice)
{
	static struct wasm_host hooks;
	struct vm_options vm_options = {
		.store.stack_bytes = 1 << 20,
		.timeout_ns = 2000000000,
	};
	struct vm *vm = &opened->made.vm;

	hooks = vm_host;
	hooks.bind = bind;
	vm_options.host = &hooks;
	*opened = (struct scene){ 0 };
	scene = opened;
	parts_make(&opened->parts);
	CHECK(made_open(&opened->made, &vm_options, other_text));
	CHECK_INT(vm_define_function(vm, "h", "collect", "i>i", host_collect,
				     NULL, &made_err),
		  0);
	CHECK_INT(vm_define_function(vm, "h", "trap", "", host_trap, NULL,
				     &made_err),
		  0);
	CHECK_INT(vm_define_instance(vm, "o", opened->made.instance, &made_err),
		  0);
	CHECK_INT(made_load(&opened->made, module_text), 0);
	CHECK_INT(made_instantiate(&opened->made), 0);
	opened->first = opened->made.instance;
	if (twice)
		CHECK_INT(made_instantiate(&opened->made), 0);
	CHECK_TEXT(made_err.text, "");
}

static void scene_close(struct scene *opened)
{
	jit_code_close(&opened->linked.code);
	jit_code_close(&opened->other.code);
	link_drop(&opened->linked);
	link_drop(&opened->other);
	made_close(&opened->made);
}

static void gives(struct scene *s, const char *name, uint32_t a, uint32_t b,
		  uint32_t wanted)
{
	uint32_t result = 0;
	enum wasm_trap trap = made_call(&s->made, name, a, b, &result);

	if (trap || result != wanted)
		printf("# %s: %s, %u\n", name, wasm_trap_text(trap), result);
	CHECK(!trap && result == wanted);
	CHECK(!s->made.vm.store->native_stack && !s->made.vm.store->depth);
}

TEST(both_kinds_call_each_other)
{
	struct scene s;

	for (int twice = 0; twice < 2; twice++) {
		scene_open(&s, twice);
		gives(&s, "sum", 40, 2, 42);
		gives(&s, "sum", UINT32_MAX, 2, 1);
		gives(&s, "twice", 4, 0, 1008);
		gives(&s, "calls", 4, 0, 1013);
		gives(&s, "other", 5, 0, 105);
		gives(&s, "other", 9, 0, 15); /* a tail call moves rsp */
		for (uint32_t i = 0; i < CASES; i++)
			gives(&s, "switch", i, 0, 10 + i);
		gives(&s, "pair", 30, 50, 20);
		gives(&s, "fault", 0, 0, 1000);
		scene_close(&s);
	}
}

TEST(calls_out)
{
	struct scene s;

	scene_open(&s, false);
	gives(&s, "grow", 2, 0, 1);
	gives(&s, "grow", 100, 0, UINT32_MAX);
	gives(&s, "grow", 0, 0, 3);
	gives(&s, "fault", 3 * 65536 - 4, 0, 0);
	scene_close(&s);
}

/* Only r14 has the object: it is handed in and back inverted. */
TEST(references_in_kept_registers)
{
	union wasm_value slots[1];
	struct scene s;
	struct wasm_store *store;
	uint64_t inverted;

	scene_open(&s, false);
	store = s.made.vm.store;
	inverted =
		~(uint64_t)wasm_heap_exception(store, s.made.instance->tags[0]);
	slots[0].i64 = inverted;
	CHECK_INT(vm_call(&s.made.vm, made_find(&s.made, "hold"), slots, slots),
		  WASM_OK);
	CHECK(slots[0].i64 == inverted);
	CHECK(s.used > 0);
	wasm_heap_collect(store);
	CHECK(wasm_heap_used(store) < s.used);
	scene_close(&s);
}

/* Traps and traces */

struct frame {
	uint32_t function;
	int part; /* 0: the other module, 1: the module, 2: a host */
};
#define O(index) { (index), 0 }
#define M(index) { (index), 1 }
#define H(index) { (index), 2 }
#define FRAMES(...)                                             \
	(const struct frame[]){ __VA_ARGS__ },                  \
		sizeof((const struct frame[]){ __VA_ARGS__ }) / \
			sizeof(struct frame)

static int part_of(const struct scene *s, const struct wasm_frame *frame)
{
	if (!frame->instance)
		return 2;
	return frame->instance == s->made.instance;
}

/* Where in a made function it was nobody knows. */
static void traps(struct scene *s, const char *name, uint32_t argument,
		  enum wasm_trap wanted, const struct frame *frames,
		  size_t count)
{
	const struct wasm_store *store = s->made.vm.store;
	enum wasm_trap trap = made_call(&s->made, name, argument, 0, NULL);

	CHECK_INT(trap, wanted);
	CHECK_INT(store->trace_total, count);
	for (uint32_t i = 0; i < store->trace_count && i < count; i++) {
		const struct wasm_frame *frame = &store->trace[i];
		bool unknown = frames[i].part == 2 ||
			       (frames[i].part == 1 &&
				is_made(&s->parts, frames[i].function));

		CHECK_INT(part_of(s, frame), frames[i].part);
		if (frames[i].part != 2)
			CHECK_INT(frame->function, frames[i].function);
		CHECK_INT(frame->offset != 0, !unknown);
	}
	CHECK(!store->native_stack && !store->depth);
}

TEST(traps_and_traces)
{
	struct scene s;

	for (int twice = 0; twice < 2; twice++) {
		scene_open(&s, twice);
		traps(&s, "top", 1, WASM_TRAP_unreachable,
		      FRAMES(M(M_TRAP), M(B_LOW), M(M_MID), M(B_TOP)));
		traps(&s, "other", 7, WASM_TRAP_unreachable,
		      FRAMES(O(1), M(M_OTHER)));
		traps(&s, "catch", 7, WASM_TRAP_unreachable,
		      FRAMES(O(1), M(M_OTHER), M(B_THROW), M(M_PASS),
			     M(B_CATCH)));
		traps(&s, "host", 0, WASM_TRAP_host, FRAMES(H(0), M(M_HOST)));
		traps(&s, "pair", 0, WASM_TRAP_unreachable,
		      FRAMES(O(2), M(M_PAIR)));
		gives(&s, "calls", 4, 0, 1013);
		scene_close(&s);
	}
}

/* r13 has nothing then; which instance it was is not known. */
TEST(faults)
{
	struct scene s;

	scene_open(&s, false);
	traps(&s, "fault", 1 << 20, WASM_TRAP_memory_bounds,
	      FRAMES(M(M_FAULT)));
	traps(&s, "fault", UINT32_MAX, WASM_TRAP_memory_bounds,
	      FRAMES(M(M_FAULT)));
	gives(&s, "fault", 0, 0, 1000);
	scene_close(&s);
	scene_open(&s, true);
	CHECK_INT(made_call(&s.made, "fault", 1 << 20, 0, NULL),
		  WASM_TRAP_memory_bounds);
	CHECK_INT(s.made.vm.store->trace_total, 1);
	CHECK_INT(s.made.vm.store->trace[0].function, M_FAULT);
	CHECK(s.made.vm.store->trace[0].instance->native == &s.linked.code);
	scene_close(&s);
}

/* A run that is to end is found wherever it is. */
TEST(stopped)
{
	struct scene s;

	scene_open(&s, false);
	s.made.vm.options.timeout_ns = 20000000;
	traps(&s, "spin", 0, WASM_TRAP_deadline, FRAMES(M(M_SPIN)));
	scene_close(&s);
}

TEST(as_deep_as_it_goes)
{
	struct scene s;

	scene_open(&s, false);
	CHECK_INT(made_call(&s.made, "deep", 1, 0, NULL), WASM_TRAP_stack);
	CHECK(s.made.vm.store->trace_total > 1000);
	for (uint32_t i = 1; i < WASM_TRACE_MOST; i++)
		CHECK_INT(s.made.vm.store->trace[i].function +
				  s.made.vm.store->trace[i - 1].function,
			  M_DEEP + B_DEEP);
	gives(&s, "calls", 4, 0, 1013);
	scene_close(&s);
}

/* They pass made frames, and that of a call to another instance; who catches
 * has its own instance and memory again, and its caller all that was kept. */
TEST(exceptions)
{
	struct scene s;

	for (int twice = 0; twice < 2; twice++) {
		scene_open(&s, twice);
		gives(&s, "catch", 1, 0, 11021);
		gives(&s, "catch", 8, 0, 11042);
		gives(&s, "catch", 5, 0, 105);
		gives(&s, "around", 1, 0, 11021);
		gives(&s, "around", 8, 0, 11042);
		traps(&s, "other", 8, WASM_TRAP_thrown,
		      FRAMES(O(1), M(M_OTHER)));
		scene_close(&s);
	}
}

/* Images */

TEST(laid_out)
{
	struct scene s;
	const struct code_header *header;
	const struct jit_code *code;
	uint32_t end;

	scene_open(&s, false);
	code = &s.linked.code;
	header = code->header;
	CHECK_INT(header->optimised_count, MADES);
	for (uint32_t own = 0; own < header->function_count; own++) {
		uint32_t at = code->functions[own].at;
		bool made = is_made(&s.parts, own + M_SUM);

		CHECK_INT(jit_code_is_made(code, own), made);
		CHECK_INT(at % 16, made ? 12 : 0);
		if (made)
			CHECK(!memcmp(code->text + at, "\x0f\x1f\x40\x00", 4));
		for (uint32_t i = 1; made && i <= 12; i++)
			CHECK_INT(code->text[at - i], 0xcc);
	}
	end = code->functions[header->function_count].at;
	CHECK_INT(header->text_bytes, ((end + 63) & ~63u) + sizeof(constants));
	/* What stands between is no code. */
	for (uint32_t at = end; at % 64; at++)
		CHECK_INT(code->text[at], 0xcc);
	scene_close(&s);
}

/* The changes are undone by making all anew. */
struct lie {
	struct parts parts;
	struct linked linked;
	struct jit_made_site sites[4];
};

static void lie_begin(struct lie *lie, const struct wasm_module *module)
{
	*lie = (struct lie){ 0 };
	parts_make(&lie->parts);
	link_make(&lie->linked, module, &lie->parts);
	memcpy(lie->sites, m_calls_sites, 3 * sizeof(*lie->sites));
	lie->parts.made[1].sites = lie->sites;
	CHECK_INT(lie->parts.made[1].site_count, 3);
}

static bool lie_is_refused(struct lie *lie)
{
	uint64_t len = jit_image_bytes(&lie->linked.link);
	uint8_t *image = len ? calloc(1, len) : NULL;
	bool refused = !len || jit_image_write(&lie->linked.link, image) < 0;

	free(image);
	link_drop(&lie->linked);
	return refused;
}

TEST(linked_only_if_all_is_there)
{
	struct lie lie;
	struct scene s;

	scene_open(&s, false);
	lie_begin(&lie, s.made.module);
	CHECK(!lie_is_refused(&lie));
#define LIES(change)                            \
	do {                                    \
		lie_begin(&lie, s.made.module); \
		change;                         \
		CHECK(lie_is_refused(&lie));    \
	} while (0)
	LIES(lie.linked.link.made_count--);
	LIES(lie.parts.made[0].function = B_TWICE);
	LIES(lie.parts.made[0].function = M_CALLS);
	LIES(lie.parts.made[0].function = TRAP);
	LIES(lie.parts.made[0].function = FUNCTIONS);
	LIES(lie.parts.made[0].function = UINT32_MAX);
	LIES(lie.parts.made[0].len = 0);
	LIES(lie.parts.made[0].len = UINT32_MAX);
	LIES(lie.sites[0].at = lie.parts.made[1].len - 3);
	LIES(lie.sites[0].at = UINT32_MAX);
	LIES(lie.sites[1].at = lie.sites[0].at + 3);
	LIES(lie.sites[1].at = 0);
	LIES(lie.sites[0].kind = 3);
	LIES(lie.sites[0].target = TRAP);
	LIES(lie.sites[0].target = FUNCTIONS);
	LIES(lie.sites[0].target = UINT32_MAX);
	LIES(lie.sites[0].addend = INT32_MIN);
	LIES(lie.sites[0].addend = INT32_MAX);
	LIES(lie.sites[1].target = sizeof(constants));
	LIES(lie.sites[1].addend = sizeof(constants));
	LIES(lie.sites[2].target = 0);
	LIES(lie.sites[2].target = WASM_TRAP_exit + 1);
	LIES(lie.sites[2].addend = -(int)CODE_STUB_BYTES * 5);
	LIES(lie.parts.cases[2].at = sizeof(constants) - 3);
	LIES(lie.parts.cases[1].at = lie.parts.cases[0].at);
	LIES(lie.parts.cases[0].target = 0);
	LIES(lie.linked.link.constant_bytes = 0);
	LIES(lie.linked.link.constant_bytes = UINT64_MAX);
	LIES(lie.linked.link.constant_bytes = 1ull << 30);
	LIES(options.options = CODE_FUEL);
#undef LIES
	scene_close(&s);
}

TEST(tables_that_lie)
{
	struct scene s;
	struct code_header *head;
	struct code_function *function;
	struct wasm_error error;
	struct jit_code code;
	struct linked linked = { 0 };
	uint8_t *bits, *image, *good;
	uint64_t words;

	scene_open(&s, false);
	link_make(&linked, s.made.module, &s.parts);
	link_write(&linked);
	image = linked.image;
	good = malloc(linked.len);
	memcpy(good, image, linked.len);
	head = (struct code_header *)image;
	function = (struct code_function *)(image + head->functions_at);
	bits = image + head->optimised_at;
	words = code_optimised_bytes(head);
	CHECK_INT(words, 8);
#define OPENS                                                                \
	(jit_code_open(&code, s.made.module, image, linked.len, &error) == 0 \
		 ? (jit_code_close(&code), true)                             \
		 : false)
#define LIES(change)                             \
	do {                                     \
		change;                          \
		CHECK(!OPENS);                   \
		memcpy(image, good, linked.len); \
	} while (0)
	CHECK(OPENS);
	for (unsigned bit = 0; bit < 64; bit++)
		LIES(bits[bit / 8] ^= 1u << bit % 8);
	/* As many, but one that there is not, or that has a landing. */
	LIES((bits[0] ^= 1, bits[7] ^= 0x80));
	LIES((bits[0] ^= 1,
	      bits[(B_CATCH - M_SUM) / 8] ^= 1u << (B_CATCH - M_SUM) % 8));
	LIES(head->optimised_count++);
	LIES(head->optimised_count = 0);
	LIES(head->optimised_count = UINT32_MAX);
	LIES(head->optimised_at = 0);
	LIES(head->optimised_at += 4);
	LIES(head->optimised_at -= 8);
	LIES(head->optimised_at = head->text_at);
	LIES(head->optimised_at = head->text_at - 4);
	LIES(head->optimised_at = UINT64_MAX - 7);
	LIES((head->optimised_at = 0, head->optimised_count = 0,
	      head->version = 2));
	/* Truly none is a right one. */
	head->optimised_at = head->optimised_count = 0;
	CHECK(OPENS);
	memcpy(image, good, linked.len);
	for (uint64_t len = 0; len < linked.len; len += 97)
		CHECK(jit_code_open(&code, s.made.module, image, len, &error) <
		      0);
	CHECK(function[B_CATCH - M_SUM].landing <
	      function[B_CATCH - M_SUM + 1].landing);
	free(good);
	link_drop(&linked);
	scene_close(&s);
}

TEST_MAIN
