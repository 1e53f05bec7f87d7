/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket as the user names it: "tcp:ADDRESS:PORT", ADDRESS being
 * "localhost" or numeric, or "unix:PATH".  A socket's file goes with it. */
#pragma once
#include "base/err.h"

struct listen {
	int fd;
	char path[108]; /* "" for TCP */
};

int listen_open(struct listen *listen, const char *word, struct err *err);
void listen_close(struct listen *listen);
