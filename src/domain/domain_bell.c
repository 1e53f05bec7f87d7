/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's wishes.  Its words are copied before they are looked at; what
 * cannot be had is an answer, what breaks a rule ends the domain.
 *
 * CLAIM 3.7 3.8 */
#include "base/clock.h"
#include "brood/wasi_abi.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

/* Random bytes of a fresh domain: few ask for more than a seed. */
enum { RANDOM_FIRST = 64 };

struct bell {
	struct domain *domain;
	struct guest_call *page;
	uint64_t words[GUEST_WORDS];
};

/* The guest has been told; its word alone would not do. */
static bool bell_may_have(const struct bell *bell, uint64_t bytes)
{
	uint64_t most = bell->domain->options.memory_bytes;

	return !most || bytes <= most;
}

static int bell_memory_make(struct bell *bell, struct err *err)
{
	struct space *space = &bell->domain->space;
	uint64_t bytes = bell->words[0], most = bell->words[1];
	int region = -1;

	(void)err;
	if (bell_may_have(bell, bytes))
		region = space_add(space, most > bytes ? most : bytes, NULL);
	if (region >= 0 &&
	    space_open(space, (uint32_t)region, bytes, NULL) < 0) {
		space_drop_last(space);
		region = -1;
	}
	bell->page->answer = region < 0 ? -1 : region - SPACE_WINDOWS;
	return 0;
}

static int bell_memory_grow(struct bell *bell, struct err *err)
{
	struct space *space = &bell->domain->space;
	const struct space_region *region = space_window(space, bell->words[0]);

	if (!region)
		return domain_break(bell->domain, err,
				    "it names a memory that is not there");
	bell->page->answer =
		!bell_may_have(bell, bell->words[1]) ||
				space_open(space,
					   (uint32_t)(region - space->regions),
					   bell->words[1], NULL) < 0
			? -1
			: 0;
	return 0;
}

/* Its addresses are not given out again; its pages go. */
static int bell_memory_drop(struct bell *bell, struct err *err)
{
	struct space_region *region =
		space_window(&bell->domain->space, bell->words[0]);

	if (!region)
		return domain_break(bell->domain, err,
				    "it names a memory that is not there");
	region->is_dropped = true;
	madvise(region->at, region->open, MADV_DONTNEED);
	bell->page->answer = 0;
	return 0;
}

static int bell_heap(struct bell *bell, struct err *err)
{
	uint64_t bytes = bell->words[0];

	(void)err;
	bell->page->answer =
		bytes > GUEST_HEAP_MOST ||
				space_open(&bell->domain->space, SPACE_SYSTEM,
					   GUEST_SYSTEM_BYTES + bytes, NULL) < 0
			? -1
			: 0;
	return 0;
}

static void wasi_arguments(const struct bell *bell, union wasm_value *values)
{
	for (int i = 0; i + 3 < GUEST_WORDS; i++)
		values[i] = (union wasm_value){ .words = { bell->words[i + 3],
							   0 } };
}

/* What the next calls of this kind need not ring for. */
static void wasi_help(struct domain *domain, uint64_t number)
{
	if (number == WASI_NUMBER_fd_write)
		domain_note_write(domain);
	else if (number == WASI_NUMBER_clock_time_get)
		domain_put_clock(domain);
	else if (number != WASI_NUMBER_random_get)
		domain_hold_no_writes(domain);
}

static int bell_wasi(struct bell *bell, struct err *err)
{
	struct domain *domain = bell->domain;
	const struct space_region *region =
		space_window(&domain->space, bell->words[2]);
	union wasm_value arguments[GUEST_WORDS];
	struct wasi_caller caller = { .deadline_ns = domain->deadline_ns,
				      .ended = domain_ended,
				      .env = domain };

	if (!region || region->is_dropped)
		return domain_break(domain, err,
				    "it names a memory that is not there");
	caller.base = region->at;
	caller.bytes = region->bytes;
	domain->counts.wasi++;
	if (bell->words[0] == WASI_NUMBER_fd_write) {
		bell->page->answer =
			domain_deferred(domain, (uint32_t)bell->words[3]);
		if (bell->page->answer)
			return 0;
	}
	wasi_help(domain, bell->words[0]);
	wasi_arguments(bell, arguments);
	bell->page->answer =
		domain->wasi && bell->words[0] < WASI_FUNCTIONS
			? wasi_call_number(domain->wasi, &caller,
					   (unsigned)bell->words[0],
					   bell->words[1] != 0, arguments)
			: WASI_ENOSYS;
	bell->page->more = (uint64_t)caller.exit_code;
	return 0;
}

static int bell_host(struct bell *bell, struct err *err)
{
	struct domain *domain = bell->domain;
	const struct space_region *region =
		space_window(&domain->space, bell->words[1]);
	struct domain_asked asked = { .service = bell->words[0],
				      .ended = domain_ended,
				      .domain = domain };

	if (!region || region->is_dropped)
		return domain_break(domain, err,
				    "it names a memory that is not there");
	asked.base = region->at;
	asked.bytes = region->bytes;
	memcpy(asked.words, bell->words + 2, sizeof(asked.words));
	/* What the guest gets is an errno, or a number that is none. */
	bell->page->answer = domain->serve
				     ? domain->serve(domain->serve_env, &asked)
				     : -WASI_ENOSYS;
	if (bell->page->answer < 0)
		bell->page->answer = (uint32_t)bell->page->answer;
	return 0;
}

bool domain_asks_input(struct domain *domain)
{
	struct bell bell = { .domain = domain,
			     .page = space_call(&domain->space) };
	union wasm_value arguments[GUEST_WORDS];
	struct wasi_caller caller = { .deadline_ns = domain->deadline_ns,
				      .ended = domain_ended,
				      .env = domain };
	const struct space_region *region;

	memcpy(bell.words, bell.page->words, sizeof(bell.words));
	region = space_window(&domain->space, bell.words[2]);
	if (!region || region->is_dropped)
		return false;
	caller.base = region->at;
	caller.bytes = region->bytes;
	wasi_arguments(&bell, arguments);
	return wasi_asks_input(domain->wasi, &caller, (unsigned)bell.words[0],
			       bell.words[1] != 0, arguments) &&
	       !wasi_has_input(domain->wasi, &caller);
}

/* Who waits for what nobody will wake him from waits for his deadline. */
static int bell_sleep(struct bell *bell, struct err *err)
{
	struct domain *domain = bell->domain;
	int64_t wish = (int64_t)bell->words[0], now = (int64_t)clock_ns(),
		until = INT64_MAX;
	struct timespec at;

	(void)err;
	if (wish >= 0 && wish < INT64_MAX - now)
		until = now + wish;
	if (domain->deadline_ns && domain->deadline_ns < until)
		until = domain->deadline_ns;
	at = (struct timespec){ until / 1000000000, until % 1000000000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) ==
		       EINTR &&
	       !domain_ended(domain))
		;
	bell->page->ended = (uint32_t)domain_ended(domain);
	bell->page->answer = 0;
	return 0;
}

static int bell_clock(struct bell *bell, struct err *err)
{
	(void)err;
	domain_put_clock(bell->domain);
	bell->page->answer = 0;
	return 0;
}

static int bell_random(struct bell *bell, struct err *err)
{
	(void)err;
	domain_put_random(bell->domain, GUEST_RANDOM);
	bell->page->answer = 0;
	return 0;
}

static int bell_ready(struct bell *bell, struct err *err)
{
	(void)err;
	bell->page->answer = 0;
	return 0;
}

static int bell_panic(struct bell *bell, struct err *err)
{
	const char *message = bell->page->message;

	return domain_break(bell->domain, err, "%.*s",
			    (int)sizeof(bell->page->message),
			    *message ? message : "it gives up");
}

typedef int bell_function(struct bell *bell, struct err *err);

int domain_answer(struct domain *domain, uint32_t number, struct err *err)
{
	static bell_function *const bells[GUEST_BELLS] = {
		[GUEST_BELL_WASI] = bell_wasi,
		[GUEST_BELL_MEMORY_MAKE] = bell_memory_make,
		[GUEST_BELL_MEMORY_GROW] = bell_memory_grow,
		[GUEST_BELL_MEMORY_DROP] = bell_memory_drop,
		[GUEST_BELL_HEAP] = bell_heap,
		[GUEST_BELL_SLEEP] = bell_sleep,
		[GUEST_BELL_CLOCK] = bell_clock,
		[GUEST_BELL_RANDOM] = bell_random,
		[GUEST_BELL_FLUSH] = bell_ready,
		[GUEST_BELL_READY] = bell_ready,
		[GUEST_BELL_HOST] = bell_host,
		[GUEST_BELL_PANIC] = bell_panic,
	};
	struct bell bell = { .domain = domain,
			     .page = space_call(&domain->space) };

	if (number >= GUEST_BELLS || !bells[number])
		return domain_break(domain, err, "it rings for nothing: %u",
				    number);
	memcpy(bell.words, bell.page->words, sizeof(bell.words));
	return bells[number](&bell, err);
}

void domain_renew(struct domain *domain)
{
	struct guest_call *page = space_call(&domain->space);

	domain_put_random(domain, RANDOM_FIRST);
	/* Never the same twice: the guest looks whether it has changed. */
	if (getrandom(&page->generation, sizeof(page->generation), 0) < 0)
		page->generation++;
	page->generation ^= clock_ns();
	/* Besides what code may use, what the CPU has: registers that the
	 * compiler leaves alone are a tenant's all the same. */
	page->features = domain->options.ground->features |
			 (domain->options.ground->facts.features &
			  (CODE_AVX | CODE_AVX512));
	page->bell_is_store = domain->options.ground->bell_is_store;
	page->fuel = domain->options.fuel;
	page->memory_bytes = domain->options.memory_bytes;
	page->stack_bytes = domain->options.stack_bytes;
	page->clock.scale = 0;
	page->ended = 0;
	page->buffered = page->ring_used = domain->ring_done = 0;
	memset(domain->deferred, 0, sizeof(domain->deferred));
}
