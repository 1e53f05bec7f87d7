/* SPDX-License-Identifier: Apache-2.0 */
/* Reads how the templates stand.  A living keeper writes its state into the
 * status file at each change; where no keeper lives, what that file says
 * about processes is history, so it is told as "cold". */
#include "cli/listing.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/maps.h"
#include "base/process.h"
#include "domain/server_place.h"
#include "launch/keeper.h"
#include "launch/shim_control.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LISTING_STATUS_MOST = 256 * 1024, LISTING_ASK_MS = 1000 };

void listing_row_fini(struct listing_row *row)
{
	free(row->key);
	free(row->name);
	free(row->program);
	free(row->state);
	free(row->reason);
	free(row->socket);
	free(row->isolation);
	free(row->walls);
	*row = (struct listing_row){ 0 };
}

void listing_fini(struct listing *listing)
{
	for (int i = 0; i < listing->count; i++)
		listing_row_fini(&listing->row[i]);
	free(listing->row);
	*listing = (struct listing){ 0 };
}

const char *listing_ways(const struct listing_row *row)
{
	if (row->is_domain)
		return strcmp(row->isolation, "kvm") == 0 ? "domain (kvm)"
							  : "domain (process)";
	if (row->clone && row->hatch)
		return "clone and hatch";
	if (row->clone)
		return "clone";
	return row->hatch ? "hatch" : "none";
}

/* The keeper's own answer is the newest; the file tells what was. */
static void listing_status(const struct registry_place *place, bool kept,
			   struct buf *text)
{
	if (kept &&
	    keeper_ask(place, "status", LISTING_ASK_MS, text, NULL) >= 0)
		return;
	buf_clear(text);
	if (file_read(place->status, text, LISTING_STATUS_MOST, NULL) < 0)
		buf_clear(text);
}

static char *listing_text(const char *status, const char *path,
			  const char *absent)
{
	char *text = json_get_text(status, path);

	return text ? text : strdup(absent);
}

static bool listing_true(const char *status, const char *path)
{
	return json_get_number(status, path, 0) > 0;
}

static void listing_because(struct buf *out, const char *what,
			    const char *status, const char *path)
{
	auto_free char *why = json_get_text(status, path);

	if (why && *why && !strstr(buf_string(out), why))
		buf_format(out, "%s%s%s", out->len ? "; " : "", what, why);
}

/* All that a user may want to know about what is not there. */
static char *listing_reason(const char *status, const struct listing_row *row)
{
	auto_buf struct buf out = { 0 };

	/* Of one that is refused the reason is made of those of both ways. */
	if (strcmp(row->state, "refused") == 0 ||
	    strcmp(row->state, "failed") == 0)
		listing_because(&out, "", status, "reason");
	if (!row->clone)
		listing_because(&out, "no clone: ", status, "clone_reason");
	if (!row->hatch)
		listing_because(&out, "no hatch: ", status, "hatch_reason");
	listing_because(&out, "", status, "last_error");
	return out.len ? buf_steal(&out) : strdup("");
}

/* What is of a living keeper only. */
static void listing_parse_kept(const char *status, struct listing_row *row)
{
	row->live = json_get_number(status, "live", 0);
	row->waiting = json_get_number(status, "waiting", 0);
	row->draining = json_get_number(status, "draining", 0);
	row->pid = json_get_number(status, "pid", 0);
	row->keeper = json_get_number(status, "keeper", 0);
	row->socket = json_get_text(status, "socket");
}

/* Without a keeper a refusal and a failure are still true; what served is
 * gone, but for the image. */
static char *listing_state(const char *status, bool kept)
{
	char *state = listing_text(status, "state", "starting");

	if (kept || !state || strcmp(state, "refused") == 0 ||
	    strcmp(state, "failed") == 0)
		return state;
	free(state);
	return strdup("cold");
}

static int listing_parse(const char *status, struct listing_row *row)
{
	row->clone = listing_true(status, "clone");
	row->hatch = listing_true(status, "hatch");
	row->generation = json_get_number(status, "generation", 0);
	row->launches = json_get_number(status, "launches", 0);
	if (row->kept)
		listing_parse_kept(status, row);
	row->state = listing_state(status, row->kept);
	if (!row->state)
		return -ENOMEM;
	row->reason = listing_reason(status, row);
	return row->reason ? 0 : -ENOMEM;
}

int listing_read_row(const struct registry_place *place,
		     struct listing_row *row, struct err *err)
{
	auto_spec struct spec spec = { 0 };
	auto_buf struct buf status = { 0 };
	int result;

	*row = (struct listing_row){ 0 };
	spec_init(&spec);
	result = registry_read_spec(place, &spec, err);
	if (result < 0)
		return result;
	row->key = strdup(place->key);
	row->name = spec.name ? strdup(spec.name) : NULL;
	row->program = strdup(spec.program);
	row->kept = registry_is_kept(place);
	listing_status(place, row->kept, &status);
	result = listing_parse(buf_string(&status), row);
	if (result < 0 || !row->key || !row->program)
		return err_set(err, -ENOMEM, "list %s", place->key);
	return 0;
}

/* Room for one more, NULL without memory. */
static struct listing_row *listing_next(struct listing *listing)
{
	struct listing_row *row = listing->row;

	if (listing->count == listing->room) {
		int room = listing->room ? listing->room * 2 : 16;

		row = reallocarray(row, (size_t)room, sizeof(*row));
		if (!row)
			return NULL;
		listing->row = row;
		listing->room = room;
	}
	return &row[listing->count];
}

static int listing_add(const struct registry_place *place, void *context)
{
	struct listing *listing = context;
	struct listing_row *row = listing_next(listing);

	if (!row)
		return -ENOMEM;
	/* One that cannot be read must not hide the others. */
	if (listing_read_row(place, row, NULL) < 0)
		listing_row_fini(row);
	else
		listing->count++;
	return 0;
}

/* ---- what is served in domains -------------------------------------------- */

static int listing_parse_served(const char *status, struct listing_row *row)
{
	auto_free char *name = json_get_text(status, "name");

	row->is_domain = row->kept = true;
	row->name = name && *name ? steal_ptr(&name) : NULL;
	row->program = listing_text(status, "program", "?");
	row->state = listing_text(status, "state", "silent");
	row->reason = listing_text(status, "last_error", "");
	row->isolation = listing_text(status, "isolation", "?");
	row->walls = listing_text(status, "walls", "");
	listing_parse_kept(status, row);
	row->generation = json_get_number(status, "generation", 0);
	row->launches = json_get_number(status, "launches", 0);
	row->is_shared = listing_true(status, "shared_vm");
	row->vms = json_get_number(status, "vms", 0);
	row->workers = json_get_number(status, "workers", 0);
	row->resets = json_get_number(status, "resets", 0);
	row->discarded = json_get_number(status, "discarded", 0);
	row->workers_lost = json_get_number(status, "workers_lost", 0);
	return row->program && row->state && row->reason && row->isolation &&
			       row->walls
		       ? 0
		       : -ENOMEM;
}

static int listing_add_served(const struct server_place *place, void *context)
{
	struct listing *listing = context;
	struct listing_row *row = listing_next(listing);
	auto_buf struct buf status = { 0 };

	if (!row)
		return -ENOMEM;
	*row = (struct listing_row){ .key = strdup(file_base(place->folder)) };
	server_ask(place, "status", LISTING_ASK_MS, &status, NULL);
	if (!row->key || listing_parse_served(buf_string(&status), row) < 0)
		listing_row_fini(row);
	else
		listing->count++;
	return 0;
}

static int listing_read_served(struct listing *listing, struct err *err)
{
	auto_free char *root = NULL;
	int result = registry_runtime(&root, false, err);

	if (result >= 0)
		server_place_each(root, listing_add_served, listing);
	return result;
}

/* Workers cannot be looked at from outside: they tell it themselves. */
static void listing_weigh_served(struct listing_row *row)
{
	auto_server_place struct server_place place = { 0 };
	auto_buf struct buf status = { 0 };
	auto_free char *root = NULL;

	if (registry_runtime(&root, false, NULL) < 0 ||
	    server_place_find(root, row->name ? row->name : row->program,
			      &place, NULL) < 0 ||
	    server_ask(&place, "weigh", LISTING_ASK_MS, &status, NULL) < 0)
		return;
	row->copies = row->vms;
	row->copies_private_kib =
		json_get_number(buf_string(&status), "own_kib", 0);
	row->copies_shared_kib =
		json_get_number(buf_string(&status), "shared_kib", 0);
}

static int listing_order(const void *a, const void *b)
{
	const struct listing_row *left = a, *right = b;
	int by_program = strcmp(left->program, right->program);

	return by_program ? by_program : strcmp(left->key, right->key);
}

int listing_read(struct listing *listing, struct err *err)
{
	int result = registry_each(listing_add, listing, err);

	if (result >= 0)
		result = listing_read_served(listing, err);
	if (result < 0)
		return result;
	if (listing->count)
		qsort(listing->row, (size_t)listing->count,
		      sizeof(*listing->row), listing_order);
	return 0;
}

/* Its memory is that of a copy, which is counted already. */
static bool listing_is_helper(pid_t pid)
{
	auto_free char *path = file_format("/proc/%d/comm", (int)pid);
	auto_buf struct buf name = { 0 };

	return path && file_read(path, &name, LISTING_STATUS_MOST, NULL) >= 0 &&
	       !strcmp(buf_string(&name), SHIM_HELPER "\n");
}

static void listing_weigh_copy(pid_t pid, struct listing_row *row)
{
	struct maps_memory memory;

	if (listing_is_helper(pid) || maps_memory(pid, &memory, NULL) < 0)
		return;
	row->copies++;
	row->copies_private_kib +=
		(int64_t)(memory.private_clean + memory.private_dirty);
	row->copies_shared_kib += (int64_t)memory.shared;
}

/* Copies are children of the template. */
static void listing_weigh_children(pid_t pid, struct listing_row *row)
{
	auto_free char *path =
		file_format("/proc/%d/task/%d/children", (int)pid, (int)pid);
	auto_buf struct buf text = { 0 };
	char *at, *end;

	if (!path || file_read(path, &text, LISTING_STATUS_MOST, NULL) < 0)
		return;
	for (at = (char *)(uintptr_t)buf_string(&text); *at; at = end) {
		long child = strtol(at, &end, 10);

		if (end == at)
			return;
		listing_weigh_copy((pid_t)child, row);
	}
}

void listing_weigh(struct listing_row *row)
{
	struct maps_memory memory;

	if (row->pid <= 0 || maps_memory((pid_t)row->pid, &memory, NULL) < 0)
		return;
	row->template_kib = (int64_t)memory.rss;
	if (row->is_domain)
		listing_weigh_served(row);
	else
		listing_weigh_children((pid_t)row->pid, row);
}

static void listing_json_memory(const struct listing_row *row,
				struct json *json)
{
	json_open(json, "memory");
	json_number(json, "template_kib", row->template_kib);
	json_number(json, "copies", row->copies);
	json_number(json, "copies_private_kib", row->copies_private_kib);
	json_number(json, "copies_shared_kib", row->copies_shared_kib);
	json_close(json);
}

static void listing_json_domain(const struct listing_row *row,
				struct json *json)
{
	json_text(json, "isolation", row->isolation);
	json_bool(json, "shared_vm", row->is_shared);
	json_text(json, "walls", row->walls);
	json_number(json, "vms", row->vms);
	json_number(json, "workers", row->workers);
	json_number(json, "resets", row->resets);
	json_number(json, "discarded", row->discarded);
	json_number(json, "workers_lost", row->workers_lost);
}

void listing_row_json(const struct listing_row *row, bool memory,
		      struct json *json, const char *key)
{
	json_open(json, key);
	json_text(json, "key", row->key);
	if (row->name)
		json_text(json, "name", row->name);
	json_text(json, "kind", row->is_domain ? "domain" : "program");
	json_text(json, "program", row->program);
	json_text(json, "state", row->state);
	if (row->is_domain)
		listing_json_domain(row, json);
	json_bool(json, "clone", row->clone);
	json_bool(json, "hatch", row->hatch);
	json_text(json, "reason", row->reason);
	json_number(json, "generation", row->generation);
	json_number(json, "launches", row->launches);
	json_number(json, "live", row->live);
	json_number(json, "waiting", row->waiting);
	json_number(json, "draining", row->draining);
	json_number(json, "pid", row->pid);
	json_number(json, "keeper", row->keeper);
	if (row->socket && row->socket[0])
		json_text(json, "socket", row->socket);
	if (memory)
		listing_json_memory(row, json);
	json_close(json);
}

void listing_json(const struct listing *listing, bool memory, struct buf *out)
{
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_list_open(&json, "templates");
	for (int i = 0; i < listing->count; i++)
		listing_row_json(&listing->row[i], memory, &json, NULL);
	json_list_close(&json);
	json_close(&json);
	buf_text(out, "\n");
}
