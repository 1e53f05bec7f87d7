/* SPDX-License-Identifier: Apache-2.0 */
/* What layers come to, against a model that knows each page's place, and
 * differences of memories against a look at each byte. */
#include "image/runs.h"
#include "lib/layers.h"

/* ---- runs against a model --------------------------------------------------
 */

enum { MADE_MOST = 10, MADE_AT = LAYER_PAGE };

struct place {
	uint32_t layer, flags;
	uint64_t file_at;
};

/* Layers that no store has: extents of any form, and data in a file. */
struct made {
	struct tip tip;
	struct place *model; /* of each page */
	uint8_t *bytes;	     /* what it has to show */
	uint64_t pages;
};

/* As a layer is written. */
static void made_extents(uint64_t pages, bool base, uint64_t *chances,
			 struct extents *extents)
{
	auto_pages struct pages map;
	static const uint64_t lengths[] = { 1, 2, 5, 20, 40 };
	uint64_t at = 0;

	pages_init(&map, pages * LAYER_PAGE, NULL);
	while (at < pages) {
		uint64_t len = lengths[chance_of(chances, 5)];
		int state = (int)chance_of(chances, 3);

		for (; len && at < pages; len--)
			map.state[at++] = (uint8_t)state;
	}
	extents_of(&map, base ? LAYER_BASE : LAYER_DIFF,
		   chance_of(chances, 4) ? 0 : LAYER_HOT, extents, NULL);
}

/* As a reader would accept it: neighbours, any flags. */
static void wild_extents(uint64_t pages, uint64_t *chances,
			 struct extents *extents)
{
	uint64_t at = chance_of(chances, 4);

	extents->extent = calloc(pages, sizeof(*extents->extent));
	while (at < pages) {
		uint64_t len = 1 + chance_of(chances, 12);

		len = len < pages - at ? len : pages - at;
		extents->extent[extents->count++] = (struct layer_extent){
			.offset = at * LAYER_PAGE,
			.bytes = len * LAYER_PAGE,
			.flags = (uint32_t)chance_of(chances, 4),
		};
		at += len + (chance_of(chances, 2) ? chance_of(chances, 9) : 0);
	}
}

static void made_data(int fd, uint64_t at, uint64_t bytes, uint64_t *chances)
{
	uint64_t page[LAYER_PAGE / 8];

	for (uint64_t done = 0; done < bytes; done += LAYER_PAGE) {
		for (size_t i = 0; i < LAYER_PAGE / 8; i++)
			page[i] = *chances * (i + 1);
		chance(chances);
		if (fd_pwrite_all(fd, page, LAYER_PAGE, at + done, NULL) < 0)
			abort();
	}
}

static struct layer made_layer(uint64_t pages, bool base, uint64_t *chances)
{
	struct layer layer = { .fd = memfd_create("layer", MFD_CLOEXEC) };
	struct extents extents = { 0 };
	uint64_t stream = 0;

	if (layer.fd < 0)
		abort();
	if (chance_of(chances, 2))
		made_extents(pages, base, chances, &extents);
	else
		wild_extents(pages, chances, &extents);
	for (uint64_t i = 0; i < extents.count; i++) {
		struct layer_extent *extent = &extents.extent[i];

		if (extent->flags & LAYER_ZERO)
			continue;
		extent->file_at = MADE_AT + (base ? extent->offset : stream);
		stream += extent->bytes;
		made_data(layer.fd, extent->file_at, extent->bytes, chances);
	}
	layer.head.kind = base ? LAYER_BASE : LAYER_DIFF;
	layer.head.ram_bytes = pages * LAYER_PAGE;
	layer.head.data_at = MADE_AT;
	layer.head.data_bytes = stream;
	layer.head.file_bytes = MADE_AT + (base ? pages * LAYER_PAGE : stream);
	layer.head.extent_count = extents.count;
	for (int i = 0; i < LAYER_ID; i += 8)
		memcpy(layer.head.id + i, &(uint64_t){ chance(chances) }, 8);
	layer.extents = extents.extent;
	if (ftruncate(layer.fd, (off_t)layer.head.file_bytes) < 0)
		abort();
	return layer;
}

static void made_model(struct made *made)
{
	for (uint32_t l = 0; l < made->tip.layer_count; l++) {
		const struct layer *layer = &made->tip.layers[l];

		for (uint64_t p = 0; l == 0 && p < made->pages; p++)
			made->model[p] =
				(struct place){ .file_at = MADE_AT +
							   p * LAYER_PAGE };
		for (uint64_t e = 0; e < layer->head.extent_count; e++) {
			const struct layer_extent *x = &layer->extents[e];
			bool zero = x->flags & LAYER_ZERO;

			for (uint64_t at = 0; at < x->bytes; at += LAYER_PAGE)
				made->model[(x->offset + at) / LAYER_PAGE] =
					(struct place){
						zero ? TIP_ZERO : l,
						x->flags & LAYER_HOT,
						zero ? 0 : x->file_at + at,
					};
		}
	}
	for (uint64_t p = 0; p < made->pages; p++) {
		const struct place *place = &made->model[p];

		if (place->layer != TIP_ZERO &&
		    fd_pread_all(made->tip.layers[place->layer].fd,
				 made->bytes + p * LAYER_PAGE, LAYER_PAGE,
				 place->file_at, NULL) < 0)
			abort();
	}
}

/* On top of the first layers of another, NULL: of none. */
static struct made made_chain(const struct made *below, uint64_t *chances)
{
	uint64_t pages = below ? below->pages : 1 + chance_of(chances, 120);
	struct made made = {
		.tip = TIP_EMPTY,
		.pages = pages,
		.model = calloc(pages, sizeof(struct place)),
		.bytes = calloc(pages, LAYER_PAGE),
	};
	uint32_t shared =
		below ? (uint32_t)chance_of(chances, below->tip.layer_count + 1)
		      : 0;
	uint32_t count =
		shared + (uint32_t)chance_of(chances, MADE_MOST - shared + 1);

	made.tip.ram_bytes = pages * LAYER_PAGE;
	made.tip.layer_count = count ? count : 1;
	for (uint32_t i = 0; i < made.tip.layer_count; i++) {
		struct layer *layer = &made.tip.layers[i];
		struct layer_extent *extents;
		uint64_t bytes;

		if (i >= shared) {
			*layer = made_layer(pages, i == 0, chances);
			continue;
		}
		*layer = below->tip.layers[i];
		layer->fd = dup(layer->fd);
		bytes = layer->head.extent_count * sizeof(*layer->extents);
		extents = malloc(bytes + 1);
		if (bytes)
			memcpy(extents, layer->extents, bytes);
		layer->extents = extents;
	}
	made_model(&made);
	return made;
}

static void made_fini(struct made *made)
{
	for (uint32_t i = 0; i < made->tip.layer_count; i++)
		free((void *)(uintptr_t)made->tip.layers[i].extents);
	tip_close(&made->tip);
	free(made->model);
	free(made->bytes);
}
#define auto_made __attribute__((cleanup(made_fini)))

static bool made_runs_are_right(const struct made *made)
{
	uint64_t page = 0;

	for (uint32_t r = 0; r < made->tip.run_count; r++) {
		const struct tip_run *run = &made->tip.runs[r];

		if (run->offset != page * LAYER_PAGE)
			return false;
		for (uint64_t at = 0; at < run->bytes; at += LAYER_PAGE) {
			const struct place *place = &made->model[page++];

			if (run->layer != place->layer ||
			    run->flags != place->flags ||
			    (place->layer != TIP_ZERO &&
			     run->file_at + at != place->file_at))
				return false;
		}
		/* As few as there can be. */
		if (page < made->pages) {
			const struct place *a = &made->model[page - 1],
					   *b = &made->model[page];

			if (a->layer == b->layer && a->flags == b->flags &&
			    (a->layer == TIP_ZERO ||
			     a->file_at + LAYER_PAGE == b->file_at))
				return false;
		}
	}
	return page == made->pages;
}

static int made_compose(struct made *made)
{
	struct err err = { 0 };

	return runs_of(made->tip.layers, made->tip.layer_count, &made->tip.runs,
		       &made->tip.run_count, &err);
}

TEST(runs_are_the_model)
{
	uint64_t chances = 0x2545f4914f6cdd1d;
	int wrong = 0, unseen = 0;
	uint64_t runs = 0, depth = 0;

	for (int i = 0; i < 3000 && !wrong && !unseen; i++) {
		auto_made struct made made = made_chain(NULL, &chances);

		if (made_compose(&made) < 0 || !made_runs_are_right(&made) ||
		    runs_check(made.tip.runs, made.tip.run_count,
			       made.tip.ram_bytes, made.tip.layer_count))
			wrong++;
		else
			unseen += !shows(&made.tip, made.bytes);
		runs += made.tip.run_count;
		depth += made.tip.layer_count;
	}
	CHECK_INT(wrong, 0);
	CHECK_INT(unseen, 0);
	printf("# 3000 chains: %lu layers, %lu runs\n", depth, runs);
}

/* What is different between two tips, and nothing else. */
TEST(differences_of_runs)
{
	uint64_t chances = 0x9e3779b97f4a7c15;
	int wrong = 0;

	for (int i = 0; i < 1000 && !wrong; i++) {
		auto_made struct made a = made_chain(NULL, &chances);
		auto_made struct made b = made_chain(&a, &chances);
		auto_ranges struct ranges where = { 0 };
		size_t next = 0;

		CHECK_INT(made_compose(&a), 0);
		CHECK_INT(made_compose(&b), 0);
		CHECK_INT(diff_runs(&a.tip, &b.tip, &where), 0);
		for (uint64_t p = 0; p < a.pages; p++) {
			const struct place *x = &a.model[p], *y = &b.model[p];
			bool zero =
				x->layer == TIP_ZERO || y->layer == TIP_ZERO;
			bool same =
				zero ? x->layer == y->layer
				     : x->file_at == y->file_at &&
						memcmp(a.tip.layers[x->layer]
							       .head.id,
						       b.tip.layers[y->layer]
							       .head.id,
						       LAYER_ID) == 0;
			uint64_t at = p * LAYER_PAGE;

			while (next < where.count &&
			       where.range[next].offset +
					       where.range[next].bytes <=
				       at)
				next++;
			wrong += same == (next < where.count &&
					  where.range[next].offset <= at);
			wrong += same && memcmp(a.bytes + at, b.bytes + at,
						LAYER_PAGE) != 0;
		}
		for (size_t k = 1; k < where.count; k++)
			wrong += where.range[k].offset <=
				 where.range[k - 1].offset +
					 where.range[k - 1].bytes;
	}
	CHECK_INT(wrong, 0);
}

TEST(runs_that_lie)
{
	uint64_t chances = 77;
	int accepted = 0;

	for (int i = 0; i < 2000; i++) {
		auto_made struct made made = made_chain(NULL, &chances);
		struct tip_run *run;

		CHECK_INT(made_compose(&made), 0);
		run = &made.tip.runs[chance_of(&chances, made.tip.run_count)];
		switch (chance_of(&chances, 7)) {
		case 0: run->offset += LAYER_PAGE; break;
		case 1: run->offset -= LAYER_PAGE; break;
		case 2: run->bytes += chance(&chances) | 1; break;
		case 3: run->bytes = 0; break;
		case 4: run->file_at += 1 + chance_of(&chances, 4095); break;
		case 5:
			run->layer = made.tip.layer_count +
				     (uint32_t)chance_of(&chances, 1000);
			break;
		case 6:
			run->flags ^= 1u << (chance_of(&chances, 31) ? 5 : 0);
			break;
		}
		accepted += runs_check(made.tip.runs, made.tip.run_count,
				       made.tip.ram_bytes,
				       made.tip.layer_count) == NULL;
	}
	CHECK_INT(accepted, 0);
}

/* A layer that makes more pieces than can be mapped stays its owner's. */
TEST(too_many_pieces)
{
	const uint64_t pages = 2 * TIP_RUNS_MOST + 20;
	struct layer layers[2];
	auto_tip struct tip tip = TIP_EMPTY;
	struct layer_extent *extents[2];
	struct err err = { 0 };
	uint32_t runs;

	for (int i = 0; i < 2; i++) {
		uint64_t count = i ? pages / 2 : 0;

		extents[i] = calloc(count + 1, sizeof(**extents));
		for (uint64_t e = 0; e < count; e++)
			extents[i][e] = (struct layer_extent){
				.offset = 2 * e * LAYER_PAGE,
				.bytes = LAYER_PAGE,
				.file_at = (1 + e) * LAYER_PAGE,
			};
		layers[i] = LAYER_NONE;
		layers[i].head.kind = i ? LAYER_DIFF : LAYER_BASE;
		layers[i].head.ram_bytes = pages * LAYER_PAGE;
		layers[i].head.extent_count = count;
		layers[i].extents = extents[i];
		layers[i].head.parent[0] = (uint8_t)i;
		layers[i].head.id[0] = (uint8_t)(i + 1);
	}
	CHECK_INT(tip_push(&tip, &layers[0], &err), 0);
	runs = tip.run_count;
	CHECK_INT(tip_push(&tip, &layers[1], &err), -E2BIG);
	CHECK(strstr(err.text, "pieces"));
	CHECK(layers[1].extents == extents[1]);
	CHECK_INT(tip.layer_count, 1);
	CHECK_INT(tip.run_count, runs);
	CHECK(tip.runs != NULL);
	/* Exactly as many as there may be. */
	layers[1].head.extent_count = TIP_RUNS_MOST / 2;
	CHECK_INT(tip_push(&tip, &layers[1], &err), 0);
	CHECK_INT(tip.run_count, TIP_RUNS_MOST);
	tip_close(&tip);
	free(extents[0]);
	free(extents[1]);
}

/* ---- differences of memories -----------------------------------------------
 */

TEST(differences_of_pages)
{
	uint64_t chances = 5150;

	for (int i = 0; i < 300; i++) {
		uint64_t count = 1 + chance_of(&chances, 700);
		auto_memory struct memory before = memory_new(count);
		auto_memory struct memory now = { 0 };
		auto_pages struct pages pages;
		auto_ranges struct ranges where = { 0 };
		struct source_memory at[2];
		struct source old, new;
		struct diff_counts counts;
		bool against = i % 3, some = i % 2;
		uint64_t looked = 0, changed = 0, zero = 0, wrong = 0, in = 0;

		memory_change(&before, &chances, 8);
		now = memory_copy(&before);
		memory_change(&now, &chances, 5);
		at[0] = (struct source_memory){ before.at };
		at[1] = (struct source_memory){ now.at };
		old = source_of_memory(&at[0]);
		new = source_of_memory(&at[1]);
		for (uint64_t p = chance_of(&chances, 30); p < count;) {
			uint64_t len = 1 + chance_of(&chances, 300);

			len = len < count - p ? len : count - p;
			ranges_add(&where, p * LAYER_PAGE, len * LAYER_PAGE);
			p += len + 1 + chance_of(&chances, 60);
		}
		CHECK_INT(pages_init(&pages, count * LAYER_PAGE, NULL), 0);
		memset(pages.state, 99, count);
		CHECK_INT(diff_pages(&new, against ? &old : NULL,
				     some ? &where : NULL, &pages, &counts,
				     NULL),
			  0);
		for (uint64_t p = 0; p < count; p++) {
			const uint8_t *a = before.at + p * LAYER_PAGE;
			const uint8_t *b = now.at + p * LAYER_PAGE;
			int want = against ? PAGE_SAME : PAGE_ZERO;
			bool inside = !some;

			while (in < where.count &&
			       where.range[in].offset + where.range[in].bytes <=
				       p * LAYER_PAGE)
				in++;
			if (in < where.count &&
			    where.range[in].offset <= p * LAYER_PAGE)
				inside = true;
			looked += inside;
			if (inside &&
			    (!against || memcmp(a, b, LAYER_PAGE) != 0)) {
				bool none = true;

				for (int k = 0; k < LAYER_PAGE; k++)
					none &= b[k] == 0;
				want = none ? PAGE_ZERO : PAGE_DATA;
				changed++;
				zero += none;
			}
			wrong += pages.state[p] != want;
		}
		CHECK_INT(wrong, 0);
		CHECK_INT(counts.looked, looked);
		CHECK_INT(counts.changed, changed);
		CHECK_INT(counts.zero, zero);
	}
}

/* One byte, wherever it is, makes a page another and no page of zeros. */
TEST(one_byte_of_a_page)
{
	auto_memory struct memory memory = memory_new(1);

	CHECK(pages_is_zero(memory.at));
	for (int i = 0; i < LAYER_PAGE; i++) {
		memory.at[i] = (uint8_t)(1 << i % 8);
		CHECK(!pages_is_zero(memory.at));
		memory.at[i] = 0;
	}
}

TEST(ranges)
{
	uint64_t chances = 31337;

	for (int i = 0; i < 3000; i++) {
		auto_ranges struct ranges a = { 0 }, b = { 0 }, both = { 0 };
		bool in[64] = { false };
		uint64_t bytes = 0, wrong = 0;

		for (int k = 0; k < 2; k++)
			for (uint64_t at = chance_of(&chances, 9); at < 60;) {
				uint64_t len = 1 + chance_of(&chances, 4);

				ranges_add(k ? &a : &b, at, len);
				for (uint64_t n = 0; n < len; n++)
					in[at + n] = true;
				at += len + chance_of(&chances, 9);
			}
		CHECK_INT(ranges_unite(&a, &b, &both), 0);
		for (int n = 0; n < 64; n++)
			bytes += in[n];
		CHECK_INT(ranges_bytes(&both), bytes);
		for (size_t k = 0; k < both.count; k++) {
			const struct range *range = &both.range[k];

			wrong += k && range->offset <= range[-1].offset +
							       range[-1].bytes;
			for (uint64_t n = 0; n < range->bytes; n++)
				wrong += !in[range->offset + n];
		}
		CHECK_INT(wrong, 0);
	}
}

TEST_MAIN
