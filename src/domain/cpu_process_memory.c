/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory in this process: the host's mappings are the guest's,
 * at the guest's addresses, and have the protection that its tables tell.
 * What is the kernel component's the guest may read, but not write: nothing
 * but that can be had where both are one process; the tables are the host's
 * to write.
 *
 * Code is mapped once more, from the file that it is mapped from, so that all
 * processes have the same pages of it; where there is no file, it is copied. */
#include "base/fd.h"
#include "base/maps.h"
#include "domain/cpu_process.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { CODE_PROTECTION = PROT_READ | PROT_EXEC };

void *cpu_process_place(uint64_t virtual)
{
	return (void *)virtual;
}

/* Where a file's pages must not be executed, the same bytes of a file that
 * may: still no pages of the domain's own. */
static int memory_copy(int fd, uint8_t *at, uint64_t bytes)
{
	int r = fd < 0 ? -errno : fd_pwrite_all(fd, at, bytes, 0, NULL);

	if (r >= 0 && mmap(at, bytes, CODE_PROTECTION, MAP_PRIVATE | MAP_FIXED,
			   fd, 0) == MAP_FAILED)
		r = -errno;
	return r < 0 ? r : 0;
}

static int memory_execute(uint8_t *at, uint64_t bytes)
{
	auto_close int fd = memfd_create("brood-guest", MFD_CLOEXEC);

	if (mprotect(at, bytes, PROT_READ) < 0)
		return -errno;
	return memory_copy(fd, at, bytes);
}

int cpu_process_protect(struct cpu *cpu, uint64_t virtual, uint64_t bytes,
			unsigned access, struct err *err)
{
	int protection = (access & CPU_READ ? PROT_READ : 0) |
			 (access & CPU_WRITE ? PROT_WRITE : 0) |
			 (access & CPU_EXECUTE ? PROT_EXEC : 0);
	int r = mprotect((void *)virtual, bytes, protection) < 0 ? -errno : 0;

	(void)cpu;
	if (r < 0 && access & CPU_EXECUTE)
		r = memory_execute((uint8_t *)virtual, bytes);
	return r < 0 ? err_set(err, r, "protect memory of a domain") : 0;
}

/* ---- code ----------------------------------------------------------------- */

/* The one file that is mapped there, in one piece; NULL: none is. */
static const struct map *code_find_file(const struct maps *maps,
					const struct cpu_memory *memory)
{
	uint64_t at = (uint64_t)memory->at, end = at + memory->bytes;
	const struct map *first = maps_find(maps, at);

	for (const struct map *map = first; at < end; at = map->end) {
		map = maps_find(maps, at);
		if (!map || !map->ino || map->deleted ||
		    map->prot & PROT_WRITE || map->ino != first->ino ||
		    map->dev != first->dev ||
		    map->offset - first->offset != map->start - first->start)
			return NULL;
	}
	return first;
}

static int code_protection(const struct cpu_memory *memory)
{
	return memory->is_data ? PROT_READ : CODE_PROTECTION;
}

static int code_open(const struct map *map)
{
	int fd = open(map->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_dev == map->dev && st.st_ino == map->ino)
		return fd;
	fd_close(&fd);
	return -1;
}

/* false: it is not to be had as a file */
static bool code_share(const struct cpu_memory *memory)
{
	auto_maps struct maps maps = { 0 };
	const struct map *map;
	auto_close int fd = -1;

	if (maps_read(0, &maps, NULL) < 0)
		return false;
	map = code_find_file(&maps, memory);
	fd = map ? code_open(map) : -1;
	return fd >= 0 &&
	       mmap((void *)memory->virtual, memory->bytes,
		    code_protection(memory), MAP_PRIVATE | MAP_FIXED_NOREPLACE,
		    fd,
		    (off_t)((uint64_t)memory->at - map->start + map->offset)) !=
		       MAP_FAILED;
}

static int code_copy(const struct cpu_memory *memory, struct err *err)
{
	void *to =
		mmap((void *)memory->virtual, memory->bytes,
		     PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	int r;

	if (to == MAP_FAILED)
		return err_set(err, -errno, "memory for a domain's code");
	memcpy(to, memory->at, memory->bytes);
	if (mprotect(to, memory->bytes, code_protection(memory)) == 0)
		return 0;
	r = err_set(err, -errno, "protect a domain's code");
	munmap(to, memory->bytes);
	return r;
}

static int code_show(struct cpu_process *cpu, const struct cpu_memory *memory,
		     struct err *err)
{
	struct cpu_process_code *codes =
		reallocarray(cpu->codes, cpu->code_count + 1, sizeof(*codes));
	int r;

	if (!codes)
		return err_set(err, -ENOMEM, "a domain's code");
	cpu->codes = codes;
	r = code_share(memory) ? 0 : code_copy(memory, err);
	if (r >= 0)
		codes[cpu->code_count++] = (struct cpu_process_code){
			.virtual = memory->virtual,
			.bytes = memory->bytes,
			.number = cpu->shown,
		};
	return r;
}

int cpu_process_show(struct cpu *it, const struct cpu_memory *memory,
		     struct err *err)
{
	struct cpu_process *cpu = cpu_process_of(it);
	int r = memory->is_code && !memory->is_placed
			? code_show(cpu, memory, err)
			: 0;

	cpu->shown += r >= 0;
	return r;
}

int cpu_process_hide(struct cpu *it, uint32_t kept, struct err *err)
{
	struct cpu_process *cpu = cpu_process_of(it);

	(void)err;
	while (cpu->code_count &&
	       cpu->codes[cpu->code_count - 1].number >= kept) {
		const struct cpu_process_code *code =
			&cpu->codes[--cpu->code_count];

		munmap((void *)code->virtual, code->bytes);
	}
	if (cpu->shown > kept)
		cpu->shown = kept;
	return 0;
}
