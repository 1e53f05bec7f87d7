/* SPDX-License-Identifier: Apache-2.0 */
/* A failure as engines look for it: one line on stderr, and one in the file
 * that --log names, in JSON where --log-format says so. */
#pragma once
#include "base/err.h"
#include "oci/oci_words.h"

void oci_log_error(const struct oci_words *words, const struct err *err);
/* The same of what is no failure. */
void oci_log_warning(const struct oci_words *words, const struct err *err);
