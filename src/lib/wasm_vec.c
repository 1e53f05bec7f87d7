/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of the C API: an array and its length.  Without memory a vector
 * comes out empty. */
#include "lib/wasm_api.h"
#include <stdlib.h>

static void *vec_allocate(size_t *size, size_t each)
{
	void *data = *size ? calloc(*size, each) : NULL;

	if (!data)
		*size = 0;
	return data;
}

/* A vector of things that KEEP copies and DROP ends; both get the address of
 * an element. */
#define VEC(name, type, KEEP, DROP)                                        \
	void wasm_##name##_vec_new_empty(wasm_##name##_vec_t *out)         \
	{                                                                  \
		out->size = 0;                                             \
		out->data = NULL;                                          \
	}                                                                  \
	void wasm_##name##_vec_new_uninitialized(wasm_##name##_vec_t *out, \
						 size_t size)              \
	{                                                                  \
		out->size = size;                                          \
		out->data = vec_allocate(&out->size, sizeof(type));        \
	}                                                                  \
	void wasm_##name##_vec_new(wasm_##name##_vec_t *out, size_t size,  \
				   type const data[])                      \
	{                                                                  \
		wasm_##name##_vec_new_uninitialized(out, size);            \
		for (size_t i = 0; i < out->size; i++)                     \
			out->data[i] = data[i];                            \
	}                                                                  \
	void wasm_##name##_vec_copy(wasm_##name##_vec_t *out,              \
				    const wasm_##name##_vec_t *from)       \
	{                                                                  \
		wasm_##name##_vec_new_uninitialized(out, from->size);      \
		for (size_t i = 0; i < out->size; i++)                     \
			KEEP(&out->data[i], &from->data[i]);               \
	}                                                                  \
	void wasm_##name##_vec_delete(wasm_##name##_vec_t *vec)            \
	{                                                                  \
		for (size_t i = 0; i < vec->size; i++)                     \
			DROP(&vec->data[i]);                               \
		free(vec->data);                                           \
		wasm_##name##_vec_new_empty(vec);                          \
	}

/* Of pointers to what has copy and delete of its own. */
#define VEC_OF_POINTERS(name)                                   \
	static void keep_##name(wasm_##name##_t **to,           \
				wasm_##name##_t *const *from)   \
	{                                                       \
		*to = *from ? wasm_##name##_copy(*from) : NULL; \
	}                                                       \
	static void drop_##name(wasm_##name##_t **at)           \
	{                                                       \
		wasm_##name##_delete(*at);                      \
	}                                                       \
	VEC(name, wasm_##name##_t *, keep_##name, drop_##name)

static void keep_byte(byte_t *to, const byte_t *from)
{
	*to = *from;
}

static void drop_byte(byte_t *at)
{
	(void)at;
}

VEC(byte, wasm_byte_t, keep_byte, drop_byte)
VEC(val, wasm_val_t, wasm_val_copy, wasm_val_delete)
VEC_OF_POINTERS(valtype)
VEC_OF_POINTERS(functype)
VEC_OF_POINTERS(globaltype)
VEC_OF_POINTERS(tabletype)
VEC_OF_POINTERS(memorytype)
VEC_OF_POINTERS(tagtype)
VEC_OF_POINTERS(externtype)
VEC_OF_POINTERS(importtype)
VEC_OF_POINTERS(exporttype)
VEC_OF_POINTERS(frame)
VEC_OF_POINTERS(extern)
