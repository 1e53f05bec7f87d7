/* SPDX-License-Identifier: Apache-2.0 */
/* brood machine save and swap: machines to tips, and back. */
#include "cli/machine.h"
#include "image/fold.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct save_words {
	const char *store, *as, *parent;
	bool stop, json;
};

#define SAVE_WORD(word, what, of, member, say)           \
	{ .name = word,                                  \
	  .value = what,                                 \
	  .kind = of,                                    \
	  .offset = offsetof(struct save_words, member), \
	  .help = say }
/* clang-format off */
static const struct args_option save_options[] = {
	SAVE_WORD("--as", "TIP", ARGS_TEXT, as, "the tip's name"),
	SAVE_WORD("--parent", "TIP", ARGS_TEXT, parent,
		  "the difference to that one, rather than to what the "
		  "machine was started from"),
	SAVE_WORD("--stop", NULL, ARGS_FLAG, stop,
		  "end the machine when it is saved"),
	SAVE_WORD("--store", "DIR", ARGS_TEXT, store,
		  "the folder of images, if it is not the usual one"),
	SAVE_WORD("--json", NULL, ARGS_FLAG, json, "tell it as JSON"),
	{ .name = NULL }
};
/* clang-format on */

const struct args_verb machine_save_args = {
	.name = "machine save",
	.synopsis = "NAME --as TIP [OPTIONS]",
	.summary = "make a tip of a machine",
	.text = "Stops the machine for a moment and keeps its memory and its "
		"devices as TIP. Of a machine that was booted, the memory is "
		"a base; of one that was started from a tip it is what has "
		"become different since: TIP then is that tip and one layer "
		"more. A tip of the same name is replaced.\n\n"
		"A save that fails leaves all tips as they were, and the "
		"machine goes on.",
	.options = save_options,
	.least = 1,
	.most = 1,
};

static void save_tell(const struct save_words *words,
		      const struct machine_saved *saved, struct buf *out)
{
	struct json json;

	if (!words->json) {
		buf_format(out,
			   "%s: layer %u, %lu of %lu pages changed, %.1f MB; "
			   "stopped for %.1f ms\n",
			   words->as, saved->layers,
			   (unsigned long)saved->pages.changed,
			   (unsigned long)saved->pages.looked,
			   (double)saved->layer_bytes / 1e6,
			   (double)saved->stopped_ns / 1e6);
		if (saved->fold)
			buf_format(out,
				   "%s: %s: its layers become one in the "
				   "background\n",
				   words->as, saved->fold);
		return;
	}
	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "tip", words->as);
	json_number(&json, "looked", (int64_t)saved->pages.looked);
	json_number(&json, "changed", (int64_t)saved->pages.changed);
	json_number(&json, "zero", (int64_t)saved->pages.zero);
	json_number(&json, "layer_bytes", (int64_t)saved->layer_bytes);
	json_number(&json, "state_bytes", (int64_t)saved->state_bytes);
	json_number(&json, "layers", saved->layers);
	json_number(&json, "pieces", saved->pieces);
	json_number(&json, "scan_us", (int64_t)(saved->scan_ns / 1000));
	json_number(&json, "stopped_us", (int64_t)(saved->stopped_ns / 1000));
	json_text(&json, "fold", saved->fold ? saved->fold : "");
	json_close(&json);
	buf_text(out, "\n");
}

/* Behind the user's back, with its own store open: the tip is what it was
 * until the folded one takes its name, and afterwards too. */
static void save_fold(const struct save_words *words)
{
	struct images images;
	pid_t pid = fork();

	if (pid != 0)
		return;
	setsid();
	for (int fd = 0; fd < 3; fd++)
		if (dup2(open("/dev/null", O_RDWR | O_CLOEXEC), fd) < 0)
			_exit(CLI_SYSTEM);
	if (images_open(&images, words->store, false, NULL) >= 0)
		fold_tip(&images, words->as, words->as, FOLD_DIFFS, NULL);
	_exit(0);
}

int machine_save_run(int argc, char **argv)
{
	struct save_words words = { 0 };
	auto_buf struct buf out = { 0 };
	auto_machine_place struct place place = { .lock = -1 };
	struct images images = { .root = -1, .tips = -1 };
	struct machine_saved saved;
	struct machine_save save;
	struct err err = { 0 };
	char **operands;
	int count, code, rc;

	if (cli_parse(&machine_save_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (!words.as)
		return cli_wrong("--as TIP names what it is saved as");
	save = (struct machine_save){ .tip = words.as,
				      .parent = words.parent,
				      .stop = words.stop };
	rc = place_find(operands[0], &place, &err);
	if (rc >= 0)
		rc = images_open(&images, words.store, true, &err);
	if (rc >= 0)
		rc = machine_save(&images, &place, &save, &saved, &err);
	images_close(&images);
	if (rc < 0)
		return cli_fail(&err, NULL);
	save_tell(&words, &saved, &out);
	code = cli_print(buf_string(&out));
	if (saved.fold)
		save_fold(&words);
	return code;
}

/* ---- swap ------------------------------------------------------------------------- */

struct swap_words {
	const char *store;
	bool json, paused, same;
};
static const struct args_option swap_options[] = {
	{ .name = "--store",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct swap_words, store),
	  .help = "the folder of images, if it is not the usual one" },
	{ .name = "--paused",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct swap_words, paused),
	  .help = "leave it standing still, as TIP to the last byte" },
	{ .name = "--as-it-was",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct swap_words, same),
	  .help = "do not make it another machine than the one that was saved" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct swap_words, json),
	  .help = "tell it as JSON" },
	{ .name = NULL }
};

const struct args_verb machine_swap_args = {
	.name = "machine swap",
	.synopsis = "NAME TIP [OPTIONS]",
	.summary = "make a machine that runs become a tip",
	.text = "The machine stops for a moment, those of its pages that "
		"differ from TIP are written, its devices are set as they were "
		"when TIP was saved, and it goes on as that. Both have to be "
		"machines of one shape. Commands that run in it are cut off; "
		"one that was started for a command is left alone.\n\nA "
		"machine that waits (start "
		"--park) waits no longer: it runs as TIP.",
	.options = swap_options,
	.least = 2,
	.most = 2,
};

int machine_swap_run(int argc, char **argv)
{
	struct swap_words words = { 0 };
	auto_buf struct buf out = { 0 };
	auto_machine_place struct place place = { .lock = -1 };
	struct images images = { .root = -1, .tips = -1 };
	struct machine_swapped swapped;
	struct machine_swap swap;
	struct err err = { 0 };
	struct json json;
	char **operands;
	int count, code, rc;

	if (cli_parse(&machine_swap_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	swap = (struct machine_swap){ .tip = operands[1],
				      .paused = words.paused,
				      .same = words.same };
	rc = place_find(operands[0], &place, &err);
	if (rc >= 0)
		rc = images_open(&images, words.store, false, &err);
	if (rc >= 0)
		rc = machine_swap(&images, &place, &swap, &swapped, &err);
	images_close(&images);
	if (rc < 0)
		return cli_fail(&err, NULL);
	if (!words.json) {
		buf_format(&out,
			   "%s: now %s, %lu pages of %lu written, %.1f ms\n",
			   operands[0], operands[1],
			   (unsigned long)swapped.written,
			   (unsigned long)swapped.looked,
			   (double)swapped.stopped_ns / 1e6);
		return cli_print(buf_string(&out));
	}
	json_start(&json, &out);
	json_open(&json, NULL);
	json_text(&json, "name", operands[0]);
	json_text(&json, "tip", operands[1]);
	json_number(&json, "looked", (int64_t)swapped.looked);
	json_number(&json, "written", (int64_t)swapped.written);
	json_number(&json, "stopped_us", (int64_t)(swapped.stopped_ns / 1000));
	json_close(&json);
	buf_text(&out, "\n");
	return cli_print(buf_string(&out));
}

/* ---- record ------------------------------------------------------------------------ */

static const struct args_option record_options[] = {
	{ .name = "--store",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct swap_words, store),
	  .help = "the folder of images, if it is not the usual one" },
	{ .name = NULL }
};

const struct args_verb machine_record_args = {
	.name = "machine record",
	.synopsis = "NAME [--store DIR]",
	.summary = "note what a machine needs of its memory, for faster starts",
	.text = "The parts of its memory that the machine has touched since it "
		"was started from its tip become that tip's working set: "
		"later starts read them ahead, in one piece, so that a start "
		"from a cold disk is as fast as one from memory. Use it right "
		"after the machine has done what its starts are for.",
	.options = record_options,
	.least = 1,
	.most = 1,
};

int machine_record_run(int argc, char **argv)
{
	struct swap_words words = { 0 };
	auto_buf struct buf out = { 0 };
	auto_machine_place struct place place = { .lock = -1 };
	struct images images = { .root = -1, .tips = -1 };
	struct err err = { 0 };
	uint64_t bytes = 0;
	char **operands;
	int count, code, rc;

	if (cli_parse(&machine_record_args, argc, argv, &words, &operands,
		      &count, &code) < 0)
		return code;
	rc = place_find(operands[0], &place, &err);
	if (rc >= 0)
		rc = images_open(&images, words.store, false, &err);
	if (rc >= 0)
		rc = machine_record(&images, &place, &bytes, &err);
	images_close(&images);
	if (rc < 0)
		return cli_fail(&err, NULL);
	buf_format(&out, "%s: a working set of %.1f MB\n", operands[0],
		   (double)bytes / 1e6);
	return cli_print(buf_string(&out));
}
