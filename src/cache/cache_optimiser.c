/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is to optimise, and what was done.  The file is written as a
 * profile is: whole, renamed, and not synced. */
#include "base/fd.h"
#include "cache/cache_internal.h"
#include "cache/optimiser.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define OPTIMISER_FILE "optimiser"
/* Behind the bytes that keys have (cache_internal.h). */
#define OPTIMISER_PLACE (1 + 3 * CACHE_LOCK_PLACES)

int cache_optimiser_lock(const char *folder, struct err *err)
{
	auto_close int root = store_folder_open(folder, false, err);
	auto_close int fd = root < 0 ? root : store_lock_open(root, err);
	int rc = fd < 0 ? fd : store_lock_byte(fd, OPTIMISER_PLACE);

	if (fd >= 0 && rc < 0)
		err_set(err, rc, "another one optimises");
	return rc < 0 ? rc : steal_fd(&fd);
}

bool cache_optimiser_runs(const char *folder)
{
	auto_close int root = store_folder_open(folder, false, NULL);
	auto_close int fd = root < 0
				    ? root
				    : openat(root, "lock",
					     O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && store_lock_held(fd, OPTIMISER_PLACE);
}

static void optimiser_sum(const struct optimiser_state *state,
			  uint8_t sum[SHA256_BYTES])
{
	struct optimiser_state copy = *state;

	memset(copy.sum, 0, sizeof(copy.sum));
	sha256_of(&copy, sizeof(copy), sum);
}

static bool optimiser_is_text(const char *text, size_t room)
{
	return memchr(text, 0, room);
}

const char *cache_optimiser_check(struct optimiser_state *state,
				  const void *bytes, size_t len)
{
	uint8_t sum[SHA256_BYTES];

	if (len != sizeof(*state))
		return "it has another length";
	memcpy(state, bytes, sizeof(*state));
	optimiser_sum(state, sum);
	if (memcmp(state->magic, OPTIMISER_MAGIC, sizeof(state->magic)) != 0 ||
	    state->version != OPTIMISER_VERSION)
		return "it is of another version";
	if (memcmp(sum, state->sum, sizeof(sum)) != 0)
		return "its checksum is wrong";
	if (state->spent_ms < 0 || state->reserved ||
	    !optimiser_is_text(state->key, sizeof(state->key)) ||
	    !optimiser_is_text(state->name, sizeof(state->name)) ||
	    !optimiser_is_text(state->words, sizeof(state->words)))
		return "it is not what it should be";
	return NULL;
}

void cache_optimiser_read(const char *folder, struct optimiser_state *state)
{
	auto_close int root = store_folder_open(folder, false, NULL);
	uint8_t bytes[sizeof(*state)];
	auto_close int fd = -1;
	const char *why;
	struct stat st;

	if (root >= 0)
		fd = store_object_open(root, OPTIMISER_FILE, false, &st, &why);
	if (fd < 0 || st.st_size != sizeof(bytes) ||
	    fd_pread_all(fd, bytes, sizeof(bytes), 0, NULL) < 0 ||
	    cache_optimiser_check(state, bytes, sizeof(bytes)))
		*state = (struct optimiser_state){ 0 };
}

int cache_optimiser_write(const char *folder, struct optimiser_state *state,
			  struct err *err)
{
	auto_close int root = store_folder_open(folder, false, err);
	struct store_draft draft;
	int rc;

	if (root < 0)
		return root;
	memcpy(state->magic, OPTIMISER_MAGIC, sizeof(state->magic));
	state->version = OPTIMISER_VERSION;
	optimiser_sum(state, state->sum);
	rc = store_draft_open(root, &draft, err);
	if (rc >= 0)
		rc = fd_write_all(draft.fd, state, sizeof(*state), err);
	if (rc >= 0)
		rc = store_draft_put(root, &draft, OPTIMISER_FILE, err);
	store_draft_close(root, &draft);
	return rc;
}
