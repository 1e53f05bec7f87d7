/* SPDX-License-Identifier: Apache-2.0 */
/* Any changes of a right image and of a right entry, checksum made good: what
 * is accepted lies within its bounds.  Input: changes of ten bytes each, a
 * place and a value; the first byte says of which file. */
#include "lib/made.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

static void change(void *file, size_t file_size, const uint8_t *data,
		   size_t size)
{
	for (; size >= 10; data += 10, size -= 10) {
		uint16_t at;

		memcpy(&at, data, sizeof at);
		memcpy((char *)file + at % (file_size - 7), data + 2, 8);
	}
}

/* What a starter does with an image that it trusts. */
static void use_image(const struct program_image *image)
{
	const struct image_map *map = image_maps(image);
	uint64_t after = 0;
	size_t len = 0;

	for (uint32_t i = 0; i < image->file_count; i++)
		len += strlen(image_string(image, image_files(image)[i].path));
	for (uint32_t i = 0; i < image->fact_count; i++) {
		const struct image_fact *fact = &image_facts(image)[i];

		len += strlen(image_string(image, fact->name));
		len += strlen(image_string(image, fact->text));
	}
	for (uint32_t i = 0; i < image->map_count; i++) {
		require(map[i].addr >= after && map[i].len > 0);
		after = map[i].addr + map[i].len;
		require(after > map[i].addr && after <= 1ull << 47);
		if (map[i].file >= 0)
			require((uint32_t)map[i].file < image->file_count);
		else if (map[i].file == IMAGE_FROM_SAVED)
			require(map[i].at + map[i].len <= image->file_bytes);
	}
	require(image->exe_file < image->file_count && len < MADE_IMAGE * 1000);
}

static void use_entry(const struct start_entry *entry)
{
	const char *word = entry->base_argv;

	for (uint32_t i = 0; i < entry->base_argc; i++) {
		require(word < entry->base_argv + sizeof entry->base_argv);
		word += strlen(word) + 1;
	}
	require(strlen(entry->program) < sizeof entry->program);
	require(strlen(entry->live) < sizeof entry->live);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program_image *image = malloc(MADE_IMAGE);
	struct start_entry *entry = malloc(sizeof *entry);

	if (!image || !entry || size == 0)
		goto out;
	if (data[0] % 2) {
		made_image(image);
		change(image, MADE_IMAGE, data + 1, size - 1);
		made_image_sum(image);
		if (!image_check(image, MADE_IMAGE, MADE_IMAGE_FILE))
			use_image(image);
	} else {
		made_entry(entry);
		change(entry, sizeof *entry, data + 1, size - 1);
		made_entry_sum(entry);
		if (!entry_check(entry, sizeof *entry))
			use_entry(entry);
	}
out:
	free(image);
	free(entry);
	return 0;
}
