/* SPDX-License-Identifier: Apache-2.0 */
/* brood compile: fills the code cache ahead of the first run. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/progress.h"
#include "cache/cache.h"
#include "cli/cli.h"
#include "cli/hot.h"
#include "cli/init.h"
#include "cli/optimise.h"
#include "cli/wasm_file.h"
#include "vm/vm.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct compile_options {
	const char *place, *init;
	struct optimise_options optimise;
	bool background;
	char *compiler; /* that optimises */
};

static const struct args_option compile_options[] = {
	{ .name = "--cache",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct compile_options, place),
	  .help = "the folder, if it is not the usual one" },
	{ .name = "--init",
	  .value = "NAME",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct compile_options, init),
	  .help = "keep what this export leaves, for brood run --init" },
	{ .name = "--optimise",
	  .value = "[=all|hot]",
	  .kind = ARGS_MAYBE,
	  .offset = offsetof(struct compile_options, optimise.which),
	  .words = "all|hot",
	  .help = "compile all functions, or those that are hot, for speed" },
	{ .name = "--background",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct compile_options, background),
	  .help = "with --optimise=hot, keys in place of files: as runs begin "
		  "it by themselves" },
	{ .name = "--cpu-limit",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct compile_options, optimise.cpu_ms),
	  .help = "CPU time for the optimising of one file (10m)" },
	{ .name = "--chunk-limit",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct compile_options, optimise.chunk_ms),
	  .help = "CPU time for one process of it (60s; small ones have "
		  "less)" },
	{ .name = "--memory-limit",
	  .value = "SIZE",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct compile_options, optimise.memory_bytes),
	  .help = "memory for one process of it (2G)" },
	{ .name = "--jobs",
	  .value = "N",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct compile_options, optimise.jobs),
	  .help = "its processes at once, if not as many as there are CPUs" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct compile_options, optimise.json),
	  .help = "a JSON object a line of what was done" },
	{ .name = "--verbose",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct compile_options, optimise.verbose),
	  .help = "name the functions that were not optimised, and why" },
	{ .name = "--quiet",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct compile_options, optimise.quiet),
	  .help = "say nothing of what went well" },
	{ .name = NULL }
};

const struct args_verb compile_args = {
	.name = "compile",
	.synopsis = "[OPTIONS] FILE...",
	.summary = "compile modules ahead of their first run",
	.text = "Compiles each module and puts the code into the cache, where "
		"\"brood run\" finds it; see brood-cache(1). What is there "
		"already stays as it is. A first run does the same by itself: "
		"this is for those that shall not wait, and for root, who "
		"with --cache /var/cache/brood/code compiles for all users "
		"of machines with the same CPU features.\n\n"
		"The code is for runs without --fuel.\n\n"
		"With --optimise functions are compiled once more, by a "
		"compiler that takes its time and makes faster code, "
		"brood-aotc. It runs as a program of its own, in processes "
		"that have limits of time and memory; a function that cannot "
		"be done within them, or that it does not know, stays as it "
		"is. Until all is done, and where it is not, runs find the "
		"code that was there before; those that run keep theirs. "
		"Modules with tail calls are not optimised. --optimise=hot "
		"takes only the functions in which runs have spent their "
		"time, and small ones that they call, but not large ones that "
		"are little used; where no run was long enough to tell, those "
		"with the most loops, as many as take about 25 seconds.\n\n"
		"That is also done by itself. \"brood run\" counts where the "
		"time goes; when a second of CPU time has come together, and "
		"what is hot is not optimised, it starts \"brood compile "
		"--optimise=hot --background KEY\", which goes on when the "
		"run is over: it takes no CPU that others want, one works at "
		"a time, and all of them together use no more than 120 "
		"seconds of CPU time in an hour. BROOD_OPTIMISE says how many "
		"instead; with 0 nothing begins by itself, with off nothing "
		"is counted either. \"brood doctor\" tells what was done and "
		"what waits. With --background operands are keys, as "
		"\"brood cache ls\" has them; after these comes what else "
		"waits.\n\n"
		"With --init the export NAME runs once in a fresh instance, "
		"with the standard streams and no other grant, and what it "
		"leaves (memories, globals, tables) is put into the cache "
		"too, where \"brood run --init NAME\" starts from it. Random "
		"numbers and times that NAME reads are frozen into the "
		"snapshot. What cannot be kept is refused with a line: open "
		"files, shared or imported memories, objects of the heap, a "
		"NAME that traps or exits.\n\n"
		"Exit codes: 0; 126 a file is no valid module, or its "
		"snapshot is refused; 134 NAME trapped; 127 there is "
		"no such file; 100 a wrong use; 111 the system did not allow "
		"it. With several files it is the worst one's, and the "
		"others are compiled.",
	.options = compile_options,
	.least = 0,
	.most = -1,
};

struct compile_work {
	const struct compile_options *options;
	const char *path;
	struct wasm_file source;
	struct buf bytes;
	struct vm vm;
	struct init init;
	int stdio[3];
	uint64_t began_ns;
	struct progress progress;
};

static void compile_progress(void *env)
{
	progress_tick(&((struct compile_work *)env)->progress);
}

static int compile_fail(const struct compile_work *work, const struct err *err,
			int code)
{
	fprintf(stderr, "brood: %s: %s\n", work->path, err->text);
	return code;
}

static int compile_tell_json(const struct compile_work *work,
			     const char *result,
			     const struct cache_object *object)
{
	auto_buf struct buf out = { 0 };
	struct json json;

	json_start(&json, &out);
	json_open(&json, NULL);
	json_text(&json, "file", work->path);
	json_text(&json, "result", result);
	json_number(&json, "bytes", (int64_t)object->len);
	json_number(&json, "ms",
		    (int64_t)((clock_ns() - work->began_ns) / 1000000));
	json_close(&json);
	buf_text(&out, "\n");
	return cli_print(buf_string(&out));
}

static int compile_tell(const struct compile_work *work,
			const struct cache_object *object)
{
	auto_buf struct buf line = { 0 };
	double ms = (double)(clock_ns() - work->began_ns) / 1e6;
	bool is_there = object->result == CACHE_HIT;

	if (work->options->optimise.json)
		return compile_tell_json(work, is_there ? "there" : "compiled",
					 object);
	if (work->options->optimise.quiet)
		return 0;
	if (is_there)
		buf_format(&line, "%s: is there\n", work->path);
	else
		buf_format(&line, "%s: %lu KiB of code in %.0f ms\n",
			   work->path, (unsigned long)object->len / 1024, ms);
	return cli_print(buf_string(&line));
}

/* The module is compiled while it is loaded. */
static int compile_make(struct compile_work *work, struct wasm_module **module,
			struct cache_object **object, struct err *err,
			int *code)
{
	int result;

	*code = CLI_NOT_EXECUTABLE;
	result = vm_load_compiled(&work->vm, work->bytes.data, work->bytes.len,
				  module, err);
	if (result < 0)
		return result;
	*code = CLI_SYSTEM;
	result = vm_compile(&work->vm, *module, object, err);
	return result < 0 ? result : cache_published(*object, err);
}

static int compile_tell_snapshot(const struct compile_work *work,
				 const struct cache_object *object)
{
	auto_buf struct buf line = { 0 };

	if (work->options->optimise.json)
		return compile_tell_json(work,
					 work->init.is_found ? "snapshot there"
							     : "snapshot",
					 object);
	if (work->options->optimise.quiet)
		return 0;
	if (work->init.is_found)
		buf_format(&line, "%s: what %s leaves is there\n", work->path,
			   work->options->init);
	else
		buf_format(&line, "%s: %lu KiB of what %s leaves\n", work->path,
			   (unsigned long)object->len / 1024,
			   work->options->init);
	return cli_print(buf_string(&line));
}

static int compile_snapshot(struct compile_work *work,
			    const struct wasm_module *module)
{
	struct cache_object *object;
	struct err err = { 0 };
	int code = init_open(&work->init, &work->vm, module,
			     work->options->init, work->path, work->stdio);

	if (code)
		return code;
	object = vm_snapshot_object(work->init.snapshot);
	if (!object)
		return compile_fail(work,
				    (err_set(&err, -ENOMEM,
					     "the snapshot is too large for "
					     "the cache"),
				     &err),
				    CLI_SYSTEM);
	if (cache_published(object, &err) < 0)
		return compile_fail(work, &err, CLI_SYSTEM);
	return compile_tell_snapshot(work, object);
}

static int compile_plain(struct compile_work *work, struct wasm_module **module)
{
	struct cache_object *object;
	struct err err = { 0 };
	int code, result;

	progress_start(&work->progress, "brood: compiling");
	result = compile_make(work, module, &object, &err, &code);
	progress_end(&work->progress);
	return result < 0 ? compile_fail(work, &err, code)
			  : compile_tell(work, object);
}

static int compile_optimised(struct compile_work *work,
			     struct wasm_module **module)
{
	struct err err = { 0 };

	if (vm_load_in_place(&work->vm, work->bytes.data, work->bytes.len,
			     module, &err) < 0)
		return compile_fail(work, &err, CLI_NOT_EXECUTABLE);
	return optimise_module(&work->vm, *module, work->path,
			       work->options->compiler,
			       &work->options->optimise);
}

static int compile_module(struct compile_work *work)
{
	struct wasm_module *module;
	int code;

	work->vm.options.code.source = (struct cache_request){
		.bytes = work->bytes.data,
		.len = work->bytes.len,
		.fd = work->source.fd,
		.stamp = work->source.stamp,
		.name = work->path,
	};
	code = work->options->optimise.which ? compile_optimised(work, &module)
					     : compile_plain(work, &module);
	if (code || !work->options->init)
		return code;
	return compile_snapshot(work, module);
}

static int compile_file(struct compile_work *work)
{
	const struct cache_options cache = { .place = work->options->place };
	const struct vm_options vm = { .cache = &cache,
				       .code = { .progress = compile_progress,
						 .progress_env = work } };
	struct err err = { 0 };
	int result = wasm_file_open(work->path, &work->source, &err);

	if (result >= 0)
		result = wasm_file_read_from(work->path, &work->bytes,
					     &work->source, &err);
	if (result < 0) {
		fprintf(stderr, "brood: %s\n", err.text);
		return result == -ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
	}
	if (vm_init(&work->vm, &vm, &err) < 0)
		return cli_fail(&err, NULL);
	return compile_module(work);
}

static int compile_end(struct compile_work *work, int code)
{
	init_close(&work->init);
	if (work->vm.store)
		vm_fini(&work->vm);
	init_fini(&work->init);
	fd_close(&work->source.fd);
	buf_fini(&work->bytes);
	return code;
}

static int compile_one(const struct compile_options *options, const char *path)
{
	struct compile_work work = { .options = options,
				     .path = path,
				     .source = { .fd = -1 },
				     .began_ns = clock_ns() };

	init_stdio(work.stdio);
	return compile_end(&work, compile_file(&work));
}

static int compile_all(const struct compile_options *options, int count,
		       char **paths)
{
	int worst = 0;

	for (int i = 0; i < count; i++) {
		int code = compile_one(options, paths[i]);

		if (code > worst)
			worst = code;
	}
	return worst;
}

/* ---- in the background ----------------------------------------------------- */

/* The own object, or the system's. */
static int compile_find_module(const char *folder, const char *key,
			       struct compile_work *work, char name[64],
			       struct err *err)
{
	int rc = cache_module(folder, key, &work->bytes, name, err);

	if (rc >= 0)
		return rc;
	buf_clear(&work->bytes);
	return cache_module(cache_system_folder(), key, &work->bytes, name,
			    NULL) < 0
		       ? rc
		       : 0;
}

/* Another engine, or another CPU, has another key for the same module. */
static int compile_check_key(struct compile_work *work,
			     const struct wasm_module *module, const char *key,
			     struct err *err)
{
	auto_buf struct buf own = { 0 };
	struct cache_object *object;
	int rc = vm_compile(&work->vm, module, &object, err);

	if (rc < 0)
		return rc;
	for (int i = 0; i < CODE_KEY_BYTES; i++)
		buf_format(&own, "%02x", object->key[i]);
	return strcmp(buf_string(&own), key) == 0
		       ? 0
		       : err_set(err, -EPROTO,
				 "it is of another version, or other options");
}

static int compile_load_key(struct compile_work *work, const char *key,
			    struct wasm_module **module, struct err *err)
{
	const struct cache_options cache = { .place = work->options->place };
	const struct vm_options vm = { .cache = &cache };
	char *name = work->options->optimise.made->name;
	auto_free char *folder = cache_folder(&cache, err);
	int rc = folder ? compile_find_module(folder, key, work, name, err)
			: err->code;

	if (rc >= 0)
		rc = vm_init(&work->vm, &vm, err);
	if (rc < 0)
		return rc;
	work->vm.options.code.source =
		(struct cache_request){ .bytes = work->bytes.data,
					.len = work->bytes.len,
					.fd = -1,
					.name = name };
	rc = vm_load_in_place(&work->vm, work->bytes.data, work->bytes.len,
			      module, err);
	return rc < 0 ? rc : compile_check_key(work, *module, key, err);
}

static int compile_key(struct compile_work *work, const char *key,
		       struct err *err)
{
	auto_free char *compiler = optimise_find();
	struct wasm_module *module;
	int rc;

	if (!compiler)
		return err_set(err, -EPROTO, "there is no optimiser");
	rc = compile_load_key(work, key, &module, err);
	return rc < 0 ? rc
		      : optimise_module(&work->vm, module, key, compiler,
					&work->options->optimise);
}

static int compile_in_background(void *env, const char *key, long cpu_ms,
				 struct hot_made *made)
{
	struct compile_options options = *(const struct compile_options *)env;
	struct compile_work work = { .options = &options,
				     .path = key,
				     .source = { .fd = -1 },
				     .began_ns = clock_ns() };
	struct err err = { 0 };
	int code;

	if (options.optimise.cpu_ms > cpu_ms)
		options.optimise.cpu_ms = cpu_ms;
	if (!options.optimise.jobs)
		options.optimise.jobs = 1;
	options.optimise.made = made;
	code = compile_key(&work, key, &err);
	if (code < 0) {
		snprintf(made->why, sizeof(made->why), "%.127s", err.text);
		code = compile_fail(&work, &err, CLI_SYSTEM);
	}
	return compile_end(&work, code);
}

static int compile_background(struct compile_options *options, char **keys,
			      int count)
{
	const struct cache_options cache = { .place = options->place };
	struct err err = { 0 };
	auto_free char *folder = cache_folder(&cache, &err);

	if (!folder)
		return cli_fail(&err, NULL);
	return hot_work(folder, keys, count, compile_in_background, options);
}

/* ---- the verb -------------------------------------------------------------- */

static int compile_check_words(const struct compile_options *options, int count)
{
	const char *which = options->optimise.which;

	if (!options->background)
		return count ? 0 : cli_wrong("FILE is missing");
	if (!which || strcmp(which, "hot") != 0 || options->init)
		return cli_wrong("--background goes with --optimise=hot, and "
				 "without --init");
	return 0;
}

static int compile_check(struct compile_options *options)
{
	const struct cache_options cache = { .place = options->place };
	struct err err = { 0 };
	char *folder = cache_folder(&cache, &err);

	if (!folder) {
		err_wrap(&err, "there is no code cache");
		return cli_fail(&err, NULL);
	}
	free(folder);
	if (!options->optimise.which)
		return 0;
	if (options->optimise.cpu_ms < 1 || options->optimise.chunk_ms < 1 ||
	    options->optimise.memory_bytes < 1)
		return cli_wrong("a limit of nothing lets nothing be done");
	/* In the background each key is told why it was not done. */
	if (options->background)
		return 0;
	options->compiler = optimise_find();
	return options->compiler ? 0 : CLI_SYSTEM;
}

int compile_run(int argc, char **argv)
{
	struct compile_options options = { 0 };
	char **operands;
	int count, code;

	optimise_usual(&options.optimise);
	if (cli_parse(&compile_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	code = compile_check_words(&options, count);
	if (!code)
		code = compile_check(&options);
	if (!code && options.background)
		code = compile_background(&options, operands, count);
	else if (!code)
		code = compile_all(&options, count, operands);
	free(options.compiler);
	return code;
}
