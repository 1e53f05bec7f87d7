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

int domain_break(struct domain *domain, struct err *err, const char *format,
		 ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(domain->why, sizeof(domain->why), format, list);
	va_end(list);
	domain->is_broken = true;
	return err_set(err, -EPROTO, "the domain has ended: %s", domain->why);
}

/* 1: the command is done. */
static int run_bell(struct domain *domain, struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	uint32_t bell = *(volatile uint32_t *)&page->bell;

	domain->counts.bells++;
	if (bell == GUEST_BELL_DONE) {
		domain->done = *page;
		return 1;
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
	int r = domain_timer_set(domain, domain->deadline_ns, err);

	while (r == 0) {
		domain->cpu->kind->run(domain->cpu, &stop);
		r = run_stop(domain, &stop, err);
	}
	domain_timer_set(domain, 0, NULL);
	return r < 0 ? r : 0;
}

int domain_command(struct domain *domain, enum guest_command command,
		   struct err *err)
{
	struct guest_call *page = space_call(&domain->space);

	if (domain->is_broken)
		return err_set(err, -EPROTO, "the domain has ended: %s",
			       domain->why);
	page->command = command;
	page->ended = 0;
	domain->ended_ns = 0;
	return domain_run(domain, err);
}
