/* SPDX-License-Identifier: Apache-2.0 */
/* The first process of a container.  The kernel gives it no signal that it
 * does not handle, so that one which should end it would do nothing. */
#pragma once

/* Where we are one, the signals that end a program end us, with 128 + N as
 * shells tell it.  Those that are ignored stay so. */
void first_take_signals(void);
