/* SPDX-License-Identifier: Apache-2.0 */
/* Images of files in domains, of KVM and in its place: read without a bell,
 * changed and cut while they are read, by whoever owns the file. */
#include "brood/wasi_abi.h"
#include "lib/made_domain.h"
#include "tree/erofs_write.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define WASI(name, params)                                              \
	" (import \"wasi_snapshot_preview1\" \"" name "\" (func $" name \
	" (param " params ") (result i32)))"

/* 1024: a descriptor; 1032: a vector of 1000 bytes at 2048; 1040: how much. */
static const char module_text[] = "(module" WASI(
	"path_open",
	"i32 i32 i32 i32 i32 i64 i64 i32 i32") WASI("path_filestat_get",
						    "i32 i32 i32 i32 i32")
	WASI("path_readlink", "i32 i32 i32 i32 i32 i32") WASI(
		"fd_read", "i32 i32 i32 i32") WASI("fd_readdir",
						   "i32 i32 i32 i64 i32")
		WASI("fd_close",
		     "i32") " (memory (export \"memory\") 1)"
			    " (data (i32.const 0) \"file\")"
			    " (data (i32.const 32) \"sub/deep/leaf\")"
			    " (data (i32.const 64) \"link\")"
			    " (data (i32.const 96) \"sub\")"
			    " (data (i32.const 128) \"many\")"
			    " (data (i32.const 160) \"many/n123\")"
			    " (data (i32.const 1032) \"\\00\\08\\00\\00\\e8\\03\\00\\00\")"
			    " (func (export \"word\") (param i32) (result i32)"
			    "  (i32.load (local.get 0)))"
			    " (func (export \"open\") (param i32 i32) (result i32)"
			    "  (call $path_open (i32.const 3) (i32.const 1) (local.get 0)"
			    "   (local.get 1) (i32.const 0) (i64.const 0x4002) (i64.const 0)"
			    "   (i32.const 0) (i32.const 1024)))"
			    " (func (export \"read\") (result i32)"
			    "  (call $fd_read (i32.load (i32.const 1024)) (i32.const 1032)"
			    "   (i32.const 1) (i32.const 1040)))"
			    " (func (export \"list\") (result i32)"
			    "  (call $fd_readdir (i32.load (i32.const 1024)) (i32.const 4096)"
			    "   (i32.const 30000) (i64.const 0) (i32.const 1040)))"
			    " (func (export \"close\") (result i32)"
			    "  (call $fd_close (i32.load (i32.const 1024))))"
			    " (func (export \"stat\") (param i32 i32) (result i32)"
			    "  (call $path_filestat_get (i32.const 3) (i32.const 1)"
			    "   (local.get 0) (local.get 1) (i32.const 2048)))"
			    " (func (export \"link\") (param i32 i32) (result i32)"
			    "  (call $path_readlink (i32.const 3) (local.get 0) (local.get 1)"
			    "   (i32.const 2048) (i32.const 100) (i32.const 1040))))";

static const struct path {
	uint32_t at, len;
} paths[] = {
	{ 0, 4 }, { 32, 13 }, { 64, 4 }, { 96, 3 }, { 128, 4 }, { 160, 9 }
};
enum { PATHS = sizeof paths / sizeof *paths, FLIPS = 3000, CHANGED = 40960 };

static uint8_t *image;
static uint64_t image_bytes;

static bool image_make(void)
{
	const struct timespec time = { .tv_sec = 1 };
	const struct erofs_write_plan plan = { .mtime = &time };
	struct erofs_written written;
	struct tree tree = { 0 };
	char name[32];
	int fd = memfd_create("image", MFD_CLOEXEC);
	int r = fd;

	tree_data(&tree, "file", 0644, "text of a file", 14, &failure);
	tree_data(&tree, "sub/deep/leaf", 0644, "leaf", 4, &failure);
	tree_link(&tree, "link", "sub/deep/leaf", &failure);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "many/n%d", i);
		tree_data(&tree, name, 0644, "", 0, &failure);
	}
	if (r >= 0)
		r = tree_close(&tree, &failure);
	if (r >= 0)
		r = erofs_write(fd, &tree, &plan, &written, NULL, &failure);
	tree_fini(&tree);
	if (r < 0)
		return false;
	image_bytes = written.image_bytes;
	image = malloc(image_bytes);
	r = image && pread(fd, image, image_bytes, 0) == (ssize_t)image_bytes;
	close(fd);
	return r;
}

/* A file of its own, with these bytes. */
static int image_file(const uint8_t *bytes)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	CHECK(fd >= 0 &&
	      pwrite(fd, bytes, image_bytes, 0) == (ssize_t)image_bytes);
	return fd;
}

static struct domain_files files_of(int fd)
{
	return (struct domain_files){
		.fd = fd, .bytes = image_bytes, .number = 3, .name = "/app"
	};
}

static bool open_with(struct run *run, int fd)
{
	const struct domain_files files = files_of(fd);

	return run_open(run, module_text, VM_AUTO,
			(struct domain_options){ 0 }) &&
	       domain_set_files(run->domain, &files, &failure) >= 0;
}

static uint64_t bells(const struct run *run)
{
	struct domain_counts counts;

	domain_counts(run->domain, &counts);
	return counts.bells_for[GUEST_BELL_WASI];
}

static void serves(void)
{
	int fd = image_file(image);
	struct run run;

	CHECK(open_with(&run, fd));
	if (!run.domain)
		return;
	CHECK(run_is(&run, "open", 2, 0, 4, 0));
	CHECK(run_is(&run, "word", 1, 1024, 0, 4096));
	CHECK(run_is(&run, "read", 0, 0, 0, 0));
	CHECK(run_is(&run, "word", 1, 1040, 0, 14));
	CHECK(run_is(&run, "word", 1, 2048, 0, 0x74786574)); /* text */
	CHECK(run_is(&run, "read", 0, 0, 0, 0));
	CHECK(run_is(&run, "word", 1, 1040, 0, 0));
	CHECK(run_is(&run, "close", 0, 0, 0, 0));
	CHECK(run_is(&run, "read", 0, 0, 0, WASI_EBADF));
	CHECK(run_is(&run, "open", 2, 128, 4, 0));
	CHECK(run_is(&run, "list", 0, 0, 0, 0));
	CHECK(bells(&run) == 0);
	run_close(&run);
	close(fd);
}

/* All of it, whatever comes of it; the guest goes on. */
static bool look(struct run *run)
{
	for (int i = 0; i < PATHS; i++) {
		if (run_call(run, "stat", 2, paths[i].at, paths[i].len) < 0 ||
		    run_call(run, "link", 2, paths[i].at, paths[i].len) < 0 ||
		    run_call(run, "open", 2, paths[i].at, paths[i].len) < 0)
			return false;
		if (run->values.values[0].i32)
			continue;
		if (run_call(run, "read", 0, 0, 0) < 0 ||
		    run_call(run, "list", 0, 0, 0) < 0 ||
		    run_call(run, "close", 0, 0, 0) < 0)
			return false;
	}
	return true;
}

static uint64_t next(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

/* The page cache is one: what is written to the file is what it reads. */
static void changes_while_it_is_read(void)
{
	uint64_t state = 1;
	int fd = image_file(image);
	struct run run;

	CHECK(open_with(&run, fd));
	if (!run.domain)
		return;
	for (int i = 0; i < FLIPS; i++) {
		uint64_t at = next(&state) % CHANGED;
		uint8_t byte = (uint8_t)next(&state);

		if (i % 8 == 0)
			CHECK(pwrite(fd, image, CHANGED, 0) == CHANGED);
		CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
		if (!look(&run)) {
			CHECK(!"the domain goes on");
			break;
		}
	}
	CHECK(pwrite(fd, image, CHANGED, 0) == CHANGED);
	CHECK(run_is(&run, "open", 2, 32, 13, 0));
	CHECK(run_is(&run, "read", 0, 0, 0, 0));
	CHECK(run_is(&run, "word", 1, 2048, 0, 0x6661656c)); /* leaf */
	CHECK(bells(&run) == 0);
	run_close(&run);
	close(fd);
}

/* Pages that are gone are an error of the call, not of the domain. */
static void shrinks_while_it_is_read(void)
{
	int fd = image_file(image);
	struct run run;

	CHECK(open_with(&run, fd));
	if (!run.domain)
		return;
	CHECK(run_is(&run, "open", 2, 0, 4, 0));
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(run_is(&run, "read", 0, 0, 0, WASI_EIO));
	CHECK(run_is(&run, "open", 2, 32, 13, WASI_EIO));
	CHECK(run_is(&run, "stat", 2, 96, 3, WASI_EIO));
	CHECK(pwrite(fd, image, image_bytes, 0) == (ssize_t)image_bytes);
	CHECK(run_is(&run, "read", 0, 0, 0, 0));
	CHECK(run_is(&run, "word", 1, 1040, 0, 14));
	CHECK(run_is(&run, "open", 2, 32, 13, 0));
	run_close(&run);
	close(fd);
}

static bool refuses(const struct domain_files *files, const char *why)
{
	struct run run;
	bool holds;

	if (!run_open(&run, module_text, VM_AUTO, (struct domain_options){ 0 }))
		return false;
	holds = domain_set_files(run.domain, files, &failure) < 0 &&
		strstr(failure.text, why);
	printf("# %s\n", failure.text);
	/* It is one without files. */
	holds = holds && run_is(&run, "open", 2, 0, 4, WASI_ENOSYS);
	run_close(&run);
	return holds;
}

static void refuses_what_is_none(void)
{
	int fd = image_file(image);
	struct domain_files files = files_of(fd);
	uint8_t byte = 1;
	struct run run;

	files.bytes -= 1;
	CHECK(refuses(&files, "bytes"));
	files.bytes = GUEST_FILES_MOST + GUEST_PAGE;
	CHECK(refuses(&files, "bytes"));
	files = files_of(fd);
	files.number = 4096;
	CHECK(refuses(&files, "no sense"));
	files = files_of(-1);
	CHECK(refuses(&files, "map an image"));
	CHECK(pwrite(fd, &byte, 1, 1100) == 1);
	files = files_of(fd);
	CHECK(refuses(&files, "checksum"));
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(refuses(&files, "cannot be read"));
	CHECK(pwrite(fd, image, image_bytes, 0) == (ssize_t)image_bytes);
	CHECK(open_with(&run, fd));
	if (!run.domain)
		return;
	CHECK(domain_set_files(run.domain, &files, &failure) < 0);
	CHECK(run_is(&run, "open", 2, 0, 4, 0));
	run_close(&run);
	close(fd);
}

static void image_drop(void)
{
	free(image);
}

static void each(void (*check)(void))
{
	if (!image) {
		CHECK(image_make());
		atexit(image_drop);
	}
	check();
}

#define BOTH(name)                          \
	TEST(name##_in_kvm)                 \
	{                                   \
		if (!ground_use(true))      \
			SKIP(failure.text); \
		each(name);                 \
	}                                   \
	TEST(name##_in_this_process)        \
	{                                   \
		CHECK(ground_use(false));   \
		each(name);                 \
	}
BOTH(serves)
BOTH(changes_while_it_is_read)
BOTH(shrinks_while_it_is_read)
BOTH(refuses_what_is_none)

TEST_MAIN
