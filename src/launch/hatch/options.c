/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's words: options of the starter, or none when it runs as a
 * stub under the name of a program. */
#include "bare/fact.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <elf.h>
#include <fcntl.h>
#include <string.h>

static const char *options_base(const char *path)
{
	for (const char *p = path; *p; p++)
		if (*p == '/' && p[1])
			path = p + 1;
	return path;
}

static bool options_via(struct starter *starter, const char *word)
{
	static const char names[][8] = { "auto", "clone", "hatch", "exec" };

	for (unsigned i = 0; i < 4; i++)
		if (strcmp(word, names[i]) == 0) {
			starter->via = (enum starter_via)i;
			starter->forced = i != VIA_AUTO;
			return true;
		}
	text_reason(starter, "--via ", word,
		    ": not one of auto, clone, hatch, exec");
	text_say(starter, starter->reason);
	return false;
}

static bool options_environment(struct starter *starter)
{
	const char *via = fact_variable(starter->envp, "BROOD_VIA");

	starter->report = fact_variable(starter->envp, "BROOD_REPORT");
	if (starter->report && !*starter->report)
		starter->report = NULL;
	starter->verbose = fact_variable(starter->envp, "BROOD_VERBOSE");
	return !via || !*via || options_via(starter, via);
}

/* Takes the words in front of "--". */
static bool options_words(struct starter *starter)
{
	char **word = starter->argv + 1, *arg0 = NULL;

	for (; *word && strcmp(*word, "--") != 0; word++) {
		if (strcmp(*word, "--verbose") == 0) {
			starter->verbose = true;
			continue;
		}
		if (!word[1])
			break;
		if (strcmp(*word, "--entry") == 0)
			starter->entry_path = *++word;
		else if (strcmp(*word, "--program") == 0)
			starter->program = *++word;
		else if (strcmp(*word, "--report") == 0)
			starter->report = *++word;
		else if (strcmp(*word, "--arg0") == 0)
			arg0 = *++word;
		else if (strcmp(*word, "--via") != 0)
			break;
		else if (!options_via(starter, *++word))
			return false;
	}
	if (!starter->entry_path || !*word || strcmp(*word, "--") != 0 ||
	    !word[1]) {
		text_say(starter, "usage: brood-hatch --entry FILE [--via WAY] "
				  "[--report FILE] [--verbose] -- ARGV...");
		return false;
	}
	starter->argc -= word + 1 - starter->argv;
	starter->argv = word + 1;
	if (arg0)
		starter->argv[0] = arg0;
	starter->name = options_base(starter->argv[0]);
	return true;
}

/* DIR/NAME was executed: the entry is DIR/.brood/NAME, and DIR/.brood/.NAME
 * leads to the program as PATH has it.  That is its argv[0]: compilers and
 * interpreters look for their parts beside themselves, and by the bare name
 * would look beside the stub. */
static bool options_stub(struct starter *starter)
{
	char *room = starter->stub_path;
	const char *executed = starter->executed;
	const char *base = options_base(executed);
	struct words path = { room, room + sizeof starter->stub_path };
	char *folder = room + (base - executed) + strlen(".brood/");
	long n;

	starter->stub = true;
	starter->name = base;
	if (strlen(executed) + 16 > sizeof starter->stub_path) {
		text_say(starter, "the path of this stub is too long");
		return false;
	}
	words_add(&path, executed);
	path.at = room + (base - executed);
	words_add(&path, ".brood/.");
	words_add(&path, base);
	n = raw_4(readlinkat, AT_FDCWD, room, starter->program_path,
		  sizeof starter->program_path - 1);
	if (n > 0) {
		starter->program_path[n] = 0;
		starter->argv[0] = starter->program_path;
	}
	path.at = folder;
	words_add(&path, base);
	starter->entry_path = room;
	return true;
}

/* The marker of a second start is ours, not the program's. */
static void options_take_marker(struct starter *starter)
{
	for (char **e = starter->envp; *e; e++)
		if (strcmp(*e, STARTER_AGAIN) == 0) {
			starter->again = true;
			do
				e[0] = e[1];
			while (*e++);
			return;
		}
}

bool options_read(struct starter *starter, uint64_t *stack)
{
	starter->argc = (int)stack[0];
	starter->argv = (char **)(stack + 1);
	starter->envp = starter->argv + starter->argc + 1;
	starter->auxv = (uint64_t *)starter->envp;
	while (*starter->auxv++)
		;
	for (uint64_t *aux = starter->auxv; aux[0] != AT_NULL; aux += 2)
		if (aux[0] == AT_EXECFN)
			starter->executed = (const char *)aux[1];
	starter->name = "brood-hatch";
	starter->own_argv = starter->argv;
	if (starter->argc < 1) {
		text_say(starter, "started without a name");
		return false;
	}
	if (!options_environment(starter))
		return false;
	options_take_marker(starter);
	if (strcmp(options_base(starter->executed), "brood-hatch") == 0)
		return options_words(starter);
	return options_stub(starter);
}
