/* SPDX-License-Identifier: Apache-2.0 */
/* Reads an ELF file's headers to tell whether its loader would honour
 * LD_PRELOAD and whether the shim could stop it before main.  The bytes come
 * from anywhere: no offset, count or address in them is used before it has
 * been checked against the file's length, and no loop runs longer than the
 * file has room for.
 *
 *	file -> ELF header -> program headers -> PT_INTERP
 *					      -> PT_DYNAMIC -> needed names
 *							    -> symbols
 */
#include "launch/elf.h"
#include "base/fd.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct elf {
	const unsigned char *data;
	size_t len;
	uint64_t headers_at;
	uint32_t header_count;
	uint64_t strings_at, strings_len; /* of the dynamic section */
	uint64_t symbols_at, symbol_count;
};

/* The dynamic entries that matter, as addresses of the program. */
struct elf_dynamic {
	uint64_t at, count; /* of the entries, in the file */
	uint64_t strings, strings_len, symbols, hash, gnu_hash;
};

static int elf_refuse(struct err *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A reason is told as it is: no strerror() behind it. */
static int elf_refuse(struct err *err, const char *format, ...)
{
	char words[200];
	va_list list;

	va_start(list, format);
	vsnprintf(words, sizeof words, format, list);
	va_end(list);
	err_set(err, -EINVAL, "%s", words);
	if (err)
		err->code = -ENOTSUP;
	return -ENOTSUP;
}

static bool elf_has(const struct elf *elf, uint64_t at, uint64_t len)
{
	return at <= elf->len && len <= elf->len - at;
}

static bool elf_copy(const struct elf *elf, uint64_t at, void *to, size_t len)
{
	if (!elf_has(elf, at, len))
		return false;
	memcpy(to, elf->data + at, len);
	return true;
}

static bool elf_header(const struct elf *elf, uint32_t i, Elf64_Phdr *header)
{
	return elf_copy(elf, elf->headers_at + i * sizeof *header, header,
			sizeof *header);
}

static bool elf_find(const struct elf *elf, uint32_t type, Elf64_Phdr *header)
{
	for (uint32_t i = 0; i < elf->header_count; i++)
		if (elf_header(elf, i, header) && header->p_type == type)
			return true;
	return false;
}

/* Where an address of the program lies in the file; how much of the segment
 * follows is left in *room. */
static bool elf_place(const struct elf *elf, uint64_t address, uint64_t *at,
		      uint64_t *room)
{
	Elf64_Phdr load;

	for (uint32_t i = 0; i < elf->header_count; i++) {
		if (!elf_header(elf, i, &load) || load.p_type != PT_LOAD)
			continue;
		uint64_t into = address - load.p_vaddr;
		if (address < load.p_vaddr || into >= load.p_filesz)
			continue;
		if (!elf_has(elf, load.p_offset, load.p_filesz))
			continue;
		*at = load.p_offset + into;
		*room = load.p_filesz - into;
		return true;
	}
	return false;
}

/* A string of the dynamic section, NULL when it does not end inside. */
static const char *elf_string(const struct elf *elf, uint64_t at)
{
	if (at >= elf->strings_len)
		return NULL;
	const unsigned char *from = elf->data + elf->strings_at + at;
	if (!memchr(from, 0, elf->strings_len - at))
		return NULL;
	return (const char *)from;
}

static int elf_check_head(struct elf *elf, struct elf_facts *facts,
			  struct err *err)
{
	Elf64_Ehdr head;

	if (elf->len >= 2 && memcmp(elf->data, "#!", 2) == 0)
		return elf_refuse(err, "is a script: serve its interpreter");
	if (elf->len < EI_NIDENT || memcmp(elf->data, ELFMAG, SELFMAG) != 0)
		return elf_refuse(err, "is not an ELF program");
	if (!elf_copy(elf, 0, &head, sizeof head) ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 ||
	    head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_machine != EM_X86_64)
		return elf_refuse(err, "is not a program for x86-64");
	if (head.e_type != ET_EXEC && head.e_type != ET_DYN)
		return elf_refuse(err, "is an ELF file, but not a program");
	if (head.e_phentsize != sizeof(Elf64_Phdr) ||
	    !elf_has(elf, head.e_phoff,
		     (uint64_t)head.e_phnum * sizeof(Elf64_Phdr)))
		return elf_refuse(err, "is damaged: its program headers lie "
				       "outside of it");
	elf->headers_at = head.e_phoff;
	elf->header_count = head.e_phnum;
	facts->pie = head.e_type == ET_DYN;
	return 0;
}

static int elf_check_interpreter(const struct elf *elf, struct elf_facts *facts,
				 struct err *err)
{
	Elf64_Phdr header;

	facts->dynamic = elf_find(elf, PT_DYNAMIC, &header);
	if (!elf_find(elf, PT_INTERP, &header) || !facts->dynamic)
		return elf_refuse(err, "is linked statically: it would "
				       "ignore the shim");
	if (!header.p_filesz || header.p_filesz > sizeof facts->interpreter ||
	    !elf_copy(elf, header.p_offset, facts->interpreter,
		      header.p_filesz) ||
	    facts->interpreter[header.p_filesz - 1])
		return elf_refuse(err, "is damaged: the name of its loader is "
				       "not a string");
	const char *base = strrchr(facts->interpreter, '/');
	base = base ? base + 1 : facts->interpreter;
	if (strncmp(base, "ld-linux-x86-64.so", 18) != 0)
		return elf_refuse(err, "is loaded by %.100s, not by glibc",
				  facts->interpreter);
	return 0;
}

static bool elf_entry(const struct elf *elf, const struct elf_dynamic *dynamic,
		      uint64_t i, Elf64_Dyn *entry)
{
	return i < dynamic->count &&
	       elf_copy(elf, dynamic->at + i * sizeof *entry, entry,
			sizeof *entry) &&
	       entry->d_tag != DT_NULL;
}

static void elf_read_dynamic(const struct elf *elf, struct elf_dynamic *dynamic)
{
	Elf64_Phdr header;
	Elf64_Dyn entry;

	memset(dynamic, 0, sizeof *dynamic);
	if (!elf_find(elf, PT_DYNAMIC, &header))
		return;
	dynamic->at = header.p_offset;
	dynamic->count = header.p_filesz / sizeof entry;
	for (uint64_t i = 0; elf_entry(elf, dynamic, i, &entry); i++)
		switch (entry.d_tag) {
		case DT_STRTAB: dynamic->strings = entry.d_un.d_ptr; break;
		case DT_STRSZ: dynamic->strings_len = entry.d_un.d_val; break;
		case DT_SYMTAB: dynamic->symbols = entry.d_un.d_ptr; break;
		case DT_HASH: dynamic->hash = entry.d_un.d_ptr; break;
		case DT_GNU_HASH: dynamic->gnu_hash = entry.d_un.d_ptr; break;
		}
}

/* No header tells the number of symbols.  DT_HASH has one chain for each; in
 * front of the first that DT_GNU_HASH lists are those that are not defined
 * here, and that is where the one in question must be; without both, the
 * strings follow the symbols. */
static uint64_t elf_count_symbols(const struct elf *elf,
				  const struct elf_dynamic *dynamic)
{
	uint64_t at, room;
	uint32_t word[2];

	if (dynamic->hash && elf_place(elf, dynamic->hash, &at, &room) &&
	    elf_copy(elf, at, word, sizeof word))
		return word[1];
	if (dynamic->gnu_hash &&
	    elf_place(elf, dynamic->gnu_hash, &at, &room) &&
	    elf_copy(elf, at, word, sizeof word))
		return word[1];
	if (dynamic->strings > dynamic->symbols)
		return (dynamic->strings - dynamic->symbols) /
		       sizeof(Elf64_Sym);
	return 0;
}

static int elf_open_tables(struct elf *elf, const struct elf_dynamic *dynamic,
			   struct err *err)
{
	uint64_t room;

	if (!elf_place(elf, dynamic->strings, &elf->strings_at, &room) ||
	    dynamic->strings_len > room)
		return elf_refuse(err, "is damaged: its names lie outside of "
				       "it");
	elf->strings_len = dynamic->strings_len;
	if (!elf_place(elf, dynamic->symbols, &elf->symbols_at, &room))
		return elf_refuse(err, "is damaged: its symbols lie outside "
				       "of it");
	elf->symbol_count = elf_count_symbols(elf, dynamic);
	if (elf->symbol_count > room / sizeof(Elf64_Sym))
		elf->symbol_count = room / sizeof(Elf64_Sym);
	return 0;
}

static bool elf_is_sanitizer(const char *library)
{
	static const char *const names[] = {
		"libasan.", "libtsan.",	  "libmsan.",	  "libubsan.",
		"liblsan.", "libhwasan.", "libclang_rt.",
	};
	const char *base = strrchr(library, '/');

	base = base ? base + 1 : library;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strncmp(base, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static int elf_check_needed(const struct elf *elf,
			    const struct elf_dynamic *dynamic, struct err *err)
{
	Elf64_Dyn entry;

	for (uint64_t i = 0; elf_entry(elf, dynamic, i, &entry); i++) {
		if (entry.d_tag != DT_NEEDED)
			continue;
		const char *name = elf_string(elf, entry.d_un.d_val);
		if (name && elf_is_sanitizer(name))
			return elf_refuse(err,
					  "is built with a sanitizer "
					  "(%.100s)",
					  name);
	}
	return 0;
}

static int elf_check_symbols(const struct elf *elf, struct err *err)
{
	bool starts = false;
	Elf64_Sym symbol;

	for (uint64_t i = 1; i < elf->symbol_count; i++) {
		uint64_t at = elf->symbols_at + i * sizeof symbol;
		if (!elf_copy(elf, at, &symbol, sizeof symbol))
			break;
		const char *name = elf_string(elf, symbol.st_name);
		if (!name)
			continue;
		if (symbol.st_shndx == SHN_UNDEF &&
		    strcmp(name, "__libc_start_main") == 0)
			starts = true;
		if (strcmp(name, "__asan_init") == 0 ||
		    strcmp(name, "__tsan_init") == 0 ||
		    strcmp(name, "__msan_init") == 0 ||
		    strcmp(name, "__hwasan_init") == 0)
			return elf_refuse(err,
					  "is built with a sanitizer "
					  "(%s)",
					  name);
	}
	if (!starts)
		return elf_refuse(err, "does not start by __libc_start_main: "
				       "it cannot be stopped before main");
	return 0;
}

int elf_check_bytes(const void *data, size_t len, struct elf_facts *facts,
		    struct err *err)
{
	struct elf elf = { .data = data, .len = len };
	struct elf_dynamic dynamic;
	int rc;

	memset(facts, 0, sizeof *facts);
	if ((rc = elf_check_head(&elf, facts, err)) < 0 ||
	    (rc = elf_check_interpreter(&elf, facts, err)) < 0)
		return rc;
	elf_read_dynamic(&elf, &dynamic);
	if ((rc = elf_open_tables(&elf, &dynamic, err)) < 0 ||
	    (rc = elf_check_needed(&elf, &dynamic, err)) < 0)
		return rc;
	return elf_check_symbols(&elf, err);
}

/* What the kernel would do at its exec. */
static int elf_check_file(int fd, const struct stat *st, struct err *err)
{
	if (!S_ISREG(st->st_mode))
		return elf_refuse(err, "is not a regular file");
	if (!(st->st_mode & 0111))
		return elf_refuse(err, "is not executable");
	if (st->st_mode & (S_ISUID | S_ISGID))
		return elf_refuse(err, "is set-user-id or set-group-id: it "
				       "would ignore the shim");
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return elf_refuse(err, "has file capabilities: it would "
				       "ignore the shim");
	if (st->st_size == 0)
		return elf_refuse(err, "is empty");
	return 0;
}

/* Nothing here knows of any program by name: hypervisors and compilers are
 * served as any other.			      CLAIM 0.15 */
int elf_check(const char *path, struct elf_facts *facts, struct err *err)
{
	auto_close int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int rc;

	memset(facts, 0, sizeof *facts);
	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat %s", path);
	if ((rc = elf_check_file(fd, &st, err)) < 0)
		return err_wrap(err, "%s", path), rc;
	void *data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return err_set(err, -errno, "map %s", path);
	rc = elf_check_bytes(data, st.st_size, facts, err);
	munmap(data, st.st_size);
	if (rc < 0)
		err_wrap(err, "%s", path);
	return rc;
}
