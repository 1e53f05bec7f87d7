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

uint64_t code_header_text_end(const struct code_header *header)
{
	return header->module_at ? header->module_at : header->file_bytes;
}

static const char *code_header_check_places(const struct code_header *header,
					    uint64_t file_bytes)
{
	if (header->file_bytes != file_bytes || file_bytes % CODE_PAGE)
		return "it is not as long as it says";
	if (header->text_at % CODE_PAGE || header->text_at > file_bytes ||
	    header->text_bytes > file_bytes - header->text_at ||
	    header->text_bytes > CODE_TEXT_MOST || !header->text_bytes)
		return "its text is not in it";
	if (code_header_text_end(header) < header->text_at + header->text_bytes ||
	    header->module_at % CODE_PAGE || header->module_at > file_bytes ||
	    header->module_bytes > file_bytes - header->module_at ||
	    (header->module_bytes && !header->module_at))
		return "its module is not in it";
	if (header->functions_at < sizeof(*header) ||
	    !code_header_holds(header->functions_at, header->landings_at,
			       (uint64_t)header->function_count + 1,
			       sizeof(struct code_function)))
		return "its functions are not in it";
	if (!code_header_holds(header->landings_at, header->text_at,
			       header->landing_count,
			       sizeof(struct code_landing)))
		return "its landings are not in it";
	return NULL;
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
	if (header.reserved)
		return "it has what this version does not know";
	return code_header_check_places(&header, file_bytes);
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

const char *code_header_check_tables(const struct code_header *header)
{
	const struct code_function *function =
		(const void *)((const char *)header + header->functions_at);
	uint32_t at = 0, landing = 0;

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
	return code_header_check_landings(header);
}
