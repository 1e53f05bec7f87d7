/* SPDX-License-Identifier: Apache-2.0 */
/* Some of all that C programs do, for system 3's claims: numbers, floating
 * point, sorting, blocks of memory, text, standard input. */
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIEVE = 200000, NUMBERS = 20000, SIDE = 24 };

struct word {
	struct word *next;
	unsigned count;
	char text[];
};

static void show_primes(void)
{
	uint8_t *not_prime = calloc(SIEVE, 1);
	unsigned count = 0, last = 0;

	for (unsigned i = 2; i < SIEVE; i++) {
		if (not_prime[i])
			continue;
		count++;
		last = i;
		for (unsigned j = 2 * i; j < SIEVE; j += i)
			not_prime[j] = 1;
	}
	printf("%u primes, the last %u\n", count, last);
	free(not_prime);
}

static int compare(const void *a, const void *b)
{
	const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return left < right ? -1 : left > right;
}

static void show_sorted(void)
{
	int64_t *numbers = malloc(NUMBERS * sizeof(*numbers));
	uint64_t x = 88172645463325252u, sum = 14695981039346656037u;

	for (int i = 0; i < NUMBERS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		numbers[i] = (int64_t)x;
	}
	qsort(numbers, NUMBERS, sizeof(*numbers), compare);
	for (int i = 0; i < NUMBERS; i++)
		sum = (sum ^ (uint64_t)numbers[i]) * 1099511628211u;
	printf("sorted: %lld .. %lld, %016llx\n", (long long)numbers[0],
	       (long long)numbers[NUMBERS - 1], (unsigned long long)sum);
	free(numbers);
}

static void show_determinant(void)
{
	static double m[SIDE][SIDE];
	double product = 1;

	for (int i = 0; i < SIDE; i++)
		for (int j = 0; j < SIDE; j++)
			m[i][j] = (i * 31 + j * 17) % 29 - 14 + (i == j) / 3.0;
	for (int k = 0; k < SIDE; k++) {
		product *= m[k][k];
		for (int i = k + 1; i < SIDE; i++)
			for (int j = SIDE - 1; j >= k; j--)
				m[i][j] -= m[i][k] / m[k][k] * m[k][j];
	}
	printf("determinant %.12e, root %.15g\n", product, sqrt(fabs(product)));
}

static void count_word(struct word **words, const char *text)
{
	struct word *word;

	for (; *words; words = &(*words)->next)
		if (strcmp((*words)->text, text) >= 0)
			break;
	if (!*words || strcmp((*words)->text, text) != 0) {
		word = malloc(sizeof(*word) + strlen(text) + 1);
		word->next = *words;
		word->count = 0;
		strcpy(word->text, text);
		*words = word;
	}
	(*words)->count++;
}

static void show_words(void)
{
	struct word *words = NULL;
	char text[64];

	while (scanf("%63s", text) == 1) {
		for (char *at = text; *at; at++)
			*at = (char)tolower((unsigned char)*at);
		count_word(&words, text);
	}
	for (; words; words = words->next)
		printf("%-10s %3u\n", words->text, words->count);
}

int main(int argc, char **argv)
{
	show_primes();
	show_sorted();
	show_determinant();
	show_words();
	for (int i = 1; i < argc; i++)
		printf("argument %d: %s\n", i, argv[i]);
	return 42;
}
