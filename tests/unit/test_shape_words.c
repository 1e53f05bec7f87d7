/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: what is made can be read, and what is read cannot be anything. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/qemu.h"
#include "machine/shape.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/brood-shape-XXXXXX";
static const struct qemu qemu = { .path = (char *)(uintptr_t)"/bin/true",
				  .version = "7.2.22 (one of them)" };

static char *make_disk(const char *name)
{
	char *path = file_join(folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
	close(fd);
	return path;
}

static int make(const char *cpu, const char *disk, struct shape *shape)
{
	const struct shape_wish wish = { .accel = "tcg",
					 .cpu = cpu,
					 .disks = &disk,
					 .disk_count = disk ? 1 : 0 };

	return shape_make(&wish, &qemu, shape, NULL);
}

static char *words_of(const struct shape *shape)
{
	auto_buf struct buf text = { 0 };
	struct json json;

	json_start(&json, &text);
	shape_words(shape, &json, NULL);
	return buf_steal(&text);
}

TEST(begin)
{
	CHECK(mkdtemp(folder) != NULL);
	setenv("XDG_CACHE_HOME", folder, 1);
}

TEST(made_is_read)
{
	auto_shape struct shape shape = { 0 };
	auto_shape struct shape again = { 0 };
	auto_free char *disk = make_disk("a,b.img");
	auto_free char *words = NULL;

	CHECK_INT(make("max,+sse4.2", disk, &shape), 0);
	words = words_of(&shape);
	CHECK_INT(shape_read(words, &again, NULL), 0);
	CHECK_INT(shape_same(&shape, "one", &again, "other", NULL), 0);
	CHECK_TEXT(again.disk[0].path, shape.disk[0].path);
	CHECK_INT(shape_fits(&again, &qemu, "it", NULL), 0);
}

/* Else the machine would run, and nobody could read what it is. */
TEST(what_cannot_be_read_is_not_made)
{
	struct shape shape;
	char cpu[100];

	CHECK_INT(make("max,model-id=Some(R)", NULL, &shape), -EINVAL);
	CHECK_INT(make("max -S", NULL, &shape), -EINVAL);
	CHECK_INT(make("", NULL, &shape), -EINVAL);
	memset(cpu, 'm', sizeof(cpu) - 1);
	cpu[sizeof(cpu) - 1] = 0;
	CHECK_INT(make(cpu, NULL, &shape), -EINVAL);
}

TEST(no_regular_file)
{
	auto_free char *pipe = file_join(folder, "pipe");
	char digest[SHAPE_DIGEST + 1];

	CHECK_INT(mkfifo(pipe, 0600), 0);
	CHECK_INT(shape_digest(pipe, digest, NULL), -EINVAL);
	CHECK_INT(shape_digest("/dev/zero", digest, NULL), -EINVAL);
	CHECK_INT(shape_digest(folder, digest, NULL), -EINVAL);
}

/* "old" in the words of a good shape becomes "new". */
static int read_with(const char *old, const char *new, struct shape *shape)
{
	auto_shape struct shape good = { 0 };
	auto_free char *words = NULL, *other = NULL;
	char *at;

	CHECK_INT(make(NULL, NULL, &good), 0);
	words = words_of(&good);
	at = strstr(words, old);
	CHECK(at != NULL);
	if (!at)
		return 0;
	*at = 0;
	other = file_format("%s%s%s", words, new, at + strlen(old));
	return shape_read(other, shape, NULL);
}

TEST(words_of_others)
{
	auto_shape struct shape shape = { 0 };

	CHECK_INT(read_with("\"tcg\"", "\"qtest\"", &shape), -EBADMSG);
	CHECK_INT(read_with("\"max\"", "\"max /x\"", &shape), -EBADMSG);
	CHECK_INT(read_with("q35,", "q35 -S,", &shape), -EBADMSG);
	CHECK_INT(read_with("q35,", "q35,firmware=x,", &shape), 0);
	CHECK_INT(shape_fits(&shape, &qemu, "it", NULL), -EINVAL);
}

TEST(end)
{
	file_remove_tree(folder, NULL);
}

TEST_MAIN
