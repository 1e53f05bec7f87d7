/* SPDX-License-Identifier: Apache-2.0 */
/* The order: header, sections, symbols, room, what the sections hold, and
 * last the relocations.  Everything that is copied or allocated is no larger
 * than the object: what its sections have, all together, is counted first. */
#include "aot/object.h"
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Distances are within the text, which has 1 GiB at the most. */
enum { AOT_ADDEND_MOST = 1 << 28, AOT_NAME_MOST = 256 };

enum aot_kind {
	AOT_IGNORED,
	AOT_FUNCTION,  /* its text */
	AOT_CONSTANTS, /* read-only data */
};
struct aot_section {
	Elf64_Shdr head;
	const char *name;
	enum aot_kind kind;
	uint32_t function;
	bool is_named;	      /* a function: there is its symbol */
	uint32_t relocations; /* the section that has them; 0: none */
	uint64_t at;	      /* in the text or the constants that are made */
};

struct aot_reading {
	const uint8_t *bytes;
	size_t len;
	const struct aot_wanted *wanted;
	struct aot_section *sections;
	uint32_t section_count;
	uint32_t symbols; /* the section that has them; 0: none */
	uint32_t symbol_count;
	uint32_t *order; /* sections of functions, in the module's order */
	uint32_t function_count;
	uint64_t text_bytes, site_count, constant_site_count;
	struct err *err;
};

#define AOT_BAD(reading, ...) err_set((reading)->err, -EBADMSG, __VA_ARGS__)

/* ---- names ---------------------------------------------------------------- */

/* A text of a section of texts, NULL: there is none. */
static const char *aot_text(const struct aot_reading *reading,
			    const Elf64_Shdr *texts, uint32_t at)
{
	const char *text = (const char *)reading->bytes + texts->sh_offset + at;
	uint64_t most = AOT_NAME_MOST;

	if (at >= texts->sh_size)
		return NULL;
	if (most > texts->sh_size - at)
		most = texts->sh_size - at;
	return memchr(text, 0, most) ? text : NULL;
}

static bool aot_begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* "f12": a letter and a number without zeros before it. */
static bool aot_number_of(const char *name, char letter, uint32_t *number)
{
	uint64_t value = 0;
	int digits = 0;

	if (*name++ != letter || (name[0] == '0' && name[1]))
		return false;
	for (; *name >= '0' && *name <= '9' && digits < 10; name++, digits++)
		value = 10 * value + (uint64_t)(*name - '0');
	*number = (uint32_t)value;
	return digits && !*name && value <= UINT32_MAX;
}

static bool aot_is_wanted(const struct aot_wanted *wanted, uint32_t function)
{
	uint32_t low = 0, high = wanted->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (wanted->functions[middle] < function)
			low = middle + 1;
		else
			high = middle;
	}
	return low < wanted->count && wanted->functions[low] == function;
}

static bool aot_is_own(const struct aot_wanted *wanted, uint32_t function)
{
	return function >= wanted->imported &&
	       function < wanted->function_count;
}

/* ---- header and sections -------------------------------------------------- */

static int aot_read_header(struct aot_reading *reading, Elf64_Ehdr *head)
{
	if (reading->len > AOT_OBJECT_MOST)
		return AOT_BAD(reading, "the object is too large");
	if (reading->len < sizeof(*head))
		return AOT_BAD(reading, "the object is too short");
	memcpy(head, reading->bytes, sizeof(*head));
	if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_ident[EI_CLASS] != ELFCLASS64 ||
	    head->e_ident[EI_DATA] != ELFDATA2LSB ||
	    head->e_machine != EM_X86_64 || head->e_type != ET_REL)
		return AOT_BAD(reading, "it is no x86-64 object");
	if (head->e_shentsize != sizeof(Elf64_Shdr) || !head->e_shnum ||
	    head->e_shnum >= SHN_LORESERVE ||
	    head->e_shstrndx >= head->e_shnum || head->e_shoff > reading->len ||
	    head->e_shnum * sizeof(Elf64_Shdr) > reading->len - head->e_shoff)
		return AOT_BAD(reading, "its sections are not in it");
	return 0;
}

static bool aot_is_within(const struct aot_reading *reading,
			  const Elf64_Shdr *section)
{
	return section->sh_type == SHT_NOBITS ||
	       (section->sh_offset <= reading->len &&
		section->sh_size <= reading->len - section->sh_offset);
}

static int aot_copy_sections(struct aot_reading *reading,
			     const Elf64_Ehdr *head)
{
	reading->section_count = head->e_shnum;
	reading->sections = calloc(head->e_shnum, sizeof(*reading->sections));
	if (!reading->sections)
		return err_set(reading->err, -ENOMEM, "read an object");
	for (uint32_t i = 1; i < head->e_shnum; i++) {
		struct aot_section *section = &reading->sections[i];

		memcpy(&section->head,
		       reading->bytes + head->e_shoff + i * sizeof(Elf64_Shdr),
		       sizeof(Elf64_Shdr));
		if (section->head.sh_type != SHT_NULL &&
		    !aot_is_within(reading, &section->head))
			return AOT_BAD(reading, "section %u is not in it", i);
	}
	return 0;
}

static int aot_name_sections(struct aot_reading *reading, uint32_t texts)
{
	const Elf64_Shdr *names = &reading->sections[texts].head;

	if (names->sh_type != SHT_STRTAB)
		return AOT_BAD(reading, "its sections have no names");
	for (uint32_t i = 1; i < reading->section_count; i++) {
		struct aot_section *section = &reading->sections[i];

		section->name = aot_text(reading, names, section->head.sh_name);
		if (!section->name)
			return AOT_BAD(reading, "section %u has no name", i);
	}
	return 0;
}

/* Passed over, whatever they hold. */
static bool aot_is_ignored(const char *name)
{
	return aot_begins(name, ".eh_frame") || aot_begins(name, ".note.") ||
	       strcmp(name, ".comment") == 0 || aot_begins(name, ".llvm");
}

static bool aot_is_aligned(const Elf64_Shdr *head)
{
	uint64_t to = head->sh_addralign;

	return to <= AOT_ALIGNED && (to & (to - 1)) == 0;
}

/* Text and constants: whole, in the file, and with no rights but these. */
static int aot_check_section(struct aot_reading *reading,
			     const struct aot_section *section, uint64_t must,
			     uint64_t may)
{
	const Elf64_Shdr *head = &section->head;

	if (head->sh_type != SHT_PROGBITS || (head->sh_flags & must) != must ||
	    head->sh_flags & ~(must | may))
		return AOT_BAD(reading, "section %.60s is of a wrong kind",
			       section->name);
	if (!aot_is_aligned(head))
		return AOT_BAD(reading,
			       "section %.60s wants an alignment of %lu",
			       section->name,
			       (unsigned long)head->sh_addralign);
	return 0;
}

static int aot_take_function(struct aot_reading *reading,
			     struct aot_section *section)
{
	section->kind = AOT_FUNCTION;
	if (!aot_number_of(section->name + strlen(".text."), 'f',
			   &section->function) ||
	    !aot_is_wanted(reading->wanted, section->function))
		return AOT_BAD(reading,
			       "section %.60s is no function that was wanted",
			       section->name);
	if (!section->head.sh_size)
		return AOT_BAD(reading, "function %u is empty",
			       section->function);
	reading->function_count++;
	reading->text_bytes += section->head.sh_size;
	return aot_check_section(reading, section, SHF_ALLOC | SHF_EXECINSTR,
				 0);
}

static int aot_take_symbols(struct aot_reading *reading, uint32_t index)
{
	const Elf64_Shdr *head = &reading->sections[index].head;

	if (reading->symbols || head->sh_entsize != sizeof(Elf64_Sym) ||
	    head->sh_size % sizeof(Elf64_Sym) ||
	    head->sh_link >= reading->section_count ||
	    reading->sections[head->sh_link].head.sh_type != SHT_STRTAB)
		return AOT_BAD(reading, "its symbols are of a wrong kind");
	reading->symbols = index;
	reading->symbol_count = head->sh_size / sizeof(Elf64_Sym);
	return 0;
}

/* What linkers make of sources without anything in them. */
static bool aot_is_empty(const Elf64_Shdr *head)
{
	return (head->sh_type == SHT_PROGBITS || head->sh_type == SHT_NOBITS) &&
	       !head->sh_size;
}

static int aot_take_section(struct aot_reading *reading, uint32_t index)
{
	struct aot_section *section = &reading->sections[index];
	const Elf64_Shdr *head = &section->head;

	switch (head->sh_type) {
	case SHT_NULL:
	case SHT_STRTAB:
	case SHT_RELA: return 0; /* relocations are taken by who has them */
	case SHT_SYMTAB: return aot_take_symbols(reading, index);
	}
	if (aot_begins(section->name, ".text."))
		return aot_take_function(reading, section);
	if (aot_is_ignored(section->name) || aot_is_empty(head))
		return 0;
	if (!aot_begins(section->name, ".rodata"))
		return AOT_BAD(reading, "section %.60s is not known",
			       section->name);
	section->kind = AOT_CONSTANTS;
	return aot_check_section(reading, section, SHF_ALLOC,
				 SHF_MERGE | SHF_STRINGS);
}

/* Of a section that is passed over they are as well. */
static int aot_take_relocations(struct aot_reading *reading, uint32_t index)
{
	const Elf64_Shdr *head = &reading->sections[index].head;
	struct aot_section *of;
	uint64_t count = head->sh_size / sizeof(Elf64_Rela);

	if (head->sh_type != SHT_RELA)
		return 0;
	if (head->sh_info >= reading->section_count)
		return AOT_BAD(reading, "section %u is no section's", index);
	of = &reading->sections[head->sh_info];
	if (of->kind == AOT_IGNORED && !aot_is_ignored(of->name ?: "") && count)
		return AOT_BAD(reading, "section %u is no section's", index);
	if (of->kind == AOT_IGNORED)
		return 0;
	if (of->relocations || head->sh_entsize != sizeof(Elf64_Rela) ||
	    head->sh_size % sizeof(Elf64_Rela) ||
	    head->sh_link != reading->symbols || !reading->symbols)
		return AOT_BAD(reading,
			       "relocations of %.60s are of a wrong "
			       "kind",
			       of->name);
	of->relocations = index;
	if (of->kind == AOT_FUNCTION)
		reading->site_count += count;
	else
		reading->constant_site_count += count;
	return 0;
}

/* Then all of it together is no larger than the object. */
static int aot_check_sum(struct aot_reading *reading)
{
	uint64_t sum = 0;

	for (uint32_t i = 1; i < reading->section_count; i++) {
		const struct aot_section *section = &reading->sections[i];

		if (section->kind != AOT_IGNORED ||
		    section->head.sh_type == SHT_RELA)
			sum += section->head.sh_size;
	}
	return sum <= reading->len ? 0
				   : AOT_BAD(reading, "its sections overlap");
}

static int aot_take_sections(struct aot_reading *reading)
{
	int rc = 0;

	for (uint32_t i = 1; i < reading->section_count && rc == 0; i++)
		rc = aot_take_section(reading, i);
	for (uint32_t i = 1; i < reading->section_count && rc == 0; i++)
		rc = aot_take_relocations(reading, i);
	return rc < 0 ? rc : aot_check_sum(reading);
}

/* ---- symbols -------------------------------------------------------------- */

static void aot_symbol(const struct aot_reading *reading, uint32_t index,
		       Elf64_Sym *symbol)
{
	memcpy(symbol,
	       reading->bytes +
		       reading->sections[reading->symbols].head.sh_offset +
		       index * sizeof(*symbol),
	       sizeof(*symbol));
}

static const char *aot_symbol_name(const struct aot_reading *reading,
				   const Elf64_Sym *symbol)
{
	uint32_t texts = reading->sections[reading->symbols].head.sh_link;

	return aot_text(reading, &reading->sections[texts].head,
			symbol->st_name);
}

static bool aot_is_trap(const char *name, uint32_t *trap)
{
	return aot_number_of(name, 't', trap) && *trap > 0 &&
	       *trap <= WASM_TRAP_exit;
}

/* A function or trap that lies elsewhere. */
static int aot_check_foreign(struct aot_reading *reading, const char *name)
{
	uint32_t number;

	if (aot_is_trap(name, &number) || (aot_number_of(name, 'f', &number) &&
					   aot_is_own(reading->wanted, number)))
		return 0;
	return AOT_BAD(reading, "it wants %.60s, which is not known", name);
}

static int aot_check_symbol(struct aot_reading *reading, uint32_t index)
{
	struct aot_section *section;
	const char *name;
	Elf64_Sym symbol;
	uint32_t number;

	aot_symbol(reading, index, &symbol);
	name = aot_symbol_name(reading, &symbol);
	if (!name)
		return AOT_BAD(reading, "symbol %u has no name", index);
	if (symbol.st_shndx == SHN_UNDEF)
		return aot_check_foreign(reading, name);
	if (symbol.st_shndx == SHN_ABS &&
	    ELF64_ST_TYPE(symbol.st_info) == STT_FILE)
		return 0;
	if (symbol.st_shndx >= reading->section_count)
		return AOT_BAD(reading, "symbol %.60s is in no section", name);
	section = &reading->sections[symbol.st_shndx];
	if (ELF64_ST_BIND(symbol.st_info) == STB_LOCAL &&
	    !aot_number_of(name, 'f', &number))
		return 0;
	if (section->kind != AOT_FUNCTION || symbol.st_value ||
	    section->is_named || !aot_number_of(name, 'f', &number) ||
	    number != section->function)
		return AOT_BAD(reading, "symbol %.60s is at a wrong place",
			       name);
	section->is_named = true;
	return 0;
}

static int aot_check_symbols(struct aot_reading *reading)
{
	int rc = 0;

	for (uint32_t i = 1; i < reading->symbol_count && rc == 0; i++)
		rc = aot_check_symbol(reading, i);
	for (uint32_t i = 1; i < reading->section_count && rc == 0; i++)
		if (reading->sections[i].kind == AOT_FUNCTION &&
		    !reading->sections[i].is_named)
			rc = AOT_BAD(reading, "function %u has no symbol",
				     reading->sections[i].function);
	return rc;
}

/* ---- what the sections hold ----------------------------------------------- */

static int aot_order(const void *a, const void *b, void *sections)
{
	const struct aot_section *section = sections;
	uint32_t left = section[*(const uint32_t *)a].function;
	uint32_t right = section[*(const uint32_t *)b].function;

	return left < right ? -1 : left > right;
}

static int aot_order_functions(struct aot_reading *reading)
{
	uint32_t count = 0;

	reading->order =
		calloc(reading->function_count + 1, sizeof(*reading->order));
	if (!reading->order)
		return err_set(reading->err, -ENOMEM, "read an object");
	for (uint32_t i = 1; i < reading->section_count; i++)
		if (reading->sections[i].kind == AOT_FUNCTION)
			reading->order[count++] = i;
	qsort_r(reading->order, count, sizeof(*reading->order), aot_order,
		reading->sections);
	for (uint32_t i = 1; i < count; i++) {
		uint32_t function =
			reading->sections[reading->order[i]].function;

		if (reading->sections[reading->order[i - 1]].function ==
		    function)
			return AOT_BAD(reading, "function %u is there twice",
				       function);
	}
	return 0;
}

static void aot_place_constants(struct aot_reading *reading,
				struct aot_object *object)
{
	uint64_t at = 0;

	for (uint32_t i = 1; i < reading->section_count; i++) {
		struct aot_section *section = &reading->sections[i];
		uint64_t to = section->head.sh_addralign;

		if (section->kind != AOT_CONSTANTS)
			continue;
		to = to ? to - 1 : 0;
		at = (at + to) & ~to;
		section->at = at;
		at += section->head.sh_size;
	}
	object->constant_bytes = at;
}

static int aot_make_room(struct aot_reading *reading, struct aot_object *object)
{
	object->made =
		calloc(reading->function_count + 1, sizeof(*object->made));
	object->text = malloc(reading->text_bytes + 1);
	object->constants = calloc(1, object->constant_bytes + 1);
	object->sites = calloc(reading->site_count + 1, sizeof(*object->sites));
	object->constant_sites = calloc(reading->constant_site_count + 1,
					sizeof(*object->constant_sites));
	if (!object->made || !object->text || !object->constants ||
	    !object->sites || !object->constant_sites)
		return err_set(reading->err, -ENOMEM, "read an object");
	return 0;
}

static void aot_copy_constants(struct aot_reading *reading,
			       struct aot_object *object)
{
	for (uint32_t i = 1; i < reading->section_count; i++) {
		const struct aot_section *section = &reading->sections[i];

		if (section->kind == AOT_CONSTANTS)
			memcpy(object->constants + section->at,
			       reading->bytes + section->head.sh_offset,
			       section->head.sh_size);
	}
}

/* ---- relocations ---------------------------------------------------------- */

/* What a relocation of a function may name: another function or a trap, to
 * be called; a place in itself; a constant. */
static int aot_text_site(struct aot_reading *reading,
			 const struct aot_section *of, const Elf64_Sym *symbol,
			 const char *name, struct jit_made_site *site)
{
	const struct aot_section *in = &reading->sections[symbol->st_shndx];
	int64_t at = (int64_t)symbol->st_value + site->addend + 4;
	bool is_call = symbol->st_value == 0 && site->addend == -4;

	if (symbol->st_shndx == SHN_UNDEF) {
		site->kind = aot_is_trap(name, &site->target)
				     ? JIT_MADE_TRAP
				     : JIT_MADE_FUNCTION;
		if (site->kind == JIT_MADE_FUNCTION)
			aot_number_of(name, 'f', &site->target);
		return is_call ? 0 : -1;
	}
	if (in->kind == AOT_CONSTANTS) {
		site->kind = JIT_MADE_CONSTANT;
		site->target = (uint32_t)(in->at + symbol->st_value);
		return 0;
	}
	if (in->kind != AOT_FUNCTION)
		return -1;
	site->kind = JIT_MADE_FUNCTION;
	site->target = in->function;
	site->addend += (int32_t)symbol->st_value;
	return is_call || (in == of && at >= 0 &&
			   (uint64_t)at < in->head.sh_size)
		       ? 0
		       : -1;
}

/* An entry of a table: the distance of a place in a function from the
 * table's begin, which lies before the entry. */
static int aot_constant_site(struct aot_reading *reading,
			     const struct aot_section *of,
			     const Elf64_Sym *symbol,
			     struct jit_made_site *site)
{
	const struct aot_section *in = &reading->sections[symbol->st_shndx];
	int64_t addend = (int64_t)symbol->st_value + site->addend;

	if (in->kind != AOT_FUNCTION || addend < 0 ||
	    (uint64_t)addend >= in->head.sh_size + of->head.sh_size)
		return -1;
	site->kind = JIT_MADE_FUNCTION;
	site->target = in->function;
	site->addend = (int32_t)addend;
	return 0;
}

static bool aot_is_known_type(const struct aot_section *of, uint64_t info)
{
	return ELF64_R_TYPE(info) == R_X86_64_PC32 ||
	       (ELF64_R_TYPE(info) == R_X86_64_PLT32 &&
		of->kind == AOT_FUNCTION);
}

/* Symbols were checked, but for what only who uses one has to know. */
static int aot_site(struct aot_reading *reading, const struct aot_section *of,
		    const Elf64_Rela *relocation, struct jit_made_site *site)
{
	uint64_t number = ELF64_R_SYM(relocation->r_info);
	Elf64_Sym symbol;
	int rc;

	if (!aot_is_known_type(of, relocation->r_info))
		return AOT_BAD(reading, "relocation %lu in %.60s is not known",
			       (unsigned long)ELF64_R_TYPE(relocation->r_info),
			       of->name);
	if (of->head.sh_size < 4 || relocation->r_offset > of->head.sh_size - 4)
		return AOT_BAD(reading, "a relocation is not in %.60s",
			       of->name);
	if (!number || number >= reading->symbol_count)
		return AOT_BAD(reading, "a relocation in %.60s names nothing",
			       of->name);
	aot_symbol(reading, (uint32_t)number, &symbol);
	if (symbol.st_shndx >= reading->section_count ||
	    symbol.st_value > reading->sections[symbol.st_shndx].head.sh_size ||
	    relocation->r_addend < -AOT_ADDEND_MOST ||
	    relocation->r_addend > AOT_ADDEND_MOST)
		return AOT_BAD(reading, "a relocation in %.60s names no place",
			       of->name);
	site->at = (uint32_t)relocation->r_offset;
	site->addend = (int32_t)relocation->r_addend;
	if (of->kind == AOT_FUNCTION)
		rc = aot_text_site(reading, of, &symbol,
				   aot_symbol_name(reading, &symbol), site);
	else
		rc = aot_constant_site(reading, of, &symbol, site);
	return rc == 0 ? 0
		       : AOT_BAD(reading,
				 "a relocation in %.60s names what it may not",
				 of->name);
}

static int aot_site_order(const void *a, const void *b)
{
	uint32_t left = ((const struct jit_made_site *)a)->at;
	uint32_t right = ((const struct jit_made_site *)b)->at;

	return left < right ? -1 : left > right;
}

/* A section's sites, ascending; their number. */
static int64_t aot_read_sites(struct aot_reading *reading,
			      const struct aot_section *of,
			      struct jit_made_site *sites)
{
	const Elf64_Shdr *head = &reading->sections[of->relocations].head;
	uint64_t count =
		of->relocations ? head->sh_size / sizeof(Elf64_Rela) : 0;
	Elf64_Rela relocation;
	int rc;

	for (uint64_t i = 0; i < count; i++) {
		memcpy(&relocation,
		       reading->bytes + head->sh_offset +
			       i * sizeof(relocation),
		       sizeof(relocation));
		rc = aot_site(reading, of, &relocation, &sites[i]);
		if (rc < 0)
			return rc;
	}
	qsort(sites, count, sizeof(*sites), aot_site_order);
	for (uint64_t i = 1; i < count; i++)
		if (sites[i].at - sites[i - 1].at < 4)
			return AOT_BAD(reading, "relocations in %.60s overlap",
				       of->name);
	return (int64_t)count;
}

static int aot_make_functions(struct aot_reading *reading,
			      struct aot_object *object)
{
	struct jit_made_site *sites = object->sites;
	uint8_t *text = object->text;

	for (uint32_t i = 0; i < reading->function_count; i++) {
		const struct aot_section *section =
			&reading->sections[reading->order[i]];
		int64_t count = aot_read_sites(reading, section, sites);

		if (count < 0)
			return (int)count;
		memcpy(text, reading->bytes + section->head.sh_offset,
		       section->head.sh_size);
		object->made[i] = (struct jit_made){
			.function = section->function,
			.code = text,
			.len = (uint32_t)section->head.sh_size,
			.sites = sites,
			.site_count = (uint32_t)count,
		};
		text += section->head.sh_size;
		sites += count;
	}
	object->made_count = reading->function_count;
	return 0;
}

static int aot_make_constant_sites(struct aot_reading *reading,
				   struct aot_object *object)
{
	for (uint32_t i = 1; i < reading->section_count; i++) {
		const struct aot_section *section = &reading->sections[i];
		struct jit_made_site *sites =
			object->constant_sites + object->constant_site_count;
		int64_t count;

		if (section->kind != AOT_CONSTANTS)
			continue;
		count = aot_read_sites(reading, section, sites);
		if (count < 0)
			return (int)count;
		for (int64_t k = 0; k < count; k++)
			sites[k].at += (uint32_t)section->at;
		object->constant_site_count += (uint32_t)count;
	}
	return 0;
}

/* ---- all of it ------------------------------------------------------------ */

static int aot_read(struct aot_reading *reading, struct aot_object *object)
{
	Elf64_Ehdr head;
	int rc = aot_read_header(reading, &head);

	if (rc >= 0)
		rc = aot_copy_sections(reading, &head);
	if (rc >= 0)
		rc = aot_name_sections(reading, head.e_shstrndx);
	if (rc >= 0)
		rc = aot_take_sections(reading);
	if (rc >= 0)
		rc = aot_check_symbols(reading);
	if (rc >= 0)
		rc = aot_order_functions(reading);
	if (rc < 0)
		return rc;
	aot_place_constants(reading, object);
	rc = aot_make_room(reading, object);
	if (rc < 0)
		return rc;
	aot_copy_constants(reading, object);
	rc = aot_make_functions(reading, object);
	return rc < 0 ? rc : aot_make_constant_sites(reading, object);
}

int aot_object_read(struct aot_object *object, const void *bytes, size_t len,
		    const struct aot_wanted *wanted, struct err *err)
{
	struct aot_reading reading = {
		.bytes = bytes, .len = len, .wanted = wanted, .err = err
	};
	int rc;

	*object = (struct aot_object){ 0 };
	if (!len)
		return 0;
	rc = aot_read(&reading, object);
	free(reading.sections);
	free(reading.order);
	if (rc < 0)
		aot_object_fini(object);
	return rc;
}

void aot_object_fini(struct aot_object *object)
{
	free(object->made);
	free(object->constants);
	free(object->constant_sites);
	free(object->text);
	free(object->sites);
	*object = (struct aot_object){ 0 };
}
