/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a tip, and any changes of a right one: what is accepted has
 * all that it says within its bounds and makes up a memory.  Input: a byte
 * that says what it is (bytes, bytes that are sealed, changes, changes that
 * are sealed, the same cut off), then the bytes, or changes of ten bytes
 * each: a place and a value. */
#include "base/sha256.h"
#include "brood/layer_format.h"
#include "image/tip.h"
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 3, DISKS = 1, RUNS = 5, WORDS = 14 };
enum { BYTES, BYTES_SEALED, CHANGES, CHANGES_SEALED, CUT, WAYS };

static const char words[WORDS + 1] = "{\"a\":[1,true]}";

struct made {
	struct tip_header head;
	uint8_t ids[LAYERS + DISKS][LAYER_ID];
	struct tip_run runs[RUNS];
	char words[WORDS];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

static void seal(uint8_t *bytes, size_t len)
{
	struct tip_header *head = (void *)bytes;

	if (len < sizeof(*head))
		return;
	memset(head->id, 0, LAYER_ID);
	sha256_of(bytes, len, head->id);
}

static void make(struct made *made)
{
	const size_t len = offsetof(struct made, words) + WORDS;
	struct tip_header *head = &made->head;

	memset(made, 0, sizeof(*made));
	memcpy(head->magic, TIP_MAGIC, sizeof(head->magic));
	head->version = LAYER_VERSION;
	head->header_bytes = sizeof(*head);
	head->layer_count = LAYERS;
	head->disk_count = DISKS;
	head->run_count = RUNS;
	head->words_bytes = WORDS;
	head->ram_bytes = RUNS * 4 * LAYER_PAGE;
	head->file_bytes = len;
	memset(made->ids, 7, sizeof(made->ids));
	for (uint32_t i = 0; i < RUNS; i++)
		made->runs[i] = (struct tip_run){
			.offset = i * 4 * LAYER_PAGE,
			.bytes = 4 * LAYER_PAGE,
			.layer = i < LAYERS ? i : TIP_ZERO,
			.file_at = i < LAYERS ? LAYER_PAGE : 0,
			.flags = i & LAYER_HOT,
		};
	memcpy(made->words, words, WORDS);
	seal((void *)made, len);
}

static void change(uint8_t *bytes, size_t len, const uint8_t *data, size_t size)
{
	for (; size >= 10; data += 10, size -= 10) {
		uint16_t at;

		memcpy(&at, data, sizeof(at));
		memcpy(bytes + at % (len - 8), data + 2, 8);
	}
}

/* Reads all that it names, as who opens it does. */
static void use(const uint8_t *bytes, size_t len)
{
	const struct tip_header *head = (const void *)bytes;
	const uint8_t *ids = bytes + sizeof(*head);
	const struct tip_run *runs =
		(const void *)(ids + (head->layer_count + head->disk_count) *
					     (size_t)LAYER_ID);
	uint64_t at = 0, sum = 0;

	require(head->layer_count && head->layer_count <= LAYER_DEPTH_MOST);
	require(head->disk_count <= TIP_DISKS_MOST);
	require((const uint8_t *)(runs + head->run_count) + head->words_bytes ==
		bytes + len);
	for (const uint8_t *id = ids; id < (const uint8_t *)runs; id++)
		sum += *id;
	for (uint32_t i = 0; i < head->run_count; i++) {
		require(runs[i].offset == at && runs[i].bytes);
		require(runs[i].bytes % LAYER_PAGE == 0);
		require(runs[i].layer == TIP_ZERO ||
			runs[i].layer < head->layer_count);
		require(runs[i].bytes <= head->ram_bytes - at);
		at += runs[i].bytes;
	}
	require(at == head->ram_bytes);
	__asm__ volatile("" : : "r"(sum)); /* as if it were wanted */
}

static void try_tip(const uint8_t *bytes, size_t len, bool is_wrong)
{
	uint8_t *part = malloc(len ? len : 1);
	const char *why;

	if (!part)
		return;
	memcpy(part, bytes, len);
	why = tip_check(part, len);
	require(why || !is_wrong);
	if (!why)
		use(part, len);
	free(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t whole = offsetof(struct made, words) + WORDS;
	struct made made, kept;
	uint8_t *copy;
	int way;

	if (size < 2)
		return 0;
	way = data[0] % WAYS;
	data++, size--;
	if (way == BYTES || way == BYTES_SEALED) {
		copy = malloc(size);
		if (!copy)
			return 0;
		memcpy(copy, data, size);
		if (way == BYTES_SEALED)
			seal(copy, size);
		try_tip(copy, size, false);
		free(copy);
		return 0;
	}
	make(&made);
	kept = made;
	change((void *)&made, whole, data, size);
	if (way == CHANGES_SEALED)
		seal((void *)&made, whole);
	if (way == CUT)
		try_tip((void *)&made, whole * data[0] / 256, true);
	else
		try_tip((void *)&made, whole,
			way == CHANGES && memcmp(&made, &kept, whole) != 0);
	return 0;
}
