/* SPDX-License-Identifier: Apache-2.0 */
/* A host for tests of the engine's parts: it counts what is held, fails the
 * n-th call on demand, and keeps memories in reserved address space. */
#pragma once
#include "wasm/instance.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct test_host {
	struct wasm_host hooks;
	int64_t blocks, bytes, most_bytes; /* held now, at the most */
	int64_t memories;
	int64_t fail_at;  /* the n-th call from now on fails; 0: none */
	bool places_data; /* memories come with "placed" in them */
	pthread_mutex_t mutex;
};

static inline bool test_host_fails(struct test_host *host)
{
	return host->fail_at > 0 && --host->fail_at == 0;
}

static inline void *test_host_allocate(void *env, size_t len)
{
	struct test_host *host = env;
	void *block = test_host_fails(host) ? NULL : calloc(1, len);

	if (!block)
		return NULL;
	host->blocks++;
	host->bytes += (int64_t)len;
	if (host->bytes > host->most_bytes)
		host->most_bytes = host->bytes;
	return block;
}

static inline void test_host_release(void *env, void *block, size_t len)
{
	struct test_host *host = env;

	free(block);
	host->blocks--;
	host->bytes -= (int64_t)len;
}

static inline int test_host_memory_grow(void *env, struct wasm_memory *memory,
					uint64_t new_bytes)
{
	uint64_t len = (new_bytes + 4095) & ~4095ull;

	if (test_host_fails(env))
		return -1;
	return len ? mprotect(memory->base, len, PROT_READ | PROT_WRITE) : 0;
}

static inline int test_host_memory_make(void *env, struct wasm_memory *memory,
					const struct wasm_module *module,
					uint32_t index)
{
	struct test_host *host = env;
	uint64_t len = memory->reserve_bytes + 4096;
	void *base;

	(void)index;
	if (test_host_fails(host))
		return -1;
	base = mmap(NULL, len, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -1;
	memory->base = base;
	if (test_host_memory_grow(host, memory, memory->bytes) < 0) {
		munmap(base, len);
		return -1;
	}
	host->memories++;
	if (!host->places_data || !module)
		return 0;
	memcpy(memory->base, "placed", 6);
	return 1;
}

static inline void test_host_memory_drop(void *env, struct wasm_memory *memory)
{
	struct test_host *host = env;

	munmap(memory->base, memory->reserve_bytes + 4096);
	host->memories--;
}

static inline void test_host_lock(void *env)
{
	struct test_host *host = env;

	pthread_mutex_lock(&host->mutex);
}

static inline void test_host_unlock(void *env)
{
	struct test_host *host = env;

	pthread_mutex_unlock(&host->mutex);
}

static inline void test_host_init(struct test_host *host)
{
	*host = (struct test_host){
		.hooks = {
			.env = host,
			.allocate = test_host_allocate,
			.release = test_host_release,
			.memory_make = test_host_memory_make,
			.memory_grow = test_host_memory_grow,
			.memory_drop = test_host_memory_drop,
			.lock = test_host_lock,
			.unlock = test_host_unlock,
		},
	};
	pthread_mutex_init(&host->mutex, NULL);
}
