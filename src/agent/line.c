/* SPDX-License-Identifier: Apache-2.0 */
/* The line to the host: a queue towards it, frames from it.  A line that is
 * hung up is tried again after a while, for ever: there is nobody to tell. */
#include "agent/agent.h"
#include <errno.h>
#include <string.h>

void line_init(struct line *line, const char *path)
{
	line->fd = -1;
	line->path = path;
	line->searched = 0;
	line->is_terminal = line->hung = false;
	line->again_ns = line->heard_ns = 0;
	line->from = line->to = line->begun = 0;
	frames_init(&line->in);
}

bool line_is_up(const struct line *line)
{
	return line->fd >= 0 && !line->hung;
}

bool line_try(struct line *line)
{
	uint64_t now = words_now_ns();

	if (line_is_up(line) || now < line->again_ns)
		return false;
	line->hung = false;
	if (line->fd >= 0)
		return false;
	line->fd = port_open(line);
	line->again_ns = now + AGENT_AGAIN_MS * 1000000ull;
	return line->fd >= 0;
}

/* A terminal that was hung up, or a device that is gone, stays so until it
 * is opened again.  What was on its way has no reader; a host that comes
 * begins with a hello.  A virtio port just has nobody at its other end. */
static void line_hang(struct line *line, long result)
{
	line->hung = true;
	line->again_ns = words_now_ns() + AGENT_AGAIN_MS * 1000000ull;
	if (!line->is_terminal && result == 0)
		return;
	raw_1(close, line->fd);
	line->fd = -1;
	line->from = line->to = line->begun = 0;
	frames_init(&line->in);
}

static bool line_is_over(long result)
{
	return result == 0 ||
	       (result < 0 && result != -EAGAIN && result != -EINTR);
}

void line_read(struct line *line)
{
	size_t room;
	void *to = frames_room(&line->in, &room);
	long n = room ? raw_3(read, line->fd, to, room) : -EAGAIN;

	if (n > 0) {
		frames_used(&line->in, n);
		line->heard_ns = words_now_ns();
	}
	if (line_is_over(n))
		line_hang(line, n);
}

/* n bytes have gone: where does the frame end that has begun? */
static void line_advance(struct line *line, uint32_t n)
{
	struct agent_frame head;

	while (n) {
		uint32_t step;

		if (!line->begun) {
			memcpy(&head, line->out + line->from, sizeof head);
			line->begun = sizeof head + head.bytes;
		}
		step = n < line->begun ? n : line->begun;
		line->begun -= step;
		line->from += step;
		n -= step;
	}
	if (line->from == line->to)
		line->from = line->to = 0;
}

void line_write(struct line *line)
{
	long n;

	if (line->from == line->to)
		return;
	n = raw_3(write, line->fd, line->out + line->from,
		  line->to - line->from);
	if (n > 0)
		line_advance(line, n);
	if (line_is_over(n))
		line_hang(line, n);
}

void line_forget(struct line *line)
{
	line->to = line->from + line->begun;
}

uint32_t line_room(const struct line *line)
{
	return AGENT_OUT - (line->to - line->from);
}

/* The free end of the queue, of at least len bytes: there is the room. */
static uint8_t *line_end(struct line *line, uint32_t len)
{
	if (AGENT_OUT - line->to < len) {
		memmove(line->out, line->out + line->from,
			line->to - line->from);
		line->to -= line->from;
		line->from = 0;
	}
	return line->out + line->to;
}

void line_send(struct line *line, enum agent_kind kind, uint32_t id,
	       const void *payload, uint32_t bytes)
{
	struct agent_frame head;
	uint8_t *end;

	if (line_room(line) < sizeof head + bytes)
		return;
	end = line_end(line, sizeof head + bytes);
	frames_head(&head, kind, id, payload, bytes);
	memcpy(end, &head, sizeof head);
	memcpy(end + sizeof head, payload, bytes);
	line->to += sizeof head + bytes;
}

long line_send_from(struct line *line, enum agent_kind kind, uint32_t id,
		    int fd)
{
	struct agent_frame head;
	uint8_t *end;
	long n;

	if (line_room(line) < FRAMES_MOST + AGENT_ANSWERS)
		return -ENOBUFS;
	end = line_end(line, FRAMES_MOST);
	n = raw_3(read, fd, end + sizeof head, AGENT_MOST);
	if (n <= 0)
		return n;
	frames_head(&head, kind, id, end + sizeof head, n);
	memcpy(end, &head, sizeof head);
	line->to += sizeof head + n;
	return n;
}
