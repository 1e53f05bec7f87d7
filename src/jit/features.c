/* SPDX-License-Identifier: Apache-2.0 */
/* What this CPU has, as the C library knows it: apart from the rest, so that
 * where there is none another one can say it. */
#include "jit/jit.h"

/* As the process's begin has asked the CPU, and whether the system keeps the
 * registers: asking again is slow where a hypervisor answers. */
uint32_t jit_cpu_features(void)
{
	uint32_t features = 0;

	if (__builtin_cpu_supports("avx"))
		features |= CODE_AVX;
	if (__builtin_cpu_supports("avx2"))
		features |= CODE_AVX2;
	if (__builtin_cpu_supports("bmi"))
		features |= CODE_BMI1;
	if (__builtin_cpu_supports("bmi2"))
		features |= CODE_BMI2;
	if (__builtin_cpu_supports("lzcnt"))
		features |= CODE_LZCNT;
	if (__builtin_cpu_supports("fma"))
		features |= CODE_FMA;
	if (__builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		features |= CODE_AVX512;
	return features;
}

/* By the others code would only differ in its key. */
uint32_t jit_features(void)
{
	return jit_cpu_features() &
	       (CODE_AVX | CODE_AVX2 | CODE_BMI1 | CODE_BMI2 | CODE_LZCNT);
}
