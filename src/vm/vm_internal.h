/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of src/vm share: the hooks that struct vm_host is made of,
 * and the run that is innermost on this thread. */
#pragma once
#include "vm/vm.h"
#include <sys/types.h>

/* vm_fault.c */
void vm_fault_install(void);
extern __thread struct vm_run *vm_running;

/* Looks at a thread that may run compiled code: is it to go on? */
void vm_stop_install(void);
void vm_stop(pid_t thread);

/* vm_memory.c */
int vm_memory_make(void *env, struct wasm_memory *memory,
		   const struct wasm_module *module, uint32_t index);
int vm_memory_grow(void *env, struct wasm_memory *memory, uint64_t new_bytes);
void vm_memory_drop(void *env, struct wasm_memory *memory);

/* vm_pages.c: pages of memories that are not zero, as runs. */
struct vm_pages {
	struct code_run *runs;
	uint32_t count, room;
	uint64_t page_count; /* of all runs, once they are settled */
};
int vm_pages_add(struct vm_pages *pages, uint32_t memory, uint64_t page);
/* Those that hold a byte that is not 0 of these, which come at "at". */
int vm_pages_add_bytes(struct vm_pages *pages, uint32_t memory, uint64_t at,
		       const uint8_t *bytes, uint64_t len);
void vm_pages_settle(struct vm_pages *pages);
void vm_pages_fini(struct vm_pages *pages);
bool vm_pages_are_zero(const uint8_t *bytes, uint64_t len);
/* Copies bytes that come at "at" in the memory to where the runs, settled,
 * have their pages; what lies in no run is left out. */
void vm_pages_put(const struct code_run *runs, uint32_t count, uint8_t *to,
		  uint32_t memory, uint64_t at, const uint8_t *bytes,
		  uint64_t len);

/* vm_image.c: the active data segments of a module's memory, as pages that
 * are mapped into each instance.  NULL: there is none, or it does not pay. */
struct vm_image;
const struct vm_image *vm_image_of(const struct wasm_module *module,
				   uint32_t index);
/* 0, or a negative errno, and then the memory may have holes. */
int vm_image_map(const struct vm_image *image, struct wasm_memory *memory);
/* The pages that the module's memories begin with; none, where there would
 * be too many runs, or what is wrong with a segment has to be seen. */
void vm_image_pages(const struct wasm_module *module, struct vm_pages *pages);
void vm_image_put(const struct wasm_module *module, const struct code_run *runs,
		  uint32_t count, uint8_t *to);

/* vm_keep.c: anonymous mappings of "len" bytes of which the first "open" can
 * be read and written, and are zero.  NULL: none is kept. */
uint8_t *vm_keep_take(uint64_t len, uint64_t open);
/* Takes the mapping; has_files: parts of what is open are no longer
 * anonymous. */
void vm_keep_give(uint8_t *base, uint64_t len, uint64_t open, bool has_files);

/* vm.c: vm_instantiate, from a state where there is one. */
struct wasm_state;
int vm_instantiate_from(struct vm *vm, const struct wasm_module *module,
			const struct wasm_state *from,
			struct wasm_instance **instance, struct err *err);

/* vm_code.c: compiles the instance's module, or finds that it was. */
int vm_code_bind(void *env, struct wasm_instance *instance);

/* Code that the cache has of options.code.source, with the module's bytes;
 * NULL: none.  It is attached to the module that is made of them. */
struct vm_code;
struct vm_code *vm_code_find_known(struct vm *vm);
const void *vm_code_module_bytes(const struct vm_code *code, uint64_t *len);
/* Compiles the module, whose bodies need not be valid.  false: they are not,
 * or it could not be done. */
bool vm_code_prepare(struct vm *vm, const struct wasm_module *module);
void vm_code_attach(struct vm_code *code, struct wasm_module *module);
void vm_code_forget(struct vm_code *code);
/* An object of the module that is a file with pages; NULL: there is none. */
struct cache_object *vm_code_object(const struct wasm_module *module);

/* vm_alarm.c: when the run's deadline is over, its store is made to ask. */
void vm_alarm_set(struct vm_run *run);
void vm_alarm_clear(struct vm_run *run);

/* vm_wait.c */
uint32_t vm_wait(void *env, struct wasm_store *store, void *at, unsigned bits,
		 uint64_t expected, int64_t timeout_ns);
uint32_t vm_notify(void *env, void *at, uint32_t count);
void vm_queues_fork_begin(void);
void vm_queues_fork_parent(void);
void vm_queues_fork_child(void);

/* vm_host.c */
void vm_fork_prepare(void); /* locks are free in the child of a fork */
void vm_lock(void *env);
void vm_unlock(void *env);
/* The run of this store that is innermost, NULL where it was not entered. */
const struct vm_run *vm_run_of(const struct wasm_store *store);
