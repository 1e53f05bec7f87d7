/* SPDX-License-Identifier: Apache-2.0 */
/* brood image diff: where two memories differ, page by page and byte by
 * byte.  Only what their layers tell differently is read. */
#include "base/fd.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/diff.h"
#include "image/source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DIFF_PART = 1 << 20 };

struct image_found {
	struct diff_counts counts;
	struct ranges ranges; /* of pages */
	uint64_t bytes;
};

static uint64_t image_unlike(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < len; i++)
		bytes += a[i] != b[i];
	return bytes;
}

static int image_count_bytes(const struct source *a, const struct source *b,
			     struct image_found *found, struct err *err)
{
	auto_free uint8_t *left = malloc(DIFF_PART), *right = malloc(DIFF_PART);
	int rc = left && right ? 0 : err_set(err, -ENOMEM, "compare memories");

	for (size_t i = 0; rc >= 0 && i < found->ranges.count; i++) {
		uint64_t at = found->ranges.range[i].offset;
		uint64_t end = at + found->ranges.range[i].bytes;

		while (rc >= 0 && at < end) {
			size_t len = end - at < DIFF_PART ? (size_t)(end - at)
							  : DIFF_PART;

			rc = a->read(a->context, at, left, len, err);
			if (rc >= 0)
				rc = b->read(b->context, at, right, len, err);
			if (rc >= 0)
				found->bytes += image_unlike(left, right, len);
			at += len;
		}
	}
	return rc;
}

static int image_compare(const struct tip *a, const struct tip *b,
			 struct image_found *found, struct err *err)
{
	const struct source now = source_of_tip(b), before = source_of_tip(a);
	auto_ranges struct ranges where = { 0 };
	struct pages pages;
	int rc = pages_init(
		&pages,
		a->ram_bytes < b->ram_bytes ? a->ram_bytes : b->ram_bytes, err);

	if (rc < 0)
		return rc;
	rc = diff_runs(a, b, &where);
	if (rc < 0)
		err_set(err, rc, "compare memories");
	else
		rc = diff_pages(&now, &before, &where, &pages, &found->counts,
				err);
	for (uint64_t i = 0; rc >= 0 && i < pages.count; i++)
		if (pages.state[i] != PAGE_SAME)
			rc = ranges_add(&found->ranges, i * LAYER_PAGE,
					LAYER_PAGE);
	pages_fini(&pages);
	if (rc == -ENOMEM && err && !err->code)
		err_set(err, rc, "compare memories");
	return rc < 0 ? rc : image_count_bytes(&now, &before, found, err);
}

static void image_diff_json(const struct image_work *work, const struct tip *a,
			    const struct tip *b,
			    const struct image_found *found, struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "a", a->name);
	json_text(&json, "b", b->name);
	json_number(&json, "a_ram_bytes", (int64_t)a->ram_bytes);
	json_number(&json, "b_ram_bytes", (int64_t)b->ram_bytes);
	json_number(&json, "looked_pages", (int64_t)found->counts.looked);
	json_number(&json, "pages", (int64_t)found->counts.changed);
	json_number(&json, "zero_pages", (int64_t)found->counts.zero);
	json_number(&json, "bytes", (int64_t)found->bytes);
	json_number(&json, "range_count", (int64_t)found->ranges.count);
	if (work->words->list) {
		json_list_open(&json, "ranges");
		for (size_t i = 0; i < found->ranges.count; i++) {
			const struct range *range = &found->ranges.range[i];

			json_open(&json, NULL);
			json_number(&json, "offset", (int64_t)range->offset);
			json_number(&json, "bytes", (int64_t)range->bytes);
			json_close(&json);
		}
		json_list_close(&json);
	}
	json_close(&json);
	buf_text(out, "\n");
}

static void image_diff_text(const struct image_work *work, const struct tip *a,
			    const struct tip *b,
			    const struct image_found *found, struct buf *out)
{
	for (size_t i = 0; work->words->list && i < found->ranges.count; i++)
		buf_format(out, "%#014lx %lu\n",
			   (unsigned long)found->ranges.range[i].offset,
			   (unsigned long)found->ranges.range[i].bytes);
	if (a->ram_bytes != b->ram_bytes)
		buf_format(out, "%s has %lu bytes of memory, %s %lu\n", a->name,
			   (unsigned long)a->ram_bytes, b->name,
			   (unsigned long)b->ram_bytes);
	buf_format(out,
		   "%lu pages and %lu bytes differ, in %lu ranges; %lu pages "
		   "were compared\n",
		   (unsigned long)found->counts.changed,
		   (unsigned long)found->bytes,
		   (unsigned long)found->ranges.count,
		   (unsigned long)found->counts.looked);
}

int image_diff(struct image_work *work)
{
	auto_tip struct tip a = TIP_EMPTY, b = TIP_EMPTY;
	struct image_found found = { 0 };
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };
	int code = image_open(work, work->names[0], &a);

	if (!code)
		code = image_open(work, work->names[1], &b);
	if (code)
		return code;
	if (image_compare(&a, &b, &found, &err) < 0)
		code = cli_fail(&err, NULL);
	else if (work->words->json)
		image_diff_json(work, &a, &b, &found, &out);
	else
		image_diff_text(work, &a, &b, &found, &out);
	ranges_fini(&found.ranges);
	if (!code)
		code = image_print(&out);
	if (!code && (found.counts.changed || a.ram_bytes != b.ram_bytes))
		code = IMAGE_DIFFERS;
	return code;
}
