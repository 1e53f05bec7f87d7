/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of an appliance, .brood/manifest.json in its image: JSON, as
 * people and tools write it.  It becomes a record as soon as it is read, so
 * that what is wrong in it is found before anything is written.
 *
 *	{ "format": "brood-appliance", "version": 1,
 *	  "name": "python", "release": "3.11.2",
 *	  "entries": [ { "name": "python3.11", "kind": "program",
 *			 "path": "usr/bin/python3.11", "loader": "...",
 *			 "libraries": ["usr/lib"], "arguments": ["-B"],
 *			 "warm": true } ],
 *	  "environment": ["PYTHONHOME=${app}/usr"],
 *	  "writable": ["cache"], "ports": [8080] } */
#pragma once
#include "appliance/record.h"
#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

enum {
	MANIFEST_MOST = 64 * 1024,
	MANIFEST_SETTINGS_MOST = 16 * 1024,
};
#define MANIFEST_FOLDER	   ".brood"
#define MANIFEST_PATH	   ".brood/manifest.json"
#define MANIFEST_INSTALLER ".brood/installer"
#define MANIFEST_START	   ".brood/start"
#define MANIFEST_SETTINGS  ".brood/settings"

/* Any bytes may come.  The record's text, for a payload of that digest. */
int manifest_record(const char *text, size_t len, const char *payload,
		    uint64_t bytes, struct buf *record, struct err *err);

struct manifest_entry {
	const char *name, *kind, *path, *loader;
	const char *libraries; /* with : between; NULL: none */
	const char *const *arguments;
	int argument_count;
	bool warm;
};
struct manifest {
	const char *name, *release;
	const struct manifest_entry *entry;
	int entry_count;
	const char *const *environment, *const *writable;
	int environment_count, writable_count;
	const long *port;
	int port_count;
};
void manifest_write(const struct manifest *manifest, struct buf *out);
