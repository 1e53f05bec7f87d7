/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/wish.h"
#include "base/fd.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WISH_WORD(word, what, of, member, say)           \
	{ .name = word,                                  \
	  .value = what,                                 \
	  .kind = of,                                    \
	  .offset = offsetof(struct wish_words, member), \
	  .help = say }
/* clang-format off */
const struct args_option wish_options[] = {
	WISH_WORD("--share", "DIR", ARGS_TEXT, share,
		  "the shared storage ($BROOD_SHARE, else a folder of this "
		  "host alone)"),
	WISH_WORD("--bin", "DIR", ARGS_TEXT, bin,
		  "folder of the start paths (/usr/local/bin for root, else "
		  "~/.local/bin)"),
	WISH_WORD("--at", "[ENTRY=]PATH", ARGS_LIST, at,
		  "the start path of an entry, of the first one without a "
		  "name; what is there comes back with an uninstall"),
	WISH_WORD("--keep", NULL, ARGS_FLAG, keep,
		  "keep a copy of the payload here, to go on from without the "
		  "share"),
	WISH_WORD("--unpacked", NULL, ARGS_FLAG, unpacked,
		  "put it there unpacked, too: for hosts that may not mount"),
	WISH_WORD("--wait", "TIME", ARGS_MS, wait_ms,
		  "a start waits so long for the share's lock (5s)"),
	WISH_WORD("--answer", "TIME", ARGS_MS, answer_ms,
		  "the longest silence of the share (2s)"),
	WISH_WORD("--deadline", "TIME", ARGS_MS, deadline_ms,
		  "for all that a start does with the share (30s)"),
	WISH_WORD("--rejoin", "TIME", ARGS_MS, rejoin_ms,
		  "an independent application tries the share again after "
		  "that time (1m)"),
	WISH_WORD("--no-rejoin", NULL, ARGS_FLAG, no_rejoin,
		  "... only when \"app rejoin\" says so"),
	{ .name = "--lock", .value = "KIND", .kind = ARGS_TEXT,
	  .offset = offsetof(struct wish_words, lock), .words = "lease|ofd",
	  .help = "of a new share: lease, or ofd where \"app probe\" has "
		  "found that file locks reach other hosts (lease)" },
	WISH_WORD("--ttl", "TIME", ARGS_MS, ttl_ms,
		  "of a new share: who holds its lock and does not stir for "
		  "that time has lost it (10s)"),
	WISH_WORD("--in", "MACHINE", ARGS_TEXT, machine,
		  "run the installer in this machine; all paths but the "
		  "appliance's are the machine's"),
	WISH_WORD("--device", "PATH", ARGS_TEXT, device,
		  "with --in: where the machine has the appliance"),
	WISH_WORD("--json", NULL, ARGS_FLAG, json, "tell it as JSON"),
	{ .name = NULL }
};
/* clang-format on */

const struct args_verb wish_install_args = {
	.name = "app install",
	.synopsis = "[OPTIONS] APPLIANCE",
	.summary = "install an application as context only",
	.text = "Looks through APPLIANCE (an image, a block device with one, "
		"or a folder), and puts the application on the shared storage "
		"if no other host has. This host gets its context - a few "
		"kilobytes - and start paths that lead to the startup binary: "
		"whoever starts the application by its usual name gets the "
		"shared one.\n\n"
		"A start takes the share's lock, loads the application and "
		"lets go of the lock. When that fails - the lock is held, the "
		"share is silent, the payload is damaged - the application "
		"goes on from what this host has: the copy that --keep has "
		"made, the program that the start path led to before, the "
		"appliance. Where there is nothing, it ends with 75 and one "
		"line.\n\n"
		"Root installs for all users in /var/lib/brood/apps and "
		"mounts payloads once for the host; others install for "
		"themselves in $XDG_DATA_HOME/brood/apps, and need a share "
		"that has applications unpacked. $BROOD_APPS names another "
		"folder.",
	.options = wish_options,
	.least = 1,
	.most = 1,
};

const struct args_verb wish_upgrade_args = {
	.name = "app upgrade",
	.synopsis = "[OPTIONS] APPLIANCE",
	.summary = "put a new version of an application on the share",
	.text = "As \"app install\", but what APPLIANCE is becomes the newest "
		"version on the share: the next start on each host that has "
		"the context takes it. What runs goes on with the version "
		"that it has. \"app rollback\" goes back.",
	.options = wish_options,
	.least = 1,
	.most = 1,
};

/* ---- filled ------------------------------------------------------------------- */

/* -1: nothing was said. */
static int wish_ms(long given)
{
	return given > INT_MAX ? INT_MAX : (int)given;
}

static int wish_lock(const char *word, struct share_wish *kind)
{
	int backend = word ? share_backend_of(word) : SHARE_LEASE;

	kind->backend = (enum share_backend)backend;
	kind->any_lock = !word;
	kind->needs_proof = true;
	return backend;
}

int wish_fill(const struct wish_words *words, const char *appliance,
	      bool upgrade, struct install_wish *wish, struct err *err)
{
	const char *share = words->share ? words->share : getenv("BROOD_SHARE");

	*wish = (struct install_wish){
		.appliance = appliance,
		.share = share && *share ? share : NULL,
		.bin = words->bin,
		.at = &words->at,
		.upgrade = upgrade,
		.unpacked = words->unpacked,
		.keep = words->keep,
		.wait_ms = wish_ms(words->wait_ms),
		.answer_ms = wish_ms(words->answer_ms),
		.deadline_ms = wish_ms(words->deadline_ms),
		.rejoin_ms = words->no_rejoin ? 0 : wish_ms(words->rejoin_ms),
	};
	if (words->answer_ms == 0 || words->deadline_ms == 0)
		return err_set(err, -EINVAL,
			       "a share that has no time cannot answer");
	if (wish_lock(words->lock, &wish->kind) < 0)
		return err_set(err, -EINVAL, "\"%s\" is no kind of lock",
			       words->lock);
	wish->kind.ttl_ms = words->ttl_ms;
	return 0;
}

/* ---- told --------------------------------------------------------------------- */

static void wish_tell_paths(const struct installed *installed,
			    struct json *json)
{
	const char *line = buf_string(&installed->paths);

	json_list_open(json, "paths");
	while (*line) {
		static const char *const keys[] = { "path", "before", "after" };

		json_open(json, NULL);
		for (int i = 0; i < 3; i++) {
			size_t len = strcspn(line, "\t\n");
			auto_free char *part = strndup(line, len);

			json_text(json, keys[i], part ? part : "");
			line += len + (line[len] != 0);
		}
		json_close(json);
	}
	json_list_close(json);
}

static void wish_tell_json(const struct installed *installed, struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "name", installed->name);
	json_number(&json, "version", (int64_t)installed->version);
	json_number(&json, "payload_bytes", (int64_t)installed->payload_bytes);
	json_number(&json, "context_bytes", (int64_t)installed->context_bytes);
	json_number(&json, "start_bytes", (int64_t)installed->start_bytes);
	json_bool(&json, "payload_was_there", installed->payload_was_there);
	json_bool(&json, "version_was_there", installed->version_was_there);
	wish_tell_paths(installed, &json);
	json_text(&json, "notes", buf_string(&installed->notes));
	json_open(&json, "us");
	json_number(&json, "check", (int64_t)installed->check_ns / 1000);
	json_number(&json, "publish", (int64_t)installed->publish_ns / 1000);
	json_number(&json, "context", (int64_t)installed->context_ns / 1000);
	json_number(&json, "paths", (int64_t)installed->paths_ns / 1000);
	json_number(&json, "load", (int64_t)installed->load_ns / 1000);
	json_close(&json);
	json_close(&json);
	buf_text(out, "\n");
}

void wish_tell(const struct installed *installed, bool as_json, struct buf *out)
{
	const char *line = buf_string(&installed->paths);

	if (as_json) {
		wish_tell_json(installed, out);
		return;
	}
	buf_format(
		out,
		"%s: context of %lu bytes here (and the startup binary, %lu, "
		"once for all), payload of %lu bytes %s\n",
		installed->name, (unsigned long)installed->context_bytes,
		(unsigned long)installed->start_bytes,
		(unsigned long)installed->payload_bytes,
		installed->payload_was_there ? "was on the share"
					     : "on the share");
	while (*line) {
		size_t path = strcspn(line, "\t");
		size_t before = strcspn(line + path + 1, "\t");

		buf_format(out, "  %.*s (was: %.*s)\n", (int)path, line,
			   (int)before, line + path + 1);
		line += strcspn(line, "\n") + 1;
	}
	buf_text(out, buf_string(&installed->notes));
}
