/* SPDX-License-Identifier: Apache-2.0 */
/* A child is a domain and a thread that runs it; the machines of some that
 * have ended wait for the next, of whatever program.  It is made by the parent's
 * thread, so that whoever asks for too much is told so at once. */
#include "domain/children.h"
#include "base/buf.h"
#include "base/clock.h"
#include "brood/wasi_abi.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	CHILDREN_SPARE = 4, /* machines that wait */
	CHILDREN_MOST = 31, /* beside the parent: VMs slow each other down */
	CHILDREN_NAME = 64,
	CHILDREN_WORDS = 65536, /* bytes of arguments */
	CHILDREN_STACK = 1024 * 1024,
};
/* Exit codes, as "brood run" has them. */
enum { CHILD_FAILED = 111, CHILD_TIMEOUT = 124, CHILD_FUEL, CHILD_TRAP = 134 };

struct child {
	struct children *children;
	struct ready *ready;
	struct domain *domain;
	struct wasi *wasi;
	char name[CHILDREN_NAME + 1];
	pthread_t thread;
	int code;
	bool runs;    /* its thread has to be joined */
	bool is_done; /* and will not wait; atomic */
	bool is_over; /* its parent has ended, and so shall it; atomic */
};

struct children {
	struct children_options options;
	pthread_mutex_t tell; /* one at a time */
	pthread_cond_t done;  /* one of them is */
	struct child child[CHILDREN_MOST];
	struct domain *spare[CHILDREN_SPARE]; /* the parent's thread's */
	int spares;
};

int children_open(struct children **opened,
		  const struct children_options *options, struct err *err)
{
	struct children *children = calloc(1, sizeof(*children));

	*opened = children;
	if (!children)
		return err_set(err, -ENOMEM, "a domain's children");
	children->options = *options;
	pthread_mutex_init(&children->tell, NULL);
	pthread_cond_init(&children->done, NULL);
	return 0;
}

/* One that broke cannot be bound, and is closed then. */
static void children_give(struct children *children, struct domain *domain)
{
	if (children->spares < CHILDREN_SPARE)
		children->spare[children->spares++] = domain;
	else
		domain_close(domain);
}

/* In a machine that waits, or a new one. */
static int child_begin(struct child *child, struct domain_outcome *outcome,
		       struct err *err)
{
	struct children *children = child->children;
	int64_t deadline_ns = children->options.deadline_ns;

	*outcome = (struct domain_outcome){ 0 };
	while (children->spares) {
		child->domain = children->spare[--children->spares];
		if (ready_bind(child->ready, child->domain, child->wasi,
			       deadline_ns, NULL) >= 0)
			return 0;
		domain_close(child->domain);
		child->domain = NULL;
	}
	return ready_start(child->ready, child->wasi, deadline_ns,
			   &child->domain, outcome, err);
}

static int child_join(struct child *child)
{
	pthread_join(child->thread, NULL);
	child->runs = false;
	children_give(child->children, child->domain);
	wasi_close(child->wasi);
	return child->code;
}

/* A signal may come just before the guest is entered. */
static void child_end(struct child *child)
{
	__atomic_store_n(&child->is_over, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&child->is_done, __ATOMIC_ACQUIRE)) {
		domain_end(child->domain);
		pthread_kill(child->thread, SIGRTMIN);
		clock_sleep_ms(1);
	}
	child_join(child);
}

void children_close(struct children *children)
{
	if (!children)
		return;
	for (int i = 0; i < CHILDREN_MOST; i++)
		if (children->child[i].runs)
			child_end(&children->child[i]);
	while (children->spares)
		domain_close(children->spare[--children->spares]);
	pthread_cond_destroy(&children->done);
	pthread_mutex_destroy(&children->tell);
	free(children);
}

/* ---- a child's own thread --------------------------------------------------- */

static void child_tell(struct child *child, const char *text)
{
	const struct children_options *options = &child->children->options;

	if (__atomic_load_n(&child->is_over, __ATOMIC_ACQUIRE))
		return; /* it did nothing wrong */
	pthread_mutex_lock(&child->children->tell);
	if (options->tell)
		options->tell(options->env, child->name, text);
	pthread_mutex_unlock(&child->children->tell);
}

static int child_code(struct child *child, const struct domain_outcome *outcome)
{
	auto_buf struct buf text = { 0 };

	switch (outcome->trap) {
	case WASM_OK: return 0;
	case WASM_TRAP_exit: return outcome->exit_code;
	default: break;
	}
	pthread_mutex_lock(&child->children->tell);
	program_describe(child->ready->program, 0, outcome, &text);
	pthread_mutex_unlock(&child->children->tell);
	child_tell(child, buf_string(&text));
	return outcome->trap == WASM_TRAP_deadline ? CHILD_TIMEOUT
	       : outcome->trap == WASM_TRAP_fuel   ? CHILD_FUEL
						   : CHILD_TRAP;
}

static int child_failed(struct child *child, const struct err *err)
{
	child_tell(child, err->text);
	return err->code == -ETIME    ? CHILD_TIMEOUT
	       : err->code == -EPROTO ? CHILD_TRAP
				      : CHILD_FAILED;
}

static void *child_work(void *data)
{
	struct child *child = data;
	struct domain_outcome outcome;
	struct err err = { 0 };
	int r = ready_run(child->ready, child->domain, &outcome, &err);

	child->code =
		r < 0 ? child_failed(child, &err) : child_code(child, &outcome);
	pthread_mutex_lock(&child->children->tell);
	__atomic_store_n(&child->is_done, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&child->children->done);
	pthread_mutex_unlock(&child->children->tell);
	return NULL;
}

/* ---- asked for --------------------------------------------------------------- */

/* Bytes of the guest's, copied once. */
static bool children_copy(const struct domain_asked *asked, uint64_t at,
			  uint64_t len, uint64_t most, char *to)
{
	if (len > most || at > asked->bytes || len > asked->bytes - at)
		return false;
	memcpy(to, asked->base + at, len);
	to[len] = 0;
	return true;
}

static int child_grant(struct child *child, const char *words, size_t len)
{
	const struct children_options *options = &child->children->options;
	struct wasi_options wasi = {
		.stdio = { options->stdio[0], options->stdio[1],
			   options->stdio[2] },
	};
	char **arguments = calloc(len + 2, sizeof(*arguments));
	int r;

	if (!arguments)
		return -ENOMEM;
	arguments[wasi.argument_count++] = child->name;
	for (size_t at = 0; at < len; at += strlen(words + at) + 1)
		arguments[wasi.argument_count++] = (char *)words + at;
	wasi.arguments = arguments;
	r = wasi_open(&child->wasi, &wasi, NULL);
	free(arguments);
	return r;
}

static int child_thread(struct child *child)
{
	pthread_attr_t attributes;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, CHILDREN_STACK);
	r = pthread_create(&child->thread, &attributes, child_work, child);
	pthread_attr_destroy(&attributes);
	child->runs = r == 0;
	return -r;
}

static int child_make(struct child *child, const char *words, size_t len)
{
	struct children_options *options = &child->children->options;
	struct domain_outcome outcome;
	struct err err = { 0 };
	int r = options->find(options->env, child->name, &child->ready, &err);

	if (r < 0)
		return r == -ENOENT ? r : (child_tell(child, err.text), r);
	r = child_grant(child, words, len);
	if (r >= 0)
		r = child_begin(child, &outcome, &err);
	if (r >= 0 && outcome.trap)
		r = -EPROTO;
	return r < 0 ? r : child_thread(child);
}

static int64_t children_errno(int r)
{
	switch (r) {
	case -ENOENT: return -WASI_ENOENT;
	case -ENOMEM: return -WASI_ENOMEM;
	default: return -WASI_EIO;
	}
}

static int64_t children_start(struct children *children,
			      const struct domain_asked *asked)
{
	char words[CHILDREN_WORDS + 1];
	struct child *child = NULL;
	uint64_t len = asked->words[3];
	int number = 0, r;

	while (number < CHILDREN_MOST && children->child[number].runs)
		number++;
	if (number == CHILDREN_MOST)
		return -WASI_EAGAIN;
	child = &children->child[number];
	*child = (struct child){ .children = children };
	if (!children_copy(asked, asked->words[0], asked->words[1],
			   CHILDREN_NAME, child->name) ||
	    !children_copy(asked, asked->words[2], len, CHILDREN_WORDS, words))
		return -WASI_EFAULT;
	r = child_make(child, words, len);
	if (r >= 0)
		return number;
	domain_close(child->domain);
	wasi_close(child->wasi);
	return children_errno(r);
}

/* false: who waits has come to its own end. */
static bool child_await(struct child *child, const struct domain_asked *asked)
{
	enum { SLICE_MS = 20 };
	bool is_done = false, is_over = false;

	pthread_mutex_lock(&child->children->tell);
	while (!is_over && !(is_done = child->is_done)) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += SLICE_MS * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&child->children->done,
				       &child->children->tell, &until);
		is_over = asked->ended(asked->domain) != 0;
	}
	pthread_mutex_unlock(&child->children->tell);
	return is_done;
}

static int64_t children_wait(struct children *children,
			     const struct domain_asked *asked)
{
	uint64_t number = asked->words[0], at = asked->words[1];
	uint32_t code;

	if (number >= CHILDREN_MOST || !children->child[number].runs)
		return WASI_ECHILD;
	if (at > asked->bytes || asked->bytes - at < sizeof(code))
		return WASI_EFAULT;
	if (!child_await(&children->child[number], asked))
		return WASI_EINTR;
	code = (uint32_t)child_join(&children->child[number]);
	memcpy(asked->base + at, &code, sizeof(code));
	return WASI_SUCCESS;
}

int64_t children_serve(void *env, const struct domain_asked *asked)
{
	switch (asked->service) {
	case GUEST_SERVICE_start: return children_start(env, asked);
	case GUEST_SERVICE_wait: return children_wait(env, asked);
	}
	return -WASI_ENOSYS;
}
