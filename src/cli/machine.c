/* SPDX-License-Identifier: Apache-2.0 */
/* brood machine: the way to its own verbs. */
#include "cli/machine.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct args_option machine_no_options[] = { { .name = NULL } };

const struct args_verb machine_args = {
	.name = "machine",
	.synopsis =
		"boot|start|save|swap|record|exec|attach|stop|ps|ls|rm|image ...",
	.summary = "virtual machines that never boot twice",
	.text = "A machine is booted once. What it has become is saved as a "
		"tip: a base image of its memory, or a difference to what it "
		"was started from. Further machines start from a tip, without "
		"a boot, in a small part of its time, and share every page "
		"that they do not write.\n\n"
		"  brood machine image --as first.img\n\n"
		"  brood machine boot work --kernel /boot/vmlinuz-* --initrd "
		"first.img\n\n"
		"  brood machine save work --as ready --stop\n\n"
		"  brood machine start ready        as often as you like\n\n"
		"boot starts a machine from a kernel, and waits until it is "
		"ready.\n\n"
		"save makes a tip of a machine, which goes on.\n\n"
		"start makes another machine of a tip.\n\n"
		"swap makes a machine that runs become a tip, in place; "
		"record notes what starts of a tip read.\n\n"
		"exec runs a command in a machine; attach joins its "
		"console.\n\n"
		"ps lists machines that run, ls the tips that there are; stop "
		"ends machines, rm removes tips.\n\n"
		"image makes a small first file system.\n\n"
		"\"brood machine VERB --help\" tells more of each; \"brood "
		"image\" looks at the memory of tips.",
	.options = machine_no_options,
	.least = 1,
	.most = -1,
	.stop_early = true,
};

/* ---- told to end ------------------------------------------------------------- */

/* Who works on a machine and is told to end leaves it whole, as who comes by
 * would make it if this one were killed: so it becomes one who comes by.  Its
 * locks are let go by that. */
static void machine_mend(int number)
{
	char digits[4] = { (char)('0' + number / 10), (char)('0' + number % 10),
			   0 };
	char *const argv[] = { (char[]){ "brood" }, (char[]){ "machine" },
			       (char[]){ "mend" }, digits, NULL };

	execve("/proc/self/exe", argv, environ);
	signal(number, SIG_DFL);
	raise(number);
}

static const int machine_ends[] = { SIGINT, SIGTERM, SIGHUP };

static void machine_leave_whole(void)
{
	const struct sigaction mend = { .sa_handler = machine_mend };
	struct sigaction was;

	for (size_t i = 0; i < sizeof(machine_ends) / sizeof(int); i++)
		if (sigaction(machine_ends[i], NULL, &was) == 0 &&
		    was.sa_handler == SIG_DFL)
			sigaction(machine_ends[i], &mend, NULL);
}

static int machine_mend_visit(const struct place *place, void *context)
{
	(void)place;
	(void)context;
	return 0;
}

/* No verb of users: what machine_mend runs. */
static int machine_mend_run(int argc, char **argv)
{
	int number = argc == 2 ? atoi(argv[1]) : 0;
	sigset_t set;

	place_each(machine_mend_visit, NULL, NULL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
	return CLI_SYSTEM;
}

/* ---- verbs -------------------------------------------------------------------- */

struct machine_verb {
	const char *name;
	int (*run)(int argc, char **argv);
	bool works; /* on a machine, which is half of one meanwhile */
};

static const struct machine_verb machine_verbs[] = {
	{ "boot", machine_boot_run, true },
	{ "start", machine_start_run, true },
	{ "save", machine_save_run, true },
	{ "swap", machine_swap_run, true },
	{ "record", machine_record_run, false },
	{ "exec", machine_exec_run, false },
	{ "attach", machine_attach_run, false },
	{ "stop", machine_stop_run, false },
	{ "ps", machine_ps_run, false },
	{ "ls", machine_ls_run, false },
	{ "rm", machine_rm_run, false },
	{ "image", machine_image_run, false },
	{ "mend", machine_mend_run, false },
	{ NULL, NULL, false },
};

int machine_run(int argc, char **argv)
{
	const struct machine_verb *verb = machine_verbs;
	char **operands;
	int count, code;

	if (cli_parse(&machine_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	while (verb->name && strcmp(verb->name, operands[0]) != 0)
		verb++;
	if (!verb->name)
		return cli_wrong("no \"machine %s\"; there are boot, start, "
				 "save, swap, record, exec, attach, stop, "
				 "ps, ls, rm and image",
				 operands[0]);
	if (verb->works)
		machine_leave_whole();
	return verb->run(count, operands);
}
