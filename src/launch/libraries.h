/* SPDX-License-Identifier: Apache-2.0 */
/* The libraries that a template has mapped, and where: two generations of
 * one program must not share an address.		CLAIM 0.3 0.14 */
#pragma once
#include "base/err.h"
#include <sys/types.h>

/* "BASE INODE NAME\n" of each file mapped with code, malloced, NULL on
 * failure.  without: a path to leave out (a program that cannot move), or
 * NULL. */
char *libraries_list(pid_t pid, const char *without, struct err *err);
/* Of the names that both lists have: *moved have another base in the second.
 * Returns how many have the same. */
int libraries_compare(const char *before, const char *now, int *moved);
