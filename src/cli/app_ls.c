/* SPDX-License-Identifier: Apache-2.0 */
/* brood app ls: what is installed. */
#include "base/file.h"
#include "base/json.h"
#include "cli/app.h"

struct list_words {
	bool json;
};
static const struct args_option list_options[] = {
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct list_words, json),
	  .help = "tell it as JSON" },
	{ .name = NULL }
};

const struct args_verb app_ls_args = {
	.name = "app ls",
	.synopsis = "[--json]",
	.summary = "list the installed applications",
	.text = "One line for each: its name and release, whether it is shared "
		"or independent (and why), what its context takes here and "
		"its payload there. It does not ask the share.",
	.options = list_options,
};

struct list_row {
	struct json *json;
	struct buf *out;
	uint64_t count;
};

static void list_damaged(struct list_row *row, const char *folder,
			 const struct err *damaged)
{
	if (!row->json) {
		buf_format(row->out, "%-20s damaged: %s\n", file_base(folder),
			   damaged->text);
		return;
	}
	json_open(row->json, NULL);
	json_text(row->json, "name", file_base(folder));
	json_text(row->json, "state", "damaged");
	json_text(row->json, "reason", damaged->text);
	json_close(row->json);
}

static void list_json(struct json *json, const struct context *context,
		      const struct record *record,
		      const struct context_state *state)
{
	json_open(json, NULL);
	json_text(json, "name", context->name);
	json_text(json, "release", record->release);
	json_text(json, "state", state->independent ? "independent" : "shared");
	if (state->independent) {
		json_text(json, "reason", state->reason);
		json_number(json, "since", state->since_s);
	}
	json_text(json, "share", context->share);
	json_text(json, "payload", record->payload);
	json_number(json, "payload_bytes", (int64_t)record->payload_bytes);
	json_number(json, "context_bytes",
		    (int64_t)install_bytes(context->folder));
	json_close(json);
}

static void list_line(struct buf *out, const struct context *context,
		      const struct record *record,
		      const struct context_state *state)
{
	char here[16], there[16];

	cli_size(install_bytes(context->folder), here);
	cli_size(record->payload_bytes, there);
	buf_format(out, "%-20s %-12s %-11s %6s here, %6s on %s%s%s\n",
		   context->name, record->release,
		   state->independent ? "independent" : "shared", here, there,
		   context->share, state->independent ? ": " : "",
		   state->reason);
}

static int list_visit(const struct context *context, const char *folder,
		      const struct err *damaged, void *more)
{
	auto_record struct record record = { 0 };
	struct context_state state;
	struct list_row *row = more;
	struct err err = { 0 };

	row->count++;
	if (damaged->code || context_record(context, &record, &err) < 0) {
		list_damaged(row, folder, damaged->code ? damaged : &err);
		return 0;
	}
	context_state(context, &state);
	if (row->json)
		list_json(row->json, context, &record, &state);
	else
		list_line(row->out, context, &record, &state);
	return 0;
}

int app_ls_run(int argc, char **argv)
{
	struct list_words words = { 0 };
	auto_buf struct buf out = { 0 };
	struct list_row row = { .out = &out };
	struct json json;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_ls_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (words.json) {
		json_start(&json, &out);
		json_open(&json, NULL);
		json_list_open(&json, "apps");
		row.json = &json;
	}
	if (app_each(list_visit, &row, &err) < 0)
		return cli_fail(&err, NULL);
	if (words.json) {
		json_list_close(&json);
		json_close(&json);
		buf_text(&out, "\n");
	} else if (!row.count) {
		buf_text(&out, "nothing is installed; \"brood app pack\" makes "
			       "an appliance, \"brood app install\" installs "
			       "it\n");
	}
	return cli_print(buf_string(&out));
}
