/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a bundle's config.json: it is refused with a reason, or what is
 * made of it is JSON again, starts with the starter, and has all its mounts. */
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "machine/qemu.h"
#include "oci/oci_bundle.h"
#include "oci/oci_kind.h"
#include "oci/oci_machine.h"
#include "oci/oci_rewrite.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void look_process(const struct oci_bundle *bundle)
{
	auto_process struct oci_process process;
	struct err err = { 0 };

	if (oci_process_read(buf_string(&bundle->text), "process", &process,
			     &err) < 0)
		must(err.text[0]);
	else
		must(process.cwd != NULL);
}

static void look_rewritten(struct oci_bundle *bundle)
{
	const struct oci_start start = { .module = "/m",
					 .starter = "/s",
					 .code = "/c",
					 .place = oci_place(
						 buf_string(&bundle->text)),
					 .in_domain = true };
	auto_free char *first = NULL;
	struct err err = { 0 };

	if (oci_rewrite(bundle, &start, &err) < 0) {
		must(err.text[0]);
		return;
	}
	must(json_check(bundle->text.data, bundle->text.len, NULL) == 0);
	first = json_get_text(bundle->text.data, "process.args.0");
	must(first && strncmp(first, start.place, strlen(start.place)) == 0);
	must(strstr(bundle->text.data, "\"source\":\"/c\"") != NULL);
}

/* As a machine has them: of each of these names there is this one alone. */
static void look_variables(const struct oci_bundle *bundle)
{
	char *const ours[] = { (char *)"PATH=/ours", (char *)"XDG_X=", NULL };
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };
	const char *list, *at;
	size_t len;
	int found = 0;

	buf_add(&text, bundle->text.data, bundle->text.len);
	if (oci_rewrite_variables(&text, "process", ours, &err) < 0) {
		must(err.text[0]);
		return;
	}
	must(json_check(text.data, text.len, NULL) == 0);
	list = json_get_value(text.data, "process.env", &len);
	for (at = json_first(list, &len); at; at = json_next(at, &len)) {
		auto_free char *one = NULL;

		if (oci_text(at, "", &one, NULL) < 0 || !one ||
		    !oci_is_variable(one, ours[0]))
			continue;
		must(strcmp(one, ours[0]) == 0);
		found++;
	}
	must(found == 1);
}

/* A machine needs the shim, which is looked for beside the program. */
__attribute__((constructor)) static void find_shim(void)
{
	auto_free char *exe = realpath("/proc/self/exe", NULL);
	auto_free char *shim = NULL;

	if (exe)
		*strrchr(exe, '/') = 0;
	shim = exe ? file_format("%s/../../brood-shim.so", exe) : NULL;
	if (shim)
		setenv("BROOD_SHIM_PATH", shim, 0);
}

/* What is lent has a name that begins at the root, and is no option. */
static void look_folders(const char *json, long most)
{
	long folders = 0;

	for (int i = 0;; i++) {
		auto_free char *path = file_format("process.args.%d", i);
		auto_free char *next = file_format("process.args.%d", i + 1);
		auto_free char *word = json_get_text(json, path);
		auto_free char *to = json_get_text(json, next);

		if (!word || strcmp(word, "--") == 0)
			break;
		if (strcmp(word, "--folder") != 0)
			continue;
		must(to && (to[0] == '/' || strncmp(to, "ro:/", 4) == 0));
		folders++;
	}
	must(folders <= most);
}

/* Of a machine with two disks, and places for two folders. */
static void look_machine(const struct oci_bundle *bundle)
{
	const struct shape shape = {
		.disk = { { .path = (char *)"/d" },
			  { .path = (char *)"/e.qcow2" } },
		.disk_count = 2,
		.folders = 2,
	};
	const struct qemu qemu = { .path = (char *)"/usr/bin/qemu" };
	auto_bundle struct oci_bundle own = { .path = strdup("/b"),
					      .root = strdup("/b/r") };
	const struct oci_start start = { .module = "tip",
					 .starter = "/s",
					 .tip = "/t",
					 .shape = &shape,
					 .qemu = &qemu,
					 .place = oci_place(
						 buf_string(&bundle->text)) };
	auto_free char *first = NULL, *name = NULL;
	struct err err = { 0 };

	buf_add(&own.text, bundle->text.data, bundle->text.len);
	if (oci_machine_rewrite(&own, &start, &err) < 0) {
		must(err.text[0]);
		return;
	}
	must(json_check(own.text.data, own.text.len, NULL) == 0);
	first = json_get_text(own.text.data, "process.args.0");
	must(first && strncmp(first, start.place, strlen(start.place)) == 0);
	name = json_get_text(own.text.data, "process.args.3");
	must(name && strcmp(name, "--given") == 0);
	must(strstr(own.text.data, "\"source\":\"/e.qcow2\"") != NULL);
	look_folders(own.text.data, shape.folders);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_bundle struct oci_bundle bundle = { .path = strdup("/b"),
						 .root = strdup("/b/r") };
	struct err err = { 0 };
	struct oci_wish wish;

	buf_add(&bundle.text, data, size);
	if (json_check(buf_string(&bundle.text), bundle.text.len, NULL) < 0 ||
	    strlen(buf_string(&bundle.text)) != size)
		return 0;
	if (oci_wish_read(&bundle, &wish, &err) < 0)
		must(err.text[0]);
	must(wish.kind != OCI_APP || wish.app || err.code);
	must(wish.kind != OCI_MACHINE || wish.is_told || err.code);
	oci_wish_fini(&wish);
	look_process(&bundle);
	look_variables(&bundle);
	look_machine(&bundle);
	look_rewritten(&bundle);
	return 0;
}
