/* SPDX-License-Identifier: Apache-2.0 */
/* Brood as a library: keep a program warm and start instances of it.
 *
 *	struct brood_error error;
 *	int exit_status;
 *	if (brood_serve("/usr/bin/clang", NULL, &error) < 0)
 *		... error.text
 *	pid_t pid = brood_launch(&(struct brood_launch){
 *		.program = "/usr/bin/clang", .argv = argv }, &error);
 *	waitpid(pid, &exit_status, 0);
 *
 * All functions return >= 0 or a negative errno, and fill error (which may
 * be NULL).  They may be called from any thread. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_error {
	int code;
	char text[252];
};

struct brood_serve {
	uint32_t size;	   /* sizeof(struct brood_serve) */
	uint32_t flags;	   /* 0 */
	const char *name;  /* NULL: keyed by the program */
	char *const *argv; /* NULL: the program's own name alone */
	const char *until; /* NULL: "main"; "stdin", "ready", "open:PATH" */
	int64_t pool;	   /* copies that wait; -1: default */
	int64_t refresh_ms, idle_ms; /* 0: defaults */
};

enum brood_via { BROOD_AUTO, BROOD_CLONE, BROOD_HATCH, BROOD_EXEC };

struct brood_launch {
	const char *program; /* a path, a name in PATH or a template's name */
	char *const *argv;   /* argv[0] included */
	char *const *envp;   /* NULL: the caller's */
	const char *cwd;     /* NULL: the caller's */
	int stdio[3];	     /* all 0: the caller's */
	enum brood_via via;
	const char *report; /* file for a JSON line, or NULL */
};

/* Starts (or finds) the keeper of program and waits until it serves. */
int brood_serve(const char *program, const struct brood_serve *options,
		struct brood_error *error);
/* Starts an instance; the pid is a child of the caller, to be waited for. */
pid_t brood_launch(const struct brood_launch *launch,
		   struct brood_error *error);
int brood_refresh(const char *program, struct brood_error *error);
int brood_stop(const char *program, struct brood_error *error);
/* "0.1.0" */
const char *brood_version(void);

/* For programs that are served with --until ready: called by them when they
 * are warm.  Defined as a weak symbol; without the shim it is NULL:
 *	if (brood_ready) brood_ready(); */
void brood_ready(void) __attribute__((weak));

#ifdef __cplusplus
}
#endif
