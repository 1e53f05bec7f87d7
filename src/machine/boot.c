/* SPDX-License-Identifier: Apache-2.0 */
/* Machines, begun: by a boot, or from a tip.  Both have the same steps; the
 * one difference is where memory and devices come from. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "image/working.h"
#include "machine/begin.h"
#include "machine/folder.h"
#include "machine/machine.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BOOT_LOOK_MS = 20, BOOT_PORT_MS = 2000, BOOT_LOG_MOST = 16 << 20 };

/* ---- ready --------------------------------------------------------------------- */

int machine_ready_parse(const char *words, struct machine_ready *ready,
			struct err *err)
{
	char *end;

	if (!words || strcmp(words, "agent") == 0)
		ready->kind = READY_AGENT;
	else if (strcmp(words, "none") == 0)
		ready->kind = READY_NONE;
	else if (strncmp(words, "console:", 8) == 0 && words[8]) {
		ready->kind = READY_CONSOLE;
		ready->text = words + 8;
	} else if (strncmp(words, "port:", 5) == 0) {
		ready->kind = READY_PORT;
		ready->port = strtol(words + 5, &end, 10);
		if (*end || ready->port < 1 || ready->port > 65535)
			return err_set(err, -EINVAL, "%s is no port",
				       words + 5);
	} else {
		return err_set(err, -EINVAL,
			       "\"%s\" tells nothing of when it is ready: "
			       "agent, console:TEXT, port:NUMBER or none",
			       words);
	}
	return 0;
}

/* Has the console said it? */
static bool boot_console_says(const struct place *place, const char *text)
{
	auto_free char *path = place_path(place, "console.log");
	auto_buf struct buf log = { 0 };

	return path && file_read(path, &log, BOOT_LOG_MOST, NULL) >= 0 &&
	       log.len && memmem(log.data, log.len, text, strlen(text));
}

/* QEMU's list of connections, one a line. */
static bool boot_list_says(const char *list, const char *state, long port)
{
	char number[16];

	snprintf(number, sizeof(number), " %ld ", port);
	for (const char *at = strstr(list, state); at;
	     at = strstr(at + 1, state)) {
		size_t len = strcspn(at, "\r\n");

		/* In JSON, the end of a line is two characters. */
		for (size_t i = 0; i + 1 < len; i++)
			if (at[i] == '\\')
				len = i;
		if (memmem(at, len, number, strlen(number)))
			return true;
	}
	return false;
}

/* QEMU takes any connection; that somebody in the machine did is seen in its
 * list, or from what he says. */
static bool boot_port_serves(struct qmp *qmp, long port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t end = clock_deadline(BOOT_PORT_MS);
	char byte;

	if (fd < 0 || connect(fd, (const void *)&address, len) < 0 ||
	    getsockname(fd, (void *)&address, &len) < 0)
		return false;
	do {
		auto_buf struct buf list = { 0 };

		if (fd_wait(fd, POLLIN, BOOT_LOOK_MS) > 0)
			return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
		if (qmp_command(qmp, "human-monitor-command",
				"{\"command-line\":\"info usernet\"}", &list,
				NULL) < 0)
			return false;
		if (boot_list_says(buf_string(&list), "TCP[ESTABLISHED]",
				   ntohs(address.sin_port)))
			return true;
	} while (clock_left_ms(end));
	return false;
}

static bool boot_is_ready(const struct place *place, struct qmp *qmp,
			  const struct machine_ready *ready)
{
	return ready->kind == READY_CONSOLE
		       ? boot_console_says(place, ready->text)
		       : boot_port_serves(qmp, ready->port);
}

static int boot_await(const struct place *place,
		      const struct hypervisor *hypervisor,
		      const struct machine_ready *ready, int *line,
		      struct err *err)
{
	const struct timespec look = { .tv_nsec = BOOT_LOOK_MS * 1000000 };
	uint64_t end = clock_ns() + (uint64_t)ready->timeout_ms * 1000000;
	struct talk *talk = NULL;
	int rc;

	if (ready->kind == READY_NONE)
		return 0;
	if (ready->kind == READY_AGENT) {
		rc = machine_talk(place, line, ready->timeout_ms, &talk, err);
		talk_close(talk);
		return rc;
	}
	while (!boot_is_ready(place, hypervisor->qmp, ready)) {
		if (begin_has_ended(hypervisor->pid))
			return err_set(err, -EPIPE, "machine %s has ended",
				       place->name);
		if (clock_ns() > end)
			return err_set(err, -ETIME, "machine %s is not ready",
				       place->name);
		nanosleep(&look, NULL);
	}
	return 0;
}

/* ---- the boot ------------------------------------------------------------------- */

/* A guest that cannot have what it is lent says so on its console, and ends. */
static int boot_why(const struct begin *begin, int rc, struct err *err)
{
	static const char mark[] = "brood: cannot have ";
	auto_free char *path = place_path(&begin->place, "console.log");
	auto_buf struct buf log = { 0 };
	const char *at = NULL;

	if (path && file_read(path, &log, BOOT_LOG_MOST, NULL) >= 0 && log.len)
		at = memmem(log.data, log.len, mark, sizeof(mark) - 1);
	if (!at)
		return rc;
	at += strlen("brood: ");
	return err_set(err, -EINVAL, "machine %s %.*s", begin->place.name,
		       (int)strcspn(at, "\r\n"), at);
}

static char *boot_words(const struct hypervisor_boot *files)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	json_start(&json, &text);
	json_open(&json, NULL);
	json_text(&json, "kernel", files->kernel ? files->kernel : "");
	json_text(&json, "initrd", files->initrd ? files->initrd : "");
	json_text(&json, "append", files->append ? files->append : "");
	json_close(&json);
	return buf_steal(&text);
}

static int boot_run(struct begin *begin, const struct machine_boot *boot,
		    struct err *err)
{
	int rc = hypervisor_go_on(begin->hypervisor.qmp, err);

	if (boot->ready.kind != READY_AGENT)
		fd_close(&begin->line);

	begin->report->times.run_ns = begin_ns(begin);
	if (rc >= 0)
		rc = begin_record(begin, "boot", false, err);
	if (rc >= 0)
		rc = boot_await(&begin->place, &begin->hypervisor, &boot->ready,
				&begin->line, err);
	if (rc < 0 && begin->lent)
		rc = boot_why(begin, rc, err);
	begin->report->times.unique_ns = begin_ns(begin);
	return rc;
}

int machine_boot(const struct machine_boot *boot, struct place *place,
		 struct machine_report *report, struct err *err)
{
	struct begin begin = { .report = report,
			       .boot = &boot->files,
			       .lent = boot->lent,
			       .forward = boot->forward,
			       .ends_with_us = boot->ends_with_us };
	bool shared = boot->lent && lent_has_virtiofs(boot->lent);
	int rc = begin_open(&begin, boot->name, err);

	/* A daemon has one line: there is no second try. */
	begin.cold = shared;

	if (rc >= 0)
		rc = shape_make(&boot->shape, &begin.qemu, &begin.shape, err);
	begin.boot_words = boot_words(&boot->files);
	if (rc >= 0 && !begin.boot_words)
		rc = err_set(err, -ENOMEM, "boot a machine");
	if (rc >= 0)
		rc = begin_hypervisor(&begin, shared ? RAM_FILE : RAM_MAP, err);
	if (rc >= 0)
		rc = boot_run(&begin, boot, err);
	return begin_end(&begin, rc, place);
}

/* ---- from a tip ------------------------------------------------------------------- */

/* CLAIM 2.12: devices and CPUs are where they were; nothing is booted. */
static int start_state(struct begin *begin, struct err *err)
{
	const struct layer *state = &begin->tip.state;
	int rc;

	if (state->fd < 0)
		return err_set(err, -EINVAL,
			       "tip %s has no state of a machine's devices",
			       begin->tip.name);
	if (lseek(state->fd, (off_t)state->head.data_at, SEEK_SET) < 0)
		return err_set(err, -errno, "read layer %.16s", state->hex);
	rc = hypervisor_load(begin->hypervisor.qmp, state->fd, err);
	begin->report->times.state_ns = begin_ns(begin);
	return rc;
}

static int start_shape(struct begin *begin, const struct machine_start *start,
		       struct err *err)
{
	size_t len;
	const char *value;
	int rc = machine_tip_shape(&begin->tip, &begin->shape, err);

	if (rc < 0)
		return rc;
	value = json_get_value(begin->tip.words, "boot", &len);
	begin->boot_words = value ? strndup(value, len) : NULL;
	rc = shape_move(&begin->shape, start->disks, start->disk_count,
			begin->tip.name, err);
	return rc < 0 ? rc
		      : shape_fits(&begin->shape, &begin->qemu, begin->tip.name,
				   err);
}

static int start_unique(struct begin *begin, const struct machine_start *start,
			struct talk *talk, int timeout_ms, struct err *err)
{
	struct agent_unique unique = { 0 };
	int rc;

	begin_identity(&begin->place, start->host_name, &unique);
	rc = talk_unique(talk, &unique, timeout_ms, err);
	return rc < 0 ? rc : 0;
}

static int start_greet(struct begin *begin, const struct machine_start *start,
		       struct err *err)
{
	auto_talk struct talk *talk = NULL;
	int timeout_ms = start->agent_ms ? start->agent_ms : BEGIN_AGENT_MS;
	int rc;

	if (start->same && !start->folders)
		return 0;
	rc = machine_talk(&begin->place, &begin->line, timeout_ms, &talk, err);
	if (rc < 0)
		return start->same ? rc
				   : err_wrap(err, "it may not run as its own "
						   "twin");
	if (!start->same)
		rc = start_unique(begin, start, talk, timeout_ms, err);
	if (rc >= 0 && start->folders)
		rc = folder_mount(talk, start->folders, timeout_ms, err);
	begin->line = talk_disown(talk);
	begin->report->times.unique_ns = begin_ns(begin);
	return rc;
}

/* CLAIM 2.10: from here on the guest runs in the memory of its tip. */
static int start_run(struct begin *begin, const struct machine_start *start,
		     struct err *err)
{
	int rc = hypervisor_go_on(begin->hypervisor.qmp, err);

	begin->report->times.run_ns = begin_ns(begin);
	if (rc >= 0)
		rc = begin_record(begin, begin->mode, false, err);
	return rc < 0 ? rc : start_greet(begin, start, err);
}

int machine_start(const struct images *images,
		  const struct machine_start *start, struct place *place,
		  struct machine_report *report, struct err *err)
{
	struct begin begin = { .report = report,
			       .tip = TIP_EMPTY,
			       .mode = start->copy ? "copy" : "map",
			       .lent = start->folders,
			       .line_to = start->line,
			       .forward = start->forward,
			       .cold = start->cold,
			       .ends_with_us = start->ends_with_us };
	auto_free char *stem = file_format("%.55s-", start->tip);
	int rc = begin_open(&begin, start->name ? start->name : stem, err);

	if (rc >= 0)
		rc = tip_open(images, start->tip, &begin.tip, err);
	if (rc >= 0)
		rc = start_shape(&begin, start, err);
	if (rc >= 0)
		working_read_ahead(&begin.tip);
	report->times.open_ns = begin_ns(&begin);
	if (rc >= 0)
		rc = begin_hypervisor(&begin, start->copy ? RAM_COPY : RAM_MAP,
				      err);
	if (rc >= 0)
		rc = start_state(&begin, err);
	if (rc >= 0)
		rc = start->park ? begin_record(&begin, begin.mode, true, err)
				 : start_run(&begin, start, err);
	return begin_end(&begin, rc, place);
}

/* ---- parked --------------------------------------------------------------------- */

struct unpark {
	const struct machine_start *start;
	uint8_t id[LAYER_ID]; /* of the tip */
	struct place *place;
	struct machine_report *report;
};

/* A name can mean another tip by now, or in another folder. */
static bool unpark_fits(const struct unpark *unpark,
			const struct machine *machine)
{
	const char *forward = unpark->start->forward;

	return machine->parked &&
	       memcmp(machine->tip_id, unpark->id, LAYER_ID) == 0 &&
	       strcmp(machine->forward, forward ? forward : "") == 0;
}

/* Two that want it at once: the one whose order to run comes first has it. */
static int unpark_try(const struct place *place, void *context)
{
	struct unpark *unpark = context;
	struct begin begin = { .report = unpark->report,
			       .tip = TIP_EMPTY,
			       .line_to = unpark->start->line };
	auto_machine struct machine machine = { 0 };
	int rc;

	if (machine_read(place, &machine, NULL) < 0 ||
	    !unpark_fits(unpark, &machine))
		return 0;
	begin.line = machine_line(place, 0, NULL);
	if (begin.line < 0)
		return 0;
	rc = begin_take(&begin, place, &machine, NULL);
	if (rc >= 0)
		rc = hypervisor_go_on(begin.hypervisor.qmp, NULL);
	unpark->report->times.run_ns = begin_ns(&begin);
	if (rc >= 0)
		rc = start_greet(&begin, unpark->start, NULL);
	if (rc < 0) {
		begin_leave(&begin);
		return 0;
	}
	unpark->report->mode = "parked";
	unpark->report->layers = machine.layer_count;
	unpark->report->warm = true;
	begin_end(&begin, 0, unpark->place);
	return 1;
}

int machine_unpark(const struct images *images,
		   const struct machine_start *start, struct place *place,
		   struct machine_report *report, struct err *err)
{
	struct unpark unpark = { .start = start,
				 .place = place,
				 .report = report };
	struct tip_ids ids;
	struct tip tip;
	int rc = tip_read(images, start->tip, &tip, &ids, err);

	memcpy(unpark.id, tip.id, LAYER_ID);
	tip_close(&tip);
	return rc < 0 ? rc : place_each(unpark_try, &unpark, err);
}
