/* SPDX-License-Identifier: Apache-2.0 */
/* Layers are what they were written from, or are refused with words that name
 * the file: each byte changed, each length, each lie in their tables. */
#include "lib/layers.h"
#include <signal.h>
#include <sys/resource.h>

/* ---- written and read again ------------------------------------------------
 */

struct want {
	uint64_t page, count;
	uint32_t flags;
};

static void check_extents(const struct layer *layer, const struct want *want,
			  uint64_t count)
{
	CHECK_INT(layer->head.extent_count, count);
	if (layer->head.extent_count != count)
		return;
	for (uint64_t i = 0; i < count; i++) {
		CHECK_INT(layer->extents[i].offset, want[i].page * LAYER_PAGE);
		CHECK_INT(layer->extents[i].bytes, want[i].count * LAYER_PAGE);
		CHECK_INT(layer->extents[i].flags, want[i].flags);
	}
}

/* 700 pages: data, small holes, a long run of zeros. */
static struct memory base_memory(void)
{
	struct memory memory = memory_new(700);

	memory_fill(&memory, 0, 3, 1);
	memory_fill(&memory, 5, 20, 2);
	memory_fill(&memory, 640, 50, 3);
	return memory;
}

TEST(base_with_holes)
{
	auto_here struct here here = here_open();
	auto_memory struct memory memory = base_memory();
	static const struct want want[] = {
		{ 0, 3, 0 },
		{ 5, 20, 0 },
		{ 25, 615, LAYER_ZERO },
		{ 640, 50, 0 },
	};
	struct layer layer = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	auto_free char *path = here_path(&here, layer.hex);
	struct stat st;
	void *at;

	check_extents(&layer, want, 4);
	CHECK_INT(layer.head.kind, LAYER_BASE);
	CHECK_INT(layer.head.data_bytes, 73 * LAYER_PAGE);
	CHECK_INT(layer.head.data_at, LAYER_BASE_ALIGN);
	CHECK_INT(layer.head.region_count, 1);
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0444);
	CHECK((uint64_t)st.st_size == layer.head.file_bytes);
	CHECK(st.st_blocks * 512 < 100 * LAYER_PAGE); /* it has holes */
	at = mmap(NULL, memory.pages * LAYER_PAGE, PROT_READ, MAP_PRIVATE,
		  layer.fd, (off_t)layer.head.data_at);
	CHECK(at != MAP_FAILED &&
	      memcmp(at, memory.at, memory.pages * LAYER_PAGE) == 0);
	munmap(at, memory.pages * LAYER_PAGE);
	CHECK(fcntl(layer.fd, F_GETFD) & FD_CLOEXEC);
	CHECK((fcntl(layer.fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	CHECK(here_accepts(&here, layer.hex));
	CHECK_INT(here_litter(&here, ""), 0);
	layer_close(&layer);
}

TEST(the_same_memory_is_the_same_layer)
{
	auto_here struct here here = here_open();
	auto_memory struct memory memory = base_memory();
	struct layer one = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	struct layer two = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	struct stat st[2];

	CHECK_TEXT(one.hex, two.hex);
	CHECK(fstat(one.fd, &st[0]) == 0 && fstat(two.fd, &st[1]) == 0);
	CHECK(st[0].st_ino == st[1].st_ino);
	layer_close(&one);
	layer_close(&two);
	memory.at[0] ^= 1;
	one = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	CHECK(strcmp(one.hex, two.hex) != 0);
	layer_close(&one);
}

/* Gaps of four are filled, of five not; fifteen zeros are data, sixteen are
 * none. */
TEST(diff_with_gaps_and_zeros)
{
	auto_here struct here here = here_open();
	auto_memory struct memory before = memory_new(300);
	auto_memory struct memory now = { 0 };
	static const struct want want[] = {
		{ 10, 7, 0 },
		{ 22, 1, 0 },
		{ 60, 20, 0 },
		{ 100, 2, 0 },
		{ 102, 16, LAYER_ZERO },
		{ 118, 1, 0 },
		{ 200, 100, LAYER_ZERO },
	};
	struct layer base, layer;

	memory_fill(&before, 0, 300, 1);
	now = memory_copy(&before);
	memory_fill(&now, 10, 1, 2);
	memory_fill(&now, 15, 2, 2); /* 11..14 are filled */
	memory_fill(&now, 22, 1, 2); /* 17..21 are not */
	memory_fill(&now, 60, 20, 2);
	memory_fill(&now, 62, 15, 0);
	memory_fill(&now, 100, 19, 2);
	memory_fill(&now, 102, 16, 0);
	memory_fill(&now, 200, 100, 0); /* up to the end */
	base = here_layer(&here, LAYER_BASE, &before, NULL, NULL);
	layer = here_layer(&here, LAYER_DIFF, &now, &before, base.head.id);
	check_extents(&layer, want, 7);
	CHECK(memcmp(layer.head.parent, base.head.id, LAYER_ID) == 0);
	CHECK_INT(layer.head.data_bytes, 31 * LAYER_PAGE);
	CHECK(here_accepts(&here, layer.hex));
	layer_close(&layer);
	layer_close(&base);
}

TEST(diff_of_nothing)
{
	auto_here struct here here = here_open();
	auto_memory struct memory memory = base_memory();
	struct layer base = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	struct layer layer =
		here_layer(&here, LAYER_DIFF, &memory, &memory, base.head.id);

	CHECK_INT(layer.head.extent_count, 0);
	CHECK_INT(layer.head.data_bytes, 0);
	CHECK(here_accepts(&here, layer.hex));
	layer_close(&layer);
	layer_close(&base);
}

TEST(base_of_zeros)
{
	auto_here struct here here = here_open();
	auto_memory struct memory none = memory_new(1000);
	auto_memory struct memory one = memory_new(1);
	struct layer layer = here_layer(&here, LAYER_BASE, &none, NULL, NULL);

	CHECK_INT(layer.head.extent_count, 1);
	CHECK_INT(layer.head.hash_count, 0);
	CHECK(here_accepts(&here, layer.hex));
	layer_close(&layer);
	layer = here_layer(&here, LAYER_BASE, &one, NULL, NULL);
	CHECK_INT(layer.head.extent_count, 0);
	CHECK(here_accepts(&here, layer.hex));
	layer_close(&layer);
}

TEST(working_set)
{
	auto_here struct here here = here_open();
	auto_memory struct memory memory = base_memory();
	auto_memory struct memory touched = memory_copy(&memory);
	struct layer base = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	struct layer layer;

	memory_fill(&touched, 6, 5, 9);
	layer = here_layer(&here, LAYER_WORKING, &touched, &memory,
			   base.head.id);
	CHECK_INT(layer.head.kind, LAYER_WORKING);
	CHECK_INT(layer.head.extent_count, 1);
	CHECK_INT(layer.extents[0].flags, LAYER_HOT);
	CHECK(here_accepts(&here, layer.hex));
	layer_close(&layer);
	layer_close(&base);
}

static void files(enum layer_kind kind)
{
	static const size_t lens[] = { 0,      1,	4095,
				       4096,   65535,	65536,
				       65537,  1 << 20, (1 << 20) + 1,
				       3000001 };
	auto_here struct here here = here_open();
	auto_memory struct memory data = memory_new(1000);
	uint8_t *back = malloc(data.pages * LAYER_PAGE);

	memory_fill(&data, 0, data.pages, 5);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		struct layer layer =
			here_file(&here, kind, layers_shape, data.at, lens[i]);

		CHECK_INT(layer.head.kind, kind);
		CHECK_INT(layer.head.data_bytes, lens[i]);
		CHECK(fd_pread_all(layer.fd, back, lens[i], layer.head.data_at,
				   NULL) >= 0);
		CHECK(memcmp(back, data.at, lens[i]) == 0);
		CHECK(here_accepts(&here, layer.hex));
		layer_close(&layer);
	}
	free(back);
}

TEST(states)
{
	files(LAYER_STATE);
}

TEST(disks)
{
	files(LAYER_DISK);
}

/* Its length cannot be told before it ends. */
TEST(state_from_a_pipe)
{
	auto_here struct here here = here_open();
	struct layer layer;
	struct err err = { 0 };
	int ends[2];

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(write(ends[1], "state", 5) == 5);
	CHECK(layer_write_state(&here.images, layers_shape, ends[0], &layer,
				&err) < 0);
	CHECK(err.text[0] && layer.fd < 0);
	close(ends[0]);
	close(ends[1]);
}

/* ---- what a reader would refuse gets no name -------------------------------
 */

static int entries_of(const struct here *here)
{
	DIR *dir = opendir(here->folder);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += strlen(entry->d_name) == STORE_HEX;
	if (dir)
		closedir(dir);
	return count;
}

static void check_plan(const struct here *here, const struct layer_plan *plan,
		       uint64_t pages, const char *words)
{
	static uint8_t bytes[8 * LAYER_PAGE];
	const struct source_memory memory = { bytes };
	const struct source source = source_of_memory(&memory);
	uint8_t state[8];
	struct pages all = { .count = pages, .state = state };
	struct err err = { 0 };
	struct layer layer;

	memset(state, PAGE_DATA, sizeof(state));
	CHECK(layer_write(&here->images, plan, &all, &source, &layer, &err) <
	      0);
	if (!strstr(err.text, words))
		printf("# %s\n", err.text);
	CHECK(strstr(err.text, words));
	CHECK_INT(layer.fd, -1);
	CHECK_INT(entries_of(here), 0);
	CHECK_INT(here_litter(here, ""), 0);
}

TEST(impossible_plans)
{
	auto_here struct here here = here_open();
	struct layer_region many[LAYER_REGIONS_MOST + 400];
	const struct layer_plan right = { .kind = LAYER_BASE,
					  .ram_bytes = 8 * LAYER_PAGE,
					  .shape = layers_shape,
					  .regions = many,
					  .region_count = 1 };
	struct layer_plan plan = right;

	memset(many, 0, sizeof(many));
	plan.region_count = LAYER_REGIONS_MOST + 400;
	check_plan(&here, &plan, 8, "region");
	plan = right;
	plan.kind = LAYER_DIFF;
	check_plan(&here, &plan, 8, "no parent");
	plan = right;
	plan.parent = layers_shape;
	check_plan(&here, &plan, 8, "no parent");
	plan = right;
	plan.ram_bytes = 7 * LAYER_PAGE;
	check_plan(&here, &plan, 8, "memory");
	plan.ram_bytes = 8 * LAYER_PAGE + 1;
	check_plan(&here, &plan, 8, "size");
	plan.ram_bytes = 0;
	check_plan(&here, &plan, 0, "size");
	plan = right;
	plan.kind = 77;
	check_plan(&here, &plan, 8, "kind");
	plan = right;
	plan.flags = 1u << 20;
	check_plan(&here, &plan, 8, "flags");
	plan = right;
	many[0].bytes = 9 * LAYER_PAGE;
	check_plan(&here, &plan, 8, "region");
}

/* A source that fails half-way. */
static int read_half(const void *context, uint64_t offset, void *to, size_t len,
		     struct err *err)
{
	(void)context;
	memset(to, 1, len);
	return offset < 2000 * (uint64_t)LAYER_PAGE
		       ? 0
		       : err_set(err, -EIO, "read the memory");
}

TEST(source_that_fails)
{
	auto_here struct here here = here_open();
	const struct source source = { read_half, NULL };
	const struct layer_plan plan = { .kind = LAYER_BASE,
					 .ram_bytes = 4000 * LAYER_PAGE,
					 .shape = layers_shape };
	auto_pages struct pages pages;
	struct err err = { 0 };
	struct layer layer;
	int before = open_descriptors();

	CHECK_INT(pages_init(&pages, plan.ram_bytes, &err), 0);
	memset(pages.state, PAGE_DATA, pages.count);
	CHECK_INT(layer_write(&here.images, &plan, &pages, &source, &layer,
			      &err),
		  -EIO);
	CHECK_INT(entries_of(&here), 0);
	CHECK_INT(open_descriptors(), before);
}

/* ---- each byte -------------------------------------------------------------
 */

/* A file that is open for writing, from before it became read-only. */
struct target {
	struct here *here;
	char hex[STORE_HEX + 1];
	int fd;
	struct layer_header head;
	struct buf bytes;
};

static struct target target_of(struct here *here, struct layer *layer)
{
	struct target target = { .here = here, .head = layer->head };
	auto_free char *path = here_path(here, layer->hex);

	memcpy(target.hex, layer->hex, sizeof(target.hex));
	layer_close(layer);
	CHECK(chmod(path, 0644) == 0);
	target.fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(target.fd >= 0 && chmod(path, 0444) == 0);
	here_load(here, target.hex, &target.bytes);
	CHECK(here_accepts(here, target.hex));
	return target;
}

static void target_fini(struct target *target)
{
	CHECK(here_accepts(target->here, target->hex));
	fd_close(&target->fd);
	buf_fini(&target->bytes);
}
#define auto_target __attribute__((cleanup(target_fini)))

static bool flip_is_refused(const struct target *target, uint64_t at,
			    uint8_t mask)
{
	uint8_t now = (uint8_t)target->bytes.data[at] ^ mask;
	bool refused;

	CHECK(pwrite(target->fd, &now, 1, (off_t)at) == 1);
	refused = here_refuses(target->here, target->hex, NULL);
	if (!refused)
		printf("# byte %lu, ^ %x\n", at, mask);
	CHECK(pwrite(target->fd, target->bytes.data + at, 1, (off_t)at) == 1);
	return refused;
}

/* All of header and tables, what is behind them, and some of the data. */
static void flip(const struct target *target)
{
	const struct layer_header *head = &target->head;
	uint64_t tables = head->hashes_at + head->hash_count * SHA256_BYTES;
	uint64_t state = 88172645463325252u;
	int wrong = 0;

	for (uint64_t at = 0; at < tables; at++)
		wrong += !flip_is_refused(target, at, (uint8_t)(1 << at % 8));
	for (int i = 0; i < 100; i++)
		wrong += !flip_is_refused(
			target,
			tables + chance_of(&state, head->data_at - tables),
			(uint8_t)(1 + chance_of(&state, 255)));
	for (uint64_t i = 0; i < 150 && head->file_bytes > head->data_at; i++)
		wrong += !flip_is_refused(
			target,
			head->data_at +
				chance_of(&state,
					  head->file_bytes - head->data_at),
			(uint8_t)(1 + chance_of(&state, 255)));
	if (head->file_bytes > head->data_at) {
		wrong += !flip_is_refused(target, head->data_at, 1);
		wrong += !flip_is_refused(target, head->file_bytes - 1, 0x80);
	}
	CHECK_INT(wrong, 0);
}

/* From its end on, so that what is left is always right. */
static void cut(const struct target *target, uint64_t step)
{
	uint64_t whole = target->head.file_bytes, len = whole;
	int wrong = 0;

	for (uint64_t cut = 1; len; cut = step) {
		len = len > cut ? len - cut : 0;
		CHECK(ftruncate(target->fd, (off_t)len) == 0);
		if (!here_refuses(target->here, target->hex, "cut off")) {
			printf("# %lu of %lu bytes\n", len, whole);
			wrong++;
		}
	}
	CHECK(pwrite(target->fd, target->bytes.data, whole, 0) ==
	      (ssize_t)whole);
	CHECK(ftruncate(target->fd, (off_t)whole + 1) == 0);
	wrong += !here_refuses(target->here, target->hex, "too long");
	CHECK(ftruncate(target->fd, (off_t)whole) == 0);
	CHECK_INT(wrong, 0);
}

TEST(each_byte_of_a_base)
{
	auto_here struct here here = here_open();
	auto_memory struct memory memory = base_memory();
	struct layer layer = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	auto_target struct target target = target_of(&here, &layer);

	flip(&target);
	cut(&target, 49999);
}

static struct layer small_diff(struct here *here, enum layer_kind kind)
{
	auto_memory struct memory before = memory_new(100);
	auto_memory struct memory now = memory_new(100);

	memory_fill(&before, 0, 100, 1);
	memcpy(now.at, before.at, before.pages * LAYER_PAGE);
	memory_fill(&now, 3, 4, 2);
	memory_fill(&now, 50, 20, 0);
	memory_fill(&now, 90, 1, 2);
	return here_layer(here, kind, &now, &before, layers_shape);
}

TEST(each_byte_of_a_diff)
{
	auto_here struct here here = here_open();
	struct layer layer = small_diff(&here, LAYER_DIFF);
	auto_target struct target target = target_of(&here, &layer);

	CHECK_INT(target.head.extent_count, 3);
	flip(&target);
	cut(&target, 7);
}

TEST(each_byte_of_a_working_set)
{
	auto_here struct here here = here_open();
	struct layer layer = small_diff(&here, LAYER_WORKING);
	auto_target struct target target = target_of(&here, &layer);

	flip(&target);
	cut(&target, 101);
}

static void each_byte_of(enum layer_kind kind)
{
	auto_here struct here here = here_open();
	auto_memory struct memory data = memory_new(20);
	struct layer layer;

	memory_fill(&data, 0, 20, 7);
	layer = here_file(&here, kind, layers_shape, data.at, 70001);
	auto_target struct target target = target_of(&here, &layer);

	flip(&target);
	cut(&target, 61);
}

TEST(each_byte_of_a_state)
{
	each_byte_of(LAYER_STATE);
}

TEST(each_byte_of_a_disk)
{
	each_byte_of(LAYER_DISK);
}

/* What was found right is not looked at again, unless its file has changed
 * since: then it is. */
TEST(changed_after_it_was_seen)
{
	auto_here struct here here = here_open();
	struct layer layer = small_diff(&here, LAYER_DIFF);
	auto_target struct target target = target_of(&here, &layer);
	uint8_t id[LAYER_ID];
	int wrong = 0;

	store_from_hex(target.hex, id);
	for (int i = 0; i < 20; i++) {
		uint64_t at = target.head.data_at + (uint64_t)i * 997;
		uint8_t now = (uint8_t)target.bytes.data[at] ^ 4;
		struct err err = { 0 };

		CHECK(layer_open(&here.images, id, &layer, &err) >= 0);
		layer_close(&layer);
		usleep(12000); /* longer than a tick of the file's clock */
		CHECK(pwrite(target.fd, &now, 1, (off_t)at) == 1);
		if (layer_open(&here.images, id, &layer, &err) >= 0)
			wrong++;
		layer_close(&layer);
		CHECK(pwrite(target.fd, target.bytes.data + at, 1, (off_t)at) ==
		      1);
	}
	CHECK_INT(wrong, 0);
}

/* ---- other files -----------------------------------------------------------
 */

/* A right layer's bytes to lie with. */
static void take(struct here *here, struct layer *layer, struct buf *bytes,
		 char *hex)
{
	memcpy(hex, layer->hex, STORE_HEX + 1);
	layer_close(layer);
	here_load(here, hex, bytes);
}

/* The lie has its sums, its id and its name. */
static bool lie_is_refused(const struct here *here, const struct buf *bytes,
			   const char *words)
{
	char hex[STORE_HEX + 1];
	bool refused;

	layers_seal(bytes->data, bytes->len, hex);
	here_put(here, hex, bytes->data, bytes->len);
	refused = here_refuses(here, hex, words);
	store_object_remove(here->images.root, hex);
	return refused;
}

#define LIES(member, value, words)                         \
	do {                                               \
		auto_buf struct buf lie = { 0 };           \
		struct layer_header *head;                 \
		buf_add(&lie, right.data, right.len);      \
		head = (void *)lie.data;                   \
		head->member = (value);                    \
		CHECK(lie_is_refused(&here, &lie, words)); \
	} while (0)

TEST(headers_that_lie)
{
	auto_here struct here here = here_open();
	struct layer layer = small_diff(&here, LAYER_DIFF);
	auto_buf struct buf right = { 0 };
	char hex[STORE_HEX + 1];
	uint64_t len;

	take(&here, &layer, &right, hex);
	len = right.len;
	LIES(magic[0], 'X', "no layer");
	LIES(magic[7], 'X', "no layer");
	LIES(version, 0, "another version");
	LIES(version, 2, "another version");
	LIES(version, 1u << 31, "another version");
	LIES(header_bytes, 512, "another version");
	LIES(page_bytes, 16384, "another version");
	LIES(kind, 0, "kind");
	LIES(kind, LAYER_DISK + 1, "kind");
	LIES(kind, LAYER_DISK, NULL);
	LIES(kind, LAYER_STATE, NULL);
	LIES(kind, LAYER_BASE, "parent");
	LIES(ram_bytes, 0, "size");
	LIES(ram_bytes, 99 * LAYER_PAGE, NULL);
	LIES(ram_bytes, 100 * LAYER_PAGE + 1, "size");
	LIES(ram_bytes, UINT64_MAX, "size");
	LIES(ram_bytes, UINT64_C(1) << 63, "size");
	LIES(ram_bytes, LAYER_RAM_MOST + LAYER_PAGE, "size");
	LIES(extents_at, 0, "tables");
	LIES(extents_at, UINT64_MAX - 4095, "tables");
	LIES(extent_count, 0, NULL);
	LIES(extent_count, 2, NULL);
	LIES(extent_count, 4, NULL);
	LIES(extent_count, UINT64_C(1) << 63, "extents");
	LIES(extent_count, UINT64_MAX, "extents");
	LIES(extent_count, UINT64_C(1) << 59, "extents");
	LIES(hashes_at, 0, "tables");
	LIES(hash_count, 0, "tables");
	LIES(hash_count, UINT64_C(1) << 63, "tables");
	LIES(hash_count, UINT64_C(1) << 59, "tables");
	LIES(data_at, 0, "data");
	LIES(data_at, 8193, "data");
	LIES(data_at, 4096, "data");
	LIES(data_at, UINT64_MAX - 4095, "data");
	LIES(data_bytes, UINT64_MAX, "data");
	LIES(data_bytes, UINT64_C(1) << 63, "data");
	LIES(data_bytes, 4 * LAYER_PAGE, NULL);
	LIES(file_bytes, len - 1, "length");
	LIES(file_bytes, UINT64_MAX, "length");
	LIES(region_count, 9, "regions");
	LIES(region_count, UINT32_MAX, "regions");
	LIES(regions[0].bytes, 101 * LAYER_PAGE, "region");
	LIES(regions[0].bytes, UINT64_MAX - 4095, "region");
	LIES(regions[0].bytes, 1, "region");
	LIES(regions[0].offset, LAYER_PAGE, "region");
	LIES(regions[0].offset, UINT64_MAX - 4095, "region");
	LIES(regions[0].guest_address, UINT64_MAX - 4095, "region");
	LIES(regions[0].guest_address, 1, "region");
	LIES(regions[7].offset, 1, "reserved");
	/* None of a file's bytes is nobody's. */
	for (int at = sizeof(struct layer_header); at < LAYER_PAGE; at += 61) {
		auto_buf struct buf lie = { 0 };

		buf_add(&lie, right.data, right.len);
		lie.data[at] = 1;
		CHECK(lie_is_refused(&here, &lie, "reserved"));
	}
	here_put(&here, hex, right.data, right.len);
	CHECK(here_accepts(&here, hex));
}

#define EXTENT_LIES(i, member, value, words)               \
	do {                                               \
		auto_buf struct buf lie = { 0 };           \
		struct layer_extent *extent;               \
		buf_add(&lie, right.data, right.len);      \
		extent = (void *)(lie.data + LAYER_PAGE);  \
		extent[i].member = (value);                \
		CHECK(lie_is_refused(&here, &lie, words)); \
	} while (0)

/* The extents are 4 pages at 3, zeros at 50, one page at 90. */
TEST(extents_that_lie)
{
	auto_here struct here here = here_open();
	struct layer layer = small_diff(&here, LAYER_DIFF);
	auto_buf struct buf right = { 0 };
	char hex[STORE_HEX + 1];

	take(&here, &layer, &right, hex);
	EXTENT_LIES(0, offset, 3 * LAYER_PAGE + 1, "pages");
	EXTENT_LIES(0, offset, 49 * LAYER_PAGE, "overlap");
	EXTENT_LIES(0, offset, 80 * LAYER_PAGE, "sorted");
	EXTENT_LIES(0, offset, UINT64_MAX - 4095, "memory");
	EXTENT_LIES(0, bytes, 0, "pages");
	EXTENT_LIES(0, bytes, 5 * LAYER_PAGE, NULL);
	EXTENT_LIES(0, bytes, 3 * LAYER_PAGE, NULL);
	EXTENT_LIES(0, bytes, 100 * LAYER_PAGE, "memory");
	EXTENT_LIES(0, bytes, UINT64_C(1) << 63, "memory");
	EXTENT_LIES(0, bytes, UINT64_MAX - 4095, "memory");
	EXTENT_LIES(0, file_at, 0, "data");
	EXTENT_LIES(0, file_at, 4096, "data");
	EXTENT_LIES(0, file_at, UINT64_MAX - 4095, "data");
	EXTENT_LIES(0, flags, LAYER_ZERO, "zeros");
	EXTENT_LIES(0, flags, 4, "flags");
	EXTENT_LIES(0, flags, UINT32_MAX, "flags");
	EXTENT_LIES(0, sum, 1, "data are damaged");
	EXTENT_LIES(1, flags, 0, "data");
	EXTENT_LIES(1, file_at, 4096, "zeros");
	EXTENT_LIES(1, sum, 1, "zeros");
	EXTENT_LIES(2, offset, 100 * LAYER_PAGE, "memory");
	EXTENT_LIES(2, bytes, 11 * LAYER_PAGE, "memory");
	EXTENT_LIES(2, offset, 0, "sorted");
	EXTENT_LIES(2, file_at, 8192, "data");
	/* What is right gets in by this way too. */
	layers_seal(right.data, right.len, hex);
	CHECK(here_accepts(&here, hex));
}

/* No table is believed to be as long as it says. */
TEST(huge_counts)
{
	union {
		struct layer_header head;
		uint8_t bytes[LAYER_PAGE];
	} page = { .bytes = { 0 } };
	static const uint64_t huge[] = { UINT64_C(1) << 63, UINT64_MAX,
					 UINT64_MAX - 4095, UINT64_C(1) << 62,
					 UINT64_C(1) << 46, UINT64_C(1) << 32 };
	const struct layer_header right = {
		.version = LAYER_VERSION,
		.header_bytes = LAYER_PAGE,
		.kind = LAYER_BASE,
		.page_bytes = LAYER_PAGE,
		.ram_bytes = LAYER_RAM_MOST,
		.extents_at = LAYER_PAGE,
		.hashes_at = LAYER_PAGE,
		.data_at = LAYER_BASE_ALIGN,
		.file_bytes = LAYER_RAM_MOST + LAYER_BASE_ALIGN,
	};
	static const size_t fields[] = {
		offsetof(struct layer_header, ram_bytes),
		offsetof(struct layer_header, extents_at),
		offsetof(struct layer_header, extent_count),
		offsetof(struct layer_header, hashes_at),
		offsetof(struct layer_header, hash_count),
		offsetof(struct layer_header, data_at),
		offsetof(struct layer_header, data_bytes),
		offsetof(struct layer_header, file_bytes),
	};

	for (size_t f = 0; f < sizeof(fields) / sizeof(*fields); f++)
		for (size_t i = 0; i < sizeof(huge) / sizeof(*huge); i++) {
			page.head = right;
			memcpy(page.head.magic, LAYER_MAGIC, 8);
			memcpy(page.bytes + fields[f], &huge[i], 8);
			page.head.sum = chunks_header_sum(&page);
			if (fields[f] == fields[0] && huge[i] == LAYER_RAM_MOST)
				continue;
			CHECK(layer_check_header(&page.head,
						 right.file_bytes) != NULL);
			CHECK(layer_check_header(&page.head, huge[i]) != NULL);
		}
	page.head = right;
	memcpy(page.head.magic, LAYER_MAGIC, 8);
	page.head.sum = chunks_header_sum(&page);
	CHECK(layer_check_header(&page.head, right.file_bytes) == NULL);
}

/* A file of a terabyte costs a moment and no memory to refuse. */
TEST(huge_file)
{
	auto_here struct here here = here_open();
	union {
		struct layer_header head;
		uint8_t bytes[LAYER_PAGE];
	} page = { .bytes = { 0 } };
	struct layer_extent extent = { .bytes = UINT64_C(1) << 36 };
	char hex[STORE_HEX + 1];
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct rusage before, after;

	memcpy(page.head.magic, LAYER_MAGIC, 8);
	page.head.version = LAYER_VERSION;
	page.head.header_bytes = page.head.page_bytes = LAYER_PAGE;
	page.head.kind = LAYER_BASE;
	page.head.extents_at = LAYER_PAGE;
	page.head.extent_count = 1;
	page.head.hashes_at = LAYER_PAGE + sizeof(extent);
	page.head.ram_bytes = page.head.data_bytes = extent.bytes;
	page.head.hash_count = extent.bytes / LAYER_CHUNK;
	page.head.data_at = 32 * LAYER_BASE_ALIGN;
	page.head.data_at = (page.head.hashes_at + page.head.hash_count * 32 +
			     LAYER_BASE_ALIGN - 1) /
			    LAYER_BASE_ALIGN * LAYER_BASE_ALIGN;
	page.head.file_bytes = page.head.data_at + extent.bytes;
	extent.file_at = page.head.data_at;
	page.head.id[0] = 1;
	page.head.sum = chunks_header_sum(&page);
	store_hex(page.head.id, LAYER_ID, hex);
	path = here_path(&here, hex);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
	CHECK(fd_pwrite_all(fd, &page, LAYER_PAGE, 0, NULL) >= 0);
	CHECK(fd_pwrite_all(fd, &extent, sizeof(extent), LAYER_PAGE, NULL) >=
	      0);
	if (ftruncate(fd, (off_t)page.head.file_bytes) < 0)
		SKIP("no such files here");
	getrusage(RUSAGE_SELF, &before);
	CHECK(here_refuses(&here, hex, "tables are damaged"));
	getrusage(RUSAGE_SELF, &after);
	printf("# %ld KiB more\n", after.ru_maxrss - before.ru_maxrss);
	CHECK(after.ru_maxrss - before.ru_maxrss < 64 << 10);
}

static struct layer tiny_base(struct here *here, uint64_t seed)
{
	auto_memory struct memory memory = memory_new(1600);

	memory_fill(&memory, 0, 2, seed);
	memory_fill(&memory, 4, 1, seed);
	memory_fill(&memory, 900, 1, seed);
	return here_layer(here, LAYER_BASE, &memory, NULL, NULL);
}

/* In holes, in runs of zeros, behind the tables and the last extent. */
TEST(bytes_outside_of_extents)
{
	auto_here struct here here = here_open();
	static const uint64_t pages[] = { 2, 3, 5, 6, 899, 901, 1599 };
	struct layer layer = tiny_base(&here, 1);
	auto_target struct target target = target_of(&here, &layer);
	uint64_t data_at = target.head.data_at;

	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		uint64_t at = data_at + pages[i] * LAYER_PAGE;

		CHECK(flip_is_refused(&target, at, 1));
		CHECK(flip_is_refused(&target, at + LAYER_PAGE - 1, 0x80));
	}
	CHECK(flip_is_refused(&target, data_at - 1, 1));
	CHECK(flip_is_refused(&target, data_at / 2, 1));
}

/* ---- whose it is -----------------------------------------------------------
 */

TEST(owner_and_mode)
{
	auto_here struct here here = here_open();
	struct layer layer = tiny_base(&here, 1);
	static const mode_t modes[] = { 0464, 0446, 0666, 0777 };
	char hex[STORE_HEX + 1];
	auto_free char *path = here_path(&here, layer.hex);

	memcpy(hex, layer.hex, sizeof(hex));
	layer_close(&layer);
	for (int i = 0; i < 4; i++) {
		CHECK(chmod(path, modes[i]) == 0);
		CHECK(here_refuses(&here, hex, "others may write it"));
	}
	CHECK(chmod(path, 0444) == 0);
	CHECK(here_accepts(&here, hex));
	if (geteuid() != 0)
		SKIP("only root can give files away");
	CHECK(chown(path, 12345, (gid_t)-1) == 0);
	CHECK(here_refuses(&here, hex, "another user"));
}

TEST(links_pipes_folders)
{
	auto_here struct here here = here_open();
	struct layer layer = tiny_base(&here, 1);
	auto_free char *path = here_path(&here, layer.hex);
	auto_free char *aside = file_join(here.folder, "aside");
	char hex[STORE_HEX + 1];

	memcpy(hex, layer.hex, sizeof(hex));
	layer_close(&layer);
	CHECK(rename(path, aside) == 0);
	CHECK(here_refuses(&here, hex, "there is none"));
	CHECK(symlink(aside, path) == 0);
	CHECK(here_refuses(&here, hex, "a link"));
	CHECK(unlink(path) == 0 && mkfifo(path, 0400) == 0);
	CHECK(here_refuses(&here, hex, "not a regular file"));
	CHECK(unlink(path) == 0 && mkdir(path, 0500) == 0);
	CHECK(here_refuses(&here, hex, "not a regular file"));
	CHECK(rmdir(path) == 0);
	file_put(path, "", 0);
	CHECK(here_refuses(&here, hex, "cut off"));
	CHECK(rename(aside, path) == 0);
	CHECK(here_accepts(&here, hex));
}

TEST(another_name)
{
	auto_here struct here here = here_open();
	struct layer layer = tiny_base(&here, 1);
	auto_free char *path = here_path(&here, layer.hex);
	char other[STORE_HEX + 1];
	auto_free char *there = NULL;

	memcpy(other, layer.hex, sizeof(other));
	other[0] = other[0] == 'a' ? 'b' : 'a';
	there = here_path(&here, other);
	layer_close(&layer);
	CHECK(link(path, there) == 0);
	CHECK(here_refuses(&here, other, "another id"));
}

TEST(names_to_verify)
{
	static const char *const names[] = {
		"",
		"x",
		"../../etc/passwd",
		"lock",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
		"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
	};
	auto_here struct here here = here_open();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char *name = strdup(names[i]); /* nothing lies behind it */
		struct err err = { 0 };

		CHECK_INT(layer_verify(&here.images, name, &err), -EINVAL);
		CHECK(err.text[0]);
		free(name);
	}
}

/* ---- what has the name already ---------------------------------------------
 */

static void damage(const struct here *here, const char *hex)
{
	auto_buf struct buf bytes = { 0 };

	here_load(here, hex, &bytes);
	bytes.data[bytes.len - 1] ^= 1;
	here_put(here, hex, bytes.data, bytes.len);
}

static struct layer written(struct here *here, struct err *err)
{
	auto_memory struct memory memory = memory_new(16);
	struct layer layer;

	memory_fill(&memory, 0, 16, 77);
	here_write(here, LAYER_BASE, &memory, NULL, NULL, &layer, err);
	return layer;
}

TEST(damaged_ones_are_replaced)
{
	auto_here struct here here = here_open();
	struct err err = { 0 };
	struct layer layer = written(&here, &err);
	auto_free char *path = here_path(&here, layer.hex);
	char hex[STORE_HEX + 1];

	memcpy(hex, layer.hex, sizeof(hex));
	for (int kind = 0; kind < 6; kind++) {
		layer_close(&layer);
		if (kind == 0)
			damage(&here, hex);
		else if (kind == 1)
			CHECK(chmod(path, 0666) == 0);
		else if (kind == 2)
			file_put(path, "", 0);
		else
			CHECK(unlink(path) == 0);
		if (kind == 3)
			CHECK(symlink("/etc/passwd", path) == 0);
		else if (kind == 4)
			CHECK(mkfifo(path, 0400) == 0);
		err_clear(&err);
		layer = written(&here, &err);
		if (layer.fd < 0)
			printf("# %d: %s\n", kind, err.text);
		CHECK(layer.fd >= 0);
		CHECK(here_accepts(&here, hex));
	}
	layer_close(&layer);
	CHECK_INT(here_litter(&here, ""), 0);
}

/* Somebody goes on with what he has: it is not taken from him, nor is a
 * damaged one handed out. */
TEST(damaged_and_in_use)
{
	auto_here struct here here = here_open();
	struct err err = { 0 };
	struct layer layer = written(&here, &err);
	auto_free char *path = here_path(&here, layer.hex);
	char hex[STORE_HEX + 1];
	auto_close int fd = -1;

	memcpy(hex, layer.hex, sizeof(hex));
	layer_close(&layer);
	damage(&here, hex);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_INT(store_object_lease(fd), 0);
	layer = written(&here, &err);
	CHECK(layer.fd < 0 && strstr(err.text, hex));
	fd_close(&fd);
	layer = written(&here, &err);
	CHECK(layer.fd >= 0);
	layer_close(&layer);
}

/* A process that has no descriptor left is no reason to remove anything. */
TEST(no_descriptors_left)
{
	auto_here struct here here = here_open();
	struct err err = { 0 };
	struct layer layer = written(&here, &err);
	auto_free char *path = here_path(&here, layer.hex);
	struct rlimit before, limit;
	int top, wrong = 0;

	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	top = dup(0);
	close(top);
	for (int more = 0; more < 8; more++) {
		struct layer again;

		limit = (struct rlimit){ (rlim_t)(top + more),
					 before.rlim_max };
		CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		again = written(&here, &err);
		layer_close(&again);
		if (more == 0)
			CHECK(store_object_remove(here.images.root, layer.hex) <
			      0);
		wrong += access(path, F_OK) != 0;
		layer_close(&layer);
		again = written(&here, &err);
		layer_close(&again);
		wrong += access(path, F_OK) != 0;
		CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
		layer = written(&here, &err);
	}
	CHECK_INT(wrong, 0);
	layer_close(&layer);
}

/* ---- at once ---------------------------------------------------------------
 */

enum { WRITERS = 12, ROUNDS = 15 };

/* What it gets is there, by its name, and stays so while it is leased. */
static int holds(const struct here *here, const struct layer *layer)
{
	auto_free char *path = here_path(here, layer->hex);
	struct stat ours, named;

	return fstat(layer->fd, &ours) == 0 && stat(path, &named) == 0 &&
	       ours.st_ino == named.st_ino;
}

static int writer(struct here *here)
{
	auto_memory struct memory memory = memory_new(40);

	memory_fill(&memory, 0, 40, 5);
	for (int i = 0; i < ROUNDS; i++) {
		struct err err = { 0 };
		struct layer layer;

		if (here_write(here, LAYER_BASE, &memory, NULL, NULL, &layer,
			       &err) < 0) {
			printf("# %s\n", err.text);
			return 1;
		}
		for (int k = 0; k < 20; k++) {
			if (!holds(here, &layer)) {
				printf("# its layer was taken away\n");
				return 2;
			}
			usleep(50);
		}
		layer_close(&layer);
	}
	return 0;
}

static void remover(const struct here *here, const char *hex)
{
	auto_free char *path = here_path(here, hex);

	for (;;) {
		store_object_remove(here->images.root, hex);
		usleep(20);
	}
}

static void race(bool with_removers)
{
	auto_here struct here here = here_open();
	struct layer layer;
	pid_t pid[WRITERS], removers[2] = { 0 };
	char hex[STORE_HEX + 1];
	auto_memory struct memory memory = memory_new(40);

	memory_fill(&memory, 0, 40, 5);
	layer = here_layer(&here, LAYER_BASE, &memory, NULL, NULL);
	memcpy(hex, layer.hex, sizeof(hex));
	layer_close(&layer);
	store_object_remove(here.images.root, hex);
	fflush(stdout);
	for (int i = 0; i < WRITERS; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			int rc = writer(&here);

			fflush(stdout);
			_exit(rc);
		}
	}
	for (int i = 0; with_removers && i < 2; i++) {
		removers[i] = fork();
		if (removers[i] == 0)
			remover(&here, hex);
	}
	for (int i = 0; i < WRITERS; i++)
		CHECK_INT(status_of(pid[i]), 0);
	for (int i = 0; with_removers && i < 2; i++) {
		kill(removers[i], SIGKILL);
		status_of(removers[i]);
	}
	CHECK_INT(here_litter(&here, ""), 0);
}

TEST(writers_race)
{
	race(false);
}

TEST(writers_race_with_named_drafts)
{
	setenv("BROOD_WITHOUT", "o_tmpfile", 1);
	race(false);
	unsetenv("BROOD_WITHOUT");
}

TEST(writers_and_removers_race)
{
	race(true);
}

TEST(writers_and_removers_race_with_named_drafts)
{
	setenv("BROOD_WITHOUT", "o_tmpfile", 1);
	race(true);
	unsetenv("BROOD_WITHOUT");
}

TEST_MAIN
