/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: what counts, what is read back, what is refused, and that the
 * difference is named. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "machine/qemu.h"
#include "machine/shape.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static char *home, *program, *disk;
static struct qemu qemu;

static void put(const char *path, const char *text)
{
	CHECK_INT(file_publish(path, text, strlen(text), 0600, NULL), 0);
}

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");

	home = file_format("%s/shape.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(home) != NULL);
	CHECK(setenv("XDG_CACHE_HOME", home, 1) == 0);
	program = file_join(home, "qemu");
	disk = file_join(home, "disk");
	put(program, "not really");
	put(disk, "a disk");
	qemu = (struct qemu){ .path = program, .version = "7.2.22 (of tests)" };
}

static void finish(void)
{
	file_remove_tree(home, NULL);
	mem_free(&home);
	mem_free(&program);
	mem_free(&disk);
}

static int make(struct shape *shape, struct shape_wish wish, struct err *err)
{
	wish.accel = "tcg";
	return shape_make(&wish, &qemu, shape, err);
}

static char *words_of(const struct shape *shape)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	json_start(&json, &text);
	json_open(&json, NULL);
	shape_words(shape, &json, "shape");
	json_close(&json);
	return json_get_value(buf_string(&text), "shape", &(size_t){ 0 })
		       ? strdup(strchr(buf_string(&text) + 1, '{'))
		       : NULL;
}

/* The words of a shape end in one more brace than they have. */
static int read_words(char *text, struct shape *shape, struct err *err)
{
	text[strlen(text) - 1] = 0;
	return shape_read(text, shape, err);
}

TEST(there_and_back)
{
	const char *disks[] = { NULL, NULL };
	struct shape_wish wish = { .ram_bytes = 128 << 20,
				   .cpus = 2,
				   .cpu = "max,+x",
				   .network = true,
				   .disks = disks,
				   .disk_count = 2,
				   .folders = 3 };
	auto_shape struct shape shape = { 0 };
	auto_shape struct shape again = { 0 };
	auto_free char *text = NULL;
	uint8_t id[2][LAYER_ID];
	struct err err = { 0 };

	begin();
	disks[0] = disks[1] = disk;
	CHECK_INT(make(&shape, wish, &err), 0);
	CHECK_TEXT(shape.accel, "tcg");
	CHECK_TEXT(shape.cpu, "max,+x");
	CHECK_TEXT(shape.qemu, "7.2.22 (of tests)");
	CHECK_INT(shape.disk_count, 2);
	text = words_of(&shape);
	CHECK(text && read_words(text, &again, &err) == 0);
	CHECK_INT(again.folders, 3);
	shape_id(&shape, id[0]);
	shape_id(&again, id[1]);
	CHECK(memcmp(id[0], id[1], LAYER_ID) == 0);
	CHECK_INT(shape_same(&shape, "a", &again, "b", NULL), 0);
	CHECK_INT(shape_fits(&again, &qemu, "tip x", &err), 0);
	/* Where a disk lies does not count. */
	free(again.disk[0].path);
	again.disk[0].path = strdup("/elsewhere");
	shape_id(&again, id[1]);
	CHECK(memcmp(id[0], id[1], LAYER_ID) == 0);
	finish();
}

TEST(disks_that_were_moved)
{
	const char *disks[] = { NULL, NULL };
	struct shape_wish wish = { .disks = disks, .disk_count = 2 };
	auto_shape struct shape shape = { 0 };
	auto_free char *other = NULL, *packed = NULL;
	const char *to[] = { NULL, NULL };
	struct err err = { 0 };

	begin();
	other = file_join(home, "other");
	packed = file_join(home, "other.qcow2");
	put(other, "a disk");
	put(packed, "a disk");
	disks[0] = disks[1] = disk;
	CHECK_INT(make(&shape, wish, &err), 0);
	CHECK_INT(shape_move(&shape, NULL, 0, "tip x", &err), 0);
	CHECK_TEXT(shape.disk[1].path, disk);
	to[0] = disk;
	to[1] = other;
	CHECK_INT(shape_move(&shape, to, 2, "tip x", &err), 0);
	CHECK_TEXT(shape.disk[0].path, disk);
	CHECK_TEXT(shape.disk[1].path, other);
	CHECK_INT(shape_fits(&shape, &qemu, "tip x", &err), 0);
	CHECK_INT(shape_move(&shape, to, 1, "tip x", &err), -EINVAL);
	CHECK_TEXT(err.text, "tip x has 2 disks, not 1");
	to[1] = packed;
	CHECK_INT(shape_move(&shape, to, 2, "tip x", &err), -EINVAL);
	CHECK(strstr(err.text, ".qcow2") && strstr(err.text, packed));
	to[1] = "/nonesuch";
	CHECK_INT(shape_move(&shape, to, 2, "tip x", &err), -ENOENT);
	put(other, "no disk");
	CHECK_TEXT(shape.disk[1].path, other);
	CHECK_INT(shape_fits(&shape, &qemu, "tip x", &err), -EINVAL);
	CHECK(strstr(err.text, "not what it was"));
	finish();
}

static int memos(const char *folder)
{
	auto_free char *path = file_join(folder, "brood");
	int count = 0;
	DIR *list = opendir(path);

	for (struct dirent *one; list && (one = readdir(list));)
		count += strncmp(one->d_name, "digest.", 7) == 0;
	if (list)
		closedir(list);
	return count;
}

/* The sum of the numbers of their files: another one for each that is new. */
static unsigned long inodes(const char *folder)
{
	auto_free char *path = file_join(folder, "brood");
	unsigned long sum = 0;
	DIR *list = opendir(path);

	for (struct dirent *one; list && (one = readdir(list));)
		if (strncmp(one->d_name, "digest.", 7) == 0)
			sum += one->d_ino;
	if (list)
		closedir(list);
	return sum;
}

TEST(digests_are_handed_on)
{
	const char *disks[] = { NULL };
	struct shape_wish wish = { .disks = disks, .disk_count = 1 };
	auto_shape struct shape shape = { 0 };
	auto_free char *theirs = NULL, *name = NULL;
	char digest[SHAPE_DIGEST + 1];
	unsigned long before;
	struct stat st;
	struct err err = { 0 };

	umask(077);
	begin();
	theirs = file_join(home, "theirs");
	name = file_join(home, "name");
	disks[0] = disk;
	CHECK_INT(make(&shape, wish, &err), 0);
	CHECK_INT(memos(home), 2);
	CHECK_INT(shape_hand_on(&shape, &qemu, theirs, &err), 0);
	CHECK_INT(memos(theirs), 2);
	CHECK(stat(theirs, &st) == 0 && (st.st_mode & 0777) == 0755);
	/* Whatever it is called there. */
	CHECK(setenv("XDG_CACHE_HOME", theirs, 1) == 0);
	CHECK(symlink(disk, name) == 0);
	before = inodes(theirs);
	CHECK_INT(shape_digest(name, digest, &err), 0);
	CHECK_TEXT(digest, shape.disk[0].digest);
	/* Found out anew it would have been published anew. */
	CHECK_INT(memos(theirs), 2);
	CHECK(inodes(theirs) == before && before);
	CHECK_INT(shape_hand_on(&shape, &qemu, theirs, &err), 0);
	CHECK(inodes(theirs) == before);
	/* Known anew where it is another one. */
	CHECK(setenv("XDG_CACHE_HOME", home, 1) == 0);
	put(disk, "another");
	CHECK_INT(shape_fits(&shape, &qemu, "tip x", &err), -EINVAL);
	CHECK_INT(shape_hand_on(&shape, &qemu, theirs, &err), 0);
	CHECK_INT(memos(theirs), 3);
	finish();
}

TEST(usual_ones)
{
	auto_shape struct shape shape = { 0 };

	begin();
	CHECK_INT(make(&shape, (struct shape_wish){ 0 }, NULL), 0);
	CHECK_INT((long long)shape.ram_bytes, 256 << 20);
	CHECK_INT(shape.cpus, 1);
	CHECK_TEXT(shape.cpu, "max");
	CHECK(!shape.network && !shape.disk_count);
	finish();
}

TEST(refused_wishes)
{
	const char *many[SHAPE_DISKS_MOST + 1];
	const char *none[] = { "/nonesuch" };
	const struct shape_wish wishes[] = {
		{ .ram_bytes = 1 },
		{ .ram_bytes = (16 << 20) + 1 },
		{ .ram_bytes = 15 << 20 },
		{ .ram_bytes = UINT64_MAX },
		{ .ram_bytes = UINT64_MAX << 20 },
		{ .cpus = -1 },
		{ .cpus = 256 },
		{ .cpu = "a b" },
		{ .cpu = "a\nb" },
		{ .cpu = "a\"b" },
		{ .cpu = "" },
		{ .disks = none, .disk_count = 1 },
		{ .disks = many, .disk_count = SHAPE_DISKS_MOST + 1 },
		{ .folders = -1 },
		{ .folders = SHAPE_FOLDERS_MOST + 1 },
	};

	begin();
	for (int i = 0; i <= SHAPE_DISKS_MOST; i++)
		many[i] = disk;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
		struct shape shape;
		struct err err = { 0 };
		int rc = make(&shape, wishes[i], &err);

		if (rc >= 0)
			printf("# wish %zu\n", i);
		CHECK(rc < 0 && err.text[0] && !strchr(err.text, '\n'));
		CHECK_INT(shape.disk_count, 0);
		shape_fini(&shape);
	}
	finish();
}

/* Each thing that counts makes another id, and is named. */
TEST(differences)
{
	static const char *const named[] = {
		"memory 64 MiB, not 128 MiB",
		"CPUs 3, not 1",
		"CPU model other, not max",
		"accelerator kvm, not tcg",
		"host CPU Some, not none",
		"QEMU 8.0, not 7.2",
		"build of QEMU 00",
		"machine q35,x, not q35",
		"network yes, not no",
		"disks 0, not 1",
		"places for folders 2, not 0",
	};
	const char *disks[] = { NULL };
	struct shape_wish wish = { .ram_bytes = 128 << 20,
				   .disks = disks,
				   .disk_count = 1 };
	auto_shape struct shape shape = { 0 };
	uint8_t id[LAYER_ID], other_id[LAYER_ID];

	begin();
	disks[0] = disk;
	CHECK_INT(make(&shape, wish, NULL), 0);
	shape_id(&shape, id);
	for (int i = 0; i < 11; i++) {
		struct shape other = shape;
		struct err err = { 0 };

		switch (i) {
		case 0: other.ram_bytes = 64 << 20; break;
		case 1: other.cpus = 3; break;
		case 2: strcpy(other.cpu, "other"); break;
		case 3: strcpy(other.accel, "kvm"); break;
		case 4: strcpy(other.host_cpu, "Some"); break;
		case 5: strcpy(other.qemu, "8.0"); break;
		case 6: memset(other.qemu_digest, '0', SHAPE_DIGEST); break;
		case 7: strcpy(other.machine, "q35,x"); break;
		case 8: other.network = true; break;
		case 9: other.disk_count = 0; break;
		case 10: other.folders = 2; break;
		}
		shape_id(&other, other_id);
		CHECK(memcmp(id, other_id, LAYER_ID) != 0);
		CHECK_INT(shape_same(&other, "tip a", &shape, "machine b",
				     &err),
			  -EINVAL);
		if (!strstr(err.text, named[i]))
			printf("# %s\n", err.text);
		CHECK(strstr(err.text, named[i]) != NULL);
		CHECK(strstr(err.text, "tip a") != NULL &&
		      strstr(err.text, "machine b") != NULL);
	}
	{
		struct shape other = shape;
		struct err err = { 0 };

		memset(other.disk[0].digest, '0', SHAPE_DIGEST);
		CHECK(shape_same(&other, "a", &shape, "b", &err) < 0);
		CHECK(strstr(err.text, disk) != NULL);
	}
	finish();
}

TEST(does_not_fit)
{
	const char *disks[] = { NULL };
	struct shape_wish wish = { .disks = disks, .disk_count = 1 };
	auto_shape struct shape shape = { 0 };
	struct qemu other;
	struct err err = { 0 };

	begin();
	disks[0] = disk;
	CHECK_INT(make(&shape, wish, NULL), 0);
	other = qemu;
	strcpy(other.version, "9.9.9");
	CHECK_INT(shape_fits(&shape, &other, "tip x", &err), -EINVAL);
	CHECK(strstr(err.text, "tip x") && strstr(err.text, "7.2.22") &&
	      strstr(err.text, "9.9.9"));
	put(disk, "another");
	CHECK_INT(shape_fits(&shape, &qemu, "tip x", &err), -EINVAL);
	CHECK(strstr(err.text, disk) && strstr(err.text, "not what it was"));
	put(disk, "a disk");
	CHECK_INT(shape_fits(&shape, &qemu, "tip x", &err), 0);
	CHECK(remove(disk) == 0);
	CHECK_INT(shape_fits(&shape, &qemu, "tip x", &err), -ENOENT);
	CHECK(strstr(err.text, "needs its disk") && strstr(err.text, disk));
	put(disk, "a disk");
	put(program, "not really!");
	CHECK_INT(shape_fits(&shape, &qemu, "tip x", &err), -EINVAL);
	CHECK(strstr(err.text, "another build of QEMU") != NULL);
	finish();
}

/* A digest is remembered for a file, not for its name. */
TEST(digests)
{
	char one[SHAPE_DIGEST + 1], two[SHAPE_DIGEST + 1];

	begin();
	CHECK_INT(shape_digest(disk, one, NULL), 0);
	CHECK_INT(shape_digest(disk, two, NULL), 0);
	CHECK_TEXT(one, two);
	put(disk, "A disk");
	CHECK_INT(shape_digest(disk, two, NULL), 0);
	CHECK(strcmp(one, two) != 0);
	CHECK(shape_digest("/nonesuch", two, NULL) == -ENOENT);
	CHECK(shape_digest(home, two, NULL) < 0);
	finish();
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHAPE(memory, cpus, machine, accel, cpu, disks)                   \
	"{\"memory\":" memory ",\"cpus\":" cpus ",\"machine\":\"" machine \
	"\",\"accel\":\"" accel "\",\"cpu\":\"" cpu "\",\"qemu\":\"7\","  \
	"\"qemu_digest\":\"" HEX "\",\"network\":false,\"disks\":[" disks "]}"
#define DISK(path, digest) "{\"path\":\"" path "\",\"digest\":\"" digest "\"}"

TEST(words_that_are_read)
{
	static const char *const good[] = {
		SHAPE("134217728", "1", "q35,smm=off", "tcg", "max", ""),
		SHAPE("134217728", "255", "q35", "kvm", "host,a=on",
		      DISK("/a b.qcow2", HEX)),
	};
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"null",
		"{\"memory\":1}",
		SHAPE("0", "1", "q35", "tcg", "max", ""),
		SHAPE("-1", "1", "q35", "tcg", "max", ""),
		SHAPE("99999999999999999", "1", "q35", "tcg", "max", ""),
		SHAPE("134217728", "0", "q35", "tcg", "max", ""),
		SHAPE("134217728", "256", "q35", "tcg", "max", ""),
		SHAPE("134217728", "1", "pc", "tcg", "max", ""),
		SHAPE("134217728", "1", "q35 -x", "tcg", "max", ""),
		SHAPE("134217728", "1", "q35", "", "max", ""),
		SHAPE("134217728", "1", "q35", "tcg -S", "max", ""),
		SHAPE("134217728", "1", "q35", "tcg", "", ""),
		SHAPE("134217728", "1", "q35", "tcg", "a\\nb", ""),
		SHAPE("134217728", "1", "q35", "tcg", "a/b", ""),
		SHAPE("134217728", "1", "q35", "tcg", "max",
		      DISK("relative", HEX)),
		SHAPE("134217728", "1", "q35", "tcg", "max",
		      DISK("/a\\nb", HEX)),
		SHAPE("134217728", "1", "q35", "tcg", "max", DISK("/a", "12")),
		SHAPE("134217728,\"folders\":-1", "1", "q35", "tcg", "max", ""),
		SHAPE("134217728,\"folders\":9", "1", "q35", "tcg", "max", ""),
		SHAPE("134217728", "1", "q35", "tcg", "max",
		      DISK("/a", HEX) "," DISK("b", HEX)),
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		auto_shape struct shape shape = { 0 };

		CHECK_INT(shape_read(good[i], &shape, NULL), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct shape shape;
		struct err err = { 0 };
		int rc = shape_read(bad[i], &shape, &err);

		if (rc >= 0)
			printf("# %s\n", bad[i]);
		CHECK(rc < 0 && err.text[0] && !shape.disk_count);
	}
}

TEST_MAIN
