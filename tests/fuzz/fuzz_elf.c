/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an executable: elf_check_bytes() answers within them. */
#include "launch/elf.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_facts facts;
	struct err err = { 0 };

	if (elf_check_bytes(data, size, &facts, &err) < 0 && !err.text[0])
		__builtin_trap();
	return 0;
}
