/* SPDX-License-Identifier: Apache-2.0 */
/* What is hot is optimised by itself.
 *
 *  1. A run that ends, or has gone on for long, adds its ticks to the profile
 *     beside the object.  When they say that it pays, "brood compile
 *     --optimise=hot --background KEY" begins, and the run goes on at once.
 *  2. One works at a time, with what no other process wants of the CPUs.
 *  3. All that is left of the hour's budget is taken from it before the work
 *     begins, and what was not needed given back: who is killed has had it.
 *  4. A key is noted as tried before it is: where that leads to nothing, or
 *     to an end, its profile has to grow HOT_GROWN times before the next. */
#include "cli/hot.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "cache/optimiser.h"
#include "cache/profile.h"
#include "cli/cli.h"
#include "lib/where.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	HOT_LEFT_PERCENT = 10, /* of the time, that is not optimised */
	HOT_GROWN = 4,
	HOT_LEAST_MS = 1000, /* to begin with */
	HOT_RUN_TICKS = 5,   /* less is not worth a file */
	HOT_NICE = 10,
	HOT_DESCRIPTORS = 4096, /* where the kernel cannot close all */
};

long hot_budget_s(void)
{
	const char *told = secure_getenv("BROOD_OPTIMISE");
	char *end;
	long seconds;

	if (!told || !*told)
		return HOT_BUDGET_S;
	if (*told < '0' || *told > '9')
		return -1;
	errno = 0;
	seconds = strtol(told, &end, 10);
	return *end || errno || seconds > HOT_HOUR_S * 1024L ? -1 : seconds;
}

static bool hot_is_over(const struct optimiser_state *state, int64_t now)
{
	return state->hour_s > now || state->hour_s + HOT_HOUR_S <= now;
}

long hot_left_ms(const struct optimiser_state *state)
{
	long budget = hot_budget_s() * 1000;

	if (budget <= 0)
		return 0;
	if (hot_is_over(state, time(NULL)))
		return budget;
	return state->spent_ms < budget ? budget - (long)state->spent_ms : 0;
}

bool hot_is_due(const struct cache_hot *hot)
{
	return hot->total >= HOT_TICKS &&
	       hot->left * 100 >= hot->ticks * HOT_LEFT_PERCENT &&
	       (!hot->tried || hot->total / HOT_GROWN >= hot->tried);
}

/* ---- its begin ------------------------------------------------------------- */

/* What others have let the run inherit is not passed on. */
static void hot_close_all(void)
{
	if (syscall(SYS_close_range, 3, ~0u, 0) == 0)
		return;
	for (int fd = 3; fd < HOT_DESCRIPTORS; fd++)
		close(fd);
}

/* Nothing of the run's but its environment. */
static void hot_become(const char *program, const char *folder,
		       char *const argv[])
{
	const struct sched_param none = { 0 };
	int null = open("/dev/null", O_RDWR);

	setsid();
	if (fork() != 0)
		_exit(0);
	process_reset_signals();
	sched_setscheduler(0, SCHED_IDLE, &none);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0 || chdir(folder) < 0)
		_exit(127);
	hot_close_all();
	execv(program, argv);
	_exit(127);
}

/* The child ends when it has a child of its own. */
static void hot_spawn(const char *program, const char *folder, const char *key)
{
	char *const argv[] = { (char *)program,
			       (char *)"compile",
			       (char *)"--optimise=hot",
			       (char *)"--background",
			       (char *)"--cache",
			       (char *)".",
			       (char *)key,
			       NULL };
	pid_t pid = fork();

	if (pid == 0)
		hot_become(program, folder, argv);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	log_event("optimise.start", "\"key\":\"%s\"", key);
}

static bool hot_has_compiler(void)
{
	struct err err = { 0 };
	auto_free char *compiler = where_is_compiler(&err);

	return compiler;
}

static void hot_start(const char *folder, const char *key)
{
	struct optimiser_state state;
	auto_free char *program = NULL;

	if (hot_budget_s() <= 0)
		return;
	cache_optimiser_read(folder, &state);
	if (hot_left_ms(&state) < HOT_LEAST_MS ||
	    cache_optimiser_runs(folder) || !hot_has_compiler())
		return;
	program = process_exe(getpid());
	if (program && access(program, X_OK) == 0)
		hot_spawn(program, folder, key);
}

/* ---- a run ----------------------------------------------------------------- */

static const uint8_t *hot_bits(const struct cache_object *object)
{
	const struct code_header *head = (const void *)object->image;

	return head->optimised_at ? object->image + head->optimised_at : NULL;
}

static void hot_look(const struct cache_object *object,
		     const struct cache_profile *profile, const char *place)
{
	const struct cache_options options = { .place = place };
	struct cache_hot hot;
	auto_free char *folder = NULL;
	const struct code_header *head = (const void *)object->image;
	auto_buf struct buf key = { 0 };

	if (cache_profile_tell(profile, hot_bits(object), &hot, NULL) < 0 ||
	    !hot_is_due(&hot))
		return;
	for (int i = 0; i < CODE_KEY_BYTES; i++)
		buf_format(&key, "%02x", object->key[i]);
	folder = cache_folder(&options, NULL);
	if (folder && !key.failed && head->module_bytes)
		hot_start(folder, buf_string(&key));
}

void hot_note(struct vm *vm, const struct wasm_module *module,
	      const char *place)
{
	struct vm_profile_told told;
	struct cache_profile profile;

	if (!vm_profile_told(vm, module, &told) || told.total < HOT_RUN_TICKS ||
	    cache_published(told.object, NULL) < 0 ||
	    cache_profile_add(told.object, told.ticks, told.function_count,
			      &profile, NULL) < 0)
		return;
	vm_profile_forget(vm, module);
	hot_look(told.object, &profile, place);
	cache_profile_fini(&profile);
}

/* ---- the work -------------------------------------------------------------- */

struct hot_work {
	const char *folder;
	hot_make *make;
	void *env;
	struct optimiser_state state;
	char waits[2 * CODE_KEY_BYTES + 1]; /* what is due and was not tried */
	uint64_t ticks;
};

static int64_t hot_used_ms(void)
{
	int64_t ms = 0;

	for (int i = 0; i < 2; i++) {
		struct rusage usage;

		if (getrusage(i ? RUSAGE_CHILDREN : RUSAGE_SELF, &usage) < 0)
			continue;
		ms += (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
		      (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
	}
	return ms;
}

static void hot_keep_state(struct hot_work *work)
{
	struct err err = { 0 };

	if (cache_optimiser_write(work->folder, &work->state, &err) < 0)
		log_event("optimise.state", "\"why\":\"%s\"", err.text);
}

static void hot_end_state(struct hot_work *work, const char *key, int code,
			  const struct hot_made *made, int64_t used_ms)
{
	struct optimiser_state *state = &work->state;

	state->last_s = time(NULL);
	state->last_cpu_ms = used_ms;
	state->functions = made->functions;
	state->failed = code != 0;
	snprintf(state->key, sizeof(state->key), "%s", key);
	snprintf(state->name, sizeof(state->name), "%s", made->name);
	snprintf(state->words, sizeof(state->words), "%s",
		 code ? made->why : "");
	hot_keep_state(work);
}

/* 0: go on. */
static int hot_do(struct hot_work *work, const char *key)
{
	struct optimiser_state *state = &work->state;
	long left = hot_left_ms(state);
	struct hot_made made = { 0 };
	int64_t began = hot_used_ms(), spent, used;
	struct err err = { 0 };
	int code;

	if (left < HOT_LEAST_MS)
		return -ETIME;
	if (hot_is_over(state, time(NULL))) {
		state->hour_s = time(NULL);
		state->spent_ms = 0;
	}
	/* Without a profile it has been asked for by a user. */
	if (cache_profile_try(work->folder, key, &err) < 0 &&
	    err.code != -ENOENT)
		return err.code;
	spent = state->spent_ms;
	state->spent_ms += left;
	hot_keep_state(work);
	code = work->make(work->env, key, left, &made);
	used = hot_used_ms() - began;
	state->spent_ms = spent + used;
	hot_end_state(work, key, code, &made, used);
	return 0;
}

static int hot_pick(const struct cache_entry *entry, void *context)
{
	struct hot_work *work = context;

	if (entry->wrong || !hot_is_due(&entry->hot) || entry->head.options ||
	    entry->hot.total <= work->ticks)
		return 0;
	work->ticks = entry->hot.total;
	memcpy(work->waits, entry->key, sizeof(work->waits));
	return 0;
}

/* What has run for longest; it is not due any more when it was tried. */
static bool hot_next(struct hot_work *work)
{
	work->ticks = 0;
	return cache_each(work->folder, hot_pick, work, NULL) >= 0 &&
	       work->ticks;
}

int hot_work(const char *folder, char *const *keys, int count, hot_make *make,
	     void *env)
{
	struct hot_work work = { .folder = folder, .make = make, .env = env };
	const struct sched_param none = { 0 };
	struct err err = { 0 };
	auto_close int lock = cache_optimiser_lock(folder, &err);
	char last[sizeof(work.waits)] = "";
	int rc = 0;

	if (lock < 0)
		return lock == -EWOULDBLOCK ? 0 : cli_fail(&err, NULL);
	sched_setscheduler(0, SCHED_IDLE, &none);
	setpriority(PRIO_PROCESS, 0, HOT_NICE);
	cache_optimiser_read(folder, &work.state);
	for (int i = 0; rc >= 0 && i < count; i++)
		rc = hot_do(&work, keys[i]);
	while (rc >= 0 && hot_next(&work) && strcmp(last, work.waits) != 0) {
		memcpy(last, work.waits, sizeof(last));
		rc = hot_do(&work, last);
	}
	return 0;
}
