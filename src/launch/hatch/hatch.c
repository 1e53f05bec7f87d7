/* SPDX-License-Identifier: Apache-2.0 */
/* The hatch: this very process maps the image of the warm program and jumps
 * to its main.  What is mapped before a failure does no harm: the exec that
 * follows clears it.  Every mapping refuses to replace another. */
#include "bare/fact.h"
#include "bare/host.h"
#include "bare/image_check.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <asm/prctl.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/mman.h>

enum {
	HATCH_HOT_MOST = 512,
	HATCH_POPULATE_MOST = 256 << 20,
	HATCH_ENVIRONMENT_MOST = 1024
};

extern char __executable_start[], _end[];

struct hatch {
	int fd[IMAGE_FILES_MOST];
	uint32_t open; /* of the files, the first so many are open */
};

static void hatch_close(const struct hatch *hatch, uint32_t kept)
{
	for (uint32_t i = 0; i < hatch->open; i++)
		if (i != kept)
			raw_1(close, hatch->fd[i]);
}

/* What is not as it was has to be made anew; a limit of ours is no reason. */
static bool hatch_is_not_had(struct starter *starter, const char *path,
			     long error)
{
	bool limit = entry_is_limit(error);

	text_reason(starter, path, limit ? " " : " has changed",
		    limit ? entry_words(error) : "");
	starter->stale = starter->stale || !limit;
	return false;
}

static bool hatch_open_files(struct starter *starter, struct hatch *hatch)
{
	const struct program_image *image = starter->image;
	const struct image_file *file = image_files(image);

	for (uint32_t i = 0; i < image->file_count; i++) {
		const char *path = image_string(image, file[i].path);
		long fd =
			raw_4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);

		if (fd >= 0) {
			hatch->fd[i] = fd;
			hatch->open = i + 1;
		}
		if (fd < 0 || !entry_file_is_same(fd, "", &file[i]))
			return hatch_is_not_had(starter, path, fd);
	}
	return true;
}

static long hatch_map_one(const struct starter *starter,
			  const struct hatch *hatch,
			  const struct image_map *map)
{
	long flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE;
	int fd = -1;

	if (map->file == IMAGE_FROM_NOTHING)
		flags |= MAP_ANONYMOUS | (map->prot ? 0 : MAP_NORESERVE);
	else
		fd = map->file == IMAGE_FROM_SAVED ? starter->image_fd
						   : hatch->fd[map->file];
	return raw_6(mmap, map->addr, map->len, map->prot, flags, fd,
		     fd < 0 ? 0 : map->at);
}

static bool hatch_map_all(struct starter *starter, const struct hatch *hatch)
{
	const struct image_map *map = image_maps(starter->image);

	for (uint32_t i = 0; i < starter->image->map_count; i++)
		if (hatch_map_one(starter, hatch, &map[i]) != (long)map[i].addr)
			return false;
	return true;
}

/* Pages that the first copies wrote are written by every copy: one call for
 * each run instead of a fault for each page.  Hints: nothing depends on
 * them. */
static void hatch_populate(const struct starter *starter)
{
	struct image_hot hot[HATCH_HOT_MOST];
	char path[sizeof starter->entry.image + 8];
	struct words name = { path, path + sizeof path };
	uint64_t sum = 0;
	long fd, n;

	words_add(&name, starter->entry.image);
	words_add(&name, ".hot");
	fd = raw_4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW,
		   0);
	if (fd < 0)
		return;
	n = raw_3(read, fd, hot, sizeof hot) / (long)sizeof *hot;
	raw_1(close, fd);
	for (long i = 0; i < n; i++) {
		if (!hot[i].write || hot[i].len > HATCH_POPULATE_MOST - sum)
			continue;
		sum += hot[i].len;
		raw_3(madvise, hot[i].addr, hot[i].len, MADV_POPULATE_WRITE);
	}
}

static uint64_t hatch_auxiliary(const struct starter *starter, uint64_t type)
{
	for (uint64_t *aux = starter->auxv; aux[0] != AT_NULL; aux += 2)
		if (aux[0] == type)
			return aux[1];
	return 0;
}

static bool hatch_move_one(uint64_t from, uint64_t to, uint64_t len)
{
	return !len || from == to ||
	       raw_5(mremap, from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		     to) == (long)to;
}

/* The vdso and its data keep their distance, which its code relies on. */
static bool hatch_move_vdso(struct starter *starter)
{
	const struct program_image *image = starter->image;
	uint64_t now = hatch_auxiliary(starter, AT_SYSINFO_EHDR);
	uint64_t by = image->vdso - now;

	if (!now || !image->vdso)
		return now == image->vdso;
	return hatch_move_one(now, image->vdso, image->vdso_bytes) &&
	       hatch_move_one(image->vvar - by, image->vvar,
			      image->vvar_bytes) &&
	       hatch_move_one(image->vvar_clock - by, image->vvar_clock,
			      image->vvar_clock_bytes);
}

/* argc, argv, envp and auxv in one run as the kernel lays them out.  Where
 * the starter's own options stood in front, argv is already such a run. */
static uint64_t *hatch_lay_stack(struct starter *starter)
{
	uint64_t words = 1 + starter->argc + 1, env = 0, aux = 0;
	uint64_t *stack;
	long at;

	while (starter->envp[env])
		env++;
	if (starter->argv + starter->argc + 1 == starter->envp &&
	    (uint64_t *)(starter->envp + env + 1) == starter->auxv) {
		stack = (uint64_t *)starter->argv - 1;
		*stack = starter->argc;
		return stack;
	}
	while (starter->auxv[aux])
		aux += 2;
	words += env + 1 + aux + 2;
	at = raw_6(mmap, (char *)STARTER_WORDS_AT + (1ull << 36),
		   words * sizeof *stack, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (at < 0)
		return NULL;
	stack = (uint64_t *)at;
	stack[0] = starter->argc;
	memcpy(stack + 1, starter->argv, (starter->argc + 1) * sizeof *stack);
	memcpy(stack + 2 + starter->argc, starter->envp,
	       (env + 1) * sizeof *stack);
	memcpy(stack + 3 + starter->argc + env, starter->auxv,
	       (aux + 2) * sizeof *stack);
	return stack;
}

/* The kernel chose our stack or vdso where the image wants to be: another
 * start has other addresses.  Once; a failure leads on to the next way. */
static void hatch_start_again(struct starter *starter)
{
	char *envp[HATCH_ENVIRONMENT_MOST];
	uint64_t count = 0;

	while (starter->envp[count] && count < HATCH_ENVIRONMENT_MOST - 2) {
		envp[count] = starter->envp[count];
		count++;
	}
	if (starter->again || starter->envp[count])
		return;
	envp[count] = STARTER_AGAIN;
	envp[count + 1] = NULL;
	/* laying the stack may have put the count over this word */
	if (starter->argv > starter->own_argv &&
	    starter->argv <= starter->own_argv + 16)
		starter->argv[-1] = "--";
	raw_3(execve, starter->executed, starter->own_argv, envp);
}

static _Noreturn void hatch_jump(const struct starter *starter,
				 const struct image_resume *resume)
{
	/* Below all that is in use; a return address of 0 ends every
	 * unwinding. */
	__asm__ volatile("mov %0, %%rsp\n"
			 "xor %%ebp, %%ebp\n"
			 "push $0\n"
			 "jmp *%1\n"
			 :
			 : "r"(((uint64_t)resume - 256) & ~15ull),
			   "r"(starter->image->resume), "D"(resume)
			 : "memory");
	__builtin_unreachable();
}

/* An image outlives a boot, and its folder may be seen by several machines. */
static bool hatch_is_at_home(struct starter *starter)
{
	const struct program_image *image = starter->image;
	uint64_t boot = host_boot();

	if ((boot && boot == image->boot) || host_identity() == image->machine)
		return true;
	text_reason(starter, "the image is of another CPU or kernel", "", "");
	starter->stale = true;
	return false;
}

void hatch_try(struct starter *starter)
{
	const struct program_image *image = starter->image;
	struct image_resume resume = { .image = image, .exe_fd = -1 };
	struct hatch hatch;

	hatch.open = 0;
	if (!hatch_is_at_home(starter))
		return;
	if (!hatch_open_files(starter, &hatch)) {
		hatch_close(&hatch, ~0u);
		return;
	}
	resume.stack = hatch_lay_stack(starter);
	if (!resume.stack || !hatch_map_all(starter, &hatch) ||
	    !hatch_move_vdso(starter)) {
		text_reason(starter, "an address that the image needs is ",
			    "taken", "");
		hatch_close(&hatch, ~0u);
		hatch_start_again(starter);
		return;
	}
	hatch_populate(starter);
	starter->mapped_ns = text_now_ns();
	report_way(starter, "hatch", raw_0(getpid), image->generation);
	hatch_close(&hatch, image->exe_file);
	raw_1(close, starter->image_fd);
	resume.exe_fd = hatch.fd[image->exe_file];
	resume.image_bytes = image->header_bytes;
	resume.starter_start = (uint64_t)__executable_start & ~4095ull;
	resume.starter_end = ((uint64_t)_end + 4095) & ~4095ull;
	raw_2(arch_prctl, ARCH_SET_FS, image->fs_base);
	hatch_jump(starter, &resume);
}
