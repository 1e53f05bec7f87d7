/* SPDX-License-Identifier: Apache-2.0 */
/* Traps and kicks: the guest is sent to its fault entry, as a kernel would
 * send a process to a signal's handler, with what the CPU was at in the call
 * page. */
#include "base/clock.h"
#include "domain/internal.h"
#include <errno.h>
#include <string.h>

/* From its deadline on a guest is kicked every two milliseconds in which it has
 * the CPU, and has so many of these to end by itself. */
enum { TRAP_LATE_MOST = 50 };

int domain_ended(void *of)
{
	const struct domain *domain = of;
	int64_t deadline =
		__atomic_load_n(&domain->deadline_ns, __ATOMIC_RELAXED);

	return deadline && (int64_t)clock_ns() >= deadline ? WASM_TRAP_deadline
							   : WASM_OK;
}

/* Where the fault entry itself is at work, nothing must be sent. */
static bool trap_is_handled(const struct domain *domain, uint64_t rip)
{
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);
	const volatile struct guest_trap *stopped =
		&space_call(&domain->space)->stopped;

	return stopped->is_busy ||
	       (rip >= image->fault_entry && rip < image->fault_end);
}

static void trap_send(struct domain *domain, const struct cpu_stop *stop,
		      uint32_t vector)
{
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);
	struct guest_trap *stopped = &space_call(&domain->space)->stopped;
	struct cpu_registers to = { .rip = image->fault_entry, .flags = 2 };

	to.general[4] = GUEST_VA + GUEST_TRAP_STACK_AT + GUEST_TRAP_STACK_BYTES;
	*stopped = (struct guest_trap){ .rip = stop->at.rip,
					.flags = stop->at.flags,
					.address = stop->address,
					.vector = vector,
					.error = stop->error,
					.is_busy = 1 };
	memcpy(stopped->general, stop->at.general, sizeof(stopped->general));
	domain->cpu->kind->go(domain->cpu, &to);
}

static bool trap_is_of_stack(uint64_t address)
{
	const uint64_t stack = GUEST_VA + GUEST_STACK_AT;

	return address < stack && address >= stack - 0x10000;
}

static const char *trap_word(unsigned vector)
{
	switch (vector) {
	case 0: return "a division by zero";
	case 1: return "a debug trap";
	case 3: return "a breakpoint";
	case 6: return "an invalid instruction";
	case 8: return "a double fault";
	case 13: return "a forbidden instruction";
	case 14: return "an access to what it may not see";
	}
	return "a trap";
}

/* Memory that is not there is the byte code's business, all else nobody's. */
int domain_take_trap(struct domain *domain, const struct cpu_stop *stop,
		     struct err *err)
{
	domain->counts.traps++;
	if (stop->vector == 14 && trap_is_of_stack(stop->address))
		return domain_break(domain, err, "its stack is used up");
	if (stop->vector != 14 || trap_is_handled(domain, stop->at.rip))
		return domain_break(domain, err,
				    "%s (vector %u, rip %llx, address %llx)",
				    trap_word(stop->vector), stop->vector,
				    (unsigned long long)stop->at.rip,
				    (unsigned long long)stop->address);
	trap_send(domain, stop, stop->vector);
	return 0;
}

int domain_take_kick(struct domain *domain, const struct cpu_stop *stop,
		     struct err *err)
{
	int trap = domain_ended(domain);

	domain->counts.kicks++;
	domain_note_kick(domain);
	if (!trap)
		return 0;
	if (++domain->late > TRAP_LATE_MOST) {
		domain_break(domain, err, "its time is over");
		if (err)
			err->code = -ETIME;
		return -ETIME;
	}
	*(volatile uint32_t *)&space_call(&domain->space)->ended =
		(uint32_t)trap;
	if (!trap_is_handled(domain, stop->at.rip))
		trap_send(domain, stop, GUEST_VECTORS);
	return 0;
}
