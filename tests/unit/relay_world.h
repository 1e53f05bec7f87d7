/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of commands beside one's own: an owner, his clients, and an agent
 * in a thread whose processes do what argv[0] says:
 *
 *	echo	input is output, an empty one the end
 *	wait	nothing, until SIGKILL or the test ends it
 *	stuck	the same, and its input is not taken
 *	flood	output until SIGSTOP; SIGCONT ends it
 *
 * Any other there is not.  The agent is slow, so that frames pile up on their
 * way, and counts what may not come to it: see world_end. */
#pragma once
#include "agent/frames.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/relay.h"
#include "machine/talk.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MS = 10000, PROCESSES = 128, HEAD = sizeof(struct agent_frame) };

static inline void say(int fd, int kind, uint32_t id, const void *data,
		       uint32_t bytes)
{
	uint8_t frame[FRAMES_MOST];
	struct agent_frame head;

	frames_head(&head, kind, id, data, bytes);
	memcpy(frame, &head, HEAD);
	if (bytes)
		memcpy(frame + HEAD, data, bytes);
	(void)!send(fd, frame, HEAD + bytes, MSG_NOSIGNAL);
}

/* No two runs of it are alike. */
static inline void fill(uint8_t *to, size_t len, size_t at, int seed)
{
	for (size_t i = 0; i < len; i++, at++)
		to[i] = (uint8_t)((size_t)seed + at + at / 251);
}

/* ---- the agent ----------------------------------------------------------------- */

struct process {
	uint32_t id;
	char does; /* the first letter of argv[0] */
	bool is_alive, is_stopped, ends;
	uint32_t owed, inputs;
	uint32_t signals[65];
};

struct agent {
	pthread_t thread;
	pthread_mutex_t lock;
	char *folder, *path, *beside;
	int listener, socket;
	struct frames frames;
	struct process process[PROCESSES + 1]; /* as they started */
	int processes;
	bool is_paused; /* hears nothing, and goes on speaking */
	bool stays;	/* for the next host, when one has hung up */
	uint64_t flooded;
	uint32_t untaken, on_way, most_on_way, kinds, strays;
	bool twice; /* one number for two that live */
};

static inline struct process *agent_find(struct agent *agent, uint32_t id)
{
	for (int i = agent->processes - 1; i >= 0; i--)
		if (agent->process[i].id == id)
			return &agent->process[i];
	agent->strays++;
	return NULL;
}

static inline void agent_exit(struct agent *agent, struct process *process,
			      uint32_t status)
{
	if (!process->is_alive)
		return;
	process->is_alive = false;
	if (process->owed)
		say(agent->socket, AGENT_TAKEN, process->id, NULL, 0);
	agent->untaken -= process->owed;
	say(agent->socket, AGENT_EXIT, process->id, &status, sizeof(status));
}

static inline void agent_exec(struct agent *agent, uint32_t id,
			      const char *words, uint32_t bytes)
{
	static const char *const known[] = { "echo", "wait", "stuck", "flood" };
	const char *word = words + sizeof(struct agent_exec);
	struct process *process = &agent->process[agent->processes];

	for (int i = 0; i < agent->processes; i++)
		agent->twice |= agent->process[i].is_alive &&
				agent->process[i].id == id;
	if (agent->processes == PROCESSES)
		return;
	process->id = id;
	for (int i = 0; i < 4; i++) {
		size_t len = strlen(known[i]) + 1;

		if (bytes >= sizeof(struct agent_exec) + len &&
		    memcmp(word, known[i], len) == 0)
			process->does = word[0];
	}
	process->is_alive = process->does != 0;
	agent->processes++;
	if (!process->is_alive)
		say(agent->socket, AGENT_FAILED, id, "there is none", 13);
}

static inline void agent_input(struct agent *agent, struct process *process,
			       const void *data, uint32_t bytes)
{
	process->inputs++;
	if (process->does == 's' && process->is_alive) {
		process->owed += HEAD + bytes;
		agent->untaken += HEAD + bytes;
		return;
	}
	say(agent->socket, AGENT_TAKEN, process->id, NULL, 0);
	if (process->does == 'e' && process->is_alive && bytes)
		say(agent->socket, AGENT_OUTPUT, process->id, data, bytes);
	else if (process->does == 'e')
		agent_exit(agent, process, 0);
}

static inline void agent_signal(struct agent *agent, struct process *process,
				uint32_t number)
{
	process->signals[number < 65 ? number : 0]++;
	if (number == SIGKILL)
		agent_exit(agent, process, SIGKILL);
	else if (number == SIGSTOP)
		process->is_stopped = true;
	else if (number == SIGCONT && process->does == 'f')
		agent_exit(agent, process, 0);
}

static inline void agent_take(struct agent *agent,
			      const struct agent_frame *head, const void *data)
{
	const struct agent_ready ready = { .version = AGENT_VERSION };
	struct process *process = NULL;
	uint32_t number = 0;

	agent->kinds |= 1u << (head->kind & 31);
	if (head->kind == AGENT_INPUT || head->kind == AGENT_SIGNAL)
		process = agent_find(agent, head->id);
	if (process && head->kind == AGENT_INPUT) {
		agent_input(agent, process, data, head->bytes);
		return;
	}
	say(agent->socket, AGENT_TAKEN, head->id, NULL, 0);
	if (head->kind == AGENT_HELLO) {
		for (int i = 0; i < agent->processes; i++)
			agent->process[i].is_alive = false;
		agent->untaken = 0;
		say(agent->socket, AGENT_READY, head->id, &ready,
		    sizeof(ready));
	}
	if (head->kind == AGENT_EXEC)
		agent_exec(agent, head->id, data, head->bytes);
	if (process && head->bytes == sizeof(number)) {
		memcpy(&number, data, sizeof(number));
		agent_signal(agent, process, number);
	}
}

/* False: the host has hung up. */
static inline bool agent_hear(struct agent *agent)
{
	struct frames *frames = &agent->frames;
	struct agent_frame head;
	size_t room;
	void *data, *to = frames_room(frames, &room);
	ssize_t got;
	int unread = 0;

	ioctl(agent->socket, FIONREAD, &unread);
	agent->on_way =
		agent->untaken + frames->to - frames->from + (uint32_t)unread;
	if (agent->on_way > agent->most_on_way)
		agent->most_on_way = agent->on_way;
	if (agent->is_paused)
		return true;
	got = recv(agent->socket, to, room, MSG_DONTWAIT);
	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	frames_used(frames, (size_t)got);
	while (frames_next(frames, &head, &data))
		agent_take(agent, &head, data);
	return true;
}

/* True: it has more to say. */
static inline bool agent_work(struct agent *agent, struct process *process)
{
	uint8_t data[AGENT_MOST];

	if (process->ends)
		agent_exit(agent, process, 0);
	if (!process->is_alive || process->does != 'f' || process->is_stopped)
		return false;
	fill(data, sizeof(data), agent->flooded, 'f');
	agent->flooded += sizeof(data);
	say(agent->socket, AGENT_OUTPUT, process->id, data, sizeof(data));
	return true;
}

static inline void agent_serve(struct agent *agent)
{
	bool goes_on, floods = false;

	do {
		if (fd_wait(agent->socket, POLLIN, floods ? 0 : 2) > 0)
			clock_sleep_ms(1);
		pthread_mutex_lock(&agent->lock);
		floods = false;
		for (int i = 0; i < agent->processes; i++)
			floods |= agent_work(agent, &agent->process[i]);
		goes_on = agent_hear(agent);
		pthread_mutex_unlock(&agent->lock);
	} while (goes_on);
}

static inline void *agent_run(void *context)
{
	struct agent *agent = context;

	do {
		int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			break;
		fd_close(&agent->socket);
		agent->socket = fd;
		agent->frames.from = agent->frames.to = 0;
		agent_serve(agent);
	} while (agent->stays);
	return NULL;
}

#define UNTIL(agent, expr)                                               \
	do {                                                             \
		uint64_t end_ =                                          \
			clock_deadline(test_failures ? 100 : ANSWER_MS); \
		bool is_;                                                \
		while (pthread_mutex_lock(&(agent)->lock), is_ = (expr), \
		       pthread_mutex_unlock(&(agent)->lock),             \
		       !is_ && clock_left_ms(end_))                      \
			clock_sleep_ms(1);                               \
		if (!is_)                                                \
			test_fail(__FILE__, __LINE__, #expr);            \
	} while (0)

static inline void agent_set(struct agent *agent, bool *what, bool to)
{
	pthread_mutex_lock(&agent->lock);
	*what = to;
	pthread_mutex_unlock(&agent->lock);
}

/* ---- clients, and the owner ------------------------------------------------------ */

struct client {
	pthread_t thread;
	const char *path, *beside; /* NULL: he owns nothing */
	const char *argv[2];
	int in[2], out[2], seed;
	int rc, status;
};

static inline void *client_run(void *context)
{
	struct client *client = context;
	auto_talk struct talk *talk = NULL;
	auto_relay struct relay *relay = NULL;
	struct talk_exec exec = {
		.argv = (char *const *)(uintptr_t)client->argv,
		.in = client->in[0],
		.out = client->out[1],
		.errors = -1,
		.timeout_ms = 2 * ANSWER_MS
	};

	client->rc = talk_open(&talk, client->path, ANSWER_MS, NULL, NULL);
	if (client->rc >= 0 && client->beside)
		client->rc = relay_open(&relay, client->beside, NULL);
	exec.relay = relay;
	if (client->rc >= 0)
		client->rc = talk_exec(talk, &exec, &client->status, NULL);
	fd_close(&client->out[1]);
	return NULL;
}

/* len: of its input, which has no end before client_end. */
static inline void client_start(struct client *client, const char *path,
				const char *beside, const char *word,
				size_t len)
{
	static int seed;
	uint8_t data[32768];

	*client = (struct client){
		.path = path, .beside = beside, .argv = { word }, .seed = seed++
	};
	CHECK(pipe2(client->in, O_CLOEXEC) == 0);
	CHECK(pipe2(client->out, O_CLOEXEC) == 0);
	fill(data, len, 0, client->seed);
	CHECK(fd_write_all(client->in[1], data, len, NULL) >= 0);
	CHECK_INT(pthread_create(&client->thread, NULL, client_run, client), 0);
}

/* How many bytes it said, all of them those of the seed; -1: others. */
static inline long long client_end(struct client *client, int seed)
{
	static uint8_t data[AGENT_MOST], right[AGENT_MOST];
	long long len = 0;
	bool is_right = true;
	ssize_t got;

	fd_close(&client->in[1]);
	while ((got = read(client->out[0], data, sizeof(data))) > 0) {
		fill(right, (size_t)got, (size_t)len, seed);
		is_right &= memcmp(data, right, (size_t)got) == 0;
		len += got;
	}
	pthread_join(client->thread, NULL);
	fd_close(&client->in[0]);
	fd_close(&client->out[0]);
	return is_right ? len : -1;
}

/* ---- all of them ------------------------------------------------------------------ */

struct world {
	struct agent agent;
	struct client owner;
	bool owner_ended;
	int fds;
};

static inline int count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

static inline void world_start(struct world *world, const char *word)
{
	struct agent *agent = &world->agent;
	const char *tmp = getenv("TMPDIR");

	memset(world, 0, sizeof(*world));
	world->fds = count_fds();
	agent->socket = -1;
	pthread_mutex_init(&agent->lock, NULL);
	agent->folder = file_format("%s/relay.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(agent->folder) != NULL);
	agent->path = file_join(agent->folder, "agent");
	agent->beside = file_join(agent->folder, "beside");
	agent->listener = fd_listen_stream(agent->path, 4, NULL);
	CHECK(agent->listener >= 0);
	CHECK_INT(pthread_create(&agent->thread, NULL, agent_run, agent), 0);
	client_start(&world->owner, agent->path, agent->beside, word, 0);
	UNTIL(agent, agent->processes == 1);
}

static inline void world_end_owner(struct world *world)
{
	agent_set(&world->agent, &world->agent.process[0].ends,
		  world->owner.argv[0][0] != 'e');
	client_end(&world->owner, 0);
	CHECK_INT(world->owner.rc, 0);
	CHECK_INT(world->owner.status, 0);
	world->owner_ended = true;
}

static inline void world_end(struct world *world)
{
	struct agent *agent = &world->agent;

	if (!world->owner_ended)
		world_end_owner(world);
	pthread_join(agent->thread, NULL);
	if (agent->most_on_way > AGENT_WINDOW)
		printf("# %u bytes on their way\n", agent->most_on_way);
	CHECK(agent->most_on_way <= AGENT_WINDOW);
	CHECK(!agent->twice);
	CHECK_INT(agent->strays, 0);
	CHECK_INT(agent->frames.passed, 0);
	CHECK_INT(agent->kinds & (1u << AGENT_POWER | 1u << AGENT_UNIQUE), 0);
	for (int i = 0; i < agent->processes; i++)
		CHECK(agent->process[i].signals[SIGKILL] <= 1);
	pthread_mutex_destroy(&agent->lock);
	fd_close(&agent->socket);
	fd_close(&agent->listener);
	file_remove_tree(agent->folder, NULL);
	mem_free(&agent->folder);
	mem_free(&agent->path);
	mem_free(&agent->beside);
	CHECK_INT(count_fds(), world->fds);
}

static inline void world_client(struct world *world, struct client *client,
				const char *word, size_t len)
{
	client_start(client, world->agent.beside, NULL, word, len);
}

static inline void check_echo(struct client *client, size_t len)
{
	CHECK_INT(client_end(client, client->seed), (long long)len);
	CHECK_INT(client->rc, 0);
	CHECK_INT(client->status, 0);
}

static inline void check_owner(struct world *world)
{
	char data[100] = "";

	if (world->owner.argv[0][0] != 'e')
		return;
	CHECK(write(world->owner.in[1], "ping", 4) == 4);
	CHECK(fd_wait(world->owner.out[0], POLLIN, ANSWER_MS) == 1);
	CHECK(read(world->owner.out[0], data, 99) == 4);
	CHECK_TEXT(data, "ping");
}

/* The owner's own goes on, and so does another's. */
static inline void check_others(struct world *world)
{
	struct client echo;

	check_owner(world);
	world_client(world, &echo, "echo", 500);
	check_echo(&echo, 500);
}
