/* SPDX-License-Identifier: Apache-2.0 */
/* Where cpu_process_enter.S finds things; cpu_process.c asserts that it is
 * true. */
#pragma once

#define PROCESS_GENERAL	   8
#define PROCESS_RIP	   136
#define PROCESS_FLAGS	   144
#define PROCESS_HOST_STACK 152
#define PROCESS_VECTOR	   160
#define PROCESS_PARTS	   168
#define PROCESS_KICKED	   176
