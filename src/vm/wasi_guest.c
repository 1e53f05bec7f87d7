/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory, as calls of WASI read and write it.  Every address and
 * length that a guest gives is checked here.  Other threads of the guest may
 * write while we read: each thing is copied once, then looked at. */
#include "vm/wasi_internal.h"
#include <string.h>

void *wasi_guest(const struct wasi_call *call, uint32_t at, uint64_t len)
{
	const struct wasi_caller *caller = call->caller;

	if (at > caller->bytes || len > caller->bytes - at)
		return NULL;
	return caller->base + at;
}

int wasi_guest_get(const struct wasi_call *call, uint32_t at, void *to,
		   uint32_t len)
{
	const void *from = wasi_guest(call, at, len);

	if (!from)
		return WASI_EFAULT;
	memcpy(to, from, len);
	/* What was copied is not read again from where it lay. */
	__asm__ volatile("" ::: "memory");
	return 0;
}

int wasi_guest_put(const struct wasi_call *call, uint32_t at, const void *from,
		   uint32_t len)
{
	void *to = wasi_guest(call, at, len);

	if (!to)
		return WASI_EFAULT;
	memcpy(to, from, len);
	return 0;
}

int wasi_guest_put_u32(const struct wasi_call *call, uint32_t at,
		       uint32_t value)
{
	return wasi_guest_put(call, at, &value, sizeof value);
}

int wasi_guest_put_u64(const struct wasi_call *call, uint32_t at,
		       uint64_t value)
{
	return wasi_guest_put(call, at, &value, sizeof value);
}

int wasi_guest_path(const struct wasi_call *call, uint32_t at, uint32_t len,
		    char path[PATH_MAX])
{
	int e;

	if (!wasi_guest(call, at, len))
		return WASI_EFAULT;
	if (len >= PATH_MAX)
		return WASI_ENAMETOOLONG;
	e = wasi_guest_get(call, at, path, len);
	if (e)
		return e;
	path[len] = 0;
	return strlen(path) == len ? 0 : WASI_EINVAL;
}

int wasi_guest_vectors(const struct wasi_call *call, uint32_t at,
		       uint32_t count, struct wasi_vectors *vectors)
{
	struct wasi_iovec one;

	if (!wasi_guest(call, at, (uint64_t)count * sizeof one))
		return WASI_EFAULT;
	if (count > WASI_VECTORS_MOST)
		count = WASI_VECTORS_MOST;
	vectors->first = 0;
	vectors->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct iovec *item = &vectors->items[i];

		wasi_guest_get(call, at + i * sizeof one, &one, sizeof one);
		item->iov_base = wasi_guest(call, one.at, one.len);
		item->iov_len = one.len;
		if (!item->iov_base)
			return WASI_EFAULT;
	}
	return 0;
}
