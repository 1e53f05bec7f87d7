/* SPDX-License-Identifier: Apache-2.0 */
/* Does a server copy serve?  Asked over its own socket.      CLAIM 0.12 */
#pragma once
#include "base/err.h"
#include "brood/wire.h"

/* Connects, asks and checks the answer: mode = server, from a process of
 * this user.  Refused, silent for timeout_ms or wrong is an error. */
int handshake_ask(const char *socket_path, int timeout_ms,
		  struct wire_state *state, struct err *err);
