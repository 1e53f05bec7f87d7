/* SPDX-License-Identifier: Apache-2.0 */
/* KVM by what its self-test found, never by assumption. */
#include "domain/ground.h"
#include "base/fd.h"
#include "jit/jit.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ground_open_kvm(struct ground *ground)
{
	struct err err = { 0 };
	int r = kvm_open(&ground->kvm, &err);

	if (r >= 0 && ground->facts.needs_cpuid)
		r = kvm_use_cpuid(&ground->kvm, &err);
	if (r < 0) {
		kvm_close(&ground->kvm);
		snprintf(ground->why, sizeof(ground->why), "%s", err.text);
	}
	return r;
}

/* Only the kernel knows whether all CPUs count alike, and for ever. */
static bool ground_find_counts(void)
{
	auto_close int fd = open("/sys/devices/system/clocksource/clocksource0/"
				 "current_clocksource",
				 O_RDONLY | O_CLOEXEC);
	char word[4] = { 0 };

	return fd >= 0 && read(fd, word, sizeof(word)) == 4 &&
	       memcmp(word, "tsc\n", 4) == 0;
}

int ground_open(struct ground *ground, bool require_kvm, struct err *err)
{
	return ground_open_told(ground, require_kvm, NULL, err);
}

int ground_open_told(struct ground *ground, bool require_kvm, const char *facts,
		     struct err *err)
{
	int code;

	*ground =
		(struct ground){ .kvm.device = -1, .features = jit_features() };
	ground->has_counts = ground_find_counts();
	kvm_facts_find_told(&ground->facts, facts);
	code = ground->facts.code;
	if (ground->facts.usable)
		code = ground_open_kvm(ground);
	else
		snprintf(ground->why, sizeof(ground->why), "%s",
			 ground->facts.why);
	ground->has_kvm = ground->facts.usable && code >= 0;
	if (!ground->has_kvm && require_kvm)
		return err_set(err, -EPROTO, "no KVM: %s; %s", ground->why,
			       kvm_advice(code));
	if (!ground->has_kvm)
		return 0;
	ground->features &= ground->facts.features;
	ground->bell_is_store = !ground->facts.bell_port;
	return 0;
}

void ground_close(struct ground *ground)
{
	kvm_close(&ground->kvm);
}
