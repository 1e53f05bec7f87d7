/* SPDX-License-Identifier: Apache-2.0 */
/* Tips in a file: carried whole, and whatever the file is, nothing wrong gets
 * a name. */
#include "base/sha256.h"
#include "brood/bundle_format.h"
#include "image/bundle.h"
#include "image/fold.h"
#include "image/sweep.h"
#include "images.h"
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { PAGES = 2048 };

/* "one" is a base and a difference, "two" has one more, a state, a disk and a
 * working set. */
static void make(const struct images *images)
{
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_memory struct made_memory before = made_memory_new(PAGES);
	auto_memory struct made_memory set = made_memory_new(PAGES);
	auto_memory struct made_memory none = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;
	struct layer layer;
	struct err err = { 0 };

	made_step(&memory, 0);
	made_step(&before, 0);
	CHECK_INT(made_base(images, &memory, &tip), 0);
	made_step(&memory, 1);
	CHECK_INT(made_push(images, &tip, &memory, &before), 0);
	CHECK_INT(made_publish(images, &tip, "one"), 0);
	made_step(&before, 1);
	made_step(&memory, 2);
	CHECK_INT(made_push(images, &tip, &memory, &before), 0);
	memcpy(set.at + 5 * LAYER_PAGE, memory.at + 5 * LAYER_PAGE,
	       9 * LAYER_PAGE);
	CHECK_INT(made_layer(images, LAYER_WORKING, &set, &none,
			     tip.layers[2].head.id, &layer),
		  0);
	CHECK_INT(tip_push(&tip, &layer, &err), 0);
	CHECK_INT(made_state(images, &tip, 12345), 0);
	CHECK_INT(made_disk(images, &tip, 3 << 20), 0);
	CHECK_INT(made_publish(images, &tip, "two"), 0);
}

static bool is_right(const struct images *images, const char *name, int step)
{
	auto_memory struct made_memory memory = made_memory_new(PAGES);

	made_step(&memory, step);
	return made_is(images, name, &memory);
}

/* A bundle in memory. */
struct bytes {
	uint8_t *at;
	size_t len;
};

static struct bytes export(const struct images *images,
			   const char *const *names, int count)
{
	const struct bundle_options options = { 0 };
	auto_close int fd = memfd_create("bundle", MFD_CLOEXEC);
	struct bundle_counts counts;
	struct bytes bytes = { 0 };
	struct err err = { 0 };
	struct stat st;

	CHECK_INT(bundle_export(images, names, count, fd, &options, &counts,
				&err),
		  0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(fstat(fd, &st), 0);
	CHECK_INT(counts.packed_bytes, st.st_size);
	bytes.len = (size_t)st.st_size;
	bytes.at = malloc(bytes.len);
	CHECK_INT(fd_pread_all(fd, bytes.at, bytes.len, 0, &err), 0);
	return bytes;
}

static const char *const both[] = { "one", "two" };

static int import_as(const struct images *images, const void *at, size_t len,
		     const struct bundle_options *options,
		     struct bundle_counts *counts, struct err *err)
{
	auto_close int fd = memfd_create("bundle", MFD_CLOEXEC);

	CHECK(fd_write_all(fd, at, len, NULL) >= 0);
	lseek(fd, 0, SEEK_SET);
	return bundle_import(images, fd, options, NULL, NULL, counts, err);
}

static int import(const struct images *images, const struct bytes *bytes,
		  struct bundle_counts *counts)
{
	const struct bundle_options options = { 0 };
	struct err err = { 0 };
	int rc = import_as(images, bytes->at, bytes->len, &options, counts,
			   &err);

	if (rc < 0)
		printf("# %s\n", err.text);
	return rc;
}

static int count_tip(const char *name, void *context)
{
	(void)name;
	++*(int *)context;
	return 0;
}

static int tips(const struct images *images)
{
	int count = 0;

	CHECK_INT(tip_each(images, count_tip, &count, NULL), 0);
	return count;
}

/* All objects that are there are right. */
static bool all_right(const struct images *images)
{
	DIR *dir = opendir(images->folder);
	struct dirent *entry;
	bool right = true;

	while (dir && (entry = readdir(dir)))
		if (store_is_name(entry->d_name))
			right &= layer_verify(images, entry->d_name, NULL) >= 0;
	closedir(dir);
	return right;
}

TEST(carried_to_another_store)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	struct bundle_counts counts;
	struct bytes bytes, again;
	struct err err = { 0 };

	make(&from.images);
	bytes = export(&from.images, both, 2);
	CHECK_INT(import(&to.images, &bytes, &counts), 0);
	CHECK_INT(counts.tips, 2);
	CHECK_INT(counts.objects, 6);
	CHECK_INT(counts.there, 0);
	CHECK(is_right(&to.images, "one", 1));
	CHECK(is_right(&to.images, "two", 2));
	CHECK_INT(made_objects(&to.images), 6);
	CHECK(all_right(&to.images));

	auto_tip struct tip a = TIP_EMPTY, b = TIP_EMPTY;
	CHECK_INT(tip_open(&from.images, "two", &a, &err), 0);
	CHECK_INT(tip_open(&to.images, "two", &b, &err), 0);
	CHECK(memcmp(a.id, b.id, LAYER_ID) == 0);
	CHECK(b.has_working);
	CHECK_INT(b.disk_count, 1);
	CHECK_INT(b.state.head.data_bytes, 12345);
	CHECK_TEXT(a.words, b.words);
	/* Holes stay holes. */
	struct stat st;
	CHECK_INT(fstat(b.layers[0].fd, &st), 0);
	CHECK(st.st_blocks * 512 < st.st_size / 2);
	/* The same again is the same. */
	again = export(&to.images, both, 2);
	CHECK_INT(again.len, bytes.len);
	CHECK(memcmp(again.at, bytes.at, bytes.len) == 0);
	CHECK(bytes.len < counts.bytes * 3 / 4);
	CHECK_INT(import(&to.images, &bytes, &counts), 0);
	CHECK_INT(counts.there, 6);
	free(bytes.at);
	free(again.at);
}

TEST(names)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	struct bundle_options options = { .name = "other" };
	struct bundle_counts counts;
	struct bytes one, two;
	struct err err = { 0 };

	make(&from.images);
	one = export(&from.images, both, 1);
	two = export(&from.images, both, 2);
	CHECK_INT(import_as(&to.images, one.at, one.len, &options, &counts,
			    &err),
		  0);
	CHECK(is_right(&to.images, "other", 1));
	CHECK_INT(tips(&to.images), 1);
	CHECK_INT(import_as(&to.images, two.at, two.len, &options, &counts,
			    &err),
		  -EINVAL);
	options.name = "no/name";
	CHECK_INT(import_as(&to.images, one.at, one.len, &options, &counts,
			    &err),
		  -EINVAL);
	/* What has the name stays unless it is to be replaced. */
	CHECK_INT(fold_tip(&from.images, "two", "other", FOLD_ALL, &err), 0);
	free(one.at);
	one = export(&from.images, (const char *const[]){ "other" }, 1);
	options.name = NULL;
	CHECK_INT(import_as(&to.images, one.at, one.len, &options, &counts,
			    &err),
		  -EEXIST);
	CHECK(is_right(&to.images, "other", 1));
	options.replace = true;
	CHECK_INT(import_as(&to.images, one.at, one.len, &options, &counts,
			    &err),
		  0);
	CHECK(is_right(&to.images, "other", 2));
	free(one.at);
	free(two.at);
}

TEST(what_cannot_be_exported)
{
	auto_made_images struct made_images from = made_images_new();
	const struct bundle_options options = { 0 };
	const char *const twice[] = { "one", "one" };
	const char *const none[] = { "none" };
	auto_close int fd = memfd_create("bundle", MFD_CLOEXEC);
	auto_tip struct tip tip = TIP_EMPTY;
	struct bundle_counts counts;
	struct err err = { 0 };
	char path[256];
	int file;

	make(&from.images);
	CHECK_INT(bundle_export(&from.images, none, 1, fd, &options, &counts,
				&err),
		  -ENOENT);
	CHECK_INT(bundle_export(&from.images, twice, 2, fd, &options, &counts,
				&err),
		  -EINVAL);
	CHECK_INT(bundle_export(&from.images, both, 0, fd, &options, &counts,
				&err),
		  -EINVAL);
	/* Bytes that changed on disk, as if by themselves: the times of the
	 * file stay as they were. */
	CHECK_INT(tip_open(&from.images, "one", &tip, &err), 0);
	snprintf(path, sizeof(path), "%s/%s", from.images.folder,
		 tip.layers[1].hex);
	tip_close(&tip);
	CHECK_INT(chmod(path, 0644), 0);
	file = open(path, O_RDWR | O_CLOEXEC);
	CHECK(pwrite(file, "x", 1, 20000) == 1);
	close(file);
	CHECK_INT(bundle_export(&from.images, both, 1, fd, &options, &counts,
				&err),
		  -EBADMSG);
}

TEST(through_a_pipe)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	const struct bundle_options options = { 0 };
	struct bundle_counts counts;
	struct err err = { 0 };
	int pipes[2], status;
	pid_t pid;

	make(&from.images);
	CHECK_INT(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		_exit(bundle_export(&from.images, both, 2, pipes[1], &options,
				    &counts, NULL) < 0);
	close(pipes[1]);
	CHECK_INT(bundle_import(&to.images, pipes[0], &options, NULL, NULL,
				&counts, &err),
		  0);
	CHECK_TEXT(err.text, "");
	close(pipes[0]);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(is_right(&to.images, "two", 2));
}

/* ---- damaged ------------------------------------------------------------- */

static void must_fail(const struct images *images, const void *at, size_t len,
		      const char *what, size_t where)
{
	const struct bundle_options options = { .replace = true };
	struct bundle_counts counts;
	struct err err = { 0 };
	int rc = import_as(images, at, len, &options, &counts, &err);

	if (rc >= 0 || !err.text[0] || tips(images) != 0) {
		CHECK(!"it was taken");
		printf("# %s %zu: %d %s\n", what, where, rc, err.text);
	}
}

TEST(cut_off)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	struct bundle_counts counts;
	struct bytes bytes;

	make(&from.images);
	bytes = export(&from.images, both, 2);
	for (size_t len = 0; len < 1200; len += 7)
		must_fail(&to.images, bytes.at, len, "cut at", len);
	CHECK_INT(made_objects(&to.images), 0);
	for (int i = 1; i < 40; i++)
		must_fail(&to.images, bytes.at, bytes.len * i / 40, "cut at",
			  bytes.len * i / 40);
	for (size_t less = 1; less < 60; less++)
		must_fail(&to.images, bytes.at, bytes.len - less, "less", less);
	CHECK(all_right(&to.images));
	/* And one byte too many. */
	bytes.at = realloc(bytes.at, bytes.len + 1);
	bytes.at[bytes.len] = 0;
	must_fail(&to.images, bytes.at, bytes.len + 1, "more", 1);
	CHECK_INT(import(&to.images, &bytes, &counts), 0);
	CHECK(is_right(&to.images, "two", 2));
	free(bytes.at);
}

TEST(flipped)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	struct bundle_counts counts;
	struct bytes bytes;
	uint64_t state = 7;

	make(&from.images);
	bytes = export(&from.images, both, 2);
	for (int i = 0; i < 400; i++) {
		size_t at;

		state = state * 6364136223846793005 + 1442695040888963407;
		at = (state >> 33) % (i < 200 ? 1000 : bytes.len);
		bytes.at[at] ^= 1 << (state >> 20) % 8;
		must_fail(&to.images, bytes.at, bytes.len, "flipped", at);
		bytes.at[at] ^= 1 << (state >> 20) % 8;
	}
	CHECK(all_right(&to.images));
	CHECK_INT(import(&to.images, &bytes, &counts), 0);
	CHECK(is_right(&to.images, "one", 1));
	free(bytes.at);
}

/* ---- lies with a right checksum ------------------------------------------ */

static void seal(struct bytes *bytes)
{
	uint8_t *end = bytes->at + bytes->len - sizeof(struct bundle_end);

	sha256_of(bytes->at, bytes->len - sizeof(struct bundle_end),
		  end + offsetof(struct bundle_end, sum));
}

static struct bundle_header *header_of(struct bytes *bytes)
{
	return (void *)bytes->at;
}

static struct bundle_object *objects_of(struct bytes *bytes)
{
	return (void *)(header_of(bytes) + 1);
}

static struct bundle_tip *tip_of(struct bytes *bytes)
{
	return (void *)(objects_of(bytes) + header_of(bytes)->object_count);
}

typedef void lie(struct bytes *bytes);

static void lie_ram(struct bytes *b)
{
	header_of(b)->ram_bytes = LAYER_PAGE;
}
static void lie_huge(struct bytes *b)
{
	header_of(b)->ram_bytes = LAYER_RAM_MOST;
	header_of(b)->data_bytes +=
		(LAYER_RAM_MOST >> 1) - objects_of(b)->data_bytes;
	objects_of(b)->data_bytes = LAYER_RAM_MOST >> 1;
}
static void lie_objects(struct bytes *b)
{
	header_of(b)->object_count = ~0u;
}
static void lie_no_objects(struct bytes *b)
{
	header_of(b)->object_count = 0;
}
static void lie_tips(struct bytes *b)
{
	header_of(b)->tip_count = ~0u;
}
static void lie_total(struct bytes *b)
{
	header_of(b)->data_bytes++;
}
static void lie_tables(struct bytes *b)
{
	objects_of(b)->table_bytes += 32;
	header_of(b)->data_bytes += 32;
}
static void lie_no_tables(struct bytes *b)
{
	header_of(b)->data_bytes -= objects_of(b)->table_bytes - 64;
	objects_of(b)->table_bytes = 64;
}
static void lie_less_data(struct bytes *b)
{
	objects_of(b)->data_bytes -= LAYER_PAGE;
	header_of(b)->data_bytes -= LAYER_PAGE;
}
static void lie_id(struct bytes *b)
{
	objects_of(b)->id[7] ^= 1;
}
static void lie_no_id(struct bytes *b)
{
	memset(objects_of(b)->id, 0, 32);
}
static void lie_kind(struct bytes *b)
{
	objects_of(b)->kind = LAYER_DISK;
}
static void lie_no_kind(struct bytes *b)
{
	objects_of(b)->kind = 77;
}
static void lie_order(struct bytes *b)
{
	struct bundle_object first = objects_of(b)[0];

	objects_of(b)[0] = objects_of(b)[1];
	objects_of(b)[1] = first;
}
static void lie_name(struct bytes *b)
{
	memcpy(tip_of(b)->name, "../x", 5);
}
static void lie_no_name(struct bytes *b)
{
	memset(tip_of(b)->name, 0, 72);
}
static void lie_long_name(struct bytes *b)
{
	memset(tip_of(b)->name, 'a', BUNDLE_NAME);
}
static void lie_behind_name(struct bytes *b)
{
	tip_of(b)->name[70] = 'x';
}
static void lie_layers(struct bytes *b)
{
	tip_of(b)->layer_count = 65;
}
static void lie_no_layers(struct bytes *b)
{
	tip_of(b)->layer_count = 0;
}
static void lie_disks(struct bytes *b)
{
	tip_of(b)->disk_count = ~0u;
}
static void lie_words(struct bytes *b)
{
	tip_of(b)->words_bytes = ~0u;
}
static void lie_json(struct bytes *b)
{
	char *words = (char *)(tip_of(b) + 1) + 2 * sizeof(uint32_t);

	CHECK(words[0] == '{');
	words[0] = 'x';
}
static void lie_state(struct bytes *b)
{
	tip_of(b)->state = 6;
}
static void lie_state_layer(struct bytes *b)
{
	tip_of(b)->state = 0;
}
static void lie_number(struct bytes *b)
{
	memset(tip_of(b) + 1, 0xff, sizeof(uint32_t));
}
static void lie_no_base(struct bytes *b)
{
	memset(tip_of(b) + 1, 1, sizeof(uint8_t));
}
static void lie_twice(struct bytes *b)
{
	memset(tip_of(b) + 1, 0, 2 * sizeof(uint32_t));
}
static void lie_frame(struct bytes *b)
{
	uint8_t *frame = (uint8_t *)(tip_of(b) + 1) + 2 * sizeof(uint32_t) +
			 tip_of(b)->words_bytes;

	memset(frame, 0xff, sizeof(uint32_t));
}
static void lie_empty_frame(struct bytes *b)
{
	uint8_t *frame = (uint8_t *)(tip_of(b) + 1) + 2 * sizeof(uint32_t) +
			 tip_of(b)->words_bytes;

	memset(frame, 0, sizeof(uint32_t));
}

TEST(lies_are_found)
{
	static lie *const lies[] = {
		lie_ram,	 lie_huge,	  lie_objects, lie_no_objects,
		lie_tips,	 lie_total,	  lie_tables,  lie_no_tables,
		lie_less_data,	 lie_id,	  lie_no_id,   lie_kind,
		lie_no_kind,	 lie_order,	  lie_name,    lie_no_name,
		lie_long_name,	 lie_behind_name, lie_layers,  lie_no_layers,
		lie_disks,	 lie_words,	  lie_json,    lie_state,
		lie_state_layer, lie_number,	  lie_no_base, lie_twice,
		lie_frame,	 lie_empty_frame,
	};
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	struct bundle_counts counts;
	struct bytes bytes, copy;

	make(&from.images);
	bytes = export(&from.images, both, 1);
	copy.len = bytes.len;
	copy.at = malloc(copy.len);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		memcpy(copy.at, bytes.at, bytes.len);
		lies[i](&copy);
		seal(&copy);
		must_fail(&to.images, copy.at, copy.len, "lie", i);
	}
	CHECK(all_right(&to.images));
	/* A seal alone is right. */
	memcpy(copy.at, bytes.at, bytes.len);
	seal(&copy);
	CHECK_INT(import(&to.images, &copy, &counts), 0);
	free(bytes.at);
	free(copy.at);
}

/* ---- stopped ------------------------------------------------------------- */

/* A store that has a tip already, and what an import that failed left there:
 * after a sweep it is as before. */
static void check_as_before(const struct images *images, int objects)
{
	const struct sweep_options options = { 0 };
	struct sweep_counts counts;
	struct err err = { 0 };

	CHECK_INT(tips(images), 1);
	CHECK(is_right(images, "one", 1));
	CHECK(all_right(images));
	CHECK_INT(sweep_images(images, &options, &counts, &err), 0);
	CHECK_INT(made_objects(images), objects);
}

TEST(killed)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	const struct bundle_options options = { 0 };
	struct bundle_counts counts;
	struct bytes one, two;

	make(&from.images);
	one = export(&from.images, both, 1);
	two = export(&from.images, both, 2);
	CHECK_INT(import(&to.images, &one, &counts), 0);
	for (int i = 1; i < 12; i++) {
		int pipes[2], status;
		pid_t pid;

		CHECK_INT(pipe2(pipes, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0) {
			close(pipes[1]);
			_exit(bundle_import(&to.images, pipes[0], &options,
					    NULL, NULL, &counts, NULL) < 0);
		}
		close(pipes[0]);
		CHECK(fd_write_all(pipes[1], two.at, two.len * i / 12, NULL) >=
		      0);
		kill(pid, SIGKILL);
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		close(pipes[1]);
	}
	check_as_before(&to.images, 2);
	CHECK_INT(import(&to.images, &two, &counts), 0);
	CHECK(is_right(&to.images, "two", 2));
	free(one.at);
	free(two.at);
}

/* What a file system without room says, said by a limit. */
TEST(no_room)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	struct bundle_counts counts;
	struct bytes one, two;

	make(&from.images);
	one = export(&from.images, both, 1);
	two = export(&from.images, both, 2);
	CHECK_INT(import(&to.images, &one, &counts), 0);
	for (rlim_t most = 1 << 10; most < 4 << 20; most *= 4) {
		const struct rlimit limit = { most, most };
		auto_close int fd = memfd_create("bundle", MFD_CLOEXEC);
		int status;
		pid_t pid;

		CHECK(fd_write_all(fd, two.at, two.len, NULL) >= 0);
		lseek(fd, 0, SEEK_SET);
		pid = fork();
		if (pid == 0) {
			const struct bundle_options options = { 0 };
			struct err err = { 0 };
			int rc;

			signal(SIGXFSZ, SIG_IGN);
			setrlimit(RLIMIT_FSIZE, &limit);
			rc = bundle_import(&to.images, fd, &options, NULL, NULL,
					   &counts, &err);
			_exit(rc == -EFBIG && err.text[0] ? 0 : 1);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK_INT(status, 0);
	}
	check_as_before(&to.images, 2);
	free(one.at);
	free(two.at);
}

TEST_MAIN
