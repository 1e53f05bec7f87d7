/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/kind.h"

const struct kind kinds[RECORD_KINDS] = {
	[RECORD_PROGRAM] = { "program", false, true, check_program,
			     plan_program },
	[RECORD_WASM] = { "wasm", false, false, check_module, plan_wasm },
	[RECORD_DOMAIN] = { "domain", false, false, check_module, plan_domain },
	[RECORD_MACHINE] = { "machine", true, false, check_images,
			     plan_machine },
};
