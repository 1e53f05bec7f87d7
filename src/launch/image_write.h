/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the image of a stopped program from outside, through /proc. */
#pragma once
#include "base/err.h"
#include "launch/examine.h"
#include "launch/shim_control.h"
#include "launch/witness.h"

struct image_source {
	pid_t pid;
	const struct control_stopped *stopped;
	const struct witness *witness;
	const struct verdict *verdict; /* hatch == false: tables only */
	char *const *environment;      /* the template's own, for facts */
	uint64_t generation;
	uint64_t started_ns; /* wall clock, before the program was executed */
};
/* Publishes path (mode 0600).  Returns 0; -EAGAIN where a mapped file was
 * written to since the start, so that memory may hold some of the old one.  Where the memory turns out not
 * to be writable as an image the verdict's hatch is cleared with the reason
 * and tables alone are written. */
int image_write(struct image_source *source, struct verdict *verdict,
		const char *path, struct err *err);
/* Whole check of a published image, body_crc included. */
int image_verify(const char *path, struct err *err);
