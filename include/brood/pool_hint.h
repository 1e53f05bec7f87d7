/* SPDX-License-Identifier: Apache-2.0 */
/* What a template tells those that start its program: "waiting", beside its
 * socket's public name.  Each generation that serves holds a read lock on the
 * file (F_OFD_SETLK, all of it), so whoever finds none knows that its last
 * word is that of a template which is gone. */
#pragma once
#include <stdint.h>

struct pool_hint {
	uint32_t ready; /* copies that wait and have their pages */
	uint32_t pool;	/* how many it would like to have; 0: none, ever */
};
