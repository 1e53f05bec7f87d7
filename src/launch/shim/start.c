/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning: the shim's constructor, which runs before all others (the
 * library is linked with -z initfirst; where it is not, a little later),
 * reads BROOD_SHIM and takes the shim's own variables out of the environment,
 * so that neither the program nor what it executes ever sees them.  Then
 * __libc_start_main: since glibc 2.34 the executable's constructors run
 * inside it, so that the place right before main is in a main of our own. */
#include "launch/shim/shim.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shim shim;

/* "3:open:/etc/x" -> 3, the stop. */
static bool start_parse(const char *words)
{
	char *end;
	long fd = strtol(words, &end, 10);

	if (end == words || *end != ':' || fd < 0 || fd > 1 << 20)
		return false;
	shim.control = (int)fd;
	words = end + 1;
	if (!strcmp(words, "main"))
		shim.stop = SHIM_AT_MAIN;
	else if (!strcmp(words, "stdin"))
		shim.stop = SHIM_AT_INPUT;
	else if (!strcmp(words, "ready"))
		shim.stop = SHIM_AT_READY;
	else if (!strncmp(words, "open:", 5) && words[5] &&
		 strlen(words + 5) < sizeof shim.stop_path)
		shim.stop = SHIM_AT_OPEN;
	else
		return false;
	if (shim.stop == SHIM_AT_OPEN)
		strcpy(shim.stop_path, words + 5);
	return true;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Takes our own part out of a list like "/x/brood-shim.so:/y/other.so";
 * false when nothing is left of it. */
static bool start_strip_preload(char *list)
{
	Dl_info own;
	char *to = list, *from = list;

	if (!dladdr(&shim, &own) || !own.dli_fname)
		return true;
	while (*from) {
		size_t len = strcspn(from, ": ");
		const char *name = base_name(own.dli_fname);
		size_t name_len = strlen(name);

		if (len < name_len ||
		    (len > name_len && from[len - name_len - 1] != '/') ||
		    memcmp(from + len - name_len, name, name_len) != 0) {
			if (to > list)
				*to++ = ':';
			memmove(to, from, len);
			to += len;
		}
		from += len;
		from += strspn(from, ": ");
	}
	*to = 0;
	return to > list;
}

static bool start_is_ours(char *variable)
{
	if (!strncmp(variable, "LD_PRELOAD=", 11))
		return !start_strip_preload(variable + 11);
	return !strncmp(variable, "LD_BIND_NOW=", 12) ||
	       !strncmp(variable, SHIM_VARIABLE "=", strlen(SHIM_VARIABLE "="));
}

/* The freed places are zeroed up to the auxiliary vector: whoever walks from
 * the environment on to it finds an empty one, not a stale pointer. */
static void start_scrub(char **envp)
{
	char **to = envp;

	for (char **from = envp; *from; from++) {
		char *variable = *from;

		*from = NULL;
		if (!start_is_ours(variable))
			*to++ = variable;
	}
}

static void start_keep_auxv(char **envp)
{
	const Elf64_auxv_t *auxv;

	while (*envp)
		envp++;
	auxv = (const void *)(envp + 1);
	while (shim.auxv_count < SHIM_AUXV_MOST - 1 &&
	       auxv[shim.auxv_count].a_type != AT_NULL) {
		shim.auxv[shim.auxv_count] = auxv[shim.auxv_count];
		shim.auxv_count++;
	}
	shim.auxv[shim.auxv_count++].a_type = AT_NULL;
}

__attribute__((constructor)) static void start_first(int argc, char **argv,
						     char **envp)
{
	size_t len = strlen(SHIM_VARIABLE "=");

	(void)argc;
	interpose_resolve();
	for (char **e = envp; *e; e++) {
		if (strncmp(*e, SHIM_VARIABLE "=", len) != 0)
			continue;
		if (!start_parse(*e + len))
			return;
		shim.phase = SHIM_BEFORE;
		shim.first_argv = argv;
		shim.hot_fd = -1;
		start_keep_auxv(envp);
		start_scrub(envp);
		learn_watch();
		return;
	}
}

/* A copy must not share its secrets with its siblings: the bytes of
 * AT_RANDOM and the stack canary.  The pointer guard stays, since pointers
 * guarded by it are already stored. */
SHIM_BARE static void start_renew_secrets(void)
{
	uint64_t fresh[3];

	/* 1: GRND_NONBLOCK */
	if (raw_3(getrandom, fresh, sizeof fresh, 1) != (long)sizeof fresh)
		return;
	for (int i = 0; i < shim.auxv_count; i++) {
		if (shim.auxv[i].a_type == AT_RANDOM && shim.auxv[i].a_un.a_val)
			memcpy((void *)shim.auxv[i].a_un.a_val, fresh, 16);
	}
	fresh[2] &= ~0xffull; /* so that no string can hold it */
	__asm__ volatile("mov %0, %%fs:0x28" : : "r"(fresh[2]));
}

/* No frame below this one returns, so that the canary may change here. */
SHIM_BARE _Noreturn void start_enter(void)
{
	start_renew_secrets();
	shim.phase = SHIM_RUNNING;
	threads_start();
	exit(shim.main(shim.argc, shim.argv, shim.envp));
}

static int start_main(int argc, char **argv, char **envp)
{
	shim.argc = argc;
	shim.argv = argv;
	shim.envp = envp;
	stop_mark(SHIM_MARK_MAIN);
	if (shim.stop == SHIM_AT_MAIN) {
		stop_here();
		start_enter();
	}
	shim.phase = SHIM_INSIDE;
	return shim.main(argc, argv, envp);
}

typedef int libc_start_fn(shim_main_fn *main, int argc, char **argv,
			  void (*init)(void), void (*fini)(void),
			  void (*rtld_fini)(void), void *stack_end);
SHIM_EXPORT libc_start_fn __libc_start_main;

int __libc_start_main(shim_main_fn *main, int argc, char **argv,
		      void (*init)(void), void (*fini)(void),
		      void (*rtld_fini)(void), void *stack_end)
{
	libc_start_fn *real =
		(libc_start_fn *)dlsym(RTLD_NEXT, "__libc_start_main");

	if (shim.phase == SHIM_BEFORE) {
		shim.main = main;
		main = start_main;
	}
	return real(main, argc, argv, init, fini, rtld_fini, stack_end);
}
