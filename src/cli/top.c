/* SPDX-License-Identifier: Apache-2.0 */
/* brood top: the templates with the memory that they and their copies use,
 * drawn again each second on a terminal. */
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/listing.h"
#include <unistd.h>

struct top_options {
	bool once, json;
};

static const struct args_option top_options[] = {
	{ .name = "--once",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct top_options, once),
	  .help = "print one table and end" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct top_options, json),
	  .help = "one JSON object instead of a table; implies --once" },
	{ .name = NULL }
};

const struct args_verb top_args = {
	.name = "top",
	.synopsis = "[--once] [--json]",
	.summary = "watch templates, their copies and their memory",
	.text = "Shows for each template its resident memory, how many copies "
		"of it live (waiting ones included), what one copy has of its "
		"own and what it shares, in MiB. Copies are the clones; an "
		"instance that was hatched is an ordinary process of its "
		"caller and is counted there. Of what is served in domains, "
		"copies are the domains, and their workers' memory is told.\n\n"
		"On a terminal the table is drawn again each second until "
		"Ctrl-C; elsewhere it is printed once.",
	.options = top_options,
};

static double top_mib(int64_t kib)
{
	return (double)kib / 1024.0;
}

static void top_table(const struct listing *listing, struct buf *out)
{
	buf_format(out, "%-24s %-10s %8s %8s %6s %9s %9s\n", "TEMPLATE",
		   "STATE", "LAUNCHES", "MiB", "COPIES", "OWN/COPY", "SHARED");
	for (int i = 0; i < listing->count; i++) {
		const struct listing_row *row = &listing->row[i];
		int64_t copies = row->copies > 0 ? row->copies : 1;

		buf_format(out, "%-24.24s %-10s %8ld %8.1f %6ld %9.2f %9.2f\n",
			   row->name ? row->name : file_base(row->program),
			   row->state, (long)row->launches,
			   top_mib(row->template_kib), (long)row->copies,
			   top_mib(row->copies_private_kib / copies),
			   top_mib(row->copies_shared_kib / copies));
	}
}

static int top_draw(const struct top_options *options, bool wipe,
		    struct err *err)
{
	auto_listing struct listing listing = { 0 };
	auto_buf struct buf out = { 0 };
	int result = listing_read(&listing, err);

	if (result < 0)
		return result;
	for (int i = 0; i < listing.count; i++)
		listing_weigh(&listing.row[i]);
	if (wipe)
		buf_text(&out, "\033[H\033[J");
	if (options->json)
		listing_json(&listing, true, &out);
	else
		top_table(&listing, &out);
	return -cli_print(buf_string(&out));
}

int top_run(int argc, char **argv)
{
	struct top_options options = { 0 };
	struct err err = { 0 };
	bool again;
	char **operands;
	int count, code;

	if (cli_parse(&top_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	again = !options.once && !options.json && isatty(STDOUT_FILENO);
	do {
		if (top_draw(&options, again, &err) < 0)
			return err.code ? cli_fail(&err, NULL) : CLI_SYSTEM;
		if (again)
			clock_sleep_ms(1000);
	} while (again);
	return 0;
}
