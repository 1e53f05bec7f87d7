/* SPDX-License-Identifier: Apache-2.0 */
/* Reads from an ELF file what its loader would look for.  The bytes may be
 * anything: no offset is used before it is in bounds, no string that has no
 * end. */
#include "tree/needed.h"
#include <elf.h>
#include <string.h>

enum { NEEDED_ELF_HEADERS = 256 };

struct needed_elf_file {
	const char *data;
	size_t len;
	Elf64_Ehdr head;
	uint64_t strings, strings_len;
};

static bool needed_elf_copy(const struct needed_elf_file *file, uint64_t at,
			    void *to, size_t len)
{
	if (at > file->len || len > file->len - at)
		return false;
	memcpy(to, file->data + at, len);
	return true;
}

static bool needed_elf_header(const struct needed_elf_file *file, uint32_t i,
			      Elf64_Phdr *header)
{
	uint64_t at;

	return i < NEEDED_ELF_HEADERS &&
	       !__builtin_add_overflow(file->head.e_phoff, i * sizeof *header,
				       &at) &&
	       needed_elf_copy(file, at, header, sizeof *header);
}

static bool needed_elf_find(const struct needed_elf_file *file, uint32_t type,
			    Elf64_Phdr *header)
{
	for (uint32_t i = 0; i < file->head.e_phnum; i++)
		if (needed_elf_header(file, i, header) &&
		    header->p_type == type)
			return true;
	return false;
}

/* Where an address lies in the file, and how much of its segment follows. */
static bool needed_elf_place(const struct needed_elf_file *file,
			     uint64_t address, uint64_t *at, uint64_t *room)
{
	Elf64_Phdr load;

	for (uint32_t i = 0; i < file->head.e_phnum; i++) {
		uint64_t into;

		if (!needed_elf_header(file, i, &load) ||
		    load.p_type != PT_LOAD || address < load.p_vaddr)
			continue;
		into = address - load.p_vaddr;
		if (into >= load.p_filesz || load.p_offset > file->len ||
		    load.p_filesz > file->len - load.p_offset)
			continue;
		*at = load.p_offset + into;
		*room = load.p_filesz - into;
		return true;
	}
	return false;
}

/* NULL where it does not end in so many bytes. */
static const char *needed_elf_text(const struct needed_elf_file *file,
				   uint64_t at, uint64_t len)
{
	if (at >= file->len)
		return NULL;
	len = len < file->len - at ? len : file->len - at;
	return memchr(file->data + at, 0, len) ? file->data + at : NULL;
}

static const char *needed_elf_string(const struct needed_elf_file *file,
				     uint64_t at)
{
	return at < file->strings_len
		       ? needed_elf_text(file, file->strings + at,
					 file->strings_len - at)
		       : NULL;
}

static bool needed_elf_open(struct needed_elf_file *file)
{
	return needed_elf_copy(file, 0, &file->head, sizeof file->head) &&
	       memcmp(file->head.e_ident, ELFMAG, SELFMAG) == 0 &&
	       file->head.e_ident[EI_CLASS] == ELFCLASS64 &&
	       file->head.e_ident[EI_DATA] == ELFDATA2LSB &&
	       file->head.e_machine == EM_X86_64 &&
	       file->head.e_phentsize == sizeof(Elf64_Phdr);
}

static bool needed_elf_entry(const struct needed_elf_file *file,
			     const Elf64_Phdr *dynamic, uint64_t i,
			     Elf64_Dyn *entry)
{
	return i < dynamic->p_filesz / sizeof *entry &&
	       dynamic->p_offset <= file->len &&
	       needed_elf_copy(file, dynamic->p_offset + i * sizeof *entry,
			       entry, sizeof *entry) &&
	       entry->d_tag != DT_NULL;
}

/* The names come before or after where they are told to lie. */
static void needed_elf_find_strings(struct needed_elf_file *file,
				    const Elf64_Phdr *dynamic)
{
	uint64_t address = 0, len = 0, room;
	Elf64_Dyn entry;

	for (uint64_t i = 0; needed_elf_entry(file, dynamic, i, &entry); i++)
		if (entry.d_tag == DT_STRTAB)
			address = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_STRSZ)
			len = entry.d_un.d_val;
	file->strings_len = 0;
	if (needed_elf_place(file, address, &file->strings, &room))
		file->strings_len = len < room ? len : room;
}

static void needed_elf_dynamic(struct needed_elf_file *file,
			       const Elf64_Phdr *dynamic,
			       struct needed_elf *elf)
{
	const int most = sizeof elf->needs / sizeof *elf->needs;
	Elf64_Dyn entry;

	needed_elf_find_strings(file, dynamic);
	for (uint64_t i = 0; needed_elf_entry(file, dynamic, i, &entry); i++) {
		const char *text = needed_elf_string(file, entry.d_un.d_val);

		if (!text)
			continue;
		if (entry.d_tag == DT_RUNPATH ||
		    (entry.d_tag == DT_RPATH && !elf->run_path))
			elf->run_path = text;
		if (entry.d_tag == DT_NEEDED && elf->count < most)
			elf->needs[elf->count++] = text;
	}
}

bool needed_elf_read(const void *data, size_t len, struct needed_elf *elf)
{
	struct needed_elf_file file = { .data = data, .len = len };
	Elf64_Phdr header;

	elf->interpreter = elf->run_path = NULL;
	elf->count = 0;
	if (!needed_elf_open(&file))
		return false;
	if (needed_elf_find(&file, PT_INTERP, &header))
		elf->interpreter = needed_elf_text(&file, header.p_offset,
						   header.p_filesz);
	if (needed_elf_find(&file, PT_DYNAMIC, &header))
		needed_elf_dynamic(&file, &header, elf);
	return true;
}
