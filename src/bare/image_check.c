/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that says what a usable image and a usable entry are. */
#include "bare/image_check.h"
#include "bare/crc.h"
#include <string.h>

enum { PAGE = 4096 };
#define ADDRESS_END (1ull << 47)

/* A starter computes this for every launch: no CRC instruction, since to ask
 * the CPU whether it has one takes microseconds in a virtual machine. */
uint32_t image_sum(const void *data, size_t len, size_t field)
{
	static const uint32_t zero;
	uint64_t sum = crc_hash(IMAGE_VERSION, data, field);

	sum = crc_hash(sum, &zero, sizeof zero);
	return crc_hash(sum, (const char *)data + field + 4, len - field - 4);
}

static int image_table_fits(const struct program_image *image, uint32_t at,
			    uint32_t count, uint32_t most, size_t size)
{
	return count <= most && at >= sizeof *image && at % 8 == 0 &&
	       at <= image->header_bytes &&
	       (uint64_t)count * size <= image->header_bytes - at;
}

static const char *image_check_tables(const struct program_image *image)
{
	if (!image_table_fits(image, image->files_at, image->file_count,
			      IMAGE_FILES_MOST, sizeof(struct image_file)) ||
	    !image_table_fits(image, image->maps_at, image->map_count,
			      IMAGE_MAPS_MOST, sizeof(struct image_map)) ||
	    !image_table_fits(image, image->facts_at, image->fact_count,
			      IMAGE_FACTS_MOST, sizeof(struct image_fact)))
		return "a table lies outside";
	if (!image_table_fits(image, image->strings_at, image->string_bytes,
			      IMAGE_HEADER_MOST, 1) ||
	    image->string_bytes < 1 ||
	    image_string(image, 0)[image->string_bytes - 1] != 0 ||
	    image_string(image, 0)[0] != 0)
		return "its strings lie outside";
	if (image->exe_file >= image->file_count)
		return "it names no program";
	if (image->interpreter_file >= image->file_count)
		return "it names no interpreter";
	return NULL;
}

static const char *image_check_strings(const struct program_image *image)
{
	const struct image_file *file = image_files(image);
	const struct image_fact *fact = image_facts(image);

	for (uint32_t i = 0; i < image->file_count; i++)
		if (file[i].path >= image->string_bytes)
			return "a file's name lies outside";
	for (uint32_t i = 0; i < image->fact_count; i++)
		if (fact[i].name >= image->string_bytes ||
		    fact[i].text >= image->string_bytes)
			return "a fact's name lies outside";
	return NULL;
}

static const char *image_check_map(const struct program_image *image,
				   const struct image_map *map, uint64_t after)
{
	if (map->addr % PAGE || map->len % PAGE || map->at % PAGE ||
	    map->len == 0)
		return "a mapping is not aligned";
	if (map->addr < after || map->addr >= ADDRESS_END ||
	    map->len > ADDRESS_END - map->addr)
		return "mappings overlap";
	if (map->prot & ~7)
		return "a mapping has unknown rights";
	if (map->file < IMAGE_FROM_NOTHING ||
	    (map->file >= 0 && (uint32_t)map->file >= image->file_count))
		return "a mapping names no file";
	if (map->file == IMAGE_FROM_SAVED &&
	    (map->at < image->header_bytes || map->at > image->file_bytes ||
	     map->len > image->file_bytes - map->at))
		return "saved memory lies outside";
	return NULL;
}

static const char *image_check_maps(const struct program_image *image)
{
	const struct image_map *map = image_maps(image);
	uint64_t after = PAGE;

	for (uint32_t i = 0; i < image->map_count; i++) {
		const char *wrong = image_check_map(image, &map[i], after);

		if (wrong)
			return wrong;
		after = map[i].addr + map[i].len;
	}
	return NULL;
}

/* Where the resume jumps to has to be code of the image. */
static const char *image_check_resume(const struct program_image *image)
{
	const struct image_map *map = image_maps(image);

	if (!(image->flags & IMAGE_CAN_HATCH))
		return NULL;
	for (uint32_t i = 0; i < image->map_count; i++)
		if (image->resume >= map[i].addr &&
		    image->resume - map[i].addr < map[i].len)
			return map[i].prot & 4 ? NULL
					       : "its resume is not code";
	return "its resume lies outside";
}

const char *image_check(const struct program_image *image, size_t len,
			uint64_t file_bytes)
{
	const char *wrong;

	if (len < sizeof *image || image->magic != IMAGE_MAGIC)
		return "is not an image";
	if (image->version != IMAGE_VERSION ||
	    image->struct_bytes != sizeof *image)
		return "is of another version";
	if (image->header_bytes < sizeof *image || image->header_bytes % PAGE ||
	    image->header_bytes > IMAGE_HEADER_MOST ||
	    image->header_bytes > len)
		return "has a header of a wrong size";
	if (image->file_bytes != file_bytes ||
	    image->file_bytes < image->header_bytes)
		return "has another size than it says";
	if (image_sum(image, image->header_bytes,
		      offsetof(struct program_image, header_sum)) !=
	    image->header_sum)
		return "is damaged";
	wrong = image_check_tables(image);
	if (!wrong)
		wrong = image_check_strings(image);
	if (!wrong)
		wrong = image_check_maps(image);
	if (!wrong)
		wrong = image_check_resume(image);
	return wrong;
}

static int entry_ends(const char *text, size_t room)
{
	return memchr(text, 0, room) != NULL;
}

static const char *entry_check_words(const struct start_entry *entry)
{
	uint32_t ends = 0;

	if (entry->base_bytes > sizeof entry->base_argv ||
	    (entry->base_argc > 0 &&
	     (entry->base_bytes == 0 ||
	      entry->base_argv[entry->base_bytes - 1] != 0)))
		return "has arguments without end";
	for (uint32_t i = 0; entry->base_argc && i < entry->base_bytes; i++)
		ends += entry->base_argv[i] == 0;
	return ends == entry->base_argc ? NULL
					: "has other arguments than it says";
}

const char *entry_check(const struct start_entry *entry, size_t len)
{
	if (len < sizeof *entry || entry->magic != ENTRY_MAGIC)
		return "is not an entry";
	if (entry->version != ENTRY_VERSION ||
	    entry->struct_bytes != sizeof *entry)
		return "is of another version";
	if (image_sum(entry, sizeof *entry,
		      offsetof(struct start_entry, sum)) != entry->sum)
		return "is damaged";
	if (!entry_ends(entry->program, sizeof entry->program) ||
	    !entry_ends(entry->image, sizeof entry->image) ||
	    !entry_ends(entry->live, sizeof entry->live) ||
	    !entry_ends(entry->control, sizeof entry->control) ||
	    !entry_ends(entry->keeper, sizeof entry->keeper) ||
	    !entry_ends(entry->key, sizeof entry->key) ||
	    !entry_ends(entry->status, sizeof entry->status))
		return "has a path without end";
	return entry_check_words(entry);
}
