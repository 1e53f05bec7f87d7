/* SPDX-License-Identifier: Apache-2.0 */
/* A warm tip, opened: its state, and the code that it has with it. */
#include "cache/code_header.h"
#include "domain/ground.h"
#include "domain/ready_internal.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int ready_set_files(struct ready *ready, const struct domain_files *files,
		    struct err *err)
{
	const struct domain_state *state =
		ready->code ? ready->snapshot.state : NULL;
	const char *why = NULL;

	ready->files = files;
	if (state && !state->files_bytes && files)
		why = "it was made without an image of files";
	else if (state && state->files_bytes && !files)
		why = "it was made with an image of files, which --image has "
		      "to name again";
	else if (state && files &&
		 (state->files_bytes != files->bytes || !files->has_digest ||
		  memcmp(state->files, files->digest, sizeof(state->files)) !=
			  0))
		why = "it was made with another image of files";
	return why ? err_set(err, -EINVAL, "%s", why) : 0;
}

static const char *tip_refuses(const struct ready *ready,
			       const struct images *images)
{
	const struct domain_state *state = ready->snapshot.state;

	if (state->point == DOMAIN_POINT_FRESH || state->code_count != 1 ||
	    ready->snapshot.codes[0].disk != 0 ||
	    ready->snapshot.tip.disk_count != 1)
		return "it is of no program";
	/* It has machine code, and registers that point anywhere. */
	if (!ready->options.ground->has_kvm &&
	    !images_is_made(images, ready->snapshot.tip.id))
		return "it was made elsewhere, and there is no KVM whose walls "
		       "it could run in; make it here, from its module";
	if (state->features & ~ready->options.ground->features)
		return "it was made on a CPU that has more than this one";
	if (ready->options.fuel && !state->has_fuel)
		return "it was made without --fuel, and cannot be limited by "
		       "it";
	return NULL;
}

/* The engine made it, and its checksum is the layer's; what it says of itself
 * is looked at again. */
static int tip_map_code(struct ready *ready, struct program *program,
			struct err *err)
{
	const struct domain_state_code *code = &ready->snapshot.codes[0];
	const struct layer *disk = &ready->snapshot.tip.disks[0];
	const char *why = NULL;

	if (disk->head.data_bytes != code->bytes)
		return err_set(err, -EBADMSG, "its code has another length");
	ready->code = mmap(NULL, code->bytes, PROT_READ, MAP_SHARED, disk->fd,
			   (off_t)disk->head.data_at);
	if (ready->code == MAP_FAILED) {
		ready->code = NULL;
		return err_set(err, -errno, "map its code");
	}
	ready->code_bytes = code->bytes;
	if (code->has_code)
		why = code_header_check(ready->code, code->bytes, code->bytes);
	if (why)
		return err_set(err, -EBADMSG, "its code: %s", why);
	program->code = (struct domain_code){
		.image = ready->code,
		.len = code->bytes,
		.module_at = code->module_at,
		.module_bytes = code->module_bytes,
		.has_code = code->has_code,
	};
	program->way = code->has_code ? VM_BY_MAPPED : VM_BY_INTERPRETER;
	program->why = code->has_code ? NULL : "the tip says so";
	return 0;
}

int ready_open_tip(struct ready *ready, const struct domain_options *options,
		   struct program *program, struct vm *vm,
		   const struct images *images, const char *name,
		   struct err *err)
{
	struct tip tip = TIP_EMPTY;
	const char *why;
	int r = tip_open(images, name, &tip, err);

	*ready = (struct ready){ .program = program, .options = *options };
	*program = (struct program){ .vm = vm };
	if (r >= 0)
		r = snapshot_open(&ready->snapshot, &tip, err);
	if (r < 0)
		return r;
	ready->has_snapshot = ready->was_found = true;
	ready->options.memory_bytes = ready->snapshot.state->memory_bytes;
	ready->options.stack_bytes = ready->snapshot.state->stack_bytes;
	why = tip_refuses(ready, images);
	r = why ? err_set(err, -EINVAL, "%s", why)
		: tip_map_code(ready, program, err);
	if (r >= 0)
		return 0;
	ready_close(ready);
	return err_wrap(err, "tip %s", name);
}
