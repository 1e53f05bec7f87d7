/* SPDX-License-Identifier: Apache-2.0 */
/* Which accelerator a QEMU shall use, and why.  That /dev/kvm is there does
 * not tell that a guest's kernel runs well on it, so it is tried
 * (selftest.h), once a boot; then $XDG_CACHE_HOME/brood/accel knows. */
#pragma once
#include "base/err.h"

struct accel {
	char name[8];	  /* for -accel: "kvm" or "tcg" */
	char reason[240]; /* one line that begins with kvm: or tcg: */
};

/* wish NULL or "auto": KVM where it is of use.  "tcg", and "kvm" where it can
 * be opened, are taken without a trial; where it cannot, that fails. */
int accel_pick(const char *qemu, const char *wish, struct accel *accel,
	       struct err *err);
/* May this user run machines over the device (/dev/kvm)?  Fails with the
 * reason and what to do. */
int accel_device(const char *path, struct err *err);
