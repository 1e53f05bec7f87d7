/* SPDX-License-Identifier: Apache-2.0 */
/* brood machine: the way to its own verbs. */
#include "cli/machine.h"
#include <string.h>

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

struct machine_verb {
	const char *name;
	int (*run)(int argc, char **argv);
};

static const struct machine_verb machine_verbs[] = {
	{ "boot", machine_boot_run },
	{ "start", machine_start_run },
	{ "save", machine_save_run },
	{ "swap", machine_swap_run },
	{ "record", machine_record_run },
	{ "exec", machine_exec_run },
	{ "attach", machine_attach_run },
	{ "stop", machine_stop_run },
	{ "ps", machine_ps_run },
	{ "ls", machine_ls_run },
	{ "rm", machine_rm_run },
	{ "image", machine_image_run },
	{ NULL, NULL },
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
	return verb->run(count, operands);
}
