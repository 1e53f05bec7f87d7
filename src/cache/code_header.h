/* SPDX-License-Identifier: Apache-2.0 */
/* Is this the header of a code object, and do its tables hold?  Without the
 * module, and without anything but what is looked at: whoever maps, lists or
 * runs an object asks here.  NULL: yes; else what is wrong, in some words. */
#pragma once
#include "brood/code_format.h"

/* Where what is executable ends. */
uint64_t code_header_text_end(const struct code_header *header);
/* The header alone, of which "len" bytes are there, of a file of file_bytes.
 * All places that it names lie in the file, in their order. */
const char *code_header_check(const void *image, uint64_t len,
			      uint64_t file_bytes);
/* The tables behind a header that holds: every place in the text is within
 * it, functions ascend, each landing belongs to one; runs ascend, and their
 * pages are all that there are. */
const char *code_header_check_tables(const struct code_header *header);
