/* SPDX-License-Identifier: Apache-2.0 */
/* domains MODULE CACHE [interp]: domains of one program in this process, for
 * tests/claims/domain.py, which looks at this process from outside.  Lines of
 * words come in, a line goes out for each:
 *
 *	new			ID MICROSECONDS BELLS
 *	boot			the same, without anything kept
 *	call ID NAME [A [B]]	RESULT MICROSECONDS
 *	more ID FILE NAME [A]	RESULT MICROSECONDS: another program in it
 *	again ID		MICROSECONDS: its _start in one instance more
 *	reset ID		MICROSECONDS
 *	counts ID		BELLS WASI TRAPS KICKS
 *	where ID		ADDRESS of its first memory in this process
 *	close ID		MICROSECONDS
 *
 * What fails is "failed: ..."; a trap is "trap NUMBER".  "domains layout"
 * prints, as JSON, where things are. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include "domain/ready.h"
#include "jit/jit.h"
#include "vm/vm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 128, LIVES_S = 120 };

struct loaded {
	struct vm vm;
	struct buf bytes;
	struct program program;
};

static struct domains {
	struct cache_options cache;
	struct ground ground;
	struct domain_options options;
	enum vm_via via;
	struct loaded loaded;
	struct ready ready;
	struct wasi *wasi;
	struct domain *all[MOST];
	int count, pagemap;
} it;

static int load(struct loaded *to, const char *path, struct err *err)
{
	const struct vm_options options = {
		.cache = &it.cache,
		.code = { .via = it.via,
			  .without_features =
				  jit_features() & ~it.ground.features },
	};
	struct wasm_module *module;
	int r = file_read(path, &to->bytes, 1 << 26, err);

	if (r >= 0)
		r = vm_init(&to->vm, &options, err);
	if (r >= 0)
		r = vm_load(&to->vm, to->bytes.data, to->bytes.len, &module,
			    err);
	return r < 0 ? r : program_open(&to->program, &to->vm, module, err);
}

static int begin(const char *path, struct err *err)
{
	const struct wasi_options wasi = { .stdio = { -1, -1, -1 } };
	auto_free char *folder = ready_folder(&it.cache);
	int r = ground_open(&it.ground, false, err);

	it.options.ground = &it.ground;
	it.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (r >= 0)
		r = wasi_open(&it.wasi, &wasi, err);
	if (r >= 0)
		r = load(&it.loaded, path, err);
	return r < 0 ? r
		     : ready_open(&it.ready, &it.options, &it.loaded.program,
				  folder, err);
}

static int64_t until(void)
{
	return (int64_t)clock_ns() + LIVES_S * INT64_C(1000000000);
}

static uint64_t us_since(uint64_t from)
{
	return (clock_ns() - from) / 1000;
}

/* ---- orders --------------------------------------------------------------- */

struct order {
	struct domain *domain;
	char *words[6];
	int count;
	struct err err;
	uint64_t began;
};

static int made(struct order *order, struct domain *domain, int r)
{
	if (r < 0)
		return r;
	it.all[it.count] = domain;
	printf("%d %llu %llu\n", it.count++,
	       (unsigned long long)us_since(order->began),
	       (unsigned long long)domain->counts.bells);
	return 0;
}

static int do_new(struct order *order)
{
	struct domain_outcome outcome;
	struct domain *domain;
	int r;

	if (it.count == MOST)
		return err_set(&order->err, -ENOSPC, "too many");
	r = ready_start(&it.ready, it.wasi, until(), &domain, &outcome,
			&order->err);
	return made(order, domain, r);
}

static int do_boot(struct order *order)
{
	struct domain_outcome outcome;
	struct domain *domain;
	uint32_t module, instance;
	int r;

	if (it.count == MOST)
		return err_set(&order->err, -ENOSPC, "too many");
	r = domain_open(&domain, &it.options, &order->err);
	if (r < 0)
		return r;
	domain_set_wasi(domain, it.wasi);
	domain_set_deadline(domain, until());
	r = domain_load(domain, &it.loaded.program.code, &module, &order->err);
	if (r >= 0)
		r = domain_instantiate(domain, module, &instance, &outcome,
				       &order->err);
	return made(order, domain, r);
}

/* The words from "first" on are the name and numbers. */
static int call(struct order *order, uint32_t instance, int first)
{
	const char *name = order->words[first];
	union wasm_value values[2] = { 0 };
	static struct domain_values results;
	struct domain_outcome outcome;
	uint32_t count = 0;
	int r;

	for (int i = first + 1; i < order->count && count < 2; i++)
		values[count++].i64 = strtoull(order->words[i], NULL, 0);
	r = domain_call(order->domain, instance, name, strlen(name), values,
			count, &results, &outcome, &order->err);
	if (r < 0)
		return r;
	if (outcome.trap)
		printf("trap %d\n", outcome.trap);
	else
		printf("%u %llu\n", results.count ? results.values[0].i32 : 0,
		       (unsigned long long)us_since(order->began));
	return 0;
}

static int do_call(struct order *order)
{
	return call(order, 0, 2);
}

static int do_more(struct order *order)
{
	static struct loaded others[MOST];
	static int count;
	struct loaded *other = &others[count];
	struct domain_outcome outcome;
	uint32_t module, instance;
	int r;

	if (count++ == MOST)
		return err_set(&order->err, -ENOSPC, "too many");
	r = load(other, order->words[2], &order->err);
	order->began = clock_ns();
	if (r >= 0)
		r = domain_load(order->domain, &other->program.code, &module,
				&order->err);
	if (r >= 0)
		r = domain_instantiate(order->domain, module, &instance,
				       &outcome, &order->err);
	return r < 0 ? r : call(order, instance, 3);
}

static int do_again(struct order *order)
{
	struct domain_outcome outcome;
	int r = ready_run_again(&it.ready, order->domain, &outcome,
				&order->err);

	if (r >= 0 && outcome.trap)
		return err_set(&order->err, -EPROTO, "trap %d", outcome.trap);
	if (r >= 0)
		printf("%llu\n", (unsigned long long)us_since(order->began));
	return r;
}

static int do_reset(struct order *order)
{
	int r = ready_reset(&it.ready, order->domain, it.pagemap, it.wasi,
			    until(), &order->err);

	if (r >= 0)
		printf("%llu\n", (unsigned long long)us_since(order->began));
	return r;
}

static int do_counts(struct order *order)
{
	struct domain_counts counts;

	domain_counts(order->domain, &counts);
	printf("%llu %llu %llu %llu\n", (unsigned long long)counts.bells,
	       (unsigned long long)counts.wasi,
	       (unsigned long long)counts.traps,
	       (unsigned long long)counts.kicks);
	return 0;
}

static int do_where(struct order *order)
{
	const struct space_region *region =
		space_window(&order->domain->space, 0);

	if (!region)
		return err_set(&order->err, -ENOENT, "a memory");
	printf("%llx\n", (unsigned long long)(uintptr_t)region->at);
	return 0;
}

static int do_close(struct order *order)
{
	int id = atoi(order->words[1]);

	domain_close(order->domain);
	it.all[id] = NULL;
	printf("%llu\n", (unsigned long long)us_since(order->began));
	return 0;
}

static const struct {
	const char *name;
	int words; /* at least */
	int (*does)(struct order *order);
} orders[] = {
	{ "new", 1, do_new },	    { "boot", 1, do_boot },
	{ "call", 3, do_call },	    { "more", 4, do_more },
	{ "again", 2, do_again },   { "reset", 2, do_reset },
	{ "counts", 2, do_counts }, { "where", 2, do_where },
	{ "close", 2, do_close },
};

static int obey(struct order *order)
{
	int id = order->count > 1 ? atoi(order->words[1]) : -1;

	order->began = clock_ns();
	if (id >= 0 && id < MOST)
		order->domain = it.all[id];
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		if (strcmp(orders[i].name, order->words[0]) == 0 &&
		    order->count >= orders[i].words &&
		    (order->count == 1 || order->domain))
			return orders[i].does(order);
	return err_set(&order->err, -EINVAL, "no such order");
}

static void read_orders(void)
{
	char line[1024], *at;

	while (fgets(line, sizeof line, stdin)) {
		struct order order = { 0 };

		for (at = strtok(line, " \n"); at && order.count < 6;
		     at = strtok(NULL, " \n"))
			order.words[order.count++] = at;
		if (order.count && obey(&order) < 0)
			printf("failed: %s\n", order.err.text);
		fflush(stdout);
	}
}

/* ---- layout --------------------------------------------------------------- */

static void tell(const char *name, uint64_t value, const char *behind)
{
	printf("\"%s\": %llu%s", name, (unsigned long long)value, behind);
}

static void tell_layout(void)
{
	printf("{");
	tell("va", GUEST_VA, ", ");
	tell("magic", GUEST_MAGIC, ", ");
	tell("tables", GUEST_TABLES_AT, ", ");
	tell("descriptors", GUEST_DESCRIPTORS_AT, ", ");
	tell("call", GUEST_CALL_AT, ", ");
	tell("image", GUEST_IMAGE_AT, ", ");
	tell("bell", GUEST_BELL_VA, ", ");
	tell("heap", GUEST_HEAP_VA, ", ");
	tell("code", GUEST_CODE_VA, ", ");
	tell("memory", GUEST_MEMORY_VA, ", ");
	tell("port", GUEST_PORT, ", ");
	tell("generation", offsetof(struct guest_call, generation), "}\n");
}

int main(int argc, char **argv)
{
	struct err err = { 0 };

	if (argc == 2 && strcmp(argv[1], "layout") == 0) {
		tell_layout();
		return 0;
	}
	if (argc < 3) {
		fprintf(stderr, "domains MODULE CACHE [interp]\n");
		return 100;
	}
	it.cache.place = argv[2];
	it.via = argc > 3 ? VM_INTERPRETED : VM_AUTO;
	if (begin(argv[1], &err) < 0) {
		printf("failed: %s\n", err.text);
		return 1;
	}
	printf("%s\n", it.ground.has_kvm ? "kvm" : "process");
	fflush(stdout);
	read_orders();
	for (int i = 0; i < it.count; i++)
		domain_close(it.all[i]);
	ready_close(&it.ready);
	wasi_close(it.wasi);
	ground_close(&it.ground);
	return 0;
}
