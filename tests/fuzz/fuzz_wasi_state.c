/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a guest's descriptors, and any changes of right ones: what is
 * taken gives no more than what was granted, and what is not leaves the guest
 * as it was.  Input: a byte that says what it is (bytes, sealed or not,
 * changes, sealed or not, the same cut off), then the bytes, or changes of
 * four bytes each: a place and a value. */
#include "lib/guest_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BYTES, BYTES_SEALED, CHANGES, CHANGES_SEALED, CUT, WAYS };
enum { REST_MOST = 256 };
#define RIGHTS_READ (WASI_RIGHTS_ALL & ~WASI_RIGHTS_CHANGE)

static struct guest guest;
static struct buf state;
static struct granted granted;
static int pipes[2], fds;

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void end(void)
{
	guest_end(&guest);
	buf_fini(&state);
	close(pipes[0]);
	close(pipes[1]);
}

/* A guest with a file, a folder, a stream that moved and one that is closed. */
static void begin(void)
{
	int code;

	atexit(end);
	require(pipe2(pipes, O_CLOEXEC) == 0);
	granted = (struct granted){ { -1, pipes[1], pipes[1] }, "/", false };
	guest_begin(&guest, false);
	guest_folder(&guest, "a");
	guest_make(&guest, "a/file", "text of it");
	guest_make(&guest, "b", "b");
	guest_link(&guest, "..", "up");
	guest_link(&guest, "/etc/passwd", "out");
	guest_again(&guest, &granted);
	require(open_at(&guest, 3, "a/file", 0, RIGHTS_READ, &code) == 0);
	require(open_at(&guest, 3, "a", WASI_OPEN_DIRECTORY, RIGHTS_READ,
			&code) == 4);
	require(CALL5(&guest, "fd_readdir", 4, AT_BYTES, 100, 0, AT_RESULT) ==
		0);
	require(open_at(&guest, 3, "b", 0, WASI_RIGHT_FD_READ, &code) == 5);
	require(CALL2(&guest, "fd_renumber", 1, 5) == 0);
	require(CALL1(&guest, "fd_close", 2) == 0);
	require(wasi_state_save(guest.wasi, &state, NULL) == 0);
	guest_again(&guest, &granted);
	fds = open_fds();
}

static void check_restored(void)
{
	require(is_within_grants(&guest));
	for (uint32_t i = 0; i < guest.wasi->fd_room; i++)
		if (guest.wasi->fds[i].host >= 0 && !guest.wasi->fds[i].grant) {
			vector(&guest, AT_BYTES, 64);
			CALL4(&guest, "fd_read", i, AT_VECTORS, 1, AT_RESULT);
			CALL5(&guest, "fd_readdir", i, AT_BYTES, 500, 0,
			      AT_RESULT);
		}
	guest_again(&guest, &granted);
}

/* The bytes are exactly as long as they are. */
static void try_state(const uint8_t *bytes, size_t len, bool is_sealed)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct err err = { 0 };
	int code;

	require(copy != NULL);
	memcpy(copy, bytes, len);
	if (is_sealed)
		seal_state(copy, len);
	code = wasi_state_restore(guest.wasi, copy, len, &err);
	free(copy);
	require(code <= 0 && err.code == code);
	require((code < 0) == (err.text[0] != 0));
	for (const char *at = err.text; *at; at++)
		require((uint8_t)*at >= 0x20 && *at != 0x7f);
	if (code == 0)
		check_restored();
	else
		require(wasi_is_untouched(guest.wasi) &&
			is_within_grants(&guest));
	require(open_fds() == fds);
}

static void change(uint8_t *bytes, size_t len, const uint8_t *data, size_t size)
{
	for (; size >= 4; data += 4, size -= 4) {
		uint16_t at;

		memcpy(&at, data, sizeof at);
		memcpy(bytes + at % (len - 1), data + 2, 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[4096];
	int way;

	if (!guest.bytes)
		begin();
	if (size < 3)
		return 0;
	way = data[0] % WAYS;
	if (way == BYTES || way == BYTES_SEALED) {
		try_state(data + 1, size - 1, way == BYTES_SEALED);
		return 0;
	}
	require(state.len <= sizeof bytes);
	memcpy(bytes, state.data, state.len);
	change(bytes, state.len, data + 3,
	       size - 3 < REST_MOST ? size - 3 : REST_MOST);
	if (way == CUT)
		try_state(bytes, (data[1] | data[2] << 8) % state.len, true);
	else
		try_state(bytes, state.len, way == CHANGES_SEALED);
	return 0;
}
