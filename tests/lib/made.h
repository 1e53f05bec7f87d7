/* SPDX-License-Identifier: Apache-2.0 */
/* Files and packets that are right in all, made in memory: tests change one
 * thing in them and look what the checks say. */
#pragma once
#include "bare/image_check.h"
#include "brood/wire.h"
#include <stddef.h>
#include <string.h>

enum { MADE_IMAGE = 4096, MADE_IMAGE_FILE = 4096 + 8192 };

/* After a change: the checksum that fits again. */
static inline void made_image_sum(struct program_image *image)
{
	image->header_sum = image_sum(
		image, MADE_IMAGE, offsetof(struct program_image, header_sum));
}

static inline void made_entry_sum(struct start_entry *entry)
{
	entry->sum = image_sum(entry, sizeof *entry,
			       offsetof(struct start_entry, sum));
}

/* Two files, four mappings, three facts; room has MADE_IMAGE bytes. */
static inline struct program_image *made_image(void *room)
{
	static const char strings[] = "\0/usr/bin/x\0/lib/ld.so\0LANG\0C";
	static const struct image_file files[] = {
		{ .dev = 1, .ino = 2, .size = 3, .path = 1 },
		{ .dev = 1, .ino = 3, .size = 4, .path = 12 },
	};
	static const struct image_map maps[] = {
		{ 0x10000, 0x2000, 0, 5, 0 },
		{ 0x12000, 0x1000, 4096, 3, IMAGE_FROM_SAVED },
		{ 0x20000, 0x1000, 0, 3, IMAGE_FROM_NOTHING },
		{ 0x7ff000000000, 0x1000, 8192, 3, IMAGE_FROM_SAVED },
	};
	static const struct image_fact facts[] = {
		{ FACT_ENVIRONMENT, 0, 23, 28, 0 },
		{ FACT_FILE, 0, 1, 0, 7 },
		{ FACT_DESCRIPTOR, 2, 0, 0, 1 },
	};
	struct program_image *image = room;

	memset(room, 0, MADE_IMAGE);
	*image = (struct program_image){
		.magic = IMAGE_MAGIC,
		.version = IMAGE_VERSION,
		.struct_bytes = sizeof *image,
		.header_bytes = MADE_IMAGE,
		.file_bytes = MADE_IMAGE_FILE,
		.flags = IMAGE_CAN_CLONE | IMAGE_CAN_HATCH,
		.file_count = 2,
		.map_count = 4,
		.fact_count = 3,
		.string_bytes = sizeof strings,
		.files_at = 1024,
		.maps_at = 1536,
		.facts_at = 2048,
		.strings_at = 2560,
		.exe_file = 0,
		.interpreter_file = 1,
		.resume = 0x10010,
	};
	memcpy((char *)room + image->files_at, files, sizeof files);
	memcpy((char *)room + image->maps_at, maps, sizeof maps);
	memcpy((char *)room + image->facts_at, facts, sizeof facts);
	memcpy((char *)room + image->strings_at, strings, sizeof strings);
	made_image_sum(image);
	return image;
}

static inline void made_entry(struct start_entry *entry)
{
	static const char words[] = "one\0two";

	memset(entry, 0, sizeof *entry);
	entry->magic = ENTRY_MAGIC;
	entry->version = ENTRY_VERSION;
	entry->struct_bytes = sizeof *entry;
	entry->base_argc = 2;
	entry->base_bytes = sizeof words;
	strcpy(entry->program, "/usr/bin/x");
	strcpy(entry->image, "/home/u/.cache/brood/image");
	strcpy(entry->live, "/run/user/1/brood/live");
	memcpy(entry->base_argv, words, sizeof words);
	made_entry_sum(entry);
}

/* A launch of "a b" with X=1 and descriptors 0, 1, 2; its whole size. */
static inline size_t made_launch(struct wire_launch *launch, size_t room)
{
	static const char strings[] = "a\0b\0X=1";
	size_t size = sizeof *launch + sizeof strings;

	if (room < size)
		return 0;
	memset(launch, 0, sizeof *launch);
	launch->head = (struct wire_head){ WIRE_MAGIC, WIRE_VERSION,
					   WIRE_LAUNCH, (uint32_t)size, 0 };
	launch->argc = 2;
	launch->envc = 1;
	launch->string_bytes = sizeof strings;
	launch->fd_count = 3;
	for (int i = 0; i < 3; i++)
		launch->fd_number[i] = i;
	memcpy(launch->strings, strings, sizeof strings);
	return size;
}
