/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/expand.h"
#include <string.h>

static const struct expand_word *expand_find(const struct expand_word *known,
					     const char *text)
{
	while (known->word &&
	       strncmp(text, known->word, strlen(known->word)) != 0)
		known++;
	return known->word ? known : NULL;
}

void expand_text(const struct expand_word *known, const char *text,
		 struct buf *out)
{
	while (*text) {
		const struct expand_word *found = expand_find(known, text);

		if (found) {
			buf_format(out, "%s%s", found->value, found->below);
			text += strlen(found->word);
		} else {
			buf_add(out, text++, 1);
		}
	}
}
