/* SPDX-License-Identifier: Apache-2.0 */
/* compile_speed FILE.wasm [ROUNDS]: how fast one thread loads the module
 * (decoding, validation), compiles it and links the image, in MB of code a
 * second and as lines "what seconds MB/s", medians; then the image's size.
 * Seconds are of its CPU time: what else the machine does disturbs it least. */
#include "base/fd.h"
#include "base/file.h"
#include "jit/jit.h"
#include "vm/vm.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { ROUNDS_MOST = 101 };

struct times {
	double load[ROUNDS_MOST], compile[ROUNDS_MOST], link[ROUNDS_MOST];
	uint64_t code_bytes, image_bytes;
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell(const char *what, double *times, int rounds, uint64_t bytes)
{
	double median;

	qsort(times, (size_t)rounds, sizeof(*times), by_size);
	median = times[rounds / 2];
	printf("%s %.4f %.1f\n", what, median, (double)bytes / 1e6 / median);
}

static bool compile_all(const struct wasm_module *module,
			struct jit_compiler *compiler)
{
	struct wasm_error error;

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		if (jit_compile(compiler, i, &error) < 0) {
			fprintf(stderr, "compile_speed: %s\n", error.text);
			return false;
		}
	return true;
}

static bool link_image(struct jit_compiler *compiler, struct times *times)
{
	struct jit_link link = { .compilers = &compiler, .count = 1 };
	uint8_t *image;

	times->image_bytes = jit_image_bytes(&link);
	image = mmap(NULL, times->image_bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (image == MAP_FAILED || jit_image_write(&link, image) < 0)
		return false;
	munmap(image, times->image_bytes);
	return true;
}

static bool one_round(const struct buf *bytes, struct times *times, int round)
{
	struct jit_options options = { .features = jit_features() };
	struct jit_compiler *compiler;
	struct wasm_module *module;
	struct err err = { 0 };
	struct vm vm;
	double from = cpu_seconds();
	bool fine;

	if (vm_init(&vm, NULL, &err) < 0 ||
	    vm_load_in_place(&vm, bytes->data, bytes->len, &module, &err) < 0) {
		fprintf(stderr, "compile_speed: %s\n", err.text);
		return false;
	}
	times->load[round] = cpu_seconds() - from;
	times->code_bytes = 0;
	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		times->code_bytes += module->functions[i].body_len;
	from = cpu_seconds();
	compiler = jit_compiler_new(module, &options);
	fine = compiler && compile_all(module, compiler);
	times->compile[round] = cpu_seconds() - from;
	from = cpu_seconds();
	fine = fine && link_image(compiler, times);
	times->link[round] = cpu_seconds() - from;
	jit_compiler_free(compiler);
	vm_fini(&vm);
	return fine;
}

int main(int argc, char **argv)
{
	static struct times times;
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	auto_buf struct buf bytes = { 0 };

	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MOST ||
	    file_read(argv[1], &bytes, UINT32_MAX, NULL) < 0)
		return 100;
	for (int i = 0; i < rounds; i++)
		if (!one_round(&bytes, &times, i))
			return 1;
	tell("load", times.load, rounds, times.code_bytes);
	tell("compile", times.compile, rounds, times.code_bytes);
	tell("link", times.link, rounds, times.code_bytes);
	printf("code %llu image %llu\n", (unsigned long long)times.code_bytes,
	       (unsigned long long)times.image_bytes);
	return 0;
}
