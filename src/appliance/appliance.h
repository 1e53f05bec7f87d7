/* SPDX-License-Identifier: Apache-2.0 */
/* An appliance: one device that has an application, its manifest, and the
 * installer and startup binary that go with it.  A folder, an image file, or
 * a block device with an image on it.			CLAIM 4.3 4.4
 *
 * It is looked through whole before anything is taken from it: what is wrong
 * with it is told, and nothing was written. */
#pragma once
#include "appliance/payload.h"
#include "appliance/record.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/progress.h"
#include "erofs/check.h"
#include "erofs/source.h"

struct appliance {
	int fd; /* of the image; of a folder one was made */
	char *path;
	bool is_folder;
	struct erofs erofs;
	struct erofs_totals totals;
	uint64_t bytes;
	char hex[RECORD_HEX + 1];
	struct buf record_text;
	struct record record;
};
#define APPLIANCE_NONE ((struct appliance){ .fd = -1 })

int appliance_open(const char *path, struct progress *progress,
		   struct appliance *appliance, struct err *err);
/* Of an image that is open already; takes fd. */
int appliance_adopt(int fd, const char *name, struct progress *progress,
		    struct appliance *appliance, struct err *err);
void appliance_close(struct appliance *appliance);
#define auto_appliance __attribute__((cleanup(appliance_close)))
/* A file in it, of at most so much; -ENOENT. */
int appliance_read(const struct appliance *appliance, const char *path,
		   size_t most, struct buf *out, struct err *err);
/* An unnamed file; goes with its descriptor. */
int appliance_scratch(struct err *err);
