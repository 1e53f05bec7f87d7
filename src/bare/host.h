/* SPDX-License-Identifier: Apache-2.0 */
/* Which machine is this?  A program's memory holds what its start has found
 * out about the CPU (which memcpy, how large a vector register) and where in
 * the kernel's vdso a function lies: on another CPU or under another kernel
 * it would crash or compute wrongly. */
#pragma once
#include <stdint.h>

/* The same until the next boot, and quick to ask; 0: cannot be told. */
uint64_t host_boot(void);
/* CPU and kernel.  Takes a while: a virtual machine traps the question. */
uint64_t host_identity(void);
