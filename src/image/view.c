/* SPDX-License-Identifier: Apache-2.0 */
/* A memory put together in this process: by mapping, or by copying. */
#include "image/view.h"
#include "base/fd.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int view_map_run(const struct tip *tip, const struct tip_run *run, uint8_t *at,
		 int protection, struct err *err)
{
	bool zero = run->layer == TIP_ZERO;
	int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE |
		    (zero ? MAP_ANONYMOUS : 0);

	if (mmap(at + run->offset, run->bytes, protection, flags,
		 zero ? -1 : tip->layers[run->layer].fd,
		 zero ? 0 : (off_t)run->file_at) == MAP_FAILED)
		return err_set(err, -errno, "map %lu bytes of layer %.16s",
			       (unsigned long)run->bytes,
			       zero ? "zero" : tip->layers[run->layer].hex);
	return 0;
}

/* Holes of the files stay untouched memory. */
static int view_copy_run(const struct tip *tip, const struct tip_run *run,
			 uint8_t *to, struct err *err)
{
	const struct layer *layer = &tip->layers[run->layer];
	uint64_t at = run->file_at, end = at + run->bytes;

	while (at < end) {
		off_t data = lseek(layer->fd, (off_t)at, SEEK_DATA), hole;
		uint64_t stop;

		if (data < 0 && errno == ENXIO)
			return 0;
		hole = data < 0 ? -1 : lseek(layer->fd, data, SEEK_HOLE);
		if (hole < 0)
			return err_set(err, -errno, "read layer %.16s",
				       layer->hex);
		if ((uint64_t)data >= end)
			return 0;
		stop = (uint64_t)hole < end ? (uint64_t)hole : end;
		if (fd_pread_all(
			    layer->fd,
			    to + run->offset + ((uint64_t)data - run->file_at),
			    stop - (uint64_t)data, (uint64_t)data, err) < 0)
			return err_wrap(err, "read layer %.16s", layer->hex);
		at = stop;
	}
	return 0;
}

int view_open(const struct tip *tip, enum view_mode mode, struct view *view,
	      struct err *err)
{
	void *at = mmap(NULL, tip->ram_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc = 0;

	*view = (struct view){ 0 };
	if (at == MAP_FAILED)
		return err_set(err, -errno, "reserve %lu bytes",
			       (unsigned long)tip->ram_bytes);
	*view = (struct view){ at, tip->ram_bytes };
	for (uint32_t i = 0; rc >= 0 && i < tip->run_count; i++) {
		const struct tip_run *run = &tip->runs[i];

		if (run->layer == TIP_ZERO)
			continue;
		rc = mode == VIEW_MAP
			     ? view_map_run(tip, run, at,
					    PROT_READ | PROT_WRITE, err)
			     : view_copy_run(tip, run, at, err);
	}
	if (rc < 0)
		view_close(view);
	return rc;
}

void view_close(struct view *view)
{
	if (view->at)
		munmap(view->at, view->bytes);
	*view = (struct view){ 0 };
}
