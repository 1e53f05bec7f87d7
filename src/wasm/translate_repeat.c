/* SPDX-License-Identifier: Apache-2.0 */
/* A loop that is hardly more than a br_table is an interpreter's: each of its
 * ways ends in a jump back to the table.  There the loop's head is repeated
 * instead, up to its br_table, which saves the jump and gives the processor
 * one place for each way to foresee the next one from. */
#include "wasm/translate.h"

enum {
	ENTRIES_MOST = 64,
	INSTRUCTIONS_MOST = 8,
	GROWTH_MOST = 4, /* times the body, plus */
	GROWTH_LEAST = 4096,
};

void repeat_note_way(struct translator *t, const struct label *label)
{
	const struct label *labels = t->labels.items;
	struct way *way = vector_room(t, &t->ways, t->way_count, sizeof(*way));

	if (!way)
		return;
	*way = (struct way){ 0, 0 };
	if (label)
		*way = (struct way){ (uint32_t)(label - labels),
				     label->serial };
	t->way_count++;
}

static struct label *innermost_loop(struct translator *t)
{
	struct label *labels = t->labels.items;

	for (uint32_t i = t->label_count; i--;)
		if (labels[i].kind == LABEL_LOOP)
			return &labels[i];
	return NULL;
}

void repeat_note_table(struct translator *t, const struct table *table)
{
	struct table *noted =
		vector_room(t, &t->tables, t->table_count, sizeof(*noted));
	struct label *loop;

	if (!noted)
		return;
	*noted = *table;
	if (table->count <= ENTRIES_MOST) {
		loop = innermost_loop(t);
		if (loop && loop->head == NONE && t->barrier <= loop->start &&
		    t->origin_count - loop->first_origin <= INSTRUCTIONS_MOST)
			loop->head = t->table_count;
	}
	t->table_count++;
}

static bool may_grow(struct translator *t, uint32_t bytes)
{
	uint64_t body = t->module->functions[t->function->function].body_len;

	if (t->repeated_bytes + bytes > body * GROWTH_MOST + GROWTH_LEAST)
		return false;
	t->repeated_bytes += bytes;
	return true;
}

/* A label that is still open is linked to; for others the distance is known,
 * from the old table. */
static void repeat_entry(struct translator *t, const struct table *old,
			 uint32_t number, const struct table *table)
{
	const struct way *way =
		(const struct way *)t->ways.items + old->first_way + number;
	struct label *label = (struct label *)t->labels.items + way->label;
	uint32_t field = table->entries + number * 12 + 8;
	uint32_t target =
		old->at + code_get_u32(t, old->entries + number * 12 + 8);

	if (way->serial && way->label < t->label_count &&
	    label->serial == way->serial)
		control_link(t, label, field, table->at);
	else
		code_set_u32(t, field, target - table->at);
}

bool repeat_head(struct translator *t, const struct label *loop)
{
	struct table old, table;
	uint32_t fields;

	if (loop->kind != LABEL_LOOP || loop->head == NONE)
		return false;
	old = ((const struct table *)t->tables.items)[loop->head];
	fields = old.entries - old.at - 8;
	if (!may_grow(t, old.entries - loop->start + old.count * 12))
		return false;
	code_repeat(t, loop->start, old.at, loop->first_origin);
	table = old;
	table.at = code_begin(t, old.counting);
	if (!vector_room(t, &t->code, t->used + fields + old.count * 12, 1))
		return true;
	for (uint32_t i = 0; i < fields; i += 4)
		code_u32(t, code_get_u32(t, old.at + 8 + i));
	table.entries = t->used;
	t->used += table.count * 12;
	for (uint32_t i = 0; i < table.count && !t->failed; i++)
		repeat_entry(t, &old, i, &table);
	repeat_note_table(t, &table);
	return true;
}
