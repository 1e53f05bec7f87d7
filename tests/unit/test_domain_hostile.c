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
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

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
CODE(refused_sysexit, "sysexitl");
CODE(refused_monitor, "mov %rsp, %rax\nxor %ecx, %ecx\nmonitor");
CODE(refused_xsetbv, "xor %ecx, %ecx\nxsetbv");
CODE(refused_far_return, "pushq $0x8\nlea 1f(%rip), %rax\npush %rax\n"
			 "lretq\nsub $16, %rsp\n1: ud2");
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
	check_range(it, va + GUEST_RING_AT + GUEST_RING_BYTES, GUEST_BELL_VA,
		    0);
	check_range(it, GUEST_BELL_VA + GUEST_PAGE, va + GUEST_STACK_AT, 0);
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
	check_range(it, at + image->end_at, GUEST_HEAP_VA, 0);
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
	space = &it.domain->space;
	check_range(&it, GUEST_HEAP_VA,
		    GUEST_VA + space->regions[SPACE_SYSTEM].open,
		    READS | WRITES);
	check_range(&it, GUEST_VA + space->regions[SPACE_SYSTEM].open,
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

/* ---- flags and stacks ------------------------------------------------------
 */

CODE(bad_single_step, "pushf\norl $0x100, (%rsp)\npopf\nnop\nnop\n" RING);
CODE(bad_alignment, "pushf\norl $0x40000, (%rsp)\npopf\nmov 1(%rsp), %eax\n");
CODE(bad_stack_zero, "xor %esp, %esp\npush %rax\n");
CODE(bad_stack_kernel, "movabs $0x200000a02000, %rsp\npush %rax\n");
CODE(bad_stack_far, "movabs $0x8000000000000000, %rsp\npush %rax\n");
CODE(bad_stack_trap, "xor %esp, %esp\nud2\n");
CODE(bad_stack_far_trap, "movabs $0x8000000000000000, %rsp\nud2\n");
CODE(bad_stack_kernel_trap, "movabs $0x200000a02000, %rsp\nud2\n");
CODE(bad_breakpoint, "xor %esp, %esp\nint3\n");
CODE(bad_division, "xor %ecx, %ecx\ndiv %ecx\n");
CODE(bad_far_address, "movabs $0x8000000000000000, %rax\nmov (%rax), %al\n");
CODE(bad_far_jump, "movabs $0x8000000000000000, %rax\njmp *%rax\n");
CODE(bad_recursion, "1: call 1b\n");
CODE(bad_gate, "int $0x80\n");
CODE(bad_page_fault, "int $14\n");
CODE(bad_x87, "fninit\npushq $0\nfldcw (%rsp)\nfldz\nfld1\n"
	      "fdivp\nfwait\n" RING);
CODE(bad_simd, "pushq $0\nldmxcsr (%rsp)\nxorps %xmm0, %xmm0\n"
	       "divps %xmm0, %xmm0\n");

#define BAD(name) { #name, bad_##name, bad_##name##_end }
static const struct refused bad[] = {
	BAD(single_step),    BAD(alignment),
	BAD(stack_zero),     BAD(stack_kernel),
	BAD(stack_far),	     BAD(stack_trap),
	BAD(stack_far_trap), BAD(stack_kernel_trap),
	BAD(breakpoint),     BAD(division),
	BAD(far_address),    BAD(far_jump),
	BAD(recursion),	     BAD(gate),
	BAD(page_fault),     BAD(x87),
	BAD(simd),
};

/* By the domain's loop: it is ended, and the line says what was done. */
TEST(flags_and_stacks)
{
	struct hostile it;

	if (!domain_is_there())
		SKIP(failure.text);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		failure = (struct err){ 0 };
		if (!open_one(&it))
			return;
		hostile_put(&it, bad[i].code,
			    (size_t)(bad[i].end - bad[i].code));
		CHECK_INT(hostile_run(&it, 100 * MS, &failure), -EPROTO);
		CHECK(it.domain->is_broken && it.domain->why[0]);
		printf("# %s: %s\n", bad[i].name, it.domain->why);
		CHECK_INT(domain_command(it.domain, GUEST_COMMAND_OPEN,
					 &failure),
			  -EPROTO);
		hostile_close(&it);
		CHECK(witness_answers());
	}
}

/* ---- bells -----------------------------------------------------------------
 */

/* Rings for what is in the data, an entry after the other, up to a number of
 * all ones: the bell, then its words; the answer takes the number's place. */
CODE(script_code, "movabs $" DATA_VA ", %rbx\n"
		  "1: mov (%rbx), %eax\n"
		  "movabs $" CALL_VA ", %rbp\n"
		  "cmp $-1, %eax\n"
		  "je 3f\n"
		  "mov %eax, " CALL_BELL "(%rbp)\n"
		  "lea " CALL_WORDS "(%rbp), %rdi\n"
		  "lea 8(%rbx), %rsi\n"
		  "mov $14, %ecx\n"
		  "rep movsq\n" RING "mov " CALL_ANSWER "(%rbp), %rax\n"
		  "mov %rax, (%rbx)\n"
		  "add $120, %rbx\n"
		  "jmp 1b\n"
		  "3: movl $1, " CALL_BELL "(%rbp)\n" RING "jmp 3b\n");

struct wish {
	int64_t bell; /* then the answer */
	uint64_t words[GUEST_WORDS];
};
_Static_assert(sizeof(struct wish) == 120, "script_code");
enum { WISHES_MOST = GUEST_DATA_BYTES / sizeof(struct wish) - 1 };

static struct wish *wishes_of(struct hostile *it)
{
	return (struct wish *)space_data(&it->domain->space);
}

static int ask(struct hostile *it, const struct wish *wishes, size_t count,
	       int64_t within_ns)
{
	memcpy(wishes_of(it), wishes, count * sizeof *wishes);
	wishes_of(it)[count].bell = -1;
	hostile_put(it, script_code, CODE_BYTES(script_code));
	hostile_reset(it);
	failure = (struct err){ 0 };
	return hostile_run(it, within_ns, &failure);
}

static int64_t ask_one(struct hostile *it, struct wish wish)
{
	int r = ask(it, &wish, 1, 2000 * MS);

	return r < 0 ? r : wishes_of(it)->bell;
}

/* What cannot be had is an answer; the domain goes on. */
TEST(memory_wishes)
{
	static const uint64_t absurd[] = {
		UINT64_C(1) << 34, (UINT64_C(1) << 34) - 65535,
		UINT64_C(1) << 40, UINT64_C(1) << 63,
		UINT64_MAX,	   UINT64_MAX - 4095,
		UINT64_MAX - 4096,
	};
	struct hostile it;
	uint32_t made = 0;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_MAKE,
					      { 65536, 1 << 20 } }),
		  0);
	for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
		CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_GROW,
						      { 0, absurd[i] } }),
			  -1);
		CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_HEAP,
						      { absurd[i] } }),
			  -1);
		CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_MAKE,
						      { absurd[i] } }),
			  -1);
	}
	/* What was not to be had has taken no window. */
	CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_MAKE,
					      { 0, UINT64_MAX } }),
		  1);
	CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_DROP, { 1 } }),
		  0);
	CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_DROP, { 1 } }),
		  0);
	for (int i = 0; i < 10000; i++)
		made += ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_MAKE,
						    { 1, 65536 } }) >= 0;
	CHECK_INT(made, GUEST_MEMORIES_MOST - 2);
	CHECK(!it.domain->is_broken);
	hostile_close(&it);
	CHECK(witness_answers());
}

/* The host keeps the limit, whatever the guest's store believes. */
TEST(memory_limit)
{
	struct domain_options options = { .memory_bytes = 1 << 20 };
	struct hostile it;

	if (!domain_is_there())
		SKIP(failure.text);
	CHECK(hostile_open(&it, &ground, &options, &failure) >= 0);
	CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_MAKE,
					      { 1 << 20, 1 << 30 } }),
		  0);
	CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_GROW,
					      { 0, (1 << 20) + 1 } }),
		  -1);
	CHECK_INT(ask_one(&it, (struct wish){ GUEST_BELL_MEMORY_MAKE,
					      { (1 << 20) + 1, 0 } }),
		  -1);
	hostile_close(&it);
}

static void check_ended(struct wish wish, const char *why)
{
	struct hostile it;

	if (!open_one(&it))
		return;
	CHECK_INT(ask_one(&it, wish), -EPROTO);
	CHECK(strstr(it.domain->why, why));
	if (!strstr(it.domain->why, why))
		printf("# %s\n", it.domain->why);
	hostile_close(&it);
}

/* What breaks a rule ends the domain. */
TEST(broken_rules)
{
	static const uint64_t windows[] = { 0,		1,
					    1024,	UINT32_MAX,
					    UINT64_MAX, UINT64_MAX - 1 };

	if (!domain_is_there())
		SKIP(failure.text);
	for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
		check_ended((struct wish){ GUEST_BELL_WASI,
					   { 1, 0, windows[i] } },
			    "names a memory");
		check_ended((struct wish){ GUEST_BELL_MEMORY_GROW,
					   { windows[i], 65536 } },
			    "names a memory");
		check_ended((struct wish){ GUEST_BELL_MEMORY_DROP,
					   { windows[i] } },
			    "names a memory");
	}
	check_ended((struct wish){ .bell = GUEST_BELL_NONE }, "nothing: 0");
	check_ended((struct wish){ GUEST_BELL_HOST, { 0, UINT64_MAX } },
		    "names a memory");
	check_ended((struct wish){ .bell = GUEST_BELLS }, "rings for");
	check_ended((struct wish){ .bell = 0x80000000 }, "rings for");
	check_ended((struct wish){ .bell = 0xfffffffe }, "rings for");
	CHECK(witness_answers());
}

/* A text that would draw on a terminal. */
TEST(last_words)
{
	struct hostile it;
	struct guest_call *page;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	page = space_call(&it.domain->space);
	memset(page->message, 'x', sizeof page->message);
	memcpy(page->message, "a\nb\033[2J\302\233c", 11);
	CHECK_INT(ask_one(&it, (struct wish){ .bell = GUEST_BELL_PANIC }),
		  -EPROTO);
	CHECK(memcmp(it.domain->why, "a?b?[2J?", 8) == 0);
	CHECK(strlen(it.domain->why) < sizeof it.domain->why);
	for (const char *at = failure.text; *at; at++)
		CHECK((unsigned char)*at >= ' ');
	hostile_close(&it);
}

/* Sleep that nobody ends but the deadline, again and again. */
TEST(sleeps_for_ever)
{
	struct wish wishes[] = { { GUEST_BELL_SLEEP, { UINT64_MAX } },
				 { GUEST_BELL_SLEEP, { INT64_MAX } },
				 { GUEST_BELL_SLEEP, { INT64_MAX - 1 } } };
	struct hostile it;
	int64_t begin = (int64_t)clock_ns();

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	CHECK_INT(ask(&it, wishes, 3, 20 * MS), 0);
	CHECK(space_call(&it.domain->space)->ended == WASM_TRAP_deadline);
	CHECK((int64_t)clock_ns() - begin < 5000 * MS);
	hostile_close(&it);
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t odd_word(uint64_t *state)
{
	uint64_t word = next(state);

	switch (next(state) % 8) {
	case 0: return word % 4;
	case 1: return word % 64;
	case 2: return word % 65536;
	case 3: return 65536 - word % 32;
	case 4: return word % (1 << 20);
	case 5: return UINT32_MAX - word % 16;
	case 6: return UINT64_MAX - word % 8192;
	}
	return word;
}

/* Mostly what goes on, WASI above all, so that much is asked before the end;
 * at times anything. */
static struct wish odd_wish(uint64_t *state)
{
	static const uint8_t bells[] = { GUEST_BELL_MEMORY_MAKE,
					 GUEST_BELL_MEMORY_GROW,
					 GUEST_BELL_HEAP, GUEST_BELL_SLEEP,
					 GUEST_BELL_READY };
	struct wish wish = { .bell = GUEST_BELL_WASI };

	for (int n = 0; n < GUEST_WORDS; n++)
		wish.words[n] = odd_word(state);
	if (next(state) % 512 == 0) {
		wish.bell = (int64_t)(next(state) % (GUEST_BELLS + 2));
	} else if (next(state) % 8 == 0) {
		wish.bell = bells[next(state) % sizeof bells];
		if (wish.bell == GUEST_BELL_MEMORY_GROW)
			wish.words[0] = 0;
		if (wish.bell == GUEST_BELL_HEAP)
			wish.words[0] %= 1 << 24;
	} else {
		wish.words[0] = next(state) % 48;
		wish.words[2] = 0;
	}
	return wish;
}

static void ask_anything(struct hostile *it, uint64_t *state, unsigned *ended)
{
	static struct wish wishes[64];

	for (size_t i = 0; i < 64; i++)
		wishes[i] = odd_wish(state);
	if (ask(it, wishes, 64, 20 * MS) >= 0)
		return;
	++*ended;
	CHECK(it->domain->is_broken && it->domain->why[0]);
	if (getenv("HOSTILE_TELL"))
		printf("# %s\n", it->domain->why);
}

/* WASI with a folder that is gone afterwards, and a memory of what could be
 * vectors and paths. */
struct served {
	struct wasi *wasi;
	char folder[128];
};

static void served_open(struct served *served, struct hostile *it,
			uint64_t *state)
{
	static const char letters[] = "a/..b\0\0\1";
	const char *tmp = getenv("TMPDIR");
	struct wasi_folder folder = { served->folder, "/", false };
	struct wasi_options options = { .folders = &folder,
					.folder_count = 1,
					.stdio = { -1, -1, -1 } };
	struct rlimit limit = { 1 << 20, 1 << 20 };
	struct space *space = &it->domain->space;
	uint8_t *memory;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	snprintf(served->folder, sizeof served->folder, "%s/hostile.XXXXXX",
		 tmp ? tmp : "/tmp");
	if (!mkdtemp(served->folder) ||
	    wasi_open(&served->wasi, &options, &failure) < 0 ||
	    space_add(space, 1 << 20, NULL) < 0 ||
	    space_open(space, SPACE_WINDOWS, 1 << 20, NULL) < 0)
		abort();
	domain_set_wasi(it->domain, served->wasi);
	memory = space->regions[SPACE_WINDOWS].at;
	for (uint32_t i = 0; i < 65536; i++)
		memory[i] = i % 4 < 2 ? (uint8_t)letters[next(state) % 8] : 0;
}

static int remove_one(const char *path, const struct stat *about, int kind,
		      struct FTW *place)
{
	(void)about, (void)kind, (void)place;
	return remove(path);
}

static void served_close(struct served *served)
{
	wasi_close(served->wasi);
	nftw(served->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TEST(any_words)
{
	uint64_t state = 0x243f6a8885a308d3;
	unsigned ended = 0;
	struct held held;

	if (!domain_is_there())
		SKIP(failure.text);
	held = held_now();
	for (int i = 0; i < 100; i++) {
		struct hostile it;
		struct served served;

		if (!open_one(&it))
			return;
		served_open(&served, &it, &state);
		for (int n = 0; n < 4; n++)
			ask_anything(&it, &state, &ended);
		hostile_close(&it);
		served_close(&served);
		if (i % 16 == 0)
			CHECK(witness_answers());
	}
	printf("# %u of 400 were ended\n", ended);
	CHECK(held_is(&held));
}

/* ---- pages that change -----------------------------------------------------
 */

struct flipper {
	pthread_t thread;
	uint8_t *page, *memory;
	bool is_over; /* atomic */
};

static void *flip(void *of)
{
	struct flipper *flipper = of;
	uint64_t state = 0xb7e151628aed2a6a;

	while (!__atomic_load_n(&flipper->is_over, __ATOMIC_RELAXED)) {
		uint64_t word = next(&state);
		/* Arguments and the answer: it shall come that far. */
		size_t at = offsetof(struct guest_call, words) + 24 + word % 96;

		__atomic_store_n(flipper->page + at, (uint8_t)(word >> 32),
				 __ATOMIC_RELAXED);
		__atomic_store_n(flipper->memory + (word >> 8) % 65536,
				 (uint8_t)(word >> 40), __ATOMIC_RELAXED);
	}
	return NULL;
}

/* As a second CPU would do it: what has been looked at is another thing when
 * it is used. */
TEST(pages_that_change)
{
	uint64_t state = 0x9e3779b97f4a7c15;
	unsigned ended = 0;
	struct held held;

	if (!domain_is_there())
		SKIP(failure.text);
	held = held_now();
	for (int i = 0; i < 20; i++) {
		struct hostile it;
		struct flipper flipper = { 0 };
		struct served served;

		if (!open_one(&it))
			return;
		served_open(&served, &it, &state);
		flipper.page = (uint8_t *)space_call(&it.domain->space);
		flipper.memory = it.domain->space.regions[SPACE_WINDOWS].at;
		pthread_create(&flipper.thread, NULL, flip, &flipper);
		for (int n = 0; n < 20; n++)
			ask_anything(&it, &state, &ended);
		__atomic_store_n(&flipper.is_over, true, __ATOMIC_RELAXED);
		pthread_join(flipper.thread, NULL);
		hostile_close(&it);
		served_close(&served);
	}
	printf("# %u of 400 were ended\n", ended);
	CHECK(witness_answers());
	CHECK(held_is(&held));
}

/* ---- outcomes --------------------------------------------------------------
 */

/* DONE at once, with anything in the page: what the host takes from it stays
 * within its bounds. */
static void lie(struct hostile *it, uint64_t *state)
{
	static struct domain_values values;
	struct guest_call *page = space_call(&it->domain->space);
	struct domain_outcome outcome;
	struct domain_item item;
	uint64_t magic = next(state);
	uint8_t *bytes = (uint8_t *)page;

	for (size_t i = offsetof(struct guest_call, result);
	     i < offsetof(struct guest_call, clock); i++)
		bytes[i] = (uint8_t)next(state);
	for (size_t i = 0; i < 24000; i++)
		space_data(&it->domain->space)[i] = (uint8_t)next(state);
	page->magic = magic;
	page->abi = (uint32_t)magic;
	page->stopped.is_busy = (uint32_t)magic;
	page->result = (int32_t)(magic & 0x7fffffff);
	if (magic & 1)
		page->data_bytes = (uint32_t)next(state) % 22000;
	if (magic & 2)
		page->trap = 0;
	hostile_reset(it);
	it->domain->cpu->kind->go(it->domain->cpu, &it->registers);
	page->bell = GUEST_BELL_DONE;
	switch (magic % 5) {
	case 0:
		domain_call(it->domain, 0, "f", 1, NULL, 0, &values, &outcome,
			    &failure);
		CHECK(outcome.trace_count <= GUEST_TRACE);
		CHECK(outcome.trap <= WASM_TRAP_host ||
		      outcome.trap <= WASM_TRAP_exit);
		CHECK(strlen(outcome.message) < sizeof outcome.message);
		CHECK(values.count <= DOMAIN_VALUES);
		break;
	case 1:
		domain_global(it->domain, 0, "g", 1, &values, &failure);
		CHECK(values.count <= DOMAIN_VALUES);
		break;
	case 2:
		if (domain_find(it->domain, 0, "f", 1, &item, &failure) >= 0)
			CHECK(item.param_count <= DOMAIN_VALUES &&
			      item.result_count <= DOMAIN_VALUES);
		break;
	case 3: {
		uint32_t instance;

		domain_instantiate(it->domain, 0, &instance, &outcome,
				   &failure);
		break;
	}
	default:
		page->result = -1;
		CHECK(domain_register(it->domain, 0, "name", 4, &failure) < 0);
		for (const char *at = failure.text; *at; at++)
			CHECK((unsigned char)*at >= ' ');
	}
	it->domain->is_broken = false;
}

TEST(lies)
{
	uint64_t state = 0x452821e638d01377;
	struct hostile it;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	hostile_put(&it, ring_code, CODE_BYTES(ring_code));
	for (int i = 0; i < 2000; i++)
		lie(&it, &state);
	hostile_close(&it);
	CHECK(witness_answers());
}

TEST_MAIN
