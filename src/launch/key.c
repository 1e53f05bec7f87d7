/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/key.h"
#include "base/buf.h"
#include "base/hash.h"
#include <errno.h>
#include <string.h>

static void key_add(struct buf *all, const char *part)
{
	buf_add(all, part, strlen(part) + 1);
}

int key_make(const struct key_parts *parts, char key[17])
{
	auto_buf struct buf all = { 0 };

	key_add(&all, parts->name ? parts->name : "");
	key_add(&all, parts->program);
	key_add(&all, parts->stop ? parts->stop : "main");
	for (int i = 0; i < parts->argc; i++)
		key_add(&all, parts->argv[i]);
	if (all.failed)
		return -ENOMEM;
	hash_hex(hash64(all.data, all.len), key);
	return 0;
}
