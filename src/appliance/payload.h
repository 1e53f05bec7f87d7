/* SPDX-License-Identifier: Apache-2.0 */
/* A payload's bytes: an image whose name is its SHA-256.  It is hashed when
 * this host meets the file for the first time since it was booted, and again
 * whenever the file's stamp has changed. */
#pragma once
#include "appliance/record.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* Called after each part of the work; false: give up (-ECANCELED). */
typedef bool payload_tick(void *context);

int payload_digest(int fd, const char *path, uint64_t bytes, payload_tick *tick,
		   void *context, char hex[RECORD_HEX + 1], struct err *err);
/* The same bytes, or -EBADMSG: whatever the source does meanwhile. */
int payload_copy(int from, int to, const char *hex, uint64_t bytes,
		 payload_tick *tick, void *context, struct err *err);
/* 1: the stamp says that it was found right, as it is now; 0: it does not. */
int payload_is_known(const char *path, const char *hex, uint64_t bytes,
		     const char *stamp, struct err *err);
/* -EBADMSG: it is another one, or was cut or changed.  stamp: a file that
 * tells what was found right; NULL: it is hashed in any case.  Returns 1 where
 * the stamp said so, 0 where it was hashed. */
int payload_verify(const char *path, const char *hex, uint64_t bytes,
		   const char *stamp, payload_tick *tick, void *context,
		   struct err *err);
/* Regular, or a block device that is long enough; opened to be read. */
int payload_open(const char *path, uint64_t bytes, struct err *err);
