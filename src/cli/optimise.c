/* SPDX-License-Identifier: Apache-2.0 */
/* The functions are chosen and compiled, the others compiled as ever, and
 * what all of them are replaces what the cache has.  Until then, and where
 * anything fails, that stays as it is. */
#include "cli/optimise.h"
#include "aot/aot.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/progress.h"
#include "cache/profile.h"
#include "cli/cli.h"
#include "lib/start.h"
#include "lib/where.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTIMISE_NAMED = 1000,
	OPTIMISE_WAIT_MS = 50,
};

struct optimise_left {
	uint32_t function;
	char *why; /* NULL without memory */
};
struct optimise_work {
	struct vm *vm;
	const struct wasm_module *module;
	const char *path, *program;
	const struct optimise_options *options;
	uint32_t *functions, count;
	struct aot_made made;
	struct optimise_left *left;
	uint32_t left_count;
	struct progress progress;
	char shown[64];
	struct cache_object *object; /* that there is, and what replaces it */
	struct cache_object *next;
	bool is_there, is_kept; /* all of it already; more than was made now */
};

void optimise_usual(struct optimise_options *options)
{
	options->cpu_ms = (long)aot_limits_usual.total_s * 1000;
	options->chunk_ms = (long)aot_limits_usual.chunk_s * 1000;
	options->memory_bytes = (long)aot_limits_usual.memory_bytes;
}

char *optimise_find(void)
{
	auto_buf struct buf version = { 0 };
	struct err err = { 0 };
	char *program = where_is_compiler(&err);

	if (program && aot_version(program, &version, &err) >= 0)
		return program;
	err_wrap(&err, "there is no optimiser");
	cli_fail(
		&err,
		program ? "apt install libllvm19"
			: "apt install brood-aotc; or llvm-19-dev, and build anew");
	free(program);
	return NULL;
}

static uint32_t optimise_own(const struct optimise_work *work)
{
	return work->module->function_count - work->module->imported_functions;
}

/* ---- what is told while it goes on ----------------------------------------- */

static void optimise_progress(void *env, uint32_t done, uint32_t count)
{
	struct optimise_work *work = env;

	snprintf(work->shown, sizeof(work->shown), "brood: optimising %u/%u",
		 done, count);
	progress_part(&work->progress, done, count);
}

static void optimise_on_left(void *env, uint32_t function, const char *why)
{
	struct optimise_work *work = env;

	if (work->left_count < work->count)
		work->left[work->left_count++] =
			(struct optimise_left){ function, strdup(why) };
}

static int optimise_order(const void *a, const void *b)
{
	uint32_t left = ((const struct optimise_left *)a)->function;
	uint32_t right = ((const struct optimise_left *)b)->function;

	return left < right ? -1 : left > right;
}

/* ---- the result ------------------------------------------------------------ */

/* Where there are many, looking for their names takes longer than all else. */
static void optimise_name(const struct optimise_work *work, uint32_t function,
			  struct buf *text)
{
	if (work->left_count > OPTIMISE_NAMED)
		return;
	vm_describe_name(wasm_module_function_name(work->module, function),
			 text);
}

static void optimise_json_left(const struct optimise_work *work,
			       struct json *json)
{
	json_list_open(json, "left");
	for (uint32_t i = 0; i < work->left_count; i++) {
		const struct optimise_left *left = &work->left[i];
		auto_buf struct buf name = { 0 };

		optimise_name(work, left->function, &name);
		json_open(json, NULL);
		json_number(json, "function", left->function);
		json_text(json, "name", buf_string(&name));
		json_text(json, "why", left->why ? left->why : "");
		json_close(json);
	}
	json_list_close(json);
}

static const char *optimise_result(const struct optimise_work *work)
{
	if (work->is_there)
		return "there";
	return work->is_kept ? "kept" : "optimised";
}

static int optimise_tell_json(const struct optimise_work *work)
{
	const struct aot_made *made = &work->made;
	auto_buf struct buf out = { 0 };
	struct json json;

	json_start(&json, &out);
	json_open(&json, NULL);
	json_text(&json, "file", work->path);
	json_text(&json, "result", optimise_result(work));
	json_number(&json, "functions", optimise_own(work));
	json_number(&json, "wanted", work->count);
	if (!work->is_there)
		json_number(&json, "optimised", made->link.made_count);
	json_number(&json, "bytes", (int64_t)work->object->len);
	json_number(&json, "ms", (int64_t)made->wall_ms);
	json_number(&json, "cpu_ms", (int64_t)made->cpu_ms);
	json_number(&json, "peak_kib", (int64_t)made->peak_kib);
	json_number(&json, "processes", made->processes);
	optimise_json_left(work, &json);
	json_close(&json);
	buf_text(&out, "\n");
	return cli_print(buf_string(&out));
}

static void optimise_put_left(const struct optimise_work *work, struct buf *out)
{
	for (uint32_t i = 0; i < work->left_count; i++) {
		const struct optimise_left *left = &work->left[i];
		auto_buf struct buf name = { 0 };

		optimise_name(work, left->function, &name);
		buf_format(out, "%s: function %u ", work->path, left->function);
		if (name.len)
			buf_format(out, "\"%s\" ", buf_string(&name));
		buf_format(out, "stays as it is: %s\n",
			   left->why ? left->why : "no memory");
	}
}

static int optimise_tell(const struct optimise_work *work)
{
	const struct aot_made *made = &work->made;
	auto_buf struct buf out = { 0 };

	if (work->options->json)
		return optimise_tell_json(work);
	if (work->options->verbose)
		optimise_put_left(work, &out);
	if (work->is_there)
		buf_format(&out, "%s: is there, optimised\n", work->path);
	else
		buf_format(&out,
			   "%s: %u of %u functions optimised in %.1f s (%.1f "
			   "CPU s, %lu MiB)%s\n",
			   work->path, made->link.made_count, work->count,
			   (double)made->wall_ms / 1e3,
			   (double)made->cpu_ms / 1e3,
			   (unsigned long)made->peak_kib / 1024,
			   work->is_kept ? "; what is there stays" : "");
	return work->options->quiet ? 0 : cli_print(buf_string(&out));
}

/* ---- the work -------------------------------------------------------------- */

static const struct code_header *optimise_head(const struct optimise_work *work)
{
	return (const void *)work->object->image;
}

static bool optimise_has(const struct optimise_work *work, uint32_t function)
{
	const struct code_header *head = optimise_head(work);
	const uint8_t *bits = work->object->image + head->optimised_at;
	uint32_t own = function - work->module->imported_functions;

	return head->optimised_at && bits[own / 8] >> own % 8 & 1;
}

/* Does the cache have it with all of the functions optimised? */
static bool optimise_is_there(const struct optimise_work *work)
{
	const struct code_header *head = optimise_head(work);

	if (work->object->result != CACHE_HIT || !head->optimised_count)
		return false;
	for (uint32_t i = 0; i < work->count; i++)
		if (!optimise_has(work, work->functions[i]))
			return false;
	return true;
}

/* What was hot before and is optimised stays so: both ascend. */
static int optimise_keep(struct optimise_work *work, struct err *err)
{
	const struct wasm_module *module = work->module;
	uint32_t *all = calloc(module->function_count + 1ull, sizeof(*all));
	uint32_t count = 0, at = 0;

	if (!all)
		return err_set(err, -ENOMEM, "choose functions");
	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++) {
		bool is_chosen = at < work->count && work->functions[at] == i;

		at += is_chosen;
		if (is_chosen || optimise_has(work, i))
			all[count++] = i;
	}
	free(work->functions);
	work->functions = all;
	work->count = count;
	return 0;
}

static int optimise_choose_hot(struct optimise_work *work,
			       const struct cache_profile *profile,
			       struct err *err)
{
	const struct aot_profile told = { profile->rows, profile->count };
	int rc = aot_choose(work->module, AOT_HOT, &told,
			    (uint64_t)work->options->cpu_ms, &work->functions,
			    &work->count, err);

	return rc < 0 ? rc : optimise_keep(work, err);
}

static int optimise_choose(struct optimise_work *work, struct err *err)
{
	bool is_hot = strcmp(work->options->which, "hot") == 0;
	struct cache_profile profile;
	int rc;

	if (!is_hot || cache_profile_get(work->object, &profile) < 0)
		return aot_choose(work->module, is_hot ? AOT_HOT : AOT_ALL,
				  NULL, (uint64_t)work->options->cpu_ms,
				  &work->functions, &work->count, err);
	if (profile.function_count == optimise_own(work))
		rc = optimise_choose_hot(work, &profile, err);
	else
		rc = err_set(err, -EPROTO, "its profile is another module's");
	cache_profile_fini(&profile);
	return rc;
}

static uint32_t optimise_seconds(long ms)
{
	return ms > INT32_MAX ? INT32_MAX / 1000 : (uint32_t)(ms + 999) / 1000;
}

/* The compiler is a program like others: where it is served, its processes
 * begin with LLVM loaded.  Nobody gets a template of it who has not asked. */
static void optimise_warm(const struct optimise_work *work,
			  struct aot_work *aot, struct start *start)
{
	static char name[] = "brood-aotc";
	static char *const argv[] = { name, NULL };
	const struct start_wish wish = { .word = work->program,
					 .argv = argv,
					 .via = "hatch" };

	auto_place struct registry_place place = { 0 };

	if (start_find_place(work->program, &place, NULL) <= 0 ||
	    start_find(&wish, start, NULL) < 0 || !start->warm)
		return;
	aot->program = start->path;
	aot->argv = start->argv;
}

static int optimise_make(struct optimise_work *work,
			 const struct jit_options *kind, struct err *err)
{
	const struct optimise_options *options = work->options;
	auto_start struct start start = { 0 };
	struct aot_work aot = {
		.module = work->module,
		.options = kind,
		.functions = work->functions,
		.count = work->count,
		.program = work->program,
		.limits = { .chunk_s = optimise_seconds(options->chunk_ms),
			    .total_s = optimise_seconds(options->cpu_ms),
			    .memory_bytes = (uint64_t)options->memory_bytes,
			    .workers = (unsigned)options->jobs },
		.progress = optimise_progress,
		.left = optimise_on_left,
		.env = work,
	};
	int rc;

	optimise_warm(work, &aot, &start);
	progress_start(&work->progress, work->shown);
	rc = aot_optimise(&aot, &work->made, err);
	progress_end(&work->progress);
	qsort(work->left, work->left_count, sizeof(*work->left),
	      optimise_order);
	return rc;
}

/* Where nothing was made, or more is there, that stays. */
static int optimise_replace(struct optimise_work *work, struct err *err)
{
	uint32_t made = work->made.link.made_count;
	int rc;

	work->is_kept = !made || made < optimise_head(work)->optimised_count;
	if (work->is_kept) {
		cache_drop(work->next);
		return 0;
	}
	rc = vm_optimise(work->vm, work->module, &work->made.link, work->next,
			 err);
	if (rc < 0)
		return rc;
	work->object = work->next;
	return cache_published(work->object, err);
}

/* Code for a run meanwhile; where it is there already, of what kind. */
static int optimise_begin(struct optimise_work *work, struct jit_options *kind,
			  struct err *err)
{
	int rc = vm_compile(work->vm, work->module, &work->object, err);

	if (rc < 0)
		return rc;
	cache_published(work->object, NULL); /* if not, it is not found */
	vm_code_kind(work->vm, work->module, kind);
	if (kind->options & CODE_TAILS)
		return err_set(err, -EPROTO,
			       "it has tail calls, and is not optimised");
	rc = optimise_choose(work, err);
	if (rc < 0)
		return rc;
	work->left = calloc(work->count + 1ull, sizeof(*work->left));
	return work->left ? 0 : err_set(err, -ENOMEM, "optimise");
}

/* Of those who want to replace it one works; what it has made may be all that
 * the others want. */
static int optimise_take_turn(struct optimise_work *work, struct err *err)
{
	int rc = 0;

	progress_start(&work->progress, "brood: another optimises it");
	while (!(work->is_there = optimise_is_there(work))) {
		rc = cache_replace(work->object, &work->next, err);
		if (rc >= 0 && work->next->result == CACHE_HIT)
			work->object = work->next;
		else if (rc != -EWOULDBLOCK)
			break;
		progress_tick(&work->progress);
		clock_sleep_ms(rc < 0 ? OPTIMISE_WAIT_MS : 0);
	}
	progress_end(&work->progress);
	return rc;
}

static int optimise_all(struct optimise_work *work, struct err *err)
{
	struct jit_options kind;
	int rc = optimise_begin(work, &kind, err);

	if (rc >= 0)
		rc = optimise_take_turn(work, err);
	if (rc < 0 || work->is_there)
		return rc;
	rc = optimise_make(work, &kind, err);
	return rc < 0 ? rc : optimise_replace(work, err);
}

static int optimise_end(const struct optimise_work *work)
{
	int code = optimise_tell(work);

	if (code || work->is_there || !work->left_count ||
	    work->made.link.made_count)
		return code;
	fprintf(stderr, "brood: %s: stays as it is: %s\n", work->path,
		work->left[0].why ? work->left[0].why : "no memory");
	return CLI_SYSTEM;
}

/* For who comes later and asks. */
static void optimise_note(const struct optimise_work *work,
			  const struct err *err)
{
	struct hot_made *made = work->options->made;
	const char *why = err->text;

	if (!made)
		return;
	if (!err->code && work->left_count && work->left[0].why)
		why = work->left[0].why;
	if (!err->code && !work->is_there)
		made->functions = work->made.link.made_count;
	snprintf(made->why, sizeof(made->why), "%.127s", why);
}

int optimise_module(struct vm *vm, const struct wasm_module *module,
		    const char *path, const char *program,
		    const struct optimise_options *options)
{
	struct optimise_work work = {
		.vm = vm,
		.module = module,
		.path = path,
		.program = program,
		.options = options,
	};
	struct err err = { 0 };
	int code;

	if (optimise_all(&work, &err) < 0) {
		fprintf(stderr, "brood: %s: %s\n", path, err.text);
		code = CLI_SYSTEM;
	} else {
		code = optimise_end(&work);
	}
	optimise_note(&work, &err);
	for (uint32_t i = 0; i < work.left_count; i++)
		free(work.left[i].why);
	free(work.left);
	free(work.functions);
	aot_made_fini(&work.made);
	return code;
}
