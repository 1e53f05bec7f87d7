/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: an instance in which a function of the module has run, kept as
 * an object of the cache, and instances made from it.
 *
 * The pages of its memories that are not zero are mapped copy-on-write from
 * the object's file, so that an instance costs what it writes.  Where there
 * is no file (the snapshot was just made, there is no cache, or descriptors
 * are short), they are copied. */
#include "cache/code_header.h"
#include "vm/vm_internal.h"
#include "wasm/state.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* More runs than these are copied: a process has some 65,000 mappings. */
enum { SNAPSHOT_MAPPED_MOST = 1024 };

struct vm_snapshot {
	struct vm *vm;
	const struct wasm_module *module;
	const char *init;
	struct cache_object *object;	/* NULL: there is no cache */
	struct wasm_instance *instance; /* in which init has run */
	uint8_t *image;			/* NULL: not made yet */
	uint64_t own_bytes; /* of the image, where it is no object's */
};

static const struct code_header *snapshot_header(const struct vm_snapshot *of)
{
	return (const struct code_header *)of->image;
}

static const void *snapshot_at(const struct vm_snapshot *of, uint64_t at)
{
	return of->image + at;
}

int vm_snapshot_open(struct vm *vm, const struct wasm_module *module,
		     const char *init, struct vm_snapshot **made,
		     struct err *err)
{
	const struct vm_code_options *options = &vm->options.code;
	struct cache_request request = { .fd = -1 };
	struct vm_snapshot *snapshot = calloc(1, sizeof(*snapshot));

	*made = snapshot;
	if (!snapshot)
		return err_set(err, -ENOMEM, "open a snapshot");
	snapshot->vm = vm;
	snapshot->module = module;
	snapshot->init = init;
	if (!options->cache)
		return 0;
	if (options->source.bytes ? options->source.bytes == module->bytes
				  : options->source.stamp.size == module->len)
		request = options->source;
	request.bytes = module->bytes;
	request.len = module->len;
	request.options = request.features = 0;
	request.init = init;
	if (cache_get(options->cache, &request, &snapshot->object) != CACHE_HIT)
		return 0;
	snapshot->image = snapshot->object->image;
	return snapshot_header(snapshot)->state_bytes != 0;
}

void vm_snapshot_close(struct vm_snapshot *snapshot)
{
	if (!snapshot)
		return;
	if (snapshot->object)
		cache_drop(snapshot->object);
	if (snapshot->own_bytes)
		munmap(snapshot->image, snapshot->own_bytes);
	free(snapshot);
}

/* ---- running -------------------------------------------------------------- */

static int snapshot_call(struct vm_snapshot *snapshot, const char *name,
			 bool must, struct err *err)
{
	struct vm *vm = snapshot->vm;
	const struct wasm_deftype *type;
	struct wasm_extern found;

	if (!wasm_instance_export(snapshot->instance, name,
				  (uint32_t)strlen(name), &found) ||
	    found.kind != WASM_EXTERN_FUNCTION)
		return must ? err_set(err, -EINVAL,
				      "no function \"%s\" is exported", name)
			    : 0;
	type = wasm_types_get(vm->types, found.function->type);
	if (type->param_count || type->result_count)
		return err_set(err, -EINVAL, "%s has parameters or results",
			       name);
	return (int)vm_call(vm, found.function, NULL, NULL);
}

/* What it takes of the fuel is given back: the next start takes none. */
int vm_snapshot_run(struct vm_snapshot *snapshot, struct err *err)
{
	struct vm *vm = snapshot->vm;
	int64_t fuel = vm->store->fuel_left;
	int result =
		vm_instantiate(vm, snapshot->module, &snapshot->instance, err);

	if (result == 0 && strcmp(snapshot->init, "_initialize") != 0)
		result = snapshot_call(snapshot, "_initialize", false, err);
	if (result == 0)
		result = snapshot_call(snapshot, snapshot->init, true, err);
	if (result == 0)
		vm->store->fuel_left = fuel;
	return result;
}

/* ---- keeping -------------------------------------------------------------- */

static int snapshot_find_pages(const struct vm_snapshot *snapshot,
			       struct vm_pages *pages)
{
	int result = 0;

	for (uint32_t i = 0; i < snapshot->module->memory_count && result >= 0;
	     i++) {
		const struct wasm_memory *memory =
			snapshot->instance->memories[i];

		result = vm_pages_add_bytes(pages, i, 0, memory->base,
					    memory->bytes);
	}
	vm_pages_settle(pages);
	return result;
}

static uint64_t snapshot_up(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

static struct code_header snapshot_lay_out(const struct vm_snapshot *snapshot,
					   const struct vm_pages *pages)
{
	struct code_header header = {
		.magic = CODE_MAGIC,
		.version = CODE_VERSION,
		.header_bytes = sizeof(header),
		.functions_at = sizeof(header),
		.run_count = pages->count,
		.page_count = pages->page_count,
		.state_bytes = wasm_state_bytes(snapshot->instance),
	};

	header.landings_at = header.runs_at =
		header.functions_at + sizeof(struct code_function);
	header.state_at = snapshot_up(
		header.runs_at + pages->count * sizeof(struct code_run), 16);
	header.text_at =
		snapshot_up(header.state_at + header.state_bytes, CODE_PAGE);
	header.pages_at = pages->count ? header.text_at : 0;
	header.file_bytes = header.text_at + pages->page_count * CODE_PAGE;
	return header;
}

static void snapshot_write(const struct vm_snapshot *snapshot,
			   const struct code_header *header,
			   const struct vm_pages *pages, uint8_t *image)
{
	memcpy(image, header, sizeof(*header));
	if (pages->count)
		memcpy(image + header->runs_at, pages->runs,
		       pages->count * sizeof(*pages->runs));
	wasm_state_write(snapshot->instance,
			 (struct code_state *)(image + header->state_at));
	for (uint32_t i = 0; i < pages->count; i++) {
		const struct code_run *run = &pages->runs[i];
		const struct wasm_memory *memory =
			snapshot->instance->memories[run->memory];
		uint64_t at = run->page * CODE_PAGE;
		uint64_t len = run->count * CODE_PAGE;

		if (len > memory->bytes - at)
			len = memory->bytes - at;
		memcpy(image + header->pages_at + run->file_page * CODE_PAGE,
		       memory->base + at, len);
	}
}

/* In the cache's range, where it is published from; else in own memory. */
static int snapshot_put(struct vm_snapshot *snapshot,
			const struct vm_pages *pages, struct err *err)
{
	struct code_header header = snapshot_lay_out(snapshot, pages);
	struct cache_object *object = snapshot->object;

	if (object && cache_reserve(object, header.file_bytes, NULL) == 0) {
		snapshot_write(snapshot, &header, pages, object->image);
		snapshot->image = object->image;
		if (cache_seal(object, err) < 0)
			return err->code;
		cache_publish(object);
		return 0;
	}
	snapshot->image = mmap(NULL, header.file_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (snapshot->image == MAP_FAILED) {
		snapshot->image = NULL;
		return err_set(err, -errno, "memory for a snapshot");
	}
	snapshot->own_bytes = header.file_bytes;
	snapshot_write(snapshot, &header, pages, snapshot->image);
	return 0;
}

int vm_snapshot_keep(struct vm_snapshot *snapshot, struct err *err)
{
	const char *why = wasm_state_refuse(snapshot->instance);
	struct vm_pages pages = { 0 };
	int result;

	if (why)
		return err_set(err, -EINVAL, "%s", why);
	if (snapshot_find_pages(snapshot, &pages) < 0)
		result = err_set(err, -ENOMEM, "memory for a snapshot");
	else
		result = snapshot_put(snapshot, &pages, err);
	vm_pages_fini(&pages);
	return result;
}

struct cache_object *vm_snapshot_object(const struct vm_snapshot *snapshot)
{
	return snapshot->own_bytes ? NULL : snapshot->object;
}

/* ---- instances ------------------------------------------------------------ */

static int snapshot_place_run(const struct vm_snapshot *snapshot,
			      struct wasm_memory *memory,
			      const struct code_run *run, bool may_map)
{
	uint64_t from = snapshot_header(snapshot)->pages_at +
			run->file_page * CODE_PAGE;
	uint8_t *to = memory->base + run->page * CODE_PAGE;
	uint64_t room = snapshot_up(memory->bytes, CODE_PAGE) / CODE_PAGE;

	if (run->page > room || run->count > room - run->page)
		return -EINVAL;
	if (!may_map || !snapshot->object || snapshot->object->fd < 0) {
		memcpy(to, snapshot_at(snapshot, from), run->count * CODE_PAGE);
		return 0;
	}
	memory->host_data = (void *)snapshot; /* not all is anonymous */
	return mmap(to, run->count * CODE_PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_FIXED, snapshot->object->fd,
		    (off_t)from) == MAP_FAILED
		       ? -errno
		       : 0;
}

static int snapshot_place(void *env, struct wasm_memory *memory, uint32_t index)
{
	const struct vm_snapshot *snapshot = env;
	const struct code_header *header = snapshot_header(snapshot);
	const struct code_run *runs = snapshot_at(snapshot, header->runs_at);
	int result = 0;

	for (uint32_t i = 0; i < header->run_count && result >= 0; i++)
		if (runs[i].memory == index)
			result = snapshot_place_run(snapshot, memory, &runs[i],
						    i < SNAPSHOT_MAPPED_MOST);
	return result;
}

int vm_snapshot_image(const struct vm_snapshot *snapshot, const uint8_t **image,
		      uint64_t *len, struct err *err)
{
	const char *why = code_header_check_tables(snapshot_header(snapshot));

	if (why)
		return err_set(err, -EBADMSG, "a snapshot: %s", why);
	*image = snapshot->image;
	*len = snapshot_header(snapshot)->file_bytes;
	return 0;
}

int vm_snapshot_instantiate(struct vm_snapshot *snapshot,
			    struct wasm_instance **instance, struct err *err)
{
	const struct code_header *header = snapshot_header(snapshot);
	struct wasm_state from = {
		.state = snapshot_at(snapshot, header->state_at),
		.place = snapshot_place,
		.env = snapshot,
	};
	const uint8_t *image;
	uint64_t len;

	int r = vm_snapshot_image(snapshot, &image, &len, err);

	if (r < 0)
		return r;
	return vm_instantiate_from(snapshot->vm, snapshot->module, &from,
				   instance, err);
}
