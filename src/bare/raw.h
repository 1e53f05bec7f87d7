/* SPDX-License-Identifier: Apache-2.0 */
/* System calls without a libc: results are >= 0 or a negative errno, errno
 * itself is never touched.  For code that runs in the starter (which has no
 * libc), in the shim (inside somebody else's program) and in the keeper. */
#pragma once
#include <asm/unistd.h>

static inline long raw_call(long number, long a, long b, long c, long d, long e,
			    long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#define raw_0(n)       raw_call(__NR_##n, 0, 0, 0, 0, 0, 0)
#define raw_1(n, a)    raw_call(__NR_##n, (long)(a), 0, 0, 0, 0, 0)
#define raw_2(n, a, b) raw_call(__NR_##n, (long)(a), (long)(b), 0, 0, 0, 0)
#define raw_3(n, a, b, c) \
	raw_call(__NR_##n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define raw_4(n, a, b, c, d) \
	raw_call(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define raw_5(n, a, b, c, d, e)                                        \
	raw_call(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), \
		 (long)(e), 0)
#define raw_6(n, a, b, c, d, e, f)                                     \
	raw_call(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), \
		 (long)(e), (long)(f))
