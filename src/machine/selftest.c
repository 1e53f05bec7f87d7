/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a QEMU with the firmware of selftest.S and listens to the letters
 * that it says at its debug port. */
#include "machine/selftest.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned char selftest_code[] = {
#include "machine/selftest.inc"
};

enum {
	SELFTEST_FIRMWARE = 65536,     /* the code is its end */
	SELFTEST_GOOD = 0x2a << 1 | 1, /* QEMU's own rule */
	SELFTEST_ROUNDS = 100,
	SELFTEST_ROUND = 100000, /* instructions */
	/* A tenth of what the slowest way to translate reaches, and ten times
	 * what an emulated ring 0 does. */
	SELFTEST_LEAST_PER_MS = 10000,
	SELFTEST_LOOK_MS = 200,
	SELFTEST_WORDS = 2048,
};
_Static_assert(sizeof(selftest_code) == 2048, "as selftest.S says");

/* What comes behind each letter: there it is that a guest stays. */
static const struct {
	char letter;
	const char *next;
} selftest_stages[] = {
	{ 0, "real mode" },	      { 'r', "protected mode" },
	{ 'p', "long mode" },	      { 'l', "model-specific registers" },
	{ 'm', "control registers" }, { 'c', "exceptions" },
	{ 'x', "plain code" },
};
enum { SELFTEST_STAGES = sizeof(selftest_stages) / sizeof(*selftest_stages) };

struct selftest_guest {
	pid_t pid;
	int letters, words; /* pipes from its debug port and from QEMU */
	int stage, rounds;
	bool failed;		       /* by its own account */
	uint64_t code_ns;	       /* when its plain code began */
	char text[SELFTEST_WORDS + 1]; /* what QEMU has said */
	size_t text_len;
};

uint64_t selftest_hash(void)
{
	return hash64(selftest_code, sizeof(selftest_code));
}

/* ---- start and end -------------------------------------------------------- */

static int selftest_firmware(struct err *err)
{
	auto_close int fd = memfd_create("firmware", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, SELFTEST_FIRMWARE) < 0)
		return err_set(err, -errno, "memory for a firmware");
	if (fd_pwrite_all(fd, selftest_code, sizeof(selftest_code),
			  SELFTEST_FIRMWARE - sizeof(selftest_code), err) < 0)
		return err_wrap(err, "firmware");
	return steal_fd(&fd);
}

static pid_t selftest_execute(const char *qemu, const char *accelerator,
			      int firmware, int letters, int words,
			      struct err *err)
{
	char bios[32];
	const char *argv[] = { "qemu-system-x86_64",
			       "-M",
			       "q35",
			       "-accel",
			       accelerator,
			       "-m",
			       "8",
			       "-bios",
			       bios,
			       "-device",
			       "isa-debug-exit,iobase=0xf4,iosize=0x04",
			       "-debugcon",
			       "stdio",
			       "-display",
			       "none",
			       "-nodefaults",
			       "-no-user-config",
			       "-no-reboot",
			       NULL };
	struct process_plan plan = { .path = qemu,
				     .argv = (char *const *)(uintptr_t)argv,
				     .fds = { -1, letters, words },
				     .keep = &firmware,
				     .keep_count = 1,
				     .new_group = true,
				     .dies_with_us = true };

	snprintf(bios, sizeof(bios), "/proc/self/fd/%d", firmware);
	return process_start(&plan, err);
}

static int selftest_start(struct selftest_guest *guest, const char *qemu,
			  const char *accelerator, struct err *err)
{
	auto_close int firmware = selftest_firmware(err);
	int letters[2], words[2];

	if (firmware < 0)
		return firmware;
	if (pipe2(letters, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe");
	guest->letters = letters[0];
	if (pipe2(words, O_CLOEXEC) < 0) {
		close(letters[1]);
		return err_set(err, -errno, "pipe");
	}
	guest->words = words[0];
	guest->pid = selftest_execute(qemu, accelerator, firmware, letters[1],
				      words[1], err);
	close(letters[1]);
	close(words[1]);
	return guest->pid < 0 ? guest->pid : 0;
}

/* Did it end by itself? */
static bool selftest_end(struct selftest_guest *guest, int wait_ms, int *status)
{
	bool ended = guest->pid > 0 &&
		     process_wait(guest->pid, wait_ms, status) >= 0;

	if (guest->pid > 0 && !ended) {
		kill(guest->pid, SIGKILL);
		process_wait(guest->pid, -1, status);
	}
	fd_close(&guest->letters);
	fd_close(&guest->words);
	return ended;
}

/* ---- listening ------------------------------------------------------------ */

static void selftest_letter(struct selftest_guest *guest, char letter)
{
	if (letter == '!')
		guest->failed = true;
	if (letter == '.' && guest->rounds < SELFTEST_ROUNDS)
		guest->rounds++;
	if (guest->stage + 1 < SELFTEST_STAGES &&
	    letter == selftest_stages[guest->stage + 1].letter)
		guest->stage++;
	if (letter == 'x')
		guest->code_ns = clock_ns();
}

/* Both return false at the end of a pipe. */
static bool selftest_hear_letters(struct selftest_guest *guest)
{
	char part[256];
	ssize_t n = read(guest->letters, part, sizeof(part));

	for (ssize_t i = 0; i < n; i++)
		selftest_letter(guest, part[i]);
	return n > 0 || (n < 0 && errno == EINTR);
}

/* More than there is room for is read and forgotten, so that QEMU never
 * waits for us. */
static bool selftest_hear_words(struct selftest_guest *guest)
{
	char part[1024];
	ssize_t n = read(guest->words, part, sizeof(part));
	size_t room = SELFTEST_WORDS - guest->text_len;
	size_t len = n > 0 ? n : 0;

	len = len < room ? len : room;
	memcpy(guest->text + guest->text_len, part, len);
	guest->text_len += len;
	guest->text[guest->text_len] = 0;
	return n > 0 || (n < 0 && errno == EINTR);
}

static int selftest_code_ms(const struct selftest_guest *guest)
{
	return guest->code_ns ? (int)((clock_ns() - guest->code_ns) / 1000000)
			      : 0;
}

static bool selftest_is_slow(const struct selftest_guest *guest)
{
	int ms = selftest_code_ms(guest);

	return guest->rounds < SELFTEST_ROUNDS && ms >= SELFTEST_LOOK_MS &&
	       (int64_t)guest->rounds * SELFTEST_ROUND / ms <
		       SELFTEST_LEAST_PER_MS;
}

static bool selftest_is_decided(const struct selftest_guest *guest)
{
	return guest->failed || strstr(guest->text, "KVM internal error") ||
	       selftest_is_slow(guest);
}

/* true: QEMU has closed its pipes; false: nothing more needs to be heard. */
static bool selftest_listen(struct selftest_guest *guest, uint64_t deadline)
{
	struct pollfd from[2] = { { guest->letters, POLLIN, 0 },
				  { guest->words, POLLIN, 0 } };

	while (from[0].fd >= 0 || from[1].fd >= 0) {
		int left_ms = clock_left_ms(deadline);

		if (left_ms == 0 || selftest_is_decided(guest))
			return false;
		/* It has to be looked at although it says nothing. */
		if (poll(from, 2, left_ms < 20 ? left_ms : 20) <= 0)
			continue;
		if (from[0].revents && !selftest_hear_letters(guest))
			from[0].fd = -1;
		if (from[1].revents && !selftest_hear_words(guest))
			from[1].fd = -1;
	}
	return true;
}

/* ---- judging -------------------------------------------------------------- */

/* The first line of QEMU's that is more than a warning. */
static void selftest_line(const struct selftest_guest *guest, char line[120])
{
	const char *at = guest->text;
	size_t len = strcspn(at, "\r\n");

	while (*at && (len == 0 || memmem(at, len, "warning:", 8))) {
		at += len + (at[len] != 0);
		len = strcspn(at, "\r\n");
	}
	len = len < 119 ? len : 119;
	memcpy(line, at, len);
	line[len] = 0;
	for (char *c = line; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static int selftest_stopped(const struct selftest_guest *guest, bool ended,
			    const char *line, struct err *err)
{
	if (guest->stage == 0 && ended)
		return err_set(err, -EPROTO, "QEMU has ended: %s",
			       line[0] ? line : "without a word");
	return err_set(err, -EPROTO, "a guest's kernel fails at %s: %s",
		       selftest_stages[guest->stage].next,
		       guest->failed ? "not as it has to be"
		       : line[0]     ? line
		       : ended	     ? "the guest has ended"
				     : "the guest hangs");
}

/* A machine that is busy may have kept the guest from running: what has had
 * no time to be slow is not called so. */
static int selftest_judge(const struct selftest_guest *guest, bool ended,
			  int status, struct err *err)
{
	bool good = ended && WIFEXITED(status) &&
		    WEXITSTATUS(status) == SELFTEST_GOOD;
	int ms = selftest_code_ms(guest);
	char line[120];

	if (good && guest->rounds == SELFTEST_ROUNDS)
		return 0;
	selftest_line(guest, line);
	if (ended || guest->failed || line[0])
		return selftest_stopped(guest, ended, line, err);
	if (guest->stage == 0)
		return err_set(err, -ETIME, "the guest has not begun");
	if (!guest->code_ns)
		return selftest_stopped(guest, ended, line, err);
	if (ms < SELFTEST_LOOK_MS)
		return err_set(err, -ETIME, "the guest is not through");
	return err_set(err, -EPROTO,
		       "guest ring 0 is too slow here: %.1f million "
		       "instructions in %d ms",
		       guest->rounds * (SELFTEST_ROUND / 1e6), ms);
}

int selftest_run(const char *qemu, const char *accelerator, int limit_ms,
		 struct selftest *result, struct err *err)
{
	struct selftest_guest guest = { .letters = -1, .words = -1 };
	uint64_t start = clock_ns(), deadline = clock_deadline(limit_ms);
	int r = selftest_start(&guest, qemu, accelerator, err);
	bool closed = r >= 0 && selftest_listen(&guest, deadline);
	int wait_ms = closed ? clock_left_ms(deadline) : 0, status = 0;
	bool ended = selftest_end(&guest, wait_ms, &status);

	if (r >= 0)
		r = selftest_judge(&guest, ended, status, err);
	*result = (struct selftest){
		.begun = guest.stage > 0,
		.instructions = guest.rounds * SELFTEST_ROUND,
		.ms = (int)((clock_ns() - start) / 1000000),
	};
	return r;
}
