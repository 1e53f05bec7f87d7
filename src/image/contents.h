/* SPDX-License-Identifier: Apache-2.0 */
/* What a tip in parts is made of, as JSON:
 *
 *	version		1
 *	name		the tip's
 *	memory		bytes
 *	shape		of what machine; each object says so itself
 *	objects		in the parts' order, parents first: kind, id, and the
 *			bytes of tables and data
 *	layers, disks	numbers of objects, from the base up
 *	state		such a number, where there is one
 *	words		the tip's own
 *
 * What is read is right in form; the import looks at what it says. */
#pragma once
#include "base/buf.h"
#include "image/bundle.h"

void contents_write(const struct bundle_contents *contents, struct buf *out);
/* Of text that json_check has seen. */
int contents_read(const char *text, struct bundle_contents *contents,
		  struct err *err);
