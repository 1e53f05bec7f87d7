/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of many processes in one machine that goes on by itself: who passes
 * them on begins with the first, ends with the last, and is nobody's child.
 * The agent is that of relay_world.h; a folder stands for a machine. */
#include "base/process.h"
#include "machine/machine.h"
#include "relay_world.h"
#include <sys/wait.h>

enum { CUT = 32, NO_PLACE = 16, OTHER = 99, MANY = 60 };

static struct agent agent;
static struct place place;
static int inherited = -1; /* by all commands */
static bool without_stdio;

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");

	agent = (struct agent){ .socket = -1, .stays = true };
	pthread_mutex_init(&agent.lock, NULL);
	agent.folder = file_format("%s/line.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(agent.folder) != NULL);
	place = (struct place){ .name = "m",
				.folder = agent.folder,
				.lock = -1 };
	agent.path = file_join(agent.folder, "agent");
	agent.beside = file_join(agent.folder, "beside");
	agent.listener = fd_listen_stream(agent.path, 4, NULL);
	CHECK(agent.listener >= 0);
	CHECK_INT(pthread_create(&agent.thread, NULL, agent_run, &agent), 0);
}

static void finish(void)
{
	shutdown(agent.listener, SHUT_RDWR);
	pthread_join(agent.thread, NULL);
	CHECK(agent.most_on_way <= AGENT_WINDOW);
	CHECK(!agent.twice);
	CHECK_INT(agent.strays, 0);
	fd_close(&agent.socket);
	fd_close(&agent.listener);
	file_remove_tree(agent.folder, NULL);
	mem_free(&agent.folder);
	mem_free(&agent.path);
	mem_free(&agent.beside);
}

/* ---- a command, in a process of its own --------------------------------------- */

struct command {
	pid_t pid;
	int in, out;
};

static _Noreturn void command_run(const char *word, int in, int out,
				  int timeout_ms)
{
	auto_talk struct talk *talk = NULL;
	char *argv[] = { (char *)word, NULL };
	const struct talk_exec exec = { .argv = argv,
					.in = in,
					.out = out,
					.errors = -1,
					.timeout_ms = 4 * ANSWER_MS };
	int status = 0;
	int rc = machine_talk_shared(&place, timeout_ms, &talk, NULL);

	if (rc >= 0)
		rc = talk_exec(talk, &exec, &status, NULL);
	if (rc >= 0)
		_exit(status != 0);
	_exit(rc == -EPIPE ? CUT : rc == -EBUSY ? NO_PLACE : OTHER);
}

static void command_start(struct command *command, const char *word,
			  int timeout_ms)
{
	int in[2], out[2];

	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	command->pid = fork();
	if (command->pid == 0) {
		const int keep[] = { in[0], out[1], inherited, 0, 1, 2 };

		fd_close_others(keep, without_stdio ? 3 : 6);
		command_run(word, in[0], out[1], timeout_ms);
	}
	close(in[0]);
	close(out[1]);
	command->in = in[1];
	command->out = out[0];
}

/* As a command of which it is known that it is there. */
static void command_begin(struct command *command, const char *word)
{
	int others;

	pthread_mutex_lock(&agent.lock);
	others = agent.processes;
	pthread_mutex_unlock(&agent.lock);
	command_start(command, word, ANSWER_MS);
	UNTIL(&agent, agent.processes == others + 1);
}

static int command_status(struct command *command)
{
	int status = 0;

	fd_close(&command->in);
	if (process_wait(command->pid, 2 * ANSWER_MS, &status) < 0) {
		kill(command->pid, SIGKILL);
		waitpid(command->pid, NULL, 0);
		CHECK(!"it does not end");
	}
	fd_close(&command->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void check_echo_here(struct command *command, const char *words)
{
	char data[100] = "";
	ssize_t len = (ssize_t)strlen(words);

	CHECK(write(command->in, words, strlen(words)) == len);
	CHECK(fd_wait(command->out, POLLIN, ANSWER_MS) == 1);
	CHECK(read(command->out, data, sizeof(data) - 1) == len);
	CHECK_TEXT(data, words);
}

/* ---- who passes on ------------------------------------------------------------- */

static bool has_line(const char *pid)
{
	auto_free char *folder = file_format("/proc/%s/fd", pid);
	auto_free char *line = file_join(agent.folder, "line");
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool has = false;

	while (dir && !has && (entry = readdir(dir))) {
		char to[4096];
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, to,
					 sizeof(to) - 1);

		to[len > 0 ? len : 0] = 0;
		has = strcmp(to, line) == 0;
	}
	if (dir)
		closedir(dir);
	return has;
}

/* 0: there is none. */
static pid_t keeper(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t pid = 0;

	while (dir && !pid && (entry = readdir(dir)))
		if (atoi(entry->d_name) > 0 && has_line(entry->d_name))
			pid = atoi(entry->d_name);
	if (dir)
		closedir(dir);
	return pid;
}

static void check_line_is_free(void)
{
	auto_talk struct talk *talk = NULL;
	auto_close int line = machine_line(&place, ANSWER_MS, NULL);

	CHECK(line >= 0);
	CHECK_INT(machine_talk(&place, &line, ANSWER_MS, &talk, NULL), 0);
	CHECK_INT(line, -1);
}

/* ---- tests ------------------------------------------------------------------- */

TEST(one_beside_another)
{
	struct command first, second;

	begin();
	command_begin(&first, "echo");
	command_begin(&second, "echo");
	check_echo_here(&second, "two");
	check_echo_here(&first, "one");
	CHECK_INT(command_status(&first), 0);
	check_echo_here(&second, "still");
	CHECK_INT(command_status(&second), 0);
	check_line_is_free();
	CHECK_INT(keeper(), 0);
	finish();
}

/* The first is the one that has begun it. */
TEST(the_first_is_killed)
{
	struct command first, second;

	begin();
	command_begin(&first, "echo");
	command_begin(&second, "echo");
	kill(first.pid, SIGKILL);
	CHECK_INT(command_status(&first), 128 + SIGKILL);
	UNTIL(&agent, agent.process[0].signals[SIGKILL] == 1);
	check_echo_here(&second, "still");
	CHECK_INT(command_status(&second), 0);
	check_line_is_free();
	finish();
}

/* What it was given has an end when it has. */
TEST(pipes_end)
{
	struct command first, second, third;
	int ends[2];
	char byte;

	begin();
	CHECK(pipe(ends) == 0);
	inherited = ends[1];
	command_begin(&first, "echo");
	command_begin(&second, "echo");
	inherited = -1;
	close(ends[1]);
	command_begin(&third, "echo");
	CHECK_INT(command_status(&first), 0);
	CHECK_INT(command_status(&second), 0);
	CHECK(fd_wait(ends[0], POLLIN, ANSWER_MS) == 1);
	CHECK_INT(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	check_echo_here(&third, "still");
	CHECK_INT(command_status(&third), 0);
	finish();
}

TEST(who_passes_on_is_killed)
{
	struct command first, second, next;
	pid_t pid;

	begin();
	command_begin(&first, "echo");
	command_begin(&second, "wait");
	pid = keeper();
	CHECK(pid > 1 && pid != first.pid && pid != second.pid);
	if (pid > 1)
		kill(pid, SIGKILL);
	CHECK_INT(command_status(&first), CUT);
	CHECK_INT(command_status(&second), CUT);
	command_begin(&next, "echo");
	check_echo_here(&next, "again");
	CHECK_INT(command_status(&next), 0);
	check_line_is_free();
	finish();
}

/* Who begins with no descriptors 0 to 2 has others by those numbers. */
TEST(without_streams)
{
	struct command first, second;
	struct err err = { 0 };

	begin();
	without_stdio = true;
	command_begin(&first, "echo");
	without_stdio = false;
	command_begin(&second, "echo");
	CHECK(keeper() > 1);
	CHECK_INT(machine_line(&place, 0, &err), -EBUSY);
	CHECK_INT(command_status(&first), 0);
	check_echo_here(&second, "still");
	CHECK_INT(command_status(&second), 0);
	check_line_is_free();
	finish();
}

/* By who ends it, or makes it another: however many commands there are. */
TEST(seized)
{
	struct command command[RELAY_CLIENTS];
	int line;

	begin();
	line = machine_line_seize(&place, 0, NULL); /* nobody has it */
	CHECK(line >= 0);
	fd_close(&line);
	for (int i = 0; i < RELAY_CLIENTS; i++)
		command_begin(&command[i], i % 2 ? "wait" : "stuck");
	line = machine_line_seize(&place, ANSWER_MS, NULL);
	CHECK(line >= 0);
	for (int i = 0; i < RELAY_CLIENTS; i++)
		CHECK_INT(command_status(&command[i]), CUT);
	CHECK_INT(keeper(), getpid());
	/* By who does not pass on it is kept. */
	CHECK_INT(machine_line_seize(&place, 30, NULL), -EBUSY);
	fd_close(&line);
	check_line_is_free();
	finish();
}

TEST(the_line_is_had)
{
	struct err err = { 0 };
	struct command first;
	int line;

	begin();
	command_begin(&first, "echo");
	CHECK_INT(machine_line(&place, 30, &err), -EBUSY);
	CHECK_TEXT(err.text, "machine m speaks with somebody else");
	check_echo_here(&first, "one");
	CHECK_INT(command_status(&first), 0);
	line = machine_line(&place, ANSWER_MS, NULL);
	CHECK(line >= 0);
	command_start(&first, "echo", 50);
	CHECK_INT(command_status(&first), NO_PLACE);
	command_start(&first, "echo", ANSWER_MS);
	clock_sleep_ms(30);
	fd_close(&line);
	check_echo_here(&first, "then");
	CHECK_INT(command_status(&first), 0);
	finish();
}

TEST(no_place)
{
	struct command command[RELAY_CLIENTS], more, next;

	begin();
	for (int i = 0; i < RELAY_CLIENTS; i++)
		command_begin(&command[i], "echo");
	command_start(&more, "echo", 100);
	CHECK_INT(command_status(&more), NO_PLACE);
	command_start(&next, "echo", ANSWER_MS);
	for (int i = 0; i < RELAY_CLIENTS; i++) {
		check_echo_here(&command[i], "here");
		CHECK_INT(command_status(&command[i]), 0);
	}
	check_echo_here(&next, "next");
	CHECK_INT(command_status(&next), 0);
	check_line_is_free();
	finish();
}

/* Who comes finds one who begins, one who passes on, or one who ends. */
TEST(many_that_come_and_go)
{
	struct command command[6];

	begin();
	for (int i = 0; i < MANY; i++) {
		struct command *now = &command[i % 6];

		if (i >= 6)
			CHECK_INT(command_status(now), 0);
		command_start(now, "echo", ANSWER_MS);
		fd_close(&now->in);
	}
	for (int i = 0; i < 6; i++)
		CHECK_INT(command_status(&command[i]), 0);
	UNTIL(&agent, agent.processes == MANY);
	check_line_is_free();
	CHECK_INT(keeper(), 0);
	finish();
}

TEST(no_machine)
{
	struct talk *talk;
	struct err err = { 0 };
	struct place gone = { .name = "gone",
			      .folder = (char *)"/nonesuch/m",
			      .lock = -1 };

	CHECK_INT(machine_talk_shared(&gone, 1000, &talk, &err), -EPIPE);
	CHECK_TEXT(err.text, "machine gone has ended");
	CHECK_INT(machine_line_seize(&gone, 1000, &err), -EPIPE);
	CHECK_TEXT(err.text, "machine gone has ended");
	CHECK(machine_has_ended(&gone, 0));
}

TEST_MAIN
