/* SPDX-License-Identifier: Apache-2.0 */
/* A compiler that fails as it is told: each function is one that returns its
 * number and a thousand, which no function of a module would.
 *
 *	FAKE_AOTC=RULE,RULE...	what it does when it is asked for function N:
 *		crash:N hang:N spin:N eat:N exit:N garbage:N silent:N
 *		leave:N		says why, and leaves it out
 *		fork:N		has a child that stays, and ends
 *		alien:N		makes a function that nobody asked for
 *	  whatever it is asked for:
 *		slow:MS
 *	FAKE_AOTC_OBJECT=FILE	answers this
 *	FAKE_AOTC_LOG=FILE	adds a line for each run: its process, what it
 *				is asked for
 */
#include "aot/request.h"
#include "lib/object.h"
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY_MOST = 8192 }; /* MiB, where nothing stops it */

static struct aot_request request;
static uint32_t *functions;
static struct object object;
static uint8_t bytes[OBJECT_BYTES];
static uint32_t constants[OBJECT_SECTIONS], constants_symbol;

static void read_all(void *to, size_t len)
{
	char *at = to;

	while (len) {
		ssize_t got = read(0, at, len);

		if (got <= 0)
			exit(9);
		at += got;
		len -= (size_t)got;
	}
}

static void write_all(const void *from, size_t len)
{
	if (write(1, from, len) != (ssize_t)len)
		exit(9);
}

static void read_request(void)
{
	char magic[4];

	read_all(&request, sizeof(request));
	if (memcmp(request.magic, AOT_MAGIC, 8) != 0 ||
	    request.version != AOT_VERSION || request.function_count > 1000)
		exit(9);
	functions = calloc(request.function_count, sizeof(*functions));
	read_all(functions, request.function_count * sizeof(*functions));
	read_all(magic, 4);
	if (memcmp(magic, "\0asm", 4) != 0)
		exit(9);
}

static bool is_asked(uint32_t function)
{
	for (uint32_t i = 0; i < request.function_count; i++)
		if (functions[i] == function)
			return true;
	return false;
}

/* The number of the rule that has one of ours, or 0; from *at on. */
static uint32_t rule(const char *name, const char **at)
{
	size_t len = strlen(name);

	while (*at && **at) {
		const char *here = *at;

		*at += strcspn(*at, ",");
		*at += **at == ',';
		if (strncmp(here, name, len) == 0 && here[len] == ':')
			return (uint32_t)strtoul(here + len + 1, NULL, 10);
	}
	return 0;
}

static bool has_rule(const char *name)
{
	const char *at = getenv("FAKE_AOTC");
	uint32_t function;

	while ((function = rule(name, &at)))
		if (is_asked(function))
			return true;
	return false;
}

static bool is_left(uint32_t function)
{
	const char *at = getenv("FAKE_AOTC");
	uint32_t left;

	while ((left = rule("leave", &at)))
		if (left == function)
			return true;
	return false;
}

static void eat(void)
{
	for (int i = 0; i < MEMORY_MOST; i++) {
		void *some = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (some == MAP_FAILED) {
			fprintf(stderr, "LLVM ERROR: out of memory\n");
			abort();
		}
		if (i % 8 == 0)
			memset(some, 1, 4096);
	}
	exit(7);
}

static void misbehave(void)
{
	volatile uint64_t turns = 0;

	if (has_rule("crash"))
		raise(SIGSEGV);
	if (has_rule("hang"))
		pause();
	while (has_rule("spin"))
		turns++;
	if (has_rule("eat"))
		eat();
	if (has_rule("exit")) {
		fprintf(stderr, "f1: nothing\nI give \033[31mup\n");
		exit(3);
	}
	if (has_rule("fork") && fork() == 0)
		pause();
	if (has_rule("silent"))
		exit(0);
	if (has_rule("garbage")) {
		memset(bytes, 0x5a, sizeof(bytes));
		write_all(bytes, sizeof(bytes));
		exit(0);
	}
}

static void answer_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (len < 0)
		exit(9);
	write_all(bytes, (size_t)len);
	exit(0);
}

/* mov eax, [constant]; ret */
static void make(uint32_t number, uint32_t function)
{
	static const uint8_t code[] = { 0x8b, 0x05, 0, 0, 0, 0, 0xc3 };
	uint32_t section =
		object_function(&object, function, code, sizeof(code));

	constants[number] = 1000 + function;
	object_relocation(&object, section, 2, R_X86_64_PC32, constants_symbol,
			  4 * (int64_t)number - 4);
}

static void begin(void)
{
	uint32_t section;

	object_init(&object);
	section = object_section(&object, ".rodata.cst4", SHF_ALLOC | SHF_MERGE,
				 constants, 4 * (request.function_count + 1ull),
				 4);
	constants_symbol = object_symbol(&object, "", STB_LOCAL, section, 0);
}

static void log_run(const char *path)
{
	char line[8192];
	int len = snprintf(line, sizeof(line), "%d", getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	for (uint32_t i = 0; i < request.function_count && len < 8000; i++)
		len += snprintf(line + len, sizeof(line) - (size_t)len, " %u",
				functions[i]);
	line[len++] = '\n';
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		exit(9);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *at = getenv("FAKE_AOTC");
	uint32_t ms;

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		if (at && strcmp(at, "missing") == 0) {
			fprintf(stderr, "error while loading shared libraries: "
					"libLLVM.so.19.1\n");
			return 127;
		}
		printf("brood-aotc 0.1.0, a fake\n");
		return 0;
	}
	read_request();
	if (getenv("FAKE_AOTC_LOG"))
		log_run(getenv("FAKE_AOTC_LOG"));
	ms = rule("slow", &at);
	usleep(ms * 1000);
	misbehave();
	if (getenv("FAKE_AOTC_OBJECT"))
		answer_file(getenv("FAKE_AOTC_OBJECT"));
	begin();
	for (uint32_t i = 0; i < request.function_count; i++)
		if (is_left(functions[i]))
			fprintf(stderr, "f%u: it is not liked\n", functions[i]);
		else
			make(i, functions[i]);
	if (has_rule("alien"))
		make(request.function_count, functions[0] + 1000);
	write_all(bytes, object_write(&object, bytes));
	return 0;
}
