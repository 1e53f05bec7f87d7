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

/* Pages of the process's own in the place of a file's, which is where
 * nothing may be executed. */
static int memory_own(uint8_t *at, uint64_t bytes)
{
	void *new = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (new == MAP_FAILED)
		return -errno;
	memcpy(new, at, bytes);
	if (mprotect(new, bytes, CODE_PROTECTION) == 0 &&
	    mremap(new, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) !=
		    MAP_FAILED)
		return 0;
	munmap(new, bytes);
	return -EACCES;
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
		r = memory_own((uint8_t *)virtual, bytes);
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
	       mmap((void *)memory->virtual, memory->bytes, CODE_PROTECTION,
		    MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd,
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
	if (mprotect(to, memory->bytes, CODE_PROTECTION) == 0)
		return 0;
	r = err_set(err, -errno, "protect a domain's code");
	munmap(to, memory->bytes);
	return r;
}

int cpu_process_show(struct cpu *it, const struct cpu_memory *memory,
		     struct err *err)
{
	struct cpu_process *cpu = cpu_process_of(it);
	struct cpu_process_code *codes;
	int r;

	if (!memory->is_code)
		return 0;
	codes = reallocarray(cpu->codes, cpu->code_count + 1, sizeof(*codes));
	if (!codes)
		return err_set(err, -ENOMEM, "a domain's code");
	cpu->codes = codes;
	r = code_share(memory) ? 0 : code_copy(memory, err);
	if (r >= 0)
		codes[cpu->code_count++] =
			(struct cpu_process_code){ memory->virtual,
						   memory->bytes };
	return r;
}

void cpu_process_hide(struct cpu_process *cpu)
{
	while (cpu->code_count) {
		const struct cpu_process_code *code =
			&cpu->codes[--cpu->code_count];

		munmap((void *)code->virtual, code->bytes);
	}
	free(cpu->codes);
	cpu->codes = NULL;
}
