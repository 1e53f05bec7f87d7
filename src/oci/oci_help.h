/* SPDX-License-Identifier: Apache-2.0 */
/* --help, --version in the form that engines read, and the man page, from one
 * table of commands. */
#pragma once
#include "base/buf.h"

void oci_help(struct buf *text);
void oci_help_version(struct buf *text);
void oci_help_man(struct buf *text); /* roff, section 8 */
