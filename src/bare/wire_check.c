/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that says what a well-formed packet is. */
#include "bare/wire_check.h"
#include <string.h>

static const char *wire_check_launch(const struct wire_launch *launch,
				     size_t len, int fd_count)
{
	uint32_t passed = launch->fd_count;
	int32_t last = -1;

	if (launch->flags & ~WIRE_STRINGS_IN_FILE || launch->zero)
		return "unknown flags";
	if (launch->fd_count > WIRE_FD_MOST)
		return "too many descriptors";
	passed += 1 + !!(launch->flags & WIRE_STRINGS_IN_FILE);
	if (fd_count < 0 || passed != (uint32_t)fd_count)
		return "another number of descriptors than announced";
	for (uint32_t i = 0; i < launch->fd_count; i++) {
		if (launch->fd_number[i] <= last ||
		    launch->fd_number[i] > 1 << 20)
			return "descriptor numbers out of order";
		last = launch->fd_number[i];
	}
	if (launch->argc < 1 || launch->argc > WIRE_STRINGS_MOST ||
	    launch->envc > WIRE_STRINGS_MOST)
		return "a wrong number of arguments";
	if (launch->string_bytes > WIRE_STRINGS_MOST)
		return "too long arguments";
	if (launch->flags & WIRE_STRINGS_IN_FILE)
		return len == sizeof *launch ? NULL : "a wrong size";
	return len - sizeof *launch == launch->string_bytes ? NULL
							    : "a wrong size";
}

static size_t wire_size(enum wire_type type)
{
	switch (type) {
	case WIRE_ASK: return sizeof(struct wire_ask);
	case WIRE_STATE: return sizeof(struct wire_state);
	case WIRE_LAUNCH: return sizeof(struct wire_launch);
	case WIRE_STARTED: return sizeof(struct wire_started);
	case WIRE_EXITED: return sizeof(struct wire_exited);
	case WIRE_REFUSED: return sizeof(struct wire_refused);
	}
	return 0;
}

const char *wire_check(const void *packet, size_t len, int fd_count,
		       enum wire_type type)
{
	const struct wire_head *head = packet;
	size_t size = wire_size(type);

	if (len < sizeof *head)
		return "a packet too short";
	if (head->magic != WIRE_MAGIC)
		return "not a packet of this protocol";
	if (head->version != WIRE_VERSION)
		return "another version of the protocol";
	if (head->type != type || !size)
		return "a packet of another type";
	if (head->size != len || len < size)
		return "a wrong size";
	if (type == WIRE_LAUNCH)
		return wire_check_launch(packet, len, fd_count);
	if (len != size)
		return "a wrong size";
	if (fd_count != (type == WIRE_STARTED))
		return "unexpected descriptors";
	if (type == WIRE_REFUSED &&
	    !memchr(((const struct wire_refused *)packet)->reason, 0,
		    WIRE_TEXT_MOST))
		return "a reason without end";
	return NULL;
}

const char *wire_check_strings(const char *strings, size_t len, uint32_t argc,
			       uint32_t envc)
{
	uint64_t count = 0;

	if (len == 0 || strings[len - 1] != 0)
		return "arguments without end";
	for (size_t i = 0; i < len; i++)
		count += strings[i] == 0;
	if (count != (uint64_t)argc + envc)
		return "another number of arguments than announced";
	return NULL;
}
