/* SPDX-License-Identifier: Apache-2.0 */
/* An archive as a kernel reads it, the names that go into one, and ELF files
 * that are not what they say. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/image_modules.h"
#include "test.h"
#include "tree/cpio.h"
#include "tree/needed.h"
#include "tree/tree.h"
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- the archive -------------------------------------------------------------- */

struct entry {
	unsigned field[13];
	char name[256];
	const char *data;
};

static int memory_file(void)
{
	return memfd_create("cpio", MFD_CLOEXEC);
}

static void read_all(int fd, struct buf *bytes)
{
	char part[4096];
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, part, sizeof part)) > 0)
		buf_add(bytes, part, n);
}

static unsigned hex(const char *at)
{
	char digits[9] = { 0 };

	memcpy(digits, at, 8);
	return strtoul(digits, NULL, 16);
}

/* The entry at *at, which is left behind it; false at the trailer. */
static int read_entry(const struct buf *bytes, size_t *at, struct entry *entry)
{
	const char *head = bytes->data + *at;

	CHECK(*at % 4 == 0 && *at + 110 <= bytes->len);
	CHECK(memcmp(head, "070701", 6) == 0);
	for (int i = 0; i < 13; i++)
		entry->field[i] = hex(head + 6 + 8 * i);
	snprintf(entry->name, sizeof entry->name, "%s", head + 110);
	CHECK_INT(entry->field[11], strlen(entry->name) + 1);
	*at = (*at + 110 + entry->field[11] + 3) & ~3ul;
	entry->data = bytes->data + *at;
	*at = (*at + entry->field[6] + 3) & ~3ul;
	CHECK(*at <= bytes->len);
	return strcmp(entry->name, "TRAILER!!!") != 0;
}

TEST(an_archive)
{
	auto_close int fd = memory_file();
	auto_buf struct buf bytes = { 0 };
	struct cpio cpio;
	struct entry e;
	size_t at = 0;

	cpio_init(&cpio, fd);
	CHECK(cpio_entry(&cpio, "dev", S_IFDIR | 0755, 0, 0, NULL) == 0);
	CHECK(cpio_entry(&cpio, "dev/console", S_IFCHR | 0600, makedev(5, 1), 0,
			 NULL) == 0);
	CHECK(cpio_entry(&cpio, "five", S_IFREG | 04755, 0, 5, NULL) == 0);
	CHECK(cpio_data(&cpio, "he", 2, NULL) == 0);
	CHECK(cpio_data(&cpio, "llo", 3, NULL) == 0);
	CHECK(cpio_entry(&cpio, "link", S_IFLNK | 0777, 0, 4, NULL) == 0);
	CHECK(cpio_data(&cpio, "five", 4, NULL) == 0);
	CHECK(cpio_end(&cpio, NULL) == 0);
	read_all(fd, &bytes);
	CHECK_INT(bytes.len % 512, 0);
	CHECK_INT(bytes.len, cpio.done);

	CHECK(read_entry(&bytes, &at, &e));
	CHECK_TEXT(e.name, "dev");
	CHECK_INT(e.field[1], S_IFDIR | 0755);
	CHECK(read_entry(&bytes, &at, &e));
	CHECK_INT(e.field[0], 1);
	CHECK_INT(e.field[9], 5);
	CHECK_INT(e.field[10], 1);
	CHECK(read_entry(&bytes, &at, &e));
	CHECK_INT(e.field[1], S_IFREG | 04755);
	CHECK_INT(e.field[2] + e.field[3] + e.field[5], 0);
	CHECK(e.field[6] == 5 && memcmp(e.data, "hello", 5) == 0);
	CHECK(read_entry(&bytes, &at, &e));
	CHECK(e.field[6] == 4 && memcmp(e.data, "five", 4) == 0);
	CHECK(!read_entry(&bytes, &at, &e));
}

TEST(a_long_file_is_whole)
{
	auto_close int fd = memory_file(), from = memory_file();
	auto_buf struct buf bytes = { 0 }, file = { 0 };
	struct cpio cpio;
	struct entry e;
	size_t at = 0;

	for (int i = 0; i < 50000; i++)
		buf_format(&file, "%d ", i);
	CHECK(fd_write_all(from, file.data, file.len, NULL) == 0);
	lseek(from, 0, SEEK_SET);
	cpio_init(&cpio, fd);
	CHECK(cpio_entry(&cpio, "long", S_IFREG | 0644, 0, file.len, NULL) ==
	      0);
	CHECK(cpio_copy(&cpio, from, "from", NULL) == 0);
	CHECK(cpio_end(&cpio, NULL) == 0);
	read_all(fd, &bytes);
	CHECK(read_entry(&bytes, &at, &e));
	CHECK(e.field[6] == file.len &&
	      memcmp(e.data, file.data, file.len) == 0);
	CHECK(!read_entry(&bytes, &at, &e));
}

static int copy_of(size_t told, size_t real)
{
	auto_close int fd = memory_file(), from = memory_file();
	struct cpio cpio;

	if (ftruncate(from, real) < 0)
		return 0;
	cpio_init(&cpio, fd);
	cpio_entry(&cpio, "x", S_IFREG | 0644, 0, told, NULL);
	return cpio_copy(&cpio, from, "from", NULL);
}

TEST(a_file_that_changes_is_told_of)
{
	CHECK_INT(copy_of(100000, 100000), 0);
	CHECK_INT(copy_of(0, 0), 0);
	CHECK_INT(copy_of(100000, 99999), -EINVAL);
	CHECK_INT(copy_of(100000, 100001), -EINVAL);
	CHECK_INT(copy_of(0, 1), -EINVAL);
}

TEST(what_does_not_fit)
{
	auto_close int fd = memory_file();
	char name[5000];
	struct cpio cpio;

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = 0;
	cpio_init(&cpio, fd);
	CHECK_INT(cpio_entry(&cpio, "big", S_IFREG, 0, 1ull << 32, NULL),
		  -EFBIG);
	CHECK_INT(cpio_entry(&cpio, name, S_IFREG, 0, 0, NULL), -ENAMETOOLONG);
	CHECK(cpio_entry(&cpio, "ok", S_IFREG, 0, 1, NULL) == 0);
	CHECK_INT(cpio_data(&cpio, "ab", 2, NULL), -EINVAL);
}

/* ---- names -------------------------------------------------------------------- */

static const struct tree usr_tree = { .usr_links = true };

static void check_name(const char *path, const char *name)
{
	auto_free char *is = tree_name(&usr_tree, path, NULL);

	CHECK_TEXT(is, name);
}

TEST(names)
{
	check_name("/etc/passwd", "etc/passwd");
	check_name("//etc/./x//y/", "etc/x/y");
	check_name("/bin/ls", "usr/bin/ls");
	check_name("/lib64/ld.so", "usr/lib64/ld.so");
	check_name("/libx/y", "libx/y");
	check_name("/bin", "bin");
	check_name("/", "");
	CHECK(!tree_name(&usr_tree, "/etc/../../x", NULL));
	CHECK(!tree_name(&usr_tree, "..", NULL));
}

static void check_tree(struct tree *tree, const char *names)
{
	auto_buf struct buf text = { 0 };

	for (size_t i = 0; i < tree->count; i++)
		buf_format(&text, "%s:%o ", tree->node[i].name,
			   tree->node[i].mode);
	CHECK_TEXT(buf_string(&text), names);
}

TEST(a_tree_is_sorted_and_has_its_folders)
{
	struct tree tree = { .usr_links = true };

	CHECK(tree_data(&tree, "/z/y/x", 0600, "old", 3, NULL) == 0);
	CHECK(tree_folder(&tree, "/z", 0700, NULL) == 0);
	CHECK(tree_file(&tree, "/a", 0644, "/dev/null", NULL) == 0);
	CHECK(tree_data(&tree, "/z/y/x", 0640, "new", 3, NULL) == 0);
	CHECK(tree_link(&tree, "/z/y-link", "y", NULL) == 0);
	CHECK(tree_folder(&tree, "/", 0777, NULL) == 0);
	CHECK(tree_folder(&tree, "//lib/", 0711, NULL) == 0);
	CHECK(tree_close(&tree, NULL) == 0);
	check_tree(
		&tree,
		"a:100644 usr:40755 usr/lib:40711 z:40700 z/y:40755 z/y-link:120777 "
		"z/y/x:100640 ");
	CHECK_TEXT(buf_string(&tree.node[6].data), "new");
	tree_fini(&tree);
}

TEST(names_as_they_are_given)
{
	static const struct tree plain = { 0 };
	auto_free char *name = tree_name(&plain, "/bin/ls", NULL);
	struct tree tree = { 0 };

	CHECK_TEXT(name, "bin/ls");
	CHECK(tree_folder(&tree, "/", 0750, NULL) == 0);
	tree_set_mtime(&tree, (struct timespec){ 5, 6 });
	CHECK(tree_folder(&tree, "/lib", 0711, NULL) == 0);
	CHECK(tree_data(&tree, "/lib/a", 0644, "", 0, NULL) == 0);
	CHECK_INT(tree_data(&tree, "/", 0644, "", 0, NULL), -EINVAL);
	CHECK(tree_close(&tree, NULL) == 0);
	check_tree(&tree, "lib:40711 lib/a:100644 ");
	CHECK_INT(tree.root_mode, S_IFDIR | 0750);
	CHECK(tree.root_mtime.tv_sec == 5 && tree.root_mtime.tv_nsec == 6);
	CHECK(tree_find(&tree, "lib/a", 3) == &tree.node[0]);
	CHECK(tree_find(&tree, "lib/a", 5) == &tree.node[1]);
	CHECK(!tree_find(&tree, "li", 2) && !tree_find(&tree, "lib/ab", 6));
	tree_fini(&tree);
}

TEST(nothing_lies_in_a_file)
{
	struct tree tree = { 0 };
	struct err err = { 0 };

	CHECK(tree_data(&tree, "/a", 0644, "", 0, NULL) == 0);
	CHECK(tree_data(&tree, "/a/b", 0644, "", 0, NULL) == 0);
	CHECK_INT(tree_close(&tree, &err), -EINVAL);
	CHECK(strstr(err.text, "/a is no folder"));
	tree_fini(&tree);
}

/* ---- what programs need --------------------------------------------------------- */

TEST(the_needs_of_a_program)
{
	auto_buf struct buf bytes = { 0 };
	struct needed_elf elf;
	int libc = 0;

	CHECK(file_read("/proc/self/exe", &bytes, 1 << 30, NULL) == 0);
	CHECK(needed_elf_read(bytes.data, bytes.len, &elf));
	CHECK(elf.interpreter && strstr(elf.interpreter, "ld-linux"));
	for (int i = 0; i < elf.count; i++)
		libc += strcmp(elf.needs[i], "libc.so.6") == 0;
	CHECK_INT(libc, 1);
	CHECK(!needed_elf_read("\177ELF", 4, &elf));
	CHECK(!needed_elf_read("", 0, &elf));
}

TEST(the_c_library_is_a_family)
{
	CHECK(needed_is_libc("libc.so.6") && needed_is_libc("libm-2.36.so"));
	CHECK(needed_is_libc("/lib64/ld-linux-x86-64.so.2"));
	CHECK(needed_is_libc("libnss_files.so.2"));
	CHECK(!needed_is_libc("libcrypto.so.3") &&
	      !needed_is_libc("libc++.so"));
	CHECK(!needed_is_libc("libnss3.so") && !needed_is_libc("libmagic.so"));
}

static void add_true(bool without_libc, struct buf *names)
{
	struct tree tree = { 0 };
	struct needed needed;

	needed_init(&needed, &tree);
	needed.without_libc = without_libc;
	CHECK(needed_add(&needed, "/usr/bin/env", "/bin/env", NULL) == 0);
	CHECK(tree_close(&tree, NULL) == 0);
	for (size_t i = 0; i < tree.count; i++)
		buf_format(names, "%s ", tree.node[i].name);
	needed_fini(&needed);
	tree_fini(&tree);
}

TEST(needs_with_and_without_the_c_library)
{
	auto_buf struct buf with = { 0 }, without = { 0 };

	add_true(false, &with);
	add_true(true, &without);
	CHECK(strstr(buf_string(&with), "libc.so.6 "));
	CHECK(strstr(buf_string(&with), "ld-linux-x86-64.so.2 "));
	CHECK_TEXT(buf_string(&without), "bin bin/env ");
}

static void use(const char *text)
{
	CHECK(!text || strlen(text) < 1 << 20);
}

/* Cut at any length, and with any byte of its tables another. */
TEST(broken_programs)
{
	auto_buf struct buf bytes = { 0 };
	struct needed_elf elf;
	Elf64_Ehdr head;
	unsigned seed = 1;

	CHECK(file_read("/bin/true", &bytes, 1 << 30, NULL) == 0);
	memcpy(&head, bytes.data, sizeof head);
	for (int i = 0; i < 3000; i++) {
		size_t len =
			i < 1500 ? (size_t)i * bytes.len / 1500 : bytes.len;
		char *copy = malloc(len ? len : 1);
		size_t tables = head.e_phoff + head.e_phnum * head.e_phentsize;

		memcpy(copy, bytes.data, len);
		for (int k = 0; k < 3 && len > tables && i >= 1000; k++) {
			seed = seed * 1103515245 + 12345;
			copy[(seed >> 8) % tables] = seed >> 24;
		}
		if (needed_elf_read(copy, len, &elf)) {
			use(elf.interpreter);
			use(elf.run_path);
			for (int k = 0; k < elf.count; k++)
				use(elf.needs[k]);
		}
		free(copy);
	}
}

TEST(a_kernel_says_its_release)
{
	char path[] = "/tmp/brood-kernel.XXXXXX", release[65], head[4096];
	auto_close int fd = mkstemp(path);
	uint16_t at = 0x300;

	memset(head, 0, sizeof head);
	memcpy(head + 0x202, "HdrS", 4);
	memcpy(head + 0x20e, &at, sizeof at);
	strcpy(head + 0x500, "6.1.0-56-cloud (someone@somewhere) #1");
	CHECK(fd_pwrite_all(fd, head, sizeof head, 0, NULL) == 0);
	CHECK(image_modules_release(path, release, NULL) == 0);
	CHECK_TEXT(release, "6.1.0-56-cloud");
	strcpy(head + 0x500, "../../etc x");
	CHECK(fd_pwrite_all(fd, head, sizeof head, 0, NULL) == 0);
	CHECK_INT(image_modules_release(path, release, NULL), -EINVAL);
	at = 0xffff;
	memcpy(head + 0x20e, &at, sizeof at);
	CHECK(fd_pwrite_all(fd, head, sizeof head, 0, NULL) == 0);
	CHECK_INT(image_modules_release(path, release, NULL), -EINVAL);
	CHECK_INT(image_modules_release("/bin/true", release, NULL), -EINVAL);
	unlink(path);
}

TEST_MAIN
