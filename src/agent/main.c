/* SPDX-License-Identifier: Apache-2.0 */
/* The agent on one screen: wait, hear of children, read the line, do what
 * its frames say, see to the processes' pipes, write the line. */
#include "agent/agent.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum {
	MAIN_POLLED = 2 + 4 * AGENT_PROCESSES,
	MAIN_LAST_WORDS_MS = 200,
	MAIN_SIGNAL_BYTES = 128, /* of a signalfd_siginfo */
};

#define MAIN_BIT(number) (1ull << ((number) - 1))

/* ---- frames ----------------------------------------------------------------- */

static void main_boot_id(char *id, size_t room)
{
	long fd = raw_4(openat, AT_FDCWD, "/proc/sys/kernel/random/boot_id",
			O_RDONLY | O_CLOEXEC, 0);
	long len = fd < 0 ? 0 : raw_3(read, fd, id, room - 1);

	if (fd >= 0)
		raw_1(close, fd);
	while (len > 0 && id[len - 1] == '\n')
		id[--len] = 0;
}

static void main_ready(struct agent *agent, uint32_t id)
{
	struct agent_ready ready = { .version = AGENT_VERSION };
	struct timespec t = { 0, 0 };

	raw_2(clock_gettime, CLOCK_BOOTTIME, &t);
	ready.uptime_ns = t.tv_sec * 1000000000ull + t.tv_nsec;
	main_boot_id(ready.boot_id, sizeof ready.boot_id);
	line_send(&agent->line, AGENT_READY, id, &ready, sizeof ready);
}

static void main_hello(struct agent *agent, uint32_t id)
{
	run_kill_all(agent);
	line_forget(&agent->line);
	line_send(&agent->line, AGENT_TAKEN, id, NULL, 0);
	main_ready(agent, id);
}

/* The wish has keys in it: no copy of it stays in the line's bytes. */
static void main_unique(struct agent *agent, uint32_t id, void *payload,
			uint32_t bytes)
{
	struct agent_unique wish;
	struct agent_done done;
	struct words why = { done.why, done.why + sizeof done.why };

	line_send(&agent->line, AGENT_TAKEN, id, NULL, 0);
	memset(&done, 0, sizeof done);
	if (bytes == sizeof wish) {
		memcpy(&wish, payload, sizeof wish);
		memset(payload, 0, bytes);
		unique_do(&wish, &done);
		memset(&wish, 0, sizeof wish);
		__asm__ volatile("" : : "r"(&wish), "r"(payload) : "memory");
	} else {
		words_add(&why, "a wish of another size");
	}
	line_send(&agent->line, AGENT_DONE, id, &done, sizeof done);
}

static void main_say_last_words(struct line *line)
{
	struct pollfd port = { line->fd, POLLOUT, 0 };
	uint64_t end = words_now_ns() + MAIN_LAST_WORDS_MS * 1000000ull;

	while (line_is_up(line) && line->from < line->to &&
	       words_now_ns() < end) {
		struct timespec t = { 0, 10000000 };

		raw_5(ppoll, &port, 1, &t, NULL, 8);
		line_write(line);
	}
}

static void main_power(struct agent *agent, uint32_t id, uint32_t how)
{
	line_send(&agent->line, AGENT_TAKEN, id, NULL, 0);
	if (how > 1)
		return;
	main_say_last_words(&agent->line);
	raw_0(sync);
	raw_4(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
	      how ? LINUX_REBOOT_CMD_RESTART : LINUX_REBOOT_CMD_POWER_OFF,
	      NULL);
}

static uint32_t main_number(const void *payload, uint32_t bytes,
			    uint32_t absent)
{
	uint32_t number = absent;

	if (bytes == sizeof number)
		memcpy(&number, payload, sizeof number);
	return number;
}

static void main_take(struct agent *agent, const struct agent_frame *head,
		      void *payload)
{
	uint32_t id = head->id, bytes = head->bytes;
	struct line *line = &agent->line;

	switch (head->kind) {
	case AGENT_HELLO: main_hello(agent, id); return;
	case AGENT_UNIQUE: main_unique(agent, id, payload, bytes); return;
	case AGENT_POWER:
		main_power(agent, id, main_number(payload, bytes, ~0u));
		return;
	case AGENT_INPUT:
		if (run_input(agent, id, payload, bytes))
			line_send(line, AGENT_TAKEN, id, NULL, 0);
		return;
	case AGENT_EXEC:
		line_send(line, AGENT_TAKEN, id, NULL, 0);
		run_start(agent, id, payload, bytes);
		return;
	case AGENT_SIGNAL:
		line_send(line, AGENT_TAKEN, id, NULL, 0);
		run_signal(agent, id, main_number(payload, bytes, 0));
		return;
	default: line_send(line, AGENT_TAKEN, id, NULL, 0);
	}
}

/* The end of a frame that has begun does not come any more: there may be
 * another one behind its beginning. */
static bool main_passes_quiet(struct line *line)
{
	return words_now_ns() - line->heard_ns >= AGENT_QUIET_MS * 1000000ull &&
	       frames_pass(&line->in);
}

static void main_take_all(struct agent *agent)
{
	struct agent_frame head;
	void *payload;

	while (line_room(&agent->line) >= AGENT_ANSWERS)
		if (frames_next(&agent->line.in, &head, &payload))
			main_take(agent, &head, payload);
		else if (!main_passes_quiet(&agent->line))
			break;
}

/* ---- waiting ---------------------------------------------------------------- */

static void main_watch(struct pollfd *polled, uint32_t *count, int fd,
		       int events)
{
	if (fd >= 0)
		polled[(*count)++] = (struct pollfd){ fd, events, 0 };
}

static uint32_t main_watch_all(const struct agent *agent,
			       struct pollfd polled[MAIN_POLLED])
{
	const struct line *line = &agent->line;
	bool room = line_room(line) >= FRAMES_MOST + AGENT_ANSWERS;
	uint32_t count = 0;

	main_watch(polled, &count, agent->signals, POLLIN);
	if (line_is_up(line))
		main_watch(polled, &count, line->fd,
			   (line_room(line) >= AGENT_ANSWERS ? POLLIN : 0) |
				   (line->from < line->to ? POLLOUT : 0));
	for (int i = 0; i < AGENT_PROCESSES; i++) {
		const struct process *process = &agent->process[i];

		if (!process->used)
			continue;
		if (process->from < process->to)
			main_watch(polled, &count, process->input, POLLOUT);
		if (!room)
			continue;
		main_watch(polled, &count, process->output, POLLIN);
		main_watch(polled, &count, process->errors, POLLIN);
		main_watch(polled, &count, process->report, POLLIN);
	}
	return count;
}

/* Until the line is to be tried again, or a frame in it is too late. */
static struct timespec *main_limit(const struct line *line, struct timespec *t)
{
	uint64_t now = words_now_ns(), end;

	if (!line_is_up(line))
		end = line->again_ns;
	else if (line->in.from < line->in.to)
		end = line->heard_ns + AGENT_QUIET_MS * 1000000ull;
	else
		return NULL;
	end = end > now ? end - now : 0;
	t->tv_sec = end / 1000000000u;
	t->tv_nsec = end % 1000000000u;
	return t;
}

static void main_wait(const struct agent *agent)
{
	struct pollfd polled[MAIN_POLLED];
	uint32_t count = main_watch_all(agent, polled);
	struct timespec t;

	raw_5(ppoll, polled, count, main_limit(&agent->line, &t), NULL, 8);
}

static void main_hear_signals(struct agent *agent)
{
	_Alignas(8) uint32_t info[MAIN_SIGNAL_BYTES / sizeof(uint32_t)];

	while (raw_3(read, agent->signals, info, sizeof info) == sizeof info)
		if (info[0] == SIGIO)
			agent->line.again_ns = 0; /* the host came or went */
	run_reap(agent);
}

static _Noreturn void main_loop(struct agent *agent)
{
	for (;;) {
		if (line_try(&agent->line))
			main_ready(agent, 0);
		main_wait(agent);
		main_hear_signals(agent);
		if (line_is_up(&agent->line) &&
		    line_room(&agent->line) >= AGENT_ANSWERS)
			line_read(&agent->line);
		main_take_all(agent);
		run_work(agent);
		if (line_is_up(&agent->line))
			line_write(&agent->line);
	}
}

/* ---- the start ---------------------------------------------------------------- */

/* 0, 1 and 2 are there, so that no pipe is one of them. */
static void main_hold_streams(void)
{
	long fd;

	do
		fd = raw_4(openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	while (fd >= 0 && fd < 3);
	if (fd >= 0)
		raw_1(close, fd);
}

/* SIGPIPE stays blocked: a write tells by its result. */
static bool main_set_signals(struct agent *agent)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} plain = { 0, 0, 0, 0 };
	uint64_t heard = MAIN_BIT(SIGCHLD) | MAIN_BIT(SIGIO);
	uint64_t blocked = heard | MAIN_BIT(SIGPIPE);

	/* who ignores this one gets no status of its children */
	raw_4(rt_sigaction, SIGCHLD, &plain, NULL, sizeof plain.mask);
	raw_4(rt_sigprocmask, SIG_SETMASK, &blocked, NULL, sizeof blocked);
	agent->signals = raw_4(signalfd4, -1, &heard, sizeof heard,
			       O_CLOEXEC | O_NONBLOCK);
	return agent->signals >= 0;
}

static void main_init(struct agent *agent, const char *port, char **envp)
{
	agent->envp = envp;
	line_init(&agent->line, port);
	for (int i = 0; i < AGENT_PROCESSES; i++)
		agent->process[i].used = false;
}

static int main_usage(void)
{
	words_say("usage: brood-agent [--port FILE]", "", "");
	return 100;
}

/* Called by _start with the stack as the kernel laid it out. */
__attribute__((used)) int agent_main(uint64_t *stack)
{
	struct agent agent;
	char **argv = (char **)(stack + 1);
	const char *port = NULL;

	main_hold_streams();
	for (uint64_t i = 1; i < stack[0]; i++) {
		if (strcmp(argv[i], "--port") != 0 || !argv[i + 1])
			return main_usage();
		port = argv[++i];
	}
	main_init(&agent, port, argv + stack[0] + 1);
	if (!main_set_signals(&agent)) {
		words_say("signalfd: ", "the kernel has none", "");
		return 111;
	}
	main_loop(&agent);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call agent_main\n"
	"	mov %eax, %edi\n"
	"	mov $231, %eax\n" /* exit_group */
	"	syscall\n");
