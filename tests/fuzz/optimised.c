/* SPDX-License-Identifier: Apache-2.0 */
/* Generated modules (generate.h), optimised against interpreted:
 *
 *	optimised compare FIRST COUNT [SECONDS]
 *		each number's module with all functions optimised, and some
 *		with random halves: a line where anything is not the same -
 *		results, traps, memories and globals behind each call.  It
 *		ends after SECONDS.
 *	optimised loops FIRST COUNT [SECONDS]
 *		the same, of modules of loops (generate_loops.h)
 *	optimised show NUMBER
 *		the text of such a module
 *	optimised run SEED FILE
 *		what a module does so: "r0 RESULT", "state HASH", a line each
 *
 * What is optimised comes from a cache, as always. */
#include "base/clock.h"
#include "base/file.h"
#include "fuzz/generate.h"
#include "fuzz/generate_loops.h"
#include "fuzz/play.h"
#include "jit/jit.h"
#include "optimise/optimise.h"
#include "wasm/module.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENTROPY_BYTES = 8192, FILE_MOST = 1 << 24, HALVES = 2 };

static char folder[64];
static struct optimise_sum sum;
static bool of_loops;

/* ---- a module ---------------------------------------------------------------- */

/* Tail calls make a whole module one that is not optimised. */
static uint32_t features_of(uint64_t number)
{
	static const uint32_t without[] = {
		0,
		GENERATE_GC | GENERATE_EXCEPTIONS,
		GENERATE_GC | GENERATE_EXCEPTIONS | GENERATE_SIMD |
			GENERATE_RELAXED,
		GENERATE_SIMD | GENERATE_RELAXED,
		GENERATE_EXCEPTIONS | GENERATE_ATOMICS | GENERATE_MEMORY64,
	};

	return GENERATE_ALL & ~GENERATE_TAIL_CALLS &
	       ~without[number % (sizeof without / sizeof *without)];
}

static void make(uint64_t number, struct buf *binary)
{
	static uint8_t entropy[ENTROPY_BYTES];

	if (of_loops) {
		generate_loops(number, binary, NULL);
		return;
	}
	generate_entropy(number, entropy, sizeof entropy);
	generate_module(entropy, sizeof entropy, features_of(number), binary,
			NULL);
}

static void empty_cache(void)
{
	char command[200];

	snprintf(command, sizeof command, "rm -rf %s/*", folder);
	if (system(command))
		abort();
}

static int put_optimised(const struct buf *binary, uint64_t seed)
{
	const struct vm_code_options code = { .via = VM_COMPILED };
	struct optimise *optimise;
	struct err err = { 0 };
	int rc = optimise_open(&optimise, folder, seed, &code, &err);

	empty_cache();
	if (rc >= 0)
		rc = optimise_module(optimise, binary->data, binary->len, &sum,
				     &err);
	sum.why_left = 0;
	if (rc < 0)
		printf("%s\n", err.text);
	optimise_close(optimise);
	return rc;
}

/* ---- comparing --------------------------------------------------------------- */

static bool is_same(const struct buf *binary, uint64_t number, uint64_t seed,
		    const struct play *play, const struct buf *expected)
{
	auto_buf struct buf text = { 0 };

	play_module(binary->data, binary->len, play, &text);
	if (strcmp(buf_string(&text), buf_string(expected)) == 0)
		return true;
	printf("%llu seed %llu differs%s%s%s:\n%s--\n%s",
	       (unsigned long long)number, (unsigned long long)seed,
	       play->stressed ? " stressed" : "", play->linked ? " linked" : "",
	       play->in_domain ? " domain" : "", buf_string(expected),
	       buf_string(&text));
	return false;
}

static bool is_same_seeded(const struct buf *binary, uint64_t number,
			   uint64_t seed, const struct buf *expected)
{
	struct play play = { .compiled = true, .state = true, .cache = folder };
	bool same;

	if (put_optimised(binary, seed) < 0)
		return false;
	same = is_same(binary, number, seed, &play, expected);
	play.stressed = number % 3 == 0;
	play.linked = number % 2;
	return ((!play.stressed && !play.linked) ||
		is_same(binary, number, seed, &play, expected)) &&
	       same;
}

static bool is_same_optimised(uint64_t number)
{
	auto_buf struct buf binary = { 0 }, expected = { 0 };
	bool same;

	make(number, &binary);
	play_module(binary.data, binary.len, &(struct play){ .state = true },
		    &expected);
	same = is_same_seeded(&binary, number, 0, &expected);
	for (uint64_t i = 1; i <= HALVES; i++)
		same = is_same_seeded(&binary, number, number * HALVES + i,
				      &expected) &&
		       same;
	return same;
}

static int compare(uint64_t first, uint64_t count, uint64_t seconds)
{
	uint64_t until = clock_ns() + seconds * 1000000000, different = 0, i;

	for (i = first; i < first + count && (!seconds || clock_ns() < until);
	     i++)
		different += !is_same_optimised(i);
	printf("# %llu modules, %llu of %llu functions optimised, %llu "
	       "differ\n",
	       (unsigned long long)(i - first), (unsigned long long)sum.made,
	       (unsigned long long)sum.functions,
	       (unsigned long long)different);
	return different != 0;
}

static int run(uint64_t seed, const char *path)
{
	auto_buf struct buf binary = { 0 }, text = { 0 };
	struct play play = { .compiled = true, .state = true, .cache = folder };
	struct err err = { 0 };

	if (file_read(path, &binary, FILE_MOST, &err) < 0 ||
	    put_optimised(&binary, seed) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 111;
	}
	play_module(binary.data, binary.len, &play, &text);
	printf("%s", buf_string(&text));
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: optimised compare|loops FIRST COUNT [SECONDS]\n"
			"       optimised show NUMBER\n"
			"       optimised show NUMBER\n"
			"       optimised run SEED FILE\n");
	return 100;
}

/* Whatever falls, the folder goes. */
static int with_folder(int argc, char **argv)
{
	pid_t pid;
	int status;

	snprintf(folder, sizeof folder, "/dev/shm/brood-optimised.XXXXXX");
	if (!mkdtemp(folder))
		return 111;
	pid = fork();
	if (pid == 0) {
		setvbuf(stdout, NULL, _IOLBF, 0);
		of_loops = strcmp(argv[1], "loops") == 0;
		exit(strcmp(argv[1], "run") != 0
			     ? compare(strtoull(argv[2], NULL, 10),
				       strtoull(argv[3], NULL, 10),
				       argc > 4 ? strtoull(argv[4], NULL, 10)
						: 0)
			     : run(strtoull(argv[2], NULL, 10), argv[3]));
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 111;
	empty_cache();
	rmdir(folder);
	if (WIFSIGNALED(status))
		printf("it fell by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int show(const char *number)
{
	auto_buf struct buf binary = { 0 }, text = { 0 };

	generate_loops(strtoull(number, NULL, 10), &binary, &text);
	printf("%s\n", buf_string(&text));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "show") == 0)
		return show(argv[2]);
	if (argc < 4 ||
	    (strcmp(argv[1], "compare") != 0 && strcmp(argv[1], "loops") != 0 &&
	     strcmp(argv[1], "run") != 0))
		return usage();
	return with_folder(argc, argv);
}
