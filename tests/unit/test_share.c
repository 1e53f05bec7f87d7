/* SPDX-License-Identifier: Apache-2.0 */
/* Shared storage: its record, chains of numbered files, and both locks, by
 * many processes of which some die or sleep. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "share/chain.h"
#include "share/lock.h"
#include "share/share.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char host_a[] = "0123456789abcdef0123456789abcdef";
static const char host_b[] = "fedcba9876543210fedcba9876543210";

struct here {
	char *folder, *path;
	struct share share;
};

static struct here here_empty(void)
{
	struct here here = { .folder = strdup("/tmp/brood-test-XXXXXX"),
			     .share = SHARE_NONE };

	CHECK(mkdtemp(here.folder) != NULL);
	here.path = file_join(here.folder, "share");
	return here;
}

static struct here here_with(enum share_backend backend, long ttl_ms)
{
	struct share_wish wish = { .backend = backend, .ttl_ms = ttl_ms };
	struct here here = here_empty();

	CHECK_INT(share_make(here.path, &wish, NULL), 0);
	CHECK_INT(share_open(here.path, host_a, &here.share, NULL), 0);
	here.share.words = "a test";
	return here;
}

static void here_close(struct here *here)
{
	share_close(&here->share);
	file_remove_tree(here->folder, NULL);
	mem_free(&here->folder);
	mem_free(&here->path);
}
#define auto_here __attribute__((cleanup(here_close)))

static void put(const struct here *here, const char *name, const char *text)
{
	auto_free char *path = file_join(here->path, name);

	CHECK_INT(file_replace(path, text, strlen(text), 0644, NULL), 0);
}

static void removed(const struct here *here, const char *name)
{
	auto_free char *path = file_join(here->path, name);

	CHECK_INT(file_remove_tree(path, NULL), 0);
}

static int take(const struct here *here, int wait_ms, struct share_lock *lock,
		struct err *err)
{
	return share_lock_take(&here->share, wait_ms, NULL, NULL, lock, err);
}

static int wait_for(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- the record ------------------------------------------------------------
 */

TEST(a_share_is_made_and_opened)
{
	struct share_wish wish = { .backend = SHARE_LEASE, .ttl_ms = 2000 };
	auto_here struct here here = here_empty();
	auto_share struct share share = SHARE_NONE;
	struct err err = { 0 };

	CHECK_INT(share_make(here.path, &wish, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(share_open(here.path, host_a, &here.share, NULL), 0);
	CHECK_INT(here.share.backend, SHARE_LEASE);
	CHECK_INT(here.share.ttl_ms, 2000);
	CHECK(share_is_id(here.share.id));
	/* Made again it is the same one. */
	CHECK_INT(share_make(here.path, &wish, &err), 0);
	CHECK_INT(share_open(here.path, host_b, &share, NULL), 0);
	CHECK_TEXT(share.id, here.share.id);
	share_close(&share);
	CHECK_INT(share_open(here.path, "me", &share, &err), -EINVAL);
}

TEST(a_share_of_another_kind_is_refused)
{
	struct share_wish lease = { .backend = SHARE_LEASE, .ttl_ms = 0 },
			  ofd = { .backend = SHARE_OFD, .ttl_ms = 0 },
			  slow = { .backend = SHARE_LEASE, .ttl_ms = 9000 },
			  any = { .backend = SHARE_OFD, .any_lock = true };
	struct share_wish never = { .backend = SHARE_LEASE, .ttl_ms = 1 };
	auto_here struct here here = here_empty();
	struct err err = { 0 };

	CHECK_INT(share_make(here.path, &never, &err), -EINVAL);
	CHECK_INT(share_make(here.path, &lease, &err), 0);
	CHECK_INT(share_make(here.path, &ofd, &err), -EEXIST);
	CHECK(strstr(err.text, "\"lease\"") && strstr(err.text, here.path));
	CHECK_INT(share_make(here.path, &slow, &err), -EEXIST);
	CHECK(strstr(err.text, "9000"));
	/* Who asks for nothing takes it as it is. */
	CHECK_INT(share_make(here.path, &any, &err), 0);
}

static void check_refused(struct here *here, const char *text, const char *why)
{
	struct err err = { 0 };

	put(here, "brood.json", text);
	CHECK(share_open(here->path, host_a, &here->share, &err) < 0);
	CHECK_INT(here->share.root, -1);
	if (!strstr(err.text, why))
		CHECK_TEXT(err.text, why);
	CHECK(strstr(err.text, here->path) != NULL);
}

#define RECORD(version, lock, ttl, id)                                         \
	"{\"format\":\"brood-share\",\"version\":" version ",\"lock\":\"" lock \
	"\",\"ttl_ms\":" ttl ",\"id\":\"" id "\"}"
#define ID "0123456789abcdef0123456789abcdef"

TEST(records_are_read_strictly)
{
	static const char *const wrong[][2] = {
		{ "", "malformed" },
		{ "[]", "not the record" },
		{ "{\"format\":\"brood-store\"}", "not the record" },
		{ RECORD("2", "ofd", "2000", ID), "version 2" },
		{ RECORD("1.5", "ofd", "2000", ID), "version" },
		{ RECORD("\"1\"", "ofd", "2000", ID), "version" },
		{ RECORD("1", "flock", "2000", ID), "flock" },
		{ RECORD("1", "ofd", "1", ID), "ttl_ms" },
		{ RECORD("1", "ofd", "4000000", ID), "ttl_ms" },
		{ RECORD("1", "ofd", "99999999999999999999", ID), "ttl_ms" },
		{ RECORD("1", "ofd", "-5", ID), "ttl_ms" },
		{ RECORD("1", "ofd", "2000", "0123"), "id" },
		{ RECORD("1", "ofd", "2000", ID) "x", "malformed" },
	};
	auto_here struct here here = here_with(SHARE_OFD, 0);
	auto_buf struct buf large = { 0 };

	share_close(&here.share);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		check_refused(&here, wrong[i][0], wrong[i][1]);
	for (int i = 0; i < 5000; i++)
		buf_text(&large, " ");
	buf_text(&large, RECORD("1", "ofd", "2000", ID));
	check_refused(&here, buf_string(&large), "brood.json");
	put(&here, "brood.json", RECORD("1", "ofd", "2000", ID));
	CHECK_INT(share_open(here.path, host_a, &here.share, NULL), 0);
	CHECK_TEXT(here.share.id, ID);
}

TEST(no_share_is_said_to_be_none)
{
	auto_here struct here here = here_empty();
	struct err err = { 0 };
	auto_free char *file = file_join(here.folder, "file");

	CHECK_INT(share_open(here.path, host_a, &here.share, &err), -ENOENT);
	CHECK_INT(share_open(here.folder, host_a, &here.share, &err), -ENOENT);
	CHECK(strstr(err.text, "brood.json") && strstr(err.text, here.folder));
	CHECK_INT(file_publish(file, "", 0, 0644, NULL), 0);
	CHECK_INT(share_open(file, host_a, &here.share, &err), -ENOTDIR);
	CHECK(symlinkat("/etc/passwd", AT_FDCWD, here.path) == 0);
	CHECK_INT(share_open(here.path, host_a, &here.share, &err), -ENOTDIR);
}

TEST(a_record_that_is_a_link_or_a_pipe_is_refused)
{
	auto_here struct here here = here_with(SHARE_LEASE, 0);
	auto_free char *path = file_join(here.path, "brood.json");

	share_close(&here.share);
	removed(&here, "brood.json");
	CHECK(symlinkat("/etc/passwd", AT_FDCWD, path) == 0);
	CHECK_INT(share_open(here.path, host_a, &here.share, NULL), -ELOOP);
	removed(&here, "brood.json");
	CHECK(mkfifo(path, 0644) == 0);
	CHECK_INT(share_open(here.path, host_a, &here.share, NULL), -EPROTO);
}

enum { MAKERS = 12 };

static void make_at_once(struct here *here, bool differ, int *made)
{
	pid_t pids[MAKERS];

	fflush(stdout);
	for (int i = 0; i < MAKERS; i++) {
		struct share_wish wish = { .backend = differ && i % 2
							      ? SHARE_OFD
							      : SHARE_LEASE };

		pids[i] = fork();
		if (pids[i] == 0)
			_exit(share_make(here->path, &wish, NULL) == 0);
	}
	*made = 0;
	for (int i = 0; i < MAKERS; i++)
		*made += wait_for(pids[i]) == 1;
}

static int names_like(const char *path, const char *part)
{
	auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = dir < 0 ? NULL : fdopendir(steal_fd(&dir));
	struct dirent *entry;
	int count = 0;

	while (list && (entry = readdir(list)))
		count += strstr(entry->d_name, part) != NULL;
	if (list)
		closedir(list);
	return count;
}

TEST(makers_at_once_agree)
{
	auto_here struct here here = here_empty();
	auto_free char *locks = file_join(here.path, "lock");
	int made;

	make_at_once(&here, false, &made);
	CHECK_INT(made, MAKERS);
	CHECK_INT(share_open(here.path, host_a, &here.share, NULL), 0);
	CHECK_INT(names_like(here.path, ".new."), 0);
	CHECK_INT(names_like(locks, "new."), 0);
}

TEST(makers_of_two_kinds_do_not)
{
	for (int i = 0; i < 10; i++) {
		auto_here struct here here = here_empty();
		struct share_lock lock;
		int made;

		make_at_once(&here, true, &made);
		CHECK_INT(made, MAKERS / 2);
		CHECK_INT(share_open(here.path, host_a, &here.share, NULL), 0);
		CHECK_INT(take(&here, 0, &lock, NULL), 0);
		CHECK_INT(share_lock_release(&lock, NULL), 0);
	}
}

/* ---- chains ----------------------------------------------------------------
 */

static uint64_t last_of(int dir)
{
	uint64_t last = 77;

	CHECK_INT(chain_last(dir, "v", &last, NULL), 0);
	return last;
}

static int add(int dir, uint64_t n)
{
	char text[32];
	int len = snprintf(text, sizeof text, "number %lu", (unsigned long)n);

	return chain_add(dir, "v", n, text, len, NULL);
}

static void check_read(int dir, uint64_t n)
{
	auto_buf struct buf got = { 0 };
	char text[32];

	snprintf(text, sizeof text, "number %lu", (unsigned long)n);
	CHECK_INT(chain_read(dir, "v", n, &got, 100, NULL), 0);
	CHECK_TEXT(buf_string(&got), text);
}

TEST(a_chain_grows)
{
	auto_here struct here here = here_with(SHARE_OFD, 0);
	auto_buf struct buf got = { 0 };
	int dir = here.share.root;
	struct err err = { 0 };

	CHECK_INT(last_of(dir), 0);
	CHECK_INT(add(dir, 0), -EINVAL);
	for (int n = 1; n <= 12; n++) {
		CHECK_INT(add(dir, n), 0);
		CHECK_INT(last_of(dir), n);
		check_read(dir, n);
	}
	CHECK_INT(add(dir, 12), -EEXIST);
	CHECK_INT(add(dir, 1), -EEXIST);
	/* No gap: number 20 has nothing below it. */
	CHECK_INT(add(dir, 20), -ESTALE);
	CHECK_INT(last_of(dir), 12);
	CHECK_INT(chain_read(dir, "v", 13, &got, 100, &err), -ENOENT);
	CHECK_INT(chain_read(dir, "v", 12, &got, 5, &err), -EFBIG);
	CHECK_INT(chain_add(dir, "a/b", 1, "", 0, NULL), -EINVAL);
	CHECK_INT(names_like(here.path, ".new."), 0);
}

TEST(no_hint_leads_astray)
{
	static const char *const hints[] = {
		"",
		"nonsense",
		"00000000000000000000\n",
		"00000000000000000001\n",
		"00000000000000000003\n",
		"00000000000000000009\n",
		"00000000000000000019\n",
		"00000000000000000020\n",
		"00000000000000000021\n",
		"99999999999999999999\n",
		"000000000000000000000000000000000000000000000000000000",
		"0000000000000000",
		"-0000000000000000012\n",
	};
	auto_here struct here here = here_with(SHARE_OFD, 0);
	int dir = here.share.root;

	for (int n = 1; n <= 20; n++)
		CHECK_INT(add(dir, n), 0);
	CHECK_INT(chain_trim(dir, "v", 20, 12, NULL), 0);
	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
		put(&here, "v.hint", hints[i]);
		CHECK_INT(last_of(dir), 20);
	}
	removed(&here, "v.hint");
	CHECK_INT(last_of(dir), 20);
	CHECK(mkdirat(dir, "v.hint", 0700) == 0);
	CHECK_INT(last_of(dir), 20);
	CHECK_INT(add(dir, 21), 0);
	CHECK_INT(last_of(dir), 21);
}

TEST(strange_names_are_no_entries)
{
	static const char *const names[] = {
		"v.",	"v.0",	   "v.01",  "v.1x", "v.new.1",
		"w.99", "v.99.99", "v.1e3", "v.-7", "v.9999999999999999999"
	};
	auto_here struct here here = here_with(SHARE_OFD, 0);
	uint64_t n, least, most;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		put(&here, names[i], "x");
		CHECK(!chain_number("v", names[i], &n));
	}
	CHECK_INT(last_of(here.share.root), 0);
	CHECK_INT(add(here.share.root, 1), 0);
	CHECK_INT(chain_list(here.share.root, "v", &least, &most, NULL), 0);
	CHECK(least == 1 && most == 1);
	/* A link is followed nowhere. */
	CHECK(symlinkat("/etc/passwd", here.share.root, "v.2") == 0);
	CHECK_INT(chain_last(here.share.root, "v", &n, NULL), -ELOOP);
}

TEST(old_entries_are_trimmed_from_below)
{
	auto_here struct here here = here_with(SHARE_OFD, 0);
	int dir = here.share.root;
	uint64_t least, most;

	for (int n = 1; n <= 100; n++)
		CHECK_INT(add(dir, n), 0);
	CHECK_INT(chain_trim(dir, "v", 100, 200, NULL), 0);
	CHECK_INT(chain_trim(dir, "v", 100, 10, NULL), 0);
	/* More than one call deletes, and always the lowest. */
	CHECK_INT(chain_list(dir, "v", &least, &most, NULL), 0);
	CHECK(least > 1 && least < 91 && most == 100);
	CHECK_INT(last_of(dir), 100);
	CHECK_INT(chain_trim(dir, "v", 100, 10, NULL), 0);
	CHECK_INT(chain_list(dir, "v", &least, &most, NULL), 0);
	CHECK(least == 91 && most == 100);
	/* Two are kept at least. */
	CHECK_INT(chain_trim(dir, "v", 100, 0, NULL), 0);
	CHECK_INT(chain_list(dir, "v", &least, &most, NULL), 0);
	CHECK(least == 99 && most == 100);
	CHECK_INT(add(dir, 101), 0);
	check_read(dir, 101);
}

/* Who slept since number 3 was the last one adds nothing. */
TEST(what_was_trimmed_is_not_added_again)
{
	auto_here struct here here = here_with(SHARE_OFD, 0);
	int dir = here.share.root;

	for (int n = 1; n <= 20; n++)
		CHECK_INT(add(dir, n), 0);
	CHECK_INT(chain_trim(dir, "v", 20, 4, NULL), 0);
	CHECK_INT(add(dir, 1), -ESTALE);
	CHECK_INT(add(dir, 4), -ESTALE);
	CHECK_INT(add(dir, 16), -ESTALE);
	CHECK_INT(add(dir, 17), -EEXIST);
	CHECK_INT(last_of(dir), 20);
	CHECK_INT(names_like(here.path, ".new."), 0);
	CHECK_INT(names_like(here.path, "v."), 5); /* and the hint */
}

/* The second name of an entry, left by who was killed, goes with it. */
TEST(drafts_of_the_dead_are_swept)
{
	auto_here struct here here = here_with(SHARE_OFD, 0);
	int dir = here.share.root;

	for (int n = 1; n <= 9; n++)
		CHECK_INT(add(dir, n), 0);
	CHECK(linkat(dir, "v.2", dir, "v.new.dead", 0) == 0);
	CHECK(linkat(dir, "v.9", dir, "v.new.live", 0) == 0);
	CHECK_INT(chain_trim(dir, "v", 9, 4, NULL), 0);
	CHECK(faccessat(dir, "v.new.dead", F_OK, 0) < 0);
	CHECK(faccessat(dir, "v.new.live", F_OK, 0) == 0);
}

TEST(of_adders_at_once_one_is_first)
{
	enum { ADDERS = 8, NUMBERS = 100 };
	auto_here struct here here = here_with(SHARE_OFD, 0);
	int dir = here.share.root, won = 0;
	pid_t pids[ADDERS];

	fflush(stdout);
	for (int i = 0; i < ADDERS; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		for (uint64_t n = 0; n < NUMBERS;) {
			int rc;

			if (chain_last(dir, "v", &n, NULL) < 0)
				_exit(255);
			rc = n < NUMBERS ? add(dir, n + 1) : -EEXIST;
			if (rc < 0 && rc != -EEXIST)
				_exit(254);
			won += rc == 0;
		}
		_exit(won);
	}
	for (int i = 0; i < ADDERS; i++)
		won += wait_for(pids[i]);
	CHECK_INT(won, NUMBERS);
	CHECK_INT(last_of(dir), NUMBERS);
}

/* ---- locks ------------------------------------------------------------------
 */

static void takes_in_turn(enum share_backend backend)
{
	auto_here struct here here = here_with(backend, 0);
	auto_share struct share other = SHARE_NONE;
	struct share_lock lock, second;
	struct share_holder holder;
	uint64_t epoch;
	struct err err = { 0 };

	CHECK_INT(share_open(here.path, host_b, &other, NULL), 0);
	CHECK_INT(share_lock_look(&here.share, &holder, NULL), 0);
	CHECK(!holder.held);
	CHECK_INT(take(&here, 0, &lock, &err), 0);
	epoch = lock.epoch;
	CHECK_INT(share_lock_look(&other, &holder, NULL), 0);
	CHECK(holder.held && holder.since != 0);
	CHECK(holder.epoch == epoch);
	CHECK_TEXT(holder.host, host_a);
	CHECK_TEXT(holder.words, "a test");
	CHECK_INT(share_lock_take(&other, 0, NULL, NULL, &second, &err),
		  -EWOULDBLOCK);
	CHECK(strstr(err.text, host_a) && strstr(err.text, "a test"));
	CHECK(strstr(err.text, here.path) != NULL);
	CHECK_INT(share_lock_take(&other, 30, NULL, NULL, &second, &err),
		  -EWOULDBLOCK);
	CHECK_INT(share_lock_release(&second, &err), 0);
	CHECK_INT(share_lock_beat(&lock, &err), 0);
	CHECK_INT(share_lock_check(&lock, &err), 0);
	CHECK_INT(share_lock_release(&lock, &err), 0);
	CHECK_INT(share_lock_release(&lock, &err), 0);
	CHECK_INT(share_lock_look(&other, &holder, NULL), 0);
	CHECK(!holder.held);
	CHECK_INT(share_lock_take(&other, 0, NULL, NULL, &second, &err), 0);
	CHECK(second.epoch > epoch);
	CHECK_INT(share_lock_release(&second, &err), 0);
}

TEST(leases_are_taken_in_turn)
{
	takes_in_turn(SHARE_LEASE);
}

TEST(ofd_locks_are_taken_in_turn)
{
	takes_in_turn(SHARE_OFD);
}

static bool gives_up(void *ctx)
{
	return --*(int *)ctx > 0;
}

static void gives_up_when_told(enum share_backend backend)
{
	auto_here struct here here = here_with(backend, 0);
	struct share_lock lock, second;
	struct err err = { 0 };
	int looks = 5;

	CHECK_INT(take(&here, 0, &lock, &err), 0);
	CHECK_INT(share_lock_take(&here.share, -1, gives_up, &looks, &second,
				  &err),
		  -ECANCELED);
	CHECK_INT(looks, 0);
	/* The same in the queue of a host. */
	CHECK_INT(share_lock_release(&lock, NULL), 0);
	here.share.local = here.folder;
	CHECK_INT(take(&here, 0, &lock, &err), 0);
	looks = 5;
	CHECK_INT(share_lock_take(&here.share, -1, gives_up, &looks, &second,
				  &err),
		  -ECANCELED);
	CHECK_INT(share_lock_take(&here.share, 20, NULL, NULL, &second, &err),
		  -EWOULDBLOCK);
	CHECK(strstr(err.text, host_a) != NULL);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
	/* Where there can be no queue it goes without one. */
	here.share.local = "/nowhere";
	CHECK_INT(take(&here, 0, &lock, &err), 0);
	CHECK_INT(lock.queue, -1);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

TEST(who_waits_may_give_up)
{
	gives_up_when_told(SHARE_LEASE);
	gives_up_when_told(SHARE_OFD);
}

TEST(a_chain_of_epochs_stays_short)
{
	auto_here struct here here = here_with(SHARE_LEASE, 0);
	auto_free char *lease = file_join(here.path, "lock/lease");
	struct share_lock lock;
	uint64_t before = 0;

	for (int i = 0; i < 300; i++) {
		CHECK_INT(take(&here, 0, &lock, NULL), 0);
		CHECK(lock.epoch > before);
		before = lock.epoch;
		CHECK_INT(share_lock_release(&lock, NULL), 0);
	}
	CHECK(names_like(lease, "e.") <= 20);
	CHECK_INT(names_like(lease, "new"), 0);
}

/* ---- holders that die or sleep -----------------------------------------------
 */

/* A child that holds the lock and tells so; what it does when told to go on
 * is its exit status. */
struct other {
	pid_t pid;
	int told;
};

static struct other other_holds(const struct here *here,
				int (*then)(const struct here *,
					    struct share_lock *))
{
	struct other other;
	int ends[2];
	char byte;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	fflush(stdout);
	other.pid = fork();
	if (other.pid == 0) {
		struct share_lock lock;

		if (take(here, 5000, &lock, NULL) < 0)
			_exit(99);
		(void)!write(ends[1], "x", 1);
		raise(SIGSTOP);
		_exit(then(here, &lock));
	}
	close(ends[1]);
	CHECK_INT(read(ends[0], &byte, 1), 1);
	CHECK_INT(waitpid(other.pid, NULL, WUNTRACED), other.pid);
	other.told = ends[0];
	close(ends[0]);
	return other;
}

static int other_goes_on(struct other *other)
{
	kill(other->pid, SIGCONT);
	return wait_for(other->pid);
}

static int finds_itself_broken(const struct here *here, struct share_lock *lock)
{
	struct err err = { 0 };

	if (share_lock_check(lock, &err) != -ESTALE ||
	    !strstr(err.text, "broken"))
		return 1;
	if (share_lock_beat(lock, &err) != -ESTALE)
		return 2;
	/* It had read that number 1 was the last. */
	if (chain_add(here->share.root, "v", 2, "late", 4, NULL) != -EEXIST)
		return 3;
	share_lock_release(lock, NULL);
	return 0;
}

TEST(a_lease_that_sleeps_is_broken)
{
	auto_here struct here here = here_with(SHARE_LEASE, 300);
	auto_buf struct buf got = { 0 };
	struct share_lock lock;
	struct share_holder holder;
	struct other other;

	CHECK_INT(add(here.share.root, 1), 0);
	other = other_holds(&here, finds_itself_broken);
	CHECK_INT(take(&here, 0, &lock, NULL), -EWOULDBLOCK);
	CHECK_INT(take(&here, 20000, &lock, NULL), 0);
	CHECK_INT(add(here.share.root, 2), 0);
	CHECK_INT(other_goes_on(&other), 0);
	/* What it did meanwhile has not hurt the new holder. */
	CHECK_INT(share_lock_look(&here.share, &holder, NULL), 0);
	CHECK(holder.held && holder.epoch == lock.epoch);
	CHECK_INT(share_lock_check(&lock, NULL), 0);
	check_read(here.share.root, 2);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

/* So long that not even its number is there. */
static int releases_late(const struct here *here, struct share_lock *lock)
{
	(void)here;
	if (share_lock_check(lock, NULL) != -ESTALE)
		return 1;
	share_lock_release(lock, NULL);
	return 0;
}

TEST(a_lease_that_sleeps_long_brings_nothing_back)
{
	auto_here struct here here = here_with(SHARE_LEASE, 300);
	auto_free char *lease = file_join(here.path, "lock/lease");
	struct share_lock lock;
	struct share_holder holder;
	struct other other = other_holds(&here, releases_late);
	int before;

	for (int i = 0; i < 40; i++) {
		CHECK_INT(take(&here, 20000, &lock, NULL), 0);
		CHECK_INT(share_lock_release(&lock, NULL), 0);
	}
	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	before = names_like(lease, "e.");
	CHECK_INT(other_goes_on(&other), 0);
	CHECK_INT(names_like(lease, "e."), before);
	CHECK_INT(share_lock_look(&here.share, &holder, NULL), 0);
	CHECK(holder.held && holder.epoch == lock.epoch);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

static void killed_holder(enum share_backend backend, bool queued)
{
	auto_here struct here here = here_with(backend, 300);
	struct share_lock lock;
	struct other other;

	here.share.local = queued ? here.folder : NULL;
	other = other_holds(&here, releases_late);
	kill(other.pid, SIGKILL);
	CHECK_INT(wait_for(other.pid), -SIGKILL);
	CHECK_INT(take(&here, 20000, &lock, NULL), 0);
	CHECK_INT(share_lock_check(&lock, NULL), 0);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

TEST(a_dead_holder_is_followed)
{
	killed_holder(SHARE_LEASE, false);
	killed_holder(SHARE_LEASE, true);
	killed_holder(SHARE_OFD, false);
	killed_holder(SHARE_OFD, true);
}

/* No wait alone is as long as the TTL. */
TEST(a_dead_holder_is_followed_by_short_waits)
{
	auto_here struct here here = here_with(SHARE_LEASE, 1000);
	struct share_lock lock;
	struct other other;
	int rc = -EWOULDBLOCK, waits = 0;

	here.share.local = here.folder;
	other = other_holds(&here, releases_late);
	kill(other.pid, SIGKILL);
	CHECK_INT(wait_for(other.pid), -SIGKILL);
	for (; rc == -EWOULDBLOCK && waits < 40; waits++)
		rc = take(&here, 250, &lock, NULL);
	CHECK_INT(rc, 0);
	CHECK(waits > 2);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

/* What is kept of them is only what was seen. */
TEST(short_waits_break_no_holder_that_beats)
{
	auto_here struct here here = here_with(SHARE_LEASE, 1000);
	struct share_lock lock, second;
	auto_free char *queue =
		file_format("%s/share-%s.lock", here.folder, here.share.id);
	int rc = -EWOULDBLOCK, status = -1;
	pid_t pid;

	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	here.share.local = here.folder;
	CHECK_INT(file_replace(queue, "brood-watch 1 x", 15, 0600, NULL), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; rc == -EWOULDBLOCK && i < 16; i++)
			rc = take(&here, 250, &second, NULL);
		_exit(rc == -EWOULDBLOCK);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		CHECK_INT(share_lock_beat(&lock, NULL), 0);
		clock_sleep_ms(20);
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	CHECK(lock.beat >= 3);
	CHECK_INT(share_lock_check(&lock, NULL), 0);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

/* Nobody else's word for what was seen breaks a holder. */
TEST(what_others_may_have_written_was_not_seen)
{
	auto_here struct here here = here_with(SHARE_LEASE, 60000);
	struct share_lock lock;
	struct other other;
	auto_free char *queue =
		file_format("%s/share-%s.lock", here.folder, here.share.id);
	auto_buf struct buf text = { 0 };

	/* Another host's, which has another queue. */
	other = other_holds(&here, releases_late);
	here.share.local = here.folder;
	CHECK_INT(take(&here, 0, &lock, NULL), -EWOULDBLOCK);
	CHECK_INT(file_read(queue, &text, 4096, NULL), 0);
	CHECK(text.len > 65);
	/* So long is the TTL, and a waiter has seen it so long. */
	memcpy(text.data + 31, "0000000df8475800", 16);
	CHECK_INT(file_replace(queue, text.data, text.len, 0600, NULL), 0);
	CHECK(chmod(queue, 0620) == 0);
	CHECK_INT(take(&here, 0, &lock, NULL), -EWOULDBLOCK);
	CHECK(chmod(queue, 0600) == 0);
	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
	kill(other.pid, SIGKILL);
	CHECK_INT(wait_for(other.pid), -SIGKILL);
}

/* A holder that stirs is not broken, however long it needs. */
TEST(a_holder_that_beats_stays)
{
	auto_here struct here here = here_with(SHARE_LEASE, 2000);
	struct share_lock lock, second;
	pid_t pid;

	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(take(&here, 6000, &second, NULL) == -EWOULDBLOCK);
	for (int status; waitpid(pid, &status, WNOHANG) == 0;) {
		CHECK_INT(share_lock_beat(&lock, NULL), 0);
		clock_sleep_ms(20);
		if (lock.beat > 100)
			break;
	}
	CHECK(lock.beat >= 3);
	CHECK_INT(share_lock_check(&lock, NULL), 0);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

/* An epoch that says nothing, as a crash may leave it, is broken in time. */
TEST(epochs_that_say_nothing_are_broken)
{
	static const char *const texts[] = { "", "free\n", "brood-lock 1 F" };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		auto_here struct here here = here_with(SHARE_LEASE, 200);
		char name[64];
		struct share_lock lock;
		struct share_holder holder;
		struct err err = { 0 };

		CHECK_INT(take(&here, 0, &lock, NULL), 0);
		snprintf(name, sizeof name, "lock/lease/e.%lu",
			 (unsigned long)lock.epoch + 1);
		CHECK_INT(share_lock_release(&lock, NULL), 0);
		put(&here, name, texts[i]);
		CHECK_INT(share_lock_look(&here.share, &holder, NULL), 0);
		CHECK(holder.held && !holder.host[0]);
		CHECK_INT(take(&here, 0, &lock, &err), -EWOULDBLOCK);
		CHECK(strstr(err.text, "unknown") != NULL);
		CHECK_INT(take(&here, 20000, &lock, NULL), 0);
		CHECK_INT(share_lock_release(&lock, NULL), 0);
	}
}

/* ---- what hands remove -------------------------------------------------------
 */

/* As by an NFS server that has given it to another client. */
TEST(an_ofd_lock_that_another_one_has_signed_is_lost)
{
	auto_here struct here here = here_with(SHARE_OFD, 0);
	struct share_lock lock;
	auto_close int fd = -1;

	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	CHECK_INT(share_lock_check(&lock, NULL), 0);
	fd = openat(here.share.root, "lock/ofd", O_RDWR | O_CLOEXEC);
	CHECK_INT(pwrite(fd, "00000000000000ff", 16, 32), 16);
	CHECK_INT(share_lock_check(&lock, NULL), -ESTALE);
	share_lock_release(&lock, NULL);
}

static void without_its_lock(enum share_backend backend, const char *name)
{
	struct share_wish wish = { .backend = backend, .ttl_ms = 0 };
	auto_here struct here here = here_with(backend, 0);
	struct share_lock lock, second;
	struct share_holder holder;
	uint64_t epoch;
	struct err err = { 0 };

	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	epoch = lock.epoch;
	removed(&here, name);
	CHECK_INT(take(&here, 0, &second, &err), -ENOENT);
	CHECK(strstr(err.text, "removed") && strstr(err.text, here.path));
	CHECK_INT(share_lock_look(&here.share, &holder, &err), -ENOENT);
	CHECK_INT(share_lock_check(&lock, NULL), -ESTALE);
	CHECK_INT(share_make(here.path, &wish, &err), 0);
	CHECK_INT(take(&here, 0, &second, &err), 0);
	CHECK(second.epoch > epoch);
	/* Of the two, the first one knows. */
	CHECK_INT(share_lock_check(&lock, NULL), -ESTALE);
	share_lock_release(&lock, NULL);
	CHECK_INT(share_lock_check(&second, NULL), 0);
	CHECK_INT(share_lock_release(&second, NULL), 0);
}

TEST(a_lock_that_was_removed_is_made_anew)
{
	without_its_lock(SHARE_LEASE, "lock/lease");
	without_its_lock(SHARE_LEASE, "lock");
	without_its_lock(SHARE_OFD, "lock/ofd");
	without_its_lock(SHARE_OFD, "lock");
}

/* Somebody at work on a lock that is held and waited for: when the waiter has
 * seen it twice, a part of it is gone, and the holder ends. */
struct meddler {
	char *part, *to; /* where it is moved; NULL: removed */
	struct share_lock lock;
	int looks;
};

static bool meddle(void *ctx)
{
	struct meddler *meddler = ctx;

	if (++meddler->looks != 2)
		return true;
	if (meddler->to)
		CHECK_INT(rename(meddler->part, meddler->to), 0);
	else
		CHECK_INT(unlink(meddler->part), 0);
	CHECK_INT(share_lock_check(&meddler->lock, NULL), -ESTALE);
	share_lock_release(&meddler->lock, NULL);
	return true;
}

static void gone_while_waited_for(enum share_backend backend, const char *part,
				  const char *to)
{
	auto_here struct here here = here_with(backend, 0);
	struct meddler meddler = { 0 };
	struct share_lock second;
	struct err err = { 0 };

	CHECK_INT(take(&here, 0, &meddler.lock, NULL), 0);
	meddler.part = part ? file_join(here.path, part)
			    : file_format("%s/lock/lease/e.%lu", here.path,
					  (unsigned long)meddler.lock.epoch);
	meddler.to = to ? file_join(here.path, to) : NULL;
	CHECK_INT(share_lock_take(&here.share, 20000, meddle, &meddler, &second,
				  &err),
		  -ENOENT);
	CHECK(strstr(err.text, "removed") && strstr(err.text, here.path));
	CHECK(meddler.looks >= 2);
	free(meddler.part);
	free(meddler.to);
}

/* A removal takes file after file.  If the holder's epoch is the first one,
 * the one before it must not let another one take the same number. */
TEST(a_lock_that_is_being_removed_is_not_taken)
{
	gone_while_waited_for(SHARE_LEASE, NULL, NULL);
}

TEST(a_lock_that_was_moved_away_is_not_taken)
{
	gone_while_waited_for(SHARE_LEASE, "lock", "gone");
	gone_while_waited_for(SHARE_LEASE, "lock/lease", "gone");
	gone_while_waited_for(SHARE_OFD, "lock", "gone");
}

TEST(epochs_that_were_removed_are_made_anew)
{
	struct share_wish wish = { .backend = SHARE_LEASE, .ttl_ms = 0 };
	auto_here struct here here = here_with(SHARE_LEASE, 0);
	struct share_lock lock, second;
	struct err err = { 0 };

	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	for (int i = 0; i < 2; i++) {
		char name[64];

		snprintf(name, sizeof name, "lock/lease/e.%lu",
			 (unsigned long)lock.epoch - i);
		removed(&here, name);
	}
	CHECK_INT(take(&here, 0, &second, &err), -ENOENT);
	CHECK_INT(share_make(here.path, &wish, &err), 0);
	CHECK_INT(take(&here, 0, &second, &err), 0);
	CHECK(second.epoch > lock.epoch);
	CHECK_INT(share_lock_check(&lock, NULL), -ESTALE);
	share_lock_release(&lock, NULL);
	CHECK_INT(share_lock_release(&second, NULL), 0);
}

TEST(a_share_without_record_keeps_its_lock)
{
	struct share_wish lease = { .backend = SHARE_LEASE, .ttl_ms = 0 },
			  ofd = { .backend = SHARE_OFD, .ttl_ms = 0 };
	auto_here struct here here = here_with(SHARE_LEASE, 0);
	struct share_lock lock, second;
	struct err err = { 0 };

	removed(&here, "brood.json"); /* nobody has used it */
	CHECK_INT(share_make(here.path, &lease, &err), 0);
	CHECK_INT(take(&here, 0, &lock, NULL), 0);
	removed(&here, "brood.json");
	CHECK_INT(share_make(here.path, &ofd, &err), -EPROTO);
	CHECK(strstr(err.text, "\"lease\"") != NULL);
	CHECK_INT(share_make(here.path, &lease, &err), 0);
	CHECK_INT(take(&here, 0, &second, &err), -EWOULDBLOCK);
	CHECK_INT(share_lock_check(&lock, NULL), 0);
	CHECK_INT(share_lock_release(&lock, NULL), 0);
}

/* ---- many ----------------------------------------------------------------------
 */

enum { WORKERS = 8 };

struct seen {
	atomic_int inside; /* a worker and 1 */
	atomic_int killed[WORKERS];
	atomic_int begun, ended; /* updates of the counter */
	atomic_int met, errors;	 /* two inside; calls that failed */
};

static int counter_read(int root)
{
	char text[16] = "";
	auto_close int fd = openat(root, "counter", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, text, sizeof text - 1) > 0 ? atoi(text) : 0;
}

static void counter_add(int root)
{
	int value = counter_read(root) + 1;
	auto_close int fd =
		openat(root, "counter", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	dprintf(fd, "%d\n", value);
}

static void work(const struct here *here, struct seen *seen, int me, int count)
{
	for (int i = 0; i < count; i++) {
		struct share_lock lock;
		int before;

		if (take(here, 60000, &lock, NULL) < 0) {
			seen->errors++;
			return;
		}
		before = atomic_exchange(&seen->inside, me + 1);
		seen->met += before && !seen->killed[before - 1];
		seen->begun++;
		counter_add(here->share.root);
		seen->ended++;
		seen->errors += share_lock_check(&lock, NULL) < 0;
		seen->inside = 0;
		seen->errors += share_lock_release(&lock, NULL) < 0;
	}
}

static void contend(enum share_backend backend, bool queued, int count,
		    int kills)
{
	auto_here struct here here = here_with(backend, 3000);
	struct seen *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned chance = (unsigned)clock_ns();
	pid_t pids[WORKERS];
	int counter;

	here.share.local = queued ? here.folder : NULL;
	fflush(stdout);
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			work(&here, seen, i, count);
			_exit(0);
		}
	}
	for (int i = 0; i < kills; i++) {
		chance = chance * 1664525 + 1013904223;
		clock_sleep_ms(1 + (chance >> 16) % 30);
		seen->killed[i] = 1;
		kill(pids[i], SIGKILL);
	}
	for (int i = 0; i < WORKERS; i++)
		wait_for(pids[i]);
	counter = counter_read(here.share.root);
	CHECK(counter >= seen->ended && counter <= seen->begun);
	CHECK(seen->begun - seen->ended <= kills);
	CHECK(seen->ended >= (WORKERS - kills) * count);
	CHECK_INT(seen->met, 0);
	CHECK_INT(seen->errors, 0);
	munmap(seen, sizeof *seen);
}

TEST(leases_lose_no_update)
{
	contend(SHARE_LEASE, false, 100, 0);
	contend(SHARE_LEASE, true, 100, 0);
}

TEST(leases_lose_no_update_when_holders_die)
{
	contend(SHARE_LEASE, false, 100, 3);
	contend(SHARE_LEASE, true, 100, 3);
}

TEST(ofd_locks_lose_no_update)
{
	contend(SHARE_OFD, false, 100, 0);
	contend(SHARE_OFD, true, 100, 0);
}

TEST(ofd_locks_lose_no_update_when_holders_die)
{
	contend(SHARE_OFD, false, 100, 3);
	contend(SHARE_OFD, true, 100, 3);
}

/* ---- what permissions forbid --------------------------------------------------
 */

static void forbidden(enum share_backend backend)
{
	auto_here struct here here = here_with(backend, 0);
	pid_t pid;

	CHECK(chmod(here.folder, 0755) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct share_lock lock;
		struct share_holder holder;
		struct err err = { 0 };
		int rc;

		if (geteuid() == 0 && (setgid(12345) < 0 || setuid(12345) < 0))
			_exit(77);
		rc = take(&here, 0, &lock, &err);
		if (rc != -EACCES || !strstr(err.text, here.path))
			_exit(1);
		if (share_lock_look(&here.share, &holder, &err) < 0 &&
		    backend == SHARE_LEASE)
			_exit(2);
		_exit(0);
	}
	CHECK_INT(wait_for(pid), 0);
}

TEST(what_is_forbidden_is_said)
{
	if (geteuid() != 0)
		SKIP("not root: all files here are ours");
	forbidden(SHARE_LEASE);
	forbidden(SHARE_OFD);
}

TEST_MAIN
