/* SPDX-License-Identifier: Apache-2.0 */
/* One generation of a template: an unmodified program, executed with the
 * shim, stopped, examined, and seen to serve. */
#pragma once
#include "base/err.h"
#include "launch/examine.h"
#include "launch/registry.h"
#include "launch/spec.h"
#include <stdint.h>

struct template
{
	pid_t pid;
	int pidfd;
	int control; /* to the shim */
	uint64_t generation;
	char *socket; /* its own path */
	struct verdict verdict;
	uint64_t started_ns; /* wall clock */
	uint64_t launches;
	uint32_t live, waiting;
	bool draining;
	char *libraries;     /* "BASE INODE NAME\n" of each mapped library */
	int libraries_moved; /* against the generation before */
	char *image;	     /* written, not yet public; NULL once it is */
	bool fixed;	     /* the program itself cannot move (not a PIE) */
	bool deep;
	uint64_t launches_at_refresh; /* when one by count failed last */
	uint64_t drain_by; /* monotonic: it must have ended by then */
};
/* All steps of a start, up to the handshake; on failure the process is gone
 * and nothing is left but the verdict.  -ENOTSUP: no way to copy it.
 * Afterwards pid is 0 where only its image can be used.  before: an older
 * generation (of which libraries is read) whose library addresses must not
 * come again, or NULL.		   CLAIM 0.1 0.3 0.10 0.11 0.12 0.14 */
int template_start(const struct spec *spec, const struct registry_place *place,
		   uint64_t generation, const struct template *before,
		   struct template *template, struct err *err);
/* Makes image and socket the ones that starters find: CLAIM 0.11.  Without
 * a serving process the public name of the socket goes. */
int template_publish(struct template *template,
		     const struct registry_place *place, struct err *err);
/* --explain: starts it, examines it, ends it. */
int template_explain(const struct spec *spec, struct verdict *verdict,
		     struct buf *facts, struct err *err);
/* CLAIM 0.13: serves what waits, gives up its copies, ends by itself. */
void template_drain(struct template *template, int within_ms);
/* Ends the process at once and waits for it. */
void template_kill(struct template *template);
/* The same, and removes its socket and an image that is not public. */
void template_end(struct template *template);
/* Frees; the process must be gone. */
void template_fini(struct template *template);
