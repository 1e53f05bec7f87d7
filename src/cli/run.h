/* SPDX-License-Identifier: Apache-2.0 */
/* brood run: what its ways have in common. */
#pragma once
#include "base/args.h"
#include "base/buf.h"
#include "base/progress.h"
#include "cli/init.h"
#include "cli/listen.h"
#include "cli/wasm_file.h"
#include "domain/domain.h"
#include "domain/ground.h"
#include "vm/vm.h"
#include "vm/wasi.h"
#include "vm/wasi_image.h"

enum { RUN_VALUES = 64 };

struct run_options {
	const char *in, *from, *until, *save, *invoke, *init, *via, *cache,
		*report, *image, *code, *kvm, *ready, *given;
	bool verbose, require_kvm, env_all;
	struct args_list folders, read_only, environment, listen, start;
	long fuel, timeout_ms, max_memory;
};

struct run {
	const struct run_options *options;
	const char *file; /* for messages */
	char **words;	  /* the file, then the arguments */
	int word_count;
	struct wasi_folder folders[64];
	char **environment;
	char *owned[128]; /* what the above point to */
	size_t owned_count, folder_count, environment_count;
	struct wasi_image image;
	struct domain_files files; /* the same, of a domain */
	struct listen listen[32];
	int sockets[32];
	size_t socket_count;
	struct wasm_file source;
	struct vm_code_told told;
	struct ground ground;  /* of a domain */
	const char *isolation; /* "process", "kvm" */
	bool is_from_kept;     /* its domain: a kept instance or a tip */
	bool is_told;
	struct progress progress;
	struct buf bytes;
	struct vm vm;
	struct wasi *wasi;
	struct wasm_instance *instance;
	struct init init;
	int stdio[3];
};

#define RUN_EMPTY(of)                           \
	((struct run){ .options = (of),         \
		       .source = { .fd = -1 },  \
		       .image = { .fd = -1 },   \
		       .ground.kvm.device = -1, \
		       .isolation = "process" })

/* Of a run whose options and words are set: all of it, to its exit code, and
 * it is closed. */
int run_all(struct run *run);
/* Its steps, 0 or an exit code, which has been told: the file; the module in
 * it, and what it runs on; its rights. */
int run_open_file(struct run *run);
int run_prepare(struct run *run, struct wasm_module **module);
/* What a tip, which has its module with it, runs on. */
int run_prepare_tip(struct run *run, struct err *err);
void run_fini(struct run *run);

/* "brood: FILE: ..." */
int run_fail(const struct run *run, const struct err *err, int code);
/* The words behind the file as the parameters' types say; 0 or an exit code.
 * Values are [RUN_VALUES]. */
int run_arguments(const struct run *run, const wasm_type *params,
		  uint32_t param_count, uint32_t result_count,
		  union wasm_value *values);
int run_print(const wasm_type *results, uint32_t count,
	      const union wasm_value *values);
/* FILE: no function "x" is exported; there are: a, b, ... */
int run_not_found(const struct run *run, const struct wasm_module *module,
		  const char *name);
int run_not_plain(const struct run *run, const char *name);

/* Folders, variables, an image, sockets and streams, as the options say. */
int run_grant(struct run *run, struct err *err);
/* The image for a domain, NULL: none. */
static inline const struct domain_files *run_files(const struct run *run)
{
	return run->files.bytes ? &run->files : NULL;
}
/* How it runs, for who asked; of a domain the report comes when it is over,
 * by run_tell_end: with why the CPU left it.  domain NULL: there was none. */
void run_tell(struct run *run);
void run_tell_end(const struct run *run, const struct domain *domain);

/* The module, which is loaded and granted what the options say, in a domain
 * of its own; the exit code. */
int run_in_domain(struct run *run, struct wasm_module *module);
/* The program of a warm tip goes on, granted what the options say. */
int run_from_tip(struct run *run);
