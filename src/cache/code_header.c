/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of code objects.  Each invariant of the format is checked here and
 * nowhere else; what a module has to say is checked by who has it. */
#include "cache/code_header.h"
#include <stdbool.h>
#include <string.h>

/* Places in the text have 32 bits, and calls reach 2 GiB. */
#define CODE_TEXT_MOST (UINT64_C(1) << 31)

static bool code_header_holds(uint64_t at, uint64_t end, uint64_t count,
			      uint64_t size)
{
	return at % 4 == 0 && at <= end && count * size <= end - at;
}

static uint64_t code_header_page_up(uint64_t bytes)
{
	return (bytes + CODE_PAGE - 1) & ~(uint64_t)(CODE_PAGE - 1);
}

uint64_t code_header_text_end(const struct code_header *header)
{
	return header->text_at + code_header_page_up(header->text_bytes);
}

static bool code_header_text_holds(const struct code_header *header)
{
	uint64_t end = header->file_bytes;

	return header->text_at % CODE_PAGE == 0 && header->text_at <= end &&
	       header->text_bytes <= end - header->text_at &&
	       header->text_bytes <= CODE_TEXT_MOST &&
	       !header->text_bytes == !!header->state_bytes;
}

/* Behind the text; where there is none both are zero. */
static bool code_header_module_holds(const struct code_header *header,
				     uint64_t end)
{
	if (!header->module_at)
		return header->module_bytes == 0;
	return header->module_at % CODE_PAGE == 0 &&
	       header->module_at >= code_header_text_end(header) &&
	       header->module_at <= end &&
	       header->module_bytes <= end - header->module_at;
}

/* Behind text and module, likewise. */
static bool code_header_pages_hold(const struct code_header *header,
				   uint64_t end)
{
	uint64_t at = header->pages_at;

	if (!at)
		return header->page_count == 0 && header->run_count == 0;
	return at % CODE_PAGE == 0 && at >= code_header_text_end(header) &&
	       at >= header->module_at + header->module_bytes && at <= end &&
	       header->page_count == (end - at) / CODE_PAGE;
}

/* Between runs and text; where there is none both are zero. */
static bool code_header_state_holds(const struct code_header *header)
{
	uint64_t at = header->state_at;

	if (!header->state_bytes)
		return at == 0;
	return at % 16 == 0 && at <= header->text_at &&
	       at >= header->runs_at +
			       header->run_count * sizeof(struct code_run) &&
	       header->state_bytes >= sizeof(struct code_state) &&
	       header->state_bytes <= header->text_at - at;
}

/* Likewise, and never beside a state. */
static bool code_header_optimised_holds(const struct code_header *header)
{
	uint64_t at = header->optimised_at;

	if (!header->optimised_count)
		return at == 0;
	return at % 8 == 0 && at <= header->text_at && !header->state_bytes &&
	       header->optimised_count <= header->function_count &&
	       at >= header->runs_at +
			       header->run_count * sizeof(struct code_run) &&
	       code_optimised_bytes(header) <= header->text_at - at;
}

static const char *code_header_check_tables_at(const struct code_header *header)
{
	if (header->functions_at < sizeof(*header) ||
	    !code_header_holds(header->functions_at, header->landings_at,
			       (uint64_t)header->function_count + 1,
			       sizeof(struct code_function)))
		return "its functions are not in it";
	if (!code_header_holds(header->landings_at, header->runs_at,
			       header->landing_count,
			       sizeof(struct code_landing)))
		return "its landings are not in it";
	if (header->runs_at % 8 ||
	    !code_header_holds(header->runs_at, header->text_at,
			       header->run_count, sizeof(struct code_run)))
		return "its runs of pages are not in it";
	if (!code_header_optimised_holds(header))
		return "its optimised functions are not in it";
	if (!code_header_state_holds(header))
		return "its state is not in it";
	return NULL;
}

static const char *code_header_check_places(const struct code_header *header,
					    uint64_t file_bytes)
{
	if (header->file_bytes != file_bytes || file_bytes % CODE_PAGE)
		return "it is not as long as it says";
	if (!code_header_text_holds(header))
		return "its text is not in it";
	if (!code_header_module_holds(header, file_bytes))
		return "its module is not in it";
	if (!code_header_pages_hold(header, file_bytes))
		return "its pages are not in it";
	return code_header_check_tables_at(header);
}

const char *code_header_check(const void *image, uint64_t len,
			      uint64_t file_bytes)
{
	struct code_header header;

	if (len < sizeof(header))
		return "it is too short for a code object";
	memcpy(&header, image, sizeof(header));
	if (memcmp(header.magic, CODE_MAGIC, sizeof(header.magic)) != 0)
		return "it is no code object";
	if (header.version != CODE_VERSION ||
	    header.header_bytes != sizeof(header))
		return "it is of another version";
	return code_header_check_places(&header, file_bytes);
}

static const char *code_header_check_optimised(const struct code_header *header)
{
	const uint8_t *bits = (const uint8_t *)header + header->optimised_at;
	const struct code_function *function =
		(const void *)((const char *)header + header->functions_at);
	uint64_t end = 8 * code_optimised_bytes(header), count = 0;

	for (uint64_t i = 0; header->optimised_count && i < end; i++) {
		if (!(bits[i / 8] >> i % 8 & 1))
			continue;
		if (i >= header->function_count ||
		    function[i].landing != function[i + 1].landing)
			return "what is optimised is no such function";
		count++;
	}
	return count == header->optimised_count
		       ? NULL
		       : "other functions are optimised than it says";
}

static const char *code_header_check_landings(const struct code_header *header)
{
	const struct code_landing *landing =
		(const void *)((const char *)header + header->landings_at);

	for (uint32_t i = 0; i < header->landing_count; i++, landing++)
		if (landing->from > landing->to ||
		    landing->to > header->text_bytes ||
		    landing->target >= header->text_bytes)
			return "a landing is not in its text";
	return NULL;
}

/* "next": the first page that may come, of the same memory. */
static const char *code_header_check_runs(const struct code_header *header)
{
	const struct code_run *run =
		(const void *)((const char *)header + header->runs_at);
	uint64_t pages = 0, next = 0;
	uint32_t memory = 0;

	for (uint32_t i = 0; i < header->run_count; i++, run++) {
		if (run->memory > memory)
			next = 0;
		if (run->memory < memory || run->page < next || !run->count ||
		    run->page > UINT64_MAX / CODE_PAGE - run->count ||
		    run->reserved)
			return "a run of pages is out of order";
		if (run->file_page != pages ||
		    run->count > header->page_count - pages)
			return "a run's pages are not in it";
		pages += run->count;
		next = run->page + run->count;
		memory = run->memory;
	}
	return pages == header->page_count ? NULL : "a page is in no run";
}

static const char *code_header_check_state(const struct code_header *header)
{
	const struct code_state *state =
		(const void *)((const char *)header + header->state_at);
	const struct code_list *list;
	uint64_t items = 0;

	if (!header->state_bytes)
		return NULL;
	if (code_state_bytes(state) != header->state_bytes ||
	    state->reserved[0] || state->reserved[1] || state->reserved[2])
		return "its state is not as long as it says";
	list = code_state_lists(state);
	for (uint32_t i = 0; i < state->list_count; i++, list++) {
		if (list->first != items || list->used > list->length ||
		    list->used > state->item_count - items)
			return "a list of its state is not in it";
		items += list->used;
	}
	return items == state->item_count ? NULL : "an item is in no list";
}

const char *code_header_check_tables(const struct code_header *header)
{
	const struct code_function *function =
		(const void *)((const char *)header + header->functions_at);
	uint32_t at = 0, landing = 0;
	const char *why;

	for (uint64_t i = 0; i <= header->function_count; i++, function++) {
		if (function->at < at || function->at > header->text_bytes)
			return "a function is not in its text";
		if (function->landing < landing ||
		    function->landing > header->landing_count)
			return "a function's landings are none";
		at = function->at;
		landing = function->landing;
	}
	if (landing != header->landing_count)
		return "a landing is no function's";
	why = code_header_check_landings(header);
	if (!why)
		why = code_header_check_optimised(header);
	if (!why)
		why = code_header_check_runs(header);
	return why ? why : code_header_check_state(header);
}
