/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as JSON: the reader stays within it, and says why it refuses. */
#include "base/json.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is cut out of a text is a whole value by itself. */
static void look_value(const char *text, const char *path)
{
	size_t len = 0;
	const char *value = json_get_value(text, path, &len);

	if (value && json_check(value, len, NULL) < 0)
		__builtin_trap();
}

static void look(const char *text)
{
	static const char *const paths[] = {
		"a", "a.b", "a.0.b", "templates", "templates.1.key", ""
	};

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		char *found = json_get_text(text, paths[i]);

		if (found && strlen(found) > strlen(text))
			__builtin_trap();
		free(found);
		json_get_number(text, paths[i], -1);
		look_value(text, paths[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	char *text;

	if (json_check((const char *)data, size, &err) < 0 && !err.text[0])
		__builtin_trap();
	text = strndup((const char *)data, size);
	if (text)
		look(text);
	free(text);
	return 0;
}
