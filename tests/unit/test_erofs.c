/* SPDX-License-Identifier: Apache-2.0 */
/* Images: written and read back, and such as nobody should have written. */
#include "base/fd.h"
#include "base/file.h"
#include "base/sha256.h"
#include "erofs/check.h"
#include "erofs/source.h"
#include "test.h"
#include "tree/erofs_unpack.h"
#include "tree/erofs_write.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
	struct tree tree;
	struct buf bytes;
	struct erofs erofs;
	struct erofs_written written;
};

static void image_close(struct image *image)
{
	tree_fini(&image->tree);
	buf_fini(&image->bytes);
}
#define auto_image __attribute__((cleanup(image_close))) struct image

static int image_open(struct image *image)
{
	struct erofs_source source =
		erofs_source_memory(image->bytes.data, image->bytes.len);
	const char *why = "";

	return erofs_open(&source, &image->erofs, &why);
}

static int image_write(struct image *image, const struct timespec *mtime,
		       struct err *err)
{
	const struct erofs_write_plan plan = { .mtime = mtime };
	auto_close int fd = memfd_create("erofs", MFD_CLOEXEC);
	struct stat st;
	int r = tree_close(&image->tree, err);

	if (r >= 0)
		r = erofs_write(fd, &image->tree, &plan, &image->written, NULL,
				err);
	if (r < 0)
		return r;
	CHECK(fstat(fd, &st) == 0);
	CHECK_INT(st.st_size, image->written.image_bytes);
	buf_clear(&image->bytes);
	CHECK(fd_pread_all(fd, buf_room(&image->bytes, (size_t)st.st_size),
			   (size_t)st.st_size, 0, NULL) == 0);
	buf_used(&image->bytes, (size_t)st.st_size);
	return 0;
}

static void image_make(struct image *image)
{
	struct err err = { 0 };

	CHECK_INT(image_write(image, NULL, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(image_open(image), 0);
}

static void add(struct image *image, const char *path, const char *text)
{
	CHECK(tree_data(&image->tree, path, 0644, text, strlen(text), NULL) ==
	      0);
}

static void add_link(struct image *image, const char *path, const char *to)
{
	CHECK(tree_link(&image->tree, path, to, NULL) == 0);
}

static struct erofs_node node_of(const struct image *image, const char *path)
{
	struct erofs_node node = { 0 };
	const char *why = "";

	CHECK_INT(erofs_path(&image->erofs, path, &node, &why), 0);
	CHECK_TEXT(why, "");
	return node;
}

static void check_text(const struct image *image, const char *path,
		       const char *text)
{
	struct erofs_node node = node_of(image, path);
	char is[256] = { 0 };

	CHECK_INT(erofs_read(&image->erofs, &node, 0, is, sizeof is - 1),
		  strlen(text));
	CHECK_TEXT(is, text);
}

static int check_with(const struct image *image,
		      const struct erofs_limits *limits, const char *words)
{
	struct erofs_totals totals;
	char why[EROFS_WHY];
	int r = erofs_check(&image->erofs, limits, &totals, why);

	CHECK_TEXT(why, words);
	return r;
}

static void check_good(const struct image *image)
{
	CHECK_INT(check_with(image, NULL, ""), 0);
}

/* ---- written and read --------------------------------------------------------- */

TEST(what_is_written_is_read)
{
	auto_image image = { 0 };
	struct erofs_totals totals;
	struct erofs_node node;
	char why[EROFS_WHY], part[8];

	add(&image, "/bin/tool", "#!/bin/sh\n");
	tree_set_mtime(&image.tree, (struct timespec){ 1700000000, 123456789 });
	add(&image, "/empty", "");
	add_link(&image, "/bin/other", "tool");
	CHECK(tree_folder(&image.tree, "/a", 0700, NULL) == 0);
	CHECK(tree_folder(&image.tree, "/a/b", 01777, NULL) == 0);
	image_make(&image);
	check_text(&image, "bin/tool", "#!/bin/sh\n");
	check_text(&image, "/bin//other/", "tool");
	check_text(&image, "empty", "");
	node = node_of(&image, "bin/tool");
	CHECK_INT(node.mode, S_IFREG | 0644);
	CHECK_INT(node.links, 1);
	CHECK_INT(node.uid + node.gid, 0);
	CHECK_INT(node.mtime_s, 1700000000);
	CHECK_INT(node.mtime_ns, 123456789);
	CHECK_INT(node.data_at % EROFS_BLOCK, 0);
	CHECK_INT(erofs_read(&image.erofs, &node, 8, part, 8), 2);
	CHECK_INT(erofs_read(&image.erofs, &node, 10, part, 8), 0);
	CHECK_INT(erofs_read(&image.erofs, &node, ~0ull, part, 8), 0);
	CHECK_INT(node_of(&image, "a/b").mode, S_IFDIR | 01777);
	node = node_of(&image, "");
	CHECK_INT(node.links, 4);
	CHECK_INT(erofs_read(&image.erofs, &node, 0, part, 8), EROFS_KIND);
	CHECK_INT(erofs_path(&image.erofs, "bin/tool/x", &node, NULL),
		  EROFS_KIND);
	CHECK_INT(erofs_path(&image.erofs, "bin/t", &node, NULL),
		  EROFS_MISSING);
	CHECK_INT(erofs_check(&image.erofs, NULL, &totals, why), 0);
	CHECK_INT(totals.files, 2);
	CHECK_INT(totals.folders, 4);
	CHECK_INT(totals.links, 1);
	CHECK_INT(totals.bytes, 10);
	CHECK_INT(image.written.files, 2);
	CHECK_INT(image.written.folders, 4);
	CHECK_INT(image.bytes.len % (2 << 20), 0);
	CHECK_INT(image.erofs.len, image.bytes.len);
}

TEST(nothing_at_all_is_an_image)
{
	auto_image image = { 0 };

	image_make(&image);
	check_good(&image);
	CHECK_INT(image.written.folders, 1);
}

TEST(the_uuid_is_the_contents)
{
	auto_image image = { 0 };
	uint8_t sum[SHA256_BYTES];
	struct erofs_super *super;

	add(&image, "/a", "1");
	image_make(&image);
	CHECK(memcmp(image.erofs.uuid, image.written.uuid, 16) == 0);
	super = (void *)(image.bytes.data + EROFS_SUPER_AT);
	memset(super->uuid, 0, 16);
	super->sum = 0;
	sha256_of(image.bytes.data, image.bytes.len, sum);
	CHECK(memcmp(sum, image.written.uuid, 16) == 0);
}

static void add_in_order(struct image *image, bool backwards)
{
	for (int i = 0; i < 500; i++) {
		int n = backwards ? 499 - i : i;
		auto_free char *name = file_format("/f%d/n%d", n % 7, n);

		add(image, name, name);
	}
	image_make(image);
}

static bool same_bytes(const struct image *a, const struct image *b)
{
	return a->bytes.len == b->bytes.len &&
	       memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0;
}

TEST(the_same_tree_is_the_same_bytes)
{
	auto_image one = { 0 }, two = { 0 }, three = { 0 };
	const struct timespec then = { .tv_sec = 5 };

	add_in_order(&one, false);
	add_in_order(&two, true);
	CHECK(same_bytes(&one, &two));
	add_in_order(&three, false);
	CHECK(image_write(&three, &then, NULL) == 0);
	CHECK(image_open(&three) == 0);
	CHECK(!same_bytes(&one, &three));
	CHECK_INT(node_of(&three, "f0").mtime_s, 5);
}

TEST(the_same_data_lie_there_once)
{
	auto_image image = { 0 };
	uint64_t at;

	add(&image, "/a", "the same");
	add(&image, "/b/c", "the same");
	add(&image, "/b/d", "the Same");
	add(&image, "/e", "longer than that");
	add_link(&image, "/f", "the same");
	image_make(&image);
	at = node_of(&image, "a").data_at;
	CHECK_INT(node_of(&image, "b/c").data_at, at);
	CHECK_INT(node_of(&image, "f").data_at, at);
	CHECK(node_of(&image, "b/d").data_at != at);
	CHECK_INT(image.written.shared, 16);
	CHECK_INT(image.written.bytes, 48);
	check_text(&image, "b/c", "the same");
	check_text(&image, "b/d", "the Same");
	check_text(&image, "e", "longer than that");
}

/* ---- folders ------------------------------------------------------------------ */

struct listed {
	char last[256];
	unsigned count, dots, most;
	uint64_t next;
	const struct image *image;
	const struct erofs_node *folder;
};

static int see(void *context, const struct erofs_entry *entry)
{
	struct listed *listed = context;
	uint64_t nid = 0;

	CHECK(listed->count == 0 || strcmp(listed->last, entry->name) < 0);
	CHECK_INT(strlen(entry->name), entry->len);
	CHECK_INT(erofs_find(&listed->image->erofs, listed->folder, entry->name,
			     entry->len, &nid),
		  0);
	CHECK_INT(nid, entry->nid);
	strcpy(listed->last, entry->name);
	listed->count++;
	listed->dots += !strcmp(entry->name, ".") || !strcmp(entry->name, "..");
	listed->next = entry->next;
	return listed->most && listed->count % listed->most == 0;
}

static void add_names(struct image *image, int count)
{
	static const char *const odd[] = { "!",	  "-",	".-", "...",
					   "..a", ".a", "..!" };

	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		auto_free char *name = file_join("/big", odd[i]);

		add(image, name, "");
	}
	for (int i = 0; i < count; i++) {
		auto_free char *name = file_format("/big/%d%0*d", i * 7919,
						   1 + i * 31 % 240, 0);

		add(image, name, "");
	}
}

TEST(a_folder_of_many_names)
{
	auto_image image = { 0 };
	struct erofs_node big;
	struct listed listed = { .image = &image, .folder = &big };
	const char *why = "";
	uint64_t nid, next = 0;
	int r;

	add_names(&image, 5000);
	image_make(&image);
	check_good(&image);
	big = node_of(&image, "big");
	CHECK(big.size > 100 * EROFS_BLOCK);
	CHECK_INT(erofs_list(&image.erofs, &big, see, &listed, &why), 0);
	CHECK_INT(listed.count, 5009);
	CHECK_INT(listed.dots, 2);
	CHECK_INT(erofs_find(&image.erofs, &big, "", 0, &nid), EROFS_MISSING);
	CHECK_INT(erofs_find(&image.erofs, &big, "zz", 2, &nid), EROFS_MISSING);
	CHECK_INT(erofs_find(&image.erofs, &big, "791", 3, &nid),
		  EROFS_MISSING);
	listed = (struct listed){ .image = &image, .folder = &big, .most = 7 };
	do {
		r = erofs_list_from(&image.erofs, &big, next, see, &listed,
				    &why);
		next = listed.next;
	} while (r == 1);
	CHECK_INT(r, 0);
	CHECK_INT(listed.count, 5009);
	CHECK_INT(erofs_list_from(&image.erofs, &big, 5, see, &listed, &why),
		  EROFS_MISSING);
	CHECK_INT(erofs_list_from(&image.erofs, &big, ~11ull, see, &listed,
				  &why),
		  0);
}

TEST(long_names)
{
	auto_image image = { 0 }, other = { 0 };
	char path[300] = "/";
	struct err err = { 0 };

	memset(path + 1, 'n', 255);
	add(&image, path, "long");
	image_make(&image);
	check_good(&image);
	check_text(&image, path, "long");
	path[256] = 'n';
	add(&other, path, "longer");
	CHECK_INT(image_write(&other, NULL, &err), -ENAMETOOLONG);
}

TEST(what_no_image_holds)
{
	auto_image device = { 0 }, link = { 0 };
	struct err err = { 0 };

	CHECK(tree_node(&device.tree, "/dev/x", S_IFCHR | 0600, 5, NULL) == 0);
	CHECK_INT(image_write(&device, NULL, &err), -EINVAL);
	CHECK_TEXT(err.text, "/dev/x is neither a file, a folder nor a link");
	add_link(&link, "/l", "");
	CHECK_INT(image_write(&link, NULL, &err), -EINVAL);
}

/* ---- files of this system ------------------------------------------------------- */

static char *made_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = file_format("%s/brood-erofs.XXXXXX", tmp ? tmp : "/tmp");

	CHECK(mkdtemp(path));
	return path;
}

static void put(const char *folder, const char *name, const char *text,
		mode_t mode)
{
	auto_free char *path = file_join(folder, name);

	CHECK(file_replace(path, text, strlen(text), mode, NULL) == 0);
}

static void fill(const char *folder)
{
	auto_free char *sub = file_join(folder, "sub");
	auto_free char *linked = file_join(folder, "linked");
	auto_free char *file = file_join(folder, "file");
	auto_free char *up = file_join(folder, "sub/link");

	CHECK(mkdir(sub, 0750) == 0);
	put(folder, "file", "text", 0751);
	put(folder, "sub/other", "txet", 0600);
	CHECK(link(file, linked) == 0);
	CHECK(symlink("../file", up) == 0);
	CHECK(chmod(sub, 0550) == 0);
}

TEST(a_folder_packed_and_unpacked)
{
	auto_free char *from = made_folder(), *to = made_folder();
	auto_free char *sub = file_join(from, "sub");
	auto_free char *link = file_join(to, "sub/link");
	auto_free char *file = file_join(to, "file");
	auto_free char *out = file_join(to, "sub");
	auto_close int dir = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_image image = { 0 };
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };
	struct stat a, b;
	char target[16] = { 0 };

	fill(from);
	CHECK_INT(tree_add_folder(&image.tree, from, "/", NULL, &err), 0);
	image_make(&image);
	check_good(&image);
	CHECK_INT(node_of(&image, "linked").data_at,
		  node_of(&image, "file").data_at);
	CHECK_INT(erofs_unpack(&image.erofs, dir, NULL, NULL, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK(file_read(file, &text, 100, NULL) == 0);
	CHECK_TEXT(buf_string(&text), "text");
	CHECK(readlink(link, target, sizeof target - 1) == 7);
	CHECK_TEXT(target, "../file");
	CHECK(stat(sub, &a) == 0 && stat(out, &b) == 0);
	CHECK_INT(b.st_mode, S_IFDIR | 0550);
	CHECK(memcmp(&a.st_mtim, &b.st_mtim, sizeof a.st_mtim) == 0);
	CHECK_INT(erofs_unpack(&image.erofs, dir, NULL, NULL, &err), -EEXIST);
	CHECK(chmod(sub, 0700) == 0 && chmod(out, 0700) == 0);
	CHECK(file_remove_tree(from, NULL) == 0);
	CHECK(file_remove_tree(to, NULL) == 0);
}

TEST(a_fifo_is_told_of)
{
	auto_free char *from = made_folder();
	auto_free char *fifo = file_join(from, "pipe");
	auto_image image = { 0 };
	struct err err = { 0 };

	CHECK(mkfifo(fifo, 0600) == 0);
	CHECK_INT(tree_add_folder(&image.tree, from, "/", NULL, &err), -EINVAL);
	CHECK(strstr(err.text, "/pipe is a fifo"));
	CHECK(file_remove_tree(from, NULL) == 0);
}

TEST(a_file_that_is_gone_or_none)
{
	auto_image gone = { 0 }, none = { 0 };
	struct err err = { 0 };

	CHECK(tree_file(&gone.tree, "/x", 0644, "/nowhere/x", NULL) == 0);
	CHECK_INT(image_write(&gone, NULL, &err), -ENOENT);
	CHECK(tree_file(&none.tree, "/x", 0644, "/dev/null", NULL) == 0);
	CHECK_INT(image_write(&none, NULL, &err), -EINVAL);
	CHECK_TEXT(err.text, "/dev/null is no file any more");
}

/* ---- images that nobody should have written --------------------------------------- */

static struct erofs_inode *inode_at(struct image *image, const char *path)
{
	uint64_t nid = node_of(image, path).nid;

	return (void *)(image->bytes.data + nid * EROFS_SLOT);
}

struct sought {
	const char *name;
	uint64_t cookie;
};

static int seek(void *context, const struct erofs_entry *entry)
{
	struct sought *sought = context;

	sought->cookie = entry->cookie;
	return strcmp(entry->name, sought->name) == 0;
}

static struct erofs_dirent *entry_at(struct image *image, const char *folder,
				     const char *name)
{
	struct erofs_node node = node_of(image, folder);
	struct sought sought = { .name = name };

	CHECK_INT(erofs_list(&image->erofs, &node, seek, &sought, NULL), 1);
	return (void *)(image->bytes.data + node.data_at + sought.cookie);
}

static char *name_at(struct image *image, const char *folder, const char *name)
{
	struct erofs_node node = node_of(image, folder);

	return image->bytes.data + node.data_at +
	       entry_at(image, folder, name)->name_at;
}

/* a/{aa,ab,sub/{x,up}}, b, link */
static void make_sample(struct image *image)
{
	add(image, "/a/aa", "1");
	add(image, "/a/ab", "2");
	add(image, "/a/sub/x", "3");
	add_link(image, "/a/sub/up", "../aa");
	CHECK(tree_folder(&image->tree, "/b", 0755, NULL) == 0);
	add_link(image, "/link", "a/sub/up");
	image_make(image);
	check_good(image);
}

static void set_mode(struct image *image, const char *folder, const char *name,
		     unsigned mode, unsigned kind)
{
	auto_free char *path = file_join(folder, name);

	inode_at(image, path)->mode = (uint16_t)mode;
	entry_at(image, folder, name)->kind = (uint8_t)kind;
}

static void make_device(struct image *image)
{
	set_mode(image, "a", "aa", S_IFCHR | 0644, EROFS_KIND_CHARACTERS);
}

static void make_disk(struct image *image)
{
	set_mode(image, "a", "aa", S_IFBLK | 0644, EROFS_KIND_BLOCKS);
}

static void make_fifo(struct image *image)
{
	set_mode(image, "a", "aa", S_IFIFO | 0644, EROFS_KIND_FIFO);
}

static void make_socket(struct image *image)
{
	set_mode(image, "a", "aa", S_IFSOCK | 0644, EROFS_KIND_SOCKET);
}

static void make_set_user(struct image *image)
{
	inode_at(image, "a/aa")->mode |= 04000;
}

static void make_set_group(struct image *image)
{
	inode_at(image, "a/sub/x")->mode |= 02000;
}

static void make_slash(struct image *image)
{
	name_at(image, "a", "aa")[1] = '/';
}

static void make_null(struct image *image)
{
	name_at(image, "a", "aa")[1] = 0;
}

static void make_double(struct image *image)
{
	name_at(image, "a", "ab")[1] = 'a';
}

static void make_unsorted(struct image *image)
{
	name_at(image, "a", "aa")[1] = 'x';
}

static void make_third_dot(struct image *image)
{
	memcpy(name_at(image, "a", "aa"), "..", 2);
}

static void make_cycle(struct image *image)
{
	entry_at(image, "a", "sub")->nid = node_of(image, "a").nid;
}

static void make_two_parents(struct image *image)
{
	entry_at(image, "", "b")->nid = node_of(image, "a").nid;
}

static void make_parent(struct image *image)
{
	entry_at(image, "a/sub", "..")->nid = node_of(image, "b").nid;
}

static void make_self(struct image *image)
{
	entry_at(image, "a/sub", ".")->nid = node_of(image, "b").nid;
}

static void make_above_root(struct image *image)
{
	entry_at(image, "", "..")->nid = node_of(image, "b").nid;
}

static void make_far_data(struct image *image)
{
	inode_at(image, "a/aa")->place = 0xfffffff0;
}

static void make_huge(struct image *image)
{
	inode_at(image, "a/aa")->size = ~0ull;
}

static void make_far_inode(struct image *image)
{
	entry_at(image, "a", "aa")->nid = ~0ull;
}

static void make_kind(struct image *image)
{
	entry_at(image, "a", "aa")->kind = EROFS_KIND_LINK;
}

static void make_no_kind(struct image *image)
{
	set_mode(image, "a", "aa", 0644, EROFS_KIND_UNKNOWN);
}

static void make_attributes(struct image *image)
{
	inode_at(image, "a/aa")->xattrs = 1;
}

static void make_chunks(struct image *image)
{
	inode_at(image, "a/aa")->format |= 4 << 1;
}

static void make_no_entries(struct image *image)
{
	entry_at(image, "a", ".")->name_at = 0;
}

static void make_empty_folder(struct image *image)
{
	inode_at(image, "b")->size = 0;
}

static void make_link(struct image *image, const char *target)
{
	struct erofs_node node = node_of(image, "a/sub/up");

	strcpy(image->bytes.data + node.data_at, target);
	inode_at(image, "a/sub/up")->size = strlen(target);
}

static void make_absolute(struct image *image)
{
	make_link(image, "/etc/passwd");
}

static void make_out(struct image *image)
{
	make_link(image, "../../../x");
}

static void make_out_and_in(struct image *image)
{
	make_link(image, "../../b/../../x");
}

static void make_null_in_link(struct image *image)
{
	inode_at(image, "a/sub/up")->size++;
}

static void make_empty_link(struct image *image)
{
	inode_at(image, "a/sub/up")->size = 0;
}

struct hostile {
	void (*make)(struct image *image);
	const char *why;
};

static const struct hostile hostiles[] = {
	{ make_device, "/a/aa: a device" },
	{ make_disk, "/a/aa: a device" },
	{ make_fifo, "/a/aa: a fifo" },
	{ make_socket, "/a/aa: a socket" },
	{ make_set_user, "/a/aa: a file that sets the user or the group" },
	{ make_set_group, "/a/sub/x: a file that sets the user or the group" },
	{ make_slash, "/a: a name in it has a /" },
	{ make_null, "/a: its entries are no folder's" },
	{ make_double, "/a/aa: it is there twice" },
	{ make_unsorted, "/a/ab: its folder is not sorted" },
	{ make_third_dot, "/a: it is there twice" },
	{ make_cycle, "/a/sub: this folder lies in two folders" },
	{ make_two_parents, "/b: this folder lies in two folders" },
	{ make_parent, "/a/sub: its \"..\" is not its parent" },
	{ make_self, "/a/sub: its \".\" is another folder" },
	{ make_above_root, "/: its \"..\" is not its parent" },
	{ make_far_data, "/a/aa: its data lie outside the image" },
	{ make_huge, "/a/aa: its data lie outside the image" },
	{ make_far_inode, "/a/aa: its inode lies outside the image" },
	{ make_kind, "/a/aa: its folder tells another kind than its inode" },
	{ make_no_kind, "/a/aa: it is of no known kind" },
	{ make_attributes, "/a/aa: it is not plain: compressed, in chunks, "
			   "inline, or with attributes" },
	{ make_chunks, "/a/aa: it is not plain: compressed, in chunks, "
		       "inline, or with attributes" },
	{ make_no_entries, "/a: its entries are no folder's" },
	{ make_empty_folder, "/b: a folder without \".\" and \"..\"" },
	{ make_absolute, "/a/sub/up: this link leads to an absolute path" },
	{ make_out, "/a/sub/up: this link leads out of the image" },
	{ make_out_and_in, "/a/sub/up: this link leads out of the image" },
	{ make_null_in_link, "/a/sub/up: a 0 within a link" },
	{ make_empty_link, "/a/sub/up: a link of no length that links have" },
	{ NULL, NULL },
};

TEST(each_refusal_names_path_and_cause)
{
	for (const struct hostile *h = hostiles; h->make; h++) {
		auto_image image = { 0 };

		make_sample(&image);
		h->make(&image);
		CHECK(check_with(&image, NULL, h->why) < 0);
	}
}

TEST(links_that_stay_within)
{
	auto_image image = { 0 };
	const struct erofs_limits absolute = { .allow_absolute = true };

	add(&image, "/a/b/c/file", "");
	add_link(&image, "/a/b/c/nowhere", "../none/../../../../../../x");
	add_link(&image, "/a/loop", "loop");
	add_link(&image, "/a/deep", "b/c");
	add_link(&image, "/a/back", "deep/../../../a");
	image_make(&image);
	check_good(&image);
	add_link(&image, "/a/etc", "/etc");
	image_make(&image);
	CHECK_INT(check_with(&image, &absolute, ""), 0);
	CHECK_INT(check_with(&image, NULL,
			     "/a/etc: this link leads to an absolute path"),
		  EROFS_FOREIGN);
}

/* By their words alone both stay within. */
TEST(links_that_lead_out_by_others)
{
	auto_image image = { 0 };

	add_link(&image, "/a/b/top", "../..");
	add_link(&image, "/a/b/out", "top/../x");
	image_make(&image);
	CHECK_INT(check_with(&image, NULL,
			     "/a/b/out: this link leads out of the image"),
		  EROFS_FOREIGN);
}

/* Each leads to the next one, and through its own folder two thousand times
 * before. */
TEST(links_through_too_many_folders)
{
	enum { COUNT = 60, STEPS = 2000 };
	auto_image image = { 0 };
	char name[8], to[2 * STEPS + 8];
	struct erofs_totals totals;
	char why[EROFS_WHY];

	for (int i = 0; i < COUNT; i++) {
		for (int step = 0; step < STEPS; step++)
			memcpy(to + 2 * step, "./", 2);
		snprintf(to + 2 * STEPS, 8, "l%02d", i + 1);
		snprintf(name, sizeof name, "/l%02d", i);
		add_link(&image, name, to);
	}
	image_make(&image);
	CHECK_INT(erofs_check(&image.erofs, NULL, &totals, why), EROFS_FOREIGN);
	CHECK(strstr(why, ": the image's links lead through too many folders"));
}

TEST(limits)
{
	auto_image image = { 0 };
	const struct erofs_limits bytes = { .bytes_most = 2 };
	const struct erofs_limits nodes = { .nodes_most = 4 };
	const struct erofs_limits depth = { .depth_most = 1 };
	const struct erofs_limits enough = { 9, 3, 2, false };

	make_sample(&image);
	CHECK(check_with(&image, &bytes,
			 "/a/sub/x: with this file there are more bytes than "
			 "allowed") < 0);
	CHECK(check_with(&image, &nodes,
			 "/a/sub: there are more files than allowed") < 0);
	CHECK(check_with(&image, &depth,
			 "/a/sub: folders lie in one another too deeply") < 0);
	CHECK_INT(check_with(&image, &enough, ""), 0);
}

static void check_super(struct image *image, size_t at, uint8_t value,
			const char *words)
{
	char *byte = image->bytes.data + EROFS_SUPER_AT + at, kept = *byte;
	struct erofs_source source =
		erofs_source_memory(image->bytes.data, image->bytes.len);
	const char *why = "";

	*byte = (char)value;
	CHECK(erofs_open(&source, &image->erofs, &why) < 0);
	CHECK_TEXT(why, words);
	*byte = kept;
}

TEST(superblocks)
{
	auto_image image = { 0 };
	struct erofs_source source;
	const char *why = "";

	make_sample(&image);
	check_super(&image, 0, 0, "it is no EROFS image");
	check_super(&image, 12, 13, "its blocks are not of 4 KiB");
	check_super(&image, 80, 2,
		    "it uses what is not known here (compression, chunks, "
		    "devices)");
	check_super(&image, 86, 1, "it uses more devices or attributes");
	check_super(&image, 8, 2, "its superblock has no checksum");
	check_super(&image, 4, 1, "the checksum of its superblock is wrong");
	check_super(&image, 3000, 1, "the checksum of its superblock is wrong");
	for (size_t len = 0; len < image.bytes.len; len += 1000) {
		source = erofs_source_memory(image.bytes.data, len);
		CHECK_INT(erofs_open(&source, &image.erofs, &why),
			  EROFS_BROKEN);
		CHECK_TEXT(why, "it is cut short");
	}
}

static int fail_read(void *context, uint64_t at, void *to, uint64_t len)
{
	(void)at, (void)to, (void)len;
	return --*(int *)context < 0 ? -5 : 0;
}

TEST(a_source_that_fails)
{
	int left = 0;
	struct erofs_source source = { fail_read, &left, 1 << 20 };
	struct erofs erofs;
	const char *why = "";

	CHECK_INT(erofs_open(&source, &erofs, &why), EROFS_IO);
	CHECK_TEXT(why, "it cannot be read");
}

static int walk(void *context, const struct erofs_entry *entry)
{
	struct image *image = context;
	struct erofs_node node = { 0 };
	char part[64];
	uint64_t nid;

	if (erofs_node(&image->erofs, entry->nid, &node, NULL) == 0)
		erofs_read(&image->erofs, &node, node.size / 2, part,
			   sizeof part);
	erofs_find(&image->erofs, &node, entry->name, entry->len, &nid);
	return 0;
}

/* In memory of their own, so that a read beyond them would be seen. */
TEST(flipped_bytes)
{
	auto_image image = { 0 };
	struct erofs_totals totals;
	char why[EROFS_WHY];
	size_t meta;
	unsigned seed = 1, refused = 0;

	make_sample(&image);
	meta = node_of(&image, "a/aa").data_at;
	for (int i = 0; i < 20000; i++) {
		size_t at[3];
		char kept[3];
		struct erofs_node root;

		for (int k = 0; k < 3; k++) {
			seed = seed * 1103515245 + 12345;
			at[k] = EROFS_BLOCK +
				(seed >> 8) % (meta - EROFS_BLOCK);
			if (k && i % 2)
				at[k] = EROFS_BLOCK + at[k] % 640;
			kept[k] = image.bytes.data[at[k]];
			image.bytes.data[at[k]] ^= (char)(seed >> 24);
		}
		if (erofs_node(&image.erofs, image.erofs.root_nid, &root,
			       NULL) == 0)
			erofs_list(&image.erofs, &root, walk, &image, NULL);
		refused += erofs_check(&image.erofs, NULL, &totals, why) < 0;
		for (int k = 2; k >= 0; k--)
			image.bytes.data[at[k]] = kept[k];
	}
	CHECK(refused > 2000);
	check_good(&image);
}

TEST_MAIN
