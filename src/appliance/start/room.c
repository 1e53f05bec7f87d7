/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the startup binary, which lives for a millisecond and forks once:
 * it lies in the program itself and is not given back, so that there are no
 * mappings to be made, to be copied by the fork, and to fault at first use.
 * What is large has a mapping of its own, which goes when it is freed.
 *
 * One thread at a time is in here: there is but one. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef __SANITIZE_ADDRESS__

enum { ROOM_BYTES = 32 * 1024, ROOM_MORE = 1 << 20, ROOM_LARGE = 128 * 1024 };

struct room_head {
	size_t len;    /* behind it */
	size_t mapped; /* with it; 0: it lies in the room */
};
#define ROOM_ALIGN sizeof(struct room_head)

static struct {
	char *at, *end;
} room;

static size_t room_round(size_t len)
{
	return (len + ROOM_ALIGN - 1) / ROOM_ALIGN * ROOM_ALIGN;
}

static void *room_map(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static bool room_grow(void)
{
	static _Alignas(ROOM_ALIGN) char first[ROOM_BYTES];
	bool is_first = !room.end;
	char *more = is_first ? first : room_map(ROOM_MORE);

	if (!more)
		return false;
	room.at = more;
	room.end = more + (is_first ? ROOM_BYTES : ROOM_MORE);
	return true;
}

static struct room_head *room_take(size_t len)
{
	struct room_head *head;

	while ((size_t)(room.end - room.at) < sizeof *head + len)
		if (!room_grow())
			return NULL;
	head = (struct room_head *)room.at;
	room.at += sizeof *head + len;
	*head = (struct room_head){ len, 0 };
	return head;
}

static struct room_head *room_large(size_t len)
{
	struct room_head *head = room_map(sizeof *head + len);

	if (head)
		*head = (struct room_head){ len, sizeof *head + len };
	return head;
}

/* What was taken last grows where it is. */
static bool room_widen(struct room_head *head, size_t len)
{
	char *end = (char *)(head + 1) + head->len;

	if (head->mapped || end != room.at || len >= ROOM_LARGE)
		return false;
	len = room_round(len) - head->len;
	if ((size_t)(room.end - room.at) < len)
		return false;
	room.at += len;
	head->len += len;
	return true;
}

void *malloc(size_t len)
{
	struct room_head *head = NULL;

	if (len < PTRDIFF_MAX / 2) {
		len = room_round(len);
		head = len < ROOM_LARGE ? room_take(len) : room_large(len);
	}
	if (!head)
		errno = ENOMEM;
	return head ? head + 1 : NULL;
}

void *calloc(size_t count, size_t len)
{
	size_t all;
	void *at = NULL;

	if (__builtin_mul_overflow(count, len, &all))
		errno = ENOMEM;
	else if ((at = malloc(all)))
		memset(at, 0, all);
	return at;
}

/* What was taken last is given back. */
void free(void *at)
{
	struct room_head *head = (struct room_head *)at - 1;

	if (!at)
		return;
	if (head->mapped)
		munmap(head, head->mapped);
	else if ((char *)at + head->len == room.at)
		room.at = (char *)head;
}

void *realloc(void *at, size_t len)
{
	struct room_head *head = (struct room_head *)at - 1;
	void *other;

	if (at && len <= head->len)
		return at;
	if (at && room_widen(head, len))
		return at;
	other = malloc(len);
	if (at && other) {
		memcpy(other, at, head->len);
		free(at);
	}
	return other;
}

#endif
