/* SPDX-License-Identifier: Apache-2.0 */
/* Images of files on the host: opened, looked through, and served to guests
 * of this process.  A file that has become shorter, or a disk that fails, is
 * met by the one function that reads the mapping: its fault is an I/O error. */
#include "vm/wasi_image.h"
#include "base/fd.h"
#include "base/sha256.h"
#include "base/signal.h"
#include "erofs/check.h"
#include "vm/wasi_internal.h"
#include "wasifs/wasifs.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* What a domain has addresses for, and a process takes no more. */
#define WASI_IMAGE_MOST ((uint64_t)0x3ff000000)
enum { WASI_IMAGE_LEAST = 2 * EROFS_BLOCK, WASI_IMAGE_CHUNK = 1 << 20 };

/* ---- read where it is mapped ------------------------------------------------ */

int wasi_image_copy(void *to, const void *from, size_t len);
extern const uint8_t wasi_image_copying[], wasi_image_lost[];

/* 0, or -1 where a page was not to be had.  The copying is one instruction,
 * so that the handler knows where it is. */
__asm__(".pushsection .text\n"
	".globl wasi_image_copy, wasi_image_copying, wasi_image_lost\n"
	".hidden wasi_image_copy, wasi_image_copying, wasi_image_lost\n"
	".type wasi_image_copy, @function\n"
	".balign 16\n"
	"wasi_image_copy:\n"
	"	mov %rdx, %rcx\n"
	"wasi_image_copying:\n"
	"	rep movsb\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	"wasi_image_lost:\n"
	"	mov $-1, %eax\n"
	"	ret\n"
	".size wasi_image_copy, . - wasi_image_copy\n"
	".popsection");

static struct sigaction image_before;

static void image_fault(int number, siginfo_t *info, void *context)
{
	greg_t *at = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (at[REG_RIP] == (greg_t)wasi_image_copying)
		at[REG_RIP] = (greg_t)wasi_image_lost;
	else
		signal_hand_on(&image_before, number, info, context);
}

static void image_install(void)
{
	signal_take(SIGBUS, image_fault, &image_before);
}

struct image_mapped {
	const uint8_t *at;
	uint64_t bytes;
};

static int image_read(void *context, uint64_t at, void *to, uint64_t len)
{
	const struct image_mapped *mapped = context;

	return wasi_image_copy(to, mapped->at + at, len) < 0 ? EROFS_IO : 0;
}

static struct erofs_source image_source(struct image_mapped *mapped)
{
	return (struct erofs_source){ .read = image_read,
				      .context = mapped,
				      .len = mapped->bytes };
}

static int image_map(struct image_mapped *mapped, int fd, uint64_t bytes,
		     struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return err_set(err, -errno, "map an image of files");
	/* What comes into the page cache comes in large pages, where the file
	 * system can: a domain's CPU has one fault for each. */
	madvise(at, bytes, MADV_HUGEPAGE);
	pthread_once(&once, image_install);
	*mapped = (struct image_mapped){ at, bytes };
	return 0;
}

static void image_unmap(struct image_mapped *mapped)
{
	if (mapped->at)
		munmap((void *)mapped->at, mapped->bytes);
}

/* ---- opened ----------------------------------------------------------------- */

/* Who may write it decides what the program reads; a disk is its group's. */
static int image_check_trust(const struct stat *st, const char *path,
			     struct err *err)
{
	const char *why = NULL;

	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		why = "is neither a regular file nor a disk";
	else if (st->st_uid != 0 && st->st_uid != geteuid())
		why = "belongs to another user";
	else if (st->st_mode & S_IWGRP && !S_ISBLK(st->st_mode))
		why = "can be written by its group";
	else if (st->st_mode & S_IWOTH)
		why = "can be written by anybody";
	return why ? err_set(err, -EINVAL, "image %s %s", path, why) : 0;
}

/* Its length is the image's, where it is one. */
static int image_look_through(struct image_mapped *mapped, const char *path,
			      uint64_t *bytes, struct err *err)
{
	const struct erofs_source source = image_source(mapped);
	/* Such links are there, and lead nowhere: wasifs_path.c. */
	const struct erofs_limits limits = { .allow_absolute = true };
	struct erofs_totals totals;
	char words[EROFS_WHY];
	struct erofs erofs;
	const char *why;
	int r = erofs_open(&source, &erofs, &why);

	if (r >= 0) {
		why = words;
		r = erofs_check(&erofs, &limits, &totals, words);
	}
	if (r < 0)
		return err_set(err, -EINVAL, "image %s: %s", path, why);
	*bytes = erofs.len;
	return 0;
}

static int image_check(int fd, const char *path, uint64_t *bytes,
		       struct err *err)
{
	struct image_mapped mapped = { 0 };
	off_t len = lseek(fd, 0, SEEK_END);
	int r;

	if (len < WASI_IMAGE_LEAST)
		return err_set(err, -EINVAL, "image %s: it is no EROFS image",
			       path);
	/* A disk may be longer than its image. */
	r = image_map(&mapped, fd,
		      (uint64_t)len < WASI_IMAGE_MOST ? (uint64_t)len
						      : WASI_IMAGE_MOST,
		      err);
	if (r >= 0)
		r = image_look_through(&mapped, path, bytes, err);
	image_unmap(&mapped);
	return r;
}

int wasi_image_open(struct wasi_image *image, const char *path,
		    const char *guest, struct err *err)
{
	auto_close int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	*image = (struct wasi_image){ .fd = -1, .guest = guest };
	if (fd < 0)
		return err_set(err, -errno, "open image %s", path);
	if (!*guest || strlen(guest) >= WASIFS_NAME)
		return err_set(err, -EINVAL,
			       "image %s: its folder's name has 1 to %d bytes",
			       path, WASIFS_NAME - 1);
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat image %s", path);
	r = image_check_trust(&st, path, err);
	if (r >= 0)
		r = image_check(fd, path, &image->bytes, err);
	if (r < 0)
		return r;
	image->fd = steal_fd(&fd);
	return 0;
}

void wasi_image_close(struct wasi_image *image)
{
	fd_close(&image->fd);
}

int wasi_image_digest(const struct wasi_image *image,
		      uint8_t digest[WASI_IMAGE_DIGEST], struct err *err)
{
	auto_free char *chunk = malloc(WASI_IMAGE_CHUNK);
	struct sha256 sha;
	uint64_t at = 0;

	if (!chunk)
		return err_set(err, -ENOMEM, "an image's digest");
	sha256_start(&sha);
	while (at < image->bytes) {
		uint64_t left = image->bytes - at;
		ssize_t n =
			pread(image->fd, chunk,
			      left < WASI_IMAGE_CHUNK ? left : WASI_IMAGE_CHUNK,
			      (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, n < 0 ? -errno : -EIO,
				       "read an image of files");
		sha256_add(&sha, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	sha256_end(&sha, digest);
	return 0;
}

/* ---- served ----------------------------------------------------------------- */

struct wasi_image_served {
	struct image_mapped mapped;
	struct wasifs fs;
};

int wasi_image_serve(struct wasi_image_served **made,
		     const struct wasi_image *image, uint32_t fd,
		     struct err *err)
{
	struct wasi_image_served *served = calloc(1, sizeof *served);
	struct erofs_source source;
	const char *why;
	int r;

	*made = served;
	if (!served)
		return err_set(err, -ENOMEM, "an image of files");
	r = image_map(&served->mapped, image->fd, image->bytes, err);
	if (r < 0)
		return r;
	source = image_source(&served->mapped);
	if (wasifs_open(&served->fs, &source, fd, image->guest,
			strlen(image->guest), &why) < 0)
		return err_set(err, -EINVAL, "an image of files: %s", why);
	return 0;
}

void wasi_image_end(struct wasi_image_served *served)
{
	if (!served)
		return;
	image_unmap(&served->mapped);
	free(served);
}

int wasi_image_call(const struct wasi_call *call, unsigned number,
		    const union wasm_value *arguments)
{
	const struct wasifs_caller caller = { .base = call->caller->base,
					      .bytes = call->caller->bytes,
					      .unstable = call->unstable };

	return wasifs_call(&call->wasi->image->fs, &caller, number, arguments);
}

int wasi_image_poll(const struct wasi_call *call, uint32_t fd, bool writes,
		    uint64_t *bytes)
{
	return call->wasi->image
		       ? wasifs_poll(&call->wasi->image->fs, fd, writes, bytes)
		       : WASIFS_NOT_MINE;
}
