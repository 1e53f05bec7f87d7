/* SPDX-License-Identifier: Apache-2.0 */
/* The way into the jail, in order: what is refused later by an earlier wall
 * comes first. */
#include "domain/jail.h"
#include "base/fd.h"
#include "domain/jail_internal.h"
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void jail_missed(struct jail_told *told, int code)
{
	if (!told->why)
		told->why = code;
}

/* ---- descriptors -------------------------------------------------------- */

int jail_close_others(const struct jail_options *options,
		      struct jail_told *told, struct err *err)
{
	int rc = fd_close_others(options->keep, options->keep_count);

	if (rc < 0)
		return err_set(err, rc, "close descriptors");
	told->walls |= JAIL_DESCRIPTORS;
	return 0;
}

/* ---- rights ------------------------------------------------------------- */

int jail_no_new_privs(struct jail_told *told, struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "no_new_privs");
	told->walls |= JAIL_NNP;
	return 0;
}

/* The bounding set can be emptied by who has CAP_SETPCAP alone; who has not
 * gains nothing from it, with no_new_privs. */
int jail_no_caps(struct jail_told *told, struct err *err)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct sets[2] = { 0 };

	for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, sets) < 0)
		return err_set(err, -errno, "drop capabilities");
	told->walls |= JAIL_CAPS;
	return 0;
}

static int jail_limit(int what, uint64_t most, struct err *err)
{
	struct rlimit now, limit = { most, most };

	if (getrlimit(what, &now) == 0 && now.rlim_max < most)
		limit.rlim_cur = limit.rlim_max = now.rlim_max;
	return setrlimit(what, &limit) < 0
		       ? err_set(err, -errno, "set limit %d", what)
		       : 0;
}

int jail_limits(const struct jail_options *options, struct jail_told *told,
		struct err *err)
{
	int rc = jail_limit(RLIMIT_CORE, 0, err);

	if (rc >= 0 && options->nofile)
		rc = jail_limit(RLIMIT_NOFILE, options->nofile, err);
	if (rc >= 0 && options->nproc)
		rc = jail_limit(RLIMIT_NPROC, options->nproc, err);
	if (rc >= 0 && options->fsize)
		rc = jail_limit(RLIMIT_FSIZE, options->fsize, err);
	if (rc < 0)
		return rc;
	/* A guest's too large file is an error of its, not our end. */
	if (options->fsize)
		signal(SIGXFSZ, SIG_IGN);
	told->walls |= JAIL_LIMITS;
	return 0;
}

int jail_hide(struct jail_told *told, struct err *err)
{
	int kind = personality(0xffffffff);

	/* With this one, memory that can be read could be run. */
	if (kind >= 0 && kind & READ_IMPLIES_EXEC)
		personality(kind & ~READ_IMPLIES_EXEC);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(err, -errno, "not dumpable");
	told->walls |= JAIL_HIDDEN;
	return 0;
}

/* ---- all of it ---------------------------------------------------------- */

/* The kernel's own look at it: it does nothing else. */
static bool jail_is_alone(void)
{
	return unshare(CLONE_THREAD) == 0 || errno != EINVAL;
}

static int jail_look(const struct jail_options *options,
		     const struct jail_told *told, struct err *err)
{
	uint32_t missing = (options->require | JAIL_LEAST) & ~told->walls;
	char text[JAIL_TEXT];

	if (missing & JAIL_CHROOT && told->walls & JAIL_ROOT)
		missing &= ~JAIL_CHROOT;
	if (!missing)
		return 0;
	return err_set(err, told->why ? told->why : -EPERM,
		       "jail without its walls %s",
		       jail_walls_text(missing, text));
}

int jail_enter(const struct jail_options *options, struct jail_told *told,
	       struct err *err)
{
	bool full = options->strength == JAIL_FULL;
	int rc;

	if (!jail_is_alone())
		return err_set(err, -EBUSY, "jail: there is a second thread");
	if (full)
		jail_spaces(JAIL_SPACES & ~(JAIL_PID | told->walls), told);
	if (full)
		jail_root(told);
	rc = jail_close_others(options, told, err);
	if (rc >= 0)
		rc = jail_no_new_privs(told, err);
	if (rc >= 0)
		jail_files(options, told);
	if (rc >= 0)
		rc = jail_no_caps(told, err);
	if (rc >= 0)
		rc = jail_limits(options, told, err);
	if (rc >= 0)
		rc = jail_hide(told, err);
	if (rc >= 0)
		rc = jail_filter(options, told, err);
	return rc < 0 ? rc : jail_look(options, told, err);
}

char *jail_walls_text(uint32_t walls, char text[JAIL_TEXT])
{
	static const char *const names[JAIL_WALLS] = {
		"user", "mount",  "pid",    "ipc",	   "uts", "cgroup",
		"net",	"root",	  "chroot", "descriptors", "nnp", "files",
		"caps", "limits", "hidden", "seccomp",
	};
	char *at = text;

	*text = 0;
	for (int i = 0; i < JAIL_WALLS; i++) {
		if (!(walls >> i & 1))
			continue;
		if (at > text)
			*at++ = ' ';
		at = stpcpy(at, names[i]);
	}
	return text;
}
