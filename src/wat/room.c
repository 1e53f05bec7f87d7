/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the text format's parser: an arena for what goes all at once,
 * arrays that double, and a map of numbers for names. */
#include "wat/internal.h"
#include <stdlib.h>
#include <string.h>

struct wat_chunk {
	struct wat_chunk *next;
	size_t room;
	_Alignas(16) char bytes[];
};

static struct wat_chunk *chunk_new(size_t len)
{
	size_t room = len > 4096 ? len : 4096;
	struct wat_chunk *chunk = calloc(1, sizeof *chunk + room);

	if (chunk)
		chunk->room = room;
	return chunk;
}

void *wat_arena_take(struct wat_arena *arena, size_t len)
{
	struct wat_chunk *chunk = arena->chunks;

	len = (len + 15) & ~(size_t)15;
	if (!chunk || arena->left < len) {
		chunk = chunk_new(len);
		if (!chunk)
			return NULL;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
		arena->left = chunk->room;
	}
	arena->left -= len;
	return chunk->bytes + arena->left;
}

char *wat_arena_copy(struct wat_arena *arena, const char *text, size_t len)
{
	char *copy = wat_arena_take(arena, len + 1);

	if (copy && len)
		memcpy(copy, text, len);
	return copy;
}

void wat_arena_clear(struct wat_arena *arena)
{
	while (arena->chunks) {
		struct wat_chunk *next = arena->chunks->next;

		free(arena->chunks);
		arena->chunks = next;
	}
	arena->left = 0;
}

bool wat_room_grow(void **array, uint32_t *room, uint32_t need, size_t size)
{
	uint64_t more = *room ? *room : 16;
	void *grown;

	if (need <= *room)
		return true;
	while (more < need)
		more *= 2;
	if (more > UINT32_MAX)
		return false;
	grown = realloc(*array, more * size);
	if (!grown)
		return false;
	*array = grown;
	*room = more;
	return true;
}

static uint64_t hash_mix(uint64_t hash, uint64_t more)
{
	unsigned __int128 wide =
		(unsigned __int128)(hash ^ more) * 0x9e3779b97f4a7c15;

	return (uint64_t)wide ^ (uint64_t)(wide >> 64);
}

uint64_t wat_hash(const void *seed, const char *bytes, size_t len)
{
	uint64_t hash = (uintptr_t)seed * 0xd1342543de82ef95 ^ len, part;

	for (; len >= 8; bytes += 8, len -= 8) {
		memcpy(&part, bytes, 8);
		hash = hash_mix(hash, part) + (uintptr_t)seed;
	}
	part = 0;
	memcpy(&part, bytes, len);
	hash = hash_mix(hash, part);
	return hash_mix(hash, (uintptr_t)seed);
}

static struct wat_map_slot *map_slot(const struct wat_map *map, uint64_t key)
{
	uint64_t hash = key * 0x9e3779b97f4a7c15;
	uint32_t at = (hash ^ hash >> 32) & (map->room - 1);

	while (map->slots[at].key && map->slots[at].key != key)
		at = (at + 1) & (map->room - 1);
	return &map->slots[at];
}

static bool map_grow(struct wat_map *map)
{
	struct wat_map more = { .room = map->room ? 2 * map->room : 16 };

	if (!more.room)
		return false;
	more.slots = calloc(more.room, sizeof *more.slots);
	if (!more.slots)
		return false;
	for (uint32_t i = 0; i < map->room; i++)
		if (map->slots[i].key)
			*map_slot(&more, map->slots[i].key) = map->slots[i];
	more.count = map->count;
	free(map->slots);
	*map = more;
	return true;
}

enum wat_map_added wat_map_add(struct wat_map *map, uint64_t key,
			       uint32_t value)
{
	struct wat_map_slot *slot;

	if (map->count >= map->room / 2 && !map_grow(map))
		return WAT_MAP_FULL;
	slot = map_slot(map, key);
	if (slot->key)
		return WAT_MAP_OLD;
	*slot = (struct wat_map_slot){ key, value };
	map->count++;
	return WAT_MAP_NEW;
}

int64_t wat_map_find(const struct wat_map *map, uint64_t key)
{
	const struct wat_map_slot *slot;

	if (!map->room)
		return -1;
	slot = map_slot(map, key);
	return slot->key ? (int64_t)slot->value : -1;
}

void wat_map_clear(struct wat_map *map)
{
	free(map->slots);
	*map = (struct wat_map){ 0 };
}
