/* SPDX-License-Identifier: Apache-2.0 */
/* What this CPU has, as the C library knows it: apart from the rest, so that
 * where there is none another one can say it. */
#include "jit/jit.h"

/* What the compiler uses; of the others code would only differ in its key.
 * As the process's begin has asked the CPU, and whether the system keeps the
 * registers: asking again is slow where a hypervisor answers. */
uint32_t jit_features(void)
{
	uint32_t features = 0;

	if (__builtin_cpu_supports("avx"))
		features |= CODE_AVX;
	if (__builtin_cpu_supports("bmi"))
		features |= CODE_BMI1;
	if (__builtin_cpu_supports("bmi2"))
		features |= CODE_BMI2;
	if (__builtin_cpu_supports("lzcnt"))
		features |= CODE_LZCNT;
	return features;
}
