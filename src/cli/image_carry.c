/* SPDX-License-Identifier: Apache-2.0 */
/* brood image export, import and fold: images go elsewhere, or become
 * shorter. */
#include "base/fd.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/bundle.h"
#include "image/fold.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool carry_is_dash(const char *path)
{
	return strcmp(path, "-") == 0;
}

void image_carry_json(const struct bundle_counts *counts, struct json *json)
{
	json_number(json, "objects", counts->objects);
	json_number(json, "there", counts->there);
	json_number(json, "bytes", (int64_t)counts->bytes);
	json_number(json, "packed_bytes", (int64_t)counts->packed_bytes);
}

/* ---- export -------------------------------------------------------------- */

static int carry_export(struct image_work *work, int fd,
			struct bundle_counts *counts, struct err *err)
{
	struct progress progress;
	const struct bundle_options options = { .progress = &progress };
	int rc;

	progress_start(&progress, "export");
	rc = bundle_export(&work->images, (const char *const *)work->names,
			   work->name_count, fd, &options, counts, err);
	progress_end(&progress);
	return rc;
}

/* What is no file yet, or a regular one, is published whole. */
static int carry_to_file(struct image_work *work, const char *path,
			 struct bundle_counts *counts, struct err *err)
{
	struct file_draft draft;
	struct stat st;
	int rc;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

		return fd < 0 ? err_set(err, -errno, "open %s", path)
			      : carry_export(work, fd, counts, err);
	}
	rc = file_draft_open(&draft, path, 0600, err);
	if (rc >= 0)
		rc = carry_export(work, draft.fd, counts, err);
	if (rc >= 0)
		rc = file_draft_publish(&draft, err);
	file_draft_close(&draft);
	return rc;
}

static int carry_told(const struct image_work *work, const char *path,
		      const struct bundle_counts *counts)
{
	auto_buf struct buf out = { 0 };
	char size[16], packed[16];
	struct json json;

	if (work->words->json) {
		json_start(&json, &out);
		json_open(&json, NULL);
		json_text(&json, "file", path);
		json_number(&json, "images", counts->tips);
		image_carry_json(counts, &json);
		json_close(&json);
		buf_text(&out, "\n");
	} else {
		cli_size(counts->bytes, size);
		cli_size(counts->packed_bytes, packed);
		buf_format(&out, "%s: %u objects, %s in %s\n", path,
			   counts->objects, size, packed);
	}
	return image_print(&out);
}

int image_export(struct image_work *work)
{
	const char *path = work->names[--work->name_count];
	struct bundle_counts counts;
	struct err err = { 0 };
	int rc;

	if (carry_is_dash(path) && isatty(STDOUT_FILENO) == 1)
		return cli_wrong("export -: not to a terminal");
	rc = carry_is_dash(path)
		     ? carry_export(work, STDOUT_FILENO, &counts, &err)
		     : carry_to_file(work, path, &counts, &err);
	if (rc < 0)
		return cli_fail(&err, NULL);
	return carry_is_dash(path) ? 0 : carry_told(work, path, &counts);
}

/* ---- import -------------------------------------------------------------- */

static void carry_named(const char *name, void *context)
{
	buf_format(context, "%s\n", name);
}

int image_carry_imported(const struct image_work *work, struct buf *names,
			 const struct bundle_counts *counts)
{
	auto_buf struct buf out = { 0 };
	char size[16], packed[16], *rest = buf_steal(names), *at = rest, *name;
	auto_free char *owned = rest;
	struct json json;

	cli_size(counts->bytes, size);
	cli_size(counts->packed_bytes, packed);
	json_start(&json, &out);
	if (work->words->json) {
		json_open(&json, NULL);
		json_list_open(&json, "images");
	}
	while (at && (name = strsep(&at, "\n")) && *name) {
		if (work->words->json)
			json_text(&json, NULL, name);
		else
			buf_format(&out, "%s\n", name);
	}
	if (work->words->json) {
		json_list_close(&json);
		image_carry_json(counts, &json);
		json_close(&json);
		buf_text(&out, "\n");
	} else {
		buf_format(&out,
			   "%u objects, %u of them there already; %s from %s\n",
			   counts->objects, counts->there, size, packed);
	}
	return image_print(&out);
}

int image_import(struct image_work *work)
{
	const char *path = work->names[0];
	auto_buf struct buf names = { 0 };
	struct progress progress;
	const struct bundle_options options = {
		.name = work->name_count > 1 ? work->names[1] : NULL,
		.replace = work->words->replace,
		.progress = &progress,
	};
	auto_close int fd = carry_is_dash(path)
				    ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				    : open(path, O_RDONLY | O_CLOEXEC);
	struct bundle_counts counts;
	struct err err = { 0 };
	int rc;

	if (fd < 0) {
		err_set(&err, -errno, "open %s", path);
		return cli_fail(&err, NULL);
	}
	progress_start(&progress, "import");
	rc = bundle_import(&work->images, fd, &options, carry_named, &names,
			   &counts, &err);
	progress_end(&progress);
	if (rc < 0)
		return cli_fail(&err, rc == -EEXIST
					      ? "another NAME, or --replace"
					      : NULL);
	return image_carry_imported(work, &names, &counts);
}

/* ---- fold ---------------------------------------------------------------- */

static bool carry_is_taken(const struct image_work *work, const char *name)
{
	struct tip_ids ids;
	struct tip tip;
	int rc = tip_read(&work->images, name, &tip, &ids, NULL);

	tip_close(&tip);
	return rc != -ENOENT && rc != -EINVAL;
}

static void carry_fold_json(const struct tip *from, const struct tip *to,
			    struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	for (int i = 0; i < 2; i++) {
		const struct tip *tip = i ? to : from;

		json_open(&json, i ? "to" : "from");
		json_text(&json, "name", tip->name);
		json_number(&json, "layers", tip->layer_count);
		json_number(&json, "pieces", tip->run_count);
		json_number(&json, "bytes", (int64_t)image_tip_bytes(tip));
		json_close(&json);
	}
	json_close(&json);
	buf_text(out, "\n");
}

static void carry_fold_text(const struct tip *from, const struct tip *to,
			    struct buf *out)
{
	char before[16], after[16];

	cli_size(image_tip_bytes(from), before);
	cli_size(image_tip_bytes(to), after);
	buf_format(out,
		   "%s: %u layers, %u pieces, %s became %u, %u, %s; \"brood "
		   "image gc\" removes what no image needs\n",
		   to->name, from->layer_count, from->run_count, before,
		   to->layer_count, to->run_count, after);
	if (to->run_count > FOLD_RUNS &&
	    to->layers[0].head.kind == LAYER_BASE &&
	    memcmp(to->layers[0].head.id, from->layers[0].head.id, LAYER_ID) ==
		    0)
		buf_text(out, "they are scattered: fold --all makes fewer\n");
}

int image_fold(struct image_work *work)
{
	const char *name = work->names[0];
	const char *new_name = work->names[work->name_count - 1];
	auto_tip struct tip from = TIP_EMPTY, to = TIP_EMPTY;
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };
	int code;

	if (strcmp(name, new_name) != 0 && !work->words->replace &&
	    carry_is_taken(work, new_name)) {
		err_set(&err, -EEXIST, "fold %s into %s", name, new_name);
		return cli_fail(&err, "another NAME, or --replace");
	}
	code = image_open(work, name, &from);
	if (code)
		return code;
	if (fold_layers(&work->images, &from,
			work->words->all ? FOLD_ALL : FOLD_DIFFS, &to,
			&err) < 0) {
		err_wrap(&err, "fold %s", name);
		return cli_fail(&err, NULL);
	}
	if (tip_publish_over(&work->images, &to, new_name,
			     strcmp(name, new_name) == 0 ? from.id : NULL,
			     &err) < 0)
		return cli_fail(&err, NULL);
	if (work->words->json)
		carry_fold_json(&from, &to, &out);
	else
		carry_fold_text(&from, &to, &out);
	return image_print(&out);
}
