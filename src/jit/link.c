/* SPDX-License-Identifier: Apache-2.0 */
/* From the parts that compilers made to one image: functions in the module's
 * order, distances between them filled in. */
#include "jit/compile.h"

enum {
	STUBS = 1 + WASM_TRAP_exit, /* out, and one for each trap */
	STUBS_BYTES = (STUBS + 1) * CODE_STUB_BYTES,
	TEXT_MOST = 1 << 30
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

static uint64_t text_bytes(const struct jit_link *link)
{
	uint64_t bytes = STUBS_BYTES;

	for (uint32_t i = 0; i < link->count; i++)
		bytes += code_here(link->compilers[i]);
	return bytes;
}

static uint64_t rounded(uint64_t bytes)
{
	return (bytes + CODE_PAGE - 1) & ~(uint64_t)(CODE_PAGE - 1);
}

static void lay_out(const struct jit_link *link, struct code_header *header)
{
	const struct jit_compiler *first = link->compilers[0];

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
	header->text_at = rounded(header->runs_at +
				  header->run_count * sizeof(struct code_run));
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

/* Where each function begins, and its landings: first their sizes, then the
 * sums of those before. */
static void place_functions(const struct jit_link *link,
			    struct code_function *functions, uint32_t count)
{
	uint32_t imported = module_of(link)->imported_functions;
	struct code_function at = { STUBS_BYTES, 0 };

	memset(functions, 0, (count + 1ull) * sizeof(*functions));
	for (uint32_t i = 0; i < link->count; i++) {
		const struct jit_compiler *c = link->compilers[i];
		const struct jit_function *made = c->functions.items;

		for (uint32_t k = 0; k < c->function_count; k++)
			functions[made[k].function - imported] =
				(struct code_function){ made[k].len,
							made[k].landing_count };
	}
	for (uint32_t i = 0; i <= count; i++) {
		struct code_function size = functions[i];

		functions[i] = at;
		at.at += size.at;
		at.landing += size.landing;
	}
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

static uint32_t site_target(const struct jit_call_site *site,
			    const struct code_function *functions,
			    uint32_t imported)
{
	if (site->function & JIT_SITE_STUB)
		return (site->function & ~JIT_SITE_STUB) * CODE_STUB_BYTES;
	return functions[site->function - imported].at + CODE_WAY_IN;
}

/* Sites and functions are in the order in which they were made. */
static void write_part(const struct jit_compiler *c, uint8_t *text,
		       const struct code_function *functions,
		       struct code_landing *landings)
{
	const struct jit_function *made = c->functions.items;
	const struct jit_call_site *site = c->calls.items;
	const struct jit_call_site *sites_end = site + c->call_count;
	uint32_t imported = c->module->imported_functions;

	for (uint32_t i = 0; i < c->function_count; i++, made++) {
		const struct code_function *placed =
			&functions[made->function - imported];

		memcpy(text + placed->at,
		       (const uint8_t *)c->code.items + made->at, made->len);
		write_landings(c, made, placed, landings);
		for (; site < sites_end && site->at < made->at + made->len;
		     site++) {
			uint32_t at = placed->at + (site->at - made->at);
			uint32_t distance =
				site_target(site, functions, imported) -
				(at + 4);

			memcpy(text + at, &distance, sizeof(distance));
		}
	}
}

int jit_image_write(const struct jit_link *link, uint8_t *image)
{
	struct code_header header;
	struct code_function *functions;
	struct code_landing *landings;

	lay_out(link, &header);
	if (header.text_bytes > TEXT_MOST)
		return -1;
	memcpy(image, &header, sizeof(header));
	functions = (struct code_function *)(image + header.functions_at);
	landings = (struct code_landing *)(image + header.landings_at);
	if (link->run_count)
		memcpy(image + header.runs_at, link->runs,
		       link->run_count * sizeof(*link->runs));
	place_functions(link, functions, header.function_count);
	write_stubs(image + header.text_at);
	for (uint32_t i = 0; i < link->count; i++)
		write_part(link->compilers[i], image + header.text_at,
			   functions, landings);
	if (link->has_module)
		memcpy(image + header.module_at, module_of(link)->bytes,
		       header.module_bytes);
	return 0;
}
