/* SPDX-License-Identifier: Apache-2.0 */
/* In the runner that has the optimiser in it: a module's code is put into the
 * cache, optimised, before it is loaded from there. */
#include "spec.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef SPEC_OPTIMISED
#include "optimise/optimise.h"

static struct optimise *optimise;
static struct optimise_sum sum;

bool spec_optimise_option(struct spec *spec, const char *seed)
{
	spec->optimised = true;
	spec->seed = strtoull(seed, NULL, 0);
	return true;
}

int spec_optimise_open(struct spec *spec, struct err *err)
{
	sum = (struct optimise_sum){ 0 };
	return optimise_open(&optimise, spec->cache.place, spec->seed,
			     &spec->vm.options.code, err);
}

/* What is refused will be refused once more. */
int spec_optimise(struct spec *spec, const struct buf *bytes, struct err *err)
{
	static struct wasm_module *module;
	struct vm vm;
	bool is_good = vm_init(&vm, NULL, err) >= 0 &&
		       vm_load_in_place(&vm, bytes->data, bytes->len, &module,
					err) >= 0;

	vm_fini(&vm);
	if (!is_good)
		return 0;
	spec->made =
		optimise_module(optimise, bytes->data, bytes->len, &sum, err);
	return spec->made;
}

/* Lines for spec.sh: how many, and why not all. */
void spec_optimise_close(struct spec *spec)
{
	char *save = NULL;

	(void)spec;
	optimise_close(optimise);
	printf("= %lu of %lu\n", (unsigned long)sum.made,
	       (unsigned long)sum.functions);
	for (char *line = strtok_r(sum.left, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		printf("= left%s\n", strchr(line, ':') ?: line);
}
#else
bool spec_optimise_option(struct spec *spec, const char *seed)
{
	(void)spec;
	(void)seed;
	return false;
}

int spec_optimise_open(struct spec *spec, struct err *err)
{
	(void)spec;
	return err_set(err, -ENOTSUP, "this runner has no optimiser");
}

int spec_optimise(struct spec *spec, const struct buf *bytes, struct err *err)
{
	(void)bytes;
	return spec_optimise_open(spec, err);
}

void spec_optimise_close(struct spec *spec)
{
	(void)spec;
}
#endif
