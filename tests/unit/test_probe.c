/* SPDX-License-Identifier: Apache-2.0 */
/* The probe of locks: who meets whom, what is proven by it, and what a share
 * takes for a proof.  All on storage of this host alone. */
#include "base/fd.h"
#include "base/file.h"
#include "share/probe.h"
#include "share/share.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char id[] = "0123456789abcdef0123456789abcdef";

static char *folder_new(void)
{
	char *folder = strdup("/tmp/brood-test-XXXXXX");

	CHECK(mkdtemp(folder) != NULL);
	return folder;
}

static void folder_remove(char **folder)
{
	file_remove_tree(*folder, NULL);
	mem_free(folder);
}
#define auto_folder __attribute__((cleanup(folder_remove)))

static void put(const char *folder, const char *name, const char *text)
{
	auto_free char *path = file_join(folder, name);

	CHECK_INT(file_replace(path, text, strlen(text), 0644, NULL), 0);
}

static bool is_there(const char *folder, const char *name)
{
	auto_free char *path = file_join(folder, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

/* As many at once: how many of them have proven it. */
static int prove(const char *folder, int count, int wait_ms)
{
	pid_t pids[8];
	int proven = 0;

	for (int i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(probe_run(folder, wait_ms, NULL, NULL, NULL) ==
			      1);
	}
	for (int i = 0; i < count; i++) {
		int status = 0;

		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		proven += WIFEXITED(status) && WEXITSTATUS(status) == 1;
	}
	return proven;
}

static int make(const char *folder, enum share_backend backend, struct err *err)
{
	auto_free char *path = file_join(folder, "");
	struct share_wish wish = { .backend = backend, .needs_proof = true };

	return share_make(path, &wish, err);
}

/* ---- who meets ------------------------------------------------------------ */

TEST(two_that_meet_leave_a_proof)
{
	auto_folder char *folder = folder_new();

	CHECK_INT(prove(folder, 2, 20000), 2);
	CHECK(is_there(folder, "probe.proven"));
	CHECK(!is_there(folder, "probe"));
}

TEST(one_alone_finds_out_nothing)
{
	auto_folder char *folder = folder_new();
	struct err err = { 0 };

	CHECK_INT(probe_run(folder, 200, NULL, NULL, &err), -ETIME);
	CHECK(strstr(err.text, "nobody else came") != NULL);
	CHECK(!is_there(folder, "probe.proven"));
	CHECK(!is_there(folder, "probe"));
}

static bool never(void *ctx)
{
	++*(int *)ctx;
	return false;
}

TEST(it_gives_up_when_told)
{
	auto_folder char *folder = folder_new();
	int looks = 0;

	CHECK_INT(probe_run(folder, -1, never, &looks, NULL), -ECANCELED);
	CHECK_INT(looks, 1);
}

TEST(of_five_four_make_pairs)
{
	auto_folder char *folder = folder_new();

	CHECK_INT(prove(folder, 5, 4000), 4);
	CHECK(!is_there(folder, "probe"));
}

/* Notes of who was killed, of nobody, and what is no note at all. */
TEST(strange_notes_meet_nobody)
{
	auto_folder char *folder = folder_new();
	auto_free char *dir = file_join(folder, "probe");
	auto_free char *link =
		file_join(dir, "here.00000000000000000000000000000001");

	CHECK_INT(mkdir(dir, 0755), 0);
	CHECK_INT(symlink("/etc/passwd", link), 0);
	put(dir, "here.00000000000000000000000000000002",
	    "brood-probe 1 . 0000000000000001 "
	    "0123456789abcdef0123456789abcdef ext4\n");
	put(dir, "here.00000000000000000000000000000003", "");
	put(dir, "here.00000000000000000000000000000004", "brood-probe 1 \n");
	put(dir, "here.what", "brood-probe 1 \n");
	put(dir, "claim.00000000000000000000000000000002", id);
	CHECK_INT(probe_run(folder, 300, NULL, NULL, NULL), -ETIME);
	CHECK_INT(prove(folder, 2, 20000), 2);
	CHECK(is_there(folder, "probe.proven"));
}

TEST(a_folder_that_is_none_is_refused)
{
	auto_folder char *folder = folder_new();
	struct err err = { 0 };

	put(folder, "probe", "a file");
	CHECK_INT(probe_run(folder, 200, NULL, NULL, &err), -ENOTDIR);
	CHECK(strstr(err.text, "/probe") != NULL);
}

/* ---- what is proven ---------------------------------------------------------- */

TEST(ofd_locks_need_a_proof)
{
	auto_folder char *folder = folder_new();
	struct err err = { 0 };

	CHECK_INT(make(folder, SHARE_OFD, &err), -EPROTO);
	CHECK(strstr(err.text, "brood app probe") != NULL);
	CHECK(!is_there(folder, "brood.json"));
	CHECK_INT(prove(folder, 2, 20000), 2);
	CHECK_INT(make(folder, SHARE_OFD, NULL), 0);
	CHECK(is_there(folder, "brood.json"));
}

TEST(a_lease_needs_none)
{
	auto_folder char *folder = folder_new();

	CHECK_INT(make(folder, SHARE_LEASE, NULL), 0);
}

static int proves(const char *folder, const char *text)
{
	auto_close int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	put(folder, "probe.proven", text);
	return probe_is_proven(root, NULL);
}

/* The kind of file system is what a proof of the test's own says. */
TEST(proofs_are_read_strictly)
{
	auto_folder char *folder = folder_new();
	auto_free char *path = file_join(folder, "probe.proven");
	auto_buf struct buf proof = { 0 };

	CHECK_INT(prove(folder, 2, 20000), 2);
	CHECK_INT(file_read(path, &proof, 1024, NULL), 0);
	CHECK_INT(proves(folder, buf_string(&proof)), 1);
	*strchr(proof.data, '1') = '2'; /* the version */
	CHECK_INT(proves(folder, buf_string(&proof)), 0);
	*strchr(proof.data, '2') = '1';
	CHECK_INT(proves(folder, buf_string(&proof)), 1);
	strstr(proof.data, "types")[0] = 'T';
	CHECK_INT(proves(folder, buf_string(&proof)), 0);
	CHECK_INT(proves(folder, ""), 0);
	CHECK_INT(proves(folder, "{"), 0);
	CHECK_INT(proves(folder, "{\"format\":\"brood-probe\",\"version\":1,"
				 "\"types\":[\"none\"]}"),
		  0);
}

TEST_MAIN
