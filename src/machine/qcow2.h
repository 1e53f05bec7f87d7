/* SPDX-License-Identifier: Apache-2.0 */
/* The two files of QEMU's own disk format that machines need; version 3 of
 * it, clusters of 64 KiB, all numbers big endian. */
#pragma once
#include "base/err.h"
#include <stdint.h>

/* A disk of so many bytes on which nothing has been written. */
int qcow2_write_empty(int fd, uint64_t disk_bytes, struct err *err);
/* A disk that holds one snapshot: a state of devices.  "name" is the
 * snapshot's. */
int qcow2_write_state(int fd, const char *name, const void *state,
		      uint64_t bytes, struct err *err);
enum { QCOW2_HEAD = 80 };
/* What a disk's header says of its size. */
int qcow2_disk_bytes(const uint8_t head[QCOW2_HEAD], uint64_t *bytes);
/* NULL, or what in it makes QEMU read more than that file. */
const char *qcow2_check_alone(const uint8_t head[QCOW2_HEAD]);
