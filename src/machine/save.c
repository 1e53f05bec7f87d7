/* SPDX-License-Identifier: Apache-2.0 */
/* A machine becomes a tip.			CLAIM 2.1 2.2 2.3 2.5 2.6
 *
 *  1. It stands still from the first step to the last; what it does
 *     afterwards is not in the tip.
 *  2. Nothing is cleared or moved by it: a save that failed is repeated.
 *  3. The pages that its hypervisor has of its own are all that can differ
 *     from what it was started from; they are compared with the parent, so
 *     that the layer holds what is different, and nothing else.
 *  4. Layer, state and disks are files before the tip names them. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "image/fold.h"
#include "image/scan.h"
#include "image/view.h"
#include "machine/half.h"
#include "machine/machine.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct save {
	const struct images *images;
	const struct place *place;
	struct machine machine;
	struct tip origin; /* what it was started from; no layers: a boot */
	struct tip parent; /* what the layer is a difference to */
	struct qmp *qmp;
	uint8_t shape[LAYER_ID];
	struct machine_saved *saved;
};

/* ---- where it comes from, and what it is compared with -------------------------- */

/* A working set says nothing new: it is not part of a chain that goes on. */
static int save_open_origin(struct save *save, struct err *err)
{
	const struct machine *machine = &save->machine;
	uint32_t count = machine->layer_count - machine->has_working;

	save->origin = TIP_EMPTY;
	if (!machine->layer_count)
		return 0;
	return tip_compose(save->images, machine->layers, count, &save->origin,
			   err);
}

static int save_fits(const struct save *save, const struct tip *tip,
		     struct err *err)
{
	auto_shape struct shape shape = { 0 };
	auto_free char *what = file_format("tip %s", tip->name);
	auto_free char *than = file_format("machine %s", save->place->name);
	int rc = machine_tip_shape(tip, &shape, err);

	return rc < 0 ? rc
		      : shape_same(&shape, what, &save->machine.shape, than,
				   err);
}

static int save_open_parent(struct save *save, const char *name,
			    struct err *err)
{
	struct tip_ids ids;
	struct tip read;
	int rc;

	save->parent = TIP_EMPTY;
	if (!name && !save->machine.layer_count)
		return 0;
	if (!name)
		return tip_compose(save->images, save->machine.layers,
				   save->machine.layer_count -
					   save->machine.has_working,
				   &save->parent, err);
	rc = tip_read(save->images, name, &read, &ids, err);
	if (rc >= 0)
		rc = save_fits(save, &read, err);
	if (rc >= 0) {
		ids.layer_count -= read.has_working;
		rc = tip_compose(save->images, ids.layers, ids.layer_count,
				 &save->parent, err);
	}
	tip_close(&read);
	return rc;
}

/* Where the machine can differ from the parent: in its own pages, and where
 * its origin does. */
static int save_find_where(struct save *save, struct ranges *where,
			   struct err *err)
{
	auto_ranges struct ranges own = { 0 };
	auto_ranges struct ranges between = { 0 };
	uint64_t begun_ns = clock_ns(), bytes = save->machine.shape.ram_bytes;
	int rc = scan_process(save->machine.pid, save->machine.ram_at, bytes,
			      SCAN_PRIVATE, &own, err);

	save->saved->scan_ns = clock_ns() - begun_ns;
	if (rc < 0)
		return rc;
	if (strcmp(save->machine.mode, "copy") == 0)
		rc = ranges_add(&between, 0, bytes);
	else if (save->parent.layer_count && save->origin.layer_count)
		rc = diff_runs(&save->origin, &save->parent, &between);
	else if (save->parent.layer_count)
		rc = ranges_add(&between, 0, bytes);
	else if (save->origin.layer_count)
		rc = ranges_add(&between, 0, bytes);
	if (rc >= 0)
		rc = ranges_unite(&own, &between, where);
	return rc < 0 ? err_set(err, rc, "find what is different") : 0;
}

static int save_layer(struct save *save, struct layer *layer, struct err *err)
{
	const struct source_process memory = { save->machine.pid,
					       save->machine.ram_at };
	const struct source now = source_of_process(&memory);
	const struct layer_region region = {
		.bytes = save->machine.shape.ram_bytes
	};
	const bool base = !save->parent.layer_count;
	struct layer_plan plan = { .kind = base ? LAYER_BASE : LAYER_DIFF,
				   .ram_bytes = region.bytes,
				   .shape = save->shape,
				   .regions = &region,
				   .region_count = 1 };
	auto_ranges struct ranges where = { 0 };
	auto_pages struct pages pages = { 0 };
	auto_view struct view view = { 0 };
	struct source_memory known;
	struct source before;
	int rc = save_find_where(save, &where, err);

	if (rc >= 0)
		rc = pages_init(&pages, region.bytes, err);
	if (rc >= 0 && !base) {
		plan.parent = save->parent.layers[save->parent.layer_count - 1]
				      .head.id;
		rc = view_open(&save->parent, VIEW_MAP, &view, err);
	}
	known.at = view.at;
	before = source_of_memory(&known);
	if (rc >= 0)
		rc = diff_pages(&now, base ? NULL : &before, &where, &pages,
				&save->saved->pages, err);
	if (rc >= 0)
		rc = layer_write(save->images, &plan, &pages, &now, layer, err);
	return rc < 0 ? err_wrap(err, "save the memory") : 0;
}

/* ---- devices and disks ------------------------------------------------------------ */

static int save_state(struct save *save, struct tip *tip, struct err *err)
{
	auto_close int fd = memfd_create("brood-state", MFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_set(err, -errno, "a file for devices");
	rc = hypervisor_save(save->qmp, fd, err);
	if (rc >= 0)
		rc = layer_write_state(save->images, save->shape, fd,
				       &tip->state, err);
	if (rc >= 0)
		save->saved->state_bytes = tip->state.head.data_bytes;
	return rc < 0 ? err_wrap(err, "save the devices") : 0;
}

/* What it found written over its disks when it was started. */
static int save_known_disks(struct save *save, struct tip *tip, struct err *err)
{
	const struct machine *machine = &save->machine;
	int rc = 0;

	if (machine->disk_count + (uint32_t)machine->shape.disk_count >
	    TIP_DISKS_MOST)
		return err_set(err, -EINVAL,
			       "it was saved %u times with its disks, and no "
			       "more can be laid over each other",
			       machine->disk_count /
				       (uint32_t)machine->shape.disk_count);
	for (uint32_t i = 0; rc >= 0 && i < machine->disk_count; i++) {
		rc = layer_open(save->images, machine->disks[i], &tip->disks[i],
				err);
		tip->disk_count += rc >= 0;
	}
	return rc;
}

static int save_disks(struct save *save, struct tip *tip, struct err *err)
{
	int rc = save->machine.shape.disk_count
			 ? save_known_disks(save, tip, err)
			 : 0;

	for (int i = 0; rc >= 0 && i < save->machine.shape.disk_count; i++) {
		char name[16];
		auto_free char *path = NULL;
		auto_close int fd = -1;

		snprintf(name, sizeof(name), "disk%d", i);
		path = place_path(save->place, name);
		fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd < 0)
			return err_set(err, -errno, "open disk %d", i);
		rc = layer_write_disk(save->images, save->shape, fd,
				      &tip->disks[tip->disk_count], err);
		tip->disk_count += rc >= 0;
	}
	return rc < 0 ? err_wrap(err, "save the disks") : 0;
}

static char *save_words(const struct save *save)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	json_start(&json, &text);
	json_open(&json, NULL);
	json_text(&json, "machine", save->place->name);
	json_number(&json, "saved", (int64_t)(clock_wall_ns() / 1000000000));
	json_number(&json, "agent", AGENT_VERSION);
	shape_words(&save->machine.shape, &json, "shape");
	json_value(&json, "boot",
		   save->machine.boot ? save->machine.boot : "null");
	json_close(&json);
	return buf_steal(&text);
}

/* ---- the steps ---------------------------------------------------------------------- */

/* The machine stands still. */
static int save_tip(struct save *save, const char *name, struct err *err)
{
	auto_tip struct tip tip = save->parent;
	struct layer layer;
	int rc;

	save->parent = TIP_EMPTY;
	memcpy(tip.shape, save->shape, LAYER_ID);
	rc = save_state(save, &tip, err);
	if (rc >= 0)
		rc = save_disks(save, &tip, err);
	if (rc < 0)
		return rc;
	save->parent = tip; /* to look at, and back */
	rc = save_layer(save, &layer, err);
	save->parent = TIP_EMPTY;
	if (rc < 0)
		return rc;
	save->saved->layer_bytes = layer.head.data_bytes;
	rc = fold_push(save->images, &tip, &layer, err);
	layer_close(&layer);
	free(tip.words);
	tip.words = save_words(save);
	if (rc >= 0 && !tip.words)
		rc = err_set(err, -ENOMEM, "save a machine");
	if (rc >= 0)
		rc = tip_publish(save->images, &tip, name, err);
	if (rc >= 0 && fold_is_due(&tip, &save->saved->fold) <= 0)
		save->saved->fold = NULL;
	save->saved->layers = tip.layer_count;
	save->saved->pieces = tip.run_count;
	return rc;
}

static int save_open(struct save *save, const struct machine_save *wish,
		     struct err *err)
{
	int rc;

	if (!images_is_name(wish->tip))
		return err_set(err, -EINVAL,
			       "%.64s is no name of a tip: letters, digits, "
			       "\"._-\", at most 64",
			       wish->tip);
	rc = machine_read(save->place, &save->machine, err);
	if (rc < 0)
		return rc;
	if (save->machine.parked)
		return err_set(err, -EINVAL, "machine %s has not been started",
			       save->place->name);
	rc = lent_refuse(&save->machine.lent, save->place->name, "be saved yet",
			 err);
	if (rc < 0)
		return rc;
	shape_id(&save->machine.shape, save->shape);
	rc = save_open_origin(save, err);
	if (rc >= 0)
		rc = save_open_parent(save, wish->parent, err);
	if (rc >= 0)
		rc = machine_orders(save->place, &save->qmp, err);
	return rc;
}

static void save_close(struct save *save)
{
	qmp_free(&save->qmp);
	tip_close(&save->origin);
	tip_close(&save->parent);
	machine_fini(&save->machine);
}

int machine_save(const struct images *images, const struct place *place,
		 const struct machine_save *wish, struct machine_saved *saved,
		 struct err *err)
{
	struct save save = { .images = images,
			     .place = place,
			     .origin = TIP_EMPTY,
			     .parent = TIP_EMPTY,
			     .saved = saved };
	struct half half = HALF_NONE;
	uint64_t begun_ns;
	int rc = save_open(&save, wish, err), runs = 0, went = 0;

	*saved = (struct machine_saved){ 0 };
	if (rc >= 0)
		rc = runs = hypervisor_runs(save.qmp, err);
	if (rc >= 0)
		rc = half_begin(place, HALF_GO_ON, save.machine.pid, &half,
				err);
	begun_ns = clock_ns();
	if (rc >= 0)
		rc = hypervisor_stop(save.qmp, err);
	if (rc >= 0) {
		rc = save_tip(&save, wish->tip, err);
		/* One that stood still before stands still. */
		if (runs && (rc < 0 || !wish->stop))
			went = hypervisor_resume(save.qmp, rc < 0 ? NULL : err);
	}
	if (rc >= 0 && went < 0)
		err_wrap(err, "tip %s is saved, but the machine does not go on",
			 wish->tip);
	rc = rc < 0 ? rc : went;
	saved->stopped_ns = clock_ns() - begun_ns;
	if (went < 0)
		half_drop(&half); /* for others to try again */
	else
		half_end(&half);
	save_close(&save);
	if (rc >= 0 && wish->stop)
		rc = machine_stop(place, true, 10000, err);
	return rc;
}
