/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU that runs machines: the one that BROOD_QEMU names, or
 * qemu-system-x86_64 in PATH. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

struct qemu {
	char *path; /* without links */
	struct file_stamp stamp;
	int major, minor, micro;
	char version[120]; /* "7.2.22 (Debian ...)", printable */
};

/* What its version is was asked once and is kept, as this memo: so this is
 * quick. */
#define QEMU_MEMO "qemu"
int qemu_find(struct qemu *qemu, struct err *err);
void qemu_fini(struct qemu *qemu);
#define auto_qemu __attribute__((cleanup(qemu_fini)))
/* Path and stamp in words: the same as long as it is the same file. */
void qemu_identity(const struct qemu *qemu, struct buf *to);
