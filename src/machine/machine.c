/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine is, written down and read; and the small things that are
 * done with one that lives. */
#include "machine/machine.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "machine/relay.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINE_FILE_MOST = 1 << 18, MACHINE_ORDERS_MS = 20000 };

void machine_fini(struct machine *machine)
{
	shape_fini(&machine->shape);
	mem_free(&machine->boot);
	lent_fini(&machine->lent);
}

/* ---- its file ---------------------------------------------------------------- */

static void machine_write_ids(struct json *json, const char *key,
			      const uint8_t (*ids)[LAYER_ID], uint32_t count)
{
	char hex[STORE_HEX + 1];

	json_list_open(json, key);
	for (uint32_t i = 0; i < count; i++) {
		store_hex(ids[i], LAYER_ID, hex);
		json_text(json, NULL, hex);
	}
	json_list_close(json);
}

int machine_write(const struct place *place, const struct machine *machine,
		  struct err *err)
{
	auto_buf struct buf text = { 0 };
	auto_free char *path = place_path(place, "machine");
	char hex[STORE_HEX + 1];
	struct json json;

	json_start(&json, &text);
	json_open(&json, NULL);
	json_number(&json, "pid", machine->pid);
	json_number(&json, "started", (int64_t)machine->started_ns);
	json_number(&json, "ram_at", (int64_t)machine->ram_at);
	json_text(&json, "tip", machine->tip);
	store_hex(machine->tip_id, LAYER_ID, hex);
	json_text(&json, "tip_id", hex);
	json_text(&json, "mode", machine->mode);
	json_text(&json, "way", machine->way);
	json_text(&json, "forward", machine->forward);
	json_bool(&json, "parked", machine->parked);
	json_bool(&json, "working", machine->has_working);
	machine_write_ids(&json, "layers", machine->layers,
			  machine->layer_count);
	machine_write_ids(&json, "disks", machine->disks, machine->disk_count);
	shape_words(&machine->shape, &json, "shape");
	json_value(&json, "boot", machine->boot ? machine->boot : "null");
	lent_write(&machine->lent, &json, "lent");
	json_close(&json);
	if (text.failed || !path)
		return err_set(err, -ENOMEM, "tell of machine %s", place->name);
	/* No machine outlives the system that it runs on. */
	return file_replace(path, text.data, text.len, 0600, err);
}

static void machine_read_text(const char *text, const char *path, char *to,
			      size_t room)
{
	auto_free char *value = json_get_text(text, path);

	snprintf(to, room, "%s", value ? value : "");
}

static bool machine_read_bool(const char *text, const char *path)
{
	size_t len;
	const char *value = json_get_value(text, path, &len);

	return value && len == 4 && memcmp(value, "true", 4) == 0;
}

static char *machine_read_value(const char *text, const char *path)
{
	size_t len;
	const char *value = json_get_value(text, path, &len);

	return value ? strndup(value, len) : NULL;
}

static void machine_read_id(const char *text, uint8_t id[LAYER_ID])
{
	char hex[STORE_HEX + 2];

	machine_read_text(text, "tip_id", hex, sizeof(hex));
	if (store_is_name(hex))
		store_from_hex(hex, id);
}

static uint32_t machine_read_ids(const char *text, const char *key,
				 uint8_t (*ids)[LAYER_ID], uint32_t most)
{
	uint32_t count = 0;

	while (count < most) {
		char path[32], hex[STORE_HEX + 2];

		snprintf(path, sizeof(path), "%s.%u", key, count);
		machine_read_text(text, path, hex, sizeof(hex));
		if (!store_is_name(hex))
			break;
		store_from_hex(hex, ids[count++]);
	}
	return count;
}

int machine_read(const struct place *place, struct machine *machine,
		 struct err *err)
{
	auto_buf struct buf data = { 0 };
	auto_free char *path = place_path(place, "machine");
	auto_free char *shape = NULL;
	const char *text;
	int rc;

	*machine = (struct machine){ 0 };
	if (!path)
		return err_set(err, -ENOMEM, "name of a file");
	rc = file_read(path, &data, MACHINE_FILE_MOST, err);
	if (rc >= 0)
		rc = json_check(buf_string(&data), data.len, err);
	if (rc < 0)
		return rc == -ENOENT ? err_set(err, -EAGAIN,
					       "machine %s is being started",
					       place->name)
				     : err_wrap(err, "machine %s", place->name);
	text = buf_string(&data);
	machine->pid = (pid_t)json_get_number(text, "pid", 0);
	machine->started_ns = (uint64_t)json_get_number(text, "started", 0);
	machine->ram_at = (uint64_t)json_get_number(text, "ram_at", 0);
	machine->parked = machine_read_bool(text, "parked");
	machine->has_working = machine_read_bool(text, "working");
	machine_read_text(text, "tip", machine->tip, sizeof(machine->tip));
	machine_read_text(text, "mode", machine->mode, sizeof(machine->mode));
	machine_read_text(text, "way", machine->way, sizeof(machine->way));
	machine_read_text(text, "forward", machine->forward,
			  sizeof(machine->forward));
	machine_read_id(text, machine->tip_id);
	machine->layer_count = machine_read_ids(text, "layers", machine->layers,
						LAYER_DEPTH_MOST);
	machine->disk_count =
		machine_read_ids(text, "disks", machine->disks, TIP_DISKS_MOST);
	shape = machine_read_value(text, "shape");
	machine->boot = machine_read_value(text, "boot");
	lent_read(text, "lent", &machine->lent);
	rc = shape ? shape_read(shape, &machine->shape, err)
		   : err_set(err, -EBADMSG, "machine %s has no shape",
			     place->name);
	if (rc < 0 || machine->pid <= 1) {
		machine_fini(machine);
		return rc < 0 ? rc
			      : err_set(err, -EBADMSG,
					"machine %s has no process",
					place->name);
	}
	return 0;
}

int machine_tip_shape(const struct tip *tip, struct shape *shape,
		      struct err *err)
{
	auto_free char *text = machine_read_value(tip->words, "shape");
	uint8_t id[LAYER_ID];
	int rc;

	*shape = (struct shape){ 0 };
	if (!text)
		return err_set(err, -EINVAL, "tip %s is no machine's",
			       tip->name);
	rc = shape_read(text, shape, err);
	if (rc < 0)
		return err_wrap(err, "tip %s", tip->name);
	shape_id(shape, id);
	if (memcmp(id, tip->shape, LAYER_ID) == 0 &&
	    shape->ram_bytes == tip->ram_bytes &&
	    (shape->disk_count
		     ? tip->disk_count % (uint32_t)shape->disk_count == 0
		     : tip->disk_count == 0))
		return 0;
	shape_fini(shape);
	return err_set(err, -EBADMSG,
		       "tip %s: its layers are of another machine than its "
		       "words",
		       tip->name);
}

/* ---- one that lives ------------------------------------------------------------ */

/* Its sockets were there before it: one that is not there comes no more. */
int machine_orders(const struct place *place, struct qmp **qmp, struct err *err)
{
	auto_free char *path = place_path(place, "qmp");
	int fd;

	*qmp = NULL;
	if (!path)
		return err_set(err, -ENOMEM, "name of a socket");
	fd = fd_connect_stream(path, MACHINE_ORDERS_MS, err);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return err_set(err, -EPIPE, "machine %s has ended",
			       place->name);
	return fd < 0 ? fd : qmp_attach(qmp, fd, MACHINE_ORDERS_MS, err);
}

static int machine_quit(const struct place *place, struct err *err)
{
	auto_qmp struct qmp *qmp = NULL;
	int rc = machine_orders(place, &qmp, err);

	return rc < 0 ? rc : qmp_command(qmp, "quit", NULL, NULL, err);
}

/* A guest that hangs, or a QEMU that does. */
static void machine_kill(const struct place *place)
{
	auto_machine struct machine machine = { 0 };

	if (machine_read(place, &machine, NULL) >= 0)
		kill(machine.pid, SIGKILL);
}

/* Does its guest run, so that it can be asked? */
static bool machine_listens(const struct place *place)
{
	auto_qmp struct qmp *qmp = NULL;

	return machine_orders(place, &qmp, NULL) >= 0 &&
	       hypervisor_runs(qmp, NULL) > 0;
}

static bool machine_powers_off(const struct place *place, int timeout_ms)
{
	auto_talk struct talk *talk = NULL;
	auto_close int line = -1;

	if (!machine_listens(place))
		return false;
	line = machine_line_seize(place, timeout_ms, NULL);
	return line >= 0 &&
	       machine_talk(place, &line, timeout_ms, &talk, NULL) >= 0 &&
	       talk_power(talk, false, NULL) >= 0 &&
	       place_wait_gone(place, timeout_ms) >= 0;
}

static int machine_end(const struct place *place, bool at_once, int timeout_ms,
		       struct err *err)
{
	if (!at_once && machine_powers_off(place, timeout_ms))
		return 0;
	if (machine_quit(place, err) < 0 ||
	    place_wait_gone(place, timeout_ms) < 0)
		machine_kill(place);
	if (place_wait_gone(place, timeout_ms) < 0)
		return err_set(err, -ETIME, "machine %s does not end",
			       place->name);
	return 0;
}

int machine_stop(const struct place *place, bool at_once, int timeout_ms,
		 struct err *err)
{
	struct place gone;
	int rc = machine_end(place, at_once, timeout_ms, err);

	/* Its folder goes when somebody looks. */
	if (rc >= 0 && place_find(place->name, &gone, NULL) >= 0)
		place_fini(&gone);
	return rc;
}
