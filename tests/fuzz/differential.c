/* SPDX-License-Identifier: Apache-2.0 */
/* Generated modules for other engines, and what this one makes of them:
 *
 *	differential make FOLDER FIRST COUNT [FEATURES]
 *		FOLDER/N.wasm for COUNT numbers from FIRST on
 *	differential run FILE...
 *		"NAME r0 RESULT", a line for each export
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

static int make_files(const char *folder, uint64_t first, uint64_t count,
		      uint32_t features)
{
	for (uint64_t i = first; i < first + count; i++) {
		auto_buf struct buf binary = { 0 };
		char path[4096];
		FILE *file;

		make(i, features, &binary, NULL);
		snprintf(path, sizeof path, "%s/%llu.wasm", folder,
			 (unsigned long long)i);
		file = fopen(path, "we");
		if (!file ||
		    fwrite(binary.data, 1, binary.len, file) != binary.len ||
		    fclose(file) != 0) {
			perror(path);
			return 111;
		}
	}
	return 0;
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

static int run_files(char **paths)
{
	int result = 0;

	for (; *paths; paths++) {
		auto_buf struct buf text = { 0 }, binary = { 0 };
		struct err err = { 0 };

		if (file_read(*paths, &binary, FILE_MOST, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 111;
		}
		if (!play_module(binary.data, binary.len, &(struct play){ 0 },
				 &text))
			result = 1;
		tell(*paths, buf_string(&text));
	}
	return result;
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

int main(int argc, char **argv)
{
	if (argc >= 5 && strcmp(argv[1], "make") == 0)
		return make_files(argv[2], strtoull(argv[3], NULL, 10),
				  strtoull(argv[4], NULL, 10),
				  features_of(argv[5]));
	if (argc >= 3 && strcmp(argv[1], "run") == 0)
		return run_files(argv + 2);
	if (argc >= 4 && strcmp(argv[1], "operations") == 0)
		return tell_operations(strtoull(argv[2], NULL, 10),
				       strtoull(argv[3], NULL, 10),
				       features_of(argv[4]));
	fprintf(stderr, "usage: differential make FOLDER FIRST COUNT "
			"[FEATURES]\n       differential run FILE...\n"
			"       differential operations FIRST COUNT "
			"[FEATURES]\n");
	return 100;
}
