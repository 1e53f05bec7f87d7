/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest server that a collector of metrics can ask: each connection
 * has one request, and so long to make it and to take the answer. */
#include "base/clock.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "cli/listen.h"
#include "cli/node.h"
#include "domain/kvm.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	SERVE_MOST = 16,	   /* at once; others wait in the queue */
	SERVE_REQUEST_MOST = 4096, /* bytes, all its headers */
	SERVE_MS = 5000,	   /* for all of it */
	SERVE_FIRST_FD = 3	   /* systemd's */
};

struct serve_client {
	int fd; /* -1: none */
	int64_t until_ns;
	char request[SERVE_REQUEST_MOST + 1];
	size_t len, sent;
	struct buf answer; /* empty: the request is not whole yet */
};
struct serve {
	struct listen listen;
	int signals;
	struct serve_client client[SERVE_MOST];
};

/* ---- answers --------------------------------------------------------------------- */

static void serve_put(struct serve_client *client, const char *status,
		      const char *type, const struct buf *body)
{
	buf_format(&client->answer,
		   "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n",
		   status, type, body->len);
	buf_add(&client->answer, body->data, body->len);
}

static void serve_refuse(struct serve_client *client, const char *status)
{
	auto_buf struct buf body = { 0 };

	buf_format(&body, "%s\n", status);
	serve_put(client, status, "text/plain; charset=utf-8", &body);
}

static void serve_tell(struct serve_client *client, bool is_json)
{
	auto_node struct node node = { 0 };
	auto_buf struct buf body = { 0 };
	struct err err = { 0 };

	if (node_look(&node, &err) < 0) {
		buf_format(&body, "%s\n", err.text);
		serve_put(client, "500 Internal Server Error",
			  "text/plain; charset=utf-8", &body);
		return;
	}
	if (is_json)
		node_json(&node, &body);
	else
		node_metrics(&node, &body);
	serve_put(client, "200 OK",
		  is_json ? "application/json"
			  : "text/plain; version=0.0.4; charset=utf-8",
		  &body);
}

/* "GET PATH HTTP/1.x" is all that is looked at. */
static void serve_answer(struct serve_client *client)
{
	char *line = client->request, *path, *version;

	line[strcspn(line, "\r\n")] = 0;
	path = strchr(line, ' ');
	version = path ? strchr(path + 1, ' ') : NULL;
	if (!version || strncmp(version, " HTTP/1.", 8) != 0) {
		serve_refuse(client, "400 Bad Request");
		return;
	}
	*path++ = *version = 0;
	path[strcspn(path, "?")] = 0;
	if (strcmp(line, "GET") != 0)
		serve_refuse(client, "405 Method Not Allowed");
	else if (strcmp(path, "/metrics") == 0 || strcmp(path, "/node") == 0)
		serve_tell(client, path[1] == 'n');
	else
		serve_refuse(client, "404 Not Found");
}

/* ---- clients --------------------------------------------------------------------- */

static void serve_drop(struct serve_client *client)
{
	fd_close(&client->fd);
	buf_fini(&client->answer);
	client->answer = (struct buf){ 0 };
	client->len = client->sent = 0;
}

static void serve_accept(struct serve *serve)
{
	struct serve_client *client = serve->client;
	int fd = accept4(serve->listen.fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	while (client->fd >= 0)
		client++;
	client->fd = fd;
	client->until_ns = (int64_t)clock_ns() + SERVE_MS * INT64_C(1000000);
}

static void serve_read(struct serve_client *client)
{
	ssize_t got = read(client->fd, client->request + client->len,
			   SERVE_REQUEST_MOST - client->len);

	if (got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			serve_drop(client);
		return;
	}
	client->len += (size_t)got;
	client->request[client->len] = 0;
	if (memmem(client->request, client->len, "\r\n\r\n", 4))
		serve_answer(client);
	else if (client->len == SERVE_REQUEST_MOST)
		serve_refuse(client, "431 Request Header Fields Too Large");
	if (client->answer.failed)
		serve_drop(client);
}

static void serve_write(struct serve_client *client)
{
	ssize_t put = send(client->fd, client->answer.data + client->sent,
			   client->answer.len - client->sent, MSG_NOSIGNAL);

	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (put >= 0)
		client->sent += (size_t)put;
	if (put < 0 || client->sent == client->answer.len)
		serve_drop(client);
}

/* ---- the loop -------------------------------------------------------------------- */

/* Returns how long to wait, -1 for ever. */
static int serve_watch(const struct serve *serve, struct pollfd *watched)
{
	int64_t now = (int64_t)clock_ns(), least = -1;
	int used = 0;

	for (int i = 0; i < SERVE_MOST; i++) {
		const struct serve_client *client = &serve->client[i];
		int64_t left = client->until_ns - now;

		watched[i] = (struct pollfd){ .fd = client->fd,
					      .events = client->answer.len
								? POLLOUT
								: POLLIN };
		used += client->fd >= 0;
		if (client->fd >= 0 && (least < 0 || left < least))
			least = left < 0 ? 0 : left;
	}
	watched[SERVE_MOST] =
		(struct pollfd){ .fd = serve->signals, .events = POLLIN };
	watched[SERVE_MOST + 1] =
		(struct pollfd){ .fd = used < SERVE_MOST ? serve->listen.fd
							 : -1,
				 .events = POLLIN };
	return least < 0 ? -1 : (int)(least / 1000000 + 1);
}

static void serve_turn(struct serve *serve, const struct pollfd *watched)
{
	int64_t now = (int64_t)clock_ns();

	for (int i = 0; i < SERVE_MOST; i++) {
		struct serve_client *client = &serve->client[i];

		if (client->fd < 0)
			continue;
		if (now >= client->until_ns)
			serve_drop(client);
		else if (watched[i].revents && client->answer.len)
			serve_write(client);
		else if (watched[i].revents)
			serve_read(client);
	}
	if (watched[SERVE_MOST + 1].revents)
		serve_accept(serve);
}

static int serve_loop(struct serve *serve)
{
	struct pollfd watched[SERVE_MOST + 2];

	for (;;) {
		int wait_ms = serve_watch(serve, watched);

		if (poll(watched, SERVE_MOST + 2, wait_ms) < 0 &&
		    errno != EINTR)
			return -errno;
		if (watched[SERVE_MOST].revents)
			return 0;
		serve_turn(serve, watched);
	}
}

/* ---- systemd --------------------------------------------------------------------- */

static int serve_open(struct serve *serve, const char *word, struct err *err)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

	if (strcmp(word, "systemd") != 0)
		return listen_open(&serve->listen, word, err);
	if (!pid || !count || atol(pid) != getpid() || atol(count) < 1)
		return err_set(err, -EINVAL,
			       "--listen systemd: no socket was handed in; a "
			       "socket unit does that");
	serve->listen.fd = SERVE_FIRST_FD;
	if (fcntl(SERVE_FIRST_FD, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, -errno, "--listen systemd");
	return 0;
}

static void serve_say_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	auto_close int fd = -1;

	if (!len || len >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, len);
	if (*path == '@')
		to.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&to,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				   len));
}

static int serve_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- all ------------------------------------------------------------------------- */

/* While there is one machine others begin and end faster (domain/kvm.h), so a
 * node that is looked after has one; where it cannot be, that is all. */
struct serve_idle {
	struct kvm kvm;
	struct kvm_sentinel sentinel;
};

static void serve_idle_close(struct serve_idle *idle)
{
	kvm_sentinel_close(&idle->sentinel);
	kvm_close(&idle->kvm);
}

static void serve_idle_open(struct serve_idle *idle)
{
	idle->sentinel = (struct kvm_sentinel){ .vm.fd = -1, .cpu.fd = -1 };
	if (kvm_open(&idle->kvm, NULL) >= 0)
		kvm_sentinel_open(&idle->kvm, &idle->sentinel, NULL);
}

static int serve_all(struct serve *serve)
{
	__attribute__((cleanup(serve_idle_close))) struct serve_idle idle;

	serve_idle_open(&idle);
	serve_say_ready();
	return serve_loop(serve);
}

int node_serve(const char *word, struct err *err)
{
	struct serve *serve = calloc(1, sizeof *serve);
	int rc;

	if (!serve)
		return err_set(err, -ENOMEM, "--listen %s", word);
	for (int i = 0; i < SERVE_MOST; i++)
		serve->client[i].fd = -1;
	rc = serve_open(serve, word, err);
	if (rc >= 0 && fcntl(serve->listen.fd, F_SETFL, O_NONBLOCK) < 0)
		rc = err_set(err, -errno, "--listen %s", word);
	if (rc >= 0) {
		serve->signals = serve_signals();
		rc = serve->signals < 0 ? -errno : serve_all(serve);
		if (rc < 0)
			err_set(err, rc, "--listen %s", word);
		fd_close(&serve->signals);
		listen_close(&serve->listen);
	}
	for (int i = 0; i < SERVE_MOST; i++)
		serve_drop(&serve->client[i]);
	free(serve);
	return rc;
}
