/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes that find each other in a folder, and lock a file in turn.
 *
 * 1. Who is here rewrites its note at each look; one whose note does not
 *    change is not here any more.
 * 2. A note is claimed by link(2), by one of all.  Who would go with another
 *    one claims its own note first, and only notes of lower ids: so nobody is
 *    in two pairs.  Who was claimed leads.
 * 3. The one that leads locks, the other tries (R refused, G got it); the one
 *    that leads unlocks, the other has to get it (H), and it is the first one
 *    that has to be refused.
 *
 * What a client remembers of names is dropped when it changes the folder
 * itself: so each look makes a file and removes it. */
#include "share/probe.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "share/chain.h"
#include "share/share.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char probe_proof[] = "probe.proven";
enum {
	PROBE_LOOK_MS = 40,
	PROBE_STEP_MS = 10 * 1000, /* the longest silence of the other one */
	PROBE_SEEN_MOST = 64,
	PROBE_TYPES_MOST = 8,
	PROBE_PROOF_MOST = 1024,
	PROBE_AGE_S = 3600,
	PROBE_TYPE_ROOM = 32,
	PROBE_MOUNTS_MOST = 1 << 20,
	PROBE_NAME_ROOM = 16 + SHARE_ID_CHARS,
};

struct probe_note {
	char step;
	uint64_t beat;
	char boot[SHARE_ID_CHARS + 1];
	char type[PROBE_TYPE_ROOM];
};
struct probe_seen {
	char id[SHARE_ID_CHARS + 1];
	uint64_t beat;
};
struct probe {
	const char *path;
	int root, dir;
	char id[SHARE_ID_CHARS + 1], peer[SHARE_ID_CHARS + 1];
	struct probe_note own, other;
	bool leads;
	uint64_t deadline;
	probe_tick *tick;
	void *ctx;
	struct probe_seen seen[PROBE_SEEN_MOST];
	int seen_count;
	bool met_itself; /* somebody of this host was there, which is no help */
};

/* ---- this host ------------------------------------------------------------- */

static int probe_boot(char boot[SHARE_ID_CHARS + 1], struct err *err)
{
	auto_buf struct buf text = { 0 };
	size_t len = 0;
	int rc = file_read("/proc/sys/kernel/random/boot_id", &text, 64, err);

	if (rc < 0)
		return rc;
	for (const char *at = buf_string(&text); *at && len < SHARE_ID_CHARS;
	     at++)
		if (*at != '-' && *at != '\n')
			boot[len++] = *at;
	boot[len] = 0;
	return share_is_id(boot) ? 0
				 : err_set(err, -EPROTO, "no boot_id in /proc");
}

/* The mount that a descriptor is of. */
static long probe_mount(int fd)
{
	auto_buf struct buf text = { 0 };
	char path[64];
	const char *at;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	if (file_read(path, &text, 4096, NULL) < 0)
		return -1;
	at = strstr(buf_string(&text), "mnt_id:");
	return at ? strtol(at + strlen("mnt_id:"), NULL, 10) : -1;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 ..." */
static bool probe_line_type(const char *line, char type[PROBE_TYPE_ROOM])
{
	size_t all = strcspn(line, "\n"), len;
	const char *at = memmem(line, all, " - ", 3);

	len = at ? strcspn(at + 3, " \n") : 0;
	if (len == 0 || len >= PROBE_TYPE_ROOM)
		return false;
	memcpy(type, at + 3, len);
	type[len] = 0;
	return true;
}

/* By its name: what statfs says of 9p is what the server has. */
static int probe_type(int dir, char type[PROBE_TYPE_ROOM], struct err *err)
{
	auto_buf struct buf text = { 0 };
	long mount = probe_mount(dir);
	int rc = file_read("/proc/self/mountinfo", &text, PROBE_MOUNTS_MOST,
			   err);

	if (rc < 0)
		return rc;
	for (const char *line = buf_string(&text); *line;
	     line += strcspn(line, "\n") + 1) {
		if (strtol(line, NULL, 10) == mount &&
		    probe_line_type(line, type))
			return 0;
		if (!line[strcspn(line, "\n")])
			break;
	}
	return err_set(err, -EPROTO,
		       "which file system it is, is not told by "
		       "/proc/self/mountinfo");
}

/* One host has it, as such. */
static bool probe_is_local(const char *type)
{
	static const char *const local[] = { "ext2", "ext3",  "ext4",
					     "xfs",  "btrfs", "tmpfs",
					     "f2fs", "zfs",   "overlay" };

	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		if (strcmp(type, local[i]) == 0)
			return true;
	return false;
}

/* ---- notes ------------------------------------------------------------------ */

static const char *probe_name(char name[PROBE_NAME_ROOM], const char *what,
			      const char *id)
{
	snprintf(name, PROBE_NAME_ROOM, "%s.%.*s", what, SHARE_ID_CHARS, id);
	return name;
}

static int probe_say(struct probe *probe, char step, struct err *err)
{
	char name[PROBE_NAME_ROOM], text[128];
	auto_close int fd =
		openat(probe->dir, probe_name(name, "here", probe->id),
		       O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		       0666);
	int len;

	probe->own.step = step;
	probe->own.beat++;
	len = snprintf(text, sizeof text,
		       "brood-probe 1 %c %016" PRIx64 " %s %s\n", step,
		       probe->own.beat, probe->own.boot, probe->own.type);
	if (fd < 0)
		return err_set(err, -errno, "write probe/%s", name);
	return fd_pwrite_all(fd, text, (size_t)len, 0, err);
}

/* False: there is none, or one that tells nothing. */
static bool probe_hear(const struct probe *probe, const char *id,
		       struct probe_note *note)
{
	char name[PROBE_NAME_ROOM], text[128];
	auto_close int fd =
		openat(probe->dir, probe_name(name, "here", id),
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (len <= 0 || text[len - 1] != '\n')
		return false;
	text[len] = 0;
	return sscanf(text, "brood-probe 1 %c %16" SCNx64 " %32[0-9a-f] %31s",
		      &note->step, &note->beat, note->boot, note->type) == 4;
}

static void probe_stir(const struct probe *probe)
{
	char name[PROBE_NAME_ROOM];
	auto_close int fd =
		openat(probe->dir, probe_name(name, "stir", probe->id),
		       O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		       0666);

	unlinkat(probe->dir, name, 0);
}

/* Until the next look. */
static int probe_pause(struct probe *probe, struct err *err)
{
	if (probe->tick && !probe->tick(probe->ctx))
		return err_set(err, -ECANCELED, "probe");
	if (clock_ns() >= probe->deadline)
		return -ETIME;
	clock_sleep_ms(PROBE_LOOK_MS);
	probe_stir(probe);
	return probe_say(probe, probe->own.step, err);
}

static void probe_forget(struct probe *probe, const char *id)
{
	static const char *const names[] = { "here", "claim", "lock" };
	char name[PROBE_NAME_ROOM];

	for (int i = 0; i < 3; i++)
		unlinkat(probe->dir, probe_name(name, names[i], id), 0);
}

/* ---- two meet ---------------------------------------------------------------- */

/* Has it changed since the last look? */
static bool probe_stirs(struct probe *probe, const char *id, uint64_t beat)
{
	struct probe_seen *seen = probe->seen;
	int i = 0;

	while (i < probe->seen_count && strcmp(seen[i].id, id) != 0)
		i++;
	if (i < probe->seen_count)
		return seen[i].beat != beat;
	if (i < PROBE_SEEN_MOST) {
		memcpy(seen[i].id, id, sizeof seen[i].id);
		seen[i].beat = beat;
		probe->seen_count++;
	}
	return false;
}

/* Two of one host prove nothing where others have the storage too. */
static bool probe_fits(struct probe *probe, const char *id)
{
	char name[PROBE_NAME_ROOM];
	struct probe_note note;

	if (strcmp(id, probe->id) == 0 || !probe_hear(probe, id, &note) ||
	    !probe_stirs(probe, id, note.beat))
		return false;
	if (strcmp(note.boot, probe->own.boot) == 0 &&
	    !probe_is_local(probe->own.type)) {
		probe->met_itself = true;
		return false;
	}
	probe->other = note;
	return strcmp(id, probe->id) < 0 &&
	       faccessat(probe->dir, probe_name(name, "claim", id), F_OK,
			 AT_SYMLINK_NOFOLLOW) < 0;
}

/* The id in the name of a note; NULL in other names. */
static const char *probe_id_of(const char *name)
{
	return strncmp(name, "here.", 5) == 0 && share_is_id(name + 5)
		       ? name + 5
		       : NULL;
}

static int probe_find(struct probe *probe, char id[SHARE_ID_CHARS + 1],
		      struct err *err)
{
	int fd = openat(probe->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool found = false;

	if (!list) {
		int code = -errno;

		fd_close(&fd);
		return err_set(err, code, "list probe");
	}
	while (!found && (entry = readdir(list))) {
		const char *there = probe_id_of(entry->d_name);

		found = there && probe_fits(probe, there);
		if (found)
			memcpy(id, there, SHARE_ID_CHARS + 1);
	}
	closedir(list);
	return found;
}

/* 1: it is ours to go with; 0: somebody was first. */
static int probe_claim(struct probe *probe, const char *id, struct err *err)
{
	char name[PROBE_NAME_ROOM];
	struct err why = { 0 };
	int rc = chain_put(probe->dir, probe_name(name, "claim", id), probe->id,
			   SHARE_ID_CHARS, &why);

	if (rc == -EEXIST)
		return 0;
	if (rc < 0 && err)
		*err = why;
	return rc < 0 ? rc : 1;
}

/* Who goes with us?  1, 0. */
static int probe_is_claimed(struct probe *probe)
{
	char name[PROBE_NAME_ROOM], id[SHARE_ID_CHARS + 1] = "";
	auto_close int fd =
		openat(probe->dir, probe_name(name, "claim", probe->id),
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || read(fd, id, SHARE_ID_CHARS) != SHARE_ID_CHARS ||
	    !share_is_id(id) || !probe_hear(probe, id, &probe->other))
		return 0;
	memcpy(probe->peer, id, sizeof id);
	return 1;
}

static int probe_renew(struct probe *probe, struct err *err)
{
	int rc;

	if (probe->id[0])
		probe_forget(probe, probe->id);
	rc = share_new_id(probe->id, err);
	return rc < 0 ? rc : probe_say(probe, '.', err);
}

/* 1: a pair; 0: not yet.  Whoever leaves takes his note away before what
 * claims it: so one that was claimed after that has none. */
static int probe_join(struct probe *probe, const char *id, struct err *err)
{
	int rc = probe_claim(probe, probe->id, err);
	char name[PROBE_NAME_ROOM];

	if (rc <= 0)
		return rc; /* we are claimed: the next look tells by whom */
	rc = probe_claim(probe, id, err);
	if (rc > 0 && !probe_hear(probe, id, &probe->other)) {
		unlinkat(probe->dir, probe_name(name, "claim", id), 0);
		rc = 0;
	}
	if (rc > 0)
		memcpy(probe->peer, id, sizeof probe->peer);
	return rc != 0 ? rc : probe_renew(probe, err);
}

static int probe_meet(struct probe *probe, struct err *err)
{
	char id[SHARE_ID_CHARS + 1];
	int rc = probe_renew(probe, err);

	while (rc >= 0) {
		if (probe_is_claimed(probe)) {
			probe->leads = true;
			return 0;
		}
		rc = probe_find(probe, id, err);
		if (rc > 0)
			rc = probe_join(probe, id, err);
		if (rc > 0)
			return 0;
		if (rc == 0)
			rc = probe_pause(probe, err);
	}
	if (rc == -ETIME && probe->met_itself)
		return err_set(err, rc,
			       "probe %s: only processes of this host came, "
			       "run it on another host too",
			       probe->path);
	if (rc == -ETIME)
		return err_set(err, rc,
			       "probe %s: nobody else came, run it on two "
			       "hosts at the same time",
			       probe->path);
	return rc;
}

/* ---- two lock ------------------------------------------------------------------ */

/* Waits for one of these steps of the other one. */
static int probe_await(struct probe *probe, const char *steps, struct err *err)
{
	uint64_t beat = probe->other.beat;
	int rc = 0;

	probe->deadline = clock_deadline(PROBE_STEP_MS);
	while (rc >= 0) {
		if (probe_hear(probe, probe->peer, &probe->other) &&
		    strchr(steps, probe->other.step))
			return probe->other.step;
		if (probe->other.beat != beat)
			probe->deadline = clock_deadline(PROBE_STEP_MS);
		beat = probe->other.beat;
		rc = probe_pause(probe, err);
	}
	return rc == -ETIME ? err_set(err, rc,
				      "probe %s: the other host went silent",
				      probe->path)
			    : rc;
}

/* 1: done; 0: refused. */
static int probe_set(int fd, int type)
{
	struct flock all = { .l_type = (short)type, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &all) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES || errno == EINTR ? 0
								    : -errno;
}

static int probe_open(struct probe *probe, const char *id, int flags,
		      struct err *err)
{
	char name[PROBE_NAME_ROOM];
	int fd = openat(probe->dir, probe_name(name, "lock", id),
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags,
			0666);

	return fd < 0 ? err_set(err, -errno, "open probe/%s", name) : fd;
}

/* 1: they exclude each other; 0: not. */
static int probe_lead_steps(struct probe *probe, int fd, struct err *err)
{
	int rc;

	if (probe_set(fd, F_WRLCK) != 1)
		return 0;
	if ((rc = probe_say(probe, 'L', err)) < 0 ||
	    (rc = probe_await(probe, "RGE", err)) != 'R')
		return rc < 0 ? rc : 0;
	if (probe_set(fd, F_UNLCK) != 1)
		return 0;
	if ((rc = probe_say(probe, 'O', err)) < 0 ||
	    (rc = probe_await(probe, "HE", err)) != 'H')
		return rc < 0 ? rc : 0;
	return probe_set(fd, F_WRLCK) == 0;
}

/* Until the other one's unlock has come. */
static int probe_get(struct probe *probe, int fd, struct err *err)
{
	int rc = 0;

	probe->deadline = clock_deadline(PROBE_STEP_MS);
	while (rc >= 0) {
		rc = probe_set(fd, F_WRLCK);
		if (rc > 0)
			return 1;
		if (rc == 0)
			rc = probe_pause(probe, err);
	}
	return rc == -ECANCELED ? rc : 0;
}

static int probe_follow_steps(struct probe *probe, struct err *err)
{
	int rc = probe_await(probe, "LYN", err), said;
	auto_close int fd = -1;

	if (rc != 'L')
		return rc < 0 ? rc : rc == 'Y';
	if ((fd = probe_open(probe, probe->peer, 0, err)) < 0)
		return fd;
	said = probe_set(fd, F_WRLCK);
	rc = probe_say(probe, said > 0 ? 'G' : said == 0 ? 'R' : 'E', err);
	if (rc >= 0)
		rc = probe_await(probe, "OYN", err);
	if (rc == 'O') {
		rc = probe_get(probe, fd, err);
		if (rc >= 0)
			rc = probe_say(probe, rc > 0 ? 'H' : 'E', err);
		if (rc >= 0)
			rc = probe_await(probe, "YN", err);
	}
	return rc < 0 ? rc : rc == 'Y';
}

/* ---- what is proven ------------------------------------------------------------- */

struct probe_types {
	char name[PROBE_TYPES_MOST][PROBE_TYPE_ROOM];
	int count;
};

static bool probe_has_type(const struct probe_types *types, const char *type)
{
	for (int i = 0; i < types->count; i++)
		if (strcmp(types->name[i], type) == 0)
			return true;
	return false;
}

static void probe_add_type(struct probe_types *types, const char *type)
{
	if (types->count < PROBE_TYPES_MOST && !probe_has_type(types, type))
		snprintf(types->name[types->count++], PROBE_TYPE_ROOM, "%s",
			 type);
}

/* None from what is no proof. */
static void probe_types_read(int root, struct probe_types *types)
{
	char text[PROBE_PROOF_MOST + 1], key[16];
	auto_close int fd =
		openat(root, probe_proof,
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t len = fd < 0 ? -1 : read(fd, text, PROBE_PROOF_MOST);
	auto_free char *format = NULL;

	types->count = 0;
	if (len <= 0)
		return;
	text[len] = 0;
	if (json_check(text, (size_t)len, NULL) < 0 ||
	    !(format = json_get_text(text, "format")) ||
	    strcmp(format, "brood-probe") != 0 ||
	    json_get_number(text, "version", 0) != 1)
		return;
	for (int i = 0; i < PROBE_TYPES_MOST; i++) {
		snprintf(key, sizeof key, "types.%d", i);
		auto_free char *type = json_get_text(text, key);

		if (type)
			probe_add_type(types, type);
	}
}

static void probe_types_write(const struct probe_types *types, struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "format", "brood-probe");
	json_number(&json, "version", 1);
	json_list_open(&json, "types");
	for (int i = 0; i < types->count; i++)
		json_text(&json, NULL, types->name[i]);
	json_list_close(&json);
	json_close(&json);
	buf_text(out, "\n");
}

/* To what was proven before. */
static int probe_prove(const struct probe *probe, struct err *err)
{
	auto_free char *path = file_join(probe->path, probe_proof);
	auto_buf struct buf text = { 0 };
	struct probe_types types;

	probe_types_read(probe->root, &types);
	probe_add_type(&types, probe->own.type);
	probe_add_type(&types, probe->other.type);
	probe_types_write(&types, &text);
	if (text.failed || !path)
		return err_set(err, -ENOMEM, "write %s", probe_proof);
	return file_publish(path, text.data, text.len, 0644, err);
}

int probe_is_proven(int root, struct err *err)
{
	char type[PROBE_TYPE_ROOM];
	struct probe_types types;
	int rc = probe_type(root, type, err);

	if (rc < 0)
		return rc;
	probe_types_read(root, &types);
	return probe_has_type(&types, type);
}

/* ---- a run ------------------------------------------------------------------------ */

static int probe_lead(struct probe *probe, struct err *err)
{
	auto_close int fd = probe_open(probe, probe->id, O_CREAT, err);
	int rc = fd < 0 ? fd : probe_lead_steps(probe, fd, err), kept = 0;

	if (rc > 0)
		kept = probe_prove(probe, err);
	else if (rc == 0)
		unlinkat(probe->root, probe_proof, 0);
	if (rc >= 0 && probe_say(probe, rc > 0 ? 'Y' : 'N', err) >= 0)
		probe_await(probe, "D", NULL);
	probe_forget(probe, probe->peer);
	return kept < 0 ? kept : rc;
}

static int probe_follow(struct probe *probe, struct err *err)
{
	int rc = probe_follow_steps(probe, err);

	if (rc >= 0)
		probe_say(probe, 'D', NULL);
	return rc;
}

static int probe_pair(struct probe *probe, struct err *err)
{
	int rc = probe_meet(probe, err);

	if (rc < 0)
		return rc;
	rc = probe->leads ? probe_lead(probe, err) : probe_follow(probe, err);
	if (rc == 0)
		return err_set(err, -EPROTO,
			       "%s: file locks of one host do not exclude the "
			       "other there",
			       probe->path);
	if (rc < 0)
		return rc;
	return strcmp(probe->own.boot, probe->other.boot) == 0 ? 1 : 2;
}

/* What was left by who was killed; ages are the server's. */
static void probe_sweep(struct probe *probe)
{
	int fd = openat(probe->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char name[PROBE_NAME_ROOM];
	struct stat own, st;
	struct dirent *entry;
	bool knows = fstatat(probe->dir, probe_name(name, "here", probe->id),
			     &own, AT_SYMLINK_NOFOLLOW) == 0;

	while (knows && list && (entry = readdir(list)))
		if (fstatat(probe->dir, entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) &&
		    st.st_mtime + PROBE_AGE_S < own.st_mtime)
			unlinkat(probe->dir, entry->d_name, 0);
	if (list)
		closedir(list);
	else
		fd_close(&fd);
}

static int probe_open_folder(struct probe *probe, struct err *err)
{
	int rc = file_make_dirs(probe->path, 0777, err);

	if (rc < 0)
		return rc;
	probe->root = open(probe->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (probe->root < 0)
		return err_set(err, -errno, "open %s", probe->path);
	if (mkdirat(probe->root, "probe", 0777) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s/probe", probe->path);
	probe->dir = openat(probe->root, "probe",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (probe->dir < 0)
		return err_set(err, -errno, "open %s/probe", probe->path);
	if ((rc = probe_boot(probe->own.boot, err)) < 0)
		return rc;
	return probe_type(probe->dir, probe->own.type, err);
}

int probe_run(const char *path, int wait_ms, probe_tick *tick, void *ctx,
	      struct err *err)
{
	struct probe probe = { .path = path,
			       .root = -1,
			       .dir = -1,
			       .deadline = clock_deadline(wait_ms),
			       .tick = tick,
			       .ctx = ctx };
	int rc = probe_open_folder(&probe, err);

	if (rc >= 0) {
		rc = probe_pair(&probe, err);
		probe_sweep(&probe);
		if (probe.leads || !probe.peer[0] || rc == -ETIME)
			probe_forget(&probe, probe.id);
		unlinkat(probe.root, "probe", AT_REMOVEDIR);
	}
	fd_close(&probe.dir);
	fd_close(&probe.root);
	return rc;
}
