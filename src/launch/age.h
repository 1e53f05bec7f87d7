/* SPDX-License-Identifier: Apache-2.0 */
/* Templates that nothing uses any more. */
#pragma once
#include "launch/registry.h"

/* Removes what is left of unused templates that lie beside this one. */
void age_out(const struct registry_place *own);
