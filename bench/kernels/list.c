/* SPDX-License-Identifier: Apache-2.0 */
/* Linked lists in shuffled order: loads that wait for the load before,
 * reversal, merge sort. */
#include "kernel.h"

enum { NODES = 2000 };
struct node {
	struct node *next;
	uint32_t key;
};
static struct node node[NODES];

static struct node *shuffle(uint32_t state)
{
	struct node *first = NULL;

	for (uint32_t i = 0; i < NODES; i++) {
		node[i].key = random_next(&state);
		node[i].next = NULL;
	}
	for (uint32_t i = 0, at = 0; i < NODES; i++) {
		at = (at + 7919) % NODES; /* a prime: every node once */
		node[at].next = first;
		first = &node[at];
	}
	return first;
}

static struct node *reverse(struct node *list)
{
	struct node *done = NULL;

	while (list) {
		struct node *next = list->next;

		list->next = done;
		done = list;
		list = next;
	}
	return done;
}

static struct node *merge(struct node *a, struct node *b)
{
	struct node *first = NULL, **end = &first;

	while (a && b) {
		struct node **least = a->key <= b->key ? &a : &b;

		*end = *least;
		end = &(*least)->next;
		*least = *end;
	}
	*end = a ? a : b;
	return first;
}

static struct node *sort(struct node *list)
{
	struct node *slow = list, *fast, *half;

	if (!list || !list->next)
		return list;
	for (fast = list->next; fast && fast->next; fast = fast->next->next)
		slow = slow->next;
	half = slow->next;
	slow->next = NULL;
	return merge(sort(list), sort(half));
}

static uint64_t walk(const struct node *list, uint64_t sum)
{
	for (; list; list = list->next)
		sum += list->key ^ (sum >> 7);
	return sum;
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(1600); round > 0; round--) {
		struct node *list = shuffle((uint32_t)sum | 1);

		for (int i = 0; i < 10; i++) {
			list = reverse(list);
			sum = walk(list, sum);
		}
		sum = mix(sum, walk(sort(list), sum));
	}
	return sum;
}
