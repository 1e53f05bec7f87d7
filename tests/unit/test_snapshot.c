/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: what an instance is comes back whole, costs what is written, and
 * is refused where it cannot be kept or does not fit.  So does initial data. */
#include "cache/code_header.h"
#include "fuzz/generate.h"
#include "lib/cached.h"
#include "lib/made_vm.h"
#include "wasm/state.h"
#include <sys/mman.h>

enum { MODULES = 300, ENTROPY = 3000 };

/* Round trips */

static int copy_memory(void *env, struct wasm_memory *memory, uint32_t index)
{
	const struct wasm_instance *from = env;

	memcpy(memory->base, from->memories[index]->base, memory->bytes);
	return 0;
}

/* NULL: it is refused. */
static struct code_state *state_of(const struct wasm_instance *instance)
{
	struct code_state *state;

	if (wasm_state_refuse(instance))
		return NULL;
	state = calloc(1, wasm_state_bytes(instance));
	wasm_state_write(instance, state);
	CHECK(code_state_bytes(state) == wasm_state_bytes(instance));
	return state;
}

static bool same_state(const struct wasm_instance *a,
		       const struct wasm_instance *b)
{
	struct code_state *first = state_of(a), *second = state_of(b);
	bool is_same = first && second &&
		       code_state_bytes(first) == code_state_bytes(second) &&
		       memcmp(first, second, code_state_bytes(first)) == 0;

	for (uint32_t i = 0; is_same && i < a->module->memory_count; i++)
		is_same = memcmp(a->memories[i]->base, b->memories[i]->base,
				 a->memories[i]->bytes) == 0;
	free(first);
	free(second);
	return is_same;
}

static bool call(struct made *made, struct wasm_instance *instance,
		 const char *name, union wasm_value *result, int *trap)
{
	struct wasm_extern found;

	*result = (union wasm_value){ 0 };
	if (!wasm_instance_export(instance, name, (uint32_t)strlen(name),
				  &found) ||
	    found.kind != WASM_EXTERN_FUNCTION)
		return false;
	*trap = (int)vm_call(&made->vm, found.function, NULL, result);
	return true;
}

/* What follows is the same in both. */
static bool same_future(struct made *made, struct wasm_instance *a,
			struct wasm_instance *b)
{
	static const char *const names[] = { "r1", "r0", "r2" };
	union wasm_value left, right;
	int first = 0, second = 0;

	for (int i = 0; i < 3; i++) {
		if (!call(made, a, names[i], &left, &first) ||
		    !call(made, b, names[i], &right, &second))
			continue;
		if (first != second || left.i64 != right.i64)
			return false;
	}
	return same_state(a, b);
}

/* 0: refused, 1: the same, -1: not. */
static int round_trip(struct made *made)
{
	struct wasm_state from = { .place = copy_memory };
	struct wasm_instance *again = NULL;
	struct wasm_error error = { 0 };
	union wasm_value result;
	struct code_state *state;
	int trap, rc;

	if (made_instantiate(made) < 0)
		return 0;
	call(made, made->instance, "r0", &result, &trap);
	state = state_of(made->instance);
	if (!state)
		return 0;
	from.state = state;
	from.env = made->instance;
	rc = wasm_instantiate_from(made->vm.store, made->module, NULL, &from,
				   &again, &error);
	free(state);
	if (rc < 0 || !same_state(made->instance, again))
		return -1;
	return same_future(made, made->instance, again) ? 1 : -1;
}

static int generated(uint64_t seed, enum vm_via via)
{
	const struct vm_options options = { .code.via = via };
	uint32_t features = GENERATE_ALL & ~GENERATE_IMPORTS & ~GENERATE_GC;
	auto_buf struct buf binary = { 0 };
	uint8_t entropy[ENTROPY];
	struct made made = { 0 };
	int result = 0;

	generate_entropy(seed, entropy, sizeof(entropy));
	generate_module(entropy, sizeof(entropy),
			seed % 4 ? features : features | GENERATE_GC, &binary,
			NULL);
	CHECK_INT(vm_init(&made.vm, &options, &made_err), 0);
	if (vm_load(&made.vm, binary.data, binary.len, &made.module,
		    &made_err) == 0)
		result = round_trip(&made);
	made_close(&made);
	return result;
}

TEST(what_an_instance_is_comes_back)
{
	int kept = 0, wrong = 0;

	for (uint64_t seed = 0; seed < MODULES; seed++) {
		int result =
			generated(seed, seed % 2 ? VM_AUTO : VM_INTERPRETED);

		if (result < 0)
			printf("# seed %lu\n", (unsigned long)seed);
		kept += result > 0;
		wrong += result < 0;
	}
	printf("# %d of %d modules can be kept\n", kept, MODULES);
	CHECK_INT(wrong, 0);
	CHECK(kept > MODULES / 4);
}

/* Through the cache */

static const char heavy[] =
	"(module (memory (export \"memory\") 1) (table $t 2 funcref)"
	"(global $runs (mut i32) (i32.const 0))"
	"(elem declare func $a) (func $a (result i32) i32.const 7)"
	"(func (export \"init\") (local $i i32)"
	" (drop (memory.grow (i32.const 200)))"
	" (table.set $t (i32.const 1) (ref.func $a))"
	" (global.set $runs (i32.add (global.get $runs) (i32.const 1)))"
	" (loop $l (i32.store (i32.add (i32.const 65536)"
	"   (i32.shl (local.get $i) (i32.const 12))) (local.get $i))"
	"  (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i)"
	"   (i32.const 1))) (i32.const 3000)))))"
	"(func (export \"trap\") unreachable)"
	"(func (export \"get\") (param i32) (result i32)"
	" (i32.store (i32.const 1048576) (i32.const 1))"
	" (i32.add (call_indirect $t (result i32) (i32.const 1))"
	"  (i32.add (global.get $runs) (i32.load (local.get 0))))))";

struct kept_vm {
	struct made made;
	struct vm_snapshot *snapshot;
};

static int open_vm(struct kept_vm *kept, const char *text, const char *init)
{
	const struct cache_options cache = { .place = NULL };
	const struct vm_options options = { .cache = &cache };

	*kept = (struct kept_vm){ 0 };
	if (vm_init(&kept->made.vm, &options, &made_err) < 0 ||
	    made_load(&kept->made, text) < 0)
		return -1;
	return vm_snapshot_open(&kept->made.vm, kept->made.module, init,
				&kept->snapshot, &made_err);
}

static void close_vm(struct kept_vm *kept)
{
	vm_snapshot_close(kept->snapshot);
	made_close(&kept->made);
}

static int instance_of(struct kept_vm *kept)
{
	return vm_snapshot_instantiate(kept->snapshot, &kept->made.instance,
				       &made_err);
}

static void keep_heavy(void)
{
	struct kept_vm kept;
	uint32_t value = 0;

	CHECK_INT(open_vm(&kept, heavy, "init"), 0);
	CHECK_INT(vm_snapshot_run(kept.snapshot, &made_err), 0);
	CHECK_INT(vm_snapshot_keep(kept.snapshot, &made_err), 0);
	CHECK_INT(cache_published(vm_snapshot_object(kept.snapshot), &made_err),
		  0);
	CHECK_INT(instance_of(&kept), 0);
	CHECK_INT(made_call(&kept.made, "get", 65536 + 4096 * 100, 0, &value),
		  WASM_OK);
	CHECK_INT(value, 7 + 1 + 100);
	close_vm(&kept);
}

/* KiB of a field of all mappings in the range.  What was written to a private
 * mapping is "Anonymous"; on tmpfs a page of the file alone is dirty too. */
static unsigned long mapped_kb(const uint8_t *base, uint64_t len,
			       const char *field)
{
	uintptr_t from, to, begin = (uintptr_t)base;
	unsigned long sum = 0, value;
	bool inside = false;
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[512];

	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from >= begin && to <= begin + len;
		else if (inside && !strncmp(line, field, strlen(field)) &&
			 sscanf(line + strlen(field), ": %lu", &value) == 1)
			sum += value;
	}
	if (smaps)
		fclose(smaps);
	return sum;
}

TEST(an_instance_costs_what_it_writes)
{
	auto_folder char *folder = cached_folder();
	struct wasm_memory *memory;
	struct kept_vm kept;
	uint32_t value = 0, sum = 0;

	keep_heavy();
	CHECK_INT(open_vm(&kept, heavy, "init"), 1);
	CHECK_INT(instance_of(&kept), 0);
	memory = kept.made.instance->memories[0];
	CHECK_INT(memory->bytes >> 16, 201);
	CHECK_INT(made_call(&kept.made, "get", 65536 + 4096 * 200, 0, &value),
		  WASM_OK);
	CHECK_INT(value, 7 + 1 + 200);
	for (uint64_t at = 0; at < memory->bytes; at += 4096)
		sum += memory->base[at];
	CHECK(sum > 0);
	printf("# %lu KiB mapped, %lu written\n",
	       mapped_kb(memory->base, memory->bytes, "Rss"),
	       mapped_kb(memory->base, memory->bytes, "Anonymous"));
	CHECK(mapped_kb(memory->base, memory->bytes, "Rss") >= 11900);
	CHECK(mapped_kb(memory->base, memory->bytes, "Anonymous") <= 64);
	close_vm(&kept);
}

/* Data of 1 MiB, and a page in the middle of it that is zero. */
static char *data_text(void)
{
	auto_buf struct buf text = { 0 };

	buf_text(&text, "(module (memory 32) (func (export \"get\")"
			" (param i32) (result i32)"
			" (i32.load8_u (local.get 0)))"
			"(data (i32.const 65536) \"");
	for (int i = 0; i < 1 << 20; i++)
		buf_text(&text, i >> 12 == 100 ? "\\00" : "d");
	buf_text(&text, "\"))");
	return strdup(buf_string(&text));
}

static void compile(const char *text)
{
	struct cache_object *object;
	struct kept_vm kept;

	CHECK_INT(open_vm(&kept, text, "none"), 0);
	CHECK_INT(vm_compile(&kept.made.vm, kept.made.module, &object,
			     &made_err),
		  0);
	CHECK_INT(cache_published(object, &made_err), 0);
	close_vm(&kept);
}

TEST(data_is_mapped_from_the_code_object)
{
	auto_folder char *folder = cached_folder();
	auto_free char *text = data_text();
	const struct wasm_memory *memory;
	struct kept_vm kept;
	uint32_t value = 0;

	compile(text);
	CHECK_INT(open_vm(&kept, text, "none"), 0);
	CHECK_INT(made_instantiate(&kept.made), 0);
	memory = kept.made.instance->memories[0];
	for (uint32_t i = 0; i < 1 << 20; i += 4096) {
		CHECK_INT(made_call(&kept.made, "get", 65536 + i, 0, &value),
			  WASM_OK);
		if (value != (i >> 12 == 100 ? 0 : 'd'))
			CHECK_INT((int)i, -1);
	}
	CHECK_INT(memory->base[65535] | memory->base[65536 + (1 << 20)], 0);
	CHECK(mapped_kb(memory->base, memory->bytes, "Rss") >= 1024);
	CHECK(mapped_kb(memory->base, memory->bytes, "Anonymous") <= 16);
	close_vm(&kept);
}

/* Another function's is another one; a trap keeps none. */
TEST(what_is_not_kept)
{
	auto_folder char *folder = cached_folder();
	struct kept_vm kept;

	keep_heavy();
	CHECK_INT(open_vm(&kept, heavy, "trap"), 0);
	CHECK_INT(vm_snapshot_run(kept.snapshot, &made_err),
		  WASM_TRAP_unreachable);
	close_vm(&kept);
	CHECK_INT(open_vm(&kept, heavy, "none"), 0);
	CHECK(vm_snapshot_run(kept.snapshot, &made_err) < 0);
	close_vm(&kept);
	CHECK_INT(open_vm(&kept, heavy, "get"), 0);
	CHECK(vm_snapshot_run(kept.snapshot, &made_err) < 0);
	close_vm(&kept);
	CHECK_INT(open_vm(&kept, heavy, "trap"), 0);
	close_vm(&kept);
}

static bool refuses(const char *text)
{
	struct kept_vm kept;
	int result = open_vm(&kept, text, "init");

	CHECK_INT(result, 0);
	CHECK_INT(vm_snapshot_run(kept.snapshot, &made_err), 0);
	result = vm_snapshot_keep(kept.snapshot, &made_err);
	close_vm(&kept);
	return result < 0;
}

TEST(what_is_refused)
{
	auto_folder char *folder = cached_folder();

	CHECK(refuses("(module (memory 1 1 shared) (func (export \"init\")))"));
	CHECK(refuses("(module (type $s (struct)) (global (mut anyref)"
		      " (struct.new $s)) (func (export \"init\")))"));
	CHECK(refuses("(module (table $t 1 anyref) (func (export \"init\")"
		      " (table.set $t (i32.const 0)"
		      "  (ref.i31 (i32.const 1)))))"));
	CHECK(!refuses("(module (table 1 anyref) (func (export \"init\")))"));
}

/* Broken ones */

/* A copy of the object that can be changed. */
static uint8_t *image_of(const struct kept_vm *kept, uint64_t *len)
{
	const struct cache_object *object = vm_snapshot_object(kept->snapshot);
	uint8_t *copy = malloc(object->len);

	*len = object->len;
	memcpy(copy, object->image, object->len);
	return copy;
}

static bool is_right(const void *image, uint64_t len)
{
	return !code_header_check(image, len, len) &&
	       !code_header_check_tables(image);
}

TEST(fields_that_lie)
{
	auto_folder char *folder = cached_folder();
	struct kept_vm kept;
	uint64_t len;
	uint8_t *image, *good;
	struct code_header *head;
	struct code_run *run;
	struct code_state *state;
	struct code_list *list;

	keep_heavy();
	CHECK_INT(open_vm(&kept, heavy, "init"), 1);
	image = image_of(&kept, &len);
	good = image_of(&kept, &len);
	head = (void *)image;
	run = (void *)(image + head->runs_at);
	state = (void *)(image + head->state_at);
	list = code_state_lists(state);
	CHECK(is_right(image, len));
	CHECK(head->run_count > 0 && state->list_count == 2);
#define LIES(change)                            \
	do {                                    \
		change;                         \
		CHECK(!is_right(image, len));   \
		memcpy(image, good, CODE_PAGE); \
	} while (0)
	LIES(head->run_count++);
	LIES(head->optimised_count = 1);
	LIES(head->optimised_at = head->state_at);
	LIES(head->runs_at += 4);
	LIES(head->runs_at = head->text_at);
	LIES(head->pages_at += CODE_PAGE);
	LIES(head->pages_at = 0);
	LIES(head->page_count++);
	LIES(head->state_at += 8);
	LIES(head->state_at = 0);
	LIES(head->state_bytes++);
	LIES(head->state_bytes = 0);
	LIES(head->state_bytes = 1 << 30);
	LIES(head->text_bytes = 1);
	LIES(run->page = UINT64_MAX);
	LIES(run->count = 0);
	LIES(run->count = UINT64_MAX);
	LIES(run->file_page = 1);
	LIES(run->reserved = 1);
	LIES(state->global_count++);
	LIES(state->memory_count++);
	LIES(state->list_count = UINT32_MAX);
	LIES(state->item_count--);
	LIES(state->data_count = 77);
	LIES(state->reserved[2] = 1);
	LIES(list->used = 3);
	LIES(list->used = UINT32_MAX);
	LIES(list->first = 1);
	LIES(list->length = 1);
	CHECK(is_right(image, len));
	free(image);
	free(good);
	close_vm(&kept);
}

/* Whole, but of another module: no instance, and nothing breaks. */
TEST(states_that_do_not_fit)
{
	struct wasm_state from = { .place = copy_memory };
	struct wasm_instance *again;
	struct wasm_error error = { 0 };
	struct code_state *state;
	struct made made;

	CHECK(made_open(&made, NULL, heavy));
	CHECK_INT(made_call(&made, "init", 0, 0, NULL), WASM_OK);
	state = state_of(made.instance);
	from.state = state;
	from.env = made.instance;
	for (int i = 0; i < 6; i++) {
		int expected = i == 5 ? 0 : -1;

		switch (i) {
		case 0: code_state_items(state)[1] = 1000; break;
		case 1: code_state_memories(state)[0]++; break;
		case 2: code_state_memories(state)[0] = 0; break;
		case 3: code_state_lists(state)[0].length = 1ull << 40; break;
		case 4: state->memory_count = 0; break;
		}
		CHECK_INT(wasm_instantiate_from(made.vm.store, made.module,
						NULL, &from, &again, &error),
			  expected);
		wasm_state_write(made.instance, state);
	}
	free(state);
	made_close(&made);
}

TEST_MAIN
