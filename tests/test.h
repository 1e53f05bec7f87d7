/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests: TEST(name) { CHECK(...); } in order, TEST_MAIN at the end.
 * Prints TAP; a word as argument runs that test alone. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};
static struct test *test_first;
static struct test **test_last __attribute__((unused)) = &test_first;
static const char *test_skipped;
static int test_failures, test_number;

#define TEST(name)                                                           \
	static void test_##name(void);                                       \
	static struct test test_entry_##name = { #name, test_##name, NULL }; \
	static void __attribute__((constructor)) test_add_##name(void)       \
	{                                                                    \
		*test_last = &test_entry_##name;                             \
		test_last = &test_entry_##name.next;                         \
	}                                                                    \
	static void test_##name(void)

static inline void test_fail(const char *file, int line, const char *words)
{
	test_failures++;
	printf("# %s:%d: %s\n", file, line, words);
}

static inline void test_int(const char *file, int line, const char *words,
			    long long a, long long b)
{
	if (a == b)
		return;
	test_fail(file, line, words);
	printf("#   %lld is not %lld\n", a, b);
}

static inline void test_text(const char *file, int line, const char *words,
			     const char *a, const char *b)
{
	if (a && b && strcmp(a, b) == 0)
		return;
	test_fail(file, line, words);
	printf("#   «%s» is not «%s»\n", a ? a : "NULL", b ? b : "NULL");
}

#define CHECK(expr)	 ((expr) ? (void)0 : test_fail(__FILE__, __LINE__, #expr))
#define CHECK_INT(a, b)	 test_int(__FILE__, __LINE__, #a " == " #b, a, b)
#define CHECK_TEXT(a, b) test_text(__FILE__, __LINE__, #a " == " #b, a, b)
#define SKIP(reason)                   \
	do {                           \
		test_skipped = reason; \
		return;                \
	} while (0)

static inline int test_run_one(struct test *test)
{
	test_failures = 0;
	test_skipped = NULL;
	test->run();
	printf("%sok %d - %s%s%s\n", test_failures ? "not " : "", ++test_number,
	       test->name, test_skipped ? " # SKIP " : "",
	       test_skipped ? test_skipped : "");
	fflush(stdout);
	return test_failures != 0;
}

static inline int test_main(int argc, char **argv)
{
	int failed = 0;

	for (struct test *t = test_first; t; t = t->next)
		if (argc < 2 || strcmp(argv[1], t->name) == 0)
			failed += test_run_one(t);
	printf("1..%d\n", test_number);
	if (test_number == 0)
		fprintf(stderr, "there is no test %s\n",
			argc > 1 ? argv[1] : "here");
	return failed != 0 || test_number == 0;
}

#define TEST_MAIN                             \
	int main(int argc, char **argv)       \
	{                                     \
		return test_main(argc, argv); \
	}
