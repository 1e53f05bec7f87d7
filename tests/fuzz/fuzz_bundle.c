/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a bundle: what is imported is right, all else leaves nothing
 * with a name of a tip.  The end is made right first, so that what is behind
 * its checksum is reached too. */
#include "base/fd.h"
#include "base/file.h"
#include "base/sha256.h"
#include "brood/bundle_format.h"
#include "image/bundle.h"
#include "image/source.h"
#include "image/sweep.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A store for all inputs, gone with the process. */
static struct images images;
static char folder[] = "/dev/shm/brood-fuzz-XXXXXX";
static pid_t owner;

static void require(int holds)
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

static int bundle(const uint8_t *data, size_t size)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC);
	struct bundle_end last = { .magic = "" };

	require(fd >= 0);
	if (size >= sizeof(last) && data[size - 1] % 8) {
		size -= sizeof(last);
		memcpy(last.magic, BUNDLE_END_MAGIC, sizeof(last.magic));
		last.bytes = size;
		sha256_of(data, size, last.sum);
	}
	require(fd_write_all(fd, data, size, NULL) >= 0);
	if (last.bytes)
		fd_write_all(fd, &last, sizeof(last), NULL);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* All that was imported can be opened, read, and goes again. */
static int use(const char *name, void *context)
{
	struct tip tip;
	struct source source;
	uint8_t page[LAYER_PAGE];

	(void)context;
	require(tip_open(&images, name, &tip, NULL) >= 0);
	source = source_of_tip(&tip);
	for (uint32_t i = 0; i < tip.run_count; i++)
		require(source.read(source.context, tip.runs[i].offset, page,
				    sizeof(page), NULL) >= 0);
	for (uint32_t i = 0; i < tip.layer_count; i++)
		require(layer_verify(&images, tip.layers[i].hex, NULL) >= 0);
	tip_close(&tip);
	require(tip_remove(&images, name, NULL) >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bundle_options options = { 0 };
	const struct sweep_options sweep = { 0 };
	struct sweep_counts swept;
	struct bundle_counts counts;
	struct err err = { 0 };
	int fd, rc;

	start();
	fd = bundle(data, size);
	rc = bundle_import(&images, fd, &options, NULL, NULL, &counts, &err);
	require((rc < 0) == (err.text[0] != 0));
	if (rc < 0)
		require(counts.tips == 0);
	require(tip_each(&images, use, NULL, NULL) >= 0);
	require(sweep_images(&images, &sweep, &swept, NULL) >= 0);
	require(swept.kept == 0 && swept.used == 0);
	close(fd);
	return 0;
}
