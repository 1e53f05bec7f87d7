/* SPDX-License-Identifier: Apache-2.0 */
/* The new process, from the fork to the exec.  It may use its memory as it
 * likes, and ends by what it returns. */
#include "agent/agent.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

enum {
	CHILD_WORDS = AGENT_MOST, /* more do not fit into a payload */
	CHILD_ENVIRONMENT = 512,  /* of the agent's own */
};

static const char child_usual_path[] =
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const char *child_check(struct child *child, const void *payload,
			uint32_t bytes)
{
	struct agent_exec exec;
	const char *words = payload;
	uint64_t count = 0;

	if (bytes < sizeof exec)
		return "no words";
	memcpy(&exec, payload, sizeof exec);
	for (uint32_t i = sizeof exec; i < bytes; i++)
		count += words[i] == 0;
	if (count != (uint64_t)exec.argc + exec.envc || exec.argc == 0)
		return "the words are not as many as told";
	if (words[bytes - 1] != 0)
		return "the last word has no end";
	if (words[sizeof exec] == 0)
		return "the program has no name";
	child->words = words + sizeof exec;
	child->argc = exec.argc;
	child->envc = exec.envc;
	return NULL;
}

static bool child_is_same_variable(const char *a, const char *b)
{
	while (*a && *a == *b && *a != '=')
		a++, b++;
	return *a == '=' && *b == '=';
}

static char **child_find(char **envp, uint32_t count, const char *variable)
{
	for (uint32_t i = 0; i < count; i++)
		if (child_is_same_variable(envp[i], variable))
			return &envp[i];
	return NULL;
}

/* The agent's own, then the given, which take the place of the former. */
static void child_environment(const struct child *child, const char *word,
			      char **envp)
{
	uint32_t count = 0;

	for (; child->envp[count] && count < CHILD_ENVIRONMENT; count++)
		envp[count] = child->envp[count];
	for (uint32_t i = 0; i < child->envc; i++) {
		char *variable = (char *)(size_t)word;
		char **old = child_find(envp, count, variable);

		if (old)
			*old = variable;
		else
			envp[count++] = variable;
		word += strlen(word) + 1;
	}
	if (!child_find(envp, count, child_usual_path))
		envp[count++] = (char *)(size_t)child_usual_path;
	envp[count] = NULL;
}

/* All that go on from here have one of them at least. */
static const char *child_path(char **envp)
{
	while (strncmp(*envp, "PATH=", 5) != 0)
		envp++;
	return *envp + 5;
}

/* ENOENT and the like lead to the next folder; a program that was found but
 * may not be executed is told of if there is no other. */
static long child_search(char **argv, char **envp)
{
	const char *path = child_path(envp);
	long error = -ENOENT, now;
	char room[4096];

	while (*path) {
		struct words full = { room, room + sizeof room };
		const char *end = strchr(path, ':');
		size_t len = end ? (size_t)(end - path) : strlen(path);

		if (len + strlen(argv[0]) + 3 < sizeof room) {
			memcpy(room, path, len);
			full.at += len;
			words_add(&full, len ? "/" : "./");
			words_add(&full, argv[0]);
			now = raw_3(execve, room, argv, envp);
			if (now != -ENOENT && now != -ENOTDIR)
				error = now;
			if (now != -ENOENT && now != -ENOTDIR && now != -EACCES)
				break;
		}
		path += len + (end != NULL);
	}
	return error;
}

static void child_reset_signals(void)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} plain = { 0, 0, 0, 0 };
	uint64_t none = 0;

	for (int number = 1; number <= 64; number++)
		raw_4(rt_sigaction, number, &plain, NULL, sizeof none);
	raw_4(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

long child_become(const struct child *child)
{
	char *argv[CHILD_WORDS + 1];
	char *envp[CHILD_ENVIRONMENT + CHILD_WORDS + 2];
	const char *word = child->words;

	for (uint32_t i = 0; i < child->argc; i++) {
		argv[i] = (char *)(size_t)word;
		word += strlen(word) + 1;
	}
	argv[child->argc] = NULL;
	child_environment(child, word, envp);
	raw_0(setsid);
	for (int i = 0; i < 3; i++)
		raw_3(dup3, child->fds[i], i, 0);
	child_reset_signals();
	if (strchr(argv[0], '/'))
		return raw_3(execve, argv[0], argv, envp);
	return child_search(argv, envp);
}
