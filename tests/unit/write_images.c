/* SPDX-License-Identifier: Apache-2.0 */
/* Puts memories that lie in files into a store of images, for tests of the
 * command: the first one is the base, each other one the next memory.
 *
 *	write_images STORE NAME [state=FILE] [disk=FILE] [working=FILE]
 *		[shape=HEX] [words=JSON] MEMORY...
 *
 * The shape is the first word.  Of a working set's file the pages that are
 * not zero tell which ones it has.
 */
#include "images.h"

struct made {
	struct images images;
	struct tip tip;
	struct made_memory now;
};

static int fail(const char *what, const struct err *err)
{
	fprintf(stderr, "write_images: %s: %s\n", what, err->text);
	return 1;
}

static struct made_memory read_memory(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct made_memory memory = { 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return memory;
	memory = made_memory_new((uint64_t)st.st_size / LAYER_PAGE);
	if (fd_pread_all(fd, memory.at, memory.bytes, 0, NULL) < 0)
		memory.bytes = 0;
	return memory;
}

static int add_memory(struct made *made, const char *path)
{
	auto_memory struct made_memory before = made->now;

	made->now = read_memory(path);
	if (!made->now.bytes)
		return -1;
	return before.bytes ? made_push(&made->images, &made->tip, &made->now,
					&before)
			    : made_base(&made->images, &made->now, &made->tip);
}

static int add_working(struct made *made, const char *path)
{
	auto_memory struct made_memory set = read_memory(path);
	auto_memory struct made_memory none =
		made_memory_new(set.bytes / LAYER_PAGE);
	struct tip *tip = &made->tip;
	struct err err = { 0 };
	struct layer layer;

	for (uint64_t at = 0; at < set.bytes; at += LAYER_PAGE)
		if (!pages_is_zero(set.at + at))
			memcpy(set.at + at, made->now.at + at, LAYER_PAGE);
	if (made_layer(&made->images, LAYER_WORKING, &set, &none,
		       tip->layers[tip->layer_count - 1].head.id, &layer) < 0)
		return -1;
	return tip_push(tip, &layer, &err) < 0 ? fail(path, &err) : 0;
}

static int add_file(struct made *made, const char *path, bool disk)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct tip *tip = &made->tip;
	struct err err = { 0 };
	int rc;

	rc = disk ? layer_write_disk(&made->images, images_shape, fd,
				     &tip->disks[tip->disk_count++], &err)
		  : layer_write_state(&made->images, images_shape, fd,
				      &tip->state, &err);
	return rc < 0 ? fail(path, &err) : 0;
}

/* "word=FILE": the file, else NULL. */
static const char *value(const char *word, const char *name)
{
	size_t len = strlen(name);

	return strncmp(word, name, len) == 0 ? word + len : NULL;
}

static int add(struct made *made, const char *word, bool memory)
{
	const char *state = value(word, "state="), *disk = value(word, "disk=");
	const char *working = value(word, "working=");

	if (memory)
		return strchr(word, '=') ? 0 : add_memory(made, word);
	if (value(word, "words=")) {
		made->tip.words = strdup(value(word, "words="));
		return 0;
	}
	if (working)
		return add_working(made, working);
	return state || disk ? add_file(made, state ? state : disk, disk) : 0;
}

int main(int argc, char **argv)
{
	struct made made = { .tip = TIP_EMPTY };
	struct err err = { 0 };
	int rc = 0;

	if (argc < 4)
		return 100;
	if (images_open(&made.images, argv[1], true, &err) < 0)
		return fail(argv[1], &err);
	/* All layers have it. */
	if (value(argv[3], "shape="))
		store_from_hex(value(argv[3], "shape="), images_shape);
	for (int memory = 1; memory >= 0; memory--)
		for (int i = 3; !rc && i < argc; i++)
			rc = add(&made, argv[i], memory);
	if (!rc)
		rc = made_publish(&made.images, &made.tip, argv[2]);
	tip_close(&made.tip);
	made_memory_fini(&made.now);
	images_close(&made.images);
	return rc ? 1 : 0;
}
