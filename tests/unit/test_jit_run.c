/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime of compiled code without the compiler: an image whose machine
 * code is written here by hand is entered, calls a host, calls out, traps,
 * throws and is refused when its header does not hold. */
#include "jit/out.h"
#include "jit/run.h"
#include "test.h"
#include "wasm/heap.h"
#include "wasm_host.h"

enum { TEXT_AT = CODE_PAGE, IMAGE_BYTES = 2 * CODE_PAGE, STUBS = 32 };
enum { CONSTANT, SEVENTH, CALLER, PAIR, TRAPS, POPCNT, CATCHES, HOLDS, OWN };
enum act { ADD, NEST, THROW, COLLECT };

struct fixture {
	struct test_host host; /* first: the hooks' env */
	struct jit_code code;
	struct wasm_types *types;
	struct wasm_store *store;
	struct wasm_module *module;
	struct wasm_instance *instance;
	struct wasm_function *function; /* the import */
	uint8_t *image, *to;		/* where code is put next */
	uint64_t used;			/* of the heap, in the host */
	enum act act;
	unsigned depth;
	struct wasm_error error;
};

/* ()->i32, (7 i64)->i64, (i32 f64)->f64, ()->(i64 i64), (i32)->i32, ()->();
 * an import of the third; eight functions that are not interpreted; a tag. */
static const uint8_t module_bytes[] =
	"\0asm\1\0\0\0"
	"\1\x23\6"
	"\x60\0\1\x7f"
	"\x60\7\x7e\x7e\x7e\x7e\x7e\x7e\x7e\1\x7e"
	"\x60\2\x7f\x7c\1\x7c"
	"\x60\0\2\x7e\x7e"
	"\x60\1\x7f\1\x7f"
	"\x60\0\0"
	"\2\7\1\1m\1h\0\2"
	"\3\x9\x8\0\1\2\3\0\4\0\1"
	"\xd\3\1\0\5"
	"\xa\x21\x8\3\0\0\xb\3\0\0\xb\3\0\0\xb\3\0\0\xb"
	"\3\0\0\xb\3\0\0\xb\3\0\0\xb\3\0\0\xb";

static enum wasm_trap host_call(struct wasm_store *store,
				struct wasm_function *self,
				struct wasm_instance *caller,
				union wasm_value *slots)
{
	struct fixture *f = ((struct wasm_host_function *)self)->env;
	enum wasm_trap trap = WASM_OK;

	CHECK(caller == f->instance);
	if (f->act == THROW) {
		store->exception = (wasm_ref)wasm_heap_exception(
			store, f->instance->tags[0]);
		return WASM_TRAP_thrown;
	}
	if (f->act == COLLECT) {
		wasm_heap_collect(store);
		f->used = wasm_heap_used(store);
	}
	if (f->act == NEST) {
		f->depth++;
		trap = wasm_call(
			store, wasm_instance_function(f->instance, 1 + CALLER),
			slots, slots);
		return trap;
	}
	slots[0].f64 = (int32_t)slots[0].i32 + slots[1].f64;
	return trap;
}

static int bind(void *env, struct wasm_instance *instance)
{
	struct fixture *f = env;

	CHECK(jit_bind(instance, &f->code));
	return 0;
}

#define PUT(f, bytes) put(f, bytes, sizeof(bytes) - 1)
static void put(struct fixture *f, const char *bytes, size_t len)
{
	memcpy(f->to, bytes, len);
	f->to += len;
}

static void put_word(struct fixture *f, uint32_t word)
{
	memcpy(f->to, &word, 4);
	f->to += 4;
}

static uint32_t text_now(const struct fixture *f)
{
	return (uint32_t)(f->to - f->image - TEXT_AT);
}

/* jmp *field(%r13), after "mov $kind, %eax" but for the way out. */
static void put_stubs(struct fixture *f)
{
	for (uint32_t i = 0; i < STUBS; i++) {
		f->to = f->image + TEXT_AT + i * CODE_STUB_BYTES;
		if (i) {
			PUT(f, "\xb8");
			put_word(f, i);
		}
		PUT(f, "\x41\xff\xa5");
		put_word(f, i ? offsetof(struct wasm_instance, native_trap)
			      : offsetof(struct wasm_instance, native_out));
	}
	f->to = f->image + TEXT_AT + STUBS * CODE_STUB_BYTES;
}

/* push %rbp; mov %rsp,%rbp; push %r13; push %rbx */
static void put_begin(struct fixture *f)
{
	PUT(f, "\x55\x48\x89\xe5\x41\x55\x53");
}

/* pop %rbx; pop %r13; pop %rbp; ret */
static void put_end(struct fixture *f)
{
	PUT(f, "\x5b\x41\x5d\x5d\xc3");
}

static void put_stub_call(struct fixture *f, uint32_t stub)
{
	PUT(f, "\xe8");
	put_word(f, stub * CODE_STUB_BYTES - (text_now(f) + 4));
}

/* mov $function,%rax; call *native(%rax) */
static void put_host_call(struct fixture *f)
{
	PUT(f, "\x48\xb8");
	memcpy(f->to, &f->function, 8);
	f->to += 8;
	PUT(f, "\xff\x90");
	put_word(f, offsetof(struct wasm_function, native));
}

static void put_function(struct fixture *f, unsigned own,
			 struct code_landing *landing)
{
	switch (own) {
	case CONSTANT: /* mov $42,%eax; ret */
		PUT(f, "\xb8\x2a\0\0\0\xc3");
		break;
	case SEVENTH: /* mov 8(%rsp),%rax; ret */
		PUT(f, "\x48\x8b\x44\x24\x08\xc3");
		break;
	case CALLER:
		put_begin(f);
		put_host_call(f);
		put_end(f);
		break;
	case PAIR: /* movq $7,8(%rsp); movq $9,24(%rsp); ret */
		PUT(f, "\x48\xc7\x44\x24\x08\7\0\0\0"
		       "\x48\xc7\x44\x24\x18\x9\0\0\0\xc3");
		break;
	case TRAPS:
		put_begin(f);
		put_stub_call(f, WASM_TRAP_divide_by_zero);
		break;
	case POPCNT: /* sub $16,%rsp; mov %rdi,(%rsp); xor %edx,%edx */
		put_begin(f);
		PUT(f, "\x48\x83\xec\x10\x48\x89\x3c\x24\x31\xd2\xb8");
		put_word(f, WASM_OP_I32_POPCNT);
		put_stub_call(f, 0);
		/* mov (%rsp),%eax; add $16,%rsp */
		PUT(f, "\x8b\x04\x24\x48\x83\xc4\x10");
		put_end(f);
		break;
	case CATCHES:
		put_begin(f);
		landing->from = text_now(f);
		put_host_call(f);
		landing->to = text_now(f);
		PUT(f, "\xb8\1\0\0\0"); /* nothing was thrown */
		put_end(f);
		landing->target = text_now(f);
		/* lea -16(%rbp),%rsp; mov $77,%eax */
		PUT(f, "\x48\x8d\x65\xf0\xb8\x4d\0\0\0");
		put_end(f);
		break;
	case HOLDS: /* mov %rdi,%rbx; not %rbx; xor %edi,%edi */
		put_begin(f);
		PUT(f, "\x48\x89\xfb\x48\xf7\xd3\x31\xff");
		put_host_call(f);
		PUT(f, "\x48\x89\xd8"); /* mov %rbx,%rax */
		put_end(f);
	}
}

static void put_image(struct fixture *f)
{
	struct code_header *header = (void *)f->image;
	struct code_function *functions = (void *)(header + 1);
	struct code_landing *landing = (void *)(functions + OWN + 1);

	put_stubs(f);
	for (unsigned i = 0; i < OWN; i++) {
		functions[i].at = text_now(f);
		functions[i].landing = i > CATCHES;
		put_function(f, i, landing);
	}
	functions[OWN] = (struct code_function){ text_now(f), 1 };
	*header = (struct code_header){
		.magic = CODE_MAGIC,
		.version = CODE_VERSION,
		.header_bytes = sizeof(*header),
		.function_count = OWN,
		.landing_count = 1,
		.functions_at = sizeof(*header),
		.landings_at = (uint64_t)((uint8_t *)landing - f->image),
		.runs_at = (uint64_t)((uint8_t *)(landing + 1) - f->image),
		.text_at = TEXT_AT,
		.text_bytes = text_now(f),
		.file_bytes = IMAGE_BYTES,
	};
}

static int open_image(struct fixture *f)
{
	return jit_code_open(&f->code, f->module, f->image, IMAGE_BYTES,
			     &f->error);
}

static void setup_with(struct fixture *f, struct wasm_store_options *options)
{
	struct wasm_extern import = { .kind = WASM_EXTERN_FUNCTION };

	memset(f, 0, sizeof(*f));
	test_host_init(&f->host);
	f->host.hooks.bind = bind;
	f->host.hooks.native_call = jit_native_call;
	f->types = wasm_types_new(&f->host.hooks);
	f->store = wasm_store_make(&f->host.hooks, f->types, options);
	if (wasm_module_load(&f->module, &f->host.hooks, f->types, module_bytes,
			     sizeof(module_bytes) - 1, NULL, &f->error) < 0) {
		test_fail(__FILE__, __LINE__, f->error.text);
		exit(1);
	}
	f->function = wasm_host_function_new(f->store, f->module->type[2]->id,
					     host_call, f, NULL);
	f->image = mmap(NULL, IMAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(f->image != MAP_FAILED);
	put_image(f);
	CHECK_INT(open_image(f), 0);
	import.function = f->function;
	CHECK_INT(wasm_instantiate(f->store, f->module, &import, &f->instance,
				   &f->error),
		  0);
}

static void setup(struct fixture *f)
{
	struct wasm_store_options options = { .heap_bytes = 16 << 20 };

	setup_with(f, &options);
}

static void teardown(struct fixture *f)
{
	jit_code_close(&f->code);
	wasm_store_free(f->store);
	wasm_module_free(f->module);
	wasm_types_free(f->types);
	munmap(f->image, IMAGE_BYTES);
	CHECK_INT(f->host.blocks, 0);
	CHECK_INT(f->host.bytes, 0);
}

static enum wasm_trap call(struct fixture *f, unsigned own,
			   union wasm_value *slots)
{
	enum wasm_trap trap =
		wasm_call(f->store,
			  wasm_instance_function(f->instance, 1 + own), slots,
			  slots);

	CHECK(!f->store->native_stack && !f->store->depth);
	return trap;
}

TEST(values)
{
	union wasm_value slots[7] = { 0 };
	struct fixture f;

	setup(&f);
	CHECK_INT(call(&f, CONSTANT, slots), WASM_OK);
	CHECK_INT(slots[0].i64, 42);
	for (unsigned i = 0; i < 7; i++)
		slots[i].i64 = (uint64_t)(i + 1) << 40;
	CHECK_INT(call(&f, SEVENTH, slots), WASM_OK);
	CHECK_INT(slots[0].i64, 7ull << 40);
	CHECK_INT(call(&f, PAIR, slots), WASM_OK);
	CHECK_INT(slots[0].i64, 7);
	CHECK_INT(slots[1].i64, 9);
	slots[0].i64 = 0xf0ff;
	CHECK_INT(call(&f, POPCNT, slots), WASM_OK);
	CHECK_INT(slots[0].i64, 12);
	teardown(&f);
}

TEST(hosts)
{
	union wasm_value slots[2] = { 0 };
	struct fixture f;

	setup(&f);
	slots[0].i32 = (uint32_t)-3;
	slots[1].f64 = 10.5;
	CHECK_INT(call(&f, CALLER, slots), WASM_OK);
	CHECK(slots[0].f64 == 7.5);
	f.act = NEST; /* as deep as it may, then out of all of it */
	CHECK_INT(call(&f, CALLER, slots), WASM_TRAP_stack);
	CHECK_INT(f.depth, WASM_DEPTH_MOST);
	f.act = ADD;
	slots[0].i64 = 1;
	slots[1].f64 = 2;
	CHECK_INT(call(&f, CALLER, slots), WASM_OK);
	CHECK(slots[0].f64 == 3);
	teardown(&f);
}

/* A stack's margin is not taken from what was asked for. */
TEST(small_stack)
{
	struct wasm_store_options options = { .stack_bytes = 1 << 16,
					      .heap_bytes = 16 << 20 };
	union wasm_value slots[1] = { 0 };
	struct fixture f;

	setup_with(&f, &options);
	CHECK_INT(call(&f, CONSTANT, slots), WASM_OK);
	teardown(&f);
}

TEST(traps)
{
	union wasm_value slots[2] = { 0 };
	struct fixture f;

	setup(&f);
	CHECK_INT(call(&f, TRAPS, slots), WASM_TRAP_divide_by_zero);
	CHECK_INT(f.store->trace_count, 1);
	CHECK_INT(f.store->trace[0].function, 1 + TRAPS);
	f.act = THROW;
	CHECK_INT(call(&f, CATCHES, slots), WASM_OK);
	CHECK_INT(slots[0].i64, 77);
	CHECK(!f.store->exception);
	CHECK_INT(call(&f, CALLER, slots), WASM_TRAP_thrown);
	CHECK(f.store->exception != 0);
	f.act = ADD;
	CHECK_INT(call(&f, CATCHES, slots), WASM_OK);
	CHECK_INT(slots[0].i64, 1);
	teardown(&f);
}

/* Only a register of the code has the object: it is handed in inverted, for
 * slots and the caller's registers are read by the collector too. */
TEST(collector)
{
	union wasm_value slots[7] = { 0 };
	struct fixture f;
	uint64_t inverted;

	setup(&f);
	f.act = COLLECT;
	inverted = ~(uint64_t)wasm_heap_exception(f.store, f.instance->tags[0]);
	slots[0].i64 = inverted;
	CHECK_INT(call(&f, HOLDS, slots), WASM_OK);
	CHECK(slots[0].i64 == ~inverted);
	CHECK(f.used > 0);
	wasm_heap_collect(f.store);
	CHECK(wasm_heap_used(f.store) < f.used);
	teardown(&f);
}

static void refused(struct fixture *f, void *at, uint32_t value)
{
	uint32_t before;

	memcpy(&before, at, 4);
	memcpy(at, &value, 4);
	jit_code_close(&f->code);
	CHECK(open_image(f) < 0);
	CHECK(!strncmp(f->error.text, "code object: ", 13));
	memcpy(at, &before, 4);
	CHECK_INT(open_image(f), 0);
}

TEST(headers)
{
	struct code_function *functions;
	struct code_landing *landing;
	struct code_header *header;
	struct fixture f;

	setup(&f);
	header = (void *)f.image;
	functions = (void *)(header + 1);
	landing = (void *)(functions + OWN + 1);
	refused(&f, header->magic, 0);
	refused(&f, &header->version, CODE_VERSION + 1);
	refused(&f, &header->features, 1u << 31);
	refused(&f, &header->function_count, OWN - 1);
	refused(&f, &header->function_count, UINT32_MAX);
	refused(&f, &header->landing_count, UINT32_MAX);
	refused(&f, &header->functions_at, 0);
	refused(&f, &header->landings_at, IMAGE_BYTES);
	refused(&f, &header->text_at, IMAGE_BYTES + CODE_PAGE);
	refused(&f, &header->text_bytes, IMAGE_BYTES);
	refused(&f, &header->file_bytes, CODE_PAGE);
	refused(&f, &header->optimised_at, 8);
	refused(&f, &header->optimised_count, 1);
	refused(&f, &functions[1].at, UINT32_MAX);
	refused(&f, &functions[1].at, 0);
	refused(&f, &functions[2].landing, 2);
	refused(&f, &functions[OWN].landing, 0);
	refused(&f, &landing->from, landing->to + 1);
	refused(&f, &landing->to, UINT32_MAX);
	refused(&f, &landing->target, UINT32_MAX);
	refused(&f, &landing->tag, 1);
	teardown(&f);
}

TEST_MAIN
