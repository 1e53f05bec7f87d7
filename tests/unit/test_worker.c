/* SPDX-License-Identifier: Apache-2.0 */
/* Workers without a server: a test starts one, is its caller, and ends it.
 * CLAIM 3.11 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "domain/domain_wire.h"
#include "domain/jail.h"
#include "domain/ready.h"
#include "domain/worker.h"
#include "lib/made_domain.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEEDS_KVM              \
	if (!ground_use(true)) \
	SKIP(failure.text)

/* Ends with what it has found in memory, as it does with an argument; with
 * two it never ends. */
#define TENANT                                                                   \
	"(module (import \"wasi_snapshot_preview1\" \"proc_exit\""               \
	" (func $exit (param i32)))"                                             \
	" (import \"wasi_snapshot_preview1\" \"args_sizes_get\""                 \
	" (func $args (param i32 i32) (result i32)))"                            \
	" (memory (export \"memory\") 1 64) (global $g (mut i32) (i32.const 0))" \
	" (func (export \"_start\") (local $found i32)"                          \
	"  (drop (call $args (i32.const 0) (i32.const 4)))"                      \
	"  (if (i32.eq (i32.load (i32.const 0)) (i32.const 3))"                  \
	"   (then (loop $ever (br $ever))))"                                     \
	"  (local.set $found (i32.add (i32.load (i32.const 5000))"               \
	"   (i32.add (global.get $g) (i32.sub (memory.size) (i32.const 1)))))"   \
	"  (i32.store (i32.const 5000) (i32.const 1))"                           \
	"  (global.set $g (i32.const 1))"                                        \
	"  (drop (memory.grow (i32.const 3)))"                                   \
	"  (i32.store (i32.const 200000) (i32.const 1))"                         \
	"  (call $exit (local.get $found))))"

struct served {
	struct vm vm;
	struct program program;
	struct ready ready;
	struct wasi *like;
	char *folder, *socket;
	struct worker_plan plan;
	struct worker worker;
};
static char *served_words[] = { (char *)"tenant" };

static bool served_ready(struct served *served)
{
	const struct domain_options options = { .ground = ground };
	const struct wasi_options none = { .stdio = { -1, -1, -1 } };
	auto_free char *images = file_join(served->folder, "domains");
	struct domain_outcome outcome;
	struct domain *domain;

	if (wasi_open(&served->like, &none, &failure) < 0 ||
	    ready_open(&served->ready, &options, &served->program, images,
		       &failure) < 0 ||
	    ready_start(&served->ready, NULL, 0, &domain, &outcome, &failure) <
		    0)
		return false;
	domain_close(domain);
	return served->ready.has_snapshot;
}

static bool served_open(struct served *served, uint32_t waiting)
{
	struct vm_options options = {
		.code.via = VM_COMPILED,
		.code.without_features = jit_features() & ~ground->features,
		.cache = &made_cache
	};
	auto_buf struct buf bytes = { 0 };
	struct wasm_module *module;
	const char *root = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";

	*served = (struct served){ 0 };
	failure = (struct err){ 0 };
	served->folder = file_format("%s/worker.%d", root, getpid());
	served->socket = file_join(served->folder, "live");
	if (file_private_dir(served->folder, &failure) < 0 ||
	    wat_to_binary("test", TENANT, strlen(TENANT), &bytes, &failure) <
		    0 ||
	    vm_init(&served->vm, &options, &failure) < 0 ||
	    vm_load(&served->vm, bytes.data, bytes.len, &module, &failure) <
		    0 ||
	    program_open(&served->program, &served->vm, module, &failure) < 0 ||
	    !served_ready(served))
		return false;
	served->plan = (struct worker_plan){
		.ready = &served->ready,
		.like = served->like,
		.listener = fd_listen(served->socket, 64, &failure),
		.generation = 7,
		.arguments = served_words,
		.argument_count = 1,
		.waiting = waiting,
	};
	return served->plan.listener >= 0 &&
	       worker_start(&served->worker, &served->plan, &failure) >= 0;
}

static void served_close(struct served *served)
{
	worker_close(&served->worker);
	fd_close(&served->plan.listener);
	ready_close(&served->ready);
	program_close(&served->program);
	wasi_close(served->like);
	vm_fini(&served->vm);
	file_remove_tree(served->folder, NULL);
	free(served->folder);
	free(served->socket);
}

/* made_domain.h has more than is needed here. */
static void __attribute__((unused)) served_unused(void)
{
	(void)run_open, (void)run_close, (void)run_is, (void)run_traps;
}

/* A launch with so many words, begun. */
static int launch_begin(struct served *served, uint32_t argc)
{
	_Alignas(struct domain_wire_launch) char
		packet[sizeof(struct domain_wire_launch) + 8] = { 0 };
	struct domain_wire_launch *launch = (void *)packet;
	struct domain_wire_ready ready;
	size_t size = sizeof(*launch) + argc;
	int fd = fd_connect(served->socket, 5000, &failure), count = 0;

	if (fd < 0 ||
	    fd_receive(fd, &ready, sizeof(ready), NULL, 0, &count, &failure) !=
		    (ssize_t)sizeof(ready) ||
	    ready.generation != 7)
		return -1;
	launch->head = domain_wire_head(DOMAIN_WIRE_LAUNCH, size);
	launch->argc = launch->string_bytes = argc;
	return fd_send(fd, packet, size, NULL, 0, &failure) < 0 ? -1 : fd;
}

/* Its exit code, or -1. */
static int launch_end(int fd)
{
	struct domain_wire_ended ended = { 0 };
	int count = 0, code = -1;

	if (fd >= 0 && fd_receive(fd, &ended, sizeof(ended), NULL, 0, &count,
				  NULL) == (ssize_t)sizeof(ended))
		code = ended.exit_code;
	fd_close(&fd);
	return code;
}

static bool soon(const uint32_t *what, uint32_t value)
{
	uint64_t deadline = clock_deadline(5000);

	while (__atomic_load_n(what, __ATOMIC_RELAXED) != value) {
		if (!clock_left_ms(deadline))
			return false;
		clock_sleep_ms(2);
	}
	return true;
}

/* Who has answered renews its domain behind that. */
static bool renewed(const struct worker_page *page, uint64_t least)
{
	uint64_t deadline = clock_deadline(5000);

	while (__atomic_load_n(&page->resets, __ATOMIC_RELAXED) < least) {
		if (!clock_left_ms(deadline))
			return false;
		clock_sleep_ms(2);
	}
	return true;
}

static void check_tenants(void)
{
	struct served served;
	int wrong = 0;

	CHECK(served_open(&served, 2));
	for (int i = 0; i < 60; i++)
		wrong += launch_end(launch_begin(&served, 0)) != 0;
	CHECK_INT(wrong, 0);
	if (served.worker.page) {
		CHECK_INT(served.worker.page->launches, 60);
		CHECK(renewed(served.worker.page, 58));
		CHECK(served.worker.page->walls & JAIL_SECCOMP);
		CHECK(served.worker.page->walls & JAIL_DESCRIPTORS);
	}
	served_close(&served);
}

TEST(no_tenant_finds_anything)
{
	NEEDS_KVM;
	check_tenants();
}

TEST(no_tenant_finds_anything_in_a_process)
{
	ground_use(false);
	check_tenants();
}

/* One whose caller goes, others beside it. */
static void check_gone(void)
{
	struct served served;
	int fd;

	CHECK(served_open(&served, 2));
	fd = launch_begin(&served, 2);
	CHECK(fd >= 0);
	CHECK(soon(&served.worker.page->running, 1));
	if (ground->has_kvm)
		CHECK_INT(launch_end(launch_begin(&served, 0)), 0);
	fd_close(&fd);
	CHECK(soon(&served.worker.page->running, 0));
	CHECK_INT(served.worker.page->gone, 1);
	CHECK_INT(launch_end(launch_begin(&served, 0)), 0);
	served_close(&served);
}

TEST(a_caller_goes)
{
	NEEDS_KVM;
	check_gone();
}

TEST(a_caller_goes_from_a_process)
{
	ground_use(false);
	check_gone();
}

/* More than the pool, and more than there is room for. */
TEST(all_run)
{
	struct served served;
	int fds[WORKER_RUNNERS], late;
	char word = 0;

	NEEDS_KVM;
	CHECK(served_open(&served, 2));
	for (int i = 0; i < WORKER_RUNNERS; i++)
		fds[i] = launch_begin(&served, 2);
	CHECK(soon(&served.worker.page->running, WORKER_RUNNERS));
	CHECK_INT(served.worker.page->domains, WORKER_RUNNERS);
	CHECK_INT(fd_wait(served.worker.channel, POLLIN, 5000), 1);
	CHECK_INT(fd_receive(served.worker.channel, &word, 1, NULL, 0, NULL,
			     NULL),
		  1);
	CHECK_INT(word, WORKER_FULL);
	late = fd_connect(served.socket, 1000, &failure);
	CHECK_INT(fd_wait(late, POLLIN, 50), 0);
	fd_close(&fds[3]);
	CHECK_INT(fd_wait(late, POLLIN, 5000), 1);
	fd_close(&late);
	for (int i = 0; i < WORKER_RUNNERS; i++)
		fd_close(&fds[i]);
	CHECK(soon(&served.worker.page->running, 0));
	CHECK_INT(launch_end(launch_begin(&served, 0)), 0);
	served_close(&served);
}

static bool has_ended(struct served *served, int *status)
{
	uint64_t deadline = clock_deadline(5000);

	while (waitpid(served->worker.pid, status, WNOHANG) == 0) {
		if (!clock_left_ms(deadline))
			return false;
		clock_sleep_ms(2);
	}
	served->worker.pid = 0;
	return true;
}

TEST(drained)
{
	struct served served;
	int fd, status = -1;

	NEEDS_KVM;
	CHECK(served_open(&served, 3));
	CHECK(soon(&served.worker.page->waiting, 3));
	fd = launch_begin(&served, 2);
	CHECK(soon(&served.worker.page->running, 1));
	CHECK_INT(worker_say(&served.worker, WORKER_DRAIN), 0);
	CHECK(soon(&served.worker.page->runners, 1));
	CHECK_INT(served.worker.page->running, 1);
	fd_close(&fd);
	CHECK(has_ended(&served, &status));
	CHECK_INT(status, 0);
	served_close(&served);
}

TEST(the_server_ends)
{
	struct served served;
	int fd, status = -1;

	NEEDS_KVM;
	CHECK(served_open(&served, 2));
	fd = launch_begin(&served, 2);
	CHECK(soon(&served.worker.page->running, 1));
	fd_close(&served.worker.channel);
	CHECK(has_ended(&served, &status));
	CHECK_INT(launch_end(fd), -1);
	served_close(&served);
}

TEST(killed)
{
	struct served served;
	int fd, status = 0;

	NEEDS_KVM;
	CHECK(served_open(&served, 2));
	fd = launch_begin(&served, 2);
	CHECK(soon(&served.worker.page->running, 1));
	kill(served.worker.pid, SIGKILL);
	CHECK(has_ended(&served, &status));
	CHECK(WIFSIGNALED(status));
	CHECK_INT(launch_end(fd), -1);
	CHECK_INT(fd_wait(served.worker.channel, POLLIN, 1000), 1);
	served_close(&served);
}

TEST(weighed)
{
	struct served served;
	char word = 0;

	NEEDS_KVM;
	CHECK(served_open(&served, 2));
	CHECK_INT(worker_say(&served.worker, WORKER_WEIGH), 0);
	CHECK_INT(fd_receive(served.worker.channel, &word, 1, NULL, 0, NULL,
			     NULL),
		  1);
	CHECK_INT(word, WORKER_WEIGH);
	CHECK(served.worker.page->own_kib > 0);
	CHECK(served.worker.page->shared_kib > 0);
	served_close(&served);
}

TEST_MAIN
