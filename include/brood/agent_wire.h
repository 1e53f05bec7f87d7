/* SPDX-License-Identifier: Apache-2.0 */
/* What the host and the agent in a machine say to each other, over a serial
 * line: bytes that may be lost, doubled or left over from another time.
 *
 *	struct agent_frame	24 bytes
 *	payload			"bytes" of it
 *
 * Who reads looks for the magic, and passes over what is no frame: a sum
 * that is wrong, a length over AGENT_MOST.  All is little endian.
 *
 * The host speaks, the agent answers.  The line has no flow control towards
 * the guest: the host has at most AGENT_WINDOW bytes of frames (headers
 * counted) on their way; the agent answers each frame that it has taken with
 * an AGENT_TAKEN, whose "id" is that frame's.  Frames of the agent are not
 * answered.
 *
 * An AGENT_INPUT may be taken late, when its process does not read; frames
 * of other kinds are taken at once.  A host that wants to be able to signal
 * such a process keeps a part of the window for that.
 *
 * After AGENT_HELLO whatever was going on is over: its processes are killed,
 * what they wrote is dropped, and the agent answers AGENT_READY, behind which
 * the window is empty.  It also sends AGENT_READY by itself when it starts,
 * once the machine's own start is done; then "id" is 0.  An AGENT_READY or
 * AGENT_DONE that answers has the "id" of what it answers.
 *
 * When the rest of a frame has not come for AGENT_QUIET_MS, it is no frame:
 * a host that may have left a frame unfinished repeats its AGENT_HELLO after
 * a longer time than that.
 *
 * A process ends with its first process: what that one has written is sent,
 * then AGENT_EXIT; what it leaves running is the machine's own from then on,
 * not killed by AGENT_HELLO, and its standard streams are closed.  */
#pragma once
#include <stdint.h>

enum {
	AGENT_MAGIC = 0x67d4b3a1,
	AGENT_VERSION = 1,
	AGENT_MOST = 4096,   /* bytes of a payload */
	AGENT_WINDOW = 8192, /* bytes towards the guest that are not taken */
	AGENT_QUIET_MS = 500,
};

enum agent_kind {
	/* host to guest */
	AGENT_HELLO = 1,  /* nothing */
	AGENT_UNIQUE = 2, /* struct agent_unique */
	AGENT_EXEC = 3,	  /* struct agent_exec; id names the process */
	AGENT_INPUT = 4,  /* bytes for its standard input; none: the end */
	AGENT_SIGNAL = 5, /* uint32_t: to its process group */
	AGENT_POWER = 6,  /* uint32_t: 0 off, 1 reboot */
	/* guest to host */
	AGENT_TAKEN = 32,
	AGENT_READY = 33,  /* struct agent_ready */
	AGENT_DONE = 34,   /* struct agent_done: unique now */
	AGENT_OUTPUT = 35, /* bytes */
	AGENT_ERRORS = 36, /* bytes */
	AGENT_EXIT = 37,   /* uint32_t: as wait() tells it */
	AGENT_FAILED = 38, /* text: why there is no process */
};

struct agent_frame {
	uint32_t magic;
	uint16_t kind, flags; /* flags: 0 */
	uint32_t id;
	uint32_t bytes;
	uint32_t payload_sum; /* CRC-32C */
	uint32_t sum;	      /* CRC-32C of the 20 bytes before */
};
_Static_assert(sizeof(struct agent_frame) == 24, "part of the protocol");

/* What makes a clone another machine than its template and its siblings. */
struct agent_unique {
	uint8_t seed[64];     /* credited to the kernel's generator */
	uint64_t realtime_ns; /* of the host, now; 0: leave the clock */
	char machine_id[33];  /* 32 digits of base 16; "": leave it */
	char host_name[65];   /* "": leave it */
	uint8_t mac_count;    /* of network devices, in the order of eth0.. */
	uint8_t mac[4][6];
	uint8_t reserved[5];
};
_Static_assert(sizeof(struct agent_unique) == 200, "part of the protocol");

/* What of it was done: bits, in the order of the members above. */
enum {
	AGENT_SEEDED = 1,
	AGENT_CLOCKED = 2,
	AGENT_IDENTIFIED = 4,
	AGENT_NAMED = 8,
	AGENT_ADDRESSED = 16
};
struct agent_done {
	uint32_t done, reserved;
	char why[120]; /* of the first thing that was not */
};
_Static_assert(sizeof(struct agent_done) == 128, "part of the protocol");

struct agent_ready {
	uint32_t version, reserved;
	uint64_t uptime_ns;
	char boot_id[40];
};
_Static_assert(sizeof(struct agent_ready) == 56, "part of the protocol");

/* Behind it: the words of argv, then those of the environment (added to the
 * agent's), each with a 0 at its end; argv[0] is looked for in PATH. */
struct agent_exec {
	uint32_t argc, envc;
};
