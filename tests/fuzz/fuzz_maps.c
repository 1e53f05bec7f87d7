/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as /proc/PID/maps: an error with words, or a table in order whose
 * names can be read. */
#include "base/maps.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_maps struct maps maps = { 0 };
	struct err err = { 0 };
	size_t len = 0;

	if (maps_parse((const char *)data, size, &maps, &err) < 0) {
		if (!err.text[0])
			__builtin_trap();
		return 0;
	}
	for (size_t i = 0; i < maps.count; i++) {
		if (maps.map[i].start >= maps.map[i].end)
			__builtin_trap();
		len += strlen(maps.map[i].name);
	}
	if (len > size)
		__builtin_trap();
	return 0;
}
