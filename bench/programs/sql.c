/* SPDX-License-Identifier: Apache-2.0 */
/* sql DATABASE [SQL]: runs the SQL given, or what stands on standard input,
 * and prints rows as SQLite's own shell does, values between bars: as little
 * as a program around SQLite can be, for this machine and for WASI.  It is
 * built where somebody says where sqlite3.c is. */
#include "sqlite3.h"
#include <stdio.h>
#include <stdlib.h>

static char *read_input(void)
{
	size_t size = 0, room = 1 << 16;
	char *text = malloc(room);

	while (text) {
		size_t got = fread(text + size, 1, room - size - 1, stdin);

		if (got == 0) {
			text[size] = 0;
			return text;
		}
		size += got;
		if (room - size < 2) {
			char *more = realloc(text, room *= 2);

			if (!more)
				free(text);
			text = more;
		}
	}
	return NULL;
}

static int print_row(void *nothing, int count, char **values, char **names)
{
	(void)nothing;
	(void)names;
	for (int i = 0; i < count; i++)
		printf("%s%s", i ? "|" : "", values[i] ? values[i] : "");
	putchar('\n');
	return 0;
}

int main(int argc, char **argv)
{
	char *sql = argc > 2 ? argv[2] : read_input(), *error = NULL;
	sqlite3 *database = NULL;
	int result = argc < 2 || argc > 3 || !sql ? 100 : 0;

	if (!result && (sqlite3_open(argv[1], &database) != SQLITE_OK ||
			sqlite3_exec(database, sql, print_row, NULL, &error) !=
				SQLITE_OK)) {
		fprintf(stderr, "sql: %s\n", error ? error : "cannot open");
		result = 1;
	}
	sqlite3_free(error);
	sqlite3_close(database);
	if (sql && argc < 3)
		free(sql);
	return result;
}
