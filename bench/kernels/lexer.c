/* SPDX-License-Identifier: Apache-2.0 */
/* Words, numbers, strings, comments and signs of a made-up source text, told
 * apart by a machine of states: a switch in a switch for each byte. */
#include "kernel.h"

enum { SIZE = 1 << 16 };
enum state { BETWEEN, WORD, NUMBER, FRACTION, STRING, ESCAPE, SLASH, COMMENT };
static char text[SIZE + 1];
static uint32_t found[COMMENT + 2];

static int is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static enum state begin(char c)
{
	switch (c) {
	case ' ':
	case '\n':
	case '\t': return BETWEEN;
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9': return NUMBER;
	case '"': return STRING;
	case '/': return SLASH;
	case '+':
	case '-':
	case '*':
	case '(':
	case ')':
	case '=':
	case ';': found[COMMENT + 1]++; return BETWEEN;
	default: return is_letter(c) ? WORD : BETWEEN;
	}
}

static enum state end(enum state was, char c)
{
	found[was]++;
	return begin(c);
}

static enum state next(enum state state, char c)
{
	int digit = c >= '0' && c <= '9';

	switch (state) {
	case BETWEEN: return begin(c);
	case WORD: return is_letter(c) || digit ? WORD : end(WORD, c);
	case NUMBER:
		if (c == '.')
			return FRACTION;
		return digit ? NUMBER : end(NUMBER, c);
	case FRACTION: return digit ? FRACTION : end(FRACTION, c);
	case STRING:
		if (c == '\\')
			return ESCAPE;
		if (c == '"') {
			found[STRING]++;
			return BETWEEN;
		}
		return STRING;
	case ESCAPE: return STRING;
	case SLASH: return c == '/' ? COMMENT : end(SLASH, c);
	default: return c == '\n' ? end(COMMENT, c) : COMMENT;
	}
}

static void write_text(void)
{
	static const char *const piece[] = {
		"while",  "(x1",   " + ", "3.1415", "\"a\\\"b\"", " / ",
		" = ",	  "count", ";\n", "4096",   "// none\n",  ")",
		"return", " * ",   "y",	  " - ",    "\t",	  "_name9",
	};
	uint32_t state = 13, at = 0;

	while (at < SIZE) {
		const char *p = piece[random_next(&state) %
				      (sizeof(piece) / sizeof(piece[0]))];

		while (*p && at < SIZE)
			text[at++] = *p++;
	}
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	write_text();
	for (uint32_t round = SCALED(700); round > 0; round--) {
		enum state state = BETWEEN;

		for (const char *p = text; *p; p++)
			state = next(state, *p);
		for (int i = 0; i < COMMENT + 2; i++)
			sum = mix(sum, found[i]);
		text[sum % SIZE] = " a0;/\""[(sum >> 20) % 6];
	}
	return sum;
}
