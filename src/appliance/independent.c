/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/independent.h"
#include "base/fd.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *const independent_sources[INDEPENDENT_SOURCES] = { "copy", "full",
							       "appliance" };

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

int independent_look(const struct context *context,
		     enum independent_source source, const char *entry,
		     int left_ms, struct loaded *loaded, const char **full,
		     struct err *err)
{
	auto_record struct record record = { 0 };
	auto_free char *copy = NULL;
	const char *image = context->appliance;

	*full = NULL;
	*loaded = (struct loaded){ 0 };
	if (source == INDEPENDENT_FULL) {
		*full = independent_full(context, entry);
		return *full ? 0 : -ENOENT;
	}
	if (source == INDEPENDENT_COPY) {
		if (context_record(context, &record, err) < 0)
			return err ? err->code : -EINVAL;
		image = copy = context_copy(context, &record);
	}
	return image ? load_local(context, entry, image,
				  independent_sources[source], left_ms, loaded,
				  err)
		     : -ENOENT;
}
