/* SPDX-License-Identifier: Apache-2.0 */
/* What runs: a store owns instances and all that they are made of, and is
 * used by one thread at a time.  Everything lives until its store ends, but
 * for objects on the store's heap (heap.h), which are collected.
 *
 *	store  - instances - functions, tables, memories, globals, tags
 *	       - value stack: the frames of all calls, 16-byte slots
 *	       - heap: structures, arrays, exceptions
 */
#pragma once
#include "wasm/error.h"
#include "wasm/host.h"
#include "wasm/module.h"
#include "wasm/value.h"

/* Bits of wasm_store.interrupt: end the run, or ask the host. */
enum { WASM_INTERRUPT = 1, WASM_ASK = 2 };

/* How a call ended.  Traps are values; texts are wasm_trap_text. */
enum wasm_trap {
	WASM_OK,
	WASM_TRAP_unreachable,
	WASM_TRAP_divide_by_zero,
	WASM_TRAP_integer_overflow,
	WASM_TRAP_invalid_conversion,
	WASM_TRAP_memory_bounds,
	WASM_TRAP_table_bounds,
	WASM_TRAP_undefined_element,
	WASM_TRAP_uninitialized_element,
	WASM_TRAP_indirect_type,
	WASM_TRAP_stack,
	WASM_TRAP_null_reference,
	WASM_TRAP_null_function,
	WASM_TRAP_null_struct,
	WASM_TRAP_null_array,
	WASM_TRAP_null_i31,
	WASM_TRAP_null_exception,
	WASM_TRAP_cast,
	WASM_TRAP_array_bounds,
	WASM_TRAP_array_size,
	WASM_TRAP_unaligned_atomic,
	WASM_TRAP_not_shared,
	WASM_TRAP_out_of_memory, /* the host's or the heap's limit */
	WASM_TRAP_fuel,
	WASM_TRAP_deadline,
	WASM_TRAP_interrupted,
	WASM_TRAP_host,	  /* a host function's own; store->message tells */
	WASM_TRAP_thrown, /* an exception nobody caught: store->exception */
	WASM_TRAP_exit,	  /* the program ended itself: store->exit_code */
};
const char *wasm_trap_text(enum wasm_trap trap);

struct jit_code;
struct wasm_instance;
struct wasm_store;
struct wasm_function;
struct wasm_code;

/* A host's function: the arguments are slots[0..params), the results are put
 * to slots[0..results).  At least max(params, results) slots are there.
 * "caller" is NULL where no code called. */
typedef enum wasm_trap wasm_host_call(struct wasm_store *store,
				      struct wasm_function *self,
				      struct wasm_instance *caller,
				      union wasm_value *slots);

/* What a funcref points to. */
struct wasm_function {
	uint32_t type;	/* number in the registry */
	uint32_t index; /* in its instance; a host's: free to use */
	struct wasm_instance *instance; /* NULL: a host's */
	/* Of its instance's module; NULL where that is compiled. */
	struct wasm_code *code;
	/* NULL: interpreted.  Else a host's, or the way into compiled code for
	 * callers that are not ("instance" tells). */
	wasm_host_call *host;
	const void *native; /* the way in for compiled code (docs/jit.md) */
};
/* A host's function with its context; "function" comes first. */
struct wasm_host_function {
	struct wasm_function function;
	void *env;
	void (*drop)(void *env); /* at the store's end; may be NULL */
};

struct wasm_memory {
	uint8_t *base;	/* never moves */
	uint64_t bytes; /* usable now; atomic where shared */
	uint64_t reserve_bytes;
	struct wasm_limits limits; /* in pages */
	bool guarded;	 /* faults instead of checks; never for is64 */
	uint32_t shares; /* stores that hold it (shared memories); atomic */
	void *host_data;
};

struct wasm_table {
	wasm_ref *elems;
	uint64_t length, room;
	struct wasm_limits limits;
	wasm_type type;
};

struct wasm_global {
	union wasm_value value;
	wasm_type type;
	bool is_mutable;
};

struct wasm_tag {
	uint32_t type;
};

struct wasm_extern {
	enum wasm_extern_kind kind;
	union {
		struct wasm_function *function;
		struct wasm_table *table;
		struct wasm_memory *memory;
		struct wasm_global *global;
		struct wasm_tag *tag;
	};
};

/* The context of running code.  The first fields are the ones that handlers
 * touch; own globals stand right behind the struct, so that code knows their
 * offset from it. */
struct wasm_instance {
	int64_t fuel;		       /* left of this slice */
	uint8_t *stack_limit;	       /* of the store's value stack */
	struct wasm_memory **memories; /* [memory_count] */
	struct wasm_table **tables;
	struct wasm_global **imported_globals;
	struct wasm_function **imported_functions;
	struct wasm_store *store;
	/* Of compiled code, docs/jit.md. */
	uint8_t *native_limit;
	uint8_t *memory_base;	  /* of memory 0 */
	const uint32_t *type_ids; /* [type_count] in the registry */
	void (*native_out)(void);
	void (*native_trap)(void);
	void (*native_out_at)(void);
	void (*native_call_other)(void);
	void (*native_call_block)(void);
	const struct jit_code *native; /* NULL: interpreted */
	/* Makes a function one of compiled code; NULL: interpreted. */
	void (*bind_function)(struct wasm_function *function);
	struct wasm_function *own_functions; /* filled as they are named */
	struct wasm_code *codes; /* interp.h; NULL: it is compiled */
	struct wasm_tag **tags;
	const struct wasm_module *module;
	wasm_ref **elems; /* [elem_count] evaluated items; NULL: dropped */
	uint32_t *elem_lengths;
	uint32_t *data_lengths;	    /* 0: dropped */
	struct wasm_instance *next; /* in the store */
	void *host_data;
	struct wasm_global globals[]; /* own ones */
};

enum { WASM_TRACE_MOST = 64 };
struct wasm_frame {
	struct wasm_instance *instance; /* NULL: a host's function */
	uint32_t function;		/* index */
	uint32_t offset;		/* into the module's bytes */
};

struct wasm_store {
	const struct wasm_host *host;
	struct wasm_types *types;
	struct wasm_instance *instances;
	struct wasm_heap *heap;
	uint8_t *stack, *stack_end, *stack_top; /* top: free from here */
	/* Fuel: one unit a call, a loop's turn, and 256 bytes of what works on
	 * many.  < 0: no limit. */
	int64_t fuel_left;
	/* Set by anyone, at any time: the next poll ends the run
	 * (WASM_INTERRUPT), or asks the host whether to go on.  Compiled code
	 * polls when it comes back from calls out; the host stops it. */
	volatile uint32_t interrupt;
	uint32_t depth; /* of calls from the host into code */
	/* The interpreter's: where code stopped. */
	const uint8_t *stop_ip;
	uint8_t *stop_frame;
	struct wasm_instance *stop_instance;
	/* Compiled code's: the lowest word in use of its stack, the frame and
	 * the return address there, while it is left (NULL: none runs); the
	 * thread's stack pointer, while it runs. */
	uint8_t *native_stack, *native_frame;
	const uint8_t *native_pc;
	uint8_t *thread_stack;
	uint8_t *native_base; /* the stack; NULL: none yet */
	uint64_t native_bytes;
	/* What the last trap left. */
	wasm_ref exception;
	int exit_code;
	char message[120];
	uint32_t trace_count, trace_total;
	struct wasm_frame trace[WASM_TRACE_MOST]; /* innermost first */
	/* Roots of a host: chained blocks, see heap.h. */
	struct wasm_roots *roots;
	void *own; /* instance.c's list of what is owned */
	void *host_data;
	int thread; /* the host's: where it runs, 0: nowhere; atomic */
	const void *code_data; /* for host->bind */
};

struct wasm_store_options {
	uint64_t stack_bytes;  /* 0: 8 MiB */
	uint64_t heap_bytes;   /* limit of the collected heap, 0: 1 GiB */
	uint64_t memory_bytes; /* limit of each linear memory, 0: none */
	uint64_t table_items;  /* limit of each table, 0: 10 million */
	int64_t fuel;	       /* 0: no limit */
};
struct wasm_store *wasm_store_make(const struct wasm_host *host,
				   struct wasm_types *types,
				   const struct wasm_store_options *options);
void wasm_store_free(struct wasm_store *store);
/* Does the address lie in a guarded memory that an instance has?  For fault
 * handlers. */
bool wasm_store_guards(const struct wasm_store *store, uint64_t address);

/* Makes an instance: imports are module->import_count externs in order.
 * WASM_OK; a trap of a segment or the start function; or -1 with *error: the
 * imports do not fit or memory is short, and there is no instance.  After a
 * trap *instance is set too, since its functions may be in tables. */
int wasm_instantiate(struct wasm_store *store, const struct wasm_module *module,
		     const struct wasm_extern *imports,
		     struct wasm_instance **instance, struct wasm_error *error);
/* Does "given" fit the module's import number "import"? */
bool wasm_import_matches(const struct wasm_module *module, uint32_t import,
			 const struct wasm_extern *given);
/* The instance's item of an index space. */
struct wasm_extern wasm_instance_extern(struct wasm_instance *instance,
					enum wasm_extern_kind kind,
					uint32_t index);
/* false: there is no such export. */
bool wasm_instance_export(struct wasm_instance *instance, const char *name,
			  uint32_t len, struct wasm_extern *found);
struct wasm_function *wasm_instance_function(struct wasm_instance *instance,
					     uint32_t index);

/* What a host makes, owned by the store.  NULL without memory or where a
 * limit forbids it. */
struct wasm_function *wasm_host_function_new(struct wasm_store *store,
					     uint32_t type,
					     wasm_host_call *call, void *env,
					     void (*drop)(void *env));
struct wasm_memory *wasm_memory_make(struct wasm_store *store,
				     const struct wasm_limits *limits);
struct wasm_table *wasm_table_make(struct wasm_store *store, wasm_type type,
				   const struct wasm_limits *limits,
				   wasm_ref init);
struct wasm_global *wasm_global_make(struct wasm_store *store, wasm_type type,
				     bool is_mutable, union wasm_value value);
struct wasm_tag *wasm_tag_make(struct wasm_store *store, uint32_t type);

/* Pages before, or -1. */
int64_t wasm_memory_extend(struct wasm_store *store, struct wasm_memory *memory,
			   uint64_t pages);
int64_t wasm_table_extend(struct wasm_store *store, struct wasm_table *table,
			  uint64_t more, wasm_ref init);

/* Calls with as many arguments as the type has; results likewise.  May be
 * called from within a host function. */
enum wasm_trap wasm_call(struct wasm_store *store,
			 struct wasm_function *function,
			 const union wasm_value *arguments,
			 union wasm_value *results);

/* Does the reference fit the type (ref.test)? */
bool wasm_ref_matches(struct wasm_store *store, wasm_ref ref, wasm_type type);

/* Values that a constant expression of the instance's module gives. */
enum wasm_trap wasm_evaluate(struct wasm_instance *instance,
			     const struct wasm_expression *expression,
			     union wasm_value *value);

/* memory.init/copy/fill and table.* : bounds checked. */
enum wasm_trap wasm_memory_init(struct wasm_instance *instance, uint32_t memory,
				uint32_t data, uint64_t to, uint64_t from,
				uint64_t len);
enum wasm_trap wasm_memory_move(struct wasm_memory *to_memory, uint64_t to,
				const struct wasm_memory *from_memory,
				uint64_t from, uint64_t len);
enum wasm_trap wasm_memory_fill(struct wasm_memory *memory, uint64_t to,
				uint32_t byte, uint64_t len);
enum wasm_trap wasm_table_init(struct wasm_instance *instance, uint32_t table,
			       uint32_t elem, uint64_t to, uint64_t from,
			       uint64_t len);
enum wasm_trap wasm_table_move(struct wasm_table *to_table, uint64_t to,
			       const struct wasm_table *from_table,
			       uint64_t from, uint64_t len);
enum wasm_trap wasm_table_fill(struct wasm_table *table, uint64_t to,
			       wasm_ref ref, uint64_t len);
void wasm_data_drop(struct wasm_instance *instance, uint32_t data);
void wasm_elem_drop(struct wasm_instance *instance, uint32_t elem);
