/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the launch protocol of domains, well-formed and not; and where
 * servers live. */
#include "base/fd.h"
#include "base/file.h"
#include "domain/domain_wire.h"
#include "domain/server_place.h"
#include "test.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

union packet {
	struct domain_wire_head head;
	struct domain_wire_ready ready;
	struct domain_wire_launch launch;
	struct domain_wire_ended ended;
	char bytes[512];
};

/* a, b, C=1 */
static size_t make_launch(union packet *packet)
{
	static const char strings[] = "a\0b\0C=1";
	size_t size = sizeof(packet->launch) + sizeof(strings);

	memset(packet, 0, sizeof(*packet));
	packet->launch = (struct domain_wire_launch){
		.head = domain_wire_head(DOMAIN_WIRE_LAUNCH, size),
		.argc = 2,
		.envc = 1,
		.string_bytes = sizeof(strings),
		.stdio = 5,
	};
	memcpy(packet->launch.strings, strings, sizeof(strings));
	return size;
}

static bool is_launch(const union packet *packet, size_t len, int fds)
{
	return !domain_wire_check(packet, len, fds, DOMAIN_WIRE_LAUNCH);
}

#define WRONG(change, bytes, fds)                           \
	do {                                                \
		size_t len = make_launch(&packet);          \
                                                            \
		change;                                     \
		CHECK(!is_launch(&packet, (bytes), (fds))); \
		(void)len;                                  \
	} while (0)

TEST(a_launch)
{
	union packet packet;
	size_t size = make_launch(&packet);
	char *strings[3];

	CHECK(is_launch(&packet, size, 2));
	domain_wire_strings(&packet.launch, strings);
	CHECK_TEXT(strings[0], "a");
	CHECK_TEXT(strings[1], "b");
	CHECK_TEXT(strings[2], "C=1");
	CHECK_INT(domain_wire_fds(5), 2);
}

TEST(launches_that_are_none)
{
	union packet packet;

	WRONG((void)0, len - 1, 2);
	WRONG((void)0, 15, 2);
	WRONG((void)0, len, 1);
	WRONG((void)0, len, 3);
	WRONG(packet.head.size++, len, 2);
	WRONG(packet.head.size++, len + 1, 2);
	WRONG(packet.head.magic ^= 1, len, 2);
	WRONG(packet.head.version++, len, 2);
	WRONG(packet.head.zero = 1, len, 2);
	WRONG(packet.head.type = DOMAIN_WIRE_ENDED, len, 2);
	WRONG(packet.launch.stdio = 13, len, 3);
	WRONG(packet.launch.argc++, len, 2);
	WRONG(packet.launch.argc--, len, 2);
	WRONG(packet.launch.argc = UINT32_MAX, len, 2);
	WRONG((packet.launch.argc = UINT32_MAX, packet.launch.envc = 4), len,
	      2);
	WRONG(packet.launch.string_bytes++, len, 2);
	WRONG(packet.launch.string_bytes = UINT32_MAX, len, 2);
	WRONG(packet.launch.strings[packet.launch.string_bytes - 1] = 1, len,
	      2);
	WRONG(packet.launch.strings[0] = 0, len, 2);
}

TEST(an_end)
{
	union packet packet = { 0 };
	size_t size = sizeof(packet.ended) + 3;

	packet.ended = (struct domain_wire_ended){
		.head = domain_wire_head(DOMAIN_WIRE_ENDED, size),
		.how = DOMAIN_WIRE_TRAP,
		.text_bytes = 3,
	};
	memcpy(packet.ended.text, "why", 3);
#define IS_END !domain_wire_check(&packet, size, 0, DOMAIN_WIRE_ENDED)
	CHECK(IS_END);
	packet.ended.text[1] = 0;
	CHECK(!IS_END);
	packet.ended.text[1] = 'h';
	packet.ended.how = DOMAIN_WIRE_HOWS;
	CHECK(!IS_END);
	packet.ended.how = 0;
	CHECK(!IS_END);
	packet.ended.how = DOMAIN_WIRE_EXIT;
	packet.ended.text_bytes = 4;
	CHECK(!IS_END);
	packet.ended.text_bytes = UINT32_MAX;
	CHECK(!IS_END);
	packet.ended.text_bytes = 3;
	CHECK(domain_wire_check(&packet, size, 1, DOMAIN_WIRE_ENDED));
	CHECK(IS_END);
}

TEST(ready)
{
	struct domain_wire_ready packet = {
		.head = domain_wire_head(DOMAIN_WIRE_READY, sizeof(packet)),
	};

	CHECK(!domain_wire_check(&packet, sizeof(packet), 0,
				 DOMAIN_WIRE_READY));
	packet.head.size += 8;
	CHECK(domain_wire_check(&packet, sizeof(packet), 0, DOMAIN_WIRE_READY));
	CHECK(domain_wire_check(&packet, sizeof(packet) + 8, 0,
				DOMAIN_WIRE_READY));
}

/* ---- places ----------------------------------------------------------------- */

static int count_place(const struct server_place *place, void *context)
{
	(void)place;
	++*(int *)context;
	return 0;
}

TEST(places)
{
	const char *root = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	auto_free char *folder = file_format("%s/places.%d", root, getpid());
	auto_server_place struct server_place one = { 0 }, two = { 0 };
	auto_buf struct buf answer = { 0 };
	struct err err = { 0 };
	int lock, other, count = 0;

	CHECK_INT(file_private_dir(folder, &err), 0);
	CHECK_INT(server_place_find(folder, "one", &one, &err), 0);
	CHECK_INT(server_place_find(folder, "two", &two, &err), 0);
	CHECK(strcmp(one.folder, two.folder) != 0);
	CHECK(!server_place_is_kept(&one));
	CHECK_INT(server_ask(&one, "status", 100, &answer, NULL),
		  -ECONNREFUSED);
	lock = server_place_take(folder, &one, &err);
	CHECK(lock >= 0);
	CHECK(server_place_is_kept(&one));
	CHECK_INT(server_place_take(folder, &one, &err), -EALREADY);
	CHECK_INT(file_publish(one.live, "", 0, 0600, &err), 0);
	/* What is dead goes when another begins. */
	close(lock);
	CHECK(access(one.live, F_OK) == 0);
	other = server_place_take(folder, &two, &err);
	CHECK(other >= 0);
	CHECK(access(one.folder, F_OK) < 0);
	server_place_each(folder, count_place, &count);
	CHECK_INT(count, 1);
	server_place_leave(&two);
	close(other);
	CHECK_INT(rmdir(folder), 0);
}

TEST_MAIN
