/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the optimiser's compiler: made by hand, right but for one thing;
 * and made by an assembler and a compiler, where they are. */
#include "aot/object.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "lib/object.h"
#include "test.h"
#include <unistd.h>

static const uint32_t asked[] = { 3, 5, 6, 9 };
static const struct aot_wanted wanted = {
	.imported = 2, .function_count = 10, .functions = asked, .count = 4
};

static struct object object;
static uint8_t bytes[OBJECT_BYTES];
static uint64_t len;
static struct aot_object made;
static struct err err;

static int read_bytes(const void *from, uint64_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	int rc;

	memcpy(copy, from, size);
	err_clear(&err);
	rc = aot_object_read(&made, copy, size, &wanted, &err);
	memset(copy, 0xee, size);
	free(copy);
	return rc;
}

static int read_object(void)
{
	len = object_write(&object, bytes);
	return read_bytes(bytes, len);
}

static const uint8_t code[40] = { 0x90, 0xe8, 0, 0, 0, 0, 0xc3 };
static const uint8_t constants[32] = { 1, 2, 3, 4 };

/* Two functions that call each other, a third one and a trap, and have a
 * constant and a table of jumps. */
enum { S_F5 = 1, S_F3, S_CST, S_TABLE, Y_F5 = 1, Y_F3, Y_F7, Y_T1, Y_CST, Y_5 };
static void right(void)
{
	object_init(&object);
	object_function(&object, 5, code, 40);
	object_function(&object, 3, code, 24);
	object_section(&object, ".rodata.cst16", SHF_ALLOC | SHF_MERGE,
		       constants, 17, 16);
	object_section(&object, ".rodata.f5", SHF_ALLOC, constants, 12, 4);
	object_symbol(&object, "f7", STB_GLOBAL, SHN_UNDEF, 0);
	object_symbol(&object, "t1", STB_GLOBAL, SHN_UNDEF, 0);
	object_symbol(&object, ".LCPI0_0", STB_LOCAL, S_CST, 4);
	object_symbol(&object, "", STB_LOCAL, S_F5, 0);
	object_relocation(&object, S_F5, 12, R_X86_64_PLT32, Y_F7, -4);
	object_relocation(&object, S_F5, 2, R_X86_64_PLT32, Y_F3, -4);
	object_relocation(&object, S_F5, 30, R_X86_64_PC32, Y_CST, -4);
	object_relocation(&object, S_F3, 20, R_X86_64_PLT32, Y_T1, -4);
	object_relocation(&object, S_F3, 8, R_X86_64_PC32, Y_F5, -4);
	object_relocation(&object, S_TABLE, 4, R_X86_64_PC32, Y_5, 17);
	object_relocation(&object, S_TABLE, 8, R_X86_64_PC32, Y_5, 8);
}

static int site_is(const struct jit_made_site *site, uint32_t at,
		   int32_t addend, enum jit_made_kind kind, uint32_t target)
{
	return site->at == at && site->addend == addend && site->kind == kind &&
	       site->target == target;
}

TEST(right_ones_are_read)
{
	const struct jit_made *three, *five;

	right();
	CHECK_INT(read_object(), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(made.made_count, 2);
	if (made.made_count != 2)
		return;
	three = &made.made[0], five = &made.made[1];
	CHECK_INT(three->function, 3);
	CHECK_INT(five->function, 5);
	CHECK_INT(three->len, 24);
	CHECK_INT(five->len, 40);
	CHECK(memcmp(three->code, code, 24) == 0);
	CHECK(memcmp(five->code, code, 40) == 0);
	CHECK_INT(three->site_count, 2);
	CHECK(site_is(&three->sites[0], 8, -4, JIT_MADE_FUNCTION, 5));
	CHECK(site_is(&three->sites[1], 20, -4, JIT_MADE_TRAP, 1));
	CHECK_INT(five->site_count, 3);
	CHECK(site_is(&five->sites[0], 2, -4, JIT_MADE_FUNCTION, 3));
	CHECK(site_is(&five->sites[1], 12, -4, JIT_MADE_FUNCTION, 7));
	CHECK(site_is(&five->sites[2], 30, -4, JIT_MADE_CONSTANT, 4));
	CHECK_INT(made.constant_bytes, 20 + 12);
	CHECK(memcmp(made.constants, constants, 17) == 0);
	CHECK(memcmp(made.constants + 20, constants, 12) == 0);
	CHECK_INT(made.constant_site_count, 2);
	CHECK(site_is(&made.constant_sites[0], 24, 17, JIT_MADE_FUNCTION, 5));
	CHECK(site_is(&made.constant_sites[1], 28, 8, JIT_MADE_FUNCTION, 5));
	aot_object_fini(&made);
}

TEST(what_is_for_others_is_passed_over)
{
	uint32_t section;

	right();
	section = object_section(&object, ".eh_frame", SHF_ALLOC, constants, 32,
				 8);
	object.sections[section].head.sh_type = SHT_X86_64_UNWIND;
	object_relocation(&object, section, 8, R_X86_64_64, Y_F5, 0);
	object_section(&object, ".comment", SHF_MERGE | SHF_STRINGS, constants,
		       9, 1);
	object_section(&object, ".note.GNU-stack", 0, NULL, 0, 1);
	object_section(&object, ".llvm_addrsig", SHF_EXCLUDE, constants, 3, 1);
	object_section(&object, ".text", SHF_ALLOC | SHF_EXECINSTR, NULL, 0, 4);
	section = object_section(&object, ".bss", SHF_ALLOC | SHF_WRITE, NULL,
				 0, 1);
	object.sections[section].head.sh_type = SHT_NOBITS;
	object.symbols[object_symbol(&object, "file", STB_LOCAL, SHN_ABS, 0)]
		.st_info = ELF64_ST_INFO(STB_LOCAL, STT_FILE);
	CHECK_INT(read_object(), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(made.made_count, 2);
	aot_object_fini(&made);
}

TEST(nothing_is_an_object_without_functions)
{
	CHECK_INT(read_bytes("", 0), 0);
	CHECK_INT(made.made_count, 0);
	object_init(&object);
	CHECK_INT(read_object(), 0);
	CHECK_INT(made.made_count, 0);
	CHECK_INT(made.constant_bytes, 0);
	aot_object_fini(&made);
}

/* One thing is wrong, and the words tell it. */
static void refused_at(int line, const char *why)
{
	if (read_object() == 0)
		aot_object_fini(&made);
	test_int(__FILE__, line, "refused", err.code, -74 /* EBADMSG */);
	if (!strstr(err.text, why))
		test_text(__FILE__, line, "why", err.text, why);
	if (made.made || made.text || made.constants)
		test_fail(__FILE__, line, "something is left");
}
#define REFUSED(why) refused_at(__LINE__, why)

TEST(relocations_name_what_they_may)
{
	static const struct {
		uint32_t section;
		uint64_t at;
		uint32_t type, symbol;
		int64_t addend;
		const char *why;
	} bad[] = {
		{ S_F5, 20, R_X86_64_64, Y_F3, 0, "is not known" },
		{ S_F5, 20, R_X86_64_32S, Y_CST, 0, "is not known" },
		{ S_F5, 20, R_X86_64_GOTPCREL, Y_F3, -4, "is not known" },
		{ S_F5, 20, R_X86_64_REX_GOTPCRELX, Y_F3, -4, "is not known" },
		{ S_TABLE, 0, R_X86_64_PLT32, Y_F5, 0, "is not known" },
		{ S_TABLE, 0, R_X86_64_64, Y_F5, 0, "is not known" },
		{ S_F5, 37, R_X86_64_PC32, Y_F3, -4, "is not in .text.f5" },
		{ S_F5, UINT64_MAX, R_X86_64_PC32, Y_F3, -4, "is not in" },
		{ S_F5, 3, R_X86_64_PC32, Y_F3, -4, "overlap" },
		{ S_F5, 2, R_X86_64_PC32, Y_F3, -4, "overlap" },
		{ S_TABLE, 6, R_X86_64_PC32, Y_F5, 0, "overlap" },
		{ S_F5, 20, R_X86_64_PC32, 0, -4, "names nothing" },
		{ S_F5, 20, R_X86_64_PC32, 99, -4, "names nothing" },
		{ S_F5, 20, R_X86_64_PC32, Y_F3, -5, "names what it may not" },
		{ S_F5, 20, R_X86_64_PC32, Y_F7, 0, "names what it may not" },
		{ S_F5, 20, R_X86_64_PC32, Y_T1, 12, "names what it may not" },
		{ S_F5, 20, R_X86_64_PC32, Y_F5, 36, "names what it may not" },
		{ S_F5, 20, R_X86_64_PC32, Y_CST, INT64_MAX, "names no place" },
		{ S_F5, 20, R_X86_64_PC32, Y_CST, INT64_MIN, "names no place" },
		{ S_TABLE, 0, R_X86_64_PC32, Y_F7, 0, "names what it may not" },
		{ S_TABLE, 0, R_X86_64_PC32, Y_T1, 0, "names what it may not" },
		{ S_TABLE, 0, R_X86_64_PC32, Y_CST, 0, "what it may not" },
		{ S_TABLE, 0, R_X86_64_PC32, Y_5, -1, "what it may not" },
		{ S_TABLE, 0, R_X86_64_PC32, Y_5, 52, "what it may not" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		right();
		object_relocation(&object, bad[i].section, bad[i].at,
				  bad[i].type, bad[i].symbol, bad[i].addend);
		REFUSED(bad[i].why);
	}
	right();
	object_relocation(&object, S_F5, 20, R_X86_64_PC32, Y_F5, 35);
	CHECK_INT(read_object(), 0);
	aot_object_fini(&made);
}

TEST(symbols_are_at_their_places)
{
	static const struct {
		const char *name;
		unsigned bind;
		uint32_t section;
		uint64_t value;
		const char *why;
	} bad[] = {
		{ "memcpy", STB_GLOBAL, SHN_UNDEF, 0, "memcpy, which is" },
		{ "f1", STB_GLOBAL, SHN_UNDEF, 0, "f1, which is not" },
		{ "f10", STB_GLOBAL, SHN_UNDEF, 0, "f10, which is not" },
		{ "f03", STB_GLOBAL, SHN_UNDEF, 0, "f03, which is not" },
		{ "f4294967299", STB_GLOBAL, SHN_UNDEF, 0, "which is not" },
		{ "f", STB_GLOBAL, SHN_UNDEF, 0, "which is not" },
		{ "t0", STB_GLOBAL, SHN_UNDEF, 0, "t0, which is not" },
		{ "t200", STB_GLOBAL, SHN_UNDEF, 0, "t200, which is not" },
		{ "g", STB_GLOBAL, S_F5, 0, "wrong place" },
		{ "f5", STB_GLOBAL, S_F5, 0, "wrong place" },
		{ "f5", STB_GLOBAL, S_F3, 0, "wrong place" },
		{ "f6", STB_LOCAL, S_CST, 0, "wrong place" },
		{ "f6", STB_GLOBAL, SHN_ABS, 0, "in no section" },
		{ "f6", STB_GLOBAL, SHN_COMMON, 0, "in no section" },
		{ "x", STB_LOCAL, 77, 0, "in no section" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		right();
		object_symbol(&object, bad[i].name, bad[i].bind, bad[i].section,
			      bad[i].value);
		REFUSED(bad[i].why);
	}
	right();
	object.symbols[Y_F5].st_value = 1;
	REFUSED("wrong place");
	right();
	object.symbols[Y_F5] = object.symbols[Y_5];
	REFUSED("function 5 has no symbol");
	right();
	object.symbols[Y_CST].st_value = 18;
	REFUSED("names no place");
	right();
	object.symbols[Y_F7].st_name = OBJECT_TEXTS;
	REFUSED("has no name");
}

TEST(sections_are_of_their_kinds)
{
	right();
	object_function(&object, 4, code, 8);
	REFUSED(".text.f4 is no function that was wanted");
	right();
	object_section(&object, ".text.f5.cold", SHF_ALLOC | SHF_EXECINSTR,
		       code, 8, 1);
	REFUSED("no function that was wanted");
	right();
	object_section(&object, ".text.f5", SHF_ALLOC | SHF_EXECINSTR, code, 8,
		       1);
	REFUSED("function 5 has no symbol");
	right();
	object_section(&object, ".text", SHF_ALLOC | SHF_EXECINSTR, code, 8, 1);
	REFUSED(".text is not known");
	right();
	object_section(&object, ".data", SHF_ALLOC | SHF_WRITE, code, 8, 1);
	REFUSED(".data is not known");
	right();
	object.sections[object_section(&object, ".bss", SHF_ALLOC | SHF_WRITE,
				       NULL, 8, 1)]
		.head.sh_type = SHT_NOBITS;
	REFUSED(".bss is not known");
	right();
	object.sections[S_CST].head.sh_flags |= SHF_WRITE;
	REFUSED(".rodata.cst16 is of a wrong kind");
	right();
	object.sections[S_CST].head.sh_type = SHT_NOBITS;
	REFUSED(".rodata.cst16 is of a wrong kind");
	right();
	object.sections[S_F3].head.sh_flags |= SHF_WRITE;
	REFUSED(".text.f3 is of a wrong kind");
	right();
	object.sections[S_F3].head.sh_flags = SHF_ALLOC;
	REFUSED(".text.f3 is of a wrong kind");
	right();
	object.sections[S_CST].head.sh_addralign = 128;
	REFUSED("alignment of 128");
	right();
	object.sections[S_CST].head.sh_addralign = 3;
	REFUSED("alignment of 3");
	right();
	object.sections[S_F3].head.sh_size = 0;
	REFUSED("function 3 is empty");
}

/* What object_write writes is changed afterwards. */
static void refused_bytes_at(int line, const char *why)
{
	if (read_bytes(bytes, len) == 0)
		aot_object_fini(&made);
	if (!strstr(err.text, why))
		test_text(__FILE__, line, "why", err.text, why);
}
#define REFUSED_BYTES(why) refused_bytes_at(__LINE__, why)

static Elf64_Shdr *section_in_bytes(uint32_t index)
{
	return (Elf64_Shdr *)(bytes + object.head.e_shoff) + index;
}

static uint32_t section_of_type(uint32_t type)
{
	for (uint32_t i = 1; i < object.section_count; i++)
		if (object.sections[i].head.sh_type == type)
			return i;
	return 0;
}

static void written(void)
{
	right();
	len = object_write(&object, bytes);
}

TEST(places_are_within_the_object)
{
	Elf64_Ehdr *head = (Elf64_Ehdr *)bytes;

	written();
	section_in_bytes(S_F5)->sh_size = UINT64_MAX;
	REFUSED_BYTES("section 1 is not in it");
	written();
	section_in_bytes(S_F5)->sh_offset = len;
	REFUSED_BYTES("section 1 is not in it");
	written();
	for (int i = 1; i <= 4; i++) {
		section_in_bytes(i)->sh_offset = 0;
		section_in_bytes(i)->sh_size = len / 2;
	}
	REFUSED_BYTES("overlap");
	written();
	section_in_bytes(section_of_type(SHT_SYMTAB))->sh_link = 1;
	REFUSED_BYTES("symbols are of a wrong kind");
	written();
	section_in_bytes(section_of_type(SHT_SYMTAB))->sh_size -= 1;
	REFUSED_BYTES("symbols are of a wrong kind");
	written();
	section_in_bytes(section_of_type(SHT_RELA))->sh_info = 99;
	REFUSED_BYTES("is no section's");
	written();
	section_in_bytes(section_of_type(SHT_RELA))->sh_info = S_F3;
	REFUSED_BYTES("relocations of .text.f3 are of a wrong kind");
	written();
	section_in_bytes(section_of_type(SHT_RELA))->sh_link = 1;
	REFUSED_BYTES("are of a wrong kind");
	written();
	section_in_bytes(S_CST)->sh_name = UINT32_MAX;
	REFUSED_BYTES("section 3 has no name");
	written();
	head->e_shstrndx = S_F5;
	REFUSED_BYTES("its sections have no names");
	written();
	head->e_shoff = UINT64_MAX;
	REFUSED_BYTES("its sections are not in it");
	written();
	head->e_shnum = 0xfe00;
	REFUSED_BYTES("its sections are not in it");
	written();
	head->e_type = ET_DYN;
	REFUSED_BYTES("no x86-64 object");
	written();
	head->e_machine = EM_AARCH64;
	REFUSED_BYTES("no x86-64 object");
}

TEST(each_beginning_of_one_is_refused)
{
	written();
	for (uint64_t part = 1; part < len; part++) {
		CHECK(read_bytes(bytes, part) < 0);
		CHECK(err.text[0] && !made.made);
	}
}

/* ---- by others ------------------------------------------------------------- */

static int make(const char *command, struct buf *to)
{
	const char *folder = getenv("TMPDIR");
	auto_free char *path =
		file_format("%s/made-%d.o", folder ? folder : "/tmp", getpid());
	auto_free char *line = file_format("%s -o %s", command, path);
	int rc = system(line);

	if (rc == 0)
		rc = file_read(path, to, 1 << 20, NULL);
	unlink(path);
	return rc;
}

TEST(an_assembler_makes_one)
{
	static const char source[] =
		".section .text.f3,\"ax\"\\n.globl f3\\nf3: call f5\\n"
		"lea table(%%rip),%%rax\\nmovaps .LC(%%rip),%%xmm0\\n"
		"1: jmp t3\\n"
		".section .text.f5,\"ax\"\\n.globl f5\\nf5: call f3\\n ret\\n"
		".section .rodata.cst16,\"aM\",@progbits,16\\n .balign 16\\n"
		".LC: .quad 7,8\\n"
		".section .rodata,\"a\"\\n .balign 4\\ntable:\\n"
		".long 1b-table, 1b-table\\n";
	auto_free char *command = file_format("printf '%s' | as", source);
	auto_buf struct buf text = { 0 };

	if (access("/usr/bin/as", X_OK) < 0)
		SKIP("no as here");
	CHECK_INT(make(command, &text), 0);
	CHECK_INT(read_bytes(text.data, text.len), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(made.made_count, 2);
	CHECK_INT(made.constant_bytes, 24);
	CHECK_INT(made.constant_site_count, 2);
	if (made.made_count != 2 || made.constant_site_count != 2)
		return;
	CHECK_INT(made.made[0].site_count, 4);
	CHECK(site_is(&made.made[0].sites[0], 1, -4, JIT_MADE_FUNCTION, 5));
	CHECK(site_is(&made.made[0].sites[3], 20, -4, JIT_MADE_TRAP, 3));
	CHECK(site_is(&made.constant_sites[0], 16, 19, JIT_MADE_FUNCTION, 3));
	CHECK(site_is(&made.constant_sites[1], 20, 23, JIT_MADE_FUNCTION, 3));
	aot_object_fini(&made);
}

TEST(a_compiler_makes_one)
{
	static const char command[] =
		"printf 'double t1(void),f7(double);"
		"double f3(double a){return f7(a*1.25)+3.5;}"
		"long f5(long a,long b){switch(a){"
		"case 0:return b*3;case 1:return b/7;case 2:return b^a;"
		"case 3:return b<<5;case 4:return b>>a;case 5:t1();}"
		"return f3(a);}' | clang-19 -x c - -c -O2 -ffunction-sections "
		"-fPIC -fvisibility=hidden -mcmodel=small "
		"-fno-asynchronous-unwind-tables";
	auto_buf struct buf text = { 0 };

	if (access("/usr/bin/clang-19", X_OK) < 0)
		SKIP("no clang-19 here");
	CHECK_INT(make(command, &text), 0);
	CHECK_INT(read_bytes(text.data, text.len), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(made.made_count, 2);
	CHECK(made.constant_bytes >= 16 + 6 * 4);
	CHECK_INT(made.constant_site_count, 6);
	aot_object_fini(&made);
}

TEST_MAIN
