/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzzers of images share: a store for all inputs, gone with the
 * process, and what has to hold. */
#pragma once
#include "base/file.h"
#include "image/images.h"
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static struct images images;
static char folder[] = "/dev/shm/brood-fuzz-XXXXXX";
static pid_t owner;

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void end(void)
{
	if (getpid() != owner)
		return;
	images_close(&images);
	file_remove_tree(folder, NULL);
}

static void start(void)
{
	if (images.folder)
		return;
	require(mkdtemp(folder) != NULL);
	owner = getpid();
	require(images_open(&images, folder, true, NULL) == 0);
	atexit(end);
}
