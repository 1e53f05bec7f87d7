/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/payload.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PAYLOAD_PART = 1 << 20, PAYLOAD_SYNCED = 8 << 20 };

/* ---- hashed ------------------------------------------------------------------- */

static int payload_add(int fd, const char *path, uint64_t bytes, char *part,
		       struct sha256 *sha, payload_tick *tick, void *context,
		       struct err *err)
{
	for (uint64_t at = 0; at < bytes;) {
		uint64_t left = bytes - at;
		size_t len = left < PAYLOAD_PART ? (size_t)left : PAYLOAD_PART;
		int rc = fd_pread_all(fd, part, len, at, err);

		if (rc == -ENODATA)
			return err_set(err, -EBADMSG,
				       "%s ends after %lu of %lu bytes", path,
				       (unsigned long)at, (unsigned long)bytes);
		if (rc < 0)
			return err_wrap(err, "read %s", path);
		sha256_add(sha, part, len);
		at += len;
		if (tick && !tick(context))
			return err_set(err, -ECANCELED, "hash %s", path);
	}
	return 0;
}

int payload_digest(int fd, const char *path, uint64_t bytes, payload_tick *tick,
		   void *context, char hex[RECORD_HEX + 1], struct err *err)
{
	auto_free char *part = malloc(PAYLOAD_PART);
	uint8_t sum[SHA256_BYTES];
	struct sha256 sha;
	int rc;

	if (!part)
		return err_set(err, -ENOMEM, "hash %s", path);
	sha256_start(&sha);
	rc = payload_add(fd, path, bytes, part, &sha, tick, context, err);
	sha256_end(&sha, sum);
	hash_bytes_hex(sum, SHA256_BYTES, hex);
	/* The mount has pages of its own. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return rc;
}

/* ---- copied ------------------------------------------------------------------- */

/* What is written is what has that digest, whatever the source does. */
static int payload_copied(const struct sha256 *sha, const char *hex,
			  struct err *err)
{
	struct sha256 end = *sha;
	uint8_t sum[SHA256_BYTES];
	char found[RECORD_HEX + 1];

	sha256_end(&end, sum);
	hash_bytes_hex(sum, SHA256_BYTES, found);
	return strcmp(found, hex) == 0
		       ? 0
		       : err_set(err, -EBADMSG,
				 "what was copied is not the payload: its digest is %.12s",
				 found);
}

int payload_copy(int from, int to, const char *hex, uint64_t bytes,
		 payload_tick *tick, void *context, struct err *err)
{
	struct sha256 sha;
	auto_free char *part = malloc(PAYLOAD_PART);

	if (!part)
		return err_set(err, -ENOMEM, "copy the payload");
	sha256_start(&sha);
	for (uint64_t at = 0; at < bytes;) {
		uint64_t left = bytes - at;
		size_t len = left < PAYLOAD_PART ? (size_t)left : PAYLOAD_PART;
		int rc = fd_pread_all(from, part, len, at, err);

		if (rc >= 0)
			rc = fd_write_all(to, part, len, err);
		if (rc < 0)
			return rc;
		sha256_add(&sha, part, len);
		at += len;
		/* One sync of all at the end would be a long silence. */
		if (at % PAYLOAD_SYNCED == 0 && fdatasync(to) < 0)
			return err_set(err, -errno, "sync the payload");
		if (tick && !tick(context))
			return err_set(err, -ECANCELED, "copy the payload");
	}
	return payload_copied(&sha, hex, err);
}

/* ---- stamps ------------------------------------------------------------------- */

static void payload_stamp_text(const struct stat *st, const char *hex,
			       struct buf *text)
{
	struct file_stamp stamp;

	file_stamp_of(st, &stamp);
	buf_format(text, "%s %lx.%lx.%lx.%lx.%lx\n", hex,
		   (unsigned long)stamp.dev, (unsigned long)stamp.ino,
		   (unsigned long)stamp.size, (unsigned long)stamp.mtime_ns,
		   (unsigned long)stamp.ctime_ns);
}

static bool payload_is_stamped(const struct buf *text, const char *stamp)
{
	auto_buf struct buf found = { 0 };

	return stamp && !text->failed &&
	       file_read(stamp, &found, 4096, NULL) >= 0 &&
	       strcmp(buf_string(&found), buf_string(text)) == 0;
}

int payload_open(const char *path, uint64_t bytes, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint64_t len;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", path);
	len = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &len) < 0)
		return err_set(err, -errno, "measure %s", path);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no image", path);
	if (len < bytes)
		return err_set(err, -EBADMSG, "%s has %lu bytes of %lu", path,
			       (unsigned long)len, (unsigned long)bytes);
	return steal_fd(&fd);
}

static int payload_look(const char *path, const char *hex, uint64_t bytes,
			struct buf *stamp, struct err *err)
{
	auto_close int fd = payload_open(path, bytes, err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "look at %s", path);
	payload_stamp_text(&st, hex, stamp);
	return steal_fd(&fd);
}

int payload_is_known(const char *path, const char *hex, uint64_t bytes,
		     const char *stamp, struct err *err)
{
	auto_buf struct buf text = { 0 };
	auto_close int fd = payload_look(path, hex, bytes, &text, err);

	return fd < 0 ? fd : payload_is_stamped(&text, stamp);
}

int payload_verify(const char *path, const char *hex, uint64_t bytes,
		   const char *stamp, payload_tick *tick, void *context,
		   struct err *err)
{
	auto_buf struct buf text = { 0 };
	auto_close int fd = payload_look(path, hex, bytes, &text, err);
	char found[RECORD_HEX + 1];
	int rc;

	if (fd < 0)
		return fd;
	if (payload_is_stamped(&text, stamp))
		return 1;
	rc = payload_digest(fd, path, bytes, tick, context, found, err);
	if (rc < 0)
		return rc;
	if (strcmp(found, hex) != 0)
		return err_set(err, -EBADMSG,
			       "%s is damaged: its digest is %.12s", path,
			       found);
	if (stamp)
		file_replace(stamp, buf_string(&text), text.len, 0644, NULL);
	return 0;
}
