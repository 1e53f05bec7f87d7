/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdint.h>

uint64_t clock_ns(void);      /* monotonic */
uint64_t clock_wall_ns(void); /* since 1970 */
void clock_sleep_ms(int ms);
/* A deadline: a monotonic time; < 0 ms means none. */
uint64_t clock_deadline(int ms);
int clock_left_ms(uint64_t deadline); /* for poll: -1 none, 0 passed */
