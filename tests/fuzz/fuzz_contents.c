/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's contents of a tip in parts.  What is read comes back when it is
 * written and read again, and has nothing out of bounds; without a part that
 * is right, nothing of it gets a name. */
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "fuzz_images.h"
#include "image/contents.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int no_part(void *context, uint32_t number, struct err *err)
{
	const struct bundle_contents *contents = context;

	require(number < contents->head.object_count);
	return err_set(err, -ENOENT, "a part");
}

static int no_end(void *context, uint32_t number, uint64_t bytes,
		  const uint8_t *sum, struct err *err)
{
	(void)context;
	(void)number;
	(void)bytes;
	(void)sum;
	(void)err;
	require(false);
	return 0;
}

static void require_bounds(const struct bundle_contents *contents)
{
	const struct bundle_told *tip = &contents->tip;

	require(contents->head.object_count <= BUNDLE_PARTS_MOST);
	require(tip->head.layer_count <= LAYER_DEPTH_MOST);
	require(tip->head.disk_count <= TIP_DISKS_MOST);
	require(images_is_name(tip->head.name));
	require(strlen(tip->words) == tip->head.words_bytes);
}

/* Numbers that are no numbers have become the largest one. */
static void again(const struct bundle_contents *contents)
{
	auto_buf struct buf one = { 0 };
	auto_buf struct buf two = { 0 };
	struct bundle_contents read;

	contents_write(contents, &one);
	if (one.failed || contents_read(buf_string(&one), &read, NULL) < 0)
		return;
	contents_write(&read, &two);
	require(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
	bundle_contents_fini(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size);
	struct bundle_contents contents;
	const struct bundle_parts parts = { &contents, no_part, no_end };
	const struct bundle_options options = { 0 };
	struct bundle_counts counts;
	struct err err = { 0 };

	start();
	require(text != NULL);
	if (json_check(text, strlen(text), NULL) < 0)
		return 0;
	if (contents_read(text, &contents, &err) < 0) {
		require(err.code < 0 && err.text[0] && !contents.tip.words);
		return 0;
	}
	require_bounds(&contents);
	again(&contents);
	require(bundle_import_parts(&images, &contents, &parts, &options,
				    &counts, &err) < 0);
	require(err.text[0] && counts.tips == 0);
	bundle_contents_fini(&contents);
	return 0;
}
