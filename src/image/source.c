/* SPDX-License-Identifier: Apache-2.0 */
/* Runs, read piece by piece. */
#include "image/source.h"
#include "base/fd.h"
#include <errno.h>
#include <string.h>

/* The run that an offset is in. */
static uint32_t source_find(const struct tip *tip, uint64_t offset)
{
	uint32_t low = 0, high = tip->run_count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (tip->runs[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static int source_read_run(const struct tip *tip, const struct tip_run *run,
			   uint64_t offset, void *to, size_t len,
			   struct err *err)
{
	const struct layer *layer;
	int rc;

	if (run->layer == TIP_ZERO) {
		memset(to, 0, len);
		return 0;
	}
	layer = &tip->layers[run->layer];
	rc = fd_pread_all(layer->fd, to, len,
			  run->file_at + (offset - run->offset), err);
	return rc < 0 ? err_wrap(err, "read layer %.16s", layer->hex) : 0;
}

static int source_read(const void *context, uint64_t offset, void *to,
		       size_t len, struct err *err)
{
	const struct tip *tip = context;
	uint32_t i = source_find(tip, offset);
	int rc = 0;

	for (; rc >= 0 && len; i++) {
		const struct tip_run *run = &tip->runs[i];
		uint64_t left = run->offset + run->bytes - offset;
		size_t part = len < left ? len : (size_t)left;

		rc = source_read_run(tip, run, offset, to, part, err);
		to = (char *)to + part;
		offset += part;
		len -= part;
	}
	return rc;
}

struct source source_of_tip(const struct tip *tip)
{
	return (struct source){ source_read, tip };
}

/* A base's file has all of the memory; its extents tell where data are. */
static int source_add_base(const struct layer *base, const struct tip_run *run,
			   uint64_t *from, struct ranges *ranges)
{
	uint64_t stop = run->offset + run->bytes;
	int rc = 0;

	for (; rc >= 0 && *from < base->head.extent_count; ++*from) {
		const struct layer_extent *extent = &base->extents[*from];
		uint64_t end = extent->offset + extent->bytes;
		uint64_t begin = extent->offset > run->offset ? extent->offset
							      : run->offset;

		if (begin >= stop)
			break;
		if (end > begin && !(extent->flags & LAYER_ZERO))
			rc = ranges_add(ranges, begin,
					(end < stop ? end : stop) - begin);
		if (end > stop)
			break;
	}
	return rc;
}

int source_ranges(const struct tip *tip, struct ranges *ranges)
{
	uint64_t extent = 0;
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < tip->run_count; i++) {
		const struct tip_run *run = &tip->runs[i];

		if (run->layer == 0)
			rc = source_add_base(&tip->layers[0], run, &extent,
					     ranges);
		else if (run->layer != TIP_ZERO)
			rc = ranges_add(ranges, run->offset, run->bytes);
	}
	return rc;
}
