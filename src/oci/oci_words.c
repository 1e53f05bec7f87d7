/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_words.h"
#include "base/file.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { OCI_ID_MOST = 255 };

enum words_kind { WORDS_FLAG, WORDS_TEXT, WORDS_PLACED };
struct words_option {
	const char *commands; /* "" for those before the command; NULL: all */
	const char *name, *letter;
	enum words_kind kind;
	size_t offset, at; /* 0: nobody asks */
};

#define OF(member) offsetof(struct oci_words, member)
/* All that take a value, so that it is not taken for a word; and the flags
 * that are asked for. */
static const struct words_option words_options[] = {
	{ "", "root", NULL, WORDS_TEXT, OF(root), 0 },
	{ "", "log", NULL, WORDS_TEXT, OF(log), 0 },
	{ "", "log-format", NULL, WORDS_TEXT, OF(log_format), 0 },
	{ "", "criu", NULL, WORDS_TEXT, 0, 0 },
	{ "", "rootless", NULL, WORDS_TEXT, 0, 0 },
	{ "", "cgroup-manager", NULL, WORDS_TEXT, 0, 0 },
	{ "", "version", "v", WORDS_FLAG, OF(version), 0 },
	{ NULL, "help", "h", WORDS_FLAG, OF(help), 0 },
	{ "create run spec restore", "bundle", "b", WORDS_PLACED, OF(bundle),
	  OF(bundle_at) },
	{ "create run exec restore", "console-socket", NULL, WORDS_TEXT, 0, 0 },
	{ "create run exec", "pidfd-socket", NULL, WORDS_TEXT, 0, 0 },
	{ "create run exec restore", "pid-file", NULL, WORDS_TEXT, 0, 0 },
	{ "run", "detach", "d", WORDS_FLAG, OF(detach), 0 },
	{ "create run exec", "preserve-fds", NULL, WORDS_TEXT, 0, 0 },
	{ "exec", "process", "p", WORDS_PLACED, OF(process), OF(process_at) },
	{ "exec", "cwd", NULL, WORDS_TEXT, OF(cwd), 0 },
	{ "exec", "env", "e", WORDS_TEXT, 0, 0 },
	{ "exec", "user", "u", WORDS_TEXT, 0, 0 },
	{ "exec", "additional-gids", "g", WORDS_TEXT, 0, 0 },
	{ "exec", "process-label", NULL, WORDS_TEXT, 0, 0 },
	{ "exec", "apparmor", NULL, WORDS_TEXT, 0, 0 },
	{ "exec", "cap", "c", WORDS_TEXT, 0, 0 },
	{ "exec", "cgroup", NULL, WORDS_TEXT, 0, 0 },
	{ "ps list", "format", "f", WORDS_TEXT, OF(format), 0 },
};

static bool words_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') &&
		    (!at[len] || at[len] == ' '))
			return true;
	return false;
}

static bool words_is_name(const char *name, const char *word, size_t len)
{
	return name && strlen(name) == len && memcmp(name, word, len) == 0;
}

static const struct words_option *words_find(const char *command,
					     const char *word, size_t len)
{
	const size_t count = sizeof(words_options) / sizeof(*words_options);

	for (size_t i = 0; i < count; i++) {
		const struct words_option *option = &words_options[i];
		const char *commands = option->commands;
		bool is_here = !commands ? true
			       : *commands
				       ? command && words_has(commands, command)
				       : !command;

		if (is_here && (words_is_name(option->name, word, len) ||
				words_is_name(option->letter, word, len)))
			return option;
	}
	return NULL;
}

static void words_put(struct oci_words *words,
		      const struct words_option *option, const char *value,
		      int at)
{
	char *to = (char *)words + option->offset;

	if (!option->offset)
		return;
	if (option->kind == WORDS_FLAG)
		*(bool *)to = !value || strcmp(value, "false") != 0;
	else
		*(const char **)to = value;
	if (option->kind == WORDS_PLACED)
		*(int *)((char *)words + option->at) = at;
}

/* The option at the word; gives back the last word that is its. */
static int words_take(struct oci_words *words, int at)
{
	const char *word = words->word[at] + 1 + (words->word[at][1] == '-');
	size_t len = strcspn(word, "=");
	const struct words_option *option =
		words_find(words->command, word, len);

	if (!option)
		return at;
	if (word[len])
		words_put(words, option, word + len + 1, at);
	else if (option->kind == WORDS_FLAG)
		words_put(words, option, NULL, at);
	else if (at + 1 < words->count)
		words_put(words, option, words->word[at + 1], at + 1);
	return at + (!word[len] && option->kind != WORDS_FLAG);
}

void oci_words_read(struct oci_words *words, int argc, char **argv)
{
	*words = (struct oci_words){ .count = argc, .word = argv };
	for (int at = 1; at < argc; at++) {
		bool is_option = argv[at][0] == '-' && argv[at][1];

		if (is_option && strcmp(argv[at], "--") == 0) {
			continue;
		} else if (is_option) {
			at = words_take(words, at);
		} else if (!words->command) {
			words->command = argv[at];
			words->command_at = at;
		} else if (!words->id) {
			words->id = argv[at];
			words->id_at = at;
			if (strcmp(words->command, "exec") == 0)
				break;
		}
	}
	words->json =
		words->log_format && strcmp(words->log_format, "json") == 0;
	words->json_list = words->format && strcmp(words->format, "json") == 0;
}

char **oci_words_change(const struct oci_words *words, const char *program,
			int at, const char *value, char **own)
{
	char **to = calloc((size_t)words->count + 1, sizeof(*to));

	*own = NULL;
	if (!to)
		return NULL;
	memcpy(to, words->word, (size_t)words->count * sizeof(*to));
	to[0] = (char *)program;
	if (at) {
		const char *old = words->word[at];
		int begin = old[0] == '-' ? (int)strcspn(old, "=") + 1 : 0;

		*own = to[at] = file_format("%.*s%s", begin, old, value);
	}
	if (!at || *own)
		return to;
	free(to);
	return NULL;
}

char **oci_words_insert(char **argv, int count, int at, const char *first,
			const char *second)
{
	char **to = realloc(argv, ((size_t)count + 3) * sizeof(*to));

	if (!to)
		return NULL;
	memmove(to + at + 2, to + at, (size_t)(count - at + 1) * sizeof(*to));
	to[at] = (char *)first;
	to[at + 1] = (char *)second;
	return to;
}

int oci_words_check_id(const char *id, struct err *err)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789_+-.";

	if (!id || !*id)
		return err_set(err, -EINVAL, "the container's ID is missing");
	if (id[0] == '.' || strlen(id) > OCI_ID_MOST || id[strspn(id, letters)])
		return err_set(err, -EINVAL,
			       "no ID of a container: letters, digits and "
			       "_+-. of which the first is not a dot");
	return 0;
}
