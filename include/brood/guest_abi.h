/* SPDX-License-Identifier: Apache-2.0 */
/* A domain: where its memory lies, and how its guest and the host speak.
 *
 * The guest is one image: a component of ring 0, which is one instruction for
 * each trap, and a component of ring 3, which is the byte-code engine.
 *
 * Guest-physical addresses are given out from 0 on without gaps, and are the
 * offsets of the image that a domain's memory is kept as:
 *
 *	0		the system: tables, stacks, call pages, guest image;
 *			the heap's first part
 *	40 MiB ..	parts of the heap and of linear memories, as they grow
 *	32 GiB ..	code objects and modules, read-only, not kept
 *	48 GiB ..	an image of files, read-only, not kept
 *
 * Guest-virtual addresses, the same in all domains, and in a process that
 * takes a domain's place:
 *
 *	GUEST_VA + a	the system's address a, and behind it the heap's
 *	GUEST_CODE_VA	code objects and modules
 *	GUEST_FILES_VA	an image of files: the pages of its file
 *	GUEST_MEMORY_VA	linear memories, one window each
 *
 * The guest rings a bell: it fills in the call page and writes to one port.
 * What is in the call page is the guest's word: the host copies before it
 * looks, and believes nothing.  The host answers in the same page.  Between
 * its bells the guest does what the last command says. */
#pragma once
#include <stdint.h>

enum { GUEST_ABI = 1, GUEST_PAGE = 4096 };
#define GUEST_MAGIC UINT64_C(0x4e4944444f4f5242) /* "BROODDIN" */

/* The system, from guest-physical 0 on. */
enum {
	GUEST_TABLES_AT = 0x000000, /* page tables; not seen by ring 3 */
	GUEST_TABLES_BYTES = 0xa00000,
	GUEST_DESCRIPTORS_AT = 0xa00000,  /* GDT, TSS, IDT */
	GUEST_KERNEL_STACK_AT = 0xa01000, /* a page: of traps */
	GUEST_DOUBLE_STACK_AT = 0xa02000, /* a page: of double faults */
	GUEST_CALL_AT = 0xa10000,
	GUEST_CALL_BYTES = 0x10000, /* its first page is struct guest_call */
	GUEST_RING_AT = 0xa20000,
	GUEST_RING_BYTES = 0x10000,
	GUEST_STACK_AT = 0xa80000, /* absent pages on both sides */
	GUEST_STACK_BYTES = 0x100000,
	GUEST_BELL_PAGE_AT = 0xa40000, /* where no memory is, for stores */
	GUEST_TRAP_STACK_AT = 0xb90000,
	GUEST_TRAP_STACK_BYTES = 0x8000,
	GUEST_IMAGE_AT = 0xc00000,
	GUEST_IMAGE_MOST = 0x400000,
	GUEST_SYSTEM_BYTES = 0x1000000,
	GUEST_DATA_BYTES = GUEST_CALL_BYTES - GUEST_PAGE,
};

/* Below what a CPU has of which nobody has told the guest more. */
#define GUEST_PHYSICAL_MOST UINT64_C(0x1000000000)
#define GUEST_CODE_AT	    UINT64_C(0x800000000)
#define GUEST_FILES_AT	    UINT64_C(0xc00000000)
#define GUEST_BELL_AT	    UINT64_C(0xfff000000) /* no memory is there */

#define GUEST_VA      UINT64_C(0x200000000000)
#define GUEST_CALL_VA (GUEST_VA + GUEST_CALL_AT)
#define GUEST_DATA_VA (GUEST_CALL_VA + GUEST_PAGE)
#define GUEST_RING_VA (GUEST_VA + GUEST_RING_AT)
#define GUEST_BELL_VA (GUEST_VA + GUEST_BELL_PAGE_AT)
/* Behind the system, as one region with it. */
#define GUEST_HEAP_VA	 (GUEST_VA + GUEST_SYSTEM_BYTES)
#define GUEST_HEAP_MOST	 UINT64_C(0x100000000)
#define GUEST_HEAP_FIRST UINT64_C(0x1800000) /* what is there at once */
#define GUEST_CODE_VA	 (GUEST_VA + UINT64_C(0x1000000000))
#define GUEST_CODE_MOST	 (GUEST_FILES_AT - GUEST_CODE_AT)
#define GUEST_FILES_VA	 (GUEST_VA + UINT64_C(0x2000000000))
#define GUEST_FILES_MOST (GUEST_BELL_AT - GUEST_FILES_AT)
#define GUEST_MEMORY_VA	 (GUEST_VA + UINT64_C(0x8000000000))
/* All that an index and an offset of 32 bits can name, twice. */
#define GUEST_MEMORY_STRIDE UINT64_C(0x400000000)
/* What is never there, behind a window's last byte. */
#define GUEST_MEMORY_GUARD UINT64_C(0x10000)
enum { GUEST_MEMORIES_MOST = 1024 };
/* Parts of memory, code objects and modules begin at multiples of this. */
#define GUEST_LARGE UINT64_C(0x200000)

/* The port that ring 3 may write to; vectors of traps are ports too. */
enum { GUEST_PORT = 0x40, GUEST_VECTORS = 32, GUEST_STUB_BYTES = 16 };

/* The image's first page. */
struct guest_image {
	uint64_t magic;
	uint32_t abi, bytes; /* of the file; zeros follow up to end_at */
	/* Offsets in the image, multiples of a page: [kernel, user) ring 0's
	 * code, [user, constants) ring 3's, [constants, data) read-only,
	 * [data, end) its variables. */
	uint32_t kernel_at, user_at, constants_at, data_at, end_at;
	uint32_t reserved;
	uint64_t stubs; /* address of vector 0's, GUEST_STUB_BYTES apart */
	uint64_t entry, fault_entry, fault_end;
};
_Static_assert(sizeof(struct guest_image) == 72, "guest/guest.ld");

/* What the guest wants when it rings. */
enum guest_bell {
	GUEST_BELL_NONE,
	GUEST_BELL_DONE,	/* the command's outcome is there */
	GUEST_BELL_WASI,	/* words: function, form, memory, arguments */
	GUEST_BELL_MEMORY_MAKE, /* words: bytes, most -> window */
	GUEST_BELL_MEMORY_GROW, /* words: window, bytes */
	GUEST_BELL_MEMORY_DROP, /* words: window */
	GUEST_BELL_HEAP,	/* words: bytes in all */
	GUEST_BELL_SLEEP,	/* words: nanoseconds; < 0: for ever */
	GUEST_BELL_CLOCK,	/* renews the clock */
	GUEST_BELL_RANDOM,	/* renews the random bytes */
	GUEST_BELL_FLUSH,	/* empties the ring, as each bell does */
	GUEST_BELL_READY,	/* brood.ready: a warm point */
	GUEST_BELL_HOST,	/* words: guest_service, memory, arguments */
	GUEST_BELL_PANIC,	/* the text in "message": it cannot go on */
	GUEST_BELLS
};

/* Imports of the module "brood", besides ready: GUEST_SERVICE(name,
 * signature). */
#define GUEST_SERVICES(GUEST_SERVICE)  \
	GUEST_SERVICE(start, "iiii>i") \
	GUEST_SERVICE(wait, "ii>i")
enum guest_service {
#define GUEST_SERVICE_NUMBER(name, signature) GUEST_SERVICE_##name,
	GUEST_SERVICES(GUEST_SERVICE_NUMBER)
#undef GUEST_SERVICE_NUMBER
};

/* What the host wants.  Texts and values are in the data. */
enum guest_command {
	GUEST_COMMAND_NONE,
	GUEST_COMMAND_OPEN, /* a store, by the options of the page */
	GUEST_COMMAND_LOAD, /* words: module, bytes, image, bytes */
	/* words: module, image of a snapshot or 0 -> instance */
	GUEST_COMMAND_INSTANTIATE,
	GUEST_COMMAND_REGISTER, /* words: instance; its name */
	GUEST_COMMAND_FIND,	/* words: instance; name -> struct guest_item */
	GUEST_COMMAND_CALL,	/* words: instance, arguments; name, values */
	GUEST_COMMAND_GLOBAL,	/* words: instance; name -> value */
	/* words: instance, length; the name, which is short, is in "message".
	 * A function without parameters and results is called; what it is not
	 * is told by enum guest_no. */
	GUEST_COMMAND_START,
	/* words: bytes of the image of files, the number of its folder, length
	 * of that one's name; the name */
	GUEST_COMMAND_FILES,
	GUEST_COMMANDS
};

enum guest_no { GUEST_NO_FUNCTION = -2, GUEST_NO_PLAIN = -3 };

enum { GUEST_WORDS = 14, GUEST_TRACE = 64, GUEST_RANDOM = 512 };

struct guest_frame {
	uint32_t module;   /* its number; UINT32_MAX: a host's function */
	uint32_t function; /* index */
	uint32_t offset;   /* in the module's bytes, or in its code's text */
	uint32_t is_native;
};

/* What the CPU was at when it trapped, or when the host stopped it.  Filled
 * in by the host, which then sends the CPU to fault_entry. */
struct guest_trap {
	uint64_t general[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15 */
	uint64_t rip, flags, address;
	uint32_t vector; /* GUEST_VECTORS: the host wants the run to end */
	uint32_t error;
	uint32_t is_busy; /* from the host's writing to the guest's going on */
	uint32_t reserved;
};

/* Nanoseconds at a count of the CPU's, and how they go on; renewed with each
 * clock_time_get that the host is asked for. */
struct guest_clock {
	uint64_t count;
	uint64_t realtime_ns, monotonic_ns;
	uint64_t scale;	     /* 2^-32 ns a count; 0: always ring */
	uint64_t count_most; /* how long it may be used */
};

struct guest_call {
	uint64_t magic;
	uint32_t abi;
	uint32_t bell_is_store; /* the port does not work here */
	struct guest_trap stopped;
	/* The guest's. */
	uint32_t bell, reserved;
	uint64_t words[GUEST_WORDS];
	/* The host's answer: an errno of the guest's, or the negative of an
	 * enum wasm_trap; and what else there is to say. */
	int64_t answer;
	uint64_t more;
	/* The host's. */
	uint32_t command;
	uint32_t ended; /* enum wasm_trap: the run shall end with it; or 0 */
	uint64_t command_words[8];
	uint64_t fuel, memory_bytes, stack_bytes;
	uint32_t features;   /* enum code_feature */
	uint32_t buffered;   /* descriptors whose writes may go to the ring */
	uint64_t generation; /* another one in each clone */
	/* Of GUEST_BELL_DONE: >= 0, or -1 with the message. */
	int32_t result;
	uint32_t trap; /* enum wasm_trap */
	int32_t exit_code;
	uint32_t data_bytes; /* of what the command left in the data */
	uint32_t trace_count, trace_total;
	char message[256];
	struct guest_frame trace[GUEST_TRACE]; /* innermost first */
	struct guest_clock clock;
	uint32_t random_used; /* of the random bytes */
	uint32_t ring_used;   /* bytes in the ring, in whole records */
	uint8_t random[GUEST_RANDOM];
};
_Static_assert(sizeof(struct guest_call) <= GUEST_PAGE, "the call page");

/* In the ring, one after another: bytes for a descriptor, rounded to 8.  It
 * is the host that counts them off, when the guest has stopped. */
struct guest_record {
	uint32_t fd, len;
	uint64_t reserved; /* for the host's use */
};

/* What an export is. */
struct guest_item {
	uint32_t kind; /* enum wasm_extern_kind */
	uint32_t param_count, result_count;
	uint32_t type;	  /* of a global */
	uint32_t types[]; /* of parameters, then results */
};

/* A result that is a reference: what it matches. */
enum guest_reference {
	GUEST_REFERENCE_NULL = 1 << 0,
	GUEST_REFERENCE_FUNCTION = 1 << 1,
	GUEST_REFERENCE_EXTERN = 1 << 2,
	GUEST_REFERENCE_ANY = 1 << 3,
	GUEST_REFERENCE_EQ = 1 << 4,
	GUEST_REFERENCE_I31 = 1 << 5,
	GUEST_REFERENCE_STRUCT = 1 << 6,
	GUEST_REFERENCE_ARRAY = 1 << 7,
	GUEST_REFERENCE_EXCEPTION = 1 << 8,
};
/* Values in the data, after the name and its zeros up to 16. */
struct guest_value {
	uint64_t words[2];
};
/* Behind a call's results: of each what it matches, bits of guest_reference,
 * and 16 bits further up what its type matches. */
enum { GUEST_REFERENCE_TYPE = 16 };
