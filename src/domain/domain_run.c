/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a domain: the CPU runs until it stops, and what it stopped for
 * is done.
 *
 * CLAIM 3.3 3.7 */
#include "domain/internal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One line, and no orders to who shows it: no control characters, not the
 * ones of two bytes either. */
void domain_clean(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++)
		if (*at < ' ' || *at == 0x7f ||
		    (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0))
			*at = '?';
}

int domain_break(struct domain *domain, struct err *err, const char *format,
		 ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(domain->why, sizeof(domain->why), format, list);
	va_end(list);
	domain_clean(domain->why);
	domain->is_broken = true;
	return err_set(err, -EPROTO, "the domain has ended: %s", domain->why);
}

/* How a run goes on. */
enum { RUN_ON, RUN_DONE, RUN_STOPS };

/* Does the guest want what it shall stop before? */
static bool run_stops(struct domain *domain, uint32_t bell)
{
	switch (domain->until) {
	case DOMAIN_UNTIL_END: break;
	case DOMAIN_UNTIL_READY: return bell == GUEST_BELL_READY;
	case DOMAIN_UNTIL_INPUT:
		return bell == GUEST_BELL_WASI && domain->wasi &&
		       domain_asks_input(domain);
	}
	return false;
}

static int run_bell(struct domain *domain, struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	uint32_t bell = *(volatile uint32_t *)&page->bell;

	domain->counts.bells++;
	if (bell < GUEST_BELLS)
		domain->counts.bells_for[bell]++;
	if (bell == GUEST_BELL_DONE) {
		domain->done = *page;
		domain->done.message[sizeof(page->message) - 1] = 0;
		domain_clean(domain->done.message);
		return RUN_DONE;
	}
	if (run_stops(domain, bell)) {
		domain->point = DOMAIN_POINT_CALL;
		return RUN_STOPS;
	}
	return domain_answer(domain, bell, err);
}

static int run_stop(struct domain *domain, const struct cpu_stop *stop,
		    struct err *err)
{
	switch (stop->event) {
	case CPU_BELL: return run_bell(domain, err);
	case CPU_TRAP: return domain_take_trap(domain, stop, err);
	case CPU_KICKED: return domain_take_kick(domain, stop, err);
	case CPU_BROKEN: break;
	}
	return domain_break(domain, err, "%s", stop->why);
}

int domain_run(struct domain *domain, struct err *err)
{
	struct cpu_stop stop;
	int r = domain_timer_set(domain, DOMAIN_TIMER_DEADLINE,
				 domain->deadline_ns, err);

	domain->late = 0;
	while (r == RUN_ON) {
		domain->cpu->kind->run(domain->cpu, &stop);
		r = domain_drain(domain, stop.event == CPU_BELL, err);
		if (r == RUN_ON)
			r = run_stop(domain, &stop, err);
	}
	domain_timer_set(domain, DOMAIN_TIMER_DEADLINE, 0, NULL);
	domain_hold_no_writes(domain);
	return r < 0 ? r : r == RUN_STOPS ? DOMAIN_STOPPED : 0;
}

int domain_command(struct domain *domain, enum guest_command command,
		   struct err *err)
{
	struct guest_call *page = space_call(&domain->space);

	if (domain->is_broken)
		return err_set(err, -EPROTO, "the domain has ended: %s",
			       domain->why);
	if (domain->point == DOMAIN_POINT_CALL)
		return err_set(err, -EBUSY, "a domain in the middle of a call");
	page->command = command;
	page->ended = 0;
	return domain_run(domain, err);
}
