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

	return path && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, R_OK) == 0;
}

/* The folder of the running program. */
static char *install_own_folder(void)
{
	char *exe = process_exe(getpid());
	char *slash = exe ? strrchr(exe, '/') : NULL;

	if (slash)
		*slash = 0;
	return exe;
}

static char *install_named_by_variable(const char *name)
{
	const char *value = getenv("BROOD_SHIM_PATH");

	if (!value || value[0] != '/')
		return NULL;
	if (!strcmp(file_base(value), name))
		return strdup(value);
	return file_join(value, name);
}

char *install_find(const char *name, struct err *err)
{
	auto_free char *folder = install_own_folder();
	char *tried[3] = {
		folder ? file_join(folder, name) : NULL,
		folder ? file_format("%s/../lib/brood/%s", folder, name) : NULL,
		install_named_by_variable(name),
	};
	char *found = NULL;

	for (int i = 0; i < 3 && !found; i++)
		if (install_is_readable_file(tried[i]))
			found = realpath(tried[i], NULL);
	if (!found)
		err_set(err, -ENOENT,
			"%s: neither %s nor %s is there, and "
			"BROOD_SHIM_PATH %s",
			name, tried[0] ? tried[0] : "beside the program",
			tried[1] ? tried[1] : "../lib/brood",
			tried[2] ? "names none" : "is not set");
	for (int i = 0; i < 3; i++)
		free(tried[i]);
	return found;
}
