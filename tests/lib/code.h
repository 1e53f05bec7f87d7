/* SPDX-License-Identifier: Apache-2.0 */
/* Code objects made by hand: function i returns seed + i. */
#pragma once
#include "cache/cache.h"
#include <string.h>

enum { CODE_MADE_EACH = 16 }; /* bytes of text for a function */

static inline uint64_t code_made_bytes(uint32_t functions, uint32_t landings)
{
	uint64_t tables =
		sizeof(struct code_header) +
		((uint64_t)functions + 1) * sizeof(struct code_function) +
		(uint64_t)landings * sizeof(struct code_landing);
	uint64_t text = (uint64_t)functions * CODE_MADE_EACH;

	return (tables + CODE_PAGE - 1) / CODE_PAGE * CODE_PAGE +
	       (text + CODE_PAGE - 1) / CODE_PAGE * CODE_PAGE;
}

/* mov eax, value; ret */
static inline void code_made_text(uint8_t *text, uint32_t functions,
				  uint32_t seed)
{
	for (uint32_t i = 0; i < functions; i++, text += CODE_MADE_EACH) {
		uint32_t value = seed + i;

		text[0] = 0xb8;
		memcpy(text + 1, &value, 4);
		text[5] = 0xc3;
	}
}

/* Each of the last functions has one landing, as many as there are. */
static inline void code_made_write(uint8_t *image, uint32_t functions,
				   uint32_t landings, uint32_t seed,
				   uint32_t options, uint32_t features)
{
	struct code_header *head = (struct code_header *)image;
	struct code_function *function;
	struct code_landing *landing;
	uint32_t first = functions - landings;

	memset(image, 0, code_made_bytes(functions, landings));
	*head = (struct code_header){
		.magic = CODE_MAGIC,
		.version = CODE_VERSION,
		.header_bytes = sizeof(*head),
		.options = options,
		.features = features,
		.function_count = functions,
		.landing_count = landings,
		.functions_at = sizeof(*head),
		.text_bytes = (uint64_t)functions * CODE_MADE_EACH,
		.file_bytes = code_made_bytes(functions, landings),
	};
	head->landings_at = head->functions_at +
			    ((uint64_t)functions + 1) * sizeof(*function);
	head->runs_at = head->landings_at + landings * sizeof(*landing);
	head->text_at = (head->runs_at + CODE_PAGE - 1) / CODE_PAGE * CODE_PAGE;
	function = (struct code_function *)(image + head->functions_at);
	landing = (struct code_landing *)(image + head->landings_at);
	for (uint32_t i = 0; i <= functions; i++)
		function[i] = (struct code_function){
			.at = i * CODE_MADE_EACH,
			.landing = i > first ? i - first : 0,
		};
	for (uint32_t i = 0; i < landings; i++)
		landing[i] = (struct code_landing){
			.from = (first + i) * CODE_MADE_EACH,
			.to = (first + i) * CODE_MADE_EACH + 6,
			.target = (first + i) * CODE_MADE_EACH + 5,
			.tag = CODE_CATCH_ALL,
		};
	code_made_text(image + head->text_at, functions, seed);
}

static inline uint32_t code_made_call(const uint8_t *image, uint32_t i)
{
	const struct code_header *head = (const void *)image;
	const struct code_function *function =
		(const void *)(image + head->functions_at);
	const uint8_t *at = image + head->text_at + function[i].at;
	uint32_t (*call)(void);

	memcpy(&call, &at, sizeof(call));
	return call();
}
