/* SPDX-License-Identifier: Apache-2.0 */
/* domain_us WHAT COUNT [turns]: what domain_floor measures of bare KVM, of
 * domains as brood makes them, in a process that has everything open: the
 * module's instance in the cache, a sentinel alive.  Prints COUNT numbers,
 * microseconds where nothing else is said:
 *
 *	create	  a domain from the kept instance, _start's end
 *	start	  the first half of that
 *	destroy	  of the same
 *	call	  an export, once more
 *	reset	  a domain whose call wrote to 4 pages made fresh; that call again
 *	renew	  the first half of that, of 8 pages
 *	bind	  the machine of a domain that is over made the kept instance's;
 *		  _start's end
 *	exit	  a call of WASI that has nothing to do, of 64
 *	write	  one byte to /dev/null, likewise; file: to a file
 *	clock	  clock_time_get, likewise; random: 16 bytes of random_get
 *	page	  the first write to a page, of 64
 *	snapshot  16 pages changed in it kept as a layer, on disk
 *	kill	  a guest without an end: how late after its 5 ms
 *	lives	  one number: domains created, run, destroyed a second
 *	own	  three numbers: pages that are its own after its start, after
 *		  _start, and after what "renew" then makes fresh
 *	idle	  says "open" and waits for a byte; then has COUNT domains, and
 *		  in turns calls one after another
 *	shared	  has COUNT domains of a large module, says "ready", waits; two
 *		  numbers: bytes of its code, KB (PSS) that this process has of
 *		  it; "told", waits; private: each domain has a copy */
#include "base/buf.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include "domain/ready.h"
#include "image/scan.h"
#include "jit/jit.h"
#include "turns.h"
#include "vm/wasi.h"
#include "wat/wat.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
	PAGE = 4096,
	RESET_PAGES = 4,
	RENEW_PAGES = 8,
	TOUCHED = 64,
	SAVED = 16,
	CALLS = 64,
	ANSWER = 42,
	ANSWER_AT = 64,
	MOST_LIVES = 32,
	FUNCTIONS = 1100,
	STATEMENTS = 160,
	BUDGET_NS = 5000000,
	LAYERS_MOST = LAYER_DEPTH_MOST,
};

static const char module_text[] =
	"(module"
	" (import \"wasi_snapshot_preview1\" \"fd_prestat_get\""
	"  (func $nothing (param i32 i32) (result i32)))"
	" (import \"wasi_snapshot_preview1\" \"fd_write\""
	"  (func $write (param i32 i32 i32 i32) (result i32)))"
	" (import \"wasi_snapshot_preview1\" \"clock_time_get\""
	"  (func $clock (param i32 i64 i32) (result i32)))"
	" (import \"wasi_snapshot_preview1\" \"random_get\""
	"  (func $random (param i32 i32) (result i32)))"
	" (memory (export \"memory\") 2)"
	" (data (i32.const 16) \"\\20\\00\\00\\00\\01\\00\\00\\00x\")"
	" (func (export \"_start\") (i32.store (i32.const 64)"
	"  (i32.add (i32.load (i32.const 64)) (i32.const 42))))"
	" (func (export \"touch\") (param i32 i32)"
	"  (block (loop (br_if 1 (i32.eqz (local.get 1)))"
	"   (i32.store (local.get 0) (i32.const 1))"
	"   (local.set 0 (i32.add (local.get 0) (i32.const 4096)))"
	"   (local.set 1 (i32.sub (local.get 1) (i32.const 1))) (br 0))))"
	" (func (export \"grow\") (param i32 i32)"
	"  (drop (memory.grow (local.get 0))))"
	" (func (export \"exit\") (param i32 i32)"
	"  (block (loop (br_if 1 (i32.eqz (local.get 0)))"
	"   (drop (call $nothing (i32.const 99) (i32.const 128)))"
	"   (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br 0))))"
	" (func (export \"write\") (param i32 i32)"
	"  (block (loop (br_if 1 (i32.eqz (local.get 0)))"
	"   (drop (call $write (local.get 1) (i32.const 16) (i32.const 1)"
	"    (i32.const 128)))"
	"   (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br 0))))"
	" (func (export \"clock\") (param i32 i32)"
	"  (block (loop (br_if 1 (i32.eqz (local.get 0)))"
	"   (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 128)))"
	"   (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br 0))))"
	" (func (export \"random\") (param i32 i32)"
	"  (block (loop (br_if 1 (i32.eqz (local.get 0)))"
	"   (drop (call $random (i32.const 128) (i32.const 16)))"
	"   (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br 0))))"
	" (func (export \"spin\") (param i32 i32) (loop (br 0))))";

struct us {
	struct turns turns;
	int count, pagemap;
	struct ground ground;
	struct kvm_sentinel sentinel;
	struct vm vm;
	struct wasi *wasi;
	struct program program;
	struct ready ready;
	double *samples;
	struct err err;
};

static void __attribute__((noreturn)) die(const char *what,
					  const struct err *err)
{
	fprintf(stderr, "domain_us: %s: %s\n", what, err->text);
	exit(111);
}

static void must(struct us *us, int r, const char *what)
{
	if (r < 0)
		die(what, &us->err);
}

static void expect(uint64_t found, uint64_t want, const char *what)
{
	if (found == want)
		return;
	fprintf(stderr, "domain_us: %s: %llu instead of %llu\n", what,
		(unsigned long long)found, (unsigned long long)want);
	exit(111);
}

/* ---- domains -------------------------------------------------------------- */

static struct domain *start(struct us *us)
{
	struct domain_outcome outcome;
	struct domain *domain;

	must(us,
	     ready_start(&us->ready, us->wasi, 0, &domain, &outcome, &us->err),
	     "start");
	return domain;
}

static uint32_t answer(const struct domain *domain)
{
	uint32_t found;

	memcpy(&found, space_window(&domain->space, 0)->at + ANSWER_AT,
	       sizeof(found));
	return found;
}

static void run(struct us *us, struct domain *domain, uint32_t times)
{
	struct domain_outcome outcome;

	must(us, ready_run(&us->ready, domain, &outcome, &us->err), "run");
	expect(outcome.trap, WASM_OK, "trap");
	expect(answer(domain), times * ANSWER, "answer");
}

static enum wasm_trap call(struct us *us, struct domain *domain,
			   const char *name, uint32_t a, uint32_t b)
{
	const union wasm_value arguments[2] = { { .i64 = a }, { .i64 = b } };
	struct domain_outcome outcome;

	must(us,
	     domain_call(domain, 0, name, strlen(name), arguments, 2, NULL,
			 &outcome, &us->err),
	     name);
	return outcome.trap;
}

static void reset(struct us *us, struct domain *domain)
{
	must(us,
	     ready_reset(&us->ready, domain, us->pagemap, us->wasi, 0,
			 &us->err),
	     "reset");
	expect(answer(domain), 0, "memory after a reset");
}

/* ---- what is measured ------------------------------------------------------ */

enum cold { COLD_CREATE, COLD_START, COLD_DESTROY };

static void cold(struct us *us, enum cold what)
{
	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin = now(), made, called;
		struct domain *domain = start(us);

		made = now();
		run(us, domain, 1);
		called = now();
		domain_close(domain);
		us->samples[i] = what == COLD_DESTROY ? now() - called
				 : what == COLD_START ? made - begin
						      : called - begin;
	}
	turns_end(&us->turns);
}

static void us_create(struct us *us)
{
	cold(us, COLD_CREATE);
}

static void us_start(struct us *us)
{
	cold(us, COLD_START);
}

static void us_destroy(struct us *us)
{
	cold(us, COLD_DESTROY);
}

static void us_call(struct us *us)
{
	struct domain *domain = start(us);

	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin = now();

		call(us, domain, "touch", 0, 0);
		us->samples[i] = now() - begin;
	}
	turns_end(&us->turns);
	domain_close(domain);
}

static void us_reset(struct us *us)
{
	struct domain *domain = start(us);

	call(us, domain, "touch", 0, RESET_PAGES);
	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin = now();

		reset(us, domain);
		call(us, domain, "touch", 0, RESET_PAGES);
		us->samples[i] = now() - begin;
	}
	turns_end(&us->turns);
	domain_close(domain);
}

static void us_renew(struct us *us)
{
	struct domain *domain = start(us);

	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin;

		call(us, domain, "touch", 0, RENEW_PAGES);
		begin = now();
		reset(us, domain);
		us->samples[i] = now() - begin;
	}
	turns_end(&us->turns);
	domain_close(domain);
}

static void us_bind(struct us *us)
{
	struct domain *domain = start(us);

	run(us, domain, 1);
	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin = now();

		must(us, ready_bind(&us->ready, domain, us->wasi, 0, &us->err),
		     "bind");
		run(us, domain, 1);
		us->samples[i] = now() - begin;
	}
	turns_end(&us->turns);
	domain_close(domain);
}

/* One of many calls: what the way to the export and back takes is known from
 * a run without any. */
static void calls(struct us *us, const char *name, uint32_t fd)
{
	struct domain *domain = start(us);

	call(us, domain, name, CALLS, fd);
	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin, none;

		call(us, domain, name, 0, fd);
		begin = now();
		call(us, domain, name, 0, fd);
		none = now();
		call(us, domain, name, CALLS, fd);
		us->samples[i] = ((now() - none) - (none - begin)) / CALLS;
	}
	turns_end(&us->turns);
	domain_close(domain);
}

static void us_exit(struct us *us)
{
	calls(us, "exit", 0);
}

static void us_write(struct us *us)
{
	calls(us, "write", 1);
}

static void us_file(struct us *us)
{
	calls(us, "write", 2);
}

static void us_clock(struct us *us)
{
	calls(us, "clock", 0);
}

static void us_random(struct us *us)
{
	calls(us, "random", 0);
}

static void us_page(struct us *us)
{
	struct domain *domain = start(us);

	call(us, domain, "grow", us->count * (TOUCHED / 16), 0);
	for (int i = 0; turns_next(&us->turns, i); i++) {
		const uint32_t at = 131072 + (uint32_t)i * TOUCHED * PAGE;
		double begin = now(), first;

		call(us, domain, "touch", at, TOUCHED);
		first = now();
		call(us, domain, "touch", at, TOUCHED);
		us->samples[i] = ((first - begin) - (now() - first)) / TOUCHED;
	}
	turns_end(&us->turns);
	domain_close(domain);
}

static void keep(struct us *us, struct domain *domain)
{
	const struct tip *from = &us->ready.snapshot.tip;
	uint8_t ids[LAYERS_MOST][LAYER_ID];
	struct tip tip = TIP_EMPTY;

	for (uint32_t i = 0; i < from->layer_count && i < LAYERS_MOST; i++)
		memcpy(ids[i], from->layers[i].head.id, LAYER_ID);
	must(us,
	     tip_compose(&us->ready.images, (const void *)ids,
			 from->layer_count, &tip, &us->err),
	     "compose");
	must(us, snapshot_take(domain, &us->ready.images, &tip, NULL, &us->err),
	     "take");
	tip_close(&tip);
}

static void us_snapshot(struct us *us)
{
	for (int i = 0; turns_next(&us->turns, i); i++) {
		struct domain *domain = start(us);
		double begin;

		call(us, domain, "touch", (uint32_t)i * 4, SAVED);
		begin = now();
		keep(us, domain);
		us->samples[i] = now() - begin;
		domain_close(domain);
	}
	turns_end(&us->turns);
}

static void us_kill(struct us *us)
{
	struct domain *domain = start(us);

	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin = now();

		domain_set_deadline(domain, (int64_t)(begin * 1e3) + BUDGET_NS);
		expect(call(us, domain, "spin", 0, 0), WASM_TRAP_deadline,
		       "spin");
		us->samples[i] = now() - begin - BUDGET_NS / 1e3;
	}
	turns_end(&us->turns);
	domain_close(domain);
}

struct reaper {
	const struct us *us;
	struct domain *domains[MOST_LIVES];
	sem_t dead, room;
};

static void *reap(void *argument)
{
	struct reaper *reaper = argument;

	for (int i = 0; i < reaper->us->count; i++) {
		sem_wait(&reaper->dead);
		domain_close(reaper->domains[i % MOST_LIVES]);
		sem_post(&reaper->room);
	}
	return NULL;
}

static void us_lives(struct us *us)
{
	static struct reaper reaper;
	double begin = now(), rate;
	pthread_t thread;

	reaper.us = us;
	sem_init(&reaper.dead, 0, 0);
	sem_init(&reaper.room, 0, MOST_LIVES);
	if (pthread_create(&thread, NULL, reap, &reaper) != 0)
		exit(111);
	for (int i = 0; i < us->count; i++) {
		sem_wait(&reaper.room);
		reaper.domains[i % MOST_LIVES] = start(us);
		run(us, reaper.domains[i % MOST_LIVES], 1);
		sem_post(&reaper.dead);
	}
	pthread_join(thread, NULL);
	rate = us->count / (now() - begin) * 1e6;
	turns_say(&rate, 1);
}

/* ---- memory --------------------------------------------------------------- */

static double own_pages(struct us *us, const struct domain *domain)
{
	double pages = 0;

	for (uint32_t i = 0; i < domain->space.region_count; i++) {
		const struct space_region *region = &domain->space.regions[i];
		auto_ranges struct ranges own = { 0 };

		must(us,
		     scan_own(us->pagemap, region->at, region->open,
			      SCAN_PRIVATE, &own, &us->err),
		     "scan");
		for (size_t k = 0; k < own.count; k++) {
			pages += own.range[k].bytes / PAGE;
			if (getenv("DOMAIN_US_PAGES"))
				fprintf(stderr, "%u %llx %llu\n", i,
					(unsigned long long)own.range[k].offset,
					(unsigned long long)own.range[k].bytes /
						PAGE);
		}
	}
	return pages;
}

static void us_own(struct us *us)
{
	struct domain *domain = start(us), *other = start(us);
	double pages[3];

	pages[0] = own_pages(us, domain);
	run(us, domain, 1);
	pages[1] = own_pages(us, domain);
	call(us, other, "touch", 0, RENEW_PAGES);
	pages[2] = own_pages(us, other);
	turns_say(pages, 3);
	domain_close(domain);
	domain_close(other);
}

/* Says a word, and waits to be told to go on. */
static void wait_here(const char *word)
{
	char byte;

	puts(word);
	fflush(stdout);
	if (read(0, &byte, 1) != 1)
		exit(111);
}

static void us_idle(struct us *us)
{
	struct domain **domains = calloc((size_t)us->count, sizeof(*domains));

	if (!domains)
		exit(111);
	memset(domains, 1, (size_t)us->count * sizeof(*domains));
	wait_here("open");
	for (int i = 0; i < us->count; i++) {
		domains[i] = start(us);
		run(us, domains[i], 1);
	}
	for (int i = 0; turns_next(&us->turns, i); i++) {
		double begin = now();

		run(us, domains[i], 2);
		us->samples[i] = now() - begin;
	}
	for (int i = 0; i < us->count; i++)
		domain_close(domains[i]);
	free(domains);
}

/* Of all mappings that begin in the range. */
static double kb_in(const uint8_t *at, uint64_t bytes)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long from = 0, to = 0;
	char line[512];
	double found = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			continue;
		if (from - (unsigned long)at < bytes &&
		    strncmp(line, "Pss:", 4) == 0)
			found += atof(line + 4);
	}
	if (file)
		fclose(file);
	return found;
}

static void read_all(const uint8_t *at, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += PAGE)
		(void)*(const volatile uint8_t *)(at + i);
}

static uint8_t *copy(const struct domain_code *code)
{
	uint8_t *at = mmap(NULL, code->len + PAGE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* A page stands between it and the next one. */
	if (at == MAP_FAILED ||
	    mprotect(at, code->len, PROT_READ | PROT_WRITE) < 0)
		exit(111);
	madvise(at, code->len, MADV_NOHUGEPAGE);
	memcpy(at, code->image, code->len);
	return at;
}

/* What the domains of this process have of the code, when all is in use. */
static void codes(struct us *us, bool is_private)
{
	struct domain_code *code = &us->program.code;
	const uint8_t *image = code->image;
	double sums[2] = { (double)code->len, 0 };
	uint8_t **copies = calloc((size_t)us->count, sizeof(*copies));

	for (int i = 0; i < us->count && copies; i++) {
		if (is_private)
			code->image = copies[i] = copy(code);
		read_all(code->image, code->len);
		run(us, start(us), 1);
	}
	wait_here("ready");
	for (int i = 0; i < us->count && is_private; i++)
		sums[1] += kb_in(copies[i], code->len);
	if (!is_private)
		sums[1] = kb_in(image, code->len);
	turns_say(sums, 2);
	wait_here("told");
	code->image = image;
	free(copies);
}

static void us_shared(struct us *us)
{
	codes(us, false);
}

static void us_private(struct us *us)
{
	codes(us, true);
}

/* ---- before --------------------------------------------------------------- */

static void large_text(struct buf *text)
{
	buf_text(text, "(module (memory (export \"memory\") 2)"
		       " (func (export \"_start\") (i32.store (i32.const 64)"
		       "  (i32.add (i32.load (i32.const 64))"
		       "   (i32.const 42))))");
	for (int i = 0; i < FUNCTIONS; i++) {
		buf_format(text, "(func (export \"f%d\") (param i32)", i);
		for (int k = 0; k < STATEMENTS; k++)
			buf_format(text,
				   "(i32.store (local.get 0) (i32.rem_s"
				   "(i32.load (local.get 0))(i32.const %d)))",
				   i * STATEMENTS + k + 3);
		buf_text(text, ")");
	}
	buf_text(text, ")");
}

static void us_open(struct us *us, bool is_large)
{
	static const struct cache_options cache;
	auto_buf struct buf text = { 0 }, bytes = { 0 };
	struct wasm_module *module;
	struct vm_options vm = { .cache = &cache };
	struct wasi_options wasi = { .stdio = { -1, -1, -1 } };
	char *folder = ready_folder(&cache);

	must(us, ground_open(&us->ground, true, &us->err), "KVM");
	must(us, kvm_sentinel_open(&us->ground.kvm, &us->sentinel, &us->err),
	     "sentinel");
	vm.code.without_features = jit_features() & ~us->ground.features;
	must(us, vm_init(&us->vm, &vm, &us->err), "engine");
	wasi.stdio[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	wasi.stdio[2] = memfd_create("file", MFD_CLOEXEC);
	must(us, wasi_open(&us->wasi, &wasi, &us->err), "WASI");
	if (is_large)
		large_text(&text);
	else
		buf_text(&text, module_text);
	must(us,
	     wat_to_binary("module", buf_string(&text), text.len, &bytes,
			   &us->err),
	     "module");
	must(us, vm_load(&us->vm, bytes.data, bytes.len, &module, &us->err),
	     "module");
	must(us, program_open(&us->program, &us->vm, module, &us->err),
	     "program");
	must(us,
	     ready_open(&us->ready,
			&(struct domain_options){ .ground = &us->ground },
			&us->program, folder, &us->err),
	     "cache");
	free(folder);
	domain_close(start(us));
	if (!us->ready.has_snapshot) {
		fprintf(stderr, "domain_us: nothing is kept: %s\n",
			us->ready.why);
		exit(111);
	}
}

static void us_close(struct us *us)
{
	ready_close(&us->ready);
	program_close(&us->program);
	vm_fini(&us->vm);
	wasi_close(us->wasi);
	kvm_sentinel_close(&us->sentinel);
	ground_close(&us->ground);
	free(us->samples);
}

static const struct {
	const char *name;
	void (*run)(struct us *us);
	bool is_large;
} verbs[] = {
	{ "create", us_create, false },	  { "start", us_start, false },
	{ "destroy", us_destroy, false }, { "call", us_call, false },
	{ "reset", us_reset, false },	  { "renew", us_renew, false },
	{ "bind", us_bind, false },	  { "exit", us_exit, false },
	{ "write", us_write, false },	  { "file", us_file, false },
	{ "clock", us_clock, false },	  { "random", us_random, false },
	{ "page", us_page, false },	  { "snapshot", us_snapshot, false },
	{ "kill", us_kill, false },	  { "lives", us_lives, false },
	{ "own", us_own, false },	  { "idle", us_idle, false },
	{ "shared", us_shared, true },	  { "private", us_private, true },
};
enum { VERBS = sizeof(verbs) / sizeof(*verbs) };

int main(int argc, char **argv)
{
	static struct us us;

	us.count = argc == 3 || argc == 4 ? atoi(argv[2]) : 0;
	us.turns.count = us.count;
	us.turns.in_turns = argc == 4;
	us.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	us.samples = us.turns.samples =
		calloc((size_t)us.count + 1, sizeof(double));
	for (int i = 0; i < VERBS && us.count > 0 && us.samples; i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		us_open(&us, verbs[i].is_large);
		verbs[i].run(&us);
		us_close(&us);
		return 0;
	}
	fprintf(stderr, "usage: domain_us WHAT COUNT [turns]\n");
	return 100;
}
