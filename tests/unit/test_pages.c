/* SPDX-License-Identifier: Apache-2.0 */
/* Which gaps between pages that changed are filled. */
#include "image/pages.h"
#include "test.h"
#include <string.h>

enum { PAGES_COUNT = 20000 };

/* Data of "run" pages, then a gap, and so on; how many extents it gives, and
 * pages in them. */
static uint64_t extents_with(uint64_t run, uint64_t gap, uint64_t times,
			     uint64_t *stored)
{
	auto_pages struct pages pages = { 0 };
	auto_extents struct extents extents = { 0 };

	if (pages_init(&pages, (uint64_t)PAGES_COUNT * LAYER_PAGE, NULL) < 0)
		return 0;
	for (uint64_t i = 0; i < times; i++)
		memset(pages.state + i * (run + gap), PAGE_DATA, run);
	if (extents_of(&pages, LAYER_DIFF, 0, &extents, NULL) < 0)
		return 0;
	*stored = extents.data_bytes / LAYER_PAGE;
	return extents.count;
}

TEST(short_gaps_are_filled)
{
	uint64_t stored;

	CHECK_INT(extents_with(1, 4, 10, &stored), 1);
	CHECK_INT(stored, 46);
	CHECK_INT(extents_with(50, 2, 300, &stored), 1);
	CHECK_INT(stored, 15598);
}

TEST(long_gaps_are_not)
{
	uint64_t stored;

	CHECK_INT(extents_with(1, 5, 10, &stored), 10);
	CHECK_INT(stored, 10);
}

TEST(gaps_are_not_filled_where_they_are_many)
{
	uint64_t stored;

	CHECK_INT(extents_with(9, 4, 1000, &stored), 1000);
	CHECK_INT(stored, 9000);
	CHECK_INT(extents_with(9, 1, 1000, &stored), 1000);
}

TEST_MAIN
