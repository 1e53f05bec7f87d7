/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads: copied when they are what they should be, and known again only as
 * the file that was hashed. */
#include "lib/apps.h"

static struct apps_image image;

static void start(void)
{
	apps_start();
	apps_image("#!/bin/sh\n", &image);
}

/* In place, so that it stays the same file. */
static void change(off_t at)
{
	auto_close int fd = open(image.path, O_RDWR | O_CLOEXEC);
	char byte;

	CHECK(pread(fd, &byte, 1, at) == 1);
	byte ^= 1;
	CHECK(pwrite(fd, &byte, 1, at) == 1);
}

static int copy(struct err *err)
{
	auto_close int from = open(image.path, O_RDONLY | O_CLOEXEC);
	auto_close int to =
		open(apps_in("copy"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		     0644);

	return payload_copy(from, to, image.hex, image.bytes, NULL, NULL, err);
}

static int verify(struct err *err)
{
	return payload_verify(image.path, image.hex, image.bytes,
			      apps_in("stamp"), NULL, NULL, err);
}

TEST(a_copy_has_the_digest)
{
	struct err err = { 0 };

	start();
	CHECK_INT(copy(&err), 0);
	CHECK_INT(payload_verify(apps_in("copy"), image.hex, image.bytes, NULL,
				 NULL, NULL, &err),
		  0);
	/* It may have been changed since it was found right. */
	change((off_t)image.bytes / 2);
	CHECK_INT(copy(&err), -EBADMSG);
	CHECK(strstr(err.text, "what was copied is not the payload"));
	apps_end();
}

static bool has_changed(const struct stat *before)
{
	struct stat st;

	return stat(image.path, &st) < 0 ||
	       st.st_ctim.tv_sec != before->st_ctim.tv_sec ||
	       st.st_ctim.tv_nsec != before->st_ctim.tv_nsec;
}

TEST(a_change_whose_time_is_put_back_is_seen)
{
	struct timespec times[2];
	struct err err = { 0 };
	struct stat st;

	start();
	CHECK_INT(verify(&err), 0);
	CHECK_INT(verify(&err), 1);
	CHECK_INT(stat(image.path, &st), 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	change((off_t)image.bytes / 2);
	/* The clock of files has steps. */
	do
		CHECK_INT(utimensat(AT_FDCWD, image.path, times, 0), 0);
	while (!has_changed(&st));
	CHECK_INT(verify(&err), -EBADMSG);
	apps_end();
}

TEST_MAIN
