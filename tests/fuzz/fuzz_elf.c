/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an executable: elf_check_bytes() and needed_elf_read() answer
 * within them. */
#include "launch/elf.h"
#include "tree/needed.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const char *text, const uint8_t *data, size_t size)
{
	const char *from = (const char *)data;

	if (text && (text < from || text + strlen(text) >= from + size))
		__builtin_trap();
}

static void read_needs(const uint8_t *data, size_t size)
{
	struct needed_elf elf;

	if (!needed_elf_read(data, size, &elf))
		return;
	use(elf.interpreter, data, size);
	use(elf.run_path, data, size);
	for (int i = 0; i < elf.count; i++)
		use(elf.needs[i], data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_facts facts;
	struct err err = { 0 };

	if (elf_check_bytes(data, size, &facts, &err) < 0 && !err.text[0])
		__builtin_trap();
	read_needs(data, size);
	return 0;
}
