/* SPDX-License-Identifier: Apache-2.0 */
/* Quick sort and heap sort of random numbers: compares that nobody can
 * predict, swaps in memory, recursion. */
#include "kernel.h"

enum { COUNT = 50000, SMALL = 12 };
static uint32_t item[COUNT];

static inline void swap(uint32_t *a, uint32_t *b)
{
	uint32_t kept = *a;

	*a = *b;
	*b = kept;
}

static void insertion_sort(uint32_t *a, int count)
{
	for (int i = 1; i < count; i++) {
		uint32_t x = a[i];
		int at = i;

		for (; at > 0 && a[at - 1] > x; at--)
			a[at] = a[at - 1];
		a[at] = x;
	}
}

static void quick_sort(uint32_t *a, int count)
{
	while (count > SMALL) {
		uint32_t pivot = a[count / 2];
		int low = 0, high = count - 1;

		while (low <= high) {
			while (a[low] < pivot)
				low++;
			while (a[high] > pivot)
				high--;
			if (low <= high)
				swap(&a[low++], &a[high--]);
		}
		quick_sort(a, high + 1);
		a += low;
		count -= low;
	}
	insertion_sort(a, count);
}

static void sift_down(uint32_t *a, int at, int count)
{
	uint32_t x = a[at];

	for (int child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && a[child + 1] > a[child])
			child++;
		if (a[child] <= x)
			break;
		a[at] = a[child];
	}
	a[at] = x;
}

static void heap_sort(uint32_t *a, int count)
{
	for (int i = count / 2; i-- > 0;)
		sift_down(a, i, count);
	for (int end = count - 1; end > 0; end--) {
		swap(&a[0], &a[end]);
		sift_down(a, 0, end);
	}
}

static uint64_t look(uint64_t sum)
{
	for (int i = 1; i < COUNT; i++)
		if (item[i - 1] > item[i])
			return 0;
	for (int i = 0; i < COUNT; i += 997)
		sum = mix(sum, item[i]);
	return sum;
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(60); round > 0; round--) {
		uint32_t state = (uint32_t)sum | 1;

		for (int i = 0; i < COUNT; i++)
			item[i] = random_next(&state);
		if (round & 1)
			quick_sort(item, COUNT);
		else
			heap_sort(item, COUNT);
		sum = look(sum);
	}
	return sum;
}
