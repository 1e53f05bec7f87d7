/* SPDX-License-Identifier: Apache-2.0 */
/* Of brood/guest_abi.h, for assembly; guest/bell.c asserts that it is true. */
#pragma once

#define GUEST_STUB_COUNT 32
#define GUEST_STUB_SIZE	 16
#define STOPPED_VA	 0x200000a10010
#define STOPPED_RAX	 0
#define STOPPED_RIP	 128
#define STOPPED_FLAGS	 136
#define STOPPED_BUSY	 160
