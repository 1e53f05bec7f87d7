/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest of WASI has open, as bytes.  Numbers are in the machine's own
 * order; what is reserved is 0.
 *
 *	struct wasi_state
 *	struct wasi_state_grant [grant_count]	what it was granted, ascending
 *	struct wasi_state_fd [fd_count]		what it has open, ascending
 *	text: the grants' names of folders, then the paths, in their order,
 *	without an end; then the bytes end */
#pragma once
#include <stdint.h>

#define WASI_STATE_MAGIC "BroodWsi"
enum { WASI_STATE_VERSION = 1 };

struct wasi_state {
	char magic[8];
	uint32_t version, header_bytes;
	uint64_t sum; /* hash64 of all bytes behind it */
	uint32_t grant_count, fd_count;
	uint64_t text_bytes;
};
_Static_assert(sizeof(struct wasi_state) == 40, "part of the format");

struct wasi_state_grant {
	uint32_t fd, kind; /* enum wasi_grant_kind */
	uint32_t text_bytes;
	uint32_t reserved;
};
_Static_assert(sizeof(struct wasi_state_grant) == 16, "part of the format");

enum wasi_state_kind {
	WASI_STATE_GRANTED, /* the grant, perhaps with another number */
	WASI_STATE_FILE,    /* beneath the grant, a folder */
	WASI_STATE_FOLDER,  /* likewise */
	WASI_STATE_KINDS
};
struct wasi_state_fd {
	uint32_t fd, kind;
	uint32_t grant; /* its number when it was granted */
	uint32_t text_bytes;
	/* Of what was granted: the flags that the guest has changed, and the
	 * rights that it has given up. */
	uint16_t flags, changed;
	uint32_t reserved;
	uint64_t rights, inheriting;
	/* Of what was opened, else 0: where it stands, which one it is, and
	 * what tells that it has not changed since. */
	uint64_t offset;
	uint64_t dev, ino, bytes;
	int64_t mtime_s, mtime_ns;
};
_Static_assert(sizeof(struct wasi_state_fd) == 88, "part of the format");
