/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a QEMU says: what is taken as an answer or an event is
 * whole JSON, what fails says why, and no wait is left open.  An odd first
 * byte puts a right greeting in front. */
#include "base/fd.h"
#include "base/json.h"
#include "machine/qmp.h"
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

static void use_command(struct qmp *qmp)
{
	auto_buf struct buf reply = { 0 };
	struct err err = { 0 };
	int r = qmp_command(qmp, "query-status", NULL, &reply, &err);

	require(r >= 0 || strncmp(err.text, "qemu: query-status: ", 20) == 0);
	require(r < 0 || json_check(reply.data, reply.len, NULL) >= 0);
}

static void use_events(struct qmp *qmp)
{
	struct err err = { 0 };
	char name[QMP_NAME_MOST];
	int count = 0;

	while (qmp_event(qmp, NULL, 1000, name, sizeof(name), &err) >= 0) {
		const char *carried = qmp_event_data(qmp);

		require(name[0] && memchr(name, 0, sizeof(name)));
		require(json_check(carried, strlen(carried), NULL) >= 0);
		require(strlen(carried) <= QMP_DATA_MOST);
		count++;
	}
	require(err.text[0] != 0);
	require(count < 100000);
}

static void talk(int socket)
{
	struct err err = { 0 };
	struct qmp *qmp;
	int r = qmp_attach(&qmp, socket, 1000, &err);

	require(r >= 0 ? qmp != NULL : !qmp && err.text[0]);
	if (!qmp)
		return;
	for (int i = 0; i < 3; i++)
		use_command(qmp);
	use_events(qmp);
	qmp_close(qmp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char greeting[] =
		"{\"QMP\": {}}\r\n{\"return\": {}, \"id\": 1}\r\n";
	int ends[2];

	if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return 0;
	if (data[0] & 1)
		require(fd_write_all(ends[1], greeting, sizeof(greeting) - 1,
				     NULL) >= 0);
	require(fd_write_all(ends[1], data + 1, size - 1, NULL) >= 0);
	shutdown(ends[1], SHUT_WR);
	talk(ends[0]);
	close(ends[1]);
	return 0;
}
