/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/install.h"
#include "appliance/install_context.h"
#include "appliance/load.h"
#include "appliance/paths.h"
#include "appliance/site.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INSTALL_LOCK_MS = 30000 };

int install_no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "install an application");
}

void installed_fini(struct installed *installed)
{
	buf_fini(&installed->paths);
	buf_fini(&installed->notes);
}

/* ---- places -------------------------------------------------------------------- */

/* Absolute, though it needs not be there yet. */
static char *install_absolute(const char *path, struct err *err)
{
	auto_free char *here = NULL;
	char *real = realpath(path, NULL);

	if (!real && *path == '/')
		real = strdup(path);
	if (!real && (here = getcwd(NULL, 0)))
		real = file_join(here, path);
	if (!real)
		err_set(err, -ENOMEM, "%s", path);
	return real;
}

/* The same without asking the file system, which may hang. */
static char *install_lexical(const char *path, struct err *err)
{
	auto_free char *here = *path == '/' ? strdup("") : getcwd(NULL, 0);
	char *whole = NULL;

	if (here)
		whole = *path == '/' ? strdup(path) : file_join(here, path);
	if (!whole)
		err_set(err, -ENOMEM, "%s", path);
	for (size_t len = whole ? strlen(whole) : 0;
	     len > 1 && whole[len - 1] == '/'; len--)
		whole[len - 1] = 0;
	return whole;
}

/* The folder is resolved, the name is not: a start path may be a link. */
static char *install_start_path(const char *path, struct err *err)
{
	const char *name = file_base(path);
	auto_free char *given = strndup(path, (size_t)(name - path));
	auto_free char *folder = NULL;
	char *whole = NULL;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		err_set(err, -EINVAL, "%s is no start path", path);
		return NULL;
	}
	folder = given ? install_absolute(*given ? given : ".", err) : NULL;
	if (folder)
		whole = file_join(folder, name);
	if (!whole)
		err_set(err, -ENOMEM, "%s", path);
	return whole;
}

static char *install_bin(const struct install *install, struct err *err)
{
	const char *home = getenv("HOME");

	if (install->wish->bin)
		return install_absolute(install->wish->bin, err);
	if (geteuid() == 0)
		return strdup("/usr/local/bin");
	if (home && *home == '/')
		return file_join(home, ".local/bin");
	err_set(err, -EINVAL, "no folder for start paths; --bin names one");
	return NULL;
}

/* The context that this host has of the application; what an install does not
 * say stays as it is in there. */
static void install_find_before(struct install *install)
{
	struct context *before = &install->before;
	const char *name = install->appliance.record.name;
	auto_free char *folder = context_folder(install->root, name, NULL);

	if (!folder || context_read(folder, before, NULL) < 0)
		*before = (struct context){ .wait_ms = INSTALL_WAIT_MS,
					    .answer_ms = INSTALL_ANSWER_MS,
					    .deadline_ms = INSTALL_DEADLINE_MS,
					    .rejoin_ms = INSTALL_REJOIN_MS };
}

static void install_fill_wish(struct install *install)
{
	const struct context *before = &install->before;
	struct install_wish *wish = &install->wished;

	if (!wish->share)
		wish->share = before->share;
	install->installed->share_is_usual = !wish->share;
	if (!wish->share)
		wish->share = wish->usual_share;
	wish->keep |= before->copy != NULL;
	if (wish->wait_ms < 0)
		wish->wait_ms = before->wait_ms;
	if (wish->answer_ms < 0)
		wish->answer_ms = before->answer_ms;
	if (wish->deadline_ms < 0)
		wish->deadline_ms = before->deadline_ms;
	if (wish->rejoin_ms < 0)
		wish->rejoin_ms = before->rejoin_ms;
}

/* Where an entry was before, unless a folder for all is named now. */
static const char *install_was_at(const struct install *install,
				  const char *entry)
{
	const struct context *before = &install->before;

	for (int i = 0; !install->wish->bin && i < before->path_count; i++)
		if (strcmp(before->path[i].entry, entry) == 0)
			return before->path[i].path;
	return NULL;
}

static int install_places(struct install *install, struct err *err)
{
	const struct install_wish *wish = install->wish;

	install->root = context_root(err);
	install->mounts =
		install->root ? context_mounts(install->root, err) : NULL;
	if (!install->root)
		return err->code;
	install_find_before(install);
	install_fill_wish(install);
	install->share = install_lexical(wish->share, err);
	install->bin = install_bin(install, err);
	if (!install->root || !install->mounts || !install->share ||
	    !install->bin)
		return err->code ? err->code : install_no_memory(err);
	if (file_make_dirs(install->root, 0755, err) < 0)
		return err->code;
	/* Where nothing may be mounted, loading tells that it is missing. */
	file_make_dirs(install->mounts, 0755, NULL);
	return context_host(install->root, install->host, err);
}

/* One at a time on this host. */
int install_lock(const char *root, struct err *err)
{
	auto_free char *path = file_join(root, ".lock");
	int lock = path ? lock_take(path, INSTALL_LOCK_MS, err)
			: install_no_memory(err);

	return lock == -EWOULDBLOCK
		       ? err_set(err, lock, "another install is at work in %s",
				 root)
		       : lock;
}

/* ---- the shared side ------------------------------------------------------------ */

/* The share may have another version than the appliance is. */
static int install_publish(struct install *install, struct err *err)
{
	const struct install_wish *wish = install->wish;
	const struct publish_wish publish = {
		.share = install->share,
		.host = install->host,
		.local = install->mounts,
		.make = true,
		.upgrade = wish->upgrade,
		.unpacked = wish->unpacked,
		.kind = wish->kind,
		.wait_ms = wish->wait_ms,
		.answer_ms = wish->answer_ms,
	};
	int rc = publish_appliance(&publish, &install->appliance,
				   &install->published, err);

	if (rc >= 0)
		rc = record_read(buf_string(&install->published.record),
				 install->published.record.len,
				 &install->record, err);
	if (rc < 0)
		return rc;
	install->folder =
		context_folder(install->root, install->record.name, err);
	return install->folder ? 0 : install_no_memory(err);
}

/* ---- start paths ----------------------------------------------------------------- */

/* "ENTRY=PATH", or PATH alone for the first entry. */
static const char *install_at(const struct install *install, const char *entry)
{
	const struct args_list *at = install->wish->at;
	size_t len = strlen(entry);

	for (int i = 0; at && i < at->count; i++) {
		const char *word = at->item[i];

		if (*word == '/' && entry == install->record.entry[0].name)
			return word;
		if (strncmp(word, entry, len) == 0 && word[len] == '=')
			return word + len + 1;
	}
	return NULL;
}

/* Whose entry a start path is already; what was there before that has but one
 * place to be kept. */
static int install_is_free(const struct install *install, int number,
			   struct err *err)
{
	const char *path = install->path[number];
	auto_free char *folder = NULL;
	auto_free char *entry = NULL;
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof target - 1);

	for (int i = 0; i < number; i++)
		if (strcmp(install->path[i], path) == 0)
			return err_set(err, -EINVAL,
				       "%s cannot be the start path of both "
				       "%s and %s",
				       path, install->record.entry[i].name,
				       install->record.entry[number].name);
	if (len < 0)
		return 0;
	target[len] = 0;
	if (context_of(target, &folder, &entry, NULL) < 0 ||
	    strcmp(folder, install->folder) == 0 ||
	    strncmp(target, folder, strlen(folder)) != 0)
		return 0;
	return err_set(err, -EINVAL,
		       "%s starts the application %s; \"brood app uninstall\" "
		       "gives it back, --at names another path",
		       path, file_base(folder));
}

static int install_plan_path(struct install *install, int number,
			     struct err *err)
{
	const char *entry = install->record.entry[number].name;
	const char *given = install_at(install, entry);
	const char *before = install_was_at(install, entry);
	char *path = given ? install_start_path(given, err)
			   : (before ? strdup(before)
				     : file_join(install->bin, entry));
	char *target = file_format("%s/bin/%s", install->folder, entry);
	bool is_ours;

	install->path[number] = path;
	install->target[number] = target;
	if (!path || !target)
		return err->code ? err->code : install_no_memory(err);
	if (install_is_free(install, number, err) < 0)
		return err->code;
	err_clear(err);
	install->saved[number] = paths_saved(path, target, &is_ours, err);
	return err->code;
}

/* --at names a path, or an entry that there is. */
static int install_check_at(const struct install *install, struct err *err)
{
	const struct args_list *at = install->wish->at;

	for (int i = 0; at && i < at->count; i++) {
		const char *word = at->item[i];
		size_t len = strcspn(word, "=");
		auto_free char *entry = strndup(word, len);

		if (*word == '/')
			continue;
		if (!word[len])
			return err_set(err, -EINVAL,
				       "--at %s: not ENTRY=PATH, nor a path "
				       "that begins with /",
				       word);
		if (!entry || !record_find(&install->record, entry))
			return err_set(err, -EINVAL,
				       "--at %s: %s has no such entry", word,
				       install->record.name);
	}
	return 0;
}

static int install_plan_paths(struct install *install, struct err *err)
{
	int rc = install_check_at(install, err);

	for (int i = 0; rc >= 0 && i < install->record.entry_count; i++)
		rc = install_plan_path(install, i, err);
	return rc;
}

static int install_give_back(const struct context *context, int number,
			     struct buf *notes, struct err *err)
{
	const struct context_path *path = &context->path[number];
	auto_free char *target =
		file_format("%s/bin/%s", context->folder, path->entry);
	int rc = target ? paths_restore(path->path, target, path->saved, err)
			: install_no_memory(err);

	if (rc > 0)
		buf_format(notes,
			   "%s was changed since and stays as it is%s%s\n",
			   path->path,
			   path->saved ? "; what was there before is " : "",
			   path->saved ? path->saved : "");
	return rc < 0 ? rc : 0;
}

/* CLAIM 4.7: what the path was, and what it is. */
static int install_lead(struct install *install, int number, struct err *err)
{
	const char *path = install->path[number];
	char before[PATH_MAX] = "nothing";
	ssize_t len = readlink(path, before, sizeof before - 1);
	auto_free char *folder = NULL;
	struct stat st;
	int rc;

	if (len >= 0)
		before[len] = 0;
	else if (lstat(path, &st) == 0)
		snprintf(before, sizeof before, "a file of %ld bytes",
			 (long)st.st_size);
	folder = strndup(path, (size_t)(file_base(path) - path));
	if (!folder)
		return install_no_memory(err);
	rc = file_make_dirs(folder, 0755, err);
	if (rc >= 0)
		rc = paths_lead(path, install->target[number],
				install->saved[number], err);
	buf_format(&install->installed->paths, "%s\t%s\t%s\n", path, before,
		   install->target[number]);
	return rc;
}

static int install_lead_all(struct install *install, struct err *err)
{
	int rc = 0;

	for (int i = 0; rc >= 0 && i < install->record.entry_count; i++)
		rc = install_lead(install, i, err);
	return rc;
}

static bool install_has_path(const struct install *install, const char *path)
{
	for (int i = 0; i < install->record.entry_count; i++)
		if (strcmp(install->path[i], path) == 0)
			return true;
	return false;
}

/* Start paths of the install before that this one has not. */
static int install_give_up(struct install *install,
			   const struct context *before, struct err *err)
{
	int rc = 0;

	for (int i = 0; rc >= 0 && i < before->path_count; i++)
		if (!install_has_path(install, before->path[i].path))
			rc = install_give_back(before, i,
					       &install->installed->notes, err);
	return rc;
}

/* ---- tried ------------------------------------------------------------------------ */

int install_load(const struct context *context, struct err *err)
{
	auto_loaded struct loaded loaded = { 0 }, copy = { 0 };
	auto_free char *kept = NULL;

	if (load_shared(context, NULL, &loaded, err) < 0)
		return err_wrap(err, "it cannot be loaded from the share");
	kept = context_copy(context, &loaded.record);
	if (kept && load_local(context, NULL, kept, "copy",
			       context->deadline_ms, &copy, err) < 0)
		return err_wrap(err, "its copy cannot be loaded");
	return 0;
}

/* It is loaded once, so that the first start finds it so.  That it cannot be
 * is told, but no reason to take the context back: an independent entity may
 * be what the user wants. */
static void install_try(struct install *install)
{
	auto_context struct context context = { 0 };
	struct err err = { 0 };

	if (context_read(install->folder, &context, &err) < 0 ||
	    install_load(&context, &err) < 0)
		buf_format(&install->installed->notes, "%s\n", err.text);
}

/* ---- the install on one screen ------------------------------------------------------ */

static uint64_t install_lap(uint64_t *last_ns)
{
	uint64_t now_ns = clock_ns(), lap_ns = now_ns - *last_ns;

	*last_ns = now_ns;
	return lap_ns;
}

static int install_steps(struct install *install, struct err *err)
{
	struct installed *done = install->installed;
	uint64_t last_ns = clock_ns();
	int rc = install_publish(install, err);

	done->publish_ns = install_lap(&last_ns);
	if (rc >= 0)
		rc = install_plan_paths(install, err);
	/* While there is a context that knows of them. */
	if (rc >= 0)
		rc = install_give_up(install, &install->before, err);
	if (rc >= 0)
		rc = install_context(install, err);
	done->context_ns = install_lap(&last_ns);
	if (rc >= 0)
		rc = install_lead_all(install, err);
	done->paths_ns = install_lap(&last_ns);
	if (rc >= 0)
		install_try(install);
	done->load_ns = install_lap(&last_ns);
	return rc;
}

static void install_tell(const struct install *install)
{
	struct installed *done = install->installed;

	snprintf(done->name, sizeof done->name, "%s", install->record.name);
	done->version = install->published.version;
	done->payload_was_there = install->published.payload_was_there;
	done->version_was_there = install->published.version_was_there;
	done->payload_bytes = install->record.payload_bytes;
	done->context_bytes = install_bytes(install->folder);
	if (install->published.share_was_made)
		buf_format(&done->notes, "%s was no share yet: it is now\n",
			   install->share);
	if (strcmp(install->record.payload, install->appliance.hex) != 0)
		buf_format(&done->notes,
			   "the share has another version (%s) than the "
			   "appliance (%s), and that is what starts; \"brood "
			   "app upgrade\" replaces it\n",
			   install->record.release,
			   install->appliance.record.release);
}

static void install_fini(struct install *install)
{
	for (int i = 0; i < RECORD_ENTRIES; i++) {
		free(install->path[i]);
		free(install->target[i]);
		free(install->saved[i]);
	}
	record_fini(&install->record);
	published_fini(&install->published);
	appliance_close(&install->appliance);
	context_fini(&install->before);
	free(install->root);
	free(install->mounts);
	free(install->share);
	free(install->bin);
	free(install->folder);
}

int install_appliance(const struct install_wish *wish,
		      struct progress *progress, struct installed *installed,
		      struct err *err)
{
	struct install install = { .wished = *wish,
				   .installed = installed,
				   .appliance = APPLIANCE_NONE };
	auto_close int lock = -1;
	uint64_t began_ns = clock_ns();
	int rc;

	install.wish = &install.wished;
	*installed = (struct installed){ 0 };
	rc = appliance_open(wish->appliance, progress, &install.appliance, err);
	installed->check_ns = clock_ns() - began_ns;
	if (rc >= 0)
		rc = install_places(&install, err);
	if (rc >= 0)
		rc = lock = install_lock(install.root, err);
	if (rc >= 0)
		rc = install_steps(&install, err);
	if (rc >= 0)
		install_tell(&install);
	install_fini(&install);
	return rc < 0 ? rc : 0;
}

/* ---- taken away --------------------------------------------------------------------- */

static int install_leave_share(const struct context *context,
			       const struct record *record, struct err *err)
{
	const struct publish_wish wish = { .share = context->share,
					   .share_id = context->share_id,
					   .host = context->host,
					   .local = context->mounts,
					   .wait_ms = context->wait_ms,
					   .answer_ms = context->answer_ms };

	return publish_leave(&wish, record->payload, err);
}

/* Its note on the share, and its mounts: they would keep a copy's space. */
static void install_leave(const struct context *context, struct buf *notes)
{
	auto_record struct record record = { 0 };
	struct err err = { 0 };

	if (context_record(context, &record, &err) < 0 ||
	    install_leave_share(context, &record, &err) < 0)
		buf_format(notes, "the share was not told: %s\n", err.text);
	if (record.text)
		site_drop(context->mounts, record.payload);
}

int install_remove(const char *name, bool purge, struct buf *notes,
		   struct err *err)
{
	auto_context struct context context = { 0 };
	auto_free char *root = context_root(err);
	auto_free char *folder = root ? context_folder(root, name, err) : NULL;
	auto_close int lock = -1;
	int rc;

	if (!folder)
		return err->code;
	if (access(root, F_OK) < 0)
		return err_set(err, -errno, "application %s", name);
	rc = lock = install_lock(root, err);
	if (rc >= 0)
		rc = install_sweep(root, name, err);
	/* Of one that was swept all but the sweeping was done. */
	if (rc >= 0 && access(folder, F_OK) < 0)
		return rc > 0 ? 0
			      : err_set(err, -errno, "application %s", name);
	if (rc >= 0)
		rc = context_read(folder, &context, err);
	if (rc < 0)
		return rc;
	/* What could not be put back is still known, for another try. */
	for (int i = 0; rc >= 0 && i < context.path_count; i++)
		rc = install_give_back(&context, i, notes, err);
	if (rc < 0)
		return rc;
	install_leave(&context, notes);
	return install_drop_context(&context, purge, notes, err);
}
