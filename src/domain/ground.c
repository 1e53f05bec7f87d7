/* SPDX-License-Identifier: Apache-2.0 */
/* KVM by what its self-test found, never by assumption. */
#include "domain/ground.h"
#include "jit/jit.h"
#include <errno.h>
#include <stdio.h>

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

int ground_open(struct ground *ground, bool require_kvm, struct err *err)
{
	int code;

	*ground =
		(struct ground){ .kvm.device = -1, .features = jit_features() };
	kvm_facts_find(&ground->facts);
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
