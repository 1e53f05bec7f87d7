/* SPDX-License-Identifier: Apache-2.0 */
/* Which executables may be started with the shim: a small ELF file is laid
 * out in memory, whole at first, then with one thing wrong at a time. */
#include "launch/elf.h"
#include "test.h"
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

struct small {
	Elf64_Ehdr head;
	Elf64_Phdr load, interp, dynamic;
	char interpreter[32];
	Elf64_Dyn entry[8];
	Elf64_Sym symbol[3];
	char strings[64];
	uint32_t hash[8];
};

enum { STRING_START = 1, STRING_LIBC = 20, STRING_OTHER = 40 };

static Elf64_Phdr part(uint32_t type, size_t at, size_t len)
{
	return (Elf64_Phdr){ .p_type = type,
			     .p_offset = at,
			     .p_vaddr = at,
			     .p_filesz = len,
			     .p_memsz = len };
}

#define PART(type, member)                         \
	part(type, offsetof(struct small, member), \
	     sizeof(((struct small *)0)->member))

static void set_entry(struct small *elf, int i, int64_t tag, uint64_t value)
{
	elf->entry[i].d_tag = tag;
	elf->entry[i].d_un.d_val = value;
}

static struct small whole(void)
{
	struct small elf = {
		.head = { .e_type = ET_DYN,
			  .e_machine = EM_X86_64,
			  .e_phoff = offsetof(struct small, load),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 3 },
		.interpreter = "/lib64/ld-linux-x86-64.so.2",
	};

	memcpy(elf.head.e_ident, ELFMAG, SELFMAG);
	elf.head.e_ident[EI_CLASS] = ELFCLASS64;
	elf.head.e_ident[EI_DATA] = ELFDATA2LSB;
	elf.load = part(PT_LOAD, 0, sizeof elf);
	elf.interp = PART(PT_INTERP, interpreter);
	elf.dynamic = PART(PT_DYNAMIC, entry);
	strcpy(elf.strings + STRING_START, "__libc_start_main");
	strcpy(elf.strings + STRING_LIBC, "libc.so.6");
	strcpy(elf.strings + STRING_OTHER, "main");
	set_entry(&elf, 0, DT_NEEDED, STRING_LIBC);
	set_entry(&elf, 1, DT_STRTAB, offsetof(struct small, strings));
	set_entry(&elf, 2, DT_STRSZ, sizeof elf.strings);
	set_entry(&elf, 3, DT_SYMTAB, offsetof(struct small, symbol));
	set_entry(&elf, 4, DT_GNU_HASH, offsetof(struct small, hash));
	elf.symbol[1].st_name = STRING_OTHER;
	elf.symbol[2].st_name = STRING_START;
	elf.hash[0] = 1;
	elf.hash[1] = 3; /* the first that is listed: all three are before */
	return elf;
}

static int check(const struct small *elf, struct err *err)
{
	struct elf_facts facts;

	err_clear(err);
	return elf_check_bytes(elf, sizeof *elf, &facts, err);
}

TEST(whole_is_fine)
{
	struct small elf = whole();
	struct elf_facts facts;
	struct err err = { 0 };

	CHECK_INT(elf_check_bytes(&elf, sizeof elf, &facts, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK(facts.pie && facts.dynamic);
	CHECK_TEXT(facts.interpreter, "/lib64/ld-linux-x86-64.so.2");
	elf.head.e_type = ET_EXEC;
	CHECK_INT(elf_check_bytes(&elf, sizeof elf, &facts, &err), 0);
	CHECK(!facts.pie);
}

TEST(each_table_gives_the_symbols)
{
	struct small elf = whole();
	struct err err = { 0 };

	set_entry(&elf, 4, DT_HASH, offsetof(struct small, hash));
	CHECK_INT(check(&elf, &err), 0);
	set_entry(&elf, 4, DT_DEBUG, 0);
	CHECK_INT(check(&elf, &err), 0);
}

TEST(reasons_are_told)
{
	struct small elf = whole();
	struct err err = { 0 };

	elf.interp.p_type = PT_NULL;
	CHECK_INT(check(&elf, &err), -ENOTSUP);
	CHECK(strstr(err.text, "statically"));

	elf = whole();
	elf.symbol[2].st_shndx = 7; /* defines it itself */
	CHECK_INT(check(&elf, &err), -ENOTSUP);
	CHECK(strstr(err.text, "__libc_start_main"));

	elf = whole();
	strcpy(elf.interpreter, "/lib/ld-musl-x86_64.so.1");
	CHECK_INT(check(&elf, &err), -ENOTSUP);
	CHECK(strstr(err.text, "not by glibc"));

	elf = whole();
	elf.head.e_machine = EM_AARCH64;
	CHECK_INT(check(&elf, &err), -ENOTSUP);
	CHECK(strstr(err.text, "x86-64"));

	elf = whole();
	elf.head.e_type = ET_REL;
	CHECK_INT(check(&elf, &err), -ENOTSUP);
	CHECK_INT(err.code, -ENOTSUP);
}

TEST(sanitizers_are_refused)
{
	static const char *const names[] = { "libasan.so.8", "libtsan.so.2",
					     "libubsan.so.1",
					     "/x/libhwasan.so.0" };
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct small elf = whole();
		strcpy(elf.strings + STRING_LIBC, names[i]);
		CHECK_INT(check(&elf, &err), -ENOTSUP);
		CHECK(strstr(err.text, "sanitizer"));
	}
	struct small elf = whole();
	strcpy(elf.strings + STRING_OTHER, "__asan_init");
	CHECK_INT(check(&elf, &err), -ENOTSUP);
	CHECK(strstr(err.text, "sanitizer"));
}

TEST(scripts_name_their_way_out)
{
	struct elf_facts facts;
	struct err err = { 0 };

	CHECK_INT(elf_check_bytes("#!/bin/sh\n", 10, &facts, &err), -ENOTSUP);
	CHECK_TEXT(err.text, "is a script: serve its interpreter");
	CHECK_INT(elf_check_bytes("#", 1, &facts, &err), -ENOTSUP);
	CHECK_INT(elf_check_bytes("", 0, &facts, &err), -ENOTSUP);
}

/* Whatever the bytes, it answers; the sanitizers watch it. */
TEST(every_length_and_many_flips)
{
	struct small elf = whole();
	struct elf_facts facts;
	uint32_t seed = 1;

	for (size_t len = 0; len < sizeof elf; len++) {
		void *copy = malloc(len ? len : 1);
		memcpy(copy, &elf, len);
		(void)elf_check_bytes(copy, len, &facts, NULL);
		free(copy);
	}
	for (int round = 0; round < 200000; round++) {
		elf = whole();
		for (int i = 0; i < 3; i++) {
			seed = seed * 1664525 + 1013904223;
			((unsigned char *)&elf)[(seed >> 8) % sizeof elf] =
				seed & 1 ? 0xff : (unsigned char)(seed >> 24);
		}
		(void)elf_check_bytes(&elf, sizeof elf, &facts, NULL);
	}
}

static void write_file(const char *path, const void *data, size_t len,
		       mode_t mode)
{
	FILE *file = fopen(path, "w");

	CHECK(file && fwrite(data, 1, len, file) == len);
	if (file)
		fclose(file);
	CHECK(chmod(path, mode) == 0);
}

TEST(files)
{
	struct small elf = whole();
	char dir[] = "/tmp/test_elf.XXXXXX", path[64];
	struct elf_facts facts;
	struct err err = { 0 };

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/program", dir);
	write_file(path, &elf, sizeof elf, 0755);
	CHECK_INT(elf_check(path, &facts, &err), 0);
	CHECK(chmod(path, 04755) == 0);
	CHECK_INT(elf_check(path, &facts, &err), -ENOTSUP);
	CHECK(strstr(err.text, "set-user-id"));
	CHECK(strncmp(err.text, path, strlen(path)) == 0);
	CHECK(chmod(path, 0644) == 0);
	CHECK_INT(elf_check(path, &facts, &err), -ENOTSUP);
	CHECK(strstr(err.text, "not executable"));
	write_file(path, "", 0, 0755);
	CHECK_INT(elf_check(path, &facts, &err), -ENOTSUP);
	CHECK_INT(elf_check(dir, &facts, &err), -ENOTSUP);
	CHECK(strstr(err.text, "not a regular file"));
	unlink(path);
	CHECK_INT(elf_check(path, &facts, &err), -ENOENT);
	rmdir(dir);
	CHECK_INT(elf_check("/usr/bin/env", &facts, &err), 0);
}

TEST_MAIN
