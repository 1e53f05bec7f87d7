/* SPDX-License-Identifier: Apache-2.0 */
/* brood ps: the templates of this user, one a line. */
#include "cli/cli.h"
#include "cli/listing.h"

struct ps_options {
	bool json;
};

static const struct args_option ps_options[] = {
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct ps_options, json),
	  .help = "one JSON object instead of a table" },
	{ .name = NULL }
};

const struct args_verb ps_args = {
	.name = "ps",
	.synopsis = "[--json]",
	.summary = "list what is kept warm",
	.text = "Lists the templates of this user. WAYS tells how instances "
		"can start: by clone (the template forks), by hatch (the "
		"caller maps the template's image) or not at all, and then "
		"REASON tells why. What is served in domains has its walls "
		"below it; LIVE are those that run. A template that is not kept now is started "
		"again by its next launch.\n\n"
		"What nothing has used for 30 days, or whose program is gone, "
		"is removed when some other template begins to serve: the "
		"image alone of what \"brood serve\" or \"brood wrap\" were "
		"asked for, all of what a launch has made by itself. \"brood "
		"stop --forget\" removes it at once.",
	.options = ps_options,
};

static void ps_table(const struct listing *listing, struct buf *out)
{
	buf_format(out, "%-16s %-10s %-15s %4s %8s %5s %8s  %s\n", "NAME",
		   "STATE", "WAYS", "GEN", "LAUNCHES", "LIVE", "PID",
		   "PROGRAM");
	for (int i = 0; i < listing->count; i++) {
		const struct listing_row *row = &listing->row[i];

		buf_format(out, "%-16s %-10s %-15s %4ld %8ld %5ld ",
			   row->name ? row->name : "-", row->state,
			   listing_ways(row), (long)row->generation,
			   (long)row->launches, (long)row->live);
		if (row->pid > 0)
			buf_format(out, "%8ld", (long)row->pid);
		else
			buf_format(out, "%8s", "-");
		buf_format(out, "  %s\n", row->program);
		if (row->reason[0])
			buf_format(out, "%-16s reason: %s\n", "", row->reason);
		if (row->is_domain)
			buf_format(out, "%-16s %ld VMs%s; walls: %s\n", "",
				   (long)row->vms,
				   row->is_shared ? ", one for all launches"
						  : "",
				   row->walls[0] ? row->walls : "none");
	}
}

int ps_run(int argc, char **argv)
{
	struct ps_options options = { 0 };
	auto_listing struct listing listing = { 0 };
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&ps_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	if (listing_read(&listing, &err) < 0)
		return cli_fail(&err, NULL);
	if (options.json)
		listing_json(&listing, false, &out);
	else if (listing.count)
		ps_table(&listing, &out);
	else
		buf_text(&out, "nothing is kept warm; start with "
			       "\"brood launch PROGRAM\"\n");
	return cli_print(buf_string(&out));
}
