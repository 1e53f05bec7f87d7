/* SPDX-License-Identifier: Apache-2.0 */
/* brood node: what this node can start warm, for those who place work. */
#include "cli/node.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cache/cache.h"
#include "cli/app.h"
#include "cli/cli.h"
#include "image/images.h"
#include "image/tip.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct node_words {
	bool json, metrics;
	const char *write, *listen;
};
static const struct args_option node_options[] = {
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct node_words, json),
	  .help = "one JSON object instead of a table" },
	{ .name = "--metrics",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct node_words, metrics),
	  .help = "as Prometheus reads it" },
	{ .name = "--write",
	  .kind = ARGS_TEXT,
	  .value = "FILE",
	  .offset = offsetof(struct node_words, write),
	  .help = "write the metrics to a file, which is replaced whole" },
	{ .name = "--listen",
	  .kind = ARGS_TEXT,
	  .value = "ADDRESS",
	  .offset = offsetof(struct node_words, listen),
	  .help = "answer GET /metrics and GET /node at tcp:ADDRESS:PORT, "
		  "unix:PATH, or \"systemd\"" },
	{ .name = NULL }
};

const struct args_verb node_args = {
	.name = "node",
	.synopsis = "[--json | --metrics | --write FILE | --listen ADDRESS]",
	.summary = "tell what this node can start warm",
	.text = "Templates that are kept, compiled code, images of memory, "
		"installed applications, and whether domains have KVM here: "
		"what a scheduler, or who watches over many nodes, wants to "
		"know. It is of this user, with what the system's folders "
		"have.\n\n"
		"--write is for the text collector of a node exporter; run it "
		"by a timer. --listen answers each request anew; \"systemd\" "
		"is the socket that a socket unit hands in. While it listens it "
		"has an idle machine of KVM's, without which the kernel "
		"switches KVM on and off for each domain. Nothing that it "
		"answers is secret but the names of programs: listen where "
		"only those can ask who may know.",
	.options = node_options,
};

/* ---- looking --------------------------------------------------------------------- */

static int node_add_object(const struct cache_entry *entry, void *context)
{
	struct node_code *code = context;

	code->objects++;
	code->bytes += (int64_t)entry->bytes;
	code->users += entry->users;
	if (entry->wrong) {
		code->unusable++;
		return 0;
	}
	code->functions += entry->head.function_count;
	code->optimised += entry->head.optimised_count;
	return 0;
}

static int node_look_code(struct node_code *code, struct err *err)
{
	const struct cache_options options = { 0 };
	auto_free char *own = cache_folder(&options, err);
	const char *folders[] = { own, cache_system_folder() };

	if (!own)
		return err->code;
	for (unsigned i = 0; i < 2; i++) {
		if (cache_each(folders[i], node_add_object, code, err) < 0)
			return err->code;
		code->compiling += cache_compiling(folders[i], NULL, 0);
	}
	return 0;
}

struct node_tips {
	const struct images *images;
	struct node_images *sum;
};

static int node_add_tip(const char *name, void *context)
{
	const struct node_tips *tips = context;
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	tips->sum->tips++;
	if (tip_open(tips->images, name, &tip, &err) < 0)
		tips->sum->wrong++;
	return 0;
}

static int node_look_images(struct node_images *sum, struct err *err)
{
	auto_images struct images images = IMAGES_NONE;
	struct node_tips tips = { &images, sum };
	int rc = images_open(&images, NULL, false, err);

	if (rc == -ENOENT) {
		*err = (struct err){ 0 };
		return 0;
	}
	if (rc >= 0)
		rc = tip_each(&images, node_add_tip, &tips, err);
	return rc < 0 && !err->code ? err_set(err, rc, "list images") : rc;
}

static int node_add_app(const struct context *context, const char *folder,
			const struct err *damaged, void *more)
{
	struct node_apps *apps = more;
	struct context_state state;

	(void)folder;
	if (damaged->code) {
		apps->damaged++;
		return 0;
	}
	context_state(context, &state);
	if (state.independent)
		apps->independent++;
	else
		apps->shared++;
	return 0;
}

int node_look(struct node *node, struct err *err)
{
	*node = (struct node){ 0 };
	kvm_facts_find(&node->kvm);
	if (listing_read(&node->templates, err) < 0 ||
	    node_look_code(&node->code, err) < 0 ||
	    node_look_images(&node->images, err) < 0)
		return err->code;
	return app_each(node_add_app, &node->apps, err);
}

void node_fini(struct node *node)
{
	listing_fini(&node->templates);
}

/* ---- telling --------------------------------------------------------------------- */

static void node_json_code(const struct node_code *code, struct json *json)
{
	json_open(json, "code");
	json_number(json, "objects", code->objects);
	json_number(json, "bytes", code->bytes);
	json_number(json, "unusable", code->unusable);
	json_number(json, "users", code->users);
	json_number(json, "compiling", code->compiling);
	json_number(json, "functions", code->functions);
	json_number(json, "optimised", code->optimised);
	json_close(json);
}

void node_json(const struct node *node, struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "version", BROOD_VERSION);
	json_open(&json, "domains");
	json_bool(&json, "kvm", node->kvm.usable);
	if (!node->kvm.usable)
		json_text(&json, "why", node->kvm.why);
	json_close(&json);
	json_list_open(&json, "templates");
	for (int i = 0; i < node->templates.count; i++)
		listing_row_json(&node->templates.row[i], false, &json, NULL);
	json_list_close(&json);
	node_json_code(&node->code, &json);
	json_open(&json, "images");
	json_number(&json, "tips", node->images.tips);
	json_number(&json, "wrong", node->images.wrong);
	json_close(&json);
	json_open(&json, "apps");
	json_number(&json, "shared", node->apps.shared);
	json_number(&json, "independent", node->apps.independent);
	json_number(&json, "damaged", node->apps.damaged);
	json_close(&json);
	json_close(&json);
	buf_text(out, "\n");
}

static int64_t node_serving(const struct node *node)
{
	int64_t serving = 0;

	for (int i = 0; i < node->templates.count; i++)
		serving += strcmp(node->templates.row[i].state, "serving") == 0;
	return serving;
}

void node_table(const struct node *node, struct buf *out)
{
	const struct node_code *code = &node->code;
	char bytes[16];

	cli_size((uint64_t)code->bytes, bytes);
	buf_format(out, "templates  %d, %ld of them serving\n",
		   node->templates.count, (long)node_serving(node));
	buf_format(out,
		   "code       %ld modules, %s; %ld of %ld functions "
		   "optimised\n",
		   (long)code->objects, bytes, (long)code->optimised,
		   (long)code->functions);
	buf_format(out, "images     %ld\n", (long)node->images.tips);
	buf_format(out, "apps       %ld shared, %ld independent\n",
		   (long)node->apps.shared, (long)node->apps.independent);
	if (node->images.wrong + node->apps.damaged)
		buf_format(out, "damaged    %ld images, %ld apps\n",
			   (long)node->images.wrong, (long)node->apps.damaged);
	buf_format(out, "domains    %s%s\n",
		   node->kvm.usable ? "kvm" : "process: ",
		   node->kvm.usable ? "" : node->kvm.why);
}

/* ---- the verb -------------------------------------------------------------------- */

static int node_print(const struct node_words *words, const struct node *node,
		      struct err *err)
{
	auto_buf struct buf out = { 0 };

	if (words->json)
		node_json(node, &out);
	else if (words->metrics || words->write)
		node_metrics(node, &out);
	else
		node_table(node, &out);
	if (!words->write)
		return cli_print(buf_string(&out));
	if (out.failed)
		return err_set(err, -ENOMEM, "write %s", words->write);
	return file_publish(words->write, out.data, out.len, 0644, err);
}

int node_run(int argc, char **argv)
{
	struct node_words words = { 0 };
	auto_node struct node node = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code, ways;

	if (cli_parse(&node_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	ways = words.json + words.metrics + (words.write != NULL) +
	       (words.listen != NULL);
	if (ways > 1)
		return cli_wrong("node: --json, --metrics, --write and "
				 "--listen exclude each other");
	if (words.listen)
		code = node_serve(words.listen, &err);
	else if (node_look(&node, &err) < 0)
		code = -1;
	else
		code = node_print(&words, &node, &err);
	return code < 0 ? cli_fail(&err, NULL) : code;
}
