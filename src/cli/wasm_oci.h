/* SPDX-License-Identifier: Apache-2.0 */
/* A module as an image of an OCI layout. */
#pragma once
#include "base/args.h"
#include "base/buf.h"

struct wasm_oci {
	const char *layout, *file; /* folder; the module's file, or "-" */
	const char *name;	   /* of the image; NULL: by the file's */
	const struct args_list *annotations;
};
/* Tells it on stdout; returns the exit code. */
int wasm_oci_export(const struct wasm_oci *wish, const struct buf *module);
