/* SPDX-License-Identifier: Apache-2.0 */
/* The launch protocol: what a starter and a server copy say to each other
 * over an AF_UNIX SEQPACKET socket.  One connection is one launch.
 *
 *	starter				template or one of its pool copies
 *	  ASK		->
 *			<-		STATE    mode = server
 *
 *	  ASK		->		(before each launch, too: descriptors
 *			<-		STATE	in the queue of a server that
 *					hangs would hold pipes open)
 *	  LAUNCH + fds	->
 *			<-		STARTED + pidfd   mode = active
 *			<-		EXITED   wait status, from the template
 *		or	<-		REFUSED  reason; nothing has run
 *
 * Every packet begins with struct wire_head, in the byte order of the
 * machine: both ends are processes of one kernel.  REFUSED is sent only
 * before the program's main; a copy that cannot deliver STARTED exits
 * without running anything, so a launch runs once or not at all.
 *
 * Descriptors of LAUNCH, in this order: the working directory (O_PATH), the
 * memory file with the strings if WIRE_STRINGS_IN_FILE, then fd_count
 * descriptors whose numbers stand in fd_number[].
 *
 * Strings: argc + envc strings, each with its 0 byte, string_bytes in all,
 * behind the struct or from the start of the memory file. */
#pragma once
#include <stdint.h>

#define WIRE_MAGIC   0x42524f4fu /* "OORB" */
#define WIRE_VERSION 2

enum wire_type {
	WIRE_ASK = 1,
	WIRE_STATE,
	WIRE_LAUNCH,
	WIRE_STARTED,
	WIRE_EXITED,
	WIRE_REFUSED,
};

enum wire_mode { WIRE_MODE_SERVER = 1, WIRE_MODE_ACTIVE = 2 };

enum {
	WIRE_FD_MOST = 250,	      /* descriptors of one launch */
	WIRE_INLINE_MOST = 32 * 1024, /* longer strings go in a memory file */
	WIRE_STRINGS_MOST = 8 * 1024 * 1024,
	WIRE_LIMITS = 16,
	WIRE_TEXT_MOST = 160,
};

struct wire_head {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t size; /* of the whole packet */
	uint32_t zero;
};

struct wire_ask {
	struct wire_head head;
};

struct wire_state {
	struct wire_head head;
	uint32_t mode;
	int32_t pid; /* of the template, whoever answers */
	uint64_t generation;
	uint64_t main_address; /* of the program, as this copy has it */
};

struct wire_limit {
	uint64_t soft, hard;
};

/* What a copy cannot take over from its caller and has to be told: where
 * caller and template differ in one of these, there is no clone.  The rest
 * of who the caller is - users, groups, capabilities, root folder, cgroup,
 * namespaces, label - the server looks up by the process number that the
 * kernel gives for the connection.  Filled by identity_say(). */
struct wire_identity {
	uint64_t affinity;	/* hash of the mask */
	uint64_t memory_policy; /* hash of mode and nodes, 0: the local one */
	uint32_t scheduler, scheduler_priority;
	uint32_t io_priority, personality;
	uint32_t timer_slack_ns, zero;
};

enum wire_launch_flags { WIRE_STRINGS_IN_FILE = 1 };

struct wire_launch {
	struct wire_head head;
	uint32_t flags;
	uint32_t argc, envc;
	uint32_t string_bytes;
	uint32_t umask;
	int32_t nice;
	uint32_t fd_count;
	uint32_t zero;
	uint64_t signals_blocked; /* bit n-1 for signal n */
	struct wire_limit limits[WIRE_LIMITS];
	struct wire_identity identity;
	int32_t fd_number[WIRE_FD_MOST]; /* ascending, 0 .. 2^20 */
	char strings[];
};

struct wire_started {
	struct wire_head head;
	uint32_t mode; /* WIRE_MODE_ACTIVE */
	int32_t pid;
	uint64_t generation;
};

struct wire_exited {
	struct wire_head head;
	int32_t pid;
	int32_t status; /* as wait() gives it */
};

struct wire_refused {
	struct wire_head head;
	char reason[WIRE_TEXT_MOST]; /* one line with a 0 byte */
};

_Static_assert(sizeof(struct wire_head) == 16, "wire_head");
_Static_assert(sizeof(struct wire_state) == 40, "wire_state");
_Static_assert(sizeof(struct wire_identity) == 40, "wire_identity");
_Static_assert(sizeof(struct wire_launch) == 16 + 40 + 256 + 40 + 1000,
	       "wire_launch");
