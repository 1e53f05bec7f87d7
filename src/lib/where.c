/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the parts of one installation of Brood.  The order matters: a part
 * that lies beside the running program is of the same build, so it comes
 * before whatever PATH has. */
#include "lib/where.h"
#include "base/fd.h"
#include "base/process.h"
#include "launch/install.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef BROOD_BINDIR
#define BROOD_BINDIR "/usr/local/bin"
#endif

static char *where_installed(const char *tool)
{
	char *found = install_find_near(BROOD_BINDIR "/brood", tool);

	return found ? found : install_find_near("/usr/bin/brood", tool);
}

static char *where_by_path(const char *tool)
{
	const char *path = getenv("PATH");
	auto_free char *brood =
		path ? process_find_in_path("brood", path) : NULL;

	return brood ? install_find_near(brood, tool) : NULL;
}

char *where_is(const char *tool, struct err *err)
{
	char *found = install_find(tool, err);

	if (!found)
		found = where_by_path(tool);
	if (!found)
		found = where_installed(tool);
	if (found)
		err_clear(err);
	return found;
}

char *where_is_compiler(struct err *err)
{
	const char *told = getenv("BROOD_AOTC");

	if (!told || !*told)
		return where_is("brood-aotc", err);
	if (access(told, X_OK) < 0) {
		err_set(err, -errno, "%s, as BROOD_AOTC says", told);
		return NULL;
	}
	return strdup(told);
}
