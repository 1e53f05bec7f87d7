/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/independent.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *independent_full(const struct context *context,
				    const char *entry)
{
	for (int i = 0; i < context->path_count; i++) {
		const struct context_path *path = &context->path[i];

		if (path->saved && strcmp(path->entry, entry) == 0 &&
		    access(path->saved, X_OK) == 0)
			return path->saved;
	}
	return NULL;
}

int independent_find(const struct context *context, const char *entry,
		     struct loaded *loaded, const char **full,
		     const char **source, struct err *err)
{
	struct err first = { 0 };
	int rc = -ENOENT;

	*full = NULL;
	*source = "copy";
	if (context->copy)
		rc = load_local(context, entry, context->copy, *source, loaded,
				&first);
	if (rc >= 0)
		return rc;
	*source = "full";
	*full = independent_full(context, entry);
	if (*full)
		return 0;
	*source = "appliance";
	if (context->appliance)
		rc = load_local(context, entry, context->appliance, *source,
				loaded, first.code ? NULL : &first);
	if (rc >= 0)
		return rc;
	if (!first.code)
		return err_set(err, -EINVAL, "nothing is here to go on from");
	if (err)
		*err = first;
	return rc;
}
