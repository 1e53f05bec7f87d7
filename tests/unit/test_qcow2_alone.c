/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that would have QEMU open other files than themselves. */
#include "base/fd.h"
#include "machine/qcow2.h"
#include "test.h"
#include <endian.h>
#include <errno.h>
#include <sys/mman.h>

/* As this module writes them. */
static void make_head(uint8_t head[QCOW2_HEAD])
{
	auto_close int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK_INT(qcow2_write_empty(fd, 1 << 20, NULL), 0);
	CHECK_INT(fd_pread_all(fd, head, QCOW2_HEAD, 0, NULL), 0);
}

static void put(uint8_t *at, uint64_t value)
{
	value = htobe64(value);
	memcpy(at, &value, sizeof(value));
}

TEST(stands_alone)
{
	uint8_t head[QCOW2_HEAD];
	uint64_t bytes = 0;

	make_head(head);
	CHECK_INT(qcow2_disk_bytes(head, &bytes), 0);
	CHECK_INT(bytes, 1 << 20);
	CHECK(!qcow2_check_alone(head));
	put(head + 72, 1 << 3 | 1 << 4);
	CHECK(!qcow2_check_alone(head));
}

TEST(data_in_another_file)
{
	uint8_t head[QCOW2_HEAD];

	make_head(head);
	put(head + 72, 1 << 2);
	CHECK(qcow2_check_alone(head));
	head[7] = 2; /* knows no features */
	CHECK(!qcow2_check_alone(head));
}

TEST(another_file_behind)
{
	uint8_t head[QCOW2_HEAD];

	make_head(head);
	put(head + 8, 65536);
	CHECK(qcow2_check_alone(head));
}

TEST(no_disk)
{
	uint8_t head[QCOW2_HEAD];
	uint64_t bytes;

	make_head(head);
	head[0] = 'q';
	CHECK(qcow2_check_alone(head));
	CHECK_INT(qcow2_disk_bytes(head, &bytes), -EBADMSG);
}

TEST_MAIN
