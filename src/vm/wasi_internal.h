/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of WASI share: the table of descriptors, a call and the
 * guest's memory, paths beneath a folder, waiting.
 *
 * Functions return an enum wasi_errno (0 is fine), or, where a call may end
 * the guest's run, the negative of an enum wasm_trap.  "takes host" means:
 * closed on failure too. */
#pragma once
#include "brood/wasi_abi.h"
#include "vm/wasi.h"
#include "vm/wasi_image.h"
#include "wasifs/wasifs.h"
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum {
	WASI_FDS_MOST = 4096,  /* descriptors of a guest */
	WASI_POLL_MOST = 4096, /* subscriptions of one call */
	WASI_VECTORS_MOST = IOV_MAX,
};

/* All flags are emulated, since a host's descriptor may share its file's
 * flags with other processes. */
struct wasi_fd {
	int host; /* -1: free */
	enum wasi_filetype type;
	uint16_t flags; /* enum wasi_fdflag */
	uint64_t rights, inheriting;
	const char *folder; /* the guest's name of a granted one, or NULL */
	uint32_t grant; /* 1 + the number it was granted as; 0: it was not */
};

/* A descriptor as it was granted, by its number then. */
enum wasi_grant_kind {
	WASI_NOT_GRANTED,
	WASI_GRANT_STREAM,
	WASI_GRANT_FOLDER,
	WASI_GRANT_SOCKET,
	WASI_GRANT_IMAGE, /* has no descriptor of the host's */
	WASI_GRANT_KINDS
};
struct wasi_grant {
	enum wasi_grant_kind kind;
	uint16_t flags;
	uint64_t rights, inheriting;
	char *folder; /* the guest's name; owned */
};

struct wasi_words { /* strings, each with its 0, in a row */
	char *bytes;
	uint32_t count, len;
};

struct wasi_binding { /* what a host function of the VM stands for */
	struct wasi *wasi;
	unsigned number; /* enum wasi_number */
	bool unstable;	 /* as preview 0 */
};

struct wasi {
	struct wasi_words arguments, environment;
	struct wasi_fd *fds;
	uint32_t fd_room;
	struct wasi_grant *grants; /* [grant_room] */
	uint32_t grant_room, grant_count;
	/* The number of the image's folder, which no descriptor of the host's
	 * gets, 0: none; and who serves it, NULL: who runs the guest. */
	uint32_t image_fd;
	struct wasi_image_served *image;
	bool has_openat2;
	bool has_nosignal; /* RWF_NOSIGNAL, until it fails */
	struct wasi_binding bindings[2][WASI_FUNCTIONS];
};

static inline bool wasi_is_image(const struct wasi *wasi, uint32_t fd)
{
	return fd && fd == wasi->image_fd;
}

struct wasi_call {
	struct wasi *wasi;
	struct wasi_caller *caller;
	bool unstable; /* as preview 0 */
};

typedef int wasi_call_function(struct wasi_call *call,
			       const union wasm_value *arguments);
#define WASI_CALL(name, signature) wasi_call_function wasi_##name;
#include "brood/wasi_calls.def"
#undef WASI_CALL

/* wasi.c: a descriptor of the host's, under the first free number from "least"
 * on; takes entry's host, and the grant's folder belongs to the table then. */
int wasi_grant_add(struct wasi *wasi, struct wasi_fd *entry,
		   const struct wasi_grant *grant, uint32_t least,
		   const char *what, struct err *err);
/* The number is the image's. */
int wasi_grant_image(struct wasi *wasi, uint32_t fd, const char *name,
		     struct err *err);
/* wasi_like.c */
int wasi_grant_like(struct wasi *wasi, const struct wasi *like,
		    struct err *err);

/* The host function of every binding. */
wasm_host_call wasi_enter;

/* ---- wasi_guest.c: the guest's memory --------------------------------------
 * What lies there may change at any time: it is read once, by these. */
void *wasi_guest(const struct wasi_call *call, uint32_t at, uint64_t len);
int wasi_guest_get(const struct wasi_call *call, uint32_t at, void *to,
		   uint32_t len);
int wasi_guest_put(const struct wasi_call *call, uint32_t at, const void *from,
		   uint32_t len);
int wasi_guest_put_u32(const struct wasi_call *call, uint32_t at,
		       uint32_t value);
int wasi_guest_put_u64(const struct wasi_call *call, uint32_t at,
		       uint64_t value);
int wasi_guest_path(const struct wasi_call *call, uint32_t at, uint32_t len,
		    char path[PATH_MAX]);
struct wasi_vectors {
	struct iovec items[WASI_VECTORS_MOST];
	uint32_t first, count; /* items[first .. count) are left */
};
/* Further vectors than WASI_VECTORS_MOST are left out. */
int wasi_guest_vectors(const struct wasi_call *call, uint32_t at,
		       uint32_t count, struct wasi_vectors *vectors);

/* ---- wasi_errno.c */
int wasi_errno(int host);

/* ---- wasi_table.c: descriptors */
#define WASI_RIGHTS_ALL ((1ull << 30) - 1)
/* What lets a guest change what lies in a folder. */
#define WASI_RIGHTS_CHANGE                                                    \
	((uint64_t)WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE |             \
	 WASI_RIGHT_FD_FILESTAT_SET_SIZE | WASI_RIGHT_FD_FILESTAT_SET_TIMES | \
	 WASI_RIGHT_PATH_CREATE_DIRECTORY | WASI_RIGHT_PATH_CREATE_FILE |     \
	 WASI_RIGHT_PATH_LINK_SOURCE | WASI_RIGHT_PATH_LINK_TARGET |          \
	 WASI_RIGHT_PATH_RENAME_SOURCE | WASI_RIGHT_PATH_RENAME_TARGET |      \
	 WASI_RIGHT_PATH_FILESTAT_SET_SIZE |                                  \
	 WASI_RIGHT_PATH_FILESTAT_SET_TIMES | WASI_RIGHT_PATH_SYMLINK |       \
	 WASI_RIGHT_PATH_REMOVE_DIRECTORY | WASI_RIGHT_PATH_UNLINK_FILE)
/* The entry if it has all the rights. */
int wasi_table_get(const struct wasi *wasi, uint32_t fd, uint64_t rights,
		   struct wasi_fd **entry);
/* Sets type and the rights that such a thing has, from host.  -errno. */
int wasi_table_describe(struct wasi_fd *entry);
/* The lowest free number >= least (a small one).  takes host */
int wasi_table_add(struct wasi *wasi, const struct wasi_fd *entry,
		   uint32_t least, uint32_t *fd);
void wasi_table_drop(struct wasi_fd *entry);
enum wasi_filetype wasi_table_type(mode_t mode, int host);
/* Can it make its user wait? */
static inline bool wasi_table_waits(const struct wasi_fd *entry)
{
	return entry->type != WASI_REGULAR_FILE &&
	       entry->type != WASI_DIRECTORY &&
	       entry->type != WASI_BLOCK_DEVICE;
}

/* ---- wasi_beneath.c: paths that stay below a folder */
bool wasi_beneath_probe(void); /* is openat2 there, and not switched off? */
int wasi_beneath_open(const struct wasi *wasi, int folder, const char *path,
		      int flags, mode_t mode, int *host);
/* Where the last name of a path stands; for calls that act on names. */
struct wasi_place {
	int folder;
	int opened;	  /* folder, if it has to be closed; else -1 */
	const char *name; /* within the path; may end with slashes */
};
int wasi_beneath_place(const struct wasi *wasi, int folder, char *path,
		       struct wasi_place *place);

/* ---- wasi_walk.c: the same without openat2.  A descriptor or -errno; -EXDEV
 * where the path leaves the folder. */
int wasi_walk_open(int folder, const char *path, int flags, mode_t mode);

/* ---- wasi_poll.c: waiting */
/* Waits until a stream is ready, as its flags and the run's deadline allow.
 * 0: it is worth trying; WASI_EAGAIN; a trap. */
int wasi_poll_ready(const struct wasi_call *call, const struct wasi_fd *fd,
		    short events);
/* Has the run ended?  0, or the negative of a trap. */
int wasi_poll_ended(const struct wasi_call *call);

/* ---- wasi_fd.c */
int wasi_fd_put_stat(const struct wasi_call *call, uint32_t at,
		     const struct stat *stat, int host);
int wasi_fd_times(uint64_t atim, uint64_t mtim, uint32_t flags,
		  struct timespec times[2]);
/* ---- wasi_io.c */
/* Takes bytes off the front of what is left. */
void wasi_io_drop(struct wasi_vectors *vectors, size_t len);
/* A call fd, vectors, count ..: writes at the offset (-1: where the
 * descriptor stands) and puts how much it was. */
int wasi_io_write_call(const struct wasi_call *call, const union wasm_value *a,
		       int64_t offset, uint32_t put);

/* ---- wasi_image.c: an image as the folder "fd".  An errno, or
 * WASIFS_NOT_MINE. */
int wasi_image_serve(struct wasi_image_served **served,
		     const struct wasi_image *image, uint32_t fd,
		     struct err *err);
void wasi_image_end(struct wasi_image_served *served);
int wasi_image_call(const struct wasi_call *call, unsigned number,
		    const union wasm_value *arguments);
int wasi_image_poll(const struct wasi_call *call, uint32_t fd, bool writes,
		    uint64_t *bytes);

/* ---- wasi_state.c: a guest's descriptors as bytes */
struct wasi_state_fd;
/* The path without what a terminal would obey. */
const char *wasi_state_name(const char *path, struct buf *text);
void wasi_state_stat(struct wasi_state_fd *to, const struct stat *stat);
uint64_t wasi_state_sum(const void *bytes, size_t len); /* len: >= 24 */
