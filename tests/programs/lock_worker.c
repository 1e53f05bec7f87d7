/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that takes the lock of a share again and again, and adds one to a
 * counter in a file of the share each time, by nothing but a read and a write:
 * an update that is lost says that two held the lock.
 *
 *	lock_worker SHARE HOST COUNT [MODE...]
 *
 *	ms=N		holds the lock so long each time
 *	die=K		SIGKILL itself while holding it the K-th time
 *	stop=K		SIGSTOP itself while holding it the K-th time
 *	wait=MS		waits so long at most, each time (60000)
 *	local=FOLDER	queues with those of this host first
 *	make=KIND,TTL	makes the share before (COUNT 0: and no more)
 *	chain		the counter is a chain too, added to by chain_add: a
 *			holder that was broken fails there
 *	rest=N		lets others have it so long each time
 *	probe		probe_run, before all else, and no more
 *	gate		says "ready", and begins with the first line that it reads
 *	quiet		one line at the end
 *
 * A line an event: "<monotonic us> <pid> take|count|release <epoch> ...", at
 * the end "done <takes> <us of all>".  HOST: 32 hex digits, or a word that is
 * made one.  Static, so that it runs in a guest with nothing else in it. */
#include "base/clock.h"
#include "base/fd.h"
#include "share/chain.h"
#include "share/lock.h"
#include "share/probe.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct worker {
	struct share share;
	char host[SHARE_ID_CHARS + 1];
	long count, ms, rest, die, stop, wait;
	bool chain, quiet, gate, probe;
	const char *make;
};

static void say(const struct worker *worker, const char *what, uint64_t epoch,
		long more)
{
	if (!worker->quiet)
		printf("%" PRIu64 " %d %s %" PRIu64 " %ld\n", clock_ns() / 1000,
		       getpid(), what, epoch, more);
	fflush(stdout);
}

static int fail(const struct err *err)
{
	fprintf(stderr, "lock_worker: %s\n", err->text);
	return 1;
}

/* The counter is opened anew each time: what a client has in its cache is
 * older than the lock. */
static int counter_read(const struct worker *worker, long *value,
			struct err *err)
{
	char text[32] = "";
	auto_close int fd =
		openat(worker->share.root, "counter", O_RDONLY | O_CLOEXEC);

	*value = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
		return err_set(err, -errno, "read the counter");
	*value = strtol(text, NULL, 10);
	return 0;
}

static int counter_write(const struct worker *worker, long value,
			 struct err *err)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%ld\n", value);
	int fd = openat(worker->share.root, "counter",
			O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || write(fd, text, len) != len || close(fd) < 0)
		return err_set(err, -errno, "write the counter");
	return 0;
}

static int count_one(struct worker *worker, struct share_lock *lock, long i,
		     struct err *err)
{
	uint64_t last = 0;
	long value;
	int rc = counter_read(worker, &value, err);

	if (rc >= 0 && worker->chain)
		rc = chain_last(worker->share.root, "count", &last, err);
	for (long left = worker->ms; rc >= 0 && left > 0; left -= 10) {
		clock_sleep_ms(left < 10 ? left : 10);
		rc = share_lock_beat(lock, err);
	}
	if (i == worker->die)
		raise(SIGKILL);
	if (i == worker->stop)
		raise(SIGSTOP);
	if (rc >= 0)
		rc = share_lock_check(lock, err);
	if (rc >= 0 && worker->chain)
		rc = chain_add(worker->share.root, "count", last + 1, "x", 1,
			       err);
	if (rc >= 0)
		rc = counter_write(worker, value + 1, err);
	if (rc >= 0)
		say(worker, "count", lock->epoch, value + 1);
	return rc;
}

static int work_once(struct worker *worker, long i)
{
	struct share_lock lock;
	struct err err = { 0 };
	int rc = share_lock_take(&worker->share, worker->wait, NULL, NULL,
				 &lock, &err);

	if (rc < 0)
		return fail(&err);
	say(worker, "take", lock.epoch, i);
	rc = count_one(worker, &lock, i, &err);
	if (rc == -ESTALE || rc == -EEXIST) {
		say(worker, "lost", lock.epoch, i);
		rc = 0;
	}
	if (rc < 0) {
		share_lock_release(&lock, NULL);
		return fail(&err);
	}
	say(worker, "release", lock.epoch, i);
	rc = share_lock_release(&lock, &err);
	clock_sleep_ms(worker->rest);
	return rc < 0 && rc != -ESTALE ? fail(&err) : 0;
}

static bool read_number(const char *word, const char *name, long *value)
{
	size_t len = strlen(name);

	if (strncmp(word, name, len) != 0)
		return false;
	*value = strtol(word + len, NULL, 10);
	return true;
}

static bool read_mode(struct worker *worker, const char *word)
{
	if (strcmp(word, "chain") == 0)
		return worker->chain = true;
	if (strcmp(word, "probe") == 0)
		return worker->probe = true;
	if (strcmp(word, "gate") == 0)
		return worker->gate = true;
	if (strcmp(word, "quiet") == 0)
		return worker->quiet = true;
	if (strncmp(word, "make=", 5) == 0)
		return (worker->make = word + 5) != NULL;
	if (strncmp(word, "local=", 6) == 0)
		return (worker->share.local = word + 6) != NULL;
	return read_number(word, "ms=", &worker->ms) ||
	       read_number(word, "rest=", &worker->rest) ||
	       read_number(word, "die=", &worker->die) ||
	       read_number(word, "stop=", &worker->stop) ||
	       read_number(word, "wait=", &worker->wait);
}

/* So that those of several hosts begin together. */
static void wait_at_gate(void)
{
	char c = 0;

	puts("ready");
	fflush(stdout);
	while (c != '\n' && read(0, &c, 1) == 1)
		;
}

static void read_host(struct worker *worker, const char *word)
{
	size_t len = strlen(word);

	if (share_is_id(word)) {
		memcpy(worker->host, word, sizeof worker->host);
		return;
	}
	for (size_t i = 0; i < SHARE_ID_CHARS; i++)
		worker->host[i] =
			"0123456789abcdef"[i < len ? word[i] & 15 : 0];
}

static int make(const struct worker *worker, const char *path, struct err *err)
{
	struct share_wish wish = { .ttl_ms = 0 };
	const char *comma = strchr(worker->make, ',');

	wish.backend =
		strncmp(worker->make, "ofd", 3) == 0 ? SHARE_OFD : SHARE_LEASE;
	if (comma)
		wish.ttl_ms = strtol(comma + 1, NULL, 10);
	return share_make(path, &wish, err);
}

static int probe(const struct worker *worker, const char *path)
{
	struct err err = { 0 };
	int hosts = probe_run(path, (int)worker->wait, NULL, NULL, &err);

	if (hosts < 0)
		return fail(&err);
	printf("proven %d\n", hosts);
	return 0;
}

int main(int argc, char **argv)
{
	struct worker worker = { .wait = 60000 };
	struct err err = { 0 };
	const char *local;
	uint64_t began;
	int rc = 0;

	for (int i = 4; i < argc; i++)
		if (!read_mode(&worker, argv[i]))
			argc = 0;
	if (argc < 4) {
		fputs("usage: lock_worker SHARE HOST COUNT [MODE...]\n",
		      stderr);
		return 100;
	}
	if (worker.probe)
		return probe(&worker, argv[1]);
	read_host(&worker, argv[2]);
	worker.count = strtol(argv[3], NULL, 10);
	local = worker.share.local;
	if (worker.make && make(&worker, argv[1], &err) < 0)
		return fail(&err);
	if (share_open(argv[1], worker.host, &worker.share, &err) < 0)
		return fail(&err);
	worker.share.local = local;
	worker.share.words = "lock_worker";
	if (worker.gate)
		wait_at_gate();
	began = clock_ns();
	for (long i = 1; rc == 0 && i <= worker.count; i++)
		rc = work_once(&worker, i);
	if (rc == 0)
		printf("done %ld %" PRIu64 "\n", worker.count,
		       (clock_ns() - began) / 1000);
	share_close(&worker.share);
	return rc;
}
