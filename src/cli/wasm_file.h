/* SPDX-License-Identifier: Apache-2.0 */
/* A module as the user names it: a file, or "-" for standard input, in bytes
 * or as text.  It is read whole, so that a file that changes later changes
 * nothing here; what begins like no module is refused at its first bytes. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

/* As a module's bytes: text is translated. */
int wasm_file_read_module(const char *path, struct buf *bytes, struct err *err);

/* The same in two steps: the file, -1 for standard input, and its bytes.  It
 * is closed, and -1, where they are not the module's.  The stamp is from
 * before they were read. */
struct wasm_file {
	int fd;
	struct file_stamp stamp;
};
int wasm_file_open(const char *path, struct wasm_file *file, struct err *err);
int wasm_file_read_from(const char *path, struct buf *bytes,
			struct wasm_file *file, struct err *err);
