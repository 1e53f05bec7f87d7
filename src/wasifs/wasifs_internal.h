/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of wasifs share.  Functions return an enum wasi_errno. */
#pragma once
#include "brood/wasi_abi.h"
#include "wasifs/wasifs.h"

struct wasifs_call {
	struct wasifs *fs;
	const struct wasifs_caller *caller;
};
typedef int wasifs_function(const struct wasifs_call *call,
			    const union wasm_value *arguments);

/* wasifs.c: of the guest's memory; NULL: it is not there */
void *wasifs_guest(const struct wasifs_call *call, uint32_t at, uint64_t len);
int wasifs_put(const struct wasifs_call *call, uint32_t at, const void *from,
	       uint32_t len);
int wasifs_put_u32(const struct wasifs_call *call, uint32_t at, uint32_t value);
int wasifs_put_stat(const struct wasifs_call *call, uint32_t at,
		    const struct erofs_node *node);
/* The entry if it has all the rights. */
int wasifs_get(const struct wasifs *fs, uint32_t fd, uint64_t rights,
	       struct wasifs_fd **entry);
/* Does the number belong to the image, whether it is open or not? */
bool wasifs_is_mine(const struct wasifs *fs, uint32_t fd);
int wasifs_add(struct wasifs *fs, const struct wasifs_fd *entry, uint32_t *fd);
uint8_t wasifs_type(uint32_t mode);
uint64_t wasifs_rights(uint8_t type);
int wasifs_errno(int code); /* of an enum erofs_code */

/* wasifs_fd.c, wasifs_path.c: the calls */
wasifs_function wasifs_fd_advise, wasifs_fd_close, wasifs_fd_fdstat_get,
	wasifs_fd_fdstat_set_flags, wasifs_fd_fdstat_set_rights,
	wasifs_fd_filestat_get, wasifs_fd_pread, wasifs_fd_prestat_get,
	wasifs_fd_prestat_dir_name, wasifs_fd_read, wasifs_fd_readdir,
	wasifs_fd_renumber, wasifs_fd_seek, wasifs_fd_sync, wasifs_fd_datasync,
	wasifs_fd_tell;
wasifs_function wasifs_path_open, wasifs_path_filestat_get,
	wasifs_path_readlink;
