/* SPDX-License-Identifier: Apache-2.0 */
/* ELF objects made in memory, as the optimiser's compiler makes them: some
 * sections, symbols and relocations, laid out when all is there. */
#pragma once
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
	OBJECT_SECTIONS = 2048,
	OBJECT_SYMBOLS = 2048,
	OBJECT_RELOCATIONS = 8,
	OBJECT_TEXTS = 64 * 1024,
	OBJECT_BYTES = 512 * 1024
};

struct object_section {
	Elf64_Shdr head;
	const void *bytes;
	Elf64_Rela relocations[OBJECT_RELOCATIONS];
	uint32_t relocation_count;
};
struct object {
	Elf64_Ehdr head;
	struct object_section sections[OBJECT_SECTIONS];
	uint32_t section_count; /* the first is none */
	Elf64_Sym symbols[OBJECT_SYMBOLS];
	uint32_t symbol_count;
	char texts[OBJECT_TEXTS]; /* all names */
	uint32_t text_bytes;
};

static inline uint32_t object_text(struct object *object, const char *text)
{
	uint32_t at = object->text_bytes;

	object->text_bytes +=
		(uint32_t)snprintf(object->texts + at, OBJECT_TEXTS - at, "%s",
				   text) +
		1;
	return at;
}

static inline void object_init(struct object *object)
{
	memset(object, 0, sizeof(*object));
	object->head = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			     ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_shentsize = sizeof(Elf64_Shdr),
	};
	object->section_count = object->symbol_count = 1;
	object->text_bytes = 1;
}

/* The bytes stay where they are. */
static inline uint32_t object_section(struct object *object, const char *name,
				      uint64_t flags, const void *bytes,
				      uint64_t len, uint64_t align)
{
	object->sections[object->section_count] = (struct object_section){
		.head = { .sh_name = object_text(object, name),
			  .sh_type = SHT_PROGBITS,
			  .sh_flags = flags,
			  .sh_size = len,
			  .sh_addralign = align },
		.bytes = bytes
	};
	return object->section_count++;
}

static inline uint32_t object_symbol(struct object *object, const char *name,
				     unsigned bind, uint32_t section,
				     uint64_t value)
{
	object->symbols[object->symbol_count] = (Elf64_Sym){
		.st_name = *name ? object_text(object, name) : 0,
		.st_info =
			ELF64_ST_INFO(bind, *name ? STT_NOTYPE : STT_SECTION),
		.st_shndx = (uint16_t)section,
		.st_value = value,
	};
	return object->symbol_count++;
}

/* A function of the object: its section. */
static inline uint32_t object_function(struct object *object, uint32_t number,
				       const void *code, uint64_t len)
{
	char name[32];
	uint32_t section;

	snprintf(name, sizeof(name), ".text.f%u", number);
	section = object_section(object, name, SHF_ALLOC | SHF_EXECINSTR, code,
				 len, 16);
	object_symbol(object, name + strlen(".text."), STB_GLOBAL, section, 0);
	return section;
}

static inline void object_relocation(struct object *object, uint32_t section,
				     uint64_t at, uint32_t type,
				     uint32_t symbol, int64_t addend)
{
	struct object_section *in = &object->sections[section];

	in->relocations[in->relocation_count++] =
		(Elf64_Rela){ at, ELF64_R_INFO((uint64_t)symbol, type),
			      addend };
}

/* Takes sections for relocations, symbols and names, and writes it all. */
static inline uint64_t object_put(uint8_t *to, uint64_t at, const void *bytes,
				  uint64_t len)
{
	if (len)
		memcpy(to + at, bytes, len);
	return (at + len + 15) & ~UINT64_C(15);
}

static inline uint64_t object_write(struct object *object,
				    uint8_t to[OBJECT_BYTES])
{
	uint32_t made = object->section_count, texts, symbols;
	uint64_t at = sizeof(object->head);

	texts = object_section(object, ".strtab", 0, NULL, 0, 1);
	object->sections[texts].head.sh_type = SHT_STRTAB;
	symbols = object_section(object, ".symtab", 0, object->symbols,
				 object->symbol_count * sizeof(Elf64_Sym), 8);
	object->sections[symbols].head.sh_type = SHT_SYMTAB;
	object->sections[symbols].head.sh_link = texts;
	object->sections[symbols].head.sh_entsize = sizeof(Elf64_Sym);
	for (uint32_t i = 1; i < made; i++) {
		struct object_section *of = &object->sections[i];
		Elf64_Shdr *head;

		if (!of->relocation_count)
			continue;
		head = &object
				->sections[object_section(
					object, ".rela", 0, of->relocations,
					of->relocation_count *
						sizeof(Elf64_Rela),
					8)]
				.head;
		head->sh_type = SHT_RELA;
		head->sh_link = symbols;
		head->sh_info = i;
		head->sh_entsize = sizeof(Elf64_Rela);
	}
	object->sections[texts].bytes = object->texts;
	object->sections[texts].head.sh_size = object->text_bytes;
	memset(to, 0, OBJECT_BYTES);
	for (uint32_t i = 1; i < object->section_count; i++) {
		struct object_section *section = &object->sections[i];

		section->head.sh_offset = at;
		if (section->bytes)
			at = object_put(to, at, section->bytes,
					section->head.sh_size);
	}
	object->head.e_shoff = at;
	object->head.e_shnum = (uint16_t)object->section_count;
	object->head.e_shstrndx = (uint16_t)texts;
	for (uint32_t i = 0; i < object->section_count; i++)
		memcpy(to + at + i * sizeof(Elf64_Shdr),
		       &object->sections[i].head, sizeof(Elf64_Shdr));
	memcpy(to, &object->head, sizeof(object->head));
	return at + object->section_count * sizeof(Elf64_Shdr);
}
