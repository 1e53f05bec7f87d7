/* SPDX-License-Identifier: Apache-2.0 */
/* Words put together without a libc. */
#include "bare/fact.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <string.h>
#include <time.h>

/* As the inside of a JSON string. */
void text_json(struct words *text, const char *words)
{
	static const char hex[] = "0123456789abcdef";

	for (; *words; words++) {
		unsigned char c = *words;
		char plain[2] = { (char)c, 0 };
		char escaped[] = { '\\',	'u',	     '0', '0',
				   hex[c >> 4], hex[c & 15], 0 };

		words_add(text, c < 0x20 || c == '"' || c == '\\' || c == 0x7f
					? escaped
					: plain);
	}
}

void text_say(const struct starter *starter, const char *words)
{
	char room[1400];
	struct words line = { room, room + sizeof room - 1 };

	words_add(&line, "brood: ");
	words_add(&line, starter->name);
	words_add(&line, ": ");
	words_add(&line, words);
	*line.at++ = '\n';
	raw_3(write, 2, room, line.at - room);
}

void text_reason(struct starter *starter, const char *a, const char *b,
		 const char *c)
{
	struct words line = { starter->reason,
			      starter->reason + sizeof starter->reason };

	words_add(&line, a);
	words_add(&line, b);
	words_add(&line, c);
}

bool text_feature(char *const *envp, const char *name)
{
	const char *off = fact_variable(envp, "BROOD_WITHOUT");
	size_t len = strlen(name);

	while (off && *off) {
		const char *comma = strchr(off, ',');
		size_t n = comma ? (size_t)(comma - off) : strlen(off);

		if (n == len && strncmp(off, name, n) == 0)
			return false;
		off += n + (comma != NULL);
	}
	return true;
}

uint64_t text_now_ns(void)
{
	struct timespec t;

	raw_2(clock_gettime, CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}
