/* SPDX-License-Identifier: Apache-2.0 */
/* Words put together without a libc. */
#include "bare/fact.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <string.h>
#include <time.h>

void text_add(struct text *text, const char *words)
{
	while (*words && text->at < text->end - 1)
		*text->at++ = *words++;
	*text->at = 0;
}

void text_number(struct text *text, uint64_t value)
{
	char digits[24];
	int at = sizeof digits - 1;

	digits[at] = 0;
	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	text_add(text, digits + at);
}

/* As the inside of a JSON string. */
void text_json(struct text *text, const char *words)
{
	static const char hex[] = "0123456789abcdef";

	for (; *words; words++) {
		unsigned char c = *words;
		char plain[2] = { (char)c, 0 };
		char escaped[] = { '\\',	'u',	     '0', '0',
				   hex[c >> 4], hex[c & 15], 0 };

		text_add(text, c < 0x20 || c == '"' || c == '\\' || c == 0x7f
				       ? escaped
				       : plain);
	}
}

void text_say(const struct starter *starter, const char *words)
{
	char room[1400];
	struct text line = { room, room + sizeof room - 1 };

	text_add(&line, "brood: ");
	text_add(&line, starter->name);
	text_add(&line, ": ");
	text_add(&line, words);
	*line.at++ = '\n';
	raw_3(write, 2, room, line.at - room);
}

void text_reason(struct starter *starter, const char *a, const char *b,
		 const char *c)
{
	struct text line = { starter->reason,
			     starter->reason + sizeof starter->reason };

	text_add(&line, a);
	text_add(&line, b);
	text_add(&line, c);
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
