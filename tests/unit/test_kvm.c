/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's thin layer, its self-test and what is remembered of it. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memo.h"
#include "domain/kvm.h"
#include "domain/kvm_facts.h"
#include "domain/kvm_selftest.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static bool kvm_is_here(void)
{
	auto_kvm struct kvm kvm;
	struct err err = { 0 };

	if (kvm_open(&kvm, &err) >= 0)
		return true;
	printf("# NO KVM HERE, NOTHING OF IT IS TESTED: %s\n", err.text);
	return false;
}
#define NEED_KVM()          \
	if (!kvm_is_here()) \
	SKIP("there is no KVM")

static char *place_make(void)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = file_format("%s/kvm.XXXXXX", tmp ? tmp : "/tmp");

	CHECK(mkdtemp(folder) != NULL);
	CHECK(setenv("XDG_CACHE_HOME", folder, 1) == 0);
	return folder;
}

static void place_remove(char *folder)
{
	file_remove_tree(folder, NULL);
	free(folder);
}

/* ---- the device ----------------------------------------------------------- */

static int open_that(const char *path, struct err *err)
{
	auto_kvm struct kvm kvm;
	int r;

	err_clear(err);
	setenv("BROOD_KVM", path, 1);
	r = kvm_open(&kvm, err);
	unsetenv("BROOD_KVM");
	return r;
}

TEST(no_device)
{
	auto_free char *folder = place_make();
	auto_free char *path = file_join(folder, "kvm");
	struct err err = { 0 };

	CHECK_INT(open_that(path, &err), -ENOENT);
	CHECK(strstr(err.text, "kvm: No such file") != NULL);
	CHECK(strstr(kvm_advice(-ENOENT), "firmware") != NULL);
	CHECK_INT(open_that("/dev/null", &err), -ENOTTY);
	CHECK(strstr(err.text, "/dev/null is no KVM") == err.text);
	CHECK_INT(file_publish(path, "", 0, 0600, NULL), 0);
	CHECK_INT(open_that(path, &err), -ENOTTY);
	CHECK_INT(open_that(folder, &err), -EISDIR);
	place_remove(steal_ptr(&folder));
}

static int open_as_nobody(const char *path)
{
	struct err err;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 2;
	return open_that(path, &err) != -EACCES ||
	       !strstr(err.text, "Permission denied");
}

TEST(not_allowed)
{
	auto_free char *folder = place_make();
	auto_free char *path = file_join(folder, "kvm");
	int status = 0;
	pid_t pid;

	CHECK(strstr(kvm_advice(-EACCES), "group kvm") != NULL);
	CHECK_INT(file_publish(path, "", 0, 0000, NULL), 0);
	CHECK(chmod(folder, 0755) == 0);
	pid = geteuid() == 0 ? fork() : -1;
	if (pid == 0)
		_exit(open_as_nobody(path));
	if (pid > 0)
		CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	place_remove(steal_ptr(&folder));
}

TEST(switched_off)
{
	struct kvm kvm;
	struct kvm_facts facts;
	struct err err = { 0 };

	setenv("BROOD_WITHOUT", "userfault,kvm", 1);
	CHECK_INT(kvm_open(&kvm, &err), -EINVAL);
	CHECK_TEXT(err.text, "switched off by BROOD_WITHOUT");
	kvm_facts_find(&facts);
	unsetenv("BROOD_WITHOUT");
	CHECK(!facts.usable);
	CHECK_INT(facts.code, -EINVAL);
	CHECK_TEXT(facts.why, "switched off by BROOD_WITHOUT");
	CHECK(strstr(kvm_advice(facts.code), "BROOD_WITHOUT") != NULL);
}

/* ---- machines ------------------------------------------------------------- */

static int first_free_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);

	close(fd);
	return fd;
}

static void check_cloexec(int fd)
{
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
}

TEST(made_and_closed)
{
	struct kvm kvm;
	struct kvm_sentinel sentinel;
	struct err err = { 0 };
	int before = first_free_fd();

	NEED_KVM();
	CHECK_INT(kvm_open(&kvm, &err), 0);
	CHECK_INT(kvm_sentinel_open(&kvm, &sentinel, &err), 0);
	CHECK(kvm.has_template);
	CHECK_TEXT(err.text, "");
	check_cloexec(kvm.device);
	check_cloexec(sentinel.vm.fd);
	check_cloexec(sentinel.cpu.fd);
	kvm_sentinel_close(&sentinel);
	kvm_sentinel_close(&sentinel);
	kvm_close(&kvm);
	kvm_close(&kvm);
	CHECK_INT(first_free_fd(), before);
}

TEST(slots)
{
	auto_kvm struct kvm kvm;
	struct kvm_vm vm;
	struct err err = { 0 };
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED_KVM();
	CHECK_INT(kvm_open(&kvm, &err), 0);
	CHECK_INT(kvm_vm_make(&kvm, &vm, &err), 0);
	CHECK_INT(kvm_slot(&vm, 0, 0, 8192, memory, 0, &err), 0);
	CHECK_INT(kvm_slot(&vm, 1, 4096, 4096, memory, 0, &err), -EEXIST);
	CHECK(strstr(err.text, "memory slot 1 of 4096 bytes at 1000: ") ==
	      err.text);
	CHECK_INT(kvm_slot(&vm, 1, 8192, 100, memory, 0, &err), -EINVAL);
	CHECK_INT(kvm_slot(&vm, 0, 0, 0, memory, 0, &err), 0);
	CHECK_INT(kvm_slot(&vm, 1, 4096, 4096, memory, KVM_MEM_READONLY, &err),
		  0);
	kvm_vm_close(&vm);
	munmap(memory, 8192);
}

static void on_alarm(int number)
{
	(void)number;
}

/* Signals on their way make KVM_CREATE_VM fail. */
TEST(signals_are_no_failures)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, 300 }, { 0, 300 } }, none = { 0 };
	auto_kvm struct kvm kvm;
	struct kvm_sentinel sentinel;
	struct err err = { 0 };

	NEED_KVM();
	sigaction(SIGALRM, &action, NULL);
	CHECK_INT(kvm_open(&kvm, &err), 0);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 50; i++) {
		CHECK_INT(kvm_sentinel_open(&kvm, &sentinel, &err), 0);
		kvm_sentinel_close(&sentinel);
	}
	setitimer(ITIMER_REAL, &none, NULL);
	signal(SIGALRM, SIG_DFL);
	CHECK_TEXT(err.text, "");
}

/* ---- the self-test -------------------------------------------------------- */

static void show(const struct kvm_facts *facts, uint64_t ns)
{
	printf("# %s%s; features %x; us: machine %u, processor %u, first run "
	       "%u, port %u, store %u; ns: page %u, ring 0 %u; all %d us\n",
	       facts->usable ? "usable" : "not usable: ", facts->why,
	       facts->features, facts->vm_ns / 1000, facts->cpu_ns / 1000,
	       facts->first_ns / 1000, facts->port_ns / 1000,
	       facts->store_ns / 1000, facts->page_ns, facts->ring0_ns,
	       (int)(ns / 1000));
}

static void check_same(const struct kvm_facts *a, const struct kvm_facts *b)
{
	CHECK_INT(a->usable, b->usable);
	CHECK_TEXT(a->why, b->why);
	CHECK_INT(a->bell_port, b->bell_port);
	CHECK_INT(a->bell_store, b->bell_store);
	CHECK_INT(a->native_ring0, b->native_ring0);
	CHECK_INT(a->features, b->features);
}

static void check_run(bool cpuid, struct kvm_facts *facts)
{
	struct err err = { 0 };
	uint64_t start = clock_ns();

	CHECK_INT(kvm_selftest_run_with(cpuid, facts, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(facts->needs_cpuid, cpuid);
	show(facts, clock_ns() - start);
}

TEST(twice_the_same)
{
	struct kvm_facts first, second, with, again;
	struct err err = { 0 };

	NEED_KVM();
	check_run(false, &first);
	check_run(false, &second);
	check_same(&first, &second);
	check_run(true, &with);
	check_run(true, &again);
	check_same(&with, &again);
	CHECK_INT(kvm_selftest_run(&second, &err), 0);
	CHECK_INT(second.usable, first.usable || with.usable);
	check_same(&second, second.needs_cpuid ? &with : &first);
}

/* The caller's signals are of no matter, and stay as they are. */
TEST(in_any_process)
{
	struct kvm_facts facts;
	struct sigaction after;
	sigset_t all, before;
	int fd = first_free_fd();

	NEED_KVM();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	signal(SIGALRM, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	check_run(false, &facts);
	CHECK(sigaction(SIGALRM, NULL, &after) == 0 &&
	      after.sa_handler == SIG_IGN);
	signal(SIGALRM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	CHECK_INT(first_free_fd(), fd);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* ---- what is remembered --------------------------------------------------- */

static void find_again(const struct kvm_facts *first, const char *path,
		       bool tried)
{
	struct kvm_facts facts;
	struct stat before, after;

	if (stat(path, &before) < 0)
		before.st_ino = 0;
	kvm_facts_find(&facts);
	check_same(first, &facts);
	CHECK(stat(path, &after) == 0);
	CHECK_INT(before.st_ino != after.st_ino, tried);
	if (!tried)
		CHECK_INT(memcmp(first, &facts, sizeof(facts)), 0);
}

TEST(remembered)
{
	auto_free char *path = NULL;
	struct kvm_facts facts;
	char *folder;
	uint64_t start;

	NEED_KVM();
	folder = place_make();
	path = file_join(folder, "brood/kvm");
	kvm_facts_find(&facts);
	CHECK(access(path, R_OK) == 0);
	start = clock_ns();
	find_again(&facts, path, false);
	printf("# remembered in %d us\n", (int)((clock_ns() - start) / 1000));
	CHECK(truncate(path, 30) == 0);
	find_again(&facts, path, true);
	CHECK_INT(file_publish(path, "{}", 2, 0600, NULL), 0);
	find_again(&facts, path, true);
	CHECK(chmod(path, 0666) == 0);
	find_again(&facts, path, true);
	CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	find_again(&facts, path, true);
	CHECK(unlink(path) == 0);
	find_again(&facts, path, true);
	place_remove(folder);
}

static char *key_in(const char *path)
{
	auto_buf struct buf text = { 0 };

	CHECK_INT(file_read(path, &text, 4096, NULL), 0);
	return json_get_text(buf_string(&text), "key");
}

/* Right key, right sum, and yet not what we write. */
TEST(hostile_values)
{
	static const char *const values[] = {
		"",
		"1",
		"11111",
		"11111 0 1 1 1 1 1 1 1",
		"11112 0 1 1 1 1 1 1 1 ",
		"111111 0 1 1 1 1 1 1 1 ",
		"11100 ffffffff 1 1 1 1 1 1 1 ",
		"11100 0 4294967296 1 1 1 1 1 1 ",
		"11100 0 -1 1 1 1 1 1 1 ",
		"11100 0  1 1 1 1 1 1 1 ",
		"11100 0 1 1 1 1 1 1 1 1 ",
		"10000 0 1 1 1 1 1 1 1 ",
		"11100 0 1 1 1 1 1 1 1 but not usable",
		"00000 0 1 1 1 1 1 1 1 ",
	};
	auto_free char *path = NULL, *key = NULL, *folder = NULL;
	struct kvm_facts facts;

	NEED_KVM();
	folder = place_make();
	path = file_join(folder, "brood/kvm");
	kvm_facts_find(&facts);
	key = key_in(path);
	CHECK_INT(memo_put("kvm", key, "00000 0 1 2 3 4 5 6 7 so", NULL), 0);
	kvm_facts_find(&facts);
	CHECK_INT(facts.usable, 0);
	CHECK_TEXT(facts.why, "so");
	CHECK_INT(facts.ring0_ns, 7);
	CHECK(unlink(path) == 0);
	kvm_facts_find(&facts);
	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
		CHECK_INT(memo_put("kvm", key, values[i], NULL), 0);
		find_again(&facts, path, true);
	}
	CHECK_INT(memo_put("kvm", "another", "00000 0 1 1 1 1 1 1 1 x", NULL),
		  0);
	find_again(&facts, path, true);
	place_remove(steal_ptr(&folder));
}

/* By a file that is anybody's; what does not fit is tried again. */
TEST(told_by_a_file)
{
	auto_free char *folder = NULL, *path = NULL, *memo = NULL;
	auto_buf struct buf text = { 0 };
	struct kvm_facts facts, told;

	NEED_KVM();
	folder = place_make();
	path = file_join(folder, "told");
	memo = file_join(folder, "brood/kvm");
	kvm_facts_find(&facts);
	CHECK(kvm_facts_text(&facts, &text));
	facts.ring0_ns = 7;
	buf_clear(&text);
	CHECK(kvm_facts_text(&facts, &text));
	CHECK_INT(file_replace(path, text.data, text.len, 0666, NULL), 0);
	CHECK(unlink(memo) == 0);
	kvm_facts_find_told(&told, path);
	CHECK_INT(told.ring0_ns, 7);
	CHECK(access(memo, F_OK) < 0);
	text.data[0] = '9';
	CHECK_INT(file_replace(path, text.data, text.len, 0666, NULL), 0);
	kvm_facts_find_told(&told, path);
	CHECK(access(memo, F_OK) == 0);
	CHECK_INT(file_replace(path, "", 0, 0666, NULL), 0);
	kvm_facts_find_told(&told, path);
	kvm_facts_find_told(&told, folder);
	CHECK_INT(told.usable, facts.usable);
	place_remove(steal_ptr(&folder));
}

TEST(not_remembered_without_a_device)
{
	auto_free char *folder = place_make();
	auto_free char *path = file_join(folder, "brood/kvm");
	struct kvm_facts facts;

	setenv("BROOD_KVM", path, 1);
	kvm_facts_find(&facts);
	unsetenv("BROOD_KVM");
	CHECK(!facts.usable);
	CHECK_INT(facts.code, -ENOENT);
	CHECK(access(path, F_OK) < 0);
	place_remove(steal_ptr(&folder));
}

TEST_MAIN
