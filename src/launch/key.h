/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a template, by which its folder is named: a hash of what makes
 * it another one than others. */
#pragma once

struct key_parts {
	const char *name; /* NULL: none */
	const char *program;
	const char *stop;  /* NULL: before main */
	char *const *argv; /* of those whose arguments count */
	int argc;
};
int key_make(const struct key_parts *parts, char key[17]); /* -ENOMEM */
