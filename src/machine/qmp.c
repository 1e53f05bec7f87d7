/* SPDX-License-Identifier: Apache-2.0 */
/* QMP: lines, commands with numbers, events in a bounded queue. */
#include "machine/qmp.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { QMP_PART = 16384 };

struct qmp_event {
	struct qmp_event *next;
	char *data;
	char name[QMP_NAME_MOST];
};

struct qmp {
	int fd, limit_ms;
	int broken; /* the negative errno that ended the connection */
	int64_t last_id;
	/* Bytes received; those before "begin" are done with, up to "seen"
	 * there is no end of a line. */
	struct buf in;
	size_t begin, seen;
	struct qmp_event *first, **last;
	int event_count;
	char *data; /* of the event last taken */
};

/* ---- the socket ----------------------------------------------------------- */

static int qmp_break(struct qmp *qmp, int code, struct err *err,
		     const char *words)
{
	qmp->broken = code;
	return err_set(err, code, "%s", words);
}

static int qmp_wait(struct qmp *qmp, short what, uint64_t deadline,
		    struct err *err)
{
	for (;;) {
		int left_ms = clock_left_ms(deadline);
		int r = left_ms ? fd_wait(qmp->fd, what, left_ms) : 0;

		if (r == 0)
			return err_set(err, -ETIME, "no answer");
		if (r > 0)
			return 0;
		if (r != -EINTR)
			return qmp_break(qmp, r, err, "wait");
	}
}

union qmp_rights {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

/* fd goes along with the first byte. */
static ssize_t qmp_send_part(int socket, const char *data, size_t len, int fd)
{
	union qmp_rights rights = { .head = { .cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS,
					      .cmsg_len =
						      CMSG_LEN(sizeof(fd)) } };
	struct iovec part = { (void *)(uintptr_t)data, len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&rights.head), &fd, sizeof(fd));
		message.msg_control = &rights;
		message.msg_controllen = sizeof(rights);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Half a line sent is a connection lost. */
static int qmp_send(struct qmp *qmp, const struct buf *line, int fd,
		    uint64_t deadline, struct err *err)
{
	for (size_t done = 0; done < line->len;) {
		ssize_t n = qmp_send_part(qmp->fd, line->data + done,
					  line->len - done, done ? -1 : fd);

		if (n > 0) {
			done += n;
		} else if (n < 0 && errno == EAGAIN) {
			int r = qmp_wait(qmp, POLLOUT, deadline, err);

			if (r < 0 && done)
				qmp->broken = r;
			if (r < 0)
				return r;
		} else if (n < 0 && errno != EINTR) {
			return qmp_break(qmp, -errno, err, "send");
		}
	}
	return 0;
}

/* Moves what is left to the front, and adds what has come. */
static int qmp_receive(struct qmp *qmp, struct err *err)
{
	struct buf *in = &qmp->in;
	ssize_t n;
	char *to;

	if (qmp->begin) {
		memmove(in->data, in->data + qmp->begin, in->len - qmp->begin);
		in->len -= qmp->begin;
		qmp->seen -= qmp->begin;
		qmp->begin = 0;
	}
	to = buf_room(in, QMP_PART);
	if (!to)
		return in->is_full
			       ? qmp_break(qmp, -EPROTO, err, "an endless line")
			       : qmp_break(qmp, -ENOMEM, err, "receive");
	n = recv(qmp->fd, to, QMP_PART, MSG_DONTWAIT);
	if (n == 0)
		return qmp_break(qmp, -ECONNRESET, err, "it hung up");
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		return qmp_break(qmp, -errno, err, "receive");
	buf_used(in, n > 0 ? n : 0);
	return 0;
}

/* ---- lines ---------------------------------------------------------------- */

static bool qmp_find_line(struct qmp *qmp, char **line, size_t *len)
{
	struct buf *in = &qmp->in;
	char *start, *end;

	if (qmp->seen == in->len)
		return false;
	start = in->data + qmp->begin;
	end = memchr(in->data + qmp->seen, '\n', in->len - qmp->seen);
	if (!end) {
		qmp->seen = in->len;
		return false;
	}
	*end = 0;
	*line = start;
	*len = end - start;
	qmp->begin = qmp->seen = end + 1 - in->data;
	return true;
}

/* The next line, an object looked through; good until the one after it. */
static int qmp_line(struct qmp *qmp, uint64_t deadline, const char **line,
		    struct err *err)
{
	char *text;
	size_t len;

	do {
		while (!qmp_find_line(qmp, &text, &len)) {
			int r = qmp_wait(qmp, POLLIN, deadline, err);

			if (r < 0 || (r = qmp_receive(qmp, err)) < 0)
				return r;
		}
		if (len && text[len - 1] == '\r')
			text[--len] = 0;
	} while (len == 0);
	if (text[0] != '{' || json_check(text, len, err) < 0)
		return qmp_break(qmp, -EPROTO, err, "what it says is no JSON");
	*line = text;
	return 0;
}

/* ---- events --------------------------------------------------------------- */

static void qmp_event_drop(struct qmp_event *event)
{
	if (!event)
		return;
	free(event->data);
	free(event);
}

/* Takes one out of the queue. */
static struct qmp_event *qmp_event_take(struct qmp *qmp,
					struct qmp_event **place)
{
	struct qmp_event *event = *place;

	*place = event->next;
	if (!event->next)
		qmp->last = place;
	qmp->event_count--;
	return event;
}

static int qmp_event_keep(struct qmp *qmp, const char *line, const char *name,
			  struct err *err)
{
	struct qmp_event *event = calloc(1, sizeof(*event));
	size_t len = 0;
	const char *data = json_get_value(line, "data", &len);

	if (event && data && len <= QMP_DATA_MOST)
		event->data = strndup(data, len);
	if (!event || (data && len <= QMP_DATA_MOST && !event->data)) {
		free(event);
		return qmp_break(qmp, -ENOMEM, err, "an event");
	}
	memcpy(event->name, name, strlen(name));
	*qmp->last = event;
	qmp->last = &event->next;
	if (++qmp->event_count > QMP_EVENTS_MOST)
		qmp_event_drop(qmp_event_take(qmp, &qmp->first));
	return 0;
}

/* 1: the line was an event. */
static int qmp_event_note(struct qmp *qmp, const char *line, struct err *err)
{
	auto_free char *name = json_get_text(line, "event");
	int r;

	if (!name)
		return 0;
	if (!*name || strlen(name) >= QMP_NAME_MOST)
		return qmp_break(qmp, -EPROTO, err, "an event without a name");
	r = qmp_event_keep(qmp, line, name, err);
	return r < 0 ? r : 1;
}

static bool qmp_event_is(const struct qmp_event *event,
			 const char *const *names)
{
	if (!names)
		return true;
	for (; *names; names++)
		if (strcmp(event->name, *names) == 0)
			return true;
	return false;
}

static void qmp_event_give(struct qmp *qmp, struct qmp_event *event,
			   char *found_name, size_t found_room)
{
	size_t len = strlen(event->name);

	if (found_name && found_room) {
		len = len < found_room ? len : found_room - 1;
		memcpy(found_name, event->name, len);
		found_name[len] = 0;
	}
	free(qmp->data);
	qmp->data = steal_ptr(&event->data);
	qmp_event_drop(event);
}

static int qmp_event_wait(struct qmp *qmp, const char *const *names,
			  uint64_t deadline, char *found_name,
			  size_t found_room, struct err *err)
{
	struct qmp_event **place = &qmp->first;
	const char *line;
	int r;

	for (;;) {
		while (*place && !qmp_event_is(*place, names))
			place = &(*place)->next;
		if (*place) {
			qmp_event_give(qmp, qmp_event_take(qmp, place),
				       found_name, found_room);
			return 0;
		}
		if (qmp->broken)
			return err_set(err, qmp->broken, "the connection");
		r = qmp_line(qmp, deadline, &line, err);
		if (r < 0 || (r = qmp_event_note(qmp, line, err)) < 0)
			return r;
		/* The queue may have moved up by one. */
		place = &qmp->first;
	}
}

int qmp_event(struct qmp *qmp, const char *const *names, int timeout_ms,
	      char *found_name, size_t found_room, struct err *err)
{
	/* With no time at all not even what is there would be read. */
	uint64_t deadline = clock_deadline(timeout_ms ? timeout_ms : 1);
	int r = qmp_event_wait(qmp, names, deadline, found_name, found_room,
			       err);

	if (r < 0)
		err_wrap(err, "qemu: event %s",
			 names && *names ? *names : "of any kind");
	return r;
}

const char *qmp_event_data(const struct qmp *qmp)
{
	return qmp->data ? qmp->data : "{}";
}

void qmp_forget(struct qmp *qmp)
{
	while (qmp->first)
		qmp_event_drop(qmp_event_take(qmp, &qmp->first));
}

/* ---- commands ------------------------------------------------------------- */

static int qmp_write(struct buf *line, int64_t id, const char *command,
		     const char *arguments, struct err *err)
{
	struct json json;

	json_start(&json, line);
	json_open(&json, NULL);
	json_text(&json, "execute", command);
	if (arguments)
		json_value(&json, "arguments", arguments);
	json_number(&json, "id", id);
	json_close(&json);
	buf_text(line, "\n");
	if (line->len > QMP_LINE_MOST)
		return err_set(err, -E2BIG, "the command");
	return line->failed ? err_set(err, -EPROTO, "the arguments are no JSON")
			    : 0;
}

/* One line without what a terminal would take for an order. */
static void qmp_plain(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
		else if (*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
}

static int qmp_refused(const char *line, struct err *err)
{
	auto_free char *words = json_get_text(line, "error.desc");

	if (words)
		qmp_plain(words);
	return err_set(err, -EINVAL, "%s",
		       words && *words ? words : "refused without a reason");
}

/* An answer without a number is about what is no command at all, so it is
 * about the last one. */
static bool qmp_is_late(const struct qmp *qmp, const char *line)
{
	return json_get_number(line, "id", qmp->last_id) < qmp->last_id;
}

static int qmp_answer(struct qmp *qmp, const char *line, struct buf *reply,
		      struct err *err)
{
	size_t len;
	const char *value = json_get_value(line, "return", &len);

	if (json_get_number(line, "id", qmp->last_id) != qmp->last_id)
		return qmp_break(qmp, -EPROTO, err, "an answer to nothing");
	if (!value && !json_get_value(line, "error", &len))
		return qmp_break(qmp, -EPROTO, err,
				 "neither an answer nor an event");
	if (!value)
		return qmp_refused(line, err);
	if (reply)
		buf_add(reply, value, len);
	return reply && reply->failed ? err_set(err, -ENOMEM, "the answer") : 0;
}

static int qmp_take_answer(struct qmp *qmp, uint64_t deadline,
			   struct buf *reply, struct err *err)
{
	const char *line;
	int r;

	do {
		r = qmp_line(qmp, deadline, &line, err);
		if (r < 0 || (r = qmp_event_note(qmp, line, err)) < 0)
			return r;
	} while (r == 1 || qmp_is_late(qmp, line));
	return qmp_answer(qmp, line, reply, err);
}

static int qmp_ask(struct qmp *qmp, const char *command, const char *arguments,
		   int fd, struct buf *reply, struct err *err)
{
	uint64_t deadline = clock_deadline(qmp->limit_ms);
	auto_buf struct buf line = { 0 };
	int r;

	if (qmp->broken)
		return err_set(err, qmp->broken, "the connection");
	r = qmp_write(&line, ++qmp->last_id, command, arguments, err);
	if (r < 0 || (r = qmp_send(qmp, &line, fd, deadline, err)) < 0)
		return r;
	return qmp_take_answer(qmp, deadline, reply, err);
}

int qmp_command(struct qmp *qmp, const char *command, const char *arguments,
		struct buf *reply, struct err *err)
{
	int r = qmp_ask(qmp, command, arguments, -1, reply, err);

	if (r < 0)
		err_wrap(err, "qemu: %s", command);
	return r;
}

int qmp_pass_fd(struct qmp *qmp, const char *name, int fd, struct err *err)
{
	auto_buf struct buf arguments = { 0 };
	struct json json;
	int r;

	json_start(&json, &arguments);
	json_open(&json, NULL);
	json_text(&json, "fdname", name);
	json_close(&json);
	r = qmp_ask(qmp, "getfd", buf_string(&arguments), fd, NULL, err);
	if (r < 0)
		err_wrap(err, "qemu: getfd %s", name);
	return r;
}

/* ---- the connection ------------------------------------------------------- */

static int qmp_greet(struct qmp *qmp, uint64_t deadline, struct err *err)
{
	const char *line;
	size_t len;
	int r = qmp_line(qmp, deadline, &line, err);

	if (r < 0) {
		err_wrap(err, "qemu: greeting");
		return r;
	}
	if (!json_get_value(line, "QMP", &len))
		return err_set(err, -EPROTO, "qemu: it does not speak QMP");
	return qmp_command(qmp, "qmp_capabilities", NULL, NULL, err);
}

int qmp_attach(struct qmp **qmp, int fd, int timeout_ms, struct err *err)
{
	struct qmp *made = calloc(1, sizeof(*made));
	int r;

	*qmp = NULL;
	if (!made) {
		fd_close(&fd);
		return err_set(err, -ENOMEM, "qemu: connection");
	}
	made->fd = fd;
	made->limit_ms = timeout_ms;
	made->last = &made->first;
	made->in.most = QMP_LINE_MOST + QMP_PART;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	r = qmp_greet(made, clock_deadline(timeout_ms), err);
	if (r < 0)
		qmp_free(&made);
	*qmp = made;
	return r;
}

/* QEMU makes the socket a while after it was started. */
static int qmp_connect(const char *path, uint64_t deadline, struct err *err)
{
	for (int pause_ms = 1;; pause_ms += pause_ms < 32 ? pause_ms : 0) {
		int left_ms = clock_left_ms(deadline);
		int fd = fd_connect_stream(path, left_ms, err);

		if (fd >= 0 || (fd != -ENOENT && fd != -ECONNREFUSED))
			return fd;
		if (left_ms == 0)
			return fd;
		clock_sleep_ms(left_ms > 0 && left_ms < pause_ms ? left_ms
								 : pause_ms);
	}
}

int qmp_open(struct qmp **qmp, const char *path, int timeout_ms,
	     struct err *err)
{
	uint64_t deadline = clock_deadline(timeout_ms);
	int fd = qmp_connect(path, deadline, err);
	int r;

	*qmp = NULL;
	if (fd < 0) {
		err_wrap(err, "qemu");
		return fd;
	}
	r = qmp_attach(qmp, fd, clock_left_ms(deadline), err);
	if (r >= 0)
		qmp_limit(*qmp, timeout_ms);
	return r;
}

void qmp_limit(struct qmp *qmp, int timeout_ms)
{
	qmp->limit_ms = timeout_ms;
}

void qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return;
	qmp_forget(qmp);
	fd_close(&qmp->fd);
	buf_fini(&qmp->in);
	free(qmp->data);
	free(qmp);
}

void qmp_free(struct qmp **qmp)
{
	qmp_close(*qmp);
	*qmp = NULL;
}
