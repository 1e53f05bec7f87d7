/* SPDX-License-Identifier: Apache-2.0 */
/* Generated modules for other engines, and what this one makes of them:
 *
 *	differential make FOLDER FIRST COUNT [FEATURES]
 *		FOLDER/N.wasm for COUNT numbers from FIRST on
 *	differential entropy N
 *		the bytes that number N is made of, to standard output
 *	differential from FILE TO [FEATURES]
 *		the module of a file of such bytes
 *	differential run [WAY] FILE...
 *		"NAME r0 RESULT", a line for each export; WAY of words: compiled,
 *		checked, counted, linked, stressed, domain, without=MASK,
 *		without-features=MASK
 *	differential compare FIRST COUNT [FEATURES]
 *		each module interpreted and compiled in all ways, and both in a
 *		domain: their numbers, where that is not the same
 *	differential operations FIRST COUNT [FEATURES]
 *		how often each operation is written
 *
 * FEATURES are words of the list below with commas between; all of them
 * where there are none. */
#include "base/file.h"
#include "fuzz/generate.h"
#include "fuzz/play.h"
#include "wasm/operations.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTROPY_BYTES = 8192, FILE_MOST = 1 << 24 };

static const char *const feature_words[] = {
	"simd",	    "tail",	"atomics", "exceptions", "gc",
	"memories", "memory64", "wide",	   "relaxed",	 "imports",
};
enum { FEATURES = sizeof feature_words / sizeof *feature_words };

static uint32_t features_of(const char *words)
{
	uint32_t features = 0;

	if (!words)
		return GENERATE_ALL;
	while (*words) {
		size_t len = strcspn(words, ",");

		for (uint32_t i = 0; i < FEATURES; i++)
			if (strlen(feature_words[i]) == len &&
			    memcmp(words, feature_words[i], len) == 0)
				features |= 1u << i;
		words += len + (words[len] == ',');
	}
	return features;
}

static void make(uint64_t number, uint32_t features, struct buf *binary,
		 uint32_t *counts)
{
	static uint8_t entropy[ENTROPY_BYTES];

	generate_entropy(number, entropy, sizeof entropy);
	generate_module(entropy, sizeof entropy, features, binary, counts);
}

static int write_file(const char *path, const struct buf *binary)
{
	FILE *file = fopen(path, "we");
	bool whole = file &&
		     fwrite(binary->data, 1, binary->len, file) == binary->len;

	if (file && fclose(file) == 0 && whole)
		return 0;
	perror(path);
	return 111;
}

static int make_files(const char *folder, uint64_t first, uint64_t count,
		      uint32_t features)
{
	int result = 0;

	for (uint64_t i = first; i < first + count && !result; i++) {
		auto_buf struct buf binary = { 0 };
		char path[4096];

		make(i, features, &binary, NULL);
		snprintf(path, sizeof path, "%s/%llu.wasm", folder,
			 (unsigned long long)i);
		result = write_file(path, &binary);
	}
	return result;
}

static int make_from(const char *from, const char *to, uint32_t features)
{
	auto_buf struct buf entropy = { 0 }, binary = { 0 };
	struct err err = { 0 };

	if (file_read(from, &entropy, FILE_MOST, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 111;
	}
	generate_module((const uint8_t *)entropy.data, entropy.len, features,
			&binary, NULL);
	return write_file(to, &binary);
}

static int tell_entropy(uint64_t number)
{
	static uint8_t entropy[ENTROPY_BYTES];

	generate_entropy(number, entropy, sizeof entropy);
	return fwrite(entropy, sizeof entropy, 1, stdout) == 1 ? 0 : 111;
}

/* Each line of the text behind the file's name. */
static void tell(const char *path, const char *text)
{
	const char *name = strrchr(path, '/');
	size_t len;

	name = name ? name + 1 : path;
	for (; *text; text += len + 1) {
		len = strcspn(text, "\n");
		printf("%s %.*s\n", name, (int)len, text);
	}
}

static bool starts(const char *word, const char *with, uint32_t *mask)
{
	size_t len = strlen(with);

	if (strncmp(word, with, len) != 0)
		return false;
	*mask = (uint32_t)strtoul(word + len, NULL, 0);
	return true;
}

static bool is_way(const char *word, struct play *play)
{
	const struct {
		const char *word;
		bool *flag;
	} flags[] = {
		{ "compiled", &play->compiled }, { "checked", &play->checked },
		{ "counted", &play->counted },	 { "linked", &play->linked },
		{ "stressed", &play->stressed }, { "domain", &play->in_domain },
	};

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (strcmp(word, flags[i].word) == 0)
			return *flags[i].flag = true;
	return starts(word, "without=", &play->without) ||
	       starts(word, "without-features=", &play->without_features);
}

static int run_files(char **paths)
{
	struct play play = { 0 };
	int result = 0;

	while (*paths && is_way(*paths, &play))
		paths++;
	for (; *paths; paths++) {
		auto_buf struct buf text = { 0 }, binary = { 0 };
		struct err err = { 0 };

		if (file_read(*paths, &binary, FILE_MOST, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 111;
		}
		if (!play_module(binary.data, binary.len, &play, &text))
			result = 1;
		tell(*paths, buf_string(&text));
	}
	return result;
}

/* Is it the same that way?  A line where it is not. */
static bool is_same(uint64_t number, const struct buf *binary,
		    const struct play *play, const struct buf *expected)
{
	auto_buf struct buf text = { 0 }, wanted = { 0 };

	play_module(binary->data, binary->len, play, &text);
	buf_add(&wanted, expected->data, expected->len);
	if (strcmp(buf_string(&text), buf_string(&wanted)) == 0)
		return true;
	printf("%llu differs %s%s%s%s%s%s without=%#x "
	       "without-features=%#x\n",
	       (unsigned long long)number,
	       play->compiled ? "compiled" : "interpreted",
	       play->in_domain ? " domain" : "",
	       play->checked ? " checked" : "", play->counted ? " counted" : "",
	       play->stressed ? " stressed" : "", play->linked ? " linked" : "",
	       play->without, play->without_features);
	return false;
}

static bool is_same_compiled(uint64_t number, uint32_t features)
{
	static const uint32_t without[] = { 0, 1, 2, 4, 8, 16, 32, 64, 127 };
	auto_buf struct buf binary = { 0 }, expected = { 0 };
	bool same = true;

	make(number, features, &binary, NULL);
	play_module(binary.data, binary.len, &(struct play){ 0 }, &expected);
	for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
		struct play play = { .compiled = true, .without = without[i] };

		same = is_same(number, &binary, &play, &expected) && same;
		play.checked = i & 1;
		play.counted = i & 2;
		play.stressed = i % 4 == 0;
		play.linked = i & 1 && features & GENERATE_IMPORTS;
		play.without_features = UINT32_MAX;
		same = is_same(number, &binary, &play, &expected) && same;
	}
	for (int i = 0; i < 4; i++) {
		struct play play = { .in_domain = true,
				     .compiled = i & 1,
				     .counted = i & 2 };

		same = is_same(number, &binary, &play, &expected) && same;
	}
	return same;
}

static int compare(uint64_t first, uint64_t count, uint32_t features)
{
	uint64_t different = 0;

	for (uint64_t i = first; i < first + count; i++)
		different += !is_same_compiled(i, features);
	return different != 0;
}

static int tell_operations(uint64_t first, uint64_t count, uint32_t features)
{
	static uint32_t counts[WASM_OPERATIONS];

	for (uint64_t i = first; i < first + count; i++) {
		auto_buf struct buf binary = { 0 };

		make(i, features, &binary, counts);
	}
	for (int i = 0; i < WASM_OPERATIONS; i++)
		printf("%u %s\n", counts[i], wasm_operations[i].name);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: differential make FOLDER FIRST COUNT "
			"[FEATURES]\n       differential entropy N\n"
			"       differential from FILE TO [FEATURES]\n"
			"       differential run [WAY] FILE...\n"
			"       differential compare FIRST COUNT [FEATURES]\n"
			"       differential operations FIRST COUNT "
			"[FEATURES]\n");
	return 100;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (argc >= 5 && strcmp(verb, "make") == 0)
		return make_files(argv[2], strtoull(argv[3], NULL, 10),
				  strtoull(argv[4], NULL, 10),
				  features_of(argv[5]));
	if (argc >= 4 && strcmp(verb, "from") == 0)
		return make_from(argv[2], argv[3], features_of(argv[4]));
	if (argc >= 3 && strcmp(verb, "entropy") == 0)
		return tell_entropy(strtoull(argv[2], NULL, 10));
	if (argc >= 3 && strcmp(verb, "run") == 0)
		return run_files(argv + 2);
	if (argc >= 4 && strcmp(verb, "compare") == 0)
		return compare(strtoull(argv[2], NULL, 10),
			       strtoull(argv[3], NULL, 10),
			       features_of(argv[4]));
	if (argc >= 4 && strcmp(verb, "operations") == 0)
		return tell_operations(strtoull(argv[2], NULL, 10),
				       strtoull(argv[3], NULL, 10),
				       features_of(argv[4]));
	return usage();
}
