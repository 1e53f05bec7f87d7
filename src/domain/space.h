/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a domain: regions, which are windows of guest-virtual
 * addresses that open as they grow, made of parts, which are pieces of
 * guest-physical memory.
 *
 *	region   | open            |                      reserve |
 *	parts    |part  |part         |
 *	host     at | read, write  | no access ...
 *
 * A part is a memory slot of a virtual machine; making one costs as much as
 * twenty system calls, so that a region that grows gets parts that are larger
 * each time.  The guest's tables show what is open and nothing beyond. */
#pragma once
#include "domain/cpu.h"
#include "domain/tables.h"

struct space_region {
	uint64_t virtual, reserve;
	uint8_t *at;	 /* at a multiple of a large page */
	void *mapped;	 /* where the reservation begins ... */
	uint64_t length; /* ... and its length */
	uint64_t open;	 /* bytes that the guest sees: whole pages */
	uint64_t bytes;	 /* what it has asked for, open at most */
	uint64_t backed; /* of parts */
	bool is_dropped;
};
struct space_part {
	uint64_t physical, bytes;
	uint64_t offset; /* in its region */
	uint32_t region;
	uint32_t reserved;
};
/* The system with the heap behind it; then one each. */
enum { SPACE_SYSTEM, SPACE_WINDOWS };

struct space {
	const struct cpu_kind *kind;
	struct cpu *cpu; /* NULL: not yet */
	struct tables tables;
	struct space_region *regions;
	struct space_part *parts;
	uint32_t region_count, region_room, part_count, part_room;
	uint64_t physical; /* the next part's */
	uint64_t code;	   /* bytes of code that are shown */
	uint64_t files;	   /* of an image of files, 0: none is shown ... */
	void *files_at;	   /* ... and where it is mapped, by files_length */
	uint64_t files_length;
};

/* With the system's region, and behind it an empty heap.  "kind" places. */
int space_init(struct space *space, const struct cpu_kind *kind,
	       struct err *err);
void space_fini(struct space *space);
/* The same, but that its memory stays, until the process exits. */
void space_forget(struct space *space);
/* The parts that there are, and all later ones, are this CPU's. */
int space_attach(struct space *space, struct cpu *cpu, struct err *err);
/* A region more: the next window.  Its number in regions. */
int space_add(struct space *space, uint64_t reserve, struct err *err);
/* The last one, of which nothing is open, is gone. */
void space_drop_last(struct space *space);
/* Opens the region so far; what is open stays. */
int space_open(struct space *space, uint32_t region, uint64_t bytes,
	       struct err *err);
/* Memory that is large comes in large pages: to see a page for the first time
 * costs a CPU of KVM's some 5 us, large or not.  Small memories would waste
 * them. */
void space_want_large(const struct space_region *region);
/* Read-only bytes for the code window; their guest-virtual address.  "at"
 * stays where it is, and is followed by zeros or nothing up to a page. */
int space_show_code(struct space *space, const uint8_t *at, uint64_t bytes,
		    uint64_t *virtual, struct err *err);
/* The same, of what is no code. */
int space_show_data(struct space *space, const uint8_t *at, uint64_t bytes,
		    uint64_t *virtual, struct err *err);
/* An image of files, read-only at GUEST_FILES_VA: the file's own pages, which
 * all who map them share.  Nobody here reads them.  The file may become shorter
 * at any time. */
int space_show_files(struct space *space, int fd, uint64_t bytes,
		     struct err *err);
/* What a space was at some time, to which space_close_again goes back: regions
 * and parts that came later are gone, and what had more open is closed; that
 * the tables show less is the caller's business, before. */
struct space_mark {
	const struct space_region *regions; /* open, bytes, backed are of use */
	uint32_t region_count, part_count;
	uint64_t physical, code, files;
	uint32_t tables;
	uint32_t shown; /* parts, codes and files */
};
int space_close_again(struct space *space, const struct space_mark *mark,
		      struct err *err);
/* For another memory in the same machine: no region is left but the system's,
 * of which nothing is there.  1 where its part's slot is kept, since the next
 * one has as many bytes; 0: no slot is left. */
int space_empty(struct space *space, uint64_t first_bytes, struct err *err);
/* The parts from this one on are shown to the CPU. */
int space_show_from(struct space *space, uint32_t first, struct err *err);
/* Where a linear memory is, NULL: there is no such window. */
struct space_region *space_window(const struct space *space, uint64_t window);

static inline uint8_t *space_system(const struct space *space)
{
	return space->regions[SPACE_SYSTEM].at;
}
static inline struct guest_call *space_call(const struct space *space)
{
	return (struct guest_call *)(space_system(space) + GUEST_CALL_AT);
}
static inline uint8_t *space_data(const struct space *space)
{
	return space_system(space) + GUEST_CALL_AT + GUEST_PAGE;
}
