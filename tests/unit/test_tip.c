/* SPDX-License-Identifier: Apache-2.0 */
/* What a tip's layers come to is the memory that they were taken from, byte
 * for byte; a chain that is not one is refused, and what a tip names is there
 * as long as somebody uses it. */
#include "base/clock.h"
#include "image/runs.h"
#include "lib/layers.h"
#include <signal.h>
#include <sys/socket.h>

/* ---- chains on disk --------------------------------------------------------
 */

enum { VMS = 3, PAGES = 900 };

/* Memories of three machines, the first as a base, each other one as the
 * difference to the one before it. */
struct chain {
	struct memory memory[VMS];
	uint8_t ids[VMS][LAYER_ID];
	char hex[VMS][STORE_HEX + 1];
};

static struct chain chain_make(const struct here *here, uint64_t seed)
{
	struct chain chain = { .memory = { { .at = NULL } } };

	for (int i = 0; i < VMS; i++) {
		struct memory *below = i ? &chain.memory[i - 1] : NULL;
		struct layer layer;

		chain.memory[i] =
			below ? memory_copy(below) : memory_new(PAGES);
		memory_change(&chain.memory[i], &seed, 25);
		layer = here_layer(here, below ? LAYER_DIFF : LAYER_BASE,
				   &chain.memory[i], below,
				   below ? chain.ids[i - 1] : NULL);
		memcpy(chain.ids[i], layer.head.id, LAYER_ID);
		memcpy(chain.hex[i], layer.hex, sizeof(layer.hex));
		layer_close(&layer);
	}
	return chain;
}

static void chain_fini(struct chain *chain)
{
	for (int i = 0; i < VMS; i++)
		memory_fini(&chain->memory[i]);
}
#define auto_chain __attribute__((cleanup(chain_fini)))

static int publish(const struct here *here, const uint8_t (*ids)[LAYER_ID],
		   uint32_t count, const char *name, struct err *err)
{
	auto_tip struct tip tip = TIP_EMPTY;
	int rc = tip_compose(&here->images, ids, count, &tip, err);

	if (rc < 0)
		return rc;
	tip.words = strdup("{\"machine\":\"q35\"}");
	return tip_publish(&here->images, &tip, name, err);
}

/* CLAIM 2.5 2.6 2.9 2.11 */
TEST(composed_is_the_original)
{
	auto_here struct here here = here_open();

	for (uint64_t seed = 1; seed < 9; seed++) {
		auto_chain struct chain chain = chain_make(&here, seed);

		for (uint32_t count = 1; count <= VMS; count++) {
			auto_tip struct tip tip = TIP_EMPTY;
			struct err err = { 0 };

			CHECK_INT(tip_compose(&here.images,
					      (const void *)chain.ids, count,
					      &tip, &err),
				  0);
			CHECK_INT(tip.layer_count, count);
			CHECK(runs_check(tip.runs, tip.run_count, tip.ram_bytes,
					 count) == NULL);
			CHECK(shows(&tip, chain.memory[count - 1].at));
			CHECK(shows(&tip, chain.memory[count - 1].at));
		}
	}
}

TEST(published_and_opened)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 5);
	auto_tip struct tip tip = TIP_EMPTY;
	auto_tip struct tip read = TIP_EMPTY;
	struct tip_ids ids;
	struct err err = { 0 };
	int before = open_descriptors();

	CHECK_INT(publish(&here, (const void *)chain.ids, VMS, "vm3", &err), 0);
	CHECK_INT(open_descriptors(), before);
	CHECK_INT(tip_open(&here.images, "vm3", &tip, &err), 0);
	CHECK_TEXT(tip.name, "vm3");
	CHECK_TEXT(tip.words, "{\"machine\":\"q35\"}");
	CHECK_INT(tip.layer_count, VMS);
	CHECK(!tip.has_working && tip.state.fd < 0 && !tip.disk_count);
	CHECK(shows(&tip, chain.memory[2].at));
	CHECK(tip_read(&here.images, "vm3", &read, &ids, &err) >= 0);
	CHECK_INT(ids.layer_count, VMS);
	CHECK(memcmp(ids.layers, chain.ids, sizeof(chain.ids)) == 0);
	CHECK(memcmp(read.id, tip.id, LAYER_ID) == 0);
	CHECK_INT(read.run_count, tip.run_count);
	CHECK_INT(here_litter(&here, "tips"), 0);
	tip_close(&tip);
	CHECK_INT(open_descriptors(), before);
}

static int name_seen(const char *name, void *context)
{
	struct buf *names = context;

	buf_text(names, name);
	buf_text(names, " ");
	return strcmp(name, "stop") == 0 ? 7 : 0;
}

TEST(replaced_and_removed)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 6);
	auto_tip struct tip old = TIP_EMPTY;
	auto_buf struct buf names = { 0 };
	struct err err = { 0 };

	CHECK_INT(tip_each(&here.images, name_seen, &names, &err), 0);
	CHECK_TEXT(buf_string(&names), "");
	for (uint32_t count = 1; count <= VMS; count++) {
		auto_tip struct tip tip = TIP_EMPTY;

		CHECK_INT(publish(&here, (const void *)chain.ids, count, "vm",
				  &err),
			  0);
		CHECK_INT(tip_open(&here.images, "vm", &tip, &err), 0);
		CHECK(shows(&tip, chain.memory[count - 1].at));
		if (count == 1)
			CHECK_INT(tip_open(&here.images, "vm", &old, &err), 0);
	}
	CHECK(shows(&old, chain.memory[0].at));
	CHECK_INT(publish(&here, (const void *)chain.ids, 1, "a", &err), 0);
	CHECK_INT(publish(&here, (const void *)chain.ids, 1, "stop", &err), 0);
	CHECK_INT(tip_each(&here.images, name_seen, &names, &err), 7);
	CHECK_TEXT(buf_string(&names), "a stop ");
	CHECK_INT(tip_remove(&here.images, "vm", &err), 0);
	CHECK_INT(tip_remove(&here.images, "vm", &err), -ENOENT);
	CHECK_INT(tip_remove(&here.images, "../lock", &err), -ENOENT);
	tip_close(&old);
	CHECK_INT(tip_open(&here.images, "vm", &old, &err), -ENOENT);
	CHECK(strstr(err.text, "vm") && strstr(err.text, here.folder));
}

TEST(names)
{
	static const char *const good[] = {
		"a", "vm3", "A-b_c.9", "x.draft.1",
		("0123456789012345678901234567890123"
		 "456789012345678901234567890123")
	};
	static const char *const bad[] = {
		"",
		".",
		"..",
		".a",
		"-a",
		"a/b",
		"a b",
		"a\n",
		"\xc3\xa4",
		"../a",
		("01234567890123456789012345678901234"
		 "567890123456789012345678901234")
	};
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 6);
	auto_tip struct tip tip = TIP_EMPTY;
	auto_buf struct buf names = { 0 };
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		CHECK_INT(publish(&here, (const void *)chain.ids, 1, good[i],
				  &err),
			  0);
		CHECK_INT(tip_open(&here.images, good[i], &tip, &err), 0);
		tip_close(&tip);
		CHECK_INT(tip_each(&here.images, name_seen, &names, &err), 0);
		CHECK(strstr(buf_string(&names), good[i]));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_INT(publish(&here, (const void *)chain.ids, 1, bad[i],
				  &err),
			  -EINVAL);
		CHECK(tip_open(&here.images, bad[i], &tip, &err) < 0);
		CHECK_INT(tip_remove(&here.images, bad[i], &err), -ENOENT);
	}
}

TEST(folders)
{
	auto_here struct here here = here_open();
	auto_free char *tips = file_join(here.folder, "tips");
	auto_free char *aside = file_join(here.folder, "aside");
	struct images other;
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	CHECK(chmod(tips, 0770) == 0);
	CHECK_INT(images_open(&other, here.folder, false, &err), -EPERM);
	CHECK(strstr(err.text, tips));
	CHECK(chmod(tips, 0700) == 0 && rename(tips, aside) == 0);
	/* None is none; what cannot be opened is something else. */
	CHECK_INT(images_open(&other, here.folder, false, &err), 0);
	CHECK_INT(other.tips, -1);
	CHECK_INT(tip_each(&other, name_seen, NULL, &err), 0);
	CHECK_INT(tip_open(&other, "a", &tip, &err), -ENOENT);
	images_close(&other);
	CHECK(symlink(aside, tips) == 0);
	CHECK(images_open(&other, here.folder, false, &err) < 0);
	CHECK(images_open(&other, here.folder, true, &err) < 0);
	CHECK(unlink(tips) == 0);
	file_put(tips, "", 0);
	CHECK(images_open(&other, here.folder, false, &err) < 0);
	CHECK(unlink(tips) == 0);
	CHECK_INT(images_open(&other, here.folder, true, &err), 0);
	images_close(&other);
	CHECK(chmod(here.folder, 0777) == 0);
	CHECK_INT(images_open(&other, here.folder, true, &err), -EPERM);
	CHECK(chmod(here.folder, 0700) == 0);
	CHECK_INT(images_open(&other, "/nowhere/at/all", false, &err), -ENOENT);
}

/* ---- what is no chain ------------------------------------------------------
 */

static void check_chain(const struct here *here, const uint8_t *const *ids,
			uint32_t count, const char *words)
{
	uint8_t list[LAYER_DEPTH_MOST + 1][LAYER_ID];
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };
	int before = open_descriptors();

	for (uint32_t i = 0; i < count; i++)
		memcpy(list[i], ids[i], LAYER_ID);
	CHECK(tip_compose(&here->images, (const void *)list, count, &tip,
			  &err) < 0);
	if (!strstr(err.text, words))
		printf("# %s\n", err.text);
	CHECK(strstr(err.text, words));
	CHECK_INT(open_descriptors(), before);
}
#define CHAIN(words, ...)                                             \
	check_chain(&here, (const uint8_t *const[]){ __VA_ARGS__ },   \
		    sizeof((const uint8_t *const[]){ __VA_ARGS__ }) / \
			    sizeof(uint8_t *),                        \
		    words)

/* A layer with a header that was changed, and all its sums. */
static void relayer(const struct here *here, const char *hex,
		    void (*change)(struct layer_header *head), uint8_t *id)
{
	auto_buf struct buf bytes = { 0 };
	char name[STORE_HEX + 1];

	here_load(here, hex, &bytes);
	change((void *)bytes.data);
	layers_seal(bytes.data, bytes.len, name);
	here_put(here, name, bytes.data, bytes.len);
	CHECK(here_accepts(here, name));
	store_from_hex(name, id);
}

static void other_shape(struct layer_header *head)
{
	head->shape[0] ^= 1;
}

static void more_memory(struct layer_header *head)
{
	head->ram_bytes += 3 * LAYER_PAGE;
}

static uint8_t larger[LAYER_ID];
static void on_larger(struct layer_header *head)
{
	memcpy(head->parent, larger, LAYER_ID);
}

TEST(order_of_a_chain)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 7);
	const uint8_t *base = chain.ids[0], *d1 = chain.ids[1],
		      *d2 = chain.ids[2];
	uint8_t shape[LAYER_ID], size[LAYER_ID], none[LAYER_ID] = { 1 };

	CHAIN("difference to", base, d2);
	CHAIN("difference to", base, d2, d1);
	CHAIN("difference to", base, d1, d1);
	CHAIN("difference to", base, d1, d2, d2);
	CHAIN("difference to", base, d1, base);
	CHAIN("difference to", base, base);
	CHAIN("no base", d1);
	CHAIN("no base", d2, d1);
	CHAIN("there is none", none);
	CHAIN("there is none", base, none);
	relayer(&here, chain.hex[1], other_shape, shape);
	CHAIN("shape", base, shape);
	relayer(&here, chain.hex[1], more_memory, larger);
	relayer(&here, chain.hex[2], on_larger, size);
	CHAIN("bytes of memory", base, larger, size);
	check_chain(&here, NULL, 0, "without layers");
}

/* A difference may have more memory than what it stands on: there it was
 * zero. */
TEST(memory_that_grows)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 7);
	auto_tip struct tip tip = TIP_EMPTY, below = TIP_EMPTY;
	auto_view struct view view = { 0 }, before = { 0 };
	auto_ranges struct ranges where = { 0 };
	uint8_t ids[2][LAYER_ID];
	struct err err = { 0 };

	memcpy(ids[0], chain.ids[0], LAYER_ID);
	relayer(&here, chain.hex[1], more_memory, ids[1]);
	CHECK_INT(tip_compose(&here.images, ids, 2, &tip, &err), 0);
	CHECK_INT(tip.ram_bytes, (PAGES + 3) * LAYER_PAGE);
	CHECK(!runs_check(tip.runs, tip.run_count, tip.ram_bytes, 2));
	CHECK_INT(view_open(&tip, VIEW_MAP, &view, &err), 0);
	CHECK(memcmp(view.at, chain.memory[1].at, PAGES * LAYER_PAGE) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(pages_is_zero(view.at + (PAGES + i) * LAYER_PAGE));
	memcpy(ids[1], chain.ids[1], LAYER_ID);
	CHECK_INT(tip_compose(&here.images, ids, 2, &below, &err), 0);
	CHECK_INT(view_open(&below, VIEW_COPY, &before, &err), 0);
	CHECK_INT(diff_runs(&below, &tip, &where), 0);
	CHECK_INT(where.range[where.count - 1].offset +
			  where.range[where.count - 1].bytes,
		  tip.ram_bytes);
	CHECK_INT(tip_pop(&tip, &err), 0);
	CHECK_INT(tip.ram_bytes, PAGES * LAYER_PAGE);
}

/* Laid over each other against the rules they are another memory.
 * CLAIM 2.11 */
TEST(another_order_is_another_memory)
{
	static const int orders[][VMS] = {
		{ 0, 2, 1 }, { 0, 2, 2 }, { 0, 1, 1 }, { 0, 1, 2 }
	};
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 8);

	for (int i = 0; i < 4; i++) {
		auto_tip struct tip tip = TIP_EMPTY;
		auto_view struct view view = { 0 };
		struct err err = { 0 };

		for (int k = 0; k < VMS; k++)
			CHECK_INT(layer_open(&here.images,
					     chain.ids[orders[i][k]],
					     &tip.layers[k], &err),
				  0);
		tip.layer_count = VMS;
		tip.ram_bytes = PAGES * LAYER_PAGE;
		CHECK_INT(runs_of(tip.layers, VMS, &tip.runs, &tip.run_count,
				  &err),
			  0);
		CHECK_INT(view_open(&tip, VIEW_COPY, &view, &err), 0);
		CHECK_INT(memcmp(view.at, chain.memory[2].at, view.bytes) == 0,
			  i == 3);
	}
}

TEST(working_sets)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 9);
	auto_memory struct memory nothing = memory_new(PAGES);
	struct layer working = here_layer(
		&here, LAYER_WORKING, &chain.memory[0], &nothing, chain.ids[0]);
	struct layer above = here_layer(&here, LAYER_DIFF, &chain.memory[1],
					&chain.memory[0], working.head.id);
	struct layer other = here_layer(&here, LAYER_WORKING, &chain.memory[0],
					&nothing, working.head.id);
	uint8_t ids[2][LAYER_ID];
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	memcpy(ids[0], chain.ids[0], LAYER_ID);
	memcpy(ids[1], working.head.id, LAYER_ID);
	CHAIN("working set", chain.ids[0], working.head.id, above.head.id);
	CHAIN("working set", chain.ids[0], working.head.id, other.head.id);
	CHAIN("no base", working.head.id);
	CHECK_INT(publish(&here, (const void *)ids, 2, "w", &err), 0);
	CHECK_INT(tip_open(&here.images, "w", &tip, &err), 0);
	CHECK(tip.has_working && tip.layer_count == 2);
	CHECK(shows(&tip, chain.memory[0].at));
	CHECK(tip_push(&tip, &above, &err) < 0);
	CHECK(above.fd >= 0 && tip.layer_count == 2);
	layer_close(&working);
	layer_close(&above);
	layer_close(&other);
}

TEST(depth)
{
	auto_here struct here here = here_open();
	uint8_t ids[LAYER_DEPTH_MOST + 1][LAYER_ID];
	auto_memory struct memory now = memory_new(70);
	struct err err = { 0 };
	int before = open_descriptors();
	auto_tip struct tip tip = TIP_EMPTY;
	struct layer layer;

	for (int i = 0; i <= LAYER_DEPTH_MOST; i++) {
		auto_memory struct memory below = memory_copy(&now);

		memory_fill(&now, i, 2, i + 1);
		layer = here_layer(&here, i ? LAYER_DIFF : LAYER_BASE, &now,
				   i ? &below : NULL, i ? ids[i - 1] : NULL);
		memcpy(ids[i], layer.head.id, LAYER_ID);
		if (i + 1 == LAYER_DEPTH_MOST) {
			CHECK_INT(publish(&here, (const void *)ids,
					  LAYER_DEPTH_MOST, "deep", &err),
				  0);
			CHECK_INT(tip_open(&here.images, "deep", &tip, &err),
				  0);
			CHECK(shows(&tip, now.at));
		}
		if (i < LAYER_DEPTH_MOST)
			layer_close(&layer);
	}
	CHECK_INT(tip_push(&tip, &layer, &err), -E2BIG);
	CHECK(layer.fd >= 0 && tip.layer_count == LAYER_DEPTH_MOST);
	layer_close(&layer);
	tip_close(&tip);
	CHECK_INT(tip_compose(&here.images, (const void *)ids,
			      LAYER_DEPTH_MOST + 1, &tip, &err),
		  -E2BIG);
	CHECK_INT(open_descriptors(), before);
}

TEST(pushed)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 10);
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };
	struct layer layer;

	CHECK_INT(tip_compose(&here.images, (const void *)chain.ids, 1, &tip,
			      &err),
		  0);
	CHECK_INT(layer_open(&here.images, chain.ids[2], &layer, &err), 0);
	CHECK(tip_push(&tip, &layer, &err) < 0);
	CHECK(layer.fd >= 0);
	layer_close(&layer);
	CHECK(shows(&tip, chain.memory[0].at));
	for (int i = 1; i < VMS; i++) {
		CHECK_INT(layer_open(&here.images, chain.ids[i], &layer, &err),
			  0);
		CHECK_INT(tip_push(&tip, &layer, &err), 0);
		CHECK_INT(layer.fd, -1);
		CHECK(shows(&tip, chain.memory[i].at));
	}
}

/* ---- states and disks ------------------------------------------------------
 */

TEST(states_and_disks)
{
	static const uint8_t shape[LAYER_ID] = { 9 };
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 11);
	auto_tip struct tip tip = TIP_EMPTY;
	auto_tip struct tip again = TIP_EMPTY;
	struct err err = { 0 };
	int before;

	CHECK_INT(tip_compose(&here.images, (const void *)chain.ids, VMS, &tip,
			      &err),
		  0);
	before = open_descriptors();
	tip.words = strdup("{}");
	tip.state = here_file(&here, LAYER_STATE, layers_shape, "state", 5);
	for (int i = 0; i < TIP_DISKS_MOST; i++)
		tip.disks[tip.disk_count++] = here_file(
			&here, LAYER_DISK, layers_shape, &i, sizeof(i));
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), 0);
	CHECK_INT(tip_open(&here.images, "vm", &again, &err), 0);
	CHECK_INT(again.disk_count, TIP_DISKS_MOST);
	CHECK_TEXT(again.state.hex, tip.state.hex);
	for (int i = 0; i < TIP_DISKS_MOST; i++)
		CHECK_TEXT(again.disks[i].hex, tip.disks[i].hex);
	CHECK(shows(&again, chain.memory[2].at));
	tip_close(&again);
	CHECK_INT(store_object_remove(here.images.root, tip.disks[7].hex),
		  -EBUSY);
	CHECK_INT(store_object_remove(here.images.root, tip.state.hex), -EBUSY);
	/* Of another machine, and one in the place of the other. */
	layer_close(&tip.state);
	tip.state = here_file(&here, LAYER_STATE, shape, "state", 5);
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), 0);
	CHECK(tip_open(&here.images, "vm", &again, &err) < 0);
	CHECK(strstr(err.text, tip.state.hex));
	layer_close(&tip.state);
	tip.state = here_file(&here, LAYER_DISK, layers_shape, "state", 5);
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), 0);
	CHECK(tip_open(&here.images, "vm", &again, &err) < 0);
	CHECK(strstr(err.text, "no state"));
	layer_close(&tip.state);
	layer_close(&tip.disks[31]);
	tip.disks[31] = here_file(&here, LAYER_STATE, layers_shape, "disk", 4);
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), 0);
	CHECK(tip_open(&here.images, "vm", &again, &err) < 0);
	CHECK(strstr(err.text, "no disk"));
	while (tip.disk_count)
		layer_close(&tip.disks[--tip.disk_count]);
	CHECK_INT(open_descriptors(), before);
}

TEST(words)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 12);
	auto_tip struct tip tip = TIP_EMPTY;
	auto_tip struct tip again = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(tip_compose(&here.images, (const void *)chain.ids, 1, &tip,
			      &err),
		  0);
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), -EINVAL);
	tip.words = strdup("{\"a\":");
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), -EINVAL);
	free(tip.words);
	tip.words = malloc(TIP_WORDS_MOST + 2);
	memset(tip.words, ' ', TIP_WORDS_MOST + 1);
	memcpy(tip.words, "{}", 2);
	tip.words[TIP_WORDS_MOST + 1] = 0;
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), -EINVAL);
	tip.words[TIP_WORDS_MOST] = 0;
	CHECK_INT(tip_publish(&here.images, &tip, "vm", &err), 0);
	CHECK_INT(tip_open(&here.images, "vm", &again, &err), 0);
	CHECK_TEXT(again.words, tip.words);
}

/* ---- the file of a tip -----------------------------------------------------
 */

struct target {
	struct here *here;
	char *path;
	struct buf bytes;
};

static struct target target_of(struct here *here, const struct chain *chain)
{
	struct target target = { .here = here };
	struct layer disk =
		here_file(here, LAYER_DISK, layers_shape, "disk", 4);
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(tip_compose(&here->images, (const void *)chain->ids, VMS,
			      &tip, &err),
		  0);
	tip.words = strdup("{\"a\":1}");
	tip.disks[tip.disk_count++] = disk;
	CHECK_INT(tip_publish(&here->images, &tip, "vm", &err), 0);
	target.path = file_join(here->folder, "tips/vm");
	CHECK_INT(file_read(target.path, &target.bytes, 1 << 20, NULL), 0);
	return target;
}

static void target_fini(struct target *target)
{
	free(target->path);
	buf_fini(&target->bytes);
}
#define auto_target __attribute__((cleanup(target_fini)))

static bool tip_is_refused(const struct target *target, const void *bytes,
			   size_t len, const char *words)
{
	auto_tip struct tip tip = TIP_EMPTY;
	auto_tip struct tip read = TIP_EMPTY;
	struct err err = { 0 };
	struct tip_ids ids;

	file_put(target->path, bytes, len);
	if (tip_open(&target->here->images, "vm", &tip, &err) < 0 &&
	    strstr(err.text, words ? words : "tips/vm") &&
	    (words ||
	     tip_read(&target->here->images, "vm", &read, &ids, &err) < 0))
		return true;
	printf("# %s\n", err.text);
	return false;
}

TEST(each_byte_of_a_tip)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 13);
	auto_target struct target target = target_of(&here, &chain);
	auto_tip struct tip tip = TIP_EMPTY;
	uint64_t state = 1234567;
	struct err err = { 0 };

	CHECK(target.bytes.len > 400);
	for (size_t at = 0; at < target.bytes.len; at++) {
		uint8_t mask = (uint8_t)(1 + chance_of(&state, 255));

		target.bytes.data[at] ^= (char)mask;
		CHECK(tip_is_refused(&target, target.bytes.data,
				     target.bytes.len, NULL));
		target.bytes.data[at] ^= (char)mask;
	}
	for (size_t len = 0; len < target.bytes.len; len++)
		CHECK(tip_is_refused(&target, target.bytes.data, len, NULL));
	buf_add(&target.bytes, "", 1);
	CHECK(tip_is_refused(&target, target.bytes.data, target.bytes.len,
			     NULL));
	target.bytes.len--;
	file_put(target.path, target.bytes.data, target.bytes.len);
	CHECK_INT(tip_open(&here.images, "vm", &tip, &err), 0);
	CHECK(shows(&tip, chain.memory[2].at));
}

static void tip_seal(struct buf *bytes)
{
	struct tip_header *head = (void *)bytes->data;

	memset(head->id, 0, LAYER_ID);
	sha256_of(bytes->data, bytes->len, head->id);
}

#define TIP_LIES(words, ...)                                              \
	do {                                                              \
		auto_buf struct buf lie = { 0 };                          \
		struct tip_header *head;                                  \
		struct tip_run *runs;                                     \
		buf_add(&lie, target.bytes.data, target.bytes.len);       \
		head = (void *)lie.data;                                  \
		runs = (void *)(lie.data + sizeof(*head) +                \
				(VMS + 1) * LAYER_ID);                    \
		(void)runs;                                               \
		__VA_ARGS__;                                              \
		tip_seal(&lie);                                           \
		CHECK(tip_is_refused(&target, lie.data, lie.len, words)); \
	} while (0)

TEST(tips_that_lie)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 14);
	auto_target struct target target = target_of(&here, &chain);

	TIP_LIES("no tip", head->magic[6] = 'L');
	TIP_LIES("version", head->version = 2);
	TIP_LIES("version", head->version = 0);
	TIP_LIES("version", head->header_bytes = 144);
	TIP_LIES("size", head->ram_bytes = 0);
	TIP_LIES("size", head->ram_bytes |= 1);
	TIP_LIES("size", head->ram_bytes = UINT64_MAX - 4095);
	TIP_LIES("do not make up", head->ram_bytes += LAYER_PAGE);
	TIP_LIES("layers", head->layer_count = 0);
	TIP_LIES("layers", head->layer_count = UINT32_MAX);
	TIP_LIES("cut off", head->layer_count = 2);
	TIP_LIES("disks", head->disk_count = TIP_DISKS_MOST + 1);
	TIP_LIES("disks", head->disk_count = UINT32_MAX);
	TIP_LIES("disks", head->reserved = 1);
	TIP_LIES("cut off", head->disk_count = 0);
	TIP_LIES("pieces", head->run_count = 0);
	TIP_LIES("pieces", head->run_count = TIP_RUNS_MOST + 1);
	TIP_LIES("pieces", head->run_count = UINT32_MAX);
	TIP_LIES("cut off", head->run_count--);
	TIP_LIES("words", head->words_bytes = UINT32_MAX);
	TIP_LIES("words", head->has_working = 2);
	TIP_LIES("than it says", head->has_working = 1);
	TIP_LIES("than it says", head->shape[3] ^= 1);
	TIP_LIES("cut off", head->file_bytes++);
	TIP_LIES("there is none", head->state[3] = 1);
	TIP_LIES("words", lie.data[lie.len - 1] = 'x');
	TIP_LIES("words", lie.data[lie.len - 3] = 0);
	TIP_LIES("make up", runs[0].offset = LAYER_PAGE);
	TIP_LIES("make up", runs[1].offset -= LAYER_PAGE);
	TIP_LIES("make up", runs[0].bytes = 0);
	TIP_LIES("make up", runs[0].bytes = UINT64_MAX - 4095);
	TIP_LIES("make up", runs[0].bytes |= 1);
	TIP_LIES("make up", runs[0].bytes += LAYER_PAGE);
	TIP_LIES("no layer", runs[0].layer = VMS);
	TIP_LIES("no layer", runs[0].layer = UINT32_MAX - 1);
	TIP_LIES("unknown flags", runs[0].flags = LAYER_ZERO);
	for (uint32_t i = 0; i < 8; i++) {
		struct tip_run *run =
			(void *)(target.bytes.data + sizeof(struct tip_header) +
				 (VMS + 1) * LAYER_ID);

		if (run[i].layer == TIP_ZERO) {
			TIP_LIES("no layer", runs[i].file_at = 4096);
			TIP_LIES("out of its layer",
				 (runs[i].layer = 0, runs[i].file_at = 4096));
			continue;
		}
		TIP_LIES("make up", runs[i].file_at |= 512);
		TIP_LIES("no layer", runs[i].layer = TIP_ZERO);
		TIP_LIES("out of its layer", runs[i].file_at = 0);
		TIP_LIES("out of its layer",
			 runs[i].file_at = UINT64_MAX - 4095);
		TIP_LIES("out of its layer", runs[i].file_at = UINT64_C(1)
							       << 30);
	}
}

TEST(owner_of_a_tip)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 15);
	auto_target struct target target = target_of(&here, &chain);
	auto_tip struct tip tip = TIP_EMPTY;
	auto_free char *aside = file_join(here.folder, "aside");
	struct err err = { 0 };

	CHECK(chmod(target.path, 0464) == 0);
	CHECK(tip_open(&here.images, "vm", &tip, &err) < 0);
	CHECK(strstr(err.text, "others may write"));
	CHECK(chmod(target.path, 0444) == 0);
	CHECK(rename(target.path, aside) == 0);
	CHECK(symlink(aside, target.path) == 0);
	CHECK(tip_open(&here.images, "vm", &tip, &err) < 0);
	CHECK(strstr(err.text, "a link"));
	CHECK(unlink(target.path) == 0 && mkfifo(target.path, 0400) == 0);
	CHECK(tip_open(&here.images, "vm", &tip, &err) < 0);
	/* It is replaced nevertheless. */
	CHECK_INT(publish(&here, (const void *)chain.ids, 1, "vm", &err), 0);
	CHECK_INT(tip_open(&here.images, "vm", &tip, &err), 0);
	tip_close(&tip);
	if (geteuid() != 0)
		SKIP("only root can give files away");
	CHECK(chown(target.path, 12345, (gid_t)-1) == 0);
	CHECK(tip_open(&here.images, "vm", &tip, &err) < 0);
	CHECK(strstr(err.text, "another user"));
}

TEST(a_damaged_layer_is_named)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 16);
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(publish(&here, (const void *)chain.ids, VMS, "vm", &err), 0);
	for (int i = 0; i < VMS; i++) {
		auto_buf struct buf bytes = { 0 };

		here_load(&here, chain.hex[i], &bytes);
		bytes.data[bytes.len - 1] ^= 1;
		here_put(&here, chain.hex[i], bytes.data, bytes.len);
		CHECK_INT(tip_open(&here.images, "vm", &tip, &err), -EBADMSG);
		CHECK(strstr(err.text, chain.hex[i]));
		bytes.data[bytes.len - 1] ^= 1;
		here_put(&here, chain.hex[i], bytes.data, bytes.len);
		CHECK_INT(tip_open(&here.images, "vm", &tip, &err), 0);
		tip_close(&tip);
	}
}

/* ---- leases ----------------------------------------------------------------
 */

TEST(used_ones_are_not_removed)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 20);
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	CHECK_INT(publish(&here, (const void *)chain.ids, VMS, "vm", &err), 0);
	CHECK_INT(tip_open(&here.images, "vm", &tip, &err), 0);
	for (int i = 0; i < VMS; i++)
		CHECK_INT(store_object_remove(here.images.root, chain.hex[i]),
			  -EBUSY);
	CHECK_INT(tip_remove(&here.images, "vm", &err), 0);
	CHECK_INT(store_object_remove(here.images.root, chain.hex[0]), -EBUSY);
	CHECK(shows(&tip, chain.memory[2].at));
	tip_close(&tip);
	for (int i = 0; i < VMS; i++)
		CHECK_INT(store_object_remove(here.images.root, chain.hex[i]),
			  0);
	CHECK_INT(store_object_remove(here.images.root, chain.hex[0]), -ENOENT);
}

/* The lease goes where the descriptor goes. */
TEST(used_by_another_process)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 21);
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };
	int ends[2], fd = -1, count = 0;
	char byte;
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		fd_receive(ends[1], &byte, 1, &fd, 1, &count, NULL);
		(void)!write(ends[1], "x", 1);
		(void)!read(ends[1], &byte, 1); /* until the other end closes */
		_exit(count != 1);
	}
	close(ends[1]);
	CHECK_INT(tip_compose(&here.images, (const void *)chain.ids, VMS, &tip,
			      &err),
		  0);
	CHECK(fd_send(ends[0], "x", 1, &tip.layers[1].fd, 1, NULL) >= 0);
	CHECK(read(ends[0], &byte, 1) == 1);
	tip_close(&tip);
	CHECK_INT(store_object_remove(here.images.root, chain.hex[1]), -EBUSY);
	CHECK_INT(store_object_remove(here.images.root, chain.hex[2]), 0);
	close(ends[0]);
	CHECK_INT(status_of(pid), 0);
	CHECK_INT(store_object_remove(here.images.root, chain.hex[1]), 0);
}

/* An opener that comes too late has nothing, not half of it. */
TEST(removed_before_it_is_leased)
{
	auto_here struct here here = here_open();
	auto_chain struct chain chain = chain_make(&here, 22);
	auto_free char *path = here_path(&here, chain.hex[0]);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK_INT(store_object_remove(here.images.root, chain.hex[0]), 0);
	CHECK_INT(store_object_lease(fd), -ENOENT);
}

/* ---- all at once -----------------------------------------------------------
 */

struct needed {
	const struct here *here;
	char hex[8][STORE_HEX + 1];
	int count;
};

static int need(const char *name, void *context)
{
	struct needed *needed = context;
	auto_tip struct tip tip = TIP_EMPTY;
	struct tip_ids ids;
	struct err err = { 0 };

	if (tip_read(&needed->here->images, name, &tip, &ids, &err) < 0)
		return 0;
	for (uint32_t i = 0; i < ids.layer_count && needed->count < 8; i++)
		store_hex(ids.layers[i], LAYER_ID,
			  needed->hex[needed->count++]);
	return 0;
}

/* What no tip names goes, while nobody publishes. */
static void sweep_once(const struct here *here)
{
	struct needed needed = { .here = here };
	auto_close int lock = images_lock(&here->images, false, NULL);
	DIR *dir = opendir(here->folder);
	struct dirent *entry;

	tip_each(&here->images, need, &needed, NULL);
	while (dir && (entry = readdir(dir))) {
		bool keep = !store_is_name(entry->d_name);

		for (int i = 0; i < needed.count; i++)
			keep |= strcmp(entry->d_name, needed.hex[i]) == 0;
		if (!keep)
			store_object_remove(here->images.root, entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static struct memory raced_memory(uint64_t which)
{
	struct memory memory = memory_new(60);

	memory_fill(&memory, 0, 60, 100 + which % 2);
	memory_fill(&memory, 10, 20, 200 + which);
	return memory;
}

/* Gives the name to one after another; all of it is new each time. */
static int publish_once(const struct here *here, uint64_t which)
{
	auto_memory struct memory first = raced_memory(which % 2);
	auto_memory struct memory second = raced_memory(which % 3);
	auto_tip struct tip tip = TIP_EMPTY;
	struct layer base, diff;
	struct err err = { 0 };
	int rc = here_write(here, LAYER_BASE, &first, NULL, NULL, &base, &err);

	if (rc >= 0)
		rc = tip_push(&tip, &base, &err);
	if (rc >= 0)
		rc = here_write(here, LAYER_DIFF, &second, &first,
				tip.layers[0].head.id, &diff, &err);
	if (rc >= 0)
		rc = tip_push(&tip, &diff, &err);
	tip.words = strdup("{}");
	if (rc >= 0)
		rc = tip_publish(&here->images, &tip, "raced", &err);
	if (rc < 0)
		printf("# publish: %s\n", err.text);
	return rc;
}

static bool opened_right(const struct here *here)
{
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };
	bool right = false;

	if (tip_open(&here->images, "raced", &tip, &err) < 0) {
		printf("# open: %s\n", err.text);
		return false;
	}
	for (uint64_t which = 0; which < 3 && !right; which++) {
		auto_memory struct memory memory = raced_memory(which);
		auto_view struct view view = { 0 };

		right = view_open(&tip, VIEW_MAP, &view, &err) >= 0 &&
			memcmp(view.at, memory.at, view.bytes) == 0;
	}
	return right;
}

enum { RACE_MS = 3000 };

static pid_t race_with(const struct here *here, int what)
{
	uint64_t end = clock_deadline(RACE_MS), rounds = 0;
	pid_t pid;
	int bad = 0;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	for (; clock_left_ms(end) && !bad; rounds++)
		if (what == 0)
			bad = publish_once(here, rounds) < 0;
		else if (what == 1)
			sweep_once(here);
		else
			bad = !opened_right(here);
	printf("# %s %lu times\n",
	       what == 0   ? "published"
	       : what == 1 ? "swept"
			   : "opened",
	       rounds);
	fflush(stdout);
	_exit(bad);
}

TEST(opened_while_replaced_and_swept)
{
	auto_here struct here here = here_open();
	pid_t pid[6];

	CHECK_INT(publish_once(&here, 0), 0);
	for (int i = 0; i < 6; i++)
		pid[i] = race_with(&here, i < 3 ? i : i % 3 == 1 ? 0 : 2);
	for (int i = 0; i < 6; i++)
		CHECK_INT(status_of(pid[i]), 0);
	CHECK(opened_right(&here));
	CHECK_INT(here_litter(&here, "") + here_litter(&here, "tips"), 0);
}

TEST_MAIN
