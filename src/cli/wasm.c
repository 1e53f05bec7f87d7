/* SPDX-License-Identifier: Apache-2.0 */
/* brood wasm: looks at modules and changes their form. */
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/wasm_file.h"
#include "cli/wasm_inspect.h"
#include "cli/wasm_oci.h"
#include "vm/vm.h"
#include "wat/wat.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wasm_options {
	const char *output, *oci, *name;
	struct args_list annotations;
	bool json;
};

static const struct args_option wasm_options[] = {
	{ .name = "--output",
	  .value = "OUT",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct wasm_options, output),
	  .help = "where the result goes; - for standard output" },
	{ .name = "-o",
	  .value = "OUT",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct wasm_options, output),
	  .help = "the same" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct wasm_options, json),
	  .help = "inspect: one JSON object instead of a list" },
	{ .name = "--oci",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct wasm_options, oci),
	  .help = "export: the layout, made where there is none" },
	{ .name = "--name",
	  .value = "NAME",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct wasm_options, name),
	  .help = "export: the image's (localhost/FILE:latest, without .wasm)" },
	{ .name = "--annotation",
	  .value = "KEY=VALUE",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct wasm_options, annotations),
	  .help = "export: of the image; again for more" },
	{ .name = NULL }
};

const struct args_verb wasm_args = {
	.name = "wasm",
	.synopsis = "from-text|to-text|inspect|validate|export FILE [OPTIONS]",
	.summary = "look at a WebAssembly module, or change its form",
	.text = "from-text makes a module of its text and writes it to OUT; "
		"without -o to FILE with .wasm in place of .wat.\n\n"
		"to-text writes the text of a module to OUT or to standard "
		"output. It refuses a module whose text would be longer than "
		"64 times its bytes and 1 MiB, as that of one may be that "
		"declares very many locals, or says a long name very "
		"often.\n\n"
		"inspect lists sections with their sizes, imports and "
		"exports with their types, memories and names.\n\n"
		"validate is silent for a valid module, and tells of another "
		"what is wrong and where.\n\n"
		"export puts the module into a folder DIR that is an OCI image "
		"layout, as an image whose process it is: podman, containerd "
		"and skopeo copy it (oci:DIR:NAME), and run it with brood-oci. "
		"The same module gives the same digests. What DIR has already "
		"stays; a NAME that it has becomes this image. Annotations "
		"such as brood.isolation=domain tell brood-oci what podman "
		"hands on to it.\n\n"
		"FILE may be - for standard input, and text or bytes for all "
		"of them.\n\n"
		"Exit codes: 0; 126 the file is not valid, or its text too "
		"long; 127 there is no "
		"such file; 100 a wrong use; 111 the system did not allow it.",
	.options = wasm_options,
	.least = 2,
	.most = 2,
};

struct wasm_work {
	const struct wasm_options *options;
	const char *file, *shown; /* shown: for messages */
	struct buf bytes;
	struct vm vm;
	struct wasm_module *module;
};

static int wasm_refuse(const struct wasm_work *work, const struct err *err)
{
	fprintf(stderr, "brood: %s: %s\n", work->shown, err->text);
	return CLI_NOT_EXECUTABLE;
}

static int wasm_read(struct wasm_work *work)
{
	struct err err = { 0 };
	int result = wasm_file_read_module(work->file, &work->bytes, &err);

	if (result >= 0)
		return 0;
	fprintf(stderr, "brood: %s\n", err.text);
	return result == -ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

static int wasm_load(struct wasm_work *work)
{
	struct err err = { 0 };
	int code = wasm_read(work);

	if (code)
		return code;
	if (vm_init(&work->vm, NULL, &err) < 0)
		return cli_fail(&err, NULL);
	if (vm_load_in_place(&work->vm, work->bytes.data, work->bytes.len,
			     &work->module, &err) < 0)
		return wasm_refuse(work, &err);
	return 0;
}

static int wasm_write(const char *path, const struct buf *what)
{
	struct err err = { 0 };
	int result;

	if (what->failed) {
		err_set(&err, -ENOMEM, "write %s", path);
		return cli_fail(&err, NULL);
	}
	if (strcmp(path, "-") == 0)
		result = fd_write_all(STDOUT_FILENO, buf_string(what),
				      what->len, &err);
	else
		result = file_publish(path, buf_string(what), what->len, 0666,
				      &err);
	return result < 0 ? cli_fail(&err, NULL) : 0;
}

/* FILE.wat becomes FILE.wasm. */
static char *wasm_output_of(const char *file)
{
	size_t len = strlen(file);

	if (strcmp(file, "-") == 0)
		return strdup("-");
	if (len > 4 && strcmp(file + len - 4, ".wat") == 0)
		len -= 4;
	return file_format("%.*s.wasm", (int)len, file);
}

static int wasm_from_text(struct wasm_work *work)
{
	auto_free char *made = NULL;
	const char *output = work->options->output;
	int code = wasm_read(work);

	if (code)
		return code;
	if (!output)
		output = made = wasm_output_of(work->file);
	if (!output)
		return CLI_SYSTEM;
	if (strcmp(output, "-") == 0 && isatty(STDOUT_FILENO))
		return cli_wrong("bytes are not for a terminal; -o OUT names "
				 "a file");
	return wasm_write(output, &work->bytes);
}

static int wasm_to_text(struct wasm_work *work)
{
	auto_buf struct buf text = { 0 };
	const char *output = work->options->output;
	struct err err = { 0 };
	int code = wasm_load(work);

	if (code)
		return code;
	code = wat_from_binary(work->module, &text, &err);
	if (code < 0)
		return code == -EFBIG ? wasm_refuse(work, &err)
				      : cli_fail(&err, NULL);
	return wasm_write(output ? output : "-", &text);
}

static int wasm_inspect(struct wasm_work *work)
{
	auto_buf struct buf text = { 0 };
	const char *output = work->options->output;
	int code = wasm_load(work);

	if (code)
		return code;
	if (work->options->json)
		wasm_inspect_json(work->module, &text);
	else
		wasm_inspect_text(work->module, &text);
	return wasm_write(output ? output : "-", &text);
}

static int wasm_validate(struct wasm_work *work)
{
	return wasm_load(work);
}

static int wasm_export(struct wasm_work *work)
{
	const struct wasm_oci wish = {
		.layout = work->options->oci,
		.file = work->file,
		.name = work->options->name,
		.annotations = &work->options->annotations,
	};
	int code;

	if (!wish.layout)
		return cli_wrong("export: --oci names the folder");
	code = wasm_load(work);
	return code ? code : wasm_oci_export(&wish, &work->bytes);
}

static const struct {
	const char *name;
	int (*run)(struct wasm_work *work);
} wasm_deeds[] = {
	{ "from-text", wasm_from_text }, { "to-text", wasm_to_text },
	{ "inspect", wasm_inspect },	 { "validate", wasm_validate },
	{ "export", wasm_export },
};

static int wasm_do(const char *deed, struct wasm_work *work)
{
	for (size_t i = 0; i < sizeof wasm_deeds / sizeof *wasm_deeds; i++)
		if (strcmp(wasm_deeds[i].name, deed) == 0)
			return wasm_deeds[i].run(work);
	return cli_wrong("no \"wasm %s\"; there are from-text, to-text, "
			 "inspect and validate",
			 deed);
}

int wasm_run(int argc, char **argv)
{
	struct wasm_options options = { 0 };
	struct wasm_work work = { .options = &options };
	char **operands;
	int count, code;

	if (cli_parse(&wasm_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	work.file = operands[1];
	work.shown = strcmp(work.file, "-") == 0 ? "standard input" : work.file;
	code = wasm_do(operands[0], &work);
	if (work.vm.store)
		vm_fini(&work.vm);
	buf_fini(&work.bytes);
	return code;
}
