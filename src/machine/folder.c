/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/folder.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As others' (docs/machines.md): nothing is cached. */
#define FOLDER_OPTIONS "trans=virtio,version=9p2000.L,msize=131072"

enum { FOLDER_WORDS = 160, FOLDER_SAID = 4096 };

/* The last line that a program has said, which may be anything. */
static void folder_last_line(int fd, char words[FOLDER_WORDS])
{
	ssize_t len = pread(fd, words, FOLDER_WORDS - 1, 0);
	char *line;

	words[len > 0 ? len : 0] = 0;
	len = (ssize_t)strlen(words);
	while (len > 0 && words[len - 1] == '\n')
		words[--len] = 0;
	line = strrchr(words, '\n');
	if (line)
		memmove(words, line + 1, strlen(line));
}

/* What a guest says in it beyond that is an error, and no memory of ours. */
static int folder_said(void)
{
	auto_close int fd =
		memfd_create("said", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 || ftruncate(fd, FOLDER_SAID) < 0 ||
			       fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) < 0
		       ? -1
		       : steal_fd(&fd);
}

static int folder_run(struct talk *talk, const char *const *argv,
		      const struct lent_item *item, int timeout_ms,
		      struct err *err)
{
	auto_close int said = folder_said();
	const struct talk_exec exec = {
		.argv = (char *const *)(uintptr_t)argv,
		.in = -1,
		.out = -1,
		.errors = said,
		.timeout_ms = timeout_ms,
	};
	char words[FOLDER_WORDS];
	int status = 0;
	int rc = said < 0 ? err_set(err, -errno, "hear the guest")
			  : talk_exec(talk, &exec, &status, err);

	if (rc >= 0 && status) {
		folder_last_line(said, words);
		rc = err_set(err, -EINVAL, "%s",
			     *words ? words : "the guest does not say why");
	}
	return rc < 0 ? err_wrap(err, "lend %s as %s", item->path, item->at)
		      : 0;
}

int folder_mount(struct talk *talk, const struct lent *lent, int timeout_ms,
		 struct err *err)
{
	int rc = 0;

	for (int i = 0; rc >= 0 && i < lent->count; i++) {
		const struct lent_item *item = &lent->item[i];
		const char *const make[] = { "mkdir", "-p", item->at, NULL };
		const char *const mount[] = { "mount",
					      "-t",
					      "9p",
					      "-o",
					      item->read_only ? FOLDER_OPTIONS
						      ",ro"
							      : FOLDER_OPTIONS,
					      item->tag,
					      item->at,
					      NULL };

		rc = folder_run(talk, make, item, timeout_ms, err);
		if (rc >= 0)
			rc = folder_run(talk, mount, item, timeout_ms, err);
	}
	return rc;
}
