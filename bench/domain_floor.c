/* SPDX-License-Identifier: Apache-2.0 */
/* domain_floor WHAT COUNT [turns]: what KVM itself takes, in bare loops of its
 * ioctls.  A domain cannot be cheaper than this, in the same minute on the
 * same machine.  Prints COUNT numbers, microseconds where nothing else is said:
 *
 *	create	  machine, slots, processor, first call's result
 *	destroy	  of the same
 *	call	  a call more
 *	reset	  6 pages as they were, and a call that writes to them
 *	bind	  another module's code and memory, and its first call
 *	exit	  out by the doorbell and in again, of 64
 *	page	  the first write to a page, of 64
 *	snapshot  registers and 18 changed pages into a file
 *	restore	  the same 18 into another machine by copy, and on it goes
 *	remap	  the same by mapping
 *	kill	  a guest without an end: how late after its 5 ms
 *	lives	  one number: machines created, run, destroyed a second
 *	idle	  two numbers: KB (PSS) and KB of the kernel's, each of COUNT
 *
 * The machine is as a domain's: no CPUID, registers by the shared page,
 * tables whose pages are marked as used, another machine alive.  Its guest is
 * the self-test's (src/domain/kvm_guest.h).  It shares no code with
 * src/domain on purpose: what that does too much shall be seen. */
#include "domain/kvm_guest.h"
#include "turns.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const unsigned char guest_bytes[] = {
#include "domain/kvm_selftest.inc"
};

enum {
	PAGE = 4096,
	HEAP_BYTES = GUEST_HEAP_PAGES * PAGE,
	ALL_BYTES = GUEST_BYTES + HEAP_BYTES,
	RESET_PAGES = 4, /* of the heap; and stack and data */
	TOUCHED = 64,
	EXITS = 64,
	SAVED = 16, /* of the heap; and stack and data */
	MOST_SAVED = 64,
	MOST_LIVES = 32,
	BUDGET_NS = 5000000,
	ANSWER = 42, /* what the first module adds; the second one more */
};

/* Newer than the oldest kernel headers that this is built with. */
struct floor_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, any_of, return_mask;
};
struct floor_region {
	uint64_t start, end, categories;
};
#define FLOOR_SCAN    _IOWR('f', 16, struct floor_scan)
#define FLOOR_FILE    (1 << 2)
#define FLOOR_PRESENT (1 << 3)

struct machine {
	int vm, cpu;
	struct kvm_run *run;
	unsigned char *system, *heap, *code;
};

struct module {
	int heap, code;		 /* memfds */
	const unsigned char *at; /* the heap as it begins */
};

struct floor {
	int kvm, pagemap;
	size_t run_bytes;
	struct kvm_sregs user;
	int system; /* memfd */
	struct module modules[2];
	struct machine sentinel;
	struct turns turns;
	double *samples; /* of the turns */
	int count;
};

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "domain_floor: %s: %s\n", what, strerror(errno));
	exit(111);
}

/* ---- machines ------------------------------------------------------------- */

static int do_ioctl(int fd, unsigned long request, void *argument,
		    const char *what)
{
	int r;

	do
		r = ioctl(fd, request, argument);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		die(what);
	return r;
}

static void *map(size_t bytes, int flags, int protection, int fd)
{
	void *at = mmap(NULL, bytes, protection, flags, fd, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void slot(int vm, int number, uint64_t gpa, uint64_t bytes, void *at,
		 int flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = number,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)at,
	};

	do_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region, "memory slot");
}

static void machine_cpu(struct floor *floor, struct machine *machine)
{
	machine->cpu = do_ioctl(machine->vm, KVM_CREATE_VCPU, 0, "processor");
	machine->run = map(floor->run_bytes, MAP_SHARED, PROT_READ | PROT_WRITE,
			   machine->cpu);
}

static void machine_make(struct floor *floor, struct machine *machine)
{
	const struct module *module = &floor->modules[0];

	machine->vm = do_ioctl(floor->kvm, KVM_CREATE_VM, 0, "machine");
	machine->system = map(GUEST_BYTES, MAP_PRIVATE, PROT_READ | PROT_WRITE,
			      floor->system);
	machine->heap = map(HEAP_BYTES, MAP_PRIVATE, PROT_READ | PROT_WRITE,
			    module->heap);
	machine->code =
		map(GUEST_CODE_BYTES, MAP_SHARED, PROT_READ, module->code);
	slot(machine->vm, 0, 0, GUEST_BYTES, machine->system, 0);
	slot(machine->vm, 1, GUEST_CODE_GPA, GUEST_CODE_BYTES, machine->code,
	     KVM_MEM_READONLY);
	slot(machine->vm, 2, GUEST_HEAP_GPA, HEAP_BYTES, machine->heap, 0);
	machine_cpu(floor, machine);
}

static void machine_end(const struct floor *floor, struct machine *machine)
{
	munmap(machine->run, floor->run_bytes);
	close(machine->cpu);
	close(machine->vm);
	munmap(machine->system, GUEST_BYTES);
	munmap(machine->heap, HEAP_BYTES);
	munmap(machine->code, GUEST_CODE_BYTES);
}

static void enter(struct machine *machine, int entry, uint64_t rdi,
		  uint64_t rsi)
{
	machine->run->s.regs.regs = (struct kvm_regs){
		.rip = GUEST_ENTRY(entry),
		.rsp = GUEST_BASE + GUEST_STACK + PAGE - 16,
		.rflags = 0x202,
		.rbx = GUEST_BASE + GUEST_DATA,
		.rdi = rdi,
		.rsi = rsi,
	};
	machine->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static void enter_first(const struct floor *floor, struct machine *machine,
			int entry, uint64_t rdi, uint64_t rsi)
{
	enter(machine, entry, rdi, rsi);
	machine->run->s.regs.sregs = floor->user;
	machine->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

static void go(const struct machine *machine)
{
	const struct kvm_run *run = machine->run;

	if (ioctl(machine->cpu, KVM_RUN, 0) < 0)
		die("run");
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != GUEST_PORT) {
		fprintf(stderr, "domain_floor: exit %u, port %u\n",
			run->exit_reason, run->io.port);
		exit(111);
	}
}

static uint64_t answer(const struct machine *machine)
{
	uint64_t found;

	memcpy(&found, machine->system + GUEST_DATA, sizeof(found));
	return found;
}

static void expect(uint64_t found, uint64_t want)
{
	if (found == want)
		return;
	fprintf(stderr, "domain_floor: %llx instead of %llx\n",
		(unsigned long long)found, (unsigned long long)want);
	exit(111);
}

static void first_call(const struct floor *floor, struct machine *machine,
		       int module)
{
	enter_first(floor, machine, GUEST_CALL, GUEST_BASE + GUEST_CODE, 100);
	go(machine);
	expect(answer(machine), 100 + ANSWER + module);
}

/* ---- before --------------------------------------------------------------- */

static int file_make(const char *name, size_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, bytes) < 0)
		die("memfd");
	return fd;
}

static void module_make(struct module *module, int number)
{
	const unsigned char code[] = { 0x48, 0x8d, 0x47, ANSWER + number,
				       0xc3 }; /* lea ANSWER(%rdi), %rax; ret */
	unsigned char *heap;

	module->heap = file_make("heap", HEAP_BYTES);
	module->code = file_make("code", GUEST_CODE_BYTES);
	heap = map(HEAP_BYTES, MAP_SHARED, PROT_READ | PROT_WRITE,
		   module->heap);
	memset(heap, number + 1, HEAP_BYTES);
	module->at = heap;
	if (pwrite(module->code, code, sizeof(code), 0) != sizeof(code))
		die("code");
}

static struct kvm_segment segment(int selector, int type)
{
	bool is_code = type == 11;

	return (struct kvm_segment){ .limit = 0xffffffff,
				     .selector = selector,
				     .type = type,
				     .present = 1,
				     .dpl = 3,
				     .s = 1,
				     .l = is_code,
				     .db = !is_code,
				     .g = 1 };
}

static void floor_user(struct kvm_sregs *user)
{
	const uint64_t kernel = GUEST_BASE + GUEST_KERNEL;

	user->cr0 = 0x80050033;
	user->cr3 = 0;
	user->cr4 = 0x620;
	user->efer = 0xd01;
	user->cs = segment(0x2b, 11);
	user->ss = user->ds = user->es = user->fs = user->gs = segment(0x23, 3);
	user->ldt = (struct kvm_segment){ .unusable = 1 };
	user->tr = (struct kvm_segment){ .base = kernel + GUEST_TASK,
					 .limit = GUEST_TASK_LIMIT,
					 .selector = 0x30,
					 .type = 11,
					 .present = 1 };
	user->gdt.base = kernel + GUEST_GDT;
	user->gdt.limit = GUEST_GDT_LIMIT;
	user->idt.base = kernel + GUEST_IDT;
	user->idt.limit = GUEST_IDT_LIMIT;
}

static void floor_open(struct floor *floor)
{
	floor->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	floor->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (floor->kvm < 0 || floor->pagemap < 0)
		die("/dev/kvm or pagemap");
	floor->run_bytes = do_ioctl(floor->kvm, KVM_GET_VCPU_MMAP_SIZE, 0,
				    "size of the shared page");
	floor->system = file_make("system", GUEST_BYTES);
	if (pwrite(floor->system, guest_bytes, GUEST_BYTES, 0) != GUEST_BYTES)
		die("system");
	module_make(&floor->modules[0], 0);
	module_make(&floor->modules[1], 1);
	floor->sentinel.vm = do_ioctl(floor->kvm, KVM_CREATE_VM, 0, "machine");
	machine_cpu(floor, &floor->sentinel);
	do_ioctl(floor->sentinel.cpu, KVM_GET_SREGS, &floor->user, "sregs");
	floor_user(&floor->user);
	floor->samples = calloc(floor->count, sizeof(double));
	floor->turns.samples = floor->samples;
	floor->turns.count = floor->count;
	if (!floor->samples)
		die("memory");
}

/* ---- starts and calls ----------------------------------------------------- */

static void cold(struct floor *floor, bool wants_end)
{
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		struct machine machine;
		double start = now(), called;

		machine_make(floor, &machine);
		first_call(floor, &machine, 0);
		called = now();
		machine_end(floor, &machine);
		floor->samples[i] = wants_end ? now() - called : called - start;
	}
	turns_end(&floor->turns);
}

static void floor_create(struct floor *floor)
{
	cold(floor, false);
}

static void floor_destroy(struct floor *floor)
{
	cold(floor, true);
}

static void floor_call(struct floor *floor)
{
	struct machine machine;

	machine_make(floor, &machine);
	first_call(floor, &machine, 0);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start = now();

		enter(&machine, GUEST_CALL, GUEST_BASE + GUEST_CODE, i);
		go(&machine);
		expect(answer(&machine), i + ANSWER);
		floor->samples[i] = now() - start;
	}
	machine_end(floor, &machine);
	turns_end(&floor->turns);
}

static void floor_reset(struct floor *floor)
{
	struct machine machine;

	machine_make(floor, &machine);
	first_call(floor, &machine, 0);
	enter(&machine, GUEST_TOUCH, RESET_PAGES, 0);
	go(&machine);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start = now();

		memcpy(machine.system + GUEST_STACK, guest_bytes + GUEST_STACK,
		       PAGE);
		memcpy(machine.system + GUEST_DATA, guest_bytes + GUEST_DATA,
		       PAGE);
		memcpy(machine.heap, floor->modules[0].at, RESET_PAGES * PAGE);
		enter(&machine, GUEST_TOUCH, RESET_PAGES, 0);
		go(&machine);
		floor->samples[i] = now() - start;
	}
	machine_end(floor, &machine);
	turns_end(&floor->turns);
}

static void map_over(void *at, size_t bytes, int flags, int protection, int fd,
		     off_t offset)
{
	if (mmap(at, bytes, protection, flags | MAP_FIXED, fd, offset) ==
	    MAP_FAILED)
		die("mmap");
}

static void floor_bind(struct floor *floor)
{
	struct machine machine;

	machine_make(floor, &machine);
	first_call(floor, &machine, 0);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		const int number = (i + 1) & 1;
		const struct module *module = &floor->modules[number];
		double start = now();

		map_over(machine.code, GUEST_CODE_BYTES, MAP_SHARED, PROT_READ,
			 module->code, 0);
		map_over(machine.heap, HEAP_BYTES, MAP_PRIVATE,
			 PROT_READ | PROT_WRITE, module->heap, 0);
		madvise(machine.system, GUEST_BYTES, MADV_DONTNEED);
		first_call(floor, &machine, number);
		floor->samples[i] = now() - start;
	}
	machine_end(floor, &machine);
	turns_end(&floor->turns);
}

static void floor_exit(struct floor *floor)
{
	struct machine machine;

	machine_make(floor, &machine);
	enter_first(floor, &machine, GUEST_RING, 0, 0);
	go(&machine);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start = now();

		for (int k = 0; k < EXITS; k++)
			go(&machine);
		floor->samples[i] = (now() - start) / EXITS;
	}
	machine_end(floor, &machine);
	turns_end(&floor->turns);
}

static void floor_page(struct floor *floor)
{
	struct machine machine;

	machine_make(floor, &machine);
	first_call(floor, &machine, 0);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start, bell;

		madvise(machine.heap, HEAP_BYTES, MADV_DONTNEED);
		start = now();
		enter(&machine, GUEST_CALL, GUEST_BASE + GUEST_CODE, i);
		go(&machine);
		bell = now();
		enter(&machine, GUEST_TOUCH, TOUCHED, 0);
		go(&machine);
		floor->samples[i] = ((now() - bell) - (bell - start)) / TOUCHED;
	}
	machine_end(floor, &machine);
	turns_end(&floor->turns);
}

/* ---- snapshots ------------------------------------------------------------ */

struct snapshot {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	int file; /* the pages, one behind the other */
	int count;
	uint32_t offsets[MOST_SAVED]; /* in system and heap as one */
};

static void save_pages(const struct floor *floor, struct snapshot *snapshot,
		       unsigned char *at, size_t bytes, uint32_t offset)
{
	struct floor_region found[MOST_SAVED];
	struct floor_scan scan = { .size = sizeof(scan),
				   .start = (uintptr_t)at,
				   .end = (uintptr_t)at + bytes,
				   .vec = (uintptr_t)found,
				   .vec_len = MOST_SAVED,
				   .inverted = FLOOR_FILE,
				   .mask = FLOOR_FILE | FLOOR_PRESENT,
				   .return_mask = FLOOR_PRESENT };
	int count = do_ioctl(floor->pagemap, FLOOR_SCAN, &scan, "PAGEMAP_SCAN");

	for (int i = 0; i < count; i++) {
		unsigned char *from = at + (found[i].start - (uintptr_t)at);
		size_t len = found[i].end - found[i].start;

		if (snapshot->count + len / PAGE > MOST_SAVED ||
		    pwrite(snapshot->file, from, len,
			   (off_t)snapshot->count * PAGE) != (ssize_t)len)
			die("snapshot");
		for (size_t done = 0; done < len; done += PAGE)
			snapshot->offsets[snapshot->count++] =
				offset + (uint32_t)(from - at + done);
	}
}

static void save(const struct floor *floor, struct machine *machine,
		 struct snapshot *snapshot)
{
	struct kvm_run *run = machine->run;

	run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	run->immediate_exit = 1;
	if (ioctl(machine->cpu, KVM_RUN, 0) == 0 || errno != EINTR)
		die("a run that does not begin");
	run->immediate_exit = 0;
	run->kvm_valid_regs = 0;
	snapshot->regs = run->s.regs.regs;
	snapshot->sregs = run->s.regs.sregs;
	snapshot->count = 0;
	save_pages(floor, snapshot, machine->system, GUEST_BYTES, 0);
	save_pages(floor, snapshot, machine->heap, HEAP_BYTES, GUEST_BYTES);
}

/* A machine in the midst of counting, with all its pages changed. */
static void prepare(struct floor *floor, struct machine *machine,
		    struct snapshot *snapshot)
{
	machine_make(floor, machine);
	first_call(floor, machine, 0);
	enter(machine, GUEST_TOUCH, SAVED, 0);
	go(machine);
	enter(machine, GUEST_COUNT, 7, 0);
	for (int i = 0; i < 5; i++)
		go(machine);
	snapshot->file = file_make("snapshot", MOST_SAVED * PAGE);
	save(floor, machine, snapshot);
	expect(snapshot->count, SAVED + 2);
}

static void floor_snapshot(struct floor *floor)
{
	struct machine machine;
	struct snapshot snapshot;

	prepare(floor, &machine, &snapshot);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start = now();

		save(floor, &machine, &snapshot);
		floor->samples[i] = now() - start;
	}
	machine_end(floor, &machine);
	turns_end(&floor->turns);
}

static unsigned char *page_of(const struct machine *machine, uint32_t offset)
{
	return offset < GUEST_BYTES ? machine->system + offset
				    : machine->heap + (offset - GUEST_BYTES);
}

static void go_on(struct machine *machine, const struct snapshot *snapshot,
		  uint64_t was)
{
	struct kvm_run *run = machine->run;

	run->s.regs.regs = snapshot->regs;
	run->s.regs.sregs = snapshot->sregs;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	go(machine);
	expect(answer(machine), 3 * was + 1);
}

static void floor_restore(struct floor *floor)
{
	struct machine machine, other;
	struct snapshot snapshot;
	const unsigned char *saved;
	uint64_t was;

	prepare(floor, &machine, &snapshot);
	was = answer(&machine);
	machine_make(floor, &other);
	first_call(floor, &other, 0);
	saved = map(MOST_SAVED * PAGE, MAP_SHARED, PROT_READ, snapshot.file);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start = now();

		for (int j = 0; j < snapshot.count; j++)
			memcpy(page_of(&other, snapshot.offsets[j]),
			       saved + (size_t)j * PAGE, PAGE);
		go_on(&other, &snapshot, was);
		floor->samples[i] = now() - start;
	}
	machine_end(floor, &machine);
	machine_end(floor, &other);
	turns_end(&floor->turns);
}

static void floor_remap(struct floor *floor)
{
	const int file = file_make("flat", ALL_BYTES);
	struct machine machine, other;
	struct snapshot snapshot;
	uint64_t was;

	prepare(floor, &machine, &snapshot);
	was = answer(&machine);
	if (pwrite(file, machine.system, GUEST_BYTES, 0) != GUEST_BYTES ||
	    pwrite(file, machine.heap, HEAP_BYTES, GUEST_BYTES) != HEAP_BYTES)
		die("flat snapshot");
	machine_make(floor, &other);
	first_call(floor, &other, 0);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start = now();

		map_over(other.system, GUEST_BYTES, MAP_PRIVATE,
			 PROT_READ | PROT_WRITE, file, 0);
		map_over(other.heap, HEAP_BYTES, MAP_PRIVATE,
			 PROT_READ | PROT_WRITE, file, GUEST_BYTES);
		go_on(&other, &snapshot, was);
		floor->samples[i] = now() - start;
	}
	machine_end(floor, &machine);
	machine_end(floor, &other);
	turns_end(&floor->turns);
}

/* ---- ends ----------------------------------------------------------------- */

static void on_alarm(int number, siginfo_t *info, void *unused)
{
	struct kvm_run *run = info->si_value.sival_ptr;

	(void)number;
	(void)unused;
	run->immediate_exit = 1;
}

static timer_t alarm_for(struct kvm_run *run)
{
	const struct sigaction action = { .sa_sigaction = on_alarm,
					  .sa_flags = SA_SIGINFO };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGALRM,
				  .sigev_value.sival_ptr = run };
	timer_t timer;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (sigaction(SIGALRM, &action, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		die("timer");
	return timer;
}

static void floor_kill(struct floor *floor)
{
	const struct itimerspec budget = { .it_value.tv_nsec = BUDGET_NS };
	struct machine machine;
	timer_t timer;

	machine_make(floor, &machine);
	first_call(floor, &machine, 0);
	timer = alarm_for(machine.run);
	for (int i = 0; turns_next(&floor->turns, i); i++) {
		double start = now();

		enter(&machine, GUEST_SPIN, 0, 0);
		timer_settime(timer, 0, &budget, NULL);
		if (ioctl(machine.cpu, KVM_RUN, 0) == 0 || errno != EINTR)
			die("a run without an end");
		floor->samples[i] = now() - start - BUDGET_NS / 1e3;
		machine.run->immediate_exit = 0;
	}
	machine_end(floor, &machine);
	turns_end(&floor->turns);
}

struct reaper {
	const struct floor *floor;
	struct machine machines[MOST_LIVES];
	sem_t dead, room;
};

static void *reap(void *argument)
{
	struct reaper *reaper = argument;

	for (int i = 0; i < reaper->floor->count; i++) {
		sem_wait(&reaper->dead);
		machine_end(reaper->floor, &reaper->machines[i % MOST_LIVES]);
		sem_post(&reaper->room);
	}
	return NULL;
}

static void floor_lives(struct floor *floor)
{
	static struct reaper reaper;
	double start = now(), rate;
	pthread_t thread;

	reaper.floor = floor;
	sem_init(&reaper.dead, 0, 0);
	sem_init(&reaper.room, 0, MOST_LIVES);
	if (pthread_create(&thread, NULL, reap, &reaper) != 0)
		die("thread");
	for (int i = 0; i < floor->count; i++) {
		struct machine *machine = &reaper.machines[i % MOST_LIVES];

		sem_wait(&reaper.room);
		machine_make(floor, machine);
		first_call(floor, machine, 0);
		sem_post(&reaper.dead);
	}
	pthread_join(thread, NULL);
	rate = floor->count / (now() - start) * 1e6;
	turns_say(&rate, 1);
}

/* ---- memory --------------------------------------------------------------- */

static double number_in(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(name);
	char line[256];
	double found = -1;

	while (file && found < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, name, len) == 0)
			found = atof(line + len);
	if (!file || found < 0)
		die(path);
	fclose(file);
	return found;
}

static double own_kb(void)
{
	return number_in("/proc/self/smaps_rollup", "Pss:");
}

static double left_kb(void)
{
	return number_in("/proc/meminfo", "MemAvailable:");
}

static void floor_idle(struct floor *floor)
{
	struct machine *machines = calloc(floor->count, sizeof(*machines));
	const struct rlimit files = { 65536, 65536 };
	double own, left, each[2];

	setrlimit(RLIMIT_NOFILE, &files);
	if (!machines)
		die("memory");
	memset(machines, 1, floor->count * sizeof(*machines));
	own = own_kb();
	left = left_kb();
	for (int i = 0; i < floor->count; i++) {
		machine_make(floor, &machines[i]);
		first_call(floor, &machines[i], 0);
	}
	own = own_kb() - own;
	left -= left_kb();
	each[0] = own / floor->count;
	each[1] = (left - own) / floor->count;
	turns_say(each, 2);
	for (int i = 0; i < floor->count; i++)
		machine_end(floor, &machines[i]);
	free(machines);
}

static const struct {
	const char *name;
	void (*run)(struct floor *floor);
} verbs[] = {
	{ "create", floor_create },   { "destroy", floor_destroy },
	{ "call", floor_call },	      { "reset", floor_reset },
	{ "bind", floor_bind },	      { "exit", floor_exit },
	{ "page", floor_page },	      { "snapshot", floor_snapshot },
	{ "restore", floor_restore }, { "remap", floor_remap },
	{ "kill", floor_kill },	      { "lives", floor_lives },
	{ "idle", floor_idle },
};
enum { VERBS = sizeof(verbs) / sizeof(*verbs) };

int main(int argc, char **argv)
{
	static struct floor floor;

	floor.count = argc == 3 || argc == 4 ? atoi(argv[2]) : 0;
	floor.turns.in_turns = argc == 4;
	for (int i = 0; i < VERBS && floor.count > 0; i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		floor_open(&floor);
		verbs[i].run(&floor);
		return 0;
	}
	fprintf(stderr, "usage: domain_floor WHAT COUNT [turns]\n");
	return 100;
}
