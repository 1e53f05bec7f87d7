/* SPDX-License-Identifier: Apache-2.0 */
/* Boot, kernel and CPU as two numbers. */
#include "bare/host.h"
#include "bare/crc.h"
#include "bare/raw.h"
#include <cpuid.h>
#include <fcntl.h>
#include <sys/utsname.h>

uint64_t host_boot(void)
{
	char text[64];
	long n = -1,
	     fd = raw_4(openat, AT_FDCWD, "/proc/sys/kernel/random/boot_id",
			O_RDONLY | O_CLOEXEC, 0);

	if (fd >= 0) {
		n = raw_3(read, fd, text, sizeof text);
		raw_1(close, fd);
	}
	return n > 0 ? crc_hash(6, text, n) : 0;
}

static uint64_t host_leaf(uint64_t sum, uint32_t leaf, uint32_t part)
{
	uint32_t is[4] = { 0 };

	__cpuid_count(leaf, part, is[0], is[1], is[2], is[3]);
	/* On which core the question was answered, and what is switched on
	 * for this moment, is not what is asked. */
	if (leaf == 1)
		is[1] &= 0x0000ff00;
	if (leaf == 0xd)
		is[1] = 0;
	return crc_hash(sum, is, sizeof is);
}

/* Vendor, model, features, size of the state that is saved, name. */
static uint64_t host_cpu(uint64_t sum)
{
	static const uint32_t leaf[] = { 0x0,	     0x1,	 0x7,
					 0xd,	     0x80000001, 0x80000002,
					 0x80000003, 0x80000004 };

	for (unsigned i = 0; i < sizeof leaf / sizeof *leaf; i++)
		sum = host_leaf(sum, leaf[i], 0);
	return sum;
}

uint64_t host_identity(void)
{
	struct utsname name;
	uint64_t sum = 7;

	if (raw_1(uname, &name) == 0) {
		sum = crc_hash(sum, name.release, sizeof name.release);
		sum = crc_hash(sum, name.version, sizeof name.version);
		sum = crc_hash(sum, name.machine, sizeof name.machine);
	}
	return host_cpu(sum);
}
