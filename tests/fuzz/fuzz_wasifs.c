/* SPDX-License-Identifier: Apache-2.0 */
/* An image of files with any changes, and any calls on it: each ends, with an
 * errno, and touches nothing but the image's bytes and the guest's memory.
 * Input: a byte with how many changes there are, each of three bytes (a place
 * and a value), then calls of five bytes: number, descriptor, path, and what
 * else is an argument. */
#include "brood/wasi_abi.h"
#include "tree/erofs_write.h"
#include "wasifs/wasifs.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	GRANTED = 3,
	IMAGE_USED = 1 << 16, /* where changes are made */
	MEMORY = 1 << 13,
	AT_VECTORS = 1024,
	AT_BYTES = 2048,
	AT_RESULT = 4096,
	CALLS_MOST = 64,
};

static uint8_t *image, *changed;
static size_t image_bytes;
static struct wasifs fs;

static const char *const paths[] = {
	"file",		 ".",	   "..",       "sub/../file",
	"sub/deep/leaf", "link",   "loop/x",   "up/x",
	"sub/link/leaf", "/file",  "none",     "",
	"sub/",		 "file/x", "many/n17", "./././sub/.",
};
enum { PATHS = sizeof paths / sizeof *paths, PATH_ROOM = 32 };

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void end(void)
{
	free(image);
	free(changed);
}

static void put_tree(struct tree *tree)
{
	char name[32];

	require(tree_data(tree, "file", 0644, "text of a file", 14, NULL) >= 0);
	require(tree_data(tree, "sub/deep/leaf", 0644, "leaf", 4, NULL) >= 0);
	require(tree_link(tree, "link", "sub/deep/leaf", NULL) >= 0);
	require(tree_link(tree, "loop", "sub", NULL) >= 0);
	require(tree_link(tree, "up", "sub/deep", NULL) >= 0);
	require(tree_link(tree, "sub/link", "deep", NULL) >= 0);
	/* More than one block of names. */
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "many/n%d", i);
		require(tree_data(tree, name, 0644, "", 0, NULL) >= 0);
	}
	require(tree_close(tree, NULL) >= 0);
}

static void begin(void)
{
	const struct erofs_write_plan plan = { .mtime = &(struct timespec){
						       .tv_sec = 1 } };
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct erofs_written written;
	struct tree tree = { 0 };
	struct err err = { 0 };

	atexit(end);
	put_tree(&tree);
	require(fd >= 0 &&
		erofs_write(fd, &tree, &plan, &written, NULL, &err) >= 0);
	tree_fini(&tree);
	image_bytes = written.image_bytes;
	image = malloc(image_bytes);
	changed = malloc(image_bytes);
	require(image && changed &&
		pread(fd, image, image_bytes, 0) == (ssize_t)image_bytes);
	close(fd);
	memcpy(changed, image, image_bytes);
}

static int read_image(void *context, uint64_t at, void *to, uint64_t len)
{
	(void)context;
	require(at <= image_bytes && len <= image_bytes - at);
	memcpy(to, changed + at, len);
	return 0;
}

static void seal(void)
{
	struct erofs_super *super = (void *)(changed + EROFS_SUPER_AT);

	super->sum = 0;
	super->sum = erofs_sum(~0u, super, EROFS_BLOCK - EROFS_SUPER_AT);
}

/* Some as they are, of all a sum that holds. */
static void change(const uint8_t **data, size_t *size)
{
	size_t count = *size ? **data : 0;

	memcpy(changed, image, IMAGE_USED);
	if (*size) {
		++*data;
		--*size;
	}
	for (; count && *size >= 3; count--, *data += 3, *size -= 3)
		changed[(*data)[0] << 8 | (*data)[1]] = (*data)[2];
	seal();
}

static uint32_t any_fd(uint8_t byte)
{
	return byte < 128   ? GRANTED
	       : byte < 250 ? WASIFS_FIRST + (byte - 128) / 8
			    : byte - 250;
}

/* Numbers that matter, and whatever. */
static uint64_t any_number(uint8_t byte)
{
	static const uint64_t some[] = { 0,	    1,	       12,
					 4096,	    AT_BYTES,  MEMORY,
					 INT32_MAX, INT64_MAX, UINT32_MAX,
					 UINT64_MAX };

	return byte < sizeof some / sizeof *some ? some[byte] : byte;
}

static void put_memory(uint8_t *memory)
{
	const struct wasi_iovec vectors[2] = { { AT_BYTES, 100 },
					       { AT_BYTES + 100, 1000 } };

	memset(memory, 0xa5, MEMORY);
	for (int i = 0; i < PATHS; i++)
		memcpy(memory + i * PATH_ROOM, paths[i], strlen(paths[i]));
	memcpy(memory + AT_VECTORS, vectors, sizeof vectors);
}

/* Where a call takes a path it gets one; its result has a place. */
static void put_arguments(const uint8_t *data, union wasm_value *a)
{
	uint32_t path = data[2] % PATHS;
	uint64_t more = any_number(data[3]), flags = data[4];

	for (int i = 0; i < 10; i++)
		a[i].i64 = i % 2 ? more : flags;
	a[0].i64 = any_fd(data[1]);
	switch (data[0] % 8) {
	case 0: /* path_open, mostly */
	case 1:
		a[1].i64 = flags & 1;
		a[2].i64 = path * PATH_ROOM;
		a[3].i64 = strlen(paths[path]);
		a[4].i64 = flags >> 4;
		a[5].i64 = a[6].i64 = data[3] & 1 ? 0xffff : 0x4002;
		a[7].i64 = 0;
		a[8].i64 = AT_RESULT;
		break;
	case 2:
		a[1].i64 = path * PATH_ROOM;
		a[2].i64 = strlen(paths[path]);
		a[3].i64 = AT_BYTES;
		a[4].i64 = more;
		a[5].i64 = AT_RESULT;
		break;
	case 3:
		a[1].i64 = AT_VECTORS;
		a[2].i64 = flags % 3;
		a[3].i64 = AT_RESULT;
		break;
	case 4:
		a[1].i64 = AT_BYTES;
		a[2].i64 = 100 + flags;
		a[3].i64 = more;
		a[4].i64 = AT_RESULT;
		break;
	}
}

enum number {
#define WASI_CALL(name, signature) CALL_##name,
#include "brood/wasi_calls.def"
#undef WASI_CALL
	CALLS
};

static unsigned any_call(const uint8_t *data)
{
	static const uint8_t often[] = {
		CALL_path_open, CALL_path_filestat_get, CALL_path_readlink,
		CALL_fd_read,	CALL_fd_readdir,
	};

	return data[0] % 8 < sizeof often ? often[data[0] % 8]
					  : (unsigned)data[0] * 7 % (CALLS + 2);
}

static void call_all(const uint8_t *data, size_t size)
{
	uint8_t *memory = malloc(MEMORY);
	const struct wasifs_caller caller = { .base = memory,
					      .bytes = MEMORY,
					      .unstable = size & 1 };

	require(memory != NULL);
	put_memory(memory);
	for (int i = 0; i < CALLS_MOST && size >= 5; i++) {
		union wasm_value a[10];
		uint64_t bytes;
		int e;

		put_arguments(data, a);
		e = wasifs_call(&fs, &caller, any_call(data), a);
		require(e >= WASIFS_NOT_MINE && e <= WASI_ENOTCAPABLE);
		e = wasifs_poll(&fs, a[0].i32, data[4] & 1, &bytes);
		require(e >= WASIFS_NOT_MINE && e <= WASI_ENOTCAPABLE);
		data += 5;
		size -= 5;
	}
	free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct erofs_source source = { .read = read_image };
	const char *why = NULL;

	if (!image)
		begin();
	source.len = image_bytes;
	change(&data, &size);
	memset(&fs, 0, sizeof fs);
	if (wasifs_open(&fs, &source, GRANTED, "/app", 4, &why) < 0)
		require(why != NULL);
	else
		call_all(data, size);
	return 0;
}
