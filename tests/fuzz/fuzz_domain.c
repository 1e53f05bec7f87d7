/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that is anything at all.  The input is a head, then machine code for
 * ring 3, what the call page shall say from the bell on, what the data shall
 * be, and linear memory.  The code runs for two milliseconds; a domain that
 * outlives this is given a command, whose outcome is what the page says.  No
 * input may harm the host: what it takes from the guest stays within bounds,
 * what it opens is the domain's. */
#include "base/buf.h"
#include "domain/program.h"
#include "lib/hostile.h"
#include "wat/wat.h"
#include <signal.h>
#include <sys/resource.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WITHIN_NS = 2000000, MEMORY_BYTES = 1 << 17, KEEP = 64 };

struct head {
	uint8_t mode, command;
	uint16_t code, page, data; /* bytes */
};
enum mode {
	MODE_FAULTS = 1 << 0, /* the fault entry is the code's begin, too */
	MODE_MEMORY = 1 << 1,
	MODE_WASI = 1 << 2,
	MODE_LIMIT = 1 << 3,
	MODE_AGAIN = 1 << 4, /* the command runs the code, as it is then */
	MODE_SLOW = 1 << 5,  /* by the CPU alone, stop after stop */
};

static struct ground ground;
static struct vm vm;
static struct program program;
static struct wasi *wasi;

static void end(void)
{
	program_close(&program);
	vm_fini(&vm);
	wasi_close(wasi);
	ground_close(&ground);
}

/* Once: what the domains are served with, and code whose places a lying trace
 * is looked up in. */
static bool begin(void)
{
	static const char text[] =
		"(module (func $f (export \"f\") (param i32) (result i32)"
		" (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))"
		" (else (call $f (i32.sub (local.get 0) (i32.const 1)))))))";
	static const struct cache_options off = { .place = "off" };
	static const struct wasi_options nothing = { .stdio = { -1, -1, -1 } };
	static int state;
	const struct vm_options options = { .cache = &off };
	const struct rlimit small = { 1 << 20, 1 << 20 };
	auto_buf struct buf bytes = { 0 };
	struct wasm_module *module;
	struct err err = { 0 };

	if (state)
		return state > 0;
	state = -1;
	if (ground_open(&ground, true, &err) < 0) {
		printf("# no domains: %s\n", err.text);
		return false;
	}
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	if (wat_to_binary("f", text, strlen(text), &bytes, &err) < 0 ||
	    vm_init(&vm, &options, &err) < 0 ||
	    vm_load(&vm, bytes.data, bytes.len, &module, &err) < 0 ||
	    program_open(&program, &vm, module, &err) < 0 ||
	    wasi_open(&wasi, &nothing, &err) < 0)
		__builtin_trap();
	atexit(end);
	state = 1;
	return true;
}

/* The rest of the input, a piece after the other. */
struct input {
	const uint8_t *at;
	size_t left;
};

static size_t take(struct input *input, void *to, size_t want, size_t room)
{
	size_t len = want < input->left ? want : input->left;

	if (len > room)
		len = room;
	if (len)
		memcpy(to, input->at, len);
	input->at += len;
	input->left -= len;
	return len;
}

static void prepare(struct hostile *it, const struct head *head,
		    struct input *input)
{
	struct space *space = &it->domain->space;
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);
	uint8_t *page = (uint8_t *)space_call(space);
	const size_t from = offsetof(struct guest_call, bell);

	take(input, it->code, head->code, HOSTILE_CODE);
	take(input, page + from, head->page, sizeof(struct guest_call) - from);
	take(input, space_data(space), head->data, GUEST_DATA_BYTES);
	if (head->mode & MODE_MEMORY) {
		if (space_add(space, MEMORY_BYTES, NULL) < 0 ||
		    space_open(space, SPACE_WINDOWS, MEMORY_BYTES, NULL) < 0)
			__builtin_trap();
		take(input, space->regions[SPACE_WINDOWS].at, input->left,
		     MEMORY_BYTES);
	}
	if (head->mode & MODE_WASI)
		domain_set_wasi(it->domain, wasi);
	if (head->mode & MODE_FAULTS)
		memcpy(space_system(space) + (image->fault_entry - GUEST_VA),
		       it->code, 64);
}

static void look_at(const struct hostile *it)
{
	const struct space *space = &it->domain->space;

	if (space->tables.used > GUEST_TABLES_BYTES / GUEST_PAGE ||
	    space->region_count > SPACE_WINDOWS + GUEST_MEMORIES_MOST ||
	    space->physical > GUEST_CODE_AT)
		__builtin_trap();
	for (uint32_t i = 0; i < space->region_count; i++) {
		const struct space_region *region = &space->regions[i];

		if (region->bytes > region->open ||
		    region->open > region->backed ||
		    region->backed > region->reserve)
			__builtin_trap();
	}
	if (it->domain->is_broken && !it->domain->why[0])
		__builtin_trap();
}

static void look_at_text(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ')
			__builtin_trap();
}

static void look_at_outcome(const struct domain_outcome *outcome)
{
	auto_buf struct buf text = { 0 };

	look_at_text(outcome->message);
	program_describe(&program, outcome->trace[0].module, outcome, &text);
}

static void command(struct hostile *it, const struct head *head)
{
	static struct domain_values values;
	static union wasm_value arguments[4];
	struct domain_outcome outcome = { 0 };
	struct domain_item item;
	struct err err = { 0 };
	const uint8_t *code = it->code;
	uint32_t number;
	int r;

	switch (head->command % 6) {
	case 0:
		r = domain_call(it->domain, 0, "f", 1, arguments, 4, &values,
				&outcome, &err);
		if (r >= 0 && values.count > DOMAIN_VALUES)
			__builtin_trap();
		look_at_outcome(&outcome);
		break;
	case 1:
		domain_find(it->domain, head->command, "f", 1, &item, &err);
		break;
	case 2:
		domain_global(it->domain, 0, (const char *)code,
			      head->command * 64u, &values, &err);
		break;
	case 3:
		domain_instantiate(it->domain, 0, &number, &outcome, &err);
		look_at_outcome(&outcome);
		break;
	case 4: domain_register(it->domain, 0, "name", 4, &err); break;
	default: domain_load(it->domain, &program.code, &number, &err);
	}
	look_at_text(err.text);
}

/* One more stop after the other, whatever the domain would make of it. */
static void stop_by_stop(struct hostile *it)
{
	struct cpu_stop stop = { .event = CPU_BELL };

	for (int i = 0; i < 8 && stop.event == CPU_BELL; i++)
		hostile_once(it, WITHIN_NS, &stop);
	if (stop.event == CPU_BROKEN)
		look_at_text(stop.why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct domain_options options = { 0 };
	struct input input = { data, size };
	struct head head = { 0 };
	struct hostile it;
	struct err err = { 0 };

	if (!begin())
		return 0;
	take(&input, &head, sizeof(head), sizeof(head));
	if (head.mode & MODE_LIMIT)
		options.memory_bytes = MEMORY_BYTES;
	if (hostile_open(&it, &ground, &options, &err) < 0)
		__builtin_trap();
	prepare(&it, &head, &input);
	it.registers.general[3] = GUEST_DATA_VA;
	it.registers.general[5] = GUEST_CALL_VA;
	if (head.mode & MODE_SLOW)
		stop_by_stop(&it);
	else
		hostile_run(&it, WITHIN_NS, &err);
	look_at_text(err.text);
	look_at(&it);
	if (!it.domain->is_broken) {
		if (head.mode & MODE_AGAIN)
			it.domain->cpu->kind->go(it.domain->cpu, &it.registers);
		domain_set_deadline(it.domain, (int64_t)clock_ns() + WITHIN_NS);
		command(&it, &head);
		look_at(&it);
	}
	hostile_close(&it);
	return 0;
}
