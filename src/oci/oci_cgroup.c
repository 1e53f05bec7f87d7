/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_cgroup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CGROUP_MOUNTS_MOST = 4 << 20, CGROUP_OWN_MOST = 1 << 20 };

/* As the config has it, or as a runtime chooses it; NULL: not ours to touch. */
static char *cgroup_path(const char *config, const char *id)
{
	auto_free char *path = json_get_text(config, "linux.cgroupsPath");
	const char *last;

	if (!path || !*path)
		return strdup(id);
	last = strrchr(path, '/');
	last = last ? last + 1 : path;
	if (strchr(path, ':') || !strstr(last, id) || strstr(path, ".."))
		return NULL;
	return steal_ptr(&path);
}

/* In /proc/self/cgroup: the line "N:CONTROLLERS:PATH" whose controllers end
 * the hierarchy's options, "0::PATH" of the one that has none. */
static char *cgroup_own(const char *options, bool is_second)
{
	auto_buf struct buf text = { 0 };
	char *line, *rest = NULL;

	if (file_read("/proc/self/cgroup", &text, CGROUP_OWN_MOST, NULL) < 0)
		return NULL;
	for (line = strtok_r(text.data, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *names = strchr(line, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;
		size_t len, at = strlen(options);

		if (!path)
			continue;
		len = (size_t)(path - ++names);
		if (is_second
			    ? len == 0
			    : len && len < at && options[at - len - 1] == ',' &&
				      memcmp(options + at - len, names, len) ==
					      0)
			return strdup(path + 1);
	}
	return NULL;
}

static void cgroup_remove_in(const char *mount, const char *options,
			     bool is_second, const char *path)
{
	auto_free char *own = NULL, *whole = NULL;

	if (path[0] != '/')
		own = cgroup_own(options, is_second);
	if (path[0] == '/' || own)
		whole = file_format("%s%s%s%s", mount, own ? own : "",
				    own ? "/" : "", path);
	/* What has a process or a group in it stays. */
	if (whole)
		rmdir(whole);
}

/* "... ROOT MOUNT OPTIONS [TAGS] - TYPE SOURCE OPTIONS" */
static void cgroup_look_at(char *line, const char *path)
{
	char mount[4096], type[32], options[1024];
	char *behind = strstr(line, " - ");

	if (!behind || sscanf(line, "%*s %*s %*s %*s %4095s", mount) != 1 ||
	    sscanf(behind + 3, "%31s %*s %1023s", type, options) != 2 ||
	    strncmp(type, "cgroup", 6) != 0)
		return;
	cgroup_remove_in(mount, options, strcmp(type, "cgroup2") == 0, path);
}

void oci_cgroup_remove(const char *config, const char *id)
{
	auto_free char *path = cgroup_path(config, id);
	auto_buf struct buf text = { 0 };
	char *line, *rest = NULL;

	if (!path || file_read("/proc/self/mountinfo", &text,
			       CGROUP_MOUNTS_MOST, NULL) < 0)
		return;
	for (line = strtok_r(text.data, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		cgroup_look_at(line, path);
}
