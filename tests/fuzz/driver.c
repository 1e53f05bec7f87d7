/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target where libFuzzer is not at hand: each seed of a folder as
 * it is, then mutants of the seeds for some seconds.  A fault ends it; what
 * was fed last then lies in $TMPDIR/fuzz-last.
 *
 *	fuzz_NAME CORPUS [--seconds N]
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SEEDS_MOST = 256, INPUT_MOST = 64 * 1024 };

struct seed {
	uint8_t *data;
	size_t len;
};

/* What a fault's handler needs to tell the input. */
static uint8_t input[INPUT_MOST];
static size_t input_len;
static char last_path[4096];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_fault(int number)
{
	int fd =
		open(last_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd >= 0)
		(void)!write(fd, input, input_len);
	signal(number, SIG_DFL);
	raise(number);
}

static void catch_faults(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL,
				       SIGTRAP, SIGFPE, SIGABRT };
	const char *folder = getenv("TMPDIR");

	snprintf(last_path, sizeof last_path, "%s/fuzz-last",
		 folder ? folder : "/tmp");
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], on_fault);
}

/* In a block of its own size, so that a read behind it is seen. */
static void feed(void)
{
	uint8_t *copy = malloc(input_len ? input_len : 1);

	if (!copy)
		abort();
	memcpy(copy, input, input_len);
	LLVMFuzzerTestOneInput(copy, input_len);
	free(copy);
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void take(const struct seed *seed)
{
	input_len = seed->len;
	memcpy(input, seed->data, seed->len);
}

static void mutate_once(uint64_t *state)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff };
	size_t at = next(state) % (input_len ? input_len : 1);
	size_t len = 1 + next(state) % 8;

	if (!input_len)
		return;
	if (len > input_len - at)
		len = input_len - at;
	switch (next(state) % 5) {
	case 0: input[at] ^= 1 << next(state) % 8; break;
	case 1: input[at] = (uint8_t)next(state); break;
	case 2: memset(input + at, edges[next(state) % 5], len); break;
	case 3: input_len = at; break;
	case 4:
		memmove(input + next(state) % (input_len - len + 1), input + at,
			len);
		break;
	}
}

static size_t read_seeds(const char *folder, struct seed *seeds)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t count = 0;

	while (dir && count < SEEDS_MOST && (entry = readdir(dir))) {
		int fd =
			openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
		ssize_t len = fd < 0 ? -1 : read(fd, input, sizeof input);

		if (fd >= 0)
			close(fd);
		if (len < 0)
			continue;
		seeds[count].data = malloc(len ? len : 1);
		if (!seeds[count].data)
			break;
		memcpy(seeds[count].data, input, len);
		seeds[count++].len = len;
	}
	if (dir)
		closedir(dir);
	return count;
}

static uint64_t run_mutants(const struct seed *seeds, size_t count, int seconds)
{
	uint64_t state = 0x9e3779b97f4a7c15, runs = 0;
	time_t end = time(NULL) + seconds;

	while (time(NULL) < end)
		for (int i = 0; i < 32; i++, runs++) {
			take(&seeds[next(&state) % count]);
			for (uint64_t n = 1 + next(&state) % 6; n; n--)
				mutate_once(&state);
			feed();
		}
	return runs;
}

int main(int argc, char **argv)
{
	static struct seed seeds[SEEDS_MOST];
	size_t count = argc > 1 ? read_seeds(argv[1], seeds) : 0;
	int seconds = argc > 3 && strcmp(argv[2], "--seconds") == 0
			      ? atoi(argv[3])
			      : 5;

	if (!count) {
		fprintf(stderr, "usage: %s CORPUS [--seconds N]\n", argv[0]);
		return 100;
	}
	catch_faults();
	for (size_t i = 0; i < count; i++) {
		take(&seeds[i]);
		feed();
	}
	printf("ok 1 - %zu seeds\n", count);
	printf("# %llu mutants\n",
	       (unsigned long long)run_mutants(seeds, count, seconds));
	printf("ok 2 - mutants\n1..2\n");
	for (size_t i = 0; i < count; i++)
		free(seeds[i].data);
	return 0;
}
