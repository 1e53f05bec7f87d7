/* SPDX-License-Identifier: Apache-2.0 */
/* WASI preview 1.  A module gets what the options grant, nothing else.  The
 * guest's descriptors: the standard streams, from 3 on the folders, then the
 * sockets.  See docs/wasi.md. */
#pragma once
#include "vm/vm.h"

struct wasi_folder {
	const char *host, *guest;
	bool read_only;
};

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
};

struct wasi;
int wasi_open(struct wasi **wasi, const struct wasi_options *options,
	      struct err *err);
void wasi_close(struct wasi *wasi);
/* Has the guest the standard streams as they were granted, and as many
 * descriptors open as then? */
bool wasi_is_untouched(const struct wasi *wasi);
/* Defines wasi_snapshot_preview1 and its older form wasi_unstable in the VM,
 * one VM; wasi must outlive it. */
int wasi_define(struct wasi *wasi, struct vm *vm, struct err *err);
