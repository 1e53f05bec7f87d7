/* SPDX-License-Identifier: Apache-2.0 */
/* brood app export and import: an appliance as an artifact of an OCI layout,
 * which registries and the programs for them carry.  Its config is the
 * manifest, its one layer the image as it is:
 *
 *	config	application/vnd.brood.app.config.v1+json
 *	layer	application/vnd.erofs.layer.v1
 *
 * Nothing of a layout is believed: what comes out of one is looked at as any
 * appliance is, and gets its name when it was found right. */
#include "appliance/appliance.h"
#include "appliance/manifest.h"
#include "base/fd.h"
#include "base/file.h"
#include "cli/app.h"
#include "layout/index.h"
#include "layout/package.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OCI_CONFIG "application/vnd.brood.app.config.v1+json"
#define OCI_LAYER  "application/vnd.erofs.layer.v1"

_Static_assert((int)RECORD_HEX == (int)LAYOUT_HEX, "one digest");

struct oci_words {
	const char *oci, *name, *as;
	struct args_list annotations;
};

#define OCI_WORD(word, what, of, member, say)           \
	{ .name = word,                                 \
	  .value = what,                                \
	  .kind = of,                                   \
	  .offset = offsetof(struct oci_words, member), \
	  .help = say }
/* clang-format off */
static const struct args_option export_options[] = {
	OCI_WORD("--oci", "DIR", ARGS_TEXT, oci,
		 "the layout, made where there is none"),
	OCI_WORD("--name", "NAME", ARGS_TEXT, name,
		 "in the layout (localhost/APPLICATION:latest)"),
	OCI_WORD("--annotation", "KEY=VALUE", ARGS_LIST, annotations,
		 "of the artifact; again for more"),
	{ .name = NULL }
};
static const struct args_option import_options[] = {
	OCI_WORD("--oci", "DIR", ARGS_TEXT, oci, "the layout"),
	OCI_WORD("--as", "FILE", ARGS_TEXT, as, "where the appliance goes"),
	{ .name = NULL }
};
/* clang-format on */

const struct args_verb app_export_args = {
	.name = "app export",
	.synopsis = "--oci DIR [OPTIONS] APPLIANCE",
	.summary = "put an appliance into an OCI image layout",
	.text = "DIR is then a layout that skopeo, podman and registries "
		"carry as an artifact: the appliance's manifest is its config, "
		"its image the one layer, byte for byte. The same appliance "
		"gives the same digests. What DIR has already stays; a NAME "
		"that it has becomes this one.",
	.options = export_options,
	.least = 1,
	.most = 1,
};

const struct args_verb app_import_args = {
	.name = "app import",
	.synopsis = "--oci DIR --as FILE [NAME]",
	.summary = "take an appliance out of an OCI image layout",
	.text = "FILE becomes the appliance, with the bytes that were "
		"exported. Without NAME it is the only one in DIR. Each size "
		"and digest is checked, and the appliance as an install does; "
		"otherwise FILE stays what it was.",
	.options = import_options,
	.least = 0,
	.most = 1,
};

/* ---- export -------------------------------------------------------------- */

static int oci_put(const struct layout *layout,
		   const struct appliance *appliance, struct package *package,
		   struct progress *progress, struct err *err)
{
	auto_buf struct buf manifest = { 0 };
	int rc = appliance_read(appliance, MANIFEST_PATH, MANIFEST_MOST,
				&manifest, err);

	memcpy(package->layers[0].hex, appliance->hex,
	       sizeof package->layers[0].hex);
	package->layers[0].bytes = appliance->bytes;
	if (rc >= 0)
		rc = layout_put_fd(layout, appliance->fd, &package->layers[0],
				   progress, err);
	if (rc >= 0)
		rc = layout_put(layout, buf_string(&manifest), manifest.len,
				&package->config, err);
	return rc;
}

static int oci_export(const struct oci_words *words, const char *name,
		      const struct appliance *appliance,
		      struct progress *progress, struct err *err)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	auto_free char *title = file_format("%s.app", appliance->record.name);
	struct package package = { .config_kind = OCI_CONFIG,
				   .layer_kind = OCI_LAYER,
				   .layer_count = 1,
				   .title = title };
	int rc = title ? layout_make(words->oci, &layout, err)
		       : err_set(err, -ENOMEM, "export %s", name);

	if (rc >= 0)
		rc = oci_put(&layout, appliance, &package, progress, err);
	if (rc >= 0)
		rc = package_set(&layout, name, &package,
				 words->annotations.item,
				 words->annotations.count, err);
	return rc;
}

static int oci_export_named(const struct oci_words *words,
			    const struct appliance *appliance,
			    struct progress *progress)
{
	auto_free char *own =
		file_format("localhost/%s:latest", appliance->record.name);
	const char *name = words->name ? words->name : own;
	auto_free char *told = NULL;
	struct err err = { 0 };
	int rc;

	if (!own)
		return CLI_SYSTEM;
	if (!index_is_name(name))
		return cli_wrong("--name NAME is wanted: %s is none for a "
				 "layout",
				 name);
	rc = oci_export(words, name, appliance, progress, &err);
	progress_end(progress);
	if (rc < 0)
		return cli_fail(&err, NULL);
	told = file_format("oci:%s:%s\n", words->oci, name);
	return told ? cli_print(told) : CLI_SYSTEM;
}

int app_export_run(int argc, char **argv)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;
	struct oci_words words = { 0 };
	struct progress progress;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_export_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (!words.oci)
		return cli_wrong("--oci names the folder of the layout");
	if (words.name && !index_is_name(words.name))
		return cli_wrong("--name %s: such as localhost/hello:1",
				 words.name);
	if (package_check_annotations(words.annotations.item,
				      words.annotations.count, &err) < 0)
		return cli_wrong("%s", err.text);
	progress_start(&progress, "export");
	if (appliance_open(operands[0], &progress, &appliance, &err) < 0) {
		progress_end(&progress);
		return cli_fail(&err, NULL);
	}
	return oci_export_named(&words, &appliance, &progress);
}

/* ---- import -------------------------------------------------------------- */

/* The config tells people and registries what it is; it has to be true. */
static int oci_check_config(const struct layout *layout,
			    const struct package *package,
			    const struct appliance *appliance, struct err *err)
{
	auto_buf struct buf config = { 0 };
	auto_buf struct buf manifest = { 0 };
	int rc = layout_get(layout, &package->config, "its config",
			    MANIFEST_MOST, &config, err);

	if (rc >= 0)
		rc = appliance_read(appliance, MANIFEST_PATH, MANIFEST_MOST,
				    &manifest, err);
	if (rc < 0)
		return rc;
	if (config.len != manifest.len ||
	    memcmp(buf_string(&config), buf_string(&manifest), config.len) != 0)
		return err_set(err, -EINVAL,
			       "its config is not the appliance's manifest");
	if (appliance->bytes != package->layers[0].bytes)
		return err_set(err, -EINVAL,
			       "its layer has more than the appliance");
	return 0;
}

static int oci_look(const struct layout *layout, const struct package *package,
		    int image, const char *as, struct progress *progress,
		    struct appliance *appliance, struct err *err)
{
	int fd = fcntl(image, F_DUPFD_CLOEXEC, 3);
	int rc = fd < 0 ? err_set(err, -errno, "write %s", as)
			: appliance_adopt(fd, as, progress, appliance, err);

	return rc < 0 ? rc : oci_check_config(layout, package, appliance, err);
}

static int oci_take(const struct layout *layout, const char *name,
		    const char *as, struct progress *progress,
		    struct appliance *appliance, struct err *err)
{
	struct package package = { .config_kind = OCI_CONFIG,
				   .layer_kind = OCI_LAYER,
				   .layer_count = 1 };
	struct file_draft draft;
	int rc = package_find(layout, name, &package, err);

	if (rc < 0)
		return rc;
	rc = file_draft_open(&draft, as, 0644, err);
	if (rc >= 0)
		rc = layout_get_fd(layout, &package.layers[0], "its layer",
				   draft.fd, progress, err);
	if (rc >= 0)
		rc = oci_look(layout, &package, draft.fd, as, progress,
			      appliance, err);
	if (rc >= 0)
		rc = file_draft_publish(&draft, err);
	file_draft_close(&draft);
	return rc;
}

static int oci_import(const struct oci_words *words, const char *name,
		      struct progress *progress, struct appliance *appliance,
		      struct err *err)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct stat st;
	int rc;

	if (stat(words->as, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no file", words->as);
	rc = layout_open(words->oci, &layout, err);
	return rc < 0 ? rc
		      : oci_take(&layout, name, words->as, progress, appliance,
				 err);
}

int app_import_run(int argc, char **argv)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;
	auto_buf struct buf out = { 0 };
	struct oci_words words = { 0 };
	struct progress progress;
	struct err err = { 0 };
	char **operands, size[16];
	int count, code, rc;

	if (cli_parse(&app_import_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (!words.oci)
		return cli_wrong("--oci names the folder of the layout");
	if (!words.as)
		return cli_wrong("--as names where the appliance goes");
	progress_start(&progress, "import");
	rc = oci_import(&words, count ? operands[0] : NULL, &progress,
			&appliance, &err);
	progress_end(&progress);
	if (rc < 0) {
		err_wrap(&err, "import %s", words.oci);
		return cli_fail(&err, NULL);
	}
	cli_size(appliance.bytes, size);
	buf_format(&out, "%s: %s, %s, digest %.12s\n", words.as,
		   appliance.record.name, size, appliance.hex);
	return cli_print(buf_string(&out));
}
