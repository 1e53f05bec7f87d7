/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of WASI with any numbers, one behind the other.  The input is a list
 * of calls: a byte that picks the function, then a byte for each argument,
 * which picks among odd numbers or is the number; what is left fills the
 * memory.  No input may fault, hang, leak a descriptor or get out of the
 * folder. */
#include "lib/guest.h"
#include <signal.h>
#include <sys/resource.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS_MOST = 24, FILE_MOST = 4096, KEEP = 256 };

static struct guest guest;
static unsigned turns;

static uint64_t number_of(uint8_t byte)
{
	static const uint64_t odd[] = {
		AT_PATH,    AT_PATH2,	      AT_VECTORS,   AT_RESULT,
		AT_BYTES,   MEMORY_BYTES - 1, MEMORY_BYTES, MEMORY_BYTES - 8,
		0x7fffffff, 0x80000000,	      0xffffffff,   0xfffffff8,
		1ull << 32, 1ull << 63,	      ~0ull,	    WASI_RIGHTS_ALL,
	};
	size_t count = sizeof odd / sizeof *odd;

	return byte >= 256 - count ? odd[byte - (256 - count)] : byte;
}

static void begin_again(void)
{
	char inner[72];
	struct wasi_folder folder = { inner, "/", false };
	struct wasi_options options = { .folders = &folder,
					.folder_count = 1,
					.stdio = { -1, -1, -1 } };

	snprintf(inner, sizeof inner, "%s/in", guest.folder);
	if (wasi_open(&guest.wasi, &options, NULL) < 0)
		__builtin_trap();
}

static void end(void)
{
	guest_end(&guest);
}

/* Files stay small, and now and then the folder is a new one. */
static void begin(void)
{
	struct rlimit limit = { FILE_MOST, FILE_MOST };

	if (turns++ % KEEP != 0) {
		begin_again();
		return;
	}
	if (guest.bytes)
		guest_end(&guest);
	else
		atexit(end);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	guest_begin(&guest, false);
	guest_make(&guest, "file", "text");
	guest_folder(&guest, "a");
	guest_link(&guest, "..", "up");
	guest_link(&guest, "file", "link");
}

static void fill(const uint8_t *data, size_t size)
{
	static const uint32_t places[] = { AT_PATH, AT_PATH2, AT_VECTORS,
					   AT_BYTES };

	memset(guest.bytes, 0, MEMORY_BYTES);
	for (size_t i = 0; i < 4; i++)
		memcpy(guest.bytes + places[i], data,
		       size < 4096 ? size : 4096);
	vector(&guest, AT_BYTES, 64);
}

static void one_call(const uint8_t *data)
{
	int function = data[0] % WASI_FUNCTIONS, answer;
	union wasm_value slots[16] = { 0 };

	for (int i = 0; i < 9; i++)
		slots[i].i64 = number_of(data[1 + i]);
	guest.unstable = data[0] >= 4 * WASI_FUNCTIONS;
	timeout(&guest, 1);
	answer = call_slots(&guest, function, slots);
	if (answer > WASI_ENOTCAPABLE && answer != TRAP + WASM_TRAP_deadline &&
	    answer != TRAP + WASM_TRAP_exit)
		__builtin_trap();
}

static void look_outside(void)
{
	char path[128], text[16] = { 0 };
	int fd;

	snprintf(path, sizeof path, "%s/secret", guest.folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, 15) != 6 || strcmp(text, "secret") != 0)
		__builtin_trap();
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t calls;
	int fds;

	begin();
	fds = open_fds() - 1;
	calls = size ? data[0] % CALLS_MOST : 0;
	if (calls > size / 10)
		calls = size / 10;
	fill(data + 10 * calls, size - 10 * calls);
	for (size_t i = 0; i < calls; i++)
		one_call(data + 10 * i);
	look_outside();
	wasi_close(guest.wasi);
	guest.wasi = NULL;
	if (open_fds() != fds || test_failures)
		__builtin_trap();
	return 0;
}
