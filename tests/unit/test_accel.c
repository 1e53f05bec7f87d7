/* SPDX-License-Identifier: Apache-2.0 */
/* Which accelerator: the firmware under a real QEMU, and scripts that behave
 * as a QEMU over all kinds of KVM does. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/memo.h"
#include "base/process.h"
#include "machine/accel.h"
#include "machine/qemu.h"
#include "machine/selftest.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUNDRED "for i in 1 2 3 4 5 6 7 8 9 10; do printf ..........; done; "

/* A folder with a cache of its own and a "qemu" that is a script. */
struct place {
	char *folder, *qemu, *count;
};

static void place_make(struct place *place, const char *script)
{
	const char *tmp = getenv("TMPDIR");
	auto_free char *text = NULL;

	place->folder = file_format("%s/accel.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(place->folder) != NULL);
	CHECK(setenv("XDG_CACHE_HOME", place->folder, 1) == 0);
	place->qemu = file_join(place->folder, "qemu");
	place->count = file_join(place->folder, "count");
	text = file_format("#!/bin/sh\necho >>%s\n%s\n", place->count, script);
	CHECK_INT(file_publish(place->qemu, text, strlen(text), 0700, NULL), 0);
}

static int place_count(const struct place *place)
{
	struct stat st;

	return stat(place->count, &st) < 0 ? 0 : (int)st.st_size;
}

static void place_remove(struct place *place)
{
	file_remove_tree(place->folder, NULL);
	mem_free(&place->folder);
	mem_free(&place->qemu);
	mem_free(&place->count);
}

/* ---- the firmware --------------------------------------------------------- */

TEST(firmware_runs_when_translated)
{
	auto_free char *qemu =
		process_find_in_path("qemu-system-x86_64", getenv("PATH"));
	struct selftest result;
	struct err err = { 0 };

	if (!qemu)
		SKIP("there is no qemu-system-x86_64");
	CHECK_INT(selftest_run(qemu, "tcg", 60000, &result, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(result.instructions, 10000000);
	printf("# 10 million instructions in %d ms\n", result.ms);
}

static void check_run(int limit_ms, const char *script, int code,
		      const char *words)
{
	struct place place;
	struct selftest result;
	struct err err = { 0 };
	uint64_t start = clock_ns();

	place_make(&place, script);
	CHECK_INT(selftest_run(place.qemu, "kvm", limit_ms, &result, &err),
		  code);
	if (code < 0 && !strstr(err.text, words))
		CHECK_TEXT(err.text, words);
	CHECK(clock_ns() - start < 10000000000);
	place_remove(&place);
}

TEST(outcomes)
{
	check_run(10000, "printf rplmcx; " HUNDRED "exit 85", 0, "");
	check_run(10000, "printf rplmcx; exit 85", -EPROTO,
		  "fails at plain code: the guest has ended");
	check_run(10000, "printf rplmcx; " HUNDRED "exit 0", -EPROTO,
		  "plain code: the guest has ended");
	check_run(10000, "echo warning: old >&2; echo no KVM >&2; exit 1",
		  -EPROTO, "QEMU has ended: no KVM");
	check_run(10000, "exit 1", -EPROTO, "QEMU has ended: without a word");
	check_run(10000, "printf 'rplmc!'; exec sleep 60", -EPROTO,
		  "a guest's kernel fails at exceptions: not as it has to be");
	check_run(10000,
		  "printf rp; echo KVM internal error. >&2; exec sleep 60",
		  -EPROTO,
		  "a guest's kernel fails at long mode: KVM internal error.");
	check_run(
		1500, "printf rplm; exec sleep 60", -EPROTO,
		"a guest's kernel fails at control registers: the guest hangs");
	check_run(400, "exec sleep 60", -ETIME, "the guest has not begun");
	check_run(400, "exec >&- 2>&-; exec sleep 60", -ETIME,
		  "the guest has not begun");
	check_run(10000,
		  "head -c 3000000 /dev/zero >&2; printf '\\033[31m'; exit 1",
		  -EPROTO, "QEMU has ended: ");
}

TEST(slow_ring_0_is_seen_early)
{
	struct place place;
	struct selftest result;
	struct err err = { 0 };
	uint64_t start = clock_ns();

	place_make(&place, "printf rplmcx....; exec sleep 60");
	CHECK_INT(selftest_run(place.qemu, "kvm", 30000, &result, &err),
		  -EPROTO);
	CHECK(strstr(err.text, "guest ring 0 is too slow here: 0.4 million "
			       "instructions in ") == err.text);
	CHECK_INT(result.instructions, 400000);
	CHECK(clock_ns() - start < 10000000000);
	place_remove(&place);
}

TEST(no_qemu)
{
	struct selftest result;
	struct err err = { 0 };

	CHECK_INT(selftest_run("/nowhere/qemu", "kvm", 1000, &result, &err),
		  -ENOENT);
	CHECK(strstr(err.text, "/nowhere/qemu") != NULL);
}

/* A slow guest would go on for as long as it likes. */
TEST(guest_dies_with_who_tries_it)
{
	auto_free char *script = NULL;
	struct pollfd end = { .events = POLLIN };
	struct place place;
	int ends[2], status;
	char byte;
	pid_t pid;

	/* The script opens our end of the pipe, which tells its own end. */
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	script = file_format("exec 3>/proc/%d/fd/%d; echo >&3; exec sleep 60",
			     (int)getpid(), ends[1]);
	place_make(&place, script);
	pid = fork();
	if (pid == 0) {
		struct selftest result;

		selftest_run(place.qemu, "kvm", 60000, &result, NULL);
		_exit(0);
	}
	end.fd = ends[0];
	CHECK_INT(poll(&end, 1, 10000), 1);
	CHECK(read(ends[0], &byte, 1) == 1);
	close(ends[1]);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	CHECK_INT(poll(&end, 1, 10000), 1);
	CHECK(end.revents & POLLHUP);
	close(ends[0]);
	place_remove(&place);
}

/* ---- the device ----------------------------------------------------------- */

static void device_as_nobody(void)
{
	struct err err = { 0 };
	int status = 0;
	pid_t pid;

	if (geteuid() != 0)
		return;
	pid = fork();
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		_exit(accel_device("/dev/mem", &err) != -EACCES ||
		      !strstr(err.text, "usermod -aG kvm"));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

TEST(devices)
{
	struct err err = { 0 };

	CHECK_INT(accel_device("/nowhere/kvm", &err), -ENOENT);
	CHECK(strstr(err.text, "kvm: /nowhere/kvm: switch on ") == err.text);
	CHECK_INT(accel_device("/dev/null", &err), -ENOTTY);
	CHECK(strstr(err.text, "/dev/null") != NULL);
	if (access("/dev/mem", F_OK) == 0)
		device_as_nobody();
}

/* ---- choosing ------------------------------------------------------------- */

static bool kvm_is_here(void)
{
	return accel_device("/dev/kvm", NULL) >= 0;
}

TEST(wishes)
{
	struct place place;
	struct accel accel;
	struct err err = { 0 };

	place_make(&place, "exit 1");
	CHECK_INT(accel_pick(place.qemu, "tcg", &accel, &err), 0);
	CHECK_TEXT(accel.name, "tcg");
	CHECK_TEXT(accel.reason, "tcg: asked for");
	CHECK_INT(accel_pick(place.qemu, "xen\n", &accel, &err), -EINVAL);
	if (kvm_is_here()) {
		CHECK_INT(accel_pick(place.qemu, "kvm", &accel, &err), 0);
		CHECK_TEXT(accel.name, "kvm");
	} else {
		CHECK(accel_pick(place.qemu, "kvm", &accel, &err) < 0);
	}
	CHECK(setenv("BROOD_WITHOUT", "kvm", 1) == 0);
	CHECK_INT(accel_pick(place.qemu, "auto", &accel, &err), 0);
	unsetenv("BROOD_WITHOUT");
	CHECK_TEXT(accel.name, "tcg");
	CHECK_TEXT(accel.reason, "kvm: switched off by BROOD_WITHOUT");
	CHECK_INT(place_count(&place), 0);
	place_remove(&place);
}

static void check_pick(const struct place *place, const char *name, int count)
{
	struct accel accel;
	struct err err = { 0 };

	CHECK_INT(accel_pick(place->qemu, NULL, &accel, &err), 0);
	CHECK_TEXT(accel.name, name);
	CHECK(strncmp(accel.reason, "kvm: ", 5) == 0);
	CHECK_INT(place_count(place), count);
}

TEST(tried_once)
{
	struct place place;
	auto_free char *memo = NULL;

	if (!kvm_is_here())
		SKIP("there is no /dev/kvm to try");
	place_make(&place, "printf rplmcx; " HUNDRED "exit 85");
	memo = file_join(place.folder, "brood/accel");
	check_pick(&place, "kvm", 1);
	check_pick(&place, "kvm", 1);
	CHECK(truncate(memo, 20) == 0);
	check_pick(&place, "kvm", 2);
	check_pick(&place, "kvm", 2);
	CHECK(utimensat(AT_FDCWD, place.qemu, NULL, 0) == 0);
	check_pick(&place, "kvm", 3);
	CHECK(unlink(memo) == 0);
	check_pick(&place, "kvm", 4);
	place_remove(&place);
}

TEST(failure_is_remembered)
{
	struct place place;

	if (!kvm_is_here())
		SKIP("there is no /dev/kvm to try");
	place_make(&place, "printf rplmc; echo KVM internal error >&2; exit 1");
	check_pick(&place, "tcg", 1);
	check_pick(&place, "tcg", 1);
	place_remove(&place);
}

/* A busy machine is no reason against KVM for all of its uptime. */
TEST(accident_is_not)
{
	struct place place;

	if (!kvm_is_here())
		SKIP("there is no /dev/kvm to try");
	place_make(&place, "exec sleep 60");
	check_pick(&place, "tcg", 1);
	check_pick(&place, "tcg", 2);
	place_remove(&place);
}

TEST(real)
{
	auto_qemu struct qemu qemu = { 0 };
	struct place place;
	struct accel first, second;
	struct err err = { 0 };
	uint64_t start, ms;

	if (qemu_find(&qemu, &err) < 0)
		SKIP("there is no qemu-system-x86_64");
	place_make(&place, "");
	start = clock_ns();
	CHECK_INT(accel_pick(qemu.path, NULL, &first, &err), 0);
	ms = (clock_ns() - start) / 1000000;
	CHECK(ms < 6000);
	printf("# %s after %d ms: %s\n", first.name, (int)ms, first.reason);
	CHECK_INT(accel_pick(qemu.path, "auto", &second, &err), 0);
	if (!strstr(first.reason, "has not begun") &&
	    !strstr(first.reason, "is not through"))
		CHECK_TEXT(second.reason, first.reason);
	place_remove(&place);
}

/* ---- memos ---------------------------------------------------------------- */

static bool memo_is(const char *key, const char *want)
{
	auto_buf struct buf value = { 0 };

	if (!memo_get("m", key, &value))
		return !want;
	if (want)
		CHECK_TEXT(buf_string(&value), want);
	return want;
}

TEST(memos)
{
	struct place place;
	auto_free char *path = NULL;

	place_make(&place, "");
	path = file_join(place.folder, "brood/m");
	CHECK(memo_is("k", NULL));
	CHECK_INT(memo_put("m", "k", "a \"value\"", NULL), 0);
	CHECK(memo_is("k", "a \"value\""));
	CHECK(memo_is("l", NULL));
	CHECK_INT(memo_put("m", "l", "another", NULL), 0);
	CHECK(memo_is("l", "another"));
	CHECK(memo_is("k", NULL));
	CHECK(chmod(path, 0620) == 0);
	CHECK(memo_is("l", NULL));
	CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
	CHECK(memo_is("l", NULL));
	CHECK(memo_put("m", "l", "another", NULL) < 0);
	place_remove(&place);
}

TEST(damaged_memos)
{
	auto_buf struct buf text = { 0 }, value = { 0 };
	auto_free char *path = NULL;
	struct place place;

	place_make(&place, "");
	path = file_join(place.folder, "brood/m");
	CHECK_INT(memo_put("m", "key", "value", NULL), 0);
	CHECK_INT(file_read(path, &text, 1000, NULL), 0);
	for (size_t i = 0; i + 1 < text.len; i++) {
		text.data[i] ^= 1;
		CHECK_INT(file_publish(path, text.data, text.len, 0600, NULL),
			  0);
		CHECK(!memo_get("m", "key", &value));
		text.data[i] ^= 1;
		CHECK_INT(file_publish(path, text.data, i, 0600, NULL), 0);
		CHECK(!memo_get("m", "key", &value));
	}
	place_remove(&place);
}

TEST(no_folder_for_memos)
{
	auto_buf struct buf value = { 0 };
	auto_free char *home = strdup(getenv("HOME") ? getenv("HOME") : "/");

	unsetenv("XDG_CACHE_HOME");
	unsetenv("HOME");
	/* Root's services have one all the same. */
	if (geteuid() == 0)
		CHECK_INT(seteuid(65534), 0);
	CHECK(!memo_get("m", "k", &value));
	CHECK_INT(memo_put("m", "k", "v", NULL), -EINVAL);
	if (getuid() == 0)
		CHECK_INT(seteuid(0), 0);
	setenv("HOME", home, 1);
}

/* ---- which QEMU ----------------------------------------------------------- */

static int find_here(const struct place *place, struct qemu *qemu,
		     struct err *err)
{
	int r;

	setenv("BROOD_QEMU", place->qemu, 1);
	r = qemu_find(qemu, err);
	unsetenv("BROOD_QEMU");
	return r;
}

TEST(qemu_version)
{
	struct place place;
	struct err err = { 0 };

	place_make(&place, "echo 'QEMU emulator version 8.1.2 (some \033ne)'");
	for (int i = 0; i < 2; i++) {
		auto_qemu struct qemu qemu;

		CHECK_INT(find_here(&place, &qemu, &err), 0);
		CHECK_TEXT(qemu.version, "8.1.2 (some ?ne)");
		CHECK_INT(qemu.major, 8);
		CHECK_INT(qemu.minor, 1);
		CHECK_INT(qemu.micro, 2);
		CHECK(qemu.stamp.size > 0 && qemu.path[0] == '/');
	}
	CHECK_INT(place_count(&place), 1);
	place_remove(&place);
}

static void check_no_qemu(const char *script, int code)
{
	struct place place;
	struct err err = { 0 };
	struct qemu qemu;

	place_make(&place, script);
	CHECK_INT(find_here(&place, &qemu, &err), code);
	CHECK(!qemu.path);
	CHECK(strstr(err.text, place.qemu) != NULL);
	place_remove(&place);
}

TEST(qemu_that_is_none)
{
	struct err err = { 0 };
	struct qemu qemu;

	check_no_qemu("echo hello", -EPROTO);
	check_no_qemu("exit 1", -EPROTO);
	check_no_qemu("yes", -EFBIG);
	check_no_qemu("exec sleep 60", -ETIME);
	setenv("BROOD_QEMU", "/nowhere/qemu", 1);
	CHECK_INT(qemu_find(&qemu, &err), -ENOENT);
	unsetenv("BROOD_QEMU");
	CHECK(strstr(err.text, "BROOD_QEMU: /nowhere/qemu") == err.text);
}

TEST_MAIN
