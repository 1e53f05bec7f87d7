/* SPDX-License-Identifier: Apache-2.0 */
/* Words put together without a libc. */
#include "bare/words.h"

void words_add(struct words *words, const char *text)
{
	while (*text && words->at < words->end - 1)
		*words->at++ = *text++;
	*words->at = 0;
}

void words_number(struct words *words, uint64_t value)
{
	char digits[24];
	int at = sizeof digits - 1;

	digits[at] = 0;
	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	words_add(words, digits + at);
}
