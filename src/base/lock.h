/* SPDX-License-Identifier: Apache-2.0 */
/* Locks between processes: an open-file-description lock on a file, let go
 * by close or by death. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

/* Opens (and makes) the file and locks it whole.  wait_ms: 0 tries once,
 * < 0 waits without end.  Returns the descriptor that holds the lock, or
 * -EWOULDBLOCK when another one does. */
int lock_take(const char *path, int wait_ms, struct err *err);
/* Is the file that it holds still the one at path? */
bool lock_is_at(int fd, const char *path);
