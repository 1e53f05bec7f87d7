/* SPDX-License-Identifier: Apache-2.0 */
/* What a host lends: the words that it is told by, what is refused before
 * anything starts, and daemons that end with their machine. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/lent.h"
#include "machine/virtiofsd.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");

	folder = file_format("%s/lent.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(folder) != NULL);
}

static void finish(void)
{
	file_remove_tree(folder, NULL);
	mem_free(&folder);
}

static char *made_folder(const char *name)
{
	char *path = file_join(folder, name);

	CHECK(mkdir(path, 0700) == 0);
	return path;
}

/* Of that length, with that magic where a file system has its own. */
static char *made_file(const char *name, off_t bytes, uint32_t magic)
{
	char *path = file_join(folder, name);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && ftruncate(fd, bytes) == 0);
	if (magic)
		CHECK(pwrite(fd, &magic, sizeof(magic), 1024) == sizeof(magic));
	return path;
}

/* As the machine's file has it. */
static void there_and_back(const struct lent *lent, struct lent *again)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	json_start(&json, &text);
	json_open(&json, NULL);
	lent_write(lent, &json, "lent");
	json_close(&json);
	lent_read(buf_string(&text), "lent", again);
}

static int add(struct lent *lent, const char *how, const char *path,
	       const char *tag, struct err *err)
{
	auto_free char *words = file_format("%s%s%s", how, path, tag);

	return lent_add_share(lent, words, err);
}

TEST(shares)
{
	auto_lent struct lent lent = { 0 };
	auto_buf struct buf words = { 0 };
	struct err err = { 0 };

	begin();
	auto_free char *plain = made_folder("plain");
	auto_free char *odd = made_folder("a,b=c");

	CHECK_INT(add(&lent, "", plain, "", &err), 0);
	CHECK(lent.item[0].how == LENT_9P);
	CHECK_TEXT(lent.item[0].tag, "share0");
	CHECK_TEXT(lent.item[0].path, plain);
	CHECK(!lent_has_virtiofs(&lent));
	CHECK_INT(add(&lent, "virtiofs:", odd, "", &err), 0);
	CHECK_TEXT(lent.item[1].tag, "share1");
	CHECK_TEXT(lent.item[1].path, odd);
	CHECK_INT(add(&lent, "virtiofs-locks:", odd, "=locks", &err), 0);
	CHECK(lent.item[2].how == LENT_VIRTIOFS_LOCKS);
	CHECK_TEXT(lent.item[2].tag, "locks");
	CHECK_TEXT(lent.item[2].path, odd);
	CHECK(lent_has_virtiofs(&lent) && lent_pmem_room(&lent) == 0);
	lent_kernel_words(&lent, &words);
	CHECK_TEXT(buf_string(&words),
		   "brood.lent=9p:share0 brood.lent=virtiofs:share1 "
		   "brood.lent=virtiofs:locks ");
	lent_fini(&lent);
	finish();
}

TEST(refused)
{
	auto_lent struct lent lent = { 0 };
	struct err err = { 0 };

	begin();
	auto_free char *plain = made_folder("plain");
	auto_free char *file = made_file("file", 10, 0);

	CHECK_INT(add(&lent, "", plain, "=a", &err), 0);
	CHECK_INT(add(&lent, "", plain, "=a", &err), -EINVAL);
	CHECK_TEXT(err.text, "two have the tag a");
	CHECK(add(&lent, "", plain, "=", &err) == -EINVAL);
	CHECK(add(&lent, "", plain, "=.a", &err) == -EINVAL);
	CHECK(add(&lent, "", plain, "=a b", &err) == -EINVAL);
	CHECK(add(&lent, "", plain, "=a,b", &err) == -EINVAL);
	CHECK(add(&lent, "", plain, "=1234567890123456789012345678901", &err) ==
	      0);
	CHECK(add(&lent, "", plain, "=12345678901234567890123456789012",
		  &err) == -EINVAL);
	CHECK(strstr(err.text, "at most 31"));
	CHECK(add(&lent, "", plain, "/none", &err) == -ENOENT);
	CHECK(add(&lent, "", file, "", &err) == -ENOTDIR);
	CHECK(add(&lent, "nfs:", plain, "", &err) == -ENOENT);
	CHECK_INT(lent.count, 2);
	/* One that was told stands in the way of one that is counted. */
	CHECK_INT(add(&lent, "", plain, "=share3", &err), 0);
	CHECK_INT(add(&lent, "", plain, "", &err), -EINVAL);
	CHECK(lent_refuse(&lent, "m", "fly", &err) == -EINVAL);
	CHECK_TEXT(err.text, "machine m has 9p a of this host, and can not "
			     "fly");
	while (lent.count < LENT_MOST) {
		char tag[16];

		snprintf(tag, sizeof(tag), "=t%d", lent.count);
		CHECK_INT(add(&lent, "", plain, tag, &err), 0);
	}
	CHECK(add(&lent, "", plain, "=more", &err) == -EINVAL);
	lent_fini(&lent);
	CHECK_INT(lent_refuse(&lent, "m", "fly", &err), 0);
	finish();
}

/* ---- folders of a tip ------------------------------------------------------ */

static int add_folder(struct lent *lent, const char *how, const char *path,
		      const char *at, struct err *err)
{
	auto_free char *words = file_format("%s%s%s", how, path, at);

	return lent_add_folder(lent, words, err);
}

TEST(folders)
{
	auto_lent struct lent lent = { 0 }, again = { 0 };

	begin();
	auto_free char *plain = made_folder("plain");
	auto_free char *odd = made_folder("a=b,c");
	auto_free char *deep = file_join(odd, "x=");
	auto_free char *link = file_join(folder, "link");

	CHECK(mkdir(deep, 0700) == 0 && symlink(plain, link) == 0);
	CHECK_INT(add_folder(&lent, "", link, "", NULL), 0);
	CHECK_INT(add_folder(&lent, "ro:", odd, "=/at,b", NULL), 0);
	/* With a name that could be taken apart, it is not. */
	CHECK_INT(add_folder(&lent, "", deep, "/", NULL), 0);
	CHECK_TEXT(lent.item[0].path, plain);
	CHECK_TEXT(lent.item[0].at, plain);
	CHECK_TEXT(lent.item[0].tag, "folder0");
	CHECK(!lent.item[0].read_only && lent.item[1].read_only);
	CHECK_TEXT(lent.item[1].path, odd);
	CHECK_TEXT(lent.item[1].at, "/at,b");
	CHECK_TEXT(lent.item[2].at, deep);
	there_and_back(&lent, &again);
	CHECK_INT(again.count, 3);
	CHECK_INT(again.item[1].how, LENT_FOLDER);
	CHECK(again.item[1].read_only && !again.item[0].read_only);
	CHECK_TEXT(again.item[1].at, "/at,b");
	CHECK(lent_refuse(&again, "m", "fly", NULL) < 0);
	finish();
}

TEST(folders_refused)
{
	static const char *const places[] = {
		"=/",  "=/a/..", "=/../a", "=/a/../b", "=/.",
		"=//", "=/a//b", "=/a/.",  "=/a/./b",  "=/..",
	};
	auto_lent struct lent lent = { 0 };
	struct err err = { 0 };

	begin();
	auto_free char *plain = made_folder("plain");
	auto_free char *file = made_file("file", 10, 0);

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		CHECK_INT(add_folder(&lent, "", plain, places[i], &err),
			  -EINVAL);
		CHECK(strstr(err.text, "no place for a folder") != NULL);
	}
	CHECK_INT(add_folder(&lent, "", plain, "=relative", &err), -ENOENT);
	CHECK_INT(add_folder(&lent, "", file, "=/a", &err), -ENOTDIR);
	CHECK_INT(add_folder(&lent, "", "", "", &err), -ENOENT);
	CHECK_INT(lent.count, 0);
	for (int i = 0; i < LENT_MOST; i++) {
		char at[16];

		snprintf(at, sizeof(at), "=/at%d", i);
		CHECK_INT(add_folder(&lent, "", plain, at, &err), 0);
	}
	CHECK_INT(add_folder(&lent, "", plain, "=/more", &err), -EINVAL);
	lent_fini(&lent);
	CHECK_INT(add_folder(&lent, "", plain, "=/at", &err), 0);
	CHECK_INT(add_folder(&lent, "", plain, "=/at", &err), -EINVAL);
	CHECK_TEXT(err.text, "two folders at /at");
	finish();
}

TEST(files)
{
	auto_lent struct lent lent = { 0 };
	auto_buf struct buf words = { 0 };
	struct err err = { 0 };

	begin();
	auto_free char *whole = made_file("whole", 4 << 20, 0xe0f5e1e2);
	auto_free char *part = made_file("part", (4 << 20) - 512, 0);
	auto_free char *empty = made_file("empty", 0, 0);

	CHECK_INT(lent_add_file(&lent, LENT_PMEM, whole, &err), 0);
	CHECK(lent.item[0].erofs && lent.item[0].bytes == 4 << 20);
	CHECK_TEXT(lent.item[0].tag, "pmem0");
	CHECK(lent_pmem_room(&lent) >= 4 << 20);
	CHECK(lent_add_file(&lent, LENT_PMEM, part, &err) == -EINVAL);
	CHECK(strstr(err.text, "2 MiB"));
	CHECK_INT(lent_add_file(&lent, LENT_DEVICE, part, &err), 0);
	CHECK(!lent.item[1].erofs);
	CHECK_INT(lent_add_file(&lent, LENT_DEVICE, whole, &err), 0);
	CHECK_TEXT(lent.item[2].tag, "device1");
	CHECK(lent_add_file(&lent, LENT_DEVICE, empty, &err) == -EINVAL);
	CHECK(lent_add_file(&lent, LENT_DEVICE, folder, &err) == -EINVAL);
	CHECK(lent_add_file(&lent, LENT_PMEM, "/nonesuch", &err) == -ENOENT);
	lent_kernel_words(&lent, &words);
	CHECK_TEXT(buf_string(&words),
		   "brood.lent=erofs:pmem0 brood.lent=raw:device0 "
		   "brood.lent=erofs:device1 swiotlb=512 ");
	lent_fini(&lent);
	finish();
}

TEST(written_and_read)
{
	auto_lent struct lent lent = { 0 }, again = { 0 };

	begin();
	auto_free char *odd = made_folder("a \"b\",c");

	CHECK_INT(add(&lent, "virtiofs:", odd, "=x", NULL), 0);
	CHECK_INT(add(&lent, "9p:", odd, "=y", NULL), 0);
	lent.item[0].pid = 77;
	there_and_back(&lent, &again);
	CHECK_INT(again.count, 2);
	CHECK(again.item[0].how == LENT_VIRTIOFS && again.item[0].pid == 77);
	CHECK_TEXT(again.item[0].path, odd);
	CHECK_TEXT(again.item[1].tag, "y");
	lent_fini(&again);
	lent_read("{\"lent\":[{\"how\":\"9p\",\"tag\":\"../x\"}]}", "lent",
		  &again);
	CHECK_INT(again.count, 0);
	finish();
}

/* ---- daemons ----------------------------------------------------------------- */

/* A daemon that does as that script says. */
static int start_script(struct lent *lent, const char *script, struct err *err)
{
	auto_free char *path = file_join(folder, "virtiofsd");
	auto_free char *text = file_format("#!/bin/sh\n%s\n", script);

	CHECK_INT(file_replace(path, text, strlen(text), 0700, NULL), 0);
	CHECK(setenv("BROOD_VIRTIOFSD", path, 1) == 0);
	CHECK_INT(add(lent, "virtiofs:", folder, "", err), 0);
	return virtiofsd_start(folder, lent, false, err);
}

TEST(a_daemon_that_fails)
{
	auto_lent struct lent lent = { 0 };
	struct err err = { 0 };
	siginfo_t info;

	begin();
	CHECK_INT(
		start_script(&lent,
			     "echo not today >&2; echo virtio_loop: x; exit 1",
			     &err),
		0);
	CHECK(waitid(P_PID, (id_t)lent.item[0].pid, &info, WEXITED | WNOWAIT) ==
	      0);
	CHECK(virtiofsd_check(folder, &lent, &err) == -EINVAL);
	CHECK_TEXT(err.text, "share share0: virtiofsd: not today");
	CHECK(!virtiofsd_lives(folder, 0));
	virtiofsd_reap(&lent);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	lent_fini(&lent);
	CHECK(setenv("BROOD_VIRTIOFSD", "/nonesuch", 1) == 0);
	CHECK_INT(add(&lent, "virtiofs:", folder, "", &err), 0);
	CHECK(virtiofsd_start(folder, &lent, false, &err) == -ENOENT);
	finish();
}

/* It listens at nothing, so that only a signal ends it; two processes. */
TEST(a_daemon_that_stays)
{
	auto_lent struct lent lent = { 0 };
	struct err err = { 0 };
	pid_t pid;

	begin();
	CHECK_INT(start_script(&lent, "sleep 600; true", &err), 0);
	pid = lent.item[0].pid;
	CHECK(pid > 1 && lent.item[0].fd >= 0);
	CHECK(virtiofsd_lives(folder, 0) && !virtiofsd_lives(folder, 1));
	CHECK_INT(virtiofsd_check(folder, &lent, &err), 0);
	virtiofsd_end_all(folder);
	CHECK(!virtiofsd_lives(folder, 0));
	CHECK(waitpid(pid, NULL, 0) == pid);
	finish();
}

TEST_MAIN
