/* SPDX-License-Identifier: Apache-2.0 */
/* QMP against servers that answer in all the wrong ways, each a thread that
 * goes through a script, and against a real QEMU. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "machine/qmp.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define OK(id)	 "{\"return\": {}, \"id\": " #id "}\r\n"
#define EVENT(name, data)                               \
	"{\"timestamp\": {\"seconds\": 1}, \"event\": " \
	"\"" name "\", \"data\": " data "}\r\n"

/* ---- the fake server ---------------------------------------------------- */

enum act { SAY = 1, SAY_SLOWLY, SAY_OFTEN, HEAR, SLEEP, HEAR_FD };
struct step {
	enum act act;
	const char *text; /* said; or what the line heard has to contain */
	int number;	  /* SAY_OFTEN: times; SLEEP: ms */
};
struct fake {
	pthread_t thread;
	int socket;
	const struct step *steps;
	bool as_told;
	int got_fd;
};

static bool fake_say(int socket, const char *text, size_t part)
{
	size_t len = strlen(text);

	for (size_t done = 0; done < len;) {
		size_t n = len - done < part ? len - done : part;

		if (send(socket, text + done, n, MSG_NOSIGNAL) < 0)
			return false;
		done += n;
		if (part < len)
			clock_sleep_ms(1);
	}
	return true;
}

/* Byte by byte, so that no descriptor comes with another line. */
static bool fake_hear(struct fake *fake, const char *wanted)
{
	char line[1024];
	size_t len = 0;

	while (len + 1 < sizeof(line)) {
		int fd = -1, count = 0;

		if (fd_receive(fake->socket, line + len, 1, &fd, 1, &count,
			       NULL) != 1)
			return false;
		if (count)
			fake->got_fd = fd;
		if (line[len] == '\n')
			break;
		len++;
	}
	line[len] = 0;
	if (wanted && !strstr(line, wanted))
		printf("# heard %s, not %s\n", line, wanted);
	return !wanted || strstr(line, wanted);
}

static bool fake_step(struct fake *fake, const struct step *step)
{
	switch (step->act) {
	case SAY: return fake_say(fake->socket, step->text, strlen(step->text));
	case SAY_SLOWLY: return fake_say(fake->socket, step->text, 3);
	case SAY_OFTEN:
		for (int i = 0; i < step->number; i++)
			if (!fake_say(fake->socket, step->text,
				      strlen(step->text)))
				break;
		return true;
	case HEAR: return fake_hear(fake, step->text);
	case HEAR_FD: return fake_hear(fake, step->text) && fake->got_fd >= 0;
	case SLEEP: clock_sleep_ms(step->number); return true;
	}
	return false;
}

static void *fake_run(void *context)
{
	struct fake *fake = context;

	fake->as_told = true;
	for (const struct step *step = fake->steps; step->act; step++)
		if (!fake_step(fake, step))
			fake->as_told = false;
	shutdown(fake->socket, SHUT_WR);
	return NULL;
}

/* The steps of a greeting stand before those of the test. */
static int fake_start(struct fake *fake, const struct step *steps)
{
	int ends[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	*fake = (struct fake){ .socket = ends[1],
			       .steps = steps,
			       .got_fd = -1 };
	CHECK_INT(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
	return ends[0];
}

static bool fake_end(struct fake *fake)
{
	pthread_join(fake->thread, NULL);
	close(fake->socket);
	return fake->as_told;
}

#define HELLO \
	{ SAY, GREETING, 0 }, { HEAR, "qmp_capabilities", 0 }, { SAY, OK(1), 0 }

/* ---- what goes well ------------------------------------------------------- */

TEST(commands)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "{\"execute\":\"query-status\",\"id\":2}", 0 },
		{ SAY, "{\"return\": {\"status\": \"paused\"}, \"id\": 2}\r\n",
		  0 },
		{ HEAR, "\"arguments\":{ \"a\": [1, 2] }", 0 },
		{ SAY, "\r\n\n{\"id\": 3, \"return\": [ ]}\n", 0 },
		{ 0 }
	};
	auto_buf struct buf reply = { 0 }, second = { 0 };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "query-status", NULL, &reply, &err), 0);
	CHECK_TEXT(buf_string(&reply), "{\"status\": \"paused\"}");
	CHECK_INT(qmp_command(qmp, "x", "{ \"a\": [1, 2] }", &second, &err), 0);
	CHECK_TEXT(buf_string(&second), "[ ]");
	CHECK_TEXT(err.text, "");
	CHECK(fake_end(&fake));
}

TEST(parts_of_lines)
{
	static const struct step steps[] = {
		{ SAY_SLOWLY, GREETING, 0 },
		{ HEAR, "qmp_capabilities", 0 },
		{ SAY_SLOWLY, EVENT("STOP", "{}") OK(1), 0 },
		{ HEAR, "cont", 0 },
		{ SAY_SLOWLY, OK(2) "{\"event\": \"RES", 0 },
		{ SLEEP, NULL, 20 },
		{ SAY_SLOWLY, "UME\"}\r\n", 0 },
		{ 0 }
	};
	static const char *const resume[] = { "RESUME", NULL };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	char name[32];

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "cont", NULL, NULL, &err), 0);
	CHECK_INT(qmp_event(qmp, resume, 5000, name, sizeof(name), &err), 0);
	CHECK_TEXT(name, "RESUME");
	CHECK_INT(qmp_event(qmp, NULL, 0, name, sizeof(name), &err), 0);
	CHECK_TEXT(name, "STOP");
	CHECK(fake_end(&fake));
}

TEST(events_between)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "stop", 0 },
		{ SAY,
		  EVENT("RTC_CHANGE", "{\"offset\": 1}") EVENT("STOP", "{}") OK(
			  2) EVENT("MIGRATION", "{\"status\": \"completed\"}"),
		  0 },
		{ HEAR, "cont", 0 },
		{ SAY, OK(3) EVENT("RESUME", "{}"), 0 },
		{ SLEEP, NULL, 50 },
		{ 0 }
	};
	static const char *const some[] = { "SHUTDOWN", "MIGRATION", NULL };
	static const char *const stop[] = { "STOP", NULL };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	char name[32], four[4];

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), 0);
	CHECK_TEXT(qmp_event_data(qmp), "{}");
	CHECK_INT(qmp_event(qmp, some, 5000, name, sizeof(name), &err), 0);
	CHECK_TEXT(name, "MIGRATION");
	CHECK_TEXT(qmp_event_data(qmp), "{\"status\": \"completed\"}");
	CHECK_INT(qmp_event(qmp, stop, 0, NULL, 0, &err), 0);
	CHECK_INT(qmp_event(qmp, stop, 20, NULL, 0, &err), -ETIME);
	CHECK_TEXT(err.text, "qemu: event STOP: no answer: Timer expired");
	CHECK_INT(qmp_command(qmp, "cont", NULL, NULL, &err), 0);
	CHECK_INT(qmp_event(qmp, NULL, 0, four, sizeof(four), &err), 0);
	CHECK_TEXT(four, "RTC");
	CHECK_INT(qmp_event(qmp, NULL, 5000, name, sizeof(name), &err), 0);
	CHECK_TEXT(name, "RESUME");
	CHECK(fake_end(&fake));
}

TEST(forgotten_events)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "stop", 0 },
		{ SAY, EVENT("STOP", "{}") EVENT("RESUME", "{}") OK(2), 0 },
		{ HEAR, "stop", 0 },
		{ SAY, OK(3) EVENT("POWERDOWN", "{}"), 0 },
		{ 0 }
	};
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	char name[32];

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), 0);
	qmp_forget(qmp);
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), 0);
	CHECK_INT(qmp_event(qmp, NULL, 5000, name, sizeof(name), &err), 0);
	CHECK_TEXT(name, "POWERDOWN");
	CHECK(fake_end(&fake));
}

TEST(descriptors)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR_FD, "\"arguments\":{\"fdname\":\"state\"}", 0 },
		{ SAY, OK(2), 0 },
		{ 0 }
	};
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	struct stat sent, got;
	auto_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_pass_fd(qmp, "state", fd, &err), 0);
	CHECK(fake_end(&fake));
	CHECK(fstat(fd, &sent) == 0 && fstat(fake.got_fd, &got) == 0);
	CHECK_INT(sent.st_rdev, got.st_rdev);
	fd_close(&fake.got_fd);
}

/* ---- what does not -------------------------------------------------------- */

TEST(refused)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "loadvm", 0 },
		{ SAY,
		  "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no "
		  "\\u001b[31msuch\\n\\u009bthing\"}, \"id\": 2}\r\n",
		  0 },
		{ HEAR, "stop", 0 },
		{ SAY, "{\"error\": 5}\r\n", 0 },
		{ HEAR, "quit", 0 },
		{ SAY, OK(4), 0 },
		{ 0 }
	};
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "loadvm", NULL, NULL, &err), -EINVAL);
	CHECK_TEXT(err.text, "qemu: loadvm: no  [31msuch ??thing");
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), -EINVAL);
	CHECK_TEXT(err.text, "qemu: stop: refused without a reason");
	CHECK_INT(qmp_command(qmp, "quit", NULL, NULL, &err), 0);
	CHECK(fake_end(&fake));
}

TEST(arguments_are_looked_at)
{
	static const struct step steps[] = {
		HELLO, { HEAR, "stop", 0 }, { SAY, OK(4), 0 }, { 0 }
	};
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "x", "{}, \"execute\": \"y\"", NULL, &err),
		  -EPROTO);
	CHECK_INT(qmp_command(qmp, "x", "{\"a\"", NULL, &err), -EPROTO);
	CHECK_TEXT(err.text, "qemu: x: the arguments are no JSON");
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), 0);
	CHECK(fake_end(&fake));
}

/* The first command fails with the code, and so does the next, at once. */
static void check_broken(const struct step *steps, int code)
{
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	uint64_t start;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 2000, &err), 0);
	CHECK_INT(qmp_command(qmp, "query-status", NULL, NULL, &err), code);
	CHECK(strncmp(err.text, "qemu: query-status: ", 20) == 0);
	start = clock_ns();
	CHECK_INT(qmp_command(qmp, "quit", NULL, NULL, &err), code);
	CHECK_INT(qmp_event(qmp, NULL, 1000, NULL, 0, &err), code);
	CHECK(clock_ns() - start < 500000000);
	qmp_free(&qmp);
	fake_end(&fake);
}

static void check_nonsense(const char *line)
{
	const struct step steps[] = {
		HELLO, { HEAR, "query-status", 0 }, { SAY, line, 0 }, { 0 }
	};

	check_broken(steps, -EPROTO);
}

TEST(nonsense)
{
	check_nonsense("hello\r\n");
	check_nonsense("[1]\r\n");
	check_nonsense("{\"return\": {}, \"id\": 2\r\n");
	check_nonsense("{\"return\": {}, \"id\": 3}\r\n");
	check_nonsense("{\"id\": 2}\r\n");
	check_nonsense("{\"event\": \"\"}\r\n");
	check_nonsense("{\"event\": \"A23456789012345678901234567890123456789"
		       "0123456789012345678901234\"}\r\n");
}

TEST(hang_up)
{
	static const struct step at_once[] = { HELLO,
					       { HEAR, "query-status", 0 },
					       { 0 } };
	static const struct step within[] = { HELLO,
					      { HEAR, "query-status", 0 },
					      { SAY, "{\"return\"", 0 },
					      { 0 } };

	check_broken(at_once, -ECONNRESET);
	check_broken(within, -ECONNRESET);
}

TEST(endless_line)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "query-status", 0 },
		{ SAY, "{\"return\": \"", 0 },
		{ SAY_OFTEN,
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab",
		  50000 },
		{ 0 }
	};

	check_broken(steps, -EPROTO);
}

TEST(long_answer)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "query-status", 0 },
		{ SAY, "{\"id\": 2, \"return\": \"", 0 },
		{ SAY_OFTEN, "0123456789abcdef0123456789abcdef", 100000 },
		{ SAY, "\"}\r\n", 0 },
		{ 0 }
	};
	auto_buf struct buf reply = { 0 };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 20000, &err), 0);
	CHECK_INT(qmp_command(qmp, "query-status", NULL, &reply, &err), 0);
	CHECK_INT(reply.len, 3200002);
	CHECK(fake_end(&fake));
}

TEST(flood_of_events)
{
	static const struct step steps[] = { HELLO,
					     { HEAR, "stop", 0 },
					     { SAY, EVENT("FIRST", "{}"), 0 },
					     { SAY_OFTEN, EVENT("NOISE", "[0]"),
					       QMP_EVENTS_MOST + 50 },
					     { SAY, OK(2), 0 },
					     { 0 } };
	static const char *const first[] = { "FIRST", NULL };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	int count = 0;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), 0);
	CHECK(fake_end(&fake));
	while (count < 1000 && qmp_event(qmp, NULL, 0, NULL, 0, &err) == 0)
		count++;
	CHECK_INT(count, QMP_EVENTS_MOST);
	CHECK_INT(qmp_event(qmp, first, 0, NULL, 0, &err), -ECONNRESET);
}

TEST(no_end_of_events)
{
	static const struct step steps[] = { HELLO,
					     { HEAR, "stop", 0 },
					     { SAY_OFTEN, EVENT("NOISE", "{}"),
					       10000000 },
					     { 0 } };
	static const char *const never[] = { "NEVER", NULL };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	uint64_t start;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	qmp_limit(qmp, 100);
	start = clock_ns();
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), -ETIME);
	CHECK_INT(qmp_event(qmp, never, 100, NULL, 0, &err), -ETIME);
	CHECK(clock_ns() - start < 2000000000);
	qmp_free(&qmp);
	fake_end(&fake);
}

TEST(large_data_is_left_out)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "stop", 0 },
		{ SAY, "{\"event\": \"BIG\", \"data\": \"", 0 },
		{ SAY_OFTEN, "0123456789", QMP_DATA_MOST / 10 },
		{ SAY, "\"}\r\n" OK(2), 0 },
		{ 0 }
	};
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	char name[8];

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), 0);
	CHECK_INT(qmp_event(qmp, NULL, 0, name, sizeof(name), &err), 0);
	CHECK_TEXT(name, "BIG");
	CHECK(strlen(qmp_event_data(qmp)) <= QMP_DATA_MOST);
	CHECK(fake_end(&fake));
}

TEST(late_answer)
{
	static const struct step steps[] = {
		HELLO,
		{ HEAR, "slow", 0 },
		{ SLEEP, NULL, 150 },
		{ SAY, "{\"return\": 1, \"id\": 2}\r\n", 0 },
		{ HEAR, "quick", 0 },
		{ SAY, "{\"return\": 2, \"id\": 3}\r\n", 0 },
		{ 0 }
	};
	auto_buf struct buf reply = { 0 };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;
	uint64_t start;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	qmp_limit(qmp, 50);
	start = clock_ns();
	CHECK_INT(qmp_command(qmp, "slow", NULL, &reply, &err), -ETIME);
	CHECK(clock_ns() - start >= 50000000);
	qmp_limit(qmp, 5000);
	CHECK_INT(qmp_command(qmp, "quick", NULL, &reply, &err), 0);
	CHECK_TEXT(buf_string(&reply), "2");
	CHECK(fake_end(&fake));
}

/* Whoever does not read what is sent to it does not hold us up either. */
TEST(deaf)
{
	static const struct step steps[] = { HELLO,
					     { SLEEP, NULL, 400 },
					     { 0 } };
	auto_qmp struct qmp *qmp = NULL;
	auto_free char *large = malloc(2 << 20);
	struct err err = { 0 };
	struct fake fake;

	memset(large, ' ', 2 << 20);
	memcpy(large, "{}", 2);
	large[(2 << 20) - 1] = 0;
	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 5000, &err), 0);
	qmp_limit(qmp, 100);
	CHECK_INT(qmp_command(qmp, "x", large, NULL, &err), -ETIME);
	CHECK_INT(qmp_command(qmp, "stop", NULL, NULL, &err), -ETIME);
	CHECK_TEXT(err.text, "qemu: stop: the connection: Timer expired");
	fake_end(&fake);
}

static void check_greeting(const struct step *steps, int code,
			   const char *words)
{
	struct qmp *qmp = NULL;
	struct err err = { 0 };
	struct fake fake;

	CHECK_INT(qmp_attach(&qmp, fake_start(&fake, steps), 200, &err), code);
	CHECK(!qmp);
	CHECK_TEXT(err.text, words);
	fake_end(&fake);
}

TEST(wrong_greetings)
{
	static const struct step silent[] = { { SLEEP, NULL, 400 }, { 0 } };
	static const struct step gone[] = { { 0 } };
	static const struct step other[] = { { SAY, "{\"QGA\": 1}\r\n", 0 },
					     { 0 } };
	static const struct step refuses[] = {
		{ SAY, GREETING, 0 },
		{ HEAR, "qmp_capabilities", 0 },
		{ SAY, "{\"error\": {\"desc\": \"not you\"}}\r\n", 0 },
		{ 0 }
	};

	check_greeting(silent, -ETIME,
		       "qemu: greeting: no answer: Timer expired");
	check_greeting(gone, -ECONNRESET,
		       "qemu: greeting: it hung up: Connection reset by peer");
	check_greeting(other, -EPROTO, "qemu: it does not speak QMP");
	check_greeting(refuses, -EINVAL, "qemu: qmp_capabilities: not you");
}

/* ---- by a path ------------------------------------------------------------ */

static char *test_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	auto_free char *path = file_format("%s/qmp.XXXXXX", tmp ? tmp : "/tmp");

	CHECK(mkdtemp(path) != NULL);
	return steal_ptr(&path);
}

/* Bound from within its folder, as its path may be a long one. */
static int listen_in(const char *folder)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/proc/self/fd/%d/s", dir);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(fd, 1) == 0);
	return fd;
}

struct late {
	const char *folder;
	struct fake fake;
};

static void *late_listen(void *context)
{
	static const struct step steps[] = { HELLO, { 0 } };
	struct late *late = context;
	auto_close int listener = -1;

	clock_sleep_ms(60);
	listener = listen_in(late->folder);
	late->fake = (struct fake){ .socket = accept(listener, NULL, NULL),
				    .steps = steps,
				    .got_fd = -1 };
	fake_run(&late->fake);
	close(late->fake.socket);
	return NULL;
}

TEST(socket_made_later)
{
	auto_free char *folder = test_folder();
	auto_free char *deep = file_format("%s/%0120d", folder,
					   7); /* over 107 bytes of path */
	auto_free char *path = file_join(deep, "s");
	struct late late = { .folder = deep };
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	pthread_t thread;

	CHECK(mkdir(deep, 0700) == 0);
	CHECK_INT(pthread_create(&thread, NULL, late_listen, &late), 0);
	CHECK_INT(qmp_open(&qmp, path, 5000, &err), 0);
	CHECK_TEXT(err.text[0] && qmp ? "" : err.text, "");
	pthread_join(thread, NULL);
	CHECK(late.fake.as_told);
	file_remove_tree(folder, NULL);
}

TEST(no_socket)
{
	auto_free char *folder = test_folder();
	auto_free char *path = file_join(folder, "s");
	uint64_t start = clock_ns();
	struct err err = { 0 };
	struct qmp *qmp;

	CHECK_INT(qmp_open(&qmp, path, 100, &err), -ENOENT);
	CHECK(!qmp);
	CHECK(clock_ns() - start >= 100000000);
	CHECK(strstr(err.text, "/s: No such file or directory") != NULL);
	CHECK(strncmp(err.text, "qemu: connect to /", 18) == 0);
	rmdir(folder);
}

/* ---- a real one ----------------------------------------------------------- */

static pid_t start_qemu(const char *program, const char *folder)
{
	char *argv[] = { (char *)"qemu",
			 (char *)"-M",
			 (char *)"none",
			 (char *)"-qmp",
			 (char *)"unix:s,server=on,wait=off",
			 (char *)"-S",
			 (char *)"-nodefaults",
			 (char *)"-display",
			 (char *)"none",
			 NULL };
	struct process_plan plan = { .path = program,
				     .argv = argv,
				     .cwd = folder,
				     .fds = { -1, -1, 2 } };
	struct err err = { 0 };
	pid_t pid = process_start(&plan, &err);

	CHECK_TEXT(err.text, "");
	return pid;
}

static void talk_to_qemu(struct qmp *qmp)
{
	static const char *const resume[] = { "RESUME", NULL };
	static const char *const shutdown_[] = { "SHUTDOWN", NULL };
	auto_buf struct buf status = { 0 }, schema = { 0 };
	auto_close int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct err err = { 0 };

	CHECK_INT(qmp_command(qmp, "query-status", NULL, &status, &err), 0);
	CHECK(strstr(buf_string(&status), "prelaunch") != NULL);
	CHECK_INT(qmp_command(qmp, "no-such-thing", NULL, NULL, &err), -EINVAL);
	CHECK(strstr(err.text, "qemu: no-such-thing: ") == err.text);
	CHECK_INT(qmp_pass_fd(qmp, "null", fd, &err), 0);
	CHECK_INT(qmp_command(qmp, "closefd", "{\"fdname\": \"null\"}", NULL,
			      &err),
		  0);
	CHECK_INT(qmp_command(qmp, "query-qmp-schema", NULL, &schema, &err), 0);
	CHECK(schema.len > 50000);
	CHECK_INT(qmp_command(qmp, "cont", NULL, NULL, &err), 0);
	CHECK_INT(qmp_event(qmp, resume, 5000, NULL, 0, &err), 0);
	CHECK_INT(qmp_command(qmp, "quit", NULL, NULL, &err), 0);
	CHECK_INT(qmp_event(qmp, shutdown_, 5000, NULL, 0, &err), 0);
	CHECK(strstr(qmp_event_data(qmp), "host-qmp-quit") != NULL);
}

TEST(real_qemu)
{
	auto_free char *program =
		process_find_in_path("qemu-system-x86_64", getenv("PATH"));
	auto_free char *folder = NULL, *path = NULL;
	auto_qmp struct qmp *qmp = NULL;
	struct err err = { 0 };
	int status = -1;
	pid_t pid;

	if (!program)
		SKIP("there is no qemu-system-x86_64");
	folder = test_folder();
	path = file_join(folder, "s");
	pid = start_qemu(program, folder);
	CHECK_INT(qmp_open(&qmp, path, 20000, &err), 0);
	CHECK_TEXT(err.code && !qmp ? err.text : "", "");
	if (qmp)
		talk_to_qemu(qmp);
	if (process_wait(pid, 10000, &status) < 0) {
		kill(pid, SIGKILL);
		process_wait(pid, -1, &status);
	}
	CHECK_INT(status, 0);
	file_remove_tree(folder, NULL);
}

TEST_MAIN
