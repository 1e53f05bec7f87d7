/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that mean ill: machine code of a test's own in a domain, at ring 3,
 * in place of what the guest's image would do.
 *
 *	CODE(hostile_nop, "nop\n" RING);
 *	hostile_open(&it, &ground, &options, &err);
 *	hostile_put(&it, hostile_nop, CODE_BYTES(hostile_nop));
 *	hostile_once(&it, ns, &stop);		the CPU alone, to its next stop
 *	hostile_run(&it, ns, &err);		the domain's loop, to a DONE
 *
 * The code begins with rsp at the stack's end, r15 as RING wants it and all
 * else in "registers".  Where a domain is still alive it can be sent again. */
#pragma once
#include "base/clock.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CODE(name, text)                                             \
	extern const uint8_t name[], name##_end[];                   \
	__asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name \
		"_end:\n.popsection\n" /* a label each */)
#define CODE_BYTES(name) ((size_t)(name##_end - name))

/* Of brood/guest_abi.h, for assembly. */
#define CALL_VA	    "0x200000a10000"
#define DATA_VA	    "0x200000a11000"
#define BELL_VA	    "0x200000a40000"
#define CALL_BUSY   "176"
#define CALL_BELL   "184"
#define CALL_WORDS  "192"
#define CALL_ANSWER "304"
_Static_assert(GUEST_CALL_VA == 0x200000a10000 &&
		       GUEST_DATA_VA == 0x200000a11000 &&
		       GUEST_BELL_VA == 0x200000a40000 &&
		       offsetof(struct guest_call, stopped.is_busy) == 176 &&
		       offsetof(struct guest_call, bell) == 184 &&
		       offsetof(struct guest_call, words) == 192 &&
		       offsetof(struct guest_call, answer) == 304,
	       "assembly");

/* By the port, or where that does not work by a store. */
#define RING                                \
	"test %r15d, %r15d\njnz 90f\n"      \
	"out %al, $0x40\njmp 91f\n"         \
	"90: movabs %eax, " BELL_VA "\n91:" \
	"\n"

enum { HOSTILE_CODE = 1 << 16 };

struct hostile {
	struct domain *domain;
	uint8_t *code; /* HOSTILE_CODE bytes, seen by the guest at "at" */
	uint64_t at;
	struct cpu_registers registers;
};

static inline uint64_t hostile_stack(void)
{
	return GUEST_VA + GUEST_STACK_AT + GUEST_STACK_BYTES;
}

/* What the next run begins with. */
static inline void hostile_reset(struct hostile *it)
{
	it->registers = (struct cpu_registers){ .rip = it->at, .flags = 2 };
	it->registers.general[4] = hostile_stack() - 64;
	it->registers.general[15] =
		space_call(&it->domain->space)->bell_is_store;
}

static inline void hostile_close(struct hostile *it)
{
	domain_close(it->domain);
	if (it->code)
		munmap(it->code, HOSTILE_CODE);
	*it = (struct hostile){ 0 };
}

/* Into a domain that there is; on failure it stays the caller's. */
static inline int hostile_enter(struct hostile *it, struct domain *domain,
				struct err *err)
{
	*it = (struct hostile){ .domain = domain };
	it->code = mmap(NULL, HOSTILE_CODE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (it->code == MAP_FAILED)
		abort();
	if (space_show_code(&domain->space, it->code, HOSTILE_CODE, &it->at,
			    err) < 0) {
		munmap(it->code, HOSTILE_CODE);
		*it = (struct hostile){ 0 };
		return -1;
	}
	hostile_reset(it);
	return 0;
}

static inline int hostile_open(struct hostile *it, struct ground *ground,
			       const struct domain_options *options,
			       struct err *err)
{
	struct domain_options own =
		options ? *options : (struct domain_options){ 0 };
	struct domain *domain;
	int r;

	*it = (struct hostile){ 0 };
	own.ground = ground;
	r = domain_open(&domain, &own, err);
	if (r < 0)
		return r;
	r = hostile_enter(it, domain, err);
	if (r < 0)
		domain_close(domain);
	return r < 0 ? err->code : 0;
}

static inline void hostile_put(struct hostile *it, const uint8_t *code,
			       size_t len)
{
	memcpy(it->code, code, len);
}

/* One that has been broken by its guest is as good as new for a test, unless
 * its CPU is. */
static inline void hostile_begin(struct hostile *it, int64_t within_ns)
{
	struct guest_call *page = space_call(&it->domain->space);

	it->domain->is_broken = false;
	page->stopped.is_busy = 0;
	page->ended = 0;
	page->bell = GUEST_BELL_DONE;
	domain_set_deadline(it->domain,
			    within_ns ? (int64_t)clock_ns() + within_ns : 0);
	it->domain->cpu->kind->go(it->domain->cpu, &it->registers);
}

static inline void hostile_once(struct hostile *it, int64_t within_ns,
				struct cpu_stop *stop)
{
	struct domain *domain = it->domain;

	hostile_begin(it, within_ns);
	if (domain_timer_set(domain, DOMAIN_TIMER_DEADLINE, domain->deadline_ns,
			     NULL) < 0)
		abort();
	do {
		*stop = (struct cpu_stop){ 0 };
		domain->cpu->kind->run(domain->cpu, stop);
	} while (stop->event == CPU_KICKED && !domain_ended(domain));
	domain_timer_set(domain, DOMAIN_TIMER_DEADLINE, 0, NULL);
}

static inline int hostile_run(struct hostile *it, int64_t within_ns,
			      struct err *err)
{
	hostile_begin(it, within_ns);
	return domain_run(it->domain, err);
}

/* ---- what is held ----------------------------------------------------------
 */

struct held {
	unsigned fds, cpus;
	uint64_t bytes; /* of addresses */
};

static inline struct held held_now(void)
{
	struct held held = { 0 };
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long long from, to;

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx", &from, &to) == 2)
			held.bytes += to - from;
		held.cpus += strstr(line, "kvm-vcpu") != NULL;
	}
	if (maps)
		fclose(maps);
	for (int fd = 0; fd < 4096; fd++)
		held.fds += fcntl(fd, F_GETFD) >= 0;
	return held;
}

/* A domain reserves more than 4 GiB; what malloc keeps does not count. */
static inline bool held_is(const struct held *before)
{
	struct held now = held_now();

	if (now.fds == before->fds && now.cpus == before->cpus &&
	    now.bytes < before->bytes + (UINT64_C(1) << 30))
		return true;
	printf("# %u descriptors, %u CPUs, %llu bytes; were %u, %u, %llu\n",
	       now.fds, now.cpus, (unsigned long long)now.bytes, before->fds,
	       before->cpus, (unsigned long long)before->bytes);
	return false;
}
