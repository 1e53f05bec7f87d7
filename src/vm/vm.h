/* SPDX-License-Identifier: Apache-2.0 */
/* A byte-code VM in this process: the engine's core with memory by mmap and
 * guard pages, a fault handler, deadlines, and modules linked by name.
 *
 *	struct vm vm;
 *	vm_init(&vm, &options, &err);
 *	vm_load(&vm, bytes, len, &module, &err);
 *	vm_define_instance / wasi_define (&vm, ...);
 *	vm_instantiate(&vm, module, &instance, &err);
 *	vm_call(&vm, function, arguments, results);
 *	vm_fini(&vm);
 *
 * One VM belongs to one thread at a time; any number of VMs may live in a
 * process, in any threads.
 *
 * Code runs between vm_enter and vm_leave only: they tell the process's fault
 * handler whose memories a fault of this thread may lie in, and the hooks
 * when time is up.  vm_call and vm_instantiate do it themselves; whoever
 * calls wasm_call or wasm_instantiate does it around them.
 *
 * The fault handler (SIGSEGV, SIGBUS) takes what is a trap of running code
 * and hands all else to the handler that was there before it, as the kernel
 * would.  A handler that is set later has to hand on likewise. */
#pragma once
#include "base/err.h"
#include "cache/cache.h"
#include "wasm/heap.h"
#include "wasm/instance.h"

/* How instances run. */
enum vm_via {
	VM_AUTO,     /* compiled, where that is possible */
	VM_COMPILED, /* compiled, or there is no instance */
	VM_INTERPRETED,
};
/* How the last instance that was made runs, and what that took. */
enum vm_way { VM_NO_WAY, VM_BY_COMPILED, VM_BY_MAPPED, VM_BY_INTERPRETER };
struct vm_code_told {
	enum vm_way way;
	const char *why;   /* of the interpreter */
	uint32_t compiled; /* functions, by this VM */
};
/* store->code_data, where there is one. */
struct vm_code_options {
	enum vm_via via;
	struct vm_code_told *told; /* NULL: nobody asks */
	/* Called now and then while much is compiled; NULL: nobody looks. */
	void (*progress)(void *progress_env);
	void *progress_env;
	/* For tests: bits of enum jit_without, and of enum code_feature. */
	uint32_t without, without_features;
	struct cache *cache;	    /* where code is kept, NULL: nowhere */
	struct vm_profile *profile; /* NULL: nobody counts */
	/* Of the module that has these bytes: the file they came from. */
	struct cache_request source;
};

struct vm_options {
	struct wasm_store_options store;
	struct vm_code_options code;
	/* The VM shall have a code cache; NULL: it compiles for itself. */
	const struct cache_options *cache;
	/* Count in which functions of its cached code time is spent, by ticks
	 * of SIGPROF to the thread that runs it (vm_profile_told). */
	bool profile;
	/* NULL, or called after 2 s of what is counted so, and after each 10 s
	 * more, in a handler of the thread, where compiled code was
	 * interrupted: it may do what a function might do that this code
	 * calls, but run code. */
	void (*profile_due)(void *env);
	void *profile_env;
	int64_t timeout_ns;	      /* of each outermost call; 0: none */
	const struct wasm_host *host; /* NULL: vm_host */
};

struct vm_names;  /* what is defined under a module's and an item's name */
struct vm_module; /* a module and its bytes */
struct vm {
	struct wasm_types *types;
	struct wasm_store *store;
	struct vm_options options;
	struct vm_names *names;
	/* Of the call that runs, CLOCK_MONOTONIC; 0: none.  Set from outside,
	 * it holds for all calls from then on. */
	int64_t deadline_ns;
	struct vm_module *modules;
};

int vm_init(struct vm *vm, const struct vm_options *options, struct err *err);
void vm_fini(struct vm *vm);
/* The module belongs to the VM, and so does a copy of the bytes. */
int vm_load(struct vm *vm, const void *bytes, size_t len,
	    struct wasm_module **module, struct err *err);
/* The same without a copy: the bytes stay as they are until vm_fini. */
int vm_load_in_place(struct vm *vm, const void *bytes, size_t len,
		     struct wasm_module **module, struct err *err);
/* The module that options.code.source stands for, by its stamp, where the
 * cache has its code: neither read nor validated, for both was done by who
 * compiled it.  1, or 0: it is not known. */
int vm_load_known(struct vm *vm, struct wasm_module **module);
/* As vm_load_in_place, for a module that will have instances with guarded
 * memories: it is compiled at once, so that its bodies are validated once,
 * and by all CPUs. */
int vm_load_compiled(struct vm *vm, const void *bytes, size_t len,
		     struct wasm_module **module, struct err *err);
/* Names one thing, or all exports of an instance; what had the name before
 * has it no more. */
int vm_define(struct vm *vm, const char *module, const char *name,
	      struct wasm_extern what, struct err *err);
int vm_define_instance(struct vm *vm, const char *module,
		       struct wasm_instance *instance, struct err *err);
/* The same for any names, with 0 bytes in them too. */
int vm_define_named(struct vm *vm, struct wasm_name module,
		    struct wasm_name name, struct wasm_extern what,
		    struct err *err);
int vm_define_instance_named(struct vm *vm, struct wasm_name module,
			     struct wasm_instance *instance, struct err *err);
/* A host function of a signature in letters, "il>i" (i l f d v, r funcref,
 * x externref). */
int vm_define_function(struct vm *vm, const char *module, const char *name,
		       const char *signature, wasm_host_call *call, void *env,
		       struct err *err);
/* Finds the imports among what is defined.  0; > 0 a trap (enum wasm_trap) of
 * segments or start; < 0 with err. */
int vm_instantiate(struct vm *vm, const struct wasm_module *module,
		   struct wasm_instance **instance, struct err *err);
/* Are its imports there, as they are defined now? */
int vm_check_imports(const struct vm *vm, const struct wasm_module *module,
		     struct err *err);
/* Compiles a module ahead of its instances, for those that have guarded
 * memories, or finds that it was; *object is the VM's cache's. */
int vm_compile(struct vm *vm, const struct wasm_module *module,
	       struct cache_object **object, struct err *err);
/* Which code it compiles then. */
struct jit_options;
void vm_code_kind(const struct vm *vm, const struct wasm_module *module,
		  struct jit_options *kind);
/* The same with functions that another compiler has made, of which nothing
 * else of the link is looked at: into an object that is to replace the one
 * there is (cache_replace), which takes it over.  Instances of this VM have
 * the one before. */
struct jit_link;
int vm_optimise(struct vm *vm, const struct wasm_module *module,
		const struct jit_link *made, struct cache_object *object,
		struct err *err);
/* What was counted so far of a module, until vm_fini. */
struct vm_profile_told {
	struct cache_object *object; /* whose code it was */
	const uint32_t *ticks;	     /* of PROFILE_TICK_MS, by own function */
	uint32_t function_count;
	uint64_t total;
};
/* false: there is nothing. */
bool vm_profile_told(const struct vm *vm, const struct wasm_module *module,
		     struct vm_profile_told *told);
/* From now on it counts anew. */
void vm_profile_forget(const struct vm *vm, const struct wasm_module *module);
/* Snapshots: instances that begin as the one that an exported function has
 * left, which neither takes nor gives anything.
 *
 *	found = vm_snapshot_open(vm, module, "init", &snapshot, &err);
 *	if (!found) {
 *		vm_snapshot_run(snapshot, &err);
 *		vm_snapshot_keep(snapshot, &err);
 *	}
 *	vm_snapshot_instantiate(snapshot, &instance, &err);
 *	vm_snapshot_close(snapshot);
 *
 * Open: 1 where the cache has it, 0 where it has to be made; init's text
 * stays as it is.  Close it in any case, before vm_fini; instances stay. */
struct vm_snapshot;
int vm_snapshot_open(struct vm *vm, const struct wasm_module *module,
		     const char *init, struct vm_snapshot **snapshot,
		     struct err *err);
/* Makes an instance of what is defined in the VM now, calls its _initialize,
 * if there is one, and the function.  0; > 0 a trap; < 0 with err. */
int vm_snapshot_run(struct vm_snapshot *snapshot, struct err *err);
/* Puts what the run has left into the cache, if there is one.  < 0: why it
 * cannot be kept. */
int vm_snapshot_keep(struct vm_snapshot *snapshot, struct err *err);
/* The cache's, NULL: it is in no cache. */
struct cache_object *vm_snapshot_object(const struct vm_snapshot *snapshot);
/* Where the snapshot is: a code object's bytes in whole pages, which hold.
 * They stay as long as it does. */
int vm_snapshot_image(const struct vm_snapshot *snapshot, const uint8_t **image,
		      uint64_t *len, struct err *err);
int vm_snapshot_instantiate(struct vm_snapshot *snapshot,
			    struct wasm_instance **instance, struct err *err);
void vm_snapshot_close(struct vm_snapshot *snapshot);
/* wasm_call with the VM's deadline set, and entered. */
enum wasm_trap vm_call(struct vm *vm, struct wasm_function *function,
		       const union wasm_value *arguments,
		       union wasm_value *results);
/* "trap: integer divide by zero" and the call trace, a line a frame. */
struct buf;
void vm_describe_trap(struct vm *vm, enum wasm_trap trap, struct buf *text);
/* The same of a run that may have been elsewhere: no number of a frame is
 * believed. */
struct vm_frame {
	const struct wasm_module *module; /* NULL: a function of the host */
	uint32_t function;		  /* index */
	uint32_t offset;		  /* into the module's bytes */
	bool is_in_text; /* offset: into the text of its code, not yet told */
};
/* total: frames that there were.  message: of WASM_TRAP_host; may be NULL. */
void vm_describe_run(enum wasm_trap trap, const char *message,
		     const struct vm_frame *frames, uint32_t count,
		     uint32_t total, struct buf *text);
/* Those of the module's frames that are in the text of this code object, as
 * offsets into the module's bytes: 0 where that cannot be told.  Up to
 * WASM_TRACE_MOST frames. */
int vm_describe_places(const struct wasm_module *module, const void *image,
		       uint64_t len, struct vm_frame *frames, uint32_t count,
		       struct err *err);

/* "function", "(i32, i64) -> f64"; "memory", "1 16 shared"; ... */
const char *vm_describe_kind(enum wasm_extern_kind kind);
void vm_describe_function(const struct wasm_deftype *type, struct buf *text);
void vm_describe_decl(const struct wasm_module *module,
		      enum wasm_extern_kind kind, uint32_t index,
		      struct buf *text);
void vm_describe_extern(const struct wasm_types *types,
			const struct wasm_extern *what, struct buf *text);
/* With what a terminal would obey, quotes and backslashes as \\XX. */
void vm_describe_name(struct wasm_name name, struct buf *text);

/* A store that runs on this thread; lies on the stack of who entered. */
struct vm_run {
	struct wasm_store *store;
	int64_t deadline_ns; /* 0: none */
	struct vm_run *outer;
	struct vm_run *next, **link; /* of those with a deadline */
	int thread;		     /* that one's */
	bool urgent_blocked;	     /* SIGURG, until the run */
};
void vm_enter(struct vm_run *run, struct wasm_store *store,
	      int64_t deadline_ns);
void vm_leave(struct vm_run *run);
/* From any thread: ends the run of a store that is running, with
 * WASM_TRAP_interrupted, or the next one's first call out.  A thread that has
 * SIGURG blocked, and no deadline, is only stopped when code calls out. */
void vm_interrupt(struct wasm_store *store);

/* The hooks of a process, for those who use the core themselves.  Before
 * them: vm_prepare, which fails where the CPU lacks what the engine is built
 * for, and sets the fault handler. */
extern const struct wasm_host vm_host;
int vm_prepare(struct err *err);
