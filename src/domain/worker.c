/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's begin and end, on the server's side and on its own. */
#include "domain/worker.h"
#include "base/clock.h"
#include "base/fd.h"
#include "domain/ground.h"
#include "domain/jail.h"
#include "domain/worker_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKER_START_MS = 20000,
	WORKER_KEEP_MOST = 512,
	WORKER_DESCRIPTORS = 65536,
	WORKER_GRANTS_MOST = 256,
};

/* ---- in the worker -------------------------------------------------------- */

struct worker_keep {
	int fds[WORKER_KEEP_MOST], read_only[WORKER_GRANTS_MOST];
	size_t count, read_only_count;
	bool has_folders;
};

static void keep_add(struct worker_keep *keep, int fd)
{
	if (fd >= 0 && keep->count < WORKER_KEEP_MOST)
		keep->fds[keep->count++] = fd;
}

static void keep_tip(struct worker_keep *keep, const struct tip *tip)
{
	for (uint32_t i = 0; i < tip->layer_count; i++)
		keep_add(keep, tip->layers[i].fd);
	for (uint32_t i = 0; i < tip->disk_count; i++)
		keep_add(keep, tip->disks[i].fd);
	keep_add(keep, tip->state.fd);
}

static int keep_granted(struct worker_keep *keep, const struct wasi *like,
			struct err *err)
{
	struct wasi_granted granted[WORKER_GRANTS_MOST];
	size_t count = wasi_granted(like, granted, WORKER_GRANTS_MOST);

	if (count > WORKER_GRANTS_MOST)
		return err_set(err, -E2BIG, "%zu folders and sockets", count);
	for (size_t i = 0; i < count; i++) {
		keep_add(keep, granted[i].host);
		keep->has_folders |= granted[i].is_folder;
		if (granted[i].is_folder && granted[i].read_only)
			keep->read_only[keep->read_only_count++] =
				granted[i].host;
	}
	return 0;
}

static int keep_all(struct worker_keep *keep, const struct hive *hive,
		    struct err *err)
{
	const struct ready *ready = hive->plan->ready;

	for (int i = 0; i < 3; i++)
		keep_add(keep, i);
	keep_add(keep, hive->channel);
	keep_add(keep, hive->epoll);
	keep_add(keep, hive->wake);
	keep_add(keep, hive->pagemap);
	keep_add(keep, hive->rollup);
	keep_add(keep, hive->plan->listener);
	if (ready->files)
		keep_add(keep, ready->files->fd);
	keep_add(keep, ready->options.ground->kvm.device);
	if (ready->has_snapshot)
		keep_tip(keep, &ready->snapshot.tip);
	return keep_granted(keep, hive->plan->like, err);
}

static void worker_wakes(int number)
{
	(void)number;
}

/* Callers' pipes break, and a thread that waits is sent on its way.  What a
 * CPU handles was set in the server, and stays. */
static void worker_signals(void)
{
	sigset_t none;

	struct sigaction wakes = { .sa_handler = worker_wakes };
	struct sigaction ignored = { .sa_handler = SIG_IGN };

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGUSR1, &wakes, NULL);
	sigaction(SIGPIPE, &ignored, NULL);
}

static void worker_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max < WORKER_DESCRIPTORS
				 ? limit.rlim_max
				 : WORKER_DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The server's streams are no business of its, nor is who reads them kept
 * waiting for their end. */
static int worker_silence(struct err *err)
{
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; null >= 0 && i < 3; i++)
		if (dup2(null, i) < 0)
			return err_set(err, -errno, "a worker's streams");
	return null < 0 ? err_set(err, -errno, "open /dev/null") : 0;
}

static int worker_prepare(struct hive *hive, struct err *err)
{
	worker_raise_limit();
	/* A terminal of the server's is none of its guests'. */
	setsid();
	hive->epoll = epoll_create1(EPOLL_CLOEXEC);
	hive->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	hive->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	hive->rollup = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	if (hive->epoll < 0 || hive->wake < 0)
		return err_set(err, -errno, "a worker's events");
	if (hive->pagemap < 0)
		return err_set(err, -errno, "open /proc/self/pagemap");
	return worker_silence(err);
}

static int worker_enter(struct hive *hive, struct jail_options *jail,
			struct jail_told *told, struct err *err)
{
	struct worker_keep keep = { 0 };
	int r = worker_prepare(hive, err);

	if (r >= 0)
		r = keep_all(&keep, hive, err);
	if (r < 0)
		return r;
	jail->kvm = hive->plan->ready->options.ground->has_kvm;
	jail->sockets = true;
	jail->folders = keep.has_folders;
	jail->walk = keep.has_folders && wasi_walks(hive->plan->like);
	jail->keep = keep.fds;
	jail->keep_count = keep.count;
	jail->read_only = keep.read_only;
	jail->read_only_count = keep.read_only_count;
	r = jail_enter(jail, told, err);
	hive->page->walls = told->walls;
	return r;
}

/* In the jail nothing becomes code. */
static int worker_make_alone(struct hive *hive, struct err *err)
{
	struct ready *ready = hive->plan->ready;
	struct domain_outcome outcome;
	struct domain_counts counts;
	int r;

	hive->most = worker_most(hive->plan);
	if (!worker_is_alone(ready))
		return 0;
	r = ready_start(ready, NULL, 0, &hive->alone, &outcome, err);
	if (r < 0)
		return r;
	hive->page->domains = 1;
	domain_counts(hive->alone, &counts);
	return outcome.trap || (counts.wasi && !ready->has_snapshot)
		       ? err_set(err, -EPROTO,
				 "it cannot be made ahead, and there is "
				 "no KVM")
		       : 0;
}

static void worker_tell(int channel, const struct err *err)
{
	fd_send(channel, err, sizeof(*err), NULL, 0, NULL);
}

static void worker_say_ends(const struct hive *hive)
{
	const char word = WORKER_ENDS;

	fd_send(hive->channel, &word, 1, NULL, 0, NULL);
}

static _Noreturn void worker_live(struct hive *hive, struct jail_options *jail,
				  struct jail_told *told)
{
	struct err err = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "brood-domains");
	worker_signals();
	if (worker_make_alone(hive, &err) < 0 ||
	    worker_enter(hive, jail, told, &err) < 0 ||
	    hive_open(hive, &err) < 0) {
		worker_tell(hive->channel, &err);
		_exit(111);
	}
	worker_tell(hive->channel, &err);
	hive_loop(hive);
	worker_say_ends(hive);
	_exit(0);
}

/* ---- in the server -------------------------------------------------------- */

static struct worker_page *worker_make_page(void)
{
	void *page =
		mmap(NULL, sizeof(struct worker_page), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

static int worker_hear(struct worker *worker, struct err *err)
{
	struct err told = { 0 };
	ssize_t len = -1;

	if (fd_wait(worker->channel, POLLIN, WORKER_START_MS) > 0)
		len = fd_receive(worker->channel, &told, sizeof(told), NULL, 0,
				 NULL, NULL);
	if (len != (ssize_t)sizeof(told))
		return err_set(err, -EPROTO, "it ended when it began");
	told.text[sizeof(told.text) - 1] = 0;
	return told.code < 0 ? err_set(err, -EPROTO, "%s", told.text) : 0;
}

/* The structs are the worker's own in the copy that it is. */
static int worker_fork(struct worker *worker, struct hive *hive, int end,
		       struct err *err)
{
	struct jail_options jail = { .strength = JAIL_FULL };
	struct jail_told told = { 0 };

	worker->pid = jail_fork(&jail, &told, err);
	if (worker->pid != 0)
		return worker->pid < 0 ? worker->pid : 0;
	hive->channel = end;
	worker_live(hive, &jail, &told);
}

int worker_start(struct worker *worker, const struct worker_plan *plan,
		 struct err *err)
{
	auto_free struct hive *hive = calloc(1, sizeof(*hive));
	auto_close int end = -1;
	int ends[2], r;

	*worker = (struct worker){ .channel = -1, .born_ns = clock_ns() };
	worker->page = worker_make_page();
	if (!hive || !worker->page)
		return err_set(err, -ENOMEM, "a worker");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set(err, -errno, "a worker's channel");
	worker->channel = ends[0];
	end = ends[1];
	hive->plan = plan;
	hive->page = worker->page;
	pthread_mutex_init(&hive->lock, NULL);
	pthread_mutex_init(&hive->words, NULL);
	r = worker_fork(worker, hive, end, err);
	fd_close(&end);
	if (r >= 0)
		r = worker_hear(worker, err);
	if (r >= 0)
		return 0;
	worker_close(worker);
	return err_wrap(err, "a worker");
}

void worker_close(struct worker *worker)
{
	if (worker->pid > 0) {
		kill(worker->pid, SIGKILL);
		while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	fd_close(&worker->channel);
	if (worker->page)
		munmap(worker->page, sizeof(*worker->page));
	*worker = (struct worker){ .channel = -1 };
}

int worker_say(struct worker *worker, enum worker_word word)
{
	const char byte = (char)word;

	if (word == WORKER_DRAIN)
		worker->is_draining = true;
	return fd_send(worker->channel, &byte, 1, NULL, 0, NULL);
}
