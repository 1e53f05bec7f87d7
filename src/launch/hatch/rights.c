/* SPDX-License-Identifier: Apache-2.0 */
/* The starter's file should have no rights of its own.  Where it has, the
 * kernel says so in AT_SECURE: then the images that it maps, which are the
 * caller's own, would run with these rights.  So they are dropped before
 * anything of the caller's is opened; all other starts make no system call.
 *
 * It does not make such an installation right.  By the exec of a file with
 * capabilities the kernel has taken the caller's ambient ones, parts of its
 * personality and a stack limit above 8 MiB, and nobody can give them back:
 * "brood doctor" tells. */
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <elf.h>
#include <linux/capability.h>
#include <linux/prctl.h>

struct rights {
	struct __user_cap_header_struct head;
	struct __user_cap_data_struct half[2];
};

static uint64_t *rights_entry(const struct starter *starter, uint64_t type)
{
	for (uint64_t *aux = starter->auxv; aux[0] != AT_NULL; aux += 2)
		if (aux[0] == type)
			return &aux[1];
	return NULL;
}

static uint64_t rights_value(const struct starter *starter, uint64_t type)
{
	const uint64_t *entry = rights_entry(starter, type);

	return entry ? *entry : 0;
}

/* What an exec of another program would leave of these. */
static uint32_t rights_kept(uint32_t permitted, int first)
{
	uint32_t kept = 0;

	for (int i = 0; i < 32; i++)
		if (permitted >> i & 1 &&
		    raw_5(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET,
			  first + i, 0, 0) == 1)
			kept |= 1u << i;
	return kept;
}

static bool rights_drop_capabilities(void)
{
	struct rights rights = {
		.head = { _LINUX_CAPABILITY_VERSION_3, 0 },
	};

	if (raw_2(capget, &rights.head, rights.half) < 0)
		return false;
	for (int i = 0; i < 2; i++) {
		struct __user_cap_data_struct *half = &rights.half[i];

		half->permitted = rights_kept(half->permitted, i * 32);
		half->effective = half->permitted;
	}
	return raw_2(capset, &rights.head, rights.half) == 0;
}

bool rights_drop(struct starter *starter)
{
	uint64_t *secure = rights_entry(starter, AT_SECURE);
	uint64_t user = rights_value(starter, AT_UID);

	if (!secure || !*secure)
		return true;
	if (user != rights_value(starter, AT_EUID) ||
	    rights_value(starter, AT_GID) != rights_value(starter, AT_EGID)) {
		text_say(starter, "the starter must not be set-user-id or "
				  "set-group-id");
		return false;
	}
	/* root has its capabilities by being root */
	if (user != 0 && !rights_drop_capabilities()) {
		text_say(starter, "the capabilities of the starter's file "
				  "cannot be dropped");
		return false;
	}
	raw_2(prctl, PR_SET_DUMPABLE, 1);
	*secure = 0; /* in the vector that a hatched program sees */
	return true;
}
