/* SPDX-License-Identifier: Apache-2.0 */
/* ${name} in texts of an application: what this host has for it. */
#pragma once
#include "base/buf.h"

struct expand_word {
	const char *word;	   /* "${data}" */
	const char *value, *below; /* put together */
};
/* known ends with a NULL word.  Anything else stays as it is. */
void expand_text(const struct expand_word *known, const char *text,
		 struct buf *out);
