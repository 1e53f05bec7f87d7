/* SPDX-License-Identifier: Apache-2.0 */
/* brood run --in domain: the program in a virtual machine of its own, with
 * the rights that the options give it. */
#include "base/buf.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "cli/run_children.h"
#include "domain/domain.h"
#include "domain/program.h"
#include "domain/warm.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct run_domain {
	struct run *run;
	struct program program;
	struct domain *domain;
	struct ready ready;
	struct run_children *children;
	struct domain_outcome outcome;
};

static void run_domain_close(struct run_domain *in)
{
	run_children_close(in->children);
	run_tell_end(in->run, in->domain);
	domain_leave(in->domain);
	ready_close(&in->ready);
	program_close(&in->program);
}

static int run_domain_end(struct run_domain *in)
{
	auto_buf struct buf text = { 0 };

	switch (in->outcome.trap) {
	case WASM_OK: return 0;
	case WASM_TRAP_exit: return in->outcome.exit_code;
	default: break;
	}
	program_describe(&in->program, 0, &in->outcome, &text);
	fprintf(stderr, "brood: %s: %s", in->run->file, buf_string(&text));
	return in->outcome.trap == WASM_TRAP_deadline ? CLI_TIMEOUT
	       : in->outcome.trap == WASM_TRAP_fuel   ? CLI_FUEL
						      : CLI_TRAP;
}

/* A domain that is over has no program's exit code. */
static int run_domain_fail(const struct run_domain *in, const struct err *err)
{
	return run_fail(in->run, err,
			err->code == -ETIME    ? CLI_TIMEOUT
			: err->code == -EPROTO ? CLI_TRAP
					       : CLI_SYSTEM);
}

/* -EINVAL: the program is none that can run so. */
static int run_domain_refused(const struct run_domain *in,
			      const struct err *err)
{
	return err->code == -EINVAL ? run_fail(in->run, err, CLI_NOT_EXECUTABLE)
				    : run_domain_fail(in, err);
}

static int run_domain_find(struct run_domain *in, const char *name,
			   struct domain_item *item, struct err *err)
{
	int r = domain_find(in->domain, 0, name, strlen(name), item, err);

	if (r >= 0 && item->kind != WASM_EXTERN_FUNCTION)
		r = err_set(err, -ENOENT, "a function");
	return r;
}

/* Calls a function that shall have neither parameters nor results. */
static int run_domain_plain(struct run_domain *in, const char *name, bool must)
{
	struct err err = { 0 };
	int r = domain_start(in->domain, 0, name, strlen(name), &in->outcome,
			     &err);

	if (r == -ENOENT)
		return must ? run_not_found(in->run, in->program.module, name)
			    : 0;
	if (r == -ENOEXEC)
		return run_not_plain(in->run, name);
	return r < 0 ? run_domain_fail(in, &err) : 0;
}

static int run_domain_command(struct run_domain *in)
{
	int r = run_domain_plain(in, "_start", true);

	return r ? r : run_domain_end(in);
}

static int run_domain_call(struct run_domain *in, const char *name,
			   const struct domain_item *item)
{
	wasm_type types[2 * RUN_VALUES];
	union wasm_value values[RUN_VALUES];
	struct domain_values results;
	struct err err = { 0 };
	int code = run_arguments(in->run, item->types, item->param_count,
				 item->result_count, values);

	if (code)
		return code;
	memcpy(types, item->types,
	       (item->param_count + item->result_count) * sizeof(*types));
	if (domain_call(in->domain, 0, name, strlen(name), values,
			item->param_count, &results, &in->outcome, &err) < 0)
		return run_domain_fail(in, &err);
	if (!in->outcome.trap && results.count != item->result_count) {
		err_set(&err, -EPROTO, "it tells %u results, not %u",
			results.count, item->result_count);
		return run_domain_fail(in, &err);
	}
	return in->outcome.trap ? run_domain_end(in)
				: run_print(types + item->param_count,
					    item->result_count, results.values);
}

static int run_domain_invoke(struct run_domain *in, const char *name)
{
	struct domain_item item;
	struct err err = { 0 };
	int r, code = 0;

	if (strcmp(name, "_initialize") != 0 && !in->run->options->init)
		code = run_domain_plain(in, "_initialize", false);
	if (code || in->outcome.trap)
		return code ? code : run_domain_end(in);
	r = run_domain_find(in, name, &item, &err);
	if (r == -ENOENT)
		return run_not_found(in->run, in->program.module, name);
	if (r < 0)
		return run_domain_fail(in, &err);
	return run_domain_call(in, name, &item);
}

static int run_domain_prepare(struct run_domain *in, struct err *err)
{
	const struct run_options *options = in->run->options;
	const struct domain_options domain = {
		.ground = &in->run->ground,
		.fuel = (uint64_t)options->fuel,
		.memory_bytes = (uint64_t)options->max_memory,
	};
	const struct cache_options cache = { .place = options->cache };
	const struct vm_snapshot *init = in->run->init.snapshot;
	const char *given = init ? NULL : options->ready;
	auto_free char *folder = init || given ? NULL : ready_folder(&cache);
	int r = given ? ready_open_given(&in->ready, &domain, &in->program,
					 given, err)
		      : ready_open(&in->ready, &domain, &in->program, folder,
				   err);

	if (r >= 0)
		r = ready_set_files(&in->ready, run_files(in->run), err);
	return r < 0 || !init ? r
			      : vm_snapshot_image(init, &in->ready.init,
						  &in->ready.init_bytes, err);
}

static int run_domain_start(struct run_domain *in, struct err *err)
{
	int r = run_domain_prepare(in, err);

	if (r >= 0)
		r = ready_start(&in->ready, in->run->wasi,
				in->run->vm.deadline_ns, &in->domain,
				&in->outcome, err);
	if (r >= 0)
		in->run->isolation = domain_isolation(in->domain);
	in->run->is_from_kept = in->ready.was_found;
	return r;
}

/* ---- warm tips ------------------------------------------------------------- */

static void run_domain_say_warm(const struct run_domain *in,
				const struct warm_told *told)
{
	char layer[16], code[16];

	cli_size(told->layer_bytes, layer);
	cli_size(told->code_bytes, code);
	fprintf(stderr,
		"brood: %s: kept as %s: %u layers, the last of %s, and %s of code\n",
		in->run->file, in->run->options->save, told->layers, layer,
		code);
}

/* It has ended before it was where it should be kept. */
static int run_domain_not_warm(struct run_domain *in)
{
	if (in->outcome.trap > WASM_OK && in->outcome.trap != WASM_TRAP_exit)
		return run_domain_end(in);
	fprintf(stderr,
		"brood: %s: it has ended before it came to --until %s; nothing "
		"is kept\n",
		in->run->file, in->run->options->until);
	return CLI_NOT_EXECUTABLE;
}

static int run_domain_save(struct run_domain *in)
{
	const struct run_options *options = in->run->options;
	struct warm_options warm = { .name = options->save,
				     .from = options->from,
				     .deadline_ns = in->run->vm.deadline_ns };
	auto_images struct images images = IMAGES_NONE;
	struct warm_told told;
	struct err err = { 0 };
	int r = images_open(&images, NULL, true, &err);

	warm.images = &images;
	if (strcmp(options->until, "stdin") == 0)
		warm.until = DOMAIN_UNTIL_INPUT;
	else if (strcmp(options->until, "ready") == 0)
		warm.until = DOMAIN_UNTIL_READY;
	else
		warm.function = options->until;
	if (r >= 0 && !images_is_name(options->save))
		r = err_set(&err, -EINVAL,
			    "%.64s is no name of a tip: letters, digits, "
			    "\"._-\", at most 64",
			    options->save);
	in->run->isolation = in->run->ground.has_kvm ? "kvm" : "process";
	run_tell(in->run);
	if (r >= 0)
		r = warm_make(&in->ready, &warm, in->run->wasi, &told,
			      &in->outcome, &err);
	if (r < 0)
		return run_domain_refused(in, &err);
	if (r > 0)
		return run_domain_not_warm(in);
	run_domain_say_warm(in, &told);
	return 0;
}

/* What it exports is the tip's to tell: there is no module here. */
static int run_domain_invoke_tip(struct run_domain *in, const char *name)
{
	struct domain_item item;
	struct err err = { 0 };
	int r;

	if (in->ready.snapshot.state->point != DOMAIN_POINT_IDLE)
		r = err_set(&err, -EINVAL,
			    "it is in the middle of a call, and can only go "
			    "on from there, without --invoke");
	else
		r = run_domain_find(in, name, &item, &err);
	if (r == -ENOENT)
		r = err_set(&err, -EINVAL, "no function \"%s\" is exported",
			    name);
	return r < 0 ? run_domain_refused(in, &err)
		     : run_domain_call(in, name, &item);
}

static int run_domain_tip(struct run_domain *in, const struct images *images)
{
	struct run *run = in->run;
	const struct domain_options options = {
		.ground = &run->ground,
		.fuel = (uint64_t)run->options->fuel,
	};
	struct err err = { 0 };
	int r = ready_open_tip(&in->ready, &options, &in->program, &run->vm,
			       images, run->options->from, &err);

	if (r >= 0)
		r = run_grant(run, &err);
	if (r >= 0)
		r = ready_set_files(&in->ready, run_files(run), &err);
	if (r < 0)
		return run_fail(run, &err,
				r == -ENOENT ? CLI_NOT_FOUND
					     : CLI_NOT_EXECUTABLE);
	run->told.way = in->program.way;
	run->told.why = in->program.why;
	if (run->options->save)
		return run_domain_save(in);
	r = ready_start(&in->ready, run->wasi, run->vm.deadline_ns, &in->domain,
			&in->outcome, &err);
	if (r < 0)
		return run_domain_refused(in, &err);
	run->isolation = domain_isolation(in->domain);
	run->is_from_kept = true;
	run_tell(run);
	if (run_children_open(&in->children, run, &err) < 0)
		return run_fail(run, &err, CLI_SYSTEM);
	run_children_serve(in->children, in->domain);
	if (run->options->invoke)
		return run_domain_invoke_tip(in, run->options->invoke);
	r = ready_run(&in->ready, in->domain, &in->outcome, &err);
	if (r == -ENOENT)
		err_set(&err, -EINVAL,
			"no function \"_start\" is exported; --invoke NAME "
			"calls another one");
	if (r < 0)
		return run_domain_refused(in, &err);
	return run_domain_end(in);
}

static int run_domain_images(const struct run *run, struct images *images,
			     struct err *err)
{
	const char *given = run->options->given;

	return given ? images_open_given(images, given, err)
		     : images_open(images, NULL, false, err);
}

int run_from_tip(struct run *run)
{
	struct run_domain in = { .run = run };
	auto_images struct images images = IMAGES_NONE;
	struct err err = { 0 };
	int code;

	if (run_domain_images(run, &images, &err) < 0)
		return run_fail(run, &err, CLI_SYSTEM);
	code = run_domain_tip(&in, &images);
	run_domain_close(&in);
	return code;
}

static int run_domain_all(struct run_domain *in)
{
	struct run *run = in->run;
	struct err err = { 0 };
	int r = program_open(&in->program, &run->vm, in->program.module, &err);

	if (r < 0)
		return run_fail(run, &err, CLI_NOT_EXECUTABLE);
	run->told.way = in->program.way;
	run->told.why = in->program.why;
	r = program_define(&run->vm, &err);
	if (r >= 0)
		r = vm_check_imports(&run->vm, in->program.module, &err);
	if (r < 0)
		return run_fail(run, &err, CLI_NOT_EXECUTABLE);
	if (run->options->save)
		return run_domain_prepare(in, &err) < 0
			       ? run_domain_fail(in, &err)
			       : run_domain_save(in);
	r = run_domain_start(in, &err);
	run_tell(run);
	if (r < 0)
		return run_domain_refused(in, &err);
	if (in->outcome.trap)
		return run_domain_end(in);
	if (run_children_open(&in->children, run, &err) < 0)
		return run_fail(run, &err, CLI_SYSTEM);
	run_children_serve(in->children, in->domain);
	return run->options->invoke
		       ? run_domain_invoke(in, run->options->invoke)
		       : run_domain_command(in);
}

int run_in_domain(struct run *run, struct wasm_module *module)
{
	struct run_domain in = { .run = run, .program.module = module };
	int code = run_domain_all(&in);

	run_domain_close(&in);
	return code;
}
