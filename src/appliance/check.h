/* SPDX-License-Identifier: Apache-2.0 */
/* Can an entry's program be loaded on this host?  Cheap each time, thorough
 * when its payload is new here: then its loader is asked for its libraries. */
#pragma once
#include "appliance/record.h"
#include "base/err.h"
#include <stdbool.h>
#include <sys/stat.h>

/* tick: called while the loader works; false gives up. */
typedef bool check_tick(void *context);
int check_entry(const char *root, const struct record_entry *entry,
		bool thorough, check_tick *tick, void *context,
		struct err *err);

/* Of each kind, for the table of kinds. */
int check_program(int fd, const char *path, const struct stat *st,
		  struct err *err);
int check_module(int fd, const char *path, const struct stat *st,
		 struct err *err);
int check_images(int fd, const char *path, const struct stat *st,
		 struct err *err);
