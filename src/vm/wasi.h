/* SPDX-License-Identifier: Apache-2.0 */
/* WASI preview 1.  A module gets what the options grant, nothing else.  The
 * guest's descriptors: the standard streams, from 3 on the folders, then that
 * of the image, then the sockets.  See docs/wasi.md. */
#pragma once
#include "vm/vm.h"

enum wasi_number {
#define WASI_CALL(name, signature) WASI_NUMBER_##name,
#include "brood/wasi_calls.def"
#undef WASI_CALL
	WASI_FUNCTIONS
};

struct wasi;
struct wasi_folder {
	const char *host, *guest;
	bool read_only;
};

struct wasi_image;
struct wasi_options {
	char *const *arguments; /* [argument_count], the program's name first */
	size_t argument_count;
	char *const *environment; /* "K=V" [environment_count] */
	size_t environment_count;
	const struct wasi_folder *folders;
	size_t folder_count;
	int stdio[3]; /* descriptors, duplicated; -1: none */
	/* listening sockets handed over, as preopened descriptors */
	const int *sockets;
	size_t socket_count;
	const struct wasi_image *image; /* NULL: none */
	/* Who runs the guest serves the image: here its number is kept free. */
	bool image_is_elsewhere;
	/* Its folders and sockets are granted again, under their numbers;
	 * nothing is opened or asked of the system for that.  NULL: none. */
	const struct wasi *like;
};

int wasi_open(struct wasi **wasi, const struct wasi_options *options,
	      struct err *err);
void wasi_close(struct wasi *wasi);
/* The host's descriptors of what it was granted: how many there are, of which
 * the first "room" are told. */
struct wasi_granted {
	int host;
	bool is_folder, read_only;
};
size_t wasi_granted(const struct wasi *wasi, struct wasi_granted *granted,
		    size_t room);
/* The number of the image's folder, 0: there is none. */
uint32_t wasi_image_number(const struct wasi *wasi);
/* Does it look up names step by step, since there is no openat2? */
bool wasi_walks(const struct wasi *wasi);
/* Has the guest the standard streams as they were granted, and as many
 * descriptors open as then? */
bool wasi_is_untouched(const struct wasi *wasi);
/* Defines wasi_snapshot_preview1 and its older form wasi_unstable in the VM,
 * one VM; wasi must outlive it. */
int wasi_define(struct wasi *wasi, struct vm *vm, struct err *err);

/* What the guest has open, for a snapshot of it: bytes (wasi_state.h), at the
 * end of out.  Fails where something cannot be had again: pipes and sockets
 * that were not granted, files that are written or that have no place beneath
 * a granted folder. */
struct buf;
int wasi_state_save(const struct wasi *wasi, struct buf *out, struct err *err);
/* Gives a guest that has what it was granted, the same streams, folders and
 * sockets by number and name, what that one had open.  -EBADMSG: these are no
 * such bytes; -EINVAL: something is not what it was, and the line says what.
 * Then the guest has what it was granted, still. */
int wasi_state_restore(struct wasi *wasi, const void *bytes, size_t len,
		       struct err *err);

/* The folders that such a guest was granted, in their order, each name with a 0
 * behind it, at the end of names.  -EINVAL, and what: it was granted more than
 * streams and folders. */
int wasi_state_folders(const void *bytes, size_t len, struct buf *names,
		       struct err *err);

/* Bits of the standard streams 1 and 2 whose writes may be done a little
 * later: files and pipes that wait, and nobody looks on. */
uint32_t wasi_can_wait(const struct wasi *wasi);

/* For guests whose engine is no VM of this process: a call is a number and
 * arguments, and all else that it needs is here. */
struct wasi_caller {
	uint8_t *base;	     /* of the guest's memory, which may change ... */
	uint64_t bytes;	     /* ... at any time; its length does not */
	int64_t deadline_ns; /* CLOCK_MONOTONIC, 0: none */
	/* Has the run ended?  0 or an enum wasm_trap; asked often where there
	 * is a deadline, and now and then while a call waits.  NULL: never. */
	int (*ended)(void *env);
	void *env;
	int exit_code; /* set where the trap is WASM_TRAP_exit */
};
/* Does the function, whose arguments nobody changes meanwhile: what the guest
 * gets, an errno of WASI, or the negative of an enum wasm_trap.  What is no
 * function is WASI_ENOSYS. */
int wasi_call_number(struct wasi *wasi, struct wasi_caller *caller,
		     unsigned number, bool unstable,
		     const union wasm_value *arguments);
/* Does this call read standard input, or wait for it? */
bool wasi_asks_input(struct wasi *wasi, struct wasi_caller *caller,
		     unsigned number, bool unstable,
		     const union wasm_value *arguments);
/* Would a read of standard input find more than its end, or not get to it
 * before the run ends?  Waits until that is known; a terminal, and none, have
 * nothing. */
bool wasi_has_input(struct wasi *wasi, struct wasi_caller *caller);
/* NULL: there is no such function.  The signature is in the letters of
 * vm_define_function. */
const char *wasi_function_name(unsigned number);
const char *wasi_function_signature(unsigned number);
