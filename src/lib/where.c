/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the parts of one installation of Brood.  The order matters: a part
 * that lies beside the running program is of the same build, so it comes
 * before whatever PATH has. */
#include "lib/where.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "launch/install.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef BROOD_LIBDIR
#define BROOD_LIBDIR "/usr/local/lib/brood"
#endif
#ifndef BROOD_BINDIR
#define BROOD_BINDIR "/usr/local/bin"
#endif

/* dir + "/" + below + tool, if that is a file that can be read. */
static char *where_try(const char *dir, const char *below, const char *tool)
{
	auto_free char *path = file_format("%s/%s%s", dir, below, tool);

	if (!path || access(path, R_OK) < 0)
		return NULL;
	return realpath(path, NULL);
}

/* The places around a program of ours: beside it, or ../lib/brood. */
static char *where_around(const char *program, const char *tool)
{
	static const char *const below[] = { "", "../lib/brood/",
					     "../libexec/brood/", "../bin/",
					     "../../bin/" };
	auto_free char *dir = realpath(program, NULL);
	char *found = NULL;
	char *slash;

	if (!dir)
		return NULL;
	slash = strrchr(dir, '/');
	if (!slash)
		return NULL;
	*slash = 0;
	for (size_t i = 0; i < sizeof(below) / sizeof(*below) && !found; i++)
		found = where_try(dir, below[i], tool);
	return found;
}

static char *where_installed(const char *tool)
{
	static const char *const dirs[] = { BROOD_LIBDIR, BROOD_BINDIR,
					    "/usr/lib/brood", "/usr/bin" };
	char *found = NULL;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs) && !found; i++)
		found = where_try(dirs[i], "", tool);
	return found;
}

static char *where_by_path(const char *tool)
{
	const char *path = getenv("PATH");
	auto_free char *brood =
		path ? process_find_in_path("brood", path) : NULL;

	return brood ? where_around(brood, tool) : NULL;
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
