/* SPDX-License-Identifier: Apache-2.0 */
/* brood machine boot and start: machines begin. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/machine.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	BOOT_READY_MS = 120000,
	START_COUNT_MOST = 1000,
};

/* ---- told ----------------------------------------------------------------------- */

static void machine_tell_times(struct json *json,
			       const struct machine_times *times)
{
	json_open(json, "us");
	json_number(json, "open", (int64_t)(times->open_ns / 1000));
	json_number(json, "exec", (int64_t)(times->exec_ns / 1000));
	json_number(json, "composed", (int64_t)(times->composed_ns / 1000));
	json_number(json, "compose", (int64_t)(times->compose_ns / 1000));
	json_number(json, "orders", (int64_t)(times->orders_ns / 1000));
	json_number(json, "state", (int64_t)(times->state_ns / 1000));
	json_number(json, "run", (int64_t)(times->run_ns / 1000));
	json_number(json, "ready", (int64_t)(times->unique_ns / 1000));
	json_close(json);
}

static void machine_tell_json(const struct place *place,
			      const struct machine_report *report,
			      struct buf *out)
{
	auto_machine struct machine machine = { 0 };
	struct json json;

	machine_read(place, &machine, NULL);
	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "name", place->name);
	json_number(&json, "pid", machine.pid);
	json_text(&json, "tip", machine.tip);
	json_text(&json, "mode", report->mode ? report->mode : "");
	json_text(&json, "way", machine.way);
	json_text(&json, "reason", report->why);
	json_text(&json, "accel", machine.shape.accel);
	json_number(&json, "layers", report->layers);
	json_number(&json, "pieces", report->pieces);
	machine_tell_times(&json, &report->times);
	json_close(&json);
}

void machine_tell_report(const struct place *place,
			 const struct machine_report *report, bool as_json,
			 struct buf *out)
{
	const struct machine_times *times = &report->times;
	uint64_t ready_ns = times->unique_ns ? times->unique_ns : times->run_ns;

	if (as_json) {
		machine_tell_json(place, report, out);
		buf_text(out, "\n");
		return;
	}
	buf_format(out, "%s: ", place->name);
	if (!times->run_ns)
		buf_format(out, "waits to be started (%u layers)\n",
			   report->layers);
	else if (strcmp(report->mode, "boot") == 0)
		buf_format(out, "booted in %.2f s\n", (double)ready_ns / 1e9);
	else if (!ready_ns)
		buf_format(out, "waits after %.1f ms (%s, %u layers)\n",
			   (double)times->state_ns / 1e6, report->mode,
			   report->layers);
	else
		buf_format(out, "runs after %.1f ms (%s, %u layers)\n",
			   (double)ready_ns / 1e6, report->mode,
			   report->layers);
}

/* A line in the report file of this run; nothing is lost without it. */
static void machine_report(const char *path, const struct place *place,
			   const struct machine_report *report)
{
	auto_buf struct buf line = { 0 };

	path = cli_report_path(path);
	if (!path)
		return;
	machine_tell_json(place, report, &line);
	cli_report(path, &line);
}

int machine_folders(const struct args_list *words, struct lent *lent,
		    struct lent **folders, struct err *err)
{
	int rc = 0;

	for (int i = 0; rc >= 0 && i < words->count; i++)
		rc = lent_add_folder(lent, words->item[i], err);
	*folders = lent->count ? lent : NULL;
	return rc;
}

/* ---- boot ------------------------------------------------------------------------ */

struct boot_words {
	const char *kernel, *initrd, *append, *accel, *cpu, *ready, *forward,
		*report;
	long memory, cpus, folders, ready_ms;
	struct args_list disks, shares, pmems, devices;
	bool network, attach, json;
};

#define BOOT_WORD(word, what, of, member, say)           \
	{ .name = word,                                  \
	  .value = what,                                 \
	  .kind = of,                                    \
	  .offset = offsetof(struct boot_words, member), \
	  .help = say }
/* clang-format off */
static const struct args_option boot_options[] = {
	BOOT_WORD("--kernel", "FILE", ARGS_TEXT, kernel,
		  "the kernel; without it a disk is booted from"),
	BOOT_WORD("--initrd", "FILE", ARGS_TEXT, initrd,
		  "its first file system"),
	BOOT_WORD("--append", "WORDS", ARGS_TEXT, append,
		  "words for the kernel, behind \"console=ttyS0\""),
	BOOT_WORD("--disk", "FILE", ARGS_LIST, disks,
		  "a disk, raw or .qcow2, which is never written to"),
	BOOT_WORD("--share", "[HOW:]DIR[=TAG]", ARGS_LIST, shares,
		  "a folder of this host, by 9p, virtiofs or virtiofs-locks "
		  "(9p:DIR=share0)"),
	BOOT_WORD("--pmem", "FILE", ARGS_LIST, pmems,
		  "a file to map as memory, read only: /dev/pmem0, pmem1 .."),
	BOOT_WORD("--device", "FILE", ARGS_LIST, devices,
		  "a raw file as a disk, read only: /dev/device0, device1 .."),
	BOOT_WORD("--folders", "N", ARGS_NUMBER, folders,
		  "places for folders that starts from its tips are lent (0)"),
	BOOT_WORD("--memory", "BYTES", ARGS_NUMBER, memory,
		  "such as 512M (256M)"),
	BOOT_WORD("--cpus", "N", ARGS_NUMBER, cpus, "how many (1)"),
	BOOT_WORD("--network", NULL, ARGS_FLAG, network,
		  "a network of its own that reaches out through this host"),
	BOOT_WORD("--forward", "HOST:GUEST", ARGS_TEXT, forward,
		  "a local TCP port that leads to one of the machine's"),
	{ .name = "--accel", .value = "HOW", .kind = ARGS_TEXT,
	  .offset = offsetof(struct boot_words, accel),
	  .words = "auto|kvm|tcg",
	  .help = "auto, kvm or tcg (what a trial has shown to be of use)" },
	BOOT_WORD("--cpu", "MODEL", ARGS_TEXT, cpu, "the model of its CPUs"),
	BOOT_WORD("--ready", "WHEN", ARGS_TEXT, ready,
		  "agent, console:TEXT, port:NUMBER or none (agent)"),
	BOOT_WORD("--timeout", "TIME", ARGS_MS, ready_ms,
		  "it has to be ready by then (2m)"),
	BOOT_WORD("--attach", NULL, ARGS_FLAG, attach,
		  "join its console with this terminal"),
	BOOT_WORD("--report", "FILE", ARGS_TEXT, report,
		  "append one JSON line"),
	BOOT_WORD("--json", NULL, ARGS_FLAG, json, "tell it as JSON"),
	{ .name = NULL }
};
/* clang-format on */

const struct args_verb machine_boot_args = {
	.name = "machine boot",
	.synopsis = "[NAME] --kernel FILE [OPTIONS]",
	.summary = "boot a machine, once",
	.text = "Boots a machine with QEMU and waits until it is ready: until "
		"its agent answers, or its console has said TEXT, or who "
		"listens on a forwarded port keeps a connection. It then runs "
		"on by itself until \"brood machine stop NAME\".\n\n"
		"Its memory is its own and is not kept in a file: \"brood "
		"machine save NAME --as TIP\" makes one of it.\n\n"
		"--share lends it a folder, which others have at the same "
		"time. 9p is QEMU's own and needs nothing more; virtiofs is "
		"served by a virtiofsd, which runs as long as the machine; "
		"with virtiofs-locks flock and fcntl locks are the same for "
		"this host and all its machines. Nothing is cached by them. "
		"A TAG is at most 31 letters, digits and \"._-\".\n\n"
		"--pmem lends it a file of whole units of 2 MiB (\"truncate -s "
		"%2M\" pads one), whose pages it shares with all others that "
		"map it; --device one as a disk, which is no part of what is "
		"saved. Neither may become shorter while it runs.\n\n"
		"A guest from \"brood machine image --module share\" finds "
		"shares at /mnt/TAG, and what is EROFS at /mnt/pmem0 or "
		"/mnt/device0, before it is ready; where it cannot, it ends, "
		"and why is told. In others this does it:\n\n"
		"  mount -t 9p -o trans=virtio,version=9p2000.L share0 /mnt\n\n"
		"  mount -t virtiofs share0 /mnt\n\n"
		"  mount -t erofs -o ro,dax=always /dev/pmem0 /mnt\n\n"
		"A machine that is lent something cannot be saved. One that "
		"has places for folders (--folders) can, and \"brood machine "
		"start --folder\" puts folders there; the guest needs 9p, "
		"which \"machine image --module share\" gives it.",
	.options = boot_options,
	.most = 1,
};

/* A progress bar beside a call that blocks. */
struct waiting {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t over;
	struct progress progress;
	bool runs, ended;
};

static void *waiting_thread(void *context)
{
	struct waiting *waiting = context;

	pthread_mutex_lock(&waiting->mutex);
	while (!waiting->ended) {
		uint64_t until_ns =
			clock_wall_ns() + (uint64_t)PROGRESS_TICK_MS * 1000000;
		struct timespec until = {
			.tv_sec = (time_t)(until_ns / 1000000000),
			.tv_nsec = (long)(until_ns % 1000000000)
		};

		pthread_cond_timedwait(&waiting->over, &waiting->mutex, &until);
		if (!waiting->ended)
			progress_tick(&waiting->progress);
	}
	pthread_mutex_unlock(&waiting->mutex);
	return NULL;
}

static void waiting_start(struct waiting *waiting, const char *what)
{
	*waiting = (struct waiting){ .mutex = PTHREAD_MUTEX_INITIALIZER,
				     .over = PTHREAD_COND_INITIALIZER };
	progress_start(&waiting->progress, what);
	waiting->runs = waiting->progress.allowed &&
			pthread_create(&waiting->thread, NULL, waiting_thread,
				       waiting) == 0;
}

static void waiting_end(struct waiting *waiting)
{
	if (!waiting->runs)
		return;
	pthread_mutex_lock(&waiting->mutex);
	waiting->ended = true;
	pthread_cond_signal(&waiting->over);
	pthread_mutex_unlock(&waiting->mutex);
	pthread_join(waiting->thread, NULL);
	progress_end(&waiting->progress);
}

/* "HOST:GUEST", both a port. */
static int boot_check_forward(const char *words)
{
	long host, guest;
	char end;

	if (!words)
		return 0;
	if (sscanf(words, "%5ld:%5ld%c", &host, &guest, &end) == 2 &&
	    host > 0 && host < 65536 && guest > 0 && guest < 65536)
		return 0;
	return cli_wrong("\"%s\" is no pair of ports, such as 8080:80", words);
}

static int boot_wish(const struct boot_words *words, char **operands, int count,
		     struct machine_boot *boot, struct err *err)
{
	*boot = (struct machine_boot){
		.name = count ? operands[0] : NULL,
		.shape = { .ram_bytes = (uint64_t)words->memory,
			   .cpus = words->cpus,
			   .accel = words->accel,
			   .cpu = words->cpu,
			   .network = words->network || words->forward,
			   .folders = words->folders,
			   .disks = words->disks.item,
			   .disk_count = words->disks.count },
		.files = { .kernel = words->kernel, .initrd = words->initrd },
		.forward = words->forward,
		.ends_with_us = words->attach,
	};
	boot->ready.timeout_ms =
		words->ready_ms ? (int)words->ready_ms : BOOT_READY_MS;
	if (words->memory < 0 || words->ready_ms < 0)
		return err_set(err, -EINVAL, "a number is below zero");
	if (machine_ready_parse(words->ready, &boot->ready, err) < 0)
		return -EINVAL;
	/* Any other port has nothing to do with the machine. */
	if (boot->ready.kind == READY_PORT &&
	    (!words->forward ||
	     strtol(words->forward, NULL, 10) != boot->ready.port))
		return err_set(err, -EINVAL,
			       "port %ld leads to no machine; \"--forward "
			       "%ld:GUEST\" makes it do so",
			       boot->ready.port, boot->ready.port);
	return 0;
}

static int boot_lend(const struct boot_words *words, struct lent *lent,
		     struct err *err)
{
	int rc = 0;

	for (int i = 0; rc >= 0 && i < words->shares.count; i++)
		rc = lent_add_share(lent, words->shares.item[i], err);
	for (int i = 0; rc >= 0 && i < words->pmems.count; i++)
		rc = lent_add_file(lent, LENT_PMEM, words->pmems.item[i], err);
	for (int i = 0; rc >= 0 && i < words->devices.count; i++)
		rc = lent_add_file(lent, LENT_DEVICE, words->devices.item[i],
				   err);
	return rc;
}

static int boot_files(const struct hypervisor_boot *files, struct err *err)
{
	const char *const list[] = { files->kernel, files->initrd };

	for (int i = 0; i < 2; i++)
		if (list[i] && access(list[i], R_OK) < 0)
			return err_set(err, -errno, "open %s", list[i]);
	return 0;
}

int machine_boot_run(int argc, char **argv)
{
	struct boot_words words = { 0 };
	auto_buf struct buf append = { 0 };
	auto_buf struct buf out = { 0 };
	auto_machine_place struct place place = { .lock = -1 };
	auto_lent struct lent lent = { 0 };
	struct machine_report report;
	struct machine_boot boot;
	struct waiting waiting;
	struct err err = { 0 };
	char **operands;
	int count, code, rc;

	if (cli_parse(&machine_boot_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (boot_check_forward(words.forward))
		return CLI_USAGE;
	if (!words.kernel && !words.disks.count)
		return cli_wrong("nothing to boot: --kernel or --disk names "
				 "it");
	if (boot_wish(&words, operands, count, &boot, &err) < 0)
		return cli_wrong("%s", err.text);
	buf_format(&append, "console=ttyS0 %s",
		   words.append ? words.append : "");
	boot.files.append = buf_string(&append);
	rc = boot_files(&boot.files, &err);
	if (rc >= 0)
		rc = boot_lend(&words, &lent, &err);
	boot.lent = lent.count ? &lent : NULL;
	if (rc < 0)
		return cli_fail(&err, NULL);
	waiting_start(&waiting, "booting");
	rc = machine_boot(&boot, &place, &report, &err);
	waiting_end(&waiting);
	if (rc < 0)
		return cli_fail(&err, rc == -EINVAL || rc == -EEXIST
					      ? NULL
					      : "\"brood doctor\" may tell "
						"why");
	machine_report(words.report, &place, &report);
	machine_tell_report(&place, &report, words.json, &out);
	code = cli_print(buf_string(&out));
	if (!code && words.attach && machine_console(&place, &err) < 0)
		code = cli_fail(&err, NULL);
	return code;
}

/* ---- start ------------------------------------------------------------------------ */

struct start_words {
	const char *store, *name, *mode, *via, *forward, *report, *host_name;
	struct args_list disks, folders;
	long count;
	bool detach, park, same, json;
};

#define START_WORD(word, what, of, member, say)           \
	{ .name = word,                                   \
	  .value = what,                                  \
	  .kind = of,                                     \
	  .offset = offsetof(struct start_words, member), \
	  .help = say }
/* clang-format off */
static const struct args_option start_options[] = {
	START_WORD("--name", "NAME", ARGS_TEXT, name,
		   "the machine's (the tip's and a number)"),
	START_WORD("--count", "N", ARGS_NUMBER, count, "how many machines"),
	START_WORD("--detach", NULL, ARGS_FLAG, detach,
		   "return when it runs, without its console"),
	START_WORD("--park", NULL, ARGS_FLAG, park,
		   "prepare it up to where it would run, for a later start"),
	{ .name = "--mode", .value = "HOW", .kind = ARGS_TEXT,
	  .offset = offsetof(struct start_words, mode), .words = "map|copy",
	  .help = "map its memory, shared until written (map), or copy it" },
	{ .name = "--via", .value = "WAY", .kind = ARGS_TEXT,
	  .offset = offsetof(struct start_words, via),
	  .words = "auto|parked|hatch|exec",
	  .help = "auto, parked, hatch or exec: how its QEMU comes about" },
	START_WORD("--disk", "FILE", ARGS_LIST, disks, MACHINE_DISK_HELP),
	START_WORD("--folder", "[ro:]DIR[=AT]", ARGS_LIST, folders,
		   MACHINE_FOLDER_HELP),
	START_WORD("--host-name", "NAME", ARGS_TEXT, host_name,
		   "what it calls itself (its name)"),
	START_WORD("--forward", "HOST:GUEST", ARGS_TEXT, forward,
		   "a local TCP port that leads to one of the machine's"),
	START_WORD("--as-it-was", NULL, ARGS_FLAG, same,
		   "do not make it another machine than its template: the "
		   "same random numbers, an old clock"),
	START_WORD("--store", "DIR", ARGS_TEXT, store,
		   "the folder of images, if it is not the usual one"),
	START_WORD("--report", "FILE", ARGS_TEXT, report,
		   "append one JSON line for each"),
	START_WORD("--json", NULL, ARGS_FLAG, json, "tell it as JSON"),
	{ .name = NULL }
};
/* clang-format on */

const struct args_verb machine_start_args = {
	.name = "machine start",
	.synopsis = "[OPTIONS] TIP",
	.summary = "start a machine from a tip, without a boot",
	.text = "Makes a machine that goes on where TIP was saved: its memory "
		"is mapped from the tip's layers, and shared with them and "
		"with all other machines of the tip until it is written. Its "
		"agent then makes it another machine than its siblings - "
		"random numbers, clock, machine-id, host name, addresses - "
		"before it is said to run.\n\n"
		"The console is joined with this terminal; Ctrl-] leaves, "
		"and ends the machine, and so does the end of standard input "
		"when the machine then falls silent. With --detach it runs on by itself.\n\n"
		"--folder lends it a folder, which others have at the same "
		"time; a machine that has one cannot be saved. It is mounted "
		"in the guest, by its agent, before the machine is said to "
		"run.\n\n"
		"With --park machines wait, ready to run; later starts of the "
		"same tip take them.\n\n"
		"Where anything is in the way - another QEMU, another CPU, a "
		"damaged layer - it fails and tells it: a machine is never "
		"booted instead.",
	.options = start_options,
	.least = 1,
	.most = 1,
};

static int start_one(const struct images *images,
		     const struct start_words *words,
		     const struct machine_start *start, struct place *place,
		     struct machine_report *report, struct err *err)
{
	bool any = !words->via || strcmp(words->via, "auto") == 0;
	int rc = 0;

	*place = (struct place){ .lock = -1 };
	if ((any || strcmp(words->via, "parked") == 0) && !start->park &&
	    !start->name && !start->copy && !start->disk_count &&
	    !start->folders && !start->ends_with_us)
		rc = machine_unpark(images, start, place, report, err);
	if (rc > 0 || rc < 0)
		return rc < 0 ? rc : 0;
	if (!any && strcmp(words->via, "parked") == 0)
		return err_set(err, -EINVAL,
			       "no machine of tip %s waits; \"--park\" makes "
			       "one",
			       start->tip);
	rc = machine_start(images, start, place, report, err);
	if (rc >= 0 && words->via && strcmp(words->via, "hatch") == 0 &&
	    !report->warm) {
		err_set(err, -EINVAL, "no warm QEMU: %s", report->why);
		machine_stop(place, true, 10000, NULL);
		return -EINVAL;
	}
	return rc;
}

static const char *start_next(const struct err *err)
{
	return err->code == -ENOENT
		       ? "\"brood machine ls\" lists the tips that there are"
		       : NULL;
}

static int start_all(const struct images *images,
		     const struct start_words *words,
		     struct machine_start *start, bool console)
{
	struct err err = { 0 };
	int code = 0;

	for (long i = 0; !code && i < (words->count ? words->count : 1); i++) {
		auto_buf struct buf out = { 0 };
		auto_machine_place struct place place = { .lock = -1 };
		struct machine_report report = { 0 };

		if (start_one(images, words, start, &place, &report, &err) < 0)
			return cli_fail(&err, start_next(&err));
		machine_report(words->report, &place, &report);
		machine_tell_report(&place, &report, words->json, &out);
		if (!console)
			code = cli_print(buf_string(&out));
		else if (machine_console(&place, &err) < 0)
			code = cli_fail(&err, NULL);
		if (console)
			machine_stop(&place, true, 10000, NULL);
	}
	return code;
}

int machine_start_run(int argc, char **argv)
{
	struct start_words words = { 0 };
	struct machine_start start = { 0 };
	auto_lent struct lent lent = { 0 };
	struct images images;
	struct err err = { 0 };
	char **operands;
	int count, code;
	bool console;

	if (cli_parse(&machine_start_args, argc, argv, &words, &operands,
		      &count, &code) < 0)
		return code;
	if (boot_check_forward(words.forward))
		return CLI_USAGE;
	if (words.count < 0 || words.count > START_COUNT_MOST)
		return cli_wrong("--count is at most %d", START_COUNT_MOST);
	if (words.count > 1 && words.name)
		return cli_wrong("%ld machines cannot have one name",
				 words.count);
	if (words.park && words.folders.count)
		return cli_wrong("one that waits is lent no folder: --park and "
				 "--folder do not go together");
	console = !words.detach && !words.park && words.count <= 1;
	start = (struct machine_start){
		.tip = operands[0],
		.name = words.name,
		.copy = words.mode && strcmp(words.mode, "copy") == 0,
		.cold = words.via && strcmp(words.via, "exec") == 0,
		.park = words.park,
		.same = words.same,
		.forward = words.forward,
		.host_name = words.host_name,
		.disks = words.disks.item,
		.disk_count = words.disks.count,
		.ends_with_us = console,
	};
	if (machine_folders(&words.folders, &lent, &start.folders, &err) < 0)
		return cli_fail(&err, NULL);
	if (images_open(&images, words.store, false, &err) < 0)
		return cli_fail(&err, "\"brood machine save\" makes tips");
	code = start_all(&images, &words, &start, console);
	images_close(&images);
	return code;
}
