/* SPDX-License-Identifier: Apache-2.0 */
/* brood cache: what compiled code there is, whether it is still right, and
 * how it goes. */
#include "cache/cache.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "cache/profile.h"
#include "cli/cli.h"
#include "domain/ready.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_WRONG = 1, CACHE_SHOWN = 12, CACHE_KEY = 64, CACHE_DAY_S = 86400 };

struct cache_words {
	const char *place;
	long size, age;
	bool json, all, dry, remove;
};

static const struct args_option cache_words[] = {
	{ .name = "--cache",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct cache_words, place),
	  .help = "the folder, if it is not the usual one" },
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct cache_words, json),
	  .help = "ls, show: one JSON object instead of a table" },
	{ .name = "--delete",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct cache_words, remove),
	  .help = "verify: remove what is wrong" },
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct cache_words, all),
	  .help = "prune: every object" },
	{ .name = "--size",
	  .value = "BYTES",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct cache_words, size),
	  .help = "prune: until the rest is as small, such as 500M" },
	{ .name = "--age",
	  .value = "DAYS",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct cache_words, age),
	  .help = "prune: what was not used for so many days" },
	{ .name = "--dry-run",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct cache_words, dry),
	  .help = "prune: tell what would go" },
	{ .name = NULL }
};

const struct args_verb cache_args = {
	.name = "cache",
	.synopsis = "ls|show KEY|verify [KEY...]|prune [OPTIONS]",
	.summary = "look at compiled code, check it, remove it",
	.text = "A module is compiled at its first run, and its code kept in a "
		"file that all later runs map. The files lie in "
		"$XDG_CACHE_HOME/brood/code; BROOD_CACHE names another "
		"folder, or is \"off\". What root has compiled into "
		"/var/cache/brood/code serves all users. Nothing has to be "
		"looked after: what does not fit is compiled anew, what is "
		"old goes.\n\n"
		"ls lists the objects, those used last first. USERS are the "
		"processes that map one now, as far as they may be seen. \"hot: "
		"12 functions, optimised 8\" tells of its profile: in so many "
		"functions runs have spent 98 % of their time, and so many of "
		"these are optimised; see brood-compile(1).\n\n"
		"show tells all of one object. KEY may be shortened to its "
		"first digits.\n\n"
		"verify computes the checksum of each object and of its "
		"profile, or of those named, and tells those that are not what "
		"they were. A profile goes with its object.\n\n"
		"prune removes what was not used for 90 days, then what was "
		"used longest ago until the rest has 2G (or what "
		"BROOD_CACHE_SIZE says); of what domains begin as, what was "
		"kept 30 days ago, and more than 256. A run that maps an object keeps it "
		"until it ends.\n\n"
		"Exit codes: 0; 1 verify has found something wrong; 100 a "
		"wrong use; 111 the system did not allow it.",
	.options = cache_words,
	.least = 1,
	.most = -1,
};

struct cache_list {
	struct cache_entry *entry;
	int count, room;
};

struct cache_work {
	const struct cache_words *words;
	char *folder;
	char **keys; /* as the user named them */
	int key_count;
	struct cache_list list;
};

static int cache_add(const struct cache_entry *entry, void *context)
{
	struct cache_list *list = context;
	struct cache_entry *more;

	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 32;
		more = reallocarray(list->entry, (size_t)list->room,
				    sizeof(*more));
		if (!more)
			return -ENOMEM;
		list->entry = more;
	}
	list->entry[list->count++] = *entry;
	return 0;
}

static int cache_order(const void *a, const void *b)
{
	const struct cache_entry *left = a, *right = b;

	if (left->used_s != right->used_s)
		return left->used_s < right->used_s ? 1 : -1;
	return strcmp(left->key, right->key);
}

/* Of the own folder and of the system's. */
static int cache_read(struct cache_work *work)
{
	const char *system = cache_system_folder();
	struct err err = { 0 };
	int rc = cache_each(work->folder, cache_add, &work->list, &err);

	if (rc >= 0 && !work->words->place &&
	    strcmp(system, work->folder) != 0) {
		/* One that is not trusted is not used either. */
		rc = cache_each(system, cache_add, &work->list, NULL);
		rc = rc == -ENOMEM ? rc : 0;
	}
	if (rc < 0)
		return err.code ? cli_fail(&err, NULL) : CLI_SYSTEM;
	if (work->list.count)
		qsort(work->list.entry, (size_t)work->list.count,
		      sizeof(*work->list.entry), cache_order);
	return 0;
}

static bool cache_is_named(const struct cache_entry *entry, const char *key)
{
	return strncmp(entry->key, key, strlen(key)) == 0;
}

/* Each word has to name one object. */
static int cache_check_keys(const struct cache_work *work)
{
	for (int k = 0; k < work->key_count; k++) {
		int found = 0;

		for (int i = 0; i < work->list.count; i++)
			found += cache_is_named(&work->list.entry[i],
						work->keys[k]);
		if (found == 1)
			continue;
		fprintf(stderr,
			"brood: %s objects \"%s\"; \"brood cache ls\" "
			"lists them\n",
			found ? "there are several" : "there are no",
			work->keys[k]);
		return CLI_SYSTEM;
	}
	return 0;
}

static bool cache_is_meant(const struct cache_work *work,
			   const struct cache_entry *entry)
{
	for (int k = 0; k < work->key_count; k++)
		if (cache_is_named(entry, work->keys[k]))
			return true;
	return work->key_count == 0;
}

static const char *cache_folder_of(const struct cache_work *work,
				   const struct cache_entry *entry)
{
	return entry->system ? cache_system_folder() : work->folder;
}

/* ---- words ---------------------------------------------------------------- */

struct cache_bit {
	uint32_t bit;
	const char *name;
};

static const struct cache_bit cache_features[] = {
	{ CODE_AVX, "avx" },	   { CODE_AVX2, "avx2" },
	{ CODE_BMI1, "bmi1" },	   { CODE_BMI2, "bmi2" },
	{ CODE_LZCNT, "lzcnt" },   { CODE_FMA, "fma" },
	{ CODE_AVX512, "avx512" }, { 0, NULL },
};

static const struct cache_bit cache_options[] = {
	{ CODE_CHECKED, "checked" },
	{ CODE_FUEL, "fuel" },
	{ CODE_TAILS, "tails" },
	{ 0, NULL },
};

/* "avx,avx2"; what has no name by its number; "-" for none. */
static void cache_bits(uint32_t bits, const struct cache_bit *names,
		       struct buf *text)
{
	bool any = false;

	for (; names->name; names++)
		if (bits & names->bit) {
			buf_format(text, "%s%s", any ? "," : "", names->name);
			bits &= ~names->bit;
			any = true;
		}
	if (bits)
		buf_format(text, "%s%#x", any ? "," : "", bits);
	else if (!any)
		buf_text(text, "-");
}

static void cache_json_hot(const struct cache_entry *entry, struct json *json)
{
	const struct cache_hot *hot = &entry->hot;

	if (entry->profile_wrong)
		json_text(json, "profile_wrong", entry->profile_wrong);
	if (!hot->total)
		return;
	json_open(json, "hot");
	json_number(json, "functions", hot->functions);
	json_number(json, "optimised", hot->optimised);
	json_number(json, "ms", (int64_t)hot->total * PROFILE_TICK_MS);
	json_number(json, "left_ms", (int64_t)hot->left * PROFILE_TICK_MS);
	json_close(json);
}

static void cache_json(const struct cache_entry *entry, struct json *json)
{
	auto_buf struct buf options = { 0 }, features = { 0 };

	json_open(json, NULL);
	json_text(json, "key", entry->key);
	json_text(json, "name", entry->name);
	json_bool(json, "system", entry->system);
	json_number(json, "bytes", (int64_t)entry->bytes);
	json_number(json, "made", entry->made_s);
	json_number(json, "used", entry->used_s);
	json_number(json, "users", entry->users);
	if (entry->wrong) {
		json_text(json, "wrong", entry->wrong);
	} else {
		cache_bits(entry->head.options, cache_options, &options);
		cache_bits(entry->head.features, cache_features, &features);
		json_text(json, "options", buf_string(&options));
		json_text(json, "features", buf_string(&features));
		json_number(json, "functions", entry->head.function_count);
		json_number(json, "optimised", entry->head.optimised_count);
		json_number(json, "landings", entry->head.landing_count);
		json_number(json, "text_bytes",
			    (int64_t)entry->head.text_bytes);
		json_number(json, "optimised", entry->head.optimised_count);
		cache_json_hot(entry, json);
	}
	json_close(json);
}

/* ---- ls and show ---------------------------------------------------------- */

static int cache_ls_json(const struct cache_work *work)
{
	auto_buf struct buf out = { 0 };
	struct json json;

	json_start(&json, &out);
	json_open(&json, NULL);
	json_text(&json, "folder", work->folder);
	json_number(&json, "compiling", cache_compiling(work->folder, NULL, 0));
	json_list_open(&json, "objects");
	for (int i = 0; i < work->list.count; i++)
		if (cache_is_meant(work, &work->list.entry[i]))
			cache_json(&work->list.entry[i], &json);
	json_list_close(&json);
	json_close(&json);
	buf_text(&out, "\n");
	return cli_print(buf_string(&out));
}

static void cache_row(const struct cache_entry *entry, struct buf *out)
{
	char size[16], made[24], used[24];

	cli_size(entry->bytes, size);
	cli_age(entry->made_s, made);
	cli_age(entry->used_s, used);
	buf_format(out, "%-*.*s %6s %5s %5s %5u ", CACHE_SHOWN, CACHE_SHOWN,
		   entry->key, size, made, used, entry->users);
	if (entry->wrong)
		buf_format(out, "wrong: %s", entry->wrong);
	else
		cache_bits(entry->head.options, cache_options, out);
	buf_format(out, "  %s%s", entry->name[0] ? entry->name : "-",
		   entry->system ? " (system)" : "");
	if (entry->hot.total)
		buf_format(out, "  hot: %u functions, optimised %u",
			   entry->hot.functions, entry->hot.optimised);
	buf_text(out, "\n");
}

static void cache_row_compiling(const struct cache_work *work, struct buf *out)
{
	enum { MOST = 16 };
	char begin[MOST][9];
	int count = cache_compiling(work->folder, begin, MOST);

	for (int i = 0; i < count && i < MOST; i++)
		buf_format(out, "%-*s compiling\n", CACHE_SHOWN, begin[i]);
	if (count > MOST)
		buf_format(out, "%d more are compiling\n", count - MOST);
}

static int cache_ls(struct cache_work *work)
{
	auto_buf struct buf out = { 0 };
	uint64_t bytes = 0;
	char size[16];

	if (work->words->json)
		return cache_ls_json(work);
	buf_format(&out, "%-*s %6s %5s %5s %5s %s\n", CACHE_SHOWN, "KEY",
		   "SIZE", "AGE", "USED", "USERS", "OPTIONS  NAME");
	for (int i = 0; i < work->list.count; i++) {
		cache_row(&work->list.entry[i], &out);
		bytes += work->list.entry[i].bytes;
	}
	cache_row_compiling(work, &out);
	cli_size(bytes, size);
	buf_format(&out, "%d objects, %s, in %s\n", work->list.count, size,
		   work->folder);
	return cli_print(buf_string(&out));
}

static void cache_show_head(const struct cache_entry *entry, struct buf *out)
{
	const struct code_header *head = &entry->head;

	if (entry->wrong) {
		buf_format(out, "wrong      %s\n", entry->wrong);
		return;
	}
	buf_text(out, "options    ");
	cache_bits(head->options, cache_options, out);
	buf_text(out, "\nfeatures   ");
	cache_bits(head->features, cache_features, out);
	buf_format(
		out,
		"\nfunctions  %u\noptimised  %u\nlandings   %u\ntext       "
		"%lu bytes at %lu\npages      %lu\nsnapshot   %s\nformat     "
		"%u\n",
		head->function_count, head->optimised_count,
		head->landing_count, (unsigned long)head->text_bytes,
		(unsigned long)head->text_at, (unsigned long)head->page_count,
		head->state_bytes ? "yes" : "no", head->version);
}

static void cache_show_hot(const struct cache_entry *entry, struct buf *out)
{
	const struct cache_hot *hot = &entry->hot;

	if (!entry->wrong)
		buf_format(out, "optimised  %u\n", entry->head.optimised_count);
	if (entry->profile_wrong)
		buf_format(out, "profile    wrong: %s\n", entry->profile_wrong);
	if (hot->total)
		buf_format(out,
			   "profile    %.1f s of CPU time\n"
			   "hot        %u functions, optimised %u\n",
			   (double)hot->total * PROFILE_TICK_MS / 1e3,
			   hot->functions, hot->optimised);
}

static int cache_show(struct cache_work *work)
{
	auto_buf struct buf out = { 0 };
	char made[24], used[24];

	if (work->words->json)
		return cache_ls_json(work);
	for (int i = 0; i < work->list.count; i++) {
		const struct cache_entry *entry = &work->list.entry[i];

		if (!cache_is_meant(work, entry))
			continue;
		cli_age(entry->made_s, made);
		cli_age(entry->used_s, used);
		buf_format(&out,
			   "key        %s\nname       %s\nfile       %s/%s\n"
			   "bytes      %lu\nmade       %s ago\n"
			   "used       %s ago\nusers      %u\n",
			   entry->key, entry->name[0] ? entry->name : "-",
			   cache_folder_of(work, entry), entry->key,
			   (unsigned long)entry->bytes, made, used,
			   entry->users);
		cache_show_head(entry, &out);
		cache_show_hot(entry, &out);
	}
	return cli_print(buf_string(&out));
}

/* ---- verify and prune ----------------------------------------------------- */

static int cache_remove_one(const struct cache_work *work,
			    const struct cache_entry *entry)
{
	struct err err = { 0 };

	if (cache_remove(cache_folder_of(work, entry), entry->key, &err) < 0)
		return cli_fail(&err, NULL);
	return 0;
}

/* Without one it is as good as with a right one, but for time. */
static int cache_check_profile(const struct cache_work *work,
			       const struct cache_entry *entry, struct buf *out)
{
	if (!entry->profile_wrong)
		return 0;
	buf_format(out, "%s.profile: %s\n", entry->key, entry->profile_wrong);
	if (work->words->remove)
		cache_profile_remove(cache_folder_of(work, entry), entry->key,
				     NULL);
	return 1;
}

static int cache_check(struct cache_work *work)
{
	auto_buf struct buf out = { 0 };
	int wrong = 0, right = 0, code = 0;

	for (int i = 0; i < work->list.count; i++) {
		const struct cache_entry *entry = &work->list.entry[i];
		const char *why;

		if (!cache_is_meant(work, entry))
			continue;
		why = cache_verify(cache_folder_of(work, entry), entry->key);
		wrong += why != NULL;
		right += why == NULL;
		if (why)
			buf_format(&out, "%s: %s\n", entry->key, why);
		if (why && work->words->remove && !code)
			code = cache_remove_one(work, entry);
		wrong += cache_check_profile(work, entry, &out);
	}
	buf_format(&out, "%d right, %d wrong%s\n", right, wrong,
		   wrong && work->words->remove && !code ? ", removed" : "");
	if (cli_print(buf_string(&out)))
		return CLI_SYSTEM;
	return code ? code : wrong ? CACHE_WRONG : 0;
}

static void cache_tell_gone(const struct cache_entry *entry, void *context)
{
	char size[16];

	cli_size(entry->bytes, size);
	buf_format(context, "%.*s %6s  %s\n", CACHE_SHOWN, entry->key, size,
		   entry->name[0] ? entry->name : "-");
}

/* What domains begin as lies beside the code (domain/ready.h). */
static int cache_clear_domains(const struct cache_work *work, struct err *err)
{
	const struct cache_words *words = work->words;
	auto_free char *folder = file_join(work->folder, "domains");
	struct ready_sweep sweep = ready_sweep_usual;

	sweep.dry = words->dry;
	if (words->age >= 0)
		sweep.age_s = words->age * (int64_t)CACHE_DAY_S;
	if (words->all)
		sweep.most = 0;
	return folder ? ready_sweep(folder, &sweep, err)
		      : err_set(err, -ENOMEM, "prune");
}

static int cache_clear(struct cache_work *work)
{
	const struct cache_words *words = work->words;
	const struct cache_options usual = { .place = words->place };
	auto_buf struct buf out = { 0 };
	struct cache_prune prune = {
		.most_bytes = words->size >= 0 ? (uint64_t)words->size
					       : cache_limit(&usual),
		.age_s = (words->age >= 0 ? words->age : CACHE_AGE_DAYS) *
			 (int64_t)CACHE_DAY_S,
		.dry = words->dry,
		.tell = cache_tell_gone,
		.context = &out,
	};
	struct err err = { 0 };
	int gone, domains;

	if (words->all)
		prune.most_bytes = 0;
	gone = cache_prune(work->folder, &prune, &err);
	domains = gone < 0 ? gone : cache_clear_domains(work, &err);
	if (domains < 0)
		return cli_fail(&err, NULL);
	buf_format(&out, "%d objects %s\n", gone,
		   words->dry ? "would go" : "removed");
	if (domains)
		buf_format(&out, "%d beginnings of domains %s\n", domains,
			   words->dry ? "would go" : "removed");
	return cli_print(buf_string(&out));
}

/* ---- the verb ------------------------------------------------------------- */

struct cache_task {
	const char *name;
	int (*run)(struct cache_work *work);
	int least, most; /* keys */
	bool reads;	 /* the list first */
};

static const struct cache_task cache_tasks[] = {
	{ "ls", cache_ls, 0, 0, true },
	{ "show", cache_show, 1, 1, true },
	{ "verify", cache_check, 0, 1 << 16, true },
	{ "prune", cache_clear, 0, 0, false },
	{ NULL, NULL, 0, 0, false },
};

static int cache_do(struct cache_work *work, const struct cache_task *task)
{
	const struct cache_options options = { .place = work->words->place };
	struct err err = { 0 };
	int code = 0;

	work->folder = cache_folder(&options, &err);
	if (!work->folder) {
		err_wrap(&err, "there is no code cache");
		return cli_fail(&err, NULL);
	}
	if (task->reads)
		code = cache_read(work);
	if (!code)
		code = cache_check_keys(work);
	return code ? code : task->run(work);
}

static const struct cache_task *cache_find_task(const char *name)
{
	const struct cache_task *task = cache_tasks;

	while (task->name && strcmp(task->name, name) != 0)
		task++;
	return task->name ? task : NULL;
}

int cache_run(int argc, char **argv)
{
	struct cache_words words = { .size = -1, .age = -1 };
	struct cache_work work = { .words = &words };
	const struct cache_task *task;
	char **operands;
	int count, code;

	if (cli_parse(&cache_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	task = cache_find_task(operands[0]);
	if (!task)
		return cli_wrong("no \"cache %s\"; there are ls, show, verify "
				 "and prune",
				 operands[0]);
	work.keys = operands + 1;
	work.key_count = count - 1;
	if (work.key_count < task->least || work.key_count > task->most)
		return cli_wrong("cache %s: %s; see \"brood cache --help\"",
				 task->name,
				 work.key_count < task->least
					 ? "which one?"
					 : "too many words");
	if (words.age > 100000)
		return cli_wrong("--age %ld: more days than there were",
				 words.age);
	code = cache_do(&work, task);
	free(work.list.entry);
	free(work.folder);
	return code;
}
