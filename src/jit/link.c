/* SPDX-License-Identifier: Apache-2.0 */
/* From the parts that compilers made to one image: functions in the module's
 * order, distances between them filled in.
 *
 *	stubs
 *	functions, each a multiple of 16 bytes.  One of another compiler:
 *	  12 bytes of filling, which belong to the function before
 *	  a nop of CODE_WAY_IN bytes: where it is called through a pointer
 *	  its code, and filling
 *	constants, from a multiple of 64 on */
#include "jit/compile.h"

enum {
	STUBS = 1 + WASM_TRAP_exit, /* out, and one for each trap */
	STUBS_BYTES = (STUBS + 1) * CODE_STUB_BYTES,
	TEXT_MOST = 1 << 30,
	MADE_HEAD = 16,
	CONSTANTS_ALIGN = 64
};

static uint32_t own_count(const struct wasm_module *module)
{
	return module->function_count - module->imported_functions;
}

static const struct wasm_module *module_of(const struct jit_link *link)
{
	return link->compilers[0]->module;
}

static uint32_t landing_count(const struct jit_link *link)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < link->count; i++)
		count += link->compilers[i]->landing_count;
	return count;
}

/* A multiple of 16, as those of the compilers. */
static uint64_t made_bytes(const struct jit_made *made)
{
	return MADE_HEAD + (((uint64_t)made->len + 15) & ~15ull);
}

static uint64_t functions_end(const struct jit_link *link)
{
	uint64_t bytes = STUBS_BYTES;

	for (uint32_t i = 0; i < link->count; i++)
		bytes += code_here(link->compilers[i]);
	for (uint32_t i = 0; i < link->made_count; i++)
		bytes += made_bytes(&link->made[i]);
	return bytes;
}

static uint64_t constants_at(uint64_t end)
{
	return (end + CONSTANTS_ALIGN - 1) & ~(uint64_t)(CONSTANTS_ALIGN - 1);
}

static uint64_t text_bytes(const struct jit_link *link)
{
	if (!link->constant_bytes)
		return functions_end(link);
	if (link->constant_bytes > TEXT_MOST)
		return link->constant_bytes;
	return constants_at(functions_end(link)) + link->constant_bytes;
}

static uint64_t rounded(uint64_t bytes)
{
	return (bytes + CODE_PAGE - 1) & ~(uint64_t)(CODE_PAGE - 1);
}

static void lay_out(const struct jit_link *link, struct code_header *header)
{
	const struct jit_compiler *first = link->compilers[0];
	uint64_t end;

	*header = (struct code_header){
		.magic = CODE_MAGIC,
		.version = CODE_VERSION,
		.header_bytes = sizeof(*header),
		.options = first->options->options |
			   (first->has_tails ? CODE_TAILS : 0),
		.features = first->options->features,
		.function_count = own_count(first->module),
		.landing_count = landing_count(link),
		.run_count = link->run_count,
		.optimised_count = link->made_count,
		.functions_at = sizeof(*header),
		.text_bytes = text_bytes(link),
		.without = first->options->without,
	};
	header->landings_at =
		header->functions_at +
		(header->function_count + 1ull) * sizeof(struct code_function);
	header->runs_at =
		header->landings_at +
		(uint64_t)header->landing_count * sizeof(struct code_landing);
	end = header->runs_at + header->run_count * sizeof(struct code_run);
	if (link->made_count) {
		header->optimised_at = end;
		end += code_optimised_bytes(header);
	}
	header->text_at = rounded(end);
	header->file_bytes = rounded(header->text_at + header->text_bytes);
	if (link->has_module) {
		header->module_at = header->file_bytes;
		header->module_bytes = first->module->len;
		header->file_bytes =
			rounded(header->module_at + header->module_bytes);
	}
	if (link->run_count) {
		header->pages_at = header->file_bytes;
		header->page_count = link->page_count;
		header->file_bytes += link->page_count * CODE_PAGE;
	}
}

uint64_t jit_image_bytes(const struct jit_link *link)
{
	struct code_header header;

	lay_out(link, &header);
	return header.text_bytes > TEXT_MOST ? 0 : header.file_bytes;
}

static void write_jump(uint8_t *at, uint32_t offset)
{
	at[0] = 0x41; /* jmp [r13 + offset] */
	at[1] = 0xff;
	at[2] = 0x65;
	at[3] = (uint8_t)offset;
}

_Static_assert(offsetof(struct wasm_instance, native_trap) < 128,
	       "stubs reach it by a byte");

static void write_stubs(uint8_t *text)
{
	memset(text, 0xcc, STUBS_BYTES);
	write_jump(text, offsetof(struct wasm_instance, native_out));
	for (uint32_t trap = 1; trap < STUBS; trap++) {
		uint8_t *at = text + trap * CODE_STUB_BYTES;

		at[0] = 0xb8; /* mov eax, trap */
		memcpy(at + 1, &trap, sizeof(trap));
		write_jump(at + 5, offsetof(struct wasm_instance, native_trap));
	}
}

struct image {
	const struct jit_link *link;
	const struct code_header *header;
	struct code_function *functions;
	struct code_landing *landings;
	uint8_t *optimised, *text;
	uint64_t functions_end, constants_at;
	uint32_t imported;
};

static bool add_size(const struct image *image, uint32_t function,
		     uint64_t bytes, uint32_t landings)
{
	uint32_t own = function - image->imported;

	if (function < image->imported ||
	    own >= image->header->function_count || !bytes ||
	    image->functions[own].at)
		return false;
	image->functions[own] =
		(struct code_function){ (uint32_t)bytes, landings };
	return true;
}

/* All are there, and once: then they are as long as the header says. */
static bool find_sizes(const struct image *image)
{
	const struct jit_link *link = image->link;
	uint64_t count = link->made_count;

	for (uint32_t i = 0; i < link->count; i++) {
		const struct jit_compiler *c = link->compilers[i];
		const struct jit_function *done = c->functions.items;

		for (uint32_t k = 0; k < c->function_count; k++)
			if (!add_size(image, done[k].function, done[k].len,
				      done[k].landing_count))
				return false;
		count += c->function_count;
	}
	for (uint32_t i = 0; i < link->made_count; i++)
		if (!link->made[i].len ||
		    !add_size(image, link->made[i].function,
			      made_bytes(&link->made[i]), 0))
			return false;
	return count == image->header->function_count;
}

/* Where each function begins, and its landings: first their sizes, then the
 * sums of those before. */
static bool place_functions(const struct image *image)
{
	uint32_t count = image->header->function_count;
	struct code_function at = { STUBS_BYTES, 0 };

	memset(image->functions, 0, (count + 1ull) * sizeof(at));
	if (!find_sizes(image))
		return false;
	for (uint32_t i = 0; i <= count; i++) {
		struct code_function size = image->functions[i];

		image->functions[i] = at;
		at.at += size.at;
		at.landing += size.landing;
	}
	for (uint32_t i = 0; i < image->link->made_count; i++)
		image->functions[image->link->made[i].function -
				 image->imported]
			.at += MADE_HEAD - CODE_WAY_IN;
	return true;
}

static void write_landings(const struct jit_compiler *c,
			   const struct jit_function *made,
			   const struct code_function *placed,
			   struct code_landing *landings)
{
	const struct code_landing *from = c->landings.items;
	uint32_t moved = placed->at - made->at;

	for (uint32_t i = 0; i < made->landing_count; i++) {
		struct code_landing landing = from[made->landing_first + i];

		landing.from += moved;
		landing.to += moved;
		landing.target += moved;
		landings[placed->landing + i] = landing;
	}
}

static uint32_t way_in(const struct image *image, uint32_t function)
{
	return image->functions[function - image->imported].at + CODE_WAY_IN;
}

static uint32_t call_target(const struct image *image,
			    const struct jit_call_site *site)
{
	if (site->function & JIT_SITE_STUB)
		return (site->function & ~JIT_SITE_STUB) * CODE_STUB_BYTES;
	return way_in(image, site->function);
}

/* Sites and functions are in the order in which they were made. */
static void write_part(const struct image *image, const struct jit_compiler *c)
{
	const struct jit_function *done = c->functions.items;
	const struct jit_call_site *site = c->calls.items;
	const struct jit_call_site *sites_end = site + c->call_count;

	for (uint32_t i = 0; i < c->function_count; i++, done++) {
		const struct code_function *placed =
			&image->functions[done->function - image->imported];

		memcpy(image->text + placed->at,
		       (const uint8_t *)c->code.items + done->at, done->len);
		write_landings(c, done, placed, image->landings);
		for (; site < sites_end && site->at < done->at + done->len;
		     site++) {
			uint32_t at = placed->at + (site->at - done->at);
			uint32_t distance = call_target(image, site) - (at + 4);

			memcpy(image->text + at, &distance, sizeof(distance));
		}
	}
}

/* Made by another compiler */

/* Where in the text; -1: there is no such thing. */
static int64_t made_target(const struct image *image,
			   const struct jit_made_site *site)
{
	uint32_t target = site->target;

	switch (site->kind) {
	case JIT_MADE_FUNCTION:
		if (target < image->imported ||
		    target - image->imported >= image->header->function_count)
			return -1;
		return way_in(image, target);
	case JIT_MADE_TRAP:
		if (target == WASM_OK || target >= STUBS)
			return -1;
		return (int64_t)target * CODE_STUB_BYTES;
	case JIT_MADE_CONSTANT:
		if (target >= image->link->constant_bytes)
			return -1;
		return (int64_t)(image->constants_at + target);
	}
	return -1;
}

/* Of what begins at "at" in the text.  An addend may name a place besides its
 * target, for who adds an index to it, but none out of the text. */
static bool write_sites(const struct image *image, uint64_t at, uint64_t bytes,
			const struct jit_made_site *sites, uint32_t count)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct jit_made_site *site = &sites[i];
		int64_t target = made_target(image, site);
		int64_t to = target + site->addend;
		uint32_t distance;

		if (target < 0 || to < 0 ||
		    to > (int64_t)image->header->text_bytes ||
		    site->at < next || site->at + 4ull > bytes)
			return false;
		distance = (uint32_t)(to - (int64_t)(at + site->at));
		memcpy(image->text + at + site->at, &distance,
		       sizeof(distance));
		next = site->at + 4ull;
	}
	return true;
}

static bool write_made(const struct image *image, const struct jit_made *made)
{
	static const uint8_t nop[CODE_WAY_IN] = { 0x0f, 0x1f, 0x40, 0x00 };
	uint32_t own = made->function - image->imported;
	uint32_t at = way_in(image, made->function);

	memset(image->text + at - MADE_HEAD, 0xcc, made_bytes(made));
	memcpy(image->text + at - CODE_WAY_IN, nop, sizeof(nop));
	memcpy(image->text + at, made->code, made->len);
	image->optimised[own / 8] |= 1u << own % 8;
	return write_sites(image, at, made->len, made->sites, made->site_count);
}

static bool write_constants(const struct image *image)
{
	const struct jit_link *link = image->link;
	uint64_t at = image->constants_at;

	if (!link->constant_bytes)
		return !link->constant_site_count;
	memset(image->text + image->functions_end, 0xcc,
	       at - image->functions_end);
	memcpy(image->text + at, link->constants, link->constant_bytes);
	return write_sites(image, at, link->constant_bytes,
			   link->constant_sites, link->constant_site_count);
}

static bool write_all_made(const struct image *image)
{
	const struct jit_link *link = image->link;

	if (link->made_count)
		memset(image->optimised, 0,
		       code_optimised_bytes(image->header));
	for (uint32_t i = 0; i < link->made_count; i++)
		if (!write_made(image, &link->made[i]))
			return false;
	return write_constants(image);
}

static struct image image_at(const struct jit_link *link, uint8_t *bytes)
{
	const struct code_header *header = (const struct code_header *)bytes;

	return (struct image){
		.link = link,
		.header = header,
		.functions =
			(struct code_function *)(bytes + header->functions_at),
		.landings =
			(struct code_landing *)(bytes + header->landings_at),
		.optimised = bytes + header->optimised_at,
		.text = bytes + header->text_at,
		.functions_end = functions_end(link),
		.constants_at = constants_at(functions_end(link)),
		.imported = module_of(link)->imported_functions,
	};
}

/* They count no fuel, and know their frame after a call. */
static bool may_be_made(const struct code_header *header)
{
	return !header->optimised_count ||
	       !(header->options & (CODE_FUEL | CODE_TAILS));
}

int jit_image_write(const struct jit_link *link, uint8_t *bytes)
{
	struct code_header header;
	struct image image;

	lay_out(link, &header);
	if (header.text_bytes > TEXT_MOST || !may_be_made(&header))
		return -1;
	memcpy(bytes, &header, sizeof(header));
	image = image_at(link, bytes);
	if (!place_functions(&image))
		return -1;
	if (link->run_count)
		memcpy(bytes + header.runs_at, link->runs,
		       link->run_count * sizeof(*link->runs));
	write_stubs(image.text);
	for (uint32_t i = 0; i < link->count; i++)
		write_part(&image, link->compilers[i]);
	if (!write_all_made(&image))
		return -1;
	if (link->has_module)
		memcpy(bytes + header.module_at, module_of(link)->bytes,
		       header.module_bytes);
	return 0;
}
