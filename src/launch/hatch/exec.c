/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: a plain exec of the program, with the words as they came. */
#include "bare/fact.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

int exec_floor(struct starter *starter)
{
	long r;

	report_way(starter, "exec", raw_0(getpid), 0);
	r = raw_3(execve, starter->entry.program, starter->argv, starter->envp);
	text_reason(starter, starter->entry.program, " ", entry_words(r));
	text_say(starter, starter->reason);
	return r == -ENOENT ? 127 : 126;
}

static bool exec_is_stub_folder(const char *folder, size_t len,
				const char *name)
{
	char path[4096];
	struct words text = { path, path + sizeof path };

	for (size_t i = 0; i < len && text.at < text.end - 1; i++)
		*text.at++ = folder[i];
	words_add(&text, "/.brood/");
	words_add(&text, name);
	return raw_4(faccessat, AT_FDCWD, path, 0, 0) == 0;
}

int exec_next_in_path(struct starter *starter)
{
	const char *at = fact_variable(starter->envp, "PATH");
	char path[4096];
	long r = -ENOENT;

	while (at && *at) {
		const char *colon = strchr(at, ':');
		size_t len = colon ? (size_t)(colon - at) : strlen(at);
		struct words text = { path, path + sizeof path };

		if (len && len < sizeof path / 2 &&
		    !exec_is_stub_folder(at, len, starter->name)) {
			memcpy(path, at, len);
			text.at += len;
			words_add(&text, "/");
			words_add(&text, starter->name);
			r = raw_3(execve, path, starter->argv, starter->envp);
		}
		at += len + (colon != NULL);
	}
	return r == -ENOENT ? 127 : 126;
}
