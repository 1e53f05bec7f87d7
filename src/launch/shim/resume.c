/* SPDX-License-Identifier: Apache-2.0 */
/* The other way to start: a process of the caller's own has mapped the image
 * of the stopped program and jumps here, on its own stack, with FS set.  What
 * the kernel knows of the process is made to fit the memory, the starter is
 * unmapped, and main runs.  Nothing below this frame belongs to the program,
 * so it never returns.  Some steps may be refused by the kernel; the program
 * runs without them. */
#include "bare/image_check.h"
#include "launch/shim/shim.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

extern void *__libc_stack_end;

static void resume_thread(const struct program_image *image)
{
	*(int *)image->tid_address =
		(int)raw_1(set_tid_address, image->tid_address);
	/* 24: the size of struct robust_list_head */
	raw_2(set_robust_list, image->robust_list, 24);
	if (!image->rseq)
		return;
	/* cpu_id_start, cpu_id = uninitialised, rseq_cs */
	((volatile uint32_t *)image->rseq)[0] = 0;
	((volatile uint32_t *)image->rseq)[1] = ~0u;
	((volatile uint64_t *)image->rseq)[1] = 0;
	raw_4(rseq, image->rseq, image->rseq_bytes, 0, image->rseq_signature);
}

/* On the caller's stack the vector still tells of the starter. */
static void resume_auxv(Elf64_auxv_t *auxv, const struct program_image *image,
			uint64_t name)
{
	for (; auxv->a_type != AT_NULL; auxv++) {
		uint64_t *value = &auxv->a_un.a_val;

		switch (auxv->a_type) {
		case AT_PHDR: *value = image->program_headers; break;
		case AT_PHENT: *value = image->program_header_bytes; break;
		case AT_PHNUM: *value = image->program_header_count; break;
		case AT_BASE: *value = image->interpreter_base; break;
		case AT_ENTRY: *value = image->entry; break;
		case AT_SYSINFO_EHDR: *value = image->vdso; break;
		case AT_EXECFN: *value = name; break;
		}
	}
}

static uint64_t resume_string_end(char *const *strings, uint64_t otherwise)
{
	if (!*strings)
		return otherwise;
	while (strings[1])
		strings++;
	return (uint64_t)*strings + strlen(*strings) + 1;
}

/* The kernel's account of the address space.  false: /proc/self/exe is still
 * the starter. */
static bool resume_memory(const struct program_image *image, uint64_t *stack,
			  Elf64_auxv_t *auxv, int exe_fd)
{
	struct prctl_mm_map mm = { 0 };
	uint64_t strings = (uint64_t)shim.argv[0];
	size_t count = 0;

	while (auxv[count].a_type != AT_NULL)
		count++;
	mm.start_code = image->start_code;
	mm.end_code = image->end_code;
	mm.start_data = image->start_data;
	mm.end_data = image->end_data;
	mm.start_brk = image->start_brk;
	mm.brk = image->brk;
	mm.start_stack = (uint64_t)stack;
	mm.arg_start = strings;
	mm.arg_end = resume_string_end(shim.argv, strings);
	mm.env_start = mm.arg_end;
	mm.env_end = resume_string_end(shim.envp, mm.env_start);
	if (shim.envp[0])
		mm.env_start = (uint64_t)shim.envp[0];
	mm.auxv = (void *)auxv;
	mm.auxv_size = (uint32_t)((count + 1) * sizeof *auxv);
	mm.exe_fd = (uint32_t)exe_fd;
	if (exe_fd >= 0 &&
	    raw_5(prctl, PR_SET_MM, PR_SET_MM_MAP, &mm, sizeof mm, 0) >= 0)
		return true;
	mm.exe_fd = ~0u;
	raw_5(prctl, PR_SET_MM, PR_SET_MM_MAP, &mm, sizeof mm, 0);
	return false;
}

/* Read by pthread_getattr_np to find the stack of the first thread; it lies
 * in memory that the loader has made read-only. */
static void resume_stack_end(uint64_t *stack)
{
	uint64_t page = (uint64_t)&__libc_stack_end & ~(SHIM_PAGE - 1ull);

	if (raw_3(mprotect, page, SHIM_PAGE, PROT_READ | PROT_WRITE) < 0)
		return;
	__libc_stack_end = stack;
	raw_3(mprotect, page, SHIM_PAGE, PROT_READ);
}

static void resume_exe(const struct program_image *image)
{
	const struct image_file *exe = &image_files(image)[image->exe_file];
	const char *path = image_string(image, exe->path);

	if (strlen(path) < sizeof shim.exe)
		strcpy(shim.exe, path);
}

/* Handlers and ignored signals of the program's own making. */
static void resume_signals(void)
{
	for (int i = 0; i < shim.handler_count; i++) {
		const struct shim_handler *handler = &shim.handler[i];

		raw_4(rt_sigaction, handler->number, &handler->action, NULL, 8);
	}
	raw_4(rt_sigprocmask, SIG_BLOCK, &shim.blocked_before, NULL, 8);
}

static Elf64_auxv_t *resume_arguments(uint64_t *stack)
{
	char **end;

	shim.argc = (int)stack[0];
	shim.argv = (char **)(stack + 1);
	shim.envp = shim.argv + shim.argc + 1;
	for (end = shim.envp; *end;)
		end++;
	return (Elf64_auxv_t *)(end + 1);
}

/* The stack may be aligned for a call or not. */
SHIM_BARE __attribute__((force_align_arg_pointer)) void
shim_resume(struct image_resume *given)
{
	struct image_resume resume = *given;
	const struct program_image *image = resume.image;
	Elf64_auxv_t *auxv;

	resume_thread(image);
	auxv = resume_arguments(resume.stack);
	raw_2(munmap, resume.starter_start,
	      resume.starter_end - resume.starter_start);
	resume_auxv(auxv, image, (uint64_t)shim.argv[0]);
	if (!resume_memory(image, resume.stack, auxv, resume.exe_fd))
		resume_exe(image);
	if (resume.exe_fd >= 0)
		raw_1(close, resume.exe_fd);
	resume_stack_end(resume.stack);
	become_named(shim.argv, shim.envp, NULL);
	resume_signals();
	raw_2(munmap, image, resume.image_bytes);
	start_enter();
}
