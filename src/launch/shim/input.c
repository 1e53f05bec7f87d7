/* SPDX-License-Identifier: Apache-2.0 */
/* The stop "stdin": the first read of descriptor 0, seen at read, readv and
 * at the functions of stdio that take bytes from a stream.  C++ streams come
 * by way of these.  Not seen: wide characters, mmap, splice and the like,
 * and system calls made without libc; such a program never stops, and its
 * template is given up at the deadline. */
#undef _FORTIFY_SOURCE
#include <features.h>
#undef __USE_EXTERN_INLINES /* these are to be defined here */
#include "launch/shim/shim.h"
#include <unistd.h>

static inline bool input_awaited(void)
{
	return __builtin_expect(
		shim.phase == SHIM_INSIDE && shim.stop == SHIM_AT_INPUT, 0);
}

static inline void input_seen_fd(int fd)
{
	if (input_awaited() && fd == 0)
		stop_here();
}

static inline void input_seen(FILE *stream)
{
	if (input_awaited() && stream && fileno(stream) == 0)
		stop_here();
}

/* The symbol is given by hand: the headers know several of these functions
 * under another one. */
#define INPUT(result, name, parameters, seen, arguments)           \
	SHIM_EXPORT result input_##name parameters __asm__(#name); \
	result input_##name parameters                             \
	{                                                          \
		seen;                                              \
		return shim_real()->name arguments;                \
	}

/* clang-format off */
INPUT(ssize_t, read, (int fd, void *to, size_t len),
      input_seen_fd(fd), (fd, to, len))
INPUT(ssize_t, __read_chk, (int fd, void *to, size_t len, size_t room),
      input_seen_fd(fd), (fd, to, len, room))
INPUT(ssize_t, readv, (int fd, const struct iovec *parts, int count),
      input_seen_fd(fd), (fd, parts, count))

INPUT(int, getc, (FILE *stream), input_seen(stream), (stream))
INPUT(int, _IO_getc, (FILE *stream), input_seen(stream), (stream))
INPUT(int, fgetc, (FILE *stream), input_seen(stream), (stream))
INPUT(int, getchar, (void), input_seen(stdin), ())
INPUT(int, getc_unlocked, (FILE *stream), input_seen(stream), (stream))
INPUT(int, fgetc_unlocked, (FILE *stream), input_seen(stream), (stream))
INPUT(int, getchar_unlocked, (void), input_seen(stdin), ())
INPUT(int, __uflow, (FILE *stream), input_seen(stream), (stream))

INPUT(char *, fgets, (char *to, int len, FILE *stream),
      input_seen(stream), (to, len, stream))
INPUT(char *, fgets_unlocked, (char *to, int len, FILE *stream),
      input_seen(stream), (to, len, stream))
INPUT(char *, __fgets_chk, (char *to, size_t room, int len, FILE *stream),
      input_seen(stream), (to, room, len, stream))
INPUT(size_t, fread, (void *to, size_t size, size_t count, FILE *stream),
      input_seen(stream), (to, size, count, stream))
INPUT(size_t, fread_unlocked,
      (void *to, size_t size, size_t count, FILE *stream),
      input_seen(stream), (to, size, count, stream))
INPUT(size_t, __fread_chk,
      (void *to, size_t room, size_t size, size_t count, FILE *stream),
      input_seen(stream), (to, room, size, count, stream))
INPUT(ssize_t, getline, (char **line, size_t *room, FILE *stream),
      input_seen(stream), (line, room, stream))
INPUT(ssize_t, getdelim, (char **line, size_t *room, int end, FILE *stream),
      input_seen(stream), (line, room, end, stream))
INPUT(ssize_t, __getdelim, (char **line, size_t *room, int end, FILE *stream),
      input_seen(stream), (line, room, end, stream))

INPUT(int, vscanf, (const char *format, va_list list),
      input_seen(stdin), (format, list))
INPUT(int, vfscanf, (FILE *stream, const char *format, va_list list),
      input_seen(stream), (stream, format, list))
INPUT(int, __isoc99_vscanf, (const char *format, va_list list),
      input_seen(stdin), (format, list))
INPUT(int, __isoc99_vfscanf, (FILE *stream, const char *format, va_list list),
      input_seen(stream), (stream, format, list))
/* clang-format on */

#define SCANF(name, parameters, last, seen, call, arguments)    \
	SHIM_EXPORT int input_##name parameters __asm__(#name); \
	int input_##name parameters                             \
	{                                                       \
		va_list list;                                   \
		int result;                                     \
                                                                \
		seen;                                           \
		va_start(list, last);                           \
		result = shim_real()->call arguments;           \
		va_end(list);                                   \
		return result;                                  \
	}

/* clang-format off */
SCANF(scanf, (const char *format, ...), format, input_seen(stdin),
      vscanf, (format, list))
SCANF(fscanf, (FILE *stream, const char *format, ...), format,
      input_seen(stream), vfscanf, (stream, format, list))
SCANF(__isoc99_scanf, (const char *format, ...), format, input_seen(stdin),
      __isoc99_vscanf, (format, list))
SCANF(__isoc99_fscanf, (FILE *stream, const char *format, ...), format,
      input_seen(stream), __isoc99_vfscanf, (stream, format, list))
/* clang-format on */
