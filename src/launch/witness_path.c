/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that a program looked at before its stop.  An ordinary one is the
 * stamp of its file; one below /proc or /sys has no stamp that means
 * anything, so that it is its bytes, or the fact about the machine that
 * programs look for there; and what /proc tells about the process itself is
 * different in every copy.
 *
 *	/etc/ld.so.cache		FACT_FILE
 *	lib/x.so			see path_see_library()
 *	/sys/kernel/mm/...		FACT_CONTENT
 *	/proc/cpuinfo			FACT_CPU_COUNT, FACT_UNAME
 *	/proc/self/status		FACT_AFFINITY, ...CREDENTIALS, ...
 *	/proc/self/stat			a reason
 */
#include "launch/witness_path.h"
#include "bare/fact.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct path {
	char name[PATH_MAX];	  /* as a starter will ask for it */
	char here[PATH_MAX + 64]; /* the same file, as the keeper sees it */
	enum path_look look;
	uint64_t flags;
	bool there, known;
	struct stat st; /* if known */
};

/* Names in /proc/self and what they stand for. */
enum own_kind {
	OWN_NEVER,
	OWN_NOTHING,
	OWN_CONTENT,
	OWN_STATUS,
	OWN_LIMITS,
	OWN_HATCH,
	OWN_CWD,
};
static const struct {
	const char *name;
	enum own_kind kind;
} own_names[] = {
	{ "", OWN_NOTHING },
	{ "exe", OWN_NOTHING },
	{ "status", OWN_STATUS },
	{ "limits", OWN_LIMITS },
	{ "maps", OWN_HATCH },
	{ "auxv", OWN_HATCH },
	{ "cwd", OWN_CWD },
	{ "mounts", OWN_CONTENT },
	{ "mountinfo", OWN_CONTENT },
	{ "cgroup", OWN_CONTENT },
	{ "attr/current", OWN_CONTENT },
	{ "attr/exec", OWN_CONTENT },
	{ "uid_map", OWN_CONTENT },
	{ "gid_map", OWN_CONTENT },
	{ "setgroups", OWN_CONTENT },
	{ "loginuid", OWN_CONTENT },
	{ "sessionid", OWN_CONTENT },
	{ "oom_score_adj", OWN_CONTENT },
	{ "ns", OWN_NOTHING },
};

/* Where the numbers differ at each look, what is looked for does not. */
static const struct {
	const char *name;
	uint32_t machine[2];
} machine_names[] = {
	{ "/proc/cpuinfo", { FACT_CPU_COUNT, FACT_UNAME } },
	{ "/proc/stat", { FACT_CPU_COUNT, 0 } },
	{ "/proc/meminfo", { FACT_MEMORY_TOTAL, 0 } },
	{ "/sys/devices/system/cpu", { FACT_CPU_COUNT, 0 } },
	{ "/proc", { FACT_UNAME, 0 } },
	{ "/sys", { FACT_UNAME, 0 } },
};

/* /proc and /sys are compared as text, so "//" and "/./" go. */
static void path_tidy(char *path)
{
	char *to = path;

	for (const char *from = path; *from; from++) {
		if (from[0] == '/' && from[1] == '/')
			continue;
		if (from[0] == '/' && from[1] == '.' && from[2] == '/') {
			from++;
			continue;
		}
		*to++ = *from;
	}
	if (to > path + 1 && to[-1] == '/')
		to--;
	*to = 0;
}

static bool path_read_link(const struct sight *sight, const char *name,
			   char to[PATH_MAX])
{
	char link[64];

	snprintf(link, sizeof link, "/proc/%d/%s", sight->pid, name);
	ssize_t len = readlink(link, to, PATH_MAX - 1);
	if (len <= 0)
		return false;
	to[len] = 0;
	return to[0] == '/';
}

void path_begin(struct sight *sight)
{
	if (!path_read_link(sight, "cwd", sight->start))
		sight->start[0] = 0;
}

bool path_is_at_start(const struct sight *sight)
{
	char now[PATH_MAX];

	return path_read_link(sight, "cwd", now) &&
	       strcmp(now, sight->start) == 0;
}

/* Relative to the folder of the start stays relative: a starter asks the
 * same question in its own. */
static bool path_resolve(struct sight *sight, int fd, uint64_t at,
			 struct path *path)
{
	char text[PATH_MAX], folder[32] = "cwd";

	if (!see_string(sight, at, text, sizeof text) || !*text)
		return false;
	bool relative = text[0] != '/' && fd == AT_FDCWD &&
			(!sight->moved || path_is_at_start(sight));
	if (text[0] == '/' || relative) {
		memcpy(path->name, text, strlen(text) + 1);
	} else {
		if (fd != AT_FDCWD)
			snprintf(folder, sizeof folder, "fd/%d", fd);
		if (!path_read_link(sight, folder, path->name))
			return false;
		size_t len = strlen(path->name);
		if (len + strlen(text) + 2 > PATH_MAX)
			return false;
		path->name[len] = '/';
		memcpy(path->name + len + 1, text, strlen(text) + 1);
	}
	path_tidy(path->name);
	if (relative)
		snprintf(path->here, sizeof path->here, "/proc/%d/cwd/%s",
			 sight->pid, path->name);
	else
		snprintf(path->here, sizeof path->here, "%s", path->name);
	return true;
}

static bool path_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 &&
	       (!path[len] || path[len] == '/');
}

/* What follows "/proc/self/" or the same by number, NULL for others. */
static const char *path_own(const struct sight *sight, const char *path)
{
	char number[32];

	snprintf(number, sizeof number, "/proc/%d", sight->pid);
	const char *const folders[] = { "/proc/self", "/proc/thread-self",
					number };
	for (int i = 0; i < 3; i++)
		if (path_below(path, folders[i])) {
			path += strlen(folders[i]);
			return *path ? path + 1 : path;
		}
	return NULL;
}

static void path_record(struct sight *sight, const struct path *path,
			uint32_t kind)
{
	see_fact(sight, kind, 0, path->name, fact_now(kind, 0, path->here));
}

static enum own_kind own_kind_of(const char *own)
{
	for (size_t i = 0; i < sizeof own_names / sizeof *own_names; i++)
		if (strcmp(own_names[i].name, own) == 0)
			return own_names[i].kind;
	return path_below(own, "ns") ? OWN_NOTHING : OWN_NEVER;
}

static void path_see_status(struct sight *sight)
{
	see_machine(sight, FACT_AFFINITY);
	see_machine(sight, FACT_CREDENTIALS);
	see_machine(sight, FACT_CAPABILITIES);
}

/* "fd/N": how a name is found for a descriptor. */
static bool path_see_fd(struct sight *sight, const char *own)
{
	char *end;

	if (strncmp(own, "fd/", 3) != 0 || !isdigit((unsigned char)own[3]))
		return false;
	long fd = strtol(own + 3, &end, 10);
	if (fd <= 2)
		see_descriptor(sight, (int)fd);
	return !*end;
}

static void path_see_own(struct sight *sight, const struct path *path,
			 const char *own)
{
	if (path_see_fd(sight, own))
		return;
	if (!*own && path->look == PATH_READLINK) {
		see_refuse(sight, "asks for its process id (%.60s)",
			   path->name);
		return;
	}
	switch (own_kind_of(own)) {
	case OWN_NOTHING: return;
	case OWN_STATUS: path_see_status(sight); return;
	case OWN_LIMITS: see_machine(sight, FACT_LIMITS); return;
	case OWN_CWD: see_machine(sight, FACT_CWD); return;
	case OWN_CONTENT: path_record(sight, path, FACT_CONTENT); return;
	case OWN_HATCH:
		see_refuse_hatch(sight, "reads %.100s before main", path->name);
		return;
	case OWN_NEVER: break;
	}
	see_refuse(sight, "reads %.100s before main", path->name);
}

static bool path_see_machine(struct sight *sight, const struct path *path)
{
	for (size_t i = 0; i < sizeof machine_names / sizeof *machine_names;
	     i++) {
		if (strcmp(machine_names[i].name, path->name) != 0)
			continue;
		for (int n = 0; n < 2; n++)
			if (machine_names[i].machine[n])
				see_machine(sight, machine_names[i].machine[n]);
		return true;
	}
	return false;
}

/* A folder of the kernel's has no stamp to be trusted: that it is there
 * depends on the kernel, and its content is the names in it. */
static void path_see_kernel_dir(struct sight *sight, const struct path *path)
{
	if (path->look != PATH_OPEN || (path->flags & O_PATH))
		see_machine(sight, FACT_UNAME);
	else
		path_record(sight, path, FACT_CONTENT);
}

/* "/sys/devices/system/node/node0/meminfo": free memory, too. */
static bool path_is_node_memory(const char *path)
{
	const char *base = strrchr(path, '/');

	return path_below(path, "/sys/devices/system/node") && base &&
	       strcmp(base, "/meminfo") == 0;
}

static void path_see_kernel(struct sight *sight, const struct path *path)
{
	const char *own = path_own(sight, path->name);

	/* another program has all of that in other words */
	if (sight->deep)
		return;
	if (own)
		path_see_own(sight, path, own);
	else if (path_see_machine(sight, path))
		return;
	else if (path->look == PATH_READLINK)
		path_record(sight, path, FACT_LINK);
	else if (path_is_node_memory(path->name))
		see_machine(sight, FACT_MEMORY_TOTAL);
	else if (path->known && S_ISDIR(path->st.st_mode))
		path_see_kernel_dir(sight, path);
	else
		path_record(sight, path, FACT_CONTENT);
}

static uint32_t path_kind(enum path_look look)
{
	switch (look) {
	case PATH_ITSELF: return FACT_LINK_FILE;
	case PATH_READLINK: return FACT_LINK;
	default: return FACT_FILE;
	}
}

/* "libx.so", "libx.so.1.2" */
static bool path_is_library(const char *path)
{
	const char *base = strrchr(path, '/');
	const char *so = strstr(base ? base : path, ".so");

	return so &&
	       (!so[3] || (so[3] == '.' && isdigit((unsigned char)so[4])));
}

/* Where the loader looks of its own accord: that a library appears there is
 * what ldconfig is run for, and that changes /etc/ld.so.cache, which is a
 * fact. */
static bool path_is_default(const char *folder)
{
	static const char *const names[] = { "/lib/x86_64-linux-gnu",
					     "/usr/lib/x86_64-linux-gnu",
					     "/lib64",
					     "/usr/lib64",
					     "/lib",
					     "/usr/lib" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t len = strlen(names[i]);

		if (strncmp(folder, names[i], len) == 0 &&
		    (!folder[len] || path_below(folder + len, "/glibc-hwcaps")))
			return true;
	}
	return false;
}

/* The folder of a path, in both its names; false for one without. */
static bool path_cut(struct path *path)
{
	char *slash = strrchr(path->name, '/');

	if (!slash || slash == path->name)
		return false;
	*slash = 0;
	*strrchr(path->here, '/') = 0;
	return true;
}

/* The loader tries a library in one folder after another.  One that was
 * found is mapped, and the image names what is mapped; one that was not may
 * be there at the next start (RUNPATH, LD_LIBRARY_PATH).  A folder that is
 * missing itself stands for all that is not in it, and so does the stamp of
 * one that was looked at. */
static void path_see_library(struct sight *sight, const struct path *path)
{
	struct path folder = *path;

	if (path->known)
		return;
	if (path_cut(&folder)) {
		if (path_is_default(folder.name) ||
		    see_is_known(sight, FACT_FILE, folder.name))
			return;
		if (access(folder.here, F_OK) < 0) {
			path_record(sight, &folder, FACT_FILE);
			return;
		}
	}
	path_record(sight, path, path_kind(path->look));
}

static bool path_is_harmless_device(const char *path)
{
	static const char *const names[] = { "/dev/null", "/dev/zero",
					     "/dev/full", "/dev/urandom",
					     "/dev/random" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], path) == 0)
			return true;
	return false;
}

static bool path_writes(uint64_t flags)
{
	return !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY ||
				     (flags & (O_CREAT | O_TRUNC)));
}

/* An open that does more than look. */
static bool path_see_open(struct sight *sight, const struct path *path)
{
	if (path_is_harmless_device(path->name))
		return true;
	if (strcmp(path->name, "/dev/tty") == 0) {
		see_refuse(sight, "opens the terminal before main");
		return true;
	}
	if (sight->result < 0)
		return false;
	if (path_writes(path->flags)) {
		see_refuse(sight, "opens %.100s for writing before main",
			   path->name);
		return true;
	}
	if (path->known &&
	    (S_ISCHR(path->st.st_mode) || S_ISBLK(path->st.st_mode))) {
		see_refuse(sight, "opens the device %.100s before main",
			   path->name);
		return true;
	}
	return false;
}

/* Of a folder that main only asked for, not its entries but its being there
 * is what counts; its stamp would change all the time (/tmp). */
static bool path_is_passed_by(const struct sight *sight,
			      const struct path *path)
{
	return sight->deep && path->look != PATH_OPEN && path->known &&
	       S_ISDIR(path->st.st_mode);
}

/* Folders are facts when they are opened, but for the one at the start: it is
 * opened only to come back to it, mostly. */
void path_listed(struct sight *sight, int fd)
{
	char link[32], path[PATH_MAX];

	snprintf(link, sizeof link, "fd/%d", fd);
	if (path_read_link(sight, link, path) &&
	    strcmp(path, sight->start) == 0)
		see_fact(sight, FACT_FILE, 0, ".",
			 fact_now(FACT_FILE, 0, path));
}

void path_seen(struct sight *sight, int fd, uint64_t at, enum path_look look,
	       uint64_t flags)
{
	struct path path = { .look = look, .flags = flags };

	if (!path_resolve(sight, fd, at, &path))
		return;
	if (look == PATH_OPEN && strcmp(path.name, ".") == 0)
		return;
	path.known = stat(path.here, &path.st) == 0;
	if (look == PATH_OPEN && path_see_open(sight, &path))
		return;
	if (path_below(path.name, "/proc") || path_below(path.name, "/sys"))
		path_see_kernel(sight, &path);
	else if (path_is_library(path.name))
		path_see_library(sight, &path);
	else if (!path_is_passed_by(sight, &path))
		path_record(sight, &path, path_kind(look));
}
