/* SPDX-License-Identifier: Apache-2.0 */
/* brood serve: makes a template of a program and waits until it serves. */
#include "cli/serve.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/listing.h"
#include "launch/elf.h"
#include "launch/keeper.h"
#include "launch/template.h"
#include "lib/stub.h"
#include "lib/where.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SERVE_MORE_MS = 5000, SERVE_STOP_MS = 15000, SERVE_LOOK_MS = 20 };

#define SERVE_OPTION(word, what, of, member, say)           \
	{ .name = word,                                     \
	  .value = what,                                    \
	  .kind = of,                                       \
	  .offset = offsetof(struct serve_options, member), \
	  .help = say }
/* clang-format off */
static const struct args_option serve_options[] = {
	{ .name = "--in",
	  .value = "PLACE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct serve_options, in),
	  .help = "domain: PROGRAM is a WebAssembly module, and domains of it "
		  "wait, as \"brood run --in domain\" makes one",
	  .words = "process|domain" },
	SERVE_OPTION("--until", "POINT", ARGS_TEXT, until,
		     "how far it runs: main, stdin, ready or open:PATH; in "
		     "domains: stdin, ready, or the name of an export"),
	SERVE_OPTION("--pool", "N", ARGS_NUMBER, pool,
		     "copies that wait; the default is: 2 where they pay"),
	SERVE_OPTION("--refresh", "TIME", ARGS_MS, refresh_ms,
		     "a new generation this often"),
	SERVE_OPTION("--refresh-launches", "N", ARGS_NUMBER, refresh_launches,
		     "a new generation after so many launches"),
	SERVE_OPTION("--idle", "TIME", ARGS_MS, idle_ms,
		     "ends when nothing was launched for so long; 0: never"),
	SERVE_OPTION("--ready", "TIME", ARGS_MS, ready_ms,
		     "a copy that is not ready by then has failed"),
	SERVE_OPTION("--hold", NULL, ARGS_FLAG, hold,
		     "tell a copy's end before its memory is torn down"),
	SERVE_OPTION("--no-hold", NULL, ARGS_FLAG, no_hold,
		     "never; the default is: where copies wait in a pool"),
	SERVE_OPTION("--env", "NAME=VALUE", ARGS_LIST, env,
		     "a further variable of the template, or of what runs in "
		     "domains, there NAME alone too"),
	SERVE_OPTION("--from", "TIP", ARGS_TEXT, from,
		     "domains go on from this warm state (\"brood run "
		     "--save\"); the operand is then a NAME alone"),
	SERVE_OPTION("--dir", "HOST[::GUEST]", ARGS_LIST, folders,
		     "in domains: a folder that each launch may use"),
	SERVE_OPTION("--dir-ro", "HOST[::GUEST]", ARGS_LIST, read_only,
		     "the same, but nothing there can be changed"),
	SERVE_OPTION("--image", "FILE[::GUEST]", ARGS_TEXT, image,
		     "in domains: an image of files that each launch reads, "
		     "as a folder; GUEST is /app"),
	SERVE_OPTION("--listen", "tcp:ADDRESS:PORT|unix:PATH", ARGS_LIST,
		     listen,
		     "in domains: a socket that each launch may accept from"),
	SERVE_OPTION("--timeout", "TIME", ARGS_MS, timeout_ms,
		     "in domains: the most that a launch may take"),
	SERVE_OPTION("--fuel", "N", ARGS_NUMBER, fuel,
		     "in domains: end a launch after N calls and turns of "
		     "loops"),
	SERVE_OPTION("--max-memory", "BYTES", ARGS_NUMBER, max_memory,
		     "in domains: the most that each memory may have"),
	{ .name = "--isolation",
	  .value = "KIND",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct serve_options, isolation),
	  .help = "in domains: vm, one for each launch; or shared-vm, one for "
		  "all, one launch after the other, each in an instance of its "
		  "own",
	  .words = "vm|shared-vm" },
	SERVE_OPTION("--require-kvm", NULL, ARGS_FLAG, require_kvm,
		     "in domains: where there is no KVM, fail"),
	SERVE_OPTION("--cache", "DIR", ARGS_TEXT, cache,
		     "in domains: where compiled code is kept, or off"),
	SERVE_OPTION("--detach", NULL, ARGS_FLAG, detach,
		     "return when it serves (the default)"),
	SERVE_OPTION("--foreground", NULL, ARGS_FLAG, foreground,
		     "stay, for a service manager"),
	SERVE_OPTION("--explain", NULL, ARGS_FLAG, explain,
		     "only tell which ways there are, and why"),
	SERVE_OPTION("--json", NULL, ARGS_FLAG, json,
		     "tell the outcome as JSON"),
	{ .name = NULL }
};
/* clang-format on */

const struct args_verb serve_args = {
	.name = "serve",
	.synopsis = "[OPTIONS] [NAME --] PROGRAM [ARG...]",
	.summary = "make a template of a program and keep it warm",
	.text = "Starts PROGRAM up to its main, checks from outside whether "
		"copies of it can be made, and keeps it there. \"brood launch "
		"PROGRAM\" and wrapped names then start copies of it. The "
		"program is not changed and need not know.\n\n"
		"With NAME the template is launched by that name, and ARGs "
		"stand in front of those of each launch.\n\n"
		"With --until the program runs further before it is kept: to "
		"its first read of standard input, to its first open of PATH, "
		"or until it calls brood_ready(). Such a template starts "
		"copies by clone only, with the arguments given here and the "
		"environment of the template: those of a launch come too late "
		"for a program that has begun.\n\n"
		"With --in domain PROGRAM is a WebAssembly module, and what "
		"waits are domains in which it is instantiated: virtual "
		"machines in jailed worker processes, at most 30 in one. A "
		"launch gets its arguments and the caller's standard input, "
		"output and error; folders, sockets and variables are those "
		"given here. Afterwards the domain is reset to what it began "
		"as, but with --isolation shared-vm, where the engine alone "
		"stands between one launch and the next. Where all run, further ones are made, up to 240; then "
		"launches wait.\n\n"
		"TIME is a number with ms, s, m or h.\n\n"
		"Examples:\n\n"
		"  brood serve clang\n\n"
		"  brood serve --pool 4 cc -- /usr/bin/clang -O2\n\n"
		"  brood serve --explain node\n\n"
		"  brood serve --in domain --dir /srv/data app -- app.wasm",
	.options = serve_options,
	.least = 1,
	.most = -1,
	.stop_early = true,
};

static void serve_sort(char *const *words, int count, bool after_dashes,
		       struct serve_words *sorted)
{
	bool named = !after_dashes && count > 2 && strcmp(words[1], "--") == 0;

	*sorted = (struct serve_words){ 0 };
	if (named) {
		sorted->name = words[0];
		words += 2;
		count -= 2;
	}
	sorted->program = words[0];
	sorted->argument = words + 1;
	sorted->arguments = count - 1;
}

static int serve_add_env(const struct args_list *list, struct spec *spec,
			 struct err *err)
{
	int result = 0;

	for (int i = 0; i < list->count && result >= 0; i++)
		result = spec_add_variable(spec, list->item[i], err);
	return result < 0 ? err_wrap(err, "--env") : 0;
}

static void serve_set_numbers(const struct serve_options *options,
			      struct spec *spec)
{
	if (options->pool != SERVE_UNSET)
		spec->pool = options->pool;
	if (options->refresh_ms != SERVE_UNSET)
		spec->refresh_ms = options->refresh_ms;
	if (options->refresh_launches != SERVE_UNSET)
		spec->refresh_launches = options->refresh_launches;
	if (options->idle_ms != SERVE_UNSET)
		spec->idle_ms = options->idle_ms;
	if (options->ready_ms != SERVE_UNSET)
		spec->ready_ms = options->ready_ms;
	if (options->hold || options->no_hold)
		spec->hold = options->hold;
}

static int serve_check(const struct serve_options *options, struct err *err)
{
	if (options->hold && options->no_hold)
		return err_set(err, -EINVAL,
			       "--hold and --no-hold exclude each other");
	if (options->detach && options->foreground)
		return err_set(err, -EINVAL,
			       "--detach and --foreground exclude each other");
	if (options->pool != SERVE_UNSET &&
	    (options->pool < 0 || options->pool > 64))
		return err_set(err, -EINVAL, "--pool takes 0 to 64");
	if (options->ready_ms != SERVE_UNSET &&
	    (options->ready_ms < 1 || options->ready_ms > 3600 * 1000))
		return err_set(err, -EINVAL, "--ready takes 1ms to 1h");
	if (options->refresh_launches != SERVE_UNSET &&
	    options->refresh_launches < 0)
		return err_set(err, -EINVAL,
			       "--refresh-launches takes 0 or more");
	return 0;
}

static int serve_set_name(const char *name, struct spec *spec, struct err *err)
{
	int result = name ? spec_check_name(name, err) : 0;

	if (!name || result < 0)
		return result;
	spec->name = strdup(name);
	return spec->name ? 0 : err_set(err, -ENOMEM, "serve");
}

/* Launches by the program's own name bring arguments of their own, which
 * come too late for a program that has begun. */
static int serve_check_deep(const struct spec *spec, struct err *err)
{
	if (spec->stop == SPEC_STOP_MAIN || spec->name)
		return 0;
	return err_set(err, -EINVAL,
		       "--until %s needs a name to launch it by: brood serve "
		       "--until ... NAME -- PROGRAM [ARG...]",
		       spec->stop == SPEC_STOP_STDIN   ? "stdin"
		       : spec->stop == SPEC_STOP_READY ? "ready"
						       : "open");
}

static int serve_set_program(const char *word, struct spec *spec,
			     struct err *err)
{
	auto_free char *real = stub_real_program(word, err);
	struct elf_facts facts;
	int result;

	if (!real)
		return -ENOENT;
	result = spec_set_program(spec, real, err);
	if (result >= 0)
		result = elf_check(spec->program, &facts, err);
	return result;
}

static int serve_fill(const struct serve_options *options,
		      const struct serve_words *words, struct spec *spec,
		      struct err *err)
{
	int result = serve_check(options, err);

	if (result >= 0)
		result = serve_set_name(words->name, spec, err);
	if (result >= 0)
		result = serve_set_program(words->program, spec, err);
	if (result >= 0 && words->arguments)
		result = spec_set_arguments(spec, words->arguments,
					    words->argument, err);
	if (result >= 0 && options->until)
		result = spec_set_stop(spec, options->until, err);
	if (result >= 0)
		result = spec_set_folder(spec, err);
	if (result >= 0)
		result = serve_check_deep(spec, err);
	if (result >= 0)
		result = serve_add_env(&options->env, spec, err);
	serve_set_numbers(options, spec);
	spec->asked = 1;
	return result < 0 ? result : spec_check(spec, err);
}

/* Is the spec known already under its key?  Who asked for it makes no other
 * template of it. */
static bool serve_is_same(const struct spec *spec)
{
	auto_place struct registry_place place = { 0 };
	auto_spec struct spec old = { 0 };
	auto_buf struct buf a = { 0 }, b = { 0 };
	char key[20];

	spec_init(&old);
	if (registry_key(spec, key) < 0 ||
	    registry_place(key, false, &place, NULL) < 0 ||
	    registry_read_spec(&place, &old, NULL) < 0)
		return false;
	old.asked = spec->asked;
	spec_write(&old, &a);
	spec_write(spec, &b);
	return a.len == b.len && a.len && memcmp(a.data, b.data, a.len) == 0;
}

/* A keeper of the spec before makes room.  The new one is written already:
 * a launch may start a keeper at any moment, and from here on it starts the
 * right one.  No answer: the keeper begins or ends. */
static int serve_make_room(const struct registry_place *place, struct err *err)
{
	uint64_t deadline = clock_deadline(SERVE_STOP_MS);
	auto_buf struct buf answer = { 0 };

	while (registry_is_kept(place)) {
		int result =
			keeper_ask(place, "stop", SERVE_STOP_MS, &answer, err);

		if (result != -ECONNREFUSED)
			return result;
		if (clock_left_ms(deadline) == 0)
			return err_set(err, -ETIME, "the keeper before");
		clock_sleep_ms(SERVE_LOOK_MS);
	}
	return 0;
}

static int serve_wait_ms(const struct spec *spec)
{
	long ms = spec->ready_ms;

	return (int)(ms < INT_MAX - SERVE_MORE_MS ? ms : 0) + SERVE_MORE_MS;
}

static void serve_tell_text(const struct listing_row *row, struct buf *out)
{
	buf_format(out, "%s %s%s%s (%s), generation %ld",
		   row->pid ? "serving" : "ready", row->name ? row->name : "",
		   row->name ? ": " : "", row->program, listing_ways(row),
		   (long)row->generation);
	if (row->pid)
		buf_format(out, ", pid %ld", (long)row->pid);
	buf_format(out, "\n%s%s%s", row->reason[0] ? "  " : "", row->reason,
		   row->reason[0] ? "\n" : "");
}

static int serve_tell(const struct registry_place *place, bool as_json)
{
	auto_row struct listing_row row = { 0 };
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };
	struct json json;

	if (listing_read_row(place, &row, &err) < 0)
		return cli_fail(&err, NULL);
	if (as_json) {
		json_start(&json, &out);
		listing_row_json(&row, false, &json, NULL);
		buf_text(&out, "\n");
	} else {
		serve_tell_text(&row, &out);
	}
	return cli_print(buf_string(&out));
}

static int serve_detached(const struct registry_place *place,
			  const struct spec *spec, const char *brood,
			  const struct serve_options *options)
{
	auto_free char *what = file_format("brood: starting %s", spec->program);
	struct progress progress;
	struct err err = { 0 };
	int result;

	progress_start(&progress, what ? what : "brood: starting");
	result = keeper_start(place, brood, serve_wait_ms(spec), &progress,
			      &err);
	progress_end(&progress);
	if (result < 0 && result != -EALREADY)
		return cli_fail(&err, "\"brood serve --explain\" tells more");
	return serve_tell(place, options->json);
}

/* Ours shall be the keeper: one that a launch starts meanwhile makes room. */
static int serve_keep(const struct registry_place *place,
		      const struct spec *spec, struct err *err)
{
	uint64_t deadline = clock_deadline(SERVE_STOP_MS);
	int ready, result;

	do {
		/* "ready" goes to stdout, where a supervisor may read it. */
		ready = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		result = keeper_run(place, spec, ready, err);
	} while (result == -EALREADY && clock_left_ms(deadline) &&
		 serve_make_room(place, err) >= 0);
	return result;
}

static int serve_foreground(const struct registry_place *place,
			    const struct spec *spec)
{
	struct err err = { 0 };

	if (serve_keep(place, spec, &err) < 0)
		return cli_fail(&err, NULL);
	return 0;
}

/* Enters the spec, and ends a keeper that has another one. */
static int serve_enter(const struct serve_options *options,
		       const struct spec *spec, const char *brood,
		       struct registry_place *place, struct err *err)
{
	bool same = !options->foreground && serve_is_same(spec);
	int result = registry_enter(spec, brood, place, err);

	if (result < 0 || same)
		return result;
	result = serve_make_room(place, err);
	if (result < 0)
		registry_place_fini(place);
	return result;
}

static int serve_start(const struct serve_options *options,
		       const struct spec *spec)
{
	auto_place struct registry_place place = { 0 };
	auto_free char *brood = NULL;
	struct err err = { 0 };

	brood = where_is("brood", &err);
	if (!brood)
		return cli_fail(&err, NULL);
	if (serve_enter(options, spec, brood, &place, &err) < 0)
		return cli_fail(&err, "\"brood doctor\" checks the folders");
	if (options->foreground)
		return serve_foreground(&place, spec);
	return serve_detached(&place, spec, brood, options);
}

static void serve_explain_text(const struct spec *spec,
			       const struct verdict *verdict, const char *facts,
			       struct buf *out)
{
	buf_format(out, "%s\n", spec->program);
	buf_format(out, "  clone: %s\n",
		   verdict->clone ? "yes" : verdict->no_clone);
	buf_format(out, "  hatch: %s\n",
		   verdict->hatch ? "yes" : verdict->no_hatch);
	if (facts[0])
		buf_format(out,
			   "each launch compares these; another value starts "
			   "the program cold:\n%s",
			   facts);
	if (facts[0] && facts[strlen(facts) - 1] != '\n')
		buf_text(out, "\n");
}

static void serve_explain_facts(const char *facts, struct json *json)
{
	json_list_open(json, "facts");
	while (*facts) {
		const char *end = strchrnul(facts, '\n');
		auto_free char *line = strndup(facts, (size_t)(end - facts));

		if (line && *line)
			json_text(json, NULL, line);
		facts = *end ? end + 1 : end;
	}
	json_list_close(json);
}

static void serve_explain_json(const struct spec *spec,
			       const struct verdict *verdict, const char *facts,
			       struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "program", spec->program);
	json_bool(&json, "clone", verdict->clone);
	json_text(&json, "no_clone", verdict->no_clone);
	json_bool(&json, "hatch", verdict->hatch);
	json_text(&json, "no_hatch", verdict->no_hatch);
	serve_explain_facts(facts, &json);
	json_close(&json);
	buf_text(out, "\n");
}

static int serve_explain(const struct serve_options *options,
			 const struct spec *spec)
{
	auto_buf struct buf facts = { 0 }, out = { 0 };
	struct verdict verdict = { 0 };
	struct err err = { 0 };

	if (template_explain(spec, &verdict, &facts, &err) < 0)
		return cli_fail(&err, "it always starts cold");
	if (options->json)
		serve_explain_json(spec, &verdict, buf_string(&facts), &out);
	else
		serve_explain_text(spec, &verdict, buf_string(&facts), &out);
	return cli_print(buf_string(&out));
}

static bool serve_is_in_domain(const struct serve_options *options)
{
	return options->from ||
	       (options->in && strcmp(options->in, "domain") == 0);
}

static bool serve_has_domain_words(const struct serve_options *options)
{
	return options->folders.count || options->read_only.count ||
	       options->listen.count || options->timeout_ms || options->fuel ||
	       options->max_memory || options->require_kvm || options->cache ||
	       options->isolation || options->image;
}

int serve_run(int argc, char **argv)
{
	struct serve_options options = {
		.refresh_ms = SERVE_UNSET,
		.refresh_launches = SERVE_UNSET,
		.pool = SERVE_UNSET,
		.idle_ms = SERVE_UNSET,
		.ready_ms = SERVE_UNSET,
	};
	auto_spec struct spec spec = { 0 };
	struct serve_words words;
	struct err err = { 0 };
	char **operands;
	int count, code, result;

	if (cli_parse(&serve_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	serve_sort(operands, count, strcmp(operands[-1], "--") == 0, &words);
	if (serve_is_in_domain(&options))
		return serve_in_domain(&options, &words);
	if (serve_has_domain_words(&options))
		return cli_wrong("--dir, --image, --listen, --timeout, --fuel, "
				 "--max-memory, --cache, --isolation and "
				 "--require-kvm are for --in domain");
	spec_init(&spec);
	result = serve_fill(&options, &words, &spec, &err);
	if (result == -EINVAL)
		return cli_wrong("%s; see \"brood serve --help\"", err.text);
	if (result == -ENOENT)
		return cli_fail(&err, "give the program's path");
	if (result < 0)
		return cli_fail(&err, "it always starts cold");
	return options.explain ? serve_explain(&options, &spec)
			       : serve_start(&options, &spec);
}
