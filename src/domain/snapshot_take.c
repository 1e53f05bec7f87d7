/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a domain: its own pages as a layer, all else as a state. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include "domain/snapshot.h"
#include "image/diff.h"
#include "image/layer.h"
#include "image/scan.h"
#include "image/source.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The memory by its guest-physical addresses; between parts, and where a part
 * is not open, nothing was ever written. */
static int source_space_read(const void *context, uint64_t offset, void *to,
			     size_t len, struct err *err)
{
	const struct space *space = context;
	uint64_t end = offset + len;

	(void)err;
	memset(to, 0, len);
	for (uint32_t i = 0; i < space->part_count; i++) {
		const struct space_part *part = &space->parts[i];
		const struct space_region *region =
			&space->regions[part->region];
		uint64_t open = region->open > part->offset
					? region->open - part->offset
					: 0;
		uint64_t from =
			part->physical > offset ? part->physical : offset;
		uint64_t stop = part->physical +
				(open < part->bytes ? open : part->bytes);

		if (stop > end)
			stop = end;
		if (from < stop)
			memcpy((uint8_t *)to + (from - offset),
			       region->at + part->offset +
				       (from - part->physical),
			       stop - from);
	}
	return 0;
}

/* Pages that the domain has of its own, by their addresses. */
static int take_find_own(const struct space *space, struct ranges *found,
			 struct err *err)
{
	auto_close int pagemap =
		open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (pagemap < 0)
		return err_set(err, -errno, "open /proc/self/pagemap");
	for (uint32_t i = 0; r >= 0 && i < space->part_count; i++) {
		const struct space_part *part = &space->parts[i];
		auto_ranges struct ranges own = { 0 };

		r = scan_own(pagemap,
			     space->regions[part->region].at + part->offset,
			     part->bytes, SCAN_PRIVATE, &own, err);
		for (size_t k = 0; r >= 0 && k < own.count; k++)
			r = ranges_add(found,
				       part->physical + own.range[k].offset,
				       own.range[k].bytes);
	}
	return r;
}

static bool take_is_origin(const struct snapshot *origin, const struct tip *tip)
{
	if (origin->tip.layer_count != tip->layer_count)
		return false;
	for (uint32_t i = 0; i < tip->layer_count; i++)
		if (memcmp(origin->tip.layers[i].head.id,
			   tip->layers[i].head.id, LAYER_ID) != 0)
			return false;
	return true;
}

/* What can differ from the tip: its own pages, and where it began as anything
 * else, that. */
static int take_find(const struct domain *domain, const struct tip *tip,
		     struct ranges *found, struct err *err)
{
	auto_ranges struct ranges own = { 0 }, began = { 0 };
	int r = take_find_own(&domain->space, &own, err);

	if (r >= 0 && domain->origin && !take_is_origin(domain->origin, tip))
		r = source_ranges(&domain->origin->tip, &began);
	return r < 0 ? r : ranges_unite(&own, &began, found);
}

/* Those that differ from what it began as.  Beyond that's end all was zero. */
static int take_compare(const struct domain *domain, const struct tip *tip,
			struct pages *pages, struct err *err)
{
	const struct space *space = &domain->space;
	const struct source now = { source_space_read, space };
	const struct source before = source_of_tip(tip);
	auto_ranges struct ranges found = { 0 }, within = { 0 };
	struct diff_counts counts;
	uint8_t page[GUEST_PAGE];
	int r = take_find(domain, tip, &found, err);

	for (size_t i = 0; r >= 0 && i < found.count; i++) {
		uint64_t at = found.range[i].offset,
			 end = at + found.range[i].bytes,
			 known = tip->ram_bytes;

		if (at < known)
			r = ranges_add(&within, at,
				       (end < known ? end : known) - at);
	}
	if (r >= 0)
		r = diff_pages(&now, tip->layer_count ? &before : NULL, &within,
			       pages, &counts, err);
	for (size_t i = 0; r >= 0 && i < found.count; i++) {
		uint64_t at = found.range[i].offset,
			 end = at + found.range[i].bytes;

		for (; r >= 0 && at < end; at += GUEST_PAGE) {
			if (at < tip->ram_bytes)
				continue;
			r = source_space_read(space, at, page, sizeof(page),
					      err);
			pages->state[at / GUEST_PAGE] =
				pages_is_zero(page) ? PAGE_SAME : PAGE_DATA;
		}
	}
	return r;
}

static int take_layer(const struct domain *domain, const struct images *images,
		      struct tip *tip, struct err *err)
{
	const struct space *space = &domain->space;
	const struct source now = { source_space_read, space };
	auto_pages struct pages pages = { 0 };
	uint8_t shape[LAYER_ID];
	struct layer_plan plan = { .kind = tip->layer_count ? LAYER_DIFF
							    : LAYER_BASE,
				   .ram_bytes = space->physical,
				   .shape = shape };
	struct layer layer;
	int r = pages_init(&pages, plan.ram_bytes, err);

	snapshot_shape(shape);
	if (tip->layer_count)
		plan.parent = tip->layers[tip->layer_count - 1].head.id;
	if (r >= 0)
		r = take_compare(domain, tip, &pages, err);
	if (r >= 0)
		r = layer_write(images, &plan, &pages, &now, &layer, err);
	if (r < 0)
		return r;
	memcpy(tip->shape, shape, LAYER_ID);
	r = tip_push(tip, &layer, err);
	layer_close(&layer);
	return r;
}

static void take_put_tables(const struct domain *domain, struct buf *out)
{
	const struct space *space = &domain->space;

	for (uint32_t i = 0; i < space->region_count; i++) {
		const struct space_region *region = &space->regions[i];
		const struct domain_state_region to = {
			.reserve = region->reserve,
			.open = region->open,
			.bytes = region->bytes,
			.backed = region->backed,
			.is_dropped = region->is_dropped,
		};

		buf_add(out, &to, sizeof(to));
	}
	for (uint32_t i = 0; i < space->part_count; i++) {
		const struct space_part *part = &space->parts[i];
		const struct domain_state_part to = {
			.physical = part->physical,
			.bytes = part->bytes,
			.offset = part->offset,
			.region = part->region,
		};

		buf_add(out, &to, sizeof(to));
	}
	if (domain->code_count)
		buf_add(out, domain->codes,
			domain->code_count * sizeof(*domain->codes));
}

/* The guest's store counts, or it does not, from its making on. */
static bool take_has_fuel(const struct domain *domain)
{
	const struct snapshot *origin = domain->origin;

	return origin && origin->state->point != DOMAIN_POINT_FRESH
		       ? origin->state->has_fuel
		       : domain->options.fuel != 0;
}

static int take_state_bytes(struct domain *domain, const struct buf *wasi,
			    struct buf *out, struct err *err)
{
	const struct space *space = &domain->space;
	struct domain_state state = {
		.version = DOMAIN_STATE_VERSION,
		.header_bytes = sizeof(state),
		.point = domain->point,
		.features = domain->options.ground->features,
		.region_count = space->region_count,
		.part_count = space->part_count,
		.code_count = domain->code_count,
		.tables = space->tables.used,
		.wasi_bytes = wasi ? wasi->len : 0,
		.physical = space->physical,
		.code_bytes = space->code,
		.files_bytes = space->files,
		.memory_bytes = domain->options.memory_bytes,
		.stack_bytes = domain->options.stack_bytes,
		.has_fuel = take_has_fuel(domain),
	};
	struct cpu_registers at;
	int r;

	if (space->files && !domain->has_files_digest)
		return err_set(err, -EINVAL, "an image without its digest");
	memcpy(state.files, domain->files_digest, sizeof(state.files));
	r = domain->cpu->kind->settle(domain->cpu, &at, err);

	if (r < 0)
		return r;
	memcpy(state.magic, DOMAIN_STATE_MAGIC, sizeof(state.magic));
	domain_image_hash(state.guest);
	memcpy(state.general, at.general, sizeof(state.general));
	state.rip = at.rip;
	state.flags = at.flags;
	buf_add(out, &state, sizeof(state));
	take_put_tables(domain, out);
	if (wasi)
		buf_add(out, wasi->data, wasi->len);
	if (out->failed)
		return err_set(err, -ENOMEM, "a domain's state");
	((struct domain_state *)out->data)->file_bytes = out->len;
	return 0;
}

static int take_state(struct domain *domain, const struct images *images,
		      struct tip *tip, const struct buf *wasi, struct err *err)
{
	auto_close int fd = memfd_create("brood-domain", MFD_CLOEXEC);
	auto_buf struct buf bytes = { 0 };
	int r = fd < 0 ? err_set(err, -errno, "a domain's state") : 0;

	if (r >= 0)
		r = take_state_bytes(domain, wasi, &bytes, err);
	if (r >= 0)
		r = fd_write_all(fd, bytes.data, bytes.len, err);
	if (r < 0)
		return r;
	layer_close(&tip->state);
	return layer_write_state(images, tip->shape, fd, &tip->state, err);
}

/* For people, and for who asks what kind of tip it is. */
static int take_words(const struct domain *domain, struct tip *tip,
		      struct err *err)
{
	static const char *const points[] = {
		[DOMAIN_POINT_FRESH] = "booted",
		[DOMAIN_POINT_IDLE] = "ready",
		[DOMAIN_POINT_CALL] = "in a call",
	};
	char *words = file_format("{\"kind\":\"domain\",\"point\":\"%s\"}",
				  points[domain->point]);

	if (!words)
		return err_set(err, -ENOMEM, "a domain's words");
	free(tip->words);
	tip->words = words;
	return 0;
}

int snapshot_take(struct domain *domain, const struct images *images,
		  struct tip *tip, const struct buf *wasi, struct err *err)
{
	int r = domain->is_broken
			? err_set(err, -EPROTO, "the domain has ended: %s",
				  domain->why)
			: take_layer(domain, images, tip, err);

	if (r >= 0)
		r = take_state(domain, images, tip, wasi, err);
	if (r >= 0)
		r = take_words(domain, tip, err);
	return r < 0 ? err_wrap(err, "keep a domain") : 0;
}
