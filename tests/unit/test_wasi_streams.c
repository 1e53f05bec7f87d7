/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of WASI that may wait: pipes, clocks, sockets, deadlines and
 * interruptions; and preview 0. */
#include "lib/guest.h"
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

/* Another reader, who is faster whenever somebody has just seen that there is
 * something to read. */
static int faster = -1;

int ppoll(struct pollfd *polls, nfds_t count, const struct timespec *time,
	  const sigset_t *mask)
{
	struct timespec left = time ? *time : (struct timespec){ 0, 0 };
	int ready = (int)syscall(SYS_ppoll, polls, count, time ? &left : NULL,
				 mask, 8);
	char bytes[8];

	if (ready > 0 && faster >= 0)
		CHECK(read(faster, bytes, sizeof bytes) > 0);
	return ready;
}

TEST(a_read_ends_at_the_deadline)
{
	struct streams streams;
	char text[8];
	uint64_t start = clock_ns();

	streams_begin(&streams);
	timeout(&streams.guest, 40);
	CHECK_INT(read_some(&streams.guest, 0, text, 8),
		  -(TRAP + WASM_TRAP_deadline));
	CHECK(clock_ns() - start >= 40000000);
	CHECK(clock_ns() - start < 2000000000);
	timeout(&streams.guest, 10000);
	CHECK_INT(write(streams.in[1], "abc", 3), 3);
	CHECK_INT(read_some(&streams.guest, 0, text, 8), 3);
	close(streams.in[1]);
	streams.in[1] = -1;
	CHECK_INT(read_some(&streams.guest, 0, text, 8), 0);
	streams_end(&streams);
}

static void lose(struct streams *streams, int to)
{
	char text[8];
	uint64_t start = clock_ns();

	timeout(&streams->guest, 60);
	CHECK_INT(write(to, "abc\n", 4), 4);
	CHECK_INT(read_some(&streams->guest, 0, text, 8),
		  -(TRAP + WASM_TRAP_deadline));
	CHECK(clock_ns() - start < 2000000000);
	faster = -1;
	timeout(&streams->guest, 10000);
	CHECK_INT(write(to, "abc\n", 4), 4);
	CHECK_INT(read_some(&streams->guest, 0, text, 8), 4);
}

TEST(a_read_that_another_reader_wins_ends_at_the_deadline)
{
	struct streams streams;

	streams_begin(&streams);
	faster = streams.guest.wasi->fds[0].host;
	alarm(20);
	lose(&streams, streams.in[1]);
	alarm(0);
	streams_end(&streams);
}

/* What cannot be tried there. */
TEST(the_same_at_a_terminal)
{
	struct streams streams;
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), no = 0;
	int slave = -1;
	struct wasi_fd *fd;

	if (master >= 0 && ioctl(master, TIOCSPTLCK, &no) == 0)
		slave = ioctl(master, TIOCGPTPEER,
			      O_RDWR | O_NOCTTY | O_CLOEXEC);
	streams_begin(&streams);
	fd = &streams.guest.wasi->fds[0];
	if (slave >= 0) {
		close(fd->host);
		fd->host = slave;
		CHECK_INT(wasi_table_describe(fd), 0);
		faster = slave;
		alarm(20);
		lose(&streams, master);
		alarm(0);
	} else {
		printf("# no terminal here\n");
	}
	streams_end(&streams);
	if (master >= 0)
		close(master);
}

/* Both ways of writing to a pipe: the kernel's that fails at once, and ours.
 */
static void both_pipes(void (*try)(struct streams *streams))
{
	struct streams streams;

	for (int nosignal = 0; nosignal < 2; nosignal++) {
		streams_begin(&streams);
		if (!nosignal)
			streams.guest.wasi->has_nosignal = false;
		try(&streams);
		if (nosignal && !streams.guest.wasi->has_nosignal)
			printf("# no RWF_NOSIGNAL here\n");
		streams_end(&streams);
	}
}

static void try_deadline(struct streams *streams)
{
	uint32_t total = 0;
	int n;

	timeout(&streams->guest, 40);
	while ((n = write_some(&streams->guest, 1, 150000)) > 0)
		total += n;
	CHECK_INT(n, -(TRAP + WASM_TRAP_deadline));
	CHECK(total < 300000);
}

TEST(a_write_ends_at_the_deadline)
{
	both_pipes(try_deadline);
}

static void *reading(void *env)
{
	int fd = *(int *)env;
	static char bytes[10000];
	size_t total = 0;
	ssize_t n;

	clock_sleep_ms(20);
	while ((n = read(fd, bytes, sizeof bytes)) > 0)
		total += n;
	return (void *)total;
}

static void write_whole(struct streams *streams, int timeout_ms)
{
	pthread_t thread;
	void *total;

	pthread_create(&thread, NULL, reading, &streams->out[0]);
	if (timeout_ms)
		timeout(&streams->guest, timeout_ms);
	CHECK_INT(write_some(&streams->guest, 1, 200000), 200000);
	CHECK_INT(CALL1(&streams->guest, "fd_close", 1), 0);
	pthread_join(thread, &total);
	CHECK_INT((size_t)total, 200000);
}

static void try_slow_reader(struct streams *streams)
{
	write_whole(streams, 0);
}

static void try_slow_reader_in_time(struct streams *streams)
{
	write_whole(streams, 10000);
}

TEST(a_write_to_a_slow_reader_is_whole)
{
	both_pipes(try_slow_reader);
	both_pipes(try_slow_reader_in_time);
}

static void try_nobody(struct streams *streams)
{
	close(streams->out[0]);
	streams->out[0] = -1;
	signal(SIGPIPE, SIG_DFL);
	CHECK_INT(write_some(&streams->guest, 1, 10), -WASI_EPIPE);
	CHECK_INT(write_some(&streams->guest, 1, 10), -WASI_EPIPE);
	timeout(&streams->guest, 1000);
	CHECK_INT(write_some(&streams->guest, 1, 10), -WASI_EPIPE);
}

TEST(nobody_reads_is_epipe)
{
	both_pipes(try_nobody);
}

static void *interrupting(void *env)
{
	struct guest *guest = env;

	clock_sleep_ms(30);
	guest->store.interrupt = 1;
	return NULL;
}

TEST(an_interruption_ends_a_wait)
{
	struct streams streams;
	pthread_t thread;
	char text[8];

	streams_begin(&streams);
	pthread_create(&thread, NULL, interrupting, &streams.guest);
	CHECK_INT(read_some(&streams.guest, 0, text, 8),
		  -(TRAP + WASM_TRAP_interrupted));
	pthread_join(thread, NULL);
	streams_end(&streams);
}

static void try_non_blocking(struct streams *streams)
{
	struct guest *guest = &streams->guest;
	char text[8];
	int n, total = 0;

	CHECK_INT(CALL2(guest, "fd_fdstat_set_flags", 0, WASI_NONBLOCK), 0);
	CHECK_INT(read_some(guest, 0, text, 8), -WASI_EAGAIN);
	CHECK_INT(fcntl(guest->wasi->fds[0].host, F_GETFL) & O_NONBLOCK, 0);
	CHECK_INT(CALL2(guest, "fd_fdstat_set_flags", 1, WASI_NONBLOCK), 0);
	while ((n = write_some(guest, 1, 150000)) > 0)
		total += n;
	CHECK_INT(n, -WASI_EAGAIN);
	CHECK(total > 0 && total < 150000);
	CHECK_INT(write_some(guest, 1, 1), -WASI_EAGAIN);
}

TEST(non_blocking_is_the_guests_own)
{
	both_pipes(try_non_blocking);
}

static void subscribe(struct guest *guest, int i, uint8_t type, uint32_t what,
		      uint64_t timeout_ns)
{
	struct wasi_subscription sub = { .userdata = 100 + i, .type = type };

	if (type == WASI_CLOCK) {
		sub.clock.id = what;
		sub.clock.timeout = timeout_ns;
	} else {
		sub.fd = what;
	}
	memcpy(guest->bytes + AT_BYTES + i * sizeof sub, &sub, sizeof sub);
}

static struct wasi_event event(const struct guest *guest, int i)
{
	struct wasi_event event;

	memcpy(&event, guest->bytes + i * sizeof event, sizeof event);
	return event;
}

TEST(waiting_for_several_things)
{
	struct streams streams;
	struct guest *guest = &streams.guest;
	uint64_t start = clock_ns();

	streams_begin(&streams);
	timeout(guest, 40);
	subscribe(guest, 0, WASI_CLOCK, WASI_MONOTONIC, 20000000000);
	subscribe(guest, 1, WASI_FD_READ, 0, 0);
	CHECK_INT(CALL4(guest, "poll_oneoff", AT_BYTES, 0, 2, AT_RESULT),
		  TRAP + WASM_TRAP_deadline);
	CHECK(clock_ns() - start < 5000000000);
	guest->deadline_ns = 0;
	CHECK_INT(write(streams.in[1], "abc", 3), 3);
	CHECK_INT(CALL4(guest, "poll_oneoff", AT_BYTES, 0, 2, AT_RESULT), 0);
	CHECK_INT(get_u32(guest, AT_RESULT), 1);
	CHECK_INT(event(guest, 0).userdata, 101);
	CHECK_INT(event(guest, 0).byte_count, 3);
	CHECK_INT(event(guest, 0).type, WASI_FD_READ);
	/* a clock without end, one that has come, two that cannot be */
	subscribe(guest, 0, WASI_CLOCK, WASI_REALTIME, ~0ull);
	subscribe(guest, 1, WASI_CLOCK, WASI_MONOTONIC, 1000);
	subscribe(guest, 2, WASI_CLOCK, WASI_THREAD_CPUTIME, 5);
	subscribe(guest, 3, WASI_CLOCK, 77, 5);
	subscribe(guest, 4, 9, 0, 5);
	clock_sleep_ms(1);
	CHECK_INT(CALL4(guest, "poll_oneoff", AT_BYTES, 0, 5, AT_RESULT), 0);
	CHECK(get_u32(guest, AT_RESULT) >= 3);
	CHECK_INT(event(guest, get_u32(guest, AT_RESULT) - 3).error,
		  WASI_ENOTSUP);
	CHECK_INT(event(guest, get_u32(guest, AT_RESULT) - 2).error,
		  WASI_EINVAL);
	CHECK_INT(event(guest, get_u32(guest, AT_RESULT) - 1).error,
		  WASI_EINVAL);
	/* the writer went */
	close(streams.in[1]);
	streams.in[1] = -1;
	subscribe(guest, 0, WASI_FD_READ, 0, 0);
	subscribe(guest, 1, WASI_FD_WRITE, 1, 0);
	subscribe(guest, 2, WASI_FD_WRITE, 0, 0);
	CHECK_INT(CALL4(guest, "poll_oneoff", AT_BYTES, 0, 3, AT_RESULT), 0);
	CHECK_INT(get_u32(guest, AT_RESULT), 3);
	CHECK_INT(event(guest, 0).flags, WASI_READWRITE_HANGUP);
	CHECK_INT(event(guest, 1).error, 0);
	CHECK_INT(event(guest, 2).error, WASI_ENOTCAPABLE);
	streams_end(&streams);
}

TEST(the_most_subscriptions_that_can_be)
{
	struct streams streams;
	struct guest *guest = &streams.guest;
	int code;

	streams_begin(&streams);
	for (int i = 0; i < WASI_POLL_MOST; i++) {
		struct wasi_subscription sub = { .type = WASI_FD_WRITE,
						 .fd = 1 };

		memcpy(guest->bytes + i * sizeof sub, &sub, sizeof sub);
	}
	code = CALL4(guest, "poll_oneoff", 0, 0, WASI_POLL_MOST, AT_RESULT);
	/* the host may allow fewer descriptors than that */
	CHECK(code == 0 || code == WASI_EINVAL);
	CHECK_INT(CALL4(guest, "poll_oneoff", 0, 0, WASI_POLL_MOST + 1,
			AT_RESULT),
		  WASI_EINVAL);
	streams_end(&streams);
}

/* ---- sockets ------------------------------------------------------------------ */

static int listening(struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sa_family_t);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	CHECK_INT(bind(fd, (void *)address, len), 0); /* a name of its own */
	CHECK_INT(listen(fd, 4), 0);
	return fd;
}

static int connected(int listener)
{
	struct sockaddr_un address;
	socklen_t len = sizeof address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(getsockname(listener, (void *)&address, &len), 0);
	CHECK_INT(connect(fd, (void *)&address, len), 0);
	return fd;
}

static void sockets_begin(struct guest *guest, int *listener)
{
	struct sockaddr_un address;
	struct wasi_options options = { .stdio = { -1, -1, -1 },
					.sockets = listener,
					.socket_count = 1 };

	*listener = listening(&address);
	guest_begin_with(guest, &options);
}

/* More clocks than the process may have descriptors. */
TEST(clocks_are_no_descriptors)
{
	struct rlimit before, few;
	struct guest guest;
	struct wasi_options options = { .stdio = { -1, -1, -1 } };

	guest_begin_with(&guest, &options);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 32, before.rlim_max };
	for (int i = 0; i < 40; i++)
		subscribe(&guest, i, WASI_CLOCK, WASI_MONOTONIC, 1000);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	CHECK_INT(CALL4(&guest, "poll_oneoff", AT_BYTES, 0, 40, AT_RESULT), 0);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
	CHECK(get_u32(&guest, AT_RESULT) >= 1);
	guest_end(&guest);
}

TEST(a_socket_is_accepted_from)
{
	struct guest guest;
	char text[16] = { 0 };
	int listener, peer, fd;

	sockets_begin(&guest, &listener);
	timeout(&guest, 30);
	CHECK_INT(CALL3(&guest, "sock_accept", 3, 0, AT_RESULT),
		  TRAP + WASM_TRAP_deadline);
	guest.deadline_ns = 0;
	CHECK_INT(CALL3(&guest, "sock_accept", 3, 99, AT_RESULT), WASI_EINVAL);
	peer = connected(listener);
	CHECK_INT(CALL3(&guest, "sock_accept", 3, 0, AT_RESULT), 0);
	fd = get_u32(&guest, AT_RESULT);
	CHECK_INT(CALL2(&guest, "fd_fdstat_get", fd, AT_BYTES), 0);
	CHECK_INT(guest.bytes[AT_BYTES], WASI_SOCKET_STREAM);
	CHECK(fcntl(guest.wasi->fds[fd].host, F_GETFD) & FD_CLOEXEC);
	say_at(&guest, AT_BYTES, "hello");
	vector(&guest, AT_BYTES, 5);
	CHECK_INT(CALL5(&guest, "sock_send", fd, AT_VECTORS, 1, 0, AT_RESULT),
		  0);
	CHECK_INT(read(peer, text, 15), 5);
	CHECK_TEXT(text, "hello");
	CHECK_INT(CALL5(&guest, "sock_send", fd, AT_VECTORS, 1, 1, AT_RESULT),
		  WASI_EINVAL);
	CHECK_INT(write(peer, "answer", 6), 6);
	vector(&guest, AT_BYTES, 3);
	CHECK_INT(CALL6(&guest, "sock_recv", fd, AT_VECTORS, 1, WASI_RECV_PEEK,
			AT_RESULT, AT_RESULT + 4),
		  0);
	CHECK_INT(get_u32(&guest, AT_RESULT), 3);
	CHECK_INT(CALL6(&guest, "sock_recv", fd, AT_VECTORS, 1,
			WASI_RECV_WAITALL, AT_RESULT, AT_RESULT + 4),
		  0);
	CHECK(memcmp(guest.bytes + AT_BYTES, "ans", 3) == 0);
	CHECK_INT(read_some(&guest, fd, text, 16), 3);
	vector(&guest, AT_BYTES, 20);
	timeout(&guest, 30);
	CHECK_INT(write(peer, "part", 4), 4);
	CHECK_INT(CALL6(&guest, "sock_recv", fd, AT_VECTORS, 1,
			WASI_RECV_WAITALL, AT_RESULT, AT_RESULT + 4),
		  TRAP + WASM_TRAP_deadline);
	guest.deadline_ns = 0;
	CHECK_INT(CALL2(&guest, "sock_shutdown", fd, WASI_SHUT_WR), 0);
	CHECK_INT(read(peer, text, 15), 0);
	CHECK_INT(CALL2(&guest, "sock_shutdown", fd, 0), WASI_EINVAL);
	close(peer);
	CHECK_INT(read_some(&guest, fd, text, 16), 0);
	CHECK_INT(write_some(&guest, fd, 10), -WASI_EPIPE);
	CHECK_INT(CALL3(&guest, "sock_accept", fd, 0, AT_RESULT),
		  WASI_ENOTCAPABLE);
	CHECK_INT(CALL2(&guest, "fd_prestat_get", 3, AT_BYTES), WASI_EBADF);
	close(listener);
	guest_end(&guest);
}

TEST(a_non_blocking_socket_is_asked_for)
{
	struct guest guest;
	char text[4];
	int listener, peer, fd;

	sockets_begin(&guest, &listener);
	CHECK_INT(CALL2(&guest, "fd_fdstat_set_flags", 3, WASI_NONBLOCK), 0);
	CHECK_INT(CALL3(&guest, "sock_accept", 3, 0, AT_RESULT), WASI_EAGAIN);
	peer = connected(listener);
	CHECK_INT(CALL3(&guest, "sock_accept", 3, WASI_NONBLOCK, AT_RESULT), 0);
	fd = get_u32(&guest, AT_RESULT);
	CHECK_INT(read_some(&guest, fd, text, 4), -WASI_EAGAIN);
	close(peer);
	close(listener);
	guest_end(&guest);
}

/* ---- preview 0 ---------------------------------------------------------------- */

TEST(the_older_name_has_its_own_numbers)
{
	struct streams streams;
	struct guest guest;
	struct wasi_subscription_unstable sub = { .userdata = 7,
						  .type = WASI_CLOCK };
	int fd, code;

	guest_begin(&guest, false);
	guest_make(&guest, "file", "0123456789");
	fd = open_at(&guest, 3, "file", 0,
		     WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK |
			     WASI_RIGHT_FD_TELL | WASI_RIGHT_FD_FILESTAT_GET,
		     &code);
	guest.unstable = true;
	CHECK_INT(CALL4(&guest, "fd_seek", fd, 4, 2, AT_RESULT), 0);
	CHECK_INT(get_u64(&guest, AT_RESULT), 4); /* from the start */
	CHECK_INT(CALL4(&guest, "fd_seek", fd, 1, 0, AT_RESULT), 0);
	CHECK_INT(get_u64(&guest, AT_RESULT), 5); /* from here */
	CHECK_INT(CALL4(&guest, "fd_seek", fd, -1, 1, AT_RESULT), 0);
	CHECK_INT(get_u64(&guest, AT_RESULT), 9); /* from the end */
	CHECK_INT(CALL2(&guest, "fd_filestat_get", fd, AT_BYTES), 0);
	CHECK_INT(get_u32(&guest, AT_BYTES + 20), 1);
	CHECK_INT(get_u64(&guest, AT_BYTES + 24), 10);
	guest_end(&guest);
	streams_begin(&streams);
	streams.guest.unstable = true;
	sub.clock.id = WASI_MONOTONIC;
	sub.clock.timeout = 1000;
	memcpy(streams.guest.bytes, &sub, sizeof sub);
	CHECK_INT(CALL4(&streams.guest, "poll_oneoff", 0, AT_BYTES, 1,
			AT_RESULT),
		  0);
	CHECK_INT(get_u64(&streams.guest, AT_BYTES), 7);
	streams_end(&streams);
}

TEST_MAIN
