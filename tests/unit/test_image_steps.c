/* SPDX-License-Identifier: Apache-2.0 */
/* A fold, an import, an export and a sweep that are killed at each of their
 * system calls, or of which each call fails: what had a name before is whole,
 * what is new is whole or not there, a failure tells why, and once more goes
 * well. */
#include "image/bundle.h"
#include "image/fold.h"
#include "image/sweep.h"
#include "images.h"
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITISED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITISED true
#endif
#endif
#ifndef SANITISED
#define SANITISED false
#endif

enum { PAGES = 200, STEPS_MOST = 4000 };
enum outcome { DONE, FAILED, SILENT, KILLED, OVER };

struct scene {
	struct made_images made;
	struct made_memory memory;	 /* of "long" */
	int bundle;			 /* "other", of another memory */
	struct bundle_contents contents; /* the same in parts */
	int part[BUNDLE_PARTS_MOST];
	struct made_memory other;
	int objects; /* that "long" needs */
};
typedef int act(const struct scene *scene, struct err *err);

/* ---- what is done -------------------------------------------------------- */

static int act_fold(const struct scene *scene, struct err *err)
{
	return fold_tip(&scene->made.images, "long", "new", FOLD_DIFFS, err);
}

static int act_fold_all(const struct scene *scene, struct err *err)
{
	return fold_tip(&scene->made.images, "long", "new", FOLD_ALL, err);
}

static int act_import(const struct scene *scene, struct err *err)
{
	const struct bundle_options options = { .name = "new" };
	struct bundle_counts counts;

	lseek(scene->bundle, 0, SEEK_SET);
	return bundle_import(&scene->made.images, scene->bundle, &options, NULL,
			     NULL, &counts, err);
}

static int open_part(void *context, uint32_t number, struct err *err)
{
	struct scene *scene = context;

	if (lseek(scene->part[number], 0, SEEK_SET) < 0)
		return err_set(err, -errno, "open a part");
	return scene->part[number];
}

static int open_new_part(void *context, uint32_t number, struct err *err)
{
	struct scene *scene = context;

	scene->part[number] = memfd_create("part", MFD_CLOEXEC);
	return open_part(context, number, err);
}

static int close_part(void *context, uint32_t number, uint64_t bytes,
		      const uint8_t *sum, struct err *err)
{
	(void)context;
	(void)number;
	(void)bytes;
	(void)sum;
	(void)err;
	return 0;
}

static int act_import_parts(const struct scene *scene, struct err *err)
{
	const struct bundle_options options = { .name = "new" };
	const struct bundle_parts parts = { (void *)scene, open_part,
					    close_part };
	struct bundle_counts counts;

	return bundle_import_parts(&scene->made.images, &scene->contents,
				   &parts, &options, &counts, err);
}

static int act_export(const struct scene *scene, struct err *err)
{
	static const char *const names[] = { "long" };
	const struct bundle_options options = { 0 };
	auto_close int fd = memfd_create("out", MFD_CLOEXEC);
	struct bundle_counts counts;

	if (fd < 0)
		return err_set(err, -errno, "make a file");
	return bundle_export(&scene->made.images, names, 1, fd, &options,
			     &counts, err);
}

static int act_sweep(const struct scene *scene, struct err *err)
{
	const struct sweep_options options = { 0 };
	struct sweep_counts counts;

	return sweep_images(&scene->made.images, &options, &counts, err);
}

/* ---- the scene ----------------------------------------------------------- */

static void make_long(struct scene *scene)
{
	const struct images *images = &scene->made.images;
	struct made_memory *memory = &scene->memory;
	auto_tip struct tip tip = TIP_EMPTY;

	made_fill(memory, 3, 40, 1);
	CHECK_INT(made_base(images, memory, &tip), 0);
	for (int i = 0; i < 2; i++) {
		auto_memory struct made_memory before =
			made_memory_copy(memory);

		made_fill(memory, 10, 5, 2 + i);
		made_fill(memory, 100 + 10 * i, 3, 5);
		CHECK_INT(made_push(images, &tip, memory, &before), 0);
	}
	CHECK_INT(made_state(images, &tip, 777), 0);
	CHECK_INT(made_publish(images, &tip, "long"), 0);
	scene->objects = made_objects(images);
}

static void make_bundle(struct scene *scene)
{
	static const char *const names[] = { "other" };
	const struct bundle_options options = { 0 };
	const struct bundle_parts parts = { scene, open_new_part, close_part };
	auto_made_images struct made_images from = made_images_new();
	auto_memory struct made_memory before = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;
	struct bundle_counts counts;
	struct err err = { 0 };

	made_fill(&scene->other, 0, 20, 7);
	made_fill(&before, 0, 20, 7);
	CHECK_INT(made_base(&from.images, &before, &tip), 0);
	made_fill(&scene->other, 90, 9, 8);
	CHECK_INT(made_push(&from.images, &tip, &scene->other, &before), 0);
	CHECK_INT(made_disk(&from.images, &tip, 5000), 0);
	CHECK_INT(made_publish(&from.images, &tip, "other"), 0);
	scene->bundle = memfd_create("bundle", MFD_CLOEXEC);
	CHECK_INT(bundle_export(&from.images, names, 1, scene->bundle, &options,
				&counts, &err),
		  0);
	CHECK_INT(bundle_export_parts(&tip, &parts, &scene->contents, &options,
				      &counts, &err),
		  0);
}

static struct scene scene_new(void)
{
	struct scene scene = { .made = made_images_new(),
			       .memory = made_memory_new(PAGES),
			       .other = made_memory_new(PAGES) };

	make_long(&scene);
	make_bundle(&scene);
	return scene;
}

static void scene_fini(struct scene *scene)
{
	made_images_fini(&scene->made);
	made_memory_fini(&scene->memory);
	made_memory_fini(&scene->other);
	fd_close(&scene->bundle);
	for (uint32_t i = 0; i < scene->contents.head.object_count; i++)
		fd_close(&scene->part[i]);
	bundle_contents_fini(&scene->contents);
}

/* Layers that no tip names, for a sweep to remove. */
static void litter(const struct scene *scene)
{
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;

	made_fill(&memory, 0, 2, 33);
	CHECK_INT(made_base(&scene->made.images, &memory, &tip), 0);
}

/* ---- steps --------------------------------------------------------------- */

static pid_t start(act *what, const struct scene *scene)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct err err = { 0 };
		int rc;

		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		rc = what(scene, &err);
		_exit(rc >= 0 ? DONE : err.text[0] ? FAILED : SILENT);
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	return pid;
}

/* To the next begin or end of a system call; false: it is over. */
static bool step(pid_t pid, int *status)
{
	ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status);
}

/* Memory that is given back, and the end itself, cannot fail. */
static bool can_fail(long number)
{
	return number != SYS_munmap && number != SYS_close &&
	       number != SYS_exit_group && number != SYS_brk;
}

static void fail_call(pid_t pid, long code, int *status)
{
	struct user_regs_struct regs;

	ptrace(PTRACE_GETREGS, pid, NULL, &regs);
	if (!can_fail((long)regs.orig_rax))
		return;
	regs.orig_rax = (unsigned long)-1;
	ptrace(PTRACE_SETREGS, pid, NULL, &regs);
	if (!step(pid, status))
		return;
	ptrace(PTRACE_GETREGS, pid, NULL, &regs);
	regs.rax = (unsigned long)code;
	ptrace(PTRACE_SETREGS, pid, NULL, &regs);
}

/* The n-th call fails with a code, or for 0 the process is killed there. */
static enum outcome run(act *what, const struct scene *scene, int n, long code)
{
	pid_t pid = start(what, scene);
	int status = 0;

	for (int i = 0; i < n; i++)
		if (!step(pid, &status) || !step(pid, &status))
			return WIFEXITED(status) ? OVER : KILLED;
	if (!step(pid, &status))
		return WIFEXITED(status) ? OVER : KILLED;
	if (!code)
		kill(pid, SIGKILL);
	else
		fail_call(pid, code, &status);
	if (WIFSTOPPED(status))
		ptrace(PTRACE_CONT, pid, NULL, NULL);
	while (WIFSTOPPED(status) && waitpid(pid, &status, 0) == pid)
		;
	return WIFEXITED(status) ? (enum outcome)WEXITSTATUS(status) : KILLED;
}

/* ---- judged -------------------------------------------------------------- */

static bool is_new(const struct scene *scene, bool other)
{
	return made_is(&scene->made.images, "new",
		       other ? &scene->other : &scene->memory);
}

static void judge(const struct scene *scene, int n, enum outcome outcome,
		  bool other)
{
	const struct images *images = &scene->made.images;
	bool there = faccessat(images->tips, "new", F_OK, 0) == 0;
	struct err err = { 0 };
	bool right = made_is(images, "long", &scene->memory) &&
		     (!there || is_new(scene, other)) && outcome != SILENT;

	CHECK(right);
	if (!right)
		printf("# at call %d: outcome %d, new is %sthere\n", n, outcome,
		       there ? "" : "not ");
	if (there)
		CHECK_INT(tip_remove(images, "new", &err), 0);
	CHECK_INT(act_sweep(scene, &err), 0);
	CHECK_INT(made_objects(images), scene->objects);
}

static void everywhere(act *what, long code, bool other, bool litters)
{
	int outcomes[OVER + 1] = { 0 }, n = 0;
	enum outcome outcome;
	struct scene scene;
	struct err err = { 0 };

	if (SANITISED)
		SKIP("a sanitizer's own calls would fail");
	scene = scene_new();
	do {
		if (litters)
			litter(&scene);
		outcome = run(what, &scene, n, code);
		judge(&scene, n, outcome, other);
		outcomes[outcome]++;
	} while (outcome != OVER && ++n < STEPS_MOST);
	printf("# %d calls: %d done, %d failed, %d killed\n", n, outcomes[DONE],
	       outcomes[FAILED], outcomes[KILLED]);
	CHECK(n > 20 && n < STEPS_MOST);
	CHECK_INT(outcomes[SILENT], 0);
	if (code)
		CHECK(outcomes[FAILED] > 5 && outcomes[KILLED] == 0);
	else
		CHECK_INT(outcomes[KILLED], n);
	CHECK_INT(what(&scene, &err), 0);
	CHECK_TEXT(err.text, "");
	scene_fini(&scene);
}

TEST(fold_killed)
{
	everywhere(act_fold, 0, false, false);
}
TEST(fold_without_room)
{
	everywhere(act_fold, -ENOSPC, false, false);
}
TEST(fold_failing)
{
	everywhere(act_fold, -EIO, false, false);
}
TEST(fold_all_killed)
{
	everywhere(act_fold_all, 0, false, false);
}
TEST(fold_all_failing)
{
	everywhere(act_fold_all, -EIO, false, false);
}
TEST(import_killed)
{
	everywhere(act_import, 0, true, false);
}
TEST(import_without_room)
{
	everywhere(act_import, -ENOSPC, true, false);
}
TEST(import_failing)
{
	everywhere(act_import, -EIO, true, false);
}
TEST(import_of_parts_killed)
{
	everywhere(act_import_parts, 0, true, false);
}
TEST(import_of_parts_without_room)
{
	everywhere(act_import_parts, -ENOSPC, true, false);
}
TEST(import_of_parts_failing)
{
	everywhere(act_import_parts, -EIO, true, false);
}
TEST(import_without_descriptors)
{
	everywhere(act_import, -EMFILE, true, false);
}
TEST(export_failing)
{
	everywhere(act_export, -EIO, false, false);
}
TEST(sweep_killed)
{
	everywhere(act_sweep, 0, false, true);
}
TEST(sweep_failing)
{
	everywhere(act_sweep, -EIO, false, true);
}
TEST(sweep_without_descriptors)
{
	everywhere(act_sweep, -EMFILE, false, true);
}

TEST_MAIN
