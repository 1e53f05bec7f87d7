/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a packet of the launch protocol, whatever type is awaited:
 * what is accepted has its strings and descriptors within bounds.  The first
 * two bytes say how many descriptors came and which type is awaited. */
#include "bare/wire_check.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

/* As a copy points argv and envp at the strings. */
static void use_strings(const struct wire_launch *launch, size_t len)
{
	const char *string = launch->strings, *end = string + len;

	if (wire_check_strings(string, len, launch->argc, launch->envc))
		return;
	for (uint64_t i = 0; i < (uint64_t)launch->argc + launch->envc; i++) {
		require(string < end);
		string += strlen(string) + 1;
	}
	require(string == end);
}

static void use_launch(const struct wire_launch *launch, int fd_count)
{
	int passed = 1 + (launch->flags & WIRE_STRINGS_IN_FILE);

	require(launch->fd_count <= WIRE_FD_MOST);
	require((int)launch->fd_count + passed == fd_count);
	for (uint32_t i = 1; i < launch->fd_count; i++)
		require(launch->fd_number[i] > launch->fd_number[i - 1]);
	if (!(launch->flags & WIRE_STRINGS_IN_FILE))
		use_strings(launch, launch->head.size - sizeof *launch);
}

static void use(const void *packet, int fd_count, enum wire_type type)
{
	if (type == WIRE_LAUNCH)
		use_launch(packet, fd_count);
	if (type == WIRE_REFUSED)
		require(strlen(((const struct wire_refused *)packet)->reason) <
			WIRE_TEXT_MOST);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *packet;
	int fd_count;
	enum wire_type type;

	if (size < 2)
		return 0;
	fd_count = data[0];
	type = data[1] % 8;
	packet = malloc(size - 2 ? size - 2 : 1);
	if (!packet)
		return 0;
	memcpy(packet, data + 2, size - 2);
	if (!wire_check(packet, size - 2, fd_count, type))
		use(packet, fd_count, type);
	free(packet);
	return 0;
}
