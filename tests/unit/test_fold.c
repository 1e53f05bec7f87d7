/* SPDX-License-Identifier: Apache-2.0 */
/* Chains made shorter: equal byte for byte, without what is covered. */
#include "image/fold.h"
#include "images.h"
#include <errno.h>

enum { PAGES = 4096 };

/* A base with holes, and three differences of which the later ones cover
 * parts of those before, turn data into zeros and back. */
static int chain(const struct images *images, struct made_memory *memory,
		 struct tip *tip)
{
	int rc;

	made_fill(memory, 3, 200, 1);
	made_fill(memory, 2000, 300, 2);
	rc = made_base(images, memory, tip);
	for (int i = 0; rc >= 0 && i < 3; i++) {
		auto_memory struct made_memory before =
			made_memory_copy(memory);

		made_fill(memory, 50, 40, 10 + i);
		made_fill(memory, 100 + 7 * i, 5, 20 + i);
		made_fill(memory, 2000 + 90 * i, 60, i == 1 ? 30 : 0);
		made_fill(memory, 3000 + 10 * i, 3, 40 + i);
		rc = made_push(images, tip, memory, &before);
	}
	return rc;
}

static uint64_t data_of(const struct tip *tip)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < tip->layer_count; i++)
		bytes += tip->layers[i].head.data_bytes;
	return bytes;
}

TEST(diffs_become_one)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY, folded = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(chain(&made.images, &memory, &tip), 0);
	CHECK_INT(made_state(&made.images, &tip, 5000), 0);
	CHECK_INT(made_disk(&made.images, &tip, 70000), 0);
	CHECK_INT(made_publish(&made.images, &tip, "long"), 0);
	CHECK_INT(fold_tip(&made.images, "long", "short", FOLD_DIFFS, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK(made_is(&made.images, "short", &memory));
	CHECK(made_is(&made.images, "long", &memory));
	CHECK_INT(tip_open(&made.images, "short", &folded, &err), 0);
	CHECK_INT(folded.layer_count, 2);
	CHECK(memcmp(folded.layers[0].head.id, tip.layers[0].head.id,
		     LAYER_ID) == 0);
	CHECK(memcmp(folded.state.head.id, tip.state.head.id, LAYER_ID) == 0);
	CHECK_INT(folded.disk_count, 1);
	CHECK(memcmp(folded.disks[0].head.id, tip.disks[0].head.id, LAYER_ID) ==
	      0);
	CHECK(memcmp(folded.shape, tip.shape, LAYER_ID) == 0);
	CHECK_TEXT(folded.words, tip.words);
	CHECK(data_of(&folded) < data_of(&tip));
	/* What became zero is told without data. */
	CHECK(folded.layers[1].head.data_bytes <=
	      (40 + 7 * 2 + 5 + 23 + 60 + 30) * LAYER_PAGE);
	CHECK_INT(folded.layers[1].head.region_count, 1);
}

TEST(all_becomes_a_base)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY, folded = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(chain(&made.images, &memory, &tip), 0);
	CHECK_INT(made_publish(&made.images, &tip, "a"), 0);
	/* In place of itself, while somebody uses it. */
	CHECK_INT(fold_tip(&made.images, "a", "a", FOLD_ALL, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK(made_is(&made.images, "a", &memory));
	CHECK_INT(tip_open(&made.images, "a", &folded, &err), 0);
	CHECK_INT(folded.layer_count, 1);
	CHECK_INT(folded.layers[0].head.kind, LAYER_BASE);
	CHECK_INT(folded.state.fd, -1);
	CHECK(folded.run_count < tip.run_count);
	/* The same memory has the same base, whatever chain it came from. */
	layer_close(&folded.state);
	CHECK_INT(made_objects(&made.images), 5);
	CHECK_INT(fold_tip(&made.images, "a", "b", FOLD_ALL, &err), 0);
	CHECK_INT(made_objects(&made.images), 5);
}

TEST(what_is_the_bases_is_left_out)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory base = made_memory_new(PAGES);
	auto_memory struct made_memory other = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY, folded = TIP_EMPTY;
	struct err err = { 0 };

	made_fill(&base, 0, 500, 1);
	made_fill(&other, 0, 600, 2);
	CHECK_INT(made_base(&made.images, &base, &tip), 0);
	CHECK_INT(made_push(&made.images, &tip, &other, &base), 0);
	CHECK_INT(made_push(&made.images, &tip, &base, &other), 0);
	CHECK_INT(made_publish(&made.images, &tip, "there.and-back"), 0);
	CHECK_INT(fold_tip(&made.images, "there.and-back", "x", FOLD_DIFFS,
			   &err),
		  0);
	CHECK_INT(tip_open(&made.images, "x", &folded, &err), 0);
	CHECK_INT(folded.layer_count, 1);
	CHECK(made_is(&made.images, "x", &base));
}

TEST(a_working_set_goes_along)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_memory struct made_memory set = made_memory_new(PAGES);
	struct err err = { 0 };

	for (enum fold_how how = FOLD_DIFFS; how <= FOLD_ALL; how++) {
		auto_tip struct tip tip = TIP_EMPTY, folded = TIP_EMPTY;
		struct layer layer;

		CHECK_INT(chain(&made.images, &memory, &tip), 0);
		memcpy(set.at + 60 * LAYER_PAGE, memory.at + 60 * LAYER_PAGE,
		       20 * LAYER_PAGE);
		auto_memory struct made_memory none = made_memory_new(PAGES);
		CHECK_INT(made_layer(&made.images, LAYER_WORKING, &set, &none,
				     tip.layers[3].head.id, &layer),
			  0);
		CHECK_INT(tip_push(&tip, &layer, &err), 0);
		CHECK_INT(made_publish(&made.images, &tip, "w"), 0);
		CHECK_INT(fold_tip(&made.images, "w", "v", how, &err), 0);
		CHECK_TEXT(err.text, "");
		CHECK(made_is(&made.images, "v", &memory));
		CHECK_INT(tip_open(&made.images, "v", &folded, &err), 0);
		CHECK(folded.has_working);
		CHECK_INT(folded.layer_count, how == FOLD_ALL ? 2 : 3);
		CHECK_INT(folded.layers[folded.layer_count - 1].head.data_bytes,
			  20 * LAYER_PAGE);
	}
}

TEST(it_says_when_it_is_due)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;
	const char *why;
	struct fold_counts counts;

	made_fill(&memory, 0, 64, 1);
	CHECK_INT(made_base(&made.images, &memory, &tip), 0);
	CHECK_INT(fold_is_due(&tip, &why), 0);
	for (int i = 0; i < 8; i++) {
		auto_memory struct made_memory before =
			made_memory_copy(&memory);

		made_fill(&memory, 2 * i, 1, 50 + i);
		CHECK_INT(fold_is_due(&tip, &why), 0);
		CHECK_INT(made_push(&made.images, &tip, &memory, &before), 0);
	}
	CHECK_INT(fold_is_due(&tip, &why), 1);
	CHECK(strstr(why, "layers") != NULL);
	CHECK_INT(fold_count(&tip, &counts), 0);
	CHECK_INT(counts.depth, 9);
	CHECK_INT(counts.data_bytes, 72 * LAYER_PAGE);
	CHECK_INT(counts.live_bytes, 64 * LAYER_PAGE);
	CHECK_INT(counts.live[0], 56 * LAYER_PAGE);
	CHECK_INT(counts.live[3], LAYER_PAGE);
}

TEST(covered_bytes_make_it_due)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;
	const char *why = NULL;

	made_fill(&memory, 0, 10, 1);
	CHECK_INT(made_base(&made.images, &memory, &tip), 0);
	for (int i = 0; i < 3; i++) {
		auto_memory struct made_memory before =
			made_memory_copy(&memory);

		made_fill(&memory, 100, 64, 50 + i);
		CHECK_INT(fold_is_due(&tip, &why), 0);
		CHECK_INT(made_push(&made.images, &tip, &memory, &before), 0);
	}
	CHECK_INT(fold_is_due(&tip, &why), 1);
	CHECK(why && strstr(why, "covered") != NULL);
}

/* Every 6th page of a memory: more pieces than can be mapped. */
static void scatter(struct made_memory *memory, uint64_t pages, uint64_t first,
		    uint64_t seed)
{
	for (uint64_t page = first; page < pages; page += 6)
		made_fill(memory, page, 1, seed);
}

TEST(too_many_pieces_are_copied_together)
{
	enum { LARGE = 160 * 1024 };
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(LARGE);
	auto_memory struct made_memory before = made_memory_new(LARGE);
	auto_tip struct tip tip = TIP_EMPTY, again = TIP_EMPTY;
	struct layer layer;
	struct err err = { 0 };
	const char *why;

	made_fill(&memory, 0, 3, 9);
	made_fill(&before, 0, 3, 9);
	CHECK_INT(made_base(&made.images, &memory, &tip), 0);
	scatter(&memory, LARGE / 2, 5, 7);
	CHECK_INT(made_push(&made.images, &tip, &memory, &before), 0);
	scatter(&before, LARGE / 2, 5, 7);
	scatter(&memory, LARGE, LARGE / 2 + 1, 8);
	CHECK_INT(made_layer(&made.images, LAYER_DIFF, &memory, &before,
			     tip.layers[1].head.id, &layer),
		  0);
	CHECK(tip.run_count > TIP_RUNS_MOST / 2);
	CHECK_INT(fold_push(&made.images, &tip, &layer, &err), 0);
	CHECK_TEXT(err.text, "");
	layer_close(&layer);
	CHECK_INT(tip.layer_count, 2);
	CHECK(tip.run_count <= TIP_RUNS_MOST);
	CHECK_INT(made_publish(&made.images, &tip, "many"), 0);
	CHECK(made_is(&made.images, "many", &memory));
	/* A new base is few pieces. */
	CHECK_INT(fold_is_due(&tip, &why), tip.run_count > FOLD_RUNS);
	CHECK_INT(fold_tip(&made.images, "many", "few", FOLD_ALL, &err), 0);
	CHECK_INT(tip_open(&made.images, "few", &again, &err), 0);
	CHECK(again.run_count <= FOLD_RUNS);
	CHECK_INT(fold_is_due(&again, &why), 0);
}

/* Differences in many small pieces that lie close become fewer. */
TEST(close_pieces_become_one)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(PAGES * 8);
	auto_memory struct made_memory before = made_memory_new(PAGES * 8);
	auto_tip struct tip tip = TIP_EMPTY, folded = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(made_base(&made.images, &memory, &tip), 0);
	for (uint64_t page = 0; page + 30 < PAGES * 8; page += 25)
		made_fill(&memory, page, 20, page + 1);
	CHECK_INT(made_push(&made.images, &tip, &memory, &before), 0);
	CHECK(tip.run_count > FOLD_RUNS);
	CHECK_INT(made_publish(&made.images, &tip, "m"), 0);
	CHECK_INT(fold_tip(&made.images, "m", "m", FOLD_DIFFS, &err), 0);
	CHECK_INT(tip_open(&made.images, "m", &folded, &err), 0);
	CHECK(folded.run_count <= FOLD_RUNS);
	CHECK(data_of(&folded) <= data_of(&tip) / 4 * 5 + LAYER_PAGE);
	CHECK(made_is(&made.images, "m", &memory));
}

/* A fold in the background takes long; a save may have the name by then. */
TEST(what_is_new_meanwhile_stays)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory old = made_memory_new(PAGES);
	auto_memory struct made_memory new = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY, from = TIP_EMPTY, to = TIP_EMPTY;
	auto_tip struct tip newer = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(chain(&made.images, &old, &tip), 0);
	CHECK_INT(made_publish(&made.images, &tip, "vm"), 0);
	CHECK_INT(tip_open(&made.images, "vm", &from, &err), 0);
	CHECK_INT(fold_layers(&made.images, &from, FOLD_DIFFS, &to, &err), 0);
	made_fill(&new, 0, 9, 77);
	CHECK_INT(made_base(&made.images, &new, &newer), 0);
	CHECK_INT(made_publish(&made.images, &newer, "vm"), 0);
	CHECK_INT(tip_publish_over(&made.images, &to, "vm", from.id, &err),
		  -ESTALE);
	CHECK(strstr(err.text, "was replaced meanwhile"));
	CHECK(made_is(&made.images, "vm", &new));
	CHECK_INT(tip_publish_over(&made.images, &to, "vm", newer.id, &err), 0);
	CHECK(made_is(&made.images, "vm", &old));
	/* Nor is one made again that was removed. */
	CHECK_INT(tip_remove(&made.images, "vm", &err), 0);
	CHECK_INT(tip_publish_over(&made.images, &to, "vm", to.id, &err),
		  -ENOENT);
}

TEST(what_cannot_be_folded)
{
	auto_made_images struct made_images made = made_images_new();
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(fold_tip(&made.images, "none", "x", FOLD_ALL, &err), -ENOENT);
	CHECK_INT(chain(&made.images, &memory, &tip), 0);
	CHECK_INT(made_publish(&made.images, &tip, "a"), 0);
	CHECK_INT(fold_tip(&made.images, "a", "no/name", FOLD_ALL, &err),
		  -EINVAL);
	CHECK(made_is(&made.images, "a", &memory));
}

TEST_MAIN
