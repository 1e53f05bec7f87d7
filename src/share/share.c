/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a folder a share: its record and its skeleton.
 *
 *	{"format":"brood-share","version":1,"lock":"lease","ttl_ms":10000,
 *	 "id":"<32 hex digits>"}
 *
 * The record is made by link(2), so that of two makers one is first.  What
 * the lock needs is there before the record is: who can open a share can lock
 * it. */
#include "share/share.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "share/chain.h"
#include "share/internal.h"
#include "share/probe.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char share_record[] = "brood.json";
enum { SHARE_RECORD_MOST = 4096 };

/* ---- words -------------------------------------------------------------- */

const char *share_backend_name(enum share_backend backend)
{
	return backend == SHARE_OFD ? "ofd" : "lease";
}

int share_backend_of(const char *name)
{
	if (strcmp(name, "ofd") == 0)
		return SHARE_OFD;
	return strcmp(name, "lease") == 0 ? SHARE_LEASE : -EINVAL;
}

bool share_is_id(const char *text)
{
	return strspn(text, "0123456789abcdef") == SHARE_ID_CHARS &&
	       text[SHARE_ID_CHARS] == 0;
}

int share_new_id(char id[SHARE_ID_CHARS + 1], struct err *err)
{
	uint64_t bits[2];

	if (getrandom(bits, sizeof bits, 0) != sizeof bits)
		return err_set(err, -EIO, "get random bytes");
	snprintf(id, SHARE_ID_CHARS + 1, "%016" PRIx64 "%016" PRIx64, bits[0],
		 bits[1]);
	return 0;
}

/* ---- the record --------------------------------------------------------- */

/* A plain number, as it stands; -1 for all else. */
static long share_number(const char *text, const char *key)
{
	size_t len = 0;
	const char *value = json_get_value(text, key, &len);

	if (!value || len == 0 || len > 9 ||
	    strspn(value, "0123456789") < len || (*value == '0' && len > 1))
		return -1;
	return json_get_number(text, key, -1);
}

static int share_facts_kind(const char *text, struct err *err)
{
	auto_free char *format = json_get_text(text, "format");
	long version = share_number(text, "version");

	if (!format || strcmp(format, "brood-share") != 0)
		return err_set(err, -EPROTO, "%s is not the record of a share",
			       share_record);
	if (version != 1)
		return err_set(err, -EPROTO,
			       "%s has version %ld, known is version 1",
			       share_record, version);
	return 0;
}

static int share_facts_lock(const char *text, struct share_facts *facts,
			    struct err *err)
{
	auto_free char *lock = json_get_text(text, "lock");
	int backend = lock ? share_backend_of(lock) : -EINVAL;

	if (backend < 0)
		return err_set(err, -EPROTO,
			       "%s asks for a kind of lock that is not known "
			       "here: %.40s",
			       share_record, lock ? lock : "none");
	facts->backend = backend;
	facts->ttl_ms = share_number(text, "ttl_ms");
	if (facts->ttl_ms < SHARE_TTL_LEAST_MS ||
	    facts->ttl_ms > SHARE_TTL_MOST_MS)
		return err_set(err, -EPROTO, "%s: ttl_ms is not in %d..%d",
			       share_record, SHARE_TTL_LEAST_MS,
			       SHARE_TTL_MOST_MS);
	return 0;
}

int share_facts_read(const char *text, unsigned long len,
		     struct share_facts *facts, struct err *err)
{
	auto_free char *id = NULL;
	auto_free char *own = strndup(text, len);
	int rc;

	if (!own)
		return err_set(err, -ENOMEM, "read %s", share_record);
	if ((rc = json_check(text, len, err)) < 0)
		return err_wrap(err, "%s", share_record);
	if ((rc = share_facts_kind(own, err)) < 0 ||
	    (rc = share_facts_lock(own, facts, err)) < 0)
		return rc;
	id = json_get_text(own, "id");
	if (!id || !share_is_id(id))
		return err_set(err, -EPROTO, "%s has no id of %d hex digits",
			       share_record, SHARE_ID_CHARS);
	memcpy(facts->id, id, sizeof facts->id);
	return 0;
}

/* -ENOENT: there is none. */
static int share_facts_load(int root, struct share_facts *facts,
			    struct err *err)
{
	char text[SHARE_RECORD_MOST + 1];
	size_t len = 0;
	ssize_t n = 0;
	struct stat st;
	auto_close int fd =
		openat(root, share_record,
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, -errno, "open %s", share_record);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EPROTO, "%s is not a file", share_record);
	while (len < sizeof text &&
	       (n = read(fd, text + len, sizeof text - len)) != 0) {
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "read %s", share_record);
		len += n > 0 ? n : 0;
	}
	if (len > SHARE_RECORD_MOST)
		return err_set(err, -EFBIG, "read %s", share_record);
	return share_facts_read(text, len, facts, err);
}

static int share_facts_agree(const struct share_facts *facts,
			     const struct share_wish *wish, struct err *err)
{
	if (facts->backend == wish->backend && facts->ttl_ms == wish->ttl_ms)
		return 0;
	return err_set(err, -EEXIST,
		       "it has the lock \"%s\" with a TTL of %ld ms, wished is "
		       "\"%s\" with %ld ms",
		       share_backend_name(facts->backend), facts->ttl_ms,
		       share_backend_name(wish->backend), wish->ttl_ms);
}

static int share_record_put(int root, const struct share_wish *wish,
			    struct err *err)
{
	auto_buf struct buf text = { 0 };
	char id[SHARE_ID_CHARS + 1];
	struct json json;
	int rc = share_new_id(id, err);

	if (rc < 0)
		return rc;
	json_start(&json, &text);
	json_open(&json, NULL);
	json_text(&json, "format", "brood-share");
	json_number(&json, "version", 1);
	json_text(&json, "lock", share_backend_name(wish->backend));
	json_number(&json, "ttl_ms", wish->ttl_ms);
	json_text(&json, "id", id);
	json_close(&json);
	buf_text(&text, "\n");
	if (text.failed)
		return err_set(err, -ENOMEM, "write %s", share_record);
	return chain_put(root, share_record, text.data, text.len, err);
}

/* ---- made ---------------------------------------------------------------- */

static int share_make_folders(int root, struct err *err)
{
	static const char *const names[] = { "lock", "payloads", "apps",
					     "hosts" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (mkdirat(root, names[i], 0777) < 0 && errno != EEXIST)
			return err_set(err, -errno, "make folder %s", names[i]);
	return 0;
}

/* Without a record it cannot be known who holds a lock of another kind. */
static int share_make_lock(int root, enum share_backend backend,
			   bool is_recorded, struct err *err)
{
	enum share_backend other =
		backend == SHARE_OFD ? SHARE_LEASE : SHARE_OFD;

	if (!is_recorded && lock_kind_of(other)->is_used(root))
		return err_set(err, -EPROTO,
			       "it has no %s, but a lock that was used, of the "
			       "kind \"%s\"",
			       share_record, share_backend_name(other));
	return lock_kind_of(backend)->make(root, err);
}

/* What was not asked for is as it is found. */
static void share_wish_fill(struct share_wish *wish,
			    const struct share_facts *found)
{
	if (found && wish->any_lock)
		wish->backend = found->backend;
	if (!wish->ttl_ms)
		wish->ttl_ms = found ? found->ttl_ms : SHARE_TTL_USUAL_MS;
}

static int share_check_proof(int root, const char *path,
			     const struct share_wish *wish, struct err *err)
{
	int rc = wish->backend == SHARE_OFD && wish->needs_proof
			 ? probe_is_proven(root, err)
			 : 1;

	if (rc != 0)
		return rc < 0 ? rc : 0;
	return err_set(err, -EPROTO,
		       "it is not known that file locks reach other hosts "
		       "there: run \"brood app probe %s\" on two of them at "
		       "the same time, or use the lock \"lease\"",
		       path);
}

static int share_make_at(int root, const char *path, struct share_wish *wish,
			 struct err *err)
{
	struct share_facts facts;
	int found = share_facts_load(root, &facts, err), rc;

	if (found < 0 && found != -ENOENT)
		return found;
	share_wish_fill(wish, found < 0 ? NULL : &facts);
	rc = found >= 0 ? share_facts_agree(&facts, wish, err)
			: share_check_proof(root, path, wish, err);
	if (rc < 0)
		return rc;
	if ((rc = share_make_folders(root, err)) < 0 ||
	    (rc = share_make_lock(root, wish->backend, found >= 0, err)) < 0)
		return rc;
	if (found < 0 && (rc = share_record_put(root, wish, err)) != -EEXIST)
		return rc;
	rc = share_facts_load(root, &facts, err);
	return rc < 0 ? rc : share_facts_agree(&facts, wish, err);
}

static int share_open_root(const char *path, struct err *err)
{
	int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? err_set(err, -errno, "open share %s", path) : root;
}

int share_make(const char *path, const struct share_wish *wish, struct err *err)
{
	struct share_wish own = *wish;
	auto_close int root = -1;
	int rc;

	if (own.ttl_ms &&
	    (own.ttl_ms < SHARE_TTL_LEAST_MS || own.ttl_ms > SHARE_TTL_MOST_MS))
		return err_set(err, -EINVAL,
			       "make share %s: a TTL is %d to %d ms", path,
			       SHARE_TTL_LEAST_MS, SHARE_TTL_MOST_MS);
	if ((rc = file_make_dirs(path, 0777, err)) < 0)
		return rc;
	if ((root = share_open_root(path, err)) < 0)
		return root;
	err_clear(err);
	if ((rc = share_make_at(root, path, &own, err)) < 0)
		return err_wrap(err, "make share %s", path), rc;
	err_clear(err);
	return 0;
}

/* ---- opened --------------------------------------------------------------- */

int share_open(const char *path, const char *host, struct share *share,
	       struct err *err)
{
	struct share_facts facts;
	int rc;

	*share = SHARE_NONE;
	if (!share_is_id(host))
		return err_set(err, -EINVAL,
			       "a host has an identity of %d hex digits",
			       SHARE_ID_CHARS);
	share->root = share_open_root(path, err);
	if (share->root < 0)
		return share->root;
	rc = share_facts_load(share->root, &facts, err);
	if (rc >= 0 && !(share->path = strdup(path)))
		rc = err_set(err, -ENOMEM, "open");
	if (rc < 0) {
		share_close(share);
		return err_wrap(err, "share %s", path), rc;
	}
	share->backend = facts.backend;
	share->ttl_ms = facts.ttl_ms;
	memcpy(share->id, facts.id, sizeof share->id);
	memcpy(share->host, host, sizeof share->host);
	return 0;
}

void share_close(struct share *share)
{
	fd_close(&share->root);
	free(share->path);
	*share = SHARE_NONE;
}
