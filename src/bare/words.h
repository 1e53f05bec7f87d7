/* SPDX-License-Identifier: Apache-2.0 */
/* Words put together without a libc, in a room that somebody else has; what
 * does not fit is cut off. */
#pragma once
#include <stdint.h>

struct words {
	char *at, *end;
};
void words_add(struct words *words, const char *text);
void words_number(struct words *words, uint64_t value);
