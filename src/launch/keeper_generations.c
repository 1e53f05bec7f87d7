/* SPDX-License-Identifier: Apache-2.0 */
/* The generations of a template: how one follows the other, and what is done
 * where one does not come up or dies.
 *
 * The order in keeper_put_in_front() is the point of it all: the new
 * generation was seen to serve (template_start), then gets the public name,
 * and only then the older one is told to end. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "launch/entry.h"
#include "launch/keeper_internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void keeper_tell_ready(struct keeper *keeper, const char *line)
{
	auto_free char *text = file_format("%s\n", line);

	if (keeper->ready_fd < 0 || !text)
		return;
	fd_write_all(keeper->ready_fd, text, strlen(text), NULL);
	fd_close(&keeper->ready_fd);
}

void keeper_set_state(struct keeper *keeper, enum keeper_state state,
		      const char *reason)
{
	keeper->state = state;
	snprintf(keeper->reason, sizeof(keeper->reason), "%s", reason);
	keeper_status_write(keeper);
}

static int keeper_free_slot(const struct keeper *keeper)
{
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (!keeper->old[i])
			return i;
	return -1;
}

/* CLAIM 0.13 0.16: the older generation ends, its instances do not. */
void keeper_retire(struct keeper *keeper)
{
	struct template *template = keeper->current;
	int slot = keeper_free_slot(keeper);

	keeper->current = NULL;
	if (!template)
		return;
	if (template->pid <= 0 || slot < 0) {
		keeper->launches_before += template->launches;
		template_end(template);
		free(template);
		return;
	}
	keeper->old[slot] = template;
	template_drain(template, KEEPER_DRAIN_MS);
}

/* CLAIM 0.11 0.12 0.13: public name first, the old one's end after it. */
static int keeper_put_in_front(struct keeper *keeper, struct template *template,
			       struct err *err)
{
	int rc = template_publish(template, keeper->place, err);

	if (rc < 0)
		return rc;
	log_event("serve.switch", "\"generation\":%" PRIu64 ",\"pid\":%d",
		  template->generation, (int)template->pid);
	keeper_retire(keeper);
	keeper->current = template;
	return 0;
}

static void keeper_has_renewed(struct keeper *keeper, const char *why)
{
	struct template *template = keeper->current;
	char *libraries = strdup(template->libraries);

	if (libraries) {
		free(keeper->libraries);
		keeper->libraries = libraries;
	}
	keeper->verdict = template->verdict;
	keeper->libraries_moved = template->libraries_moved;
	keeper->refreshed_by = why;
	keeper->retry_at = KEEPER_NEVER;
	keeper->stood_ns = keeper->used_ns = clock_ns();
	keeper->last_error[0] = 0;
	keeper_watch_image(keeper);
	log_event("serve.ready",
		  "\"generation\":%" PRIu64 ",\"pid\":%d,\"by\":\"%s\"",
		  template->generation, (int)template->pid, why);
	keeper_set_state(keeper,
			 template->pid > 0 ? KEEPER_SERVING : KEEPER_IMAGE_ONLY,
			 template->pid > 0 ? "" : template->verdict.no_clone);
	keeper_tell_ready(keeper, "ready");
}

/* Before the start: one that is replaced meanwhile was not tried. */
static void keeper_note_program(struct keeper *keeper)
{
	struct stat st;

	keeper->tried = (struct file_stamp){ 0 };
	if (stat(keeper->spec->program, &st) == 0)
		file_stamp_of(&st, &keeper->tried);
}

static int keeper_start_next(struct keeper *keeper, struct template *template,
			     struct err *err)
{
	struct template before = { .libraries = keeper->libraries };

	if (keeper_free_slot(keeper) < 0)
		return err_set(err, -EBUSY, "%d older generations still end",
			       KEEPER_OLD_MOST);
	log_event("serve.start", "\"generation\":%" PRIu64,
		  keeper->generation + 1);
	keeper_note_program(keeper);
	return template_start(keeper->spec, keeper->place, ++keeper->generation,
			      &before, template, err);
}

/* CLAIM 0.13: whatever failed, the older one stays and serves. */
static void keeper_has_failed(struct keeper *keeper,
			      const struct verdict *verdict,
			      const struct err *err)
{
	snprintf(keeper->last_error, sizeof(keeper->last_error), "%s",
		 err->text);
	if (!keeper->current)
		keeper->verdict = *verdict;
	log_event("serve.fail", "\"generation\":%" PRIu64 ",\"code\":%d",
		  keeper->generation, err->code);
	keeper_status_write(keeper);
}

/* CLAIM 0.10: the next generation starts while the older one serves. */
int keeper_renew(struct keeper *keeper, const char *why, struct err *err)
{
	struct template *template = calloc(1, sizeof(*template));
	int rc;

	if (!template)
		return err_set(err, -ENOMEM, "a new generation");
	rc = keeper_start_next(keeper, template, err);
	if (rc >= 0)
		rc = keeper_put_in_front(keeper, template, err);
	if (rc < 0) {
		keeper_has_failed(keeper, &template->verdict, err);
		template_end(template);
		free(template);
		return rc;
	}
	keeper_has_renewed(keeper, why);
	return 0;
}

static void keeper_disown_template(struct template *template)
{
	if (!template)
		return;
	free(template->socket);
	free(template->image);
	template->socket = template->image = NULL;
}

void keeper_disown(struct keeper *keeper)
{
	keeper->lost = true;
	keeper_disown_template(keeper->current);
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		keeper_disown_template(keeper->old[i]);
}

static void keeper_back_off(struct keeper *keeper)
{
	keeper->backoff_ms *= 2;
	if (keeper->backoff_ms > KEEPER_BACKOFF_MOST_MS)
		keeper->backoff_ms = KEEPER_BACKOFF_MOST_MS;
}

void keeper_renew_soon(struct keeper *keeper, const char *why)
{
	if (clock_ns() - keeper->stood_ns >
	    (uint64_t)KEEPER_SETTLED_MS * 1000000)
		keeper->backoff_ms = KEEPER_BACKOFF_MS;
	keeper->retry_why = why;
	keeper->retry_at = clock_deadline(
		keeper->backoff_ms > KEEPER_DEBOUNCE_MS ? keeper->backoff_ms
							: KEEPER_DEBOUNCE_MS);
	keeper_back_off(keeper);
}

void keeper_withdraw(struct keeper *keeper, const char *why, const char *what)
{
	unlink(keeper->place->live);
	unlink(keeper->place->image);
	keeper_retire(keeper);
	snprintf(keeper->last_error, sizeof(keeper->last_error), "%s", what);
	keeper_set_state(keeper, KEEPER_STARTING, what);
	keeper_renew_soon(keeper, why);
}

/* No way to copy this program: starters are told not to ask again as long as
 * it is the same. */
static void keeper_refuse(struct keeper *keeper, enum keeper_state state,
			  const struct err *why)
{
	struct err err = { 0 };

	unlink(keeper->place->image);
	unlink(keeper->place->live);
	if (entry_update(keeper->place, &keeper->tried, &err) < 0)
		log_say("brood: %s", err.text);
	keeper->last_error[0] = 0;
	keeper_set_state(keeper, state, why->text);
}

/* Failures that say nothing about the program: of a full or busy machine, of
 * a package that is just being replaced.  A deep stop that does not come is
 * the program's own: to try it again and again would run half of main each
 * time. */
static bool keeper_is_passing(const struct keeper *keeper, int code)
{
	switch (-code) {
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
	case EDQUOT:
	case EAGAIN:
	case EBUSY:
	case ETXTBSY:
	case ENOENT: return true;
	case ETIME: return !spec_is_deep(keeper->spec);
	}
	return false;
}

int keeper_first(struct keeper *keeper, struct err *err)
{
	int rc = keeper_renew(keeper, "start", err);

	if (rc >= 0)
		return 0;
	if (keeper_is_passing(keeper, rc))
		keeper_set_state(keeper, KEEPER_FAILED, err->text);
	else
		keeper_refuse(keeper,
			      rc == -ENOTSUP ? KEEPER_REFUSED : KEEPER_FAILED,
			      err);
	return rc;
}

/* A generation that was due; while none serves it is tried again. */
void keeper_renew_due(struct keeper *keeper)
{
	struct err err = { 0 };
	int rc;

	keeper->retry_at = KEEPER_NEVER;
	rc = keeper_renew(keeper, keeper->retry_why, &err);
	if (rc >= 0 || keeper->current)
		return;
	if (rc == -ENOTSUP) {
		keeper_refuse(keeper, KEEPER_REFUSED, &err);
		keeper_stop(keeper, "refused");
		return;
	}
	keeper->retry_at = clock_deadline(keeper->backoff_ms);
	keeper_back_off(keeper);
}

static void keeper_lost(struct keeper *keeper, const char *how)
{
	char what[120];

	unlink(keeper->place->live);
	snprintf(what, sizeof(what), "generation %" PRIu64 " ended: %s",
		 keeper->generation, how);
	snprintf(keeper->last_error, sizeof(keeper->last_error), "%s", what);
	keeper_set_state(keeper, KEEPER_STARTING, what);
	if (clock_ns() - keeper->stood_ns >
	    (uint64_t)KEEPER_SETTLED_MS * 1000000)
		keeper->backoff_ms = KEEPER_BACKOFF_MS;
	keeper->retry_why = "death";
	keeper->retry_at = clock_deadline(keeper->backoff_ms);
	keeper_back_off(keeper);
}

void keeper_ended(struct keeper *keeper, struct template *template,
		  const char *how)
{
	bool was_current = template == keeper->current;

	log_event("serve.end",
		  "\"generation\":%" PRIu64 ",\"expected\":%s,\"how\":\"%s\"",
		  template->generation, template->draining ? "true" : "false",
		  how);
	keeper->launches_before += template->launches;
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i] == template)
			keeper->old[i] = NULL;
	if (was_current)
		keeper->current = NULL;
	template_end(template);
	free(template);
	if (was_current && !keeper->stopping)
		keeper_lost(keeper, how);
}

uint64_t keeper_launches(const struct keeper *keeper)
{
	uint64_t sum = keeper->launches_before;

	if (keeper->current)
		sum += keeper->current->launches;
	for (int i = 0; i < KEEPER_OLD_MOST; i++)
		if (keeper->old[i])
			sum += keeper->old[i]->launches;
	return sum;
}

uint32_t keeper_live(const struct keeper *keeper)
{
	return (keeper->current ? keeper->current->live : 0) +
	       (uint32_t)keeper->copies;
}
