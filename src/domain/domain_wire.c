/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that says what a well-formed packet is; both ends ask it
 * about all that they receive. */
#include "domain/domain_wire.h"
#include <string.h>

struct domain_wire_head domain_wire_head(enum domain_wire_type type,
					 size_t size)
{
	return (struct domain_wire_head){
		.magic = DOMAIN_WIRE_MAGIC,
		.version = DOMAIN_WIRE_VERSION,
		.type = (uint16_t)type,
		.size = (uint32_t)size,
	};
}

int domain_wire_fds(uint32_t stdio)
{
	return __builtin_popcount(stdio & 7);
}

static uint32_t wire_count_strings(const char *strings, size_t len)
{
	uint32_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += strings[i] == 0;
	return count;
}

static const char *wire_check_launch(const struct domain_wire_launch *launch,
				     size_t len, int fd_count)
{
	if (len < sizeof(*launch))
		return "a packet too short";
	if (launch->stdio & ~7u || fd_count != domain_wire_fds(launch->stdio))
		return "another number of descriptors than announced";
	if (launch->string_bytes > DOMAIN_WIRE_STRINGS_MOST ||
	    len - sizeof(*launch) != launch->string_bytes)
		return "a wrong size";
	if (launch->argc > launch->string_bytes ||
	    launch->envc > launch->string_bytes)
		return "a wrong number of arguments";
	if (launch->string_bytes && launch->strings[launch->string_bytes - 1])
		return "a string without end";
	if (wire_count_strings(launch->strings, launch->string_bytes) !=
	    launch->argc + launch->envc)
		return "a wrong number of arguments";
	return NULL;
}

static const char *wire_check_ended(const struct domain_wire_ended *ended,
				    size_t len)
{
	if (len < sizeof(*ended))
		return "a packet too short";
	if (ended->text_bytes > DOMAIN_WIRE_TEXT_MOST ||
	    len - sizeof(*ended) != ended->text_bytes || ended->zero)
		return "a wrong size";
	if (ended->how < DOMAIN_WIRE_EXIT || ended->how >= DOMAIN_WIRE_HOWS)
		return "an unknown end";
	if (memchr(ended->text, 0, ended->text_bytes))
		return "words with a 0 byte";
	return NULL;
}

const char *domain_wire_check(const void *packet, size_t len, int fd_count,
			      enum domain_wire_type type)
{
	const struct domain_wire_head *head = packet;

	if (len < sizeof(*head))
		return "a packet too short";
	if (head->magic != DOMAIN_WIRE_MAGIC)
		return "not a packet of this protocol";
	if (head->version != DOMAIN_WIRE_VERSION)
		return "another version of the protocol";
	if (head->type != type || head->zero)
		return "a packet of another type";
	if (head->size != len)
		return "a wrong size";
	if (type == DOMAIN_WIRE_LAUNCH)
		return wire_check_launch(packet, len, fd_count);
	if (fd_count)
		return "unexpected descriptors";
	if (type == DOMAIN_WIRE_ENDED)
		return wire_check_ended(packet, len);
	return len == sizeof(struct domain_wire_ready) ? NULL : "a wrong size";
}

void domain_wire_strings(struct domain_wire_launch *launch, char **strings)
{
	char *at = launch->strings;

	for (uint32_t i = 0; i < launch->argc + launch->envc; i++) {
		strings[i] = at;
		at += strlen(at) + 1;
	}
}
