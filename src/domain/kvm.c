/* SPDX-License-Identifier: Apache-2.0 */
/* The device, machines, processors.  A signal that is on its way makes some
 * of the ioctls fail with EINTR, KVM_CREATE_VM often: those are repeated. */
#include "domain/kvm.h"
#include "base/fd.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	KVM_VERSION = 12, /* the only one since 2007 */
	KVM_ENTRIES = 256,
	KVM_REGISTERS =
		KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS,
};

static int kvm_ioctl(int fd, unsigned long request, unsigned long argument)
{
	int r;

	do
		r = ioctl(fd, request, argument);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* ---- the device ----------------------------------------------------------- */

static const struct {
	int capability;
	int least; /* bits or number */
	const char *name;
} kvm_needs[] = {
	{ KVM_CAP_USER_MEMORY, 1, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_READONLY_MEM, 1, "KVM_CAP_READONLY_MEM" },
	{ KVM_CAP_IMMEDIATE_EXIT, 1, "KVM_CAP_IMMEDIATE_EXIT" },
	{ KVM_CAP_SYNC_REGS, KVM_REGISTERS, "KVM_CAP_SYNC_REGS" },
};

static int kvm_check(struct kvm *kvm, const char *path, struct err *err)
{
	int r = kvm_ioctl(kvm->device, KVM_GET_API_VERSION, 0);

	if (r < 0)
		return err_set(err, -ENOTTY, "%s is no KVM", path);
	if (r != KVM_VERSION)
		return err_set(err, -EPROTO, "%s has version %d", path, r);
	for (size_t i = 0; i < sizeof(kvm_needs) / sizeof(*kvm_needs); i++) {
		r = kvm_ioctl(kvm->device, KVM_CHECK_EXTENSION,
			      kvm_needs[i].capability);
		if (r < 0 || (r & kvm_needs[i].least) != kvm_needs[i].least)
			return err_set(err, -EPROTO, "%s has no %s", path,
				       kvm_needs[i].name);
	}
	r = kvm_ioctl(kvm->device, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < (int)sizeof(struct kvm_run))
		return err_set(err, -EPROTO, "%s shares %d bytes", path, r);
	kvm->run_bytes = r;
	return 0;
}

int kvm_open(struct kvm *kvm, struct err *err)
{
	const char *path = secure_getenv("BROOD_KVM");
	int r;

	*kvm = (struct kvm){ .device = -1 };
	if (!process_feature("kvm"))
		return err_set(err, -EINVAL, "switched off by BROOD_WITHOUT");
	if (!path || !*path)
		path = "/dev/kvm";
	kvm->device = open(path, O_RDWR | O_CLOEXEC);
	if (kvm->device < 0)
		return err_set(err, -errno, "open %s", path);
	r = kvm_check(kvm, path, err);
	if (r < 0)
		kvm_close(kvm);
	return r;
}

void kvm_close(struct kvm *kvm)
{
	fd_close(&kvm->device);
	mem_free(&kvm->cpuid);
}

const char *kvm_advice(int code)
{
	switch (code) {
	case -EACCES:
	case -EPERM:
		return "join the group kvm (usermod -aG kvm), log in again";
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return "switch on virtualisation in the firmware and load "
		       "kvm_intel or kvm_amd";
	case -ENOTTY: return "unset BROOD_KVM";
	case -EINVAL: return "take kvm out of BROOD_WITHOUT";
	case -EPROTO: return "Linux 6.1 or newer is what is tested";
	default: return "see what the kernel's log says of kvm";
	}
}

/* ---- CPUID ---------------------------------------------------------------- */

/* What the kernel looks at when it decides what a guest may do. */
static bool kvm_wants_leaf(uint32_t function)
{
	return function == 0 || function == 1 || function == 7 ||
	       function == 0xd || function == 0x80000000 ||
	       function == 0x80000001 || function == 0x80000008;
}

static void kvm_shorten_cpuid(struct kvm_cpuid2 *cpuid)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (kvm_wants_leaf(cpuid->entries[i].function))
			cpuid->entries[kept++] = cpuid->entries[i];
	cpuid->nent = kept;
}

static uint64_t kvm_find_xcr0(const struct kvm_cpuid2 *cpuid)
{
	const uint64_t x87 = 1 << 0, sse = 1 << 1, avx = 1 << 2,
		       avx512 = 7 << 5;
	uint64_t has = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0xd &&
		    cpuid->entries[i].index == 0)
			has = cpuid->entries[i].eax;
	if ((has & (sse | avx)) != (sse | avx))
		return x87 | (has & sse);
	return x87 | sse | avx | ((has & avx512) == avx512 ? avx512 : 0);
}

int kvm_use_cpuid(struct kvm *kvm, struct err *err)
{
	auto_free struct kvm_cpuid2 *cpuid = calloc(
		1, sizeof(*cpuid) + KVM_ENTRIES * sizeof(cpuid->entries[0]));
	int r;

	if (!cpuid)
		return err_set(err, -ENOMEM, "list of CPUID");
	cpuid->nent = KVM_ENTRIES;
	r = kvm_ioctl(kvm->device, KVM_GET_SUPPORTED_CPUID, (uintptr_t)cpuid);
	if (r < 0)
		return err_set(err, r, "KVM_GET_SUPPORTED_CPUID");
	kvm_shorten_cpuid(cpuid);
	kvm->xcr0 = kvm_find_xcr0(cpuid);
	mem_free(&kvm->cpuid);
	kvm->cpuid = steal_ptr(&cpuid);
	return 0;
}

static int kvm_set_cpuid(const struct kvm *kvm, const struct kvm_cpu *cpu,
			 struct err *err)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };
	int r = kvm_ioctl(cpu->fd, KVM_SET_CPUID2, (uintptr_t)kvm->cpuid);

	if (r < 0)
		return err_set(err, r, "KVM_SET_CPUID2");
	xcrs.xcrs[0].value = kvm->xcr0;
	r = kvm_ioctl(cpu->fd, KVM_SET_XCRS, (uintptr_t)&xcrs);
	return r < 0 ? err_set(err, r, "KVM_SET_XCRS") : 0;
}

/* ---- machines ------------------------------------------------------------- */

int kvm_vm_make(const struct kvm *kvm, struct kvm_vm *vm, struct err *err)
{
	vm->fd = kvm_ioctl(kvm->device, KVM_CREATE_VM, 0);
	return vm->fd < 0 ? err_set(err, vm->fd, "KVM_CREATE_VM") : 0;
}

void kvm_vm_close(struct kvm_vm *vm)
{
	fd_close(&vm->fd);
}

int kvm_slot(const struct kvm_vm *vm, uint32_t slot, uint64_t gpa,
	     uint64_t bytes, void *address, uint32_t flags, struct err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)address,
	};
	int r = kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION,
			  (uintptr_t)&region);

	if (r < 0)
		return err_set(err, r, "memory slot %u of %llu bytes at %llx",
			       slot, (unsigned long long)bytes,
			       (unsigned long long)gpa);
	return 0;
}

/* ---- processors ----------------------------------------------------------- */

static int kvm_take_template(struct kvm *kvm, const struct kvm_cpu *cpu,
			     struct err *err)
{
	int r = kvm_ioctl(cpu->fd, KVM_GET_SREGS, (uintptr_t)&kvm->template);

	if (r < 0)
		return err_set(err, r, "KVM_GET_SREGS");
	kvm->has_template = true;
	return 0;
}

static int kvm_cpu_prepare(struct kvm *kvm, struct kvm_cpu *cpu,
			   struct err *err)
{
	int r = 0;

	cpu->run = mmap(NULL, cpu->run_bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED, cpu->fd, 0);
	if (cpu->run == MAP_FAILED) {
		cpu->run = NULL;
		return err_set(err, -errno, "map a processor's page");
	}
	if (kvm->cpuid)
		r = kvm_set_cpuid(kvm, cpu, err);
	if (r >= 0 && !kvm->has_template)
		r = kvm_take_template(kvm, cpu, err);
	return r;
}

int kvm_cpu_make(struct kvm *kvm, const struct kvm_vm *vm, struct kvm_cpu *cpu,
		 struct err *err)
{
	int r;

	*cpu = (struct kvm_cpu){ .run_bytes = kvm->run_bytes };
	cpu->fd = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (cpu->fd < 0)
		return err_set(err, cpu->fd, "KVM_CREATE_VCPU");
	r = kvm_cpu_prepare(kvm, cpu, err);
	if (r < 0)
		kvm_cpu_close(cpu);
	return r;
}

void kvm_cpu_close(struct kvm_cpu *cpu)
{
	if (cpu->run)
		munmap(cpu->run, cpu->run_bytes);
	cpu->run = NULL;
	fd_close(&cpu->fd);
}

int kvm_run(const struct kvm_cpu *cpu)
{
	return ioctl(cpu->fd, KVM_RUN, 0) < 0 ? -errno
					      : (int)cpu->run->exit_reason;
}

/* ---- left behind ---------------------------------------------------------- */

/* KVM ends a machine when the last descriptor goes, and waits there until no
 * CPU of the host can see it any more: the longer the busier the host is, and
 * who waits for a process that exits waits for that, too.  So the descriptors
 * are left in the queue of a socket that nobody can reach, for it is in the
 * queue itself.  The kernel looks for such queues when a socket is closed; it
 * drops what is in them in a thread of its own since 6.10, and at once before,
 * which costs what closing them would have.
 *
 * The other end stays open until the exit, which closes it behind the machine's
 * own descriptors: their numbers are lower. */
int kvm_leave(const struct kvm_vm *vm, const struct kvm_cpu *cpu)
{
	int ends[2], left[3] = { vm->fd, cpu->fd };
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	left[2] = ends[1];
	r = fd_send(ends[0], "", 1, left, 3, NULL);
	fd_close(&ends[1]);
	if (r < 0)
		fd_close(&ends[0]);
	return r;
}

/* ---- ring 3 --------------------------------------------------------------- */

enum {
	KVM_CR0 = 0x80050033, /* PG AM WP NE ET MP PE */
	KVM_CR4 = 0x620,      /* OSXMMEXCPT OSFXSR PAE */
	KVM_CR4_OSXSAVE = 1 << 18,
	/* NXE LMA LME.  With SCE a syscall would enter ring 0 at 0, on ring
	 * 3's stack. */
	KVM_EFER = 0xd00,
};

static const struct kvm_segment kvm_code_3 = {
	.limit = 0xffffffff,
	.selector = KVM_CODE_3,
	.type = 11, /* execute, read, used */
	.present = 1,
	.dpl = 3,
	.s = 1,
	.l = 1,
	.g = 1,
};
static const struct kvm_segment kvm_data_3 = {
	.limit = 0xffffffff,
	.selector = KVM_DATA_3,
	.type = 3, /* read, write, used */
	.present = 1,
	.dpl = 3,
	.s = 1,
	.db = 1,
	.g = 1,
};

void kvm_sregs_user(const struct kvm *kvm, struct kvm_sregs *sregs,
		    const struct kvm_tables *tables)
{
	*sregs = kvm->template;
	sregs->cr0 = KVM_CR0;
	sregs->cr3 = tables->cr3;
	sregs->cr4 = KVM_CR4 | (kvm->cpuid ? KVM_CR4_OSXSAVE : 0);
	sregs->efer = KVM_EFER;
	sregs->cs = kvm_code_3;
	sregs->ss = sregs->ds = sregs->es = kvm_data_3;
	sregs->fs = sregs->gs = kvm_data_3;
	sregs->ldt = (struct kvm_segment){ .unusable = 1 };
	sregs->tr = (struct kvm_segment){
		.base = tables->tss,
		.limit = tables->tss_limit,
		.selector = KVM_TASK,
		.type = 11, /* 64 bits, busy */
		.present = 1,
	};
	sregs->gdt = (struct kvm_dtable){ .base = tables->gdt,
					  .limit = tables->gdt_limit };
	sregs->idt = (struct kvm_dtable){ .base = tables->idt,
					  .limit = tables->idt_limit };
}

/* ---- the sentinel --------------------------------------------------------- */

int kvm_sentinel_open(struct kvm *kvm, struct kvm_sentinel *sentinel,
		      struct err *err)
{
	int r;

	*sentinel = (struct kvm_sentinel){ .vm.fd = -1, .cpu.fd = -1 };
	r = kvm_vm_make(kvm, &sentinel->vm, err);
	if (r >= 0)
		r = kvm_cpu_make(kvm, &sentinel->vm, &sentinel->cpu, err);
	if (r < 0)
		kvm_sentinel_close(sentinel);
	return r < 0 ? err_wrap(err, "sentinel") : 0;
}

void kvm_sentinel_close(struct kvm_sentinel *sentinel)
{
	kvm_cpu_close(&sentinel->cpu);
	kvm_vm_close(&sentinel->vm);
}
