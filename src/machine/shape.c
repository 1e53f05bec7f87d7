/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: made here, told in words, compared. */
#include "machine/shape.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/memo.h"
#include "base/sha256.h"
#include "machine/accel.h"
#include "machine/qemu.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHAPE_PART = 1 << 20, SHAPE_CPUS_MOST = 255, SHAPE_MEMO = 48 };
/* Without what no machine of ours uses: each device is made at each start,
 * and looked after by the guest's kernel. */
#define SHAPE_MACHINE "q35,smm=off,usb=off,sata=off,smbus=off,vmport=off"
#define SHAPE_MIB     (UINT64_C(1) << 20)

void shape_fini(struct shape *shape)
{
	for (int i = 0; i < shape->disk_count; i++)
		free(shape->disk[i].path);
	*shape = (struct shape){ 0 };
}

/* ---- digests ------------------------------------------------------------- */

static int shape_hash_file(int fd, const char *path, uint8_t *sum,
			   struct err *err)
{
	auto_free uint8_t *part = malloc(SHAPE_PART);
	struct sha256 sha;
	ssize_t got;

	if (!part)
		return err_set(err, -ENOMEM, "read %s", path);
	sha256_start(&sha);
	while ((got = read(fd, part, SHAPE_PART)) > 0)
		sha256_add(&sha, part, (size_t)got);
	if (got < 0)
		return err_set(err, -errno, "read %s", path);
	sha256_end(&sha, sum);
	return 0;
}

static void shape_memo(const struct stat *st, char name[SHAPE_MEMO],
		       char key[STORE_TEXT])
{
	struct file_stamp stamp;

	file_stamp_of(st, &stamp);
	store_stamp_text(&stamp, key);
	snprintf(name, SHAPE_MEMO, "digest.%lx.%lx", stamp.dev, stamp.ino);
}

int shape_digest(const char *path, char digest[SHAPE_DIGEST + 1],
		 struct err *err)
{
	/* A path that was read can be that of anything. */
	auto_close int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	auto_buf struct buf known = { 0 };
	char name[SHAPE_MEMO], key[STORE_TEXT], value[SHAPE_DIGEST + 16];
	auto_free char *found = NULL;
	uint8_t sum[SHA256_BYTES];
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", path);
	/* The stamp of a device says nothing of what is on it. */
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no regular file", path);
	shape_memo(&st, name, key);
	if (memo_get(name, key, &known))
		found = json_get_text(buf_string(&known), "digest");
	if (found && store_is_name(found)) {
		memcpy(digest, found, SHAPE_DIGEST + 1);
		return 0;
	}
	rc = shape_hash_file(fd, path, sum, err);
	if (rc < 0)
		return rc;
	store_hex(sum, sizeof(sum), digest);
	snprintf(value, sizeof(value), "{\"digest\":\"%s\"}", digest);
	memo_put(name, key, value, NULL); /* only spares time */
	return 0;
}

static int shape_hand_digest(const char *path, const char *folder,
			     struct err *err)
{
	char name[SHAPE_MEMO], key[STORE_TEXT];
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, -errno, "look at %s", path);
	shape_memo(&st, name, key);
	return memo_hand_on(name, folder, err);
}

int shape_hand_on(const struct shape *shape, const struct qemu *qemu,
		  const char *folder, struct err *err)
{
	int rc = memo_hand_on(QEMU_MEMO, folder, err);

	if (rc >= 0)
		rc = shape_hand_digest(qemu->path, folder, err);
	for (int i = 0; rc >= 0 && i < shape->disk_count; i++)
		rc = shape_hand_digest(shape->disk[i].path, folder, err);
	return rc;
}

/* ---- made here ------------------------------------------------------------ */

/* As /proc/cpuinfo names it. */
static void shape_host_cpu(char *to, size_t room)
{
	auto_buf struct buf text = { 0 };
	const char *name;

	*to = 0;
	if (file_read("/proc/cpuinfo", &text, 1 << 20, NULL) < 0)
		return;
	name = strstr(buf_string(&text), "model name");
	name = name ? strchr(name, ':') : NULL;
	if (!name)
		return;
	name += strspn(name, ": \t");
	snprintf(to, room, "%.*s", (int)strcspn(name, "\n"), name);
}

/* A word that is to stand on a command line among others. */
static bool shape_is_word(const char *text)
{
	return *text && strspn(text, "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._-+=,") == strlen(text);
}

static int shape_set_cpu(const struct shape_wish *wish, const struct qemu *qemu,
			 struct shape *shape, struct err *err)
{
	struct accel accel;
	int rc = accel_pick(qemu->path, wish->accel, &accel, err);
	bool kvm;

	if (rc < 0)
		return rc;
	kvm = strcmp(accel.name, "kvm") == 0;
	snprintf(shape->accel, sizeof(shape->accel), "%s", accel.name);
	snprintf(shape->cpu, sizeof(shape->cpu), "%s",
		 wish->cpu ? wish->cpu
		 : kvm	   ? "host,migratable=on"
			   : "max");
	if (!shape_is_word(shape->cpu) ||
	    (wish->cpu && strcmp(wish->cpu, shape->cpu) != 0))
		return err_set(err, -EINVAL, "\"%.*s\" is no model of a CPU",
			       (int)strcspn(wish->cpu, "\n"), wish->cpu);
	if (kvm)
		shape_host_cpu(shape->host_cpu, sizeof(shape->host_cpu));
	return 0;
}

static int shape_add_disk(struct shape *shape, const char *path,
			  struct err *err)
{
	struct shape_disk *disk = &shape->disk[shape->disk_count];
	int rc;

	if (shape->disk_count == SHAPE_DISKS_MOST)
		return err_set(err, -EINVAL, "more than %d disks",
			       SHAPE_DISKS_MOST);
	disk->path = realpath(path, NULL);
	if (!disk->path)
		return err_set(err, -errno, "disk %s", path);
	shape->disk_count++;
	rc = shape_digest(disk->path, disk->digest, err);
	return rc < 0 ? err_wrap(err, "disk") : 0;
}

static int shape_set(const struct shape_wish *wish, const struct qemu *qemu,
		     struct shape *shape, struct err *err)
{
	int rc;

	shape->ram_bytes = wish->ram_bytes ? wish->ram_bytes : 256 * SHAPE_MIB;
	shape->cpus = wish->cpus ? wish->cpus : 1;
	if (shape->ram_bytes % SHAPE_MIB || shape->ram_bytes < 16 * SHAPE_MIB ||
	    shape->ram_bytes > LAYER_RAM_MOST)
		return err_set(err, -EINVAL,
			       "%lu bytes of memory: whole MiB, at least 16",
			       (unsigned long)shape->ram_bytes);
	if (shape->cpus < 1 || shape->cpus > SHAPE_CPUS_MOST)
		return err_set(err, -EINVAL, "%ld CPUs: 1 to %d", shape->cpus,
			       SHAPE_CPUS_MOST);
	shape->folders = wish->folders;
	if (shape->folders < 0 || shape->folders > SHAPE_FOLDERS_MOST)
		return err_set(err, -EINVAL, "places for %ld folders: 0 to %d",
			       shape->folders, SHAPE_FOLDERS_MOST);
	snprintf(shape->machine, sizeof(shape->machine), SHAPE_MACHINE);
	snprintf(shape->qemu, sizeof(shape->qemu), "%.95s", qemu->version);
	shape->network = wish->network;
	rc = shape_set_cpu(wish, qemu, shape, err);
	if (rc >= 0)
		rc = shape_digest(qemu->path, shape->qemu_digest, err);
	for (int i = 0; rc >= 0 && i < wish->disk_count; i++)
		rc = shape_add_disk(shape, wish->disks[i], err);
	return rc;
}

int shape_make(const struct shape_wish *wish, const struct qemu *qemu,
	       struct shape *shape, struct err *err)
{
	int rc;

	*shape = (struct shape){ 0 };
	rc = shape_set(wish, qemu, shape, err);
	if (rc < 0)
		shape_fini(shape);
	return rc;
}

/* ---- words ---------------------------------------------------------------- */

void shape_words(const struct shape *shape, struct json *json, const char *key)
{
	json_open(json, key);
	json_number(json, "memory", (int64_t)shape->ram_bytes);
	json_number(json, "cpus", shape->cpus);
	json_text(json, "machine", shape->machine);
	json_text(json, "accel", shape->accel);
	json_text(json, "cpu", shape->cpu);
	json_text(json, "host_cpu", shape->host_cpu);
	json_text(json, "qemu", shape->qemu);
	json_text(json, "qemu_digest", shape->qemu_digest);
	json_bool(json, "network", shape->network);
	json_number(json, "folders", shape->folders);
	json_list_open(json, "disks");
	for (int i = 0; i < shape->disk_count; i++) {
		json_open(json, NULL);
		json_text(json, "path", shape->disk[i].path);
		json_text(json, "digest", shape->disk[i].digest);
		json_close(json);
	}
	json_list_close(json);
	json_close(json);
}

/* What counts: not where disks lie. */
void shape_id(const struct shape *shape, uint8_t id[LAYER_ID])
{
	auto_buf struct buf text = { 0 };

	buf_format(&text, "%lu %ld %s\n%s %s\n%s\n%s %s\n%d\n",
		   (unsigned long)shape->ram_bytes, shape->cpus, shape->machine,
		   shape->accel, shape->cpu, shape->host_cpu, shape->qemu,
		   shape->qemu_digest, shape->network);
	for (int i = 0; i < shape->disk_count; i++)
		buf_format(&text, "%s\n", shape->disk[i].digest);
	if (shape->folders)
		buf_format(&text, "folders %ld\n", shape->folders);
	sha256_of(buf_string(&text), text.len, id);
}

static void shape_copy_text(const char *text, const char *path, char *to,
			    size_t room)
{
	auto_free char *value = json_get_text(text, path);

	snprintf(to, room, "%s", value ? value : "");
}

static int shape_read_disks(const char *text, struct shape *shape)
{
	char path[32];

	for (int i = 0; i < SHAPE_DISKS_MOST; i++) {
		struct shape_disk *disk = &shape->disk[i];

		snprintf(path, sizeof(path), "disks.%d.path", i);
		disk->path = json_get_text(text, path);
		if (!disk->path)
			break;
		shape->disk_count++;
		snprintf(path, sizeof(path), "disks.%d.digest", i);
		shape_copy_text(text, path, disk->digest, sizeof(disk->digest));
		if (!store_is_name(disk->digest) || disk->path[0] != '/' ||
		    strchr(disk->path, '\n'))
			return -EBADMSG;
	}
	return 0;
}

static bool shape_is_accel(const char *text)
{
	return strcmp(text, "tcg") == 0 || strcmp(text, "kvm") == 0;
}

int shape_read(const char *text, struct shape *shape, struct err *err)
{
	auto_free char *network = NULL;
	size_t len;
	const char *value;

	*shape = (struct shape){ 0 };
	shape->ram_bytes = (uint64_t)json_get_number(text, "memory", 0);
	shape->cpus = json_get_number(text, "cpus", 0);
	shape_copy_text(text, "machine", shape->machine,
			sizeof(shape->machine));
	shape_copy_text(text, "accel", shape->accel, sizeof(shape->accel));
	shape_copy_text(text, "cpu", shape->cpu, sizeof(shape->cpu));
	shape_copy_text(text, "host_cpu", shape->host_cpu,
			sizeof(shape->host_cpu));
	shape_copy_text(text, "qemu", shape->qemu, sizeof(shape->qemu));
	shape_copy_text(text, "qemu_digest", shape->qemu_digest,
			sizeof(shape->qemu_digest));
	value = json_get_value(text, "network", &len);
	shape->network = value && len == 4 && memcmp(value, "true", 4) == 0;
	shape->folders = json_get_number(text, "folders", 0);
	if (shape_read_disks(text, shape) >= 0 && shape->ram_bytes &&
	    shape->ram_bytes <= LAYER_RAM_MOST && shape->cpus > 0 &&
	    shape->cpus <= SHAPE_CPUS_MOST && shape->folders >= 0 &&
	    shape->folders <= SHAPE_FOLDERS_MOST &&
	    strncmp(shape->machine, "q35", 3) == 0 &&
	    shape_is_word(shape->machine) && shape_is_accel(shape->accel) &&
	    shape_is_word(shape->cpu))
		return 0;
	shape_fini(shape);
	return err_set(err, -EBADMSG, "its words tell of no machine");
}

/* ---- disks elsewhere ------------------------------------------------------ */

bool shape_is_qcow2(const char *path)
{
	size_t len = strlen(path);

	return len > 6 && strcmp(path + len - 6, ".qcow2") == 0;
}

static int shape_move_disk(struct shape_disk *disk, const char *to,
			   const char *what, struct err *err)
{
	auto_free char *path = realpath(to, NULL);

	if (!path)
		return err_set(err, -errno, "disk %s", to);
	/* Bytes that are the same could still be read as another disk. */
	if (shape_is_qcow2(path) != shape_is_qcow2(disk->path))
		return err_set(err, -EINVAL,
			       "%s: of %s and its disk %s one alone ends in "
			       ".qcow2",
			       what, path, disk->path);
	free(disk->path);
	disk->path = steal_ptr(&path);
	return 0;
}

int shape_move(struct shape *shape, const char *const *paths, int count,
	       const char *what, struct err *err)
{
	int rc = 0;

	if (count && count != shape->disk_count)
		return err_set(err, -EINVAL, "%s has %d disks, not %d", what,
			       shape->disk_count, count);
	for (int i = 0; rc >= 0 && i < count; i++)
		rc = shape_move_disk(&shape->disk[i], paths[i], what, err);
	return rc;
}

/* ---- compared ------------------------------------------------------------- */

static int shape_other(const char *what, const char *thing, const char *theirs,
		       const char *here, struct err *err)
{
	return err_set(err, -EINVAL, "%s was made with %s %s, here is %s", what,
		       thing, theirs, here);
}

static int shape_fits_disk(const struct shape_disk *disk, const char *what,
			   struct err *err)
{
	char digest[SHAPE_DIGEST + 1];
	int rc = shape_digest(disk->path, digest, err);

	if (rc < 0)
		return err_wrap(err, "%s needs its disk", what);
	return strcmp(digest, disk->digest) == 0
		       ? 0
		       : err_set(err, -EINVAL,
				 "%s: its disk %s is not what it was", what,
				 disk->path);
}

int shape_fits(const struct shape *shape, const struct qemu *qemu,
	       const char *what, struct err *err)
{
	char digest[SHAPE_DIGEST + 1] = "", cpu[sizeof(shape->host_cpu)];
	int rc = shape_digest(qemu->path, digest, err);

	if (rc < 0)
		return rc;
	/* Options of a machine can be anything: only ours. */
	if (strcmp(shape->machine, SHAPE_MACHINE) != 0)
		return shape_other(what, "machine", shape->machine,
				   SHAPE_MACHINE, err);
	if (strcmp(shape->qemu, qemu->version) != 0)
		return shape_other(what, "QEMU", shape->qemu, qemu->version,
				   err);
	if (strcmp(shape->qemu_digest, digest) != 0)
		return shape_other(what, "another build of QEMU",
				   shape->qemu_digest, digest, err);
	if (strcmp(shape->accel, "kvm") == 0) {
		rc = accel_device("/dev/kvm", err);
		if (rc < 0)
			return err_wrap(err, "%s needs KVM", what);
		shape_host_cpu(cpu, sizeof(cpu));
		if (strcmp(cpu, shape->host_cpu) != 0)
			return shape_other(what, "CPU", shape->host_cpu, cpu,
					   err);
	}
	for (int i = 0; rc >= 0 && i < shape->disk_count; i++)
		rc = shape_fits_disk(&shape->disk[i], what, err);
	return rc;
}

/* ---- two of them ------------------------------------------------------------ */

static int shape_differs(const char *thing, const char *a, const char *one,
			 const char *b, const char *other, struct err *err)
{
	return err_set(err, -EINVAL,
		       "%s is of another shape than %s: %s %s, not %s", a, b,
		       thing, *one ? one : "none", *other ? other : "none");
}

static int shape_same_disks(const struct shape *one, const char *a,
			    const struct shape *other, const char *b,
			    struct err *err)
{
	char mine[16], theirs[16];

	snprintf(mine, sizeof(mine), "%d", one->disk_count);
	snprintf(theirs, sizeof(theirs), "%d", other->disk_count);
	if (one->disk_count != other->disk_count)
		return shape_differs("disks", a, mine, b, theirs, err);
	for (int i = 0; i < one->disk_count; i++)
		if (strcmp(one->disk[i].digest, other->disk[i].digest) != 0)
			return shape_differs("disk", a, one->disk[i].path, b,
					     other->disk[i].path, err);
	return 0;
}

int shape_same(const struct shape *one, const char *a,
	       const struct shape *other, const char *b, struct err *err)
{
	char bytes[2][24], cpus[2][24], folders[2][24];
	const struct shape *both[2] = { one, other };

	for (int i = 0; i < 2; i++) {
		snprintf(bytes[i], sizeof(bytes[i]), "%lu MiB",
			 (unsigned long)(both[i]->ram_bytes / SHAPE_MIB));
		snprintf(cpus[i], sizeof(cpus[i]), "%ld", both[i]->cpus);
		snprintf(folders[i], sizeof(folders[i]), "%ld",
			 both[i]->folders);
	}
	const struct {
		const char *thing, *one, *other;
	} list[] = {
		{ "memory", bytes[0], bytes[1] },
		{ "CPUs", cpus[0], cpus[1] },
		{ "CPU model", one->cpu, other->cpu },
		{ "accelerator", one->accel, other->accel },
		{ "host CPU", one->host_cpu, other->host_cpu },
		{ "QEMU", one->qemu, other->qemu },
		{ "build of QEMU", one->qemu_digest, other->qemu_digest },
		{ "machine", one->machine, other->machine },
		{ "network", one->network ? "yes" : "no",
		  other->network ? "yes" : "no" },
		{ "places for folders", folders[0], folders[1] },
	};
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
		if (strcmp(list[i].one, list[i].other) != 0)
			return shape_differs(list[i].thing, a, list[i].one, b,
					     list[i].other, err);
	return shape_same_disks(one, a, other, b, err);
}
