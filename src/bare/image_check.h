/* SPDX-License-Identifier: Apache-2.0 */
/* Is this run of bytes the header of an image that may be used?  And typed
 * access to the tables of one that is. */
#pragma once
#include "brood/program_image.h"
#include "brood/start_entry.h"
#include <stddef.h>

/* NULL when all invariants hold, else words for the first that does not.
 * len: bytes readable at image; file_bytes: the file's size. */
const char *image_check(const struct program_image *image, size_t len,
			uint64_t file_bytes);
/* Checksum of len bytes with the four at "field" taken as 0. */
uint32_t image_sum(const void *data, size_t len, size_t field);
const char *entry_check(const struct start_entry *entry, size_t len);

static inline const struct image_file *
image_files(const struct program_image *image)
{
	return (const void *)((const char *)image + image->files_at);
}
static inline const struct image_map *
image_maps(const struct program_image *image)
{
	return (const void *)((const char *)image + image->maps_at);
}
static inline const struct image_fact *
image_facts(const struct program_image *image)
{
	return (const void *)((const char *)image + image->facts_at);
}
static inline const char *image_string(const struct program_image *image,
				       uint32_t at)
{
	return (const char *)image + image->strings_at + at;
}
