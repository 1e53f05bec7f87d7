/* SPDX-License-Identifier: Apache-2.0 */
/* --init: a snapshot of what a module's function leaves.  The function runs
 * without any grant but the standard streams, whoever starts it and however:
 * what it leaves depends on the module alone. */
#include "cli/init.h"
#include "base/buf.h"
#include "cli/cli.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

int init_end(struct vm *vm, const char *file, enum wasm_trap trap)
{
	auto_buf struct buf text = { 0 };

	if (trap == WASM_OK)
		return 0;
	if (trap == WASM_TRAP_exit)
		return vm->store->exit_code;
	vm_describe_trap(vm, trap, &text);
	fprintf(stderr, "brood: %s: %s", file, buf_string(&text));
	return trap == WASM_TRAP_deadline ? CLI_TIMEOUT
	       : trap == WASM_TRAP_fuel	  ? CLI_FUEL
					  : CLI_TRAP;
}

static int init_fail(const char *file, const char *function,
		     const struct err *err, int code)
{
	fprintf(stderr, "brood: %s: --init %s: %s\n", file, function,
		err->text);
	return code;
}

void init_stdio(int stdio[3])
{
	for (int fd = 0; fd < 3; fd++)
		stdio[fd] = fcntl(fd, F_GETFD) < 0 ? -1 : fd;
}

static int init_grant(struct init *init, struct vm *vm, const int stdio[3],
		      struct err *err)
{
	const struct wasi_options options = {
		.stdio = { stdio[0], stdio[1], stdio[2] },
	};

	if (wasi_open(&init->wasi, &options, err) < 0)
		return err->code;
	return wasi_define(init->wasi, vm, err);
}

static int init_keep(struct init *init, struct err *err)
{
	if (!wasi_is_untouched(init->wasi))
		return err_set(err, -EINVAL,
			       "it has opened or closed a descriptor");
	return vm_snapshot_keep(init->snapshot, err);
}

static int init_make(struct init *init, struct vm *vm, const char *function,
		     const char *file, const int stdio[3])
{
	struct err err = { 0 };
	int result;

	if (init_grant(init, vm, stdio, &err) < 0)
		return init_fail(file, function, &err, CLI_SYSTEM);
	result = vm_snapshot_run(init->snapshot, &err);
	if (result == WASM_TRAP_exit)
		result = err_set(&err, -EINVAL, "it has ended the program");
	if (result > 0)
		return init_end(vm, file, result);
	if (result == 0)
		result = init_keep(init, &err);
	return result < 0 ? init_fail(file, function, &err, CLI_NOT_EXECUTABLE)
			  : 0;
}

int init_open(struct init *init, struct vm *vm,
	      const struct wasm_module *module, const char *function,
	      const char *file, const int stdio[3])
{
	struct err err = { 0 };
	int found =
		vm_snapshot_open(vm, module, function, &init->snapshot, &err);

	if (found < 0)
		return init_fail(file, function, &err, CLI_SYSTEM);
	init->is_found = found > 0;
	return found ? 0 : init_make(init, vm, function, file, stdio);
}

void init_close(struct init *init)
{
	vm_snapshot_close(init->snapshot);
	init->snapshot = NULL;
}

void init_fini(struct init *init)
{
	wasi_close(init->wasi);
	init->wasi = NULL;
}
