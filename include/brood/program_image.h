/* SPDX-License-Identifier: Apache-2.0 */
/* The image of a warm program: everything that a starter must compare before
 * it may use a template, and the memory to start from.
 *
 *	+--------------------------+ 0
 *	| struct program_image     |
 *	| files[]  maps[]  facts[] |  tables, each 8-byte aligned
 *	| strings                  |  each with its 0 byte; string 0 is ""
 *	+--------------------------+ header_bytes (a multiple of 4096)
 *	| saved pages              |  at maps[].at, multiples of 4096
 *	+--------------------------+ file_bytes
 *
 * Invariants, checked by image_check() before anything else is read:
 *  1. magic, version, struct_bytes fit; header_sum is image_sum()
 *     of the header_bytes (a hash, the field itself as 0).
 *  2. tables and strings lie in the header and do not overlap the struct;
 *     every string offset is inside, and the last byte of the strings is 0.
 *  3. maps are in ascending order, do not overlap, are page aligned, lie
 *     below 2^47, and name a file that exists; saved parts lie in the file.
 *
 * body_crc covers the saved pages.  A keeper that finds an image when it
 * starts checks it and removes a damaged one; a starter, for which that would
 * cost more than the start itself, checks the header alone.
 *
 * An image is code: it is trusted only when owner and mode say that nobody
 * but root or the caller could write it.  "NAME.hot" beside it is a hint:
 * pages that the first copies touched (struct image_hot). */
#pragma once
#include <stdint.h>

#define IMAGE_MAGIC   0x31474d49444f4f52ull
#define IMAGE_VERSION 2

enum {
	IMAGE_FILES_MOST = 1024,
	IMAGE_MAPS_MOST = 8192,
	IMAGE_FACTS_MOST = 4096,
	IMAGE_HEADER_MOST = 4 * 1024 * 1024,
};

enum image_flags {
	IMAGE_CAN_CLONE = 1,
	IMAGE_CAN_HATCH = 2, /* saved pages and the resume state are there */
	IMAGE_DEEP = 4,	     /* stopped inside main: argv and env are fixed */
};

struct image_file {
	uint64_t dev, ino, size, mtime_ns, ctime_ns;
	uint32_t path; /* string */
	uint32_t zero;
};

enum { IMAGE_FROM_SAVED = -1, IMAGE_FROM_NOTHING = -2 };

struct image_map {
	uint64_t addr, len;
	uint64_t at;  /* offset in the file, or in this image */
	int32_t prot; /* PROT_*, 0 is a reservation */
	int32_t file; /* index, IMAGE_FROM_SAVED or IMAGE_FROM_NOTHING */
};

/* What the program's start depended on; a launch that finds another value
 * starts cold.  value is compared with what fact_now() finds. */
enum fact_kind {
	FACT_ENVIRONMENT = 1, /* name: variable; text: value, 0 if unset */
	FACT_FILE,	      /* name: path; value: stamp of stat, 0 absent */
	FACT_LINK_FILE,	      /* the same by lstat */
	FACT_CONTENT,	      /* name: path; value: hash of its bytes, of a
			       * folder's names */
	FACT_LINK,	      /* name: path; value: hash of readlink */
	FACT_MACHINE,	      /* number: enum fact_machine; value: hash */
	FACT_DESCRIPTOR,      /* number: fd; value: its type, 0 closed */
};
/* With a descriptor's number: only whether it is closed, a regular file, or
 * anything else; only whether it is closed, a terminal, or anything else. */
enum { FACT_DESCRIPTOR_FORM = 0x10000, FACT_DESCRIPTOR_TERMINAL = 0x20000 };
enum fact_machine {
	FACT_UNAME = 1, /* without the node's time of boot */
	FACT_AFFINITY,
	FACT_CPU_COUNT,
	FACT_MEMORY_TOTAL, /* sysinfo totals */
	FACT_LIMITS,	   /* all rlimits */
	FACT_CREDENTIALS,  /* uids, gids, groups */
	FACT_CWD,
	FACT_UMASK,
	FACT_PRIORITY,
	FACT_SIGNALS, /* what is ignored, what is blocked */
	FACT_PERSONALITY,
	FACT_SCHEDULER,
	FACT_CAPABILITIES,
};

struct image_fact {
	uint32_t kind;
	uint32_t number;
	uint32_t name; /* string */
	uint32_t text; /* string, 0: none */
	uint64_t value;
};

struct program_image {
	uint64_t magic;
	uint32_t version, struct_bytes;
	uint32_t header_bytes, header_sum;
	uint64_t file_bytes;
	uint32_t body_crc, flags;
	uint32_t file_count, map_count, fact_count, string_bytes;
	uint32_t files_at, maps_at, facts_at, strings_at;
	uint32_t exe_file;	   /* index of the program in files[] */
	uint32_t interpreter_file; /* of the ELF interpreter */
	uint64_t built_ns;	   /* wall clock */
	uint64_t generation;
	/* State of the one thread and of the address space. */
	uint64_t resume; /* image_resume_entry in the shim */
	uint64_t fs_base, tid_address, robust_list, rseq;
	uint32_t rseq_bytes, rseq_signature;
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk;
	uint64_t vdso, vdso_bytes, vvar, vvar_bytes, vvar_clock,
		vvar_clock_bytes;
	uint64_t stack_low, stack_high; /* the part of the stack that is saved
					 * (one of maps[] as well) */
	uint64_t program_headers, interpreter_base, entry; /* for auxv */
	uint32_t program_header_count, program_header_bytes;
	uint64_t signals_handled; /* bit n-1: set by a constructor; the resume
				   * has the handlers in its own memory */
	uint64_t boot;		  /* machine_boot() when it was made */
	uint64_t machine;	  /* machine_identity(): where the boot is
				   * another one, it must be the same */
	uint64_t reserved[6];
};

/* What the starter hands to the resume function, by address in %rdi, on the
 * caller's own stack, with FS already set and a return address of 0. */
struct image_resume {
	uint64_t *stack; /* argc, argv..., 0, envp..., 0, auxv...,
				 * as the kernel or the starter laid it out */
	const struct program_image *image;
	uint64_t image_bytes;		     /* mapped there, to be unmapped */
	uint64_t starter_start, starter_end; /* the starter itself, likewise */
	int32_t exe_fd; /* of the program, takes it; -1 none */
	uint32_t zero;
};
typedef void image_resume_entry(struct image_resume *resume);

struct image_hot {
	uint64_t addr, len;
	uint64_t write; /* 1: written, 0: read */
};

_Static_assert(sizeof(struct image_file) == 48, "image_file");
_Static_assert(sizeof(struct image_map) == 32, "image_map");
_Static_assert(sizeof(struct image_fact) == 24, "image_fact");
_Static_assert(sizeof(struct program_image) % 8 == 0, "program_image");
