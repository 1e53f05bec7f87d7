/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command, and kills it with all that it has started at the N-th system
 * call by which any of them would change something: a file, a folder, a lock,
 * a mount.
 *
 *	kill_at N FILE COMMAND [WORD...]
 *
 * FILE gets a line: "killed NAME" with the call that was not made any more, or
 * "ran COUNT" with the number of such calls.  Ends with 99 where it killed,
 * else as the command did. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_OFD_SET = 37, KILL_OFD_SETW = 38, KILL_STATUS = 99 };

enum what { ANY, IF_CREATES, IF_CREATES_AT, IF_FILE, IF_LOCKS };
static const struct {
	long number;
	enum what what;
	const char *name;
} calls[] = {
	{ SYS_open, IF_CREATES, "open" },
	{ SYS_openat, IF_CREATES_AT, "openat" },
	{ SYS_write, IF_FILE, "write" },
	{ SYS_pwrite64, IF_FILE, "pwrite" },
	{ SYS_ftruncate, ANY, "ftruncate" },
	{ SYS_fsync, ANY, "fsync" },
	{ SYS_syncfs, ANY, "syncfs" },
	{ SYS_fcntl, IF_LOCKS, "lock" },
	{ SYS_link, ANY, "link" },
	{ SYS_linkat, ANY, "linkat" },
	{ SYS_symlink, ANY, "symlink" },
	{ SYS_symlinkat, ANY, "symlinkat" },
	{ SYS_unlink, ANY, "unlink" },
	{ SYS_unlinkat, ANY, "unlinkat" },
	{ SYS_rename, ANY, "rename" },
	{ SYS_renameat, ANY, "renameat" },
	{ SYS_renameat2, ANY, "renameat2" },
	{ SYS_mkdir, ANY, "mkdir" },
	{ SYS_mkdirat, ANY, "mkdirat" },
	{ SYS_rmdir, ANY, "rmdir" },
	{ SYS_chmod, ANY, "chmod" },
	{ SYS_fchmod, ANY, "fchmod" },
	{ SYS_utimensat, ANY, "utimensat" },
	{ SYS_mount, ANY, "mount" },
	{ SYS_umount2, ANY, "umount" },
};

static bool is_file(pid_t pid, uint64_t fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, (int)fd);
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool creates(uint64_t flags)
{
	return flags & (O_CREAT | O_TRUNC) ||
	       (flags & O_TMPFILE) == (uint64_t)O_TMPFILE;
}

/* The name of a call that changes something; NULL of any other. */
static const char *changes(pid_t pid, const struct __ptrace_syscall_info *info)
{
	const uint64_t *word = (const uint64_t *)info->entry.args;

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		bool does = true;

		if ((uint64_t)calls[i].number != info->entry.nr)
			continue;
		if (calls[i].what == IF_CREATES)
			does = creates(word[1]);
		else if (calls[i].what == IF_CREATES_AT)
			does = creates(word[2]);
		else if (calls[i].what == IF_FILE)
			does = is_file(pid, word[0]);
		else if (calls[i].what == IF_LOCKS)
			does = word[1] == KILL_OFD_SET ||
			       word[1] == KILL_OFD_SETW;
		return does ? calls[i].name : NULL;
	}
	return NULL;
}

static void tell(const char *path, const char *word, const char *name,
		 long count)
{
	FILE *file = fopen(path, "w");

	if (!file)
		exit(111);
	if (name)
		fprintf(file, "%s %s\n", word, name);
	else
		fprintf(file, "%s %ld\n", word, count);
	fclose(file);
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

/* The signal that the one who stopped shall go on with.  Stops for a new
 * process, and of one, are nobody's signals. */
static int signal_of(int status)
{
	int signal = WSTOPSIG(status);

	if (signal == (SIGTRAP | 0x80) || signal == SIGSTOP || status >> 16)
		return 0;
	return signal == SIGTRAP ? 0 : signal;
}

int main(int argc, char **argv)
{
	long at = argc > 3 ? strtol(argv[1], NULL, 10) : 0, count = 0;
	int status, ended = 0;
	pid_t first, pid;

	if (argc < 4)
		return 100;
	first = start(argv + 3);
	if (waitpid(first, &status, 0) < 0 ||
	    ptrace(PTRACE_SETOPTIONS, first, 0,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
			   PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
			   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0)
		return 111;
	ptrace(PTRACE_SYSCALL, first, 0, 0);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		struct __ptrace_syscall_info info;
		const char *name;

		if (!WIFSTOPPED(status)) {
			if (pid == first)
				ended = status;
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) >
			    0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY &&
		    (name = changes(pid, &info)) && ++count == at) {
			tell(argv[2], "killed", name, 0);
			return KILL_STATUS; /* and with us all of them */
		}
		ptrace(PTRACE_SYSCALL, pid, 0, signal_of(status));
	}
	tell(argv[2], "ran", NULL, count);
	return WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
}
