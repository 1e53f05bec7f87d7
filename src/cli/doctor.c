/* SPDX-License-Identifier: Apache-2.0 */
/* brood doctor: tries what the other verbs rely on, one probe a line, and
 * tells for each that is not there what to change to get more. */
#include "aot/aot.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "cache/optimiser.h"
#include "cli/cli.h"
#include "cli/hot.h"
#include "domain/kvm.h"
#include "domain/kvm_facts.h"
#include "image/scan.h"
#include "jit/jit.h"
#include "lib/stub.h"
#include "lib/where.h"
#include "machine/accel.h"
#include "machine/qemu.h"
#include "machine/virtiofsd.h"
#include "vm/vm.h"
#include "wasm/interp.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/types.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Newer than the oldest kernel headers that this is built with. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif
struct doctor_pidfd_info {
	__u64 mask, cgroup;
	__u32 ids[12];
};
_Static_assert(sizeof(struct doctor_pidfd_info) == 64, "pidfd_info");
#define DOCTOR_PIDFD_GET_INFO _IOWR(0xFF, 11, struct doctor_pidfd_info)

enum doctor_grade { DOCTOR_OK, DOCTOR_LESS, DOCTOR_MISSING };

/* One line of the result. */
struct doctor_finding {
	enum doctor_grade grade;
	char text[300];
	const char *advice; /* what to change, NULL: nothing */
};
struct doctor_probe {
	const char *name;
	void (*look)(struct doctor_finding *finding);
	bool extra; /* only with --all */
};

static void doctor_note(struct doctor_finding *finding, enum doctor_grade grade,
			const char *advice, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void doctor_note(struct doctor_finding *finding, enum doctor_grade grade,
			const char *advice, const char *format, ...)
{
	va_list list;

	finding->grade = grade;
	finding->advice = advice;
	va_start(list, format);
	vsnprintf(finding->text, sizeof(finding->text), format, list);
	va_end(list);
}

static void doctor_kernel(struct doctor_finding *finding)
{
	int major = 0, minor = 0;
	struct utsname name;
	bool fits;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	fits = major > 6 || (major == 6 && minor >= 1);
	doctor_note(finding, fits ? DOCTOR_OK : DOCTOR_LESS,
		    fits ? NULL : "Linux 6.1 or newer is what is tested",
		    "Linux %s %s", name.release, name.machine);
}

static int doctor_traced_child(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			raise(SIGSTOP);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	if (!WIFSTOPPED(status))
		return -EPERM;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}

static void doctor_ptrace(struct doctor_finding *finding)
{
	if (doctor_traced_child() == 0)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "a keeper can trace what it starts");
	else
		doctor_note(finding, DOCTOR_MISSING,
			    "allow ptrace: kernel.yama.ptrace_scope below 3, "
			    "and no seccomp filter against it",
			    "children cannot be traced");
}

static void doctor_mm_map(struct doctor_finding *finding)
{
	unsigned size = 0;

	if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, (unsigned long)&size, 0, 0) ==
	    0)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "copies show their own command line and break");
	else
		doctor_note(finding, DOCTOR_LESS,
			    "a kernel with CONFIG_CHECKPOINT_RESTORE",
			    "PR_SET_MM_MAP: %s; ps shows other command lines "
			    "for copies, and a hatched program's heap grows "
			    "elsewhere",
			    strerror(errno));
}

static void doctor_pidfd(struct doctor_finding *finding)
{
	struct doctor_pidfd_info info = { .mask = 1 };
	auto_close int fd = (int)syscall(SYS_pidfd_open, (long)getpid(), 0L);

	if (fd >= 0 && ioctl(fd, DOCTOR_PIDFD_GET_INFO, &info) == 0)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "exit status straight from the kernel");
	else
		doctor_note(finding, DOCTOR_OK, NULL,
			    "not in this kernel (6.15); exit status comes "
			    "over the socket");
}

static void doctor_nosignal(struct doctor_finding *finding)
{
	const struct iovec byte = { .iov_base = "", .iov_len = 1 };
	auto_close int reader = -1, writer = -1;
	int ends[2] = { -1, -1 };

	if (pipe2(ends, O_CLOEXEC) == 0) {
		reader = ends[0];
		writer = ends[1];
	}
	if (pwritev2(writer, &byte, 1, -1, RWF_NOWAIT | RWF_NOSIGNAL) == 1)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "byte code writes to pipes at once");
	else
		doctor_note(finding, DOCTOR_OK, NULL,
			    "not in this kernel (6.18); byte code waits for "
			    "a pipe before it writes");
}

static void doctor_pagemap(struct doctor_finding *finding)
{
	if (scan_is_quick())
		doctor_note(finding, DOCTOR_OK, NULL,
			    "a machine's own pages are found in a millisecond");
	else
		doctor_note(finding, DOCTOR_OK, NULL,
			    "not in this kernel (6.7); a machine's own pages "
			    "are looked for one by one");
}

static void doctor_populate(struct doctor_finding *finding)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at = mmap(NULL, page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool can =
		at != MAP_FAILED && madvise(at, page, MADV_POPULATE_WRITE) == 0;

	if (at != MAP_FAILED)
		munmap(at, page);
	if (can)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "waiting copies touch their pages early");
	else
		doctor_note(finding, DOCTOR_LESS, "Linux 5.14 or newer",
			    "pages are touched only by the launch");
}

static int doctor_number_in(const char *path)
{
	auto_buf struct buf text = { 0 };

	if (file_read(path, &text, 64, NULL) < 0)
		return -1;
	return atoi(buf_string(&text));
}

static void doctor_random(struct doctor_finding *finding)
{
	int level = doctor_number_in("/proc/sys/kernel/randomize_va_space");

	if (level == 0)
		doctor_note(finding, DOCTOR_LESS,
			    "sysctl kernel.randomize_va_space=2",
			    "off: generations keep the same addresses");
	else
		doctor_note(finding, DOCTOR_OK, NULL,
			    "each generation lies at other addresses");
}

/* The nearest folder of path that exists. */
static void doctor_existing(char *path)
{
	char *slash;

	while (access(path, F_OK) < 0 && (slash = strrchr(path, '/')) &&
	       slash != path)
		*slash = 0;
}

static void doctor_folder(struct doctor_finding *finding, const char *path,
			  unsigned long least_mib, const char *advice)
{
	auto_free char *there = strdup(path);
	unsigned long long free_mib = 0;
	struct statvfs fs;

	if (!there)
		return;
	doctor_existing(there);
	if (statvfs(there, &fs) == 0)
		free_mib = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
	/* Also where a kernel's own file system lets root through. */
	if (access(there, W_OK) < 0 || free_mib == 0)
		doctor_note(finding, DOCTOR_MISSING, advice,
			    "%s: %s cannot be written", path, there);
	else if (free_mib < least_mib)
		doctor_note(finding, DOCTOR_LESS, advice,
			    "%s has only %llu MiB free", path, free_mib);
	else
		doctor_note(finding, DOCTOR_OK, NULL, "%s, %llu MiB free", path,
			    free_mib);
}

static int doctor_place(struct registry_place *place,
			struct doctor_finding *finding)
{
	struct err err = { 0 };

	if (registry_place("0000000000000000", false, place, &err) >= 0)
		return 0;
	doctor_note(finding, DOCTOR_MISSING, "set HOME or XDG_CACHE_HOME",
		    "%.250s", err.text);
	return err.code;
}

static void doctor_cut(char *path, int levels)
{
	char *slash;

	while (levels-- > 0 && (slash = strrchr(path, '/')))
		*slash = 0;
}

static void doctor_cache(struct doctor_finding *finding)
{
	auto_place struct registry_place place = { 0 };

	if (doctor_place(&place, finding) < 0)
		return;
	doctor_cut(place.state, 1);
	doctor_folder(finding, place.state, 200,
		      "make room, or set XDG_CACHE_HOME to another folder");
}

static void doctor_runtime(struct doctor_finding *finding)
{
	auto_place struct registry_place place = { 0 };

	if (doctor_place(&place, finding) < 0)
		return;
	doctor_cut(place.sockets, 1);
	doctor_folder(finding, place.sockets, 1,
		      "set XDG_RUNTIME_DIR to a folder of your own");
}

static void doctor_shim(struct doctor_finding *finding)
{
	struct err err = { 0 };
	auto_free char *path = where_is("brood-shim.so", &err);

	if (path)
		doctor_note(finding, DOCTOR_OK, NULL, "%.280s", path);
	else
		doctor_note(finding, DOCTOR_MISSING,
			    "build or install the whole of Brood", "%.280s",
			    err.text);
}

static void doctor_starter(struct doctor_finding *finding)
{
	struct err err = { 0 };
	auto_free char *path = where_is("brood-hatch", &err);

	if (path && access(path, X_OK) == 0)
		doctor_note(finding, DOCTOR_OK, NULL, "%.280s", path);
	else
		doctor_note(finding, DOCTOR_MISSING,
			    "build or install the whole of Brood", "%.280s",
			    path ? "the starter may not be executed"
				 : err.text);
}

/* The kernel takes limits, ambient capabilities and personality from who
 * executes a file with capabilities. */
static void doctor_exe_link(struct doctor_finding *finding)
{
	auto_free char *path = where_is("brood-hatch", NULL);

	if (path && getxattr(path, "security.capability", NULL, 0) > 0)
		doctor_note(finding, DOCTOR_LESS, "setcap -r on brood-hatch",
			    "%.200s has capabilities: what it starts loses "
			    "limits and rights of its caller",
			    path);
	else
		doctor_note(finding, DOCTOR_OK, NULL, "%s",
			    geteuid() == 0
				    ? "/proc/PID/exe of hatched programs is "
				      "the program"
				    : "hatched programs see themselves in "
				      "/proc/self/exe, others see the starter");
}

static void doctor_stubs(struct doctor_finding *finding)
{
	auto_free char *dir = stub_default_dir(NULL);
	const char *path = getenv("PATH");
	bool in_path = dir && path && strstr(path, dir);

	doctor_note(finding, DOCTOR_OK, NULL, "%.200s%s",
		    dir ? dir : "no HOME, so no default folder",
		    in_path ? ", in PATH" : ", not in PATH");
}

static void doctor_userfault(struct doctor_finding *finding)
{
	doctor_note(finding, DOCTOR_OK, NULL, "not needed by this version");
}

/* For machines that run an operating system. */
static void doctor_qemu(struct doctor_finding *finding)
{
	auto_qemu struct qemu qemu = { 0 };
	struct err err = { 0 };
	struct accel accel;
	bool is_kvm;

	if (qemu_find(&qemu, &err) < 0) {
		doctor_note(finding, DOCTOR_LESS,
			    "install qemu-system-x86, or name one by "
			    "BROOD_QEMU",
			    "%.250s", err.text);
		return;
	}
	accel_pick(qemu.path, NULL, &accel, NULL);
	is_kvm = strcmp(accel.name, "kvm") == 0;
	doctor_note(finding, is_kvm ? DOCTOR_OK : DOCTOR_LESS,
		    is_kvm ? NULL
			   : "KVM on a processor that runs guests itself; "
			     "until then machines are translated (tcg)",
		    "%d.%d.%d, %.80s; %s%.180s", qemu.major, qemu.minor,
		    qemu.micro, qemu.path, is_kvm ? "" : "tcg, as ",
		    accel.reason);
}

/* Who installs applications for all users mounts their payloads. */
static void doctor_applications(struct doctor_finding *finding)
{
	static const char unpacked[] =
		"root, and a kernel with EROFS; until then \"app install "
		"--unpacked\" puts applications on the share as folders";
	auto_buf struct buf kinds = { 0 };
	bool known;

	file_read("/proc/filesystems", &kinds, 1 << 16, NULL);
	known = strstr(buf_string(&kinds), "\terofs\n") ||
		access("/sys/module/erofs", F_OK) == 0;
	if (geteuid() == 0 && known)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "shared payloads are mounted, once for a host");
	else if (geteuid() == 0)
		doctor_note(finding, DOCTOR_LESS, unpacked,
			    "this kernel has no EROFS loaded");
	else
		doctor_note(finding, DOCTOR_LESS, unpacked,
			    "this user may not mount shared payloads");
}

static void doctor_virtiofsd(struct doctor_finding *finding)
{
	auto_free char *path = NULL;
	struct err err = { 0 };

	if (virtiofsd_find(&path, &err) < 0)
		doctor_note(finding, DOCTOR_LESS,
			    "until then machines share folders by 9p alone",
			    "%.250s", err.text);
	else
		doctor_note(finding, DOCTOR_OK, NULL, "%.200s%s", path,
			    geteuid() == 0 ? ""
					   : "; QEMU's own wants to be root");
}

static void doctor_engine(struct doctor_finding *finding)
{
	struct err err = { 0 };

	if (vm_prepare(&err) < 0)
		doctor_note(finding, DOCTOR_LESS,
			    "a CPU with SSE4.2 and POPCNT, for \"brood run\"",
			    "%.250s", err.text);
	else
		doctor_note(finding, DOCTOR_OK, NULL,
			    "Wasm 3.0, threads, wide arithmetic, custom page "
			    "sizes; interpreter by %s",
			    wasm_interp_compiler());
}

static bool doctor_may_execute(void)
{
	void *page = mmap(NULL, CODE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool may = page != MAP_FAILED &&
		   mprotect(page, CODE_PAGE, PROT_READ | PROT_EXEC) == 0;

	if (page != MAP_FAILED)
		munmap(page, CODE_PAGE);
	return may;
}

/* Bits of enum code_feature. */
static void doctor_features(uint32_t features, struct buf *text)
{
	static const char *const names[] = { "AVX",   "AVX2", "BMI1",	"BMI2",
					     "LZCNT", "FMA",  "AVX-512" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (features >> i & 1)
			buf_format(text, " %s", names[i]);
}

static void doctor_compiler(struct doctor_finding *finding)
{
	auto_buf struct buf text = { 0 };
	uint32_t features = jit_features();

	if (!doctor_may_execute()) {
		doctor_note(finding, DOCTOR_LESS,
			    "memory that may be executed, for compiled code",
			    "not made executable; byte code is interpreted, "
			    "but for what is in the cache");
		return;
	}
	doctor_features(features, &text);
	doctor_note(finding, DOCTOR_OK, NULL, "for x86-64-v2%s%s",
		    features ? " with" : "", buf_string(&text));
}

/* For "brood compile --optimise". */
static void doctor_optimiser(struct doctor_finding *finding)
{
	auto_buf struct buf version = { 0 };
	struct err err = { 0 };
	auto_free char *path = where_is_compiler(&err);

	if (!path)
		doctor_note(
			finding, DOCTOR_LESS,
			"apt install brood-aotc; or llvm-19-dev, and build anew",
			"none; byte code runs by the baseline compiler");
	else if (aot_version(path, &version, &err) < 0)
		doctor_note(finding, DOCTOR_LESS, "apt install libllvm19",
			    "none that runs: %.250s", err.text);
	else
		doctor_note(finding, DOCTOR_OK, NULL, "%.100s, %.180s",
			    buf_string(&version), path);
	cli_plain(finding->text);
}

static int doctor_count_due(const struct cache_entry *entry, void *context)
{
	*(int *)context += !entry->wrong && !entry->head.options &&
			   hot_is_due(&entry->hot);
	return 0;
}

static void doctor_last(const struct optimiser_state *state, struct buf *text)
{
	char age[24];

	if (!state->last_s) {
		buf_text(text, "; nothing was done yet");
		return;
	}
	cli_age(state->last_s, age);
	buf_format(text, "; last %s, %s ago, ",
		   state->name[0] ? state->name : state->key, age);
	if (state->failed)
		buf_format(text, "not done: %s", state->words);
	else
		buf_format(text, "%u functions in %.1f CPU s", state->functions,
			   (double)state->last_cpu_ms / 1e3);
}

static void doctor_hot_text(const char *folder, struct buf *text)
{
	struct optimiser_state state;
	int due = 0;

	cache_optimiser_read(folder, &state);
	buf_format(text, "%.0f of %ld CPU s left in this hour",
		   (double)hot_left_ms(&state) / 1e3, hot_budget_s());
	doctor_last(&state, text);
	if (cache_optimiser_runs(folder))
		buf_text(text, "; one works now");
	cache_each(folder, doctor_count_due, &due, NULL);
	if (due)
		buf_format(text, "; %d wait for %s", due,
			   hot_left_ms(&state) < 1000 ? "the next hour"
						      : "their next run");
}

/* What runs begin by themselves. */
static void doctor_hot(struct doctor_finding *finding)
{
	auto_buf struct buf text = { 0 };
	auto_free char *folder = cache_folder(NULL, NULL);
	struct err err = { 0 };
	auto_free char *compiler = where_is_compiler(&err);
	const char *told = getenv("BROOD_OPTIMISE");

	if (hot_budget_s() < 0)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "off, as BROOD_OPTIMISE=%.60s says", told);
	else if (!hot_budget_s())
		doctor_note(finding, DOCTOR_OK, NULL,
			    "off, but profiles are kept, as BROOD_OPTIMISE=0 "
			    "says");
	else if (!folder || !compiler)
		doctor_note(finding, DOCTOR_OK, NULL, "off: there is no %s",
			    folder ? "optimiser" : "code cache");
	else
		doctor_hot_text(folder, &text);
	if (text.len)
		doctor_note(finding, DOCTOR_OK, NULL, "on, %.280s",
			    buf_string(&text));
	cli_plain(finding->text);
}

static void doctor_domains(struct doctor_finding *finding)
{
	struct kvm_facts facts;
	uint32_t call_ns;

	kvm_facts_find(&facts);
	call_ns = facts.bell_port ? facts.port_ns : facts.store_ns;
	if (facts.usable)
		doctor_note(finding, DOCTOR_OK, NULL,
			    "VM walls: machine %u us, processor %u us, first "
			    "run %u us, host call %.1f us, page %.1f us",
			    facts.vm_ns / 1000, facts.cpu_ns / 1000,
			    facts.first_ns / 1000, call_ns / 1e3,
			    facts.page_ns / 1e3);
	else
		doctor_note(finding, DOCTOR_LESS,
			    facts.code ? kvm_advice(facts.code)
				       : "another kernel or processor, for "
					 "walls of a VM",
			    "process walls, as kvm: %s", facts.why);
}

static void doctor_domain_cpu(struct doctor_finding *finding)
{
	auto_buf struct buf text = { 0 };
	struct kvm_facts facts;

	kvm_facts_find(&facts);
	if (!facts.usable) {
		doctor_note(finding, DOCTOR_OK, NULL, "none, but a process's");
		return;
	}
	doctor_features(facts.features, &text);
	doctor_note(finding, DOCTOR_OK, NULL,
		    "x86-64-v2%s%s%s; ring 0 %s, %u ns an instruction; "
		    "doorbell by %s",
		    facts.features ? " with" : "", buf_string(&text),
		    facts.needs_cpuid ? " by CPUID" : "",
		    facts.native_ring0 ? "native" : "emulated", facts.ring0_ns,
		    !facts.bell_port	? "store"
		    : !facts.bell_store ? "port"
					: "port or store");
}

static void doctor_refused(struct doctor_finding *finding)
{
	doctor_note(finding, DOCTOR_OK, NULL,
		    "custom descriptors, compact imports, exceptions as they "
		    "were before the standard had them");
}

static const struct doctor_probe doctor_probes[] = {
	{ "kernel", doctor_kernel, false },
	{ "shim", doctor_shim, false },
	{ "starter", doctor_starter, false },
	{ "cache", doctor_cache, false },
	{ "sockets", doctor_runtime, false },
	{ "stubs", doctor_stubs, false },
	{ "ptrace", doctor_ptrace, false },
	{ "PR_SET_MM_MAP", doctor_mm_map, false },
	{ "PIDFD_GET_INFO", doctor_pidfd, false },
	{ "RWF_NOSIGNAL", doctor_nosignal, false },
	{ "PAGEMAP_SCAN", doctor_pagemap, false },
	{ "MADV_POPULATE", doctor_populate, false },
	{ "randomisation", doctor_random, false },
	{ "/proc/PID/exe", doctor_exe_link, false },
	{ "Wasm engine", doctor_engine, false },
	{ "Wasm compiler", doctor_compiler, false },
	{ "Wasm optimiser", doctor_optimiser, false },
	{ "by itself", doctor_hot, false },
	{ "Wasm refused", doctor_refused, false },
	{ "domains", doctor_domains, false },
	{ "domain CPU", doctor_domain_cpu, true },
	{ "QEMU", doctor_qemu, false },
	{ "virtiofsd", doctor_virtiofsd, false },
	{ "applications", doctor_applications, false },
	{ "userfaultfd", doctor_userfault, true },
};
enum { DOCTOR_PROBES = sizeof(doctor_probes) / sizeof(doctor_probes[0]) };

struct doctor_options {
	bool all, json;
};

static const struct args_option doctor_options[] = {
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct doctor_options, all),
	  .help = "also what this version does not use" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct doctor_options, json),
	  .help = "one JSON object instead of a table" },
	{ .name = NULL }
};

const struct args_verb doctor_args = {
	.name = "doctor",
	.synopsis = "[--all] [--json]",
	.summary = "tell what this machine can do, and how to get more",
	.text = "Tries what Brood relies on and prints a line for each: ok, "
		"less (it works, with something missing) or missing. Ends "
		"with 0 when programs can be started warm here, else with "
		"111. The line \"by itself\" tells whether what is hot is "
		"optimised by itself (see brood-compile(1)), how much of this "
		"hour's budget is left, what was done last, and what waits.",
	.options = doctor_options,
};

static const char *doctor_word(enum doctor_grade grade)
{
	static const char *const word[] = { "ok", "less", "missing" };

	return word[grade];
}

static void doctor_line(const struct doctor_probe *probe,
			const struct doctor_finding *finding, struct buf *out)
{
	buf_format(out, "%-8s %-15s %s\n", doctor_word(finding->grade),
		   probe->name, finding->text);
	if (finding->advice)
		buf_format(out, "%-24s -> %s\n", "", finding->advice);
}

static void doctor_item(const struct doctor_probe *probe,
			const struct doctor_finding *finding, struct json *json)
{
	json_open(json, NULL);
	json_text(json, "name", probe->name);
	json_text(json, "grade", doctor_word(finding->grade));
	json_text(json, "text", finding->text);
	if (finding->advice)
		json_text(json, "advice", finding->advice);
	json_close(json);
}

static bool doctor_look(const struct doctor_options *options, struct json *json,
			struct buf *out)
{
	bool fine = true;

	for (int i = 0; i < DOCTOR_PROBES; i++) {
		struct doctor_finding finding = { 0 };

		if (doctor_probes[i].extra && !options->all)
			continue;
		doctor_probes[i].look(&finding);
		fine = fine && finding.grade != DOCTOR_MISSING;
		if (json)
			doctor_item(&doctor_probes[i], &finding, json);
		else
			doctor_line(&doctor_probes[i], &finding, out);
	}
	return fine;
}

static bool doctor_as_json(const struct doctor_options *options,
			   struct buf *out)
{
	struct json json;
	bool fine;

	json_start(&json, out);
	json_open(&json, NULL);
	json_list_open(&json, "findings");
	fine = doctor_look(options, &json, out);
	json_list_close(&json);
	json_bool(&json, "warm", fine);
	json_close(&json);
	buf_text(out, "\n");
	return fine;
}

int doctor_run(int argc, char **argv)
{
	struct doctor_options options = { 0 };
	auto_buf struct buf out = { 0 };
	char **operands;
	int count, code;
	bool fine;

	if (cli_parse(&doctor_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	if (options.json) {
		fine = doctor_as_json(&options, &out);
	} else {
		fine = doctor_look(&options, NULL, &out);
		buf_text(&out, fine ? "\nPrograms can be started warm here.\n"
				    : "\nNothing can be started warm until "
				      "what is missing is there.\n");
	}
	code = cli_print(buf_string(&out));
	return code ? code : fine ? 0 : CLI_SYSTEM;
}
