/* SPDX-License-Identifier: Apache-2.0 */
/* Where the state of each template lies, and which template serves a
 * program.						      CLAIM 0.17
 *
 *	$XDG_CACHE_HOME/brood/programs/KEY/   (mode 0700, of this user)
 *		spec	what is kept warm
 *		entry	what a starter reads	(include/brood/start_entry.h)
 *		image	facts and memory	(include/brood/program_image.h)
 *		image.hot  pages worth touching early
 *		status	how the keeper stands, one JSON object
 *		lock	held by the keeper as long as it lives
 *	$XDG_CACHE_HOME/brood/names/NAME	link whose text is a KEY
 *	$XDG_RUNTIME_DIR/brood/HASH/
 *		g1, g2 ...	sockets of server copies
 *		live		link to the one that serves
 *		waiting		how many copies wait, as one uint32_t
 *		control		the keeper's own
 *
 * KEY is a hash of program, name and stop, and of the arguments where a
 * launch uses them (named templates and stops inside main); HASH one of the
 * state folder's path, so that two caches never share a socket.  Where
 * XDG_RUNTIME_DIR is missing, too long or not ours, /tmp/brood-UID/HASH is
 * used; what an entry says goes before both, so that all speak of one
 * folder. */
#pragma once
#include "base/err.h"
#include "launch/spec.h"
#include <stdbool.h>
#include <sys/un.h>

struct registry_place {
	char key[20];
	char *state;				    /* .../programs/KEY */
	char *spec, *entry, *image, *status, *lock; /* files in it */
	char *sockets;				    /* .../brood/HASH */
	char *live, *waiting, *control;
};

/* The user's own folder for sockets of what lives: $XDG_RUNTIME_DIR/brood, or
 * /tmp/brood-UID; malloced. */
int registry_runtime(char **root, bool make, struct err *err);

int registry_key(const struct spec *spec, char key[20]);
/* Paths only (make == false), or made with their modes checked. */
int registry_place(const char *key, bool make, struct registry_place *place,
		   struct err *err);
/* The same by its state folder, whose name is the key; paths only.  What the
 * environment says of the cache does not matter then. */
int registry_place_at(const char *folder, struct registry_place *place,
		      struct err *err);
/* Makes the folders of a place. */
int registry_place_make(const struct registry_place *place, struct err *err);
void registry_place_fini(struct registry_place *place);
#define auto_place __attribute__((cleanup(registry_place_fini)))
/* A word that the user gave: a template's name, a program's path or name in
 * PATH, or a key.  1 found, 0 none. */
int registry_find(const char *word, struct registry_place *place,
		  struct err *err);
int registry_each(int (*visit)(const struct registry_place *place,
			       void *context),
		  void *context, struct err *err);
/* All that lie where the one lies, whatever the environment says. */
int registry_each_beside(const struct registry_place *one,
			 int (*visit)(const struct registry_place *place,
				      void *context),
			 void *context, struct err *err);
/* Writes spec and entry (and their folders), and the name's link; what the
 * name meant before is removed.  brood_path NULL: the running program. */
int registry_enter(const struct spec *spec, const char *brood_path,
		   struct registry_place *place, struct err *err);
int registry_read_spec(const struct registry_place *place, struct spec *spec,
		       struct err *err);
/* Removes all of it; the caller holds the lock or nobody does. */
int registry_remove(const struct registry_place *place, struct err *err);
/* Is a keeper alive?  (tries the lock) */
bool registry_is_kept(const struct registry_place *place);
