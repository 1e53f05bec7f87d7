/* SPDX-License-Identifier: Apache-2.0 */
/* The starter, brood-hatch: one launch, from the caller's words to the
 * program.  Static and without a libc, so that its own start is next to
 * nothing.  All that it knows of a launch is in struct starter, which lives
 * on main's stack.
 *
 * Ways return only when they did not work; the words why are in "reason",
 * and nothing of the program has run.  The last way, exec, is the floor. */
#pragma once
#include "bare/words.h"
#include "brood/program_image.h"
#include "brood/start_entry.h"
#include "brood/wire.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum starter_via { VIA_AUTO, VIA_CLONE, VIA_HATCH, VIA_EXEC };

/* Far from where the kernel puts programs and libraries, and from where the
 * starter itself is linked: what a starter maps here is never in the way of
 * an image. */
#define STARTER_IMAGE_AT ((void *)0x180000000000)
#define STARTER_AGAIN	 "BROOD_AGAIN=1"
#define STARTER_WORDS_AT ((void *)0x190000000000)

struct starter {
	int argc; /* the program's words to be */
	char **argv;
	char **envp;
	uint64_t *auxv;
	char **own_argv;      /* the words of the starter itself */
	const char *executed; /* its path, as it was executed */
	bool again;	      /* this is the second start of this launch */
	const char *name;     /* in messages */
	enum starter_via via;
	bool verbose;
	const char *report;
	const char *entry_path;
	const char *program; /* where the entry is gone; NULL: not known */
	bool stub;	     /* runs under the name of a program */
	bool forced; /* --via was given: other warm ways are not tried */
	char stub_path[4096 + 64]; /* of a stub's entry */
	char program_path[4096];   /* of a stub's program */
	struct start_entry entry;
	const struct program_image *image; /* NULL: none that may be used */
	int image_fd;
	bool changed; /* between image and socket the generation did */
	bool stale;   /* what lies there should be made anew */
	char reason[WIRE_TEXT_MOST + 64]; /* of the last way that failed */
	uint64_t started_ns, checked_ns, connected_ns, mapped_ns;
};

/* text.c */
void text_say(const struct starter *starter, const char *words);
void text_reason(struct starter *starter, const char *a, const char *b,
		 const char *c);
bool text_feature(char *const *envp, const char *name);
uint64_t text_now_ns(void);
void text_json(struct words *text, const char *words);

int starter_main(uint64_t *stack);
/* options.c: false after a message; fills all but the files */
bool options_read(struct starter *starter, uint64_t *stack);
/* rights.c: false after a message */
bool rights_drop(struct starter *starter);
/* entry.c: 0, or an exit code after a message */
int entry_load(struct starter *starter);
void entry_load_image(struct starter *starter);
void entry_load_image_again(struct starter *starter);
bool entry_file_is_same(int fd, const char *path,
			const struct image_file *file);
bool entry_files_are_same(struct starter *starter);
const char *entry_words(int result);
/* The caller has no room for it; what lies there may be well. */
bool entry_is_limit(long error);
/* demand.c: is there a keeper?  Asks for one, or an alive one to look */
bool demand_is_kept(const struct starter *starter);
void demand_keeper(const struct starter *starter);
/* The ways.  clone_waits(): does the template say that a copy waits? */
bool clone_waits(struct starter *starter);
void clone_try(struct starter *starter);
void hatch_try(struct starter *starter);
int exec_floor(struct starter *starter); /* exit code */
/* A stub without a usable entry: the next program of its name in PATH. */
int exec_next_in_path(struct starter *starter);
/* collect.c: fills a launch and the descriptors to send behind it; false
 * with a reason */
bool collect_launch(struct starter *starter, struct wire_launch *launch,
		    int *fds, int *fd_count);
/* follow.c: with the copy until it ends; does not return */
_Noreturn void follow_copy(struct starter *starter, int connection, int pidfd,
			   int pid);
/* halt.c: stops of the copy */
bool halt_has_come(int pid);
bool halt_is_default(int pid, int number); /* it stops by this signal */
/* Of one that is dead and not yet waited for. */
bool halt_status(int pid, int pidfd, int *status);
/* report.c */
void report_way(const struct starter *starter, const char *way, int pid,
		uint64_t generation);
