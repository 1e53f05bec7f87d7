/* SPDX-License-Identifier: Apache-2.0 */
/* brood machine exec, attach, stop, ps, ls, rm: machines that run, and tips. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/maps.h"
#include "cli/first.h"
#include "cli/machine.h"
#include "machine/half.h"
#include "machine/relay.h"
#include "machine/virtiofsd.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LIVE_AGENT_MS = 10000,
	LIVE_STOP_MS = 10000,
	LIVE_TIMEOUT = 124,
	LIVE_LOOK_MS = 20
};

static const struct args_option live_no_options[] = { { .name = NULL } };

/* ---- exec -------------------------------------------------------------------------- */

struct exec_words {
	const char *store, *name, *host_name, *cwd;
	long timeout_ms;
	bool env_all, cold, given, join;
	struct args_list env, disks, folders;
};
static const struct args_option exec_options[] = {
	{ .name = "--timeout",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct exec_words, timeout_ms),
	  .help = "it is killed when it is not over by then" },
	{ .name = "--cwd",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct exec_words, cwd),
	  .help = "the folder of the machine that the command begins in; by "
		  "its sh, which drops variables that are no names to it" },
	{ .name = "--env",
	  .value = "NAME=VALUE",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct exec_words, env),
	  .help = "a variable for the command" },
	{ .name = "--env-all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct exec_words, env_all),
	  .help = "all variables that are set here, but PATH, HOME, "
		  "BROOD_QEMU, and what begins with XDG_; QEMU has those "
		  "alone" },
	{ .name = "--cold",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct exec_words, cold),
	  .help = "of a tip: none that waits is taken, and QEMU is executed" },
	{ .name = "--given",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct exec_words, given),
	  .help = "what --store names is believed and not looked through; "
		  "brood-oci has such folders" },
	{ .name = "--join",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct exec_words, join),
	  .help = "MACHINE is one that another exec starts, or has started, "
		  "for its command: wait for it" },
	{ .name = "--name",
	  .value = "NAME",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct exec_words, name),
	  .help = "of a tip: the new machine's (the tip's and a number)" },
	{ .name = "--host-name",
	  .value = "NAME",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct exec_words, host_name),
	  .help = "of a tip: what the new machine calls itself (its name)" },
	{ .name = "--disk",
	  .value = "FILE",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct exec_words, disks),
	  .help = MACHINE_DISK_HELP },
	{ .name = "--folder",
	  .value = "[ro:]DIR[=AT]",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct exec_words, folders),
	  .help = "of a tip: " MACHINE_FOLDER_HELP },
	{ .name = "--store",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct exec_words, store),
	  .help = "the folder of images, if it is not the usual one" },
	{ .name = NULL }
};

const struct args_verb machine_exec_args = {
	.name = "machine exec",
	.synopsis = "[OPTIONS] MACHINE|TIP -- COMMAND [ARG...]",
	.summary = "run a command in a machine, or in a new one of a tip",
	.text = "The machine's agent runs COMMAND; its standard input, output "
		"and errors are these here, and the exit code is the "
		"command's (128 and the signal's number where one ended it; "
		"124 when the time was over).\n\n"
		"Where no machine of that name runs, a new one is started from "
		"the tip of that name (or one that waits is taken), and ends "
		"with the command: whatever that has done to it is gone. "
		"Until then other commands can run in it, too, and are killed "
		"where they outlive the first.",
	.options = exec_options,
	.least = 2,
	.most = -1,
	.stop_early = true,
};

static int exec_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

/* 124 is for the command's own time. */
static int exec_met(int rc)
{
	return rc == -ETIME ? -EBUSY : rc;
}

static int exec_in(const struct place *place, const struct talk_exec *exec,
		   int *status, struct err *err)
{
	auto_talk struct talk *talk = NULL;
	auto_machine struct machine machine = { 0 };
	int rc;

	if (machine_read(place, &machine, NULL) >= 0 && machine.parked)
		return err_set(err, -EINVAL,
			       "machine %s waits; \"brood machine start %s\" "
			       "takes it",
			       place->name, machine.tip);
	rc = machine_talk_shared(place, LIVE_AGENT_MS, &talk, err);
	return rc < 0 ? exec_met(rc)
		      : machine_command(place, talk, exec, status, err);
}

/* Nothing to wait for: it will not be found there. */
static int exec_may_look(const char *name, struct err *err)
{
	const char *folder = getenv("XDG_RUNTIME_DIR");

	return !folder || access(folder, X_OK) == 0 || errno != EACCES
		       ? 0
		       : err_set(err, -EACCES, "look for machine %s in %s",
				 name, folder);
}

/* It is not looked for elsewhere: where it only begins, who begins it is to
 * have the line first. */
static int exec_join(const char *name, const struct talk_exec *exec,
		     int *status, struct err *err)
{
	auto_machine_place struct place place = { .lock = -1 };
	auto_talk struct talk *talk = NULL;
	uint64_t end = clock_deadline(LIVE_AGENT_MS);
	int rc = exec_may_look(name, err);

	if (rc < 0)
		return rc;
	for (;;) {
		err_clear(err);
		rc = place_find(name, &place, err);
		if (rc >= 0)
			rc = machine_talk_beside(&place, LIVE_AGENT_MS, &talk,
						 err);
		if ((rc != -ENOENT && rc != -EPIPE) || !clock_left_ms(end))
			break;
		place_fini(&place);
		clock_sleep_ms(LIVE_LOOK_MS);
	}
	return rc < 0 ? exec_met(rc)
		      : machine_command(&place, talk, exec, status, err);
}

/* In a machine that is there for this. */
static int exec_first(const struct place *place, int *line,
		      const struct talk_exec *exec, int *status,
		      struct err *err)
{
	auto_relay struct relay *relay = NULL;
	auto_talk struct talk *talk = NULL;
	struct talk_exec with = *exec;
	int rc = machine_talk(place, line, LIVE_AGENT_MS, &talk, err);

	if (rc >= 0)
		rc = machine_relay(place, &relay, err);
	with.relay = relay;
	return rc < 0 ? exec_met(rc)
		      : machine_command(place, talk, &with, status, err);
}

/* One that was waiting has nobody whose death would end it: so it is marked as
 * one to be ended, for whoever comes by. */
static int exec_begin(const struct exec_words *words,
		      const struct images *images, const char *tip,
		      struct lent *folders, struct place *place, int *line,
		      struct half *half, struct err *err)
{
	const struct machine_start start = { .tip = tip,
					     .name = words->name,
					     .host_name = words->host_name,
					     .ends_with_us = true,
					     .disks = words->disks.item,
					     .disk_count = words->disks.count,
					     .folders = folders,
					     .line = line,
					     .cold = words->cold };
	auto_machine struct machine machine = { 0 };
	struct machine_report report;
	int rc = words->cold || words->name || words->disks.count || folders
			 ? 0
			 : machine_unpark(images, &start, place, &report, err);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return machine_start(images, &start, place, &report, err);
	rc = machine_read(place, &machine, err);
	return rc < 0 ? rc
		      : half_begin(place, HALF_END, machine.pid, half, err);
}

static bool exec_has_tip(const struct images *images, const char *tip)
{
	return images->tips >= 0 && faccessat(images->tips, tip, F_OK, 0) == 0;
}

static int exec_in_new(const struct exec_words *words, const char *tip,
		       const struct talk_exec *exec, int *status,
		       struct err *err)
{
	auto_machine_place struct place place = { .lock = -1 };
	struct images images;
	auto_lent struct lent lent = { 0 };
	struct lent *folders = NULL;
	struct half half = HALF_NONE;
	auto_close int line = -1;
	bool is_missing;
	int rc = machine_folders(&words->folders, &lent, &folders, err);

	if (rc < 0)
		return rc;
	rc = words->given ? images_open_given(&images, words->store, err)
			  : images_open(&images, words->store, false, err);
	if (rc >= 0)
		rc = exec_met(exec_begin(words, &images, tip, folders, &place,
					 &line, &half, err));
	is_missing = rc == -ENOENT && !exec_has_tip(&images, tip);
	images_close(&images);
	if (is_missing) {
		err_clear(err);
		err_set(err, -EINVAL,
			"no machine %.64s runs (\"brood machine ps\" lists "
			"those that do), and no tip has that name",
			tip);
		return rc;
	}
	if (rc >= 0)
		rc = exec_first(&place, &line, exec, status, err);
	if (place.folder)
		machine_stop(&place, true, LIVE_STOP_MS, NULL);
	half_end(&half);
	return rc;
}

/* The agent knows no folders.  The list alone is malloced. */
static char **exec_in_folder(const char *folder, char *const *argv)
{
	static const char *const shell[] = { "sh", "-c",
					     "cd -- \"$0\" && exec \"$@\"" };
	const size_t least = sizeof shell / sizeof *shell;
	size_t count = 0;
	char **list;

	while (argv[count])
		count++;
	list = calloc(least + 1 + count + 1, sizeof(*list));
	if (!list)
		return NULL;
	for (size_t i = 0; i < least; i++)
		list[i] = (char *)shell[i];
	list[least] = (char *)folder;
	memcpy(list + least + 1, argv, count * sizeof(*list));
	return list;
}

/* Where our own things are found is no matter of the command's. */
static bool exec_is_ours(const char *variable)
{
	static const char *const names[] = { "PATH=", "HOME=", "XDG_",
					     "BROOD_QEMU=" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* The list alone is malloced. */
static char **exec_environment(const struct exec_words *words)
{
	size_t count = 0, used = 0;
	char **list;

	while (environ[count])
		count++;
	list = calloc(count + (size_t)words->env.count + 1, sizeof(*list));
	for (size_t i = 0; list && words->env_all && i < count; i++)
		if (!exec_is_ours(environ[i]))
			list[used++] = environ[i];
	for (int i = 0; list && i < words->env.count; i++)
		list[used++] = (char *)words->env.item[i];
	return list;
}

/* The command's could name libraries, and QEMU is to be the host's. */
static void exec_leave_ours(void)
{
	size_t to = 0;

	for (size_t i = 0; environ[i]; i++)
		if (exec_is_ours(environ[i]))
			environ[to++] = environ[i];
	environ[to] = NULL;
}

static bool exec_is_of_tip(const struct exec_words *words)
{
	return words->name || words->host_name || words->disks.count ||
	       words->folders.count;
}

static int exec_anywhere(const struct exec_words *words, const char *name,
			 const struct talk_exec *exec, int *status,
			 struct err *err)
{
	auto_machine_place struct place place = { .lock = -1 };
	int rc = place_find(name, &place, err);

	if (rc >= 0 && exec_is_of_tip(words))
		return err_set(err, -EINVAL,
			       "machine %s runs, and --name, --host-name, "
			       "--disk and --folder are for a new one",
			       name);
	if (rc >= 0)
		return exec_in(&place, exec, status, err);
	return rc == -ENOENT ? exec_in_new(words, name, exec, status, err) : rc;
}

int machine_exec_run(int argc, char **argv)
{
	struct exec_words words = { 0 };
	auto_free char **environment = NULL;
	auto_free char **there = NULL;
	struct talk_exec exec = { .out = 1, .errors = 2 };
	struct err err = { 0 };
	int count, code, rc, status = 0;
	char **operands;

	if (cli_parse(&machine_exec_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (words.given && !words.store)
		return cli_wrong("--given is of --store");
	if (words.join && (words.store || words.cold || exec_is_of_tip(&words)))
		return cli_wrong("--join is of a machine, the others of a tip");
	exec.argv = operands + 1;
	if (strcmp(operands[1], "--") == 0)
		exec.argv++;
	if (!exec.argv[0])
		return cli_wrong("no command to run in %s", operands[0]);
	if (words.cwd && words.cwd[0] != '/')
		return cli_wrong("\"%s\" is no absolute path", words.cwd);
	exec.environment = environment = exec_environment(&words);
	if (words.cwd)
		exec.argv = there = exec_in_folder(words.cwd, exec.argv);
	if (!environment || !exec.argv)
		return cli_wrong("no memory");
	if (words.env_all)
		exec_leave_ours();
	exec.timeout_ms = words.timeout_ms ? (int)words.timeout_ms : -1;
	first_take_signals();
	signal(SIGPIPE, SIG_IGN);
	rc = words.join
		     ? exec_join(operands[0], &exec, &status, &err)
		     : exec_anywhere(&words, operands[0], &exec, &status, &err);
	if (rc == -ETIME && exec.timeout_ms >= 0) {
		cli_fail(&err, NULL);
		return LIVE_TIMEOUT;
	}
	return rc < 0 ? cli_fail(&err, NULL) : exec_code(status);
}

/* ---- attach ------------------------------------------------------------------------ */

const struct args_verb machine_attach_args = {
	.name = "machine attach",
	.synopsis = "NAME",
	.summary = "join a machine's console",
	.text = "Joins the console of a machine with this terminal, until "
		"Ctrl-], or until standard input ends and the machine falls "
		"silent. The machine goes on.",
	.options = live_no_options,
	.least = 1,
	.most = 1,
};

int machine_attach_run(int argc, char **argv)
{
	auto_machine_place struct place place = { .lock = -1 };
	struct err err = { 0 };
	char **operands;
	int count, code, rc;

	if (cli_parse(&machine_attach_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	rc = place_find(operands[0], &place, &err);
	if (rc >= 0)
		rc = machine_console(&place, &err);
	return rc < 0 ? cli_fail(&err, NULL) : 0;
}

/* ---- stop -------------------------------------------------------------------------- */

struct stop_words {
	bool all, at_once, failed;
	long timeout_ms;
};
static const struct args_option stop_options[] = {
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct stop_words, all),
	  .help = "every machine of this user" },
	{ .name = "--now",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct stop_words, at_once),
	  .help = "without asking the guest to shut down" },
	{ .name = "--timeout",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct stop_words, timeout_ms),
	  .help = "how long the guest may take (10s)" },
	{ .name = NULL }
};

const struct args_verb machine_stop_args = {
	.name = "machine stop",
	.synopsis = "[OPTIONS] NAME...",
	.summary = "end machines",
	.text = "Asks each guest's agent to power off; one that does not is "
		"ended. What was not saved is gone.",
	.options = stop_options,
	.most = -1,
};

static int stop_visit(const struct place *place, void *context)
{
	const struct stop_words *words = context;
	struct err err = { 0 };
	int timeout_ms =
		words->timeout_ms ? (int)words->timeout_ms : LIVE_STOP_MS;

	if (machine_stop(place, words->at_once, timeout_ms, &err) < 0)
		return -cli_fail(&err, NULL);
	return 0;
}

/* The others are ended too. */
static int stop_visit_all(const struct place *place, void *context)
{
	struct stop_words *words = context;

	words->failed |= stop_visit(place, words) < 0;
	return 0;
}

int machine_stop_run(int argc, char **argv)
{
	struct stop_words words = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code, failed = 0, rc;

	if (cli_parse(&machine_stop_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (!count && !words.all)
		return cli_wrong("no machine is named; --all ends every one");
	if (words.all) {
		rc = place_each(stop_visit_all, &words, &err);
		if (rc < 0)
			return cli_fail(&err, NULL);
		code = words.failed ? CLI_SYSTEM : code;
	}
	for (int i = 0; i < count; i++) {
		auto_machine_place struct place place = { .lock = -1 };

		if (place_find(operands[i], &place, &err) < 0)
			failed = cli_fail(&err, NULL);
		else if (stop_visit(&place, &words) < 0)
			failed = CLI_SYSTEM;
	}
	return failed;
}

/* ---- ps ---------------------------------------------------------------------------- */

struct list_words {
	const char *store;
	bool json;
};
static const struct args_option ps_options[] = {
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct list_words, json),
	  .help = "one JSON object instead of a table" },
	{ .name = NULL }
};

const struct args_verb machine_ps_args = {
	.name = "machine ps",
	.synopsis = "[--json]",
	.summary = "list machines that run",
	.text = "PSS is the machine's part of all memory: what it shares is "
		"divided by those who share it. OWN is what it alone has. With "
		"--json, \"lent\" lists the folders and files that a machine "
		"has of this host; the virtiofsd of a share that does not "
		"\"live\" any more has left its machine without it.",
	.options = ps_options,
};

struct listing_work {
	struct buf *out;
	struct json json;
	bool as_json;
	const struct images *images;
	int rows;
};

/* A share whose daemon has died is no use to its machine. */
static void ps_lent(struct json *json, const struct place *place,
		    const struct machine *machine)
{
	json_list_open(json, "lent");
	for (int i = 0; i < machine->lent.count; i++) {
		const struct lent_item *item = &machine->lent.item[i];

		json_open(json, NULL);
		json_text(json, "how", lent_how_name(item->how));
		json_text(json, "tag", item->tag);
		json_text(json, "path", item->path);
		if (item->at) {
			json_text(json, "at", item->at);
			json_bool(json, "read_only", item->read_only);
		}
		if (item->pid) {
			json_number(json, "pid", item->pid);
			json_bool(json, "lives",
				  virtiofsd_lives(place->folder, i));
		}
		json_close(json);
	}
	json_list_close(json);
}

static void ps_row(struct listing_work *work, const struct place *place,
		   const struct machine *machine,
		   const struct maps_memory *memory)
{
	struct json *json = &work->json;

	if (!work->as_json) {
		buf_format(work->out,
			   "%-16s %-12s %8d %-5s %-6s %8lu %8lu %8lu\n",
			   place->name, machine->tip[0] ? machine->tip : "-",
			   machine->pid, machine->shape.accel,
			   machine->parked ? "parked" : machine->mode,
			   (unsigned long)(machine->shape.ram_bytes >> 20),
			   (unsigned long)memory->pss / 1024,
			   (unsigned long)memory->private_dirty / 1024);
		return;
	}
	json_open(json, NULL);
	json_text(json, "name", place->name);
	json_text(json, "tip", machine->tip);
	json_number(json, "pid", machine->pid);
	json_text(json, "accel", machine->shape.accel);
	json_text(json, "mode", machine->mode);
	json_text(json, "way", machine->way);
	json_bool(json, "parked", machine->parked);
	json_number(json, "memory", (int64_t)machine->shape.ram_bytes);
	json_number(json, "ram_at", (int64_t)machine->ram_at);
	json_number(json, "pss_kib", (int64_t)memory->pss);
	json_number(json, "private_kib", (int64_t)memory->private_dirty);
	json_text(json, "folder", place->folder);
	ps_lent(json, place, machine);
	json_close(json);
}

static int ps_visit(const struct place *place, void *context)
{
	auto_machine struct machine machine = { 0 };
	struct maps_memory memory = { 0 };

	if (machine_read(place, &machine, NULL) < 0)
		return 0;
	maps_memory(machine.pid, &memory, NULL);
	ps_row(context, place, &machine, &memory);
	return 0;
}

int machine_ps_run(int argc, char **argv)
{
	struct list_words words = { 0 };
	auto_buf struct buf out = { 0 };
	struct listing_work work = { .out = &out };
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&machine_ps_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	work.as_json = words.json;
	if (words.json) {
		json_start(&work.json, &out);
		json_open(&work.json, NULL);
		json_list_open(&work.json, "machines");
	} else {
		buf_format(&out, "%-16s %-12s %8s %-5s %-6s %8s %8s %8s\n",
			   "NAME", "TIP", "PID", "ACCEL", "MODE", "MIB", "PSS",
			   "OWN");
	}
	if (place_each(ps_visit, &work, &err) < 0)
		return cli_fail(&err, NULL);
	if (words.json) {
		json_list_close(&work.json);
		json_close(&work.json);
		buf_text(&out, "\n");
	}
	return cli_print(buf_string(&out));
}

/* ---- ls, rm ------------------------------------------------------------------------- */

#define LIVE_STORE                                      \
	{ .name = "--store",                            \
	  .value = "DIR",                               \
	  .kind = ARGS_TEXT,                            \
	  .offset = offsetof(struct list_words, store), \
	  .help = "the folder of images, if it is not the usual one" }

static const struct args_option ls_options[] = {
	LIVE_STORE,
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct list_words, json),
	  .help = "one JSON object instead of a table" },
	{ .name = NULL }
};
static const struct args_option rm_options[] = { LIVE_STORE, { .name = NULL } };

const struct args_verb machine_ls_args = {
	.name = "machine ls",
	.synopsis = "[--json] [--store DIR]",
	.summary = "list the tips that machines can be started from",
	.text = "\"brood image ls\" tells more of their layers.",
	.options = ls_options,
};

const struct args_verb machine_rm_args = {
	.name = "machine rm",
	.synopsis = "[--store DIR] TIP...",
	.summary = "remove tips",
	.text = "Removes tips; machines that were started from them go on. "
		"\"brood image gc\" then removes the layers that no tip needs.",
	.options = rm_options,
	.least = 1,
	.most = -1,
};

static void ls_row(struct listing_work *work, const char *name,
		   const struct tip *tip, const struct tip_ids *ids,
		   const char *wrong)
{
	struct json *json = &work->json;
	auto_free char *accel =
		wrong ? NULL : json_get_text(tip->words, "shape.accel");
	int64_t saved = wrong ? 0 : json_get_number(tip->words, "saved", 0);

	if (!work->as_json) {
		char day[24] = "-";
		time_t when = (time_t)saved;
		struct tm tm;

		if (accel)
			cli_plain(accel);
		if (saved && localtime_r(&when, &tm))
			strftime(day, sizeof(day), "%Y-%m-%d %H:%M", &tm);
		buf_format(work->out, "%-20s %8lu %6u %6u %-5.8s %-16s%s%s\n",
			   name, (unsigned long)(tip->ram_bytes >> 20),
			   ids->layer_count, tip->run_count,
			   accel ? accel : "-", day, wrong ? "  " : "",
			   wrong ? wrong : "");
		return;
	}
	json_open(json, NULL);
	json_text(json, "tip", name);
	json_number(json, "memory", (int64_t)tip->ram_bytes);
	json_number(json, "layers", ids->layer_count);
	json_number(json, "pieces", tip->run_count);
	json_text(json, "accel", accel ? accel : "");
	json_number(json, "saved", saved);
	json_text(json, "wrong", wrong ? wrong : "");
	json_close(json);
}

static int ls_visit(const char *name, void *context)
{
	struct listing_work *work = context;
	struct tip_ids ids = { .layer_count = 0 };
	struct err err = { 0 };
	auto_tip struct tip tip = TIP_EMPTY;
	int rc = tip_read(work->images, name, &tip, &ids, &err);

	ls_row(work, name, &tip, &ids, rc < 0 ? err.text : NULL);
	work->rows++;
	return 0;
}

int machine_ls_run(int argc, char **argv)
{
	struct list_words words = { 0 };
	auto_buf struct buf out = { 0 };
	struct images images = { .root = -1, .tips = -1 };
	struct listing_work work = { .out = &out, .images = &images };
	struct err err = { 0 };
	char **operands;
	int count, code, rc;

	if (cli_parse(&machine_ls_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	work.as_json = words.json;
	rc = images_open(&images, words.store, false, &err);
	if (rc < 0 && rc != -ENOENT)
		return cli_fail(&err, NULL);
	if (words.json) {
		json_start(&work.json, &out);
		json_open(&work.json, NULL);
		json_list_open(&work.json, "tips");
	} else {
		buf_format(&out, "%-20s %8s %6s %6s %-5s %s\n", "TIP", "MIB",
			   "LAYERS", "PIECES", "ACCEL", "SAVED");
	}
	if (rc >= 0)
		rc = tip_each(&images, ls_visit, &work, &err);
	images_close(&images);
	if (rc < 0 && rc != -ENOENT)
		return cli_fail(&err, NULL);
	if (words.json) {
		json_list_close(&work.json);
		json_close(&work.json);
		buf_text(&out, "\n");
	}
	return cli_print(buf_string(&out));
}

int machine_rm_run(int argc, char **argv)
{
	struct list_words words = { 0 };
	struct images images = { .root = -1, .tips = -1 };
	struct err err = { 0 };
	char **operands;
	int count, code, failed = 0;

	if (cli_parse(&machine_rm_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (images_open(&images, words.store, false, &err) < 0)
		return cli_fail(&err, NULL);
	for (int i = 0; i < count; i++)
		if (tip_remove(&images, operands[i], &err) < 0)
			failed = cli_fail(&err, NULL);
	images_close(&images);
	return failed;
}
