/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_machine.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "launch/install.h"
#include "oci/oci_edit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const machine_folders[] = { "/usr",	 "/bin",   "/sbin",
					       "/lib",	 "/lib32", "/lib64",
					       "/libx32" };

/* ---- variables ------------------------------------------------------------------ */

/* Of QEMU's; the machine's command gets none of these names. */
static int machine_set_variables(struct buf *text, const char *place,
				 struct err *err)
{
	auto_free char *run = file_format("XDG_RUNTIME_DIR=%s/run", place);
	auto_free char *cache = file_format("XDG_CACHE_HOME=%s/run", place);
	char *const variables[] = {
		run, cache, (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL
	};

	return run && cache ? oci_rewrite_variables(text, variables, err)
			    : err_set(err, -ENOMEM, "the environment");
}

/* ---- mounts --------------------------------------------------------------------- */

/* The root's own have what nobody runs here. */
static int machine_mount_host(struct buf *text, struct err *err)
{
	const size_t count = sizeof machine_folders / sizeof *machine_folders;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < count; i++)
		if (access(machine_folders[i], F_OK) == 0)
			rc = oci_rewrite_bind(text, machine_folders[i], "",
					      machine_folders[i] + 1, err);
	return rc;
}

/* Sockets and descriptors of what lives are for its user alone. */
static int machine_mount_run(struct buf *text, const char *place,
			     struct err *err)
{
	static const char item[] =
		"{\"destination\":\"%s/run\",\"type\":\"tmpfs\","
		"\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"nodev\","
		"\"mode=0700\",\"uid=%u\",\"gid=%u\"]}";
	const char *json = buf_string(text);
	auto_buf struct buf mount = { 0 };

	buf_format(&mount, item, place,
		   (unsigned)json_get_number(json, "process.user.uid", 0),
		   (unsigned)json_get_number(json, "process.user.gid", 0));
	return mount.failed ? err_set(err, -ENOMEM, "mount %s/run", place)
			    : oci_edit_add(text, "", "mounts", mount.data, err);
}

static int machine_mounts(struct buf *text, const struct oci_start *start,
			  struct err *err)
{
	auto_free char *shim = install_find("brood-shim.so", err);
	int rc = shim ? machine_mount_host(text, err)
		      : (err ? err->code : -ENOENT);

	if (rc >= 0)
		rc = oci_rewrite_bind(text, start->starter, start->place,
				      "brood", err);
	if (rc >= 0)
		rc = oci_rewrite_bind(text, shim, start->place, file_base(shim),
				      err);
	if (rc >= 0)
		rc = oci_rewrite_bind(text, start->tip, start->place, "tip",
				      err);
	if (rc >= 0)
		rc = machine_mount_run(text, start->place, err);
	/* Whether it is of use is found out inside, where it is used. */
	if (rc >= 0 && access("/dev/kvm", F_OK) == 0)
		rc = oci_rewrite_kvm(text, err);
	return rc;
}

/* ---- the process ----------------------------------------------------------------- */

/* All of the bundle's words are the command. */
static int machine_process(struct buf *text, const struct oci_start *start,
			   struct err *err)
{
	auto_free char *brood = file_join(start->place, "brood");
	auto_free char *tip = file_join(start->place, "tip");
	auto_free char *first = NULL;
	const char *words[] = { brood,	       "machine", "exec",   "--given",
				"--store",     tip,	  "--cold", "--env-all",
				start->module, "--",	  NULL };
	const int count = sizeof words / sizeof *words;
	int rc = oci_text(buf_string(text), "process.args.0", &first, err);

	if (rc < 0)
		return rc;
	if (!brood || !tip)
		return err_set(err, -ENOMEM, "the machine's words");
	if (!first)
		return err_set(err, -EINVAL,
			       "process.args: no command to run in machine %s",
			       start->module);
	words[count - 1] = first;
	return oci_rewrite_words(text, "process", words, count, err);
}

int oci_machine_rewrite(struct oci_bundle *bundle,
			const struct oci_start *start, struct err *err)
{
	struct buf *text = &bundle->text;
	int rc = machine_process(text, start, err);

	if (rc >= 0)
		rc = machine_set_variables(text, start->place, err);
	if (rc >= 0)
		rc = oci_rewrite_paths(bundle, err);
	return rc < 0 ? rc : machine_mounts(text, start, err);
}
