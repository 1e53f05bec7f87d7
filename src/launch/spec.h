/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be kept warm, and how: the words of "brood serve", checked and
 * made absolute.  Kept beside the template's state as "spec", so that a
 * keeper can be started again from it alone. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

enum spec_stop {
	SPEC_STOP_MAIN,
	SPEC_STOP_OPEN,
	SPEC_STOP_STDIN,
	SPEC_STOP_READY
};

struct spec {
	char *name;    /* NULL: keyed by the program itself */
	char *program; /* absolute, links resolved */
	char **argv;   /* [0] is what the program is to see as its name */
	int argc;
	enum spec_stop stop;
	char *stop_path;       /* of SPEC_STOP_OPEN */
	char *folder;	       /* of a deep stop: the template's; NULL: "/" */
	long pool;	       /* copies that wait; -1: as many as pay */
	long refresh_ms;       /* 0: never by timer */
	long refresh_launches; /* 0: never by count */
	long idle_ms;	       /* 0: never ends by itself */
	long ready_ms;	       /* deadline for a new copy to be ready */
	long asked;	       /* 1: by the user's word, not by a launch */
	int hold; /* memory outlives a copy: 1 yes, 0 no, -1 if it pays */
	char **environment; /* NAME=VALUE: further variables of the template */
	int environment_count;
};

void spec_init(struct spec *spec); /* defaults */
void spec_fini(struct spec *spec);
#define auto_spec __attribute__((cleanup(spec_fini)))
/* word: a path or a name looked up in PATH.  Fills program and argv[0]. */
int spec_set_program(struct spec *spec, const char *word, struct err *err);
/* argv[1] and on, behind what spec_set_program set. */
int spec_set_arguments(struct spec *spec, int count, char *const *words,
		       struct err *err);
/* A name is one word of at most 64 bytes and never a path. */
int spec_check_name(const char *name, struct err *err);
/* NAME=VALUE, for the template alone. */
int spec_add_variable(struct spec *spec, const char *text, struct err *err);
/* "main", "stdin", "ready" or "open:PATH" */
int spec_set_stop(struct spec *spec, const char *words, struct err *err);
/* Takes the current folder for a template that stops inside main. */
int spec_set_folder(struct spec *spec, struct err *err);
const char *spec_stop_words(const struct spec *spec, struct buf *room);
bool spec_is_deep(const struct spec *spec); /* stops inside main */
/* Do launches get the spec's arguments in front of their own? */
bool spec_has_base(const struct spec *spec);
/* Is it here by the user's own word? */
bool spec_is_asked_for(const struct spec *spec);
/* NUL-separated "member=value" lines, format version first. */
int spec_write(const struct spec *spec, struct buf *out);
int spec_parse(struct spec *spec, const char *data, size_t len,
	       struct err *err);
/* Would spec_parse() take what spec_write() writes of it? */
int spec_check(const struct spec *spec, struct err *err);
