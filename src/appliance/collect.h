/* SPDX-License-Identifier: Apache-2.0 */
/* Takes away from a share what nobody starts any more.  What is kept is
 * computed under the lock: payloads of the last versions of each application,
 * those that a host has used lately, and those that are new. */
#pragma once
#include "appliance/publish.h"

struct collected {
	uint64_t payloads, versions, drafts, bytes;
};
/* grace_ms: how long a payload stays after a host has used it last. */
int collect_share(const struct publish_wish *wish, int64_t grace_ms,
		  struct collected *collected, struct err *err);
