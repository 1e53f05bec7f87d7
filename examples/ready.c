/* SPDX-License-Identifier: Apache-2.0 */
/* A program that has something to prepare, and says when it is done:
 *
 *	cc -Iinclude examples/ready.c -o ready
 *	brood serve --until ready ./ready
 *	./ready < question		cold: prepares, then answers
 *	brood launch ./ready < question	warm: answers
 *
 * Arguments and environment of an instance are those of the template: what
 * differs from one launch to the next comes by standard input, or by files
 * in the working directory. */
#include "brood/brood.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIEVE = 20000000 };

static uint8_t *prepare(void)
{
	uint8_t *composite = calloc(SIEVE, 1);

	if (!composite)
		exit(1);
	for (uint32_t i = 2; i * i < SIEVE; i++) {
		for (uint32_t k = composite[i] ? SIEVE : i * i; k < SIEVE;
		     k += i)
			composite[k] = 1;
	}
	return composite;
}

int main(void)
{
	uint8_t *composite = prepare();
	unsigned number;

	if (brood_ready)
		brood_ready();
	while (scanf("%u", &number) == 1) {
		if (number >= SIEVE)
			printf("%u is beyond the table\n", number);
		else
			printf("%u is %s\n", number,
			       number > 1 && !composite[number] ? "prime"
								: "not prime");
	}
	free(composite);
	return 0;
}
