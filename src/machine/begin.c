/* SPDX-License-Identifier: Apache-2.0 */
/* How machines begin. */
#include "machine/begin.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "machine/qcow2.h"
#include "machine/virtiofsd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BEGIN_LOOK_MS = 20 };

uint64_t begin_ns(const struct begin *begin)
{
	return clock_ns() - begin->started_ns;
}

/* It stays to be waited for: its number is nobody else's until then. */
bool begin_has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
		       0 &&
	       info.si_pid == pid;
}

int begin_open(struct begin *begin, const char *name, struct err *err)
{
	int rc;

	begin->started_ns = clock_ns();
	*begin->report = (struct machine_report){ 0 };
	begin->memory = MEMORY_NONE;
	begin->place.lock = -1;
	begin->half = HALF_NONE;
	begin->line = -1;
	rc = qemu_find(&begin->qemu, err);
	if (rc >= 0)
		rc = place_make(name, &begin->place, err);
	if (rc >= 0)
		rc = half_begin(&begin->place, HALF_END, 0, &begin->half, err);
	if (rc >= 0)
		rc = begin->line =
			machine_line(&begin->place, BEGIN_LINE_MS, err);
	return rc < 0 ? rc : 0;
}

/* ---- disks --------------------------------------------------------------------- */

static int begin_qcow2_bytes(int fd, const char *path, uint64_t *bytes,
			     struct err *err)
{
	uint8_t head[QCOW2_HEAD];
	const char *why;

	if (fd_pread_all(fd, head, sizeof(head), 0, err) < 0)
		return err_wrap(err, "disk %s", path);
	if (qcow2_disk_bytes(head, bytes) < 0)
		return err_set(err, -EBADMSG,
			       "disk %s is not what its name says", path);
	why = qcow2_check_alone(head);
	return why ? err_set(err, -EINVAL,
			     "disk %s: %s; \"qemu-img convert\" makes one of "
			     "both",
			     path, why)
		   : 0;
}

/* The size that a disk has for its machine: whole sectors. */
static int begin_disk_bytes(const char *path, uint64_t *bytes, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (end < 0)
		return err_set(err, -errno, "disk %s", path);
	*bytes = ((uint64_t)end + 511) & ~UINT64_C(511);
	return shape_is_qcow2(path) ? begin_qcow2_bytes(fd, path, bytes, err)
				    : 0;
}

/* What a tip keeps of a disk can come from anybody. */
static int begin_check_kept(const struct tip *tip, uint32_t number,
			    struct err *err)
{
	const struct layer *layer = &tip->disks[number];
	uint8_t head[QCOW2_HEAD];
	const char *why = "it is cut off";

	if (layer->head.data_bytes >= sizeof(head)) {
		if (fd_pread_all(layer->fd, head, sizeof(head),
				 layer->head.data_at, err) < 0)
			return err_wrap(err, "layer %.16s", layer->hex);
		why = qcow2_check_alone(head);
	}
	return why ? err_set(err, -EBADMSG, "tip %s: disk %u, layer %.16s: %s",
			     tip->name, number, layer->hex, why)
		   : 0;
}

static int begin_disk(struct begin *begin, int number, int *fd, struct err *err)
{
	char name[16];
	auto_free char *path = NULL;
	uint64_t bytes = 0;
	int rc = begin_disk_bytes(begin->shape.disk[number].path, &bytes, err);

	snprintf(name, sizeof(name), "disk%d", number);
	path = place_path(&begin->place, name);
	if (rc < 0 || !path)
		return rc < 0 ? rc : err_set(err, -ENOMEM, "name of a disk");
	*fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (*fd < 0)
		return err_set(err, -errno, "make %s", path);
	return qcow2_write_empty(*fd, bytes, err);
}

/* ---- folders ------------------------------------------------------------------- */

static int begin_folders(struct begin *begin, char **nothing, struct err *err)
{
	const struct lent *lent = begin->tip.layer_count ? begin->lent : NULL;

	if (lent && lent->count > begin->shape.folders)
		return err_set(err, -EINVAL,
			       "tip %s has places for %ld folders, not %d; "
			       "\"brood machine boot --folders\" makes them",
			       begin->tip.name, begin->shape.folders,
			       lent->count);
	if (!begin->shape.folders)
		return 0;
	*nothing = place_path(&begin->place, "nothing");
	if (!*nothing)
		return err_set(err, -ENOMEM, "name of a folder");
	if (mkdir(*nothing, 0700) < 0)
		return err_set(err, -errno, "make %s", *nothing);
	return 0;
}

/* ---- the hypervisor ------------------------------------------------------------- */

/* A daemon that has ended while its line was held here is why the hypervisor
 * failed.  From here on that alone holds the lines. */
static int begin_lend(struct begin *begin, int rc, struct err *err)
{
	if (rc < 0)
		clock_sleep_ms(BEGIN_LOOK_MS);
	if (virtiofsd_check(begin->place.folder, begin->lent, err) < 0)
		rc = -EINVAL;
	for (int i = 0; i < begin->lent->count; i++)
		fd_close(&begin->lent->item[i].fd);
	return rc;
}

int begin_hypervisor(struct begin *begin, enum ram_plan_mode mode,
		     struct err *err)
{
	const struct tip *tip = begin->tip.layer_count ? &begin->tip : NULL;
	int disks[SHAPE_DISKS_MOST];
	struct hypervisor_plan plan = {
		.qemu = &begin->qemu,
		.shape = &begin->shape,
		.place = &begin->place,
		.tip = tip,
		.boot = begin->boot,
		.forward = begin->forward,
		.ends_with_us = begin->ends_with_us,
		.cold = begin->cold,
		.disk_files = disks,
		.half = &begin->half,
		.lent = begin->lent,
	};
	struct machine_report *report = begin->report;
	auto_free char *nothing = NULL;
	int rc = memory_make(tip, begin->shape.ram_bytes, mode, &begin->memory,
			     err);

	for (int i = 0; i < SHAPE_DISKS_MOST; i++)
		disks[i] = -1;
	if (rc >= 0)
		rc = begin_folders(begin, &nothing, err);
	plan.nothing = nothing;
	for (uint32_t i = 0; rc >= 0 && i < begin->tip.disk_count; i++)
		rc = begin_check_kept(&begin->tip, i, err);
	for (int i = 0; rc >= 0 && i < begin->shape.disk_count; i++)
		rc = begin_disk(begin, i, &disks[i], err);
	if (rc >= 0 && begin->lent)
		rc = virtiofsd_start(begin->place.folder, begin->lent,
				     begin->ends_with_us, err);
	report->times.exec_ns = begin_ns(begin);
	if (rc >= 0)
		rc = hypervisor_start(&plan, &begin->memory, &begin->hypervisor,
				      err);
	if (begin->lent)
		rc = begin_lend(begin, rc, err);
	for (int i = 0; i < SHAPE_DISKS_MOST; i++)
		fd_close(&disks[i]);
	report->times.composed_ns =
		report->times.exec_ns + begin->hypervisor.composed_ns;
	report->times.orders_ns = begin_ns(begin);
	if (begin->memory.plan)
		report->times.compose_ns = begin->memory.plan->took_ns;
	report->warm = begin->hypervisor.warm;
	memcpy(report->why, begin->hypervisor.why, sizeof(report->why));
	report->mode = tip ? begin->mode : "boot";
	report->layers = begin->tip.layer_count;
	report->pieces = begin->memory.plan ? begin->memory.plan->run_count : 0;
	return rc;
}

int begin_record(struct begin *begin, const char *mode, bool parked,
		 struct err *err)
{
	struct machine machine = {
		.pid = begin->hypervisor.pid,
		.started_ns = clock_wall_ns(),
		.ram_at = begin->memory.plan->at,
		.shape = begin->shape,
		.layer_count = begin->tip.layer_count,
		.has_working = begin->tip.has_working,
		.parked = parked,
		.boot = begin->boot_words,
	};

	snprintf(machine.mode, sizeof(machine.mode), "%s", mode);
	snprintf(machine.way, sizeof(machine.way), "%s",
		 begin->hypervisor.warm ? "hatch" : "exec");
	snprintf(machine.forward, sizeof(machine.forward), "%s",
		 begin->forward ? begin->forward : "");
	memcpy(machine.tip, begin->tip.name, sizeof(machine.tip));
	memcpy(machine.tip_id, begin->tip.id, LAYER_ID);
	for (uint32_t i = 0; i < begin->tip.layer_count; i++)
		memcpy(machine.layers[i], begin->tip.layers[i].head.id,
		       LAYER_ID);
	machine.disk_count = begin->tip.disk_count;
	for (uint32_t i = 0; i < begin->tip.disk_count; i++)
		memcpy(machine.disks[i], begin->tip.disks[i].head.id, LAYER_ID);
	if (begin->lent)
		machine.lent = *begin->lent; /* read here, not owned */
	return machine_write(&begin->place, &machine, err);
}

static void begin_forget(struct begin *begin)
{
	qmp_free(&begin->hypervisor.qmp);
	qemu_fini(&begin->qemu);
	shape_fini(&begin->shape);
	tip_close(&begin->tip);
	if (begin->memory.plan)
		memory_fini(&begin->memory);
	mem_free(&begin->boot_words);
}

int begin_end(struct begin *begin, int rc, struct place *place)
{
	if (rc < 0) {
		hypervisor_kill(&begin->hypervisor);
		if (begin->lent)
			virtiofsd_reap(begin->lent);
		if (begin->place.lock >= 0)
			place_remove(&begin->place);
	}
	if (rc < 0)
		half_drop(&begin->half);
	else
		half_end(&begin->half);
	begin_forget(begin);
	if (rc >= 0 && begin->line_to)
		*begin->line_to = steal_fd(&begin->line);
	fd_close(&begin->line);
	/* From now on it is the hypervisor's alone. */
	fd_close(&begin->place.lock);
	*place = (struct place){ .lock = -1 };
	if (rc < 0)
		place_fini(&begin->place);
	else
		*place = begin->place;
	return rc;
}

/* ---- identity ------------------------------------------------------------------- */

void begin_identity(const struct place *place, const char *host_name,
		    struct agent_unique *unique)
{
	uint8_t random[16 + 6 * 4] = { 0 };

	(void)!getrandom(random, sizeof(random), 0);
	store_hex(random, 16, unique->machine_id);
	snprintf(unique->host_name, sizeof(unique->host_name), "%.63s",
		 host_name ? host_name : place->name);
	/* A name of a host has no dots or underscores of its own. */
	for (char *c = unique->host_name; !host_name && *c; c++)
		if (*c == '_' || *c == '.')
			*c = '-';
	unique->mac_count = 4;
	for (int i = 0; i < 4; i++) {
		memcpy(unique->mac[i], random + 16 + 6 * i, 6);
		/* Made up, of one host. */
		unique->mac[i][0] = (unique->mac[i][0] & 0xfc) | 2;
	}
}

/* ---- parked --------------------------------------------------------------------- */

/* The right to it is a lock beside that of the hypervisor; the record says
 * that it is taken before the lock goes. */
int begin_unpark(const struct place *place, struct machine *machine,
		 struct half *half, struct err *err)
{
	auto_free char *path = place_path(place, "taking");
	auto_close int lock = path ? lock_take(path, 0, err) : -ENOMEM;
	auto_machine struct machine now = { 0 };
	int rc;

	if (lock < 0)
		return -EBUSY;
	rc = machine_read(place, &now, err);
	if (rc < 0)
		return rc;
	if (!now.parked)
		return err_set(err, -EBUSY, "machine %s is taken", place->name);
	if (half)
		rc = half_begin(place, HALF_END, machine->pid, half, err);
	if (rc < 0)
		return rc;
	machine->parked = false;
	return machine_write(place, machine, err);
}

int begin_take(struct begin *begin, const struct place *place,
	       struct machine *machine, struct err *err)
{
	int rc;

	begin->started_ns = clock_ns();
	*begin->report = (struct machine_report){ 0 };
	begin->memory = MEMORY_NONE;
	begin->place = (struct place){ .lock = -1 };
	begin->half = HALF_NONE;
	rc = begin_unpark(place, machine, &begin->half, err);
	if (rc < 0)
		return rc;
	memcpy(begin->place.name, place->name, sizeof(place->name));
	begin->place.folder = strdup(place->folder);
	begin->hypervisor.pid = machine->pid;
	if (!begin->place.folder)
		return err_set(err, -ENOMEM, "start machine %s", place->name);
	return machine_orders(place, &begin->hypervisor.qmp, err);
}

/* One that could not be started is of no use to anybody. */
void begin_leave(struct begin *begin)
{
	qmp_free(&begin->hypervisor.qmp); /* that of the stop is another */
	fd_close(&begin->line);
	if (begin->place.folder)
		machine_stop(&begin->place, true, BEGIN_AGENT_MS, NULL);
	half_drop(&begin->half);
	begin_forget(begin);
	place_fini(&begin->place);
}
