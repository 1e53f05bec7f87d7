/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads as folders: an image is mounted once for a host, read-only, and
 * all instances use that one mount.  The image's pages are in memory once:
 * the mount reads past the cache of the file below where it can. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

/* image: a file or a block device.  at: an empty folder. */
int mount_image(const char *image, const char *at, struct err *err);
/* Is an image mounted there? */
bool mount_is(const char *at);
/* -EBUSY as long as somebody uses it. */
int mount_end(const char *at, struct err *err);
/* Who uses it goes on with it; nobody else finds it. */
int mount_detach(const char *at, struct err *err);
