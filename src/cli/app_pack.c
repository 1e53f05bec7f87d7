/* SPDX-License-Identifier: Apache-2.0 */
/* brood app pack: an appliance of a program or a folder. */
#include "appliance/pack.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/app.h"
#include "lib/where.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pack_words {
	const char *as, *name, *release, *kind;
	struct args_list entries, with, arguments, environment, writable, ports;
	bool own_libc, warm, json;
};

#define PACK_WORD(word, what, of, member, say)           \
	{ .name = word,                                  \
	  .value = what,                                 \
	  .kind = of,                                    \
	  .offset = offsetof(struct pack_words, member), \
	  .help = say }
/* clang-format off */
static const struct args_option pack_options[] = {
	PACK_WORD("--as", "WHERE", ARGS_TEXT, as,
		  "a file, a block device, or a folder (with a / behind it)"),
	PACK_WORD("--name", "NAME", ARGS_TEXT, name,
		  "the application's (its first entry's)"),
	PACK_WORD("--release", "TEXT", ARGS_TEXT, release,
		  "which release of it this is"),
	PACK_WORD("--entry", "[NAME=]PATH", ARGS_LIST, entries,
		  "what can be started, in the payload; again for more (the "
		  "program; of a folder, what is in its bin)"),
	PACK_WORD("--with", "PATH[=TO]", ARGS_LIST, with,
		  "a file or folder of this system more; again for more"),
	{ .name = "--kind", .value = "KIND", .kind = ARGS_TEXT,
	  .offset = offsetof(struct pack_words, kind),
	  .words = "program|wasm|domain|machine",
	  .help = "program, wasm, domain (byte code in a micro-VM) or machine "
		  "(a folder of images) (by what it is)" },
	PACK_WORD("--argument", "WORD", ARGS_LIST, arguments,
		  "a word in front of those of a start; again for more"),
	PACK_WORD("--env", "NAME=VALUE", ARGS_LIST, environment,
		  "a variable; ${app}, ${data} and ${settings} are folders"),
	PACK_WORD("--writable", "NAME", ARGS_LIST, writable,
		  "a folder ${data}/NAME on each host"),
	PACK_WORD("--port", "NUMBER", ARGS_LIST, ports, "it listens there"),
	PACK_WORD("--own-libc", NULL, ARGS_FLAG, own_libc,
		  "take the C library along: it then starts on hosts with "
		  "another one, or none"),
	PACK_WORD("--warm", NULL, ARGS_FLAG, warm,
		  "start it from a warm template, where it can be"),
	PACK_WORD("--json", NULL, ARGS_FLAG, json, "tell it as JSON"),
	{ .name = NULL }
};
/* clang-format on */

const struct args_verb app_pack_args = {
	.name = "app pack",
	.synopsis = "FOLDER|PROGRAM --as WHERE [OPTIONS]",
	.summary = "make an appliance: an application in one file",
	.text = "Of a PROGRAM (a path, or a name in PATH) it takes the file, "
		"the shared libraries that it needs but for the C library's, "
		"and what --with names. What a program opens by itself has to "
		"be named: Python wants --with /usr/lib/python3.11.\n\n"
		"Of a FOLDER it takes all that is in it. It may have its own "
		".brood/manifest.json; otherwise one is made from the "
		"options. Files in .brood/settings are templates of settings "
		"for each host.\n\n"
		"The appliance is an EROFS image: it can be mounted, and "
		"written to a block device. The same inputs give the same "
		"bytes. Links that begin with / lead to the payload's own "
		"root; devices are refused, set-user-id is dropped.",
	.options = pack_options,
	.least = 1,
	.most = 1,
};

static void pack_tell_json(const struct packed *packed, const char *as,
			   struct buf *out)
{
	const char *line = buf_string(&packed->entries);
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "name", packed->name);
	json_text(&json, "as", as);
	json_text(&json, "digest", packed->hex);
	json_number(&json, "bytes", (int64_t)packed->bytes);
	json_number(&json, "files", (int64_t)packed->files);
	json_list_open(&json, "entries");
	for (; *line; line += strcspn(line, "\n") + 1) {
		auto_free char *name = strndup(line, strcspn(line, "\n"));

		json_text(&json, NULL, name ? name : "");
	}
	json_list_close(&json);
	json_text(&json, "notes", buf_string(&packed->notes));
	json_close(&json);
	buf_text(out, "\n");
}

static void pack_tell(const struct packed *packed, const char *as,
		      struct buf *out)
{
	char size[16];

	cli_size(packed->bytes, size);
	buf_format(out, "%s: %s, %lu files, digest %.12s\n", as, size,
		   (unsigned long)packed->files, packed->hex);
	buf_text(out, buf_string(&packed->notes));
	buf_format(out, "brood app install %s\n", as);
}

int app_pack_run(int argc, char **argv)
{
	struct pack_words words = { 0 };
	struct packed packed = { 0 };
	auto_free char *installer = NULL;
	auto_free char *start = NULL;
	auto_buf struct buf out = { 0 };
	struct progress progress;
	struct pack_wish wish;
	struct err err = { 0 };
	char **operands;
	int count, code, rc;

	if (cli_parse(&app_pack_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (!words.as)
		return cli_wrong("--as names where the appliance goes");
	installer = where_is("brood-installer", &err);
	start = installer ? where_is("brood-start", &err) : NULL;
	if (!start)
		return cli_fail(&err, NULL);
	wish = (struct pack_wish){ .what = operands[0],
				   .as = words.as,
				   .name = words.name,
				   .release = words.release,
				   .kind = words.kind,
				   .entries = &words.entries,
				   .with = &words.with,
				   .arguments = &words.arguments,
				   .environment = &words.environment,
				   .writable = &words.writable,
				   .ports = &words.ports,
				   .own_libc = words.own_libc,
				   .warm = words.warm,
				   .installer = installer,
				   .start = start };
	progress_start(&progress, "packing");
	rc = pack_appliance(&wish, &progress, &packed, &err);
	progress_end(&progress);
	if (rc >= 0 && words.json)
		pack_tell_json(&packed, words.as, &out);
	else if (rc >= 0)
		pack_tell(&packed, words.as, &out);
	packed_fini(&packed);
	return rc < 0 ? cli_fail(&err, NULL) : cli_print(buf_string(&out));
}
