/* SPDX-License-Identifier: Apache-2.0 */
/* Its loop.  It never waits for a starter, and for a worker no longer than one
 * takes to begin. */
#include "domain/server.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "domain/ground.h"
#include "domain/jail.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SERVER_OLD = 24, /* workers that end */
	SERVER_ALL = SERVER_ALONE + SERVER_OLD,
	SERVER_CLIENTS = 16,
	SERVER_WORD_MOST = 32,
	SERVER_BACKLOG = 4096,
	SERVER_ACCEPT_S = 10, /* a runner looks so often whether it is needed */
	SERVER_EXTRA_MS = 10000,
	SERVER_LOOK_MS = 1000,
	SERVER_WEIGH_MS = 200,
	SERVER_WORDS = 4, /* that may come before the one that is waited for */
	SERVER_BACKOFF_MS = 100,
	SERVER_BACKOFF_MOST_MS = 10000,
	SERVER_SETTLED_MS = 2000,
	SERVER_STOP_MS = 10000,
};
#define SERVER_NEVER UINT64_MAX

struct server_client {
	int fd;
	bool waits; /* for the end */
};

struct server {
	const struct server_plan *plan;
	const char *root;
	int lock, signals, listener, control;
	struct worker_plan worker;
	struct worker workers[SERVER_ALL]; /* pid 0: a free place */
	struct server_client clients[SERVER_CLIENTS];
	uint64_t generation, born_ns, retry_at, kill_at;
	uint64_t launches, resets, discarded, gone; /* by those that ended */
	uint64_t lost;				    /* workers that died */
	int backoff_ms;
	bool stopping, released;
	char last_error[252];
};

/* ---- workers -------------------------------------------------------------- */

static bool server_is_alone(const struct server *server)
{
	return server->worker.ready && worker_is_alone(server->worker.ready);
}

static uint32_t server_most(const struct server *server)
{
	return server->worker.is_shared	 ? 1
	       : server_is_alone(server) ? SERVER_ALONE
					 : SERVER_WORKERS;
}

static uint32_t server_least(const struct server *server)
{
	uint32_t waiting = server->plan->waiting;

	if (server->worker.is_shared)
		return 1;
	if (server_is_alone(server))
		return !waiting			? 1
		       : waiting < SERVER_ALONE ? waiting
						: SERVER_ALONE;
	return waiting ? (waiting + WORKER_RUNNERS - 1) / WORKER_RUNNERS : 1;
}

static uint32_t server_count(const struct server *server)
{
	uint32_t count = 0;

	for (int i = 0; i < SERVER_ALL; i++)
		count += server->workers[i].pid > 0 &&
			 !server->workers[i].is_draining;
	return count;
}

static uint32_t server_count_all(const struct server *server)
{
	uint32_t count = 0;

	for (int i = 0; i < SERVER_ALL; i++)
		count += server->workers[i].pid > 0;
	return count;
}

static struct worker *server_free(struct server *server)
{
	for (int i = 0; i < SERVER_ALL; i++)
		if (!server->workers[i].pid)
			return &server->workers[i];
	return NULL;
}

static int server_add(struct server *server, struct err *err)
{
	struct worker *worker = server_free(server);
	int r = worker ? worker_start(worker, &server->worker, err)
		       : err_set(err, -EBUSY, "too many workers end");

	if (r < 0)
		memcpy(server->last_error, err->text,
		       sizeof(server->last_error));
	else
		log_event("domain.worker", "\"pid\":%d", (int)worker->pid);
	return r;
}

/* Those that can take a launch, or soon can. */
static uint32_t server_count_open(const struct server *server)
{
	uint32_t count = 0;

	for (int i = 0; i < SERVER_ALL; i++) {
		const struct worker *worker = &server->workers[i];

		count += worker->pid > 0 && !worker->is_draining &&
			 worker->page->running < worker_most(&server->worker);
	}
	return count;
}

/* Whoever ends or is full may have been the last that others wait for: this is
 * of what there is, and not of what was said. */
static bool server_is_short(const struct server *server)
{
	return server_count_open(server) < server_least(server) &&
	       server_count(server) < server_most(server);
}

static int server_fill(struct server *server, struct err *err)
{
	int r = 0;

	while (r >= 0 && server_is_short(server))
		r = server_add(server, err);
	return r;
}

static void server_retry(struct server *server)
{
	server->retry_at = clock_deadline(server->backoff_ms);
	server->backoff_ms *= 2;
	if (server->backoff_ms > SERVER_BACKOFF_MOST_MS)
		server->backoff_ms = SERVER_BACKOFF_MOST_MS;
}

static void server_replace(struct server *server)
{
	struct err err = { 0 };

	server->retry_at = SERVER_NEVER;
	if (server->stopping)
		return;
	if (server_fill(server, &err) < 0)
		server_retry(server);
}

static void server_sum(struct server *server, const struct worker_page *page)
{
	server->launches += page->launches;
	server->resets += page->resets;
	server->discarded += page->discarded;
	server->gone += page->gone;
}

/* One that should not have ended is replaced, at once if it lived a while. */
static void server_ended(struct server *server, struct worker *worker)
{
	bool was_draining = worker->is_draining;
	bool lived = clock_ns() - worker->born_ns >
		     (uint64_t)SERVER_SETTLED_MS * 1000000;

	server_sum(server, worker->page);
	log_event("domain.worker.end", "\"pid\":%d,\"drained\":%d",
		  (int)worker->pid, was_draining);
	worker_close(worker);
	if (was_draining || server->stopping)
		return;
	server->lost++;
	if (lived)
		server->backoff_ms = SERVER_BACKOFF_MS;
	if (lived || server->lost == 1)
		server_replace(server);
	else if (server->retry_at == SERVER_NEVER)
		server_retry(server);
}

/* What it says, 0: nothing. */
static char server_take_word(struct worker *worker, int timeout_ms)
{
	char word;

	if (fd_wait(worker->channel, POLLIN, timeout_ms) <= 0 ||
	    fd_receive(worker->channel, &word, 1, NULL, 0, NULL, NULL) != 1)
		return 0;
	return word;
}

static bool server_worker_is_gone(const struct worker *worker)
{
	char word;
	ssize_t len = recv(worker->channel, &word, 1, MSG_PEEK | MSG_DONTWAIT);

	return len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR);
}

static void server_obey_worker(struct server *server, struct worker *worker,
			       char word)
{
	if (word == WORKER_ENDS)
		worker->is_draining = true;
	if (word == WORKER_ENDS || word == WORKER_FULL)
		server_replace(server);
}

static void server_hear(struct server *server, struct worker *worker)
{
	if (server_worker_is_gone(worker))
		server_ended(server, worker);
	else
		server_obey_worker(server, worker, server_take_word(worker, 0));
}

static void server_drain(struct server *server, struct worker *worker)
{
	if (worker->pid > 0 && !worker->is_draining)
		worker_say(worker, WORKER_DRAIN);
	(void)server;
}

/* More workers than are needed, after the rush. */
static void server_shrink(struct server *server)
{
	for (int i = 0; i < SERVER_ALL; i++) {
		struct worker *worker = &server->workers[i];

		if (worker->pid > 0 && !worker->is_draining &&
		    !worker->page->running &&
		    server_count_open(server) > server_least(server) &&
		    clock_ns() - worker->page->used_ns >
			    (uint64_t)SERVER_EXTRA_MS * 1000000)
			server_drain(server, worker);
	}
}

/* ---- generations ---------------------------------------------------------- */

static int server_listen(const char *path, struct err *err)
{
	struct timeval limit = { .tv_sec = SERVER_ACCEPT_S };
	int fd = fd_listen(path, SERVER_BACKLOG, err);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static int server_open_plan(struct server *server, struct worker_plan *plan,
			    struct err *err)
{
	uint32_t least = server_least(server);

	*plan = (struct worker_plan){ .listener = -1 };
	if (server->plan->open(server->plan->env, plan, err) < 0)
		return err->code;
	plan->generation = server->generation + 1;
	plan->waiting = (server->plan->waiting + least - 1) / least;
	if (worker_is_alone(plan->ready) || plan->is_shared)
		plan->waiting = 1;
	return 0;
}

/* In front of those before it, which go on as they are when it fails. */
static int server_put_before(struct server *server,
			     const struct worker_plan *next, struct err *err)
{
	struct worker_plan before = server->worker;
	struct worker old[SERVER_ALL];
	int r;

	memcpy(old, server->workers, sizeof(old));
	for (int i = 0; i < SERVER_ALL; i++)
		server->workers[i].is_draining |= server->workers[i].pid > 0;
	server->worker = *next;
	r = server_fill(server, err);
	if (r < 0)
		server->worker = before;
	for (int i = 0; i < SERVER_ALL; i++) {
		struct worker *worker = &server->workers[i];

		if (old[i].pid > 0)
			worker->is_draining = old[i].is_draining;
		else if (r < 0 && worker->pid > 0)
			worker_close(worker);
	}
	for (int i = 0; r >= 0 && i < SERVER_ALL; i++)
		if (old[i].pid > 0)
			server_drain(server, &server->workers[i]);
	return r;
}

static int server_stand(struct server *server, struct worker_plan *next,
			const char *path, struct err *err)
{
	int listener = server_listen(path, err), r;

	if (listener < 0)
		return listener;
	next->listener = listener;
	r = server_put_before(server, next, err);
	if (r >= 0 && rename(path, server->plan->place->live) < 0)
		r = err_set(err, -errno, "rename %s", path);
	if (r < 0) {
		unlink(path);
		close(listener);
		return r;
	}
	fd_close(&server->listener);
	server->listener = listener;
	server->generation++;
	return 0;
}

static int server_renew(struct server *server, struct err *err)
{
	auto_free char *path = file_join(server->plan->place->folder, "next");
	struct worker_plan next;
	bool is_first = server->listener < 0;
	int r = path ? server_open_plan(server, &next, err)
		     : err_set(err, -ENOMEM, "a generation");

	if (r < 0)
		return r;
	unlink(path);
	r = server_stand(server, &next, path, err);
	if (r < 0)
		server->plan->drop(server->plan->env, true);
	else if (!is_first)
		server->plan->drop(server->plan->env, false);
	return r;
}

/* ---- status --------------------------------------------------------------- */

struct server_sums {
	uint64_t launches, resets, discarded, gone, own_kib, shared_kib;
	uint32_t waiting, running, domains, workers, walls;
};

static void server_add_up(const struct server *server, struct server_sums *sums)
{
	*sums = (struct server_sums){ .launches = server->launches,
				      .resets = server->resets,
				      .discarded = server->discarded,
				      .gone = server->gone,
				      .walls = UINT32_MAX };
	for (int i = 0; i < SERVER_ALL; i++) {
		const struct worker_page *page = server->workers[i].page;

		if (server->workers[i].pid <= 0)
			continue;
		sums->launches += page->launches;
		sums->resets += page->resets;
		sums->discarded += page->discarded;
		sums->gone += page->gone;
		sums->own_kib += page->own_kib;
		sums->shared_kib += page->shared_kib;
		sums->waiting += page->waiting;
		sums->running += page->running;
		sums->domains += page->domains;
		sums->workers++;
		sums->walls &= page->walls;
	}
	if (!sums->workers)
		sums->walls = 0;
}

static const char *server_isolation(const struct server *server)
{
	const struct ready *ready = server->worker.ready;

	return ready && ready->options.ground->has_kvm ? "kvm" : "process";
}

static void server_status_members(const struct server *server,
				  const struct server_sums *sums,
				  struct json *json)
{
	char walls[JAIL_TEXT];

	json_text(json, "kind", "domain");
	json_text(json, "name", server->plan->name ? server->plan->name : "");
	json_text(json, "program", server->plan->program);
	json_text(json, "state",
		  server->stopping ? "stopped"
		  : sums->workers  ? "serving"
				   : "failed");
	json_text(json, "isolation", server_isolation(server));
	json_bool(json, "shared_vm", server->worker.is_shared);
	json_text(json, "walls", jail_walls_text(sums->walls, walls));
	json_text(json, "socket", server->plan->place->live);
	json_number(json, "pid", getpid());
	json_number(json, "generation", (int64_t)server->generation);
	json_number(json, "launches", (int64_t)sums->launches);
	json_number(json, "live", sums->running);
	json_number(json, "waiting", sums->waiting);
	json_number(json, "vms", sums->domains);
	json_number(json, "workers", sums->workers);
	json_number(json, "resets", (int64_t)sums->resets);
	json_number(json, "discarded", (int64_t)sums->discarded);
	json_number(json, "callers_gone", (int64_t)sums->gone);
	json_number(json, "workers_lost", (int64_t)server->lost);
	json_number(json, "own_kib", (int64_t)sums->own_kib);
	json_number(json, "shared_kib", (int64_t)sums->shared_kib);
	json_text(json, "last_error", server->last_error);
	json_list_open(json, "worker_pids");
	for (int i = 0; i < SERVER_ALL; i++)
		if (server->workers[i].pid > 0)
			json_number(json, NULL, server->workers[i].pid);
	json_list_close(json);
}

static void server_answer(struct server *server, struct server_client *client,
			  const char *error)
{
	auto_buf struct buf text = { 0 };
	struct server_sums sums;
	struct json json;

	server_add_up(server, &sums);
	json_start(&json, &text);
	json_open(&json, NULL);
	json_bool(&json, "ok", !error);
	if (error)
		json_text(&json, "error", error);
	else
		server_status_members(server, &sums, &json);
	json_close(&json);
	if (!text.failed)
		send(client->fd, text.data, text.len,
		     MSG_NOSIGNAL | MSG_DONTWAIT);
	fd_close(&client->fd);
	client->waits = false;
}

/* It may say something else first. */
static void server_wait_weighed(struct server *server, struct worker *worker)
{
	char word = 'x';

	for (int i = 0; i < SERVER_WORDS && word && word != WORKER_WEIGH; i++) {
		word = server_take_word(worker, SERVER_WEIGH_MS);
		if (word && word != WORKER_WEIGH)
			server_obey_worker(server, worker, word);
	}
}

static void server_weigh(struct server *server)
{
	for (int i = 0; i < SERVER_ALL; i++) {
		struct worker *worker = &server->workers[i];

		if (worker->pid > 0 && worker_say(worker, WORKER_WEIGH) >= 0)
			server_wait_weighed(server, worker);
	}
}

/* ---- the end -------------------------------------------------------------- */

/* What runs goes on, and the name is free. */
static void server_stop(struct server *server)
{
	if (server->stopping)
		return;
	server->stopping = true;
	unlink(server->plan->place->live);
	fd_close(&server->listener);
	for (int i = 0; i < SERVER_ALL; i++)
		server_drain(server, &server->workers[i]);
}

static void server_release(struct server *server)
{
	if (server->released)
		return;
	server->released = true;
	fd_close(&server->control);
	server_place_leave(server->plan->place);
	fd_close(&server->lock);
	for (int i = 0; i < SERVER_CLIENTS; i++)
		if (server->clients[i].fd >= 0 && server->clients[i].waits)
			server_answer(server, &server->clients[i], NULL);
}

/* ---- words and signals ---------------------------------------------------- */

static void server_obey(struct server *server, struct server_client *client,
			const char *word)
{
	struct err err = { 0 };

	if (!strcmp(word, "stop")) {
		client->waits = true;
		server_stop(server);
		return;
	}
	if (!strcmp(word, "weigh"))
		server_weigh(server);
	else if (!strcmp(word, "refresh"))
		server_renew(server, &err);
	else if (strcmp(word, "status") != 0)
		err_set(&err, -EINVAL,
			"unknown word: status, weigh, refresh, "
			"stop");
	server_answer(server, client, err.code ? err.text : NULL);
}

static void server_read(struct server *server, struct server_client *client)
{
	char word[SERVER_WORD_MOST + 1] = { 0 };

	if (fd_receive(client->fd, word, SERVER_WORD_MOST, NULL, 0, NULL,
		       NULL) <= 0 ||
	    client->waits) {
		fd_close(&client->fd);
		client->waits = false;
	} else {
		server_obey(server, client, word);
	}
}

static bool server_is_own_user(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/* With all places taken by silent ones the first has to go. */
static void server_accept(struct server *server)
{
	struct server_client *client = &server->clients[0];
	int fd = accept4(server->control, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (!server_is_own_user(fd)) {
		close(fd);
		return;
	}
	for (int i = 0; i < SERVER_CLIENTS; i++)
		if (server->clients[i].fd < 0) {
			client = &server->clients[i];
			break;
		}
	fd_close(&client->fd);
	*client = (struct server_client){ .fd = fd };
}

static void server_signals(struct server *server)
{
	struct signalfd_siginfo info;
	struct err err = { 0 };

	while (read(server->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP && !server->stopping) {
			server_renew(server, &err);
			continue;
		}
		/* The second time nobody waits any more. */
		server->kill_at =
			clock_deadline(server->stopping ? 0 : SERVER_STOP_MS);
		server_stop(server);
	}
}

/* ---- the loop ------------------------------------------------------------- */

static uint64_t server_used_ns(const struct server *server)
{
	uint64_t used = server->born_ns;

	for (int i = 0; i < SERVER_ALL; i++) {
		const struct worker_page *page = server->workers[i].page;

		if (server->workers[i].pid <= 0)
			continue;
		if (page->running)
			return clock_ns();
		if (page->launches && page->used_ns > used)
			used = page->used_ns;
	}
	return used;
}

static uint64_t server_idle_at(const struct server *server)
{
	return server->plan->idle_ms && !server->stopping
		       ? server_used_ns(server) +
				 (uint64_t)server->plan->idle_ms * 1000000
		       : SERVER_NEVER;
}

static void server_kill_all(struct server *server)
{
	for (int i = 0; i < SERVER_ALL; i++)
		if (server->workers[i].pid > 0)
			server_ended(server, &server->workers[i]);
}

static void server_timers(struct server *server)
{
	uint64_t now = clock_ns();

	if (now >= server->kill_at)
		server_kill_all(server);
	if (now >= server->retry_at)
		server_replace(server);
	if (now >= server_idle_at(server))
		server_stop(server);
	if (!server->stopping)
		server_shrink(server);
}

static int server_wait_ms(const struct server *server)
{
	uint64_t next = server_idle_at(server);

	if (server->retry_at < next)
		next = server->retry_at;
	if (server->kill_at < next)
		next = server->kill_at;
	if (server_count(server) > server_least(server) &&
	    next > clock_deadline(SERVER_LOOK_MS))
		next = clock_deadline(SERVER_LOOK_MS);
	return next == SERVER_NEVER ? -1 : clock_left_ms(next);
}

enum { POLL_SIGNALS, POLL_CONTROL, POLL_CLIENTS };
enum {
	POLL_WORKERS = POLL_CLIENTS + SERVER_CLIENTS,
	POLL_ALL = POLL_WORKERS + SERVER_ALL
};

static void server_polls(const struct server *server, struct pollfd *polls)
{
	polls[POLL_SIGNALS] = (struct pollfd){ server->signals, POLLIN, 0 };
	polls[POLL_CONTROL] = (struct pollfd){ server->control, POLLIN, 0 };
	for (int i = 0; i < SERVER_CLIENTS; i++)
		polls[POLL_CLIENTS + i] =
			(struct pollfd){ server->clients[i].fd, POLLIN, 0 };
	for (int i = 0; i < SERVER_ALL; i++)
		polls[POLL_WORKERS + i] =
			(struct pollfd){ server->workers[i].pid > 0
						 ? server->workers[i].channel
						 : -1,
					 POLLIN, 0 };
}

/* Workers first: what they say is of the places as they were polled. */
static void server_dispatch(struct server *server, const struct pollfd *polls)
{
	for (int i = 0; i < SERVER_ALL; i++)
		if (polls[POLL_WORKERS + i].revents)
			server_hear(server, &server->workers[i]);
	for (int i = 0; i < SERVER_CLIENTS; i++)
		if (polls[POLL_CLIENTS + i].revents &&
		    server->clients[i].fd >= 0)
			server_read(server, &server->clients[i]);
	if (polls[POLL_CONTROL].revents)
		server_accept(server);
	if (polls[POLL_SIGNALS].revents)
		server_signals(server);
}

static void server_loop(struct server *server)
{
	struct pollfd polls[POLL_ALL];

	for (;;) {
		server_timers(server);
		if (server->stopping)
			server_release(server);
		if (server->stopping && !server_count_all(server))
			return;
		server_polls(server, polls);
		if (poll(polls, POLL_ALL, server_wait_ms(server)) > 0)
			server_dispatch(server, polls);
	}
}

/* ---- life ----------------------------------------------------------------- */

static int server_open_signals(struct server *server, struct err *err)
{
	sigset_t set;

	process_reset_signals();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	server->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return server->signals < 0 ? err_set(err, -errno, "signalfd") : 0;
}

static int server_open(struct server *server, struct err *err)
{
	int r = server_open_signals(server, err);

	if (r < 0)
		return r;
	server->lock =
		server_place_take(server->root, server->plan->place, err);
	if (server->lock < 0)
		return server->lock;
	r = server_renew(server, err);
	if (r < 0)
		return r;
	server->control =
		fd_listen(server->plan->place->control, SERVER_BACKLOG, err);
	return server->control < 0 ? server->control : 0;
}

static void server_close(struct server *server)
{
	for (int i = 0; i < SERVER_ALL; i++)
		worker_close(&server->workers[i]);
	if (!server->released && server->lock >= 0)
		server_release(server);
	for (int i = 0; i < SERVER_CLIENTS; i++)
		fd_close(&server->clients[i].fd);
	fd_close(&server->listener);
	fd_close(&server->control);
	fd_close(&server->signals);
	if (server->generation)
		server->plan->drop(server->plan->env, true);
}

int server_run(const struct server_plan *plan, const char *root,
	       struct err *err)
{
	struct server server = { .plan = plan,
				 .root = root,
				 .lock = -1,
				 .signals = -1,
				 .listener = -1,
				 .control = -1,
				 .born_ns = clock_ns(),
				 .retry_at = SERVER_NEVER,
				 .kill_at = SERVER_NEVER,
				 .backoff_ms = SERVER_BACKOFF_MS };
	int r;

	for (int i = 0; i < SERVER_ALL; i++)
		server.workers[i].channel = -1;
	for (int i = 0; i < SERVER_CLIENTS; i++)
		server.clients[i].fd = -1;
	r = server_open(&server, err);
	if (r >= 0) {
		plan->ready(plan->env);
		server_loop(&server);
	}
	server_close(&server);
	return r;
}
