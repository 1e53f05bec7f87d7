/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper and the shim inside a template say to each other over a
 * SEQPACKET pair made before the exec.
 *
 *	keeper				shim
 *	  exec, traced	->	constructors run
 *			<-	MARK (a system call that only the tracer
 *				sees: prctl(SHIM_MARK, which))
 *			<-	STOPPED	(just before main, or later)
 *	examine, write the image
 *	  SERVE		->	binds, listens
 *			<-	SERVING
 *	ask over its socket, rename the public name
 *			<-	COUNTS	 now and then
 *			<-	LEARNED  + memory file, once (struct image_hot)
 *	  DRAIN		->	closes the listener, serves what waits
 *			<-	ADOPT + connection, pidfd: each live copy
 *			<-	DRAINED, and ends
 *
 * The end of the pair means DRAIN to the shim.  The environment variable
 * BROOD_SHIM="FD:STOP" tells the shim which descriptor and where to stop:
 * "main", "stdin", "ready" or "open:PATH". */
#pragma once
#include <stdint.h>

#define SHIM_VARIABLE "BROOD_SHIM"
#define SHIM_HELPER   "brood-hold" /* holds the memory of a copy */
#define SHIM_MARK     0x42524f44   /* prctl option that no kernel knows */

enum shim_mark {
	SHIM_MARK_MAIN = 1, /* constructors are done, main would run next */
	SHIM_MARK_STOP = 2, /* the stop is reached; the tracer lets go */
};

enum control_type {
	CONTROL_STOPPED = 1,
	CONTROL_SERVE,
	CONTROL_SERVING,
	CONTROL_COUNTS,
	CONTROL_LEARNED,
	CONTROL_DRAIN,
	CONTROL_ADOPT,
	CONTROL_DRAINED,
	CONTROL_FAILED,
	CONTROL_END, /* keeper: exit at once, you will not serve */
};

struct control_head {
	uint32_t type;
	uint32_t size;
};

struct control_stopped {
	struct control_head head;
	uint32_t deep;		   /* stopped inside main */
	uint32_t deferred_threads; /* started in each copy before its main */
	uint64_t resume, main;	   /* addresses */
	uint64_t fs_base, tid_address, robust_list;
	uint64_t rseq, rseq_bytes, rseq_signature;
	uint64_t stack_pointer; /* lowest address of the stack in use */
	uint64_t argv;		/* the template's argv array */
	uint64_t argc;
	uint64_t auxv_program_headers, auxv_program_header_count;
	uint64_t auxv_program_header_bytes, auxv_base, auxv_entry;
	uint64_t vdso;
	uint32_t environment_bytes;
	char refused[160];	 /* the shim's own reason not to serve, "" */
	char environment[16384]; /* names read before the stop, each with 0 */
};

struct control_serve {
	struct control_head head;
	uint64_t generation;
	uint32_t pool; /* copies that wait; 0: fork on demand */
	uint32_t hold;
	uint32_t hatch; /* there is an image to hatch as well */
	uint32_t zero;
	char path[108];	   /* to listen on */
	char waiting[108]; /* a file that tells how many copies are ready */
};

struct control_counts {
	struct control_head head;
	uint64_t launches;
	uint32_t live, waiting;
};

struct control_adopt {
	struct control_head head;
	int32_t pid; /* with it: the connection, then the pidfd */
	int32_t zero;
};

struct control_failed {
	struct control_head head;
	char reason[160];
};
