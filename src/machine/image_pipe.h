/* SPDX-License-Identifier: Apache-2.0 */
/* The system's programs that pack and unpack: "zstd", "gzip", "xz". */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <sys/types.h>

/* The program's path, malloced; NULL: it is not there. */
char *image_pipe_find(const char *program);
/* Unpacks a file by "PROGRAM -dc". */
int image_pipe_unpack(const char *program, const char *path, struct buf *to,
		      struct err *err);
/* Starts "PROGRAM OPTION..." from a pipe into "out"; *in is where to write
 * to.  Nobody's SIGPIPE: the caller blocks it. */
pid_t image_pipe_start(const char *const *argv, int out, int *in,
		       struct err *err);
/* Its end: 0 if it says that all is well. */
int image_pipe_end(pid_t pid, const char *program, struct err *err);
