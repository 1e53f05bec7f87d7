/* SPDX-License-Identifier: Apache-2.0 */
/* For guests that print what they see.  A guest's errno is WASI's own. */
#pragma once
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef ENOTCAPABLE
#define ENOTCAPABLE 76 /* for who looks at this without a guest's libc */
#endif

static inline const char *tell_name(int code)
{
	switch (code) {
	case 0: return "ok";
	case EACCES: return "EACCES";
	case EAGAIN: return "EAGAIN";
	case EBADF: return "EBADF";
	case EBUSY: return "EBUSY";
	case EEXIST: return "EEXIST";
	case EFAULT: return "EFAULT";
	case EFBIG: return "EFBIG";
	case EINVAL: return "EINVAL";
	case EISDIR: return "EISDIR";
	case ELOOP: return "ELOOP";
	case EMFILE: return "EMFILE";
	case ENAMETOOLONG: return "ENAMETOOLONG";
	case ENOENT: return "ENOENT";
	case ENOTCAPABLE: return "ENOTCAPABLE";
	case ENOTDIR: return "ENOTDIR";
	case ENOTEMPTY: return "ENOTEMPTY";
	case ENOTSOCK: return "ENOTSOCK";
	case ENOTSUP: return "ENOTSUP";
	case ENXIO: return "ENXIO";
	case EPERM: return "EPERM";
	case EPIPE: return "EPIPE";
	case EROFS: return "EROFS";
	case ESPIPE: return "ESPIPE";
	}
	return strerror(code);
}

/* A call of the C library: -1 and errno. */
static inline long tell(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? tell_name(errno) : "ok");
	return result;
}
#define TELL(call) tell(#call, call)

/* A call of WASI: an errno. */
static inline int tell_wasi(const char *what, int code)
{
	printf("%s: %s\n", what, tell_name(code));
	return code;
}
#define TELL_WASI(call) tell_wasi(#call, call)

/* A file with a text in it. */
static inline void make_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file) != 0) {
		printf("make %s: %s\n", path, tell_name(errno));
		exit(1);
	}
}

static inline void show_file(const char *path)
{
	char text[256];
	FILE *file = fopen(path, "r");
	size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;

	if (!file) {
		printf("%s: %s\n", path, tell_name(errno));
		return;
	}
	fclose(file);
	text[len] = 0;
	printf("%s: \"%s\"\n", path, text);
}
