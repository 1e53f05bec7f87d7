/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper of one template: starts its generations, replaces them, and
 * answers for them.  One process a template, no daemon for all; it ends by
 * itself when nothing was launched for the idle time. */
#pragma once
#include "base/err.h"
#include "base/progress.h"
#include "launch/registry.h"

/* Runs until stopped.  ready_fd: gets one line "ready\n" or an error line
 * when the first generation stands or has failed, then is closed; -1: none.
 * The caller holds no lock; another living keeper is -EALREADY. */
int keeper_run(const struct registry_place *place, const struct spec *spec,
	       int ready_fd, struct err *err);

/* To a living keeper: "status", "refresh", "stop", or "demand" (make a new
 * generation only if what there is does not fit any more).  The answer is a
 * JSON object: {"ok":true,...} or {"ok":false,"error":"..."}.  -ECONNREFUSED
 * when there is none. */
int keeper_ask(const struct registry_place *place, const char *command,
	       int timeout_ms, struct buf *answer, struct err *err);
/* Starts a detached keeper (this program: "brood keep FOLDER") and waits until
 * it serves; -EALREADY is fine.  progress: ticks meanwhile, or NULL. */
int keeper_start(const struct registry_place *place, const char *brood_path,
		 int timeout_ms, struct progress *progress, struct err *err);
