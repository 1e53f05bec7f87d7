/* SPDX-License-Identifier: Apache-2.0 */
/* A runner: a thread with a domain of its own, which takes one launch after
 * the other.  The caller has his answer before the domain is reset, and what
 * he has handed over is closed before he has it.
 *
 * CLAIM 3.7 3.11 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "domain/cpu_process.h"
#include "domain/internal.h"
#include "domain/worker_internal.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RUNNER_SAY_MS = 5000, /* a caller that was taken tells what he wants */
	RUNNER_PAUSE_MS = 20, /* when there are no descriptors left */
};
#define RUNNER_MOST_MS (INT64_MAX / 4000000)

/* One launch. */
struct tenant {
	int connection;
	int stdio[3];
	struct wasi *wasi;
	int64_t deadline_ns;
	struct domain_outcome outcome;
	enum domain_wire_how how;
	int exit_code;
	struct buf text;
};

static void runner_add(uint64_t *counter, uint64_t more)
{
	__atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

/* ---- the domain ----------------------------------------------------------- */

static bool runner_can_prepare(const struct hive *hive)
{
	return hive->plan->waiting && hive->plan->ready->has_snapshot &&
	       !worker_is_alone(hive->plan->ready);
}

/* With nothing to run in, and no way to get it. */
static bool runner_is_used_up(const struct runner *runner)
{
	return !runner->domain && worker_is_alone(runner->hive->plan->ready);
}

static int runner_make(struct runner *runner, struct tenant *tenant,
		       struct err *err)
{
	struct domain_outcome outcome;
	int r;

	if (worker_is_alone(runner->hive->plan->ready))
		return err_set(err, -ENOTSUP, "a further domain");
	r = ready_start(runner->hive->plan->ready, tenant ? tenant->wasi : NULL,
			tenant ? tenant->deadline_ns : 0, &runner->domain,
			tenant ? &tenant->outcome : &outcome, err);

	runner->uses = 0;
	if (r >= 0)
		__atomic_fetch_add(&runner->hive->page->domains, 1,
				   __ATOMIC_RELAXED);
	return r;
}

static void runner_discard(struct runner *runner)
{
	if (!runner->domain)
		return;
	__atomic_fetch_sub(&runner->hive->page->domains, 1, __ATOMIC_RELAXED);
	runner_add(&runner->hive->page->discarded, 1);
	reaper_take(&runner->hive->reaper, runner->domain);
	runner->domain = NULL;
}

/* For the next tenant. */
static void runner_renew(struct runner *runner)
{
	struct hive *hive = runner->hive;

	if (!runner->domain)
		return;
	runner->uses++;
	if (hive->plan->is_shared && runner->uses % WORKER_TENANTS &&
	    !runner->domain->is_broken)
		return;
	if (runner->uses < WORKER_USES &&
	    ready_reset(hive->plan->ready, runner->domain, hive->pagemap, NULL,
			0, NULL) >= 0)
		runner_add(&hive->page->resets, 1);
	else
		runner_discard(runner);
}

/* ---- what is wanted ------------------------------------------------------- */

static int tenant_ask(struct tenant *tenant, const struct hive *hive)
{
	struct domain_wire_ready ready = {
		.head = domain_wire_head(DOMAIN_WIRE_READY, sizeof(ready)),
		.generation = hive->plan->generation,
	};
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(tenant->connection, SOL_SOCKET, SO_PEERCRED, &peer,
		       &len) < 0 ||
	    peer.uid != geteuid())
		return -EPERM;
	return fd_send(tenant->connection, &ready, sizeof(ready), NULL, 0,
		       NULL);
}

static void tenant_take_fds(struct tenant *tenant, uint32_t stdio,
			    const int *fds)
{
	for (int i = 0; i < 3; i++)
		if (stdio >> i & 1)
			tenant->stdio[i] = *fds++;
}

static int tenant_hear(struct tenant *tenant, struct domain_wire_launch *launch)
{
	size_t room = sizeof(*launch) + DOMAIN_WIRE_STRINGS_MOST;
	int fds[3], fd_count = 0;
	ssize_t len;

	if (fd_wait(tenant->connection, POLLIN, RUNNER_SAY_MS) <= 0)
		return -ETIME;
	len = fd_receive(tenant->connection, launch, room, fds, 3, &fd_count,
			 NULL);
	if (len <= 0 || domain_wire_check(launch, (size_t)len, fd_count,
					  DOMAIN_WIRE_LAUNCH)) {
		while (fd_count)
			close(fds[--fd_count]);
		return -EPROTO;
	}
	tenant_take_fds(tenant, launch->stdio, fds);
	return 0;
}

/* A folder as a stream could be walked; nobody has granted it. */
static int tenant_check_streams(const struct tenant *tenant, struct err *err)
{
	struct stat stat;

	for (int i = 0; i < 3; i++)
		if (tenant->stdio[i] >= 0 &&
		    (fstat(tenant->stdio[i], &stat) < 0 ||
		     S_ISDIR(stat.st_mode)))
			return err_set(err, -EINVAL, "descriptor %d: a folder",
				       i);
	return 0;
}

/* None may be NULL. */
static void tenant_words(char **to, char *const *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = from[i];
}

static int tenant_grant(struct tenant *tenant, const struct hive *hive,
			struct domain_wire_launch *launch, struct err *err)
{
	const struct worker_plan *plan = hive->plan;
	size_t first = plan->argument_count, second = plan->environment_count;
	auto_free char **words =
		calloc(first + second + launch->argc + launch->envc + 1,
		       sizeof(*words));
	auto_free char **came =
		calloc((size_t)launch->argc + launch->envc + 1, sizeof(*came));
	struct wasi_options options = {
		.arguments = words,
		.argument_count = first + launch->argc,
		.environment_count = second + launch->envc,
		.stdio = { tenant->stdio[0], tenant->stdio[1],
			   tenant->stdio[2] },
		.like = plan->like,
	};
	char **environment;

	if (!words || !came)
		return err_set(err, -ENOMEM, "a launch");
	environment = words + options.argument_count;
	options.environment = environment;
	domain_wire_strings(launch, came);
	tenant_words(words, plan->arguments, first);
	tenant_words(words + first, came, launch->argc);
	tenant_words(environment, plan->environment, second);
	tenant_words(environment + second, came + launch->argc, launch->envc);
	return wasi_open(&tenant->wasi, &options, err);
}

static int64_t tenant_deadline(const struct worker_plan *plan, uint64_t wish_ms)
{
	uint64_t ms = (uint64_t)plan->timeout_ms;

	if (wish_ms && (!ms || wish_ms < ms))
		ms = wish_ms;
	return !ms || ms > RUNNER_MOST_MS
		       ? 0
		       : (int64_t)(clock_ns() + ms * 1000000);
}

/* ---- the run -------------------------------------------------------------- */

/* From here on main looks whether the caller is still there. */
static void runner_watch(struct runner *runner, int connection)
{
	struct hive *hive = runner->hive;
	struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT };

	pthread_mutex_lock(&hive->lock);
	runner->running = runner->domain;
	runner->is_gone = false;
	event.data.u64 = hive_event(HIVE_RUN, runner->number, ++runner->turn);
	pthread_mutex_unlock(&hive->lock);
	epoll_ctl(hive->epoll, EPOLL_CTL_ADD, connection, &event);
}

static bool runner_unwatch(struct runner *runner)
{
	struct hive *hive = runner->hive;
	bool is_gone;

	pthread_mutex_lock(&hive->lock);
	runner->running = NULL;
	is_gone = runner->is_gone;
	pthread_mutex_unlock(&hive->lock);
	return is_gone;
}

static int runner_prepare(struct runner *runner, struct tenant *tenant,
			  struct err *err)
{
	if (!runner->domain)
		return runner_make(runner, tenant, err);
	return ready_grant(runner->hive->plan->ready, runner->domain,
			   tenant->wasi, tenant->deadline_ns, err);
}

static int runner_run(struct runner *runner, struct tenant *tenant,
		      struct err *err)
{
	const struct worker_plan *plan = runner->hive->plan;
	bool was_there = runner->domain;
	int r = runner_prepare(runner, tenant, err);

	if (r < 0 || tenant->outcome.trap)
		return r;
	runner_watch(runner, tenant->connection);
	if (plan->is_shared && was_there)
		r = ready_run_again(plan->ready, runner->domain,
				    &tenant->outcome, err);
	else
		r = ready_run(plan->ready, runner->domain, &tenant->outcome,
			      err);
	if (runner_unwatch(runner))
		runner_add(&runner->hive->page->gone, 1);
	return r;
}

/* ---- the answer ----------------------------------------------------------- */

static void tenant_failed(struct tenant *tenant, const struct err *err)
{
	tenant->how = err->code == -ETIME    ? DOMAIN_WIRE_TIMEOUT
		      : err->code == -ENOENT ? DOMAIN_WIRE_NO_START
		      : err->code == -EPROTO ? DOMAIN_WIRE_TRAP
					     : DOMAIN_WIRE_FAILED;
	buf_clear(&tenant->text);
	buf_format(&tenant->text, "%s\n", err->text);
}

static void tenant_trapped(struct tenant *tenant, struct hive *hive)
{
	const struct domain_outcome *outcome = &tenant->outcome;

	tenant->how = outcome->trap == WASM_TRAP_deadline ? DOMAIN_WIRE_TIMEOUT
		      : outcome->trap == WASM_TRAP_fuel	  ? DOMAIN_WIRE_FUEL
							  : DOMAIN_WIRE_TRAP;
	pthread_mutex_lock(&hive->words);
	program_describe(hive->plan->ready->program, 0, outcome, &tenant->text);
	pthread_mutex_unlock(&hive->words);
}

static void tenant_ended(struct tenant *tenant, struct hive *hive)
{
	tenant->how = DOMAIN_WIRE_EXIT;
	if (tenant->outcome.trap == WASM_TRAP_exit)
		tenant->exit_code = tenant->outcome.exit_code;
	else if (tenant->outcome.trap)
		tenant_trapped(tenant, hive);
}

static void tenant_answer(const struct tenant *tenant)
{
	union {
		struct domain_wire_ended ended;
		char room[sizeof(struct domain_wire_ended) +
			  DOMAIN_WIRE_TEXT_MOST];
	} packet;
	size_t text = tenant->text.len < DOMAIN_WIRE_TEXT_MOST
			      ? tenant->text.len
			      : DOMAIN_WIRE_TEXT_MOST;
	const char *end = memchr(buf_string(&tenant->text), 0, text);

	if (end)
		text = (size_t)(end - buf_string(&tenant->text));
	packet.ended = (struct domain_wire_ended){
		.head = domain_wire_head(DOMAIN_WIRE_ENDED,
					 sizeof(packet.ended) + text),
		.how = tenant->how,
		.exit_code = tenant->exit_code,
		.text_bytes = (uint32_t)text,
	};
	memcpy(packet.ended.text, buf_string(&tenant->text), text);
	fd_send(tenant->connection, &packet, sizeof(packet.ended) + text, NULL,
		0, NULL);
}

static void tenant_leave(struct tenant *tenant)
{
	wasi_close(tenant->wasi);
	tenant->wasi = NULL;
	for (int i = 0; i < 3; i++)
		fd_close(&tenant->stdio[i]);
}

static void runner_serve(struct runner *runner, int connection)
{
	struct hive *hive = runner->hive;
	struct tenant tenant = { .connection = connection,
				 .stdio = { -1, -1, -1 } };
	struct err err = { 0 };
	int r;

	if (tenant_ask(&tenant, hive) < 0 ||
	    tenant_hear(&tenant, runner->launch) < 0)
		return;
	runner_add(&hive->page->launches, 1);
	r = tenant_check_streams(&tenant, &err);
	if (r >= 0)
		r = tenant_grant(&tenant, hive, runner->launch, &err);
	tenant.deadline_ns =
		tenant_deadline(hive->plan, runner->launch->timeout_ms);
	if (r >= 0)
		r = runner_run(runner, &tenant, &err);
	if (r < 0)
		tenant_failed(&tenant, &err);
	else
		tenant_ended(&tenant, hive);
	if (runner->domain)
		domain_set_wasi(runner->domain, NULL);
	tenant_leave(&tenant);
	tenant_answer(&tenant);
	buf_fini(&tenant.text);
}

/* ---- its life ------------------------------------------------------------- */

static void hive_tell(struct hive *hive)
{
	struct worker_page *page = hive->page;

	page->runners = hive->runner_count;
	page->waiting = hive->waiting;
	page->running = hive->running;
	page->used_ns = clock_ns();
}

static uint32_t *hive_count(struct hive *hive, enum runner_state state)
{
	switch (state) {
	case RUNNER_MAKES: return &hive->making;
	case RUNNER_WAITS: return &hive->waiting;
	case RUNNER_RUNS: return &hive->running;
	case RUNNER_LEAVES:
	case RUNNER_NONE: break;
	}
	return NULL;
}

/* Wakes main where too few wait. */
static void runner_is(struct runner *runner, enum runner_state state)
{
	struct hive *hive = runner->hive;
	const uint64_t one = 1;
	bool short_of;

	pthread_mutex_lock(&hive->lock);
	if (hive_count(hive, runner->state))
		--*hive_count(hive, runner->state);
	runner->state = state;
	if (hive_count(hive, state))
		++*hive_count(hive, state);
	hive->runner_count -= state == RUNNER_NONE;
	short_of = hive->waiting + hive->making < hive->plan->waiting ||
		   !(hive->waiting + hive->making) || hive->is_draining;
	if (state != RUNNER_RUNS && !hive->is_draining)
		short_of = false;
	if (hive->running < hive->most)
		hive->is_full = false;
	hive_tell(hive);
	pthread_mutex_unlock(&hive->lock);
	if (short_of && write(hive->wake, &one, sizeof(one)) < 0)
		return; /* it is awake */
}

/* More wait than shall, for long. */
static bool runner_is_surplus(struct runner *runner)
{
	struct hive *hive = runner->hive;
	uint32_t least = hive->plan->waiting ? hive->plan->waiting : 1;
	bool is_surplus;

	pthread_mutex_lock(&hive->lock);
	is_surplus = hive->waiting + hive->making > least;
	if (is_surplus) {
		hive->waiting--;
		runner->state = RUNNER_LEAVES;
	}
	hive_tell(hive);
	pthread_mutex_unlock(&hive->lock);
	return is_surplus;
}

static void hive_end(struct hive *hive)
{
	pthread_mutex_lock(&hive->lock);
	__atomic_store_n(&hive->is_draining, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&hive->lock);
}

static bool hive_drains(struct hive *hive)
{
	return __atomic_load_n(&hive->is_draining, __ATOMIC_ACQUIRE);
}

/* False: it shall go. */
static bool runner_take(struct runner *runner, int *connection)
{
	struct hive *hive = runner->hive;

	for (;;) {
		if (hive_drains(hive))
			return false;
		*connection =
			accept4(hive->plan->listener, NULL, NULL, SOCK_CLOEXEC);
		if (*connection >= 0)
			return true;
		if (errno == EAGAIN && runner_is_surplus(runner))
			return false;
		if (errno == EINVAL || errno == EBADF)
			return false;
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			clock_sleep_ms(RUNNER_PAUSE_MS);
	}
}

static void runner_wait_and_serve(struct runner *runner)
{
	int connection;

	if (!runner->domain && runner_can_prepare(runner->hive))
		runner_make(runner, NULL, NULL);
	runner_is(runner, RUNNER_WAITS);
	while (runner_take(runner, &connection)) {
		runner_is(runner, RUNNER_RUNS);
		runner_serve(runner, connection);
		close(connection);
		runner_renew(runner);
		if (runner_is_used_up(runner)) {
			hive_end(runner->hive);
			return;
		}
		runner_is(runner, RUNNER_MAKES);
		if (!runner->domain && runner_can_prepare(runner->hive))
			runner_make(runner, NULL, NULL);
		runner_is(runner, RUNNER_WAITS);
	}
}

void *runner_main(void *env)
{
	struct runner *runner = env;

	runner->launch =
		malloc(sizeof(*runner->launch) + DOMAIN_WIRE_STRINGS_MOST);
	if (worker_is_alone(runner->hive->plan->ready))
		cpu_process_stack_have();
	if (runner->launch)
		runner_wait_and_serve(runner);
	runner_discard(runner);
	free(runner->launch);
	runner->launch = NULL;
	runner_is(runner, RUNNER_NONE);
	return NULL;
}
