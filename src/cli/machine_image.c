/* SPDX-License-Identifier: Apache-2.0 */
/* brood machine image: a first file system with which a machine starts in
 * seconds and is there for its agent. */
#include "base/fd.h"
#include "base/json.h"
#include "cli/cli.h"
#include "lib/where.h"
#include "machine/image_build.h"
#include <stdio.h>
#include <string.h>

struct machine_image_words {
	const char *as, *kernel, *compress;
	struct args_list with, modules;
	bool json;
};

static const struct args_option machine_image_words[] = {
	{ .name = "--as",
	  .value = "FILE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct machine_image_words, as),
	  .help = "where it goes (machine.img)" },
	{ .name = "--with",
	  .value = "PATH[=TO]",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct machine_image_words, with),
	  .help = "a file or folder more; again for more" },
	{ .name = "--module",
	  .value = "NAME",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct machine_image_words, modules),
	  .help = "a kernel module to load, \"share\" or \"nfs4\"; again "
		  "for more" },
	{ .name = "--kernel",
	  .value = "FILE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct machine_image_words, kernel),
	  .help = "whose modules (the newest in /boot)" },
	{ .name = "--compress",
	  .value = "HOW",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct machine_image_words, compress),
	  .words = "zstd|gzip|none",
	  .help = "zstd, gzip or none (the first that is there)" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct machine_image_words, json),
	  .help = "tell about it in one JSON object" },
	{ .name = NULL }
};

const struct args_verb machine_image_args = {
	.name = "machine image",
	.synopsis = "[--as FILE] [--with PATH[=TO]]... [--module NAME]...",
	.summary = "make a small first file system for a machine",
	.text = "The image is for a kernel's -initrd: busybox, Brood's agent "
		"and an init that starts them. A machine with it prints "
		"\"brood: machine ready\" on its console and then has a shell "
		"on its first serial port; the agent is at the second, or at "
		"a virtio port that is named org.brood.agent (which wants "
		"--module virtio_console).\n\n"
		"--with puts a file or a folder of this system into it, at "
		"the same place or at TO, an absolute path. Targets of links "
		"come with it, and the shared libraries that a program needs; "
		"what a program opens by itself does not. Python, for one, "
		"wants --with /usr/bin/python3 --with /usr/lib/python3.11. An "
		"executable at /etc/brood/start is run before the machine is "
		"ready, the file at /etc/hostname gives its name.\n\n"
		"--module loads a module of the kernel at the start, after "
		"those that it needs. They are taken from the lib/modules "
		"beside the kernel's folder, or from /lib/modules. Two words "
		"stand for several, of which those are taken that the kernel "
		"has: \"share\" for what \"brood machine boot\" lends by "
		"--share, --pmem and --device, \"nfs4\" for NFS over "
		"--network. In such a machine this mounts what a server on "
		"this host has at a port of 127.0.0.1:\n\n"
		"  ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0\n\n"
		"  mount -t nfs4 -o vers=4.1,addr=10.0.2.2,"
		"clientaddr=10.0.2.15,port=PORT 10.0.2.2:/ /mnt\n\n"
		"The same inputs give the same bytes. Everything in the image "
		"belongs to root.\n\n"
		"Exit codes: 0; 100 a wrong use; 111 something that it needs "
		"is not here, or the system did not allow it.",
	.options = machine_image_words,
};

static void machine_image_lines(struct json *json, const char *key,
				const char *lines)
{
	char line[1024];

	json_list_open(json, key);
	while (*lines) {
		size_t len = strcspn(lines, "\n");

		snprintf(line, sizeof line, "%.*s", (int)len, lines);
		json_text(json, NULL, line);
		lines += len + (lines[len] == '\n');
	}
	json_list_close(json);
}

static int machine_image_json(const struct image_plan *plan,
			      const struct image_built *built)
{
	auto_buf struct buf out = { 0 };
	struct json json;

	json_start(&json, &out);
	json_open(&json, NULL);
	json_text(&json, "file", plan->output);
	json_number(&json, "bytes", (int64_t)built->bytes);
	json_number(&json, "unpacked", (int64_t)built->unpacked);
	json_number(&json, "entries", (int64_t)built->entries);
	json_text(&json, "compression", built->compression);
	if (built->release[0])
		json_text(&json, "release", built->release);
	machine_image_lines(&json, "modules", buf_string(&built->modules));
	machine_image_lines(&json, "notes", buf_string(&built->notes));
	json_close(&json);
	buf_text(&out, "\n");
	return cli_print(buf_string(&out));
}

static int machine_image_tell(const struct image_plan *plan,
			      const struct image_built *built)
{
	const char *notes = buf_string(&built->notes);

	while (*notes) {
		size_t len = strcspn(notes, "\n");

		fprintf(stderr, "brood: %.*s\n", (int)len, notes);
		notes += len + (notes[len] == '\n');
	}
	printf("%s: %.1f MB, %.1f MB unpacked, %lu entries, %s\n", plan->output,
	       (double)built->bytes / 1e6, (double)built->unpacked / 1e6,
	       (unsigned long)built->entries, built->compression);
	return 0;
}

static int machine_image_make(const struct machine_image_words *words,
			      const struct image_plan *plan)
{
	struct image_built built = { 0 };
	struct progress progress;
	struct err err = { 0 };
	int r;

	progress_start(&progress, "machine image");
	r = image_build(plan, &built, &progress, &err);
	progress_end(&progress);
	if (r < 0)
		r = cli_fail(&err, NULL);
	else if (words->json)
		r = machine_image_json(plan, &built);
	else
		r = machine_image_tell(plan, &built);
	image_built_fini(&built);
	return r;
}

int machine_image_run(int argc, char **argv)
{
	struct machine_image_words words = { .as = "machine.img" };
	auto_free char *agent = NULL;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&machine_image_args, argc, argv, &words, &operands,
		      &count, &code) < 0)
		return code;
	agent = where_is("brood-agent", &err);
	if (!agent)
		return cli_fail(&err, NULL);
	return machine_image_make(&words,
				  &(struct image_plan){
					  .output = words.as,
					  .agent = agent,
					  .kernel = words.kernel,
					  .compression = words.compress,
					  .with = words.with.item,
					  .with_count = words.with.count,
					  .modules = words.modules.item,
					  .module_count = words.modules.count,
				  });
}
