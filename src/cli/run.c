/* SPDX-License-Identifier: Apache-2.0 */
/* brood run: a WebAssembly program in this process, with the rights that the
 * options give it. */
#include "cli/run.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/first.h"
#include "cli/hot.h"
#include "cli/init.h"
#include "cli/listen.h"
#include "cli/wasm_file.h"
#include "cli/wasm_value.h"
#include "jit/jit.h"
#include "vm/vm.h"
#include "vm/wasi.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct args_option run_options[] = {
	{ .name = "--in",
	  .value = "PLACE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, in),
	  .help = "where it runs: in this process, or in a domain, a virtual "
		  "machine of its own",
	  .words = "process|domain" },
	{ .name = "--from",
	  .value = "TIP",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, from),
	  .help = "go on from a warm tip, in a domain; there is no FILE" },
	{ .name = "--until",
	  .value = "POINT",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, until),
	  .help = "with --save: stdin, where it reads more than its standard "
		  "input has; ready, where it calls brood.ready; or the name "
		  "of an export, which is called" },
	{ .name = "--save",
	  .value = "TIP",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, save),
	  .help = "run it in a domain up to --until, and keep it there under "
		  "this name" },
	{ .name = "--require-kvm",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct run_options, require_kvm),
	  .help = "a domain has to be a virtual machine: where there is no "
		  "KVM, fail" },
	{ .name = "--kvm",
	  .value = "FILE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, kvm),
	  .help = "what KVM can do on this machine, believed and not tried; "
		  "brood-oci has such files" },
	{ .name = "--ready",
	  .value = "FOLDER",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, ready),
	  .help = "where the module's instance was kept for domains, and "
		  "nothing is kept now; brood-oci has such folders" },
	{ .name = "--given",
	  .value = "FOLDER",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, given),
	  .help = "with --from: where that tip is, believed and not looked "
		  "through; brood-oci has such folders" },
	{ .name = "--invoke",
	  .value = "NAME",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, invoke),
	  .help = "call this export, print its results" },
	{ .name = "--init",
	  .value = "NAME",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, init),
	  .help = "start from what this export leaves, which runs only "
		  "where no snapshot of that is kept" },
	{ .name = "--dir",
	  .value = "HOST[::GUEST]",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct run_options, folders),
	  .help = "a folder that it may use; again for more" },
	{ .name = "--dir-ro",
	  .value = "HOST[::GUEST]",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct run_options, read_only),
	  .help = "the same, but nothing there can be changed" },
	{ .name = "--image",
	  .value = "FILE[::GUEST]",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, image),
	  .help = "an image of files (EROFS), as a folder in which nothing "
		  "can be changed; GUEST is /app" },
	{ .name = "--env",
	  .value = "NAME[=VALUE]",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct run_options, environment),
	  .help = "a variable; without a value it is the caller's" },
	{ .name = "--env-all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct run_options, env_all),
	  .help = "all variables of the caller; those of --env replace them" },
	{ .name = "--listen",
	  .value = "tcp:ADDRESS:PORT|unix:PATH",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct run_options, listen),
	  .help = "a socket that it may accept from; again for more" },
	{ .name = "--start",
	  .value = "NAME=FILE",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct run_options, start),
	  .help = "a program that it may start, each in a domain of its own, "
		  "by the import brood.start; again for more" },
	{ .name = "--fuel",
	  .value = "N",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct run_options, fuel),
	  .help = "end it after N calls and turns of loops" },
	{ .name = "--timeout",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct run_options, timeout_ms),
	  .help = "end it after this time (5s, 200ms)" },
	{ .name = "--max-memory",
	  .value = "BYTES",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct run_options, max_memory),
	  .help = "the most that each of its memories may have, such as 64M" },
	{ .name = "--via",
	  .value = "WAY",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, via),
	  .help = "how its code runs: compiled (as far as it can be, "
		  "auto), or interp",
	  .words = "auto|compiled|interp" },
	{ .name = "--cache",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, cache),
	  .help = "where compiled code is kept, or off; of modules under "
		  "8 KiB it is kept only where this or BROOD_CACHE is "
		  "given" },
	{ .name = "--code",
	  .value = "OBJECT",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, code),
	  .help = "the compiled code of FILE, believed as it is and run in its "
		  "place; where it does not fit this processor, FILE is" },
	{ .name = "--report",
	  .value = "FILE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct run_options, report),
	  .help = "append one JSON line on how it ran" },
	{ .name = "--verbose",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct run_options, verbose),
	  .help = "tell on stderr how it runs, and why" },
	{ .name = NULL }
};

const struct args_verb run_args = {
	.name = "run",
	.synopsis = "[OPTIONS] FILE [ARG...] | --from TIP [ARG...]",
	.summary = "run a WebAssembly program",
	.text = "Runs a program made for WASI preview 1: FILE is a module in "
		"bytes or in text, or - for one on standard input. It gets "
		"the arguments and the caller's standard input, output and "
		"error; of files, variables and sockets only what --dir, "
		"--env and --listen name. Its descriptors are 0, 1 and 2, "
		"from 3 on the folders in their order, --dir before "
		"--dir-ro, then that of --image, then the listening sockets in "
		"theirs.\n\n"
		"--image grants what lies in an image that Brood has packed: "
		"a file or a disk of root's or the caller's own, which nobody "
		"else may write and which is looked through before it is used. "
		"Its pages are mapped, not copied: all that run with it share "
		"them, and a domain reads them without asking the host. What "
		"would change it fails as on a read-only file system. A tip "
		"that was made with an image goes on only with the same "
		"bytes.\n\n"
		"ADDRESS of --listen is localhost, or numbers, as 127.0.0.1 "
		"or [::1]. A PATH must not be there before, and goes when the "
		"program ends.\n\n"
		"With --invoke it calls the export NAME instead, after "
		"_initialize if there is one, with the arguments as the "
		"types of its parameters say, and prints the results, one a "
		"line.\n\n"
		"With --init it starts from a snapshot: memories, globals and "
		"tables as the export NAME leaves them (and _initialize "
		"before it, if there is one, which is not called again). "
		"Where the cache has none, NAME runs first, with the "
		"standard streams and no other grant, and the snapshot is "
		"kept for all later starts, whatever they are granted: "
		"random numbers and times that NAME reads are the same in "
		"all of them. What cannot be kept is refused: open files, "
		"shared or imported memories, objects of the heap, a NAME "
		"that traps or exits. NAME itself runs in this process, also "
		"with --in domain, which begins with what it left. See "
		"brood-compile(1) to make it ahead.\n\n"
		"With --in domain it runs in a virtual machine of its own, "
		"whose operating system is the byte-code engine: what is "
		"granted is the same; what --report appends comes when it is "
		"over, and counts why its CPU left it. With --until and "
		"--save it is kept when it has come so far: memory, registers, "
		"open files; "
		"--from TIP goes on from there, any number of times and at "
		"once, each with its own arguments and grants, of which "
		"folders have to have the same names; --invoke calls an "
		"export of one that was kept behind a FUNCTION. With both a "
		"difference is put on top. See brood-image(1) for tips.\n\n"
		"While it runs in this process it is counted where its time "
		"goes, by 250 signals a second of CPU time, and kept "
		"beside its code. What is hot is optimised behind it, in "
		"a process of its own, for the runs that come: see "
		"brood-compile(1). BROOD_OPTIMISE=off switches both "
		"off.\n\n"
		"FILE is read whole before it runs. A trap is told with the "
		"functions that led to it.\n\n"
		"Exit codes: the program's own; 134 a trap; 124 --timeout is "
		"over; 125 --fuel is used up; 126 the file is no module that "
		"can run here; 127 there is no such file; 100 a wrong use; "
		"111 the system did not allow it.",
	.options = run_options,
	.least = 0,
	.most = -1,
	.stop_early = true,
};

static bool run_is_in_domain(const struct run *run)
{
	const struct run_options *options = run->options;

	return options->from || options->save ||
	       (options->in && strcmp(options->in, "domain") == 0);
}

void run_fini(struct run *run)
{
	ground_close(&run->ground);
	init_close(&run->init);
	if (run->vm.store)
		vm_fini(&run->vm);
	init_fini(&run->init);
	wasi_close(run->wasi);
	wasi_image_close(&run->image);
	buf_fini(&run->bytes);
	free(run->environment);
	while (run->socket_count)
		listen_close(&run->listen[--run->socket_count]);
	fd_close(&run->source.fd);
	while (run->owned_count)
		free(run->owned[--run->owned_count]);
}

int run_fail(const struct run *run, const struct err *err, int code)
{
	fprintf(stderr, "brood: %s: %s\n", run->file, err->text);
	return code;
}

/* NULL without memory. */
static char *run_own(struct run *run, char *text)
{
	if (text)
		run->owned[run->owned_count++] = text;
	return text;
}

/* What the program is granted. */

static int run_add_folder(struct run *run, const char *word, bool read_only)
{
	struct wasi_folder *folder = &run->folders[run->folder_count++];
	char *host = run_own(run, strdup(word));
	char *mark = host ? strstr(host, "::") : NULL;

	if (!host)
		return -ENOMEM;
	if (mark)
		*mark = 0;
	*folder = (struct wasi_folder){ .host = host,
					.guest = mark ? mark + 2 : host,
					.read_only = read_only };
	return 0;
}

/* The one that has its name goes. */
static void run_set_variable(struct run *run, char *text)
{
	size_t len = strcspn(text, "=") + 1, at = 0;

	while (at < run->environment_count &&
	       strncmp(run->environment[at], text, len) != 0)
		at++;
	run->environment[at] = text;
	if (at == run->environment_count)
		run->environment_count++;
}

static int run_add_variable(struct run *run, const char *word)
{
	bool has_value = strchr(word, '=');
	const char *value = has_value ? NULL : getenv(word);
	char *text;

	if (!has_value && !value)
		return 0;
	text = run_own(run, value ? file_format("%s=%s", word, value)
				  : strdup(word));
	if (!text)
		return -ENOMEM;
	run_set_variable(run, text);
	return 0;
}

static int run_add_variables(struct run *run)
{
	const struct args_list *list = &run->options->environment;
	size_t inherited = 0;
	int result = 0;

	while (run->options->env_all && environ && environ[inherited])
		inherited++;
	run->environment = calloc(inherited + (size_t)list->count + 1,
				  sizeof(*run->environment));
	if (!run->environment)
		return -ENOMEM;
	for (size_t i = 0; i < inherited; i++)
		run->environment[run->environment_count++] = environ[i];
	for (int i = 0; result >= 0 && i < list->count; i++)
		result = run_add_variable(run, list->item[i]);
	return result;
}

static int run_add_all(struct run *run, struct err *err)
{
	const struct run_options *options = run->options;
	int result = 0;

	for (int i = 0; result >= 0 && i < options->folders.count; i++)
		result = run_add_folder(run, options->folders.item[i], false);
	for (int i = 0; result >= 0 && i < options->read_only.count; i++)
		result = run_add_folder(run, options->read_only.item[i], true);
	if (result >= 0)
		result = run_add_variables(run);
	return result < 0 ? err_set(err, result, "folders and variables") : 0;
}

static int run_listen(struct run *run, struct err *err)
{
	const struct args_list *list = &run->options->listen;

	for (int i = 0; i < list->count; i++) {
		struct listen *to = &run->listen[run->socket_count];

		if (listen_open(to, list->item[i], err) < 0)
			return err->code;
		run->sockets[run->socket_count++] = to->fd;
	}
	return 0;
}

/* A tip tells by the digest whether it is the same image. */
static int run_set_files(struct run *run, struct err *err)
{
	const struct run_options *options = run->options;
	bool has_digest = options->from || options->save;

	run->files = (struct domain_files){
		.fd = run->image.fd,
		.bytes = run->image.bytes,
		.number = wasi_image_number(run->wasi),
		.name = run->image.guest,
		.has_digest = has_digest,
	};
	return has_digest
		       ? wasi_image_digest(&run->image, run->files.digest, err)
		       : 0;
}

static int run_open_image(struct run *run, struct err *err)
{
	const char *word = run->options->image;
	char *file = word ? run_own(run, strdup(word)) : NULL;
	char *mark = file ? strstr(file, "::") : NULL;

	if (!word)
		return 0;
	if (!file)
		return err_set(err, -ENOMEM, "an image of files");
	if (mark)
		*mark = 0;
	return wasi_image_open(&run->image, file, mark ? mark + 2 : "/app",
			       err);
}

int run_grant(struct run *run, struct err *err)
{
	struct wasi_options wasi = {
		.arguments = run->words,
		.argument_count = (size_t)run->word_count,
		.folders = run->folders,
		.sockets = run->sockets,
		.stdio = { run->stdio[0], run->stdio[1], run->stdio[2] },
	};

	if (run_add_all(run, err) < 0 || run_open_image(run, err) < 0 ||
	    (!run->socket_count && run_listen(run, err) < 0))
		return err->code;
	wasi.socket_count = run->socket_count;
	wasi.folder_count = run->folder_count;
	wasi.environment = run->environment;
	wasi.environment_count = run->environment_count;
	wasi.image = run->image.fd < 0 ? NULL : &run->image;
	wasi.image_is_elsewhere = run_is_in_domain(run);
	if (wasi_open(&run->wasi, &wasi, err) < 0)
		return err->code;
	if (wasi.image_is_elsewhere && wasi.image &&
	    run_set_files(run, err) < 0)
		return err->code;
	return wasi_define(run->wasi, &run->vm, err);
}

static int run_end(struct run *run, enum wasm_trap trap)
{
	return init_end(&run->vm, run->file, trap);
}

static struct wasm_function *run_find(const struct run *run, const char *name)
{
	struct wasm_extern found;

	if (!wasm_instance_export(run->instance, name, (uint32_t)strlen(name),
				  &found) ||
	    found.kind != WASM_EXTERN_FUNCTION)
		return NULL;
	return found.function;
}

int run_not_found(const struct run *run, const struct wasm_module *module,
		  const char *name)
{
	auto_buf struct buf text = { 0 };
	uint32_t count = 0;

	for (uint32_t i = 0; i < module->export_count; i++) {
		if (module->exports[i].kind != WASM_EXTERN_FUNCTION)
			continue;
		if (count < 8) {
			buf_text(&text, count ? ", " : "");
			vm_describe_name(module->exports[i].name, &text);
		}
		count++;
	}
	fprintf(stderr, "brood: %s: no function \"%s\" is exported; %s%s%s\n",
		run->file, name,
		count ? "--invoke NAME calls one of: " : "none is",
		buf_string(&text), count > 8 ? ", ..." : "");
	return CLI_NOT_EXECUTABLE;
}

int run_not_plain(const struct run *run, const char *name)
{
	fprintf(stderr, "brood: %s: %s has parameters or results\n", run->file,
		name);
	return CLI_NOT_EXECUTABLE;
}

/* Calls a function that shall have neither parameters nor results. */
static int run_plain(struct run *run, const char *name,
		     struct wasm_function *function, enum wasm_trap *trap)
{
	const struct wasm_deftype *type =
		wasm_types_get(run->vm.types, function->type);

	if (type->param_count || type->result_count)
		return run_not_plain(run, name);
	*trap = vm_call(&run->vm, function, NULL, NULL);
	return 0;
}

static int run_command(struct run *run)
{
	struct wasm_function *start = run_find(run, "_start");
	enum wasm_trap trap;
	int code;

	if (!start)
		return run_not_found(run, run->instance->module, "_start");
	code = run_plain(run, "_start", start, &trap);
	return code ? code : run_end(run, trap);
}

int run_arguments(const struct run *run, const wasm_type *params,
		  uint32_t param_count, uint32_t result_count,
		  union wasm_value *values)
{
	struct err err = { 0 };

	if (param_count > RUN_VALUES || result_count > RUN_VALUES)
		return cli_wrong("%s: %s has more than %d parameters or "
				 "results",
				 run->file, run->options->invoke, RUN_VALUES);
	if (param_count != (uint32_t)run->word_count - 1)
		return cli_wrong("%s: %s takes %u arguments, not %d", run->file,
				 run->options->invoke, param_count,
				 run->word_count - 1);
	for (uint32_t i = 0; i < param_count; i++)
		if (wasm_value_parse(run->words[i + 1], params[i], &values[i],
				     &err) < 0)
			return cli_wrong("argument %u: %s", i + 1, err.text);
	return 0;
}

int run_print(const wasm_type *results, uint32_t count,
	      const union wasm_value *values)
{
	auto_buf struct buf text = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		wasm_value_show(values[i], results[i], &text);
		buf_text(&text, "\n");
	}
	return cli_print(buf_string(&text));
}

static int run_invoke(struct run *run)
{
	struct wasm_function *function = run_find(run, run->options->invoke);
	struct wasm_function *first = run_find(run, "_initialize");
	union wasm_value values[RUN_VALUES], results[RUN_VALUES];
	const struct wasm_deftype *type;
	enum wasm_trap trap = WASM_OK;
	int code;

	if (!function)
		return run_not_found(run, run->instance->module,
				     run->options->invoke);
	type = wasm_types_get(run->vm.types, function->type);
	code = run_arguments(run, type->params, type->param_count,
			     type->result_count, values);
	if (code)
		return code;
	if (first && first != function && !run->options->init)
		code = run_plain(run, "_initialize", first, &trap);
	if (code)
		return code;
	if (trap == WASM_OK)
		trap = vm_call(&run->vm, function, values, results);
	return trap == WASM_OK
		       ? run_print(type->results, type->result_count, results)
		       : run_end(run, trap);
}

static enum vm_via run_via(const char *word)
{
	if (!word || strcmp(word, "auto") == 0)
		return VM_AUTO;
	return strcmp(word, "interp") == 0 ? VM_INTERPRETED : VM_COMPILED;
}

/* Not worth a look into the cache; but what a function leaves may have taken
 * long. */
static bool run_is_small(const struct run *run)
{
	const struct cache_options usual = { 0 };

	return run->source.fd >= 0 && !run_is_in_domain(run) &&
	       !run->options->cache && !run->options->code &&
	       !run->options->init && !getenv("BROOD_CACHE") &&
	       run->source.stamp.size < CACHE_SMALL && !cache_has_small(&usual);
}

static void run_progress(void *env)
{
	progress_tick(&((struct run *)env)->progress);
}

/* Code of a domain runs elsewhere, and what counts fuel is not optimised. */
static bool run_counts(const struct run *run)
{
	return !run_is_in_domain(run) && !run->options->fuel &&
	       !run->options->code && hot_budget_s() >= 0;
}

static void run_note(void *env)
{
	struct run *run = env;

	if (run->instance)
		hot_note(&run->vm, run->instance->module, run->options->cache);
}

static int run_open(struct run *run, struct err *err)
{
	const struct run_options *options = run->options;
	const struct cache_options cache = { .place = options->cache };
	struct vm_options vm = {
		.cache = run_is_small(run) ? NULL : &cache,
		.profile = run_counts(run),
		.profile_due = run_note,
		.profile_env = run,
		.code = { .via = run_via(options->via),
			  .told = &run->told,
			  .without_features =
				  run_is_in_domain(run)
					  ? jit_features() &
						    ~run->ground.features
					  : 0,
			  .progress = run_progress,
			  .progress_env = run },
		.store = { .fuel = options->fuel,
			   .memory_bytes = (uint64_t)options->max_memory },
	};

	return vm_init(&run->vm, &vm, err);
}

/* For the code cache: where the bytes are from. */
static void run_set_source(struct run *run)
{
	run->vm.options.code.source = (struct cache_request){
		.bytes = run->bytes.data,
		.len = run->bytes.len,
		.fd = run->source.fd,
		.stamp = run->source.stamp,
		.name = run->file,
		.given = run->options->code,
	};
}

/* One for all of its calls. */
static void run_set_deadline(struct run *run)
{
	int64_t ns, *deadline = &run->vm.deadline_ns;

	if (run->options->timeout_ms &&
	    (__builtin_mul_overflow(run->options->timeout_ms, 1000000, &ns) ||
	     __builtin_add_overflow((int64_t)clock_ns(), ns, deadline)))
		*deadline = 0; /* later than ever */
}

/* The text names the file. */
static int run_no_file(const struct err *err, int result)
{
	fprintf(stderr, "brood: %s\n", err->text);
	return result == -ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

static int run_read(struct run *run, struct wasm_module **module)
{
	struct err err = { 0 };
	int result = wasm_file_read_from(run->words[0], &run->bytes,
					 &run->source, &err);

	if (result < 0)
		return run_no_file(&err, result);
	run_set_source(run);
	progress_start(&run->progress, "brood: compiling");
	result = vm_load_compiled(&run->vm, run->bytes.data, run->bytes.len,
				  module, &err);
	progress_end(&run->progress);
	return result < 0 ? run_fail(run, &err, CLI_NOT_EXECUTABLE) : 0;
}

/* What the cache knows by its stamp is not even read. */
static int run_load(struct run *run, struct wasm_module **module)
{
	run_set_source(run);
	return vm_load_known(&run->vm, module) ? 0 : run_read(run, module);
}

static const char *const run_ways[] = {
	[VM_NO_WAY] = "not at all",
	[VM_BY_COMPILED] = "compiled",
	[VM_BY_MAPPED] = "mapped",
	[VM_BY_INTERPRETER] = "interpreted",
};

/* A domain was wanted, and there is no KVM. */
static bool run_stands_in(const struct run *run)
{
	return run_is_in_domain(run) && !run->ground.has_kvm;
}

static void run_report_exits(struct json *json, const struct domain *domain)
{
	struct domain_counts counts;
	const uint64_t *bells = counts.bells_for;
	uint64_t memory;

	domain_counts(domain, &counts);
	memory = bells[GUEST_BELL_MEMORY_MAKE] + bells[GUEST_BELL_MEMORY_GROW] +
		 bells[GUEST_BELL_MEMORY_DROP] + bells[GUEST_BELL_HEAP];
	json_open(json, "exits");
	json_number(json, "bells", counts.bells);
	json_number(json, "done", bells[GUEST_BELL_DONE]);
	json_number(json, "wasi", bells[GUEST_BELL_WASI]);
	json_number(json, "memory", memory);
	json_number(json, "other",
		    counts.bells - bells[GUEST_BELL_DONE] -
			    bells[GUEST_BELL_WASI] - memory);
	json_number(json, "traps", counts.traps);
	json_number(json, "kicks", counts.kicks);
	json_close(json);
}

static void run_report_to(const struct run *run, const char *path,
			  const struct domain *domain)
{
	auto_buf struct buf line = { 0 };
	struct json json;

	json_start(&json, &line);
	json_open(&json, NULL);
	json_text(&json, "way", run_ways[run->told.way]);
	json_text(&json, "program", run->file);
	if (run->told.why)
		json_text(&json, "reason", run->told.why);
	json_text(&json, "isolation", run->isolation);
	if (run_stands_in(run))
		json_text(&json, "isolation_reason", run->ground.why);
	json_number(&json, "compiled", run->told.compiled);
	json_number(&json, "pid", getpid());
	if (domain) {
		json_bool(&json, "kept", run->is_from_kept);
		run_report_exits(&json, domain);
	}
	json_close(&json);
	cli_report(path, &line);
}

/* As "brood launch" does. */
static void run_report(const struct run *run, const struct domain *domain)
{
	const char *report = cli_report_path(run->options->report);

	if (report)
		run_report_to(run, report, domain);
}

void run_tell(struct run *run)
{
	run->is_told = true;
	if (run->options->verbose || getenv("BROOD_VERBOSE"))
		fprintf(stderr, "brood: %s: %s%s%s%s%s%s\n", run->file,
			run_ways[run->told.way],
			strcmp(run->isolation, "kvm") == 0 ? " in a domain"
							   : "",
			run->told.why ? ": " : "",
			run->told.why ? run->told.why : "",
			run_stands_in(run)
				? "; in a process that takes a domain's "
				  "place: "
				: "",
			run_stands_in(run) ? run->ground.why : "");
	if (!run_is_in_domain(run))
		run_report(run, NULL);
}

void run_tell_end(const struct run *run, const struct domain *domain)
{
	if (run->is_told)
		run_report(run, domain);
}

static int run_instantiate(struct run *run, const struct wasm_module *module,
			   struct err *err)
{
	if (run->init.snapshot)
		return vm_snapshot_instantiate(run->init.snapshot,
					       &run->instance, err);
	return vm_instantiate(&run->vm, module, &run->instance, err);
}

int run_prepare(struct run *run, struct wasm_module **module)
{
	struct err err = { 0 };

	if (run_is_in_domain(run) &&
	    ground_open_told(&run->ground, run->options->require_kvm,
			     run->options->kvm, &err) < 0)
		return run_fail(run, &err, CLI_SYSTEM);
	if (run_open(run, &err) < 0)
		return run_fail(run, &err, CLI_SYSTEM);
	return run_load(run, module);
}

static int run_start(struct run *run)
{
	struct wasm_module *module;
	struct err err = { 0 };
	int result = run_prepare(run, &module);

	if (result)
		return result;
	run_set_deadline(run);
	if (run->options->init)
		result = init_open(&run->init, &run->vm, module,
				   run->options->init, run->file, run->stdio);
	if (result)
		return result;
	if (run_grant(run, &err) < 0)
		return run_fail(run, &err, CLI_SYSTEM);
	if (run_is_in_domain(run))
		return run_in_domain(run, module);
	result = run_instantiate(run, module, &err);
	run_tell(run);
	if (result < 0)
		return run_fail(run, &err, CLI_NOT_EXECUTABLE);
	if (result > 0)
		return run_end(run, result);
	result = run->options->invoke ? run_invoke(run) : run_command(run);
	run_note(run);
	return result;
}

/* NAME=FILE, each name once. */
static int run_check_start(const struct args_list *start)
{
	for (int i = 0; i < start->count; i++) {
		const char *item = start->item[i], *end = strchr(item, '=');

		if (!end || end == item || !end[1])
			return cli_wrong("--start %s: NAME=FILE is wanted",
					 item);
		for (int k = 0; k < i; k++)
			if (strncmp(start->item[k], item,
				    (size_t)(end + 1 - item)) == 0)
				return cli_wrong("--start %s: there is one of "
						 "this name",
						 item);
	}
	return 0;
}

static int run_check_tip(const struct run_options *options)
{
	if (!options->save != !options->until)
		return cli_wrong("--until says up to where, --save under which "
				 "name: one needs the other");
	if (options->given && (!options->from || options->save))
		return cli_wrong("--given is where --from finds a tip, and "
				 "nothing is kept there");
	if (!options->from && !options->save)
		return 0;
	if (options->in && strcmp(options->in, "process") == 0)
		return cli_wrong("--from and --save are for domains");
	if (options->init || (options->invoke && options->save))
		return cli_wrong("%s has no meaning with %s",
				 options->init ? "--init" : "--invoke",
				 options->from ? "--from" : "--save");
	if (options->from && options->ready)
		return cli_wrong("--ready and --from exclude each other");
	if (options->from && (options->max_memory || options->via))
		return cli_wrong("--max-memory and --via are what they were "
				 "when the tip was made; they have no meaning "
				 "with --from");
	return 0;
}

/* What the options may not be together, or must be. */
static int run_check(const struct run *run)
{
	const struct run_options *options = run->options;
	int code;

	if (!options->from && !run->word_count)
		return cli_wrong("FILE is missing");
	if (!run_is_in_domain(run) &&
	    (options->start.count || options->require_kvm || options->kvm ||
	     options->ready))
		return cli_wrong("%s needs --in domain",
				 options->require_kvm ? "--require-kvm"
				 : options->kvm	      ? "--kvm"
				 : options->ready     ? "--ready"
						      : "--start");
	code = run_check_start(&options->start);
	return code ? code : run_check_tip(options);
}

int run_prepare_tip(struct run *run, struct err *err)
{
	int r = ground_open_told(&run->ground, run->options->require_kvm,
				 run->options->kvm, err);

	return r < 0 ? r : run_open(run, err);
}

static int run_tip(struct run *run)
{
	struct err err = { 0 };

	char **words = calloc((size_t)run->word_count + 2, sizeof(*words));

	if (!words || !run_own(run, (char *)words))
		return run_fail(run, &(struct err){ .text = "no memory" },
				CLI_SYSTEM);
	/* The program's own name is the tip's. */
	run->file = words[0] = (char *)run->options->from;
	memcpy(words + 1, run->words, (size_t)run->word_count * sizeof(*words));
	run->words = words;
	run->word_count++;
	if (run_prepare_tip(run, &err) < 0)
		return run_fail(run, &err, CLI_SYSTEM);
	run_set_deadline(run);
	return run_from_tip(run);
}

int run_open_file(struct run *run)
{
	struct err err = { 0 };
	int result;

	run->file = strcmp(run->words[0], "-") == 0 ? "standard input"
						    : run->words[0];
	result = wasm_file_open(run->words[0], &run->source, &err);
	return result < 0 ? run_no_file(&err, result) : 0;
}

static int run_file(struct run *run)
{
	int code = run_open_file(run);

	return code ? code : run_start(run);
}

int run_all(struct run *run)
{
	int code = run_check(run);

	if (code)
		return code;
	first_take_signals();
	init_stdio(run->stdio);
	code = run->options->from ? run_tip(run) : run_file(run);
	run_fini(run);
	return code;
}

int run_run(int argc, char **argv)
{
	struct run_options options = { 0 };
	struct run run = RUN_EMPTY(&options);
	int code;

	if (cli_parse(&run_args, argc, argv, &options, &run.words,
		      &run.word_count, &code) < 0)
		return code;
	return run_all(&run);
}
