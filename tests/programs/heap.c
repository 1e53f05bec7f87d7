/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a constructor has filled, and that main goes on to use, let go
 * of and ask for again, by malloc, by sbrk and by mmap; small blocks grow the
 * break far beyond where it was at the stop. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS = 20000, AREA = 8 << 20 };

static unsigned char *block[BLOCKS], *area;
static size_t block_len[BLOCKS];

static size_t len_of(int i)
{
	return 16 + (size_t)(i * 2654435761u >> 16) % 2000;
}

static void fill(int i)
{
	block_len[i] = len_of(i);
	block[i] = malloc(block_len[i]);
	if (!block[i])
		abort();
	memset(block[i], i & 255, block_len[i]);
}

static int right(int i)
{
	for (size_t at = 0; at < block_len[i]; at++) {
		if (block[i][at] != (i & 255))
			return 0;
	}
	return 1;
}

static void __attribute__((constructor)) begin(void)
{
	for (int i = 0; i < BLOCKS / 4; i++)
		fill(i);
	area = mmap(NULL, AREA, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t at = 0; at < AREA; at += 8192)
		area[at] = 7;
}

int main(void)
{
	int good = 0;
	uint64_t sum = 0;
	char *end;

	for (int i = 0; i < BLOCKS / 4; i += 2)
		free(block[i]);
	for (int i = 0; i < BLOCKS; i++) {
		if (i >= BLOCKS / 4 || i % 2 == 0)
			fill(i);
	}
	for (int i = 0; i < BLOCKS; i++)
		good += right(i);
	for (size_t at = 0; at < AREA; at += 4096)
		sum += area[at];
	end = sbrk(1 << 20);
	if (end != (void *)-1)
		memset(end, 1, 1 << 20);
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
	printf("blocks %d sum %lu break %s\n", good, sum,
	       end == (void *)-1 ? "fails" : "grows");
	return 0;
}
