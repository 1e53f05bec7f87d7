/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a JSON text in its place: all else of it stays as it was
 * written, so that what is not known here comes through.  The text has been
 * looked at by json_check.  Paths are those of json_get_value; keys have no
 * dots, and nothing in them to escape. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

/* Member "key" of the object at "path" is "value", which is JSON: in the place
 * of the old one, or as a new member.  An object that is not there, or is
 * null, is made. */
int oci_edit_set(struct buf *text, const char *path, const char *key,
		 const char *value, struct err *err);
/* One item more at the end of that member, a list. */
int oci_edit_add(struct buf *text, const char *path, const char *key,
		 const char *item, struct err *err);
