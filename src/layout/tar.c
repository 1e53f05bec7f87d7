/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX's ustar, as far as one regular file needs it. */
#include "layout/tar.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TAR_BLOCK = 512, TAR_END_BLOCKS = 2 };

struct tar_head {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8];
	char kind, link[100], magic[6], version[2], user[32], group[32];
	char major[8], minor[8], prefix[155], none[12];
};
_Static_assert(sizeof(struct tar_head) == TAR_BLOCK, "a block");

static void tar_sum(struct tar_head *head)
{
	const unsigned char *at = (const void *)head;
	unsigned int sum = 0;

	memset(head->sum, ' ', sizeof head->sum);
	for (size_t i = 0; i < sizeof *head; i++)
		sum += at[i];
	snprintf(head->sum, sizeof head->sum, "%06o", sum);
}

static void tar_pad(struct buf *out, size_t len)
{
	static const char none[TAR_BLOCK];

	buf_add(out, none, len);
}

int tar_one(const char *name, const void *data, size_t len, struct buf *out,
	    struct err *err)
{
	struct tar_head head = { .kind = '0', .version = { '0', '0' } };

	if (strlen(name) > TAR_NAME_MOST || (uint64_t)len >> 33)
		return err_set(err, -EFBIG, "a tar of %.60s", name);
	memcpy(head.name, name, strlen(name));
	memcpy(head.magic, "ustar", sizeof head.magic);
	snprintf(head.mode, sizeof head.mode, "%07o", 0755);
	snprintf(head.uid, sizeof head.uid, "%07o", 0);
	snprintf(head.gid, sizeof head.gid, "%07o", 0);
	snprintf(head.size, sizeof head.size, "%011lo", (unsigned long)len);
	snprintf(head.mtime, sizeof head.mtime, "%011o", 0);
	tar_sum(&head);
	buf_add(out, &head, sizeof head);
	buf_add(out, data, len);
	tar_pad(out, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
	for (int i = 0; i < TAR_END_BLOCKS; i++)
		tar_pad(out, TAR_BLOCK);
	return out->failed ? err_set(err, -ENOMEM, "a tar of %s", name) : 0;
}
