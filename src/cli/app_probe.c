/* SPDX-License-Identifier: Apache-2.0 */
/* brood app probe: which lock can a share have there? */
#include "cli/app.h"
#include "share/probe.h"
#include <limits.h>

struct probe_words {
	long wait_ms;
};

static const struct args_option probe_options[] = {
	{ .name = "--wait",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct probe_words, wait_ms),
	  .help = "for the other host (30s)" },
	{ .name = NULL }
};

const struct args_verb app_probe_args = {
	.name = "app probe",
	.synopsis = "[--wait TIME] DIR",
	.summary = "find out whether file locks reach other hosts",
	.text = "Run it on two hosts that have the folder DIR of the same "
		"storage, at the same time, each with its own name of DIR. One "
		"locks a file there, the other one tries to, and then the "
		"other way round; both tell what they found and end with 0 "
		"when the locks exclude each other, else with 111.\n\n"
		"Some storage grants a lock to both: 9p does, and virtiofs as "
		"it starts. So \"app install --lock ofd\" is refused unless "
		"this command has found otherwise, and has left probe.proven "
		"in DIR. What it has found holds as long as the storage is "
		"mounted and exported in the same way by all hosts. The lock "
		"\"lease\" needs none of this.\n\n"
		"Two processes of one host prove nothing, but for a file "
		"system of that host alone.",
	.options = probe_options,
	.least = 1,
	.most = 1,
};

int app_probe_run(int argc, char **argv)
{
	struct probe_words words = { .wait_ms = PROBE_WAIT_MS };
	auto_buf struct buf line = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code, hosts;

	if (cli_parse(&app_probe_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (words.wait_ms < 0 || words.wait_ms > INT_MAX)
		return cli_wrong("--wait is a time of up to some days");
	hosts = probe_run(operands[0], (int)words.wait_ms, NULL, NULL, &err);
	if (hosts < 0)
		return cli_fail(&err, "\"--lock lease\" needs no file locks");
	buf_format(&line,
		   "%s: file locks of %s exclude each other: a share "
		   "there can have --lock ofd\n",
		   operands[0],
		   hosts == 1 ? "this host's processes" : "two hosts");
	return cli_print(buf_string(&line));
}
