/* SPDX-License-Identifier: Apache-2.0 */
/* brood image: the verb and its list of sub-verbs; what there is, what is no
 * longer needed. */
#include "cli/image.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "image/fold.h"
#include "image/sweep.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct args_option image_words[] = {
	{ .name = "--store",
	  .value = "FOLDER",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct image_words, store),
	  .help = "the folder, if it is not the usual one" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct image_words, json),
	  .help = "one JSON object instead of text" },
	{ .name = "--svg",
	  .value = "FILE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct image_words, svg),
	  .help = "show: draw the memory into a file too" },
	{ .name = "--list",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct image_words, list),
	  .help = "diff: print each range that differs" },
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct image_words, all),
	  .help = "fold: everything into a new base" },
	{ .name = "--replace",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct image_words, replace),
	  .help = "fold, import: another image of that name" },
	{ .name = "--oci",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct image_words, oci),
	  .help = "export, import: an OCI image layout" },
	{ .name = "--name",
	  .value = "NAME",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct image_words, name),
	  .help = "in the layout (localhost/NAME:latest)" },
	{ .name = "--annotation",
	  .value = "KEY=VALUE",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct image_words, annotations),
	  .help = "export --oci: of the artifact; again for more" },
	{ .name = "--dry-run",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct image_words, dry),
	  .help = "gc: tell what would go" },
	{ .name = "--force",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct image_words, force),
	  .help = "gc: although an image cannot be read; import --oci: "
		  "although its machine cannot go on here" },
	{ .name = NULL }
};

const struct args_verb image_args = {
	.name = "image",
	.synopsis = "ls|show|diff|fold|verify|export|import|rm|gc [OPTIONS] "
		    "[NAME...]",
	.summary = "look at images of memory, fold, carry and remove them",
	.text = "An image is a name for a machine's memory: a base layer and "
		"a chain of differences to it, which other images can share. "
		"Images lie in $XDG_DATA_HOME/brood/images; BROOD_IMAGES or "
		"--store name another folder.\n\n"
		"ls lists the images. OWN is what no other image shares, "
		"PIECES how many mappings a start makes, FOLD why a fold "
		"would be good.\n\n"
		"show NAME tells all of one: its layers and, drawn, which "
		"layer each part of the memory comes from. A cell shows the "
		"difference that most of it comes from, and the base where "
		"none has any. --svg FILE draws it finer.\n\n"
		"diff A B counts the pages and bytes that differ; --list "
		"prints where.\n\n"
		"fold NAME [NEW] makes one layer of all differences, with "
		"--all one base of everything. The memory stays the same, "
		"byte for byte.\n\n"
		"verify [NAME...] computes all checksums of the images named, "
		"or of all that there is.\n\n"
		"export NAME... FILE writes images and all layers that they "
		"need into one file (\"-\": to stdout). import FILE [NAME] "
		"reads it into a store, where what is there already is not "
		"written again.\n\n"
		"export NAME --oci DIR puts a machine's image into a layout "
		"that skopeo and registries carry as an artifact, with each of "
		"its layers as a blob, so that images share them there too. "
		"import --oci DIR [NAME] takes it out; --name tells which one "
		"where DIR has several. Each size and digest is checked. A "
		"domain's image is refused: it is made on its node.\n\n"
		"rm NAME... removes names. gc removes the layers that no name "
		"needs and that nobody uses. While one image cannot be read "
		"gc removes nothing.\n\n"
		"Exit codes: 0; 1 diff has found a difference, verify "
		"something wrong; 100 a wrong use; 111 the system did not "
		"allow it.",
	.options = image_words,
	.least = 1,
	.most = -1,
};

/* ---- shared -------------------------------------------------------------- */

uint64_t image_bytes(const struct layer *layer)
{
	return layer->table_bytes + layer->head.data_bytes;
}

uint64_t image_tip_bytes(const struct tip *tip)
{
	uint64_t bytes = tip->state.fd < 0 ? 0 : image_bytes(&tip->state);

	for (uint32_t i = 0; i < tip->layer_count; i++)
		bytes += image_bytes(&tip->layers[i]);
	for (uint32_t i = 0; i < tip->disk_count; i++)
		bytes += image_bytes(&tip->disks[i]);
	return bytes;
}

int image_open(const struct image_work *work, const char *name, struct tip *tip)
{
	struct err err = { 0 };
	int rc = tip_open(&work->images, name, tip, &err);

	if (rc == -ENOENT)
		return cli_fail(&err, "\"brood image ls\" lists them");
	return rc < 0 ? cli_fail(&err, NULL) : 0;
}

int image_print(struct buf *out)
{
	struct err err = { 0 };

	if (out->failed) {
		err_set(&err, -ENOMEM, "print");
		return cli_fail(&err, NULL);
	}
	return cli_print(buf_string(out));
}

/* ---- ls ------------------------------------------------------------------ */

struct image_row {
	char name[65], wrong[252];
	uint64_t ram_bytes, bytes, own_bytes;
	uint32_t layers, runs;
	const char *due;
	int64_t made_s;
};
struct image_object { /* one that a row names */
	uint8_t id[LAYER_ID];
	uint64_t bytes;
	int row;
};
struct image_list {
	const struct images *images;
	struct image_row *row;
	struct image_object *object;
	int count, room;
	size_t object_count, object_room;
};

static int image_list_object(struct image_list *list, const struct layer *layer)
{
	if (layer->fd < 0)
		return 0;
	if (list->object_count == list->object_room) {
		size_t room = list->object_room ? 2 * list->object_room : 64;
		void *more =
			reallocarray(list->object, room, sizeof(*list->object));

		if (!more)
			return -ENOMEM;
		list->object = more;
		list->object_room = room;
	}
	list->object[list->object_count] =
		(struct image_object){ .bytes = image_bytes(layer),
				       .row = list->count };
	memcpy(list->object[list->object_count++].id, layer->head.id, LAYER_ID);
	return 0;
}

static int image_list_tip(struct image_list *list, const struct tip *tip,
			  struct image_row *row)
{
	int rc = image_list_object(list, &tip->state);

	for (uint32_t i = 0; rc >= 0 && i < tip->layer_count; i++)
		rc = image_list_object(list, &tip->layers[i]);
	for (uint32_t i = 0; rc >= 0 && i < tip->disk_count; i++)
		rc = image_list_object(list, &tip->disks[i]);
	row->ram_bytes = tip->ram_bytes;
	row->bytes = image_tip_bytes(tip);
	row->layers = tip->layer_count;
	row->runs = tip->run_count;
	return rc < 0 ? rc : fold_is_due(tip, &row->due);
}

static int image_list_add(const char *name, void *context)
{
	struct image_list *list = context;
	auto_tip struct tip tip = TIP_EMPTY;
	struct image_row *row;
	struct err err = { 0 };
	struct stat st;
	int rc = 0;

	if (list->count == list->room) {
		void *more;

		list->room = list->room ? 2 * list->room : 16;
		more = reallocarray(list->row, (size_t)list->room,
				    sizeof(*list->row));
		if (!more)
			return -ENOMEM;
		list->row = more;
	}
	row = &list->row[list->count];
	*row = (struct image_row){ 0 };
	snprintf(row->name, sizeof(row->name), "%s", name);
	if (fstatat(list->images->tips, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* gone meanwhile */
	row->made_s = st.st_mtime;
	if (tip_open(list->images, name, &tip, &err) < 0)
		memcpy(row->wrong, err.text, sizeof(row->wrong));
	else
		rc = image_list_tip(list, &tip, row);
	list->count++;
	return rc < 0 ? rc : 0;
}

static int image_object_order(const void *a, const void *b)
{
	return memcmp(a, b, LAYER_ID);
}

/* What only one image names is its own. */
static void image_list_own(struct image_list *list)
{
	size_t from = 0;

	if (list->object_count)
		qsort(list->object, list->object_count, sizeof(*list->object),
		      image_object_order);
	while (from < list->object_count) {
		const struct image_object *first = &list->object[from];
		bool shared = false;
		size_t to = from;

		for (; to < list->object_count &&
		       memcmp(list->object[to].id, first->id, LAYER_ID) == 0;
		     to++)
			shared |= list->object[to].row != first->row;
		if (!shared)
			list->row[first->row].own_bytes += first->bytes;
		from = to;
	}
}

static void image_row_json(const struct image_row *row, struct json *json)
{
	json_open(json, NULL);
	json_text(json, "name", row->name);
	json_number(json, "made", row->made_s);
	if (row->wrong[0]) {
		json_text(json, "wrong", row->wrong);
	} else {
		json_number(json, "ram_bytes", (int64_t)row->ram_bytes);
		json_number(json, "layers", row->layers);
		json_number(json, "own_bytes", (int64_t)row->own_bytes);
		json_number(json, "bytes", (int64_t)row->bytes);
		json_number(json, "pieces", row->runs);
		json_bool(json, "fold_due", row->due != NULL);
		if (row->due)
			json_text(json, "fold_why", row->due);
	}
	json_close(json);
}

static void image_row_text(const struct image_row *row, struct buf *out)
{
	char ram[16], own[16], all[16], age[24];

	cli_age(row->made_s, age);
	buf_format(out, "%-20s ", row->name);
	if (row->wrong[0]) {
		buf_format(out, "wrong: %s\n", row->wrong);
		return;
	}
	cli_size(row->ram_bytes, ram);
	cli_size(row->own_bytes, own);
	cli_size(row->bytes, all);
	buf_format(out, "%6s %6u %6s %6s %6u %5s  %s\n", ram, row->layers, own,
		   all, row->runs, age, row->due ? row->due : "-");
}

static int image_ls_print(const struct image_work *work,
			  const struct image_list *list)
{
	auto_buf struct buf out = { 0 };
	struct json json;

	if (!work->words->json) {
		buf_format(&out, "%-20s %6s %6s %6s %6s %6s %5s  %s\n", "NAME",
			   "RAM", "LAYERS", "OWN", "TOTAL", "PIECES", "AGE",
			   "FOLD");
		for (int i = 0; i < list->count; i++)
			image_row_text(&list->row[i], &out);
		return image_print(&out);
	}
	json_start(&json, &out);
	json_open(&json, NULL);
	json_list_open(&json, "images");
	for (int i = 0; i < list->count; i++)
		image_row_json(&list->row[i], &json);
	json_list_close(&json);
	json_close(&json);
	buf_text(&out, "\n");
	return image_print(&out);
}

int image_ls(struct image_work *work)
{
	struct image_list list = { .images = &work->images };
	struct err err = { 0 };
	int rc = 0, code;

	if (!work->none)
		rc = tip_each(&work->images, image_list_add, &list, &err);
	if (rc < 0 && !err.code)
		err_set(&err, rc, "list images");
	if (rc >= 0)
		image_list_own(&list);
	code = rc < 0 ? cli_fail(&err, NULL) : image_ls_print(work, &list);
	free(list.row);
	free(list.object);
	return code;
}

/* ---- rm and gc ----------------------------------------------------------- */

int image_rm(struct image_work *work)
{
	auto_buf struct buf out = { 0 };
	struct json json;
	int code = 0;

	json_start(&json, &out);
	json_open(&json, NULL);
	json_list_open(&json, "removed");
	for (int i = 0; i < work->name_count; i++) {
		struct err err = { 0 };

		if (tip_remove(&work->images, work->names[i], &err) < 0)
			code = cli_fail(&err, NULL);
		else
			json_text(&json, NULL, work->names[i]);
	}
	json_list_close(&json);
	json_close(&json);
	buf_text(&out, "\n");
	if (work->words->json && image_print(&out))
		return CLI_SYSTEM;
	return code;
}

struct image_gone {
	struct buf *out;
	struct json *json; /* NULL: text */
	bool dry;
};

static void image_gc_tell(enum sweep_what what, const char *name,
			  uint64_t bytes, const char *why, void *context)
{
	static const char *const words[] = { [SWEEP_GONE] = "gone",
					     [SWEEP_USED] = "used",
					     [SWEEP_UNREADABLE] =
						     "unreadable" };
	const struct image_gone *gone = context;
	char size[16];

	if (gone->json) {
		json_open(gone->json, NULL);
		json_text(gone->json, "name", name);
		json_text(gone->json, "what", words[what]);
		json_number(gone->json, "bytes", (int64_t)bytes);
		if (why)
			json_text(gone->json, "why", why);
		json_close(gone->json);
		return;
	}
	cli_size(bytes, size);
	if (what == SWEEP_UNREADABLE)
		fprintf(stderr, "brood: %s\n", why);
	else if (what == SWEEP_USED || gone->dry)
		buf_format(gone->out, "%.*s %6s%s\n", IMAGE_SHOWN, name, size,
			   what == SWEEP_USED ? "  in use" : "");
}

static void image_gc_sum(const struct image_work *work,
			 const struct sweep_counts *counts, struct buf *out)
{
	char gone[16], kept[16];

	cli_size(counts->gone_bytes, gone);
	cli_size(counts->kept_bytes, kept);
	buf_format(out, "%lu objects %s, %s; %lu kept, %s",
		   (unsigned long)counts->gone,
		   work->words->dry ? "would go" : "removed", gone,
		   (unsigned long)counts->kept, kept);
	if (counts->used)
		buf_format(out, "; %lu in use", (unsigned long)counts->used);
	buf_text(out, "\n");
}

static void image_gc_json(const struct sweep_counts *counts, struct json *json)
{
	json_number(json, "images", (int64_t)counts->tips);
	json_number(json, "unreadable", (int64_t)counts->unreadable);
	json_number(json, "gone", (int64_t)counts->gone);
	json_number(json, "gone_bytes", (int64_t)counts->gone_bytes);
	json_number(json, "kept", (int64_t)counts->kept);
	json_number(json, "kept_bytes", (int64_t)counts->kept_bytes);
	json_number(json, "used", (int64_t)counts->used);
	json_number(json, "used_bytes", (int64_t)counts->used_bytes);
}

int image_gc(struct image_work *work)
{
	auto_buf struct buf out = { 0 };
	struct json json;
	struct image_gone gone = { .out = &out,
				   .json = work->words->json ? &json : NULL,
				   .dry = work->words->dry };
	const struct sweep_options options = { .dry = work->words->dry,
					       .force = work->words->force,
					       .tell = image_gc_tell,
					       .context = &gone };
	struct sweep_counts counts = { 0 };
	struct err err = { 0 };
	int rc = 0;

	if (gone.json) {
		json_start(&json, &out);
		json_open(&json, NULL);
		json_list_open(&json, "objects");
	}
	if (!work->none)
		rc = sweep_images(&work->images, &options, &counts, &err);
	if (gone.json) {
		json_list_close(&json);
		image_gc_json(&counts, &json);
		json_close(&json);
		buf_text(&out, "\n");
	} else if (rc >= 0) {
		image_gc_sum(work, &counts, &out);
	}
	if (image_print(&out))
		return CLI_SYSTEM;
	return rc < 0 ? cli_fail(&err,
				 rc == -EBUSY && counts.unreadable
					 ? "remove that image, or see --force"
					 : NULL)
		      : 0;
}

/* ---- the verb ------------------------------------------------------------ */

enum image_needs { IMAGE_ANY, IMAGE_STORE, IMAGE_MAKES };
struct image_task {
	const char *name;
	image_run_task *run;
	int least, most; /* names */
	enum image_needs needs;
};

static const struct image_task image_tasks[] = {
	{ "ls", image_ls, 0, 0, IMAGE_ANY },
	{ "show", image_show, 1, 1, IMAGE_STORE },
	{ "diff", image_diff, 2, 2, IMAGE_STORE },
	{ "fold", image_fold, 1, 2, IMAGE_STORE },
	{ "verify", image_verify_run, 0, 1 << 16, IMAGE_ANY },
	{ "export", image_export, 2, 1 << 16, IMAGE_STORE },
	{ "import", image_import, 1, 2, IMAGE_MAKES },
	{ "rm", image_rm, 1, 1 << 16, IMAGE_STORE },
	{ "gc", image_gc, 0, 0, IMAGE_ANY },
	{ NULL, NULL, 0, 0, IMAGE_ANY },
};

static const struct image_task image_oci_tasks[] = {
	{ "export", image_export_oci, 1, 1, IMAGE_STORE },
	{ "import", image_import_oci, 0, 1, IMAGE_MAKES },
	{ NULL, NULL, 0, 0, IMAGE_ANY },
};

static const struct image_task *image_find_task(const struct image_task *task,
						const char *name)
{
	while (task->name && strcmp(task->name, name) != 0)
		task++;
	return task->name ? task : NULL;
}

static int image_do(struct image_work *work, const struct image_task *task)
{
	struct err err = { 0 };
	int rc = images_open(&work->images, work->words->store,
			     task->needs == IMAGE_MAKES, &err);
	int code;

	work->none = rc == -ENOENT;
	if (rc < 0 && !(work->none && task->needs == IMAGE_ANY))
		return cli_fail(&err, NULL);
	code = task->run(work);
	images_close(&work->images);
	return code;
}

int image_run(int argc, char **argv)
{
	struct image_words words = { 0 };
	struct image_work work = { .words = &words };
	const struct image_task *task;
	char **operands;
	int count, code;

	if (cli_parse(&image_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	task = image_find_task(image_tasks, operands[0]);
	if (task && words.oci)
		task = image_find_task(image_oci_tasks, operands[0]);
	else if (words.name || words.annotations.count)
		return cli_wrong("--name and --annotation go with --oci");
	if (!task && words.oci)
		return cli_wrong("image %s: no --oci; see \"brood image "
				 "--help\"",
				 operands[0]);
	if (!task)
		return cli_wrong("no \"image %s\"; see \"brood image --help\"",
				 operands[0]);
	work.names = operands + 1;
	work.name_count = count - 1;
	if (work.name_count < task->least || work.name_count > task->most)
		return cli_wrong("image %s: %s; see \"brood image --help\"",
				 task->name,
				 work.name_count < task->least
					 ? "too few words"
					 : "too many words");
	return image_do(&work, task);
}
