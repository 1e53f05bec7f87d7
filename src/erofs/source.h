/* SPDX-License-Identifier: Apache-2.0 */
/* Where images are read from. */
#pragma once
#include "erofs/read.h"

/* A file or a block device, by its descriptor, which is not taken over.
 * EROFS_IO when it says no length. */
int erofs_source_file(int fd, struct erofs_source *source);
/* Memory, which has to stay. */
struct erofs_source erofs_source_memory(const void *data, uint64_t len);
