/* SPDX-License-Identifier: Apache-2.0 */
/* A fact's value changes with what it is about and with nothing else. */
#include "bare/fact.h"
#include "bare/raw.h"
#include "test.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t machine(uint32_t which)
{
	return fact_now(FACT_MACHINE, which, NULL);
}

TEST(all_of_the_machine_can_be_read_and_stay)
{
	for (uint32_t i = FACT_UNAME; i <= FACT_CAPABILITIES; i++) {
		CHECK(machine(i) != 0);
		CHECK(machine(i) == machine(i));
	}
}

TEST(signals)
{
	uint64_t before = machine(FACT_SIGNALS);
	sigset_t set;

	signal(SIGUSR1, SIG_IGN);
	CHECK(machine(FACT_SIGNALS) != before);
	signal(SIGUSR1, SIG_DFL);
	CHECK(machine(FACT_SIGNALS) == before);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK(machine(FACT_SIGNALS) != before);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	CHECK(machine(FACT_SIGNALS) == before);
}

TEST(signals_of_the_c_library_are_not_the_programs)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} ignore = { 1, 0, 0, 0 }, before;
	uint64_t value = machine(FACT_SIGNALS);

	for (int number = 32; number <= 33; number++) {
		raw_4(rt_sigaction, number, &ignore, &before, 8);
		CHECK(machine(FACT_SIGNALS) == value);
		raw_4(rt_sigaction, number, &before, NULL, 8);
	}
}

TEST(umask_and_priority_and_limits)
{
	uint64_t mask = machine(FACT_UMASK), limits = machine(FACT_LIMITS);
	mode_t was = umask(0123);
	struct rlimit limit;

	CHECK(machine(FACT_UMASK) != mask);
	umask(was);
	CHECK(machine(FACT_UMASK) == mask);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur--;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK(machine(FACT_LIMITS) != limits);
}

TEST(folders)
{
	uint64_t before = machine(FACT_CWD);

	CHECK_INT(chdir("/usr"), 0);
	uint64_t usr = machine(FACT_CWD);

	CHECK_INT(chdir("/"), 0);
	CHECK(machine(FACT_CWD) != usr || before == usr);
}

TEST(descriptors)
{
	enum {
		FORM = FACT_DESCRIPTOR_FORM,
		TERMINAL = FACT_DESCRIPTOR_TERMINAL
	};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int pair[2];

	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	CHECK(fact_now(FACT_DESCRIPTOR, FORM | null, NULL) ==
	      fact_now(FACT_DESCRIPTOR, FORM | pair[0], NULL));
	CHECK(fact_now(FACT_DESCRIPTOR, FORM | null, NULL) !=
	      fact_now(FACT_DESCRIPTOR, FORM | file, NULL));
	CHECK(fact_now(FACT_DESCRIPTOR, null, NULL) !=
	      fact_now(FACT_DESCRIPTOR, pair[0], NULL));
	CHECK(fact_now(FACT_DESCRIPTOR, TERMINAL | null, NULL) ==
	      fact_now(FACT_DESCRIPTOR, TERMINAL | pair[1], NULL));
	close(pair[0]);
	CHECK(fact_now(FACT_DESCRIPTOR, pair[0], NULL) == 0);
	CHECK(fact_now(FACT_DESCRIPTOR, FORM | pair[0], NULL) !=
	      fact_now(FACT_DESCRIPTOR, FORM | null, NULL));
	CHECK(fact_now(FACT_DESCRIPTOR, TERMINAL | pair[0], NULL) !=
	      fact_now(FACT_DESCRIPTOR, TERMINAL | null, NULL));
	close(pair[1]);
	close(file);
	close(null);
}

TEST(files_and_contents)
{
	char name[] = "/tmp/test-fact.XXXXXX";
	int fd = mkstemp(name);

	CHECK(fd >= 0);
	uint64_t file = fact_now(FACT_FILE, 0, name);
	uint64_t content = fact_now(FACT_CONTENT, 0, name);

	CHECK(file && content);
	CHECK_INT(write(fd, "x", 1), 1);
	CHECK(fact_now(FACT_FILE, 0, name) != file);
	CHECK(fact_now(FACT_CONTENT, 0, name) != content);
	close(fd);
	unlink(name);
	CHECK_INT(fact_now(FACT_FILE, 0, name), 0);
	CHECK_INT(fact_now(FACT_CONTENT, 0, name), 0);
}

TEST(variables)
{
	char *envp[] = { "A=1", "AB=2", "B=", NULL };

	CHECK_TEXT(fact_variable(envp, "A"), "1");
	CHECK_TEXT(fact_variable(envp, "AB"), "2");
	CHECK_TEXT(fact_variable(envp, "B"), "");
	CHECK(!fact_variable(envp, "C"));
}

TEST_MAIN
