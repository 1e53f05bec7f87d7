/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles: read, merged, written, and what is hot in them.
 *
 * A run that ends adds what it has found under a lock of the key's.  The file
 * is written whole and renamed; it is not synced, since after a crash its
 * length and its checksum tell whether it is one. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cache/cache_internal.h"
#include "cache/profile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PROFILE_TRIES = 20, /* for the lock, a ms each */
	PROFILE_BYTES_MOST = sizeof(struct profile_header) +
			     PROFILE_ROWS_MOST * (int)sizeof(struct profile_row)
};

void cache_profile_fini(struct cache_profile *profile)
{
	free(profile->rows);
	*profile = (struct cache_profile){ 0 };
}

/* ---- bytes ---------------------------------------------------------------- */

static void profile_sum(const void *bytes, size_t len,
			uint8_t sum[SHA256_BYTES])
{
	struct profile_header head;
	struct sha256 sha;

	memcpy(&head, bytes, sizeof(head));
	memset(head.sum, 0, sizeof(head.sum));
	sha256_start(&sha);
	sha256_add(&sha, &head, sizeof(head));
	sha256_add(&sha, (const uint8_t *)bytes + sizeof(head),
		   len - sizeof(head));
	sha256_end(&sha, sum);
}

static const char *profile_check_head(const struct profile_header *head,
				      size_t len,
				      const uint8_t key[CODE_KEY_BYTES])
{
	if (memcmp(head->magic, PROFILE_MAGIC, sizeof(head->magic)) != 0)
		return "it is no profile";
	if (head->version != PROFILE_VERSION)
		return "it is of another version";
	if (head->row_count > PROFILE_ROWS_MOST ||
	    len != sizeof(*head) + head->row_count * sizeof(struct profile_row))
		return "it has another length than its header says";
	if (memcmp(head->key, key, sizeof(head->key)) != 0)
		return "it has another key";
	if (head->reserved)
		return "what is reserved is not 0";
	return NULL;
}

static const char *profile_check_rows(const struct profile_header *head,
				      const struct profile_row *rows)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < head->row_count; i++) {
		if (rows[i].function >= head->function_count ||
		    (i && rows[i].function <= rows[i - 1].function))
			return "its functions are not in order";
		if (!rows[i].ticks)
			return "a function is there without time";
		total += rows[i].ticks;
	}
	return total == head->total ? NULL : "its sum is wrong";
}

const char *cache_profile_read(struct cache_profile *profile, const void *bytes,
			       size_t len, const uint8_t key[CODE_KEY_BYTES])
{
	struct profile_header head;
	uint8_t sum[SHA256_BYTES];
	const char *why;

	*profile = (struct cache_profile){ 0 };
	if (len < sizeof(head))
		return "it is too short for a profile";
	memcpy(&head, bytes, sizeof(head));
	why = profile_check_head(&head, len, key);
	if (why)
		return why;
	profile_sum(bytes, len, sum);
	if (memcmp(sum, head.sum, sizeof(sum)) != 0)
		return "its checksum is wrong";
	profile->rows = calloc(head.row_count + 1ull, sizeof(*profile->rows));
	if (!profile->rows)
		return "there is no memory for it";
	memcpy(profile->rows, (const uint8_t *)bytes + sizeof(head),
	       head.row_count * sizeof(*profile->rows));
	why = profile_check_rows(&head, profile->rows);
	if (why) {
		cache_profile_fini(profile);
		return why;
	}
	profile->count = head.row_count;
	profile->function_count = head.function_count;
	profile->total = head.total;
	profile->tried = head.tried;
	return NULL;
}

void cache_profile_write(const struct cache_profile *profile,
			 const uint8_t key[CODE_KEY_BYTES], struct buf *out)
{
	struct profile_header head = {
		.magic = PROFILE_MAGIC,
		.version = PROFILE_VERSION,
		.row_count = profile->count,
		.function_count = profile->function_count,
		.total = profile->total,
		.tried = profile->tried,
	};
	size_t at = out->len;

	memcpy(head.key, key, sizeof(head.key));
	buf_add(out, &head, sizeof(head));
	if (profile->count)
		buf_add(out, profile->rows,
			profile->count * sizeof(*profile->rows));
	if (out->failed)
		return;
	profile_sum(out->data + at, out->len - at, head.sum);
	memcpy(out->data + at, &head, sizeof(head));
}

/* ---- merging -------------------------------------------------------------- */

static void profile_halve(struct cache_profile *profile)
{
	uint32_t kept = 0;

	profile->total = 0;
	for (uint32_t i = 0; i < profile->count; i++) {
		struct profile_row row = profile->rows[i];

		row.ticks /= 2;
		profile->total += row.ticks;
		if (row.ticks)
			profile->rows[kept++] = row;
	}
	profile->count = kept;
	profile->tried /= 2;
}

static uint32_t profile_count_new(const uint32_t *ticks, uint32_t count)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < count; i++)
		found += ticks[i] != 0;
	return found;
}

/* Both ascend; a sum that is too large for a row is halved with the rest. */
static uint32_t profile_merge_rows(const struct cache_profile *profile,
				   const uint32_t *ticks, uint32_t count,
				   struct profile_row *rows)
{
	const struct profile_row *old = profile->rows,
				 *end = old + profile->count;
	uint32_t made = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t before = 0, sum;

		if (old < end && old->function == i)
			before = old++->ticks;
		if (__builtin_add_overflow(before, ticks[i], &sum))
			sum = UINT32_MAX;
		if (sum)
			rows[made++] = (struct profile_row){ i, sum };
	}
	return made;
}

int cache_profile_merge(struct cache_profile *profile, const uint32_t *ticks,
			uint32_t count, struct err *err)
{
	struct profile_row *rows;

	if (profile->function_count && profile->function_count != count)
		return err_set(err, -EINVAL,
			       "the profile is of another module");
	rows = calloc(1ull + profile->count + profile_count_new(ticks, count),
		      sizeof(*rows));
	if (!rows)
		return err_set(err, -ENOMEM, "merge a profile");
	profile->count = profile_merge_rows(profile, ticks, count, rows);
	free(profile->rows);
	profile->rows = rows;
	profile->function_count = count;
	profile->total = 0;
	for (uint32_t i = 0; i < profile->count; i++)
		profile->total += rows[i].ticks;
	while (profile->total > CACHE_PROFILE_MOST ||
	       profile->count > PROFILE_ROWS_MOST)
		profile_halve(profile);
	return 0;
}

/* ---- files ---------------------------------------------------------------- */

void cache_profile_name(const char *hex, char name[CACHE_PROFILE_NAME])
{
	snprintf(name, CACHE_PROFILE_NAME, "%.64s.profile", hex);
}

/* NULL: read, or there is none, and it is empty. */
const char *cache_profile_load(int root, const char *hex,
			       struct cache_profile *profile)
{
	char name[CACHE_PROFILE_NAME];
	uint8_t key[CODE_KEY_BYTES];
	auto_buf struct buf bytes = { 0 };
	auto_close int fd = -1;
	const char *why;
	struct stat st;
	size_t len;

	*profile = (struct cache_profile){ 0 };
	cache_profile_name(hex, name);
	store_from_hex(hex, key);
	fd = store_object_open(root, name, false, &st, &why);
	if (fd < 0)
		return why;
	if (st.st_size > PROFILE_BYTES_MOST)
		return "it is too long for a profile";
	len = (size_t)st.st_size;
	if (!buf_room(&bytes, len + 1))
		return "there is no memory for it";
	if (fd_pread_all(fd, bytes.data, len, 0, NULL) < 0)
		return "it cannot be read";
	return cache_profile_read(profile, bytes.data, len, key);
}

static int profile_save(int root, const char *hex,
			const struct cache_profile *profile, struct err *err)
{
	char name[CACHE_PROFILE_NAME];
	uint8_t key[CODE_KEY_BYTES];
	auto_buf struct buf bytes = { 0 };
	struct store_draft draft;
	int rc;

	cache_profile_name(hex, name);
	store_from_hex(hex, key);
	cache_profile_write(profile, key, &bytes);
	if (bytes.failed)
		return err_set(err, -ENOMEM, "write a profile");
	rc = store_draft_open(root, &draft, err);
	if (rc >= 0)
		rc = fd_write_all(draft.fd, bytes.data, bytes.len, err);
	if (rc >= 0)
		rc = store_draft_put(root, &draft, name, err);
	store_draft_close(root, &draft);
	return rc;
}

/* Who holds it writes a small file: all others have it soon, or never. */
static int profile_lock(int root, const char *hex, struct err *err)
{
	auto_close int fd = store_lock_open(root, err);
	uint8_t key[CODE_KEY_BYTES];
	off_t at;

	store_from_hex(hex, key);
	at = cache_lock_place(key) + 2 * CACHE_LOCK_PLACES;
	for (int i = 0; fd >= 0; i++) {
		int rc = store_lock_byte(fd, at);

		if (rc >= 0)
			return steal_fd(&fd);
		if (i == PROFILE_TRIES)
			return err_set(err, rc, "lock a profile");
		clock_sleep_ms(1);
	}
	return fd;
}

/* An object that went has no profile, and no run of it makes one. */
static bool profile_has_object(const struct cache_item *item)
{
	const struct cache *cache = item->cache;

	return faccessat(cache->root, item->hex, F_OK, 0) == 0 ||
	       (cache->system >= 0 &&
		faccessat(cache->system, item->hex, F_OK, 0) == 0);
}

int cache_profile_get(const struct cache_object *object,
		      struct cache_profile *profile)
{
	const struct cache_item *item = (const struct cache_item *)object;

	*profile = (struct cache_profile){ 0 };
	if (item->cache->root < 0 || !item->hex[0] ||
	    cache_profile_load(item->cache->root, item->hex, profile))
		return -ENOENT;
	return profile->total ? 0 : -ENOENT;
}

static int profile_add(const struct cache_item *item, const uint32_t *ticks,
		       uint32_t count, struct cache_profile *profile,
		       struct err *err)
{
	int root = item->cache->root, rc;
	auto_close int lock = profile_lock(root, item->hex, err);

	if (lock < 0)
		return lock;
	if (!profile_has_object(item))
		return err_set(err, -ENOENT, "its object is gone");
	/* What cannot be believed begins anew. */
	cache_profile_load(root, item->hex, profile);
	if (profile->function_count != count)
		cache_profile_fini(profile);
	rc = cache_profile_merge(profile, ticks, count, err);
	return rc < 0 ? rc : profile_save(root, item->hex, profile, err);
}

int cache_profile_add(struct cache_object *object, const uint32_t *ticks,
		      uint32_t count, struct cache_profile *profile,
		      struct err *err)
{
	struct cache_item *item = (struct cache_item *)object;
	struct err own = { 0 };
	int rc;

	*profile = (struct cache_profile){ 0 };
	err = err ? err : &own;
	if (!item->cache->folder || !item->hex[0])
		return err_set(err, -ENOENT, "there is no code cache");
	rc = cache_place_use(item->cache, true, err);
	if (rc >= 0)
		rc = profile_add(item, ticks, count, profile, err);
	log_event("cache.profile",
		  "\"key\":\"%s\",\"ticks\":%lu,\"why\":\"%s\"", item->hex,
		  (unsigned long)profile->total, rc < 0 ? err->text : "");
	if (rc < 0)
		cache_profile_fini(profile);
	return rc;
}

int cache_profile_try(const char *folder, const char *key, struct err *err)
{
	auto_close int root = store_folder_open(folder, false, err);
	auto_close int lock = root < 0 ? root : profile_lock(root, key, err);
	struct cache_profile profile;
	int rc;

	if (lock < 0)
		return lock;
	if (!cache_profile_load(root, key, &profile) && profile.total) {
		profile.tried = profile.total;
		rc = profile_save(root, key, &profile, err);
	} else {
		rc = err_set(err, -ENOENT, "there is no profile");
	}
	cache_profile_fini(&profile);
	return rc;
}

int cache_profile_remove(const char *folder, const char *key, struct err *err)
{
	auto_close int root = store_folder_open(folder, false, err);
	char name[CACHE_PROFILE_NAME];

	if (root < 0)
		return root;
	cache_profile_name(key, name);
	return unlinkat(root, name, 0) < 0
		       ? err_set(err, -errno, "remove %.24s", name)
		       : 0;
}

/* ---- what is hot ---------------------------------------------------------- */

static int profile_by_ticks(const void *a, const void *b)
{
	const struct profile_row *left = a, *right = b;

	if (left->ticks != right->ticks)
		return left->ticks < right->ticks ? 1 : -1;
	return left->function < right->function ? -1 : 1;
}

/* As few rows as possible, which come first; "rows" is a copy. */
static uint32_t profile_cut(struct profile_row *rows, uint32_t count,
			    uint64_t total)
{
	uint64_t have = 0;
	uint32_t hot = 0;

	qsort(rows, count, sizeof(*rows), profile_by_ticks);
	while (hot < count && have * 100 < total * CACHE_PROFILE_HOT)
		have += rows[hot++].ticks;
	return hot;
}

static struct profile_row *profile_hot_rows(const struct cache_profile *profile,
					    uint32_t *count, struct err *err)
{
	struct profile_row *rows = calloc(profile->count + 1ull, sizeof(*rows));

	if (!rows) {
		err_set(err, -ENOMEM, "look for what is hot");
		return NULL;
	}
	if (profile->count)
		memcpy(rows, profile->rows, profile->count * sizeof(*rows));
	*count = profile_cut(rows, profile->count, profile->total);
	return rows;
}

int cache_profile_tell(const struct cache_profile *profile,
		       const uint8_t *optimised, struct cache_hot *hot,
		       struct err *err)
{
	uint32_t count;
	auto_free struct profile_row *rows =
		profile_hot_rows(profile, &count, err);

	*hot = (struct cache_hot){ .total = profile->total,
				   .tried = profile->tried };
	if (!rows)
		return -ENOMEM;
	hot->functions = count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t own = rows[i].function;
		bool is_made = optimised && optimised[own / 8] >> own % 8 & 1;

		hot->ticks += rows[i].ticks;
		hot->left += is_made ? 0 : rows[i].ticks;
		hot->optimised += is_made;
	}
	return 0;
}
