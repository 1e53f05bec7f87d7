/* SPDX-License-Identifier: Apache-2.0 */
/* Files are written cluster by cluster:
 *
 *	0	header
 *	1	table of blocks of reference counts: one
 *	2	that block: each cluster is used once
 *	3 ..	table of the first level
 *
 * and in one with a state, whose disk has one cluster, behind that
 *
 *	4	table of snapshots: one
 *	5	its table of the first level: an entry for the disk, then one
 *		for the state
 *	6	its table of the second level
 *	7 ..	the state */
#include "machine/qcow2.h"
#include "base/fd.h"
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	QCOW2_CLUSTER = 65536,
	QCOW2_ENTRIES = QCOW2_CLUSTER / 8,
	QCOW2_COUNTS = QCOW2_CLUSTER / 2,
	QCOW2_STATE_AT = 7,
	QCOW2_EXTRA = 24,	  /* bytes of a snapshot's newer fields */
	QCOW2_DATA_FILE = 1 << 2, /* among the features */
};

static void put16(uint8_t *at, uint16_t value)
{
	value = htobe16(value);
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	value = htobe64(value);
	memcpy(at, &value, sizeof(value));
}

/* Header, counts: the first three clusters of "data". */
static void qcow2_begin(uint8_t *data, uint64_t disk_bytes, uint32_t entries,
			uint64_t clusters)
{
	memcpy(data, "QFI\xfb", 4);
	put32(data + 4, 3);   /* version */
	put32(data + 20, 16); /* bits of a cluster's length */
	put64(data + 24, disk_bytes);
	put32(data + 36, entries);	     /* of the first level, */
	put64(data + 40, 3 * QCOW2_CLUSTER); /* and where they are */
	put64(data + 48, QCOW2_CLUSTER);     /* counts, */
	put32(data + 56, 1);		     /* and their clusters */
	put32(data + 96, 4);		     /* 2^4 bits a count */
	put32(data + 100, 104);		     /* bytes of the header */
	put64(data + QCOW2_CLUSTER, 2 * QCOW2_CLUSTER);
	for (uint64_t i = 0; i < clusters; i++)
		put16(data + 2 * QCOW2_CLUSTER + 2 * i, 1);
}

static int qcow2_write(int fd, const void *data, uint64_t bytes,
		       uint64_t clusters, struct err *err)
{
	int rc = fd_pwrite_all(fd, data, bytes, 0, err);

	if (rc >= 0 && ftruncate(fd, (off_t)(clusters * QCOW2_CLUSTER)) < 0)
		rc = err_set(err, -errno, "write a disk");
	return rc < 0 ? rc : 0;
}

int qcow2_write_empty(int fd, uint64_t disk_bytes, struct err *err)
{
	uint64_t covered = (uint64_t)QCOW2_CLUSTER * QCOW2_ENTRIES;
	uint64_t entries = disk_bytes / covered + (disk_bytes % covered != 0);
	uint64_t clusters =
		3 + (entries ? (entries - 1) / QCOW2_ENTRIES : 0) + 1;
	auto_free uint8_t *data = calloc(3, QCOW2_CLUSTER);

	if (!data)
		return err_set(err, -ENOMEM, "write a disk");
	if (clusters > QCOW2_COUNTS)
		return err_set(err, -EFBIG, "a disk of %lu bytes",
			       (unsigned long)disk_bytes);
	qcow2_begin(data, disk_bytes, entries ? (uint32_t)entries : 1,
		    clusters);
	return qcow2_write(fd, data, 3 * QCOW2_CLUSTER, clusters, err);
}

static void qcow2_put_snapshot(uint8_t *at, const char *name, uint64_t bytes)
{
	size_t len = strlen(name);

	put64(at, 5 * QCOW2_CLUSTER); /* its table of the first level */
	put32(at + 8, 2);
	put16(at + 12, 1); /* length of its id, of its name */
	put16(at + 14, (uint16_t)len);
	put32(at + 32, bytes > UINT32_MAX ? 0 : (uint32_t)bytes);
	put32(at + 36, QCOW2_EXTRA);
	put64(at + 40, bytes);
	put64(at + 48, QCOW2_CLUSTER); /* of its disk */
	put64(at + 56, UINT64_MAX);    /* no count of instructions */
	at[64] = '1';
	memcpy(at + 65, name, len);
}

int qcow2_write_state(int fd, const char *name, const void *state,
		      uint64_t bytes, struct err *err)
{
	uint64_t used = bytes / QCOW2_CLUSTER + (bytes % QCOW2_CLUSTER != 0);
	uint64_t clusters = QCOW2_STATE_AT + used;
	auto_free uint8_t *data = NULL;

	if (used > QCOW2_ENTRIES || strlen(name) > 64)
		return err_set(err, -EFBIG, "a state of %lu bytes",
			       (unsigned long)bytes);
	data = calloc(clusters, QCOW2_CLUSTER);
	if (!data)
		return err_set(err, -ENOMEM, "write a state");
	qcow2_begin(data, QCOW2_CLUSTER, 2, clusters);
	put32(data + 60, 1); /* snapshots, */
	put64(data + 64, 4 * QCOW2_CLUSTER);
	qcow2_put_snapshot(data + 4 * QCOW2_CLUSTER, name, bytes);
	put64(data + 5 * QCOW2_CLUSTER + 8, 6 * QCOW2_CLUSTER);
	for (uint64_t i = 0; i < used; i++)
		put64(data + 6 * QCOW2_CLUSTER + 8 * i,
		      (QCOW2_STATE_AT + i) * QCOW2_CLUSTER);
	memcpy(data + QCOW2_STATE_AT * QCOW2_CLUSTER, state, bytes);
	return qcow2_write(fd, data, clusters * QCOW2_CLUSTER, clusters, err);
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return be64toh(value);
}

int qcow2_disk_bytes(const uint8_t head[QCOW2_HEAD], uint64_t *bytes)
{
	if (memcmp(head, "QFI\xfb", 4) != 0)
		return -EBADMSG;
	*bytes = get64(head + 24);
	return 0;
}

/* A header can name any file of this user's: to lie behind the disk, or to
 * hold its data. */
const char *qcow2_check_alone(const uint8_t head[QCOW2_HEAD])
{
	if (memcmp(head, "QFI\xfb", 4) != 0)
		return "it is no qcow2 file";
	if (get64(head + 8))
		return "it has another file behind it";
	/* Version 2 has no features there. */
	if (memcmp(head + 4, "\0\0\0\2", 4) != 0 &&
	    get64(head + 72) & QCOW2_DATA_FILE)
		return "its data are in another file";
	return NULL;
}
