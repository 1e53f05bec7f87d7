/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_ready.h"
#include "base/fd.h"
#include "base/file.h"
#include "domain/program.h"
#include "domain/ready.h"
#include "oci/oci_kept.h"
#include "store/store.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Above them is a folder that is closed to others; a container's user, who may
 * be anybody, sees this one alone. */
static bool ready_open_to_all(const char *folder)
{
	static const char *const names[] = { "tips", "seen" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		auto_free char *path = file_join(folder, names[i]);

		if (!path || chmod(path, 0755) < 0)
			return false;
	}
	return chmod(folder, 0755) == 0;
}

static bool ready_make_in(struct ready *ready)
{
	struct domain_outcome outcome;
	struct domain *domain;

	if (ready->has_snapshot)
		return true;
	if (ready_start(ready, NULL, 0, &domain, &outcome, NULL) < 0)
		return false;
	domain_close(domain);
	return ready->has_snapshot;
}

static bool ready_fill(const char *folder, struct program *program,
		       struct ground *ground)
{
	const struct domain_options options = { .ground = ground };
	struct ready ready;
	bool is_there;

	if (ready_open(&ready, &options, program, folder, NULL) < 0)
		return false;
	/* Who made it may have been killed before it was open. */
	is_there = ready_make_in(&ready) && ready_open_to_all(folder);
	ready_close(&ready);
	return is_there;
}

static void ready_remove(const char *path)
{
	file_remove_tree(path, NULL);
}

static bool ready_make_folder(const char *parent, const char *folder,
			      struct program *program, struct ground *ground)
{
	bool is_new = access(folder, F_OK) < 0;

	if (file_private_dir(parent, NULL) < 0 ||
	    !ready_fill(folder, program, ground))
		return false;
	oci_kept_use(folder);
	if (is_new)
		oci_kept_sweep(parent, store_is_name, ready_remove);
	return true;
}

char *oci_ready_make(struct vm *vm, struct wasm_module *module,
		     struct ground *ground, const char *place, const char *code)
{
	const char *key = strrchr(code, '/');
	auto_free char *parent = file_join(place, "ready");
	auto_free char *folder =
		parent && key ? file_join(parent, key + 1) : NULL;
	struct program program = { 0 };
	bool is_made;

	if (!folder || module->start != WASM_NO_FUNCTION ||
	    program_open(&program, vm, module, NULL) < 0)
		return NULL;
	is_made = program.code.has_code &&
		  ready_make_folder(parent, folder, &program, ground);
	program_close(&program);
	return is_made ? steal_ptr(&folder) : NULL;
}
