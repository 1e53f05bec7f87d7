/* SPDX-License-Identifier: Apache-2.0 */
/* rings: in which ring a domain's CPU is when it stops, as KVM itself says
 * (KVM_GET_SREGS, KVM_GET_REGS by the descriptor that this process has), and
 * in which part of the guest.  A line for each stop:
 *
 *	WHAT EVENT cs=SELECTOR dpl=RING rip=ADDRESS in=PART
 *
 * where EVENT is bell, kick or trap.VECTOR.ADDRESS. */
#include "lib/hostile.h"
#include "lib/made_domain.h"
#include <sys/ioctl.h>
#include <unistd.h>

#define MS INT64_C(1000000)

CODE(ring_bell, RING);
CODE(ring_spin, "1: jmp 1b\n");
CODE(ring_read, "mov (%rbx), %cl\n" RING);
CODE(ring_write, "movb $0, (%rbx)\n" RING);
CODE(ring_run, "jmp *%rbx\n");
CODE(ring_cr0, "mov %cr0, %rax\n" RING);
CODE(ring_port, "out %al, $0x41\n" RING);
CODE(ring_in, "in $0x40, %al\n" RING);

static int vcpu_fd(void)
{
	char path[64], name[64];

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof name - 1);
		if (n <= 0)
			continue;
		name[n] = 0;
		if (strstr(name, "kvm-vcpu"))
			return fd;
	}
	return -1;
}

static const char *part_of(uint64_t rip)
{
	const uint64_t at = rip - GUEST_VA - GUEST_IMAGE_AT;
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);

	if (rip >= GUEST_MEMORY_VA)
		return "memory";
	if (rip >= GUEST_CODE_VA)
		return "code";
	if (at >= image->kernel_at && at < image->user_at)
		return "kernel";
	if (at >= image->user_at && at < image->constants_at)
		return "user";
	return "nothing";
}

static void show(const char *what, const struct cpu_stop *stop)
{
	struct kvm_sregs system = { 0 };
	struct kvm_regs registers = { 0 };
	int fd = vcpu_fd();
	char event[64];

	if (fd < 0 || ioctl(fd, KVM_GET_SREGS, &system) < 0 ||
	    ioctl(fd, KVM_GET_REGS, &registers) < 0)
		exit(2);
	if (stop->event == CPU_TRAP)
		snprintf(event, sizeof event, "trap.%u.%llx", stop->vector,
			 (unsigned long long)stop->address);
	else
		snprintf(event, sizeof event, "%s",
			 stop->event == CPU_BELL     ? "bell"
			 : stop->event == CPU_KICKED ? "kick"
						     : "broken");
	printf("%s %s cs=%x dpl=%u rip=%llx in=%s\n", what, event,
	       system.cs.selector, system.cs.dpl,
	       (unsigned long long)registers.rip, part_of(registers.rip));
}

static void show_code(const char *what, const uint8_t *code, size_t len,
		      uint64_t rbx)
{
	struct err err = { 0 };
	struct hostile it;
	struct cpu_stop stop;

	if (hostile_open(&it, ground, NULL, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(2);
	}
	hostile_put(&it, code, len);
	hostile_reset(&it);
	it.registers.general[3] = rbx;
	hostile_once(&it, 20 * MS, &stop);
	show(what, &stop);
	hostile_close(&it);
}

/* Stopped in the middle of byte code. */
static void show_module(const char *what, enum vm_via via)
{
	static const char text[] =
		"(module (func (export \"spin\") (loop (br 0))))";
	struct cpu_stop stop = { 0 };
	struct guest_call *page;
	struct run run;

	if (!run_open(&run, text, via, (struct domain_options){ 0 }))
		exit(2);
	page = space_call(&run.domain->space);
	memcpy(space_data(&run.domain->space), "spin", 4);
	page->command_words[0] = run.instance;
	page->command_words[1] = 4;
	page->command_words[2] = 0;
	page->command = GUEST_COMMAND_CALL;
	if (domain_timer_set(run.domain, DOMAIN_TIMER_DEADLINE,
			     (int64_t)clock_ns() + 30 * MS, NULL) < 0)
		exit(2);
	run.domain->cpu->kind->run(run.domain->cpu, &stop);
	domain_timer_set(run.domain, DOMAIN_TIMER_DEADLINE, 0, NULL);
	show(what, &stop);
	run_close(&run);
}

/* The guest's own bell: it has booted, and waits for a command. */
static void show_guest(void)
{
	struct cpu_stop stop = { .event = CPU_BELL };
	struct err err = { 0 };
	struct domain *domain;

	if (domain_open(&domain, &(struct domain_options){ .ground = ground },
			&err) < 0)
		exit(2);
	show("guest", &stop);
	domain_close(domain);
}

#define SHOW(name, rbx) \
	show_code(#name, ring_##name, CODE_BYTES(ring_##name), rbx)

int main(void)
{
	const uint64_t image = GUEST_VA + GUEST_IMAGE_AT;
	uint64_t bytes, kernel;

	if (!ground_use(true)) {
		printf("no KVM\n");
		return 1;
	}
	kernel = image + domain_image(&bytes)->kernel_at;
	show_guest();
	show_module("compiled", VM_COMPILED);
	show_module("interpreted", VM_INTERPRETED);
	SHOW(bell, 0);
	SHOW(spin, 0);
	SHOW(cr0, 0);
	SHOW(port, 0);
	SHOW(in, 0);
	SHOW(read, kernel);
	SHOW(write, kernel);
	SHOW(run, kernel);
	show_code("tables", ring_read, CODE_BYTES(ring_read),
		  GUEST_VA + GUEST_TABLES_AT);
	show_code("descriptors", ring_write, CODE_BYTES(ring_write),
		  GUEST_VA + GUEST_DESCRIPTORS_AT);
	show_code("text", ring_write, CODE_BYTES(ring_write),
		  image + domain_image(&bytes)->user_at);
	show_code("code", ring_write, CODE_BYTES(ring_write), GUEST_CODE_VA);
	return 0;
}
