/* SPDX-License-Identifier: Apache-2.0 */
/* Copy-on-write images: the active data segments of a memory, laid out once
 * a module in pages of a sealed file without a name, which are mapped into
 * each instance, so that an instance costs what it touches.
 *
 *	memory  ....DDDD..DD......................DDD....
 *	            |run    |                     |run|
 *	file        DDDD..DDDDD
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
	IMAGE_PAGE = 4096,
	IMAGE_LEAST = 16 * 1024, /* bytes of data: less is copied as fast */
	IMAGE_GAP = 16,		 /* pages that do not end a run */
	IMAGE_RUNS_MOST = 64,
};

struct vm_image_run {
	uint64_t page, count, file_page;
};

struct vm_image {
	int fd; /* -1: no image */
	uint32_t run_count;
	struct vm_image_run *runs;
};

/* module->host_data */
struct vm_images {
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

static int vm_image_compare(const void *a, const void *b)
{
	const struct vm_image_run *left = a, *right = b;

	return (left->page > right->page) - (left->page < right->page);
}

/* Sorted runs become fewer, with their places in the file; the file's pages. */
static uint64_t vm_image_merge(struct vm_image *image)
{
	struct vm_image_run *last = image->runs;
	uint64_t pages = 0;

	qsort(image->runs, image->run_count, sizeof *image->runs,
	      vm_image_compare);
	for (uint32_t i = 1; i < image->run_count; i++) {
		const struct vm_image_run *run = &image->runs[i];
		uint64_t end = run->page + run->count;

		if (run->page > last->page + last->count + IMAGE_GAP)
			*++last = *run;
		else if (end > last->page + last->count)
			last->count = end - last->page;
	}
	image->run_count = (uint32_t)(last - image->runs) + 1;
	for (uint32_t i = 0; i < image->run_count; i++) {
		image->runs[i].file_page = pages;
		pages += image->runs[i].count;
	}
	return pages;
}

/* A run for each segment that has bytes. */
static int vm_image_find_runs(struct vm_image *image,
			      const struct wasm_module *module, uint32_t index)
{
	uint64_t offset;

	image->runs = calloc(module->data_count, sizeof *image->runs);
	if (!image->runs)
		return -ENOMEM;
	for (uint32_t i = 0; i < module->data_count; i++) {
		const struct wasm_data *data = &module->datas[i];
		struct vm_image_run *run = &image->runs[image->run_count];

		if (data->mode != WASM_ACTIVE || data->memory != index ||
		    !data->len || !vm_image_offset(&data->offset, &offset))
			continue;
		run->page = offset / IMAGE_PAGE;
		run->count =
			(offset + data->len - 1) / IMAGE_PAGE + 1 - run->page;
		image->run_count++;
	}
	return 0;
}

static uint64_t vm_image_file_offset(const struct vm_image *image,
				     uint64_t offset)
{
	const struct vm_image_run *run = image->runs;

	while (offset / IMAGE_PAGE >= run->page + run->count)
		run++;
	return run->file_page * IMAGE_PAGE + offset - run->page * IMAGE_PAGE;
}

static int vm_image_write(struct vm_image *image,
			  const struct wasm_module *module, uint32_t index)
{
	uint64_t offset;
	int result = 0;

	for (uint32_t i = 0; i < module->data_count && result >= 0; i++) {
		const struct wasm_data *data = &module->datas[i];

		if (data->mode != WASM_ACTIVE || data->memory != index ||
		    !data->len || !vm_image_offset(&data->offset, &offset))
			continue;
		result = fd_pwrite_all(image->fd, data->bytes, data->len,
				       vm_image_file_offset(image, offset),
				       NULL);
	}
	return result;
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

static void vm_image_fini(struct vm_image *image)
{
	fd_close(&image->fd);
	free(image->runs);
	image->runs = NULL;
	image->run_count = 0;
}

static int vm_image_build(struct vm_image *image,
			  const struct wasm_module *module, uint32_t index)
{
	uint64_t pages;

	if (vm_image_find_runs(image, module, index) < 0)
		return -ENOMEM;
	pages = vm_image_merge(image);
	if (image->run_count > IMAGE_RUNS_MOST)
		return -E2BIG;
	image->fd = vm_image_file();
	if (image->fd < 0 ||
	    ftruncate(image->fd, (off_t)(pages * IMAGE_PAGE)) < 0)
		return -errno;
	if (vm_image_write(image, module, index) < 0)
		return -EIO;
	if (fcntl(image->fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

static void vm_images_drop(struct wasm_module *module)
{
	struct vm_images *images = module->host_data;

	for (uint32_t i = 0; images && i < images->count; i++)
		vm_image_fini(&images->image[i]);
	free(images);
	module->host_data = NULL;
}

/* Without memory, or a file, there are no images, and data is copied. */
static struct vm_images *vm_images_make(const struct wasm_module *module)
{
	bool unseen = vm_image_is_unseen(module);
	struct vm_images *images =
		calloc(1, sizeof *images + module->memory_count *
						   sizeof(struct vm_image));

	if (!images)
		return NULL;
	images->count = module->memory_count;
	for (uint32_t i = 0; i < images->count; i++) {
		struct vm_image *image = &images->image[i];

		image->fd = -1;
		if (unseen && i >= module->imported_memories &&
		    vm_image_weigh(module, i) >= IMAGE_LEAST &&
		    vm_image_build(image, module, i) < 0)
			vm_image_fini(image);
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
	return images && images->image[index].fd >= 0 ? &images->image[index]
						      : NULL;
}

int vm_image_map(const struct vm_image *image, uint8_t *base)
{
	for (uint32_t i = 0; i < image->run_count; i++) {
		const struct vm_image_run *run = &image->runs[i];

		if (mmap(base + run->page * IMAGE_PAGE, run->count * IMAGE_PAGE,
			 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
			 image->fd,
			 (off_t)(run->file_page * IMAGE_PAGE)) == MAP_FAILED)
			return -errno;
	}
	return 0;
}
