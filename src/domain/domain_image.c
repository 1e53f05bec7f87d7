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

static int domain_map_image(struct space *space,
			    const struct guest_image *image, struct err *err)
{
	const uint64_t at = GUEST_IMAGE_AT;
	const struct domain_piece pieces[] = {
		{ at, at + image->kernel_at, 0 },
		{ at + image->kernel_at, at + image->user_at,
		  TABLES_KERNEL | TABLES_EXECUTE },
		{ at + image->user_at, at + image->constants_at,
		  TABLES_EXECUTE },
		{ at + image->constants_at, at + image->data_at, 0 },
		{ at + image->data_at, at + image->end_at, TABLES_WRITE },
	};

	return domain_map(space, pieces, sizeof(pieces) / sizeof(*pieces), err);
}

static int domain_map_system(struct space *space, struct err *err)
{
	static const struct domain_piece pieces[] = {
		{ GUEST_DESCRIPTORS_AT, GUEST_DOUBLE_STACK_AT + GUEST_PAGE,
		  TABLES_KERNEL | TABLES_WRITE },
		{ GUEST_CALL_AT, GUEST_CALL_AT + GUEST_CALL_BYTES,
		  TABLES_WRITE },
		{ GUEST_RING_AT, GUEST_RING_AT + GUEST_RING_BYTES,
		  TABLES_WRITE },
		{ GUEST_STACK_AT, GUEST_STACK_AT + GUEST_STACK_BYTES,
		  TABLES_WRITE },
		{ GUEST_TRAP_STACK_AT,
		  GUEST_TRAP_STACK_AT + GUEST_TRAP_STACK_BYTES, TABLES_WRITE },
	};
	int r = domain_map(space, pieces, sizeof(pieces) / sizeof(*pieces),
			   err);

	if (r < 0)
		return r;
	return tables_map(&space->tables, GUEST_BELL_VA, GUEST_BELL_AT,
			  GUEST_PAGE, TABLES_WRITE, err);
}

int domain_make_system(struct space *space, struct err *err)
{
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);
	int r;

	if (bytes > GUEST_IMAGE_MOST || image->end_at > GUEST_IMAGE_MOST)
		return err_set(err, -E2BIG, "the guest's image");
	memcpy(space_system(space) + GUEST_IMAGE_AT, image, bytes);
	cpu_put_descriptors(space_system(space));
	r = domain_map_image(space, image, err);
	return r < 0 ? r : domain_map_system(space, err);
}
