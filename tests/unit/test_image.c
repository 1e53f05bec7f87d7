/* SPDX-License-Identifier: Apache-2.0 */
/* Images, entries and packets: what is right is accepted; one bit, one byte
 * less, one field beyond its bounds is not. */
#include "bare/wire_check.h"
#include "lib/made.h"
#include "test.h"

static _Alignas(4096) char room[MADE_IMAGE + 4096];

static const char *check_made(struct program_image *image)
{
	made_image_sum(image);
	return image_check(image, MADE_IMAGE, MADE_IMAGE_FILE);
}

TEST(a_right_image)
{
	CHECK_TEXT(check_made(made_image(room)) ? "refused" : "", "");
}

TEST(every_bit_of_the_header_counts)
{
	struct program_image *image = made_image(room);
	int accepted = 0;

	for (size_t i = 0; i < MADE_IMAGE * 8; i++) {
		room[i / 8] ^= 1 << i % 8;
		accepted += !image_check(image, MADE_IMAGE, MADE_IMAGE_FILE);
		room[i / 8] ^= 1 << i % 8;
	}
	CHECK_INT(accepted, 0);
}

TEST(every_length_but_the_right_one)
{
	struct program_image *image = made_image(room);
	int accepted = 0;

	for (size_t len = 0; len < MADE_IMAGE; len++)
		accepted += !image_check(image, len, MADE_IMAGE_FILE);
	for (size_t size = 0; size < 2 * MADE_IMAGE_FILE; size += 512)
		accepted += size != MADE_IMAGE_FILE &&
			    !image_check(image, MADE_IMAGE, size);
	CHECK_INT(accepted, 0);
}

/* Changes with a good checksum. */
#define REFUSED(words, ...)                                      \
	do {                                                     \
		struct program_image *image = made_image(room);  \
		struct image_map *map = (void *)(room + 1536);   \
		struct image_file *file = (void *)(room + 1024); \
		struct image_fact *fact = (void *)(room + 2048); \
		(void)map, (void)file, (void)fact;               \
		__VA_ARGS__;                                     \
		CHECK_TEXT(check_made(image), words);            \
	} while (0)

TEST(tables_lie_in_the_header)
{
	REFUSED("a table lies outside", image->files_at = 8);
	REFUSED("a table lies outside", image->maps_at = MADE_IMAGE - 8);
	REFUSED("a table lies outside", image->facts_at = 2049);
	REFUSED("a table lies outside", image->map_count = 1u << 31);
	REFUSED("a table lies outside", image->facts_at = ~7u);
	REFUSED("its strings lie outside", image->string_bytes = MADE_IMAGE);
	REFUSED("its strings lie outside", image->string_bytes = 0);
	REFUSED("its strings lie outside", image->string_bytes--);
	REFUSED("it names no program", image->exe_file = 2);
	REFUSED("it names no interpreter", image->interpreter_file = 2);
	REFUSED("a file's name lies outside", file[1].path = 1 << 20);
	REFUSED("a fact's name lies outside", fact[0].name = 1 << 20);
	REFUSED("a fact's name lies outside", fact[0].text = 1 << 20);
}

TEST(mappings_are_in_order)
{
	REFUSED("a mapping is not aligned", map[0].addr += 8);
	REFUSED("a mapping is not aligned", map[1].len = 0);
	REFUSED("a mapping is not aligned", map[1].at = 4097);
	REFUSED("mappings overlap", map[0].len = 0x3000);
	REFUSED("mappings overlap", map[3].addr = 0x11000);
	REFUSED("mappings overlap", map[0].addr = 0);
	REFUSED("mappings overlap", map[3].len = ~0xfffull);
	REFUSED("mappings overlap", map[3].addr = 1ull << 47);
	REFUSED("a mapping has unknown rights", map[2].prot = 8);
	REFUSED("a mapping names no file", map[0].file = 2);
	REFUSED("a mapping names no file", map[0].file = -3);
	REFUSED("saved memory lies outside", map[1].at = 0);
	REFUSED("saved memory lies outside", map[1].at = MADE_IMAGE_FILE);
	REFUSED("saved memory lies outside", map[3].at = ~0xfffull);
}

TEST(the_resume_is_code)
{
	REFUSED("its resume is not code", image->resume = 0x12000);
	REFUSED("its resume lies outside", image->resume = 0x13000);
	REFUSED("its resume lies outside", image->resume = 0);
}

TEST(other_kinds_of_file)
{
	REFUSED("is not an image", image->magic++);
	REFUSED("is of another version", image->version++);
	REFUSED("is of another version", image->struct_bytes += 8);
	REFUSED("has a header of a wrong size", image->header_bytes = 8192);
	REFUSED("has a header of a wrong size", image->header_bytes = 0);
	REFUSED("has another size than it says", image->file_bytes = 0);
}

TEST(entries)
{
	static struct start_entry entry;
	char *bytes = (char *)&entry;
	int accepted = 0;

	made_entry(&entry);
	CHECK(!entry_check(&entry, sizeof entry));
	for (size_t i = 0; i < sizeof entry; i++) {
		bytes[i] ^= 0x10;
		accepted += !entry_check(&entry, sizeof entry);
		bytes[i] ^= 0x10;
	}
	for (size_t len = 0; len < sizeof entry; len++)
		accepted += !entry_check(&entry, len);
	CHECK_INT(accepted, 0);
}

#define ENTRY_REFUSED(words, change)                                  \
	do {                                                          \
		static struct start_entry entry;                      \
		made_entry(&entry);                                   \
		change;                                               \
		made_entry_sum(&entry);                               \
		CHECK_TEXT(entry_check(&entry, sizeof entry), words); \
	} while (0)
#define FILL(text) memset(text, 'x', sizeof(text))

TEST(strings_of_an_entry_end)
{
	ENTRY_REFUSED("has a path without end", FILL(entry.program));
	ENTRY_REFUSED("has a path without end", FILL(entry.image));
	ENTRY_REFUSED("has a path without end", FILL(entry.live));
	ENTRY_REFUSED("has a path without end", FILL(entry.control));
	ENTRY_REFUSED("has a path without end", FILL(entry.keeper));
	ENTRY_REFUSED("has a path without end", FILL(entry.key));
	ENTRY_REFUSED("has a path without end", FILL(entry.status));
	ENTRY_REFUSED("has arguments without end", FILL(entry.base_argv));
	ENTRY_REFUSED("has arguments without end", entry.base_bytes = 0);
	ENTRY_REFUSED("has arguments without end", entry.base_bytes = 8193);
	ENTRY_REFUSED("has other arguments than it says", entry.base_argc = 3);
	ENTRY_REFUSED("has other arguments than it says", entry.base_argc = 1);
}

/* ---- packets -------------------------------------------------------------- */

static union {
	struct wire_launch launch;
	char bytes[sizeof(struct wire_launch) + 64];
} packet;

TEST(a_right_launch)
{
	size_t size = made_launch(&packet.launch, sizeof packet);

	CHECK(size && !wire_check(&packet, size, 4, WIRE_LAUNCH));
	CHECK(!wire_check_strings(packet.launch.strings,
				  packet.launch.string_bytes, 2, 1));
	CHECK(wire_check(&packet, size, 4, WIRE_ASK));
	CHECK(wire_check(&packet, size, 3, WIRE_LAUNCH));
	CHECK(wire_check(&packet, size, -1, WIRE_LAUNCH));
}

TEST(no_other_length)
{
	size_t size = made_launch(&packet.launch, sizeof packet);
	int accepted = 0;

	for (size_t len = 0; len < sizeof packet; len++)
		accepted += len != size &&
			    !wire_check(&packet, len, 4, WIRE_LAUNCH);
	CHECK_INT(accepted, 0);
}

#define LAUNCH_REFUSED(words, change)                                        \
	do {                                                                 \
		size_t size = made_launch(&packet.launch, sizeof packet);    \
		struct wire_launch *launch = &packet.launch;                 \
		change;                                                      \
		CHECK_TEXT(wire_check(launch, size, 4, WIRE_LAUNCH), words); \
	} while (0)

TEST(fields_of_a_launch)
{
	LAUNCH_REFUSED("unknown flags", launch->flags = 2);
	LAUNCH_REFUSED("too many descriptors", launch->fd_count = 251);
	LAUNCH_REFUSED("descriptor numbers out of order",
		       launch->fd_number[1] = 0);
	LAUNCH_REFUSED("descriptor numbers out of order",
		       launch->fd_number[0] = -1);
	LAUNCH_REFUSED("descriptor numbers out of order",
		       launch->fd_number[2] = 1 << 21);
	LAUNCH_REFUSED("a wrong number of arguments", launch->argc = 0);
	LAUNCH_REFUSED("a wrong number of arguments", launch->envc = ~0u);
	LAUNCH_REFUSED("too long arguments", launch->string_bytes = ~0u);
	LAUNCH_REFUSED("a wrong size", launch->string_bytes--);
	LAUNCH_REFUSED("not a packet of this protocol", launch->head.magic++);
	LAUNCH_REFUSED("another version of the protocol",
		       launch->head.version++);
	LAUNCH_REFUSED("a packet of another type", launch->head.type++);
}

TEST(strings_of_a_launch)
{
	CHECK(!wire_check_strings("a\0b", 4, 2, 0));
	CHECK_TEXT(wire_check_strings("a\0b", 3, 2, 0),
		   "arguments without end");
	CHECK_TEXT(wire_check_strings("", 0, 1, 0), "arguments without end");
	CHECK_TEXT(wire_check_strings("a\0b", 4, 1, 0),
		   "another number of arguments than announced");
	CHECK_TEXT(wire_check_strings("a\0b", 4, ~0u, 3),
		   "another number of arguments than announced");
}

TEST_MAIN
