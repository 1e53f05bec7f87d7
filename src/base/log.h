/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for people on stderr, and events for tests: one JSON line for each
 * step ("serve.ready", "image.publish") appended to the file that
 * BROOD_EVENTS names, written with one write() so that processes can share
 * the file. */
#pragma once
#include <stdint.h>

void log_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_event(const char *event, const char *format, ...)
	__attribute__((format(printf, 2, 3))); /* format: JSON members */
