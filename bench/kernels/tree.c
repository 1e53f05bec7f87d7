/* SPDX-License-Identifier: Apache-2.0 */
/* Search trees that grow and are torn down: nodes from a free list, pointers
 * to pointers, recursion. */
#include "kernel.h"

enum { NODES = 2000 };
struct node {
	struct node *left, *right;
	uint32_t key, count;
};
static struct node node[NODES], *free_node;

static struct node *node_new(uint32_t key)
{
	struct node *n = free_node;

	free_node = n->left;
	*n = (struct node){ .key = key, .count = 1 };
	return n;
}

static void node_free(struct node *n)
{
	n->left = free_node;
	free_node = n;
}

static int insert(struct node **at, uint32_t key)
{
	while (*at && (*at)->key != key)
		at = key < (*at)->key ? &(*at)->left : &(*at)->right;
	if (*at)
		(*at)->count++;
	else if (free_node)
		*at = node_new(key);
	else
		return 0;
	return 1;
}

static uint32_t depth(const struct node *n)
{
	uint32_t left, right;

	if (!n)
		return 0;
	left = depth(n->left);
	right = depth(n->right);
	return 1 + (left > right ? left : right);
}

static uint64_t walk(const struct node *n, uint64_t sum)
{
	if (!n)
		return sum;
	sum = walk(n->left, sum);
	return walk(n->right, sum * 3 + n->key + n->count);
}

static void tear(struct node *n)
{
	if (!n)
		return;
	tear(n->left);
	tear(n->right);
	node_free(n);
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (int i = 0; i < NODES; i++)
		node_free(&node[i]);
	for (uint32_t round = SCALED(1200); round > 0; round--) {
		struct node *root = NULL;
		uint32_t state = (uint32_t)sum | 1;

		while (insert(&root, random_next(&state) >> 12))
			;
		sum = mix(sum, depth(root));
		for (int i = 0; i < 4; i++)
			sum = walk(root, sum);
		tear(root);
	}
	return sum;
}
