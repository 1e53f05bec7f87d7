/* SPDX-License-Identifier: Apache-2.0 */
/* Four levels of 512 entries; the third may map 2 MiB at once. */
#include "domain/tables.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { TABLES_COUNT = GUEST_TABLES_BYTES / GUEST_PAGE, TABLES_ENTRIES = 512 };

#define ENTRY_PRESENT	 UINT64_C(1)
#define ENTRY_WRITE	 UINT64_C(2)
#define ENTRY_USER	 UINT64_C(4)
#define ENTRY_ACCESSED	 UINT64_C(0x20)
#define ENTRY_DIRTY	 UINT64_C(0x40)
#define ENTRY_LARGE	 UINT64_C(0x80)
#define ENTRY_NO_EXECUTE (UINT64_C(1) << 63)
#define ENTRY_ADDRESS	 UINT64_C(0x000ffffffffff000)

void tables_init(struct tables *tables, uint8_t *memory)
{
	*tables = (struct tables){ .memory = memory, .used = 1 };
}

static uint64_t *tables_at(const struct tables *tables, uint32_t table)
{
	return (uint64_t *)(tables->memory + (uint64_t)table * GUEST_PAGE);
}

static unsigned tables_index(uint64_t virtual, unsigned level)
{
	return virtual >> (12 + 9 * level) & (TABLES_ENTRIES - 1);
}

/* The table that an entry names, or -1. */
static int64_t tables_named(const struct tables *tables, uint64_t entry)
{
	uint64_t table =
		((entry & ENTRY_ADDRESS) - GUEST_TABLES_AT) / GUEST_PAGE;

	return entry & ENTRY_LARGE || table == 0 || table >= tables->used
		       ? -1
		       : (int64_t)table;
}

/* The next level's table, made where there is none; -1: none is left. */
static int64_t tables_enter(struct tables *tables, uint64_t *entry)
{
	if (*entry & ENTRY_PRESENT)
		return tables_named(tables, *entry);
	if (tables->used >= TABLES_COUNT)
		return -1;
	*entry = (GUEST_TABLES_AT + (uint64_t)tables->used * GUEST_PAGE) |
		 ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER | ENTRY_ACCESSED;
	return tables->used++;
}

static uint64_t tables_entry(uint64_t physical, unsigned flags)
{
	return physical | ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY |
	       (flags & TABLES_WRITE ? ENTRY_WRITE : 0) |
	       (flags & TABLES_KERNEL ? 0 : ENTRY_USER) |
	       (flags & TABLES_EXECUTE ? 0 : ENTRY_NO_EXECUTE);
}

/* One page, as large as can be.  The bytes that are mapped, 0: no table. */
static uint64_t tables_map_one(struct tables *tables, uint64_t virtual,
			       uint64_t physical, uint64_t bytes,
			       unsigned flags)
{
	bool is_large =
		bytes >= GUEST_LARGE && (virtual | physical) % GUEST_LARGE == 0;
	int64_t table = 0;
	uint64_t *entry;

	for (unsigned level = 3; level > 1; level--) {
		entry = &tables_at(
			tables, (uint32_t)table)[tables_index(virtual, level)];
		table = tables_enter(tables, entry);
		if (table < 0)
			return 0;
	}
	entry = &tables_at(tables, (uint32_t)table)[tables_index(virtual, 1)];
	if (is_large && !(*entry & ENTRY_PRESENT)) {
		*entry = tables_entry(physical, flags) | ENTRY_LARGE;
		return GUEST_LARGE;
	}
	if (*entry & ENTRY_PRESENT && *entry & ENTRY_LARGE)
		return GUEST_LARGE - virtual % GUEST_LARGE;
	table = tables_enter(tables, entry);
	if (table < 0)
		return 0;
	entry = &tables_at(tables, (uint32_t)table)[tables_index(virtual, 0)];
	if (!(*entry & ENTRY_PRESENT))
		*entry = tables_entry(physical, flags);
	return GUEST_PAGE;
}

int tables_map(struct tables *tables, uint64_t virtual, uint64_t physical,
	       uint64_t bytes, unsigned flags, struct err *err)
{
	uint64_t done = 0;

	while (done < bytes) {
		uint64_t more =
			tables_map_one(tables, virtual + done, physical + done,
				       bytes - done, flags);

		if (!more)
			return err_set(err, -ENOMEM, "a guest's page tables");
		done += more;
	}
	return 0;
}

uint64_t tables_find(const struct tables *tables, uint64_t virtual,
		     uint64_t *entry)
{
	int64_t table = 0;

	for (int level = 3; level >= 0; level--) {
		*entry = tables_at(
			tables, (uint32_t)table)[tables_index(virtual, level)];
		if (!(*entry & ENTRY_PRESENT))
			return UINT64_MAX;
		if (level == 0)
			return (*entry & ENTRY_ADDRESS) + virtual % GUEST_PAGE;
		if (level == 1 && *entry & ENTRY_LARGE)
			return (*entry & ENTRY_ADDRESS) + virtual % GUEST_LARGE;
		table = tables_named(tables, *entry);
		if (table < 0)
			return UINT64_MAX;
	}
	return UINT64_MAX;
}
