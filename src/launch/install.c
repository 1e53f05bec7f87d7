/* SPDX-License-Identifier: Apache-2.0 */
/* Products are looked for in few and fixed places, the nearest first, so
 * that a build folder never takes the shim of an older installation. */
#include "launch/install.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool install_is_readable_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, R_OK) == 0;
}

/* folder + "/" + below + name, if that is a file that can be read. */
static char *install_try(const char *folder, const char *below,
			 const char *name)
{
	auto_free char *path = file_format("%s/%s%s", folder, below, name);

	return path && install_is_readable_file(path) ? realpath(path, NULL)
						      : NULL;
}

char *install_find_near(const char *program, const char *name)
{
	static const char *const below[] = { "", "../lib/brood/",
					     "../libexec/brood/", "../bin/",
					     "../../bin/" };
	auto_free char *folder = realpath(program, NULL);
	char *found = NULL;

	if (!folder)
		return NULL;
	*strrchr(folder, '/') = 0;
	for (size_t i = 0; i < sizeof(below) / sizeof(*below) && !found; i++)
		found = install_try(folder, below[i], name);
	return found;
}

static char *install_named_by_variable(const char *name)
{
	const char *value = getenv("BROOD_SHIM_PATH");

	if (!value || value[0] != '/')
		return NULL;
	if (!strcmp(file_base(value), name) && install_is_readable_file(value))
		return realpath(value, NULL);
	return install_try(value, "", name);
}

char *install_find(const char *name, struct err *err)
{
	auto_free char *exe = process_exe(getpid());
	char *found = exe ? install_find_near(exe, name) : NULL;

	if (!found)
		found = install_named_by_variable(name);
	if (!found)
		err_set(err, -ENOENT,
			"%s: neither beside %s nor in ../lib/brood of it, and "
			"BROOD_SHIM_PATH %s",
			name, exe ? exe : "the program",
			getenv("BROOD_SHIM_PATH") ? "names none"
						  : "is not set");
	return found;
}
