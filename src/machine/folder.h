/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that a machine of a tip is lent (lent.h), mounted in it. */
#pragma once
#include "machine/lent.h"
#include "machine/talk.h"

/* Each at its place, which is made; by programs of the guest. */
int folder_mount(struct talk *talk, const struct lent *lent, int timeout_ms,
		 struct err *err);
