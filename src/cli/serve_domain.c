/* SPDX-License-Identifier: Apache-2.0 */
/* brood serve --in domain: opens a module as "brood run --in domain" does, and
 * becomes the server of its domains. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "cli/serve.h"
#include "domain/server.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DOMAIN_POOL = 2, DOMAIN_POOL_MOST = 240, DOMAIN_STOP_MS = 15000 };

/* The program, opened: for the workers of one generation. */
struct served {
	bool is_open;
	struct run run;
	struct images images;
	struct program program;
	struct ready ready;
};

struct serving {
	const struct serve_options *options;
	const struct serve_words *words;
	struct run_options run_options;
	char **argv; /* the program, then the words in front of each launch's */
	int argc;
	struct served served[2], *newer;
	struct server_place place;
	char *root, *program;
	int told, code; /* who waits for the outcome, and what it is */
};

static bool serving_is_shared(const struct serve_options *options)
{
	return options->isolation &&
	       strcmp(options->isolation, "shared-vm") == 0;
}

/* ---- one generation's program --------------------------------------------- */

/* Sockets stay as they are, over generations. */
static void served_move_sockets(struct served *to, struct served *from)
{
	memcpy(to->run.listen, from->run.listen, sizeof(to->run.listen));
	memcpy(to->run.sockets, from->run.sockets, sizeof(to->run.sockets));
	to->run.socket_count = from->run.socket_count;
	from->run.socket_count = 0;
}

static void served_close(struct served *served)
{
	if (!served->is_open)
		return;
	ready_close(&served->ready);
	program_close(&served->program);
	if (served->images.folder)
		images_close(&served->images);
	run_fini(&served->run);
	*served = (struct served){ 0 };
}

static struct domain_options served_options(struct served *served)
{
	const struct run_options *options = served->run.options;

	return (struct domain_options){
		.ground = &served->run.ground,
		.fuel = (uint64_t)options->fuel,
		.memory_bytes = (uint64_t)options->max_memory,
	};
}

static int served_fail(const struct served *served, const struct err *err)
{
	return run_fail(&served->run, err,
			err->code == -ENOENT ? CLI_NOT_FOUND
			: err->code == -EINVAL || err->code == -EBADMSG
				? CLI_NOT_EXECUTABLE
				: CLI_SYSTEM);
}

static bool served_has_start(const struct wasm_module *module)
{
	for (uint32_t i = 0; i < module->export_count; i++)
		if (module->exports[i].kind == WASM_EXTERN_FUNCTION &&
		    module->exports[i].name.len == 6 &&
		    memcmp(module->exports[i].name.text, "_start", 6) == 0)
			return true;
	return false;
}

static int served_open_module(struct served *served)
{
	struct run *run = &served->run;
	const struct domain_options options = served_options(served);
	const struct cache_options cache = { .place = run->options->cache };
	auto_free char *folder = ready_folder(&cache);
	struct wasm_module *module;
	struct err err = { 0 };
	int code = run_open_file(run);

	if (!code)
		code = run_prepare(run, &module);
	if (code)
		return code;
	if (!served_has_start(module))
		return run_not_found(run, module, "_start");
	if (run_grant(run, &err) < 0 ||
	    program_open(&served->program, &run->vm, module, &err) < 0 ||
	    program_define(&run->vm, &err) < 0 ||
	    vm_check_imports(&run->vm, module, &err) < 0 ||
	    ready_open(&served->ready, &options, &served->program, folder,
		       &err) < 0 ||
	    ready_set_files(&served->ready, run_files(run), &err) < 0)
		return served_fail(served, &err);
	return 0;
}

static int served_open_tip(struct served *served)
{
	struct run *run = &served->run;
	const struct domain_options options = served_options(served);
	struct err err = { 0 };

	run->file = run->options->from;
	if (images_open(&served->images, NULL, false, &err) < 0 ||
	    run_prepare_tip(run, &err) < 0 || run_grant(run, &err) < 0 ||
	    ready_open_tip(&served->ready, &options, &served->program, &run->vm,
			   &served->images, run->options->from, &err) < 0 ||
	    ready_set_files(&served->ready, run_files(run), &err) < 0)
		return served_fail(served, &err);
	return 0;
}

/* What workers map is made here, since in their jails nothing can be. */
static int served_try(struct served *served)
{
	struct domain_outcome outcome;
	struct domain *domain;
	struct err err = { 0 };

	if (ready_start(&served->ready, NULL, 0, &domain, &outcome, &err) < 0)
		return served_fail(served, &err);
	domain_close(domain);
	return 0;
}

static int serving_open(void *env, struct worker_plan *plan, struct err *err)
{
	struct serving *serving = env;
	struct served *before = serving->newer;
	struct served *served = &serving->served[before == serving->served];
	int code;

	served->is_open = true;
	served->run = RUN_EMPTY(&serving->run_options);
	served->run.words = serving->argv;
	served->run.word_count = serving->argc;
	for (int i = 0; i < 3; i++)
		served->run.stdio[i] = -1;
	if (before)
		served_move_sockets(served, before);
	code = serving->run_options.from ? served_open_tip(served)
					 : served_open_module(served);
	if (!code)
		code = served_try(served);
	if (code) {
		if (before)
			served_move_sockets(before, served);
		served_close(served);
		serving->code = code;
		return err_set(err, -EPROTO, "%s cannot be served",
			       serving->argv[0]);
	}
	serving->newer = served;
	*plan = (struct worker_plan){
		.ready = &served->ready,
		.like = served->run.wasi,
		.arguments = served->run.words,
		.argument_count = (size_t)served->run.word_count,
		.environment = served->run.environment,
		.environment_count = served->run.environment_count,
		.timeout_ms = serving->run_options.timeout_ms,
		.is_shared = serving_is_shared(serving->options),
	};
	return 0;
}

static void serving_drop(void *env, bool newer)
{
	struct serving *serving = env;
	struct served *last = serving->newer;
	struct served *other = &serving->served[last == serving->served];

	if (!newer) {
		served_close(other);
		return;
	}
	if (other->is_open)
		served_move_sockets(other, last);
	served_close(last);
	serving->newer = other->is_open ? other : NULL;
}

/* ---- begin ---------------------------------------------------------------- */

/* Who waits knows now; from here on there is no terminal. */
static void serving_ready(void *env)
{
	struct serving *serving = env;
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char word = 'R';

	if (serving->told < 0)
		return;
	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	if (write(serving->told, &word, 1) < 0)
		return;
	fd_close(&serving->told);
}

static int serving_be(struct serving *serving)
{
	const struct serve_options *options = serving->options;
	const struct server_plan plan = {
		.place = &serving->place,
		.name = serving->words->name,
		.program = serving->program,
		.waiting = options->pool == SERVE_UNSET
				   ? DOMAIN_POOL
				   : (uint32_t)options->pool,
		.idle_ms =
			options->idle_ms == SERVE_UNSET ? 0 : options->idle_ms,
		.open = serving_open,
		.drop = serving_drop,
		.ready = serving_ready,
		.env = serving,
	};
	struct err err = { 0 };

	if (server_run(&plan, serving->root, &err) >= 0)
		return 0;
	return serving->code ? serving->code : cli_fail(&err, NULL);
}

static int serving_tell(struct serving *serving)
{
	auto_buf struct buf answer = { 0 };
	auto_free char *isolation = NULL;
	struct err err = { 0 };

	if (server_ask(&serving->place, "status", DOMAIN_STOP_MS, &answer,
		       &err) < 0)
		return cli_fail(&err, NULL);
	if (serving->options->json) {
		buf_text(&answer, "\n");
		return cli_print(buf_string(&answer));
	}
	isolation = json_get_text(buf_string(&answer), "isolation");
	printf("serving %s%s%s in domains (%s), pid %ld\n",
	       serving->words->name ? serving->words->name : "",
	       serving->words->name ? ": " : "", serving->program,
	       isolation ? isolation : "?",
	       (long)json_get_number(buf_string(&answer), "pid", 0));
	return fflush(stdout) ? CLI_SYSTEM : 0;
}

static int serving_wait(struct serving *serving, int from, pid_t pid)
{
	char word;
	int status = 0;

	if (fd_read_all(from, &word, 1, NULL) >= 0)
		return serving_tell(serving);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_SYSTEM;
}

static int serving_detach(struct serving *serving)
{
	auto_close int from = -1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return cli_fail(&(struct err){ .text = "pipe" }, NULL);
	from = ends[0];
	pid = fork();
	if (pid == 0) {
		fd_close(&from);
		serving->told = ends[1];
		setsid();
		return serving_be(serving);
	}
	close(ends[1]);
	if (pid < 0)
		return cli_fail(&(struct err){ .text = "fork" }, NULL);
	return serving_wait(serving, from, pid);
}

/* ---- words ---------------------------------------------------------------- */

static int serving_check(const struct serving *serving)
{
	const struct serve_options *options = serving->options;

	if (options->refresh_ms != SERVE_UNSET ||
	    options->refresh_launches != SERVE_UNSET || options->hold ||
	    options->no_hold || options->explain)
		return cli_wrong("--refresh, --hold and --explain "
				 "are not for domains");
	if (options->detach && options->foreground)
		return cli_wrong("--detach and --foreground exclude each "
				 "other");
	if (options->pool != SERVE_UNSET &&
	    (options->pool < 0 || options->pool > DOMAIN_POOL_MOST))
		return cli_wrong("--pool takes 0 to %d", DOMAIN_POOL_MOST);
	if (options->from && serving->words->arguments)
		return cli_wrong("with --from the one operand is a NAME");
	if (serving_is_shared(options) &&
	    (options->from || options->fuel || options->image))
		return cli_wrong("--isolation shared-vm cannot be had with "
				 "--from, --fuel or --image");
	if (options->idle_ms != SERVE_UNSET && options->idle_ms < 0)
		return cli_wrong("--idle takes a time");
	return 0;
}

static void serving_set_options(struct serving *serving)
{
	const struct serve_options *options = serving->options;

	serving->run_options = (struct run_options){
		.in = "domain",
		.from = options->from,
		.cache = options->cache,
		.require_kvm = options->require_kvm,
		.folders = options->folders,
		.read_only = options->read_only,
		.image = options->image,
		.environment = options->env,
		.listen = options->listen,
		.fuel = options->fuel,
		.timeout_ms = options->timeout_ms,
		.max_memory = options->max_memory,
	};
}

static int serving_set_words(struct serving *serving, struct serve_words *words,
			     struct err *err)
{
	const char *from = serving->options->from;

	if (from) {
		words->name = words->program;
		words->program = from;
	}
	if (words->name && spec_check_name(words->name, err) < 0)
		return err->code;
	serving->program = from ? strdup(from) : realpath(words->program, NULL);
	serving->argc = words->arguments + 1;
	serving->argv =
		calloc((size_t)serving->argc + 1, sizeof(*serving->argv));
	if (!serving->program)
		return err_set(err, -errno, "%s", words->program);
	if (!serving->argv)
		return err_set(err, -ENOMEM, "serve");
	serving->argv[0] = (char *)words->program;
	for (int i = 0; i < words->arguments; i++)
		serving->argv[i + 1] = words->argument[i];
	return 0;
}

/* A server of the same name makes room. */
static int serving_make_room(const struct serving *serving, struct err *err)
{
	auto_buf struct buf answer = { 0 };
	uint64_t deadline = clock_deadline(DOMAIN_STOP_MS);

	while (server_place_is_kept(&serving->place)) {
		int r = server_ask(&serving->place, "stop", DOMAIN_STOP_MS,
				   &answer, NULL);

		if (r == -ETIME || !clock_left_ms(deadline))
			return err_set(err, -ETIME, "the server before");
		if (r < 0)
			clock_sleep_ms(10);
	}
	return 0;
}

static int serving_find(struct serving *serving, struct err *err)
{
	int r = registry_runtime(&serving->root, true, err);

	if (r >= 0)
		r = server_place_find(serving->root,
				      serving->words->name
					      ? serving->words->name
					      : serving->program,
				      &serving->place, err);
	return r < 0 ? r : serving_make_room(serving, err);
}

int serve_in_domain(const struct serve_options *options,
		    const struct serve_words *given)
{
	struct serve_words words = *given;
	struct serving serving = { .options = options,
				   .words = &words,
				   .told = -1 };
	struct err err = { 0 };
	int code = serving_check(&serving);

	if (code)
		return code;
	if (options->until)
		return serve_warm(options, given);
	serving_set_options(&serving);
	if (serving_set_words(&serving, &words, &err) < 0) {
		code = err.code == -ENOENT ? CLI_NOT_FOUND : CLI_SYSTEM;
		cli_fail(&err, NULL);
	} else if (serving_find(&serving, &err) < 0) {
		code = cli_fail(&err, "\"brood ps\" lists what is served");
	} else {
		code = options->foreground ? serving_be(&serving)
					   : serving_detach(&serving);
	}
	server_place_fini(&serving.place);
	free(serving.root);
	free(serving.program);
	free(serving.argv);
	return code;
}
