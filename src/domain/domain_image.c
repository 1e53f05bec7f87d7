/* SPDX-License-Identifier: Apache-2.0 */
/* The system's part of a fresh domain: the guest's image, its descriptors,
 * and tables that show ring 3 what it may see.
 *
 * CLAIM 3.5 3.6 */
#include "domain/internal.h"
#include <errno.h>
#include <string.h>

extern const uint8_t guest_image_bytes[], guest_image_bytes_end[];

/* What is built into this program; asserted by tests. */
const struct guest_image *domain_image(uint64_t *bytes)
{
	*bytes = (uint64_t)(guest_image_bytes_end - guest_image_bytes);
	return (const struct guest_image *)guest_image_bytes;
}

void domain_image_hash(uint8_t hash[DOMAIN_STATE_HASH])
{
	static const uint8_t known[DOMAIN_STATE_HASH] = {
#include "domain/guest_hash.inc"
	};

	memcpy(hash, known, sizeof(known));
}

struct domain_piece {
	uint64_t at, end;
	unsigned flags;
};

enum { IMAGE_PIECES = 5, SYSTEM_PIECES = 5 };

static const struct domain_piece domain_system[SYSTEM_PIECES] = {
	{ GUEST_DESCRIPTORS_AT, GUEST_DOUBLE_STACK_AT + GUEST_PAGE,
	  TABLES_KERNEL | TABLES_WRITE },
	{ GUEST_CALL_AT, GUEST_CALL_AT + GUEST_CALL_BYTES, TABLES_WRITE },
	{ GUEST_RING_AT, GUEST_RING_AT + GUEST_RING_BYTES, TABLES_WRITE },
	{ GUEST_STACK_AT, GUEST_STACK_AT + GUEST_STACK_BYTES, TABLES_WRITE },
	{ GUEST_TRAP_STACK_AT, GUEST_TRAP_STACK_AT + GUEST_TRAP_STACK_BYTES,
	  TABLES_WRITE },
};

static void domain_image_pieces(struct domain_piece pieces[IMAGE_PIECES])
{
	const uint64_t at = GUEST_IMAGE_AT;
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);

	pieces[0] = (struct domain_piece){ at, at + image->kernel_at, 0 };
	pieces[1] = (struct domain_piece){ at + image->kernel_at,
					   at + image->user_at,
					   TABLES_KERNEL | TABLES_EXECUTE };
	pieces[2] = (struct domain_piece){ at + image->user_at,
					   at + image->constants_at,
					   TABLES_EXECUTE };
	pieces[3] = (struct domain_piece){ at + image->constants_at,
					   at + image->data_at, 0 };
	pieces[4] = (struct domain_piece){ at + image->data_at,
					   at + image->end_at, TABLES_WRITE };
}

static int domain_map(struct space *space, const struct domain_piece *pieces,
		      size_t count, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < count; i++)
		r = tables_map(&space->tables, GUEST_VA + pieces[i].at,
			       pieces[i].at, pieces[i].end - pieces[i].at,
			       pieces[i].flags, err);
	return r;
}

static int domain_map_system(struct space *space, struct err *err)
{
	struct domain_piece image[IMAGE_PIECES];
	int r;

	domain_image_pieces(image);
	r = domain_map(space, image, IMAGE_PIECES, err);
	if (r >= 0)
		r = domain_map(space, domain_system, SYSTEM_PIECES, err);
	if (r < 0)
		return r;
	return tables_map(&space->tables, GUEST_BELL_VA, GUEST_BELL_AT,
			  GUEST_PAGE, TABLES_WRITE, err);
}

int domain_make_system(struct space *space, struct err *err)
{
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);

	if (bytes > GUEST_IMAGE_MOST || image->end_at > GUEST_IMAGE_MOST)
		return err_set(err, -E2BIG, "the guest's image");
	memcpy(space_system(space) + GUEST_IMAGE_AT, image, bytes);
	cpu_put_descriptors(space_system(space));
	return domain_map_system(space, err);
}

/* What is the kernel component's, the host may still want to read. */
static unsigned domain_access(unsigned flags)
{
	if (flags & TABLES_KERNEL)
		return CPU_READ;
	return CPU_READ | (flags & TABLES_WRITE ? CPU_WRITE : 0) |
	       (flags & TABLES_EXECUTE ? CPU_EXECUTE : 0);
}

static int domain_protect(struct cpu *cpu, const struct domain_piece *pieces,
			  size_t count, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < count; i++)
		r = cpu->kind->protect(cpu, GUEST_VA + pieces[i].at,
				       pieces[i].end - pieces[i].at,
				       domain_access(pieces[i].flags), err);
	return r;
}

int domain_protect_system(struct cpu *cpu, struct err *err)
{
	struct domain_piece image[IMAGE_PIECES];
	int r;

	if (!cpu->kind->protect)
		return 0;
	domain_image_pieces(image);
	r = cpu->kind->protect(cpu, GUEST_VA, GUEST_SYSTEM_BYTES, 0, err);
	if (r >= 0) /* the host goes on writing them */
		r = cpu->kind->protect(cpu, GUEST_VA + GUEST_TABLES_AT,
				       GUEST_TABLES_BYTES, CPU_READ | CPU_WRITE,
				       err);
	if (r >= 0)
		r = domain_protect(cpu, image, IMAGE_PIECES, err);
	return r < 0 ? r
		     : domain_protect(cpu, domain_system, SYSTEM_PIECES, err);
}
