/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_code.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "cache/cache.h"
#include "domain/ground.h"
#include "domain/kvm_facts.h"
#include "jit/jit.h"
#include "oci/oci_ready.h"
#include "store/store.h"
#include "vm/vm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CODE_MODULE_MOST ((size_t)1 << 30)

void oci_code_close(struct oci_code *code)
{
	free(code->path);
	free(code->ready);
	code->path = code->ready = NULL;
	fd_close(&code->lease);
	buf_fini(&code->kvm);
}

/* Of root one for all engines, whatever home they give us: but nobody else
 * reads it, for what is in images may be nobody's business.  Who is root only
 * in a name space of users cannot write there, and has a cache of his own. */
const char *oci_code_place(void)
{
	static const char parent[] = "/var/cache/brood";
	static const char place[] = "/var/cache/brood/oci";
	const char *told = secure_getenv("BROOD_CACHE");
	auto_close int fd = -1;

	if ((told && *told) || geteuid() != 0 ||
	    file_make_dirs(parent, 0755, NULL) < 0)
		return NULL;
	fd = store_folder_make(place, 0700, NULL);
	return fd < 0 ? NULL : place;
}

/* -EBADMSG, and one line, where it is no module that can run. */
static int code_load(struct vm *vm, int fd, const char *name, struct buf *bytes,
		     struct wasm_module **module, struct err *err)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat %s", name);
	vm->options.code.source =
		(struct cache_request){ .fd = fd, .name = name };
	file_stamp_of(&st, &vm->options.code.source.stamp);
	if (vm_load_known(vm, module))
		return 0;
	rc = file_read_fd(fd, name, bytes, CODE_MODULE_MOST, err);
	if (rc < 0)
		return rc;
	vm->options.code.source.bytes = bytes->data;
	vm->options.code.source.len = bytes->len;
	rc = vm_load_compiled(vm, bytes->data, bytes->len, module, err);
	return rc < 0 ? err_wrap(err, "%s", name) : 0;
}

/* Without a cache the module is compiled inside. */
static void code_find(struct oci_code *code, struct vm *vm,
		      const struct wasm_module *module)
{
	struct cache_object *object;
	auto_free char *path = NULL;

	if (vm_compile(vm, module, &object, NULL) < 0 ||
	    cache_published(object, NULL) < 0)
		return;
	path = cache_path(object);
	code->lease = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (code->lease >= 0 && store_object_lease(code->lease) == 0)
		code->path = steal_ptr(&path);
}

static void code_make_ready(struct oci_code *code, struct vm *vm,
			    struct wasm_module *module, struct ground *ground,
			    const struct cache_options *cache)
{
	auto_free char *place = cache_folder(cache, NULL);

	if (place && code->path)
		code->ready =
			oci_ready_make(vm, module, ground, place, code->path);
}

/* ground NULL: it is for a process. */
static int code_make(struct oci_code *code, const struct oci_decision *decision,
		     struct ground *ground, struct err *err)
{
	const struct cache_options cache = { .place = oci_code_place() };
	const struct vm_options options = {
		.cache = &cache,
		.code = { .without_features =
				  ground ? jit_features() & ~ground->features
					 : 0 },
	};
	auto_buf struct buf bytes = { 0 };
	struct wasm_module *module;
	struct vm vm;
	int rc = vm_init(&vm, &options, err);

	if (rc < 0)
		return rc;
	rc = code_load(&vm, decision->module, decision->name, &bytes, &module,
		       err);
	if (rc >= 0)
		code_find(code, &vm, module);
	if (rc >= 0 && ground)
		code_make_ready(code, &vm, module, ground, &cache);
	vm_fini(&vm);
	return rc;
}

int oci_code_make(struct oci_code *code, const struct oci_decision *decision,
		  struct err *err)
{
	struct ground ground;
	int rc;

	*code = (struct oci_code){ .lease = -1 };
	if (decision->kind != OCI_DOMAIN)
		return code_make(code, decision, NULL, err);
	if (ground_open(&ground, true, err) < 0)
		return err_wrap(err, "a domain");
	if (!kvm_facts_text(&ground.facts, &code->kvm))
		buf_fini(&code->kvm);
	rc = code_make(code, decision, &ground, err);
	ground_close(&ground);
	return rc;
}
