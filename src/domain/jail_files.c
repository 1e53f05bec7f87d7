/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: names lead only below the folders that are kept.  A filter of
 * calls cannot see names, and a folder's ".." leads out of it whatever the
 * root is: this is what holds a worker that was taken over to what its guests
 * were granted.  From its second version on; the first refuses every rename
 * from one folder to another. */
#include "domain/jail_internal.h"
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in linux/landlock.h, which may be older than the kernel. */
struct jail_rules {
	uint64_t files, ports, scopes;
};
struct jail_below {
	uint64_t files;
	int32_t folder;
} __attribute__((packed));
enum {
	JAIL_CALL_RULESET = 444,
	JAIL_CALL_RULE = 445,
	JAIL_CALL_RESTRICT = 446,
	JAIL_ASK_VERSION = 1,
	JAIL_RULE_BELOW = 1,
	JAIL_LEAST_VERSION = 2,
	JAIL_RIGHTS_2 = (1 << 14) - 1, /* execute ... refer */
	JAIL_RIGHT_TRUNCATE = 1 << 14, /* version 3 */
	JAIL_RIGHT_IOCTL = 1 << 15,    /* version 5 */
	JAIL_RIGHT_EXECUTE = 1 << 0,
	JAIL_RIGHTS_READ = 1 << 2 | 1 << 3 | JAIL_RIGHT_IOCTL,
	JAIL_PORTS = 1 | 2,  /* version 4: bind, connect */
	JAIL_SCOPES = 1 | 2, /* version 6: abstract sockets, signals */
};

static struct jail_rules jail_rules_for(int version)
{
	struct jail_rules rules = { .files = JAIL_RIGHTS_2 };

	if (version >= 3)
		rules.files |= JAIL_RIGHT_TRUNCATE;
	if (version >= 5)
		rules.files |= JAIL_RIGHT_IOCTL;
	if (version >= 4)
		rules.ports = JAIL_PORTS;
	if (version >= 6)
		rules.scopes = JAIL_SCOPES;
	return rules;
}

static size_t jail_rules_size(int version)
{
	return version >= 6 ? 24 : version >= 4 ? 16 : 8;
}

static bool jail_is_read_only(const struct jail_options *options, int fd)
{
	for (size_t i = 0; i < options->read_only_count; i++)
		if (options->read_only[i] == fd)
			return true;
	return false;
}

static int jail_files_grant(const struct jail_options *options, int rules,
			    uint64_t files, int fd)
{
	struct jail_below below = { files & ~(uint64_t)JAIL_RIGHT_EXECUTE, fd };
	struct stat stat;

	if (fstat(fd, &stat) < 0 || !S_ISDIR(stat.st_mode))
		return 0;
	if (jail_is_read_only(options, fd))
		below.files &= JAIL_RIGHTS_READ;
	return syscall(JAIL_CALL_RULE, rules, JAIL_RULE_BELOW, &below, 0) < 0
		       ? -errno
		       : 0;
}

static int jail_files_restrict(const struct jail_options *options)
{
	int version = syscall(JAIL_CALL_RULESET, NULL, 0, JAIL_ASK_VERSION);
	struct jail_rules rules = jail_rules_for(version);
	int fd, rc = 0;

	if (version < JAIL_LEAST_VERSION)
		return version < 0 ? -errno : -EOPNOTSUPP;
	fd = syscall(JAIL_CALL_RULESET, &rules, jail_rules_size(version), 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0;
	     rc >= 0 && options->folders && i < options->keep_count; i++)
		rc = jail_files_grant(options, fd, rules.files,
				      options->keep[i]);
	if (rc >= 0 && syscall(JAIL_CALL_RESTRICT, fd, 0) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

void jail_files(const struct jail_options *options, struct jail_told *told)
{
	int rc = jail_files_restrict(options);

	if (rc < 0)
		jail_missed(told, rc);
	else
		told->walls |= JAIL_FILES;
}
