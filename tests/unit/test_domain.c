/* SPDX-License-Identifier: Apache-2.0 */
/* Domains: modules that run in micro-VMs, compiled and interpreted, their
 * traps and limits, and guests that do not behave. */
#include "base/clock.h"
#include "domain/ready_internal.h"
#include "lib/made_domain.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODULE                                                               \
	"(module (memory (export \"m\") 1 1000)"                             \
	" (func (export \"add\") (param i32 i32) (result i32)"               \
	"  (i32.add (local.get 0) (local.get 1)))"                           \
	" (func (export \"get\") (param i32) (result i32)"                   \
	"  (i32.load (local.get 0)))"                                        \
	" (func (export \"set\") (param i32 i32) (result i32)"               \
	"  (i32.store (local.get 0) (local.get 1)) (local.get 1))"           \
	" (func (export \"grow\") (param i32) (result i32)"                  \
	"  (memory.grow (local.get 0)))"                                     \
	" (func (export \"div\") (param i32 i32) (result i32)"               \
	"  (i32.div_s (local.get 0) (local.get 1)))"                         \
	" (func $deep (export \"deep\") (param i32) (result i32)"            \
	"  (i32.add (call $deep (i32.add (local.get 0) (i32.const 1)))"      \
	"   (i32.const 1)))"                                                 \
	" (func (export \"unreachable\") (result i32) unreachable)"          \
	" (func (export \"spin\") (result i32) (loop (br 0)) (i32.const 0))" \
	" (func (export \"sum\") (param i32) (result i32) (local i32)"       \
	"  (loop (local.set 1 (i32.add (local.get 1) (local.get 0)))"        \
	"   (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) " \
	"  (local.get 1)))"

#define NEEDS_KVM              \
	if (!ground_use(true)) \
	SKIP(failure.text)

static void check_calls(enum vm_via via)
{
	struct run run;

	if (!run_open(&run, MODULE, via, (struct domain_options){ 0 })) {
		CHECK(!"a domain opens");
		return;
	}
	CHECK(run_is(&run, "add", 2, 40, 2, 42));
	CHECK(run_is(&run, "sum", 1, 1000000, 0, 1784293664));
	CHECK(run_is(&run, "set", 2, 65532, 7, 7));
	CHECK(run_is(&run, "get", 1, 65532, 0, 7));
	CHECK(run_traps(&run, "get", 1, 65533, 0, WASM_TRAP_memory_bounds));
	CHECK(run_traps(&run, "get", 1, 0xffffffff, 0,
			WASM_TRAP_memory_bounds));
	CHECK(run_is(&run, "grow", 1, 1, 0, 1));
	CHECK(run_is(&run, "set", 2, 131068, 9, 9));
	CHECK(run_is(&run, "get", 1, 131068, 0, 9));
	CHECK(run_is(&run, "grow", 1, 998, 0, 2));
	CHECK(run_is(&run, "set", 2, 65535996, 5, 5));
	CHECK(run_is(&run, "get", 1, 65532, 0, 7));
	CHECK(run_traps(&run, "get", 1, 65536000, 0, WASM_TRAP_memory_bounds));
	CHECK(run_is(&run, "grow", 1, 1, 0, (uint32_t)-1));
	CHECK(run_traps(&run, "div", 2, 1, 0, WASM_TRAP_divide_by_zero));
	CHECK(run_traps(&run, "deep", 1, 0, 0, WASM_TRAP_stack));
	CHECK_INT(run.outcome.trace_count, GUEST_TRACE);
	CHECK(run_traps(&run, "unreachable", 0, 0, 0, WASM_TRAP_unreachable));
	domain_set_deadline(run.domain, (int64_t)clock_ns() + 20000000);
	CHECK(run_traps(&run, "spin", 0, 0, 0, WASM_TRAP_deadline));
	domain_set_deadline(run.domain, 0);
	CHECK(run_is(&run, "add", 2, 40, 2, 42));
	run_close(&run);
}

TEST(compiled)
{
	NEEDS_KVM;
	check_calls(VM_COMPILED);
}

TEST(compiled_in_a_process)
{
	ground_use(false);
	check_calls(VM_COMPILED);
}

TEST(interpreted)
{
	NEEDS_KVM;
	check_calls(VM_INTERPRETED);
}

TEST(interpreted_in_a_process)
{
	ground_use(false);
	check_calls(VM_INTERPRETED);
}

/* Where the tables are used up in the middle of it, nothing of the memory that
 * could not be had may be left for the next one who has it. */
TEST(what_does_not_open_is_shut)
{
	struct domain_options options = { 0 };
	const struct space_region *region;
	int ends[2] = { -1, -1 };
	struct run run;

	NEEDS_KVM;
	CHECK(pipe(ends) == 0);
	CHECK(run_open(&run, MODULE, VM_COMPILED, options));
	region = space_window(&run.domain->space, 0);
	run.domain->space.tables.used = GUEST_TABLES_BYTES / GUEST_PAGE;
	CHECK(run_is(&run, "grow", 1, 100, 0, (uint32_t)-1));
	CHECK_INT(region->open, 65536);
	CHECK_INT(write(ends[1], region->at + 65535, 1), 1);
	CHECK_INT(write(ends[1], region->at + 65536, 1), -1);
	CHECK(run_is(&run, "set", 2, 65532, 7, 7));
	run_close(&run);
	close(ends[0]);
	close(ends[1]);
}

/* A call that stops has no outcome yet; one that cannot go on for now goes on
 * later, from where it stopped. */
TEST(stopped_and_gone_on)
{
	static const char text[] =
		"(module (import \"brood\" \"ready\" (func $ready))"
		" (func (export \"bad\") unreachable)"
		" (func (export \"f\") (call $ready)))";
	struct domain_options options = { 0 };
	struct rlimit before, none;
	struct run run;

	NEEDS_KVM;
	CHECK(run_open(&run, text, VM_COMPILED, options));
	CHECK(run_traps(&run, "bad", 0, 0, 0, WASM_TRAP_unreachable));
	domain_set_until(run.domain, DOMAIN_UNTIL_READY);
	CHECK_INT(run_call(&run, "f", 0, 0, 0), DOMAIN_STOPPED);
	CHECK_INT(run.outcome.trap, WASM_OK);
	CHECK_INT(run.outcome.trace_count, 0);
	/* No timer can be made. */
	getrlimit(RLIMIT_SIGPENDING, &before);
	none = (struct rlimit){ 0, before.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	domain_set_deadline(run.domain, (int64_t)clock_ns() + 5000000000);
	CHECK(domain_go_on(run.domain, &run.outcome, &failure) < 0);
	setrlimit(RLIMIT_SIGPENDING, &before);
	CHECK_INT(domain_go_on(run.domain, &run.outcome, &failure), 0);
	CHECK_INT(run.outcome.trap, WASM_OK);
	CHECK(run_traps(&run, "bad", 0, 0, 0, WASM_TRAP_unreachable));
	run_close(&run);
}

/* ---- kept and begun again ---------------------------------------------------- */

struct kept {
	char folder[64];
	struct images images;
	struct tip tip;
	struct snapshot snapshots[4]; /* all stay: domains began as them */
	struct snapshot *snapshot;    /* the last one, NULL: none yet */
};

static bool kept_open(struct kept *kept)
{
	*kept = (struct kept){ .tip = TIP_EMPTY };
	strcpy(kept->folder, "/tmp/brood-test-XXXXXX");
	return mkdtemp(kept->folder) &&
	       images_open(&kept->images, kept->folder, true, &failure) >= 0;
}

/* One more layer; what begins as it is open. */
static bool kept_take(struct kept *kept, struct domain *domain)
{
	struct snapshot *next =
		kept->snapshot ? kept->snapshot + 1 : kept->snapshots;
	struct tip tip = TIP_EMPTY;
	uint8_t ids[8][LAYER_ID];
	uint32_t count = 0;

	if (kept->snapshot) {
		for (; count < kept->snapshot->tip.layer_count; count++)
			memcpy(ids[count],
			       kept->snapshot->tip.layers[count].head.id,
			       LAYER_ID);
		if (tip_compose(&kept->images, (const void *)ids, count, &tip,
				&failure) < 0)
			return false;
	}
	if (snapshot_take(domain, &kept->images, &tip, NULL, &failure) >= 0 &&
	    snapshot_open(next, &tip, &failure) >= 0) {
		kept->snapshot = next;
		return true;
	}
	printf("# %s\n", failure.text);
	tip_close(&tip);
	return false;
}

static void kept_close(struct kept *kept)
{
	for (; kept->snapshot; kept->snapshot = kept->snapshot > kept->snapshots
							? kept->snapshot - 1
							: NULL)
		snapshot_close(kept->snapshot);
	images_close(&kept->images);
	file_remove_tree(kept->folder, NULL);
}

static bool run_again(struct run *run, struct kept *kept, struct run *as)
{
	const struct domain_options options = { .ground = ground };

	*as = *run;
	as->domain = NULL;
	if (snapshot_start(&as->domain, &options, kept->snapshot,
			   &run->program.code, &failure) >= 0)
		return true;
	printf("# %s\n", failure.text);
	return false;
}

static void check_kept(enum vm_via via)
{
	struct run run, first, second, third;
	struct kept kept;

	CHECK(kept_open(&kept));
	CHECK(run_open(&run, MODULE, via, (struct domain_options){ 0 }));
	CHECK(run_is(&run, "set", 2, 0, 1, 1));
	CHECK(kept_take(&kept, run.domain));
	CHECK_INT(kept.snapshot->tip.layer_count, 1);
	/* Two that begin as it, and it itself, go their own ways. */
	CHECK(run_again(&run, &kept, &first));
	CHECK(run_again(&run, &kept, &second));
	CHECK(run_is(&run, "set", 2, 4, 100, 100));
	CHECK(run_is(&first, "get", 1, 0, 0, 1));
	CHECK(run_is(&first, "get", 1, 4, 0, 0));
	CHECK(run_is(&first, "set", 2, 4, 2, 2));
	CHECK(run_is(&first, "grow", 1, 100, 0, 1));
	CHECK(run_is(&first, "set", 2, 6619132, 3, 3));
	CHECK(run_is(&second, "get", 1, 4, 0, 0));
	CHECK(run_traps(&second, "get", 1, 6619132, 0,
			WASM_TRAP_memory_bounds));
	CHECK(run_is(&run, "get", 1, 4, 0, 100));
	/* A difference on top, with more memory. */
	CHECK(kept_take(&kept, first.domain));
	CHECK_INT(kept.snapshot->tip.layer_count, 2);
	CHECK(run_again(&run, &kept, &third));
	CHECK(run_is(&third, "get", 1, 0, 0, 1));
	CHECK(run_is(&third, "get", 1, 4, 0, 2));
	CHECK(run_is(&third, "get", 1, 6619132, 0, 3));
	CHECK(run_is(&third, "grow", 1, 100, 0, 101));
	CHECK(run_is(&third, "set", 2, 13172732, 4, 4));
	CHECK(run_traps(&third, "deep", 1, 0, 0, WASM_TRAP_stack));
	domain_close(first.domain);
	domain_close(second.domain);
	domain_close(third.domain);
	CHECK(run_is(&run, "add", 2, 1, 2, 3));
	kept_close(&kept);
	run_close(&run);
}

/* What a tenant has done is not there for the next one. */
static void check_reset(enum vm_via via)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct run run, used;
	struct kept kept;

	CHECK(kept_open(&kept));
	CHECK(run_open(&run, MODULE, via, (struct domain_options){ 0 }));
	CHECK(run_is(&run, "set", 2, 0, 1, 1));
	CHECK(kept_take(&kept, run.domain));
	domain_close(run.domain);
	run.domain = NULL;
	CHECK(run_again(&run, &kept, &used));
	for (uint32_t i = 0; i < 5; i++) {
		CHECK(run_is(&used, "get", 1, 0, 0, 1));
		CHECK(run_is(&used, "get", 1, 4, 0, 0));
		CHECK(run_is(&used, "set", 2, 4, 7, 7));
		CHECK(run_is(&used, "set", 2, 65532, 7, 7));
		CHECK(run_traps(&used, "get", 1, 65536, 0,
				WASM_TRAP_memory_bounds));
		CHECK(run_is(&used, "grow", 1, i * 100, 0, 1));
		if (i)
			CHECK(run_is(&used, "set", 2, i * 6553600 + 65532, 9,
				     9));
		CHECK(run_traps(&used, "deep", 1, 0, 0, WASM_TRAP_stack));
		domain_set_deadline(used.domain, (int64_t)clock_ns() + 3000000);
		CHECK(run_traps(&used, "spin", 0, 0, 0, WASM_TRAP_deadline));
		if (snapshot_reset(kept.snapshot, used.domain, pagemap,
				   &failure) < 0) {
			CHECK(!"a domain can be reset");
			printf("# %s\n", failure.text);
		}
	}
	CHECK(run_is(&used, "add", 2, 1, 2, 3));
	domain_close(used.domain);
	kept_close(&kept);
	run_close(&run);
	close(pagemap);
}

TEST(reset_compiled)
{
	NEEDS_KVM;
	check_reset(VM_COMPILED);
}

TEST(reset_compiled_in_a_process)
{
	ground_use(false);
	check_reset(VM_COMPILED);
}

TEST(reset_interpreted)
{
	NEEDS_KVM;
	check_reset(VM_INTERPRETED);
}

TEST(reset_interpreted_in_a_process)
{
	ground_use(false);
	check_reset(VM_INTERPRETED);
}

/* What is kept was made in a domain that began as less: as a fresh guest. */
/* Where one had his memory grow, another one's is: behind the same table if it
 * were given out again. */
TEST(tables_of_another_tenant)
{
	static const char text[] =
		"(module (memory $a 256 4096) (memory $b 256 4096)"
		" (func (export \"a\") (param i32) (result i32)"
		"  (memory.grow $a (local.get 0)))"
		" (func (export \"b\") (param i32) (result i32)"
		"  (memory.grow $b (local.get 0)))"
		" (func (export \"get\") (param i32) (result i32)"
		"  (i32.load $a (local.get 0)))"
		" (func (export \"set\") (param i32 i32) (result i32)"
		"  (i32.store $b (local.get 0) (local.get 1)) (local.get 1)))";
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct domain_options options = { 0 };
	struct kept kept;
	struct run run, used;

	NEEDS_KVM;
	CHECK(kept_open(&kept));
	CHECK(run_open(&run, text, VM_COMPILED, options));
	CHECK(run_is(&run, "a", 1, 1, 0, 256));
	CHECK(run_is(&run, "b", 1, 1, 0, 256));
	CHECK(kept_take(&kept, run.domain));
	CHECK(run_again(&run, &kept, &used));
	CHECK(run_is(&used, "a", 1, 32, 0, 257));
	CHECK(run_is(&used, "get", 1, 18 << 20, 0, 0));
	CHECK(snapshot_reset(kept.snapshot, used.domain, pagemap, &failure) >=
	      0);
	CHECK(run_is(&used, "b", 1, 32, 0, 257));
	CHECK(run_is(&used, "set", 2, 18 << 20, 77, 77));
	CHECK(run_traps(&used, "get", 1, 18 << 20, 0, WASM_TRAP_memory_bounds));
	domain_close(used.domain);
	kept_close(&kept);
	run_close(&run);
	close(pagemap);
}

TEST(the_first_is_not_reset)
{
	static const char text[] =
		"(module (memory 8)"
		" (func $fill (memory.fill (i32.const 0) (i32.const 165)"
		"  (i32.const 524288))) (start $fill)"
		" (func (export \"get\") (param i32) (result i32)"
		"  (i32.load8_u (local.get 0)))"
		" (func (export \"clear\") (result i32)"
		"  (memory.fill (i32.const 0) (i32.const 0) (i32.const 524288))"
		"  (i32.const 0)))";
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct domain_options options = { 0 };
	struct ready ready;
	struct kept kept;
	struct run run;

	NEEDS_KVM;
	options.ground = ground;
	CHECK(kept_open(&kept));
	CHECK(run_open(&run, text, VM_COMPILED, options));
	domain_close(run.domain);
	CHECK(ready_open(&ready, &options, &run.program, kept.folder,
			 &failure) >= 0);
	for (int i = 0; i < 2; i++) {
		CHECK(ready_start(&ready, NULL, 0, &run.domain, &run.outcome,
				  &failure) >= 0);
		CHECK(ready.has_snapshot);
		CHECK(run_is(&run, "get", 1, 500000, 0, 165));
		CHECK(run_is(&run, "clear", 0, 0, 0, 0));
		CHECK_INT(ready_reset(&ready, run.domain, pagemap, NULL, 0,
				      &failure),
			  i ? 0 : -ENOTSUP);
		if (i)
			CHECK(run_is(&run, "get", 1, 500000, 0, 165));
		domain_close(run.domain);
	}
	run.domain = NULL;
	ready_close(&ready);
	kept_close(&kept);
	run_close(&run);
	close(pagemap);
}

TEST(kept_compiled)
{
	NEEDS_KVM;
	check_kept(VM_COMPILED);
}

TEST(kept_interpreted)
{
	NEEDS_KVM;
	check_kept(VM_INTERPRETED);
}

/* One domain at a time, each kind goes on with what the other one left. */
static void check_kept_in_turn(enum vm_via via, bool other_kvm)
{
	struct run run, next;
	struct kept kept;

	ground_use(false);
	CHECK(kept_open(&kept));
	CHECK(run_open(&run, MODULE, via, (struct domain_options){ 0 }));
	CHECK(run_is(&run, "set", 2, 0, 1, 1));
	CHECK(kept_take(&kept, run.domain));
	CHECK(run_is(&run, "set", 2, 4, 100, 100));
	domain_close(run.domain);
	run.domain = NULL;
	ground_use(other_kvm);
	CHECK(run_again(&run, &kept, &next));
	CHECK(run_is(&next, "get", 1, 0, 0, 1));
	CHECK(run_is(&next, "get", 1, 4, 0, 0));
	CHECK(run_is(&next, "grow", 1, 100, 0, 1));
	CHECK(run_is(&next, "set", 2, 6619132, 3, 3));
	CHECK(kept_take(&kept, next.domain));
	domain_close(next.domain);
	ground_use(false);
	CHECK(run_again(&run, &kept, &next));
	CHECK(run_is(&next, "get", 1, 0, 0, 1));
	CHECK(run_is(&next, "get", 1, 6619132, 0, 3));
	CHECK(run_traps(&next, "get", 1, 6619136, 0, WASM_TRAP_memory_bounds));
	CHECK(run_traps(&next, "deep", 1, 0, 0, WASM_TRAP_stack));
	domain_close(next.domain);
	kept_close(&kept);
	run_close(&run);
}

TEST(kept_compiled_in_a_process)
{
	check_kept_in_turn(VM_COMPILED, false);
}

TEST(kept_interpreted_in_a_process)
{
	check_kept_in_turn(VM_INTERPRETED, false);
}

/* Images may be in a file system whose files are not to be executed. */
TEST(kept_where_nothing_is_executed)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(30);
		setlinebuf(stdout);
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("none", "/tmp", "tmpfs", MS_NOEXEC, NULL) < 0)
			_exit(77);
		check_kept_in_turn(VM_COMPILED, false);
		fflush(stdout);
		_exit(test_failures != 0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no mounts");
	CHECK_INT(status, 0);
}

TEST(kept_compiled_in_both_kinds)
{
	NEEDS_KVM;
	check_kept_in_turn(VM_COMPILED, true);
}

TEST(kept_interpreted_in_both_kinds)
{
	NEEDS_KVM;
	check_kept_in_turn(VM_INTERPRETED, true);
}

/* ---- bound -------------------------------------------------------------------- */

#define OTHER                                                      \
	"(module (memory (export \"m\") 40 1000) (memory $b 1)"    \
	" (data (i32.const 2000000) \"other\")"                    \
	" (func (export \"get\") (param i32) (result i32)"         \
	"  (i32.load (local.get 0)))"                              \
	" (func (export \"set\") (param i32 i32) (result i32)"     \
	"  (i32.store (local.get 0) (local.get 1)) (local.get 1))" \
	" (func (export \"far\") (param i32) (result i32)"         \
	"  (i32.load $b (local.get 0)))"                           \
	" (func (export \"grow\") (param i32) (result i32)"        \
	"  (memory.grow (local.get 0))))"

/* A machine that was one program's is another's, and the first one's again. */
static void check_bound(enum vm_via via)
{
	struct domain_options options = { 0 };
	struct run run, other, bound;
	struct kept kept, others;

	CHECK(kept_open(&kept) && kept_open(&others));
	CHECK(run_open(&run, MODULE, via, (struct domain_options){ 0 }));
	CHECK(run_is(&run, "set", 2, 0, 1, 1));
	CHECK(kept_take(&kept, run.domain));
	CHECK(run_open(&other, OTHER, via, (struct domain_options){ 0 }));
	CHECK(run_is(&other, "set", 2, 0, 2, 2));
	CHECK(kept_take(&others, other.domain));
	CHECK(run_again(&run, &kept, &bound));
	options.ground = ground;
	for (uint32_t i = 1; i < 6; i++) {
		CHECK(run_is(&bound, "get", 1, 0, 0, 1));
		CHECK(run_is(&bound, "set", 2, 4, 77, 77));
		CHECK(run_is(&bound, "grow", 1, i * 60, 0, 1));
		CHECK(run_is(&bound, "set", 2, i * 3932160, 78, 78));
		CHECK_INT(snapshot_bind(others.snapshot, bound.domain, &options,
					&other.program.code, &failure),
			  0);
		CHECK(run_is(&bound, "get", 1, 0, 0, 2));
		CHECK(run_is(&bound, "get", 1, 4, 0, 0));
		CHECK(run_is(&bound, "get", 1, 2000000, 0, 0x6568746f));
		CHECK(run_traps(&bound, "get", 1, 40 * 65536, 0,
				WASM_TRAP_memory_bounds));
		CHECK(run_is(&bound, "far", 1, 65532, 0, 0));
		CHECK(run_traps(&bound, "far", 1, 65536, 0,
				WASM_TRAP_memory_bounds));
		CHECK(run_is(&bound, "set", 2, 8, 79, 79));
		CHECK(run_is(&bound, "grow", 1, i, 0, 40));
		CHECK_INT(snapshot_bind(kept.snapshot, bound.domain, &options,
					&run.program.code, &failure),
			  0);
		CHECK(run_is(&bound, "get", 1, 4, 0, 0));
		CHECK(run_is(&bound, "get", 1, 8, 0, 0));
		CHECK(run_traps(&bound, "get", 1, 65536, 0,
				WASM_TRAP_memory_bounds));
		CHECK(run_traps(&bound, "deep", 1, 0, 0, WASM_TRAP_stack));
	}
	CHECK(run_is(&run, "get", 1, 0, 0, 1));
	domain_close(bound.domain);
	kept_close(&kept);
	kept_close(&others);
	run_close(&other);
	run_close(&run);
}

TEST(bound_compiled)
{
	NEEDS_KVM;
	check_bound(VM_COMPILED);
}

TEST(bound_interpreted)
{
	NEEDS_KVM;
	check_bound(VM_INTERPRETED);
}

/* A tip of that name, and of that age. */
static void keep_as(struct kept *kept, struct domain *domain, const char *name,
		    int days)
{
	struct timespec at = { .tv_sec = time(NULL) - days * 86400 };
	struct timespec times[2] = { at, at };
	struct tip tip = TIP_EMPTY;

	CHECK(snapshot_take(domain, &kept->images, &tip, NULL, &failure) >= 0);
	CHECK(tip_publish(&kept->images, &tip, name, &failure) >= 0);
	tip_close(&tip);
	CHECK(utimensat(kept->images.tips, name, times, 0) == 0);
}

static bool is_kept(const struct kept *kept, const char *name)
{
	return faccessat(kept->images.tips, name, F_OK, 0) == 0;
}

TEST(what_is_old_goes)
{
	struct domain_options options = { 0 };
	struct domain *domain;
	struct kept kept;

	NEEDS_KVM;
	options.ground = ground;
	CHECK(kept_open(&kept));
	CHECK(domain_open(&domain, &options, &failure) >= 0);
	keep_as(&kept, domain, "module.new", 0);
	keep_as(&kept, domain, "module.month", 29);
	keep_as(&kept, domain, "module.old", 31);
	CHECK_INT(ready_sweep_images(&kept.images, &ready_sweep_usual), 1);
	CHECK(is_kept(&kept, "module.new"));
	CHECK(is_kept(&kept, "module.month"));
	CHECK(!is_kept(&kept, "module.old"));
	domain_close(domain);
	kept_close(&kept);
}

TEST_MAIN
