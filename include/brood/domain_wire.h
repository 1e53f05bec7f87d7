/* SPDX-License-Identifier: Apache-2.0 */
/* The launch protocol of domains: what a starter and a worker say to each
 * other over an AF_UNIX SEQPACKET socket.  One connection is one launch.
 *
 *	starter				a worker of the server
 *	  (connects)
 *			<-		READY	it has taken the connection
 *	  LAUNCH + fds	->
 *			<-		ENDED	how it ended; it is over
 *
 * LAUNCH is sent after READY only: descriptors in the queue of a server that
 * hangs would hold pipes open.  A connection that ends without READY has run
 * nothing; one that ends after LAUNCH without ENDED has lost its worker.  When
 * the starter's end is closed before ENDED, the run is ended.
 *
 * Descriptors of LAUNCH: of 0, 1 and 2 those whose bit is set in "stdio", in
 * that order.  Strings: argc + envc strings, each with its 0 byte,
 * string_bytes in all. */
#pragma once
#include <stdint.h>

#define DOMAIN_WIRE_MAGIC   0x4e4d4f44u /* "DOMN" */
#define DOMAIN_WIRE_VERSION 1

enum domain_wire_type {
	DOMAIN_WIRE_READY = 1,
	DOMAIN_WIRE_LAUNCH,
	DOMAIN_WIRE_ENDED,
};

enum {
	DOMAIN_WIRE_STRINGS_MOST = 128 * 1024,
	DOMAIN_WIRE_TEXT_MOST = 4096,
};

struct domain_wire_head {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t size; /* of the whole packet */
	uint32_t zero;
};

struct domain_wire_ready {
	struct domain_wire_head head;
	uint64_t generation;
};

struct domain_wire_launch {
	struct domain_wire_head head;
	uint32_t argc, envc; /* behind the program's name and its own words */
	uint32_t string_bytes;
	uint32_t stdio;	     /* bit n: descriptor n comes */
	uint64_t timeout_ms; /* 0: the server's */
	char strings[];
};

enum domain_wire_how {
	DOMAIN_WIRE_EXIT = 1, /* the program's own exit code */
	DOMAIN_WIRE_TRAP,
	DOMAIN_WIRE_TIMEOUT,
	DOMAIN_WIRE_FUEL,
	DOMAIN_WIRE_NO_START, /* it cannot run */
	DOMAIN_WIRE_FAILED,   /* the system did not allow it */
	DOMAIN_WIRE_HOWS
};

struct domain_wire_ended {
	struct domain_wire_head head;
	uint32_t how;
	int32_t exit_code; /* of DOMAIN_WIRE_EXIT, 0 for others */
	uint32_t text_bytes;
	uint32_t zero;
	char text[]; /* why, without a 0 byte */
};

_Static_assert(sizeof(struct domain_wire_head) == 16, "domain_wire_head");
_Static_assert(sizeof(struct domain_wire_ready) == 24, "domain_wire_ready");
_Static_assert(sizeof(struct domain_wire_launch) == 40, "domain_wire_launch");
_Static_assert(sizeof(struct domain_wire_ended) == 32, "domain_wire_ended");
