/* SPDX-License-Identifier: Apache-2.0 */
/* brood image export and import --oci: a machine's tip as an artifact of an
 * OCI layout.  Its config tells of it (image/contents.h), and has the words
 * that tell of the machine; each object is a layer, as a bundle has it:
 *
 *	config	application/vnd.brood.tip.config.v1+json
 *	layer	application/vnd.brood.image.v1
 *
 * So what two tips share is one blob.  A registry is a stranger: what is taken
 * from it is a machine's, which runs within a virtual machine, and nothing
 * else.  A domain's tip has compiled code with it, which its own node makes. */
#include "base/fd.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/contents.h"
#include "layout/index.h"
#include "layout/package.h"
#include "machine/machine.h"
#include "machine/qemu.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OCI_CONFIG "application/vnd.brood.tip.config.v1+json"
#define OCI_LAYER  "application/vnd.brood.image.v1"

_Static_assert((int)BUNDLE_PARTS_MOST <= (int)PACKAGE_LAYERS_MOST,
	       "room for a tip");

struct image_oci {
	struct image_work *work;
	struct layout layout;
	struct package package;
	struct bundle_contents contents;
	struct bundle_counts counts;
	struct progress progress;
	struct file_draft draft; /* export: of a part */
	int fd;			 /* import: of a part */
};
#define IMAGE_OCI(of)                                                \
	((struct image_oci){ .work = (of),                           \
			     .layout = LAYOUT_NONE,                  \
			     .package = { .config_kind = OCI_CONFIG, \
					  .layer_kind = OCI_LAYER }, \
			     .draft = { .fd = -1 },                  \
			     .fd = -1 })

static void image_oci_close(struct image_oci *oci)
{
	file_draft_close(&oci->draft);
	fd_close(&oci->fd);
	bundle_contents_fini(&oci->contents);
	layout_close(&oci->layout);
}
#define auto_oci __attribute__((cleanup(image_oci_close)))

/* ---- what goes ------------------------------------------------------------ */

/* Of what machine it is, as its layers prove. */
static int oci_machine(const struct tip *tip, struct shape *shape,
		       struct err *err)
{
	auto_free char *kind =
		tip->words ? json_get_text(tip->words, "kind") : NULL;

	*shape = (struct shape){ 0 };
	if (kind && strcmp(kind, "domain") == 0)
		return err_set(err, -EPERM,
			       "tip %s is a domain's, with compiled code: such "
			       "are made on the node, by \"brood run "
			       "--save\", and go by no registry",
			       tip->name);
	return machine_tip_shape(tip, shape, err);
}

/* ---- export -------------------------------------------------------------- */

static int oci_open_draft(void *context, uint32_t number, struct err *err)
{
	struct image_oci *oci = context;
	int rc;

	(void)number;
	file_draft_close(&oci->draft);
	rc = layout_draft_open(&oci->layout, &oci->draft, err);
	return rc < 0 ? rc : oci->draft.fd;
}

static int oci_close_draft(void *context, uint32_t number, uint64_t bytes,
			   const uint8_t *sum, struct err *err)
{
	struct image_oci *oci = context;

	return layout_draft_put(&oci->layout, &oci->draft, sum, bytes,
				&oci->package.layers[number], err);
}

static int oci_put(struct image_oci *oci, const struct tip *tip,
		   struct err *err)
{
	const struct bundle_parts parts = { oci, oci_open_draft,
					    oci_close_draft };
	const struct bundle_options options = { .progress = &oci->progress };
	auto_buf struct buf config = { 0 };
	int rc = bundle_export_parts(tip, &parts, &oci->contents, &options,
				     &oci->counts, err);

	if (rc < 0)
		return rc;
	oci->package.layer_count = oci->contents.head.object_count;
	contents_write(&oci->contents, &config);
	if (config.failed)
		return err_set(err, -ENOMEM, "write a config");
	return layout_put(&oci->layout, config.data, config.len,
			  &oci->package.config, err);
}

/* The facts of the machine that it needs, for who chooses a node, and what
 * the user says. */
struct oci_notes {
	char *own[4];
	const char **words;
	int count;
};

static void oci_notes_fini(struct oci_notes *notes)
{
	for (size_t i = 0; i < sizeof notes->own / sizeof *notes->own; i++)
		free(notes->own[i]);
	free(notes->words);
}

static int oci_notes_make(const struct shape *shape,
			  const struct args_list *more, struct oci_notes *notes,
			  struct err *err)
{
	const int own = sizeof notes->own / sizeof *notes->own;
	bool kvm = strcmp(shape->accel, "kvm") == 0;

	notes->own[0] = file_format("brood.machine.accel=%s", shape->accel);
	notes->own[1] = file_format("brood.machine.cpu=%s",
				    kvm ? shape->host_cpu : shape->cpu);
	notes->own[2] = file_format("brood.machine.memory=%lu",
				    (unsigned long)shape->ram_bytes);
	notes->own[3] = file_format("brood.machine.qemu=%s", shape->qemu);
	notes->words =
		calloc((size_t)(own + more->count), sizeof *notes->words);
	for (int i = 0; i < own && notes->words; i++) {
		if (!notes->own[i])
			return err_set(err, -ENOMEM, "annotations");
		notes->words[notes->count++] = notes->own[i];
	}
	if (!notes->words)
		return err_set(err, -ENOMEM, "annotations");
	for (int i = 0; i < more->count; i++)
		notes->words[notes->count++] = more->item[i];
	return package_check_annotations(notes->words, notes->count, err);
}

static int oci_export(struct image_oci *oci, const char *name,
		      const struct tip *tip, struct err *err)
{
	auto_shape struct shape shape = { 0 };
	__attribute__((cleanup(oci_notes_fini))) struct oci_notes notes = { 0 };
	const struct image_words *words = oci->work->words;
	int rc = oci_machine(tip, &shape, err);

	if (rc >= 0)
		rc = oci_notes_make(&shape, &words->annotations, &notes, err);
	if (rc >= 0)
		rc = layout_make(words->oci, &oci->layout, err);
	if (rc >= 0)
		rc = oci_put(oci, tip, err);
	return rc < 0 ? rc
		      : package_set(&oci->layout, name, &oci->package,
				    notes.words, notes.count, err);
}

static int oci_exported(const struct image_oci *oci, const char *name)
{
	const struct image_work *work = oci->work;
	auto_buf struct buf out = { 0 };
	struct json json;

	if (!work->words->json) {
		buf_format(&out, "oci:%s:%s\n", work->words->oci, name);
		return image_print(&out);
	}
	json_start(&json, &out);
	json_open(&json, NULL);
	json_text(&json, "layout", work->words->oci);
	json_text(&json, "name", name);
	json_text(&json, "image", work->names[0]);
	image_carry_json(&oci->counts, &json);
	json_close(&json);
	buf_text(&out, "\n");
	return image_print(&out);
}

int image_export_oci(struct image_work *work)
{
	auto_free char *own =
		file_format("localhost/%s:latest", work->names[0]);
	const char *name = work->words->name ? work->words->name : own;
	auto_oci struct image_oci oci = IMAGE_OCI(work);
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };
	int code, rc;

	if (!own)
		return CLI_SYSTEM;
	if (!index_is_name(name))
		return cli_wrong("--name %s: such as localhost/ready:1", name);
	if (package_check_annotations(work->words->annotations.item,
				      work->words->annotations.count, &err) < 0)
		return cli_wrong("%s", err.text);
	code = image_open(work, work->names[0], &tip);
	if (code)
		return code;
	progress_start(&oci.progress, "export");
	rc = oci_export(&oci, name, &tip, &err);
	progress_end(&oci.progress);
	return rc < 0 ? cli_fail(&err, NULL) : oci_exported(&oci, name);
}

/* ---- import -------------------------------------------------------------- */

static int oci_open_part(void *context, uint32_t number, struct err *err)
{
	struct image_oci *oci = context;

	fd_close(&oci->fd);
	oci->fd = layout_open_blob(&oci->layout, &oci->package.layers[number],
				   "its layer", err);
	return oci->fd;
}

static int oci_close_part(void *context, uint32_t number, uint64_t bytes,
			  const uint8_t *sum, struct err *err)
{
	const struct image_oci *oci = context;
	const struct layout_blob *blob = &oci->package.layers[number];

	if (bytes != blob->bytes)
		return err_set(err, -EBADMSG,
			       "its layer: blob %s has more than an object",
			       blob->hex);
	return layout_check_sum(blob, "its layer", sum, err);
}

static int oci_find(struct image_oci *oci, struct err *err)
{
	const struct image_words *words = oci->work->words;
	auto_buf struct buf config = { 0 };
	int rc = layout_open(words->oci, &oci->layout, err);

	oci->package.layer_count = BUNDLE_PARTS_MOST;
	if (rc >= 0)
		rc = package_find(&oci->layout, words->name, &oci->package,
				  err);
	if (rc >= 0)
		rc = layout_get(&oci->layout, &oci->package.config,
				"its config", LAYOUT_JSON_MOST, &config, err);
	if (rc >= 0)
		rc = layout_check_json(&config, "its config", err);
	if (rc >= 0)
		rc = contents_read(buf_string(&config), &oci->contents, err);
	if (rc < 0)
		return rc;
	return oci->contents.head.object_count == oci->package.layer_count
		       ? 0
		       : err_set(err, -EINVAL,
				 "its config tells of %u layers, and it has %u",
				 oci->contents.head.object_count,
				 oci->package.layer_count);
}

/* Before anything is copied: a machine's, that can go on here. */
static int oci_check(const struct image_oci *oci, struct err *err)
{
	const struct bundle_told *told = &oci->contents.tip;
	struct tip tip = { .ram_bytes = oci->contents.head.ram_bytes,
			   .disk_count = told->head.disk_count,
			   .words = told->words };
	auto_shape struct shape shape = { 0 };
	auto_qemu struct qemu qemu = { 0 };
	auto_free char *what = file_format("tip %s", told->head.name);
	int rc;

	if (!what)
		return err_set(err, -ENOMEM, "look at a tip");
	memcpy(tip.name, told->head.name, sizeof(tip.name));
	memcpy(tip.shape, oci->contents.shape, LAYER_ID);
	rc = oci_machine(&tip, &shape, err);
	if (rc < 0 || oci->work->words->force)
		return rc;
	rc = qemu_find(&qemu, err);
	if (rc >= 0)
		rc = shape_fits(&shape, &qemu, what, err);
	return rc < 0 ? -ENOTSUP : 0;
}

static int oci_import(struct image_oci *oci, const char *name, struct err *err)
{
	const struct bundle_parts parts = { oci, oci_open_part,
					    oci_close_part };
	const struct bundle_options options = {
		.name = name,
		.replace = oci->work->words->replace,
		.progress = &oci->progress,
	};
	int rc = oci_find(oci, err);

	if (rc >= 0)
		rc = oci_check(oci, err);
	return rc < 0 ? rc
		      : bundle_import_parts(&oci->work->images, &oci->contents,
					    &parts, &options, &oci->counts,
					    err);
}

int image_import_oci(struct image_work *work)
{
	auto_oci struct image_oci oci = IMAGE_OCI(work);
	const char *name = work->name_count ? work->names[0] : NULL;
	auto_buf struct buf names = { 0 };
	struct err err = { 0 };
	int rc;

	progress_start(&oci.progress, "import");
	rc = oci_import(&oci, name, &err);
	progress_end(&oci.progress);
	if (rc < 0) {
		err_wrap(&err, "import %s", work->words->oci);
		return cli_fail(&err, rc == -EEXIST ? "another NAME, or "
						      "--replace"
				      : rc == -ENOTSUP
					      ? "--force imports it anyway"
					      : NULL);
	}
	buf_format(&names, "%s\n", name ? name : oci.contents.tip.head.name);
	return image_carry_imported(work, &names, &oci.counts);
}
