/* SPDX-License-Identifier: Apache-2.0 */
/* Domains that begin as one was taken. */
#include "domain/snapshot.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- opened ---------------------------------------------------------------- */

static void snapshot_find_parts(struct snapshot *snapshot)
{
	const struct domain_state *state = snapshot->state;

	snapshot->regions = (const void *)(state + 1);
	snapshot->parts =
		(const void *)(snapshot->regions + state->region_count);
	snapshot->codes = (const void *)(snapshot->parts + state->part_count);
	snapshot->wasi = (const void *)(snapshot->codes + state->code_count);
}

static int snapshot_map_state(struct snapshot *snapshot, struct err *err)
{
	const struct layer *layer = &snapshot->tip.state;
	const char *why;

	if (layer->fd < 0)
		return err_set(err, -EBADMSG, "tip %s is of no domain",
			       snapshot->tip.name);
	snapshot->state_bytes = layer->head.data_bytes;
	snapshot->mapped =
		mmap(NULL, snapshot->state_bytes, PROT_READ, MAP_PRIVATE,
		     layer->fd, (off_t)layer->head.data_at);
	if (snapshot->mapped == MAP_FAILED) {
		snapshot->mapped = NULL;
		return err_set(err, -errno, "map a domain's state");
	}
	snapshot->state = snapshot->mapped;
	why = snapshot_check(snapshot->state, snapshot->state_bytes);
	if (!why && snapshot->tip.ram_bytes < snapshot->state->physical)
		why = "its memory is too short";
	if (why)
		return err_set(err, -EBADMSG, "tip %s: its state: %s",
			       snapshot->tip.name, why);
	snapshot_find_parts(snapshot);
	return 0;
}

int snapshot_open(struct snapshot *snapshot, struct tip *tip, struct err *err)
{
	uint8_t shape[LAYER_ID];
	int r;

	*snapshot = (struct snapshot){ .tip = *tip };
	*tip = TIP_EMPTY;
	snapshot_shape(shape);
	if (memcmp(snapshot->tip.shape, shape, LAYER_ID) != 0)
		r = err_set(err, -EBADMSG,
			    "tip %s is of no domain, or of another build",
			    snapshot->tip.name);
	else
		r = snapshot_map_state(snapshot, err);
	if (r < 0)
		snapshot_close(snapshot);
	return r;
}

void snapshot_close(struct snapshot *snapshot)
{
	view_close(&snapshot->view);
	if (snapshot->mapped)
		munmap(snapshot->mapped, snapshot->state_bytes);
	tip_close(&snapshot->tip);
	*snapshot = (struct snapshot){ .tip = TIP_EMPTY };
}

/* ---- begun again ------------------------------------------------------------ */

static int start_regions(struct space *space, const struct snapshot *snapshot,
			 struct err *err)
{
	int r = 0;

	for (uint32_t i = SPACE_WINDOWS;
	     r >= 0 && i < snapshot->state->region_count; i++)
		r = space_add(space, snapshot->regions[i].reserve, err);
	for (uint32_t i = 0; r >= 0 && i < snapshot->state->region_count; i++) {
		const struct domain_state_region *from = &snapshot->regions[i];
		struct space_region *region = &space->regions[i];

		region->open = from->open;
		region->bytes = from->bytes;
		region->backed = from->backed;
		region->is_dropped = from->is_dropped;
		if (from->open && mprotect(region->at, from->open,
					   PROT_READ | PROT_WRITE) < 0)
			r = err_set(err, -errno, "memory for a domain");
	}
	return r;
}

/* A piece of the layers that lies in what is open of a part. */
static int start_map(const struct space *space, const struct tip *tip,
		     const struct tip_run *run,
		     const struct domain_state_part *part, struct err *err)
{
	const struct space_region *region = &space->regions[part->region];
	uint64_t open =
		region->open > part->offset ? region->open - part->offset : 0;
	uint64_t end =
		part->physical + (open < part->bytes ? open : part->bytes);
	struct tip_run piece = *run;

	if (run->offset < part->physical) {
		piece.offset = part->physical;
		piece.file_at += piece.offset - run->offset;
	}
	if (run->offset + run->bytes < end)
		end = run->offset + run->bytes;
	if (run->layer == TIP_ZERO || piece.offset >= end)
		return 0;
	piece.bytes = end - piece.offset;
	return view_map_run(tip, &piece,
			    region->at + part->offset - part->physical,
			    PROT_READ | PROT_WRITE, err);
}

/* Both are sorted by their addresses. */
static int start_memory(struct space *space, const struct snapshot *snapshot,
			struct err *err)
{
	const struct tip *tip = &snapshot->tip;
	uint32_t run = 0;
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < snapshot->state->part_count; i++) {
		const struct domain_state_part *part = &snapshot->parts[i];
		uint64_t end = part->physical + part->bytes;

		while (run < tip->run_count &&
		       tip->runs[run].offset + tip->runs[run].bytes <=
			       part->physical)
			run++;
		for (uint32_t k = run;
		     r >= 0 && k < tip->run_count && tip->runs[k].offset < end;
		     k++)
			r = start_map(space, tip, &tip->runs[k], part, err);
	}
	for (uint32_t i = SPACE_WINDOWS; i < space->region_count; i++)
		space_want_large(&space->regions[i]);
	return r;
}

static int start_parts(struct space *space, const struct snapshot *snapshot,
		       struct err *err)
{
	const struct domain_state *state = snapshot->state;

	free(space->parts);
	space->parts = calloc(state->part_count, sizeof(*space->parts));
	space->part_room = space->parts ? state->part_count : 0;
	space->part_count = 0;
	if (!space->parts)
		return err_set(err, -ENOMEM, "a domain's memory");
	for (uint32_t i = 0; i < state->part_count; i++)
		space->parts[space->part_count++] = (struct space_part){
			.physical = snapshot->parts[i].physical,
			.bytes = snapshot->parts[i].bytes,
			.offset = snapshot->parts[i].offset,
			.region = snapshot->parts[i].region,
		};
	space->physical = state->physical;
	space->tables.used = state->tables;
	return 0;
}

/* The tables show the codes already. */
static int start_codes(struct domain *domain, const struct snapshot *snapshot,
		       const struct domain_code *codes, struct err *err)
{
	uint64_t at;
	int r = 0;

	if (snapshot->state->code_count) {
		size_t bytes =
			snapshot->state->code_count * sizeof(*domain->codes);

		domain->codes = malloc(bytes);
		if (!domain->codes)
			return err_set(err, -ENOMEM, "a domain's code");
		memcpy(domain->codes, snapshot->codes, bytes);
		domain->code_count = snapshot->state->code_count;
	}
	for (uint32_t i = 0; r >= 0 && i < snapshot->state->code_count; i++)
		r = codes[i].len == snapshot->codes[i].bytes
			    ? space_show_code(&domain->space, codes[i].image,
					      codes[i].len, &at, err)
			    : err_set(err, -EBADMSG,
				      "code of another length than the "
				      "domain's");
	return r;
}

void snapshot_go(const struct snapshot *snapshot, struct domain *domain)
{
	const struct domain_state *state = snapshot->state;
	struct cpu_registers at = { .rip = state->rip, .flags = state->flags };

	memcpy(at.general, state->general, sizeof(at.general));
	domain->cpu->kind->go(domain->cpu, &at);
	domain_renew(domain);
}

static void start_end(struct domain *domain, struct snapshot *snapshot)
{
	domain->point = snapshot->state->point;
	domain->origin = snapshot;
	snapshot_go(snapshot, domain);
}

static int start_all(struct domain *domain, struct snapshot *snapshot,
		     const struct domain_code *codes, struct err *err)
{
	int r = start_regions(&domain->space, snapshot, err);

	if (r >= 0)
		r = start_parts(&domain->space, snapshot, err);
	if (r >= 0)
		r = start_memory(&domain->space, snapshot, err);
	if (r >= 0)
		r = domain_open_cpu(domain, err);
	if (r >= 0)
		r = start_codes(domain, snapshot, codes, err);
	if (r < 0)
		return r;
	start_end(domain, snapshot);
	return 0;
}

/* CLAIM 3.10 */
int snapshot_start(struct domain **started,
		   const struct domain_options *options,
		   struct snapshot *snapshot, const struct domain_code *codes,
		   struct err *err)
{
	struct domain *domain;
	int r = domain_new(&domain, options, err);

	*started = NULL;
	if (r < 0)
		return r;
	r = start_all(domain, snapshot, codes, err);
	if (r < 0) {
		domain_close(domain);
		return r;
	}
	*started = domain;
	return 0;
}

/* ---- bound ------------------------------------------------------------------ */

static void bind_forget(struct domain *domain,
			const struct domain_options *options)
{
	domain->options = *options;
	domain->wasi = NULL;
	domain->serve = NULL;
	domain->deadline_ns = 0;
	domain->until = DOMAIN_UNTIL_END;
	domain->counts = (struct domain_counts){ 0 };
	domain->has_files_digest = false;
	domain->code_count = 0;
	free(domain->codes);
	domain->codes = NULL;
}

/* With a slot that goes all that the CPU knows of the tables goes: one goes
 * always, if only the first that is made anew. */
int snapshot_bind(struct snapshot *snapshot, struct domain *domain,
		  const struct domain_options *options,
		  const struct domain_code *codes, struct err *err)
{
	struct cpu_registers at;
	int r, shown = 0;

	if (domain->is_broken)
		return err_set(err, -EPROTO, "the domain has ended: %s",
			       domain->why);
	if (!options->ground->has_kvm)
		return err_set(err, -ENOTSUP, "bind a domain without KVM");
	r = domain->cpu->kind->settle(domain->cpu, &at, err);
	if (r >= 0)
		r = shown = space_empty(
			&domain->space,
			domain->code_count ? snapshot->parts[0].bytes : 0, err);
	bind_forget(domain, options);
	if (r >= 0)
		r = start_regions(&domain->space, snapshot, err);
	if (r >= 0)
		r = start_parts(&domain->space, snapshot, err);
	if (r >= 0)
		r = start_memory(&domain->space, snapshot, err);
	if (r >= 0)
		r = space_show_from(&domain->space, (uint32_t)shown, err);
	if (r >= 0)
		r = start_codes(domain, snapshot, codes, err);
	if (r < 0)
		return err_wrap(err, "bind a domain");
	start_end(domain, snapshot);
	return 0;
}
