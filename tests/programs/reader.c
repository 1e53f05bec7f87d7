/* SPDX-License-Identifier: Apache-2.0 */
/* Prepares something, then reads standard input in one of many ways, for the
 * stop "stdin":
 *
 *	reader read | readv | getc | getchar | unlocked | fgets | fread |
 *	       getline | getdelim | scanf | fscanf
 *
 * The way is chosen before the stop; what it reads comes after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static char text[256];

static size_t read_some(const char *how)
{
	struct iovec part = { text, sizeof text - 1 };
	char *line = NULL;
	size_t room = 0;
	ssize_t got = 0;

	if (!strcmp(how, "read"))
		return (size_t)read(0, text, sizeof text - 1);
	if (!strcmp(how, "readv"))
		return (size_t)readv(0, &part, 1);
	if (!strcmp(how, "getc"))
		return (size_t)(text[0] = (char)getc(stdin), 1);
	if (!strcmp(how, "getchar"))
		return (size_t)(text[0] = (char)getchar(), 1);
	if (!strcmp(how, "unlocked"))
		return (size_t)(text[0] = (char)getc_unlocked(stdin), 1);
	if (!strcmp(how, "fgets"))
		return fgets(text, sizeof text, stdin) ? strlen(text) : 0;
	if (!strcmp(how, "fread"))
		return fread(text, 1, 4, stdin);
	if (!strcmp(how, "scanf"))
		return scanf("%200s", text) == 1 ? strlen(text) : 0;
	if (!strcmp(how, "fscanf"))
		return fscanf(stdin, "%200s", text) == 1 ? strlen(text) : 0;
	if (!strcmp(how, "getline"))
		got = getline(&line, &room, stdin);
	else if (!strcmp(how, "getdelim"))
		got = getdelim(&line, &room, ' ', stdin);
	if (got > 0)
		memcpy(text, line, (size_t)got);
	free(line);
	return got > 0 ? (size_t)got : 0;
}

int main(int argc, char **argv)
{
	size_t got;

	printf("prepared, ");
	got = read_some(argc > 1 ? argv[1] : "read");
	printf("read %zu: %.*s\n", got, (int)strcspn(text, "\n"), text);
	return 0;
}
