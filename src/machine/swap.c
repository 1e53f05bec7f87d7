/* SPDX-License-Identifier: Apache-2.0 */
/* A machine that lives becomes what a tip says, in place: its memory is
 * written only where it differs.				CLAIM 2.14 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "image/scan.h"
#include "image/view.h"
#include "machine/begin.h"
#include "machine/qcow2.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SWAP_PART = 256 * 1024, SWAP_MS = 30000, SWAP_LINE_MS = 3000 };
#define SWAP_NAME "brood-swap"

struct swap {
	const struct images *images;
	const struct place *place;
	struct machine machine;
	struct tip origin, tip;
	struct view view; /* of the tip */
	struct qmp *qmp;
	struct machine_swapped *swapped;
	struct half half;
	int line;
	bool begun; /* it is no longer what it was */
};

/* Pages that may differ: what the machine has written, and where its tip is
 * another than the new one. */
static int swap_find_where(struct swap *swap, struct ranges *where,
			   struct err *err)
{
	const struct machine *machine = &swap->machine;
	uint64_t bytes = machine->shape.ram_bytes;
	auto_ranges struct ranges own = { 0 };
	auto_ranges struct ranges between = { 0 };
	int rc = scan_process(machine->pid, machine->ram_at, bytes,
			      SCAN_PRIVATE, &own, err);

	if (rc < 0)
		return rc;
	if (swap->origin.layer_count && strcmp(machine->mode, "copy") != 0)
		rc = diff_runs(&swap->origin, &swap->tip, &between);
	else
		rc = ranges_add(&between, 0, bytes);
	if (rc >= 0)
		rc = ranges_unite(&own, &between, where);
	return rc < 0 ? err_set(err, rc, "find what is different") : 0;
}

static int swap_write_page(const struct swap *swap, uint64_t offset,
			   struct err *err)
{
	struct iovec here = { swap->view.at + offset, LAYER_PAGE };
	struct iovec there = {
		(void *)(uintptr_t)(swap->machine.ram_at + offset), LAYER_PAGE
	};

	if (process_vm_writev(swap->machine.pid, &here, 1, &there, 1, 0) !=
	    LAYER_PAGE)
		return err_set(err, -errno, "write memory of process %d",
			       swap->machine.pid);
	return 0;
}

static int swap_part(struct swap *swap, const struct source *now, uint8_t *part,
		     uint64_t offset, size_t len, struct err *err)
{
	int rc = now->read(now->context, offset, part, len, err);

	for (size_t at = 0; rc >= 0 && at < len; at += LAYER_PAGE) {
		swap->swapped->looked++;
		if (memcmp(part + at, swap->view.at + offset + at,
			   LAYER_PAGE) == 0)
			continue;
		swap->swapped->written++;
		rc = swap_write_page(swap, offset + at, err);
	}
	return rc;
}

static int swap_memory(struct swap *swap, struct err *err)
{
	const struct source_process memory = { swap->machine.pid,
					       swap->machine.ram_at };
	const struct source now = source_of_process(&memory);
	auto_ranges struct ranges where = { 0 };
	auto_free uint8_t *part = malloc(SWAP_PART);
	int rc = part ? swap_find_where(swap, &where, err)
		      : err_set(err, -ENOMEM, "swap a memory");

	for (size_t i = 0; rc >= 0 && i < where.count; i++) {
		uint64_t at = where.range[i].offset;
		uint64_t end = at + where.range[i].bytes;

		while (rc >= 0 && at < end) {
			size_t len = end - at < SWAP_PART ? (size_t)(end - at)
							  : SWAP_PART;

			rc = swap_part(swap, &now, part, at, len, err);
			at += len;
		}
	}
	return rc;
}

/* Devices take a state over as they are after a reset, and QEMU does both in
 * one order alone: when it goes back to a snapshot on a disk.  So the state
 * is given to it as one. */
static int swap_write_disk(const struct layer *state, int to, struct err *err)
{
	size_t bytes = state->head.data_bytes;
	auto_free void *data = malloc(bytes + 1);
	int rc = data ? fd_pread_all(state->fd, data, bytes,
				     state->head.data_at, err)
		      : err_set(err, -ENOMEM, "the state of devices");

	return rc < 0 ? rc : qcow2_write_state(to, SWAP_NAME, data, bytes, err);
}

static int swap_await_job(struct swap *swap, struct err *err)
{
	static const char *const names[] = { "JOB_STATUS_CHANGE", NULL };
	auto_buf struct buf jobs = { 0 };
	auto_free char *error = NULL;
	int rc;

	for (;;) {
		auto_free char *status = NULL;

		rc = qmp_event(swap->qmp, names, SWAP_MS, NULL, 0, err);
		if (rc < 0)
			return rc;
		status = json_get_text(qmp_event_data(swap->qmp), "status");
		if (status && strcmp(status, "concluded") == 0)
			break;
	}
	rc = qmp_command(swap->qmp, "query-jobs", NULL, &jobs, err);
	if (rc >= 0)
		error = json_get_text(buf_string(&jobs), "0.error");
	if (rc >= 0)
		rc = qmp_command(swap->qmp, "job-dismiss",
				 "{\"id\":\"" SWAP_NAME "\"}", NULL, err);
	return error ? err_set(err, -EINVAL, "qemu: %.200s", error) : rc;
}

static int swap_devices(struct swap *swap, struct err *err)
{
	auto_close int disk = memfd_create("brood-state", MFD_CLOEXEC);
	char arguments[256];
	int rc = disk < 0 ? err_set(err, -errno, "a file for devices")
			  : swap_write_disk(&swap->tip.state, disk, err);

	snprintf(arguments, sizeof(arguments),
		 "{\"driver\":\"qcow2\",\"node-name\":\"" SWAP_NAME
		 "\",\"file\":{\"driver\":\"file\",\"locking\":\"off\","
		 "\"filename\":\"/proc/%d/fd/%d\"}}",
		 getpid(), disk);
	if (rc >= 0)
		rc = hypervisor_set_up(swap->qmp, err);
	if (rc >= 0)
		rc = qmp_command(swap->qmp, "blockdev-add", arguments, NULL,
				 err);
	if (rc < 0)
		return rc;
	qmp_forget(swap->qmp);
	rc = qmp_command(swap->qmp, "snapshot-load",
			 "{\"job-id\":\"" SWAP_NAME "\",\"tag\":\"" SWAP_NAME
			 "\",\"vmstate\":\"" SWAP_NAME
			 "\",\"devices\":[\"" SWAP_NAME "\"]}",
			 NULL, err);
	if (rc >= 0)
		rc = swap_await_job(swap, err);
	qmp_command(swap->qmp, "blockdev-del",
		    "{\"node-name\":\"" SWAP_NAME "\"}", NULL, NULL);
	return rc;
}

static int swap_fits(const struct swap *swap, struct err *err)
{
	auto_shape struct shape shape = { 0 };
	auto_free char *what = file_format("tip %s", swap->tip.name);
	auto_free char *than = file_format("machine %s", swap->place->name);
	int rc = machine_tip_shape(&swap->tip, &shape, err);

	return rc < 0 ? rc
		      : shape_same(&shape, what, &swap->machine.shape, than,
				   err);
}

static int swap_open(struct swap *swap, const char *tip, struct err *err)
{
	int rc = machine_read(swap->place, &swap->machine, err);

	if (rc >= 0 && swap->machine.layer_count)
		rc = tip_compose(swap->images, swap->machine.layers,
				 swap->machine.layer_count, &swap->origin, err);
	if (rc >= 0)
		rc = tip_open(swap->images, tip, &swap->tip, err);
	if (rc < 0)
		return rc;
	rc = swap_fits(swap, err);
	if (rc < 0)
		return rc;
	if (swap->machine.shape.disk_count)
		return err_set(err, -EINVAL,
			       "machine %s has disks, whose contents would not "
			       "be the tip's; start another one",
			       swap->place->name);
	rc = lent_refuse(&swap->machine.lent, swap->place->name,
			 "become another one", err);
	if (rc < 0)
		return rc;
	if (swap->tip.state.fd < 0)
		return err_set(err, -EINVAL,
			       "tip %s has no state of a machine's devices",
			       tip);
	rc = view_open(&swap->tip, VIEW_MAP, &swap->view, err);
	if (rc >= 0)
		rc = machine_orders(swap->place, &swap->qmp, err);
	/* What runs in it is not of what it is to be, and nobody speaks with
	 * that before it is another than its twins. */
	if (rc >= 0)
		rc = swap->line =
			machine_line_seize(swap->place, SWAP_LINE_MS, err);
	/* Nobody may find it waiting as what it was. */
	if (rc >= 0 && swap->machine.parked)
		rc = begin_unpark(swap->place, &swap->machine, NULL, err);
	return rc;
}

/* Its layers stay: they are what its pages were mapped from. */
static int swap_record(struct swap *swap, struct err *err)
{
	memcpy(swap->machine.tip, swap->tip.name, sizeof(swap->tip.name));
	memcpy(swap->machine.tip_id, swap->tip.id, LAYER_ID);
	return machine_write(swap->place, &swap->machine, err);
}

static int swap_steps(struct swap *swap, bool paused, struct err *err)
{
	int rc = half_begin(swap->place, HALF_END, swap->machine.pid,
			    &swap->half, err);

	if (rc >= 0)
		rc = hypervisor_stop(swap->qmp, err);
	swap->begun = rc >= 0;
	if (rc >= 0)
		rc = swap_memory(swap, err);
	if (rc >= 0)
		rc = swap_devices(swap, err);
	/* What it was booted from is not there for it any more. */
	if (rc >= 0)
		rc = qmp_command(swap->qmp, "set-action",
				 "{\"reboot\":\"shutdown\"}", NULL, err);
	if (rc >= 0)
		rc = swap_record(swap, err);
	return rc < 0 || paused ? rc : hypervisor_go_on(swap->qmp, err);
}

/* It has the name, the clock and the random numbers of the one that was
 * saved. */
static int swap_unique(struct swap *swap, struct err *err)
{
	auto_talk struct talk *talk = NULL;
	struct agent_unique unique = { 0 };
	int rc = machine_talk(swap->place, &swap->line, BEGIN_AGENT_MS, &talk,
			      err);

	if (rc < 0)
		return rc;
	begin_identity(swap->place, NULL, &unique);
	rc = talk_unique(talk, &unique, BEGIN_AGENT_MS, err);
	return rc < 0 ? rc : 0;
}

int machine_swap(const struct images *images, const struct place *place,
		 const struct machine_swap *wish,
		 struct machine_swapped *swapped, struct err *err)
{
	struct swap swap = { .images = images,
			     .place = place,
			     .origin = TIP_EMPTY,
			     .tip = TIP_EMPTY,
			     .half = HALF_NONE,
			     .line = -1,
			     .swapped = swapped };
	uint64_t begun_ns;
	int rc = swap_open(&swap, wish->tip, err);

	*swapped = (struct machine_swapped){ 0 };
	begun_ns = clock_ns();
	if (rc >= 0)
		rc = swap_steps(&swap, wish->paused, err);
	swapped->stopped_ns = clock_ns() - begun_ns;
	if (rc >= 0 && !wish->paused && !wish->same)
		rc = swap_unique(&swap, err);
	/* Half of one machine and half of another is none; nor is a twin. */
	qmp_free(&swap.qmp); /* QEMU takes orders from one at a time */
	if (rc < 0 && swap.begun)
		machine_stop(place, true, BEGIN_AGENT_MS, NULL);
	half_end(&swap.half);
	fd_close(&swap.line);
	view_close(&swap.view);
	tip_close(&swap.origin);
	tip_close(&swap.tip);
	machine_fini(&swap.machine);
	return rc;
}
