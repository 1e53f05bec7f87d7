/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for the shim.  The marker is a file in memory that nothing is
 * written to, but with RAM_FILE: the hypervisor opens it by its number under /proc/self/fd. */
#include "machine/memory.h"
#include "base/fd.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void memory_fini(struct memory *memory)
{
	if (memory->plan)
		munmap(memory->plan, memory->plan_bytes);
	fd_close(&memory->marker);
	fd_close(&memory->plan_fd);
	*memory = MEMORY_NONE;
}

static int memory_file(const char *name, uint64_t bytes, int *fd,
		       struct err *err)
{
	*fd = memfd_create(name, MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, (off_t)bytes) < 0)
		return err_set(err, -errno, "make a file in memory");
	return 0;
}

static void memory_set_runs(struct ram_plan *plan, const struct tip *tip)
{
	struct tip_run *runs = (void *)(plan + 1);

	if (!tip) {
		plan->run_count = 1;
		runs[0] = (struct tip_run){ .bytes = plan->ram_bytes,
					    .layer = TIP_ZERO };
		return;
	}
	plan->run_count = tip->run_count;
	memcpy(runs, tip->runs, tip->run_count * sizeof(*runs));
	plan->file_count = tip->layer_count;
	for (uint32_t i = 0; i < tip->layer_count; i++)
		plan->files[i] = tip->layers[i].fd;
}

int memory_make(const struct tip *tip, uint64_t ram_bytes,
		enum ram_plan_mode mode, struct memory *memory, struct err *err)
{
	uint32_t runs = tip ? tip->run_count : 1;
	struct stat st;
	void *at;
	int rc;

	*memory = MEMORY_NONE;
	memory->plan_bytes =
		sizeof(struct ram_plan) + runs * sizeof(struct tip_run);
	rc = memory_file("brood-ram", ram_bytes, &memory->marker, err);
	if (rc >= 0)
		rc = memory_file("brood-plan", memory->plan_bytes,
				 &memory->plan_fd, err);
	if (rc >= 0 && fstat(memory->marker, &st) < 0)
		rc = err_set(err, -errno, "look at a file in memory");
	if (rc < 0) {
		memory_fini(memory);
		return rc;
	}
	at = mmap(NULL, memory->plan_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		  memory->plan_fd, 0);
	if (at == MAP_FAILED) {
		rc = err_set(err, -errno, "map a plan of memory");
		memory_fini(memory);
		return rc;
	}
	memory->plan = at;
	*memory->plan = (struct ram_plan){ .magic = RAM_PLAN_MAGIC,
					   .version = RAM_PLAN_VERSION,
					   .mode = mode,
					   .ram_bytes = ram_bytes,
					   .marker_dev = st.st_dev,
					   .marker_ino = st.st_ino };
	memory_set_runs(memory->plan, tip);
	return 0;
}

void memory_reset(struct memory *memory)
{
	memory->plan->state = RAM_WAITING;
	memory->plan->error = 0;
	memory->plan->at = 0;
}

int memory_state(const struct memory *memory, const struct tip *tip,
		 struct err *err)
{
	const struct ram_plan *plan = memory->plan;
	uint32_t state = __atomic_load_n(&plan->state, __ATOMIC_ACQUIRE), layer;

	if (state == RAM_WAITING || state == RAM_COMPOSED)
		return state == RAM_COMPOSED;
	layer = plan->failed_run < plan->run_count
			? ((const struct tip_run *)(plan + 1))[plan->failed_run]
				  .layer
			: TIP_ZERO;
	return err_set(err, plan->error < 0 ? plan->error : -EIO,
		       "put the memory together at piece %u of %u (layer "
		       "%.16s)",
		       plan->failed_run, plan->run_count,
		       tip && layer < tip->layer_count ? tip->layers[layer].hex
						       : "of zeros");
}
