/* SPDX-License-Identifier: Apache-2.0 */
/* What one version of an application is: its payload and how it is started.
 * Made from the manifest when it is published; it lies on the share under the
 * version's number, and in the context as it was at the install.
 *
 *	brood-record 1
 *	name python
 *	release 3.11.2
 *	payload HEX BYTES
 *	entry python3.11	and of this entry:
 *	kind program			program, wasm, domain, machine
 *	path usr/bin/python3.11		in the payload
 *	loader lib64/ld-linux-x86-64.so.2	that starts it, if not its own
 *	libraries usr/lib/x86_64-linux-gnu	folders with a : between
 *	argument WORD			in front of the caller's
 *	warm yes
 *	environment KEY=VALUE	${app}, ${data} and ${settings} are folders
 *	port 8080
 *	writable cache		a folder of ${data}
 *	end HEX */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	RECORD_NAME_MOST = 63,
	RECORD_ENTRIES = 32,
	RECORD_WORDS = 32, /* arguments of an entry, environment, ... */
	RECORD_HEX = 64,
};
#define RECORD_HEAD "brood-record 1"

enum record_kind {
	RECORD_PROGRAM,
	RECORD_WASM,
	RECORD_DOMAIN,
	RECORD_MACHINE,
	RECORD_KINDS
};

struct record_entry {
	const char *name, *path, *loader, *libraries;
	enum record_kind kind;
	const char *argument[RECORD_WORDS];
	int argument_count;
	bool warm;
};
/* All strings are within text. */
struct record {
	char *text;
	const char *name, *release;
	char payload[RECORD_HEX + 1];
	uint64_t payload_bytes;
	struct record_entry *entry;
	int entry_count;
	const char *environment[RECORD_WORDS];
	int environment_count;
	const char *writable[RECORD_WORDS];
	int writable_count;
	uint16_t port[RECORD_WORDS];
	int port_count;
};

/* Any bytes may come.  -EINVAL: what is wrong. */
int record_read(const char *text, size_t len, struct record *record,
		struct err *err);
void record_fini(struct record *record);
#define auto_record __attribute__((cleanup(record_fini)))
/* NULL: the first.  NULL where there is none. */
const struct record_entry *record_find(const struct record *record,
				       const char *entry);
/* Of applications, entries and writable folders: letters, digits, and . _ + -
 * inside. */
bool record_is_name(const char *name);
/* Of the payload: relative, no empty, "." or ".." part. */
bool record_is_inside(const char *path);
bool record_is_payload(const char *hex);
