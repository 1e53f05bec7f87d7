/* SPDX-License-Identifier: Apache-2.0 */
/* Any changes of a right code object: what is accepted lies within its
 * bounds.  Input: changes of ten bytes each, a place in header and tables and
 * a value; the first byte says how much of the object there is. */
#include "cache/code_header.h"
#include "lib/code.h"
#include <stdint.h>
#include <stdlib.h>

enum { FUNCTIONS = 20, LANDINGS = 5, CHANGED = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

static void change(uint8_t *image, const uint8_t *data, size_t size)
{
	for (; size >= 10; data += 10, size -= 10) {
		uint16_t at;

		memcpy(&at, data, sizeof(at));
		memcpy(image + at % CHANGED, data + 2, 8);
	}
}

static uint64_t use_runs(const struct code_header *head, uint64_t len)
{
	const uint8_t *image = (const void *)head;
	const struct code_run *run = (const void *)(image + head->runs_at);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < head->run_count; i++) {
		uint64_t at = head->pages_at + run[i].file_page * CODE_PAGE;

		require(run[i].count && at < len &&
			run[i].count <= (len - at) / CODE_PAGE);
		sum += image[at] + image[at + run[i].count * CODE_PAGE - 1];
	}
	return sum;
}

static uint64_t use_state(const struct code_header *head)
{
	const struct code_state *state =
		(const void *)((const uint8_t *)head + head->state_at);
	uint64_t sum = 0;

	if (!head->state_bytes)
		return 0;
	for (uint32_t i = 0; i < state->item_count; i++)
		sum += code_state_items(state)[i];
	for (uint32_t i = 0; i < state->data_count; i++)
		sum += code_state_data(state)[i];
	return sum;
}

static void use_optimised(const struct code_header *head,
			  const struct code_function *function)
{
	const uint8_t *bits = (const uint8_t *)head + head->optimised_at;
	uint32_t count = 0;

	for (uint32_t i = 0; head->optimised_at && i < head->function_count;
	     i++) {
		if (!(bits[i / 8] >> i % 8 & 1))
			continue;
		require(function[i].landing == function[i + 1].landing);
		count++;
	}
	require(count == head->optimised_count);
}

/* Reads and calls all that the tables name, as who runs it does. */
static void use(const struct code_header *head, uint64_t len)
{
	const uint8_t *image = (const void *)head;
	const struct code_function *function =
		(const void *)(image + head->functions_at);
	const struct code_landing *landing =
		(const void *)(image + head->landings_at);
	uint64_t sum = 0;

	require(head->text_at + head->text_bytes <= len);
	for (uint64_t i = 0; i < head->function_count; i++) {
		require(function[i].at <= function[i + 1].at);
		require(function[i + 1].at <= head->text_bytes);
		for (uint32_t at = function[i].landing;
		     at < function[i + 1].landing; at++) {
			require(landing[at].target < head->text_bytes);
			require(landing[at].to <= head->text_bytes);
			sum += image[head->text_at + landing[at].target];
		}
	}
	use_optimised(head, function);
	sum += use_runs(head, len) + use_state(head);
	for (uint64_t at = 0; at < head->text_bytes; at += 16)
		sum += image[head->text_at + at];
	__asm__ volatile("" : : "r"(sum)); /* as if it were wanted */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole = code_made_bytes(FUNCTIONS, LANDINGS), len;
	uint8_t *image = malloc(whole), *part;

	if (!image || size == 0)
		goto out;
	code_made_write(image, FUNCTIONS, LANDINGS, 1, 0, 0);
	change(image, data + 1, size - 1);
	len = data[0] % 4 ? whole : whole * data[0] / 256;
	part = malloc(len ? len : 1);
	if (!part)
		goto out;
	memcpy(part, image, len);
	if (!code_header_check(part, len, len) &&
	    !code_header_check_tables((const void *)part))
		use((const void *)part, len);
	free(part);
out:
	free(image);
	return 0;
}
