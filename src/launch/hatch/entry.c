/* SPDX-License-Identifier: Apache-2.0 */
/* Entry and image: opened, trusted by owner and mode, checked whole. */
#include "bare/fact.h"
#include "bare/image_check.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/mman.h>

const char *entry_words(int result)
{
	switch (-result) {
	case ENOENT: return "is missing";
	case EACCES: return "cannot be read: permission denied";
	case EPERM: return "is not permitted";
	case ELOOP: return "is a link";
	case ENOTDIR: return "is below something that is not a folder";
	case EISDIR: return "is a folder";
	case ENOEXEC: return "is not a program of this machine";
	case ENOMEM: return "needs more memory than there is";
	case E2BIG: return "has too long arguments";
	case ETXTBSY: return "is being written";
	case EMFILE:
	case ENFILE: return "needs more descriptors than the limit";
	}
	return "cannot be opened";
}

bool entry_is_limit(long error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* Words for what makes the open file one that others may have written. */
static const char *entry_distrust(int fd, uint64_t *size)
{
	struct statx st;

	if (raw_5(statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
		return "cannot be looked at";
	*size = st.stx_size;
	if ((st.stx_mode & S_IFMT) != S_IFREG)
		return "is not a regular file";
	if (st.stx_uid != 0 && st.stx_uid != (uint32_t)raw_0(geteuid))
		return "belongs to another user";
	if (st.stx_mode & 020)
		return "can be written by its group";
	if (st.stx_mode & 002)
		return "can be written by anybody";
	return NULL;
}

/* Above the standard ones: where the caller has closed one of these, it must
 * look closed to who compares descriptors. */
static long entry_open_high(const char *path, int flags)
{
	long fd = raw_4(openat, AT_FDCWD, path,
			O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags, 0);
	long high;

	if (fd < 0 || fd > 2)
		return fd;
	high = raw_3(fcntl, fd, F_DUPFD_CLOEXEC, 3);
	raw_1(close, fd);
	return high;
}

/* Returns the descriptor, or a negative errno with the reason set. */
static int entry_open(struct starter *starter, const char *what,
		      const char *path, int flags, uint64_t *size)
{
	long fd = entry_open_high(path, flags);
	const char *wrong;

	if (fd < 0) {
		text_reason(starter, what, " ", entry_words(fd));
		return fd;
	}
	wrong = entry_distrust(fd, size);
	if (!wrong)
		return fd;
	text_reason(starter, what, " ", wrong);
	raw_1(close, fd);
	return -EPERM;
}

int entry_load(struct starter *starter)
{
	uint64_t size = 0;
	int fd =
		entry_open(starter, "the entry", starter->entry_path, 0, &size);
	const char *wrong;
	long n = 0;

	if (fd >= 0) {
		n = raw_3(read, fd, &starter->entry, sizeof starter->entry);
		raw_1(close, fd);
		wrong = entry_check(&starter->entry, n > 0 ? n : 0);
		if (!wrong)
			return 0;
		text_reason(starter, "the entry ", wrong, "");
	}
	return 111;
}

/* Maps the header: 0, or a negative errno with a reason. */
static long entry_map_header(struct starter *starter, uint64_t size)
{
	uint32_t head[6]; /* up to header_bytes */
	uint64_t len;
	const char *wrong;
	long at;

	if (size < sizeof(struct program_image) ||
	    raw_4(pread64, starter->image_fd, head, sizeof head, 0) !=
		    sizeof head) {
		text_reason(starter, "the image is not an image", "", "");
		return -EINVAL;
	}
	len = head[4];
	if (len > IMAGE_HEADER_MOST || len > size || len < 4096)
		len = 4096;
	at = raw_6(mmap, STARTER_IMAGE_AT, len, PROT_READ,
		   MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_POPULATE,
		   starter->image_fd, 0);
	if (at != (long)STARTER_IMAGE_AT) {
		text_reason(starter, "the image cannot be mapped", "", "");
		return at < 0 ? at : -EINVAL;
	}
	wrong = image_check((void *)at, len < size ? len : size, size);
	if (wrong) {
		text_reason(starter, "the image ", wrong, "");
		raw_2(munmap, at, len);
		return -EINVAL;
	}
	starter->image = (void *)at;
	return 0;
}

static uint64_t entry_ns(const struct statx_timestamp *time)
{
	return (uint64_t)time->tv_sec * 1000000000u + time->tv_nsec;
}

/* The file at path, or the open one with "" as its path. */
bool entry_file_is_same(int fd, const char *path, const struct image_file *file)
{
	struct statx st;
	long r = raw_5(statx, fd, path, *path ? 0 : AT_EMPTY_PATH,
		       STATX_BASIC_STATS, &st);

	/* It had no name any more when the image was made. */
	if (file->ino == 0)
		return r == -ENOENT;
	return r == 0 && st.stx_ino == file->ino && st.stx_size == file->size &&
	       entry_ns(&st.stx_mtime) == file->mtime_ns &&
	       entry_ns(&st.stx_ctime) == file->ctime_ns;
}

/* All that the image was made of, but the program itself: known already. */
bool entry_files_are_same(struct starter *starter)
{
	const struct program_image *image = starter->image;
	const struct image_file *file = image_files(image);

	for (uint32_t i = 0; i < image->file_count; i++) {
		const char *path = image_string(image, file[i].path);

		if (i == image->exe_file ||
		    entry_file_is_same(AT_FDCWD, path, &file[i]))
			continue;
		text_reason(starter, path, " has changed", "");
		starter->stale = true;
		return false;
	}
	return true;
}

static bool entry_program_is_same(struct starter *starter)
{
	const struct image_file *file =
		image_files(starter->image) + starter->image->exe_file;

	if (entry_file_is_same(AT_FDCWD, starter->entry.program, file))
		return true;
	text_reason(starter, "the program has changed", "", "");
	return false;
}

static void entry_drop_image(struct starter *starter)
{
	if (starter->image)
		raw_2(munmap, (uint64_t)starter->image,
		      starter->image->header_bytes);
	if (starter->image_fd >= 0)
		raw_1(close, starter->image_fd);
	starter->image = NULL;
	starter->image_fd = -1;
}

/* An image that is missing, damaged or of another program should be made
 * anew.  One that does not fit this launch may be right for others: it stays
 * as long as somebody keeps it. */
void entry_load_image(struct starter *starter)
{
	uint64_t size = 0;
	char words[128];
	const char *differs;
	long failed;

	starter->image_fd = entry_open(starter, "the image",
				       starter->entry.image, O_NOFOLLOW, &size);
	failed = starter->image_fd < 0 ? starter->image_fd
				       : entry_map_header(starter, size);
	if (failed) {
		starter->stale = !entry_is_limit(failed);
		return;
	}
	if (!entry_program_is_same(starter)) {
		starter->image = NULL;
		starter->stale = true;
		return;
	}
	differs = fact_difference(starter->image, starter->envp, words,
				  sizeof words);
	if (differs) {
		text_reason(starter, differs, "", "");
		starter->image = NULL;
		starter->stale = !demand_is_kept(starter);
	}
}

/* The one that is public now. */
void entry_load_image_again(struct starter *starter)
{
	entry_drop_image(starter);
	entry_load_image(starter);
}
