/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets.  Names of hosts are not looked up: a resolver wants the
 * libraries of the system, which a static program does not have. */
#include "cli/listen.h"
#include "base/fd.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_WAITING = 128 };

union listen_address {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_un local;
};

static int listen_wrong(const char *word, struct err *err)
{
	return err_set(err, -EINVAL,
		       "--listen %s: neither tcp:ADDRESS:PORT (numeric, "
		       "[::1] or localhost) nor unix:PATH",
		       word);
}

/* 1 to 65535, or 0. */
static unsigned listen_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return *text < '0' || *text > '9' || *end || port > 65535
		       ? 0
		       : (unsigned)port;
}

/* The length, or 0. */
static socklen_t listen_numbers(const char *host, unsigned port,
				union listen_address *to)
{
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &to->in4.sin_addr) == 1) {
		to->in4.sin_family = AF_INET;
		to->in4.sin_port = htons((uint16_t)port);
		return sizeof to->in4;
	}
	if (inet_pton(AF_INET6, host, &to->in6.sin6_addr) == 1) {
		to->in6.sin6_family = AF_INET6;
		to->in6.sin6_port = htons((uint16_t)port);
		return sizeof to->in6;
	}
	return 0;
}

static socklen_t listen_tcp(const char *text, union listen_address *to)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	unsigned port = colon ? listen_port(colon + 1) : 0;
	char host[64];

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!len || len >= sizeof host || !port)
		return 0;
	memcpy(host, text, len);
	host[len] = 0;
	return listen_numbers(host, port, to);
}

static socklen_t listen_path(const char *path, union listen_address *to)
{
	size_t len = strlen(path);

	if (!len || len >= sizeof to->local.sun_path)
		return 0;
	to->local.sun_family = AF_UNIX;
	memcpy(to->local.sun_path, path, len + 1);
	return sizeof to->local;
}

static int listen_bind(struct listen *listen_on,
		       const union listen_address *address, socklen_t len)
{
	int yes = 1;

	listen_on->fd =
		socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listen_on->fd < 0)
		return -errno;
	if (address->any.sa_family != AF_UNIX)
		setsockopt(listen_on->fd, SOL_SOCKET, SO_REUSEADDR, &yes,
			   sizeof yes);
	if (bind(listen_on->fd, &address->any, len) < 0)
		return -errno;
	if (address->any.sa_family == AF_UNIX)
		strcpy(listen_on->path, address->local.sun_path);
	return listen(listen_on->fd, LISTEN_WAITING) < 0 ? -errno : 0;
}

int listen_open(struct listen *listen, const char *word, struct err *err)
{
	union listen_address address;
	socklen_t len = 0;
	int result;

	*listen = (struct listen){ .fd = -1 };
	memset(&address, 0, sizeof address);
	if (strncmp(word, "tcp:", 4) == 0)
		len = listen_tcp(word + 4, &address);
	else if (strncmp(word, "unix:", 5) == 0)
		len = listen_path(word + 5, &address);
	if (!len)
		return listen_wrong(word, err);
	result = listen_bind(listen, &address, len);
	if (result >= 0)
		return 0;
	listen_close(listen);
	return err_set(err, result, "--listen %s", word);
}

void listen_close(struct listen *listen)
{
	fd_close(&listen->fd);
	if (listen->path[0])
		unlink(listen->path);
	listen->path[0] = 0;
}
