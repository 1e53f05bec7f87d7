/* SPDX-License-Identifier: Apache-2.0 */
/* A profile: in which functions of a module's code its runs have spent their
 * time.  It lies beside the code object, as KEY.profile.
 *
 *	struct profile_header
 *	struct profile_row rows[row_count]	ascending by function
 *
 * The file has these bytes and no more.  Losing one costs nothing but time;
 * one that is not whole, or not what its checksum says, is as none.  The
 * order of bytes is the machine's. */
#pragma once
#include <stdint.h>

#define PROFILE_MAGIC "\177BROODP" /* and its end, 8 bytes */
enum {
	PROFILE_VERSION = 1,
	PROFILE_TICK_MS = 4, /* of CPU time */
	PROFILE_ROWS_MOST = 1 << 20,
};

struct profile_header {
	char magic[8];
	uint32_t version, row_count;
	uint8_t key[32];	 /* of the code object */
	uint8_t sum[32];	 /* SHA-256 of the file, this field as zero */
	uint32_t function_count; /* own ones of the module */
	uint32_t reserved;	 /* 0 */
	uint64_t total;		 /* ticks of all rows */
	/* As many there were when it was last tried to optimise what is hot;
	 * 0: never. */
	uint64_t tried;
};
_Static_assert(sizeof(struct profile_header) == 104, "part of the format");

struct profile_row {
	uint32_t function; /* own ones from 0 on */
	uint32_t ticks;	   /* > 0 */
};

/* What is optimised by itself: the file "optimiser" beside the objects, of as
 * many bytes.  As a profile it may be lost, and is then as new. */
#define OPTIMISER_MAGIC "\177BROODO" /* and its end, 8 bytes */
enum { OPTIMISER_VERSION = 1 };

struct optimiser_state {
	char magic[8];
	uint32_t version;
	uint32_t reserved; /* 0 */
	uint8_t sum[32];   /* SHA-256 of all, this field as zero */
	/* The hour that the budget is for: since 1970, and CPU time. */
	int64_t hour_s, spent_ms;
	/* What was done last; last_s 0: nothing was. */
	int64_t last_s, last_cpu_ms;
	uint32_t functions; /* that are optimised since then */
	uint32_t failed;    /* 1: it was not done, "words" say why */
	char key[72], name[64], words[128]; /* each ends with 0 */
};
_Static_assert(sizeof(struct optimiser_state) == 352, "part of the format");
