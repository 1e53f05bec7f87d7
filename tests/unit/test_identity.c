/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is, as another sees it.  The other is a child that has
 * changed one thing about itself and waits. */
#include "bare/identity.h"
#include "test.h"
#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void change(void);

/* true: it was seen.  The child ends by the test's killing it. */
static bool see(change *changes, struct identity_seen *seen,
		struct wire_identity *said)
{
	int ends[2];
	struct wire_identity its = { 0 };

	if (pipe(ends) < 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		changes();
		identity_say(&its);
		(void)!write(ends[1], &its, sizeof its);
		for (;;)
			pause();
	}
	close(ends[1]);
	bool good = read(ends[0], &its, sizeof its) == sizeof its &&
		    identity_see(pid, seen);

	close(ends[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (said)
		*said = its;
	return good;
}

static void nothing(void)
{
}
TEST(the_same)
{
	struct identity_seen mine, seen;
	struct wire_identity said, ours;

	CHECK(identity_see(getpid(), &mine));
	CHECK(see(nothing, &seen, &said));
	CHECK(identity_seen_difference(&mine, &seen) == NULL);
	identity_say(&ours);
	CHECK(identity_said_difference(&said, &ours) == NULL);
	CHECK(!identity_see(0, &seen));
	CHECK(!identity_see(-1, &seen));
}

static void expect(change *changes, const char *words)
{
	struct identity_seen mine, seen;
	const char *difference;

	CHECK(identity_see(getpid(), &mine));
	CHECK(see(changes, &seen, NULL));
	difference = identity_seen_difference(&mine, &seen);
	CHECK_TEXT(difference ? difference : "nothing differs", words);
}

static void gets_no_more(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(1);
}
static void drops_from_bound(void)
{
	if (prctl(PR_CAPBSET_DROP, 21 /* CAP_SYS_ADMIN */, 0, 0, 0) < 0)
		_exit(1);
}
static void changes_root(void)
{
	if (chroot("/proc") < 0)
		_exit(1);
}
TEST(what_differs)
{
	expect(gets_no_more, "no_new_privs is set");
	if (geteuid() != 0)
		SKIP("not root");
	expect(drops_from_bound, "the capabilities differ");
	expect(changes_root, "the root folder differs");
}

static void joins(int count)
{
	static gid_t groups[60000];

	for (int i = 0; i < count; i++)
		groups[i] = 1000000 + i;
	if (setgroups(count, groups) < 0)
		_exit(1);
}
static void joins_many(void)
{
	joins(2000);
}
static void joins_many_and_gets_no_more(void)
{
	joins(2000);
	gets_no_more();
}
static void joins_too_many(void)
{
	joins(60000);
}
TEST(behind_many_groups)
{
	struct identity_seen many, more;

	if (geteuid() != 0)
		SKIP("not root");
	CHECK(see(joins_many, &many, NULL));
	CHECK(many.cap_bounding != 0);
	CHECK(see(joins_many_and_gets_no_more, &more, NULL));
	CHECK_TEXT(identity_seen_difference(&many, &more),
		   "no_new_privs is set");
	CHECK(!see(joins_too_many, &more, NULL));
}

static void binds_memory(void)
{
	unsigned long nodes = 1;

	syscall(SYS_set_mempolicy, 2 /* MPOL_BIND */, &nodes, 64);
}
static void names_the_default(void)
{
	syscall(SYS_set_mempolicy, 4 /* MPOL_LOCAL */, NULL, 0);
}
TEST(memory_policy)
{
	struct wire_identity ours, said;
	struct identity_seen seen;
	const char *difference;

	if (syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0) < 0)
		SKIP("a kernel without memory policies");
	identity_say(&ours);
	CHECK(see(names_the_default, &seen, &said));
	CHECK(identity_said_difference(&ours, &said) == NULL);
	CHECK(see(binds_memory, &seen, &said));
	difference = identity_said_difference(&ours, &said);
	CHECK_TEXT(difference ? difference : "nothing differs",
		   "the memory policy differs");
}

TEST_MAIN

/* Bit by bit: no part is left out of the comparison. */
static int agreeing_bits(size_t from, size_t to)
{
	int count = 0;

	for (size_t bit = from * 8; bit < to * 8; bit++) {
		struct identity_seen a = { .uid = { 1 } }, b = a;

		((unsigned char *)&b)[bit / 8] ^= (unsigned char)(1 << bit % 8);
		count += identity_seen_difference(&a, &b) == NULL;
	}
	return count;
}

TEST(every_part_counts)
{
	size_t carried = offsetof(struct identity_seen, core_filter);
	size_t all = sizeof(struct identity_seen);
	int said = 0;

	CHECK_INT(agreeing_bits(0, carried), 0);
	/* what a launch takes over may differ */
	CHECK_INT(agreeing_bits(carried, all), (int)(all - carried) * 8);
	for (size_t bit = 0; bit < sizeof(struct wire_identity) * 8; bit++) {
		struct wire_identity a = { 0 }, b = a;

		((unsigned char *)&b)[bit / 8] ^= (unsigned char)(1 << bit % 8);
		said += identity_said_difference(&a, &b) == NULL;
	}
	CHECK_INT(said, 0);
}
