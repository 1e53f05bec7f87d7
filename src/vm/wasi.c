/* SPDX-License-Identifier: Apache-2.0 */
/* WASI preview 1: what a guest is granted, and the way of each call into its
 * function.  One list, wasi_calls.def, names the functions; each is a small
 * function wasi_NAME that gets its caller's memory and the arguments, and
 * gives back an errno for the guest or a trap. */
#include "vm/wasi.h"
#include "base/fd.h"
#include "base/process.h"
#include "vm/vm_internal.h"
#include "vm/wasi_image.h"
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct wasi_function {
	const char *name, *signature;
	wasi_call_function *call;
} wasi_functions[WASI_FUNCTIONS] = {
#define WASI_CALL(name, signature) { #name, signature, wasi_##name },
#include "brood/wasi_calls.def"
#undef WASI_CALL
};

enum { WASI_FIRST = 3 }; /* descriptor that is no standard stream */

/* ---- what is granted ------------------------------------------------------ */

static int wasi_words_set(struct wasi_words *words, char *const *texts,
			  size_t count, struct err *err)
{
	size_t len = 0;
	char *at;

	for (size_t i = 0; i < count; i++)
		len += strlen(texts[i]) + 1;
	if (len > INT32_MAX || count > INT32_MAX)
		return err_set(err, -E2BIG, "the guest's words");
	words->bytes = at = malloc(len + 1);
	if (!at)
		return err_set(err, -ENOMEM, "the guest's words");
	for (size_t i = 0; i < count; i++)
		at = stpcpy(at, texts[i]) + 1;
	words->count = count;
	words->len = len;
	return 0;
}

int wasi_grant_add(struct wasi *wasi, struct wasi_fd *entry,
		   const struct wasi_grant *grant, uint32_t least,
		   const char *what, struct err *err)
{
	uint32_t fd;
	int e = wasi_table_add(wasi, entry, least, &fd);

	if (e)
		return err_set(err, e == WASI_EMFILE ? -EMFILE : -ENOMEM, "%s",
			       what);
	wasi->fds[fd].grant = fd + 1;
	wasi->grants[fd] = *grant;
	wasi->grants[fd].flags = entry->flags;
	wasi->grants[fd].rights = entry->rights;
	wasi->grants[fd].inheriting = entry->inheriting;
	wasi->grant_count++;
	return 0;
}

/* A host's descriptor as the guest's next one. */
static int wasi_add_copy(struct wasi *wasi, int host, uint32_t least,
			 const char *what, struct err *err)
{
	struct wasi_grant grant = { .kind = least < WASI_FIRST
						    ? WASI_GRANT_STREAM
						    : WASI_GRANT_SOCKET };
	struct wasi_fd entry = { .host = fcntl(host, F_DUPFD_CLOEXEC, 3) };
	int r;

	if (entry.host < 0)
		return err_set(err, -errno, "%s: descriptor %d", what, host);
	r = wasi_table_describe(&entry);
	if (r < 0) {
		close(entry.host);
		return err_set(err, r, "%s: descriptor %d", what, host);
	}
	return wasi_grant_add(wasi, &entry, &grant, least, what, err);
}

static int wasi_add_stdio(struct wasi *wasi, const int stdio[3],
			  struct err *err)
{
	int r = 0;

	for (int i = 0; r >= 0 && i < 3; i++)
		if (stdio[i] >= 0)
			r = wasi_add_copy(wasi, stdio[i], i, "standard stream",
					  err);
	return r;
}

/* A folder that may be passed but not read is worth having too. */
static int wasi_open_folder(const char *path)
{
	int flags = O_DIRECTORY | O_CLOEXEC;
	int host = open(path, O_RDONLY | flags);

	return host < 0 && errno == EACCES ? open(path, O_PATH | flags) : host;
}

static int wasi_add_folder(struct wasi *wasi, const struct wasi_folder *folder,
			   struct err *err)
{
	const char *name = folder->guest ? folder->guest : folder->host;
	struct wasi_fd entry = { .host = wasi_open_folder(folder->host) };
	struct wasi_grant grant = { .kind = WASI_GRANT_FOLDER };
	int r;

	if (entry.host < 0)
		return err_set(err, -errno, "open folder %s", folder->host);
	r = wasi_table_describe(&entry);
	entry.folder = grant.folder = strdup(name);
	if (r < 0 || !grant.folder) {
		close(entry.host);
		free(grant.folder);
		return err_set(err, r < 0 ? r : -ENOMEM, "open folder %s",
			       folder->host);
	}
	if (folder->read_only) {
		entry.rights &= ~WASI_RIGHTS_CHANGE;
		entry.inheriting &= ~WASI_RIGHTS_CHANGE;
	}
	r = wasi_grant_add(wasi, &entry, &grant, WASI_FIRST, folder->host, err);
	if (r < 0)
		free(grant.folder);
	return r;
}

/* Behind the folders: a C library looks for them up to the first number that
 * is none. */
static uint32_t wasi_image_place(const struct wasi *wasi)
{
	uint32_t fd = WASI_FIRST;

	while (fd < wasi->fd_room && wasi->fds[fd].host >= 0)
		fd++;
	return fd;
}

int wasi_grant_image(struct wasi *wasi, uint32_t fd, const char *name,
		     struct err *err)
{
	char *folder = strdup(name);

	if (!folder)
		return err_set(err, -ENOMEM, "an image of files");
	wasi->image_fd = fd;
	wasi->grants[fd] = (struct wasi_grant){ .kind = WASI_GRANT_IMAGE,
						.folder = folder };
	wasi->grant_count++;
	return 0;
}

static int wasi_add_image(struct wasi *wasi, const struct wasi_options *options,
			  struct err *err)
{
	uint32_t fd = wasi_image_place(wasi);
	int r;

	if (!options->image)
		return 0;
	r = wasi_grant_image(wasi, fd, options->image->guest, err);
	return r < 0 || options->image_is_elsewhere
		       ? r
		       : wasi_image_serve(&wasi->image, options->image, fd,
					  err);
}

static int wasi_grant(struct wasi *wasi, const struct wasi_options *options,
		      struct err *err)
{
	size_t room = WASI_FIRST + !!options->image + options->folder_count +
		      options->socket_count +
		      (options->like ? options->like->grant_room : 0);
	int r = wasi_words_set(&wasi->arguments, options->arguments,
			       options->argument_count, err);

	if (r >= 0) {
		wasi->grants = calloc(room, sizeof *wasi->grants);
		wasi->grant_room = wasi->grants ? room : 0;
		r = wasi->grants ? 0 : err_set(err, -ENOMEM, "WASI");
	}
	if (r >= 0)
		r = wasi_words_set(&wasi->environment, options->environment,
				   options->environment_count, err);
	if (r >= 0)
		r = wasi_add_stdio(wasi, options->stdio, err);
	if (r >= 0 && options->like)
		r = wasi_grant_like(wasi, options->like, err);
	for (size_t i = 0; r >= 0 && i < options->folder_count; i++)
		r = wasi_add_folder(wasi, &options->folders[i], err);
	if (r >= 0)
		r = wasi_add_image(wasi, options, err);
	for (size_t i = 0; r >= 0 && i < options->socket_count; i++)
		r = wasi_add_copy(wasi, options->sockets[i], WASI_FIRST,
				  "socket", err);
	return r;
}

static uint32_t wasi_count(const struct wasi *wasi)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < wasi->fd_room; i++)
		count += wasi->fds[i].host >= 0;
	return count;
}

bool wasi_is_untouched(const struct wasi *wasi)
{
	if (wasi_count(wasi) + (wasi->image_fd != 0) != wasi->grant_count)
		return false;
	for (uint32_t i = 0; i < WASI_FIRST && i < wasi->fd_room; i++)
		if (!wasi->grants[i].kind != (wasi->fds[i].host < 0) ||
		    wasi->grants[i].flags != wasi->fds[i].flags)
			return false;
	return true;
}

static void wasi_bind(struct wasi *wasi)
{
	for (int version = 0; version < 2; version++)
		for (unsigned i = 0; i < WASI_FUNCTIONS; i++)
			wasi->bindings[version][i] = (struct wasi_binding){
				.wasi = wasi,
				.number = i,
				.unstable = version,
			};
}

int wasi_open(struct wasi **wasi, const struct wasi_options *options,
	      struct err *err)
{
	struct wasi *new = calloc(1, sizeof *new);
	int r;

	*wasi = NULL;
	if (!new)
		return err_set(err, -ENOMEM, "WASI");
	new->has_openat2 = options->like ? options->like->has_openat2
					 : wasi_beneath_probe();
	new->has_nosignal = process_feature("nosignal");
	wasi_bind(new);
	r = wasi_grant(new, options, err);
	if (r < 0) {
		wasi_close(new);
		return r;
	}
	*wasi = new;
	return 0;
}

void wasi_close(struct wasi *wasi)
{
	if (!wasi)
		return;
	wasi_image_end(wasi->image);
	for (uint32_t i = 0; i < wasi->fd_room; i++)
		wasi_table_drop(&wasi->fds[i]);
	free(wasi->fds);
	for (uint32_t i = 0; i < wasi->grant_room; i++)
		free(wasi->grants[i].folder);
	free(wasi->grants);
	free(wasi->arguments.bytes);
	free(wasi->environment.bytes);
	free(wasi);
}

/* ---- calls ---------------------------------------------------------------- */

const char *wasi_function_name(unsigned number)
{
	return number < WASI_FUNCTIONS ? wasi_functions[number].name : NULL;
}

const char *wasi_function_signature(unsigned number)
{
	return number < WASI_FUNCTIONS ? wasi_functions[number].signature
				       : NULL;
}

int wasi_call_number(struct wasi *wasi, struct wasi_caller *caller,
		     unsigned number, bool unstable,
		     const union wasm_value *arguments)
{
	struct wasi_call call = { wasi, caller, unstable };
	int result = WASIFS_NOT_MINE, ended = 0;

	if (number >= WASI_FUNCTIONS)
		return WASI_ENOSYS;
	if (wasi->image)
		result = wasi_image_call(&call, number, arguments);
	if (result == WASIFS_NOT_MINE)
		result = wasi_functions[number].call(&call, arguments);
	/* Each may take long, and a slice of fuel has very many of them. */
	if (result >= 0 && caller->deadline_ns)
		ended = wasi_poll_ended(&call);
	return ended < 0 ? ended : result;
}

/* ---- the VM --------------------------------------------------------------- */

static int wasi_store_ended(void *env)
{
	struct wasm_store *store = env;
	const struct wasm_host *host = store->host;

	return host->poll ? (int)host->poll(host->env, store) : 0;
}

static enum wasm_trap wasi_refuse(struct wasm_store *store,
				  const struct wasi_binding *to)
{
	snprintf(store->message, sizeof store->message,
		 "%s: the caller has no memory",
		 wasi_function_name(to->number));
	return WASM_TRAP_host;
}

enum wasm_trap wasi_enter(struct wasm_store *store, struct wasm_function *self,
			  struct wasm_instance *instance,
			  union wasm_value *slots)
{
	struct wasi_binding *to = ((struct wasm_host_function *)self)->env;
	const struct vm_run *run = vm_run_of(store);
	struct wasi_caller caller = {
		.deadline_ns = run ? run->deadline_ns : 0,
		.ended = wasi_store_ended,
		.env = store,
	};
	struct wasm_memory *memory;
	int result;

	if (!instance || !instance->module->memory_count)
		return wasi_refuse(store, to);
	memory = instance->memories[0];
	caller.base = memory->base;
	caller.bytes = __atomic_load_n(&memory->bytes, __ATOMIC_ACQUIRE);
	result = wasi_call_number(to->wasi, &caller, to->number, to->unstable,
				  slots);
	if (result == -WASM_TRAP_exit)
		store->exit_code = caller.exit_code;
	if (result < 0)
		return (enum wasm_trap) - result;
	slots[0].i64 = result;
	return WASM_OK;
}

int wasi_define(struct wasi *wasi, struct vm *vm, struct err *err)
{
	static const char *const modules[2] = { "wasi_snapshot_preview1",
						"wasi_unstable" };

	for (int version = 0; version < 2; version++)
		for (unsigned i = 0; i < WASI_FUNCTIONS; i++) {
			int r = vm_define_function(
				vm, modules[version], wasi_functions[i].name,
				wasi_functions[i].signature, wasi_enter,
				&wasi->bindings[version][i], err);

			if (r < 0)
				return r;
		}
	return 0;
}
