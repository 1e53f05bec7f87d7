/* SPDX-License-Identifier: Apache-2.0 */
/* Instances: imports that fit and that do not, the order of effects, what
 * traps and errors leave behind, constants, growth and its limits, ranges,
 * objects; and nothing leaks whatever fails. */
#include "test.h"
#include "wasm/heap.h"
#include "wasm/store.h"
#include "wasm_host.h"
#include <fcntl.h>
#include <unistd.h>

enum { MODULES = 8 };
struct fixture {
	struct test_host host;
	struct wasm_types *types;
	struct wasm_store *store;
	struct wasm_module *modules[MODULES];
	uint8_t *bytes[MODULES];
	unsigned count;
	struct wasm_error error;
};

static void setup_with(struct fixture *f,
		       const struct wasm_store_options *options)
{
	memset(f, 0, sizeof(*f));
	test_host_init(&f->host);
	f->types = wasm_types_new(&f->host.hooks);
	f->store = wasm_store_make(&f->host.hooks, f->types, options);
	CHECK(f->store != NULL);
}

static void setup(struct fixture *f)
{
	struct wasm_store_options options = { .stack_bytes = 1 << 16,
					      .heap_bytes = 16 << 20 };

	setup_with(f, &options);
}

static void teardown(struct fixture *f)
{
	wasm_store_free(f->store);
	for (unsigned i = 0; i < f->count; i++) {
		wasm_module_free(f->modules[i]);
		free(f->bytes[i]);
	}
	wasm_types_free(f->types);
	CHECK_INT(f->host.blocks, 0);
	CHECK_INT(f->host.bytes, 0);
	CHECK_INT(f->host.memories, 0);
}

/* A module in hexadecimal bytes; "@n" begins section n, whose length is put
 * in, and 'name' stands for its length and its bytes. */
static size_t assemble(const char *text, uint8_t *to)
{
	uint8_t *start = to, *length = NULL;

	memcpy(to, "\0asm\1\0\0\0", 8);
	to += 8;
	for (const char *c = text; *c; c++) {
		if (*c == '@') {
			*to++ = (uint8_t)strtol(c + 1, (char **)&c, 10);
			length = to;
			to += 2; /* always in two bytes */
		} else if (*c == '\'') {
			const char *end = strchr(c + 1, '\'');

			*to++ = (uint8_t)(end - c - 1);
			memcpy(to, c + 1, (size_t)(end - c - 1));
			to += end - c - 1;
			c = end;
		} else if (*c != ' ') {
			char pair[3] = { c[0], c[1], 0 };

			*to++ = (uint8_t)strtol(pair, NULL, 16);
			c++;
		}
		if (length) {
			size_t len = (size_t)(to - length - 2);

			length[0] = (uint8_t)(len | 0x80);
			length[1] = (uint8_t)(len >> 7);
		}
	}
	return (size_t)(to - start);
}

static struct wasm_module *load(struct fixture *f, const char *text)
{
	struct wasm_module *module = NULL;
	uint8_t *bytes = malloc(strlen(text) + 64);
	size_t len = assemble(text, bytes);

	if (wasm_module_load(&module, &f->host.hooks, f->types, bytes, len,
			     NULL, &f->error) < 0) {
		printf("# %s\n", f->error.text);
		test_fail(__FILE__, __LINE__, text);
		exit(1);
	}
	f->bytes[f->count] = bytes;
	return f->modules[f->count++] = module;
}

static int make(struct fixture *f, struct wasm_module *module,
		const struct wasm_extern *imports,
		struct wasm_instance **instance)
{
	f->error.text[0] = 0;
	return wasm_instantiate(f->store, module, imports, instance, &f->error);
}

static struct wasm_instance *instance_of(struct fixture *f, const char *text)
{
	struct wasm_instance *instance;

	CHECK_INT(make(f, load(f, text), NULL, &instance), 0);
	return instance;
}

static struct wasm_extern export_of(struct wasm_instance *instance,
				    const char *name)
{
	struct wasm_extern found = { 0 };

	CHECK(wasm_instance_export(instance, name, (uint32_t)strlen(name),
				   &found));
	return found;
}

/* Would it be taken for the only import of a module? */
static bool fits(struct fixture *f, const char *text, struct wasm_extern given)
{
	struct wasm_module *module = load(f, text);
	bool matches = wasm_import_matches(module, 0, &given);

	f->count--;
	wasm_module_free(module);
	free(f->bytes[f->count]);
	return matches;
}

TEST(function_imports)
{
	/* $0 (sub (func)), $1 (sub 0 (func)), $2 (func (param i32)) */
	const char *exporter = "@1 03 50 00 60 00 00 50 01 00 60 00 00 "
			       "60 01 7f 00 @3 03 00 01 02 "
			       "@7 03 'f0' 00 00 'f1' 00 01 'f2' 00 02 "
			       "@10 03 02 00 0b 02 00 0b 02 00 0b";
	const char *want0 = "@1 01 50 00 60 00 00 @2 01 'm' 'x' 00 00";
	const char *want1 = "@1 02 50 00 60 00 00 50 01 00 60 00 00 "
			    "@2 01 'm' 'x' 00 01";
	const char *want2 = "@1 01 60 01 7f 00 @2 01 'm' 'x' 00 00";
	const char *final = "@1 01 60 00 00 @2 01 'm' 'x' 00 00";
	struct wasm_instance *instance;
	struct wasm_extern f0, f1, f2;
	struct fixture f;

	setup(&f);
	instance = instance_of(&f, exporter);
	f0 = export_of(instance, "f0");
	f1 = export_of(instance, "f1");
	f2 = export_of(instance, "f2");
	CHECK(fits(&f, want0, f0) && fits(&f, want0, f1));
	CHECK(!fits(&f, want0, f2) && !fits(&f, want1, f0));
	CHECK(fits(&f, want1, f1) && fits(&f, want2, f2));
	CHECK(!fits(&f, final, f0) && !fits(&f, want2, f0));
	f0.kind = WASM_EXTERN_TABLE;
	CHECK(!fits(&f, want0, f0));
	CHECK(!wasm_instance_export(instance, "f", 1, &f0));
	teardown(&f);
}

TEST(memory_imports)
{
	struct wasm_limits limits = {
		.least = 2, .most = 5, .has_most = true, .page_log2 = 16
	};
	struct wasm_extern memory = { .kind = WASM_EXTERN_MEMORY };
	struct fixture f;

	setup(&f);
	memory.memory = wasm_memory_make(f.store, &limits);
	CHECK(fits(&f, "@2 01 'm' 'x' 02 00 02", memory));
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 00 03", memory));
	CHECK(fits(&f, "@2 01 'm' 'x' 02 01 00 05", memory));
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 01 00 04", memory));
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 03 00 05", memory)); /* shared */
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 04 02", memory));    /* i64 */
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 08 02 00", memory)); /* bytes */
	CHECK_INT(wasm_memory_extend(f.store, memory.memory, 1), 2);
	CHECK(fits(&f, "@2 01 'm' 'x' 02 00 03", memory)); /* as it is now */
	limits = (struct wasm_limits){ .least = 1,
				       .page_log2 = 16,
				       .is64 = true };
	memory.memory = wasm_memory_make(f.store, &limits);
	CHECK(fits(&f, "@2 01 'm' 'x' 02 04 01", memory));
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 05 01 02", memory)); /* no most */
	limits = (struct wasm_limits){ .least = 1,
				       .most = 2,
				       .has_most = true,
				       .is_shared = true,
				       .page_log2 = 16 };
	memory.memory = wasm_memory_make(f.store, &limits);
	CHECK(fits(&f, "@2 01 'm' 'x' 02 03 01 02", memory));
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 01 01 02", memory));
	limits = (struct wasm_limits){ .least = 100 };
	memory.memory = wasm_memory_make(f.store, &limits);
	CHECK(fits(&f, "@2 01 'm' 'x' 02 08 64 00", memory));
	CHECK(!fits(&f, "@2 01 'm' 'x' 02 00 00", memory));
	teardown(&f);
}

TEST(table_imports)
{
	struct wasm_limits limits = { .least = 3, .most = 9, .has_most = true };
	struct wasm_extern table = { .kind = WASM_EXTERN_TABLE };
	struct fixture f;

	setup(&f);
	table.table = wasm_table_make(f.store, WASM_FUNCREF, &limits, 0);
	CHECK(fits(&f, "@2 01 'm' 'x' 01 70 00 03", table));
	CHECK(!fits(&f, "@2 01 'm' 'x' 01 70 00 04", table));
	CHECK(fits(&f, "@2 01 'm' 'x' 01 70 01 03 09", table));
	CHECK(!fits(&f, "@2 01 'm' 'x' 01 70 01 03 08", table));
	CHECK(!fits(&f, "@2 01 'm' 'x' 01 6f 00 03", table));	 /* extern */
	CHECK(!fits(&f, "@2 01 'm' 'x' 01 64 70 00 03", table)); /* not null */
	CHECK(!fits(&f, "@2 01 'm' 'x' 01 70 04 03", table));	 /* i64 */
	CHECK_INT(wasm_table_extend(f.store, table.table, 1, 0), 3);
	CHECK(fits(&f, "@2 01 'm' 'x' 01 70 00 04", table));
	teardown(&f);
}

TEST(global_and_tag_imports)
{
	union wasm_value value = { 0 };
	struct wasm_extern given = { .kind = WASM_EXTERN_GLOBAL };
	wasm_type i32 = WASM_I32;
	struct fixture f;

	setup(&f);
	given.global = wasm_global_make(f.store, WASM_I32, false, value);
	CHECK(fits(&f, "@2 01 'm' 'x' 03 7f 00", given));
	CHECK(!fits(&f, "@2 01 'm' 'x' 03 7f 01", given));
	CHECK(!fits(&f, "@2 01 'm' 'x' 03 7e 00", given));
	given.global = wasm_global_make(
		f.store, WASM_REF | WASM_ABSTRACT | WASM_FUNC, false, value);
	CHECK(fits(&f, "@2 01 'm' 'x' 03 70 00", given)); /* a lower type */
	given.global->is_mutable = true;
	CHECK(!fits(&f, "@2 01 'm' 'x' 03 70 01", given));
	CHECK(fits(&f, "@2 01 'm' 'x' 03 64 70 01", given));
	given.kind = WASM_EXTERN_TAG;
	given.tag = wasm_tag_make(f.store, wasm_types_function(f.types, &i32, 1,
							       NULL, 0));
	CHECK(fits(&f, "@1 01 60 01 7f 00 @2 01 'm' 'x' 04 00 00", given));
	CHECK(!fits(&f, "@1 01 60 01 7e 00 @2 01 'm' 'x' 04 00 00", given));
	teardown(&f);
}

TEST(a_module_that_does_not_fit_makes_nothing)
{
	struct wasm_instance *instance;
	struct wasm_extern given = { .kind = WASM_EXTERN_MEMORY };
	struct wasm_module *module;
	struct wasm_limits limits = { .least = 1, .page_log2 = 16 };
	struct fixture f;
	int64_t blocks;

	setup(&f);
	given.memory = wasm_memory_make(f.store, &limits);
	module = load(&f, "@2 01 'env' 'mem' 02 00 02 @5 01 00 01");
	blocks = f.host.blocks;
	CHECK_INT(make(&f, module, &given, &instance), -1);
	CHECK_TEXT(f.error.text, "incompatible import type: \"env\" \"mem\"");
	CHECK(!instance && !f.store->instances);
	CHECK_INT(f.host.blocks, blocks);
	teardown(&f);
}

/* A host function that looks at the table and the memory. */
struct seen {
	struct wasm_instance *importer;
	struct wasm_table *table;
	struct wasm_memory *memory;
	uint64_t calls, items;
	char text[8];
};

static enum wasm_trap look(struct wasm_store *store, struct wasm_function *self,
			   struct wasm_instance *caller,
			   union wasm_value *slots)
{
	struct seen *seen = ((struct wasm_host_function *)self)->env;

	(void)store;
	(void)caller;
	(void)slots;
	seen->calls++;
	for (uint64_t i = 0; i < seen->table->length; i++)
		seen->items += seen->table->elems[i] != 0;
	memcpy(seen->text, seen->memory->base, 7);
	return seen->calls > 1 ? WASM_TRAP_host : WASM_OK;
}

/* Imports look (0), a table of 4, a memory; two element segments, two data
 * segments, start: look.  %s: an offset each. */
#define ORDER                                                            \
	"@1 01 60 00 00 @2 03 'm' 'f' 00 00 'm' 't' 01 70 00 04 "        \
	"'m' 'm' 02 00 01 @8 00 @9 02 00 41 00 0b 01 00 00 41 %s 0b 02 " \
	"00 00 @11 02 00 41 00 0b 'first' 00 41 %s 0b 'xyz'"

TEST(effects_come_in_order_and_stay)
{
	static const struct {
		const char *elem, *data;
		int result;
		uint64_t calls, items;
		const char *text;
	} row[] = {
		{ "01", "05", 0, 1, 3, "firstxy" },
		{ "03", "05", WASM_TRAP_table_bounds, 0, 1, "" },
		{ "01", "ffff03", WASM_TRAP_memory_bounds, 0, 3, "first" },
	};

	for (unsigned i = 0; i < 3; i++) {
		struct wasm_limits pages = { .least = 1, .page_log2 = 16 };
		struct wasm_limits items = { .least = 4 };
		struct wasm_instance *instance;
		struct seen seen = { 0 };
		struct wasm_extern imports[3];
		struct fixture f;
		uint64_t filled = 0;
		char text[1000];

		setup(&f);
		seen.table = wasm_table_make(f.store, WASM_FUNCREF, &items, 0);
		seen.memory = wasm_memory_make(f.store, &pages);
		imports[0].kind = WASM_EXTERN_FUNCTION;
		imports[0].function = wasm_host_function_new(
			f.store, wasm_types_function(f.types, NULL, 0, NULL, 0),
			look, &seen, NULL);
		imports[1].kind = WASM_EXTERN_TABLE;
		imports[1].table = seen.table;
		imports[2].kind = WASM_EXTERN_MEMORY;
		imports[2].memory = seen.memory;
		snprintf(text, sizeof(text), ORDER, row[i].elem, row[i].data);
		CHECK_INT(make(&f, load(&f, text), imports, &instance),
			  row[i].result);
		CHECK(instance && f.store->instances == instance);
		CHECK_INT(seen.calls, row[i].calls);
		for (unsigned k = 0; k < 4; k++)
			filled += seen.table->elems[k] != 0;
		CHECK_INT(filled, row[i].items);
		CHECK(strncmp((char *)seen.memory->base, row[i].text,
			      strlen(row[i].text)) == 0);
		if (row[i].calls) {
			CHECK_INT(seen.items, 3);
			CHECK_TEXT(seen.text, row[i].text);
			CHECK_INT(instance->data_lengths[0], 0);
			CHECK_INT(make(&f, f.modules[0], imports, &instance),
				  WASM_TRAP_host); /* the second start */
			CHECK(instance != NULL);
		}
		teardown(&f);
	}
}

TEST(data_that_came_with_the_memory)
{
	struct wasm_instance *instance;
	struct wasm_module *module;
	struct fixture f;

	setup(&f);
	f.host.places_data = true;
	module = load(&f, "@5 01 00 01 @11 02 00 41 00 0b 'other!' 01 'kept'");
	CHECK_INT(make(&f, module, NULL, &instance), 0);
	CHECK(memcmp(instance->memories[0]->base, "placed", 7) == 0);
	CHECK_INT(instance->data_lengths[0], 0);
	CHECK_INT(instance->data_lengths[1], 4);
	CHECK_INT(wasm_memory_init(instance, 0, 1, 1, 1, 3), 0);
	CHECK(memcmp(instance->memories[0]->base, "pepted", 7) == 0);
	wasm_data_drop(instance, 1);
	CHECK_INT(wasm_memory_init(instance, 0, 1, 0, 0, 0), 0);
	CHECK_INT(wasm_memory_init(instance, 0, 1, 0, 0, 1),
		  WASM_TRAP_memory_bounds);
	module = load(&f, "@5 01 00 01 @11 01 00 41 808004 0b 'x'");
	CHECK_INT(make(&f, module, NULL, &instance), WASM_TRAP_memory_bounds);
	teardown(&f);
}

TEST(constants)
{
	/* $0 struct (i8 mut) (ref null any) ; $1 array i16; $2 func */
	const char *text =
		"@1 03 5f 02 78 01 6e 01 5e 77 00 60 00 00 @3 01 02 "
		"@6 0d "
		"7f 00 41 05 41 07 6c 41 03 6b 0b " /* 0: 5 * 7 - 3 */
		"7e 00 42 7f 42 02 7c 0b "	    /* 1: -1 + 2 */
		"7d 00 43 0000803f 0b "		    /* 2: 1.0f */
		"7c 00 44 000000000000f03f 0b "	    /* 3: 1.0 */
		"7b 00 fd0c 000102030405060708090a0b0c0d0e0f 0b " /* 4 */
		"7f 00 23 00 41 01 6a 0b "	     /* 5: global 0 + 1 */
		"70 00 d2 00 0b "		     /* 6: function 0 */
		"6e 00 41 2a fb1c 0b "		     /* 7: i31 42 */
		"64 00 00 41 ff01 23 07 fb00 00 0b " /* 8: struct */
		"64 01 00 41 05 41 03 fb06 01 0b "   /* 9: array of 3 */
		"6f 00 41 01 41 02 41 03 fb08 01 03 fb1b 0b " /* 10: extern */
		"6e 00 fb01 00 0b "			      /* 11: default */
		"64 01 00 41 04 fb07 01 0b "		      /* 12: default */
		"@10 01 02 00 0b";
	struct wasm_instance *instance;
	struct wasm_global *g;
	struct fixture f;
	wasm_ref ref;

	setup(&f);
	wasm_heap_stress(f.store);
	instance = instance_of(&f, text);
	if (!instance)
		exit(1);
	wasm_heap_collect(f.store);
	g = instance->globals;
	CHECK_INT(g[0].value.i64, 32);
	CHECK_INT(g[1].value.i64, 1);
	CHECK(g[2].value.f32 == 1 && g[3].value.f64 == 1);
	CHECK_INT(g[4].value.v128[15], 15);
	CHECK_INT(g[5].value.i64, 33);
	CHECK(g[6].value.ref == (wasm_ref)wasm_instance_function(instance, 0));
	CHECK_INT(g[7].value.ref, wasm_ref_of_i31(42));
	ref = g[8].value.ref;
	CHECK_INT(*(uint8_t *)wasm_object_at(ref, 0), 0xff);
	CHECK_INT(*(wasm_ref *)wasm_object_at(ref, 8), wasm_ref_of_i31(42));
	ref = g[9].value.ref;
	CHECK_INT(((struct wasm_object *)ref)->length, 3);
	CHECK_INT(*(uint16_t *)wasm_object_at(ref, 4), 5);
	ref = g[10].value.ref;
	CHECK_INT(*(uint16_t *)wasm_object_at(ref, 0), 1);
	CHECK_INT(*(uint16_t *)wasm_object_at(ref, 4), 3);
	CHECK_INT(*(wasm_ref *)wasm_object_at(g[11].value.ref, 8), 0);
	CHECK_INT(((struct wasm_object *)g[12].value.ref)->length, 4);
	CHECK(f.store->stack_top == f.store->stack);
	teardown(&f);
}

/* Objects that only a segment, a global or a table of an instance has. */
TEST(collections_look_into_instances)
{
	const char *text = "@1 01 5f 01 7f 00 @4 01 40 00 6e 00 01 41 0b "
			   "fb00 00 0b @6 01 6e 00 41 0c fb00 00 0b "
			   "@9 01 05 6e 02 41 0d fb00 00 0b 41 0e fb00 00 0b";
	struct wasm_instance *instance;
	struct fixture f;
	wasm_ref refs[4];

	setup(&f);
	wasm_heap_stress(f.store);
	instance = instance_of(&f, text);
	refs[0] = instance->tables[0]->elems[0];
	refs[1] = instance->globals[0].value.ref;
	refs[2] = instance->elems[0][0];
	refs[3] = instance->elems[0][1];
	for (unsigned i = 0; i < 10000; i++)
		CHECK(wasm_heap_struct(f.store,
				       instance->module->type[0]->id) != 0);
	wasm_heap_collect(f.store);
	CHECK_INT(wasm_heap_used(f.store), 4 * 16);
	for (unsigned i = 0; i < 4; i++)
		CHECK_INT(*(uint32_t *)wasm_object_at(refs[i], 0), 11 + i);
	wasm_elem_drop(instance, 0);
	wasm_heap_collect(f.store);
	CHECK_INT(wasm_heap_used(f.store), 2 * 16);
	teardown(&f);
}

TEST(a_constant_that_needs_more_stack_than_there_is)
{
	struct wasm_store_options options = { .stack_bytes = 32 };
	struct wasm_instance *instance;
	struct wasm_module *module;
	struct fixture f;

	setup_with(&f, &options);
	module = load(&f, "@1 01 5e 7f 00 @6 01 6e 00 41 01 41 02 41 03 "
			  "fb08 00 03 0b");
	CHECK_INT(make(&f, module, NULL, &instance), -1);
	CHECK_TEXT(f.error.text, "no instance: call stack exhausted");
	CHECK(f.store->stack_top == f.store->stack);
	teardown(&f);
}

TEST(an_imported_global_is_an_offset)
{
	struct wasm_extern given = { .kind = WASM_EXTERN_GLOBAL };
	union wasm_value value = { .i64 = 3 };
	struct wasm_instance *instance;
	struct fixture f;

	setup(&f);
	given.global = wasm_global_make(f.store, WASM_I32, false, value);
	CHECK_INT(make(&f,
		       load(&f, "@2 01 'm' 'x' 03 7f 00 @5 01 00 01 "
				"@11 01 00 23 00 0b 'data'"),
		       &given, &instance),
		  0);
	CHECK(memcmp(instance->memories[0]->base, "\0\0\0data", 8) == 0);
	teardown(&f);
}

TEST(tables_and_their_segments)
{
	/* table 0: 10 funcref, all f0; table 1: i64, anyref.  Segments:
	 * passive indices, passive expressions (i31), declarative */
	const char *text = "@1 01 60 00 00 @3 02 00 00 "
			   "@4 02 40 00 70 00 0a d2 00 0b 6e 04 03 "
			   "@9 03 01 00 02 01 00 05 6e 02 41 01 fb1c 0b "
			   "41 02 fb1c 0b 03 00 01 01 "
			   "@10 02 02 00 0b 02 00 0b";
	struct wasm_instance *instance;
	wasm_ref f0, f1;
	struct fixture f;

	setup(&f);
	instance = instance_of(&f, text);
	if (!instance)
		exit(1);
	f0 = (wasm_ref)wasm_instance_function(instance, 0);
	f1 = (wasm_ref)wasm_instance_function(instance, 1);
	CHECK(f0 != f1);
	CHECK(instance->tables[0]->elems[9] == f0);
	CHECK_INT(wasm_table_init(instance, 0, 0, 8, 0, 2), 0);
	CHECK(instance->tables[0]->elems[8] == f1);
	CHECK_INT(wasm_table_init(instance, 0, 0, 9, 0, 2),
		  WASM_TRAP_table_bounds);
	CHECK_INT(wasm_table_init(instance, 0, 0, UINT64_MAX, 0, 2),
		  WASM_TRAP_table_bounds);
	CHECK_INT(wasm_table_init(instance, 1, 1, 0, 1, 1), 0);
	CHECK_INT(instance->tables[1]->elems[0], wasm_ref_of_i31(2));
	CHECK_INT(wasm_table_init(instance, 0, 2, 0, 0, 1),
		  WASM_TRAP_table_bounds); /* declarative: dropped */
	wasm_elem_drop(instance, 0);
	wasm_elem_drop(instance, 0);
	CHECK_INT(wasm_table_init(instance, 0, 0, 0, 0, 1),
		  WASM_TRAP_table_bounds);
	CHECK_INT(wasm_table_init(instance, 0, 0, 10, 0, 0), 0);
	CHECK_INT(wasm_table_move(instance->tables[0], 1, instance->tables[0],
				  0, 9),
		  0);
	CHECK(instance->tables[0]->elems[9] == f1);
	CHECK_INT(wasm_table_move(instance->tables[0], 2, instance->tables[0],
				  0, 9),
		  WASM_TRAP_table_bounds);
	CHECK_INT(wasm_table_fill(instance->tables[0], 8, 0, 2), 0);
	CHECK_INT(instance->tables[0]->elems[9], 0);
	CHECK_INT(wasm_table_fill(instance->tables[0], 9, 0, 2),
		  WASM_TRAP_table_bounds);
	teardown(&f);
}

TEST(ranges_of_memory)
{
	struct wasm_limits limits = { .least = 1, .page_log2 = 16 };
	struct wasm_memory *m, *other;
	struct fixture f;

	setup(&f);
	m = wasm_memory_make(f.store, &limits);
	limits = (struct wasm_limits){ .least = 100 };
	other = wasm_memory_make(f.store, &limits);
	CHECK_INT(wasm_memory_fill(m, 65530, 0x1ab, 6), 0);
	CHECK_INT(m->base[65535], 0xab);
	CHECK_INT(m->base[65529], 0);
	CHECK_INT(wasm_memory_fill(m, 65530, 1, 7), WASM_TRAP_memory_bounds);
	CHECK_INT(wasm_memory_fill(m, 65536, 1, 0), 0);
	CHECK_INT(wasm_memory_fill(m, 65537, 1, 0), WASM_TRAP_memory_bounds);
	CHECK_INT(wasm_memory_fill(m, UINT64_MAX, 1, 2),
		  WASM_TRAP_memory_bounds);
	CHECK_INT(wasm_memory_move(m, 65520, m, 65525, 11), 0);
	CHECK_INT(m->base[65525], 0xab);
	CHECK_INT(wasm_memory_move(other, 90, m, 65530, 6), 0);
	CHECK_INT(wasm_memory_move(other, 95, m, 0, 6),
		  WASM_TRAP_memory_bounds);
	CHECK_INT(wasm_memory_move(m, 0, m, 1, UINT64_MAX),
		  WASM_TRAP_memory_bounds);
	CHECK_INT(m->base[65535], 0xab);
	teardown(&f);
}

TEST(memories_grow_to_their_limits)
{
	struct wasm_store_options options = { .stack_bytes = 4096,
					      .memory_bytes = 1 << 20 };
	struct wasm_limits limits = {
		.least = 1, .most = 3, .has_most = true, .page_log2 = 16
	};
	struct wasm_memory *m;
	struct fixture f;

	setup_with(&f, &options);
	m = wasm_memory_make(f.store, &limits);
	CHECK_INT(m->reserve_bytes, 1ll << 32);
	CHECK_INT(wasm_memory_extend(f.store, m, 0), 1);
	CHECK_INT(wasm_memory_extend(f.store, m, 3), -1);
	CHECK_INT(wasm_memory_extend(f.store, m, 2), 1);
	m->base[3 * 65536 - 1] = 1;
	CHECK_INT(wasm_memory_extend(f.store, m, 1), -1);
	CHECK_INT(wasm_memory_extend(f.store, m, UINT64_MAX), -1);
	limits.has_most = false;
	m = wasm_memory_make(f.store, &limits);
	CHECK_INT(wasm_memory_extend(f.store, m, 16), -1); /* the store's */
	CHECK_INT(wasm_memory_extend(f.store, m, 15), 1);
	f.host.fail_at = 1;
	limits.least = 17;
	CHECK(!wasm_memory_make(f.store, &limits));
	limits = (struct wasm_limits){ .least = 1,
				       .page_log2 = 16,
				       .is64 = true };
	f.host.fail_at = 0;
	m = wasm_memory_make(f.store, &limits);
	CHECK_INT(m->reserve_bytes, 1 << 20);
	f.host.fail_at = 1;
	CHECK_INT(wasm_memory_extend(f.store, m, 1), -1); /* the host's */
	CHECK_INT(wasm_memory_extend(f.store, m, 1), 1);
	teardown(&f);
	setup(&f);
	m = wasm_memory_make(f.store, &limits);
	CHECK_INT(m->reserve_bytes, 64ll << 30);
	CHECK_INT(wasm_memory_extend(f.store, m, 1ll << 47), -1);
	limits = (struct wasm_limits){ .least = 65536, .page_log2 = 16 };
	m = wasm_memory_make(f.store, &limits);
	CHECK_INT(wasm_memory_extend(f.store, m, 1), -1);
	limits = (struct wasm_limits){ .least = 1ull << 62,
				       .is64 = true,
				       .page_log2 = 16 };
	CHECK(!wasm_memory_make(f.store, &limits));
	teardown(&f);
}

static long resident_kib(void)
{
	char text[200] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	long pages = 0;

	if (read(fd, text, sizeof(text) - 1) > 0)
		sscanf(text, "%*d %ld", &pages);
	close(fd);
	return pages * 4;
}

TEST(tables_cost_what_is_used)
{
	struct wasm_limits limits = { .least = 10000000 };
	struct wasm_table *table;
	long before;
	struct fixture f;

	setup(&f);
	before = resident_kib();
	table = wasm_table_make(f.store, WASM_ANYREF, &limits, 0);
	CHECK(table != NULL);
	table->elems[9999999] = 1;
	CHECK_INT(wasm_table_extend(f.store, table, 1, 0), -1);
	limits.least = 10000001;
	CHECK(!wasm_table_make(f.store, WASM_ANYREF, &limits, 0));
	limits.least = 4000000;
	table = wasm_table_make(f.store, WASM_ANYREF, &limits, 0);
	table->elems[7] = 5;
	CHECK_INT(wasm_table_extend(f.store, table, 3000000, 0), 4000000);
	CHECK_INT(table->elems[7], 5);
	/* of 170 MB; sanitizers shadow an eighth of it */
	CHECK(resident_kib() - before < 30000);
	limits =
		(struct wasm_limits){ .least = 2, .most = 6, .has_most = true };
	table = wasm_table_make(f.store, WASM_ANYREF, &limits, 9);
	CHECK(table->elems[0] == 9 && table->elems[1] == 9);
	CHECK_INT(wasm_table_extend(f.store, table, 3, 11), 2);
	CHECK(table->elems[1] == 9 && table->elems[4] == 11);
	CHECK_INT(wasm_table_extend(f.store, table, 2, 11), -1);
	CHECK_INT(wasm_table_extend(f.store, table, UINT64_MAX, 11), -1);
	CHECK_INT(wasm_table_extend(f.store, table, 1, 0), 5);
	CHECK_INT(table->elems[5], 0);
	CHECK_INT(table->length, 6);
	teardown(&f);
}

TEST(a_shared_memory_outlives_the_store_that_made_it)
{
	struct wasm_limits limits = { .least = 1,
				      .most = 4,
				      .has_most = true,
				      .is_shared = true,
				      .page_log2 = 16 };
	struct wasm_extern given = { .kind = WASM_EXTERN_MEMORY };
	struct wasm_instance *instance;
	struct wasm_module *module;
	struct wasm_store *second;
	struct fixture f;

	setup(&f);
	given.memory = wasm_memory_make(f.store, &limits);
	module = load(&f, "@2 01 'm' 'x' 02 03 01 04");
	second = wasm_store_make(&f.host.hooks, f.types, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(wasm_instantiate(second, module, &given, &instance,
					   &f.error),
			  0);
	CHECK_INT(given.memory->shares, 2);
	wasm_store_free(f.store);
	CHECK_INT(f.host.memories, 1);
	f.store = second;
	given.memory->base[65535] = 1;
	CHECK_INT(wasm_memory_extend(second, given.memory, 1), 1);
	given.memory->base[131071] = 1;
	teardown(&f);
}

static void count_drop(void *env)
{
	++*(int *)env;
}

TEST(host_functions_are_dropped_once)
{
	struct fixture f;
	int drops = 0;

	setup(&f);
	CHECK(wasm_host_function_new(f.store, 0, NULL, &drops, count_drop));
	CHECK(wasm_host_function_new(f.store, 0, NULL, &drops, count_drop));
	CHECK_INT(drops, 0);
	teardown(&f);
	CHECK_INT(drops, 2);
}

/* All that a module can have, each request of the host failing once. */
TEST(whatever_fails_nothing_leaks)
{
	const char *text =
		"@1 03 60 00 00 60 01 7f 00 5f 01 6e 01 @3 02 00 00 "
		"@4 02 70 00 0a 6e 00 03 @5 02 00 01 00 02 @13 01 00 01 "
		"@6 02 6e 00 d0 71 fb00 02 0b 70 00 d2 00 0b "
		"@9 02 01 00 02 01 00 05 6e 02 41 01 fb1c 0b fb01 02 0b "
		"@10 02 02 00 0b 02 00 0b @11 01 00 41 00 0b 'abc'";
	unsigned n = 0, failures = 0;
	int result;

	do {
		struct wasm_instance *instance;
		struct wasm_module *module;
		struct fixture f;
		int64_t blocks;

		setup(&f);
		module = load(&f, text);
		blocks = f.host.blocks;
		f.host.fail_at = ++n;
		result = make(&f, module, NULL, &instance);
		f.host.fail_at = 0;
		if (result < 0) {
			failures++;
			CHECK(f.error.text[0] && !instance);
			CHECK(!f.store->instances);
			CHECK(f.host.blocks - blocks <= 6); /* the heap's */
			CHECK_INT(make(&f, module, NULL, &instance), 0);
		}
		teardown(&f);
	} while (result < 0 && n < 100);
	CHECK(failures > 10 && failures < 40);
	for (n = 1; n < 10; n++) {
		struct test_host host;
		struct wasm_types *types;
		struct wasm_store *store;

		test_host_init(&host);
		types = wasm_types_new(&host.hooks);
		host.fail_at = n;
		store = wasm_store_make(&host.hooks, types, NULL);
		CHECK(!store == (n < 6));
		wasm_store_free(store);
		wasm_types_free(types);
		CHECK_INT(host.blocks, 0);
	}
}

/* Objects. */
static union wasm_value word(uint64_t value)
{
	return (union wasm_value){ .words = { value } };
}

TEST(fields)
{
	uint8_t place[32];
	union wasm_value value = { .words = { 0x8182838485868788, 9 } };

	memset(place, 0xee, sizeof(place));
	wasm_field_set(place + 1, WASM_I8, value);
	wasm_field_set(place + 2, WASM_I16, value);
	wasm_field_set(place + 4, WASM_F32, value);
	wasm_field_set(place + 8, WASM_V128, value);
	CHECK_INT(place[0], 0xee);
	CHECK_INT(place[24], 0xee);
	CHECK_INT(wasm_field_get(place + 1, WASM_I8, false).i64, 0x88);
	CHECK_INT(wasm_field_get(place + 1, WASM_I8, true).i64, 0xffffff88);
	CHECK_INT(wasm_field_get(place + 2, WASM_I16, false).i64, 0x8788);
	CHECK_INT(wasm_field_get(place + 2, WASM_I16, true).i64, 0xffff8788);
	CHECK_INT(wasm_field_get(place + 4, WASM_I32, false).i64, 0x85868788);
	CHECK(wasm_field_get(place + 8, WASM_I64, false).i64 == value.words[0]);
	CHECK_INT(wasm_field_get(place + 8, WASM_V128, false).words[1], 9);
}

TEST(arrays)
{
	/* $0 array (mut i16), $1 array (mut anyref) */
	const char *text = "@1 02 5e 77 01 5e 6e 01 "
			   "@9 01 05 6e 02 41 01 fb1c 0b 41 02 fb1c 0b "
			   "@12 01 @11 01 01 'abcdef'";
	struct wasm_instance *instance;
	uint32_t shorts, refs;
	wasm_ref a, b, c;
	uint16_t *at;
	struct fixture f;

	setup(&f);
	instance = instance_of(&f, text);
	shorts = instance->module->type[0]->id;
	refs = instance->module->type[1]->id;
	CHECK_INT(wasm_array_new_data(instance, shorts, 0, 1, 2, &a), 0);
	at = wasm_object_at(a, 0);
	CHECK(at[0] == 'b' + 256 * 'c' && at[1] == 'd' + 256 * 'e');
	CHECK_INT(wasm_array_new_data(instance, shorts, 0, 3, 2, &b),
		  WASM_TRAP_memory_bounds);
	CHECK_INT(wasm_array_new_data(instance, shorts, 0, 6, 0, &b), 0);
	CHECK_INT(wasm_array_init_data(instance, a, 0, 1, 4, 1), 0);
	CHECK(at[1] == 'e' + 256 * 'f');
	CHECK_INT(wasm_array_init_data(instance, a, 0, 1, 0, 2),
		  WASM_TRAP_array_bounds);
	CHECK_INT(wasm_array_init_data(instance, 0, 0, 0, 0, 0),
		  WASM_TRAP_null_array);
	CHECK_INT(wasm_array_fill(f.store, a, 1, word(0x12345), 1), 0);
	CHECK(at[0] == 'b' + 256 * 'c' && at[1] == 0x2345);
	CHECK_INT(wasm_array_fill(f.store, a, 2, word(0), 0), 0);
	CHECK_INT(wasm_array_fill(f.store, a, UINT32_MAX, word(0), 2),
		  WASM_TRAP_array_bounds);
	b = wasm_heap_array(f.store, shorts, 5);
	CHECK_INT(wasm_array_copy(f.store, b, 3, a, 0, 2), 0);
	CHECK_INT(wasm_array_copy(f.store, b, 2, b, 3, 2), 0);
	CHECK_INT(((uint16_t *)wasm_object_at(b, 0))[3], 0x2345);
	CHECK_INT(wasm_array_copy(f.store, b, 4, a, 0, 2),
		  WASM_TRAP_array_bounds);
	CHECK_INT(wasm_array_copy(f.store, b, 0, a, 1, 2),
		  WASM_TRAP_array_bounds);
	CHECK_INT(wasm_array_copy(f.store, b, 0, 0, 0, 0),
		  WASM_TRAP_null_array);
	b = wasm_heap_array(f.store, shorts, 100);
	for (uint16_t n = 0; n < 33; n++) {
		CHECK_INT(wasm_array_fill(f.store, b, n, word(n + 1), 2 * n),
			  0);
		at = wasm_object_at(b, 0);
		CHECK(n == 0 || (at[n] == n + 1 && at[3 * n - 1] == n + 1));
		CHECK_INT(at[3 * n], 0);
		CHECK_INT(wasm_array_fill(f.store, b, 0, word(0), 100), 0);
		CHECK(at[0] == 0 && at[99] == 0);
	}
	CHECK_INT(wasm_array_new_elem(instance, refs, 0, 1, 1, &c), 0);
	CHECK_INT(*(wasm_ref *)wasm_object_at(c, 0), wasm_ref_of_i31(2));
	CHECK_INT(wasm_array_init_elem(instance, c, 0, 0, 0, 1), 0);
	CHECK_INT(*(wasm_ref *)wasm_object_at(c, 0), wasm_ref_of_i31(1));
	CHECK_INT(wasm_array_init_elem(instance, c, 0, 0, 1, 2),
		  WASM_TRAP_array_bounds);
	CHECK_INT(wasm_array_new_elem(instance, refs, 0, 1, 2, &c),
		  WASM_TRAP_table_bounds);
	teardown(&f);
}

#define HEAP(kind) (WASM_REF | WASM_ABSTRACT | WASM_##kind)

TEST(references_match_types)
{
	/* $0 (sub (struct)), $1 (sub 0 (struct i32)), $2 array, $3 (sub
	 * (func)), $4 (sub 3 (func)) */
	const char *text = "@1 05 50 00 5f 00 50 01 00 5f 01 7f 00 5e 78 00 "
			   "50 00 60 00 00 50 01 03 60 00 00 @3 01 04 "
			   "@10 01 02 00 0b";
	struct wasm_instance *instance;
	wasm_ref top, sub, array, function, i31 = wasm_ref_of_i31(7);
	wasm_ref host = wasm_ref_of_host(7);
	wasm_type type[5];
	struct wasm_store *s;
	struct fixture f;

	setup(&f);
	s = f.store;
	instance = instance_of(&f, text);
	for (unsigned i = 0; i < 5; i++)
		type[i] = WASM_REF | instance->module->type[i]->id;
	top = wasm_heap_struct(s, type[0] & WASM_REF_HEAP);
	sub = wasm_heap_struct(s, type[1] & WASM_REF_HEAP);
	array = wasm_heap_array(s, type[2] & WASM_REF_HEAP, 1);
	function = (wasm_ref)wasm_instance_function(instance, 0);
	CHECK(wasm_ref_matches(s, 0, type[0] | WASM_NULLABLE));
	CHECK(!wasm_ref_matches(s, 0, type[0]));
	CHECK(wasm_ref_matches(s, 0, HEAP(NULL) | WASM_NULLABLE));
	CHECK(!wasm_ref_matches(s, 0, HEAP(ANY)));
	CHECK(!wasm_ref_matches(s, i31, HEAP(NULL) | WASM_NULLABLE));
	CHECK(wasm_ref_matches(s, top, type[0]));
	CHECK(wasm_ref_matches(s, sub, type[0]));
	CHECK(!wasm_ref_matches(s, top, type[1]));
	CHECK(!wasm_ref_matches(s, array, type[0]));
	CHECK(!wasm_ref_matches(s, i31, type[0]));
	CHECK(!wasm_ref_matches(s, host, type[0]));
	CHECK(wasm_ref_matches(s, array, HEAP(ARRAY)));
	CHECK(!wasm_ref_matches(s, array, HEAP(STRUCT)));
	CHECK(wasm_ref_matches(s, sub, HEAP(STRUCT)));
	CHECK(wasm_ref_matches(s, i31, HEAP(I31)));
	CHECK(!wasm_ref_matches(s, sub, HEAP(I31)));
	CHECK(wasm_ref_matches(s, i31, HEAP(EQ)));
	CHECK(wasm_ref_matches(s, array, HEAP(EQ)));
	CHECK(!wasm_ref_matches(s, host, HEAP(EQ)));
	CHECK(wasm_ref_matches(s, host, HEAP(ANY)));
	CHECK(wasm_ref_matches(s, host, HEAP(EXTERN)));
	CHECK(!wasm_ref_matches(s, host, HEAP(NOEXTERN)));
	CHECK(wasm_ref_matches(s, function, type[4]));
	CHECK(wasm_ref_matches(s, function, type[3]));
	CHECK(wasm_ref_matches(s, function, HEAP(FUNC)));
	CHECK(!wasm_ref_matches(s, function, HEAP(NOFUNC)));
	teardown(&f);
}

TEST(traps_have_texts)
{
	for (int trap = 0; trap <= WASM_TRAP_exit; trap++)
		CHECK(strcmp(wasm_trap_text(trap), "unknown trap") != 0);
	CHECK_TEXT(wasm_trap_text(WASM_TRAP_exit + 1), "unknown trap");
}

TEST_MAIN
