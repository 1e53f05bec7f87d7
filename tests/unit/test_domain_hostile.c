/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that mean ill, at ring 3 of a domain: each instruction, each wall of
 * the layout, each bell with any words, pages that change while the host looks
 * at them.  After each the host is there, a domain beside it answers, and the
 * guest has rung, has trapped, or is ended with a line that says why.
 *
 * CLAIM 3.12 */
#include "lib/hostile.h"
#include "test.h"
#include <errno.h>
#include <pthread.h>

#define MS INT64_C(1000000)

static struct ground ground;
static bool ground_is_open;
static struct err failure;
static struct hostile witness;

CODE(answer_code, "mov $42, %eax\nmovabs %eax, " DATA_VA "\n" RING);
CODE(ring_code, RING);

static bool domain_is_there(void)
{
	if (ground_is_open)
		return true;
	ground_is_open = ground_open(&ground, true, &failure) >= 0;
	if (!ground_is_open)
		return false;
	if (hostile_open(&witness, &ground, NULL, &failure) < 0) {
		test_fail(__FILE__, __LINE__, failure.text);
		exit(1);
	}
	hostile_put(&witness, answer_code, CODE_BYTES(answer_code));
	return true;
}

/* A domain that was there before all others. */
static bool witness_answers(void)
{
	volatile uint32_t *data =
		(uint32_t *)space_data(&witness.domain->space);

	*data = 0;
	return hostile_run(&witness, 0, &failure) == 0 && *data == 42;
}

static bool open_one(struct hostile *it)
{
	if (hostile_open(it, &ground, NULL, &failure) >= 0)
		return true;
	test_fail(__FILE__, __LINE__, failure.text);
	return false;
}

/* ---- instructions ----------------------------------------------------------
 */

struct sweep {
	struct hostile it;
	unsigned bells, traps, kicks, ended, runs;
};

/* Zeros behind it are operands and, from where it ends on, additions to the
 * stack; then the bell. */
static void sweep_one(struct sweep *sweep, const uint8_t *bytes, size_t len)
{
	struct hostile *it = &sweep->it;
	struct cpu_stop stop;

	memset(it->code, 0, 32);
	memcpy(it->code, bytes, len);
	memcpy(it->code + 32, ring_code, CODE_BYTES(ring_code));
	hostile_reset(it);
	for (int i = 0; i < 15; i++)
		if (i != 4)
			it->registers.general[i] = hostile_stack() - 65536;
	it->registers.general[15] =
		space_call(&it->domain->space)->bell_is_store;
	hostile_once(it, 50 * MS, &stop);
	sweep->runs++;
	switch (stop.event) {
	case CPU_BELL: sweep->bells++; break;
	case CPU_TRAP: sweep->traps++; break;
	case CPU_KICKED: sweep->kicks++; break;
	case CPU_BROKEN:
		sweep->ended++;
		CHECK(stop.why[0]);
		hostile_close(it);
		if (!open_one(it))
			exit(1);
	}
	if (sweep->runs % 64 == 0)
		CHECK(witness_answers());
}

static void sweep_end(struct sweep *sweep)
{
	printf("# %u: %u rang, %u trapped, %u stopped, %u ended\n", sweep->runs,
	       sweep->bells, sweep->traps, sweep->kicks, sweep->ended);
	CHECK(sweep->bells && sweep->traps);
	hostile_close(&sweep->it);
	CHECK(witness_answers());
}

/* One and two bytes, with each prefix, with operands in memory and not. */
TEST(each_instruction)
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0x48 };
	struct sweep sweep = { 0 };
	struct held held;

	if (!domain_is_there())
		SKIP(failure.text);
	held = held_now();
	if (!open_one(&sweep.it))
		return;
	for (int i = 0; i < 1024; i++) {
		uint8_t byte = (uint8_t)i, operand = i & 256 ? 0xc0 : 0,
			one[] = { byte, operand },
			two[] = { 0x0f, byte, operand };

		if (i < 512) {
			sweep_one(&sweep, one, sizeof one);
			sweep_one(&sweep, two, sizeof two);
		}
		for (size_t n = i / 512; n < 4; n += 2) {
			uint8_t three[] = { prefixes[n], 0x0f, byte, operand };

			sweep_one(&sweep, three, sizeof three);
		}
	}
	sweep_end(&sweep);
	CHECK(held_is(&held));
}

/* Groups in which the operand picks what the system's instruction is. */
TEST(each_instruction_of_the_system)
{
	static const uint8_t groups[] = { 0x00, 0x01, 0x20, 0x21, 0x22,
					  0x23, 0xae, 0xc7, 0x18, 0x1c };
	struct sweep sweep = { 0 };

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&sweep.it))
		return;
	for (size_t i = 0; i < sizeof groups; i++)
		for (int operand = 0; operand < 256; operand++) {
			uint8_t plain[] = { 0x0f, groups[i], (uint8_t)operand };
			uint8_t repeated[] = { 0xf3, 0x0f, groups[i],
					       (uint8_t)operand };

			sweep_one(&sweep, plain, sizeof plain);
			sweep_one(&sweep, repeated, sizeof repeated);
		}
	sweep_end(&sweep);
}

struct refused {
	const char *name;
	const uint8_t *code;
	const uint8_t *end;
};
#define REFUSED(name) { #name, refused_##name, refused_##name##_end }

CODE(refused_cli, "cli");
CODE(refused_sti, "sti");
CODE(refused_hlt, "hlt");
CODE(refused_in_vector, "in $13, %al");
CODE(refused_out_vector, "out %al, $14");
CODE(refused_out_vector_0, "out %al, $0");
CODE(refused_out_vector_31, "out %al, $31");
CODE(refused_out_before, "out %al, $0x3f");
CODE(refused_out_behind, "out %al, $0x41");
CODE(refused_out_wide, "out %ax, $0x40");
CODE(refused_out_wider, "out %eax, $0x40");
CODE(refused_out_far, "mov $0xffff, %dx\nout %al, %dx");
CODE(refused_out_limit, "mov $0x50, %dx\nout %al, %dx");
CODE(refused_lgdt, "lgdt (%rsp)");
CODE(refused_lidt, "lidt (%rsp)");
CODE(refused_lldt, "xor %eax, %eax\nlldt %ax");
CODE(refused_ltr, "mov $0x30, %eax\nltr %ax");
CODE(refused_cr0, "mov %cr0, %rax");
CODE(refused_cr3, "mov %rax, %cr3");
CODE(refused_cr4, "mov %rax, %cr4");
CODE(refused_cr8, "mov %rax, %cr8");
CODE(refused_dr0, "mov %rax, %dr0");
CODE(refused_dr7, "mov %dr7, %rax");
CODE(refused_wrmsr, "mov $0xc0000080, %ecx\nwrmsr");
CODE(refused_rdmsr, "mov $0xc0000082, %ecx\nrdmsr");
CODE(refused_clts, "clts");
CODE(refused_invd, "invd");
CODE(refused_wbinvd, "wbinvd");
CODE(refused_invlpg, "invlpg (%rsp)");
CODE(refused_swapgs, "swapgs");
CODE(refused_sysret, "sysretq");
CODE(refused_sysexit, "sysexit");
CODE(refused_monitor, "mov %rsp, %rax\nxor %ecx, %ecx\nmonitor");
CODE(refused_xsetbv, "xor %ecx, %ecx\nxsetbv");
CODE(refused_far_return, "pushq $0x8\nlea 1f(%rip), %rax\npush %rax\n"
			 "rex.W lret\nsub $16, %rsp\n1: ud2");
CODE(refused_iretq, "mov %rsp, %rax\npushq $0x10\npush %rax\npushq $2\n"
		    "pushq $0x8\nlea 1f(%rip), %rax\npush %rax\niretq\n"
		    "1: ud2");
CODE(refused_ss, "mov $0x10, %eax\nmov %eax, %ss");
CODE(refused_ds, "mov $0x8, %eax\nmov %eax, %ds\nud2");
CODE(refused_lmsw, "lmsw %ax");
CODE(refused_vmrun, "vmrun");
CODE(refused_vmlaunch, "vmlaunch");
CODE(refused_invpcid, "invpcid (%rsp), %rax");
CODE(refused_skinit, "skinit");

static const struct refused refused[] = {
	REFUSED(cli),
	REFUSED(sti),
	REFUSED(hlt),
	REFUSED(in_vector),
	REFUSED(out_vector),
	REFUSED(out_vector_0),
	REFUSED(out_vector_31),
	REFUSED(out_before),
	REFUSED(out_behind),
	REFUSED(out_wide),
	REFUSED(out_wider),
	REFUSED(out_far),
	REFUSED(out_limit),
	REFUSED(lgdt),
	REFUSED(lidt),
	REFUSED(lldt),
	REFUSED(ltr),
	REFUSED(cr0),
	REFUSED(cr3),
	REFUSED(cr4),
	REFUSED(cr8),
	REFUSED(dr0),
	REFUSED(dr7),
	REFUSED(wrmsr),
	REFUSED(rdmsr),
	REFUSED(clts),
	REFUSED(invd),
	REFUSED(wbinvd),
	REFUSED(invlpg),
	REFUSED(swapgs),
	REFUSED(sysret),
	REFUSED(sysexit),
	REFUSED(monitor),
	REFUSED(xsetbv),
	REFUSED(far_return),
	REFUSED(iretq),
	REFUSED(ss),
	REFUSED(ds),
	REFUSED(lmsw),
	REFUSED(vmrun),
	REFUSED(vmlaunch),
	REFUSED(invpcid),
	REFUSED(skinit),
};

/* A general protection fault or an invalid instruction, and in the code's own
 * page: nothing else has run. */
static void check_refused(struct hostile *it, const struct refused *one)
{
	struct cpu_stop stop;

	const size_t len = (size_t)(one->end - one->code);

	memset(it->code, 0xcc, 64);
	hostile_put(it, one->code, len);
	memcpy(it->code + len, ring_code, CODE_BYTES(ring_code));
	hostile_reset(it);
	hostile_once(it, 50 * MS, &stop);
	if (stop.event == CPU_TRAP && (stop.vector == 13 || stop.vector == 6) &&
	    stop.at.rip - it->at <= len)
		return;
	test_fail(__FILE__, __LINE__, one->name);
	printf("#   event %d, vector %u, rip +%llx: %s\n", stop.event,
	       stop.vector, (unsigned long long)(stop.at.rip - it->at),
	       stop.why);
	if (stop.event == CPU_BROKEN) {
		hostile_close(it);
		open_one(it);
	}
}

TEST(privileged)
{
	struct hostile it;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		check_refused(&it, &refused[i]);
	hostile_close(&it);
	CHECK(witness_answers());
}

/* ---- walls -----------------------------------------------------------------
 */

enum { READS = 1, WRITES = 2, RUNS = 4 };
CODE(read_code, "mov (%rbx), %cl\n" RING);
CODE(write_code, "mov (%rbx), %cl\nmov %cl, (%rbx)\n" RING);
CODE(only_write_code, "movb $0, (%rbx)\n" RING);
CODE(run_code, "jmp *%rbx\n");

/* Allowed: the bell.  Else a page fault there, or nothing at all. */
static void check_access(struct hostile *it, const char *what,
			 const uint8_t *code, size_t len, uint64_t at,
			 bool allowed)
{
	struct cpu_stop stop;

	hostile_put(it, code, len);
	hostile_reset(it);
	it->registers.general[3] = at;
	hostile_once(it, 50 * MS, &stop);
	if (allowed ? stop.event == CPU_BELL
		    : stop.event == CPU_TRAP && stop.vector == 14 &&
			      stop.address == at)
		return;
	test_fail(__FILE__, __LINE__, what);
	printf("#   %llx: event %d, vector %u, address %llx: %s\n",
	       (unsigned long long)at, stop.event, stop.vector,
	       (unsigned long long)stop.address, stop.why);
	if (stop.event == CPU_BROKEN) {
		hostile_close(it);
		open_one(it);
	}
}

static void check_place(struct hostile *it, uint64_t at, int rights)
{
	check_access(it, "read", read_code, CODE_BYTES(read_code), at,
		     rights & READS);
	if (rights & WRITES)
		check_access(it, "write", write_code, CODE_BYTES(write_code),
			     at, true);
	else
		check_access(it, "write", only_write_code,
			     CODE_BYTES(only_write_code), at, false);
	if (!(rights & RUNS))
		check_access(it, "run", run_code, CODE_BYTES(run_code), at,
			     false);
}

static void check_range(struct hostile *it, uint64_t from, uint64_t to,
			int rights)
{
	if (from == to)
		return;
	check_place(it, from, rights);
	check_place(it, to - 1, rights);
	check_place(it, from + (to - from) / 2, rights);
}

static void check_system(struct hostile *it)
{
	const uint64_t va = GUEST_VA;

	check_range(it, va, va + GUEST_TABLES_BYTES, 0);
	check_range(it, va + GUEST_DESCRIPTORS_AT,
		    va + GUEST_DOUBLE_STACK_AT + GUEST_PAGE, 0);
	check_range(it, va + GUEST_DOUBLE_STACK_AT + GUEST_PAGE,
		    va + GUEST_CALL_AT, 0);
	check_range(it, va + GUEST_CALL_AT,
		    va + GUEST_RING_AT + GUEST_RING_BYTES, READS | WRITES);
	check_range(it, va + GUEST_RING_AT + GUEST_RING_BYTES,
		    va + GUEST_STACK_AT, 0);
	check_range(it, va + GUEST_STACK_AT,
		    va + GUEST_STACK_AT + GUEST_STACK_BYTES, READS | WRITES);
	check_range(it, va + GUEST_STACK_AT + GUEST_STACK_BYTES,
		    va + GUEST_TRAP_STACK_AT, 0);
	check_range(it, va + GUEST_TRAP_STACK_AT,
		    va + GUEST_TRAP_STACK_AT + GUEST_TRAP_STACK_BYTES,
		    READS | WRITES);
	check_range(it, va + GUEST_TRAP_STACK_AT + GUEST_TRAP_STACK_BYTES,
		    va + GUEST_IMAGE_AT, 0);
}

static void check_image(struct hostile *it)
{
	const uint64_t at = GUEST_VA + GUEST_IMAGE_AT;
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);

	check_range(it, at, at + image->kernel_at, READS);
	check_range(it, at + image->kernel_at, at + image->user_at, 0);
	check_range(it, at + image->user_at, at + image->constants_at,
		    READS | RUNS);
	check_range(it, at + image->constants_at, at + image->data_at, READS);
	check_range(it, at + image->data_at, at + image->end_at,
		    READS | WRITES);
	check_range(it, at + image->end_at, GUEST_BELL_VA, 0);
}

TEST(walls)
{
	struct hostile it;
	struct space *space;
	int window;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	check_system(&it);
	check_image(&it);
	check_range(&it, GUEST_BELL_VA + GUEST_PAGE, GUEST_HEAP_VA, 0);
	space = &it.domain->space;
	check_range(&it, GUEST_HEAP_VA,
		    GUEST_HEAP_VA + space->regions[SPACE_HEAP].open,
		    READS | WRITES);
	check_range(&it, GUEST_HEAP_VA + space->regions[SPACE_HEAP].open,
		    GUEST_CODE_VA, 0);
	check_range(&it, it.at, it.at + HOSTILE_CODE, READS | RUNS);
	check_range(&it, it.at + GUEST_LARGE, GUEST_MEMORY_VA, 0);
	window = space_add(space, 1 << 20, &failure);
	CHECK(window >= 0 && space_open(space, (uint32_t)window, 3 * GUEST_PAGE,
					&failure) >= 0);
	check_range(&it, GUEST_MEMORY_VA, GUEST_MEMORY_VA + 3 * GUEST_PAGE,
		    READS | WRITES);
	check_range(&it, GUEST_MEMORY_VA + 3 * GUEST_PAGE,
		    GUEST_MEMORY_VA + GUEST_MEMORY_STRIDE, 0);
	check_place(&it, 0, 0);
	check_place(&it, GUEST_VA - 1, 0);
	check_place(&it, (UINT64_C(1) << 47) - 1, 0);
	hostile_close(&it);
	CHECK(witness_answers());
}

/* What the tables show and no memory is behind: the domain is ended. */
TEST(where_no_memory_is)
{
	static const struct {
		const uint8_t *code;
		size_t len;
		uint64_t at;
	} cases[] = {
		{ read_code, 32, GUEST_BELL_VA },
		{ read_code, 32, GUEST_BELL_VA + 4095 },
		{ only_write_code, 32, GUEST_BELL_VA },
		{ only_write_code, 32, GUEST_BELL_VA + 8 },
		{ run_code, 2, GUEST_BELL_VA },
		{ read_code, 32, GUEST_CODE_VA + HOSTILE_CODE },
		{ run_code, 2, GUEST_CODE_VA + GUEST_LARGE - 16 },
	};
	struct hostile it;

	if (!domain_is_there())
		SKIP(failure.text);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		failure = (struct err){ 0 };
		if (!open_one(&it))
			return;
		hostile_put(&it, cases[i].code, cases[i].len);
		it.registers.general[3] = cases[i].at;
		CHECK_INT(hostile_run(&it, 100 * MS, &failure), -EPROTO);
		CHECK(it.domain->is_broken && it.domain->why[0]);
		CHECK(strstr(failure.text, "the domain has ended: "));
		printf("# %s\n", failure.text);
		hostile_close(&it);
		CHECK(witness_answers());
	}
}

TEST_MAIN
