/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest does: one command of the host's after the other: modules
 * and instances beside those that are there.	CLAIM 3.9 */
#include "cache/code_header.h"
#include "guest.h"
#include "wasm/state.h"
#include <string.h>

struct guest guest;

bool guest_make_room(void *array, uint32_t count, uint32_t *room)
{
	void **old, **new;
	uint32_t more = *room ? 2 * *room : 8;

	if (count < *room)
		return true;
	new = guest_allocate(NULL, more * sizeof(void *));
	if (!new)
		return false;
	memcpy(&old, array, sizeof old);
	if (count)
		memcpy(new, old, count * sizeof(void *));
	guest_release(NULL, old, *room * sizeof(void *));
	memcpy(array, &new, sizeof new);
	*room = more;
	return true;
}

/* A store, and the names that the host serves. */
static int guest_open(void)
{
	const struct guest_call *page = guest_page();
	struct wasm_store_options options = {
		.stack_bytes = page->stack_bytes,
		.memory_bytes = page->memory_bytes,
		.fuel = (int64_t)page->fuel,
	};

	if (guest.store)
		return guest_fail("there is a store");
	guest.fuel = page->fuel;
	guest.types = wasm_types_new(&guest_host);
	if (guest.types)
		guest.store =
			wasm_store_make(&guest_host, guest.types, &options);
	if (!guest.store || guest_define_host() < 0)
		return guest_fail("no memory for a store");
	return 0;
}

/* Words: the module's bytes, and an image of its code or 0. */
static int load(struct guest_module *loaded, struct wasm_error *error)
{
	const uint64_t *words = guest_page()->command_words;
	struct wasm_load_options options = { .bodies_known = words[2] };

	if (wasm_module_load(&loaded->module, &guest_host, guest.types,
			     (const void *)words[0], words[1], &options,
			     error) < 0)
		return -1;
	loaded->module->host_data = loaded;
	if (!words[2])
		return 0;
	loaded->module->has_tail_calls =
		((const struct code_header *)words[2])->options & CODE_TAILS;
	return jit_code_open(&loaded->code, loaded->module,
			     (const void *)words[2], words[3], error);
}

static int guest_load(void)
{
	struct guest_module *loaded =
		guest_allocate(NULL, sizeof(struct guest_module));
	struct wasm_error error = { 0 };

	if (!loaded || !guest_make_room(&guest.modules, guest.module_count,
					&guest.module_room))
		return guest_fail("no memory for a module");
	if (load(loaded, &error) < 0) {
		wasm_module_free(loaded->module);
		guest_release(NULL, loaded, sizeof *loaded);
		return guest_fail(error.text);
	}
	loaded->number = guest.module_count;
	guest.modules[guest.module_count++] = loaded;
	return (int)loaded->number;
}

/* A snapshot's pages into a memory, which is all zero. */
static int place_pages(void *env, struct wasm_memory *memory, uint32_t index)
{
	const struct code_header *header = env;
	const uint8_t *image = env;
	const struct code_run *runs = (const void *)(image + header->runs_at);
	uint64_t room = (memory->bytes + CODE_PAGE - 1) / CODE_PAGE;

	for (uint32_t i = 0; i < header->run_count; i++) {
		if (runs[i].memory != index)
			continue;
		if (runs[i].page > room || runs[i].count > room - runs[i].page)
			return -1;
		memcpy(memory->base + runs[i].page * CODE_PAGE,
		       image + header->pages_at + runs[i].file_page * CODE_PAGE,
		       runs[i].count * CODE_PAGE);
	}
	return 0;
}

/* From a snapshot, where there is one. */
static int make_instance(const struct wasm_module *module,
			 const struct wasm_extern *imports,
			 struct code_header *snapshot,
			 struct wasm_instance **instance,
			 struct wasm_error *error)
{
	struct wasm_state from = { .place = place_pages, .env = snapshot };

	if (!snapshot)
		return wasm_instantiate(guest.store, module, imports, instance,
					error);
	from.state =
		(const void *)((const uint8_t *)snapshot + snapshot->state_at);
	return wasm_instantiate_from(guest.store, module, imports, &from,
				     instance, error);
}

static int instantiate(const struct wasm_module *module,
		       struct code_header *snapshot)
{
	size_t bytes =
		(module->import_count + 1ull) * sizeof(struct wasm_extern);
	struct wasm_extern *imports = guest_allocate(NULL, bytes);
	struct wasm_instance *instance = NULL;
	struct wasm_error error = { 0 };
	int result;

	if (!imports || !guest_make_room(&guest.instances, guest.instance_count,
					 &guest.instance_room))
		return guest_fail("no memory for an instance");
	result = guest_link(module, imports);
	if (result == 0)
		result = make_instance(module, imports, snapshot, &instance,
				       &error);
	if (result == -1 && error.text[0])
		guest_fail(error.text);
	guest_release(NULL, imports, bytes);
	if (result < 0)
		return -1;
	guest_ended((enum wasm_trap)result);
	guest.instances[guest.instance_count++] = instance;
	return (int)guest.instance_count - 1;
}

static int guest_instantiate(void)
{
	const uint64_t *words = guest_page()->command_words;

	if (words[0] >= guest.module_count)
		return guest_fail("there is no such module");
	return instantiate(guest.modules[words[0]]->module,
			   (struct code_header *)words[1]);
}

/* Words: instance, length of its name. */
static int guest_register(void)
{
	const uint64_t *words = guest_page()->command_words;
	struct wasm_name name = { (const char *)guest_data(),
				  (uint32_t)words[1] };

	if (words[0] >= guest.instance_count)
		return guest_fail("there is no such instance");
	if (guest_define_instance(name, guest.instances[words[0]]) < 0)
		return guest_fail("no memory for names");
	return 0;
}

static int guest_do(uint32_t command)
{
	if (command != GUEST_COMMAND_OPEN && !guest.store)
		return guest_fail("there is no store");
	switch (command) {
	case GUEST_COMMAND_OPEN: return guest_open();
	case GUEST_COMMAND_LOAD: return guest_load();
	case GUEST_COMMAND_INSTANTIATE: return guest_instantiate();
	case GUEST_COMMAND_REGISTER: return guest_register();
	case GUEST_COMMAND_FIND: return guest_find();
	case GUEST_COMMAND_CALL: return guest_call();
	case GUEST_COMMAND_GLOBAL: return guest_global();
	case GUEST_COMMAND_START: return guest_start();
	case GUEST_COMMAND_FILES: return guest_files_open();
	}
	return guest_fail("an unknown command");
}

void guest_main(void)
{
	struct guest_call *page = guest_page();

	page->result = 0;
	for (;;) {
		guest_bell(GUEST_BELL_DONE);
		page->trap = WASM_OK;
		page->trace_count = page->trace_total = 0;
		page->data_bytes = 0;
		if (page->command != GUEST_COMMAND_START)
			page->message[0] = 0;
		page->result = guest_do(page->command);
	}
}
