/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of the agent's line, against agents that are slow, mad or
 * hostile: each a thread that goes through a script. */
#include "agent/frames.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/talk.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the fake agent ------------------------------------------------------- */

enum act {
	HEAR = 1,  /* a frame of that kind; TAKEN is said */
	HEAR_SLOW, /* the same, TAKEN is said 100 ms later */
	SAY,	   /* a frame; id: that of the last frame heard of HEAR */
	SAY_OTHER, /* with another id */
	NOISE,	   /* bytes that are no frame */
	SLEEP,
	HANG_UP,
};
struct step {
	enum act act;
	int kind;
	const void *data;
	uint32_t bytes; /* SLEEP: ms; HEAR: least bytes */
};
struct fake {
	pthread_t thread;
	char *folder, *path;
	int listener, socket;
	const struct step *steps;
	struct frames frames;
	uint32_t id, exec_id;
	uint8_t heard[AGENT_MOST];
	uint32_t heard_bytes;
	bool as_told;
};

static void fake_say(struct fake *fake, int kind, uint32_t id, const void *data,
		     uint32_t bytes)
{
	struct agent_frame head;

	frames_head(&head, kind, id, data, bytes);
	(void)!send(fake->socket, &head, sizeof(head), MSG_NOSIGNAL);
	if (bytes)
		(void)!send(fake->socket, data, bytes, MSG_NOSIGNAL);
}

static bool fake_hear(struct fake *fake, const struct step *step)
{
	struct agent_frame head;
	void *payload;

	while (!frames_next(&fake->frames, &head, &payload)) {
		size_t room;
		void *to = frames_room(&fake->frames, &room);
		ssize_t got;

		if (fd_wait(fake->socket, POLLIN, 5000) <= 0)
			return false;
		got = read(fake->socket, to, room);
		if (got <= 0)
			return false;
		frames_used(&fake->frames, (size_t)got);
	}
	if (step->act == HEAR_SLOW) {
		struct pollfd more = { .fd = fake->socket, .events = POLLIN };

		/* Nothing more may come before this one is taken. */
		if (poll(&more, 1, 100) != 0)
			return false;
	}
	fake_say(fake, AGENT_TAKEN, head.id, NULL, 0);
	fake->id = head.id;
	if (head.kind == AGENT_EXEC)
		fake->exec_id = head.id;
	if (head.kind != step->kind || head.bytes < step->bytes)
		printf("# heard %d of %u, not %d\n", head.kind, head.bytes,
		       step->kind);
	memcpy(fake->heard, payload, head.bytes);
	fake->heard_bytes = head.bytes;
	return head.kind == step->kind && head.bytes >= step->bytes;
}

static void *fake_run(void *context)
{
	struct fake *fake = context;

	fake->as_told = true;
	fake->socket = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
	for (const struct step *step = fake->steps; step->act; step++)
		switch (step->act) {
		case HEAR:
		case HEAR_SLOW: fake->as_told &= fake_hear(fake, step); break;
		case SAY:
			fake_say(fake, step->kind,
				 step->kind >= AGENT_OUTPUT ? fake->exec_id
							    : fake->id,
				 step->data, step->bytes);
			break;
		case SAY_OTHER:
			fake_say(fake, step->kind, fake->id + 77, step->data,
				 step->bytes);
			break;
		case NOISE:
			(void)!send(fake->socket, step->data, step->bytes,
				    MSG_NOSIGNAL);
			break;
		case SLEEP: clock_sleep_ms((int)step->bytes); break;
		case HANG_UP: shutdown(fake->socket, SHUT_RDWR); break;
		}
	return NULL;
}

static void fake_start(struct fake *fake, const struct step *steps)
{
	const char *tmp = getenv("TMPDIR");

	*fake = (struct fake){ .steps = steps, .socket = -1 };
	fake->folder = file_format("%s/talk.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(fake->folder) != NULL);
	fake->path = file_join(fake->folder, "agent");
	fake->listener = fd_listen_stream(fake->path, 4, NULL);
	CHECK(fake->listener >= 0);
	frames_init(&fake->frames);
	CHECK_INT(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
}

static bool fake_end(struct fake *fake)
{
	pthread_join(fake->thread, NULL);
	fd_close(&fake->socket);
	fd_close(&fake->listener);
	file_remove_tree(fake->folder, NULL);
	mem_free(&fake->folder);
	mem_free(&fake->path);
	return fake->as_told;
}

static const struct agent_ready ready = { .version = AGENT_VERSION,
					  .uptime_ns = 7,
					  .boot_id = "boot" };
#define HELLO { HEAR, AGENT_HELLO, NULL, 0 }
#define READY { SAY, AGENT_READY, &ready, sizeof(ready) }

/* ---- the greeting ------------------------------------------------------------- */

TEST(greeting)
{
	static const struct step steps[] = { HELLO, READY, { 0 } };
	auto_talk struct talk *talk = NULL;
	struct agent_ready said;
	struct fake fake;

	fake_start(&fake, steps);
	CHECK_INT(talk_open(&talk, fake.path, 5000, &said, NULL), 0);
	CHECK_TEXT(said.boot_id, "boot");
	CHECK(fake_end(&fake));
}

TEST(greeting_behind_noise)
{
	static const struct agent_ready other = { .version = 99 };
	static const struct step steps[] = {
		{ NOISE, 0, "\r\nlogin: \xb1\xb3\xd4\x67 ", 15 },
		HELLO, /* lost */
		{ SAY_OTHER, AGENT_READY, &other, sizeof(other) },
		{ SAY, AGENT_READY, &other, sizeof(other) - 1 },
		{ SAY, AGENT_DONE, &other, sizeof(other) },
		HELLO,
		READY,
		{ 0 }
	};
	auto_talk struct talk *talk = NULL;
	struct fake fake;

	fake_start(&fake, steps);
	CHECK_INT(talk_open(&talk, fake.path, 5000, NULL, NULL), 0);
	CHECK(fake_end(&fake));
}

TEST(no_greeting)
{
	static const struct step silent[] = { HELLO,
					      { SLEEP, 0, NULL, 900 },
					      { 0 } };
	static const struct agent_ready other = { .version = 2 };
	static const struct step newer[] = {
		HELLO, { SAY, AGENT_READY, &other, sizeof(other) }, { 0 }
	};
	static const struct step gone[] = { HELLO,
					    { HANG_UP, 0, NULL, 0 },
					    { 0 } };
	static const struct {
		const struct step *steps;
		int code;
		const char *why;
	} cases[] = {
		{ silent, -ETIME, "no agent answers" },
		{ newer, -EPROTO, "version 2" },
		{ gone, -EPIPE, "the machine has ended" },
	};

	for (int i = 0; i < 3; i++) {
		struct talk *talk = (void *)1;
		struct err err = { 0 };
		struct fake fake;
		uint64_t start = clock_ns();

		fake_start(&fake, cases[i].steps);
		CHECK_INT(talk_open(&talk, fake.path, 300, NULL, &err),
			  cases[i].code);
		CHECK(talk == NULL);
		CHECK(strstr(err.text, cases[i].why) != NULL);
		CHECK(clock_ns() - start < UINT64_C(3000000000));
		CHECK(fake_end(&fake));
	}
}

TEST(no_socket)
{
	struct talk *talk;
	struct err err = { 0 };

	CHECK_INT(talk_open(&talk, "/nonesuch/agent", 5000, NULL, &err),
		  -EPIPE);
	CHECK_TEXT(err.text, "the machine has ended");
	talk_close(NULL);
}

/* Frames without end, none of them an answer. */
TEST(much_noise)
{
	static uint8_t noise[100000];
	static const struct step steps[] = { HELLO,
					     { NOISE, 0, noise, sizeof(noise) },
					     { SAY, AGENT_OUTPUT, noise,
					       AGENT_MOST },
					     HELLO,
					     READY,
					     { 0 } };
	auto_talk struct talk *talk = NULL;
	struct fake fake;

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 31 + i / 7);
	for (size_t i = 0; i + 4 < sizeof(noise); i += 97)
		memcpy(noise + i, &(uint32_t){ AGENT_MAGIC }, 4);
	fake_start(&fake, steps);
	CHECK_INT(talk_open(&talk, fake.path, 10000, NULL, NULL), 0);
	CHECK(fake_end(&fake));
}

/* ---- another machine ---------------------------------------------------------- */

TEST(unique)
{
	static const struct agent_done done = { .done = AGENT_SEEDED |
							AGENT_CLOCKED |
							AGENT_NAMED };
	static const struct step steps[] = {
		HELLO,
		READY,
		{ HEAR, AGENT_UNIQUE, NULL, sizeof(struct agent_unique) },
		{ SAY, AGENT_DONE, &done, sizeof(done) },
		{ 0 }
	};
	auto_talk struct talk *talk = NULL;
	struct agent_unique wish[2] = { { .host_name = "x" } }, heard;
	struct fake fake;

	for (int i = 0; i < 2; i++) {
		fake_start(&fake, steps);
		CHECK_INT(talk_open(&talk, fake.path, 5000, NULL, NULL), 0);
		CHECK_INT(talk_unique(talk, &wish[i], 5000, NULL),
			  (int)done.done);
		CHECK(fake_end(&fake));
		memcpy(&heard, fake.heard, sizeof(heard));
		CHECK(memcmp(&heard, &wish[i], sizeof(heard)) == 0);
		CHECK(heard.realtime_ns > UINT64_C(1600000000000000000));
		talk_free(&talk);
	}
	CHECK(memcmp(wish[0].seed, wish[1].seed, sizeof(wish[0].seed)) != 0);
}

TEST(not_unique)
{
	static const struct agent_done unseeded = { .done = AGENT_CLOCKED,
						    .why = "no\x1b[2J\nseed" };
	static const struct step wrong[] = { HELLO,
					     READY,
					     { HEAR, AGENT_UNIQUE, NULL, 1 },
					     { SAY, AGENT_DONE, &unseeded,
					       sizeof(unseeded) },
					     { 0 } };
	static const struct step silent[] = { HELLO,
					      READY,
					      { HEAR, AGENT_UNIQUE, NULL, 1 },
					      { SLEEP, 0, NULL, 500 },
					      { 0 } };
	struct agent_unique wish = { .mac_count = 1 };

	for (int i = 0; i < 2; i++) {
		auto_talk struct talk *talk = NULL;
		struct err err = { 0 };
		struct fake fake;

		fake_start(&fake, i ? silent : wrong);
		CHECK_INT(talk_open(&talk, fake.path, 5000, NULL, NULL), 0);
		CHECK_INT(talk_unique(talk, &wish, 300, &err),
			  i ? -ETIME : -EINVAL);
		CHECK(strstr(err.text, i ? "no answer" : "no?[2J?seed") !=
		      NULL);
		CHECK(fake_end(&fake));
	}
}

/* ---- processes ---------------------------------------------------------------- */

static int run(struct fake *fake, const struct step *steps,
	       struct talk_exec *exec, int *status, struct err *err)
{
	auto_talk struct talk *talk = NULL;
	int rc;

	fake_start(fake, steps);
	rc = talk_open(&talk, fake->path, 5000, NULL, NULL);
	CHECK_INT(rc, 0);
	rc = talk_exec(talk, exec, status, err);
	CHECK(fake_end(fake));
	return rc;
}

static const uint32_t exit_7 = 7 << 8;
static const char *const words[] = { "a", "b c", NULL };
#define EXEC(in_, out_, time)                      \
	{ .argv = (char *const *)(uintptr_t)words, \
	  .in = in_,                               \
	  .out = out_,                             \
	  .errors = -1,                            \
	  .timeout_ms = time }

TEST(a_process)
{
	static const struct step steps[] = {
		HELLO,
		READY,
		{ HEAR, AGENT_EXEC, NULL, 8 },
		{ HEAR, AGENT_INPUT, NULL, 0 },
		{ SAY, AGENT_OUTPUT, "out", 3 },
		{ SAY_OTHER, AGENT_OUTPUT, "xxx", 3 },
		{ SAY, AGENT_ERRORS, "errors", 6 },
		{ SAY_OTHER, AGENT_EXIT, &exit_7, 4 },
		{ SAY, AGENT_EXIT, &exit_7, 3 },
		{ SAY, 99, "what", 4 },
		{ SAY, AGENT_OUTPUT, "put", 3 },
		{ SAY, AGENT_EXIT, &exit_7, 4 },
		{ 0 }
	};
	int ends[2], status = 0;
	char said[16] = "";
	struct fake fake;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	{
		struct talk_exec exec = EXEC(-1, ends[1], 5000);

		CHECK_INT(run(&fake, steps, &exec, &status, NULL), 0);
	}
	CHECK_INT(status, 7 << 8);
	CHECK(read(ends[0], said, 15) == 6);
	CHECK_TEXT(said, "output");
	close(ends[0]);
	close(ends[1]);
}

/* One frame of input at a time, each taken before the next. */
TEST(input)
{
	static const struct step steps[] = {
		HELLO,
		READY,
		{ HEAR_SLOW, AGENT_EXEC, NULL, 8 },
		{ HEAR_SLOW, AGENT_INPUT, NULL, 2048 },
		{ HEAR_SLOW, AGENT_INPUT, NULL, 952 },
		{ HEAR, AGENT_INPUT, NULL, 0 },
		{ SAY, AGENT_EXIT, &exit_7, 4 },
		{ 0 }
	};
	int ends[2], status;
	char data[3000] = { 1 };
	struct fake fake;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(write(ends[1], data, sizeof(data)) == sizeof(data));
	close(ends[1]);
	{
		struct talk_exec exec = EXEC(ends[0], -1, 5000);

		CHECK_INT(run(&fake, steps, &exec, &status, NULL), 0);
	}
	CHECK_INT(fake.heard_bytes, 0);
	close(ends[0]);
}

TEST(no_process)
{
	static const struct step steps[] = { HELLO,
					     READY,
					     { HEAR, AGENT_EXEC, NULL, 8 },
					     { HEAR, AGENT_INPUT, NULL, 0 },
					     { SAY, AGENT_FAILED,
					       "no\nsuch\x1b"
					       "file",
					       12 },
					     { 0 } };
	struct talk_exec exec = EXEC(-1, -1, 5000);
	struct err err = { 0 };
	struct fake fake;
	int status;

	CHECK_INT(run(&fake, steps, &exec, &status, &err), -ENOEXEC);
	CHECK(strstr(err.text, "no?such?file") != NULL);
}

TEST(a_process_without_end)
{
	static const struct step steps[] = { HELLO,
					     READY,
					     { HEAR, AGENT_EXEC, NULL, 8 },
					     { HEAR, AGENT_INPUT, NULL, 0 },
					     { HEAR, AGENT_SIGNAL, NULL, 4 },
					     { 0 } };
	struct talk_exec exec = EXEC(-1, -1, 300);
	struct err err = { 0 };
	struct fake fake;
	uint32_t number;
	int status;

	CHECK_INT(run(&fake, steps, &exec, &status, &err), -ETIME);
	memcpy(&number, fake.heard, sizeof(number));
	CHECK_INT(number, SIGKILL);
}

TEST(a_machine_that_ends)
{
	static const struct step steps[] = { HELLO,
					     READY,
					     { HEAR, AGENT_EXEC, NULL, 8 },
					     { HANG_UP, 0, NULL, 0 },
					     { 0 } };
	struct talk_exec exec = EXEC(-1, -1, -1);
	struct err err = { 0 };
	struct fake fake;
	int status;

	CHECK_INT(run(&fake, steps, &exec, &status, &err), -EPIPE);
	CHECK_TEXT(err.text, "the machine has ended");
}

TEST(too_many_words)
{
	static const struct step steps[] = { HELLO, READY, { 0 } };
	static char word[AGENT_MOST];
	const char *many[] = { "a", word, NULL };
	struct talk_exec exec = EXEC(-1, -1, -1);
	struct err err = { 0 };
	struct fake fake;
	int status;

	memset(word, 'x', sizeof(word) - 1);
	exec.argv = (char *const *)(uintptr_t)many;
	CHECK_INT(run(&fake, steps, &exec, &status, &err), -E2BIG);
	exec.argv = (char *const *)(uintptr_t)words;
	exec.environment = (char *const *)(uintptr_t)many;
	CHECK_INT(run(&fake, steps, &exec, &status, &err), -E2BIG);
}

TEST(power)
{
	static const struct step steps[] = {
		HELLO, READY, { HEAR, AGENT_POWER, NULL, 4 }, { 0 }
	};

	for (int reboot = 0; reboot < 2; reboot++) {
		auto_talk struct talk *talk = NULL;
		struct fake fake;
		uint32_t how;

		fake_start(&fake, steps);
		CHECK_INT(talk_open(&talk, fake.path, 5000, NULL, NULL), 0);
		CHECK_INT(talk_power(talk, reboot, NULL), 0);
		CHECK(fake_end(&fake));
		memcpy(&how, fake.heard, sizeof(how));
		CHECK_INT(how, reboot);
	}
}

/* It is told; nobody is killed by a signal for it. */
TEST(said_to_nobody)
{
	static const struct step steps[] = { HELLO, READY, { 0 } };
	struct talk *talk = NULL;
	struct err err = { 0 };
	struct fake fake;

	fake_start(&fake, steps);
	CHECK_INT(talk_open(&talk, fake.path, 5000, NULL, NULL), 0);
	CHECK(fake_end(&fake));
	CHECK_INT(talk_power(talk, false, &err), -EPIPE);
	CHECK_TEXT(err.text, "the machine has ended");
	talk_close(talk);
}

TEST_MAIN
