/* SPDX-License-Identifier: Apache-2.0 */
/* The machine stays what it is, on each of its CPUs. */
#include "bare/host.h"
#include "test.h"
#include <sched.h>
#include <unistd.h>

TEST(the_same_on_every_cpu)
{
	uint64_t is = host_identity();
	cpu_set_t all, one;

	CHECK(is != 0);
	CHECK_INT(sched_getaffinity(0, sizeof all, &all), 0);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
		CHECK(host_identity() == is);
	}
	sched_setaffinity(0, sizeof all, &all);
}

TEST(the_boot_stays)
{
	CHECK(host_boot() == host_boot());
	if (access("/proc/sys/kernel/random/boot_id", R_OK) < 0)
		SKIP("no boot_id here");
	CHECK(host_boot() != 0);
}

TEST_MAIN
