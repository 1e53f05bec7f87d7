/* SPDX-License-Identifier: Apache-2.0 */
/* A guest of WASI without code: calls are made directly, with a memory of our
 * own.  Everything here is "static", for one test each. */
#pragma once
#include "base/clock.h"
#include "test.h"
#include "vm/vm_internal.h"
#include "vm/wasi_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function"

enum {
	MEMORY_BYTES = 1 << 18,
	AT_PATH = 1000, /* what say() puts */
	AT_PATH2 = 6000,
	AT_VECTORS = 11000,
	AT_RESULT = 21000,
	AT_BYTES = 32768,
	TRAP = 1000, /* answers from here on are traps */
};

struct guest {
	struct wasi *wasi;
	struct wasm_store store;
	struct wasm_memory memory, *memories[1];
	struct wasm_module module;
	struct wasm_instance *instance;
	uint8_t *bytes;
	struct vm_run run;
	int64_t deadline_ns;
	bool unstable;
	char folder[64];
};

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static void guest_begin_with(struct guest *guest, struct wasi_options *options)
{
	struct err err = { 0 };

	memset(guest, 0, sizeof *guest);
	guest->bytes = calloc(1, MEMORY_BYTES);
	guest->memory.base = guest->bytes;
	guest->memory.bytes = MEMORY_BYTES;
	guest->memories[0] = &guest->memory;
	guest->module.memory_count = 1;
	guest->instance = calloc(1, sizeof *guest->instance);
	guest->instance->module = &guest->module;
	guest->instance->memories = guest->memories;
	guest->store.host = &vm_host;
	CHECK_INT(wasi_open(&guest->wasi, options, &err), 0);
	if (!guest->wasi) {
		printf("# %s\n", err.text);
		exit(1);
	}
}

static void make(const char *folder, const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) >= 0);
	close(fd);
}

/* A guest with a new folder, called "/", as descriptor 3. */
static void guest_begin(struct guest *guest, bool read_only)
{
	const char *parent = getenv("TMPDIR");
	char name[64], inner[72];
	struct wasi_folder folder = { inner, "/", read_only };
	struct wasi_options options = { .folders = &folder,
					.folder_count = 1,
					.stdio = { -1, -1, -1 } };

	snprintf(name, sizeof name, "%.40s/wasi.XXXXXX",
		 parent && strlen(parent) <= 40 ? parent : "/tmp");
	if (!mkdtemp(name))
		exit(1);
	snprintf(inner, sizeof inner, "%s/in", name);
	mkdir(inner, 0755);
	make(name, "secret", "secret");
	guest_begin_with(guest, &options);
	strcpy(guest->folder, name);
}

static void guest_end(struct guest *guest)
{
	char command[128];

	wasi_close(guest->wasi);
	free(guest->bytes);
	free(guest->instance);
	if (!guest->folder[0])
		return;
	snprintf(command, sizeof command, "rm -rf %s", guest->folder);
	CHECK_INT(system(command), 0);
}

static void guest_make(struct guest *guest, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof path, "%s/in", guest->folder);
	make(path, name, text);
}

static void guest_link(struct guest *guest, const char *text, const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/in/%s", guest->folder, name);
	CHECK_INT(symlink(text, path), 0);
}

static void guest_folder(struct guest *guest, const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/in/%s", guest->folder, name);
	CHECK_INT(mkdir(path, 0755), 0);
}

static int function_of(const char *name)
{
	for (int i = 0; i < WASI_FUNCTIONS; i++)
		if (strcmp(wasi_function_name(i), name) == 0)
			return i;
	printf("# no function %s\n", name);
	exit(1);
}

static int call_slots(struct guest *guest, int function,
		      union wasm_value slots[16])
{
	struct wasm_host_function host = {
		.env = &guest->wasi->bindings[guest->unstable][function],
	};
	enum wasm_trap trap;

	vm_enter(&guest->run, &guest->store, guest->deadline_ns);
	trap = wasi_enter(&guest->store, &host.function, guest->instance,
			  slots);
	vm_leave(&guest->run);
	return trap ? TRAP + (int)trap : (int)slots[0].i32;
}

/* All arguments as 64-bit numbers. */
static int call(struct guest *guest, const char *name, ...)
{
	int function = function_of(name);
	union wasm_value slots[16] = { 0 };
	const char *signature = wasi_function_signature(function);
	va_list list;

	va_start(list, name);
	for (int i = 0; signature[i] != '>'; i++)
		slots[i].i64 = va_arg(list, uint64_t);
	va_end(list);
	return call_slots(guest, function, slots);
}
#define U(x) ((uint64_t)(x))
/* call with numbers of any type */
#define CALL1(g, n, a)		   call(g, n, U(a))
#define CALL2(g, n, a, b)	   call(g, n, U(a), U(b))
#define CALL3(g, n, a, b, c)	   call(g, n, U(a), U(b), U(c))
#define CALL4(g, n, a, b, c, d)	   call(g, n, U(a), U(b), U(c), U(d))
#define CALL5(g, n, a, b, c, d, e) call(g, n, U(a), U(b), U(c), U(d), U(e))
#define CALL6(g, n, a, b, c, d, e, f) \
	call(g, n, U(a), U(b), U(c), U(d), U(e), U(f))

static uint64_t say_at(struct guest *guest, uint32_t at, const char *text)
{
	memcpy(guest->bytes + at, text, strlen(text));
	return strlen(text);
}

static uint64_t say(struct guest *guest, const char *text)
{
	return say_at(guest, AT_PATH, text);
}

static void put_u32(struct guest *guest, uint32_t at, uint32_t value)
{
	memcpy(guest->bytes + at, &value, sizeof value);
}

static uint32_t get_u32(const struct guest *guest, uint32_t at)
{
	uint32_t value;

	memcpy(&value, guest->bytes + at, sizeof value);
	return value;
}

static uint64_t get_u64(const struct guest *guest, uint32_t at)
{
	uint64_t value;

	memcpy(&value, guest->bytes + at, sizeof value);
	return value;
}

/* One vector over [at, at + len). */
static void vector(struct guest *guest, uint32_t at, uint32_t len)
{
	put_u32(guest, AT_VECTORS, at);
	put_u32(guest, AT_VECTORS + 4, len);
}

static int open_at(struct guest *guest, uint32_t folder, const char *path,
		   uint32_t oflags, uint64_t rights, int *code)
{
	uint64_t len = say(guest, path);

	*code = call(guest, "path_open", U(folder), U(1), U(AT_PATH), len,
		     U(oflags), rights, rights, U(0), U(AT_RESULT));
	return *code ? -1 : (int)get_u32(guest, AT_RESULT);
}

static int read_some(struct guest *guest, int fd, char *text, size_t room)
{
	int code;

	vector(guest, AT_BYTES, room);
	code = CALL4(guest, "fd_read", fd, AT_VECTORS, 1, AT_RESULT);
	if (code)
		return -code;
	memcpy(text, guest->bytes + AT_BYTES, get_u32(guest, AT_RESULT));
	return get_u32(guest, AT_RESULT);
}

static int write_some(struct guest *guest, int fd, uint32_t len)
{
	int code;

	vector(guest, AT_BYTES, len);
	code = CALL4(guest, "fd_write", fd, AT_VECTORS, 1, AT_RESULT);
	return code ? -code : (int)get_u32(guest, AT_RESULT);
}

static void timeout(struct guest *guest, int ms)
{
	guest->deadline_ns = (int64_t)clock_ns() + ms * 1000000ll;
}

/* ---- a guest with two pipes: what it reads, what it writes */

struct streams {
	struct guest guest;
	int in[2], out[2];
};

static void streams_begin(struct streams *streams)
{
	struct wasi_options options = { .stdio = { -1, -1, -1 } };

	CHECK_INT(pipe2(streams->in, O_CLOEXEC), 0);
	CHECK_INT(pipe2(streams->out, O_CLOEXEC), 0);
	options.stdio[0] = streams->in[0];
	options.stdio[1] = streams->out[1];
	guest_begin_with(&streams->guest, &options);
	close(streams->in[0]);
	close(streams->out[1]);
}

static void streams_end(struct streams *streams)
{
	guest_end(&streams->guest);
	if (streams->in[1] >= 0)
		close(streams->in[1]);
	if (streams->out[0] >= 0)
		close(streams->out[0]);
}
