/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with open places, Robin Hood's way: put, find and remove of
 * random keys, mostly in the cache. */
#include "kernel.h"

enum { PLACES = 1 << 14, KEYS = PLACES * 3 / 4 };
struct place {
	uint32_t key, value; /* key 0: free */
};
static struct place place[PLACES];

static inline uint32_t home(uint32_t key)
{
	return (key * 2654435769u) >> 18;
}

static inline uint32_t away(uint32_t at)
{
	return (at - home(place[at].key)) % PLACES;
}

static void put(uint32_t key, uint32_t value)
{
	struct place put = { key, value };
	uint32_t at = home(key), far = 0;

	for (; place[at].key && place[at].key != put.key; far++) {
		uint32_t other = away(at);

		if (other < far) {
			struct place kept = place[at];

			place[at] = put;
			put = kept;
			far = other;
		}
		at = (at + 1) % PLACES;
	}
	place[at] = put;
}

static struct place *find(uint32_t key)
{
	uint32_t at = home(key);

	for (uint32_t far = 0; place[at].key && away(at) >= far; far++) {
		if (place[at].key == key)
			return &place[at];
		at = (at + 1) % PLACES;
	}
	return NULL;
}

static int take(uint32_t key)
{
	struct place *found = find(key);
	uint32_t at, next;

	if (!found)
		return 0;
	at = (uint32_t)(found - place);
	for (; next = (at + 1) % PLACES, place[next].key && away(next) > 0;
	     at = next)
		place[at] = place[next];
	place[at].key = 0;
	return 1;
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(400); round > 0; round--) {
		uint32_t first = (uint32_t)sum | 1, state = first;

		for (uint32_t i = 0; i < KEYS; i++)
			put(random_next(&state), i);
		state = first;
		for (uint32_t i = 0; i < KEYS; i++) {
			struct place *p = find(random_next(&state) ^ (i & 1));

			sum += p ? p->value : 7;
		}
		state = first;
		for (uint32_t i = 0; i < KEYS; i++)
			sum += (uint64_t)take(random_next(&state)) << 20;
		sum = mix(sum, state);
	}
	return sum;
}
