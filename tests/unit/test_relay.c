/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients at once, slow ones, stuck ones and hostile ones: the others go
 * on, and no more is on its way than the window holds. */
#include "relay_world.h"

/* Who speaks as he likes. */
struct raw {
	int fd;
	struct frames frames;
};

static void raw_open(struct raw *raw, struct world *world)
{
	frames_init(&raw->frames);
	raw->fd = fd_connect_stream(world->agent.beside, ANSWER_MS, NULL);
	CHECK(raw->fd >= 0);
}

/* Waits for its process. */
static void raw_exec(struct raw *raw, struct world *world, const char *word,
		     uint32_t id)
{
	uint8_t data[64] = { 1 };
	int others = world->agent.processes;

	raw_open(raw, world);
	memcpy(data + sizeof(struct agent_exec), word, strlen(word) + 1);
	say(raw->fd, AGENT_EXEC, id, data,
	    (uint32_t)(sizeof(struct agent_exec) + strlen(word) + 1));
	UNTIL(&world->agent, world->agent.processes == others + 1);
}

/* False: that does not come. */
static bool raw_hear(struct raw *raw, int kind, uint32_t id, int timeout_ms)
{
	struct agent_frame head;
	size_t room;
	void *data, *to;
	ssize_t got;

	for (;;) {
		while (frames_next(&raw->frames, &head, &data))
			if (head.kind == kind && head.id == id)
				return true;
		to = frames_room(&raw->frames, &room);
		if (fd_wait(raw->fd, POLLIN, timeout_ms) <= 0)
			return false;
		got = read(raw->fd, to, room);
		if (got <= 0)
			return false;
		frames_used(&raw->frames, (size_t)got);
	}
}

static void raw_signal(struct raw *raw, uint32_t id, uint32_t number, int times)
{
	while (times-- > 0)
		say(raw->fd, AGENT_SIGNAL, id, &number, sizeof(number));
}

/* Whatever it said has been heard. */
static void raw_settle(struct raw *raw)
{
	say(raw->fd, AGENT_UNIQUE, 99, NULL, 0);
	CHECK(raw_hear(raw, AGENT_TAKEN, 99, ANSWER_MS));
}

/* ---- tests ----------------------------------------------------------------------- */

TEST(many_at_once)
{
	static struct world world;
	struct agent *agent = &world.agent;
	struct client client[RELAY_CLIENTS], late;

	world_start(&world, "echo");
	for (int i = 0; i < RELAY_CLIENTS; i++)
		world_client(&world, &client[i], "echo", 20000);
	UNTIL(agent, agent->processes == 1 + RELAY_CLIENTS);
	world_client(&world, &late, "echo", 20000);
	check_owner(&world);
	CHECK_INT(agent->processes, 1 + RELAY_CLIENTS);
	for (int i = 0; i < RELAY_CLIENTS; i++)
		check_echo(&client[i], 20000);
	check_echo(&late, 20000);
	check_others(&world);
	world_end(&world);
}

TEST(who_hangs_up)
{
	static struct world world;
	struct agent *agent = &world.agent;
	struct raw raw;

	world_start(&world, "wait");
	for (int i = 1; i <= 40; i++) {
		raw_exec(&raw, &world, "wait", 7);
		fd_close(&raw.fd);
		UNTIL(agent, agent->process[i].signals[SIGKILL] == 1);
	}
	check_others(&world);
	world_end(&world);
}

TEST(no_process)
{
	static struct world world;
	struct client client;

	world_start(&world, "echo");
	for (int i = 0; i < 20; i++) {
		world_client(&world, &client, "fail", 0);
		CHECK_INT(client_end(&client, 0), 0);
		CHECK_INT(client.rc, -ENOEXEC);
	}
	check_others(&world);
	world_end(&world);
}

TEST(slow_reader)
{
	static struct world world;
	struct agent *agent = &world.agent;
	struct process *process = &agent->process[1];
	struct client client;

	world_start(&world, "wait");
	world_client(&world, &client, "flood", 0);
	UNTIL(agent, process->signals[SIGSTOP] == 1);
	check_others(&world);
	CHECK(agent->flooded < 40 << 20);
	CHECK_INT(process->signals[SIGCONT], 0);
	CHECK_INT(client_end(&client, 'f'), (long long)agent->flooded);
	CHECK_INT(client.rc, 0);
	CHECK_INT(client.status, 0);
	CHECK_INT(process->signals[SIGSTOP], 1);
	CHECK_INT(process->signals[SIGCONT], 1);
	world_end(&world);
}

/* It may go on, but signals of its own are on their way. */
TEST(slow_reader_with_signals)
{
	static struct world world;
	struct agent *agent = &world.agent;
	struct process *process = &agent->process[1];
	struct raw raw;

	world_start(&world, "wait");
	raw_exec(&raw, &world, "flood", 7);
	UNTIL(agent, process->signals[SIGSTOP] == 1);
	agent_set(agent, &agent->is_paused, true);
	raw_signal(&raw, 7, SIGUSR1, 100);
	UNTIL(agent, agent->on_way >= HEAD + sizeof(uint32_t));
	CHECK(!raw_hear(&raw, AGENT_EXIT, 7, 200));
	agent_set(agent, &agent->is_paused, false);
	CHECK(raw_hear(&raw, AGENT_EXIT, 7, ANSWER_MS));
	CHECK_INT(process->signals[SIGCONT], 1);
	CHECK(process->signals[SIGUSR1] >= 1);
	fd_close(&raw.fd);

	raw_exec(&raw, &world, "flood", 7);
	UNTIL(agent, process[1].signals[SIGSTOP] == 1);
	fd_close(&raw.fd);
	UNTIL(agent, process[1].signals[SIGKILL] == 1);
	world_end(&world);
}

TEST(input_that_is_not_taken)
{
	static struct world world;
	struct agent *agent = &world.agent;
	struct client stuck[3];

	world_start(&world, "wait");
	for (int i = 0; i < 3; i++)
		world_client(&world, &stuck[i], "stuck", 4000);
	UNTIL(agent, agent->untaken == 3 * (HEAD + 2048));
	for (int i = 0; i < 3; i++)
		check_others(&world);
	world_end_owner(&world);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(client_end(&stuck[i], 0), 0);
		CHECK_INT(stuck[i].rc, -EPIPE);
	}
	world_end(&world);
}

TEST(hostile)
{
	static struct world world;
	static uint8_t noise[100000];
	struct agent *agent = &world.agent;
	struct process *process = agent->process;
	struct agent_frame head;
	struct client echo;
	struct raw noisy, part, twice, other;
	uint32_t ids[4];

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i % 97 ? i * 31 + i / 7 : 0xa1);
	for (size_t i = 0; i + 4 < sizeof(noise); i += 97)
		memcpy(noise + i, &(uint32_t){ AGENT_MAGIC }, 4);
	frames_head(&head, AGENT_EXEC, 1, noise, AGENT_MOST);
	world_start(&world, "echo");
	world_client(&world, &echo, "echo", 20000);
	UNTIL(agent, agent->processes == 2);
	raw_open(&noisy, &world);
	CHECK(send(noisy.fd, noise, sizeof(noise), MSG_NOSIGNAL) > 0);
	raw_open(&part, &world);
	CHECK(send(part.fd, &head, HEAD, MSG_NOSIGNAL) == HEAD);

	raw_exec(&twice, &world, "wait", 5);
	say(twice.fd, AGENT_EXEC, 6, noise, 100);
	CHECK(!raw_hear(&twice, AGENT_TAKEN, 6, ANSWER_MS));
	UNTIL(agent, process[2].signals[SIGKILL] == 1);

	raw_exec(&other, &world, "wait", 7);
	for (int i = 0; i < 4; i++)
		ids[i] = process[i].id;
	for (int i = 0; i < 4; i++) {
		say(other.fd, AGENT_INPUT, ids[i], "evil", 4);
		say(other.fd, AGENT_INPUT, ids[i], NULL, 0);
		raw_signal(&other, ids[i], SIGKILL, 1);
		say(other.fd, AGENT_POWER, ids[i], &(uint32_t){ 0 }, 4);
		say(other.fd, AGENT_UNIQUE, 7, noise, 200);
		say(other.fd, AGENT_EXIT, ids[i], noise, 4);
	}
	raw_settle(&other);
	raw_signal(&other, 7, SIGUSR1, 1000);
	raw_settle(&other);
	check_others(&world);
	UNTIL(agent, process[3].signals[SIGUSR1] >= 1);
	CHECK_INT(process[0].signals[SIGKILL], 0);
	CHECK_INT(process[1].signals[SIGKILL], 0);
	CHECK_INT(process[3].signals[SIGKILL] + process[3].inputs, 0);
	fd_close(&noisy.fd);
	fd_close(&part.fd);
	fd_close(&twice.fd);
	fd_close(&other.fd);
	UNTIL(agent, process[3].signals[SIGKILL] == 1);
	check_others(&world);
	check_echo(&echo, 20000);
	world_end(&world);
}

/* The window is full, each signals and hangs up, and the agent sleeps. */
TEST(window_of_signals)
{
	static struct world world;
	static struct raw raw[RELAY_CLIENTS];
	static const uint8_t data[AGENT_MOST];
	struct agent *agent = &world.agent;

	world_start(&world, "wait");
	for (int i = 0; i < RELAY_CLIENTS; i++)
		raw_exec(&raw[i], &world, "wait", 7);
	agent_set(agent, &agent->is_paused, true);
	for (int i = 0; i < RELAY_CLIENTS; i++) {
		say(raw[i].fd, AGENT_INPUT, 7, data,
		    i == 0   ? AGENT_MOST
		    : i == 1 ? 2048
			     : 48);
		raw_signal(&raw[i], 7, SIGUSR1, 100);
	}
	clock_sleep_ms(100);
	for (int i = 0; i < RELAY_CLIENTS; i++)
		fd_close(&raw[i].fd);
	clock_sleep_ms(100);
	agent_set(agent, &agent->is_paused, false);
	for (int i = 1; i <= RELAY_CLIENTS; i++)
		UNTIL(agent, agent->process[i].signals[SIGKILL] == 1);
	check_others(&world);
	world_end(&world);
}

/* What a process that has ended was sent is still on its way. */
TEST(window_behind_an_exit)
{
	static struct world world;
	static const uint8_t data[AGENT_MOST];
	struct agent *agent = &world.agent;
	struct raw ends, goes;

	world_start(&world, "wait");
	raw_exec(&ends, &world, "wait", 7);
	raw_exec(&goes, &world, "wait", 7);
	agent_set(agent, &agent->is_paused, true);
	say(ends.fd, AGENT_INPUT, 7, data, AGENT_MOST);
	UNTIL(agent, agent->on_way == HEAD + AGENT_MOST);
	agent_set(agent, &agent->process[1].ends, true);
	CHECK(raw_hear(&ends, AGENT_EXIT, 7, ANSWER_MS));
	say(goes.fd, AGENT_INPUT, 7, data, AGENT_MOST);
	clock_sleep_ms(100);
	agent_set(agent, &agent->is_paused, false);
	UNTIL(agent, agent->process[2].inputs == 1);
	fd_close(&ends.fd);
	fd_close(&goes.fd);
	check_others(&world);
	world_end(&world);
}

/* Those that run, and those that still wait for a place. */
TEST(the_owner_ends)
{
	static struct world world;
	struct agent *agent = &world.agent;
	struct client client[RELAY_CLIENTS + 2];

	world_start(&world, "wait");
	for (int i = 0; i < RELAY_CLIENTS + 2; i++)
		world_client(&world, &client[i], i % 2 ? "wait" : "echo", 100);
	UNTIL(agent, agent->processes == 1 + RELAY_CLIENTS);
	world_end_owner(&world);
	for (int i = 0; i < RELAY_CLIENTS + 2; i++) {
		CHECK(client_end(&client[i], client[i].seed) >= 0);
		CHECK_INT(client[i].rc, -EPIPE);
	}
	world_end(&world);
}

TEST_MAIN
