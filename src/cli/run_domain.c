/* SPDX-License-Identifier: Apache-2.0 */
/* brood run --in domain: the program in a virtual machine of its own, with
 * the rights that the options give it. */
#include "base/buf.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "domain/domain.h"
#include "domain/program.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct run_domain {
	struct run *run;
	struct program program;
	struct domain *domain;
	struct domain_outcome outcome;
	uint32_t module, instance;
};

static int run_domain_end(struct run_domain *in)
{
	auto_buf struct buf text = { 0 };

	switch (in->outcome.trap) {
	case WASM_OK: return 0;
	case WASM_TRAP_exit: return in->outcome.exit_code;
	default: break;
	}
	program_describe(&in->program, in->module, &in->outcome, &text);
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

static int run_domain_find(struct run_domain *in, const char *name,
			   struct domain_item *item, struct err *err)
{
	int r = domain_find(in->domain, in->instance, name, strlen(name), item,
			    err);

	if (r >= 0 && item->kind != WASM_EXTERN_FUNCTION)
		r = err_set(err, -ENOENT, "a function");
	return r;
}

/* Calls a function that shall have neither parameters nor results. */
static int run_domain_plain(struct run_domain *in, const char *name,
			    const struct domain_item *item)
{
	struct err err = { 0 };

	if (item->param_count || item->result_count)
		return run_not_plain(in->run, name);
	if (domain_call(in->domain, in->instance, name, strlen(name), NULL, 0,
			NULL, &in->outcome, &err) < 0)
		return run_domain_fail(in, &err);
	return 0;
}

static int run_domain_command(struct run_domain *in)
{
	struct domain_item item;
	struct err err = { 0 };
	int r = run_domain_find(in, "_start", &item, &err);

	if (r == -ENOENT)
		return run_not_found(in->run, in->program.module, "_start");
	if (r < 0)
		return run_domain_fail(in, &err);
	r = run_domain_plain(in, "_start", &item);
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
	if (domain_call(in->domain, in->instance, name, strlen(name), values,
			item->param_count, &results, &in->outcome, &err) < 0)
		return run_domain_fail(in, &err);
	return in->outcome.trap ? run_domain_end(in)
				: run_print(types + item->param_count,
					    item->result_count, results.values);
}

static int run_domain_invoke(struct run_domain *in, const char *name)
{
	struct domain_item item, first;
	struct err err = { 0 };
	int r = run_domain_find(in, "_initialize", &first, &err), code = 0;

	if (r >= 0 && strcmp(name, "_initialize") != 0 &&
	    !in->run->options->init)
		code = run_domain_plain(in, "_initialize", &first);
	if (code || in->outcome.trap)
		return code ? code : run_domain_end(in);
	r = run_domain_find(in, name, &item, &err);
	if (r == -ENOENT)
		return run_not_found(in->run, in->program.module, name);
	if (r < 0)
		return run_domain_fail(in, &err);
	return run_domain_call(in, name, &item);
}

/* As the module is, or as --init has left it. */
static int run_domain_instantiate(struct run_domain *in, struct err *err)
{
	const struct vm_snapshot *snapshot = in->run->init.snapshot;
	const uint8_t *image;
	uint64_t len;

	if (!snapshot)
		return domain_instantiate(in->domain, in->module, &in->instance,
					  &in->outcome, err);
	if (vm_snapshot_image(snapshot, &image, &len, err) < 0)
		return err->code;
	return domain_instantiate_from(in->domain, in->module, image, len,
				       &in->instance, &in->outcome, err);
}

static int run_domain_start(struct run_domain *in, struct err *err)
{
	const struct run_options *options = in->run->options;
	struct domain_options domain = {
		.ground = &in->run->ground,
		.fuel = (uint64_t)options->fuel,
		.memory_bytes = (uint64_t)options->max_memory,
	};
	int r = domain_open(&in->domain, &domain, err);

	if (r < 0)
		return r;
	in->run->isolation = domain_isolation(in->domain);
	domain_set_wasi(in->domain, in->run->wasi);
	domain_set_deadline(in->domain, in->run->vm.deadline_ns);
	r = domain_load(in->domain, &in->program.code, &in->module, err);
	return r < 0 ? r : run_domain_instantiate(in, err);
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
	r = run_domain_start(in, &err);
	run_tell(run);
	if (r < 0)
		return r == -EINVAL ? run_fail(run, &err, CLI_NOT_EXECUTABLE)
				    : run_domain_fail(in, &err);
	if (in->outcome.trap)
		return run_domain_end(in);
	return run->options->invoke
		       ? run_domain_invoke(in, run->options->invoke)
		       : run_domain_command(in);
}

int run_in_domain(struct run *run, struct wasm_module *module)
{
	struct run_domain in = { .run = run, .program.module = module };
	int code = run_domain_all(&in);

	domain_close(in.domain);
	program_close(&in.program);
	return code;
}
