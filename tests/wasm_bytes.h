/* SPDX-License-Identifier: Apache-2.0 */
/* WebAssembly modules that tests make byte by byte. */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
	uint8_t *at;
	size_t len, room;
};

static inline void put(struct bytes *bytes, const void *from, size_t len)
{
	if (bytes->len + len > bytes->room) {
		bytes->room = 2 * (bytes->len + len);
		bytes->at = realloc(bytes->at, bytes->room);
		if (!bytes->at)
			abort();
	}
	if (len)
		memcpy(bytes->at + bytes->len, from, len);
	bytes->len += len;
}

#define PUT(to, ...)                              \
	put(to, (const uint8_t[]){ __VA_ARGS__ }, \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

static inline void put_times(struct bytes *bytes, size_t times,
			     const void *from, size_t len)
{
	while (times--)
		put(bytes, from, len);
}

static inline void put_number(struct bytes *bytes, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		PUT(bytes, (uint8_t)(number | 0x80));
	PUT(bytes, (uint8_t)number);
}

static inline void put_name(struct bytes *bytes, const char *name)
{
	put_number(bytes, strlen(name));
	put(bytes, name, strlen(name));
}

/* The content goes with its length; it is empty then. */
static inline void put_sized(struct bytes *bytes, struct bytes *content)
{
	put_number(bytes, content->len);
	put(bytes, content->at, content->len);
	free(content->at);
	*content = (struct bytes){ 0 };
}

static inline void put_section(struct bytes *bytes, uint8_t id,
			       struct bytes *content)
{
	PUT(bytes, id);
	put_sized(bytes, content);
}

#define SECTION(to, id, ...)                    \
	do {                                    \
		struct bytes content_ = { 0 };  \
		PUT(&content_, __VA_ARGS__);    \
		put_section(to, id, &content_); \
	} while (0)

static inline struct bytes bytes_module(void)
{
	struct bytes bytes = { 0 };

	PUT(&bytes, 0, 'a', 's', 'm', 1, 0, 0, 0);
	return bytes;
}

/* The section "code" with one body, which is taken over. */
static inline void put_code(struct bytes *bytes, struct bytes *body)
{
	struct bytes code = { 0 };

	put_number(&code, 1);
	put_sized(&code, body);
	put_section(bytes, 10, &code);
}

/* One function of that type without parameters and results, number 0. */
static inline struct bytes bytes_function(struct bytes *body)
{
	struct bytes bytes = bytes_module();

	SECTION(&bytes, 1, 1, 0x60, 0, 0);
	SECTION(&bytes, 3, 1, 0);
	put_code(&bytes, body);
	return bytes;
}
