/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that the host has asked for.  Each has three pipes, and a
 * fourth by which its exec tells why it failed, or closes.
 *
 *	start -> (report closes) -> runs -> exited -> pipes empty -> EXIT sent
 *	      -> (report has an error) -> FAILED sent
 */
#include "agent/agent.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static struct process *run_find(struct agent *agent, uint32_t id)
{
	for (int i = 0; i < AGENT_PROCESSES; i++)
		if (agent->process[i].used && agent->process[i].id == id)
			return &agent->process[i];
	return NULL;
}

static struct process *run_free_slot(struct agent *agent)
{
	for (int i = 0; i < AGENT_PROCESSES; i++)
		if (!agent->process[i].used)
			return &agent->process[i];
	return NULL;
}

static void run_close(int *fd)
{
	if (*fd >= 0)
		raw_1(close, *fd);
	*fd = -1;
}

static void run_close_all(struct process *process)
{
	run_close(&process->input);
	run_close(&process->output);
	run_close(&process->errors);
	run_close(&process->report);
}

static void run_fail(struct agent *agent, uint32_t id, const char *what,
		     long error)
{
	char room[128];
	struct words why = { room, room + sizeof room };

	words_add(&why, what);
	if (error) {
		words_add(&why, ": ");
		words_error(&why, error);
	}
	line_send(&agent->line, AGENT_FAILED, id, room, why.at - room);
}

/* ---- starting ------------------------------------------------------------- */

/* pipes[i][0] is read.  All or none. */
static long run_pipes(int pipes[4][2])
{
	for (int i = 0; i < 4; i++) {
		long error = raw_2(pipe2, pipes[i], O_CLOEXEC);

		if (error >= 0)
			continue;
		while (i-- > 0) {
			raw_1(close, pipes[i][0]);
			raw_1(close, pipes[i][1]);
		}
		return error;
	}
	return 0;
}

static long run_fork(const struct child *child, int report)
{
	long pid = raw_5(clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0) {
		int error = child_become(child);

		raw_3(write, report, &error, sizeof error);
		raw_1(exit_group, 127);
	}
	return pid;
}

static void run_keep(struct process *process, uint32_t id, int pid,
		     const int pipes[4][2])
{
	process->used = true;
	process->exited = process->is_end = false;
	process->id = id;
	process->pid = pid;
	process->status = 0;
	process->input = pipes[0][1];
	process->output = pipes[1][0];
	process->errors = pipes[2][0];
	process->report = pipes[3][0];
	process->owed = process->from = process->to = 0;
	raw_3(fcntl, process->input, F_SETFL, O_NONBLOCK);
	raw_3(fcntl, process->output, F_SETFL, O_NONBLOCK);
	raw_3(fcntl, process->errors, F_SETFL, O_NONBLOCK);
	raw_3(fcntl, process->report, F_SETFL, O_NONBLOCK);
}

void run_start(struct agent *agent, uint32_t id, const void *payload,
	       uint32_t bytes)
{
	struct child child = { .envp = agent->envp };
	struct process *process = run_free_slot(agent);
	const char *wrong = child_check(&child, payload, bytes);
	int pipes[4][2];
	long pid;

	if (!wrong && run_find(agent, id))
		wrong = "there is a process of this number";
	if (!wrong && !process)
		wrong = "too many processes";
	if (wrong) {
		run_fail(agent, id, wrong, 0);
		return;
	}
	pid = run_pipes(pipes);
	if (pid < 0) {
		run_fail(agent, id, "pipe", pid);
		return;
	}
	child.fds[0] = pipes[0][0];
	child.fds[1] = pipes[1][1];
	child.fds[2] = pipes[2][1];
	pid = run_fork(&child, pipes[3][1]);
	raw_1(close, pipes[0][0]);
	for (int i = 1; i < 4; i++)
		raw_1(close, pipes[i][1]);
	if (pid > 0) {
		run_keep(process, id, pid, pipes);
		return;
	}
	raw_1(close, pipes[0][1]);
	for (int i = 1; i < 4; i++)
		raw_1(close, pipes[i][0]);
	run_fail(agent, id, "fork", pid);
}

/* ---- frames for a process --------------------------------------------------- */

bool run_input(struct agent *agent, uint32_t id, const void *payload,
	       uint32_t bytes)
{
	struct process *process = run_find(agent, id);

	/* nobody will read it */
	if (!process || process->input < 0 || process->is_end)
		return true;
	if (bytes == 0) {
		process->is_end = true;
		return true;
	}
	if (AGENT_INPUT_ROOM - process->to < bytes) {
		memmove(process->bytes, process->bytes + process->from,
			process->to - process->from);
		process->to -= process->from;
		process->from = 0;
	}
	if (AGENT_INPUT_ROOM - process->to < bytes)
		return false; /* the host did not keep to its window */
	memcpy(process->bytes + process->to, payload, bytes);
	process->to += bytes;
	process->owed++;
	return false;
}

void run_signal(struct agent *agent, uint32_t id, uint32_t number)
{
	struct process *process = run_find(agent, id);

	if (!process || process->exited || number == 0 || number > 64)
		return;
	/* before its setsid it has no group */
	if (raw_2(kill, -process->pid, number) == -ESRCH)
		raw_2(kill, process->pid, number);
}

void run_kill_all(struct agent *agent)
{
	for (int i = 0; i < AGENT_PROCESSES; i++) {
		struct process *process = &agent->process[i];

		if (!process->used)
			continue;
		run_signal(agent, process->id, SIGKILL);
		run_close_all(process);
		process->used = false;
	}
}

/* Also children that were left to us, if we are their init. */
void run_reap(struct agent *agent)
{
	int status;
	long pid;

	while ((pid = raw_4(wait4, -1, &status, WNOHANG, NULL)) > 0)
		for (int i = 0; i < AGENT_PROCESSES; i++) {
			struct process *process = &agent->process[i];

			if (!process->used || process->exited ||
			    process->pid != pid)
				continue;
			process->exited = true;
			process->status = status;
		}
}

/* ---- pipes ------------------------------------------------------------------ */

static void run_feed(struct process *process)
{
	long n = 0;

	if (process->input < 0)
		return;
	if (process->from < process->to)
		n = raw_3(write, process->input, process->bytes + process->from,
			  process->to - process->from);
	if (n > 0)
		process->from += n;
	if (process->from == process->to)
		process->from = process->to = 0;
	if ((n < 0 && n != -EAGAIN && n != -EINTR) ||
	    (process->is_end && process->to == 0)) {
		run_close(&process->input);
		process->from = process->to = 0;
	}
}

static void run_pay(struct agent *agent, struct process *process)
{
	if (process->to - process->from > AGENT_INPUT_SOON)
		return;
	while (process->owed &&
	       line_room(&agent->line) >
		       sizeof(struct agent_frame) + AGENT_ANSWERS) {
		line_send(&agent->line, AGENT_TAKEN, process->id, NULL, 0);
		process->owed--;
	}
}

/* One frame of a stream.  What a process that has exited left in it is all
 * that is awaited: others may hold its other end open for ever. */
static void run_drain(struct agent *agent, struct process *process, int *fd,
		      enum agent_kind kind)
{
	long n;

	if (*fd < 0)
		return;
	do
		n = line_send_from(&agent->line, kind, process->id, *fd);
	while (n > 0 && process->exited);
	if (n > 0 || n == -ENOBUFS || n == -EINTR)
		return;
	if (n != -EAGAIN || process->exited)
		run_close(fd);
}

static void run_hear(struct agent *agent, struct process *process)
{
	int error = 0;
	long n;

	if (process->report < 0)
		return;
	n = raw_3(read, process->report, &error, sizeof error);
	if (n == -EAGAIN || n == -EINTR)
		return;
	run_close(&process->report);
	if (n != sizeof error)
		return;
	run_fail(agent, process->id, "exec", error);
	run_close_all(process);
	process->used = false;
}

static void run_end(struct agent *agent, struct process *process)
{
	uint32_t status = process->status;

	if (!process->exited || process->report >= 0 || process->output >= 0 ||
	    process->errors >= 0 || process->owed)
		return;
	line_send(&agent->line, AGENT_EXIT, process->id, &status,
		  sizeof status);
	process->used = false;
}

static void run_work_one(struct agent *agent, struct process *process)
{
	const struct line *line = &agent->line;

	if (process->exited) {
		run_close(&process->input);
		process->from = process->to = 0;
	}
	run_feed(process);
	run_pay(agent, process);
	run_drain(agent, process, &process->output, AGENT_OUTPUT);
	run_drain(agent, process, &process->errors, AGENT_ERRORS);
	if (line_room(line) >= 2 * AGENT_ANSWERS)
		run_hear(agent, process);
	if (process->used && line_room(line) >= 2 * AGENT_ANSWERS)
		run_end(agent, process);
}

void run_work(struct agent *agent)
{
	for (int i = 0; i < AGENT_PROCESSES; i++)
		if (agent->process[i].used)
			run_work_one(agent, &agent->process[i]);
}
