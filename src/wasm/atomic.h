/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: one function for each "=" of operations.tab behind prefix fe, all
 * sequentially consistent.  "p" is the place in host memory, aligned to the
 * access: whoever calls has tested that.  Narrow operands are cut to the
 * access (cmpxchg: the expected value too), narrow results are extended with
 * zeros.
 *
 * wait and notify ask the host (host.h); the memory is passed for the case
 * that it is not shared, where nobody can wait. */
#pragma once
#include "wasm/arith.h"
#include "wasm/instance.h"

/* clang-format off */
#define WASM_ATOMIC_RMW(name, width, value, verb, builtin)                 \
	static inline value op_##name##verb(void *p, value b)              \
	{                                                                  \
		return builtin((u##width *)p, (u##width)b,                 \
			       __ATOMIC_SEQ_CST);                          \
	}
/* "_u" ends the names of narrow ones. */
#define WASM_ATOMIC_ALL(type, size, end, width, value)                       \
	static inline value op_##type##_atomic_load##size##end(const void *p)\
	{                                                                  \
		return __atomic_load_n((const u##width *)p,                \
				       __ATOMIC_SEQ_CST);                  \
	}                                                                  \
	static inline void op_##type##_atomic_store##size(void *p, value b)\
	{                                                                  \
		__atomic_store_n((u##width *)p, (u##width)b,               \
				 __ATOMIC_SEQ_CST);                        \
	}                                                                  \
	WASM_ATOMIC_RMW(type##_atomic_rmw##size, width, value, _add##end,    \
			__atomic_fetch_add)                                \
	WASM_ATOMIC_RMW(type##_atomic_rmw##size, width, value, _sub##end,    \
			__atomic_fetch_sub)                                \
	WASM_ATOMIC_RMW(type##_atomic_rmw##size, width, value, _and##end,    \
			__atomic_fetch_and)                                \
	WASM_ATOMIC_RMW(type##_atomic_rmw##size, width, value, _or##end,     \
			__atomic_fetch_or)                                 \
	WASM_ATOMIC_RMW(type##_atomic_rmw##size, width, value, _xor##end,    \
			__atomic_fetch_xor)                                \
	WASM_ATOMIC_RMW(type##_atomic_rmw##size, width, value, _xchg##end,   \
			__atomic_exchange_n)                               \
	static inline value op_##type##_atomic_rmw##size##_cmpxchg##end(     \
		void *p, value b, value c)                                 \
	{                                                                  \
		u##width seen = (u##width)b;                               \
		__atomic_compare_exchange_n((u##width *)p, &seen,          \
					    (u##width)c, 0,                \
					    __ATOMIC_SEQ_CST,              \
					    __ATOMIC_SEQ_CST);             \
		return seen;                                               \
	}
WASM_ATOMIC_ALL(i32, , , 32, u32)
WASM_ATOMIC_ALL(i32, 8, _u, 8, u32)
WASM_ATOMIC_ALL(i32, 16, _u, 16, u32)
WASM_ATOMIC_ALL(i64, , , 64, u64)
WASM_ATOMIC_ALL(i64, 8, _u, 8, u64)
WASM_ATOMIC_ALL(i64, 16, _u, 16, u64)
WASM_ATOMIC_ALL(i64, 32, _u, 32, u64)
/* clang-format on */

/* A wait on a memory that is not shared is the trap not_shared: the caller's
 * to test, with memory->limits.is_shared. */
static inline u32 op_memory_atomic_wait32(struct wasm_store *store, void *p,
					  u32 expected, s64 timeout_ns)
{
	return store->host->wait(store->host->env, store, p, 32, expected,
				 timeout_ns);
}

static inline u32 op_memory_atomic_wait64(struct wasm_store *store, void *p,
					  u64 expected, s64 timeout_ns)
{
	return store->host->wait(store->host->env, store, p, 64, expected,
				 timeout_ns);
}

static inline u32 op_memory_atomic_notify(struct wasm_store *store,
					  const struct wasm_memory *memory,
					  void *p, u32 count)
{
	if (!memory->limits.is_shared)
		return 0; /* nobody can wait there */
	return store->host->notify(store->host->env, p, count);
}
