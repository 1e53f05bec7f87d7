/* SPDX-License-Identifier: Apache-2.0 */
/* An EROFS image as a granted folder of WASI: its descriptors, paths and
 * calls.  Nothing in it changes, so that what it needs is the image's bytes and
 * the guest's memory; it stands on nothing, and is compiled for processes and
 * for the system inside domains alike.
 *
 * Numbers of descriptors: the granted folder has one among the granted ones,
 * which nobody else is given; what is opened below it has numbers from
 * WASIFS_FIRST on, where all others end.  So a number alone tells whose a
 * call is.
 *
 *	0 .. 4095	others', but for the granted folder
 *	4096 ..		what was opened in the image
 *
 * What lies in the image is nobody's promise: erofs/read.h checks all that it
 * reads, and no call here takes longer than its arguments are long. */
#pragma once
#include "erofs/read.h"
#include "wasm/value.h"

enum {
	WASIFS_FIRST = 4096,
	WASIFS_FDS = 1024, /* open at once, the granted folder too */
	WASIFS_NAME = 256, /* of the granted folder, with its 0 */
	WASIFS_PATH = 4096,
	WASIFS_DEPTH = 128,
	WASIFS_NOT_MINE = -1,
};

struct wasifs_fd {
	bool is_open;
	bool is_granted; /* it tells its folder's name */
	uint8_t type;	 /* enum wasi_filetype */
	uint16_t flags;	 /* enum wasi_fdflag */
	uint64_t rights, inheriting;
	uint64_t position;
	struct erofs_node node;
};

/* A path on its way: "rest" is what of the text is still to go. */
struct wasifs_walk {
	uint64_t folders[WASIFS_DEPTH]; /* nids; the first is the caller's */
	uint32_t depth, links;
	struct erofs_node at; /* folders[depth] */
	char *rest;
	char text[2 * WASIFS_PATH];
};

struct wasifs {
	struct erofs erofs;
	uint64_t device;  /* what st_dev says */
	uint32_t granted; /* the folder's number */
	uint32_t name_len;
	char name[WASIFS_NAME];
	struct wasifs_walk walk; /* of the one call that there is */
	struct wasifs_fd fds[WASIFS_FDS];
};

/* Of memory that is all zero.  "granted" is below WASIFS_FIRST, the name
 * shorter than WASIFS_NAME.  An enum erofs_code, and why. */
int wasifs_open(struct wasifs *fs, const struct erofs_source *source,
		uint32_t granted, const char *name, size_t name_len,
		const char **why);

/* The memory of the guest's that calls. */
struct wasifs_caller {
	uint8_t *base;
	uint64_t bytes;
	bool unstable; /* as preview 0 */
};
/* A call by its number (brood/wasi_calls.def): an errno of WASI, or
 * WASIFS_NOT_MINE where no descriptor of the image's is named.  poll_oneoff is
 * never: it asks wasifs_poll. */
int wasifs_call(struct wasifs *fs, const struct wasifs_caller *caller,
		unsigned number, const union wasm_value *arguments);
/* Is a descriptor ready, which it is at once: an errno, and how many bytes
 * there are to be read.  WASIFS_NOT_MINE. */
int wasifs_poll(const struct wasifs *fs, uint32_t fd, bool writes,
		uint64_t *bytes);
