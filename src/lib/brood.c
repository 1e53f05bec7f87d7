/* SPDX-License-Identifier: Apache-2.0 */
/* The library: include/brood/brood.h put on top of the launch modules.  It
 * keeps no state, so any thread may call it; a keeper is always a process of
 * its own, so that templates outlive the program that asked for them. */

/* All else in the library is hidden. */
#pragma GCC visibility push(default)
#include "brood/brood.h"
#pragma GCC visibility pop
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/process.h"
#include "launch/elf.h"
#include "launch/keeper.h"
#include "launch/registry.h"
#include "launch/spec.h"
#include "lib/start.h"
#include "lib/where.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef BROOD_VERSION
#define BROOD_VERSION "0.1.0"
#endif

enum { BROOD_ASK_MS = 30000, BROOD_SERVE_MORE_MS = 5000 };

static int brood_tell(struct brood_error *error, const struct err *err,
		      int code)
{
	if (error) {
		error->code = code < 0 ? code : 0;
		snprintf(error->text, sizeof(error->text), "%s",
			 code < 0 ? err->text : "");
	}
	return code;
}

const char *brood_version(void)
{
	return BROOD_VERSION;
}

static int brood_count(char *const *words)
{
	int count = 0;

	while (words && words[count])
		count++;
	return count;
}

/* What a caller of an older header gave; the rest are defaults. */
static int brood_options(const struct brood_serve *from, struct brood_serve *to,
			 struct err *err)
{
	*to = (struct brood_serve){ .size = sizeof(*to), .pool = -1 };
	if (!from)
		return 0;
	if (from->size < offsetof(struct brood_serve, name) ||
	    from->size > sizeof(*to))
		return err_set(err, -EINVAL, "brood_serve.size is wrong");
	memcpy(to, from, from->size);
	if (to->flags)
		return err_set(err, -EINVAL, "brood_serve.flags is not 0");
	return 0;
}

static int brood_fill_spec(const char *program,
			   const struct brood_serve *options, struct spec *spec,
			   struct err *err)
{
	int argc = brood_count(options->argv);
	struct elf_facts facts;
	int result;

	spec_init(spec);
	result = spec_set_program(spec, program, err);
	if (result >= 0)
		result = elf_check(spec->program, &facts, err);
	if (result >= 0 && argc > 1)
		result = spec_set_arguments(spec, argc - 1, options->argv + 1,
					    err);
	if (result >= 0 && options->until)
		result = spec_set_stop(spec, options->until, err);
	if (result >= 0)
		result = spec_set_folder(spec, err);
	if (result < 0)
		return result;
	spec->asked = 1;
	spec->pool = options->pool;
	if (options->refresh_ms > 0)
		spec->refresh_ms = options->refresh_ms;
	if (options->idle_ms > 0)
		spec->idle_ms = options->idle_ms;
	if (!options->name && spec->stop != SPEC_STOP_MAIN)
		return err_set(err, -EINVAL, "until needs a name");
	if (!options->name)
		return 0;
	spec->name = strdup(options->name);
	return spec->name ? 0 : err_set(err, -ENOMEM, "serve");
}

static int brood_start_keeper(const char *program,
			      const struct brood_serve *options,
			      struct err *err)
{
	auto_spec struct spec spec = { 0 };
	auto_place struct registry_place place = { 0 };
	auto_free char *brood = where_is("brood", err);
	int result;

	if (!brood)
		return -ENOENT;
	result = brood_fill_spec(program, options, &spec, err);
	if (result >= 0)
		result = registry_enter(&spec, brood, &place, err);
	if (result >= 0)
		result = keeper_start(&place, brood,
				      (int)spec.ready_ms + BROOD_SERVE_MORE_MS,
				      NULL, err);
	return result == -EALREADY ? 0 : result;
}

int brood_serve(const char *program, const struct brood_serve *options,
		struct brood_error *error)
{
	struct brood_serve filled;
	struct err err = { 0 };
	int result = brood_options(options, &filled, &err);

	if (result >= 0)
		result = brood_start_keeper(program, &filled, &err);
	return brood_tell(error, &err, result < 0 ? result : 0);
}

static const char *brood_via_word(enum brood_via via)
{
	static const char *const word[] = { "auto", "clone", "hatch", "exec" };

	return (unsigned)via < 4 ? word[via] : NULL;
}

/* A wrong report path or way must not become another program's argument. */
static int brood_check_launch(const struct brood_launch *launch,
			      struct err *err)
{
	if (!launch->program || !launch->argv || !launch->argv[0])
		return err_set(err, -EINVAL,
			       "brood_launch needs program and argv[0]");
	if (!brood_via_word(launch->via))
		return err_set(err, -EINVAL, "brood_launch.via is unknown");
	return 0;
}

static pid_t brood_start(const struct brood_launch *launch, struct err *err)
{
	struct start_wish wish = { .word = launch->program,
				   .argv = launch->argv,
				   .via = launch->via
						  ? brood_via_word(launch->via)
						  : NULL,
				   .report = launch->report };
	const int *stdio = launch->stdio;
	bool own = stdio[0] || stdio[1] || stdio[2];
	auto_start struct start start = { 0 };
	int result = start_find(&wish, &start, err);

	if (result < 0)
		return result;
	return process_start(
		&(struct process_plan){ .path = start.path,
					.argv = start.argv,
					.envp = launch->envp,
					.cwd = launch->cwd,
					.fds = { own ? stdio[0] : 0,
						 own ? stdio[1] : 1,
						 own ? stdio[2] : 2 } },
		err);
}

pid_t brood_launch(const struct brood_launch *launch, struct brood_error *error)
{
	struct err err = { 0 };
	pid_t result = brood_check_launch(launch, &err);

	if (result >= 0)
		result = brood_start(launch, &err);
	return brood_tell(error, &err, result);
}

/* "refresh" or "stop" to the keeper of program; no keeper is -ESRCH. */
static int brood_ask(const char *program, const char *command, struct err *err)
{
	auto_place struct registry_place place = { 0 };
	auto_buf struct buf answer = { 0 };
	auto_free char *why = NULL;
	int result = start_find_place(program, &place, err);

	if (result == 0)
		return err_set(err, -ESRCH, "%s is not served", program);
	if (result > 0)
		result =
			keeper_ask(&place, command, BROOD_ASK_MS, &answer, err);
	if (result == -ECONNREFUSED)
		return err_set(err, -ESRCH, "%s is not served", program);
	if (result < 0)
		return result;
	why = json_get_text(buf_string(&answer), "error");
	return why ? err_set(err, -EPROTO, "%s", why) : 0;
}

int brood_refresh(const char *program, struct brood_error *error)
{
	struct err err = { 0 };

	return brood_tell(error, &err, brood_ask(program, "refresh", &err));
}

int brood_stop(const char *program, struct brood_error *error)
{
	struct err err = { 0 };
	int result = brood_ask(program, "stop", &err);

	return brood_tell(error, &err, result == -ESRCH ? 0 : result);
}
