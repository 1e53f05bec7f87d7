/* SPDX-License-Identifier: Apache-2.0 */
/* Copy-on-write images: the active data segments of a memory, laid out in
 * pages that are mapped into each instance, so that an instance costs what it
 * touches.
 *
 * The pages are in the code object, where the module has one that is a file:
 * then all processes share them.  Else they are laid out once a module in a
 * sealed file without a name.
 *
 * There is an image only where the result is what the segments would give
 * one by one: their offsets are constants, they lie within the memory, and
 * no segment before them can trap in sight of others.
 *
 * An image has a descriptor for as long as its module lives.  Half of what
 * the process may have is left to others: modules beyond that are copied. */
#include "base/fd.h"
#include "vm/vm_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum {
	IMAGE_LEAST = 16 * 1024, /* bytes of data: less is copied as fast */
	IMAGE_RUNS_MOST = 64,	 /* of all memories */
};

/* A memory's; without runs it has none. */
struct vm_image {
	int fd;
	uint64_t pages_at; /* in the file */
	const struct code_run *runs;
	uint32_t run_count;
};

/* module->host_data */
struct vm_images {
	int fd; /* a file of its own, or -1 */
	struct vm_pages pages;
	uint32_t count;
	struct vm_image image[]; /* by memory */
};

/* "i32.const N end", "i64.const N end"; false: another expression. */
static bool vm_image_offset(const struct wasm_expression *expression,
			    uint64_t *offset)
{
	const uint8_t *at = expression->at, *end = at + expression->len;
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte = 0x80;

	if (expression->len < 3 || (at[0] != 0x41 && at[0] != 0x42))
		return false;
	for (at++; at < end && byte & 0x80 && shift < 64; shift += 7) {
		byte = *at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
	}
	if (byte & 0x40 && shift < 64)
		value |= UINT64_MAX << shift;
	*offset = expression->at[0] == 0x41 ? (uint32_t)value : value;
	return at + 1 == end && *at == 0x0b;
}

/* Leaves no trace: functions put into a table that is not the module's own
 * would see memory before the segment that traps behind them. */
static bool vm_image_is_unseen(const struct wasm_module *module)
{
	for (uint32_t i = 0; i < module->elem_count; i++)
		if (module->elems[i].mode == WASM_ACTIVE &&
		    module->elems[i].table < module->imported_tables)
			return false;
	return true;
}

static uint64_t vm_image_memory_bytes(const struct wasm_module *module,
				      uint32_t index)
{
	const struct wasm_limits *limits = &module->memories[index].limits;

	return limits->least << limits->page_log2;
}

/* Bytes of the memory's data, 0 where they cannot be an image. */
static uint64_t vm_image_weigh(const struct wasm_module *module, uint32_t index)
{
	uint64_t room = vm_image_memory_bytes(module, index), sum = 0, offset;

	for (uint32_t i = 0; i < module->data_count; i++) {
		const struct wasm_data *data = &module->datas[i];

		if (data->mode != WASM_ACTIVE || data->memory != index)
			continue;
		if (!vm_image_offset(&data->offset, &offset) || offset > room ||
		    data->len > room - offset)
			return 0;
		sum += data->len;
	}
	return sum;
}

/* Whose memories may have an image, and pays. */
static bool vm_image_pays(const struct wasm_module *module, uint32_t index)
{
	return index >= module->imported_memories &&
	       vm_image_weigh(module, index) >= IMAGE_LEAST;
}

static int vm_image_add(const struct wasm_module *module, uint32_t index,
			struct vm_pages *pages)
{
	int result = 0;

	for (uint32_t i = 0; i < module->data_count && result >= 0; i++) {
		const struct wasm_data *data = &module->datas[i];
		uint64_t offset;

		if (data->mode == WASM_ACTIVE && data->memory == index &&
		    vm_image_offset(&data->offset, &offset))
			result = vm_pages_add_bytes(pages, index, offset,
						    data->bytes, data->len);
	}
	return result;
}

void vm_image_pages(const struct wasm_module *module, struct vm_pages *pages)
{
	int result = 0;

	*pages = (struct vm_pages){ 0 };
	if (!vm_image_is_unseen(module))
		return;
	for (uint32_t i = 0; i < module->memory_count && result >= 0; i++)
		if (vm_image_pays(module, i))
			result = vm_image_add(module, i, pages);
	vm_pages_settle(pages);
	if (result < 0 || pages->count > IMAGE_RUNS_MOST)
		vm_pages_fini(pages);
}

void vm_image_put(const struct wasm_module *module, const struct code_run *runs,
		  uint32_t count, uint8_t *to)
{
	for (uint32_t i = 0; i < module->data_count; i++) {
		const struct wasm_data *data = &module->datas[i];
		uint64_t offset;

		if (data->mode == WASM_ACTIVE &&
		    vm_image_offset(&data->offset, &offset))
			vm_pages_put(runs, count, to, data->memory, offset,
				     data->bytes, data->len);
	}
}

/* Descriptors are given from the lowest one on, so that a number tells how
 * many there are. */
static bool vm_image_may_have(int fd)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	       (rlim_t)fd < limit.rlim_cur / 2;
}

static int vm_image_file(void)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("brood-data", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("brood-data", flags);
	if (fd >= 0 && (fd_raise(&fd, 3) < 0 || !vm_image_may_have(fd))) {
		fd_close(&fd);
		errno = EMFILE;
	}
	return fd;
}

static int vm_image_write(int fd, const struct wasm_module *module,
			  const struct vm_pages *pages)
{
	uint64_t bytes = pages->page_count * CODE_PAGE;
	uint8_t *to;

	if (ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (to == MAP_FAILED)
		return -errno;
	vm_image_put(module, pages->runs, pages->count, to);
	munmap(to, bytes);
	return fcntl(fd, F_ADD_SEALS,
		     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) <
			       0
		       ? -errno
		       : 0;
}

static void vm_images_drop(struct wasm_module *module)
{
	struct vm_images *images = module->host_data;

	if (images) {
		vm_pages_fini(&images->pages);
		fd_close(&images->fd);
	}
	free(images);
	module->host_data = NULL;
}

/* Each memory gets its runs, of pages that the file has from pages_at on. */
static void vm_images_share(struct vm_images *images, int fd, uint64_t pages_at,
			    const struct code_run *runs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct vm_image *image;

		if (runs[i].memory >= images->count)
			return;
		image = &images->image[runs[i].memory];
		if (!image->run_count)
			*image = (struct vm_image){ fd, pages_at, &runs[i], 0 };
		image->run_count++;
	}
}

static void vm_images_build(struct vm_images *images,
			    const struct wasm_module *module)
{
	struct vm_pages *pages = &images->pages;

	vm_image_pages(module, pages);
	if (!pages->count)
		return;
	images->fd = vm_image_file();
	if (images->fd >= 0 && vm_image_write(images->fd, module, pages) == 0)
		vm_images_share(images, images->fd, 0, pages->runs,
				pages->count);
}

/* Without memory, or a file, there are no images, and data is copied. */
static struct vm_images *vm_images_make(const struct wasm_module *module)
{
	const struct cache_object *object = vm_code_object(module);
	struct vm_images *images =
		calloc(1, sizeof *images + module->memory_count *
						   sizeof(struct vm_image));

	if (!images)
		return NULL;
	images->fd = -1;
	images->count = module->memory_count;
	if (object) {
		const struct code_header *head = (const void *)object->image;

		vm_images_share(images, object->fd, head->pages_at,
				(const void *)(object->image + head->runs_at),
				head->run_count);
	} else {
		vm_images_build(images, module);
	}
	return images;
}

const struct vm_image *vm_image_of(const struct wasm_module *module,
				   uint32_t index)
{
	/* What a host puts to a module is not the module. */
	struct wasm_module *host = (struct wasm_module *)module;
	struct vm_images *images =
		__atomic_load_n(&host->host_data, __ATOMIC_ACQUIRE);

	if (!images) {
		vm_lock(NULL);
		images = host->host_data;
		if (!images) {
			images = vm_images_make(module);
			host->host_drop = vm_images_drop;
			__atomic_store_n(&host->host_data, images,
					 __ATOMIC_RELEASE);
		}
		vm_unlock(NULL);
	}
	return images && images->image[index].run_count ? &images->image[index]
							: NULL;
}

int vm_image_map(const struct vm_image *image, struct wasm_memory *memory)
{
	for (uint32_t i = 0; i < image->run_count; i++) {
		const struct code_run *run = &image->runs[i];
		uint64_t room = (memory->bytes + CODE_PAGE - 1) / CODE_PAGE;

		if (run->page > room || run->count > room - run->page)
			return -EINVAL;
		if (mmap(memory->base + run->page * CODE_PAGE,
			 run->count * CODE_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_FIXED, image->fd,
			 (off_t)(image->pages_at +
				 run->file_page * CODE_PAGE)) == MAP_FAILED)
			return -errno;
	}
	return 0;
}
