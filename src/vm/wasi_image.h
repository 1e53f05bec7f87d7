/* SPDX-License-Identifier: Apache-2.0 */
/* An image of files (EROFS) that a guest is granted as a folder in which
 * nothing changes.  It is opened once and looked through whole; whoever serves
 * it reads it where it is mapped, and believes none of it still. */
#pragma once
#include "base/err.h"
#include <stdint.h>

enum { WASI_IMAGE_DIGEST = 32 };

struct wasi_image {
	int fd; /* -1: there is none */
	uint64_t bytes;
	const char *guest; /* the folder's name; the caller's */
};
#define WASI_IMAGE_NONE ((struct wasi_image){ .fd = -1 })

/* A regular file or a block device, trusted by its owner and mode, that passes
 * erofs_check.  -ENOENT where there is none. */
int wasi_image_open(struct wasi_image *image, const char *path,
		    const char *guest, struct err *err);
void wasi_image_close(struct wasi_image *image);
/* SHA-256 of its bytes. */
int wasi_image_digest(const struct wasi_image *image,
		      uint8_t digest[WASI_IMAGE_DIGEST], struct err *err);
