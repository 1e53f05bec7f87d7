/* SPDX-License-Identifier: Apache-2.0 */
/* A domain: a micro-VM whose operating system is the byte-code engine.
 *
 *	domain_open(&domain, &options, &err);
 *	domain_load(domain, &code, &module, &err);
 *	domain_instantiate(domain, module, &instance, &outcome, &err);
 *	domain_call(domain, instance, "_start", NULL, 0, &outcome, &err);
 *	domain_close(domain);
 *
 * The guest decodes, links and runs; the host answers its bells: memory, WASI,
 * time.  What the guest says is checked here and nowhere believed; a guest
 * that breaks a rule is ended, by -EPROTO and a line that says which.
 *
 * One thread uses a domain at a time.  Where there is no KVM, this process
 * takes the virtual machine's place, and has one domain at a time; faults that
 * are not the guest's go to the handlers that were there before.
 *
 * CLAIM 3.1 3.2 3.4 3.9 */
#pragma once
#include "base/err.h"
#include "brood/guest_abi.h"
#include "vm/wasi.h"
#include "wasm/instance.h"
#include "wasm/type.h"

struct ground;
struct domain_options {
	struct ground *ground;
	uint64_t fuel, memory_bytes, stack_bytes; /* 0: no limit, usual */
};

struct domain;
int domain_open(struct domain **domain, const struct domain_options *options,
		struct err *err);
/* In two steps: the guest, booted; then what it makes modules in. */
int domain_boot(struct domain **domain, const struct domain_options *options,
		struct err *err);
int domain_open_store(struct domain *domain, struct err *err);
void domain_close(struct domain *domain); /* NULL: nothing */
/* The same as the last thing before an exit, which is not held up by it: what
 * the kernel has to end of it, it may end behind. */
void domain_leave(struct domain *domain);

/* What serves the guest's calls from now on; NULL: nothing, each is ENOSYS.
 * It stays the caller's. */
void domain_set_wasi(struct domain *domain, struct wasi *wasi);
/* What serves its calls of the module "brood": an answer >= 0, or the negative
 * of an errno of WASI.  "asked" is the host's own copy, memory the guest's,
 * which may change at any time.  NULL: each is ENOSYS. */
struct domain_asked {
	uint64_t service; /* any number */
	uint64_t words[8];
	uint8_t *base;
	uint64_t bytes;
	/* For who waits: has the run come to its end? */
	int (*ended)(void *domain);
	void *domain;
};
typedef int64_t domain_serve(void *env, const struct domain_asked *asked);
void domain_set_service(struct domain *domain, domain_serve *serve, void *env);
/* CLOCK_MONOTONIC; 0: none.  It holds for all that runs from now on. */
void domain_set_deadline(struct domain *domain, int64_t deadline_ns);
/* From any thread: what runs in it has come to its deadline.  The caller then
 * interrupts the thread that runs it, by SIGRTMIN, and again until it ends:
 * one that just begins may miss it. */
void domain_end(struct domain *domain);

/* A call does not only end: it may stop where somebody wanted to look, and go
 * on from there, here or in another domain that begins as this one is. */
enum domain_until {
	DOMAIN_UNTIL_END,
	DOMAIN_UNTIL_INPUT, /* where it reads standard input, and there is none
			     * (wasi_has_input) */
	DOMAIN_UNTIL_READY, /* where it calls brood.ready */
};
void domain_set_until(struct domain *domain, enum domain_until until);
enum { DOMAIN_STOPPED = 1 };

/* An image of files (vm/wasi_image.h), which the guest serves by itself: as the
 * folder "name", under a number that the domain's WASI keeps free for it
 * (image_is_elsewhere).  The descriptor and the name stay the caller's. */
struct domain_files {
	int fd;
	uint64_t bytes;
	uint32_t number;
	const char *name;
	bool has_digest;    /* for who keeps a warm state */
	uint8_t digest[32]; /* SHA-256 */
};
/* Once, and not in the middle of a call. */
int domain_set_files(struct domain *domain, const struct domain_files *files,
		     struct err *err);

/* How something that ran in it has ended: WASM_OK or a trap. */
struct domain_outcome {
	enum wasm_trap trap;
	int exit_code; /* WASM_TRAP_exit */
	char message[256];
	uint32_t trace_count, trace_total;
	struct guest_frame trace[GUEST_TRACE];
};

/* A module's bytes, with its code where it has some: the object that holds
 * both, or the bytes alone, to be interpreted.  They stay where they are as
 * long as the domain. */
struct domain_code {
	const uint8_t *image; /* a code object, or the bytes */
	uint64_t len;
	uint64_t module_at, module_bytes; /* in it */
	bool has_code;
};
/* -EINVAL and the engine's words where the module is none. */
int domain_load(struct domain *domain, const struct domain_code *code,
		uint32_t *module, struct err *err);
/* 0 and an instance, or 0 and a trap; -EINVAL: it does not link. */
int domain_instantiate(struct domain *domain, uint32_t module,
		       uint32_t *instance, struct domain_outcome *outcome,
		       struct err *err);
/* The same from a snapshot's image (vm_snapshot_image), which stays as long as
 * the domain: the instance is what the snapshot's was, and nothing runs. */
int domain_instantiate_from(struct domain *domain, uint32_t module,
			    const uint8_t *image, uint64_t len,
			    uint32_t *instance, struct domain_outcome *outcome,
			    struct err *err);
/* Imports of this module's name find the instance's exports. */
int domain_register(struct domain *domain, uint32_t instance, const char *name,
		    size_t len, struct err *err);

enum { DOMAIN_VALUES = 1000 };
struct domain_item {
	enum wasm_extern_kind kind;
	uint32_t param_count, result_count; /* DOMAIN_VALUES at most */
	const wasm_type *types;		    /* until the next command */
	wasm_type type;			    /* of a global */
};
/* -ENOENT: there is no such export. */
int domain_find(struct domain *domain, uint32_t instance, const char *name,
		size_t len, struct domain_item *item, struct err *err);
struct domain_values {
	uint32_t count;
	union wasm_value values[DOMAIN_VALUES];
	uint32_t matches[DOMAIN_VALUES]; /* enum guest_reference */
};
/* results may be NULL.  0, or DOMAIN_STOPPED. */
int domain_call(struct domain *domain, uint32_t instance, const char *name,
		size_t len, const union wasm_value *arguments, uint32_t count,
		struct domain_values *results, struct domain_outcome *outcome,
		struct err *err);
/* Of a call that stopped: does what it stopped before, and goes on.  0, or
 * DOMAIN_STOPPED.  -EINVAL: it is in no call. */
int domain_go_on(struct domain *domain, struct domain_outcome *outcome,
		 struct err *err);
/* Calls a function that has neither parameters nor results.  -ENOENT: there is
 * no such function; -ENOEXEC: it has some. */
int domain_start(struct domain *domain, uint32_t instance, const char *name,
		 size_t len, struct domain_outcome *outcome, struct err *err);
int domain_global(struct domain *domain, uint32_t instance, const char *name,
		  size_t len, struct domain_values *value, struct err *err);

struct domain_counts {
	uint64_t bells, wasi, traps, kicks, parts;
	uint64_t bells_for[GUEST_BELLS];
	uint64_t memory_bytes; /* of all regions, as the guest sees them */
};
void domain_counts(const struct domain *domain, struct domain_counts *counts);
/* "kvm" or "process" */
const char *domain_isolation(const struct domain *domain);
