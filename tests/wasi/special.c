/* SPDX-License-Identifier: Apache-2.0 */
/* Calls for what a guest has not: signals, sockets.
 * node: raises signals in itself */
#include "tell.h"
#include <fcntl.h>
#include <unistd.h>
#include <wasi/api.h>

__wasi_errno_t proc_raise(int signal)
	__attribute__((import_module("wasi_snapshot_preview1"),
		       import_name("proc_raise")));

int main(void)
{
	uint8_t bytes[4];
	__wasi_iovec_t into = { bytes, sizeof bytes };
	__wasi_ciovec_t from = { bytes, sizeof bytes };
	__wasi_roflags_t flags;
	__wasi_size_t len;
	__wasi_fd_t fd;

	make_file("/file", "text");
	TELL_WASI(proc_raise(19));
	TELL_WASI(proc_raise(16));
	TELL_WASI(proc_raise(99));
	TELL_WASI(__wasi_sock_accept(3, 0, &fd));
	TELL_WASI(__wasi_sock_recv(3, &into, 1, 0, &len, &flags));
	TELL_WASI(__wasi_sock_send(3, &from, 1, 0, &len));
	TELL_WASI(__wasi_sock_shutdown(3, __WASI_SDFLAGS_RD));
	TELL_WASI(__wasi_sock_shutdown(99, __WASI_SDFLAGS_RD));
	return 0;
}
