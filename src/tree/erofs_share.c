/* SPDX-License-Identifier: Apache-2.0 */
/* Which items have the same bytes.  Only those that are as long as another
 * are read; what is one file under two names is read once. */
#include "base/fd.h"
#include "base/sha256.h"
#include "tree/erofs_layout.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EROFS_SHARE_PART = 256 << 10 };

_Static_assert(sizeof((struct erofs_item){ 0 }.sum) == SHA256_BYTES, "a sum");

static int erofs_share_order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* As long as each other, then of the same file. */
static int erofs_share_by_size(const void *a, const void *b)
{
	const struct erofs_item *left = *(struct erofs_item *const *)a;
	const struct erofs_item *right = *(struct erofs_item *const *)b;
	int order = erofs_share_order(left->size, right->size);

	if (!order)
		order = erofs_share_order(left->stamp.dev, right->stamp.dev);
	if (!order)
		order = erofs_share_order(left->stamp.ino, right->stamp.ino);
	return order ? order : (left > right) - (left < right);
}

static int erofs_share_by_sum(const void *a, const void *b)
{
	const struct erofs_item *left = *(struct erofs_item *const *)a;
	const struct erofs_item *right = *(struct erofs_item *const *)b;
	int order = memcmp(left->sum, right->sum, sizeof left->sum);

	return order ? order : (left > right) - (left < right);
}

static int erofs_share_read(const struct erofs_item *item, struct sha256 *sha,
			    void *part, struct err *err)
{
	auto_close int fd = erofs_layout_source(item, err);

	for (uint64_t left = item->size; left && fd >= 0;) {
		size_t n = left < EROFS_SHARE_PART ? left : EROFS_SHARE_PART;
		int r = fd_read_all(fd, part, n, err);

		if (r < 0)
			return err_wrap(err, "read %s", item->node->source);
		sha256_add(sha, part, n);
		left -= n;
	}
	return fd < 0 ? fd : 0;
}

static int erofs_share_sum(struct erofs_item *item, void *part, struct err *err)
{
	struct sha256 sha;
	int r = 0;

	sha256_start(&sha);
	if (item->node->source)
		r = erofs_share_read(item, &sha, part, err);
	else
		sha256_add(&sha, item->node->data.data, item->size);
	sha256_end(&sha, item->sum);
	return r;
}

static bool erofs_share_is_one(const struct erofs_item *a,
			       const struct erofs_item *b)
{
	return a->stamp.ino && a->stamp.ino == b->stamp.ino &&
	       a->stamp.dev == b->stamp.dev;
}

/* Of items that are as long as each other. */
static int erofs_share_group(struct erofs_layout *layout,
			     struct erofs_item **item, size_t count, void *part,
			     struct err *err)
{
	size_t first = 0;

	for (size_t i = 0; i < count; i++) {
		int r = 0;

		if (i && erofs_share_is_one(item[i - 1], item[i]))
			memcpy(item[i]->sum, item[i - 1]->sum,
			       sizeof item[i]->sum);
		else
			r = erofs_share_sum(item[i], part, err);
		if (r < 0)
			return r;
	}
	qsort(item, count, sizeof *item, erofs_share_by_sum);
	for (size_t i = 1; i < count; i++)
		if (memcmp(item[first]->sum, item[i]->sum,
			   sizeof item[i]->sum) == 0)
			item[i]->same = (size_t)(item[first] - layout->item);
		else
			first = i;
	return 0;
}

static int erofs_share_all(struct erofs_layout *layout,
			   struct erofs_item **item, size_t count,
			   struct progress *progress, struct err *err)
{
	auto_free void *part = malloc(EROFS_SHARE_PART);
	size_t next;
	int r = 0;

	if (!part)
		return err_set(err, -ENOMEM,
			       "look for files that are the "
			       "same");
	for (size_t i = 0; i < count && r >= 0; i = next) {
		for (next = i + 1;
		     next < count && item[next]->size == item[i]->size;)
			next++;
		if (next - i > 1)
			r = erofs_share_group(layout, item + i, next - i, part,
					      err);
		progress_part(progress, i, count);
	}
	return r;
}

int erofs_share(struct erofs_layout *layout, struct progress *progress,
		struct err *err)
{
	struct erofs_item **item = calloc(layout->count, sizeof *item);
	size_t count = 0;
	int r;

	if (!item)
		return err_set(err, -ENOMEM,
			       "look for files that are the "
			       "same");
	for (size_t i = 0; i < layout->count; i++)
		if (!S_ISDIR(layout->item[i].mode) && layout->item[i].size)
			item[count++] = &layout->item[i];
	qsort(item, count, sizeof *item, erofs_share_by_size);
	r = erofs_share_all(layout, item, count, progress, err);
	free(item);
	return r;
}
