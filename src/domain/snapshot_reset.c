/* SPDX-License-Identifier: Apache-2.0 */
/* A used domain becomes a fresh one, at the cost of what it has written.
 *
 *  1. What the CPU still owes the last bell is done, and its outcome is
 *     forgotten.
 *  2. Each page that the domain has of its own is what the snapshot's is: a
 *     few are copied, so that the CPU's tables for them stay; of many the
 *     copy is dropped.
 *  3. Memory that was opened since is closed, and its pages are gone.  Only
 *     that makes the CPU forget what was mapped there; not which table was
 *     behind an address: none is given out again for another one.
 *  4. Registers are the snapshot's; vector registers are cleared by the guest
 *     itself, which sees another generation.
 *
 * CLAIM 3.11 */
#include "domain/internal.h"
#include "domain/snapshot.h"
#include "image/scan.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* So many pages in a row are dropped rather than copied. */
enum { RESET_DROP = 64 };

struct reset {
	struct domain *domain;
	struct snapshot *snapshot;
	int pagemap;
};

/* A range of a part, which is open. */
static int reset_range(const struct reset *reset, const struct space_part *part,
		       uint64_t offset, uint64_t bytes, struct err *err)
{
	uint8_t *at = reset->domain->space.regions[part->region].at +
		      part->offset + offset;

	if (bytes < RESET_DROP * GUEST_PAGE) {
		memcpy(at, reset->snapshot->view.at + part->physical + offset,
		       bytes);
		return 0;
	}
	if (madvise(at, bytes, MADV_DONTNEED) < 0)
		return err_set(err, -errno, "reset a domain's memory");
	return 0;
}

/* Offsets in a part. */
static int reset_piece(const struct reset *reset, const struct space_part *part,
		       uint64_t from, uint64_t to, struct err *err)
{
	uint8_t *at = reset->domain->space.regions[part->region].at +
		      part->offset + from;
	auto_ranges struct ranges own = { 0 };
	int r = from < to ? scan_own(reset->pagemap, at, to - from,
				     SCAN_PRIVATE, &own, err)
			  : 0;

	for (size_t i = 0; r >= 0 && i < own.count; i++)
		r = reset_range(reset, part, from + own.range[i].offset,
				own.range[i].bytes, err);
	return r;
}

/* Did the host write to the tables?  Nobody else can: no address of the
 * guest's shows them, nor its image as what may be written to. */
static bool reset_has_tables(const struct reset *reset)
{
	const struct space *space = &reset->domain->space;
	const struct domain_state *state = reset->snapshot->state;

	for (uint32_t i = 0; i < state->region_count; i++)
		if (space->regions[i].open != reset->snapshot->regions[i].open)
			return true;
	return space->region_count != state->region_count ||
	       space->code != state->code_bytes ||
	       space->files != state->files_bytes ||
	       space->part_count != state->part_count;
}

/* To look at a page's entry takes as long as 1/500 of a bell, and each large
 * page of addresses has 512. */
static int reset_system(const struct reset *reset,
			const struct space_part *part, uint64_t bytes,
			struct err *err)
{
	uint64_t len;
	uint64_t data = GUEST_IMAGE_AT + domain_image(&len)->data_at;
	uint64_t from = reset_has_tables(reset) ? 0 : GUEST_DESCRIPTORS_AT;
	int r = reset_piece(reset, part, from, GUEST_IMAGE_AT, err);

	return r < 0 ? r : reset_piece(reset, part, data, bytes, err);
}

/* As far as the snapshot's is open; what is beyond goes anyway. */
static int reset_part(const struct reset *reset, const struct space_part *part,
		      struct err *err)
{
	uint64_t open = reset->snapshot->regions[part->region].open;
	uint64_t bytes = open > part->offset ? open - part->offset : 0;

	if (bytes > part->bytes)
		bytes = part->bytes;
	return part->physical ? reset_piece(reset, part, 0, bytes, err)
			      : reset_system(reset, part, bytes, err);
}

static int reset_close(struct domain *domain, const struct snapshot *snapshot,
		       struct err *err)
{
	const struct domain_state *state = snapshot->state;
	struct space_region regions[DOMAIN_REGIONS_MOST];
	const struct space_mark mark = {
		.regions = regions,
		.region_count = state->region_count,
		.part_count = state->part_count,
		.physical = state->physical,
		.code = state->code_bytes,
		.files = state->files_bytes,
		.tables = state->tables,
		.shown = state->part_count + state->code_count +
			 (state->files_bytes != 0),
	};

	for (uint32_t i = 0; i < state->region_count; i++)
		regions[i] = (struct space_region){
			.open = snapshot->regions[i].open,
			.bytes = snapshot->regions[i].bytes,
			.backed = snapshot->regions[i].backed,
			.is_dropped = snapshot->regions[i].is_dropped,
		};
	domain->code_count = state->code_count;
	return space_close_again(&domain->space, &mark, err);
}

int snapshot_reset(struct snapshot *snapshot, struct domain *domain,
		   int pagemap, struct err *err)
{
	const struct reset reset = { domain, snapshot, pagemap };
	struct cpu_registers at;
	int r;

	if (domain->is_broken)
		return err_set(err, -EPROTO, "the domain has ended: %s",
			       domain->why);
	/* A page that is dropped is again what the domain began as. */
	if (domain->origin != snapshot)
		return err_set(err, -ENOTSUP,
			       "reset a domain to what it did not begin as");
	r = domain->cpu->kind->settle(domain->cpu, &at, err);
	if (r >= 0 && !snapshot->view.at)
		r = view_open(&snapshot->tip, VIEW_MAP, &snapshot->view, err);
	for (uint32_t i = 0; r >= 0 && i < snapshot->state->part_count; i++)
		r = reset_part(&reset, &domain->space.parts[i], err);
	if (r >= 0)
		r = reset_close(domain, snapshot, err);
	if (r < 0)
		return err_wrap(err, "reset a domain");
	domain->wasi = NULL;
	domain->serve = NULL;
	domain->deadline_ns = 0;
	domain->until = DOMAIN_UNTIL_END;
	domain->point = snapshot->state->point;
	snapshot_go(snapshot, domain);
	return 0;
}
