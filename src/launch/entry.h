/* SPDX-License-Identifier: Apache-2.0 */
/* The entry file of a template, as the keeper's side writes it. */
#pragma once
#include "base/err.h"
#include "base/file.h"
#include "brood/start_entry.h"
#include "launch/registry.h"
#include <stdbool.h>

/* Checked and malloced; NULL when it is missing, damaged or not ours. */
struct start_entry *entry_read(const char *path, struct err *err);
/* brood_path NULL: the running program. */
int entry_write(const struct spec *spec, const char *brood_path,
		const struct registry_place *place, struct err *err);
/* Puts the sockets of place into the entry that is there, and the program
 * for which starters start no keeper; NULL: they start one for any.  Writes
 * only what differs. */
int entry_update(const struct registry_place *place,
		 const struct file_stamp *refused, struct err *err);
