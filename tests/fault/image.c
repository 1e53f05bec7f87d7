/* SPDX-License-Identifier: Apache-2.0 */
/* Publishes a tip in place of another, and lets that fail at one system call
 * after the other; tests/fault/image.py judges what it prints.
 *
 *	image prepare FOLDER	"vm" is the first machine
 *	image publish FOLDER	it becomes the second
 *	image check FOLDER	which it is; all objects are verified
 *	image kill FOLDER	kill -9 at each system call of a publish
 *	image fail FOLDER CODE	each call that writes fails with this errno
 *	image unlinkable FOLDER	a publish where unnamed files get no name
 *	image order FOLDER	what a publish writes, syncs and names
 *
 * "kill" and "fail" print a line for each step: its number, what has become
 * of the publish, which machine "vm" is, how many drafts there are, and how
 * many after a sweep. */
#include "image/view.h"
#include "lib/layers.h"
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

enum { PAGES = 300, STEPS_MOST = 5000 };

static int fail(const struct err *err)
{
	fprintf(stderr, "%s\n", err->text);
	return 1;
}

static struct here here_at(const char *folder, bool make)
{
	struct here here = { .folder = strdup(folder) };
	struct err err = { 0 };

	if (images_open(&here.images, folder, make, &err) < 0)
		exit(fail(&err));
	return here;
}

static void here_leave(struct here *here)
{
	images_close(&here->images);
	free(here->folder);
}
#define auto_leave __attribute__((cleanup(here_leave)))

/* ---- two machines ----------------------------------------------------------
 */

static struct memory machine(int which)
{
	struct memory memory = memory_new(PAGES);

	memory_fill(&memory, 0, 60, 1);
	if (which >= 1)
		memory_fill(&memory, 10, 30, 2);
	if (which >= 2) {
		memory_fill(&memory, 20, 40, 3);
		memory_fill(&memory, 5, 20, 0);
	}
	return memory;
}

static int write_file(const struct here *here, enum layer_kind kind, int which,
		      struct layer *layer, struct err *err)
{
	auto_close int fd = memfd_create("state", MFD_CLOEXEC);
	auto_memory struct memory memory = machine(which);
	int rc = fd_write_all(fd, memory.at, 70000, err);

	if (rc < 0)
		return rc;
	return (kind == LAYER_DISK ? layer_write_disk : layer_write_state)(
		&here->images, layers_shape, fd, layer, err);
}

static int push(const struct here *here, struct tip *tip, int which,
		struct err *err)
{
	auto_memory struct memory now = machine(which);
	auto_memory struct memory below = machine(which - 1);
	const uint8_t *parent =
		which ? tip->layers[tip->layer_count - 1].head.id : NULL;
	struct layer layer = LAYER_NONE;
	int rc = here_write(here, which ? LAYER_DIFF : LAYER_BASE, &now,
			    which ? &below : NULL, parent, &layer, err);

	if (rc >= 0)
		rc = tip_push(tip, &layer, err);
	layer_close(&layer);
	if (rc < 0)
		return rc;
	layer_close(&tip->state);
	return write_file(here, LAYER_STATE, which, &tip->state, err);
}

static int prepare(const struct here *here, struct err *err)
{
	auto_tip struct tip tip = TIP_EMPTY;
	int rc = push(here, &tip, 0, err);

	if (rc >= 0)
		rc = push(here, &tip, 1, err);
	if (rc >= 0)
		rc = write_file(here, LAYER_DISK, 1, &tip.disks[0], err);
	tip.disk_count = rc >= 0;
	tip.words = strdup("{\"machine\":\"q35\"}");
	return rc < 0 ? rc : tip_publish(&here->images, &tip, "vm", err);
}

static int publish(const struct here *here, struct err *err)
{
	auto_tip struct tip tip = TIP_EMPTY;
	int rc = tip_open(&here->images, "vm", &tip, err);

	if (rc >= 0)
		rc = push(here, &tip, 2, err);
	return rc < 0 ? rc : tip_publish(&here->images, &tip, "vm", err);
}

/* ---- what is there ---------------------------------------------------------
 */

typedef int here_visit(const struct here *here, const char *name);

static int each_object(const struct here *here, here_visit *visit)
{
	DIR *dir = opendir(here->folder);
	struct dirent *entry;
	int sum = 0;

	while (dir && (entry = readdir(dir)))
		if (store_is_name(entry->d_name))
			sum += visit(here, entry->d_name);
	if (dir)
		closedir(dir);
	return sum;
}

static int verify_object(const struct here *here, const char *name)
{
	struct err err = { 0 };

	if (layer_verify(&here->images, name, &err) >= 0)
		return 0;
	printf("wrong: %s\n", err.text);
	return 1;
}

static int forget_object(const struct here *here, const char *name)
{
	store_seen_forget(here->images.root, name);
	return 0;
}

static int remove_object(const struct here *here, const char *name)
{
	return store_object_remove(here->images.root, name) == 0;
}

/* Which machine "vm" is, as who sees all of it for the first time; -1: none
 * of them, or something is damaged. */
static int check(const struct here *here)
{
	auto_tip struct tip tip = TIP_EMPTY;
	auto_view struct view view = { 0 };
	struct err err = { 0 };

	if (each_object(here, verify_object))
		return -1;
	each_object(here, forget_object);
	if (tip_open(&here->images, "vm", &tip, &err) < 0 ||
	    view_open(&tip, VIEW_COPY, &view, &err) < 0) {
		printf("wrong: %s\n", err.text);
		return -1;
	}
	for (int which = 0; which < 3; which++) {
		auto_memory struct memory memory = machine(which);

		if (memcmp(view.at, memory.at, view.bytes) == 0)
			return which;
	}
	return -1;
}

static int drafts(const struct here *here)
{
	return here_litter(here, "") + here_litter(here, "tips");
}

static void sweep_folder(const struct here *here, const char *under, int root)
{
	static const struct timespec old[2] = { { .tv_sec = 1000 },
						{ .tv_sec = 1000 } };
	auto_free char *path = file_join(here->folder, under);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, ".new.", 5) == 0) {
			utimensat(root, entry->d_name, old,
				  AT_SYMLINK_NOFOLLOW);
			store_draft_sweep(root, entry->d_name);
		}
	if (dir)
		closedir(dir);
}

static void sweep(const struct here *here)
{
	sweep_folder(here, "", here->images.root);
	sweep_folder(here, "tips", here->images.tips);
}

/* The first machine again, and nothing else. */
static void again(const struct here *here)
{
	auto_tip struct tip tip = TIP_EMPTY;
	struct err err = { 0 };

	if (prepare(here, &err) < 0 ||
	    tip_open(&here->images, "vm", &tip, &err) < 0)
		exit(fail(&err));
	each_object(here, remove_object); /* what is not in use */
}

static void tell(const struct here *here, int step, const char *outcome)
{
	int which = check(here), before = drafts(here);

	sweep(here);
	printf("%d %s %d %d %d\n", step, outcome, which, before, drafts(here));
	fflush(stdout);
}

/* ---- traced ----------------------------------------------------------------
 */

static pid_t traced_publish(const char *folder)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct err err = { 0 };
		int rc;

		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		auto_leave struct here here = here_at(folder, false);
		rc = publish(&here, &err);
		if (rc < 0 && !err.text[0])
			_exit(3); /* it has to say why */
		_exit(rc < 0);
	}
	waitpid(pid, NULL, 0);
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	return pid;
}

/* To the next call's begin or end; false: it is over, with this status. */
static bool step(pid_t pid, int *status)
{
	do {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		if (waitpid(pid, status, 0) < 0 || !WIFSTOPPED(*status))
			return false;
	} while (WSTOPSIG(*status) != (SIGTRAP | 0x80));
	return true;
}

static bool killed_at(const char *folder, int steps)
{
	pid_t pid = traced_publish(folder);
	int status;

	/* A call's end is as good as the next one's begin. */
	for (steps = 2 * steps + 1; steps; steps--)
		if (!step(pid, &status))
			return false;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return true;
}

static int kill_everywhere(const char *folder)
{
	auto_leave struct here here = here_at(folder, true);
	bool going = true;

	for (int at = 0; going && at < STEPS_MOST; at++) {
		again(&here);
		going = killed_at(folder, at);
		tell(&here, at, going ? "killed" : "over");
	}
	return going;
}

static bool is_writing(const struct user_regs_struct *regs)
{
	switch (regs->orig_rax) {
	case SYS_openat:
		return regs->rdx & (O_CREAT | O_TMPFILE) & ~O_DIRECTORY;
	case SYS_write:
	case SYS_pwrite64:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_fsync:
	case SYS_fchmod:
	case SYS_linkat:
	case SYS_symlinkat:
	case SYS_mkdirat:
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_unlinkat:
	case SYS_copy_file_range: return true;
	}
	return false;
}

/* One that names a file by its descriptor. */
static bool is_link_of_unnamed(const struct user_regs_struct *regs)
{
	return regs->orig_rax == SYS_linkat && regs->r8;
}

/* Lets the call that has begun end so, and not be done. */
static bool spoil(pid_t pid, struct user_regs_struct *regs, int code,
		  int *status)
{
	regs->orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, pid, NULL, regs);
	if (!step(pid, status))
		return false;
	ptrace(PTRACE_GETREGS, pid, NULL, regs);
	regs->rax = (unsigned long long)-(long long)code;
	ptrace(PTRACE_SETREGS, pid, NULL, regs);
	return true;
}

/* Spoils the call of this number among those that write; -1: those that link
 * what has no name.  Says what the process's end was. */
static const char *spoiled(const char *folder, int at, int code)
{
	pid_t pid = traced_publish(folder);
	struct user_regs_struct regs;
	bool done = false;
	int status;

	while (step(pid, &status)) {
		ptrace(PTRACE_GETREGS, pid, NULL, &regs);
		if (at < 0 ? is_link_of_unnamed(&regs)
			   : is_writing(&regs) && at-- == 0) {
			done = true;
			if (!spoil(pid, &regs, code, &status))
				break;
		} else if (!step(pid, &status)) { /* its end */
			break;
		}
		if (done && at == -1 && code != ENOENT)
			at = INT32_MAX;
	}
	if (!WIFEXITED(status))
		return "died";
	if (WEXITSTATUS(status) == 1)
		return "failed";
	if (WEXITSTATUS(status))
		return "silent";
	return done ? "published" : "over";
}

static int fail_everywhere(const char *folder, int code)
{
	auto_leave struct here here = here_at(folder, true);
	const char *outcome = "";

	for (int at = 0; strcmp(outcome, "over") && at < STEPS_MOST; at++) {
		again(&here);
		outcome = spoiled(folder, at, code);
		tell(&here, at, outcome);
	}
	return 0;
}

static int unlinkable(const char *folder)
{
	auto_leave struct here here = here_at(folder, true);

	again(&here);
	tell(&here, 0, spoiled(folder, -1, ENOENT));
	return 0;
}

/* ---- in which order --------------------------------------------------------
 */

static void path_of(pid_t pid, uint64_t at, char path[4096])
{
	struct iovec to = { path, 4095 };
	struct iovec from = { (void *)(uintptr_t)at, 4095 };
	uint64_t page_end = (at | (LAYER_PAGE - 1)) + 1;
	ssize_t len;

	from.iov_len = to.iov_len = page_end - at < 4095 ? page_end - at : 4095;
	len = process_vm_readv(pid, &to, 1, &from, 1, 0);
	path[len > 0 ? len : 0] = 0;
}

static void tell_call(pid_t pid, const struct user_regs_struct *regs)
{
	char from[4096], to[4096];
	int fd = (int)regs->rdi;

	switch (regs->orig_rax) {
	case SYS_write:
	case SYS_pwrite64:
	case SYS_ftruncate:
	case SYS_copy_file_range: printf("write %d\n", fd); break;
	case SYS_fsync: printf("sync %d\n", fd); break;
	case SYS_linkat:
	case SYS_renameat:
		path_of(pid, regs->rsi, from);
		path_of(pid, regs->r10, to);
		printf("%s %s %d %s\n",
		       regs->orig_rax == SYS_linkat ? "link" : "rename", from,
		       (int)regs->rdx, to);
		break;
	}
}

static int order(const char *folder)
{
	auto_leave struct here here = here_at(folder, true);
	struct user_regs_struct regs;
	int status;
	pid_t pid;

	again(&here);
	pid = traced_publish(folder);
	while (step(pid, &status)) {
		ptrace(PTRACE_GETREGS, pid, NULL, &regs);
		tell_call(pid, &regs);
		if (!step(pid, &status))
			break;
	}
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	struct err err = { 0 };

	signal(SIGXFSZ, SIG_IGN);
	if (strcmp(verb, "kill") == 0)
		return kill_everywhere(argv[2]);
	if (strcmp(verb, "fail") == 0 && argc > 3)
		return fail_everywhere(argv[2], atoi(argv[3]));
	if (strcmp(verb, "unlinkable") == 0)
		return unlinkable(argv[2]);
	if (strcmp(verb, "order") == 0)
		return order(argv[2]);
	if (!verb[0])
		return 100;
	auto_leave struct here here = here_at(argv[2], true);

	if (strcmp(verb, "prepare") == 0)
		return prepare(&here, &err) < 0 ? fail(&err) : 0;
	if (strcmp(verb, "publish") == 0)
		return publish(&here, &err) < 0 ? fail(&err) : 0;
	if (strcmp(verb, "check") == 0)
		tell(&here, 0, "checked");
	return 0;
}
