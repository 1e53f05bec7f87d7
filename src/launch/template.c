/* SPDX-License-Identifier: Apache-2.0 */
/* The start of one generation, from an executable to a process that is seen
 * to serve.  template_attempt() is the whole order of it.
 *
 * Invariants:
 *  1. Nothing here touches what starters find ("image", "live") but
 *     template_publish(): until then a generation has names of its own,
 *     "image.N" and "gN".
 *  2. A start that fails leaves no process and no file.
 *  3. The process is always executed anew, never forked from an older
 *     generation, and no library lies where it lay there. */
#include "launch/template.h"
#include "bare/fact.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/maps.h"
#include "base/process.h"
#include "launch/elf.h"
#include "launch/handshake.h"
#include "launch/image_write.h"
#include "launch/install.h"
#include "launch/libraries.h"
#include "launch/template_environment.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	TEMPLATE_TRIES = 8,
	HOLD_FROM_KIB = 4 * 1024,
	POOL_DEFAULT = 2,
	POOL_FROM_BYTES = 512 * 1024,
	TEMPLATE_SHIM_FD = 900, /* out of the way of the program's own */
	TEMPLATE_KILL_MS = 5000,
};

struct attempt {
	const struct spec *spec;
	const struct registry_place *place;
	const struct template *before;
	struct template *template;
	struct elf_facts elf;
	struct control_stopped *stopped;
	struct witness witness;
	struct template_environment environment;
	int shim_end; /* of the control pair */
	uint64_t deadline;
};

static int template_left_ms(const struct attempt *attempt)
{
	return clock_left_ms(attempt->deadline);
}

static int template_make_control(struct attempt *attempt, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "control pair");
	attempt->template->control = pair[0];
	attempt->shim_end = pair[1];
	/* Where the limit does not allow it a low number does as well. */
	(void)fd_raise(&attempt->shim_end, TEMPLATE_SHIM_FD);
	return 0;
}

/* CLAIM 0.1 0.14: the executable itself, by an exec of its own.  It stays in
 * the session of a keeper that has none but its own: there a copy that is
 * stopped survives the template, whereas with nobody of its session left to
 * continue it the kernel would hang it up.  It dies with us until it serves: what
 * hangs before main would stay else. */
static int template_execute(struct attempt *attempt, struct err *err)
{
	const struct spec *spec = attempt->spec;
	struct template *template = attempt->template;
	mode_t mask = umask(022);
	pid_t pid = process_start(
		&(struct process_plan){ .path = spec->program,
					.argv = spec->argv,
					.envp = attempt->environment.all,
					.cwd = spec->folder ? spec->folder
							    : "/",
					.fds = { -1, -1, -1 },
					.keep = &attempt->shim_end,
					.keep_count = 1,
					.new_session = getsid(0) != getpid(),
					.new_group = true,
					.dies_with_us = true,
					.traced = true },
		err);

	umask(mask);
	fd_close(&attempt->shim_end);
	if (pid < 0)
		return pid;
	template->pid = pid;
	template->pidfd = process_pidfd(pid, err);
	return template->pidfd < 0 ? template->pidfd : 0;
}

static int template_start_process(struct attempt *attempt, struct err *err)
{
	auto_free char *shim = install_find("brood-shim.so", err);
	int rc;

	if (!shim)
		return -ENOENT;
	if ((rc = template_make_control(attempt, err)) < 0 ||
	    (rc = template_environment_make(&attempt->environment,
					    attempt->spec, shim,
					    attempt->shim_end, err)) < 0)
		return rc;
	return template_execute(attempt, err);
}

/* The next packet, which must be one of this type; a FAILED is its reason. */
static int template_receive(struct attempt *attempt, uint32_t type,
			    void *packet, size_t size, struct err *err)
{
	const struct control_failed *failed = packet;
	const struct control_head *head = packet;
	int rc = fd_wait(attempt->template->control, POLLIN,
			 template_left_ms(attempt));
	int fd_count = 0;
	ssize_t len;

	if (rc < 0)
		return err_set(err, rc, "wait for the program");
	if (rc == 0)
		return err_set(err, -ETIME, "not ready in %ld ms",
			       attempt->spec->ready_ms);
	len = fd_receive(attempt->template->control, packet, size, NULL, 0,
			 &fd_count, err);
	if (len < 0)
		return (int)len;
	if (len == 0)
		return err_set(err, -EPROTO,
			       "the program ended before it was ready");
	if ((size_t)len < sizeof(*head) || head->size != (size_t)len)
		return err_set(err, -EPROTO, "shim: a packet of wrong size");
	if (head->type == CONTROL_FAILED && len == sizeof(*failed))
		return err_set(err, -EPROTO, "shim: %.159s", failed->reason);
	if (head->type != type)
		return err_set(err, -EPROTO, "shim: packet %u, not %u",
			       head->type, type);
	return (int)len;
}

static int template_receive_stopped(struct attempt *attempt, struct err *err)
{
	struct control_stopped *stopped = attempt->stopped;
	int rc = template_receive(attempt, CONTROL_STOPPED, stopped,
				  sizeof(*stopped), err);

	if (rc < 0)
		return rc;
	if ((size_t)rc != sizeof(*stopped) ||
	    stopped->environment_bytes > sizeof(stopped->environment))
		return err_set(err, -EPROTO, "shim: a bad packet STOPPED");
	stopped->refused[sizeof(stopped->refused) - 1] = 0;
	stopped->environment[sizeof(stopped->environment) - 1] = 0;
	attempt->template->deep = stopped->deep != 0;
	return 0;
}

/* A failure of which the words say all. */
static int template_words(struct err *err, int code, const char *words)
{
	err_set(err, -EINVAL, "%s", words);
	if (err)
		err->code = code;
	return code;
}

/* CLAIM 0.3 0.14.  -EAGAIN: the kernel gave an address twice. */
static int template_check_layout(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	const char *fixed = attempt->elf.pie ? NULL : attempt->spec->program;
	char words[160];
	int same;

	template->fixed = fixed != NULL;
	template->libraries = libraries_list(template->pid, fixed, err);
	if (!template->libraries)
		return -EPROTO;
	if (!attempt->before || !attempt->before->libraries)
		return 0;
	same = libraries_compare(attempt->before->libraries,
				 template->libraries,
				 &template->libraries_moved);
	if (!same)
		return 0;
	snprintf(words, sizeof(words),
		 "%d libraries are where they were before: is address "
		 "randomisation off?",
		 same);
	return template_words(err, -EAGAIN, words);
}

static int template_check_verdict(const struct verdict *verdict,
				  struct err *err)
{
	char words[400];

	if (verdict->clone || verdict->hatch)
		return 0;
	if (!strcmp(verdict->no_clone, verdict->no_hatch))
		return template_words(err, -ENOTSUP, verdict->no_clone);
	snprintf(words, sizeof(words), "no clone: %s; no hatch: %s",
		 verdict->no_clone, verdict->no_hatch);
	return template_words(err, -ENOTSUP, words);
}

static int template_examine_it(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	int rc = examine(template->pid, attempt->stopped, &attempt->witness,
			 &template->verdict, err);

	return rc < 0 ? rc : template_check_verdict(&template->verdict, err);
}

static int template_write_image(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	struct image_source source = {
		.pid = template->pid,
		.stopped = attempt->stopped,
		.witness = &attempt->witness,
		.verdict = &template->verdict,
		.environment = attempt->environment.plain,
		.generation = template->generation,
		.started_ns = template->started_ns,
	};
	int rc;

	template->image = file_format("%s.%" PRIu64, attempt->place->image,
				      template->generation);
	if (!template->image)
		return err_set(err, -ENOMEM, "name of an image");
	rc = image_write(&source, &template->verdict, template->image, err);
	return rc < 0 ? rc : template_check_verdict(&template->verdict, err);
}

/* Waking a copy up and hearing of its end takes some 150 us.  That is more
 * than a hatch needs for an image as small as most programs have. */
static uint32_t template_pool(const struct attempt *attempt)
{
	const struct template *template = attempt->template;
	struct stat image;

	if (attempt->spec->pool >= 0)
		return (uint32_t)attempt->spec->pool;
	if (template->verdict.hatch && stat(template->image, &image) == 0 &&
	    image.st_size < POOL_FROM_BYTES)
		return 0;
	return POOL_DEFAULT;
}

/* Every client waits for memory to be taken down.  A copy of the pool gets
 * its helper while nobody waits; else only much memory is worth one. */
static bool holds_memory(const struct attempt *attempt)
{
	struct maps_memory memory;

	if (attempt->spec->hold >= 0)
		return attempt->spec->hold;
	if (template_pool(attempt) > 0)
		return true;
	return maps_memory(attempt->template->pid, &memory, NULL) >= 0 &&
	       memory.rss >= HOLD_FROM_KIB;
}

/* CLAIM 0.11: every generation listens on a socket of its own. */
static int template_send_serve(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	struct control_serve serve = {
		.head = { CONTROL_SERVE, sizeof(serve) },
		.generation = template->generation,
		.pool = template_pool(attempt),
		.hold = holds_memory(attempt),
		.hatch = template->verdict.hatch,
	};

	template->socket = file_format("%s/g%" PRIu64, attempt->place->sockets,
				       template->generation);
	if (!template->socket)
		return err_set(err, -ENOMEM, "name of a socket");
	if (strlen(template->socket) >= sizeof(serve.path) ||
	    strlen(attempt->place->waiting) >= sizeof(serve.waiting))
		return err_set(err, -ENAMETOOLONG, "socket %s",
			       template->socket);
	strcpy(serve.path, template->socket);
	strcpy(serve.waiting, attempt->place->waiting);
	unlink(template->socket);
	return fd_send(template->control, &serve, sizeof(serve), NULL, 0, err);
}

static void template_send_word(struct template *template, uint32_t type)
{
	struct control_head head = { type, sizeof(head) };

	(void)fd_send(template->control, &head, sizeof(head), NULL, 0, NULL);
}

/* CLAIM 0.12: it is ready when it says so over its own socket. */
static int template_ask(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	struct wire_state state;
	int rc = handshake_ask(template->socket, template_left_ms(attempt),
			       &state, err);

	if (rc < 0)
		return rc;
	if (state.pid != template->pid ||
	    state.generation != template->generation)
		return err_set(err, -EPROTO,
			       "%s is served by process %d, generation %" PRIu64
			       ", not by %d, %" PRIu64,
			       template->socket, (int)state.pid,
			       state.generation, (int)template->pid,
			       template->generation);
	log_event("serve.proved", "\"pid\":%d,\"generation\":%" PRIu64,
		  (int)template->pid, template->generation);
	return 0;
}

/* Where no clone is possible the image alone is the template. */
static int template_serve(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	union {
		struct control_head head;
		struct control_failed failed;
	} packet;
	int rc;

	if (!template->verdict.clone) {
		template_send_word(template, CONTROL_END);
		template_kill(template);
		return 0;
	}
	if ((rc = template_send_serve(attempt, err)) < 0 ||
	    (rc = template_receive(attempt, CONTROL_SERVING, &packet,
				   sizeof(packet), err)) < 0)
		return rc;
	return template_ask(attempt, err);
}

static int template_attempt(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	int rc;

	if ((rc = template_start_process(attempt, err)) < 0 ||
	    (rc = witness_run(template->pid, template_left_ms(attempt),
			      &attempt->witness, err)) < 0 ||
	    (rc = template_receive_stopped(attempt, err)) < 0 ||
	    (rc = template_check_layout(attempt, err)) < 0 ||
	    (rc = template_examine_it(attempt, err)) < 0 ||
	    (rc = template_write_image(attempt, err)) < 0 ||
	    (rc = template_serve(attempt, err)) < 0)
		return rc;
	return 0;
}

static int attempt_open(struct attempt *attempt, uint64_t generation,
			struct err *err)
{
	*attempt->template = (struct template){
		.pidfd = -1,
		.control = -1,
		.generation = generation,
		.started_ns = clock_wall_ns(),
	};
	attempt->shim_end = -1;
	attempt->deadline = clock_deadline((int)attempt->spec->ready_ms);
	attempt->stopped = calloc(1, sizeof(*attempt->stopped));
	return attempt->stopped ? 0 : err_set(err, -ENOMEM, "start");
}

static void attempt_close(struct attempt *attempt)
{
	fd_close(&attempt->shim_end);
	template_environment_fini(&attempt->environment);
	witness_fini(&attempt->witness);
	attempt->witness = (struct witness){ 0 };
	free(attempt->stopped);
	attempt->stopped = NULL;
}

/* What failed goes; what was found out about the program stays. */
static void attempt_undo(struct attempt *attempt)
{
	struct template *template = attempt->template;
	struct verdict verdict = template->verdict;

	template_end(template);
	template->verdict = verdict;
}

static int attempt_all(struct attempt *attempt, uint64_t generation,
		       struct err *err)
{
	int rc = -EAGAIN;

	for (int i = 0; i < TEMPLATE_TRIES && rc == -EAGAIN; i++) {
		rc = attempt_open(attempt, generation, err);
		if (rc >= 0)
			rc = template_attempt(attempt, err);
		attempt_close(attempt);
		if (rc < 0)
			attempt_undo(attempt);
	}
	return rc;
}

int template_start(const struct spec *spec, const struct registry_place *place,
		   uint64_t generation, const struct template *before,
		   struct template *template, struct err *err)
{
	struct attempt attempt = { .spec = spec,
				   .place = place,
				   .before = before,
				   .template = template };
	int rc;

	*template = (struct template){ .pidfd = -1, .control = -1 };
	if ((rc = elf_check(spec->program, &attempt.elf, err)) < 0 ||
	    (rc = attempt_all(&attempt, generation, err)) < 0)
		return err_wrap(err, "template of %s", spec->program);
	return 0;
}

/* A link is made beside and renamed over the public name, so that a starter
 * finds the old copy or the new one, never none. */
static int template_publish_live(const struct template *template,
				 const struct registry_place *place,
				 struct err *err)
{
	auto_free char *next = file_format("%s~", place->live);

	if (!next)
		return err_set(err, -ENOMEM, "link %s", place->live);
	unlink(next);
	if (symlink(file_base(template->socket), next) < 0 ||
	    rename(next, place->live) < 0)
		return err_set(err, -errno, "link %s", place->live);
	return 0;
}

int template_publish(struct template *template,
		     const struct registry_place *place, struct err *err)
{
	auto_free char *hot = file_format("%s.hot", place->image);

	if (hot)
		unlink(hot);
	if (rename(template->image, place->image) < 0)
		return err_set(err, -errno, "publish %s", place->image);
	free(template->image);
	template->image = NULL;
	if (template->pid > 0)
		return template_publish_live(template, place, err);
	unlink(place->live);
	return 0;
}

static void template_explain_fact(const struct witness_fact *fact,
				  struct buf *facts)
{
	static const char *const kinds[] = { "?",	"environment",
					     "file",	"link's file",
					     "content", "link" };
	const char *subject = fact_subject(fact->kind, fact->number);
	const char *kind = fact->kind < 6 ? kinds[fact->kind] : "?";

	if (subject)
		buf_format(facts, "%s\n", subject);
	else
		buf_format(facts, "%s %s\n", kind, fact->name);
}

static void template_explain_facts(const struct attempt *attempt,
				   struct buf *facts)
{
	const struct control_stopped *stopped = attempt->stopped;
	const char *name = stopped->environment;
	const char *end = name + stopped->environment_bytes;

	while (name < end) {
		if (*name)
			buf_format(facts, "environment %s\n", name);
		name += strlen(name) + 1;
	}
	for (size_t i = 0; i < attempt->witness.count; i++)
		template_explain_fact(&attempt->witness.fact[i], facts);
}

static int template_explain_attempt(struct attempt *attempt, struct err *err)
{
	struct template *template = attempt->template;
	int rc;

	if ((rc = template_start_process(attempt, err)) < 0 ||
	    (rc = witness_run(template->pid, template_left_ms(attempt),
			      &attempt->witness, err)) < 0 ||
	    (rc = template_receive_stopped(attempt, err)) < 0)
		return rc;
	return examine(template->pid, attempt->stopped, &attempt->witness,
		       &template->verdict, err);
}

int template_explain(const struct spec *spec, struct verdict *verdict,
		     struct buf *facts, struct err *err)
{
	struct template template;
	struct attempt attempt = { .spec = spec, .template = &template };
	int rc = elf_check(spec->program, &attempt.elf, err);

	if (rc < 0)
		return rc;
	rc = attempt_open(&attempt, 0, err);
	if (rc >= 0)
		rc = template_explain_attempt(&attempt, err);
	if (rc >= 0) {
		*verdict = template.verdict;
		template_explain_facts(&attempt, facts);
	}
	attempt_close(&attempt);
	template_end(&template);
	return rc < 0 ? err_wrap(err, "explain %s", spec->program) : 0;
}

/* CLAIM 0.13 */
void template_drain(struct template *template, int within_ms)
{
	if (template->draining)
		return;
	template->draining = true;
	template->drain_by = clock_deadline(within_ms);
	log_event("serve.drain", "\"generation\":%" PRIu64 ",\"pid\":%d",
		  template->generation, (int)template->pid);
	template_send_word(template, CONTROL_DRAIN);
}

void template_kill(struct template *template)
{
	int status;

	if (template->pid > 0) {
		syscall(SYS_pidfd_send_signal, template->pidfd, SIGKILL, NULL,
			0);
		/* Without a pidfd it is still a child that nobody waited
		 * for, so the number is its own. */
		kill(template->pid, SIGKILL);
		process_wait(template->pid, TEMPLATE_KILL_MS, &status);
	}
	template->pid = 0;
}

void template_end(struct template *template)
{
	template_kill(template);
	if (template->socket)
		unlink(template->socket);
	if (template->image)
		unlink(template->image);
	template_fini(template);
}

void template_fini(struct template *template)
{
	fd_close(&template->pidfd);
	fd_close(&template->control);
	free(template->socket);
	free(template->libraries);
	free(template->image);
	*template = (struct template){ .pidfd = -1, .control = -1 };
}
