/* SPDX-License-Identifier: Apache-2.0 */
/* The writing side of include/brood/start_entry.h: from a spec and a place to
 * the one struct that starters read.  All texts are checked for their room
 * here, so that a starter never sees one that was cut. */
#include "launch/entry.h"
#include "bare/image_check.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct start_entry *entry_read(const char *path, struct err *err)
{
	auto_close int fd = file_open_trusted(path, err);
	auto_free struct start_entry *entry = malloc(sizeof(*entry));
	const char *wrong;

	if (fd < 0)
		return NULL;
	if (!entry || fd_read_all(fd, entry, sizeof(*entry), err) < 0) {
		err_wrap(err, "entry %s", path);
		return NULL;
	}
	wrong = entry_check(entry, sizeof(*entry));
	if (wrong) {
		err_set(err, -EINVAL, "entry %s: %s", path, wrong);
		return NULL;
	}
	return steal_ptr(&entry);
}

static int entry_put(char *to, size_t room, const char *what, const char *text,
		     struct err *err)
{
	size_t len = strlen(text);

	if (len >= room)
		return err_set(err, -ENAMETOOLONG, "%s %.80s...", what, text);
	memcpy(to, text, len + 1);
	return 0;
}
#define PUT(member, text) \
	entry_put(entry->member, sizeof(entry->member), #member, text, err)

static int entry_arguments(const struct spec *spec, struct start_entry *entry,
			   struct err *err)
{
	size_t at = 0;

	if (!spec_has_base(spec))
		return 0;
	for (int i = 0; i < spec->argc; i++) {
		size_t len = strlen(spec->argv[i]) + 1;

		if (len > sizeof(entry->base_argv) - at)
			return err_set(err, -E2BIG,
				       "arguments of over %zu bytes",
				       sizeof(entry->base_argv));
		memcpy(entry->base_argv + at, spec->argv[i], len);
		at += len;
	}
	entry->base_argc = (uint32_t)spec->argc;
	entry->base_bytes = (uint32_t)at;
	return 0;
}

static uint32_t entry_flags_of(const struct spec *spec)
{
	return spec_is_deep(spec) ? ENTRY_DEEP : 0;
}

static int entry_fill(const struct spec *spec, const char *brood_path,
		      const struct registry_place *place,
		      struct start_entry *entry, struct err *err)
{
	int rc;

	entry->magic = ENTRY_MAGIC;
	entry->version = ENTRY_VERSION;
	entry->struct_bytes = sizeof(*entry);
	if ((rc = PUT(program, spec->program)) < 0 ||
	    (rc = PUT(image, place->image)) < 0 ||
	    (rc = PUT(live, place->live)) < 0 ||
	    (rc = PUT(control, place->control)) < 0 ||
	    (rc = PUT(keeper, brood_path)) < 0 ||
	    (rc = PUT(key, place->key)) < 0 ||
	    (rc = PUT(status, place->status)) < 0)
		return rc;
	return entry_arguments(spec, entry, err);
}

static int entry_publish(struct start_entry *entry, const char *path,
			 struct err *err)
{
	entry->sum = 0;
	entry->sum = image_sum(entry, sizeof(*entry),
			       offsetof(struct start_entry, sum));
	return file_publish(path, entry, sizeof(*entry), 0600, err);
}

int entry_write(const struct spec *spec, const char *brood_path,
		const struct registry_place *place, struct err *err)
{
	auto_free struct start_entry *entry = calloc(1, sizeof(*entry));
	auto_free char *self =
		brood_path ? strdup(brood_path) : process_exe(getpid());
	int rc;

	if (!entry || !self)
		return err_set(err, -ENOMEM, "entry of %s", spec->program);
	if ((rc = entry_fill(spec, self, place, entry, err)) < 0)
		return err_wrap(err, "entry of %s", spec->program);
	entry->flags = entry_flags_of(spec);
	return entry_publish(entry, place->entry, err);
}

static void entry_refuse(struct start_entry *entry,
			 const struct file_stamp *program)
{
	entry->flags |= ENTRY_NO_DEMAND;
	entry->refused.dev = program->dev;
	entry->refused.ino = program->ino;
	entry->refused.size = program->size;
	entry->refused.mtime_ns = program->mtime_ns;
	entry->refused.ctime_ns = program->ctime_ns;
}

static int entry_change(struct start_entry *entry,
			const struct file_stamp *refused,
			const struct registry_place *place, struct err *err)
{
	int rc;

	if ((rc = PUT(live, place->live)) < 0 ||
	    (rc = PUT(control, place->control)) < 0)
		return rc;
	entry->flags &= ~(uint32_t)ENTRY_NO_DEMAND;
	entry->refused = (struct image_file){ 0 };
	if (refused)
		entry_refuse(entry, refused);
	return 0;
}

int entry_update(const struct registry_place *place,
		 const struct file_stamp *refused, struct err *err)
{
	auto_free struct start_entry *entry = entry_read(place->entry, err);
	auto_free struct start_entry *old = malloc(sizeof(*old));
	int rc;

	if (!entry || !old)
		return -EINVAL;
	memcpy(old, entry, sizeof(*old));
	if ((rc = entry_change(entry, refused, place, err)) < 0)
		return rc;
	if (!memcmp(old, entry, sizeof(*old)))
		return 0;
	return entry_publish(entry, place->entry, err);
}
