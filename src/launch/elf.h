/* SPDX-License-Identifier: Apache-2.0 */
/* May this executable be started with the shim?  Read from the file alone,
 * before it ever runs: where LD_PRELOAD would be ignored (static programs,
 * set-user-id, file capabilities) the program would run for real. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct elf_facts {
	bool pie;
	bool dynamic;
	char interpreter[256];
};
/* 0, or -ENOTSUP with the reason as an err; hostile files are fine. */
int elf_check(const char *path, struct elf_facts *facts, struct err *err);
int elf_check_bytes(const void *data, size_t len, struct elf_facts *facts,
		    struct err *err); /* the part that is fuzzed */
