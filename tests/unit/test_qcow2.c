/* SPDX-License-Identifier: Apache-2.0 */
/* The disks that are written for QEMU, walked through as QEMU's words on the
 * format tell it: every cluster that is used is counted once, and no other. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "machine/qcow2.h"
#include "test.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLUSTER UINT64_C(65536)

struct disk {
	int fd;
	const uint8_t *at;
	uint64_t bytes, clusters, l1_entries, counted;
	uint8_t *used; /* one a cluster */
};

static uint64_t get64(const struct disk *disk, uint64_t at)
{
	uint64_t value = 0;

	CHECK(at + 8 <= disk->bytes);
	if (at + 8 <= disk->bytes)
		memcpy(&value, disk->at + at, 8);
	return be64toh(value);
}

static uint32_t get32(const struct disk *disk, uint64_t at)
{
	return (uint32_t)(get64(disk, at - at % 8) >> (at % 8 ? 0 : 32));
}

static uint32_t count_of(const struct disk *disk, uint64_t cluster)
{
	uint64_t table = get64(disk, 48);
	uint64_t block = get64(disk, table + cluster / (CLUSTER / 2) * 8);
	uint64_t at = block + cluster % (CLUSTER / 2) * 2;

	return block ? disk->at[at] << 8 | disk->at[at + 1] : 0;
}

static void use(struct disk *disk, uint64_t at, uint64_t bytes)
{
	CHECK(at % CLUSTER == 0 && at < disk->bytes);
	for (uint64_t i = at / CLUSTER;
	     i < (at + bytes + CLUSTER - 1) / CLUSTER && i < disk->clusters;
	     i++) {
		CHECK_INT(disk->used[i], 0);
		disk->used[i] = 1;
		CHECK_INT(count_of(disk, i), 1);
		disk->counted++;
	}
}

static bool disk_open(struct disk *disk, int fd)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	*disk = (struct disk){ .fd = fd, .bytes = (uint64_t)st.st_size };
	disk->clusters = disk->bytes / CLUSTER;
	disk->used = calloc(disk->clusters + 1, 1);
	disk->at = mmap(NULL, disk->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(disk->at != MAP_FAILED && disk->bytes % CLUSTER == 0);
	return disk->at != MAP_FAILED && disk->used;
}

static void disk_close(struct disk *disk)
{
	munmap((void *)(uintptr_t)disk->at, disk->bytes);
	free(disk->used);
	close(disk->fd);
}

/* All that is not the state's. */
static void check_head(struct disk *disk, uint64_t bytes)
{
	uint64_t entries =
		(bytes + CLUSTER * CLUSTER / 8 - 1) / (CLUSTER * CLUSTER / 8);

	CHECK(memcmp(disk->at, "QFI\xfb", 4) == 0);
	CHECK_INT(get32(disk, 4), 3);
	CHECK_INT(get64(disk, 8), 0); /* no backing file */
	CHECK_INT(get32(disk, 20), 16);
	CHECK_INT(get64(disk, 24), (long long)bytes);
	CHECK_INT(get32(disk, 32), 0); /* not encrypted */
	disk->l1_entries = get32(disk, 36);
	CHECK(disk->l1_entries >= entries);
	CHECK_INT(get64(disk, 72), 0); /* no features */
	CHECK_INT(get64(disk, 80), 0);
	CHECK_INT(get32(disk, 96), 4);
	CHECK_INT(get32(disk, 100), 104);
	use(disk, 0, 104);
	use(disk, get64(disk, 48), get32(disk, 56) * CLUSTER);
	use(disk, get64(disk, get64(disk, 48)), CLUSTER);
	use(disk, get64(disk, 40), disk->l1_entries * 8);
}

static void check_counts(const struct disk *disk)
{
	uint64_t all = 0;

	for (uint64_t i = 0; i < CLUSTER / 2; i++)
		all += count_of(disk, i);
	CHECK_INT((long long)all, (long long)disk->clusters);
}

/* By QEMU's own tool, where it is. */
static bool check_by_tool(int fd)
{
	auto_free char *tool = process_find_in_path("qemu-img", getenv("PATH"));
	auto_free char *path = file_format("/proc/self/fd/%d", fd);
	const char *argv[] = { "qemu-img", "check", "-f", "qcow2", path, NULL };
	const struct process_plan plan = {
		.path = tool,
		.argv = (char *const *)(uintptr_t)argv,
		.fds = { -1, -1, -1 },
		.keep = &fd,
		.keep_count = 1,
	};
	int status = -1;
	pid_t pid = tool ? process_start(&plan, NULL) : -1;

	if (pid < 0)
		return false;
	CHECK_INT(process_wait(pid, 20000, &status), 0);
	CHECK_INT(status, 0);
	return true;
}

TEST(nothing_written)
{
	static const uint64_t sizes[] = { 0,
					  512,
					  65536,
					  3 << 20,
					  1 << 29,
					  (1 << 29) + 512,
					  UINT64_C(1) << 40,
					  UINT64_C(1) << 44 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint8_t head[QCOW2_HEAD];
		uint64_t bytes = 1;
		struct disk disk;
		int fd = memfd_create("disk", MFD_CLOEXEC);

		CHECK_INT(qcow2_write_empty(fd, sizes[i], NULL), 0);
		CHECK(pread(fd, head, 32, 0) == 32);
		CHECK_INT(qcow2_disk_bytes(head, &bytes), 0);
		CHECK(bytes == sizes[i]);
		if (!disk_open(&disk, fd))
			return;
		check_head(&disk, sizes[i]);
		check_counts(&disk);
		for (uint64_t k = 0; k < disk.l1_entries; k++)
			CHECK_INT(get64(&disk, get64(&disk, 40) + 8 * k), 0);
		check_by_tool(fd);
		disk_close(&disk);
	}
}

TEST(too_large)
{
	struct err err = { 0 };
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK_INT(qcow2_write_empty(fd, UINT64_MAX, &err), -EFBIG);
	CHECK(err.text[0] != 0);
	close(fd);
}

TEST(a_state)
{
	static const uint64_t sizes[] = { 1,	 65535,	 65536,
					  65537, 300000, 20 << 20 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t bytes = sizes[i], snapshot, l1, l2, done = 0;
		auto_free uint8_t *state = malloc(bytes);
		int fd = memfd_create("disk", MFD_CLOEXEC);
		struct disk disk;

		for (uint64_t k = 0; k < bytes; k++)
			state[k] = (uint8_t)(k * 7 + k / 251);
		CHECK_INT(qcow2_write_state(fd, "name", state, bytes, NULL), 0);
		if (!disk_open(&disk, fd))
			return;
		check_head(&disk, CLUSTER);
		CHECK_INT(get32(&disk, 60), 1);
		snapshot = get64(&disk, 64);
		use(&disk, snapshot, 100);
		l1 = get64(&disk, snapshot);
		CHECK_INT(get32(&disk, snapshot + 8), 2);
		use(&disk, l1, 16);
		CHECK_INT(get64(&disk, l1), 0);
		l2 = get64(&disk, l1 + 8) & ~(UINT64_C(1) << 63);
		use(&disk, l2, CLUSTER);
		for (uint64_t k = 0; done < bytes; k++) {
			uint64_t at =
				get64(&disk, l2 + 8 * k) & ~(UINT64_C(1) << 63);
			uint64_t len =
				bytes - done < CLUSTER ? bytes - done : CLUSTER;

			use(&disk, at, CLUSTER);
			CHECK(memcmp(disk.at + at, state + done, len) == 0);
			done += len;
		}
		CHECK(disk.counted == disk.clusters);
		check_counts(&disk);
		check_by_tool(fd);
		disk_close(&disk);
	}
}

TEST(a_state_that_is_too_large)
{
	static const char name[] = "0123456789012345678901234567890123456789"
				   "0123456789012345678901234567890";
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK_INT(qcow2_write_state(fd, "x", "", UINT64_C(1) << 30, NULL),
		  -EFBIG);
	CHECK_INT(qcow2_write_state(fd, "x", "", UINT64_MAX, NULL), -EFBIG);
	CHECK_INT(qcow2_write_state(fd, name, "", 1, NULL), -EFBIG);
	close(fd);
}

TEST(no_disk)
{
	uint8_t head[QCOW2_HEAD] = "QFI";
	uint64_t bytes;

	CHECK_INT(qcow2_disk_bytes(head, &bytes), -EBADMSG);
}

TEST(by_qemu_img)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK_INT(qcow2_write_empty(fd, 1 << 20, NULL), 0);
	if (!check_by_tool(fd))
		test_skipped = "there is no qemu-img: walked through by hand "
			       "alone";
	close(fd);
}

TEST_MAIN
